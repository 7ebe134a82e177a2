/* pair.h - two stores of one id, the second of which is fed by a stream of the first. */
#ifndef PAIR_H
#define PAIR_H

#include <stdio.h>

#include "store/stream.h"
#include "support/memory_vfs.h"
#include "toy.h"

#define PAIR_DIR "/d/store"

struct pair {
    struct memory_vfs *disks[2]; /* source, follower */
    struct toy_room source, follower;
    struct sk_store_options options; /* of the source; but for the fold also of the follower */
    uint64_t dice;
};

static inline uint64_t pair_below(struct pair *p, uint64_t end)
{
    p->dice = p->dice * 6364136223846793005u + 1442695040888963407u;
    return (p->dice >> 33) % end;
}

static inline void pair_open_follower(struct pair *p, struct sk_vfs *vfs)
{
    struct sk_store_options o = p->options;
    o.vfs = vfs;
    o.fold.owner = &p->follower.state;
    p->follower.state = (struct toy){0};
    ck_ok(sk_store_open(&o, NULL, &p->follower.store));
}

/* An empty source, and a follower that is a copy of it. */
static inline void pair_open(struct pair *p, uint64_t segment_bytes)
{
    *p = (struct pair){.disks[0] = memory_vfs_new(), .dice = segment_bytes};
    p->options = toy_options(&p->source.state, PAIR_DIR, memory_vfs_door(p->disks[0]));
    p->options.segment_bytes = segment_bytes;
    ck_ok(sk_store_open(&p->options, NULL, &p->source.store));
    p->disks[1] = memory_vfs_copy(p->disks[0]);
    pair_open_follower(p, memory_vfs_door(p->disks[1]));
}

static inline void pair_close(struct pair *p)
{
    sk_store_close(p->source.store);
    sk_store_close(p->follower.store);
    memory_vfs_free(p->disks[0]);
    memory_vfs_free(p->disks[1]);
}

/* Single records and batches, until the log is so long. */
static inline void pair_fill(struct pair *p, uint64_t bytes)
{
    while (sk_store_tail(p->source.store) < bytes) {
        uint32_t queue = (uint32_t)pair_below(p, 65);
        if (pair_below(p, 3) == 0)
            toy_put_batch(&p->source, queue % 64, 1 + pair_below(p, TOY_BATCH), pair_below(p, 300));
        else
            toy_put(&p->source, queue == 64 ? SK_NO_QUEUE : queue, pair_below(p, 900));
    }
}

/* Give the follower what the source has below `limit`; how many slices that took. */
static inline size_t pair_feed(struct pair *p, uint64_t limit, uint64_t slice_bytes)
{
    sk_log_stream *stream = NULL;
    struct sk_log_stream_slice slice;
    struct sk_span span;
    size_t slices = 0;
    ck_ok(sk_log_stream_open(p->source.store, sk_store_tail(p->follower.store),
                             &(struct sk_log_stream_options){.slice_bytes = slice_bytes}, &stream));
    for (;; slices++) {
        ck_ok(sk_log_stream_next(stream, limit, &slice));
        if (slice.bytes.len == 0) break;
        ck_ok(sk_store_receive(p->follower.store, slice.span.begin, slice.bytes, &span));
        ck_assert_uint_eq(span.begin, slice.span.begin);
        ck_assert_uint_le(span.end, slice.span.end);
        sk_unpin(slice.pin);
    }
    sk_log_stream_close(stream);
    return slices;
}

/* The bytes of a log below `end`, segment by segment; zeros where it has no segment. */
static inline const uint8_t *pair_segment(struct pair *p, int which, uint64_t base)
{
    char path[64];
    size_t len = 0;
    snprintf(path, sizeof path, PAIR_DIR "/log/%020llu.log", (unsigned long long)base);
    const uint8_t *bytes = memory_vfs_bytes(p->disks[which], path, &len);
    ck_assert_msg(!bytes || len == p->options.segment_bytes, "%s has %zu bytes", path, len);
    return bytes;
}

/* The follower's log is the source's, byte for byte, up to the follower's tail, and zeros
 * behind. */
static inline void pair_check_bytes(struct pair *p)
{
    uint64_t tail = sk_store_tail(p->follower.store), bytes = p->options.segment_bytes;
    uint64_t first = sk_store_begin(p->follower.store);
    if (sk_store_begin(p->source.store) > first) first = sk_store_begin(p->source.store);
    for (uint64_t base = first - first % bytes; base < tail; base += bytes) {
        const uint8_t *have = pair_segment(p, 1, base), *want = pair_segment(p, 0, base);
        ck_assert_ptr_nonnull(have);
        ck_assert_ptr_nonnull(want);
        size_t same = (size_t)(tail - base < bytes ? tail - base : bytes);
        ck_assert_msg(memcmp(have, want, same) == 0, "the segment at %llu differs",
                      (unsigned long long)base);
        size_t zeros = 0;
        while (same + zeros < bytes && have[same + zeros] == 0) zeros++;
        ck_assert_uint_eq(same + zeros, bytes);
    }
}

static inline void pair_check_equal(struct pair *p)
{
    ck_assert_uint_eq(sk_store_tail(p->follower.store), sk_store_tail(p->source.store));
    ck_assert_mem_eq(&p->follower.state, &p->source.state, sizeof(struct toy));
    pair_check_bytes(p);
}

#endif
