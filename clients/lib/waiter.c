/* waiter.c - a thread that waits for a callback. */
#include "internal.h"

void waiter_init(struct waiter *w)
{
    *w = (struct waiter){0};
    sk_mutex_init(&w->lock);
    sk_cond_init(&w->done);
}

void waiter_done(struct waiter *w)
{
    sk_cond_done(&w->done);
    sk_mutex_done(&w->lock);
}

void waiter_tell(struct waiter *w, const struct skua_status *status)
{
    sk_mutex_lock(&w->lock);
    w->status = *status;
    w->is_done = true;
    sk_cond_signal(&w->done);
    sk_mutex_unlock(&w->lock);
}

struct skua_status waiter_wait(struct waiter *w)
{
    sk_mutex_lock(&w->lock);
    while (!w->is_done) sk_cond_wait(&w->done, &w->lock);
    sk_mutex_unlock(&w->lock);
    return w->status;
}
