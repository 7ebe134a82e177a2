/* inside.h - the calls, as their own files see them. */
#ifndef SK_CALLS_INSIDE_H
#define SK_CALLS_INSIDE_H

#include "apache/rocketmq/v2/service.rpc.h"
#include "calls/calls.h"
#include "ledger/polls.h"
#include "placing/find.h"
#include "service/codes.h"
#include "sessions/caller.h"

typedef struct sk_telemetry sk_telemetry;

struct sk_calls {
    const struct sk_node *node;
    sk_placing *placing;
    sk_sessions *sessions;
    sk_renewer *renewer;
    sk_routes *routes;
    sk_telemetry *telemetry;
};

/* --- handlers: owner is the struct sk_calls --------------------------------------------------- */

void sk_handle_send(void *owner, rpc_call *call, struct sk_slice request);
void sk_handle_receive(void *owner, rpc_call *call, const rmq_receive_message_request *request);
void sk_handle_ack(void *owner, rpc_call *call, const rmq_ack_message_request *request);
void sk_handle_change(void *owner, rpc_call *call,
                      const rmq_change_invisible_duration_request *request);
void sk_handle_pull(void *owner, rpc_call *call, const rmq_pull_message_request *request);
void sk_handle_update_offset(void *owner, rpc_call *call, const rmq_update_offset_request *request);
void sk_handle_get_offset(void *owner, rpc_call *call, const rmq_get_offset_request *request);
void sk_handle_query_offset(void *owner, rpc_call *call, const rmq_query_offset_request *request);
void sk_handle_route(void *owner, rpc_call *call, const rmq_query_route_request *request);
void sk_handle_assignment(void *owner, rpc_call *call, const rmq_query_assignment_request *request);
void sk_handle_heartbeat(void *owner, rpc_call *call, const rmq_heartbeat_request *request);
void sk_handle_termination(void *owner, rpc_call *call,
                           const rmq_notify_client_termination_request *request);
void sk_handle_telemetry(void *owner, rpc_call *call);

#endif
