/* recover.c - from what a stop or a crash left to a log that ends cleanly and a state that fits.
 *
 *      snapshot P                       durable          tail
 *         v                                v              v
 *   ------+--------------------------------+--------------+~~~garbage~~~+0000
 *         |<--- scan, then replay ----------------------->|<--- cut --->|
 *
 * 1. The newest valid snapshot is loaded; none: the log is replayed from its first record, if it
 *    still has it.
 * 2. The log is scanned from there to its first bad frame or zeros. A batch whose last record is
 *    missing ends before its first.
 * 3. If that end lies below what was once durable here (the watermark, the snapshot, the `flushed`
 *    field of any valid record before or behind that this node wrote), the bytes did not tear, they
 *    rotted: refuse. Nothing has been changed until here.
 * 4. The records are applied, what lies behind the end is wiped, and the whole is synced.
 *
 * Each step can be cut off by another crash and starts over to the same end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "disk.h"
#include "recover.h"
#include "snapshot.h"
#include "store_impl.h"

/* --- snapshots ------------------------------------------------------------------------------ */

static struct sk_status scan_into_index(sk_store *store, uint64_t to)
{
    struct sk_walk walk = sk_walk_from(&store->log, sk_commitlog_begin(&store->log), to);
    struct sk_frame frame;
    uint64_t position;
    const char *why;
    enum sk_frame_verdict v;
    while ((v = sk_walk_next(&walk, &frame, &position, &why)) == SK_FRAME_VALID) {
        struct sk_record record = sk_frame_record(&frame, position);
        if (record.queue != SK_NO_QUEUE) sk_index_add(store->index, &record, true);
    }
    sk_walk_done(&walk);
    if (v == SK_FRAME_DAMAGED || position < to)
        return sk_error(SK_CORRUPT, "rebuild the queue index: position %" PRIu64 ": %s", position,
                        why);
    return SK_SUCCESS;
}

static struct sk_status load_index(sk_store *store, struct sk_slice table, uint64_t position)
{
    struct sk_status s =
        sk_index_load(store->index, table, position, sk_commitlog_begin(&store->log));
    if (s.code != SK_NOT_FOUND) return s;
    sk_index_clear(store->index); /* derived: the log can tell it again */
    return scan_into_index(store, position);
}

static struct sk_status load_snapshot(sk_store *store, uint64_t position, struct sk_buffer *body,
                                      uint64_t owner_bytes)
{
    struct sk_slice owner = sk_slice_of(body->data, (size_t)owner_bytes);
    struct sk_reader rest =
        sk_reader_of(sk_slice_of(body->data + owner_bytes, body->len - (size_t)owner_bytes));
    SK_TRY(sk_epochs_load(&store->epochs, &rest, position));
    SK_TRY(load_index(store, sk_read_bytes(&rest, sk_reader_left(&rest)), position));
    const struct sk_fold *fold = &store->options.fold;
    return fold->load ? fold->load(fold->owner, owner) : SK_SUCCESS;
}

/* Out of the way, but kept for whoever wants to know what happened to it. */
static void set_aside(sk_store *store, uint64_t position)
{
    char from[SK_DISK_PATH], to[SK_DISK_PATH];
    sk_disk_name(from, store->paths.snapshot, position, ".snap");
    sk_disk_name(to, store->paths.snapshot, position, ".bad");
    store->vfs->rename(store->vfs, from, to);
}

/* Load the newest snapshot that is whole; *position is 0 if there is none. */
static struct sk_status load_newest(sk_store *store, const uint64_t *positions, size_t count,
                                    uint64_t *position)
{
    *position = 0;
    while (count-- > 0) {
        struct sk_buffer body = {0};
        uint64_t owner_bytes = 0, begin = 0;
        struct sk_status s = sk_snapshot_read(store->vfs, store->paths.snapshot, store->store_id,
                                              positions[count], &body, &owner_bytes, &begin);
        if (sk_ok(s) && !sk_begin_is_place(store, begin, positions[count]))
            s = sk_error(SK_CORRUPT, "its beginning of the log, %" PRIu64 ", is none", begin);
        bool whole = sk_ok(s);
        if (whole) s = load_snapshot(store, positions[count], &body, owner_bytes);
        sk_buffer_done(&body);
        if (whole) {
            *position = positions[count];
            atomic_store(&store->begin.place, begin);
            store->older_position = count ? positions[count - 1] : 0;
            return sk_while(s, "load the snapshot at %" PRIu64, positions[count]);
        }
        if (s.code != SK_CORRUPT) return s;
        set_aside(store, positions[count]);
    }
    return SK_SUCCESS;
}

