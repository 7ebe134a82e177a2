/* commitlog.c - append a batch with one write, roll to the next segment, sync.
 *
 * An append is visible when the tail moves, and the tail moves only after the whole batch was
 * written. A write that failed half-way is wiped before anything else is appended: the pieces of
 * a refused batch carry valid checksums for their places, and a later, shorter batch would
 * otherwise bring them back to life at the next recovery. */
#include "commitlog.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "disk.h"

enum {
    DIRECT_BYTES = 16 * 1024,  /* larger parts are written from where they are */
    SCRATCH_KEEP = 512 * 1024, /* give back more than that */
    RESERVE = 512,             /* the end of a segment while there is no next one */
};

/* --- laying out a batch ------------------------------------------------------------------ */

static uint64_t payload_bytes(const struct sk_append *r)
{
    uint64_t len = 0;
    for (size_t i = 0; i < r->part_count; i++) len += r->parts[i].len;
    return len;
}

static bool goes_direct(size_t len, int *direct)
{
    return len >= DIRECT_BYTES && (*direct)++ < SK_DIRECT_MOST;
}

struct layout {
    uint64_t room;    /* bytes in the log */
    uint64_t scratch; /* bytes of it that are copied */
};

static struct sk_status lay_out(const struct sk_append *records, size_t count, struct layout *out)
{
    struct layout l = {0};
    int direct = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t len = payload_bytes(&records[i]);
        if (len > SK_RECORD_MAX_PAYLOAD)
            return sk_error(SK_INVALID, "a record of %" PRIu64 " bytes is too large", len);
        uint64_t room = sk_record_room(SK_RECORD_HEADER + len);
        l.room += room;
        l.scratch += room;
        for (size_t p = 0; p < records[i].part_count; p++)
            if (goes_direct(records[i].parts[p].len, &direct)) l.scratch -= records[i].parts[p].len;
    }
    *out = l;
    return SK_SUCCESS;
}

/* The vectors of a batch: runs of the scratch buffer and direct parts between them. */
struct gather {
    struct sk_buffer *scratch; /* has all its room already, so its bytes do not move */
    size_t run;                /* where the present run of scratch bytes began */
    struct iovec *parts;       /* log->parts: too large to clear for each append */
    int count;
    int direct;
};

static void end_run(struct gather *g)
{
    if (g->scratch->len > g->run)
        g->parts[g->count++] = (struct iovec){.iov_base = g->scratch->data + g->run,
                                              .iov_len = g->scratch->len - g->run};
    g->run = g->scratch->len;
}

static void put_part(struct gather *g, struct sk_slice part)
{
    if (!goes_direct(part.len, &g->direct)) {
        sk_buffer_put(g->scratch, part.data, part.len);
        return;
    }
    end_run(g);
    g->parts[g->count++] =
        (struct iovec){.iov_base = (void *)(uintptr_t)part.data, .iov_len = part.len};
}

static void put_record(struct sk_commitlog *log, struct gather *g, uint32_t epoch,
                       const struct sk_append *r, bool last, uint64_t position,
                       struct sk_span *span)
{
    struct sk_frame frame = {
        .kind = r->kind,
        .flags = last ? 0 : SK_RECORD_MORE,
        .queue = r->queue,
        .tag_hash = r->tag_hash,
        .epoch = epoch,
        .offset = r->offset,
        .time_ms = r->time_ms,
        .flushed = sk_commitlog_flushed(log),
        .size = (uint32_t)(SK_RECORD_HEADER + payload_bytes(r)),
    };
    uint8_t header[SK_RECORD_HEADER];
    sk_record_encode(&frame, log->store_id, position, r->parts, r->part_count, header);
    sk_buffer_put(g->scratch, header, sizeof header);
    for (size_t i = 0; i < r->part_count; i++) put_part(g, r->parts[i]);

    static const uint8_t zeros[SK_RECORD_ALIGN];
    sk_buffer_put(g->scratch, zeros, (size_t)(sk_record_room(frame.size) - frame.size));
    *span = (struct sk_span){position, position + sk_record_room(frame.size)};
}

/* --- room ahead of the tail ---------------------------------------------------------------- */

