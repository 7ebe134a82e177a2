/* thread.h - mutex with an owner, condition, named threads.
 *
 * The wrapper exists so that a lock can assert who holds it, and so that clang
 * (-Wthread-safety) can check it: annotate a function that needs a lock with
 * SK_REQUIRES(x). Fields name their lock in a comment ("guarded by lock"),
 * because clang 14 cannot parse guarded_by on C struct members. */
#ifndef SK_BASE_THREAD_H
#define SK_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __clang__
#define SK_CAPABILITY(name) __attribute__((capability(name)))
#define SK_ACQUIRES(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define SK_RELEASES(...) __attribute__((release_capability(__VA_ARGS__)))
#define SK_REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define SK_NO_THREAD_ANALYSIS __attribute__((no_thread_safety_analysis))
#else
#define SK_CAPABILITY(name)
#define SK_ACQUIRES(...)
#define SK_RELEASES(...)
#define SK_REQUIRES(...)
#define SK_NO_THREAD_ANALYSIS
#endif

struct SK_CAPABILITY("mutex") sk_mutex {
    pthread_mutex_t impl;
    _Atomic uintptr_t owner; /* the holder's pthread_self(), 0 when free */
};

void sk_mutex_init(struct sk_mutex *m);
void sk_mutex_done(struct sk_mutex *m);
void sk_mutex_lock(struct sk_mutex *m) SK_ACQUIRES(*m);
void sk_mutex_unlock(struct sk_mutex *m) SK_RELEASES(*m);
bool sk_mutex_is_held(const struct sk_mutex *m); /* by the calling thread */

/* How many the calling thread holds: so that a room can insist on being called without any
 * (api/rpc/src/enter.h). Counted in debug builds, and 0 in others. */
#ifdef SK_DEBUG
unsigned sk_mutexes_held(void);
#else
static inline unsigned sk_mutexes_held(void)
{
    return 0;
}
#endif

/* Waits use CLOCK_MONOTONIC. */
struct sk_cond {
    pthread_cond_t impl;
};

void sk_cond_init(struct sk_cond *c);
void sk_cond_done(struct sk_cond *c);
void sk_cond_wait(struct sk_cond *c, struct sk_mutex *m) SK_REQUIRES(*m);
/* False when `timeout_us` passed without a signal. May wake early, as all conditions. */
bool sk_cond_wait_for(struct sk_cond *c, struct sk_mutex *m, uint64_t timeout_us) SK_REQUIRES(*m);
void sk_cond_signal(struct sk_cond *c);
void sk_cond_broadcast(struct sk_cond *c);

/* One at a time through long work that calls others: who is inside holds no lock meanwhile, so
 * what it calls may take any, and go into rooms that insist on none. What is called from inside
 * must not enter. */
struct sk_turnstile {
    struct sk_mutex lock;
    struct sk_cond left;
    bool taken; /* guarded by lock */
};

void sk_turnstile_init(struct sk_turnstile *t);
void sk_turnstile_done(struct sk_turnstile *t);
void sk_turnstile_enter(struct sk_turnstile *t);
void sk_turnstile_leave(struct sk_turnstile *t);

/* `name` is shown by top -H and gdb: at most 15 characters. All signals are blocked in
 * the new thread, so that only main's sigwait sees them. */
SK_CHECKED struct sk_status sk_thread_start(const char *name, void *(*body)(void *), void *arg,
                                            pthread_t *out);
void sk_thread_join(pthread_t thread);

#endif
