/* call.c - the life of a server call: who may do what when, and when it ends. */
#include "src/call_inside.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "src/enter.h"
#include "src/server_inside.h"

/* The moves of the drawing in call_inside.h; all others are bugs, above all
 * FINISHED to FINISHED: an owner that finishes its call twice. */
static const bool legal[CALL_STATES][CALL_STATES] = {
    [CALL_POSTED] = {[CALL_OPEN] = true, [CALL_ENDED] = true},
    [CALL_OPEN] = {[CALL_FINISHED] = true},
    [CALL_FINISHED] = {[CALL_ENDED] = true},
    [CALL_ENDED] = {[CALL_POSTED] = true},
};

static void move_locked(rpc_call *call, enum rpc_call_state to)
{
    sk_assert(legal[call->state][to]);
    call->state = to;
}

static void move(rpc_call *call, enum rpc_call_state to)
{
    sk_mutex_lock(&call->lock);
    move_locked(call, to);
    sk_mutex_unlock(&call->lock);
}

rpc_call *rpc_call_new(struct rpc_server *server)
{
    rpc_call *call = sk_zalloc(1, sizeof *call);
    call->server = server;
    call->state = CALL_ENDED;
    sk_mutex_init(&call->lock);
    grpc_metadata_array_init(&call->metadata);
    grpc_call_details_init(&call->details);
    call->detail = grpc_empty_slice();
    call->sent.done = rpc_call_on_sent;
    call->received.done = rpc_call_on_received;
    return call;
}

void rpc_call_free(rpc_call *call)
{
    rpc_queue_done(&call->queue);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    sk_mutex_done(&call->lock);
    free(call);
}

/* --- arrival and end ---------------------------------------------------------- */

void rpc_call_open(rpc_call *call)
{
    atomic_store_explicit(&call->refs, 1, memory_order_relaxed);
    move(call, CALL_OPEN);
}

/* Back to what rpc_call_new made, memory kept. */
static void forget(rpc_call *call)
{
    grpc_metadata_array_destroy(&call->metadata);
    grpc_metadata_array_init(&call->metadata);
    if (!call->route->method) { /* whose caller may call it what he likes */
        grpc_call_details_destroy(&call->details);
        grpc_call_details_init(&call->details);
    }
    if (call->payload) grpc_byte_buffer_destroy(call->payload);
    grpc_slice_unref(call->detail);
    rpc_queue_drop(&call->queue);
    rpc_slab_done(&call->slab);
    if (call->core) grpc_call_unref(call->core);

    call->core = NULL;
    call->payload = NULL;
    call->request = SK_EMPTY;
    call->peer = NULL;
    call->identity = NULL;
    call->tls = TLS_UNASKED;
    atomic_store_explicit(&call->cancelled, false, memory_order_relaxed);
    call->cancel_fn = NULL;
    call->cancel_told = false;
    atomic_store_explicit(&call->backlog, 0, memory_order_relaxed);
    call->sending = call->headers_wanted = call->headers_sent = false;
    call->status_sent = call->status_ok = false;
    call->code = RPC_OK;
    call->detail = grpc_empty_slice();
    call->done = NULL;
    call->close_started = false;
    call->core_cancelled = 0;
    call->events = NULL;
    call->undecodable = false;
}

static void end(rpc_call *call)
{
    bool delivered = call->status_ok && !call->core_cancelled && !rpc_call_is_cancelled(call);
    if (call->done) call->done(call->done_arg, delivered);
    move(call, CALL_ENDED);
    forget(call);
    rpc_server_take_back(call->server, call);
}

void rpc_call_post(rpc_call *call)
{
    move(call, CALL_POSTED);
}

void rpc_call_withdraw(rpc_call *call)
{
    move(call, CALL_ENDED);
    forget(call);
}

void rpc_call_ref(rpc_call *call)
{
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

void rpc_call_unref(rpc_call *call)
{
    if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) == 1) end(call);
}

/* --- cancellation ------------------------------------------------------------- */

void rpc_call_tell_cancel(rpc_call *call)
{
    sk_mutex_lock(&call->lock);
    bool tell = call->cancel_fn && !call->cancel_told && call->state == CALL_OPEN;
    rpc_cancel_fn *fn = call->cancel_fn;
    void *arg = call->cancel_arg;
    if (tell) call->cancel_told = true;
    sk_mutex_unlock(&call->lock);
    if (tell) fn(arg);
}

void rpc_call_broke(rpc_call *call)
{
    sk_mutex_lock(&call->lock);
    atomic_store_explicit(&call->cancelled, true, memory_order_relaxed);
    struct rpc_queue unsent = call->queue;
    call->queue = (struct rpc_queue){0};
    atomic_store_explicit(&call->backlog, 0, memory_order_relaxed);
    sk_mutex_unlock(&call->lock);

    rpc_queue_drop(&unsent);
    rpc_queue_done(&unsent);
    rpc_call_tell_cancel(call);
}

static void on_closed(struct rpc_op *op, bool ok)
{
    rpc_call *call = RPC_AROUND(rpc_call, closed, op);
    (void)ok; /* the core always reports this one */
    if (call->core_cancelled) rpc_call_broke(call);
    rpc_call_unref(call);
}

void rpc_call_watch_close(rpc_call *call)
{
    sk_mutex_lock(&call->lock);
    bool start = !call->close_started;
    call->close_started = true;
    sk_mutex_unlock(&call->lock);
    if (!start) return;

    rpc_call_ref(call);
    call->closed.done = on_closed;
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                  .data.recv_close_on_server.cancelled = &call->core_cancelled};
    rpc_op_start(call->core, &op, 1, &call->closed);
}

void rpc_call_on_cancel(rpc_call *call, rpc_cancel_fn *fn, void *arg)
{
    rpc_enter();
    rpc_call_watch_close(call);
    sk_mutex_lock(&call->lock);
    sk_assert(call->state == CALL_OPEN && !call->cancel_fn);
    call->cancel_fn = fn;
    call->cancel_arg = arg;
    bool draining = rpc_server_park(call->server, call);
    bool now = draining || atomic_load_explicit(&call->cancelled, memory_order_relaxed);
    sk_mutex_unlock(&call->lock);
    if (now) rpc_call_tell_cancel(call);
}

bool rpc_call_is_cancelled(const rpc_call *call)
{
    return atomic_load_explicit(&call->cancelled, memory_order_relaxed);
}

/* --- finishing ---------------------------------------------------------------- */

void rpc_call_finish_done(rpc_call *call, enum rpc_code code, const char *detail, rpc_done_fn *done,
                          void *arg)
{
    rpc_enter();
    /* `done` wants to know how the call ended, so its end is reported on its own: in one
     * batch with the status the core hides whether the status was sent. */
    if (done) rpc_call_watch_close(call);

    struct rpc_batch batch;
    sk_mutex_lock(&call->lock);
    move_locked(call, CALL_FINISHED);
    if (call->undecodable) {
        code = RPC_INVALID_ARGUMENT;
        detail = "a message of the stream is not valid, or a text in it is not UTF-8";
    }
    call->code = code;
    if (detail) call->detail = grpc_slice_from_copied_string(detail);
    call->done = done;
    call->done_arg = arg;
    if (call->parked) rpc_server_unpark(call->server, call);
    bool send = rpc_call_plan_locked(call, &batch);
    sk_mutex_unlock(&call->lock);
    if (send) rpc_call_send(call, &batch);
}

void rpc_call_finish(rpc_call *call, enum rpc_code code, const char *detail)
{
    rpc_call_finish_done(call, code, detail, NULL, NULL);
}
