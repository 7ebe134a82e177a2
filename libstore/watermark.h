/* watermark.h - how far the log was known durable, in a tiny file of its own. Private to libstore.
 *
 * It tells a torn tail from rot: what lies below the mark was synced once, so a bad frame there
 * is damage and must never be cut away. It is written after each sync of the log, without a sync of
 * its own: it may lag behind, but never runs ahead. */
#ifndef SK_STORE_WATERMARK_H
#define SK_STORE_WATERMARK_H

#include "base/thread.h"
#include "store/vfs.h"

struct sk_watermark {
    struct sk_vfs *vfs;
    struct sk_mutex lock;
    int fd;
    uint64_t store_id;
    uint64_t sequence; /* guarded by lock */
    uint64_t flushed;  /* guarded by lock */
    bool clean;        /* the last stop was orderly; guarded by lock */
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

struct sk_watermark_slots { /* for verify */
    bool valid[2];
    bool blank[2]; /* never written */
    uint64_t flushed;
    bool clean;
    uint64_t sequence;
};
SK_CHECKED struct sk_status sk_watermark_read(struct sk_vfs *vfs, int fd, uint64_t store_id,
                                              struct sk_watermark_slots *out);

#endif
