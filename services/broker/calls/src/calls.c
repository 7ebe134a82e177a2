/* calls.c - the table of handlers. */
#include "calls/calls.h"

#include <stdlib.h>

#include "base/memory.h"
#include "inside.h"
#include "later.h"
#include "telemetry.h"

static const struct rmq_messaging_service_handlers HANDLERS = {
    .query_route = sk_handle_route,
    .query_assignment = sk_handle_assignment,
    .heartbeat = sk_handle_heartbeat,
    .telemetry = sk_handle_telemetry,
    .notify_client_termination = sk_handle_termination,
    .receive_message = sk_handle_receive,
    .ack_message = sk_handle_ack,
    .change_invisible_duration = sk_handle_change,
    .pull_message = sk_handle_pull,
    .update_offset = sk_handle_update_offset,
    .get_offset = sk_handle_get_offset,
    .query_offset = sk_handle_query_offset,
    .forward_message_to_dead_letter_queue = sk_handle_dead_letter,
    .end_transaction = sk_handle_end_transaction,
    .recall_message = sk_handle_recall,
    .sync_lite_subscription = sk_handle_sync_lite,
};

sk_calls *sk_calls_new(const struct sk_calls_options *options)
{
    sk_calls *calls = sk_zalloc(1, sizeof *calls);
    calls->node = options->node;
    calls->placing = options->placing;
    calls->sessions = options->sessions;
    calls->renewer = options->renewer;
    calls->routes = options->routes;
    calls->telemetry = sk_telemetry_new(calls);
    return calls;
}

void sk_calls_mount(sk_calls *calls, rpc_server *server)
{
    rmq_messaging_service_mount(server, &HANDLERS, calls);
    rpc_server_mount_raw(server, &rmq_messaging_service.methods[RMQ_MESSAGING_SERVICE_SEND_MESSAGE],
                         sk_handle_send, calls);
}

void sk_calls_end(sk_calls *calls)
{
    sk_telemetry_end(calls->telemetry);
}

void sk_calls_free(sk_calls *calls)
{
    if (!calls) return;
    sk_telemetry_free(calls->telemetry);
    free(calls);
}
