/* retain.c - what may go once there are snapshots: old segments and their index files. */
#include <inttypes.h>
#include <stdlib.h>

#include "disk.h"
#include "store_impl.h"

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
    sk_mutex_lock(&store->snapshot_lock);
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
    sk_mutex_unlock(&store->snapshot_lock);
    return gone;
}
