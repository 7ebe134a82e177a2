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

/* Which 4096-byte pages of the segment may hold anything but zeros, as a bitmap (bit n % 8 of byte
 * n / 8) for the pages from byte `from` on; free() it. Reserved space that was never written counts
 * as zeros; what the file system will not tell counts as data. Ask before reading: reading through
 * the map fills the page cache ahead, and the file system then takes those pages for data, a whole
 * gigabyte of them. */
enum { SK_SEGMENT_PAGE = 4096 };
uint8_t *sk_segment_data_pages(struct sk_vfs *vfs, const struct sk_segment *s, uint64_t from);
static inline bool sk_page_is_set(const uint8_t *pages, uint64_t byte)
{
    uint64_t page = byte / SK_SEGMENT_PAGE;
    return pages[page / 8] >> (page % 8) & 1;
}

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
