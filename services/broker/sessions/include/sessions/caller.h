/* caller.h - who calls: what every RPC of MessagingService asks first. */
#ifndef SK_BROKER_CALLER_H
#define SK_BROKER_CALLER_H

#include "base/slice.h"
#include "rpc/call.h"
#include "service/codes.h"
#include "service/names.h"

struct sk_caller {
    struct sk_asker asker;
    uint64_t owner; /* hash of the client id, never 0: the owner of its leases */
};

/* Refuses with CLIENT_ID_REQUIRED. grpcurl, which sends no metadata, is let in by its
 * user agent, as grpcurl-<peer> (ecosystem.md 3.1). Slices live as long as the call. */
SK_CHECKED struct sk_verdict sk_caller_of(rpc_call *call, struct sk_caller *out);

uint64_t sk_owner_of(struct sk_slice client_id);

/* The verdict as a Status that borrows from it, with the code that this client knows. */
rmq_status sk_status_for(const struct sk_caller *caller, const struct sk_verdict *verdict);

/* The checked keys of a request's topic and group; they live as long as the call. */
SK_CHECKED struct sk_verdict sk_topic_of(rpc_call *call, const struct sk_caller *caller,
                                         const rmq_resource *topic, struct sk_slice *out);
SK_CHECKED struct sk_verdict sk_group_of(rpc_call *call, const struct sk_caller *caller,
                                         const rmq_resource *group, struct sk_slice *out);

#endif
