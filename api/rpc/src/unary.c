/* unary.c - one request, one response: the whole call is one batch, one event. */
#include <stdlib.h>

#include "base/memory.h"
#include "src/client_inside.h"
#include "src/enter.h"
#include "src/payload.h"

enum { DEFAULT_TIMEOUT_MS = 3000 };

struct unary {
    struct rpc_client_call call;
    struct rpc_op op;
    const struct rpc_method *method;
    grpc_metadata headers[RPC_MAX_HEADERS];
    size_t header_count;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *response;
    grpc_status_code code;
    grpc_slice detail;
    grpc_call_error rejected; /* GRPC_CALL_OK: the core took it */

    rpc_bytes_fn *bytes_done; /* either this */
    rpc_unary_fn *done;       /* or this with `typed` */
    rpc_any_fn *typed;
    void *arg;
};

/* --- the end ------------------------------------------------------------------ */

static void unary_free(struct unary *u)
{
    for (size_t i = 0; i < u->header_count; i++) {
        grpc_slice_unref(u->headers[i].key);
        grpc_slice_unref(u->headers[i].value);
    }
    grpc_metadata_array_destroy(&u->initial);
    grpc_metadata_array_destroy(&u->trailing);
    if (u->response) grpc_byte_buffer_destroy(u->response);
    grpc_slice_unref(u->detail);
    rpc_client_call_end(&u->call);
    free(u);
}

static struct rpc_outcome broken(const struct unary *u, const char *why)
{
    return (struct rpc_outcome){.code = RPC_INTERNAL,
                                .status =
                                    sk_error(SK_INTERNAL, "%s: %s", u->call.channel->target, why)};
}

static struct rpc_outcome outcome_of(struct unary *u, sk_arena *arena, struct sk_slice *bytes)
{
    *bytes = SK_EMPTY;
    if (u->rejected != GRPC_CALL_OK) return rpc_client_rejected(u->call.channel, u->rejected);
    struct rpc_outcome outcome = rpc_client_outcome(u->call.channel, u->code, u->detail);
    if (outcome.code != RPC_OK) return outcome;
    if (!u->response) return broken(u, "no response");
    if (!rpc_payload_flatten(u->response, arena, bytes)) return broken(u, "response too large");
    return outcome;
}

static void report(struct unary *u, sk_arena *arena)
{
    struct sk_slice bytes;
    struct rpc_outcome outcome = outcome_of(u, arena, &bytes);
    if (u->bytes_done) {
        u->bytes_done(u->arg, &outcome, bytes);
        return;
    }
    const ProtobufCMessage *response = NULL;
    if (outcome.code == RPC_OK) {
        response = rpc_payload_decode(u->method->response, bytes, arena);
        if (!response) outcome = broken(u, "the response could not be decoded");
    }
    u->done(u->typed, u->arg, &outcome, response);
}

static void on_done(struct rpc_op *op, bool ok)
{
    struct unary *u = RPC_AROUND(struct unary, op, op);
    (void)ok; /* `code` tells */
    sk_arena *scratch = u->call.channel->client->scratch;
    report(u, scratch);
    unary_free(u);
    sk_arena_reset(scratch);
}

/* --- the start ---------------------------------------------------------------- */

static void start(struct unary *u, const struct rpc_options *options, grpc_byte_buffer *request)
{
    grpc_op ops[6] = {{0}};
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].flags = rpc_client_header_flags(options);
    ops[0].data.send_initial_metadata.count = u->header_count;
    ops[0].data.send_initial_metadata.metadata = u->headers;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &u->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &u->response;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &u->trailing;
    ops[5].data.recv_status_on_client.status = &u->code;
    ops[5].data.recv_status_on_client.status_details = &u->detail;

    grpc_call *core = u->call.core;
    void *tag = rpc_op_give(&u->op);
    grpc_call_error err = grpc_call_start_batch(core, ops, 6, tag, NULL);
    if (err != GRPC_CALL_OK) { /* such as a header that no header may be */
        u->rejected = err;
        tag = rpc_op_give(&u->op);
        (void)grpc_call_start_batch(core, NULL, 0, tag, NULL);
    }
    grpc_byte_buffer_destroy(request);
}

