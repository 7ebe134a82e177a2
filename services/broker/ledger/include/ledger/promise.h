/* promise.h - what an answer of "done" stands for: the minimum of some cursors.
 *
 *      log:      ......................................|
 *      tail      --------------------------------------->  (flush: async promises this)
 *      flushed   ------------------------->                (flush: sync)
 *      replica   -------------------->                     (one for each that must have it)
 *      committed -------------------->                     the slowest of those that count
 *
 * A cursor is a gate that somebody else moves: the store's tail or flushed gate, later one for
 * each replica. `committed` only grows: a cursor that begins to count while it is behind holds it
 * where it is; one that counts no more may let it jump. Consumers are shown, and producers are
 * answered for, what lies below it.
 *
 * Who waits at the promise is woken by whoever moved the slowest cursor, on that thread. A wait
 * asks each cursor that is behind to come up (sk_gate_demand), for the store's flushed gate: a
 * flush. When a counted gate is closed (the disk failed), the promise is, with its reason.
 *
 * Threads: all functions from any thread, with no lock held that a woken function may want.
 * Sources: design.md 2 and 3; replication.md R6 and R8 (a cursor that is not known counts as its
 * minimum, never as absent: give sk_promise_count a gate that stands at its last known place). */
#ifndef SK_LEDGER_PROMISE_H
#define SK_LEDGER_PROMISE_H

#include "base/gate.h"

typedef struct sk_promise sk_promise;

/* Most cursors that count at a time: this disk, and the replicas of a broker set. */
enum { SK_PROMISE_CURSORS = 16 };

/* Everything below `position` is promised already. Nothing counts yet, and nothing moves. */
sk_promise *sk_promise_new(uint64_t position);
/* Nobody may be waiting (sk_promise_close), and the gates that count must not move any more. */
void sk_promise_free(sk_promise *promise);

/* From now on `gate` counts; it must outlive the promise, which is its one follower
 * (sk_gate_follow). SK_FULL: there are SK_PROMISE_CURSORS already. */
SK_CHECKED struct sk_status sk_promise_count(sk_promise *promise, sk_gate *gate);
/* It counts no more; `committed` moves if it was the slowest. Not the last one: with none left
 * everything would be promised, so that is refused (false). */
bool sk_promise_discount(sk_promise *promise, sk_gate *gate);

/* committed */
uint64_t sk_promise_position(const sk_promise *promise);

/* w->fn runs once, with SK_OK when everything below w->position is promised, else with the reason
 * why it never will be: at once on this thread, or later on one that moves a cursor. */
void sk_promise_wait(sk_promise *promise, struct sk_gate_waiter *w);
bool sk_promise_leave(sk_promise *promise, struct sk_gate_waiter *w); /* sk_gate_leave */

/* Ask each counted cursor that is behind `position` to come up. What a wait does, unless an owner
 * who knows that more is about to be appended put his own function there, to call this later. */
void sk_promise_demand(sk_promise *promise, uint64_t position);
void sk_promise_on_wait(sk_promise *promise, sk_gate_demand_fn *fn,
                        void *arg); /* before any wait */

/* Told, with no lock held, after each move of `committed`, once those who waited were woken. Once,
 * before the first move. */
typedef void sk_promise_moved_fn(void *arg);
void sk_promise_on_move(sk_promise *promise, sk_promise_moved_fn *fn, void *arg);

void sk_promise_close(sk_promise *promise, struct sk_status why);

#endif
