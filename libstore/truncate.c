/* truncate.c - end the log at a position, so that a crash at any point leaves either the whole log
 * or a cut that goes on to the same end (FORMAT.md, "Cut").
 *
 *   nothing has changed                    |  the log ends at P, whatever lies behind it
 *   find P, sync what stays, copy what goes | intent | snapshots, first record, segments, the rest
 * | done ^ watermark: cut = P                        cut = 0 ^
 *
 * The intent and the lower watermark are one write: a mark that came down without the intent would
 * let recovery take the tail for good, an intent without the lower mark would let it refuse the cut
 * as rot. */
#include <inttypes.h>
#include <stdlib.h>

#include "archive.h"
#include "disk.h"
#include "open.h"
#include "recover.h"
#include "snapshot.h"

/* --- where batches end ----------------------------------------------------------------------- */

struct borders {
    uint64_t below; /* the last one at or below the position */
    uint64_t above; /* the first one above it; UINT64_MAX: the log ends before it */
    bool ended;     /* and `below` is the end of the log */
};

/* A batch lies in one segment, so one segment is walked. */
static struct borders find_borders(struct sk_commitlog *log, uint64_t position)
{
    uint64_t base = sk_commitlog_base(log, position);
    struct borders b = {.below = base + SK_HEADER_BYTES, .above = UINT64_MAX};
    struct sk_walk walk = sk_walk_from(log, base, UINT64_MAX);
    struct sk_frame frame;
    uint64_t at;
    const char *why;
    while (b.above == UINT64_MAX && !b.ended) {
        if (sk_walk_next(&walk, &frame, &at, &why) != SK_FRAME_VALID)
            b.ended = true;
        else if (at >= base + log->segment_bytes)
            b.above = at; /* the first one of the next segment; the pad was passed over */
        else if (frame.flags & SK_RECORD_MORE)
            continue;
        else if (walk.after > position)
            b.above = walk.after;
        else
            b.below = walk.after;
    }
    sk_walk_done(&walk);
    return b;
}

/* Positions in a segment's header page, and the end of the segment before, mean its first record.
 */
static uint64_t first_place(const struct sk_commitlog *log, uint64_t position)
{
    uint64_t first = sk_commitlog_base(log, position) + SK_HEADER_BYTES;
    return position < first ? first : position;
}