/* About to write up to `end`: the helper that writes zeros ahead must not write over it. */
static void claim_room(struct sk_commitlog *log, uint64_t end)
{
    if (end <= atomic_load_explicit(&log->zeroed, memory_order_acquire)) return;
    sk_mutex_lock(&log->zero_lock);
    while (log->zeroing && end > atomic_load_explicit(&log->zeroed, memory_order_relaxed))
        sk_cond_wait(&log->zero_idle, &log->zero_lock);
    if (end > atomic_load_explicit(&log->zeroed, memory_order_relaxed))
        atomic_store_explicit(&log->zeroed, end, memory_order_release);
    sk_mutex_unlock(&log->zero_lock);
}

static bool all_zero(struct sk_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.data[i]) return false;
    return true;
}

/* Wipe what a failed write may have left at the tail. */
static void undo(struct sk_commitlog *log, uint64_t room)
{
    struct sk_segment *s = log->active;
    uint64_t tail = sk_commitlog_tail(log);
    if (all_zero(sk_slice_of(sk_segment_from(s, tail).data, (size_t)room))) return;
    struct sk_status status = sk_disk_zero(log->vfs, s->fd, tail - s->base, tail - s->base + room);
    log->broken = !sk_ok(status);
}

static struct sk_status write_at_tail(struct sk_commitlog *log, struct iovec *parts, int count,
                                      uint64_t room)
{
    struct sk_segment *s = log->active;
    uint64_t tail = sk_commitlog_tail(log);
    claim_room(log, tail + room);
    struct sk_status status = sk_disk_writev(log->vfs, s->fd, parts, count, tail - s->base, NULL);
    if (!sk_ok(status)) undo(log, room);
    return sk_while(status, "segment %" PRIu64, s->base);
}

/* --- rolling -------------------------------------------------------------------------------- */

static uint64_t zeros_at_first(const struct sk_commitlog *log)
{
    return log->segment_bytes < SK_ZERO_FIRST ? log->segment_bytes : SK_ZERO_FIRST;
}

static struct sk_status create_segment(struct sk_commitlog *log, uint64_t base,
                                       struct sk_segment **out)
{
    struct sk_status s = sk_segment_create(log->vfs, log->dir, log->store_id, base,
                                           log->segment_bytes, zeros_at_first(log), out);
    atomic_store_explicit(&log->cramped, s.code == SK_FULL, memory_order_relaxed);
    return s;
}

/* The spare, or a new one when the helper has not come round to it. */
static struct sk_status next_segment(struct sk_commitlog *log) SK_REQUIRES(log->create_lock)
{
    if (log->spare) return SK_SUCCESS;
    atomic_fetch_add_explicit(&log->made_late, 1, memory_order_relaxed);
    SK_TRY(create_segment(log, sk_segment_end(log->active), &log->spare));
    atomic_store_explicit(&log->has_spare, true, memory_order_relaxed);
    return SK_SUCCESS;
}

/* Its beginning is claimed before anyone can find the segment: a tail at the very end of the last
 * segment lies in this one already, and the helper would write zeros over its header. */
void sk_commitlog_activate(struct sk_commitlog *log, struct sk_segment *s)
{
    claim_room(log, s->base + zeros_at_first(log));
    sk_mutex_lock(&log->lock);
    log->segments = sk_realloc(log->segments, log->count + 1, sizeof *log->segments);
    log->segments[log->count++] = s;
    sk_mutex_unlock(&log->lock);
    log->active = s;
    atomic_store_explicit(&log->spare_tried, false, memory_order_relaxed);
}

static struct sk_status write_pad(struct sk_commitlog *log, uint64_t rest)
{
    struct sk_frame pad = {
        .kind = SK_RECORD_PAD,
        .queue = SK_NO_QUEUE,
        .epoch = log->epoch,
        .flushed = sk_commitlog_flushed(log),
        .size = (uint32_t)rest,
    };
    uint8_t header[SK_RECORD_HEADER];
    sk_record_encode(&pad, log->store_id, sk_commitlog_tail(log), NULL, 0, header);
    struct iovec part = {.iov_base = header, .iov_len = sizeof header};
    return write_at_tail(log, &part, 1, sizeof header);
}

/* Go on in the next segment, which is there. */
static void enter_next(struct sk_commitlog *log) SK_REQUIRES(log->create_lock)
{
    struct sk_segment *next = log->spare;
    log->spare = NULL;
    atomic_store_explicit(&log->has_spare, false, memory_order_relaxed);
    sk_commitlog_activate(log, next);
    atomic_store_explicit(&log->tail, next->base + SK_HEADER_BYTES, memory_order_release);
}

