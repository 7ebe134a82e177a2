/* names.h - names of topics and groups: what is legal, and what is the key.
 *
 * Rules of protocol.md 3.0: letters, digits, % | _ -; a topic has 1 to 127
 * characters (255 if it begins with %RETRY% or %DLQ%) and is not one of the
 * system's; a group has 1 to 120 and does not begin with CID_RMQ_SYS_.
 *
 * The effective namespace is the Resource's, or if that is empty the header
 * x-mq-namespace, or none (4.11: Node.js fills it only in some Resources). The
 * key under which routes and state know a name is "namespace%name", or "name". */
#ifndef SK_SERVICE_NAMES_H
#define SK_SERVICE_NAMES_H

#include "rpc/call.h"
#include "service/codes.h"

/* ILLEGAL_TOPIC with the reason, or granted. */
SK_CHECKED struct sk_verdict sk_topic_check(struct sk_slice name);

/* ILLEGAL_CONSUMER_GROUP with the reason, or granted. */
SK_CHECKED struct sk_verdict sk_group_check(struct sk_slice name);

/* Check a Resource (NULL: ILLEGAL_…) and give its key, in `arena` (or borrowed from the
 * resource if there is no namespace). `header` is the value of x-mq-namespace. */
SK_CHECKED struct sk_verdict sk_topic_key(const rmq_resource *topic, struct sk_slice header,
                                          sk_arena *arena, struct sk_slice *out);
SK_CHECKED struct sk_verdict sk_group_key(const rmq_resource *group, struct sk_slice header,
                                          sk_arena *arena, struct sk_slice *out);

/* Who asks. All slices live as long as the call. */
struct sk_asker {
    struct sk_slice client_id;
    struct sk_slice name_space; /* header x-mq-namespace */
    struct sk_slice language;   /* header x-mq-language */
    bool tls;
};

struct sk_asker sk_asker_of(rpc_call *call);

/* CLIENT_ID_REQUIRED if the header x-mq-client-id is absent or blank. */
SK_CHECKED struct sk_verdict sk_client_check(const struct sk_asker *asker);

#endif
