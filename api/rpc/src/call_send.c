/* call_send.c - answers on their way out: headers, messages, status, in batches.
 *
 * The core takes one message of a call at a time. While one is under way others
 * queue here; a message that is followed by another one is hinted, so that the
 * transport gathers it with the next into one write. The known hang of the core
 * (performance.md 3.4.5) is kept away by three rules, all in plan_message: no
 * hint in the batch that carries the headers, none on the last message of the
 * queue, and a hint only while a follower is already at hand. */
#include "base/assert.h"
#include "src/call_inside.h"
#include "src/code.h"
#include "src/cork.h"
#include "src/enter.h"

/* --- planning, with the lock held --------------------------------------------- */

static void plan_message(rpc_call *call, struct rpc_batch *batch)
{
    struct rpc_outgoing next = rpc_queue_take(&call->queue);
    atomic_fetch_sub_explicit(&call->backlog, next.len, memory_order_relaxed);
    batch->message = true;
    batch->payload = next.payload;
    if (call->queue.count && !batch->headers) batch->message_flags = GRPC_WRITE_BUFFER_HINT;
}

static void plan_status(rpc_call *call, struct rpc_batch *batch)
{
    batch->status = call->status_sent = true;
    batch->code = call->code;
    batch->detail = call->detail;
    batch->close = !call->close_started;
    call->close_started = true;
}

bool rpc_call_plan_locked(rpc_call *call, struct rpc_batch *batch)
{
    bool end = call->state == CALL_FINISHED && !call->status_sent;
    bool headers = !call->headers_sent && (call->headers_wanted || call->queue.count || end);
    if (call->sending || !(headers || call->queue.count || end)) return false;

    *batch = (struct rpc_batch){.headers = headers};
    call->sending = call->headers_sent = true;
    if (call->queue.count) plan_message(call, batch);
    if (end && !call->queue.count) plan_status(call, batch);
    return true;
}

/* --- sending, without it ------------------------------------------------------ */

void rpc_call_send(rpc_call *call, struct rpc_batch *batch)
{
    grpc_op ops[4] = {{0}};
    size_t n = 0;
    bool more_follows = batch->headers && batch->message && !batch->status;
    if (more_follows) rpc_cork_until_dry();
    if (batch->headers) ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (batch->message) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n].flags = batch->message_flags;
        ops[n++].data.send_message.send_message = batch->payload;
    }
    if (batch->status) {
        ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
        ops[n].data.send_status_from_server.status = (grpc_status_code)batch->code;
        ops[n++].data.send_status_from_server.status_details =
            GRPC_SLICE_IS_EMPTY(batch->detail) ? NULL : &batch->detail;
    }
    if (batch->close) {
        ops[n].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
        ops[n++].data.recv_close_on_server.cancelled = &call->core_cancelled;
    }
    rpc_op_start(call->core, ops, n, &call->sent);
    if (batch->payload) grpc_byte_buffer_destroy(batch->payload);
}

void rpc_call_on_sent(struct rpc_op *op, bool ok)
{
    rpc_call *call = RPC_AROUND(rpc_call, sent, op);
    if (!ok) rpc_call_broke(call);

    struct rpc_batch batch;
    sk_mutex_lock(&call->lock);
    call->sending = false;
    bool last = call->status_sent;
    if (last) call->status_ok = ok;
    bool send = !last && rpc_call_plan_locked(call, &batch);
    sk_mutex_unlock(&call->lock);
    if (send) rpc_call_send(call, &batch);
    if (last) rpc_call_unref(call);
}

static void enqueue(rpc_call *call, struct rpc_outgoing message)
{
    struct rpc_batch batch;
    bool send = false;
    sk_mutex_lock(&call->lock);
    sk_assert(call->state == CALL_OPEN);
    bool drop = rpc_call_is_cancelled(call);
    if (!drop) {
        rpc_queue_put(&call->queue, message);
        atomic_fetch_add_explicit(&call->backlog, message.len, memory_order_relaxed);
        send = rpc_call_plan_locked(call, &batch);
    }
    sk_mutex_unlock(&call->lock);
    if (drop) grpc_byte_buffer_destroy(message.payload);
    if (send) rpc_call_send(call, &batch);
}

/* --- the public ways in ------------------------------------------------------- */

void rpc_call_write(rpc_call *call, const ProtobufCMessage *message)
{
    rpc_enter();
    rpc_call_watch_close(call);
    struct rpc_outgoing out;
    out.payload = rpc_payload_pack(message, &out.len);
    enqueue(call, out);
}

void rpc_call_write_pieces(rpc_call *call, const struct rpc_piece *pieces, size_t count)
{
    rpc_enter();
    rpc_call_watch_close(call);
    struct rpc_outgoing out;
    out.payload = rpc_payload_gather(&call->slab, pieces, count, &out.len);
    enqueue(call, out);
}

void rpc_call_send_headers(rpc_call *call)
{
    rpc_enter();
    rpc_call_watch_close(call);
    struct rpc_batch batch;
    sk_mutex_lock(&call->lock);
    call->headers_wanted = true;
    bool send = rpc_call_plan_locked(call, &batch);
    sk_mutex_unlock(&call->lock);
    if (send) rpc_call_send(call, &batch);
}

size_t rpc_call_backlog_bytes(const rpc_call *call)
{
    return atomic_load_explicit(&call->backlog, memory_order_relaxed);
}

/* Message and status leave in one batch. */
static void reply(rpc_call *call, struct rpc_outgoing message)
{
    sk_mutex_lock(&call->lock);
    rpc_queue_put(&call->queue, message);
    atomic_fetch_add_explicit(&call->backlog, message.len, memory_order_relaxed);
    sk_mutex_unlock(&call->lock);
    rpc_call_finish(call, RPC_OK, NULL);
}

void rpc_call_reply(rpc_call *call, const ProtobufCMessage *response)
{
    rpc_enter();
    struct rpc_outgoing out;
    out.payload = rpc_payload_pack(response, &out.len);
    reply(call, out);
}

void rpc_call_reply_bytes(rpc_call *call, struct sk_slice serialized)
{
    rpc_enter();
    reply(call, (struct rpc_outgoing){rpc_payload_copy(serialized), serialized.len});
}

void rpc_call_fail(rpc_call *call, enum rpc_code code, const char *detail)
{
    sk_assert(code != RPC_OK);
    rpc_call_finish(call, code, detail);
}

void rpc_call_fail_status(rpc_call *call, struct sk_status status)
{
    rpc_call_fail(call, rpc_code_of(status.code), sk_status_text(&status));
}
