/* retain.c - snapshots, and what may go once they exist: old segments, their index files, and
 * older snapshots. */
#include <inttypes.h>
#include <stdlib.h>

#include "disk.h"
#include "snapshot.h"
#include "store_impl.h"

/* --- snapshot ------------------------------------------------------------------------------ */

/* Everything of one position, under the owner's lock. */
static uint64_t freeze(sk_store *store, struct sk_buffer *body, uint64_t *owner_bytes)
{
    const struct sk_store_options *o = &store->options;
    if (o->lock) o->lock(o->fold.owner);
    uint64_t position = sk_commitlog_tail(&store->log);
    if (o->fold.save) o->fold.save(o->fold.owner, body);
    *owner_bytes = body->len;
    sk_epochs_save(&store->epochs, body);
    sk_index_save(store->index, body);
    if (o->unlock) o->unlock(o->fold.owner);
    return position;
}

/* The two newest stay: if the newest is damaged, the other still leads to the same state. */
static void remove_older(sk_store *store, uint64_t keep_from)
{
    uint64_t *positions = NULL;
    size_t count = 0;
    struct sk_status s =
        sk_disk_list(store->vfs, store->paths.snapshot, ".snap", false, &positions, &count);
    for (size_t i = 0; sk_ok(s) && i < count && positions[i] < keep_from; i++) {
        char path[SK_DISK_PATH];
        sk_disk_name(path, store->paths.snapshot, positions[i], ".snap");
        store->vfs->unlink(store->vfs, path);
    }
    if (sk_ok(s)) free(positions);
}

/* Order: log, index, snapshot. A snapshot never speaks of what is not durable. */
static struct sk_status write_snapshot(sk_store *store, uint64_t position, struct sk_slice body,
                                       uint64_t owner_bytes)
{
    SK_TRY(sk_store_flush(store));
    SK_TRY(sk_index_write(store->index, true));
    return sk_snapshot_write(store->vfs, store->paths.snapshot, store->store_id, position, body,
                             owner_bytes);
}

struct sk_status sk_store_snapshot(sk_store *store)
{
    enum { RETRY_AFTER_US = 10 * 1000000 };
    sk_turnstile_enter(&store->housekeeping);
    struct sk_buffer body = {0};
    uint64_t owner_bytes = 0;
    uint64_t position = freeze(store, &body, &owner_bytes);
    struct sk_status s = write_snapshot(store, position, sk_buffer_slice(&body), owner_bytes);
    sk_buffer_done(&body);
    if (sk_ok(s)) {
        uint64_t before = atomic_load(&store->snapshot_position);
        if (before != position) store->older_position = before;
        atomic_store(&store->snapshot_position, position);
        atomic_store(&store->snapshot_not_before_us, 0);
        atomic_fetch_add(&store->snapshots, 1);
        if (store->older_position) remove_older(store, store->older_position);
    } else {
        atomic_fetch_add(&store->snapshot_failures, 1);
        atomic_store(&store->snapshot_not_before_us, sk_mono_us(store->clock) + RETRY_AFTER_US);
        if (sk_index_is_broken(store->index)) sk_store_mark_failed(store, s);
    }
    sk_turnstile_leave(&store->housekeeping);
    return s;
}

/* --- retention ------------------------------------------------------------------------------- */

void sk_store_look_at_disk(sk_store *store)
{
    struct sk_vfs_space space;
    if (store->vfs->space(store->vfs, store->paths.root, &space) < 0 || space.total_bytes == 0)
        return;
    /* Rounded up: 95.1 % is above a mark of 95. */
    uint64_t used = space.total_bytes - space.free_bytes;
    unsigned percent = (unsigned)((used * 100 + space.total_bytes - 1) / space.total_bytes);
    atomic_store(&store->disk_used_percent, percent);
    atomic_store(&store->refusing, percent > store->options.disk_refuse_percent);
}

/* When the youngest record of the oldest segment was stored: times never go back, so the first
 * of the next segment is a bound. False: there is no next one with a record. */
static bool oldest_ended_at(sk_store *store, uint64_t *time_ms)
{
    uint64_t next = sk_commitlog_begin(&store->log) + store->segment_bytes;
    struct sk_pinned pinned;
    if (!sk_ok(sk_store_read(store, next, &pinned))) return false;
    *time_ms = pinned.record.time_ms;
    sk_unpin(pinned.pin);
    return true;
}

static bool oldest_should_go(sk_store *store, uint64_t now_ms)
{
    const struct sk_store_options *o = &store->options;
    uint64_t begin = sk_commitlog_begin(&store->log);
    uint64_t end = sk_commitlog_base(&store->log, begin) + store->segment_bytes;
    if (store->older_position < end) return false; /* a fallback would need it */

    if (atomic_load(&store->disk_used_percent) > o->disk_clean_percent) return true;
    if (o->retention_bytes && sk_commitlog_tail(&store->log) - end >= o->retention_bytes)
        return true;
    uint64_t time_ms = 0;
    return o->retention_ms && oldest_ended_at(store, &time_ms) &&
           time_ms + o->retention_ms <= now_ms;
}

size_t sk_store_retain(sk_store *store)
{
    size_t gone = 0;
    sk_turnstile_enter(&store->housekeeping);
    sk_store_look_at_disk(store);
    uint64_t now_ms = sk_wall_ms(store->clock);
    struct sk_status s = SK_SUCCESS;
    while (sk_ok(s) && !atomic_load(&store->failed) && oldest_should_go(store, now_ms)) {
        s = sk_commitlog_drop_oldest(&store->log);
        gone += s.code != SK_NOT_FOUND;
        sk_store_look_at_disk(store);
    }
    if (gone) {
        struct sk_status ignored =
            sk_index_drop_below(store->index, sk_commitlog_begin(&store->log));
        (void)ignored; /* a leftover is swept at the next opening */
        sk_epochs_trim(&store->epochs, sk_commitlog_begin(&store->log));
    }
    if (!atomic_load(&store->failed)) sk_commitlog_retry(&store->log);
    sk_turnstile_leave(&store->housekeeping);
    return gone;
}
