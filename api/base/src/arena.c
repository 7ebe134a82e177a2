/* arena.c - chained blocks, freed whole.
 *
 *   arena ─► block (newest) ─► block ─► … ─► first block (kept by reset)
 *
 * A request larger than half a block gets a block of its own behind the newest,
 * so that the room left in the newest is not lost. */
#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 256 * 1024, ALIGNMENT = 16 };

struct block {
    struct block *older;
    size_t room, used;
    _Alignas(ALIGNMENT) unsigned char bytes[];
};

struct sk_arena {
    struct block *newest;
    struct block *first;
    size_t budget; /* SIZE_MAX: no limit */
    size_t used;   /* handed out, rounding included */
    bool exhausted;
};

static struct block *block_new(size_t room, struct block *older)
{
    struct block *b = malloc(sizeof *b + room);
    if (b) *b = (struct block){.older = older, .room = room};
    return b;
}

sk_arena *sk_arena_new(size_t budget_bytes)
{
    sk_arena *a = sk_alloc(sizeof *a);
    struct block *first = sk_alloc(sizeof *first + FIRST_BLOCK);
    *first = (struct block){.room = FIRST_BLOCK};
    *a = (sk_arena){
        .newest = first, .first = first, .budget = budget_bytes ? budget_bytes : SIZE_MAX};
    return a;
}

static void free_above_first(sk_arena *a)
{
    struct block *next;
    for (struct block *b = a->newest; b; b = next) {
        next = b->older;
        if (b != a->first) free(b);
    }
    a->newest = a->first;
    a->first->older = NULL;
}

void sk_arena_free(sk_arena *a)
{
    if (!a) return;
    free_above_first(a);
    free(a->first);
    free(a);
}

void sk_arena_free_p(sk_arena **a) { sk_arena_free(*a); }

void sk_arena_reset(sk_arena *a)
{
    free_above_first(a);
    a->first->used = 0;
    a->used = 0;
    a->exhausted = false;
}

static void *own_block(sk_arena *a, size_t size)
{
    struct block *b = block_new(size, a->newest->older);
    if (!b) return NULL;
    b->used = size;
    a->newest->older = b;
    return b->bytes;
}

static void *from_new_block(sk_arena *a, size_t size)
{
    size_t room = a->newest->room * 2;
    if (room > LARGEST_BLOCK) room = LARGEST_BLOCK;
    if (size > room / 2) return own_block(a, size);
    struct block *b = block_new(room, a->newest);
    if (!b) return NULL;
    a->newest = b;
    b->used = size;
    return b->bytes;
}

void *sk_arena_alloc(sk_arena *a, size_t size)
{
    size_t rounded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (rounded < size || rounded > a->budget - a->used) {
        a->exhausted = true;
        return NULL;
    }
    struct block *b = a->newest;
    void *p = b->bytes + b->used;
    if (rounded <= b->room - b->used) b->used += rounded;
    else p = from_new_block(a, rounded);
    if (p) a->used += rounded;
    else a->exhausted = true;
    return p;
}

void *sk_arena_zalloc(sk_arena *a, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        a->exhausted = true;
        return NULL;
    }
    void *p = sk_arena_alloc(a, total);
    return p ? memset(p, 0, total) : NULL;
}

void *sk_arena_copy(sk_arena *a, const void *data, size_t len)
{
    void *p = sk_arena_alloc(a, len);
    return p && len ? memcpy(p, data, len) : p;
}

char *sk_arena_text(sk_arena *a, struct sk_slice bytes)
{
    char *p = bytes.len < SIZE_MAX ? sk_arena_alloc(a, bytes.len + 1) : NULL;
    if (!p) return NULL;
    if (bytes.len) memcpy(p, bytes.data, bytes.len);
    p[bytes.len] = '\0';
    return p;
}

char *sk_arena_printf(sk_arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    char *p = n >= 0 ? sk_arena_alloc(a, (size_t)n + 1) : NULL;
    if (p) vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(args);
    return p;
}

size_t sk_arena_used(const sk_arena *a) { return a->used; }
bool sk_arena_is_exhausted(const sk_arena *a) { return a->exhausted; }
