/* arena.h - memory that is freed all at once.
 *
 * One arena per RPC call, one scratch arena per loop. Blocks are chained and
 * grow; nothing is freed singly. A budget bounds what one peer can make us
 * allocate: past it, sk_arena_alloc returns NULL and `sk_arena_is_exhausted`
 * stays true (reliability.md 0.9: protobuf-c can be made to blow 4 MB up to
 * 300 MB).
 *
 * Threads: one at a time. Hand over the arena with the call that owns it. */
#ifndef SK_BASE_ARENA_H
#define SK_BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

typedef struct sk_arena sk_arena;

/* budget_bytes: most that may be handed out; 0 means no limit. Never NULL: a
 * failure to get the first small block ends the process. */
sk_arena *sk_arena_new(size_t budget_bytes);
void sk_arena_free(sk_arena *arena);
void sk_arena_free_p(sk_arena **arena); /* for SK_CLEANUP */

/* Forget everything, keep the first block for the next use. */
void sk_arena_reset(sk_arena *arena);

/* Aligned for any type. Not zeroed. NULL only when the budget is exceeded.
 * size 0 gives a valid pointer. */
void *sk_arena_alloc(sk_arena *arena, size_t size);

/* As sk_arena_alloc, zeroed, for `count` things of `size`; overflow is checked. */
void *sk_arena_zalloc(sk_arena *arena, size_t count, size_t size);

/* Copies. NULL when the budget is exceeded. _text adds a terminating zero. */
void *sk_arena_copy(sk_arena *arena, const void *data, size_t len);
char *sk_arena_text(sk_arena *arena, struct sk_slice bytes);
char *sk_arena_printf(sk_arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

size_t sk_arena_used(const sk_arena *arena);
bool sk_arena_is_exhausted(const sk_arena *arena);

#endif
