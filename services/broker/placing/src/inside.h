/* inside.h - placing, as its own files see it. */
#ifndef SK_PLACING_INSIDE_H
#define SK_PLACING_INSIDE_H

#include "placing/burst.h"

enum { SK_BURST_RECORDS = 256, SK_ROTATIONS = 1024 };

/* Where the records of a burst stand side by side; guarded by the ledger's lock. Not on the stack,
 * where they would be cleared each time. */
struct sk_burst_room {
    struct sk_append records[SK_BURST_RECORDS];
    struct sk_span spans[SK_BURST_RECORDS];
};

struct sk_placing {
    const struct sk_node *node;
    struct sk_burst_room *room;
    uint32_t rotations[SK_ROTATIONS]; /* guarded by the ledger's lock */
};

#endif
