/* line.c - who holds which reference to a stream that may end at any moment. */
#include "service/line.h"

#include "base/assert.h"

void sk_line_init(struct sk_line *line)
{
    *line = (struct sk_line){0};
    sk_mutex_init(&line->lock);
    sk_cond_init(&line->changed);
}

void sk_line_done(struct sk_line *line)
{
    sk_assert(!line->stream && !line->opening);
    sk_cond_done(&line->changed);
    sk_mutex_done(&line->lock);
}

bool sk_line_begin(struct sk_line *line)
{
    sk_mutex_lock(&line->lock);
    bool begin = !line->stream && !line->opening && !line->stopped;
    if (begin) line->opening = true;
    sk_mutex_unlock(&line->lock);
    return begin;
}

void sk_line_opened(struct sk_line *line, rpc_stream *stream_take)
{
    sk_mutex_lock(&line->lock);
    bool closed = line->closed_early, cancel = line->stopped && !closed;
    line->opening = line->closed_early = false;
    if (!closed) line->stream = stream_take;
    if (cancel) (void)rpc_stream_ref(stream_take); /* to be used without the lock */
    sk_cond_broadcast(&line->changed);
    sk_mutex_unlock(&line->lock);
    if (cancel) rpc_stream_cancel(stream_take);
    if (cancel || closed) rpc_stream_unref(stream_take);
}

void sk_line_closed(struct sk_line *line)
{
    sk_mutex_lock(&line->lock);
    rpc_stream *stream = line->stream;
    line->stream = NULL;
    line->closed_early = line->opening;
    sk_cond_broadcast(&line->changed);
    sk_mutex_unlock(&line->lock);
    rpc_stream_unref(stream);
}

rpc_stream *sk_line_take(struct sk_line *line)
{
    sk_mutex_lock(&line->lock);
    rpc_stream *stream = line->stream ? rpc_stream_ref(line->stream) : NULL;
    sk_mutex_unlock(&line->lock);
    return stream;
}

bool sk_line_is_open(struct sk_line *line)
{
    sk_mutex_lock(&line->lock);
    bool open = line->stream != NULL;
    sk_mutex_unlock(&line->lock);
    return open;
}

void sk_line_cancel(struct sk_line *line)
{
    rpc_stream *stream = sk_line_take(line);
    if (stream) rpc_stream_cancel(stream);
    rpc_stream_unref(stream);
}

void sk_line_stop(struct sk_line *line)
{
    sk_mutex_lock(&line->lock);
    line->stopped = true;
    while (line->opening) sk_cond_wait(&line->changed, &line->lock);
    sk_mutex_unlock(&line->lock);
}

void sk_line_await_end(struct sk_line *line, uint64_t timeout_us)
{
    bool in_time = true;
    sk_mutex_lock(&line->lock);
    while (line->stream && in_time)
        in_time = sk_cond_wait_for(&line->changed, &line->lock, timeout_us);
    sk_mutex_unlock(&line->lock);
}
