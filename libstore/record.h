/* record.h - the frame around one record. Private to libstore; the table is in record.c.
 *
 * A frame names its own place: the checksum is seeded with the store's id and the position, so
 * a block that the disk put in the wrong place, or that an earlier life of the file left, does
 * not pass for a record. */
#ifndef SK_STORE_RECORD_H
#define SK_STORE_RECORD_H

#include <stdbool.h>

#include "store/store.h"

enum {
    SK_RECORD_HEADER = 56,
    SK_RECORD_ALIGN = 8,
    SK_RECORD_PAD = SK_KIND_PAD,
    SK_RECORD_MORE = 1u << 0, /* flag: the batch goes on with the next record */
};

/* Largest payload: leaves room for the header in a u32 size. */
#define SK_RECORD_MAX_PAYLOAD ((uint64_t)1 << 30)

struct sk_frame {
    uint8_t kind;
    uint8_t flags;
    uint32_t queue;
    uint32_t tag_hash;
    uint32_t epoch;
    uint64_t offset;
    uint64_t time_ms;
    uint64_t flushed;        /* the flushed cursor when this was appended */
    uint32_t size;           /* header and payload, without the filling up to SK_RECORD_ALIGN */
    struct sk_slice payload; /* borrowed */
};

enum sk_frame_verdict {
    SK_FRAME_VALID,
    SK_FRAME_ABSENT,  /* zeros: nothing was written here */
    SK_FRAME_DAMAGED, /* something else */
};

/* Bytes that a record takes in the log. */
static inline uint64_t sk_record_room(uint64_t size)
{
    return (size + SK_RECORD_ALIGN - 1) & ~(uint64_t)(SK_RECORD_ALIGN - 1);
}

/* Write the header of `frame` (whose payload is the concatenation of the parts, and whose size
 * is set) to out[SK_RECORD_HEADER]. */
void sk_record_encode(const struct sk_frame *frame, uint64_t store_id, uint64_t position,
                      const struct sk_slice *parts, size_t part_count, uint8_t *out);

/* Read the frame at the front of `bytes` (which go up to the end of what may be read, at most
 * the segment's). *why gets a constant text unless the frame is valid. */
enum sk_frame_verdict sk_record_parse(struct sk_slice bytes, uint64_t store_id, uint64_t position,
                                      struct sk_frame *out, const char **why);

/* The same without its checksum: for bytes that were found valid a moment ago. */
enum sk_frame_verdict sk_record_read(struct sk_slice bytes, struct sk_frame *out, const char **why);

struct sk_record sk_frame_record(const struct sk_frame *frame, uint64_t position);

#endif
