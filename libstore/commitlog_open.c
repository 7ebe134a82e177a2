/* commitlog_open.c - the row of segments: find them, walk their records, cut and drop. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "commitlog.h"
#include "disk.h"

static void init(struct sk_commitlog *log, struct sk_vfs *vfs, const char *dir, uint64_t store_id,
                 uint64_t segment_bytes)
{
    *log = (struct sk_commitlog){
        .vfs = vfs,
        .dir = sk_strdup(dir),
        .store_id = store_id,
        .segment_bytes = segment_bytes,
        .limit = UINT64_MAX,
    };
    sk_mutex_init(&log->lock);
    sk_mutex_init(&log->create_lock);
    sk_mutex_init(&log->zero_lock);
    sk_mutex_init(&log->sync_lock);
    sk_cond_init(&log->zero_idle);
}

void sk_commitlog_done(struct sk_commitlog *log)
{
    for (size_t i = 0; i < log->count; i++) sk_segment_unref(log->segments[i]);
    sk_segment_unref(log->spare);
    free(log->segments);
    free(log->dir);
    sk_buffer_done(&log->scratch);
    sk_cond_done(&log->zero_idle);
    sk_mutex_done(&log->sync_lock);
    sk_mutex_done(&log->zero_lock);
    sk_mutex_done(&log->create_lock);
    sk_mutex_done(&log->lock);
}

/* --- opening ------------------------------------------------------------------------- */

static struct sk_status check_row(const struct sk_commitlog *log, const uint64_t *bases,
                                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bases[i] % log->segment_bytes)
            return sk_error(SK_CORRUPT, "'%s/%020" PRIu64 ".log' is not a place for a segment",
                            log->dir, bases[i]);
        if (i && bases[i] != bases[i - 1] + log->segment_bytes)
            return sk_error(SK_CORRUPT, "'%s/%020" PRIu64 ".log' is missing", log->dir,
                            bases[i - 1] + log->segment_bytes);
    }
    return SK_SUCCESS;
}

static struct sk_status open_row(struct sk_commitlog *log, const uint64_t *bases, size_t count,
                                 bool writable)
{
    SK_TRY(check_row(log, bases, count));
    for (size_t i = 0; i < count; i++) {
        struct sk_segment *s = NULL;
        SK_TRY(sk_segment_open(log->vfs, log->dir, log->store_id, bases[i], log->segment_bytes,
                               writable, &s));
        sk_commitlog_activate(log, s);
    }
    if (count) {
        atomic_store(&log->begin, bases[0] + SK_HEADER_BYTES);
        atomic_store(&log->tail, bases[0] + SK_HEADER_BYTES);
        atomic_store(&log->flushed, bases[0] + SK_HEADER_BYTES);
    }
    return SK_SUCCESS;
}

struct sk_status sk_commitlog_open(struct sk_commitlog *log, struct sk_vfs *vfs, const char *dir,
                                   uint64_t store_id, uint64_t segment_bytes, bool writable)
{
    uint64_t *bases = NULL;
    size_t count = 0;
    SK_TRY(sk_disk_list(vfs, dir, ".log", writable, &bases, &count));
    init(log, vfs, dir, store_id, segment_bytes);
    struct sk_status s = open_row(log, bases, count, writable);
    free(bases);
    if (!sk_ok(s)) sk_commitlog_done(log);
    return s;
}

/* --- finding ------------------------------------------------------------------------- */

struct sk_segment *sk_commitlog_pin(struct sk_commitlog *log, uint64_t position)
{
    struct sk_segment *found = NULL;
    sk_mutex_lock(&log->lock);
    if (log->count && position >= log->segments[0]->base) {
        uint64_t i = (position - log->segments[0]->base) / log->segment_bytes;
        if (i < log->count) found = sk_segment_ref(log->segments[i]);
    }
    sk_mutex_unlock(&log->lock);
    return found;
}

uint64_t sk_commitlog_last_base(struct sk_commitlog *log)
{
    sk_mutex_lock(&log->lock);
    uint64_t base = log->segments[log->count - 1]->base;
    sk_mutex_unlock(&log->lock);
    return base;
}

struct sk_walk sk_walk_from(struct sk_commitlog *log, uint64_t position, uint64_t limit)
{
    if (limit > log->limit) limit = log->limit;
    return (struct sk_walk){.log = log, .position = position, .limit = limit, .after = position};
}

void sk_walk_done(struct sk_walk *w)
{
    sk_segment_unref(w->segment);
    w->segment = NULL;
}

/* Hold the segment of w->position, and step over its header page. */
static bool enter(struct sk_walk *w)
{
    uint64_t base = sk_commitlog_base(w->log, w->position);
    if (!w->segment || w->segment->base != base) {
        struct sk_segment *s = sk_commitlog_pin(w->log, w->position);
        if (!s) return false;
        sk_segment_unref(w->segment);
        w->segment = s;
    }
    if (w->position < base + SK_HEADER_BYTES) w->position = base + SK_HEADER_BYTES;
    return true;
}

enum sk_frame_verdict sk_walk_next(struct sk_walk *w, struct sk_frame *out, uint64_t *position,
                                   const char **why)
{
    for (;;) {
        bool inside = enter(w);
        *position = w->position;
        *why = "the log ends here";
        if (!inside || w->position >= w->limit) return SK_FRAME_ABSENT;

        struct sk_slice rest = sk_segment_from(w->segment, w->position);
        enum sk_frame_verdict v = w->position < w->checked ? sk_record_read(rest, out, why)
                                                           : sk_record_parse(rest, w->log->store_id,
                                                                             w->position, out, why);
        if (v == SK_FRAME_ABSENT && rest.len < SK_RECORD_HEADER) {
            w->position += rest.len; /* no room for a pad: the segment simply ends */
            continue;
        }
        if (v != SK_FRAME_VALID) return v;
        if (w->position >= w->log->own_from && out->flushed > w->highest_flushed)
            w->highest_flushed = out->flushed;
        w->position += sk_record_room(out->size);
        w->after = w->position;
        if (out->kind != SK_RECORD_PAD) return SK_FRAME_VALID;
    }
}

