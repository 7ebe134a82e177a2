/* window.c - open messages, in blocks of 64, with bit masks for whole-block work. */
#include "window.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "save.h"

enum { POOLED_BLOCKS = 512, POOLED_WINDOWS = 1024, POOLED_ENTRIES = 64 };

#define each_bit(i, mask)                                                                          \
    for (uint64_t bits_ = (mask), i; bits_ && (i = (uint64_t)__builtin_ctzll(bits_), true);        \
         bits_ &= bits_ - 1)

static uint64_t count_bits(uint64_t mask)
{
    return (uint64_t)__builtin_popcountll(mask);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* --- memory ------------------------------------------------------------------------------ */

struct sk_block *sk_block_new(struct sk_pool *pool)
{
    struct sk_block *block = pool->blocks;
    if (block) {
        pool->blocks = block->next_free;
        pool->block_count--;
    } else {
        block = sk_alloc(sizeof *block);
    }
    memset(block, 0, offsetof(struct sk_block, slots));
    block->earliest_ms = SK_NEVER;
    block->saved = pool->saver->generation;
    return block;
}

static void block_free(struct sk_block *block, struct sk_pool *pool)
{
    if (pool->block_count >= POOLED_BLOCKS) {
        free(block);
        return;
    }
    block->next_free = pool->blocks;
    pool->blocks = block;
    pool->block_count++;
}

static void window_reset(struct sk_window *w)
{
    struct sk_block_entry *entries = w->entries;
    size_t room = w->room;
    *w = (struct sk_window){.entries = entries, .room = room, .earliest_ms = SK_NEVER};
}

struct sk_window *sk_window_new(struct sk_pool *pool)
{
    struct sk_window *w = pool->windows;
    if (w) {
        pool->windows = w->next;
        pool->window_count--;
    } else {
        w = sk_zalloc(1, sizeof *w);
    }
    window_reset(w);
    return w;
}

static void window_free(struct sk_window *w, struct sk_pool *pool)
{
    if (pool->window_count >= POOLED_WINDOWS || w->room > POOLED_ENTRIES) {
        free(w->entries);
        free(w);
        return;
    }
    w->next = pool->windows;
    pool->windows = w;
    pool->window_count++;
}

bool sk_window_free_some(struct sk_window *w, struct sk_pool *pool, bool keep, size_t *budget)
{
    for (; w->count && *budget; --*budget) {
        const struct sk_block_entry *e = &w->entries[w->head + --w->count];
        if (keep) sk_keep_block(pool->saver, w, e->index, e->block);
        block_free(e->block, pool);
    }
    if (w->count) return false;
    window_free(w, pool);
    return true;
}

void sk_pool_done(struct sk_pool *pool)
{
    while (pool->blocks) {
        struct sk_block *block = pool->blocks;
        pool->blocks = block->next_free;
        free(block);
    }
    while (pool->windows) {
        struct sk_window *w = pool->windows;
        pool->windows = w->next;
        free(w->entries);
        free(w);
    }
    *pool = (struct sk_pool){.saver = pool->saver};
}

/* --- the directory ----------------------------------------------------------------------- */

static struct sk_block_entry *entries_of(const struct sk_window *w)
{
    return w->entries + w->head;
}

/* How many blocks lie below `index`. */
size_t sk_window_entry(const struct sk_window *w, uint64_t index)
{
    if (w->count == 0) return 0;
    const struct sk_block_entry *e = entries_of(w);
    if (index > e[w->count - 1].index) return w->count;
    if (index <= e[0].index) return 0;

    uint64_t guess = index - e[0].index; /* right as long as no block is missing */
    if (guess < w->count && e[guess].index == index) return (size_t)guess;

    size_t low = 0, high = w->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (e[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void make_room(struct sk_window *w)
{
    if (w->head + w->count < w->room) return;
    if (w->head > w->room / 2) {
        memmove(w->entries, entries_of(w), w->count * sizeof *w->entries);
        w->head = 0;
        return;
    }
    w->room = w->room ? w->room * 2 : 4;
    w->entries = sk_realloc(w->entries, w->room, sizeof *w->entries);
}

static void insert_entry(struct sk_window *w, size_t at, uint64_t index, struct sk_block *block)
{
    make_room(w);
    struct sk_block_entry *e = entries_of(w);
    memmove(e + at + 1, e + at, (w->count - at) * sizeof *e);
    e[at] = (struct sk_block_entry){.index = index, .block = block};
    w->count++;
}

static void remove_entry(struct sk_window *w, struct sk_pool *pool, size_t at)
{
    struct sk_block_entry *e = entries_of(w);
    block_free(e[at].block, pool);
    w->count--;
    if (at == 0)
        w->head = w->count ? w->head + 1 : 0;
    else
        memmove(e + at, e + at + 1, (w->count - at) * sizeof *e);
}

/* The bits of block `index` that lie in [first, end). */
static uint64_t mask_of(uint64_t index, uint64_t first, uint64_t end)
{
    uint64_t base = index << SK_BLOCK_SHIFT, mask = UINT64_MAX;
    if (first >= base + SK_BLOCK_SLOTS || end <= base) return 0;
    if (first > base) mask &= UINT64_MAX << (first - base);
    if (end < base + SK_BLOCK_SLOTS) mask &= ~(UINT64_MAX << (end - base));
    return mask;
}

/* --- hints ------------------------------------------------------------------------------- */

static uint64_t block_earliest(struct sk_block *b)
{
    if (b->stale) {
        b->earliest_ms = SK_NEVER;
        each_bit(i, b->leased) b->earliest_ms = smaller(b->earliest_ms, b->slots[i].deadline_ms);
        if (b->returned) b->earliest_ms = 0;
        b->stale = false;
    }
    return b->earliest_ms;
}

bool sk_window_has_due(const struct sk_window *w, uint64_t now_ms)
{
    if (w->earliest_ms <= now_ms && w->stale) {
        struct sk_window *notes = (struct sk_window *)(uintptr_t)w;
        uint64_t earliest = SK_NEVER;
        for (size_t i = 0; i < w->count; i++)
            earliest = smaller(earliest, block_earliest(entries_of(w)[i].block));
        notes->earliest_ms = earliest;
        notes->stale = false;
    }
    return w->earliest_ms <= now_ms;
}

static void note_deadline(struct sk_window *w, struct sk_block *b, uint64_t deadline_ms)
{
    b->earliest_ms = smaller(b->earliest_ms, deadline_ms);
    w->earliest_ms = smaller(w->earliest_ms, deadline_ms);
}

/* What had this deadline is closed, or has another one. */
static void note_end(struct sk_window *w, struct sk_block *b, uint64_t deadline_ms)
{
    if (deadline_ms <= b->earliest_ms) b->stale = true;
    if (deadline_ms <= w->earliest_ms) w->stale = true;
}

/* --- changes ----------------------------------------------------------------------------- */

/* Take `mask` out of what is open. */
static void forget(struct sk_window *w, struct sk_block *b, uint64_t mask)
{
    each_bit(i, mask & b->leased) note_end(w, b, b->slots[i].deadline_ms);
    if (mask & b->returned) note_end(w, b, 0);
    w->leased -= count_bits(mask & b->leased);
    w->returned -= count_bits(mask & b->returned);
    w->renewing -= count_bits(mask & b->renewing);
    b->leased &= ~mask;
    b->returned &= ~mask;
    b->renewing &= ~mask;
}

static void fill_slots(struct sk_block *b, uint64_t mask, uint64_t again,
                       const struct sk_terms *terms)
{
    each_bit(i, mask)
    {
        struct sk_slot *slot = &b->slots[i];
        uint32_t before = again >> i & 1 ? slot->attempt : 0;
        *slot = (struct sk_slot){.position = terms->lease.position,
                                 .epoch = terms->lease.epoch,
                                 .deadline_ms = terms->deadline_ms,
                                 .owner = terms->owner,
                                 .attempt = before + (before < UINT32_MAX),
                                 .given_s = terms->given_s};
    }
}

static void lease_in_block(struct sk_window *w, struct sk_block *b, uint64_t mask,
                           const struct sk_terms *terms)
{
    uint64_t again = mask & (b->leased | b->returned);
    forget(w, b, again);
    fill_slots(b, mask, again, terms);
    b->leased |= mask;
    w->leased += count_bits(mask);
    if (terms->auto_renew) {
        b->renewing |= mask;
        w->renewing += count_bits(mask);
    }
    note_deadline(w, b, terms->deadline_ms);
}

bool sk_window_lease(struct sk_window *w, struct sk_pool *pool, uint64_t first, uint64_t end,
                     uint64_t next, const struct sk_terms *terms)
{
    for (uint64_t index = first >> SK_BLOCK_SHIFT; index << SK_BLOCK_SHIFT < end; index++) {
        uint64_t mask = mask_of(index, first, end);
        uint64_t must_be_open = mask & mask_of(index, 0, next);
        size_t at = sk_window_entry(w, index);
        struct sk_block *b =
            at < w->count && entries_of(w)[at].index == index ? entries_of(w)[at].block : NULL;

        if (must_be_open & ~(b ? b->leased | b->returned : 0)) return false;
        if (!b) {
            b = sk_block_new(pool);
            insert_entry(w, at, index, b);
        }
        sk_keep_block(pool->saver, w, index, b);
        lease_in_block(w, b, mask, terms);
    }
    return true;
}

void sk_window_close(struct sk_window *w, struct sk_pool *pool, uint64_t first, uint64_t end)
{
    size_t at = sk_window_entry(w, first >> SK_BLOCK_SHIFT);
    while (at < w->count && entries_of(w)[at].index << SK_BLOCK_SHIFT < end) {
        struct sk_block_entry *e = &entries_of(w)[at];
        uint64_t open = e->block->leased | e->block->returned;
        uint64_t mask = mask_of(e->index, first, end) & open;
        if (mask) sk_keep_block(pool->saver, w, e->index, e->block);
        forget(w, e->block, mask);
        if (e->block->leased | e->block->returned)
            at++;
        else
            remove_entry(w, pool, at);
    }
}

static void release(struct sk_window *w, struct sk_block *b, uint64_t mask)
{
    forget(w, b, mask);
    each_bit(i, mask) b->slots[i].attempt--;
    b->returned |= mask;
    w->returned += count_bits(mask);
    note_deadline(w, b, 0);
}

static void renew(struct sk_window *w, struct sk_block *b, uint64_t mask,
                  const struct sk_settle *how)
{
    each_bit(i, mask)
    {
        note_end(w, b, b->slots[i].deadline_ms);
        b->slots[i].deadline_ms = how->deadline_ms;
        if (how->kind != SK_RECORD_CHANGE) continue;
        b->slots[i].position = how->new_lease.position;
        b->slots[i].epoch = how->new_lease.epoch;
    }
    if (how->kind == SK_RECORD_CHANGE) { /* the consumer has taken it in its own hands */
        w->renewing -= count_bits(mask & b->renewing);
        b->renewing &= ~mask;
    }
    note_deadline(w, b, how->deadline_ms);
}

static void settle_in_block(struct sk_window *w, struct sk_pool *pool,
                            const struct sk_block_entry *e, uint64_t mask,
                            const struct sk_settle *how)
{
    struct sk_block *b = e->block;
    uint64_t hit = 0;
    each_bit(i, mask & b->leased)
    {
        if (sk_lease_id_eq(sk_slot_lease(&b->slots[i]), how->lease)) hit |= (uint64_t)1 << i;
    }
    if (!hit) return;
    sk_keep_block(pool->saver, w, e->index, b);
    if (how->kind == SK_RECORD_ACK)
        forget(w, b, hit);
    else if (how->kind == SK_RECORD_RELEASE)
        release(w, b, hit);
    else
        renew(w, b, hit, how);
}

void sk_window_settle(struct sk_window *w, struct sk_pool *pool, uint64_t first, uint64_t end,
                      const struct sk_settle *how)
{
    size_t at = sk_window_entry(w, first >> SK_BLOCK_SHIFT);
    while (at < w->count && entries_of(w)[at].index << SK_BLOCK_SHIFT < end) {
        struct sk_block_entry *e = &entries_of(w)[at];
        settle_in_block(w, pool, e, mask_of(e->index, first, end), how);
        if (e->block->leased | e->block->returned)
            at++;
        else
            remove_entry(w, pool, at);
    }
}

bool sk_window_insert_block(struct sk_window *w, uint64_t index, struct sk_block *block)
{
    size_t at = sk_window_entry(w, index);
    if (at < w->count && entries_of(w)[at].index == index) return false;
    insert_entry(w, at, index, block);
    w->leased += count_bits(block->leased);
    w->returned += count_bits(block->returned);
    w->renewing += count_bits(block->renewing);
    block->stale = true;
    w->earliest_ms = smaller(w->earliest_ms, block_earliest(block));
    return true;
}

/* --- questions --------------------------------------------------------------------------- */

bool sk_window_is_empty(const struct sk_window *w)
{
    return w->count == 0;
}

uint64_t sk_window_first(const struct sk_window *w)
{
    if (w->count == 0) return SK_NEVER;
    const struct sk_block_entry *e = entries_of(w);
    return (e->index << SK_BLOCK_SHIFT) +
           (uint64_t)__builtin_ctzll(e->block->leased | e->block->returned);
}

struct sk_block *sk_window_find(const struct sk_window *w, uint64_t offset, unsigned *bit)
{
    size_t at = sk_window_entry(w, offset >> SK_BLOCK_SHIFT);
    if (at == w->count || entries_of(w)[at].index != offset >> SK_BLOCK_SHIFT) return NULL;
    struct sk_block *b = entries_of(w)[at].block;
    *bit = (unsigned)(offset & (SK_BLOCK_SLOTS - 1));
    return (b->leased | b->returned) >> *bit & 1 ? b : NULL;
}

bool sk_window_next_due(const struct sk_window *w, size_t *at, uint64_t now_ms, struct sk_due *out)
{
    for (; *at < w->count; (*at)++) {
        const struct sk_block_entry *e = &entries_of(w)[*at];
        if (block_earliest(e->block) > now_ms) continue;
        uint64_t mask = e->block->returned;
        each_bit(i, e->block->leased) mask |= (uint64_t)(e->block->slots[i].deadline_ms <= now_ms)
                                              << i;
        if (mask) {
            *out = (struct sk_due){.base = e->index << SK_BLOCK_SHIFT, .mask = mask};
            (*at)++;
            return true;
        }
    }
    return false;
}
