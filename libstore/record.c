/* record.c - RECORD FORMAT, version 2. All integers little endian.
 *
 *   0   4  crc32c of bytes [4, size), begun with the checksum of (store id u64, position u64)
 *   4   4  magic "SKR2"
 *   8   4  size: this header and the payload
 *  12   1  kind: 1..127 the owner's, from 128 the store's own (store.h)
 *  13   1  flags: 1 = the batch goes on with the next record
 *  14   2  zero
 *  16   4  queue, or 0xffffffff
 *  20   4  tag hash
 *  24   8  offset in the queue
 *  32   8  time, ms since 1970
 *  40   8  flushed: everything below this position was durable when this was written
 *  48   4  epoch: 0 before the first EPOCH record; never goes back
 *  52   4  zero
 *  56   .  payload, then zeros up to a multiple of 8
 *
 * A pad has no queue; its size reaches to the segment's end and its checksum covers the
 * header alone. Zeros are never a record: the magic is missing. */
#include "record.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"

#define MAGIC 0x32524b53u

_Static_assert(SK_RECORD_HEADER % SK_RECORD_ALIGN == 0, "payloads start aligned");

static uint32_t seed(uint64_t store_id, uint64_t position)
{
    uint8_t place[16];
    sk_put_u64(place, store_id);
    sk_put_u64(place + 8, position);
    return sk_crc32c(0, place, sizeof place);
}

void sk_record_encode(const struct sk_frame *f, uint64_t store_id, uint64_t position,
                      const struct sk_slice *parts, size_t part_count, uint8_t *out)
{
    sk_put_u32(out + 4, MAGIC);
    sk_put_u32(out + 8, f->size);
    out[12] = f->kind;
    out[13] = f->flags;
    sk_put_u16(out + 14, 0);
    sk_put_u32(out + 16, f->queue);
    sk_put_u32(out + 20, f->tag_hash);
    sk_put_u64(out + 24, f->offset);
    sk_put_u64(out + 32, f->time_ms);
    sk_put_u64(out + 40, f->flushed);
    sk_put_u32(out + 48, f->epoch);
    sk_put_u32(out + 52, 0);
    uint32_t crc = sk_crc32c(seed(store_id, position), out + 4, SK_RECORD_HEADER - 4);
    for (size_t i = 0; i < part_count; i++) crc = sk_crc32c(crc, parts[i].data, parts[i].len);
    sk_put_u32(out, crc);
}

static bool is_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i]) return false;
    return true;
}

static enum sk_frame_verdict damaged(const char **why, const char *text)
{
    *why = text;
    return SK_FRAME_DAMAGED;
}

static enum sk_frame_verdict check_sum(struct sk_slice bytes, uint64_t store_id, uint64_t position,
                                       const struct sk_frame *f, const char **why)
{
    uint32_t covered = f->kind == SK_RECORD_PAD ? SK_RECORD_HEADER : f->size;
    uint32_t crc = sk_crc32c(seed(store_id, position), bytes.data + 4, covered - 4);
    if (crc != sk_get_u32(bytes.data)) return damaged(why, "the checksum differs");
    if (f->kind != SK_RECORD_PAD &&
        !is_zero(bytes.data + f->size, (size_t)(sk_record_room(f->size) - f->size)))
        return damaged(why, "the filling after the record is not zero");
    return SK_FRAME_VALID;
}

enum sk_frame_verdict sk_record_read(struct sk_slice bytes, struct sk_frame *out, const char **why)
{
    const uint8_t *p = bytes.data;
    *why = "nothing was written here";
    if (bytes.len < SK_RECORD_HEADER) {
        if (is_zero(p, bytes.len)) return SK_FRAME_ABSENT;
        return damaged(why, "no room for a record's header");
    }
    if (sk_get_u32(p + 4) != MAGIC) {
        if (is_zero(p, SK_RECORD_HEADER)) return SK_FRAME_ABSENT;
        return damaged(why, "no record begins here");
    }
    struct sk_frame f = {
        .size = sk_get_u32(p + 8),
        .kind = p[12],
        .flags = p[13],
        .queue = sk_get_u32(p + 16),
        .tag_hash = sk_get_u32(p + 20),
        .offset = sk_get_u64(p + 24),
        .time_ms = sk_get_u64(p + 32),
        .flushed = sk_get_u64(p + 40),
        .epoch = sk_get_u32(p + 48),
    };
    if (f.size < SK_RECORD_HEADER) return damaged(why, "the size is less than a header");
    if (sk_record_room(f.size) > bytes.len) return damaged(why, "the record does not fit here");
    f.payload = sk_slice_of(p + SK_RECORD_HEADER, f.size - SK_RECORD_HEADER);
    *out = f;
    *why = "";
    return SK_FRAME_VALID;
}

enum sk_frame_verdict sk_record_parse(struct sk_slice bytes, uint64_t store_id, uint64_t position,
                                      struct sk_frame *out, const char **why)
{
    struct sk_frame f;
    enum sk_frame_verdict verdict = sk_record_read(bytes, &f, why);
    if (verdict == SK_FRAME_VALID) verdict = check_sum(bytes, store_id, position, &f, why);
    if (verdict == SK_FRAME_VALID) *out = f;
    return verdict;
}

struct sk_record sk_frame_record(const struct sk_frame *f, uint64_t position)
{
    return (struct sk_record){
        .kind = f->kind,
        .queue = f->queue,
        .offset = f->offset,
        .tag_hash = f->tag_hash,
        .time_ms = f->time_ms,
        .epoch = f->epoch,
        .span = {.begin = position, .end = position + sk_record_room(f->size)},
        .payload = f->payload,
    };
}
