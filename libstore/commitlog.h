/* commitlog.h - the segments in a row: append, roll, sync, find. Private to libstore.
 *
 *      begin                          flushed   tail      zeroed
 *        v                               v        v          v
 *   +----+-------------+----+------------------------------------------+----+- - - - -+
 *   |head| rec rec pad |head| rec rec rec rec rec |00000000000| (holes)|head| spare   |
 *   +----+-------------+----+------------------------------------------+----+- - - - -+
 *     segment 0          segment 1 = active                              prepared ahead
 *
 * Invariants: begin <= flushed <= tail; all three only grow. A batch lies in one segment.
 * Between tail and the end of the active segment there is nothing but zeros.
 *
 * Threads: one writer (append) at a time; sync, prepare, pin from any thread. */
#ifndef SK_STORE_COMMITLOG_H
#define SK_STORE_COMMITLOG_H

#include <sys/uio.h>

#include "base/bytes.h"
#include "base/thread.h"
#include "record.h"
#include "segment.h"

enum {
    SK_DIRECT_MOST = 250,       /* parts not copied: two vectors each, and the system takes 1024 */
    SK_ZERO_FIRST = 256 * 1024, /* written when a segment is made */
    SK_ZERO_CHUNK = 512 * 1024, /* written and synced at a time by the helper */
    SK_ZERO_AHEAD = 8 * 1024 * 1024,  /* how far ahead of the tail it works */
    SK_ZERO_LEAD = 1024 * 1024,       /* nearly overtaken: it starts so far ahead anew */
    SK_CACHE_CHUNK = 4 * 1024 * 1024, /* written out, and given back, at a time */
};

struct sk_commitlog {
    struct sk_vfs *vfs;
    char *dir;
    uint64_t store_id;
    uint64_t segment_bytes;
    uint32_t epoch;    /* of what is appended now; the writer's */
    uint64_t own_from; /* records at or above it were written by this node (watermark.h) */
    uint64_t limit;    /* nothing at or above it is walked over; UINT64_MAX: all is */
    bool zero_ahead;   /* write zeros ahead of the tail; else only reserve blocks */
    _Atomic uint64_t begin, tail, flushed;

    struct sk_mutex lock;
    struct sk_segment **segments; /* ascending, without gaps; guarded by lock */
    size_t count;                 /* guarded by lock */
    size_t sealed;                /* so many of them need no descriptor any more; under lock */
    struct sk_segment *spare;     /* the next one, prepared; guarded by create_lock */
    _Atomic bool has_spare;       /* the same for those who do not hold the lock */
    _Atomic bool spare_tried;     /* once for each active segment */
    _Atomic uint64_t made_late;   /* segments that an append had to make */
    _Atomic bool cramped;         /* the disk had no room for the next segment */
    struct sk_mutex create_lock;  /* one maker of segments at a time; before lock */
    struct sk_segment *active;    /* the last of segments; the writer's */

    struct sk_mutex zero_lock;
    struct sk_cond zero_idle;
    _Atomic uint64_t zeroed; /* pre-written up to here; written under zero_lock */
    bool zeroing;            /* [zeroed, ...) is being written; under zero_lock */

    uint64_t keep_bytes;       /* of page cache behind the tail; 0: as the kernel pleases */
    _Atomic uint64_t sent_out; /* the disk was asked to write up to here; the helper writes it */
    _Atomic uint64_t let_go;   /* memory was given back up to here; the helper writes it */

    struct sk_mutex sync_lock;                  /* one sync at a time */
    bool sync_failed;                           /* none any more; under sync_lock */
    _Atomic bool syncing;                       /* a hint */
    struct sk_buffer scratch;                   /* the writer's */
    struct iovec parts[2 * SK_DIRECT_MOST + 2]; /* the writer's */
    bool broken; /* the writer's: a failed append could not be undone */
};

/* Open the segments of `dir` (any number, also none) without looking at the records. With
 * `writable` leftovers of a crash are removed and the last segment can be appended to. */
SK_CHECKED struct sk_status sk_commitlog_open(struct sk_commitlog *log, struct sk_vfs *vfs,
                                              const char *dir, uint64_t store_id,
                                              uint64_t segment_bytes, bool writable);
void sk_commitlog_done(struct sk_commitlog *log);

/* Make the first segment, of an empty log. */
SK_CHECKED struct sk_status sk_commitlog_create(struct sk_commitlog *log);

/* Put a segment at the end of the row, as the active one. */
void sk_commitlog_activate(struct sk_commitlog *log, struct sk_segment *segment);

/* Where records end, found by recovery: from here on they are appended. The segments after it
 * are removed, and whatever its segment holds behind it, up to garbage_end, becomes zeros,
 * durably. */
SK_CHECKED struct sk_status sk_commitlog_cut(struct sk_commitlog *log, uint64_t tail,
                                             uint64_t garbage_end);

/* The same with whatever lies behind `tail`, also whole records and segments; the first of them is
 * gone, durably, before the others go. SK_CORRUPT: no segment has that place. */
SK_CHECKED struct sk_status sk_commitlog_truncate(struct sk_commitlog *log, uint64_t tail);

