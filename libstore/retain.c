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

/* When the youngest record of the segment before `base` was stored: times never go back, so the
 * first of this one is a bound. The store's own records have the store's clock. False: none is here
 * yet. */
static bool ended_at(sk_store *store, uint64_t base, uint64_t *time_ms)
{
    struct sk_walk walk = sk_walk_from(&store->log, base, sk_commitlog_tail(&store->log));
    struct sk_frame frame;
    uint64_t position;
    const char *why;
    bool found = false;
    while (!found && sk_walk_next(&walk, &frame, &position, &why) == SK_FRAME_VALID)
        found = frame.kind <= SK_KIND_OWNER_MOST;
    sk_walk_done(&walk);
    if (found) *time_ms = frame.time_ms;
    return found;
}

/* Is there a reason to let the segment go that ends at `end`, and none of the store's own to keep
 * it? `full`: of those, the disk is too full counts. */
static bool should_go(sk_store *store, uint64_t end, uint64_t now_ms, bool full)
{
    const struct sk_store_options *o = &store->options;
    if (store->older_position < end) return false;               /* a fallback would need it */
    if (end > sk_commitlog_last_base(&store->log)) return false; /* the active one */

    if (full && atomic_load(&store->disk_used_percent) > o->disk_clean_percent) return true;
    if (o->retention_bytes && sk_commitlog_tail(&store->log) - end >= o->retention_bytes)
        return true;
    uint64_t time_ms = 0;
    return o->retention_ms && ended_at(store, end, &time_ms) && time_ms + o->retention_ms <= now_ms;
}

/* Base of the first segment that may stay. A full disk takes one at a time, and looks again. */
static uint64_t first_to_stay(sk_store *store, uint64_t base)
{
    uint64_t now_ms = sk_wall_ms(store->clock);
    bool full = base == sk_commitlog_base(&store->log, sk_commitlog_begin(&store->log));
    while (should_go(store, base + store->segment_bytes, now_ms, full)) {
        base += store->segment_bytes;
        full = false;
    }
    return base;
}

/* The base of the oldest segment that stays for what the owner needs, if that is within its limit;
 * else of the oldest that is. */
static uint64_t needed_base(const sk_store *store, uint64_t need)
{
    if (need == UINT64_MAX) return need;
    uint64_t base = sk_commitlog_base(&store->log, need), limit = store->options.need_limit_bytes;
    uint64_t tail = sk_commitlog_tail(&store->log);
    if (limit == 0 || tail <= base + limit) return base;
    uint64_t over = tail - base - limit, bytes = store->segment_bytes;
    return base + (over + bytes - 1) / bytes * bytes;
}

static uint64_t ask_need(const sk_store *store)
{
    const struct sk_store_options *o = &store->options;
    return o->needs ? o->needs(o->fold.owner) : UINT64_MAX;
}

struct step { /* what one BEGIN did */
    struct sk_status status;
    uint64_t need, place;
    bool moved;
};

/* Decide and record in one hold of the owner's lock: what he needs cannot change in between. */
static struct step record_begin(sk_store *store, uint64_t base)
{
    const struct sk_store_options *o = &store->options;
    struct step step = {.status = SK_SUCCESS};
    if (o->lock) o->lock(o->fold.owner);
    step.need = ask_need(store);
    uint64_t held = sk_log_streams_floor(store), needed = needed_base(store, step.need);
    if (held < base) base = held;
    if (needed < base) base = needed;
    step.place = base + SK_HEADER_BYTES;
    if (store->writes && step.place > atomic_load(&store->begin.place)) {
        step.status = sk_begin_append(store, step.place);
        step.moved = sk_ok(step.status);
    }
    if (o->unlock) o->unlock(o->fold.owner);
    return step;
}

/* Move the recorded beginning, durably; false: there is no reason to, or no way. */
static bool move_begin(sk_store *store)
{
    const struct sk_store_options *o = &store->options;
    uint64_t from = atomic_load(&store->begin.place) - SK_HEADER_BYTES;
    uint64_t base = first_to_stay(store, from);
    if (base == from) return false;
    struct step step = record_begin(store, base);
    if (!step.moved) {
        if (atomic_load(&store->failed)) sk_store_announce_failure(store);
        return false;
    }
    sk_log_streams_lose(store, step.place);
    if (step.need < step.place) {
        atomic_fetch_add(&store->begin.needs_passed, 1);
        if (o->need_passed) o->need_passed(o->fold.owner, step.need, step.place);
    }
    sk_store_publish(store);
    return sk_ok(sk_store_flush(store));
}

/* Below this nothing is ever taken back. */
static uint64_t settled(const sk_store *store)
{
    const struct sk_store_options *o = &store->options;
    uint64_t flushed = sk_commitlog_flushed(&store->log);
    uint64_t committed = o->settled ? o->settled(o->fold.owner) : flushed;
    return committed < flushed ? committed : flushed;
}

/* Where the files may begin: as recorded, unless something here still wants them. A replica has
 * snapshots and streams of its own. */
static uint64_t deletable_below(sk_store *store)
{
    uint64_t base = atomic_load(&store->begin.place) - SK_HEADER_BYTES;
    if (settled(store) < atomic_load(&store->begin.after)) return 0;
    uint64_t fallback = sk_commitlog_base(&store->log, store->older_position);
    uint64_t held = sk_log_streams_floor(store);
    if (fallback < base) base = fallback;
    return held < base ? held : base;
}

size_t sk_begin_delete(sk_store *store)
{
    size_t gone = 0;
    uint64_t base = deletable_below(store);
    struct sk_status s = SK_SUCCESS;
    while (sk_ok(s) && !atomic_load(&store->failed) && sk_commitlog_begin(&store->log) < base) {
        s = sk_commitlog_drop_oldest(&store->log);
        gone += sk_ok(s);
    }
    if (gone == 0) return 0;
    sk_log_streams_lose(store, sk_commitlog_begin(&store->log));
    struct sk_status ignored = sk_index_drop_below(store->index, sk_commitlog_begin(&store->log));
    (void)ignored; /* a leftover is swept at the next opening */
    sk_epochs_trim(&store->epochs, sk_commitlog_begin(&store->log));
    sk_store_look_at_disk(store);
    return gone;
}

size_t sk_store_retain(sk_store *store)
{
    sk_turnstile_enter(&store->housekeeping);
    sk_store_look_at_disk(store);
    size_t gone = sk_begin_delete(store), more = 1; /* what was recorded before, or received */
    while (more && !atomic_load(&store->failed) && move_begin(store))
        gone += more = sk_begin_delete(store);
    if (!atomic_load(&store->failed)) sk_commitlog_retry(&store->log);
    sk_turnstile_leave(&store->housekeeping);
    return gone;
}
