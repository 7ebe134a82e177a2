/* window.h - which messages of a queue are open for a group, and who holds them.
 *
 *      committed                            next
 *      v                                    v
 *   ---+--.--L--.--R--.--.--.--.--.--.--.---+----
 *         |block 0|       (no block)  |bl. 3|
 *
 * Below `next` (which the subscription keeps) a message is open, that is leased
 * (L) or returned (R), or else acknowledged (.). Only open messages cost memory:
 * they live in blocks of 64 consecutive offsets, and a block without open
 * messages does not exist. So a million acknowledgements above a stuck message
 * cost nothing, and the committed offset is the first open one.
 *
 * `earliest_ms` of a block and of the window: before then nothing in it may be
 * delivered again. It is the earliest deadline (0 for a returned message), or, if
 * `stale`, at most that: an acknowledgement does not look for the next one. Asking
 * makes it exact, for which a const window will do: it is a note to ourselves, no
 * part of the state.
 *
 * Threads: none. */
#ifndef SK_STATE_WINDOW_H
#define SK_STATE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "records.h"

enum { SK_BLOCK_SLOTS = 64, SK_BLOCK_SHIFT = 6 };

#define SK_NEVER UINT64_MAX

/* Of a returned message only `attempt` means anything. */
struct sk_slot {
    uint64_t position; /* with epoch: the lease */
    uint64_t deadline_ms;
    uint64_t owner;
    uint32_t epoch;
    uint32_t attempt; /* deliveries so far, the present one included */
    uint32_t given_s; /* when the lease was given, seconds since 1970 */
};

static inline struct sk_lease_id sk_slot_lease(const struct sk_slot *slot)
{
    return (struct sk_lease_id){.epoch = slot->epoch, .position = slot->position};
}

struct sk_block {
    uint64_t leased, returned; /* a bit per slot; never both */
    uint64_t renewing;         /* of the leased: auto renew */
    uint64_t earliest_ms;      /* SK_NEVER without open messages */
    uint32_t saved;            /* save.h */
    bool stale;
    struct sk_block *next_free;
    struct sk_slot slots[SK_BLOCK_SLOTS];
};

struct sk_block_entry {
    uint64_t index; /* the block holds offsets from index * 64 on */
    struct sk_block *block;
};

struct sk_window {
    struct sk_block_entry *entries; /* entries[head .. head + count), in order of index */
    size_t head, count, room;
    uint64_t leased, returned, renewing; /* how many */
    uint64_t earliest_ms;
    bool stale;

    /* The subscription's. */
    struct sk_subscription *subscription;
    uint32_t queue;
    struct sk_window *next, *prev; /* its windows; next of those that are buried */
    uint64_t key;                  /* the subscription's: outlives it */
    uint32_t kept_for;             /* once buried (buried.c) */
    size_t
        renewing_at; /* its place in the state's list of those with auto-renewed leases, from 1 */
};

/* Blocks and windows that were freed, for the next use: delivery and acknowledgement of a
 * few messages at a time should not go through malloc. */
struct sk_pool {
    struct sk_block *blocks;
    struct sk_window *windows;
    size_t block_count, window_count;
    struct sk_saver *saver; /* told of blocks that are about to change */
};

void sk_pool_done(struct sk_pool *pool);
struct sk_window *sk_window_new(struct sk_pool *pool);
/* Some of its blocks, at most *budget, which is counted down; true: it is gone. `keep`: the
 * snapshot under way may have to be told of them. */
bool sk_window_free_some(struct sk_window *w, struct sk_pool *pool, bool keep, size_t *budget);

bool sk_window_is_empty(const struct sk_window *w);

/* The first open offset; SK_NEVER if there is none. */
uint64_t sk_window_first(const struct sk_window *w);

/* May anything in it be delivered again at now_ms? Makes w->earliest_ms exact if that is so, or
 * if it only looked so. */
bool sk_window_has_due(const struct sk_window *w, uint64_t now_ms);

/* The block that holds `offset`, and its bit there; NULL if the message is not open. */
struct sk_block *sk_window_find(const struct sk_window *w, uint64_t offset, unsigned *bit);

/* Lease [first, end). Offsets below `next` must be open: they get one more attempt.
 * False, with a part done, if one is not. */
struct sk_terms {
    struct sk_lease_id lease;
    uint64_t deadline_ms;
    uint64_t owner;
    uint32_t given_s;
    bool auto_renew;
};
bool sk_window_lease(struct sk_window *w, struct sk_pool *pool, uint64_t first, uint64_t end,
                     uint64_t next, const struct sk_terms *terms);

/* Acknowledge whatever is open in [first, end). */
void sk_window_close(struct sk_window *w, struct sk_pool *pool, uint64_t first, uint64_t end);

/* Do what an ACK, CHANGE, RENEW or RELEASE record says to those messages of [first, end)
 * that are leased under `lease`. */
struct sk_settle {
    enum sk_record_kind kind;
    struct sk_lease_id lease;
    uint64_t deadline_ms;         /* CHANGE, RENEW */
    struct sk_lease_id new_lease; /* CHANGE */
};
void sk_window_settle(struct sk_window *w, struct sk_pool *pool, uint64_t first, uint64_t end,
                      const struct sk_settle *how);

/* The next block with messages that may be delivered again at now_ms: returned ones, and leased
 * ones whose deadline came. *at starts at 0. Offset base + i for each bit i of mask. */
struct sk_due {
    uint64_t base;
    uint64_t mask;
};
bool sk_window_next_due(const struct sk_window *w, size_t *at, uint64_t now_ms, struct sk_due *out);

/* w->entries[w->head + this] is the first block at or behind `index`; w->count: there is none. */
size_t sk_window_entry(const struct sk_window *w, uint64_t index);

/* For loading: a block, filled by the caller. False: there is one. */
struct sk_block *sk_block_new(struct sk_pool *pool);
bool sk_window_insert_block(struct sk_window *w, uint64_t index, struct sk_block *block);

#endif
