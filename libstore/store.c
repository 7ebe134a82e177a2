/* store.c - the door: append, read, cursors, and the wiring of the rooms behind it. */
#include "store/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "disk.h"
#include "snapshot.h"
#include "store_impl.h"

/* --- failing ---------------------------------------------------------------------------- */

void sk_store_mark_failed(sk_store *store, struct sk_status why)
{
    sk_mutex_lock(&store->fail_lock);
    if (!atomic_load(&store->failed)) {
        store->why = sk_error(SK_IO, "the store stopped: %s", sk_status_text(&why));
        atomic_store(&store->failed, true);
    }
    sk_mutex_unlock(&store->fail_lock);
    sk_store_poke(&store->flusher);
}

struct sk_status sk_store_why(sk_store *store)
{
    if (!atomic_load_explicit(&store->failed, memory_order_acquire)) return SK_SUCCESS;
    sk_mutex_lock(&store->fail_lock);
    struct sk_status why = store->why;
    sk_mutex_unlock(&store->fail_lock);
    return why;
}

void sk_store_announce_failure(sk_store *store)
{
    sk_mutex_lock(&store->fail_lock);
    bool now = atomic_load(&store->failed) && !store->announced;
    if (now) store->announced = true;
    struct sk_status why = store->why;
    sk_mutex_unlock(&store->fail_lock);
    if (!now) return;
    sk_gate_close(store->flushed_gate, why);
    sk_gate_close(store->tail_gate, why);
    if (store->options.failed) store->options.failed(store->options.fold.owner, why);
}

/* --- appending ---------------------------------------------------------------------------- */

/* Take the offsets of all records, or of none and say why. */
static struct sk_status claim(sk_store *store, const struct sk_append *records, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (records[i].kind < 1 || records[i].kind > 127)
            return sk_error(SK_INVALID, "a record's kind is 1..127, not %u", records[i].kind);
    size_t bad;
    uint64_t expected = 0;
    if (sk_index_claim(store->index, records, count, &bad, &expected)) return SK_SUCCESS;
    const struct sk_append *r = &records[bad];
    if (r->queue >= SK_MAX_QUEUES)
        return sk_error(SK_INVALID, "queue number %u is too large", r->queue);
    return sk_error(SK_INVALID, "queue %u: offset %" PRIu64 " comes next, not %" PRIu64, r->queue,
                    expected, r->offset);
}

/* What is left of the active segment, when there is no room for the next one, and of the disk above
 * its mark, is for what makes room: acks, offsets, deletions. */
static struct sk_status check_room(sk_store *store)
{
    if (atomic_load_explicit(&store->refusing, memory_order_relaxed))
        return sk_error(SK_FULL,
                        "the disk of '%s' is %u %% full and sends are refused above %u %%: free "
                        "some room, shorten the retention, or raise the limit",
                        store->paths.root, atomic_load(&store->disk_used_percent),
                        store->options.disk_refuse_percent);
    if (atomic_load_explicit(&store->log.cramped, memory_order_relaxed))
        return sk_error(SK_FULL,
                        "the disk of '%s' has no room for another log segment of %" PRIu64
                        " MiB and sends are refused: free some room, or shorten the retention",
                        store->paths.root, store->segment_bytes >> 20);
    return SK_SUCCESS;
}

static struct sk_status may_append(sk_store *store, size_t count, bool urgent)
{
    SK_TRY(sk_store_why(store));
    if (count == 0 || count > SK_MAX_BATCH)
        return sk_error(SK_INVALID, "a batch has 1..%d records, not %zu", SK_MAX_BATCH, count);
    return urgent ? SK_SUCCESS : check_room(store);
}

/* What an append of so many records that succeeded leaves to do. */
void sk_store_appended(sk_store *store, size_t count, uint64_t bytes)
{
    atomic_fetch_add_explicit(&store->appended_records, count, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->appended_bytes, bytes, memory_order_relaxed);
    if (sk_commitlog_wants_prepare(&store->log) || sk_commitlog_wants_trim(&store->log) ||
        sk_index_wants_write(store->index))
        sk_store_poke(&store->helper);
    if (sk_store_snapshot_is_due(store)) sk_store_poke(&store->janitor);
}

/* What to say of one that did not. */
struct sk_status sk_store_append_failed(sk_store *store, struct sk_status s)
{
    if (store->log.broken) sk_store_mark_failed(store, s);
    if (s.code != SK_FULL) return s;
    sk_store_poke(&store->janitor); /* from now on it looks for room more often */
    struct sk_status why = check_room(store);
    return sk_ok(why) ? s : why;
}