struct sk_status sk_log_reaches(const struct sk_commitlog *log, const uint64_t *positions,
                                size_t count)
{
    if (count == 0 || log->count == 0) return SK_SUCCESS;
    uint64_t oldest = positions[count < 2 ? 0 : count - 2], newest = positions[count - 1];
    uint64_t end = sk_segment_end(log->active);
    if (newest > end)
        return sk_error(SK_CORRUPT,
                        "'%s/%020" PRIu64
                        ".log' is missing: there is a snapshot at position %" PRIu64
                        "; put that file back",
                        log->dir, end, newest);
    if (oldest < log->segments[0]->base)
        return sk_error(SK_CORRUPT,
                        "'%s/%020" PRIu64 ".log' is missing: the snapshot at position %" PRIu64
                        " needs the log from there; put that file back, or remove that snapshot to "
                        "go on without what is lost",
                        log->dir, sk_commitlog_base(log, oldest), oldest);
    return SK_SUCCESS;
}

static struct sk_status start_from(sk_store *store, uint64_t *position)
{
    uint64_t *positions = NULL;
    size_t count = 0;
    SK_TRY(sk_disk_list(store->vfs, store->paths.snapshot, ".snap", true, &positions, &count));
    struct sk_status s = sk_log_reaches(&store->log, positions, count);
    if (sk_ok(s)) s = load_newest(store, positions, count, position);
    free(positions);
    SK_TRY(s);
    atomic_store(&store->snapshot_position, *position);
    if (*position == 0 && store->log.count && store->log.segments[0]->base != 0)
        return sk_error(SK_CORRUPT,
                        "'%s' has no valid snapshot, and the log begins at position %" PRIu64
                        ": what was before is lost",
                        store->paths.snapshot, store->log.segments[0]->base);
    return SK_SUCCESS;
}

/* --- finding the end -------------------------------------------------------------------------- */

/* Something stands at byte `at` behind the end. */
static void look_at(struct sk_commitlog *log, struct sk_segment *s, uint64_t at, struct sk_end *end)
{
    struct sk_frame frame;
    const char *why;
    end->garbage_end = s->base + at + SK_RECORD_ALIGN;
    if (sk_record_parse(sk_segment_from(s, s->base + at), log->store_id, s->base + at, &frame,
                        &why) != SK_FRAME_VALID)
        return;
    if (frame.epoch > end->epoch) end->epoch = frame.epoch;
    if (s->base + at >= log->own_from && frame.flushed > end->proven) end->proven = frame.flushed;
}

/* The next byte (on a record's border) at or after `at` that is not in an empty place. */
static uint64_t next_non_zero(const struct sk_segment *s, const uint8_t *pages, uint64_t at)
{
    while (at < s->bytes) {
        if (!sk_page_is_set(pages, at))
            at = at - at % SK_SEGMENT_PAGE + SK_SEGMENT_PAGE;
        else if (sk_get_u64(s->map + at) == 0)
            at += SK_RECORD_ALIGN;
        else
            break;
    }
    return at;
}

static void look_behind_in(struct sk_commitlog *log, struct sk_segment *s, uint64_t from,
                           struct sk_end *end)
{
    SK_CLEANUP(sk_free_p) uint8_t *pages = sk_segment_data_pages(log->vfs, s, from - s->base);
    uint64_t at = next_non_zero(s, pages, from - s->base);
    for (; at < s->bytes; at = next_non_zero(s, pages, at + SK_RECORD_ALIGN))
        look_at(log, s, at, end);
}

void sk_look_behind(struct sk_commitlog *log, struct sk_end *end)
{
    uint64_t from = (end->bad + SK_RECORD_ALIGN - 1) & ~(uint64_t)(SK_RECORD_ALIGN - 1);
    end->garbage_end = from;
    struct sk_segment *s;
    for (uint64_t at = from; (s = sk_commitlog_pin(log, at)) != NULL; at = sk_segment_end(s)) {
        uint64_t first = s->base + SK_HEADER_BYTES;
        look_behind_in(log, s, at > first ? at : first, end);
        sk_segment_unref(s); /* the table holds it too */
    }
}