/* *there: something may lie behind the position. */
static struct sk_status check_place(struct sk_commitlog *log, uint64_t *position, bool *there)
{
    *there = false;
    if (log->count == 0 || *position >= sk_segment_end(log->active)) return SK_SUCCESS;
    if (*position < sk_commitlog_begin(log))
        return sk_error(SK_INVALID,
                        "position %" PRIu64 " lies before the log's beginning, %" PRIu64, *position,
                        sk_commitlog_begin(log));
    *position = first_place(log, *position);
    struct borders b = find_borders(log, *position);
    *there = !b.ended || *position == b.below;
    if (!*there || *position == b.below) return SK_SUCCESS;
    return sk_error(SK_INVALID,
                    "no batch ends at position %" PRIu64 ": the nearest ends are %" PRIu64
                    " and %" PRIu64,
                    *position, b.below, b.above);
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* Does it speak of what lies above `position`, or of what the log does not reach back to? One that
 * cannot be read is left for recovery, which sets it aside. */
static struct sk_status is_void(sk_store *store, uint64_t snapshot, uint64_t position, bool *out)
{
    uint64_t reach = 0;
    *out = snapshot > position || snapshot < store->log.segments[0]->base;
    if (*out) return SK_SUCCESS;
    struct sk_status s =
        sk_snapshot_reach(store->vfs, store->paths.snapshot, store->store_id, snapshot, &reach);
    if (sk_ok(s)) *out = reach > position;
    return s.code == SK_CORRUPT ? SK_SUCCESS : s;
}

struct usable { /* the newest snapshot that the state could be told from */
    bool found;
    uint64_t position, begin;
};

static struct sk_status is_whole(sk_store *store, uint64_t snapshot, struct usable *out)
{
    struct sk_buffer body = {0};
    uint64_t owner_bytes, begin = 0;
    struct sk_status s = sk_snapshot_read(store->vfs, store->paths.snapshot, store->store_id,
                                          snapshot, &body, &owner_bytes, &begin);
    sk_buffer_done(&body);
    *out = (struct usable){sk_ok(s), snapshot, begin};
    return s.code == SK_CORRUPT ? SK_SUCCESS : s;
}

static struct sk_status find_usable(sk_store *store, const uint64_t *list, size_t count,
                                    uint64_t position, struct usable *out)
{
    *out = (struct usable){.found = false};
    while (!out->found && count-- > 0) {
        bool gone;
        SK_TRY(is_void(store, list[count], position, &gone));
        if (!gone) SK_TRY(is_whole(store, list[count], out));
    }
    return SK_SUCCESS;
}

/* The record that says where the log begins must stay, or the next opening would miss a file. */
static struct sk_status check_begin(sk_store *store, struct usable from, uint64_t position)
{
    uint64_t begin = from.begin, base = store->log.segments[0]->base;
    struct sk_walk walk = sk_walk_from(&store->log, from.position, position);
    struct sk_frame frame;
    uint64_t at;
    const char *why;
    while (sk_walk_next(&walk, &frame, &at, &why) == SK_FRAME_VALID)
        if (frame.kind == SK_KIND_BEGIN && sk_begin_read(frame.payload) > begin)
            begin = sk_begin_read(frame.payload);
    sk_walk_done(&walk);
    if (base < begin) return SK_SUCCESS;
    return sk_error(SK_INVALID,
                    "the log was let go below position %" PRIu64
                    " by a record that lies above %" PRIu64
                    ": it cannot be cut there; nothing was changed",
                    base + SK_HEADER_BYTES, position);
}

/* The state must be told from something that stays. */
static struct sk_status check_snapshots(sk_store *store, uint64_t position)
{
    if (store->log.segments[0]->base == 0) return SK_SUCCESS;
    uint64_t *list = NULL;
    size_t count = 0;
    SK_TRY(sk_disk_list(store->vfs, store->paths.snapshot, ".snap", false, &list, &count));
    struct usable from;
    struct sk_status s = find_usable(store, list, count, position, &from);
    free(list);
    SK_TRY(s);
    if (from.found) return check_begin(store, from, position);
    return sk_error(SK_INVALID,
                    "there is no whole snapshot of position %" PRIu64
                    " or before, and the log begins at %" PRIu64
                    ": the state there could not be told any more; nothing was changed",
                    position, sk_commitlog_begin(&store->log));
}

static struct sk_status remove_snapshot(sk_store *store, uint64_t snapshot)
{
    char path[SK_DISK_PATH];
    sk_disk_name(path, store->paths.snapshot, snapshot, ".snap");
    int err = store->vfs->unlink(store->vfs, path);
    return err < 0 ? sk_errno(-err, "remove '%s'", path) : SK_SUCCESS;
}

static struct sk_status drop_listed(sk_store *store, const uint64_t *list, size_t count,
                                    uint64_t position, uint64_t *dropped)
{
    while (count-- > 0) {
        bool gone;
        SK_TRY(is_void(store, list[count], position, &gone));
        if (gone) SK_TRY(remove_snapshot(store, list[count]));
        *dropped += gone;
    }
    return SK_SUCCESS;
}

static struct sk_status drop_snapshots(sk_store *store, uint64_t position, uint64_t *dropped)
{
    uint64_t *list = NULL;
    size_t count = 0;
    SK_TRY(sk_disk_list(store->vfs, store->paths.snapshot, ".snap", true, &list, &count));
    struct sk_status s = drop_listed(store, list, count, position, dropped);
    free(list);
    SK_TRY(s);
    int err = store->vfs->sync_dir(store->vfs, store->paths.snapshot);
    return err < 0 ? sk_errno(-err, "sync directory '%s'", store->paths.snapshot) : SK_SUCCESS;
}

/* --- the cut -----------------------------------------------------------------------------------
 */

/* All below `position` that the watermark does not vouch for. */
static struct sk_status sync_what_stays(sk_store *store, uint64_t position)
{
    uint64_t at = store->watermark.flushed, begin = sk_commitlog_begin(&store->log);
    struct sk_segment *s;
    int err = 0;
    for (at = at > begin ? at : begin;
         err == 0 && at < position && (s = sk_commitlog_pin(&store->log, at)) != NULL;
         at = sk_segment_end(s)) {
        err = store->vfs->fdatasync(store->vfs, s->fd);
        sk_segment_unref(s); /* the table holds it too */
    }
    return err < 0 ? sk_errno(-err, "sync the log below position %" PRIu64, position) : SK_SUCCESS;
}

static struct sk_status end_cut(sk_store *store, uint64_t *snapshots)
{
    uint64_t position = store->watermark.cut;
    SK_TRY(drop_snapshots(store, position, snapshots));
    SK_TRY(sk_commitlog_truncate(&store->log, position));
    return sk_watermark_cut_done(&store->watermark);
}

struct sk_status sk_store_end_cut(sk_store *store)
{
    uint64_t unused = 0;
    if (store->watermark.cut == 0) return SK_SUCCESS;
    if (store->log.count == 0)
        return sk_error(SK_CORRUPT, "'%s' is empty, but a cut at position %" PRIu64 " is under way",
                        store->paths.log, store->watermark.cut);
    store->ended_cut = true;
    return sk_while(end_cut(store, &unused), "end the cut that is under way");
}

/* What the next opening would cut by itself needs no cut: nothing behind the position was durable.
 */
static struct sk_status look(sk_store *store, uint64_t position, struct sk_end *end, bool *needed)
{
    struct sk_commitlog *log = &store->log;
    uint64_t *list = NULL;
    size_t count = 0;
    SK_TRY(sk_disk_list(store->vfs, store->paths.snapshot, ".snap", false, &list, &count));
    uint64_t newest = count ? list[count - 1] : 0;
    free(list);
    log->own_from = store->watermark.own_from;
    *end = sk_find_end(log, position);
    sk_look_behind(log, end);
    *needed = end->tail > position || store->watermark.flushed > position || newest > position ||
              end->proven > position;
    return SK_SUCCESS;
}

static struct sk_status cut_to(sk_store *store, uint64_t position, struct sk_truncation *out)
{
    struct sk_commitlog *log = &store->log;
    uint64_t known = store->watermark.flushed, begin = sk_commitlog_begin(log);
    if (log->count) sk_distrust_cache(log, known > begin ? known : begin);
    bool there, needed = false;
    SK_TRY(check_place(log, &position, &there));
    struct sk_end end;
    if (there) SK_TRY(look(store, position, &end, &needed));
    out->position = position;
    if (!needed) return SK_SUCCESS;

    SK_TRY(check_snapshots(store, position));
    SK_TRY(sync_what_stays(store, position));
    const struct sk_store_paths *p = &store->paths;
    SK_TRY(sk_archive(log, p->root, p->cut, end.epoch, position, end.garbage_end));
    sk_archive_prune(store->vfs, p->cut, end.epoch, position);
    SK_TRY(sk_watermark_cut(&store->watermark, position, end.epoch));
    SK_TRY(end_cut(store, &out->snapshots));
    out->cut_bytes = end.garbage_end - position;
    out->epoch = end.epoch;
    return SK_SUCCESS;
}

struct sk_status sk_store_truncate(const struct sk_store_options *options, uint64_t position,
                                   struct sk_truncation *out)
{
    struct sk_status s = sk_store_must_exist(options);
    sk_store *store = NULL;
    struct sk_truncation done = {0};
    if (sk_ok(s)) s = sk_store_enter(options, &store);
    if (sk_ok(s)) {
        done.resumed = store->ended_cut;
        s = cut_to(store, position, &done);
        sk_store_leave(store);
    }
    if (sk_ok(s)) *out = done;
    return sk_while(s, "cut the store");
}
