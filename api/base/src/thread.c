/* thread.c - pthread with owners, monotonic waits and blocked signals. */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "base/assert.h"

#ifdef SK_DEBUG
static _Thread_local unsigned held;

unsigned sk_mutexes_held(void)
{
    return held;
}

static void count_held(unsigned by)
{
    held += by;
}
#else
static void count_held(unsigned by)
{
    (void)by;
}
#endif

void sk_mutex_init(struct sk_mutex *m)
{
    sk_assert(pthread_mutex_init(&m->impl, NULL) == 0);
    atomic_init(&m->owner, 0);
}

void sk_mutex_done(struct sk_mutex *m)
{
    sk_assert(atomic_load_explicit(&m->owner, memory_order_relaxed) == 0);
    pthread_mutex_destroy(&m->impl);
}

/* The owner is read by other threads only in sk_mutex_is_held, where any value but one's own
 * gives the right answer; relaxed is enough. */
static void set_owner(struct sk_mutex *m, uintptr_t who)
{
    atomic_store_explicit(&m->owner, who, memory_order_relaxed);
}

void sk_mutex_lock(struct sk_mutex *m) SK_NO_THREAD_ANALYSIS
{
    sk_assert(!sk_mutex_is_held(m));
    pthread_mutex_lock(&m->impl);
    set_owner(m, (uintptr_t)pthread_self());
    count_held(1);
}

void sk_mutex_unlock(struct sk_mutex *m) SK_NO_THREAD_ANALYSIS
{
    sk_assert(sk_mutex_is_held(m));
    count_held(-1u);
    set_owner(m, 0);
    pthread_mutex_unlock(&m->impl);
}

bool sk_mutex_is_held(const struct sk_mutex *m)
{
    return atomic_load_explicit(&m->owner, memory_order_relaxed) == (uintptr_t)pthread_self();
}

void sk_cond_init(struct sk_cond *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    sk_assert(pthread_cond_init(&c->impl, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

void sk_cond_done(struct sk_cond *c)
{
    pthread_cond_destroy(&c->impl);
}

void sk_cond_wait(struct sk_cond *c, struct sk_mutex *m)
{
    set_owner(m, 0);
    pthread_cond_wait(&c->impl, &m->impl);
    set_owner(m, (uintptr_t)pthread_self());
}

bool sk_cond_wait_for(struct sk_cond *c, struct sk_mutex *m, uint64_t timeout_us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_us % 1000000u * 1000u;
    until.tv_sec += (time_t)(timeout_us / 1000000u + ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);

    set_owner(m, 0);
    int err = pthread_cond_timedwait(&c->impl, &m->impl, &until);
    set_owner(m, (uintptr_t)pthread_self());
    return err != ETIMEDOUT;
}

void sk_cond_signal(struct sk_cond *c)
{
    pthread_cond_signal(&c->impl);
}
void sk_cond_broadcast(struct sk_cond *c)
{
    pthread_cond_broadcast(&c->impl);
}

void sk_turnstile_init(struct sk_turnstile *t)
{
    sk_mutex_init(&t->lock);
    sk_cond_init(&t->left);
    t->taken = false;
}

void sk_turnstile_done(struct sk_turnstile *t)
{
    sk_assert(!t->taken);
    sk_cond_done(&t->left);
    sk_mutex_done(&t->lock);
}

void sk_turnstile_enter(struct sk_turnstile *t)
{
    sk_mutex_lock(&t->lock);
    while (t->taken) sk_cond_wait(&t->left, &t->lock);
    t->taken = true;
    sk_mutex_unlock(&t->lock);
}

void sk_turnstile_leave(struct sk_turnstile *t)
{
    sk_mutex_lock(&t->lock);
    sk_assert(t->taken);
    t->taken = false;
    sk_cond_signal(&t->left);
    sk_mutex_unlock(&t->lock);
}

struct sk_status sk_thread_start(const char *name, void *(*body)(void *), void *arg, pthread_t *out)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(out, NULL, body, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err) return sk_errno(err, "start thread '%s'", name);
    pthread_setname_np(*out, name);
    return SK_SUCCESS;
}

void sk_thread_join(pthread_t thread)
{
    sk_assert(pthread_join(thread, NULL) == 0);
}
