/* stream.h - who may touch a long-lived stream, when several threads want to.
 *
 * A telemetry, registration or watch stream is touched by its own messages, by
 * news from elsewhere, by timers, and by its cancellation, on different threads;
 * and it must be finished exactly once. The rule: whoever has entered the stream
 * may use its call, one at a time; what comes meanwhile is noted and done by the
 * one inside, on leaving.
 *
 *      enter ─► use the call ─► leave          news meanwhile: `again`, enter anew
 *                          └──► end            cancelled meanwhile: leave ends it
 *
 * The sk_stream is the first member of the owner's struct, in the call's arena. No
 * lock is held while inside.
 *
 * Threads: any. */
#ifndef SK_SERVICE_STREAM_H
#define SK_SERVICE_STREAM_H

#include "base/thread.h"
#include "rpc/call.h"

struct sk_stream;

/* Runs once per stream, just before its call is finished, by whoever finishes it. */
typedef void sk_stream_ended_fn(struct sk_stream *stream);

struct sk_streams {
    struct sk_mutex lock;
    struct sk_stream *first; /* guarded by lock, as the next two */
    size_t count;
    uint64_t round;            /* grows with every visit */
    sk_stream_ended_fn *ended; /* may be NULL */
};

struct sk_stream {
    struct sk_streams *all;
    rpc_call *call;
    struct sk_stream *next, *prev; /* guarded by all->lock, as all below */
    uint64_t round; /* of the last visit */
    bool busy, cancelled, again, over;
};

void sk_streams_init(struct sk_streams *streams, sk_stream_ended_fn *ended);
void sk_streams_done(struct sk_streams *streams); /* the server is drained: none is left */
size_t sk_streams_count(struct sk_streams *streams);

/* Take charge of an open call: it is entered (leave it when all is set up), and from now
 * on cancellation ends it. */
void sk_stream_open(struct sk_streams *streams, struct sk_stream *stream, rpc_call *call);

/* Only from the stream's own events, which come one at a time: waits for news or a timer
 * that is inside just now (they do not block). False: it is over, do not touch it. */
bool sk_stream_enter(struct sk_stream *stream);

/* Give it back. Returns true if news came meanwhile: the stream is still entered, take
 * care of them and leave again. If it was cancelled meanwhile it ends here. */
bool sk_stream_leave(struct sk_stream *stream);

/* Finish the call, being inside; the stream's memory may be gone when this returns. */
void sk_stream_end(struct sk_stream *stream, enum rpc_code code, const char *detail);
void sk_stream_end_status(struct sk_stream *stream, struct sk_status status);

/* For news and timers: enter each stream that `wanted` says yes to (under the lock; NULL:
 * all) and call `visit`, which must leave or end it. A stream that is busy is marked
 * `again` instead. */
void sk_streams_visit(struct sk_streams *streams, bool (*wanted)(struct sk_stream *, void *arg),
                      void (*visit)(struct sk_stream *stream, void *arg), void *arg);

#endif
