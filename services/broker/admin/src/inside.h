/* inside.h - BrokerAdmin, as its own files see it. */
#ifndef SK_ADMIN_INSIDE_H
#define SK_ADMIN_INSIDE_H

#include "admin/admin.h"
#include "rpc/call.h"
#include "service/codes.h"
#include "service/names.h"
#include "skua/v1/admin.rpc.h"

struct sk_admin {
    const struct sk_node *node;
    sk_sessions *sessions;
    sk_routes *routes;
};

/* A full name, "namespace%name" or "name", by the rules of service/names.h. */
SK_CHECKED struct sk_status sk_admin_check_name(const char *text,
                                                struct sk_verdict (*check)(struct sk_slice));

/* Commit a record and free its payload. */
SK_CHECKED struct sk_status sk_admin_write(struct sk_turn *turn, enum sk_record_kind kind,
                                           struct sk_buffer *payload, uint64_t *position);

/* Listings are taken in turns of so many names, so that nobody waits for the length of an answer.
 */
enum { SK_ADMIN_PAGE = 256 };

/* Answer once the record that ends at `position` is durable. `response` lives as long as the
 * call; NULL: there was no memory for it. */
void sk_admin_reply(struct sk_admin *admin, rpc_call *call, const ProtobufCMessage *response,
                    uint64_t position);

void sk_admin_create_topic(void *owner, rpc_call *call, const skua_create_topic_request *request);
void sk_admin_delete_topic(void *owner, rpc_call *call, const skua_delete_topic_request *request);
void sk_admin_list_topics(void *owner, rpc_call *call,
                          const skua_list_broker_topics_request *request);
void sk_admin_describe_topic(void *owner, rpc_call *call,
                             const skua_describe_topic_request *request);
void sk_admin_describe_broker(void *owner, rpc_call *call,
                              const skua_describe_broker_request *request);
void sk_admin_create_group(void *owner, rpc_call *call, const skua_create_group_request *request);
void sk_admin_delete_group(void *owner, rpc_call *call, const skua_delete_group_request *request);
void sk_admin_list_groups(void *owner, rpc_call *call, const skua_list_groups_request *request);
void sk_admin_describe_group(void *owner, rpc_call *call,
                             const skua_describe_group_request *request);

#endif
