/* find.h - topics and groups by name. */
#ifndef SK_PLACING_FIND_H
#define SK_PLACING_FIND_H

#include "placing/placing.h"
#include "service/codes.h"

/* *out until the next commit. */
SK_CHECKED struct sk_verdict sk_see_topic(sk_placing *placing, struct sk_turn *turn,
                                          struct sk_slice name, const struct sk_topic **out);
SK_CHECKED struct sk_verdict sk_see_group(sk_placing *placing, struct sk_turn *turn,
                                          struct sk_slice name, const struct sk_group **out);
/* The same, but one that is not there is made, if the settings allow that. Not for whoever was told
 * of a deletion: it would undo it. */
SK_CHECKED struct sk_verdict sk_find_topic(sk_placing *placing, struct sk_turn *turn,
                                           struct sk_slice name, const struct sk_topic **out);
SK_CHECKED struct sk_verdict sk_find_group(sk_placing *placing, struct sk_turn *turn,
                                           struct sk_slice name, const struct sk_group **out);

#endif