static struct unary *unary_new(rpc_channel *channel, const struct rpc_method *method,
                               const struct rpc_options *options, void *arg)
{
    rpc_enter();
    struct unary *u = sk_zalloc(1, sizeof *u);
    u->method = method;
    u->op.done = on_done;
    u->arg = arg;
    u->detail = grpc_empty_slice();
    u->rejected = GRPC_CALL_OK;
    grpc_metadata_array_init(&u->initial);
    grpc_metadata_array_init(&u->trailing);
    rpc_client_headers(options, u->headers);
    u->header_count = options ? options->header_count : 0;
    uint64_t timeout_ms = options && options->timeout_ms ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    rpc_client_call_begin(&u->call, channel, method, timeout_ms);
    return u;
}

void rpc_unary(rpc_channel *channel, const struct rpc_method *method,
               const struct rpc_options *options, const ProtobufCMessage *request,
               rpc_unary_fn *done, rpc_any_fn *typed, void *arg)
{
    struct unary *u = unary_new(channel, method, options, arg);
    u->done = done;
    u->typed = typed;
    size_t len;
    start(u, options, rpc_payload_pack(request, &len));
}

static void start_bytes(struct unary *u, const struct rpc_options *options, struct sk_slice request,
                        rpc_bytes_fn *done)
{
    u->bytes_done = done;
    start(u, options, rpc_payload_copy(request));
}

void rpc_unary_bytes(rpc_channel *channel, const struct rpc_method *method,
                     const struct rpc_options *options, struct sk_slice request, rpc_bytes_fn *done,
                     void *arg)
{
    start_bytes(unary_new(channel, method, options, arg), options, request, done);
}

/* --- waiting for it ----------------------------------------------------------- */

struct waiter {
    struct sk_mutex lock;
    struct sk_cond answered;
    bool done;
    struct sk_status status;
    sk_arena *arena; /* the waiting thread's, which is not using it */
    struct sk_slice bytes;
};

static void on_answer(void *arg, const struct rpc_outcome *outcome, struct sk_slice response)
{
    struct waiter *w = arg;
    sk_mutex_lock(&w->lock);
    w->status = outcome->status;
    w->bytes = sk_slice_of(sk_arena_copy(w->arena, response.data, response.len), response.len);
    if (sk_ok(w->status) && !w->bytes.data)
        w->status = sk_error(SK_NO_MEMORY, "response of %zu bytes", response.len);
    w->done = true;
    sk_cond_signal(&w->answered);
    sk_mutex_unlock(&w->lock);
}

static void wait_for(struct waiter *w)
{
    sk_mutex_lock(&w->lock);
    while (!w->done) sk_cond_wait(&w->answered, &w->lock);
    sk_mutex_unlock(&w->lock);
}

struct sk_status rpc_unary_wait(rpc_channel *channel, const struct rpc_method *method,
                                const struct rpc_options *options, const ProtobufCMessage *request,
                                sk_arena *arena, const ProtobufCMessage **response)
{
    struct waiter w = {.arena = arena};
    sk_mutex_init(&w.lock);
    sk_cond_init(&w.answered);
    struct unary *u = unary_new(channel, method, options, &w);
    u->bytes_done = on_answer;
    size_t len;
    start(u, options, rpc_payload_pack(request, &len));
    wait_for(&w);
    sk_cond_done(&w.answered);
    sk_mutex_done(&w.lock);

    SK_TRY(w.status);
    const ProtobufCMessage *message = rpc_payload_decode(method->response, w.bytes, arena);
    if (!message) return sk_error(SK_INTERNAL, "the response could not be decoded");
    *response = message;
    return SK_SUCCESS;
}
