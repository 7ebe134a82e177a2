/* watermark.h - what this node knows of its own log, in a tiny file. Private to libstore.
 *
 *   flushed   how far the log was durable here. It tells a torn tail from rot: what lies below was
 *             synced once, so a bad frame there is damage and must never be cut away. Written after
 *             each sync of the log, without a sync of its own: it may lag behind, but never runs
 *             ahead.
 *   own_from  records at or above it were written by this node, so that their `flushed` fields
 * speak of this disk; those below may be another node's, and speak of that one's. Durable before
 * the first byte that it is about. cut       a cut to this position has begun, and the log ends
 * there: whatever still lies behind it is to go (truncate.c). Durable before the first byte goes.
 *   gone      the highest epoch that a cut took away: it may not begin here once more.
 *
 * A file that is lost or wholly damaged says flushed = 0, own_from = 0: then every record counts as
 * this node's own, and what may be rot is refused rather than cut. */
#ifndef SK_STORE_WATERMARK_H
#define SK_STORE_WATERMARK_H

#include "base/thread.h"
#include "store/vfs.h"

#define SK_OWN_NONE UINT64_MAX

struct sk_watermark {
    struct sk_vfs *vfs;
    struct sk_mutex lock;
    int fd;
    uint64_t store_id;
    uint64_t sequence; /* guarded by lock, as what follows */
    uint64_t flushed;
    uint64_t own_from; /* SK_OWN_NONE: this node receives */
    uint64_t cut;      /* 0: none is under way */
    uint32_t gone;     /* an epoch */
    bool clean;        /* the last stop was orderly */
};

/* Two slots are read, the newer valid one counts; a missing or wholly damaged file reads as 0. */
SK_CHECKED struct sk_status sk_watermark_open(struct sk_watermark *w, struct sk_vfs *vfs,
                                              const char *path, uint64_t store_id);
void sk_watermark_done(struct sk_watermark *w);
/* Smaller values than before are ignored. Failures too: the mark is a help, not a promise. */
void sk_watermark_advance(struct sk_watermark *w, uint64_t flushed);
/* The directory is in use: a mark of an orderly stop is taken back, durably. */
SK_CHECKED struct sk_status sk_watermark_begin(struct sk_watermark *w, uint64_t flushed);
/* It was left in order, durably. */
SK_CHECKED struct sk_status sk_watermark_end(struct sk_watermark *w, uint64_t flushed);
/* From `own_from` on this node writes (SK_OWN_NONE: another one does); durable when this returns,
 * and so is `flushed`, unless the mark knows more. In both slots: no rotten one brings back what
 * was before. */
SK_CHECKED struct sk_status sk_watermark_own(struct sk_watermark *w, uint64_t flushed,
                                             uint64_t own_from);
/* A cut to `position` begins, behind which records of epochs up to `epoch` lie: the mark comes down
 * to it, if it was above. In both slots, durably. */
SK_CHECKED struct sk_status sk_watermark_cut(struct sk_watermark *w, uint64_t position,
                                             uint32_t epoch);
/* It is done. In both slots, durably. */
SK_CHECKED struct sk_status sk_watermark_cut_done(struct sk_watermark *w);

struct sk_watermark_slots { /* for verify */
    bool valid[2];
    bool blank[2]; /* never written */
    uint64_t flushed, own_from, cut;
    uint32_t gone;
    bool clean;
    uint64_t sequence;
};
SK_CHECKED struct sk_status sk_watermark_read(struct sk_vfs *vfs, int fd, uint64_t store_id,
                                              struct sk_watermark_slots *out);

#endif