static struct sk_status have_next(struct sk_commitlog *log)
{
    sk_mutex_lock(&log->create_lock);
    struct sk_status s = next_segment(log);
    sk_mutex_unlock(&log->create_lock);
    return s;
}

/* Close the active segment with a pad and go on in the next. */
static struct sk_status roll(struct sk_commitlog *log)
{
    sk_mutex_lock(&log->create_lock);
    struct sk_status s = next_segment(log);
    uint64_t rest = sk_segment_end(log->active) - sk_commitlog_tail(log);
    if (sk_ok(s) && rest >= SK_RECORD_HEADER) s = write_pad(log, rest);
    if (sk_ok(s)) enter_next(log);
    sk_mutex_unlock(&log->create_lock);
    return s;
}

struct sk_status sk_commitlog_create(struct sk_commitlog *log)
{
    struct sk_segment *first = NULL;
    SK_TRY(create_segment(log, 0, &first));
    sk_commitlog_activate(log, first);
    atomic_store(&log->begin, SK_HEADER_BYTES);
    atomic_store(&log->tail, SK_HEADER_BYTES);
    atomic_store(&log->flushed, SK_HEADER_BYTES);
    return SK_SUCCESS;
}

/* --- append ----------------------------------------------------------------------------------- */

/* On a disk that is full to the last byte, a BEGIN is what makes room again, and needs some itself:
 * it alone may use the end of a segment that cannot be followed by another one. */
static struct sk_status make_room(struct sk_commitlog *log, uint64_t room, bool is_begin)
{
    uint64_t left = sk_segment_end(log->active) - sk_commitlog_tail(log);
    if (left < room) return roll(log);
    return is_begin || left >= room + RESERVE ? SK_SUCCESS : have_next(log);
}

static struct sk_status append_in(struct sk_commitlog *log, uint32_t epoch,
                                  const struct sk_append *records, size_t count,
                                  struct sk_span *spans)
{
    struct layout l = {0};
    SK_TRY(lay_out(records, count, &l));
    if (l.room > log->segment_bytes - SK_HEADER_BYTES)
        return sk_error(SK_INVALID, "a batch of %" PRIu64 " bytes does not fit in a segment",
                        l.room);
    SK_TRY(make_room(log, l.room, records[0].kind == SK_KIND_BEGIN));

    struct gather g = {.scratch = &log->scratch, .parts = log->parts};
    log->scratch.len = 0;
    sk_buffer_reserve(&log->scratch, (size_t)l.scratch);
    uint64_t position = sk_commitlog_tail(log);
    for (size_t i = 0; i < count; i++) {
        put_record(log, &g, epoch, &records[i], i + 1 == count, position, &spans[i]);
        position = spans[i].end;
    }
    end_run(&g);
    struct sk_status s = write_at_tail(log, g.parts, g.count, l.room);
    if (log->scratch.room > SCRATCH_KEEP) sk_buffer_done(&log->scratch);
    SK_TRY(s);
    atomic_store_explicit(&log->tail, position, memory_order_release);
    return SK_SUCCESS;
}

struct sk_status sk_commitlog_append(struct sk_commitlog *log, const struct sk_append *records,
                                     size_t count, struct sk_span *spans)
{
    return append_in(log, log->epoch, records, count, spans);
}

struct sk_status sk_commitlog_append_in(struct sk_commitlog *log, uint32_t epoch,
                                        const struct sk_append *record, struct sk_span *span)
{
    SK_TRY(append_in(log, epoch, record, 1, span));
    log->epoch = epoch;
    return SK_SUCCESS;
}

static struct sk_status write_frames(struct sk_commitlog *log, struct sk_slice frames)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)frames.data, .iov_len = frames.len};
    return write_at_tail(log, &part, 1, frames.len);
}

/* The next segment is made first: a pad that is there has one behind it. */
static struct sk_status write_and_close(struct sk_commitlog *log, struct sk_slice frames)
{
    sk_mutex_lock(&log->create_lock);
    struct sk_status s = next_segment(log);
    if (sk_ok(s)) s = write_frames(log, frames);
    if (sk_ok(s)) enter_next(log);
    sk_mutex_unlock(&log->create_lock);
    return s;
}

