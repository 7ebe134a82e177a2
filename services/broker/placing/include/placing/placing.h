/* placing.h - where a message goes: its topic, which may be made now (find.h), its queue, and the
 * append that it shares with others (burst.h).
 *
 * Threads: any; what takes a turn under the ledger's lock. */
#ifndef SK_PLACING_PLACING_H
#define SK_PLACING_PLACING_H

#include "broker/node.h"

typedef struct sk_placing sk_placing;

sk_placing *sk_placing_new(const struct sk_node *node);
void sk_placing_free(sk_placing *placing); /* NULL is fine */

/* A number that grows by one each time, per topic: spreads sends (and receives) over its queues.
 * Under the ledger's lock. */
uint32_t sk_rotate(sk_placing *placing, uint32_t topic);

#endif
