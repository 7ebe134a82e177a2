/* stream_impl.h - the streams of a store, as retention sees them. Private to libstore. */
#ifndef SK_STORE_STREAM_IMPL_H
#define SK_STORE_STREAM_IMPL_H

#include "base/thread.h"
#include "store/stream.h"

struct sk_log_streams {
    struct sk_mutex lock;
    sk_log_stream *first;  /* guarded by lock */
    _Atomic uint64_t lost; /* so many were passed by retention */
};

void sk_log_streams_init(struct sk_log_streams *row);
void sk_log_streams_done(struct sk_log_streams *row);

/* The base of the oldest segment that a stream holds, within its limit; UINT64_MAX: none. */
uint64_t sk_log_streams_floor(sk_store *store);
/* The log begins at `begin` from now on: streams that stand below are lost, and counted. */
void sk_log_streams_lose(sk_store *store, uint64_t begin);

#endif
