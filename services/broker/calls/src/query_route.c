/* query_route.c - QueryRoute and QueryAssignment, from the broker's own table. */
#include "inside.h"
#include "service/route_answer.h"

/* A topic that is asked for is used: make it, if that is allowed, before the answer. */
static struct sk_verdict make_topic(struct sk_calls *calls, rpc_call *call,
                                    const struct sk_caller *caller, const rmq_resource *resource)
{
    struct sk_slice name;
    const struct sk_topic *topic;
    if (!calls->node->config->auto_create_topics) return SK_GRANTED;
    SK_GRANT(sk_topic_of(call, caller, resource, &name));
    sk_route_snapshot *snapshot = sk_routes_acquire(calls->routes);
    size_t cursor = 0;
    struct sk_route_place place;
    bool known = sk_route_next_place(snapshot, name, &cursor, &place);
    sk_route_unref(snapshot);
    if (known) return SK_GRANTED;
    struct sk_turn turn;
    sk_turn_begin(&turn, calls->node->ledger);
    struct sk_verdict verdict = sk_find_topic(calls->placing, &turn, name, &topic);
    sk_turn_end(&turn);
    return verdict;
}

void sk_handle_route(void *owner, rpc_call *call, const rmq_query_route_request *request)
{
    struct sk_calls *calls = owner;
    struct sk_caller caller;
    rmq_query_route_response response = RMQ_QUERY_ROUTE_RESPONSE_INIT;
    struct sk_verdict verdict = sk_caller_of(call, &caller);
    if (sk_granted(verdict)) verdict = make_topic(calls, call, &caller, request->topic);
    if (!sk_granted(verdict)) {
        rmq_status status = sk_status_for(&caller, &verdict);
        response.status = &status;
        rmq_messaging_service_reply_query_route(call, &response);
        return;
    }
    sk_route_snapshot *snapshot = sk_routes_acquire(calls->routes);
    sk_answer_route(snapshot, &caller.asker, request, rpc_call_arena(call), &response);
    rmq_messaging_service_reply_query_route(call, &response);
    sk_route_unref(snapshot);
}

void sk_handle_assignment(void *owner, rpc_call *call, const rmq_query_assignment_request *request)
{
    struct sk_calls *calls = owner;
    struct sk_caller caller;
    rmq_query_assignment_response response = RMQ_QUERY_ASSIGNMENT_RESPONSE_INIT;
    struct sk_verdict verdict = sk_caller_of(call, &caller);
    if (sk_granted(verdict)) verdict = make_topic(calls, call, &caller, request->topic);
    if (!sk_granted(verdict)) {
        rmq_status status = sk_status_for(&caller, &verdict);
        response.status = &status;
        rmq_messaging_service_reply_query_assignment(call, &response);
        return;
    }
    sk_route_snapshot *snapshot = sk_routes_acquire(calls->routes);
    sk_answer_assignment(snapshot, &caller.asker, request, rpc_call_arena(call), &response);
    rmq_messaging_service_reply_query_assignment(call, &response);
    sk_route_unref(snapshot);
}
