/* promise.c - follow some gates, and move one of our own to the slowest of them. */
#include "ledger/promise.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/thread.h"

struct sk_promise {
    sk_gate *committed;
    struct sk_mutex lock;
    sk_gate *counted[SK_PROMISE_CURSORS]; /* guarded by lock */
    size_t count;                         /* guarded by lock */
    sk_promise_moved_fn *moved;
    void *moved_arg;
};

static void demand(void *arg, uint64_t position)
{
    sk_promise_demand(arg, position);
}

sk_promise *sk_promise_new(uint64_t position)
{
    sk_promise *p = sk_zalloc(1, sizeof *p);
    sk_mutex_init(&p->lock);
    p->committed = sk_gate_new(position);
    sk_gate_on_wait(p->committed, demand, p);
    return p;
}

void sk_promise_free(sk_promise *p)
{
    if (!p) return;
    sk_gate_free(p->committed);
    sk_mutex_done(&p->lock);
    free(p);
}

/* --- the minimum ------------------------------------------------------------------------- */

static uint64_t slowest(sk_promise *p) SK_REQUIRES(p->lock)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < p->count; i++) {
        uint64_t cursor = sk_gate_cursor(p->counted[i]);
        if (cursor < least) least = cursor;
    }
    return p->count ? least : 0;
}

/* The gate is moved outside of the lock, so an older minimum may arrive after a newer one: the gate
 * passes over what is smaller. */
static void settle(sk_promise *p)
{
    sk_mutex_lock(&p->lock);
    uint64_t least = slowest(p);
    sk_mutex_unlock(&p->lock);
    sk_gate_advance(p->committed, least);
}

static void on_cursor(void *arg, const struct sk_status *why)
{
    sk_promise *p = arg;
    if (why)
        sk_promise_close(p, *why);
    else
        settle(p);
}

/* --- who counts -------------------------------------------------------------------------- */

struct sk_status sk_promise_count(sk_promise *p, sk_gate *gate)
{
    sk_mutex_lock(&p->lock);
    bool fits = p->count < SK_PROMISE_CURSORS;
    if (fits) p->counted[p->count++] = gate;
    sk_mutex_unlock(&p->lock);
    if (!fits)
        return sk_error(SK_FULL, "%d cursors count for the promise already", SK_PROMISE_CURSORS);
    sk_gate_follow(gate, on_cursor, p);
    settle(p); /* it may have moved before it was followed */
    return SK_SUCCESS;
}

bool sk_promise_discount(sk_promise *p, sk_gate *gate)
{
    bool found = false;
    sk_mutex_lock(&p->lock);
    for (size_t i = 0; p->count > 1 && !found && i < p->count; i++) {
        found = p->counted[i] == gate;
        if (found) p->counted[i] = p->counted[--p->count];
    }
    sk_mutex_unlock(&p->lock);
    if (!found) return false;
    sk_gate_follow(gate, NULL, NULL);
    settle(p);
    return true;
}

/* --- waiting ----------------------------------------------------------------------------- */

uint64_t sk_promise_position(const sk_promise *p)
{
    return sk_gate_cursor(p->committed);
}

void sk_promise_wait(sk_promise *p, struct sk_gate_waiter *w)
{
    sk_gate_wait(p->committed, w);
}

bool sk_promise_leave(sk_promise *p, struct sk_gate_waiter *w)
{
    return sk_gate_leave(p->committed, w);
}

/* Gates are asked outside of the lock: a flush that is done here and now comes back to settle. */
void sk_promise_demand(sk_promise *p, uint64_t position)
{
    sk_gate *gates[SK_PROMISE_CURSORS];
    sk_mutex_lock(&p->lock);
    size_t count = p->count;
    for (size_t i = 0; i < count; i++) gates[i] = p->counted[i];
    sk_mutex_unlock(&p->lock);
    for (size_t i = 0; i < count; i++) sk_gate_demand(gates[i], position);
}

void sk_promise_on_wait(sk_promise *p, sk_gate_demand_fn *fn, void *arg)
{
    sk_gate_on_wait(p->committed, fn, arg);
}

static void on_committed(void *arg, const struct sk_status *why)
{
    sk_promise *p = arg;
    if (!why) p->moved(p->moved_arg);
}

void sk_promise_on_move(sk_promise *p, sk_promise_moved_fn *fn, void *arg)
{
    p->moved = fn;
    p->moved_arg = arg;
    sk_gate_follow(p->committed, on_committed, p);
}

void sk_promise_close(sk_promise *p, struct sk_status why)
{
    sk_gate_close(p->committed, why);
}
