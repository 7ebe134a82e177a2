/* call_receive.c - a bidi call's incoming messages, one at a time. */
#include "base/assert.h"
#include "src/call_inside.h"
#include "src/enter.h"
#include "src/server_inside.h"

/* The reference of `received` is taken by listen and handed from read to read. */
static void read_next(rpc_call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->incoming};
    rpc_op_start(call->core, &op, 1, &call->received);
}

static bool is_finished(rpc_call *call)
{
    sk_mutex_lock(&call->lock);
    bool finished = call->state != CALL_OPEN;
    sk_mutex_unlock(&call->lock);
    return finished;
}

static void stop_reading(rpc_call *call)
{
    rpc_server_give_arena(call->server, call->incoming_arena);
    call->incoming_arena = NULL;
    rpc_call_unref(call);
}

static void half_closed(rpc_call *call)
{
    if (!is_finished(call)) call->events->half_closed(call->events_typed, call->events_arg, call);
    stop_reading(call);
}

static void undecodable(rpc_call *call)
{
    sk_mutex_lock(&call->lock);
    call->undecodable = true;
    sk_mutex_unlock(&call->lock);
    half_closed(call);
}

/* False: the bytes are no message of this method. */
static bool hand_over(rpc_call *call)
{
    struct sk_slice bytes;
    const ProtobufCMessage *message = NULL;
    if (rpc_payload_flatten(call->incoming, call->incoming_arena, &bytes))
        message = rpc_payload_decode(rpc_call_method(call)->request, bytes, call->incoming_arena);
    if (message) call->events->message(call->events_typed, call->events_arg, call, message);
    sk_arena_reset(call->incoming_arena);
    grpc_byte_buffer_destroy(call->incoming);
    call->incoming = NULL;
    return message != NULL;
}

void rpc_call_on_received(struct rpc_op *op, bool ok)
{
    rpc_call *call = RPC_AROUND(rpc_call, received, op);
    (void)ok; /* a failed read gives no message, as the end does */
    if (!call->incoming) {
        if (grpc_call_failed_before_recv_message(call->core)) rpc_call_broke(call);
        half_closed(call);
    } else if (is_finished(call)) {
        grpc_byte_buffer_destroy(call->incoming);
        call->incoming = NULL;
        stop_reading(call);
    } else if (!hand_over(call)) {
        undecodable(call);
    } else {
        read_next(call);
    }
}

void rpc_call_listen(rpc_call *call, const struct rpc_stream_events *events, const void *typed,
                     void *arg)
{
    rpc_enter();
    sk_assert(call->route->method->kind == RPC_BIDI && !call->events);
    call->events = events;
    call->events_typed = typed;
    call->events_arg = arg;
    call->incoming = NULL;
    call->incoming_arena = rpc_server_take_arena(call->server);
    rpc_call_ref(call);
    read_next(call);
}
