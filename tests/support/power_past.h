/* power_past.h - what was done to a log in memory's life: the records in order, and at which
 * operation of the disk each was submitted and promised. What a proof by power cuts holds images
 * against.
 *
 *      ops    0 ...... 41 ...... 57 ...... 60 ......
 *      submitted       12        13                      an append begins
 *      promised                            13            the store says that it is durable
 *
 * A cut after n operations must leave at least what was promised by then, and at most what was
 * submitted. */
#ifndef TESTS_SUPPORT_POWER_PAST_H
#define TESTS_SUPPORT_POWER_PAST_H

#include "store/store.h"
#include "support/power_proof.h"

enum { POWER_PAYLOAD_MOST = 2048 };

struct power_put {  /* a record as it was appended */
    uint32_t queue; /* SK_NO_QUEUE: the proof knows what it says */
    uint64_t offset;
    uint32_t len, tag_hash;
    struct sk_span span;
    bool ends_batch;
};

struct power_mark { /* once so many operations were done, so many records */
    size_t ops;
    uint64_t records;
};

struct power_marks {
    struct power_mark *list;
    size_t count, room;
};

struct power_past {
    struct power_put *puts; /* also behind count: what the life before had there */
    size_t count, room;
    struct power_marks promised, submitted;
    struct power_mark cut; /* from there on only so many records are promised; records 0: no cut */
    size_t cut_done;       /* from there on no more than those are left; 0: never */
};

void power_past_done(struct power_past *past);

/* A life begins, with the first `records` of the life before. */
void power_past_begin(struct power_past *past, uint64_t records);
/* Before an append, and after one that was refused: so many may be there from now on. */
void power_past_submit(struct power_past *past, struct memory_vfs *disk, size_t records);
void power_past_add(struct power_past *past, struct power_put put);
/* Whatever the store says by now that it will keep. */
void power_past_promise(struct power_past *past, struct memory_vfs *disk, sk_store *store);
/* A cut begins that leaves the first `records` (of which there are some); disk NULL: it was
 * refused. The records behind them stay on the list, for images of before. Nothing is added after a
 * cut. */
void power_past_cut(struct power_past *past, struct memory_vfs *disk, size_t records);
void power_past_cut_done(struct power_past *past, struct memory_vfs *disk);
void power_past_judge(const struct power_past *past, size_t ops, uint64_t records);
/* How many of the records lie below a position. */
size_t power_past_below(const struct power_past *past, uint64_t position);

/* What record `offset` of `queue` says; of another length, other bytes. `out` has
 * POWER_PAYLOAD_MOST bytes. */
struct sk_slice power_payload(uint32_t queue, uint64_t offset, uint32_t len, uint8_t *out);

/* A queue holds what the first `records` records put there, no more, no less, in their places. */
void power_past_check_queue(const struct power_past *past, uint64_t records, sk_store *store,
                            uint32_t queue);

#endif
