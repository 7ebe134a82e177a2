/* line.h - a long-lived stream of ours to another server, which breaks and is opened again.
 *
 *      begin ─► open it (options.keep_stream) ─► opened ──► take ─► write ─► rpc_stream_unref …
 *                          └── its closed(): closed, at any moment, even before `opened`
 *
 * The twin of stream.h, at the other end. Nobody writes, opens or cancels under a lock: who does
 * so has a reference.
 *
 * Threads: any. */
#ifndef SK_SERVICE_LINE_H
#define SK_SERVICE_LINE_H

#include "base/thread.h"
#include "rpc/channel.h"

struct sk_line {
    struct sk_mutex lock;
    struct sk_cond changed;
    rpc_stream *stream; /* a reference; guarded by lock, as all that follows; NULL: not open */
    bool opening, closed_early, stopped;
};

void sk_line_init(struct sk_line *line);
void sk_line_done(struct sk_line *line); /* it is closed */

/* True: it is not open, and the caller is to open it now and to say so with sk_line_opened. */
bool sk_line_begin(struct sk_line *line);
/* The stream opened with keep_stream. If the line was stopped meanwhile it is cancelled. */
void sk_line_opened(struct sk_line *line, rpc_stream *stream_take);
/* From the stream's closed(). */
void sk_line_closed(struct sk_line *line);

/* A reference for the caller, to write with and to unref; NULL: not open. */
rpc_stream *sk_line_take(struct sk_line *line);
bool sk_line_is_open(struct sk_line *line);
void sk_line_cancel(struct sk_line *line);

/* sk_line_begin is false from now on. Waits for who is opening it just now. */
void sk_line_stop(struct sk_line *line);
/* Wait for its end, at most so long. */
void sk_line_await_end(struct sk_line *line, uint64_t timeout_us);

#endif