struct sk_status sk_commitlog_append_frames(struct sk_commitlog *log, uint64_t position,
                                            struct sk_slice frames, bool closes)
{
    if (position != sk_commitlog_tail(log)) SK_TRY(roll(log)); /* there is no room for a pad */
    sk_assert(position == sk_commitlog_tail(log));
    sk_assert(position + frames.len <= sk_segment_end(log->active));
    if (closes) return write_and_close(log, frames);
    SK_TRY(write_frames(log, frames));
    atomic_store_explicit(&log->tail, position + frames.len, memory_order_release);
    return SK_SUCCESS;
}

/* --- sync ------------------------------------------------------------------------------------- */

/* One at a time, and none after one that failed: of two at once on one file the kernel tells only
 * one that it could not write, and the next one says yes to bytes that are gone. */
static struct sk_status sync_data(struct sk_commitlog *log, const struct sk_segment *s)
    SK_REQUIRES(log->sync_lock)
{
    if (log->sync_failed) return sk_error(SK_IO, "an earlier fdatasync of the log failed");
    atomic_store_explicit(&log->syncing, true, memory_order_relaxed);
    int err = log->vfs->fdatasync(log->vfs, s->fd);
    log->sync_failed = err < 0;
    atomic_store_explicit(&log->syncing, false, memory_order_relaxed);
    return err < 0 ? sk_errno(-err, "fdatasync of segment %" PRIu64, s->base) : SK_SUCCESS;
}

static struct sk_status sync_segment(struct sk_commitlog *log, uint64_t position, uint64_t *end)
    SK_REQUIRES(log->sync_lock)
{
    struct sk_segment *s = sk_commitlog_pin(log, position);
    sk_assert(s != NULL);
    struct sk_status status = sync_data(log, s);
    *end = sk_segment_end(s);
    sk_segment_unref(s);
    return status;
}

struct sk_status sk_commitlog_sync(struct sk_commitlog *log)
{
    sk_mutex_lock(&log->sync_lock);
    uint64_t target = sk_commitlog_tail(log);
    struct sk_status s = SK_SUCCESS;
    for (uint64_t at = sk_commitlog_flushed(log); sk_ok(s) && at < target;)
        s = sync_segment(log, at, &at);
    if (sk_ok(s) && target > sk_commitlog_flushed(log))
        atomic_store_explicit(&log->flushed, target, memory_order_release);
    sk_mutex_unlock(&log->sync_lock);
    return s;
}

/* --- working ahead ---------------------------------------------------------------------------- */

/* The place up to which zeros should lie ready. */
static uint64_t zero_goal(const struct sk_commitlog *log)
{
    uint64_t tail = sk_commitlog_tail(log);
    uint64_t end = sk_commitlog_base(log, tail) + log->segment_bytes;
    return end - tail < SK_ZERO_AHEAD ? end : tail + SK_ZERO_AHEAD;
}

/* In time: with the last quarter of a large segment, or 32 MiB before its end. Where a segment is
 * not that long, when it is begun: a disk that is slow to sync would else have all wait for it. */
static bool wants_spare(const struct sk_commitlog *log)
{
    enum { LEAST_LEAD = 32 << 20 };
    uint64_t left = log->segment_bytes - sk_commitlog_tail(log) % log->segment_bytes;
    return (left < log->segment_bytes / 4 || left < LEAST_LEAD) &&
           !atomic_load_explicit(&log->spare_tried, memory_order_relaxed);
}

bool sk_commitlog_wants_prepare(const struct sk_commitlog *log)
{
    if (wants_spare(log)) return true;
    uint64_t zeroed = atomic_load_explicit(&log->zeroed, memory_order_relaxed);
    return log->zero_ahead && zeroed < zero_goal(log) &&
           zeroed - sk_commitlog_tail(log) < SK_ZERO_AHEAD / 2;
}

