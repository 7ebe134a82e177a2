/* drain.c - a server stops: no new calls, the running ones end, then the pollers.
 *
 * The order matters. Who watches hears of it first (health says NOT_SERVING, so that
 * balancers look elsewhere), and new calls are refused. Parked calls are told, and answered. Only
 * when the last of them has ended the core may say GOAWAY: it closes a connection
 * with the last stream on it, and if the client has just written something the
 * kernel answers with a reset, which destroys what the client has not read yet.
 * GOAWAY comes with a PING, whose echo proves that all before it was read.
 * What is left after the grace is cut off; the queues close when every call has
 * ended. */
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "src/enter.h"
#include "src/server_inside.h"

/* How long a cut-off call may take to be finished by its owner. Longer is a leak.
 * And how long connections may take to close, even if the calls used up the grace. */
enum { LEAK_MS = 10000, CLOSING_MS = 3000 };

/* --- parked calls ------------------------------------------------------------- */

bool rpc_server_park(struct rpc_server *server, rpc_call *call)
{
    sk_mutex_lock(&server->lock);
    bool draining = server->state != SERVER_SERVING;
    if (!draining) {
        call->parked_prev = NULL;
        call->parked_next = server->parked;
        if (server->parked) server->parked->parked_prev = call;
        server->parked = call;
        call->parked = true;
    }
    sk_mutex_unlock(&server->lock);
    return draining;
}

void rpc_server_unpark(struct rpc_server *server, rpc_call *call)
{
    sk_mutex_lock(&server->lock);
    if (call->parked_prev)
        call->parked_prev->parked_next = call->parked_next;
    else
        server->parked = call->parked_next;
    if (call->parked_next) call->parked_next->parked_prev = call->parked_prev;
    call->parked = false;
    sk_mutex_unlock(&server->lock);
}

static void tell_watchers(const struct rpc_server *server)
{
    for (const struct rpc_watcher *w = server->watchers; w; w = w->next)
        if (w->events->draining) w->events->draining(w->owner);
}

/* References keep the calls while they are told, without any lock. */
static rpc_call **all_parked(struct rpc_server *server, size_t *count)
{
    sk_mutex_lock(&server->lock);
    size_t n = 0;
    for (rpc_call *call = server->parked; call; call = call->parked_next) n++;
    rpc_call **calls = sk_zalloc(n, sizeof *calls);
    n = 0;
    for (rpc_call *call = server->parked; call; call = call->parked_next) {
        rpc_call_ref(call);
        calls[n++] = call;
    }
    sk_mutex_unlock(&server->lock);
    *count = n;
    return calls;
}

static void tell_parked(struct rpc_server *server)
{
    size_t count;
    rpc_call **calls = all_parked(server, &count);
    for (size_t i = 0; i < count; i++) {
        rpc_call_tell_cancel(calls[i]);
        rpc_call_unref(calls[i]);
    }
    free(calls);
}

/* --- waiting ------------------------------------------------------------------ */

static void on_shut(struct rpc_op *op, bool ok)
{
    struct rpc_server *server = RPC_AROUND(struct rpc_server, shut, op);
    (void)ok;
    sk_mutex_lock(&server->lock);
    server->core_is_shut = true;
    sk_cond_broadcast(&server->changed);
    sk_mutex_unlock(&server->lock);
}

static bool is_idle(const struct rpc_server *server)
{
    return server->working == 0;
}

static bool is_empty(const struct rpc_server *server)
{
    return server->core_is_shut && server->alive == 0 && server->posted == 0;
}

/* True when `reached` is, within `timeout_ms`. */
static bool wait_until(struct rpc_server *server, bool (*reached)(const struct rpc_server *),
                       uint64_t timeout_ms)
{
    const struct sk_clock *clock = sk_clock_real();
    uint64_t until = sk_mono_us(clock) + timeout_ms * 1000;
    sk_mutex_lock(&server->lock);
    for (uint64_t now = sk_mono_us(clock); !reached(server) && now < until; now = sk_mono_us(clock))
        (void)sk_cond_wait_for(&server->changed, &server->lock, until - now);
    bool there = reached(server);
    sk_mutex_unlock(&server->lock);
    return there;
}

static void stop_pollers(struct rpc_server *server)
{
    for (unsigned i = 0; i < server->options.pollers; i++) rpc_poller_unref(server->pollers[i]);
}

/* A server that never started may have no thread; the caller's empties the queue. */
static void shut_unstarted(struct rpc_server *server)
{
    while (!server->core_is_shut) (void)rpc_poll_one(server->pollers[0]->queue);
}

static bool begin(struct rpc_server *server)
{
    sk_mutex_lock(&server->lock);
    bool first = server->state == SERVER_NEW || server->state == SERVER_SERVING;
    if (first) server->state = SERVER_DRAINING;
    sk_mutex_unlock(&server->lock);
    return first;
}

void rpc_server_drain(rpc_server *server, unsigned grace_ms)
{
    rpc_enter();
    if (!begin(server)) return;
    tell_watchers(server);
    tell_parked(server);
    bool idle = wait_until(server, is_idle, grace_ms);

    server->shut.done = on_shut;
    grpc_server_shutdown_and_notify(server->core, server->pollers[0]->queue,
                                    rpc_op_give(&server->shut));
    if (!server->pollers[0]->running) {
        shut_unstarted(server);
    } else if (!wait_until(server, is_empty, idle && grace_ms ? CLOSING_MS : 0)) {
        grpc_server_cancel_all_calls(server->core);
        sk_assert(wait_until(server, is_empty, LEAK_MS)); /* else: a call was never finished */
    }
    stop_pollers(server);
    sk_mutex_lock(&server->lock);
    server->state = SERVER_STOPPED;
    sk_mutex_unlock(&server->lock);
}
