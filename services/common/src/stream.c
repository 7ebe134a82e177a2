/* stream.c - the list of open streams, and the one flag that says who is inside. */
#include "service/stream.h"

#include <sched.h>

#include "base/assert.h"

void sk_streams_init(struct sk_streams *streams, sk_stream_ended_fn *ended)
{
    *streams = (struct sk_streams){.ended = ended};
    sk_mutex_init(&streams->lock);
}

void sk_streams_done(struct sk_streams *streams)
{
    sk_assert(streams->count == 0);
    sk_mutex_done(&streams->lock);
}

size_t sk_streams_count(struct sk_streams *streams)
{
    sk_mutex_lock(&streams->lock);
    size_t count = streams->count;
    sk_mutex_unlock(&streams->lock);
    return count;
}

static void unlink_stream(struct sk_streams *all, struct sk_stream *s) SK_REQUIRES(all->lock)
{
    s->over = true;
    if (s->prev)
        s->prev->next = s->next;
    else
        all->first = s->next;
    if (s->next) s->next->prev = s->prev;
    all->count--;
}

/* Out of the list: from here on nobody else comes in. */
static void take_out(struct sk_stream *s)
{
    struct sk_streams *all = s->all;
    sk_mutex_lock(&all->lock);
    sk_assert(s->busy && !s->over);
    unlink_stream(all, s);
    sk_mutex_unlock(&all->lock);
    if (all->ended) all->ended(s);
}

void sk_stream_end(struct sk_stream *s, enum rpc_code code, const char *detail)
{
    rpc_call *call = s->call;
    take_out(s);
    rpc_call_finish(call, code, detail);
}

void sk_stream_end_status(struct sk_stream *s, struct sk_status status)
{
    rpc_call *call = s->call;
    take_out(s);
    rpc_call_fail_status(call, status);
}

static void end_cancelled(struct sk_stream *s)
{
    sk_stream_end(s, RPC_UNAVAILABLE, "the stream was cancelled, or the server is stopping");
}

static void on_cancel(void *arg)
{
    struct sk_stream *s = arg;
    struct sk_streams *all = s->all;
    sk_mutex_lock(&all->lock);
    bool ours = !s->busy && !s->over;
    s->cancelled = true;
    if (ours) s->busy = true;
    sk_mutex_unlock(&all->lock);
    if (ours) end_cancelled(s);
}

void sk_stream_open(struct sk_streams *all, struct sk_stream *s, rpc_call *call)
{
    sk_mutex_lock(&all->lock);
    *s = (struct sk_stream){.all = all, .call = call, .next = all->first, .busy = true};
    if (all->first) all->first->prev = s;
    all->first = s;
    all->count++;
    sk_mutex_unlock(&all->lock);
    rpc_call_on_cancel(call, on_cancel, s);
}

bool sk_stream_enter(struct sk_stream *s)
{
    struct sk_streams *all = s->all;
    for (;;) {
        sk_mutex_lock(&all->lock);
        bool over = s->over, entered = !over && !s->busy;
        if (entered) s->busy = true;
        sk_mutex_unlock(&all->lock);
        if (over) return false;
        if (entered) return true;
        sched_yield();
    }
}

bool sk_stream_leave(struct sk_stream *s)
{
    struct sk_streams *all = s->all;
    sk_mutex_lock(&all->lock);
    sk_assert(s->busy && !s->over);
    bool cancelled = s->cancelled, again = s->again && !cancelled;
    s->again = false;
    if (!cancelled && !again) s->busy = false;
    sk_mutex_unlock(&all->lock);
    if (cancelled) end_cancelled(s);
    return again;
}

/* Enter up to `room` streams that this round has not come to yet. */
static size_t enter_some(struct sk_streams *all, uint64_t round,
                         bool (*wanted)(struct sk_stream *, void *), void *arg,
                         struct sk_stream **out, size_t room) SK_REQUIRES(all->lock)
{
    size_t count = 0;
    for (struct sk_stream *s = all->first; s && count < room; s = s->next) {
        if (s->round >= round || (wanted && !wanted(s, arg))) continue;
        s->round = round;
        if (s->busy) {
            s->again = true;
        } else {
            s->busy = true;
            out[count++] = s;
        }
    }
    return count;
}

void sk_streams_visit(struct sk_streams *all, bool (*wanted)(struct sk_stream *, void *),
                      void (*visit)(struct sk_stream *, void *), void *arg)
{
    enum { AT_ONCE = 64 };
    struct sk_stream *entered[AT_ONCE];
    sk_mutex_lock(&all->lock);
    uint64_t round = ++all->round;
    sk_mutex_unlock(&all->lock);
    for (size_t count = AT_ONCE; count == AT_ONCE;) {
        sk_mutex_lock(&all->lock);
        count = enter_some(all, round, wanted, arg, entered, AT_ONCE);
        sk_mutex_unlock(&all->lock);
        for (size_t i = 0; i < count; i++) visit(entered[i], arg);
    }
}