/* --- cutting ------------------------------------------------------------------------- */

static struct sk_status remove_file(struct sk_commitlog *log, uint64_t base)
{
    char path[SK_DISK_PATH];
    sk_disk_name(path, log->dir, base, ".log");
    int err = log->vfs->unlink(log->vfs, path);
    if (err < 0 && err != -ENOENT) return sk_errno(-err, "remove '%s'", path);
    /* After each one: a later removal that survives a power cut alone would leave a gap. */
    if ((err = log->vfs->sync_dir(log->vfs, log->dir)) < 0)
        return sk_errno(-err, "sync directory '%s'", log->dir);
    return SK_SUCCESS;
}

static struct sk_status remove_after(struct sk_commitlog *log, uint64_t tail)
{
    while (log->count > 1 && log->segments[log->count - 1]->base >= tail) {
        struct sk_segment *s = log->segments[log->count - 1];
        SK_TRY(remove_file(log, s->base));
        log->count--;
        sk_segment_unref(s);
    }
    log->active = log->segments[log->count - 1];
    return SK_SUCCESS;
}

/* Zero the pages of [from, to) that hold anything; both are bytes in the file. */
static struct sk_status wipe(struct sk_commitlog *log, struct sk_segment *s, uint64_t from,
                             uint64_t to)
{
    enum { PAGE = 4096 };
    static const uint8_t zeros[PAGE];
    bool wiped = false;
    while (from < to) {
        int64_t data = log->vfs->next_data(log->vfs, s->fd, from);
        if (data < 0) return sk_errno((int)-data, "seek data");
        if ((uint64_t)data > from) from = (uint64_t)data;
        if (from >= to) break;
        uint64_t end = from - from % PAGE + PAGE;
        bool dirty = memcmp(s->map + from, zeros, (size_t)(end - from)) != 0;
        if (dirty) SK_TRY(sk_disk_zero(log->vfs, s->fd, from, end));
        wiped |= dirty;
        from = end;
    }
    int err = wiped ? log->vfs->fdatasync(log->vfs, s->fd) : 0;
    return err < 0 ? sk_errno(-err, "fdatasync") : SK_SUCCESS;
}

struct sk_status sk_commitlog_cut(struct sk_commitlog *log, uint64_t tail, uint64_t garbage_end)
{
    SK_TRY(remove_after(log, tail));
    struct sk_segment *s = log->active;
    sk_assert(tail >= s->base + SK_HEADER_BYTES && tail <= sk_segment_end(s));
    uint64_t to = (garbage_end < sk_segment_end(s) ? garbage_end : sk_segment_end(s)) - s->base;
    SK_TRY(sk_while(wipe(log, s, tail - s->base, to), "cut segment %" PRIu64, s->base));
    atomic_store(&log->tail, tail);
    atomic_store(&log->zeroed, tail);
    return SK_SUCCESS;
}

/* Zeros over the beginning of what lies at `tail`, up to the end of its page. */
static struct sk_status invalidate(struct sk_commitlog *log, struct sk_segment *s, uint64_t tail)
{
    uint64_t at = tail - s->base, end = at - at % SK_SEGMENT_PAGE + SK_SEGMENT_PAGE;
    SK_TRY(sk_disk_zero(log->vfs, s->fd, at, end));
    int err = log->vfs->fdatasync(log->vfs, s->fd);
    return err < 0 ? sk_errno(-err, "fdatasync") : SK_SUCCESS;
}

struct sk_status sk_commitlog_truncate(struct sk_commitlog *log, uint64_t tail)
{
    struct sk_segment *s = sk_commitlog_pin(log, tail);
    if (!s || tail < s->base + SK_HEADER_BYTES) {
        sk_segment_unref(s);
        return sk_error(SK_CORRUPT, "'%s' has no segment with a record at position %" PRIu64,
                        log->dir, tail);
    }
    struct sk_status status = invalidate(log, s, tail);
    if (sk_ok(status)) status = sk_commitlog_cut(log, tail, UINT64_MAX);
    sk_segment_unref(s);
    return sk_while(status, "cut the log at %" PRIu64, tail);
}

/* The file first: one that cannot be removed stays in the row, and the next try begins with it, so
 * that there is never a gap. */
struct sk_status sk_commitlog_drop_oldest(struct sk_commitlog *log)
{
    sk_mutex_lock(&log->lock);
    struct sk_segment *oldest = log->count > 1 ? log->segments[0] : NULL;
    sk_mutex_unlock(&log->lock);
    if (!oldest) return sk_error(SK_NOT_FOUND, "only the active segment is left");
    SK_TRY(remove_file(log, oldest->base));
    sk_mutex_lock(&log->lock);
    log->count--;
    memmove(log->segments, log->segments + 1, log->count * sizeof *log->segments);
    if (log->sealed) log->sealed--;
    atomic_store_explicit(&log->begin, log->segments[0]->base + SK_HEADER_BYTES,
                          memory_order_release);
    sk_mutex_unlock(&log->lock);
    sk_segment_unref(oldest);
    return SK_SUCCESS;
}