struct sk_status sk_store_append(sk_store *store, const struct sk_append *records, size_t count,
                                 bool urgent, struct sk_span *spans)
{
    SK_TRY(may_append(store, count, urgent));
    if (!store->writes)
        return sk_error(SK_NOT_MASTER,
                        "epoch %u of the store in '%s' is not this process's: begin one before you "
                        "write",
                        sk_store_epoch(store), store->paths.root);
    SK_TRY(claim(store, records, count));
    struct sk_status s = sk_commitlog_append(&store->log, records, count, spans);
    if (!sk_ok(s)) {
        sk_index_unclaim(store->index, records, count);
        return sk_store_append_failed(store, s);
    }
    sk_index_add_batch(store->index, records, spans, count);
    sk_store_appended(store, count, spans[count - 1].end - spans[0].begin);
    return SK_SUCCESS;
}

struct sk_status sk_store_append_own(sk_store *store, uint8_t kind, uint32_t epoch,
                                     uint64_t time_ms, struct sk_slice payload,
                                     struct sk_span *span)
{
    SK_TRY(sk_store_why(store));
    struct sk_append record = {
        .kind = kind, .queue = SK_NO_QUEUE, .time_ms = time_ms, .parts = &payload, .part_count = 1};
    struct sk_status s = sk_commitlog_append_in(&store->log, epoch, &record, span);
    if (!sk_ok(s)) return sk_store_append_failed(store, s);
    sk_store_appended(store, 1, span->end - span->begin);
    return SK_SUCCESS;
}

bool sk_store_wants_segment(const sk_store *store)
{
    uint64_t most = store->options.append_most, quarter = store->segment_bytes / 4;
    return !sk_commitlog_has_room(&store->log, most < quarter ? most : quarter) &&
           !atomic_load_explicit(&store->failed, memory_order_relaxed);
}

bool sk_store_make_segment(sk_store *store)
{
    return sk_commitlog_make_spare(&store->log);
}

/* --- the two gates ------------------------------------------------------------------------ */

void sk_store_publish(sk_store *store)
{
    sk_gate_advance(store->tail_gate, sk_commitlog_tail(&store->log));
    if (store->options.manual) sk_store_announce_failure(store);
}

/* A moving average over about eight flushes, in eighths of a µs, so that a slow one is remembered.
 */
static void remember_time(sk_store *store, uint64_t took_us)
{
    uint64_t eighths = atomic_load_explicit(&store->flush_time, memory_order_relaxed);
    atomic_store_explicit(&store->flush_time, eighths - eighths / 8 + took_us,
                          memory_order_relaxed);
}

static struct sk_status sync_log(sk_store *store)
{
    uint64_t begin_us = sk_mono_us(store->clock);
    struct sk_status s = sk_commitlog_sync(&store->log);
    remember_time(store, sk_mono_us(store->clock) - begin_us);
    if (!sk_ok(s)) sk_store_mark_failed(store, s);
    return s;
}

void sk_store_demand_here(sk_store *store)
{
    bool quick =
        !store->options.manual &&
        !atomic_load_explicit(&store->log.syncing, memory_order_relaxed) &&
        atomic_load_explicit(&store->flush_time, memory_order_relaxed) / 8 < SK_QUICK_FLUSH_US;
    if (!quick) {
        sk_store_demand(store, UINT64_MAX);
        return;
    }
    struct sk_status s = sk_store_flush(store);
    (void)s; /* marked and announced by itself */
}

struct sk_status sk_store_sync_quietly(sk_store *store)
{
    SK_TRY(sk_store_why(store));
    uint64_t before = sk_commitlog_flushed(&store->log);
    if (sk_commitlog_tail(&store->log) > before) SK_TRY(sync_log(store));
    uint64_t flushed = sk_commitlog_flushed(&store->log);
    if (flushed == before) return SK_SUCCESS;
    atomic_fetch_add_explicit(&store->flushes, 1, memory_order_relaxed);
    sk_watermark_advance(&store->watermark, flushed);
    return SK_SUCCESS;
}

struct sk_status sk_store_flush(sk_store *store)
{
    struct sk_status s = sk_store_sync_quietly(store);
    if (sk_ok(s))
        sk_gate_advance(store->flushed_gate, sk_commitlog_flushed(&store->log));
    else
        sk_store_announce_failure(store);
    return s;
}

sk_gate *sk_store_tail_gate(sk_store *store)
{
    return store->tail_gate;
}
sk_gate *sk_store_flushed_gate(sk_store *store)
{
    return store->flushed_gate;
}

uint64_t sk_store_tail(const sk_store *store)
{
    return sk_commitlog_tail(&store->log);
}
uint64_t sk_store_flushed(const sk_store *store)
{
    return sk_commitlog_flushed(&store->log);
}
uint64_t sk_store_begin(const sk_store *store)
{
    return sk_commitlog_begin(&store->log);
}

/* --- queues --------------------------------------------------------------------------------- */

struct sk_queue_range sk_store_queue(const sk_store *store, uint32_t queue)
{
    return sk_index_range(store->index, queue);
}

