/* epochs.c - EPOCH RECORD, its payload. Little endian.
 *
 *   0  4  version (1)
 *   4  4  the epoch, as in the frame
 *   8  8  time, ms since 1970, as in the frame
 *
 * EPOCH TABLE, the first part of the store's half of a snapshot.
 *
 *   u32 version (1), u32 epochs; per epoch: u32 epoch, u64 position of its EPOCH record */
#include "epochs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { PAYLOAD_VERSION = 1, TABLE_VERSION = 1, ENTRY_BYTES = 12 };

void sk_epochs_init(struct sk_epochs *e)
{
    *e = (struct sk_epochs){0};
    sk_mutex_init(&e->lock);
}

void sk_epochs_done(struct sk_epochs *e)
{
    free(e->list);
    sk_mutex_done(&e->lock);
}

/* --- the fold ---------------------------------------------------------------------------- */

void sk_epoch_encode(uint32_t epoch, uint64_t time_ms, uint8_t out[SK_EPOCH_PAYLOAD])
{
    sk_put_u32(out, PAYLOAD_VERSION);
    sk_put_u32(out + 4, epoch);
    sk_put_u64(out + 8, time_ms);
}

static struct sk_status check_begin(const struct sk_record *r)
{
    const uint8_t *p = r->payload.data;
    if (r->payload.len != SK_EPOCH_PAYLOAD || sk_get_u32(p) != PAYLOAD_VERSION)
        return sk_error(SK_CORRUPT, "position %" PRIu64 ": this EPOCH record cannot be read",
                        r->span.begin);
    if (sk_get_u32(p + 4) != r->epoch || sk_get_u64(p + 8) != r->time_ms)
        return sk_error(SK_CORRUPT,
                        "position %" PRIu64 ": this EPOCH record says epoch %u, its frame %u",
                        r->span.begin, sk_get_u32(p + 4), r->epoch);
    return SK_SUCCESS;
}

struct sk_status sk_epoch_check(uint32_t current, const struct sk_record *r)
{
    bool begins = r->kind == SK_KIND_EPOCH;
    uint64_t at = r->span.begin;
    if (r->epoch == current && !begins) return SK_SUCCESS;
    if (r->epoch < current)
        return sk_error(SK_CORRUPT,
                        "position %" PRIu64 ": a record of epoch %u follows one of epoch %u", at,
                        r->epoch, current);
    if (!begins)
        return sk_error(SK_CORRUPT,
                        "position %" PRIu64 ": epoch %u goes on without an EPOCH record before it",
                        at, r->epoch);
    if (r->epoch == current)
        return sk_error(SK_CORRUPT, "position %" PRIu64 ": epoch %u begins once more", at,
                        r->epoch);
    return check_begin(r);
}

static void push(struct sk_epochs *e, uint32_t epoch, uint64_t position) SK_REQUIRES(e->lock)
{
    if (e->count == e->room) {
        e->room = e->room ? 2 * e->room : 8;
        e->list = sk_realloc(e->list, e->room, sizeof *e->list);
    }
    e->list[e->count++] = (struct sk_epoch_start){epoch, position};
    atomic_store_explicit(&e->current, epoch, memory_order_release);
}

void sk_epochs_add(struct sk_epochs *e, uint32_t epoch, uint64_t position)
{
    sk_mutex_lock(&e->lock);
    push(e, epoch, position);
    sk_mutex_unlock(&e->lock);
}

void sk_epochs_enter(struct sk_epochs *e, uint32_t epoch)
{
    atomic_store_explicit(&e->current, epoch, memory_order_release);
}

struct sk_status sk_epochs_take(struct sk_epochs *e, const struct sk_record *r)
{
    SK_TRY(sk_epoch_check(atomic_load_explicit(&e->current, memory_order_relaxed), r));
    if (r->kind == SK_KIND_EPOCH) sk_epochs_add(e, r->epoch, r->span.begin);
    return SK_SUCCESS;
}

void sk_epochs_trim(struct sk_epochs *e, uint64_t begin)
{
    sk_mutex_lock(&e->lock);
    size_t gone = 0;
    while (gone + 1 < e->count && e->list[gone + 1].position <= begin) gone++;
    e->count -= gone;
    if (gone) memmove(e->list, e->list + gone, e->count * sizeof *e->list);
    sk_mutex_unlock(&e->lock);
}

/* --- asking -------------------------------------------------------------------------------- */

uint32_t sk_epochs_current(const struct sk_epochs *e)
{
    return atomic_load_explicit(&e->current, memory_order_acquire);
}

bool sk_epochs_start(struct sk_epochs *e, uint32_t epoch, uint64_t *position)
{
    sk_mutex_lock(&e->lock);
    size_t i = 0;
    while (i < e->count && e->list[i].epoch < epoch) i++;
    bool found = i < e->count && e->list[i].epoch == epoch;
    if (found) *position = e->list[i].position;
    sk_mutex_unlock(&e->lock);
    return found;
}

size_t sk_epochs_copy(struct sk_epochs *e, struct sk_epoch_start **out)
{
    sk_mutex_lock(&e->lock);
    size_t count = e->count;
    *out = count ? sk_alloc(count * sizeof **out) : NULL;
    if (count) memcpy(*out, e->list, count * sizeof **out);
    sk_mutex_unlock(&e->lock);
    return count;
}

/* --- the table in a snapshot ------------------------------------------------------------------ */

void sk_epochs_save(struct sk_epochs *e, struct sk_buffer *out)
{
    sk_mutex_lock(&e->lock);
    sk_buffer_put_u32(out, TABLE_VERSION);
    sk_buffer_put_u32(out, (uint32_t)e->count);
    for (size_t i = 0; i < e->count; i++) {
        sk_buffer_put_u32(out, e->list[i].epoch);
        sk_buffer_put_u64(out, e->list[i].position);
    }
    sk_mutex_unlock(&e->lock);
}

static bool load(struct sk_epochs *e, struct sk_reader *r, uint64_t position) SK_REQUIRES(e->lock)
{
    if (sk_read_u32(r) != TABLE_VERSION) return false;
    uint32_t count = sk_read_u32(r);
    if (count > sk_reader_left(r) / ENTRY_BYTES) return false;
    struct sk_epoch_start before = {0};
    for (uint32_t i = 0; i < count; i++) {
        struct sk_epoch_start next = {.epoch = sk_read_u32(r)};
        next.position = sk_read_u64(r);
        if (next.epoch <= before.epoch || next.position <= before.position) return false;
        if (next.position < position) push(e, next.epoch, next.position);
        before = next;
    }
    return !r->failed;
}

struct sk_status sk_epochs_load(struct sk_epochs *e, struct sk_reader *from, uint64_t position)
{
    sk_mutex_lock(&e->lock);
    e->count = 0;
    atomic_store_explicit(&e->current, 0, memory_order_release);
    bool good = load(e, from, position);
    if (!good) {
        e->count = 0;
        atomic_store_explicit(&e->current, 0, memory_order_release);
    }
    sk_mutex_unlock(&e->lock);
    return good ? SK_SUCCESS : sk_error(SK_CORRUPT, "the table of epochs cannot be read");
}
