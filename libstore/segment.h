/* segment.h - one file of the log: its bytes [base, base + bytes), mapped for reading.
 *
 * Shared by count: the log holds one reference, every reader's pin another, so a segment that
 * retention deleted stays readable for those who hold it. Private to libstore. */
#ifndef SK_STORE_SEGMENT_H
#define SK_STORE_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "header.h"

struct sk_vfs;

struct sk_segment {
    _Atomic uint32_t refs;
    uint64_t base;
    uint64_t bytes;
    int fd;
    const uint8_t *map;
    struct sk_vfs *vfs;
};

/* Make the file with its blocks reserved and the first `zero_bytes` written; it survives a power
 * cut under its name when this returns, and a failure leaves nothing. */
SK_CHECKED struct sk_status sk_segment_create(struct sk_vfs *vfs, const char *dir,
                                              uint64_t store_id, uint64_t base, uint64_t bytes,
                                              uint64_t zero_bytes, struct sk_segment **out);
SK_CHECKED struct sk_status sk_segment_open(struct sk_vfs *vfs, const char *dir, uint64_t store_id,
                                            uint64_t base, uint64_t bytes, bool writable,
                                            struct sk_segment **out);
struct sk_segment *sk_segment_ref(struct sk_segment *segment);
void sk_segment_unref(struct sk_segment *segment); /* NULL is fine */

static inline uint64_t sk_segment_end(const struct sk_segment *s)
{
    return s->base + s->bytes;
}

/* What lies at [position, end of the segment); borrowed while the segment is held. */
static inline struct sk_slice sk_segment_from(const struct sk_segment *s, uint64_t position)
{
    return sk_slice_of(s->map + (position - s->base), (size_t)(sk_segment_end(s) - position));
}

#endif
