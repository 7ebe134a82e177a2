/* access_point.c - apache.rocketmq.v2.MessagingService as a name server answers it.
 *
 * Routes, assignments and the clients' small talk; what carries messages is for the
 * brokers of the route, and says so. */
#include "apache/rocketmq/v2/service.rpc.h"
#include "inside.h"
#include "service/route_answer.h"

static void query_route(void *owner, rpc_call *call, const rmq_query_route_request *request)
{
    sk_namesrv *namesrv = owner;
    struct sk_asker asker = sk_asker_of(call);
    SK_CLEANUP(sk_route_unref_p) sk_route_snapshot *now = sk_route_acquire(namesrv->table);
    rmq_query_route_response response;
    sk_answer_route(now, &asker, request, rpc_call_arena(call), &response);
    rmq_messaging_service_reply_query_route(call, &response);
}

static void query_assignment(void *owner, rpc_call *call,
                             const rmq_query_assignment_request *request)
{
    sk_namesrv *namesrv = owner;
    struct sk_asker asker = sk_asker_of(call);
    SK_CLEANUP(sk_route_unref_p) sk_route_snapshot *now = sk_route_acquire(namesrv->table);
    rmq_query_assignment_response response;
    sk_answer_assignment(now, &asker, request, rpc_call_arena(call), &response);
    rmq_messaging_service_reply_query_assignment(call, &response);
}

/* A consumer's heartbeat must name a legal group; whether it exists, brokers know. */
static struct sk_verdict check_heartbeat(const struct sk_asker *asker,
                                         const rmq_heartbeat_request *request)
{
    const rmq_resource *group = rmq_heartbeat_request_get_group(request);
    SK_GRANT(sk_client_check(asker));
    if (request->client_type < RMQ_CLIENT_TYPE_PUSH_CONSUMER) return SK_GRANTED;
    return sk_group_check(sk_slice_of_text(group ? group->name : ""));
}

static void heartbeat(void *owner, rpc_call *call, const rmq_heartbeat_request *request)
{
    struct sk_asker asker = sk_asker_of(call);
    rmq_heartbeat_response response = RMQ_HEARTBEAT_RESPONSE_INIT;
    (void)owner;
    response.status = sk_verdict_message(check_heartbeat(&asker, request), rpc_call_arena(call));
    rmq_messaging_service_reply_heartbeat(call, &response);
}

static void notify_client_termination(void *owner, rpc_call *call,
                                      const rmq_notify_client_termination_request *request)
{
    struct sk_asker asker = sk_asker_of(call);
    rmq_notify_client_termination_response response = RMQ_NOTIFY_CLIENT_TERMINATION_RESPONSE_INIT;
    (void)owner;
    (void)request;
    response.status = sk_verdict_message(sk_client_check(&asker), rpc_call_arena(call));
    rmq_messaging_service_reply_notify_client_termination(call, &response);
}

/* --- what brokers do ----------------------------------------------------------------------- */

static rmq_status *not_here(rpc_call *call)
{
    struct sk_asker asker = sk_asker_of(call);
    struct sk_verdict v = sk_client_check(&asker);
    if (sk_granted(v))
        v = sk_refuse(RMQ_CODE_NOT_IMPLEMENTED,
                      "this is a name server; %s is served by the brokers of the topic's route: "
                      "ask QueryRoute and connect to one of them",
                      rpc_call_method(call)->name);
    return sk_verdict_message(v, rpc_call_arena(call));
}

#define FOR_BROKERS(method)                                                                        \
    static void method(void *owner, rpc_call *call, const rmq_##method##_request *request)         \
    {                                                                                              \
        rmq_##method##_response response;                                                          \
        (void)owner;                                                                               \
        (void)request;                                                                             \
        rmq_##method##_response_init(&response);                                                   \
        response.status = not_here(call);                                                          \
        rmq_messaging_service_reply_##method(call, &response);                                     \
    }

#define STREAM_FOR_BROKERS(method)                                                                 \
    static void method(void *owner, rpc_call *call, const rmq_##method##_request *request)         \
    {                                                                                              \
        rmq_##method##_response response;                                                          \
        (void)owner;                                                                               \
        (void)request;                                                                             \
        rmq_##method##_response_init(&response);                                                   \
        rmq_##method##_response_set_status(&response, not_here(call));                             \
        rmq_messaging_service_write_##method(call, &response);                                     \
        rpc_call_finish(call, RPC_OK, NULL);                                                       \
    }

FOR_BROKERS(send_message)
STREAM_FOR_BROKERS(receive_message)
FOR_BROKERS(ack_message)
FOR_BROKERS(forward_message_to_dead_letter_queue)
STREAM_FOR_BROKERS(pull_message)
FOR_BROKERS(update_offset)
FOR_BROKERS(get_offset)
FOR_BROKERS(query_offset)
FOR_BROKERS(end_transaction)
FOR_BROKERS(change_invisible_duration)
FOR_BROKERS(recall_message)
FOR_BROKERS(sync_lite_subscription)

static const struct rmq_messaging_service_handlers handlers = {
    .query_route = query_route,
    .heartbeat = heartbeat,
    .send_message = send_message,
    .query_assignment = query_assignment,
    .receive_message = receive_message,
    .ack_message = ack_message,
    .forward_message_to_dead_letter_queue = forward_message_to_dead_letter_queue,
    .pull_message = pull_message,
    .update_offset = update_offset,
    .get_offset = get_offset,
    .query_offset = query_offset,
    .end_transaction = end_transaction,
    .telemetry = on_telemetry,
    .notify_client_termination = notify_client_termination,
    .change_invisible_duration = change_invisible_duration,
    .recall_message = recall_message,
    .sync_lite_subscription = sync_lite_subscription,
};

void sk_namesrv_mount_access_point(sk_namesrv *namesrv, rpc_server *server)
{
    rmq_messaging_service_mount(server, &handlers, namesrv);
}