static uint64_t find_record_in(struct sk_commitlog *log, const struct sk_segment *s, uint64_t from)
{
    SK_CLEANUP(sk_free_p) uint8_t *pages = sk_segment_data_pages(log->vfs, s, from - s->base);
    uint64_t at = next_non_zero(s, pages, from - s->base);
    for (; at < s->bytes; at = next_non_zero(s, pages, at + SK_RECORD_ALIGN)) {
        struct sk_frame frame;
        const char *why;
        if (sk_record_parse(sk_segment_from(s, s->base + at), log->store_id, s->base + at, &frame,
                            &why) == SK_FRAME_VALID)
            return s->base + at;
    }
    return UINT64_MAX;
}

uint64_t sk_find_record(struct sk_commitlog *log, uint64_t from)
{
    struct sk_segment *s;
    uint64_t found = UINT64_MAX;
    uint64_t at = (from + SK_RECORD_ALIGN - 1) & ~(uint64_t)(SK_RECORD_ALIGN - 1);
    for (; found == UINT64_MAX && (s = sk_commitlog_pin(log, at)) != NULL; at = sk_segment_end(s)) {
        uint64_t first = s->base + SK_HEADER_BYTES;
        found = find_record_in(log, s, at > first ? at : first);
        sk_segment_unref(s); /* the table holds it too */
    }
    return found;
}

struct sk_end sk_find_end(struct sk_commitlog *log, uint64_t from)
{
    struct sk_end end = {.why = ""};
    struct sk_walk walk = sk_walk_from(log, from, UINT64_MAX);
    struct sk_frame frame;
    uint64_t position, batch = 0;
    bool in_batch = false;
    while ((end.verdict = sk_walk_next(&walk, &frame, &position, &end.why)) == SK_FRAME_VALID) {
        if (!in_batch) batch = position;
        in_batch = frame.flags & SK_RECORD_MORE;
        end.epoch = frame.epoch;
    }
    end.bad = position;
    end.tail = in_batch ? batch : position;
    end.after = walk.after;
    end.proven = walk.highest_flushed;
    end.garbage_end = position;
    sk_walk_done(&walk);
    return end;
}