void sk_store_drop_queue(sk_store *store, uint32_t queue)
{
    sk_index_drop(store->index, queue);
}

/* The index lost an entry: its segment of the log still knows. Slow, but it happens once. */
static bool find_in_log(sk_store *store, uint32_t queue, uint64_t offset,
                        struct sk_index_entry *out)
{
    uint64_t base, position;
    if (!sk_index_segment(store->index, queue, offset, &base)) return false;
    struct sk_walk walk = sk_walk_from(&store->log, base, base + store->segment_bytes);
    struct sk_frame frame;
    const char *why;
    bool found = false;
    while (!found && sk_walk_next(&walk, &frame, &position, &why) == SK_FRAME_VALID)
        found = frame.queue == queue && frame.offset == offset;
    sk_walk_done(&walk);
    if (!found) return false;
    *out = (struct sk_index_entry){.position = position,
                                   .size = (uint32_t)sk_record_room(frame.size),
                                   .tag_hash = frame.tag_hash};
    sk_index_repair(store->index, queue, offset, out);
    return true;
}

size_t sk_store_lookup(sk_store *store, uint32_t queue, uint64_t offset, size_t count,
                       struct sk_index_entry *out)
{
    size_t found = sk_index_lookup(store->index, queue, offset, count, out);
    if (found > 0 || count == 0) return found;
    return find_in_log(store, queue, offset, out) ? 1 : 0;
}

/* The time of the record at an offset; false when it cannot be read any more. */
static bool time_at(sk_store *store, uint32_t queue, uint64_t offset, uint64_t *time_ms)
{
    struct sk_index_entry entry;
    struct sk_pinned pinned;
    if (sk_store_lookup(store, queue, offset, 1, &entry) == 0) return false;
    if (!sk_ok(sk_store_read(store, entry.position, &pinned))) return false;
    *time_ms = pinned.record.time_ms;
    sk_unpin(pinned.pin);
    return true;
}

uint64_t sk_store_offset_by_time(sk_store *store, uint32_t queue, uint64_t time_ms)
{
    struct sk_queue_range range = sk_store_queue(store, queue);
    uint64_t low = range.min, high = range.max;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2, time = 0;
        /* What retention took away meanwhile, or rot, lies before the answer. */
        if (!time_at(store, queue, middle, &time) || time < time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* --- reading --------------------------------------------------------------------------------- */

struct sk_status sk_store_read(sk_store *store, uint64_t position, struct sk_pinned *out)
{
    struct sk_commitlog *log = &store->log;
    struct sk_segment *segment = NULL;
    if (position % SK_RECORD_ALIGN == 0 && position < sk_commitlog_tail(log) &&
        position % log->segment_bytes >= SK_HEADER_BYTES)
        segment = sk_commitlog_pin(log, position);
    if (!segment) return sk_error(SK_NOT_FOUND, "no record at position %" PRIu64, position);

    struct sk_frame frame;
    const char *why;
    enum sk_frame_verdict v =
        sk_record_parse(sk_segment_from(segment, position), log->store_id, position, &frame, &why);
    if (v != SK_FRAME_VALID || frame.kind == SK_RECORD_PAD) {
        struct sk_status s =
            sk_error(SK_CORRUPT, "segment '%s/%020" PRIu64 ".log' byte %" PRIu64 ": %s",
                     store->paths.log, segment->base, position - segment->base, why);
        sk_segment_unref(segment);
        return s;
    }
    *out = (struct sk_pinned){.record = sk_frame_record(&frame, position), .pin = segment};
    return SK_SUCCESS;
}

void sk_pin_ref(void *pin)
{
    sk_segment_ref(pin);
}
void sk_unpin(void *pin)
{
    sk_segment_unref(pin);
}

/* --- numbers ---------------------------------------------------------------------------------- */

struct sk_store_stats sk_store_stats(sk_store *store)
{
    sk_mutex_lock(&store->log.lock);
    uint64_t segments = store->log.count;
    sk_mutex_unlock(&store->log.lock);
    return (struct sk_store_stats){
        .segments = segments,
        .log_bytes = segments * store->segment_bytes,
        .index_bytes = sk_index_bytes(store->index),
        .appended_records = atomic_load(&store->appended_records),
        .appended_bytes = atomic_load(&store->appended_bytes),
        .flushes = atomic_load(&store->flushes),
        .snapshots = atomic_load(&store->snapshots),
        .snapshot_failures = atomic_load(&store->snapshot_failures),
        .snapshot_position = atomic_load(&store->snapshot_position),
        .segments_in_append = atomic_load(&store->log.made_late),
        .flushed = sk_commitlog_flushed(&store->log),
        .disk_used_percent = atomic_load(&store->disk_used_percent),
        .refusing = sk_store_is_full(store),
        .streams_lost = atomic_load(&store->streams.lost),
        .needs_passed = atomic_load(&store->begin.needs_passed),
    };
}
