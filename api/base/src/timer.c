/* timer.c - a binary heap by due time, each timer knowing its slot. */
#include "base/timer.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"

struct sk_timers {
    const struct sk_clock *clock;
    struct sk_mutex lock;
    struct sk_cond changed;
    struct sk_timer **heap; /* guarded by lock, as all below */
    size_t count, room;
    bool stopping;
    bool has_thread;
    pthread_t thread;
};

static void place(sk_timers *ts, size_t i, struct sk_timer *t)
{
    ts->heap[i] = t;
    t->slot = i + 1;
}

static void sift_up(sk_timers *ts, size_t i)
{
    struct sk_timer *t = ts->heap[i];
    while (i > 0 && ts->heap[(i - 1) / 2]->due_us > t->due_us) {
        place(ts, i, ts->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(ts, i, t);
}

static void sift_down(sk_timers *ts, size_t i)
{
    struct sk_timer *t = ts->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= ts->count) break;
        if (child + 1 < ts->count && ts->heap[child + 1]->due_us < ts->heap[child]->due_us) child++;
        if (ts->heap[child]->due_us >= t->due_us) break;
        place(ts, i, ts->heap[child]);
        i = child;
    }
    place(ts, i, t);
}

static void remove_at(sk_timers *ts, size_t i)
{
    ts->heap[i]->slot = 0;
    struct sk_timer *moved = ts->heap[--ts->count];
    if (i == ts->count) return;
    place(ts, i, moved);
    sift_down(ts, i);
    sift_up(ts, moved->slot - 1);
}

/* The next timer that is due, taken out, or NULL. */
static struct sk_timer *take_due(sk_timers *ts) SK_REQUIRES(ts->lock)
{
    if (ts->count == 0 || ts->heap[0]->due_us > sk_mono_us(ts->clock)) return NULL;
    struct sk_timer *t = ts->heap[0];
    remove_at(ts, 0);
    return t;
}

static void wait_for_next(sk_timers *ts) SK_REQUIRES(ts->lock)
{
    if (ts->count == 0) {
        sk_cond_wait(&ts->changed, &ts->lock);
        return;
    }
    uint64_t now = sk_mono_us(ts->clock);
    uint64_t due = ts->heap[0]->due_us;
    if (due > now) sk_cond_wait_for(&ts->changed, &ts->lock, due - now);
}

static void *timer_thread(void *arg)
{
    sk_timers *ts = arg;
    sk_mutex_lock(&ts->lock);
    while (!ts->stopping) {
        struct sk_timer *t = take_due(ts);
        if (!t) {
            wait_for_next(ts);
            continue;
        }
        sk_timer_fn *fn = t->fn;
        void *fn_arg = t->arg;
        sk_mutex_unlock(&ts->lock);
        fn(fn_arg);
        sk_mutex_lock(&ts->lock);
    }
    sk_mutex_unlock(&ts->lock);
    return NULL;
}

struct sk_status sk_timers_new(const struct sk_clock *clock, sk_timers **out)
{
    sk_timers *ts = sk_zalloc(1, sizeof *ts);
    ts->clock = clock ? clock : sk_clock_real();
    sk_mutex_init(&ts->lock);
    sk_cond_init(&ts->changed);
    ts->has_thread = ts->clock == sk_clock_real();
    if (ts->has_thread) {
        struct sk_status s = sk_thread_start("timer", timer_thread, ts, &ts->thread);
        if (!sk_ok(s)) {
            ts->has_thread = false;
            sk_timers_free(ts);
            return s;
        }
    }
    *out = ts;
    return SK_SUCCESS;
}

void sk_timers_free(sk_timers *ts)
{
    if (!ts) return;
    sk_mutex_lock(&ts->lock);
    ts->stopping = true;
    sk_cond_signal(&ts->changed);
    sk_mutex_unlock(&ts->lock);
    if (ts->has_thread) sk_thread_join(ts->thread);
    sk_cond_done(&ts->changed);
    sk_mutex_done(&ts->lock);
    free(ts->heap);
    free(ts);
}

void sk_timer_set(sk_timers *ts, struct sk_timer *t, uint64_t due_us)
{
    sk_mutex_lock(&ts->lock);
    if (t->slot) remove_at(ts, t->slot - 1);
    if (ts->count == ts->room) {
        ts->room = ts->room ? ts->room * 2 : 64;
        ts->heap = sk_realloc(ts->heap, ts->room, sizeof(struct sk_timer *));
    }
    t->due_us = due_us;
    place(ts, ts->count++, t);
    sift_up(ts, ts->count - 1);
    if (t->slot == 1) sk_cond_signal(&ts->changed);
    sk_mutex_unlock(&ts->lock);
}

void sk_timer_set_after_ms(sk_timers *ts, struct sk_timer *t, uint64_t delay_ms)
{
    sk_timer_set(ts, t, sk_mono_us(ts->clock) + delay_ms * 1000u);
}

bool sk_timer_cancel(sk_timers *ts, struct sk_timer *t)
{
    sk_mutex_lock(&ts->lock);
    bool was = t->slot != 0;
    if (was) remove_at(ts, t->slot - 1);
    sk_mutex_unlock(&ts->lock);
    return was;
}

size_t sk_timers_run(sk_timers *ts)
{
    size_t ran = 0;
    sk_mutex_lock(&ts->lock);
    for (struct sk_timer *t; (t = take_due(ts)) != NULL; ran++) {
        sk_timer_fn *fn = t->fn;
        void *arg = t->arg;
        sk_mutex_unlock(&ts->lock);
        fn(arg);
        sk_mutex_lock(&ts->lock);
    }
    sk_mutex_unlock(&ts->lock);
    return ran;
}
