/* names.h - things with a name and a number: topics, and groups.
 *
 * Found by either; walked in order of name or of number. Numbers begin at 1,
 * grow, and are never given out again. A thing embeds a sk_named as its first member. */
#ifndef SK_STATE_NAMES_H
#define SK_STATE_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#define uthash_malloc(size) sk_alloc(size)
#include <uthash.h>
/* uthash lets a chain grow to ten before it doubles their number. With ten thousand topics each
 * link is a miss of the cache: 2.2 of them for a name, 1.3 with this. (With two, it doubles on to
 * 33 million.) */
#undef HASH_BKT_CAPACITY_THRESH
#define HASH_BKT_CAPACITY_THRESH 6U

#include "base/slice.h"

struct sk_named {
    struct sk_slice name; /* our copy */
    uint32_t id;
    UT_hash_handle by_name, by_id;
};

struct sk_names {
    struct sk_named *by_name, *by_id; /* heads of the hash tables */
    struct sk_named **sorted;         /* by name */
    size_t count, room;
    uint32_t next_id;
};

/* `thing` becomes the table's until it is removed. id 0: the next one. The name must be new. */
void sk_names_add(struct sk_names *names, struct sk_named *thing, struct sk_slice name,
                  uint32_t id);
/* Takes it out and frees the name, not the thing. */
void sk_names_remove(struct sk_names *names, struct sk_named *thing);
void *sk_names_find(const struct sk_names *names, struct sk_slice name);
void *sk_names_by_id(const struct sk_names *names, uint32_t id);
/* Place in `sorted` of the first thing after that name, whether or not it is there; empty: 0. */
size_t sk_names_after(const struct sk_names *names, struct sk_slice name);
/* Was this number ever given out? */
bool sk_names_knows(const struct sk_names *names, uint32_t id);
/* An array of all, in order of number; the caller frees it. */
struct sk_named **sk_names_in_order_of_id(const struct sk_names *names);
/* All must have been removed. */
void sk_names_done(struct sk_names *names);

#endif