struct sk_status sk_end_check(const struct sk_commitlog *log, const struct sk_end *end,
                              uint64_t durable)
{
    if (end->tail >= durable) return SK_SUCCESS;
    uint64_t base = sk_commitlog_base(log, end->bad);
    return sk_error(SK_CORRUPT,
                    "'%s/%020" PRIu64 ".log' byte %" PRIu64
                    ": %s, though records up to position %" PRIu64
                    " were durable; nothing was changed",
                    log->dir, base, end->bad - base, end->why, durable);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --- replay ----------------------------------------------------------------------------------- */

static struct sk_status replay_one(sk_store *store, const struct sk_record *record)
{
    SK_TRY(sk_epochs_take(&store->epochs, record));
    if (record->queue != SK_NO_QUEUE && !sk_index_add(store->index, record, false))
        return sk_error(SK_CORRUPT,
                        "queue %u: offset %" PRIu64 " at position %" PRIu64
                        " does not follow the one before",
                        record->queue, record->offset, record->span.begin);
    if (record->kind == SK_KIND_BEGIN) SK_TRY(sk_begin_note(store, record));
    const struct sk_fold *fold = &store->options.fold;
    return fold->apply ? fold->apply(fold->owner, record) : SK_SUCCESS;
}

static struct sk_status replay(sk_store *store, uint64_t from, uint64_t to, struct sk_recovery *out)
{
    struct sk_walk walk = sk_walk_from(&store->log, from, to);
    walk.checked = to; /* sk_find_end did */
    struct sk_frame frame;
    uint64_t position;
    const char *why;
    struct sk_status s = SK_SUCCESS;
    while (sk_ok(s) && sk_walk_next(&walk, &frame, &position, &why) == SK_FRAME_VALID) {
        struct sk_record record = sk_frame_record(&frame, position);
        s = replay_one(store, &record);
        out->replayed_records++;
        out->replayed_bytes += record.span.end - record.span.begin;
    }
    sk_walk_done(&walk);
    store->log.epoch = sk_epochs_current(&store->epochs);
    return sk_while(s, "replay");
}

/* --- the rest
 * -------------------------------------------------------------------------------------- */

/* Index files of segments that are gone, or never came to be. */
static struct sk_status sweep_index(sk_store *store)
{
    uint64_t *bases = NULL;
    size_t count = 0;
    SK_TRY(sk_disk_list(store->vfs, store->paths.index, ".idx", true, &bases, &count));
    for (size_t i = 0; i < count; i++) {
        uint64_t first = store->log.segments[0]->base, last = store->log.active->base;
        if (bases[i] >= first && bases[i] <= last) continue;
        char path[SK_DISK_PATH];
        sk_disk_name(path, store->paths.index, bases[i], ".idx");
        store->vfs->unlink(store->vfs, path);
    }
    free(bases);
    return sk_index_drop_below(store->index, sk_commitlog_begin(&store->log));
}

static void drop_vanished_queues(sk_store *store)
{
    const struct sk_fold *fold = &store->options.fold;
    if (!fold->keeps) return;
    for (uint32_t queue = 0; sk_index_next_queue(store->index, &queue); queue++)
        if (!fold->keeps(fold->owner, queue)) sk_index_drop(store->index, queue);
}

/* What the page cache shows may not be on the disk, if the last stop was a failed fsync. What an
 * earlier one said yes to is. */
void sk_distrust_cache(struct sk_commitlog *log, uint64_t from)
{
    struct sk_segment *s;
    for (uint64_t at = from; (s = sk_commitlog_pin(log, at)) != NULL; at = sk_segment_end(s)) {
        uint64_t page = (at - s->base) / SK_SEGMENT_PAGE * SK_SEGMENT_PAGE;
        log->vfs->drop_cache(log->vfs, s->fd, NULL, page, 0);
        sk_segment_unref(s);
    }
}

static struct sk_status start_empty(sk_store *store, struct sk_recovery *out)
{
    if (store->watermark.flushed || atomic_load(&store->snapshot_position))
        return sk_error(SK_CORRUPT,
                        "'%s' is empty, but records up to position %" PRIu64 " were durable",
                        store->paths.log,
                        larger(store->watermark.flushed, atomic_load(&store->snapshot_position)));
    SK_TRY(sk_commitlog_create(&store->log));
    out->created = true;
    return SK_SUCCESS;
}

static struct sk_status settle(sk_store *store, uint64_t durable, const struct sk_end *end,
                               struct sk_recovery *out)
{
    SK_TRY(sk_commitlog_cut(&store->log, end->tail, end->garbage_end));
    if (end->garbage_end > end->tail) out->cut_bytes = end->garbage_end - end->tail;
    atomic_store(&store->log.flushed, larger(durable, sk_commitlog_flushed(&store->log)));
    SK_TRY(sk_commitlog_sync(&store->log)); /* a killed process leaves bytes in the page cache */
    SK_TRY(sweep_index(store));
    sk_epochs_trim(&store->epochs, sk_commitlog_begin(&store->log));
    drop_vanished_queues(store);
    return SK_SUCCESS;
}

static struct sk_status recover_log(sk_store *store, uint64_t snapshot, struct sk_recovery *out)
{
    const struct sk_watermark *mark = &store->watermark;
    store->log.own_from = mark->own_from;
    uint64_t from = snapshot ? snapshot : sk_commitlog_begin(&store->log);
    SK_TRY(sk_log_reaches(&store->log, &snapshot, snapshot != 0)); /* it may be an older one */
    if (!mark->clean)
        sk_distrust_cache(&store->log, larger(mark->flushed, sk_commitlog_begin(&store->log)));

    struct sk_end end = sk_find_end(&store->log, from);
    out->clean = mark->clean && end.verdict == SK_FRAME_ABSENT &&
                 (mark->flushed == end.tail || mark->flushed == end.after);
    if (!out->clean) sk_look_behind(&store->log, &end);
    uint64_t durable = larger(larger(mark->flushed, snapshot), end.proven);
    SK_TRY(sk_end_check(&store->log, &end, durable));
    SK_TRY(replay(store, from, end.tail, out));
    SK_TRY(sk_begin_check(store->paths.log, store->log.segments[0]->base,
                          atomic_load(&store->begin.place), store->segment_bytes));
    return settle(store, durable, &end, out);
}

struct sk_status sk_store_recover(sk_store *store, struct sk_recovery *out)
{
    uint64_t snapshot = 0;
    SK_TRY(start_from(store, &snapshot));
    if (store->log.count == 0)
        SK_TRY(start_empty(store, out));
    else
        SK_TRY(recover_log(store, snapshot, out));
    store->writes =
        sk_epochs_current(&store->epochs) == 0 && store->watermark.own_from != SK_OWN_NONE;
    if (!store->options.settled) sk_begin_delete(store); /* a stop came in between */
    out->snapshot_position = snapshot;
    out->begin = sk_commitlog_begin(&store->log);
    out->tail = sk_commitlog_tail(&store->log);
    return SK_SUCCESS;
}