/* Append all records as one batch. On failure nothing is left behind, or `broken` is set. */
SK_CHECKED struct sk_status sk_commitlog_append(struct sk_commitlog *log,
                                                const struct sk_append *records, size_t count,
                                                struct sk_span *spans);

/* The same for one record of `epoch`, which is the log's from then on. What closes the segment
 * before it, if it needs the next one, is still of the old epoch. */
SK_CHECKED struct sk_status sk_commitlog_append_in(struct sk_commitlog *log, uint32_t epoch,
                                                   const struct sk_append *record,
                                                   struct sk_span *span);

/* Append the frames of another log with this store's id, which are found valid, at `position`: the
 * tail, or the next segment's first place when the tail's segment has no room for a header. With
 * `closes` the last of them is a pad, and the next segment is opened, too. On failure as above. */
SK_CHECKED struct sk_status sk_commitlog_append_frames(struct sk_commitlog *log, uint64_t position,
                                                       struct sk_slice frames, bool closes);

/* Make everything up to the present tail durable. After an error never call it again. */
SK_CHECKED struct sk_status sk_commitlog_sync(struct sk_commitlog *log);

/* From the present tail on, keep only the newest `keep_bytes` in the page cache
 * (commitlog_cache.c). */
void sk_commitlog_limit_cache(struct sk_commitlog *log, uint64_t keep_bytes);
/* Send out and let go of what is due, one chunk each. True: there is more. One caller at a time. */
bool sk_commitlog_trim_cache(struct sk_commitlog *log);
bool sk_commitlog_wants_trim(const struct sk_commitlog *log); /* cheap; asked after each append */

/* Work ahead of the tail: zeros, and the next segment. *more: call again. An error is as bad as
 * one of sync. */
SK_CHECKED struct sk_status sk_commitlog_prepare(struct sk_commitlog *log, bool *more);
/* Make the next segment unless it is there; false: that failed. */
bool sk_commitlog_make_spare(struct sk_commitlog *log);
/* The writer's: may `bytes` be appended without making one? True, too, when there was no room on
 * the disk to make it. */
bool sk_commitlog_has_room(const struct sk_commitlog *log, uint64_t bytes);
/* If there was no room for the next segment: try once more. */
void sk_commitlog_retry(struct sk_commitlog *log);
/* Is there such work? Cheap; asked after each append. */
bool sk_commitlog_wants_prepare(const struct sk_commitlog *log);

/* The base of the active segment, for other threads than the writer's. */
uint64_t sk_commitlog_last_base(struct sk_commitlog *log);
/* The segment that holds `position`, held for the caller; NULL if there is none. */
struct sk_segment *sk_commitlog_pin(struct sk_commitlog *log, uint64_t position);

/* Delete the oldest segment; SK_NOT_FOUND: only the active one is left. One caller at a time. */
SK_CHECKED struct sk_status sk_commitlog_drop_oldest(struct sk_commitlog *log);

static inline uint64_t sk_commitlog_tail(const struct sk_commitlog *log)
{
    /* Pairs with the release in append: who sees the tail sees the bytes below it. */
    return atomic_load_explicit(&log->tail, memory_order_acquire);
}
static inline uint64_t sk_commitlog_flushed(const struct sk_commitlog *log)
{
    return atomic_load_explicit(&log->flushed, memory_order_acquire);
}
static inline uint64_t sk_commitlog_begin(const struct sk_commitlog *log)
{
    return atomic_load_explicit(&log->begin, memory_order_acquire);
}
/* First place for a record in the segment that holds `position`. */
static inline uint64_t sk_commitlog_base(const struct sk_commitlog *log, uint64_t position)
{
    return position - position % log->segment_bytes;
}

/* Where a frame after `position`, which is the end of one, stands: there, or, when its segment has
 * no room for another header, at the next one's first place. */
static inline uint64_t sk_commitlog_place(const struct sk_commitlog *log, uint64_t position)
{
    uint64_t base = sk_commitlog_base(log, position), into = position - base;
    if (log->segment_bytes - into < SK_RECORD_HEADER)
        return base + log->segment_bytes + SK_HEADER_BYTES;
    return into < SK_HEADER_BYTES ? base + SK_HEADER_BYTES : position;
}

/* --- walking --------------------------------------------------------------------------- */

/* One record after the other, across segments; pads are passed over. */
struct sk_walk {
    struct sk_commitlog *log;
    struct sk_segment *segment; /* held; NULL before the first step */
    uint64_t position;          /* of the next frame */
    uint64_t limit;             /* do not look at or above */
    uint64_t checked;           /* whose checksums need no second look: all below; 0 at first */
    uint64_t highest_flushed;   /* of the frames seen, of those that this node wrote */
    uint64_t after;             /* end of the last frame seen */
};

struct sk_walk sk_walk_from(struct sk_commitlog *log, uint64_t position, uint64_t limit);
void sk_walk_done(struct sk_walk *walk);
/* The next frame; *position is its place. ABSENT and DAMAGED leave the walk standing there, with
 * the place in *position too; ABSENT also at the end of the last segment, and at the limit. */
enum sk_frame_verdict sk_walk_next(struct sk_walk *walk, struct sk_frame *out, uint64_t *position,
                                   const char **why);

#endif
