/* heartbeat.c - Heartbeat and NotifyClientTermination: clients that live, and that leave. */
#include "inside.h"
#include "sessions/renew.h"

static bool is_consumer(rmq_client_type type)
{
    return type == RMQ_CLIENT_TYPE_PUSH_CONSUMER || type == RMQ_CLIENT_TYPE_SIMPLE_CONSUMER ||
           type == RMQ_CLIENT_TYPE_PULL_CONSUMER || type == RMQ_CLIENT_TYPE_LITE_PUSH_CONSUMER ||
           type == RMQ_CLIENT_TYPE_LITE_SIMPLE_CONSUMER;
}

/* The type of the client's Settings counts, not that of the request. */
static rmq_client_type effective_type(struct sk_calls *calls, const struct sk_caller *caller,
                                      rmq_client_type said)
{
    rmq_client_type known = sk_sessions_type(calls->sessions, caller);
    return known != RMQ_CLIENT_TYPE_UNSPECIFIED ? known : said;
}

static struct sk_verdict check_heartbeat(struct sk_calls *calls, rpc_call *call,
                                         const struct sk_caller *caller,
                                         const rmq_heartbeat_request *request)
{
    rmq_client_type type = effective_type(calls, caller, request->client_type);
    if (!is_consumer(type)) {
        if (type == RMQ_CLIENT_TYPE_PRODUCER || type == RMQ_CLIENT_TYPE_UNSPECIFIED) {
            return SK_GRANTED;
        }
        return sk_refuse(RMQ_CODE_UNRECOGNIZED_CLIENT_TYPE, "unknown client type %d", (int)type);
    }
    struct sk_slice name;
    const struct sk_group *group;
    SK_GRANT(sk_group_of(call, caller, rmq_heartbeat_request_get_group(request), &name));
    struct sk_turn turn;
    sk_turn_begin(&turn, calls->node->ledger);
    struct sk_verdict verdict = sk_find_group(calls->placing, &turn, name, &group);
    sk_turn_end(&turn);
    return verdict;
}

void sk_handle_heartbeat(void *owner, rpc_call *call, const rmq_heartbeat_request *request)
{
    struct sk_calls *calls = owner;
    struct sk_caller caller;
    struct sk_verdict verdict = sk_caller_of(call, &caller);
    if (sk_granted(verdict)) {
        verdict = check_heartbeat(calls, call, &caller, request);
        sk_sessions_seen(calls->sessions, call, &caller);
    }
    rmq_status status = sk_status_for(&caller, &verdict);
    rmq_heartbeat_response response = RMQ_HEARTBEAT_RESPONSE_INIT;
    response.status = &status;
    rmq_messaging_service_reply_heartbeat(call, &response);
}

static struct sk_verdict terminate(struct sk_calls *calls, rpc_call *call,
                                   const struct sk_caller *caller,
                                   const rmq_notify_client_termination_request *request)
{
    struct sk_slice name;
    if (is_consumer(sk_sessions_type(calls->sessions, caller))) {
        SK_GRANT(sk_group_of(call, caller, rmq_notify_client_termination_request_get_group(request),
                             &name));
    }
    sk_sessions_forget(calls->sessions, call, caller);
    sk_renewer_release_owner(calls->renewer, caller->owner);
    return SK_GRANTED;
}

void sk_handle_termination(void *owner, rpc_call *call,
                           const rmq_notify_client_termination_request *request)
{
    struct sk_calls *calls = owner;
    struct sk_caller caller;
    struct sk_verdict verdict = sk_caller_of(call, &caller);
    if (sk_granted(verdict)) verdict = terminate(calls, call, &caller, request);
    rmq_status status = sk_status_for(&caller, &verdict);
    rmq_notify_client_termination_response response = RMQ_NOTIFY_CLIENT_TERMINATION_RESPONSE_INIT;
    response.status = &status;
    rmq_messaging_service_reply_notify_client_termination(call, &response);
}