/* The next chunk to fill; its segment is held. False: enough lies ready. */
static bool claim_chunk(struct sk_commitlog *log, struct sk_segment **segment, uint64_t *from,
                        uint64_t *to)
{
    struct sk_segment *s = NULL;
    sk_mutex_lock(&log->zero_lock);
    uint64_t goal = zero_goal(log), at = atomic_load_explicit(&log->zeroed, memory_order_relaxed);
    uint64_t lead = sk_commitlog_tail(log) + SK_ZERO_LEAD;
    lead -= lead % SK_HEADER_BYTES;
    if (at + SK_ZERO_CHUNK < lead && lead < goal) {
        /* Appends are as fast as we are: leave them what is near, or they would wait for us. */
        at = lead;
        atomic_store_explicit(&log->zeroed, at, memory_order_release);
    }
    if (at < goal && (s = sk_commitlog_pin(log, at)) != NULL) {
        *to = goal - at < SK_ZERO_CHUNK ? goal : at + SK_ZERO_CHUNK;
        if (*to > sk_segment_end(s)) *to = sk_segment_end(s);
        log->zeroing = true;
    }
    sk_mutex_unlock(&log->zero_lock);
    *from = at;
    *segment = s;
    return s != NULL;
}

static void release_chunk(struct sk_commitlog *log, bool written, uint64_t to)
{
    sk_mutex_lock(&log->zero_lock);
    log->zeroing = false;
    if (written) atomic_store_explicit(&log->zeroed, to, memory_order_release);
    sk_cond_broadcast(&log->zero_idle);
    sk_mutex_unlock(&log->zero_lock);
}

/* Write and sync one chunk of zeros, so that the sync of an append later finds the blocks
 * written: fdatasync then has no metadata to journal (performance.md 0.9). */
static struct sk_status zero_chunk(struct sk_commitlog *log, bool *more)
{
    uint64_t from, to;
    struct sk_segment *s;
    *more = claim_chunk(log, &s, &from, &to);
    if (!*more) return SK_SUCCESS;
    struct sk_status status = sk_disk_zero(log->vfs, s->fd, from - s->base, to - s->base);
    release_chunk(log, sk_ok(status), to); /* before the sync, which appends need not wait for */
    if (!sk_ok(status)) *more = false;     /* no room to write ahead is no reason to stop */
    sk_mutex_lock(&log->sync_lock);
    struct sk_status synced = sync_data(log, s);
    sk_mutex_unlock(&log->sync_lock);
    sk_segment_unref(s);
    return sk_while(synced, "zeros ahead");
}

bool sk_commitlog_has_room(const struct sk_commitlog *log, uint64_t bytes)
{
    uint64_t room = sk_segment_end(log->active) - sk_commitlog_tail(log);
    return room >= bytes || atomic_load_explicit(&log->has_spare, memory_order_relaxed) ||
           atomic_load_explicit(&log->cramped, memory_order_relaxed);
}

/* Only ahead of time: if it fails, the append that needs the segment says why. */
bool sk_commitlog_make_spare(struct sk_commitlog *log)
{
    sk_mutex_lock(&log->create_lock);
    sk_mutex_lock(&log->lock);
    uint64_t end = sk_segment_end(log->segments[log->count - 1]);
    sk_mutex_unlock(&log->lock);
    struct sk_segment *s = NULL;
    if (!log->spare && sk_ok(create_segment(log, end, &s))) {
        log->spare = s;
        atomic_store_explicit(&log->has_spare, true, memory_order_relaxed);
    }
    bool made = log->spare != NULL;
    atomic_store_explicit(&log->spare_tried, true, memory_order_relaxed);
    sk_mutex_unlock(&log->create_lock);
    return made;
}

void sk_commitlog_retry(struct sk_commitlog *log)
{
    if (atomic_load_explicit(&log->cramped, memory_order_relaxed)) sk_commitlog_make_spare(log);
}

/* Segments that are full and durable are only read, and that goes through the map; giving back
 * their memory is the last use of the descriptor. */
static void close_sealed(struct sk_commitlog *log)
{
    uint64_t unused = sk_commitlog_flushed(log), let_go = atomic_load(&log->let_go);
    if (log->keep_bytes && let_go < unused) unused = let_go;
    sk_mutex_lock(&log->lock);
    while (log->sealed + 1 < log->count && sk_segment_end(log->segments[log->sealed]) <= unused) {
        struct sk_segment *s = log->segments[log->sealed++];
        sk_disk_close(log->vfs, s->fd);
        s->fd = -1;
    }
    sk_mutex_unlock(&log->lock);
}

struct sk_status sk_commitlog_prepare(struct sk_commitlog *log, bool *more)
{
    *more = false;
    if (log->zero_ahead) SK_TRY(zero_chunk(log, more));
    if (wants_spare(log)) sk_commitlog_make_spare(log);
    close_sealed(log);
    return SK_SUCCESS;
}
