/* stream.c - client streams: one request and many responses, or many of both.
 *
 *      open ─► headers [+ request, half-close] ─► write* ─► half-close
 *           ◄─ message* ─────────────────────────────────── status ─► closed()
 *
 * Three kinds of events come from the core: `sent` (one batch at a time, others
 * queue), `received` (one message at a time) and `ended` (the status). closed()
 * is told when the status is there, no read is under way and nothing is being
 * sent: when the last of the three has been reported. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "src/call_inside.h"
#include "src/client_inside.h"
#include "src/enter.h"

struct rpc_stream {
    struct rpc_client_call call;
    const struct rpc_method *method;
    const struct rpc_stream_handler *handler;
    const void *typed;
    void *arg;
    atomic_int events; /* under way: status, reading, sending */
    atomic_int refs;   /* ours until closed() has returned, and those of owners */

    struct sk_mutex lock;
    struct rpc_queue queue; /* guarded by lock, as all that follows */
    bool sending, headers_sent, half_close, half_close_sent, over;

    struct rpc_op sent, received, ended;
    uint32_t header_flags;
    grpc_metadata headers[RPC_MAX_HEADERS];
    size_t header_count;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *incoming;
    bool undecodable;
    grpc_status_code code;
    grpc_slice detail;
    grpc_call_error rejected;
};

/* --- the end ------------------------------------------------------------------ */

static void stream_free(rpc_stream *stream)
{
    for (size_t i = 0; i < stream->header_count; i++) {
        grpc_slice_unref(stream->headers[i].key);
        grpc_slice_unref(stream->headers[i].value);
    }
    rpc_queue_drop(&stream->queue);
    rpc_queue_done(&stream->queue);
    grpc_metadata_array_destroy(&stream->initial);
    grpc_metadata_array_destroy(&stream->trailing);
    grpc_slice_unref(stream->detail);
    sk_mutex_done(&stream->lock);
    rpc_client_call_end(&stream->call);
    free(stream);
}

static struct rpc_outcome outcome_of(const rpc_stream *stream)
{
    const rpc_channel *channel = stream->call.channel;
    if (stream->rejected != GRPC_CALL_OK) return rpc_client_rejected(channel, stream->rejected);
    if (stream->undecodable)
        return (struct rpc_outcome){
            .code = RPC_INTERNAL,
            .status = sk_error(SK_INTERNAL, "%s: a message could not be decoded", channel->target)};
    return rpc_client_outcome(channel, stream->code, stream->detail);
}

rpc_stream *rpc_stream_ref(rpc_stream *stream)
{
    atomic_fetch_add_explicit(&stream->refs, 1, memory_order_relaxed);
    return stream;
}

void rpc_stream_unref(rpc_stream *stream)
{
    rpc_enter();
    if (stream && atomic_fetch_sub_explicit(&stream->refs, 1, memory_order_acq_rel) == 1)
        stream_free(stream);
}

/* An event was reported; with the last one the stream is closed. */
static void event_done(rpc_stream *stream)
{
    if (atomic_fetch_sub_explicit(&stream->events, 1, memory_order_acq_rel) != 1) return;
    struct rpc_outcome outcome = outcome_of(stream);
    stream->handler->closed(stream->typed, stream->arg, stream, &outcome);
    rpc_stream_unref(stream);
}

static void on_ended(struct rpc_op *op, bool ok)
{
    rpc_stream *stream = RPC_AROUND(rpc_stream, ended, op);
    (void)ok; /* `code` tells */
    sk_mutex_lock(&stream->lock);
    stream->over = true;
    sk_mutex_unlock(&stream->lock);
    event_done(stream);
}

/* --- sending ------------------------------------------------------------------ */

struct plan {
    bool headers, message, half_close;
    uint32_t message_flags;
    grpc_byte_buffer *payload;
};

/* As rpc_call_plan_locked: who gets true must send, without the lock. */
static bool plan_locked(rpc_stream *stream, struct plan *plan)
{
    bool half_close = stream->half_close && !stream->half_close_sent;
    if (stream->sending || stream->over) return false;
    if (stream->headers_sent && !stream->queue.count && !half_close) return false;

    *plan = (struct plan){.headers = !stream->headers_sent};
    stream->sending = stream->headers_sent = true;
    atomic_fetch_add_explicit(&stream->events, 1, memory_order_relaxed);
    if (stream->queue.count) {
        plan->message = true;
        plan->payload = rpc_queue_take(&stream->queue).payload;
        if (stream->queue.count && !plan->headers) plan->message_flags = GRPC_WRITE_BUFFER_HINT;
    }
    plan->half_close = half_close && !stream->queue.count;
    if (plan->half_close) stream->half_close_sent = true;
    return true;
}

static void send(rpc_stream *stream, struct plan *plan)
{
    grpc_op ops[3] = {{0}};
    size_t n = 0;
    if (plan->headers) {
        ops[n].op = GRPC_OP_SEND_INITIAL_METADATA;
        ops[n].flags = stream->header_flags;
        ops[n].data.send_initial_metadata.count = stream->header_count;
        ops[n++].data.send_initial_metadata.metadata = stream->headers;
    }
    if (plan->message) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n].flags = plan->message_flags;
        ops[n++].data.send_message.send_message = plan->payload;
    }
    if (plan->half_close) ops[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;

    grpc_call *core = stream->call.core;
    void *tag = rpc_op_give(&stream->sent);
    grpc_call_error err = grpc_call_start_batch(core, ops, n, tag, NULL);
    if (err != GRPC_CALL_OK) { /* such as a header that no header may be: the whole call fails */
        stream->rejected = err;
        tag = rpc_op_give(&stream->sent);
        (void)grpc_call_cancel(core, NULL);
        (void)grpc_call_start_batch(core, NULL, 0, tag, NULL);
    }
    if (plan->payload) grpc_byte_buffer_destroy(plan->payload);
}

