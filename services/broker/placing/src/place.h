/* place.h - may a topic take these messages, and where do they go? Under the ledger's lock. */
#ifndef SK_PLACING_PLACE_H
#define SK_PLACING_PLACE_H

#include "placing/burst.h"

SK_CHECKED struct sk_verdict sk_place_check(const struct sk_topic *topic,
                                            const struct sk_send *send);

/* Choose the queue of a request and fill its records. Those from `first` up to `send` have their
 * places, and are not appended yet. */
void sk_place(sk_placing *placing, const struct sk_turn *turn, const struct sk_topic *topic,
              const struct sk_send *first, struct sk_send *send);

#endif
