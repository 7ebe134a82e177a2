/* begin.c - THE BEGIN RECORD, kind 130: the log begins here from now on. Payload, little endian:
 *
 *   0  4  version (1)
 *   4  4  zero
 *   8  8  place of the first record that is kept: a segment's first place
 *
 * It is a record and not each node's own clock, so that all copies of a log begin in the same place
 * (replication.md R19), and so that a segment which is missing without one is known to be lost. */
#include "begin.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "store_impl.h"

enum { VERSION = 1, PAYLOAD_BYTES = 16 };

uint64_t sk_begin_read(struct sk_slice payload)
{
    if (payload.len != PAYLOAD_BYTES || sk_get_u32(payload.data) != VERSION ||
        sk_get_u32(payload.data + 4) != 0)
        return 0;
    return sk_get_u64(payload.data + 8);
}

bool sk_begin_is_place(const sk_store *store, uint64_t place, uint64_t position)
{
    return place % store->segment_bytes == SK_HEADER_BYTES && place <= position;
}

bool sk_begin_accepts(const sk_store *store, const struct sk_frame *frame, uint64_t position,
                      uint64_t *begin)
{
    uint64_t place = sk_begin_read(frame->payload);
    if (!sk_begin_is_place(store, place, position) || place < *begin) return false;
    *begin = place;
    return true;
}

struct sk_status sk_begin_note(sk_store *store, const struct sk_record *r)
{
    uint64_t place = sk_begin_read(r->payload);
    if (!sk_begin_is_place(store, place, r->span.begin))
        return sk_error(SK_CORRUPT, "the record at position %" PRIu64 " is no sensible beginning",
                        r->span.begin);
    if (place <= atomic_load(&store->begin.place)) return SK_SUCCESS;
    /* In this order: who sees the place sees what has to be settled for it. */
    atomic_store(&store->begin.after, r->span.end);
    atomic_store(&store->begin.place, place);
    return SK_SUCCESS;
}

struct sk_status sk_begin_append(sk_store *store, uint64_t place)
{
    uint8_t payload[PAYLOAD_BYTES] = {0};
    sk_put_u32(payload, VERSION);
    sk_put_u64(payload + 8, place);
    struct sk_slice part = sk_slice_of(payload, sizeof payload);
    struct sk_record r = {.kind = SK_KIND_BEGIN,
                          .queue = SK_NO_QUEUE,
                          .epoch = store->log.epoch,
                          .time_ms = sk_wall_ms(store->clock),
                          .payload = part};
    SK_TRY(sk_store_append_own(store, r.kind, r.epoch, r.time_ms, part, &r.span));
    SK_TRY(sk_begin_note(store, &r));
    const struct sk_fold *fold = &store->options.fold;
    struct sk_status s = fold->apply ? fold->apply(fold->owner, &r) : SK_SUCCESS;
    if (!sk_ok(s)) sk_store_mark_failed(store, s); /* the log has what the state has not */
    return s;
}

struct sk_status sk_begin_check(const char *dir, uint64_t first_base, uint64_t place,
                                uint64_t segment_bytes)
{
    if (first_base < place) return SK_SUCCESS;
    return sk_error(SK_CORRUPT,
                    "'%s/%020" PRIu64 ".log' is missing: the log was never let go beyond position "
                    "%" PRIu64 "; put that file back",
                    dir, first_base - segment_bytes, place);
}