static void on_sent(struct rpc_op *op, bool ok)
{
    rpc_stream *stream = RPC_AROUND(rpc_stream, sent, op);
    struct plan plan;
    sk_mutex_lock(&stream->lock);
    stream->sending = false;
    if (!ok) stream->over = true; /* the status, which says why, is on its way */
    bool more = plan_locked(stream, &plan);
    sk_mutex_unlock(&stream->lock);
    if (more) send(stream, &plan);
    event_done(stream);
}

void rpc_stream_write(rpc_stream *stream, const ProtobufCMessage *message)
{
    rpc_enter();
    struct rpc_outgoing out;
    struct plan plan;
    bool start = false;
    out.payload = rpc_payload_pack(message, &out.len);
    sk_mutex_lock(&stream->lock);
    bool drop = stream->over || stream->half_close;
    if (!drop) {
        rpc_queue_put(&stream->queue, out);
        start = plan_locked(stream, &plan);
    }
    sk_mutex_unlock(&stream->lock);
    if (drop) grpc_byte_buffer_destroy(out.payload);
    if (start) send(stream, &plan);
}

void rpc_stream_half_close(rpc_stream *stream)
{
    rpc_enter();
    struct plan plan;
    sk_mutex_lock(&stream->lock);
    stream->half_close = true;
    bool start = plan_locked(stream, &plan);
    sk_mutex_unlock(&stream->lock);
    if (start) send(stream, &plan);
}

void rpc_stream_cancel(rpc_stream *stream)
{
    rpc_enter();
    (void)grpc_call_cancel(stream->call.core, NULL);
}

/* --- receiving ---------------------------------------------------------------- */

static void read_next(rpc_stream *stream, bool first)
{
    grpc_op ops[2] = {{0}};
    ops[0].op = GRPC_OP_RECV_MESSAGE;
    ops[0].data.recv_message.recv_message = &stream->incoming;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
    rpc_op_start(stream->call.core, ops, first ? 2 : 1, &stream->received);
}

static bool hand_over(rpc_stream *stream)
{
    sk_arena *scratch = stream->call.channel->client->scratch;
    struct sk_slice bytes;
    const ProtobufCMessage *message = NULL;
    if (rpc_payload_flatten(stream->incoming, scratch, &bytes))
        message = rpc_payload_decode(stream->method->response, bytes, scratch);
    if (message) stream->handler->message(stream->typed, stream->arg, stream, message);
    sk_arena_reset(scratch);
    grpc_byte_buffer_destroy(stream->incoming);
    stream->incoming = NULL;
    return message != NULL;
}

static void on_received(struct rpc_op *op, bool ok)
{
    rpc_stream *stream = RPC_AROUND(rpc_stream, received, op);
    (void)ok;
    if (!stream->incoming) {
        event_done(stream); /* no more messages */
        return;
    }
    if (!stream->undecodable && !hand_over(stream)) {
        stream->undecodable = true;
        rpc_stream_cancel(stream);
    }
    if (stream->incoming) { /* after an undecodable one nothing is handed over */
        grpc_byte_buffer_destroy(stream->incoming);
        stream->incoming = NULL;
    }
    read_next(stream, false);
}

/* --- opening ------------------------------------------------------------------ */

static void await_status(rpc_stream *stream)
{
    grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    op.data.recv_status_on_client.trailing_metadata = &stream->trailing;
    op.data.recv_status_on_client.status = &stream->code;
    op.data.recv_status_on_client.status_details = &stream->detail;
    rpc_op_start(stream->call.core, &op, 1, &stream->ended);
}

static rpc_stream *stream_new(rpc_channel *channel, const struct rpc_method *method,
                              const struct rpc_options *options)
{
    rpc_stream *stream = sk_zalloc(1, sizeof *stream);
    stream->method = method;
    stream->sent.done = on_sent;
    stream->received.done = on_received;
    stream->ended.done = on_ended;
    stream->detail = grpc_empty_slice();
    stream->rejected = GRPC_CALL_OK;
    sk_mutex_init(&stream->lock);
    grpc_metadata_array_init(&stream->initial);
    grpc_metadata_array_init(&stream->trailing);
    rpc_client_headers(options, stream->headers);
    stream->header_count = options ? options->header_count : 0;
    stream->header_flags = rpc_client_header_flags(options);
    rpc_client_call_begin(&stream->call, channel, method, options ? options->timeout_ms : 0);
    return stream;
}

rpc_stream *rpc_stream_open(rpc_channel *channel, const struct rpc_method *method,
                            const struct rpc_options *options, const ProtobufCMessage *request,
                            const struct rpc_stream_handler *handler, const void *typed, void *arg)
{
    rpc_enter();
    rpc_stream *stream = stream_new(channel, method, options);
    stream->handler = handler;
    stream->typed = typed;
    stream->arg = arg;
    atomic_init(&stream->events, 2); /* the status and the reading, both started below */
    atomic_init(&stream->refs, options && options->keep_stream ? 2 : 1);
    if (request) {
        struct rpc_outgoing out;
        out.payload = rpc_payload_pack(request, &out.len);
        rpc_queue_put(&stream->queue, out);
        stream->half_close = true;
    }
    struct plan plan;
    sk_mutex_lock(&stream->lock);
    bool start = plan_locked(stream, &plan);
    sk_mutex_unlock(&stream->lock);
    sk_assert(start);
    send(stream, &plan);
    read_next(stream, true);
    await_status(stream); /* from here on it may be no more, unless it is kept */
    return stream;
}
