/* normalise.h - a Message that the scan found unusual, made usual.
 *
 * Sub-messages that were given twice are joined, protobuf-c unpacks it, what only a
 * server may set is taken off, and it is packed again: then the scan likes it. Slow, and rare. */
#ifndef SK_BROKER_NORMALISE_H
#define SK_BROKER_NORMALISE_H

#include "base/arena.h"
#include "base/slice.h"

/* `message` is the serialized content of one Message. The result lies in `arena`; data is NULL
 * if the bytes are not a Message, or the arena's budget does not suffice. */
struct sk_slice sk_normalise_message(struct sk_slice message, sk_arena *arena);

#endif
