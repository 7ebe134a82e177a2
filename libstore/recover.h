/* recover.h - where the log ends, and whether that may be. Private to libstore; verify asks the
 * same questions. */
#ifndef SK_STORE_RECOVER_H
#define SK_STORE_RECOVER_H

#include "commitlog.h"

struct sk_end {
    enum sk_frame_verdict verdict; /* of what stands at `bad` */
    uint64_t bad;                  /* first place that is not a record */
    uint64_t tail;                 /* end of the last whole batch */
    uint64_t after;       /* the same, when a few bytes too short for a header lie between */
    uint64_t proven;      /* durable, say the records that this node wrote */
    uint64_t garbage_end; /* after the last byte behind the tail that is not zero */
    uint32_t epoch;       /* highest one of the records, also of those behind the end */
    const char *why;
};

/* Scan from `from`, which must be the place of a record or of the end. */
struct sk_end sk_find_end(struct sk_commitlog *log, uint64_t from);
/* Look behind the end for records that were written after it, whose `flushed` field may prove that
 * the end once was durable, and for the last byte that is not zero: `proven` and `garbage_end`. */
void sk_look_behind(struct sk_commitlog *log, struct sk_end *end);

/* Forget what the page cache shows from `from` on, which may not be what the disk has after a
 * failed fsync. */
void sk_distrust_cache(struct sk_commitlog *log, uint64_t from);

/* The first place at or after `from` where a valid record begins; UINT64_MAX: none. */
uint64_t sk_find_record(struct sk_commitlog *log, uint64_t from);

/* SK_CORRUPT when the end lies below what was durable. */
SK_CHECKED struct sk_status sk_end_check(const struct sk_commitlog *log, const struct sk_end *end,
                                         uint64_t durable);

/* SK_CORRUPT, naming the segment that is missing, when the log does not have the places of the
 * snapshots that count: the two newest of `positions` (ascending), which retention leaves what they
 * need, or the one that was loaded. An older one is a leftover. */
SK_CHECKED struct sk_status sk_log_reaches(const struct sk_commitlog *log,
                                           const uint64_t *positions, size_t count);

#endif
