/* gate.h - "wake me when this cursor passes that position".
 *
 *      waiting:      40    90    120
 *      cursor  ----------->|
 *                         75          40 was woken, 90 and 120 still wait
 *
 * One idea serves sync flush, sync replication and whatever else follows the
 * log: a cursor only grows, and a waiter names the value it needs. The waiter's
 * memory is the caller's (put it in the call's arena); it must live until its
 * function ran or sk_gate_leave() returned true.
 *
 * Threads: all functions from any thread. A wake function runs exactly once, on
 * the thread that moved the cursor (or closed the gate), with no lock of the
 * gate held; or at once, on the caller's thread, inside sk_gate_wait when
 * the cursor is already there. */
#ifndef SK_BASE_GATE_H
#define SK_BASE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct sk_gate sk_gate;

/* status: SK_OK the cursor passed; otherwise why it never will (sk_gate_close). */
typedef void sk_gate_fn(void *arg, struct sk_status status);

struct sk_gate_waiter {
    uint64_t position;
    sk_gate_fn *fn;
    void *arg;
    struct sk_gate_waiter *next, *prev; /* the gate's; guarded by its lock */
    bool waiting;                       /* the gate's; guarded by its lock */
};

sk_gate *sk_gate_new(uint64_t cursor);
void sk_gate_free(sk_gate *gate); /* nobody may be waiting: close it first */

uint64_t sk_gate_cursor(const sk_gate *gate);

/* Move the cursor forward and wake, in order of position, whoever is passed.
 * A smaller value is ignored. */
void sk_gate_advance(sk_gate *gate, uint64_t cursor);

/* Tell somebody, on the waiter's thread and with no lock held, that a position is being waited
 * for: it is what makes a lazy flusher move. Set once, before the first wait. */
typedef void sk_gate_demand_fn(void *arg, uint64_t position);
void sk_gate_on_wait(sk_gate *gate, sk_gate_demand_fn *fn, void *arg);

/* The same question without a wait: for whoever waits somewhere else, for the slowest of several
 * gates for example. */
void sk_gate_demand(sk_gate *gate, uint64_t position);

/* Tell one follower of each move, on the thread that moved the cursor, after those who waited and
 * with no lock held; and of the end, with why != NULL. Two threads may tell it at once, in either
 * order, so it asks sk_gate_cursor for the place. NULL: nobody; a call that was under way may still
 * come after. */
typedef void sk_gate_follow_fn(void *arg, const struct sk_status *why);
void sk_gate_follow(sk_gate *gate, sk_gate_follow_fn *fn, void *arg);

/* Fill w->position, fn and arg first. Woken when cursor >= position. */
void sk_gate_wait(sk_gate *gate, struct sk_gate_waiter *w);

/* Stop waiting. True: w was still waiting and its function will never run.
 * False: it ran, runs, or is about to run on another thread. */
bool sk_gate_leave(sk_gate *gate, struct sk_gate_waiter *w);

/* Wake everybody, now and later, with `why` (not SK_OK). */
void sk_gate_close(sk_gate *gate, struct sk_status why);

#endif
