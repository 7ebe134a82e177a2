/* filter.h - TAG filter expressions: "a || b". protocol.md 6.1, 8.
 *
 * Tags are compared twice: their 32-bit hashes in the queue index, without touching
 * the message, and, once it is read, their text. */
#ifndef SK_BROKER_FILTER_H
#define SK_BROKER_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

struct sk_tag_filter {
    bool everything;
    size_t count; /* 0 and not everything: nothing matches */
    const struct sk_slice *tags;
    const uint32_t *hashes; /* sorted, for sk_state_choose; not in the order of tags */
};

/* Never 0 for a tag; 0 for the empty text, which is no tag. */
uint32_t sk_tag_hash(struct sk_slice tag);

/* Texts and arrays lie in `arena`; they are copies. NULL, or what is wrong with the expression. */
const char *sk_tag_filter_parse(struct sk_slice expression, sk_arena *arena,
                                struct sk_tag_filter *out);

/* Does a message with this tag (empty: none) match? */
bool sk_tag_filter_matches(const struct sk_tag_filter *filter, struct sk_slice tag);

#endif
