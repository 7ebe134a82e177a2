/* gate.c - waiters in a list sorted by position; most join at its end, because
 * positions are handed out in growing order. */
#include "base/gate.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"

struct sk_gate {
    struct sk_mutex lock;
    _Atomic uint64_t cursor;      /* written under lock, read by anyone */
    struct sk_gate_waiter *first; /* lowest position; guarded by lock */
    struct sk_gate_waiter *last;  /* guarded by lock */
    bool closed;                  /* guarded by lock */
    struct sk_status why;         /* guarded by lock */
    sk_gate_demand_fn *demand;
    void *demand_arg;
    sk_gate_follow_fn *follow; /* guarded by lock, as its argument */
    void *follow_arg;
};

sk_gate *sk_gate_new(uint64_t cursor)
{
    sk_gate *g = sk_zalloc(1, sizeof *g);
    sk_mutex_init(&g->lock);
    atomic_init(&g->cursor, cursor);
    return g;
}

void sk_gate_free(sk_gate *g)
{
    if (!g) return;
    sk_assert(g->first == NULL);
    sk_mutex_done(&g->lock);
    free(g);
}

uint64_t sk_gate_cursor(const sk_gate *g)
{
    /* Pairs with the store in sk_gate_advance: who sees the cursor sees what it promises. In one
     * order with what the owner writes around it: "I note what comes, then look at the cursor" and
     * "I move the cursor, then look for notes" must not miss each other. */
    return atomic_load_explicit(&g->cursor, memory_order_seq_cst);
}

/* Cut the waiters at or below `cursor` off the list and return them, in order. */
static struct sk_gate_waiter *take_passed(sk_gate *g, uint64_t cursor) SK_REQUIRES(g->lock)
{
    struct sk_gate_waiter *head = g->first, *last_passed = NULL;
    for (struct sk_gate_waiter *w = head; w && w->position <= cursor; w = w->next) {
        w->waiting = false;
        last_passed = w;
    }
    if (!last_passed) return NULL;
    g->first = last_passed->next;
    if (g->first)
        g->first->prev = NULL;
    else
        g->last = NULL;
    last_passed->next = NULL;
    return head;
}

static void wake(struct sk_gate_waiter *w, struct sk_status status)
{
    while (w) {
        struct sk_gate_waiter *next = w->next; /* fn may free w */
        w->fn(w->arg, status);
        w = next;
    }
}

void sk_gate_advance(sk_gate *g, uint64_t cursor)
{
    sk_mutex_lock(&g->lock);
    struct sk_gate_waiter *passed = NULL;
    bool moved = cursor > atomic_load_explicit(&g->cursor, memory_order_relaxed);
    if (moved) {
        atomic_store_explicit(&g->cursor, cursor, memory_order_seq_cst);
        if (!g->closed) passed = take_passed(g, cursor);
    }
    sk_gate_follow_fn *follow = moved ? g->follow : NULL;
    void *follow_arg = g->follow_arg;
    sk_mutex_unlock(&g->lock);
    wake(passed, SK_SUCCESS);
    if (follow) follow(follow_arg, NULL);
}

static void insert(sk_gate *g, struct sk_gate_waiter *w) SK_REQUIRES(g->lock)
{
    struct sk_gate_waiter *before = g->last;
    while (before && before->position > w->position) before = before->prev;
    w->prev = before;
    w->next = before ? before->next : g->first;
    if (w->prev)
        w->prev->next = w;
    else
        g->first = w;
    if (w->next)
        w->next->prev = w;
    else
        g->last = w;
    w->waiting = true;
}

void sk_gate_on_wait(sk_gate *g, sk_gate_demand_fn *fn, void *arg)
{
    g->demand = fn;
    g->demand_arg = arg;
}

void sk_gate_demand(sk_gate *g, uint64_t position)
{
    if (g->demand && sk_gate_cursor(g) < position) g->demand(g->demand_arg, position);
}

void sk_gate_follow(sk_gate *g, sk_gate_follow_fn *fn, void *arg)
{
    sk_mutex_lock(&g->lock);
    g->follow = fn;
    g->follow_arg = arg;
    sk_mutex_unlock(&g->lock);
}

void sk_gate_wait(sk_gate *g, struct sk_gate_waiter *w)
{
    uint64_t position = w->position; /* once parked, w may be woken and freed at any time */
    w->waiting = false;
    struct sk_status status = SK_SUCCESS;
    if (sk_gate_cursor(g) < w->position) {
        sk_mutex_lock(&g->lock);
        bool passed = atomic_load_explicit(&g->cursor, memory_order_relaxed) >= w->position;
        bool park = !passed && !g->closed;
        if (park)
            insert(g, w);
        else if (!passed)
            status = g->why;
        sk_mutex_unlock(&g->lock);
        if (park) {
            if (g->demand) g->demand(g->demand_arg, position);
            return;
        }
    }
    w->fn(w->arg, status);
}

bool sk_gate_leave(sk_gate *g, struct sk_gate_waiter *w)
{
    sk_mutex_lock(&g->lock);
    bool was = w->waiting;
    if (was) {
        if (w->prev)
            w->prev->next = w->next;
        else
            g->first = w->next;
        if (w->next)
            w->next->prev = w->prev;
        else
            g->last = w->prev;
        w->waiting = false;
    }
    sk_mutex_unlock(&g->lock);
    return was;
}

void sk_gate_close(sk_gate *g, struct sk_status why)
{
    sk_assert(!sk_ok(why));
    sk_mutex_lock(&g->lock);
    struct sk_gate_waiter *all = NULL;
    bool now = !g->closed;
    if (now) {
        g->closed = true;
        g->why = why;
        all = take_passed(g, UINT64_MAX);
    }
    sk_gate_follow_fn *follow = now ? g->follow : NULL;
    void *follow_arg = g->follow_arg;
    sk_mutex_unlock(&g->lock);
    wake(all, why);
    if (follow) follow(follow_arg, &why);
}
