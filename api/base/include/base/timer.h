/* timer.h - "call me at that time": one thread, one heap.
 *
 * A timer's memory is the caller's. Its function runs on the timer thread with
 * no lock held and must not block. After sk_timer_cancel() returned true the
 * function will not run; false means that it ran, or is running now.
 * A function may start its own timer anew.
 *
 * Threads: all functions from any thread. `sk_timers_free` stops the thread
 * synchronously; timers still set are dropped without being called. */
#ifndef SK_BASE_TIMER_H
#define SK_BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/status.h"

typedef struct sk_timers sk_timers;
typedef void sk_timer_fn(void *arg);

struct sk_timer {
    uint64_t due_us; /* on the clock's mono_us scale */
    sk_timer_fn *fn;
    void *arg;
    size_t slot; /* the heap's: place + 1, 0 when not set; guarded by its lock */
};

/* With the real clock, a thread waits for the next timer. With any other clock
 * there is no thread: the test moves its clock and calls sk_timers_run(). */
SK_CHECKED struct sk_status sk_timers_new(const struct sk_clock *clock, sk_timers **out);
void sk_timers_free(sk_timers *timers);

/* Set (or move) a timer. `t->fn` and `t->arg` must be filled in; t->slot must be
 * 0 before its first use. */
void sk_timer_set(sk_timers *timers, struct sk_timer *t, uint64_t due_us);
void sk_timer_set_after_ms(sk_timers *timers, struct sk_timer *t, uint64_t delay_ms);
bool sk_timer_cancel(sk_timers *timers, struct sk_timer *t);

/* Run what is due now, on the calling thread; returns how many ran. */
size_t sk_timers_run(sk_timers *timers);

#endif
