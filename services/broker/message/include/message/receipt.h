/* receipt.h - receipt handles: "this delivery, of this message, by this broker".
 *
 * Opaque text to clients, who hand it back with acks. It names the broker, so that
 * whoever gets it can pass it on to the right one, and carries the lease, so that a
 * handle of an earlier delivery is known to be stale. */
#ifndef SK_BROKER_RECEIPT_H
#define SK_BROKER_RECEIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { SK_RECEIPT_BROKER_MAX = 127, SK_RECEIPT_TEXT_MAX = 224 };

struct sk_receipt {
    struct sk_slice broker; /* its name */
    uint32_t group, topic;  /* ids */
    uint32_t queue;
    uint64_t offset;
    uint32_t epoch; /* these two are the lease id */
    uint64_t position;
};

/* Returns the length of the text; no terminating zero. */
size_t sk_receipt_encode(const struct sk_receipt *receipt, char out[SK_RECEIPT_TEXT_MAX]);

/* False for anything that sk_receipt_encode did not write. `room` (of SK_RECEIPT_TEXT_MAX bytes)
 * holds receipt->broker. */
bool sk_receipt_decode(struct sk_slice text, uint8_t room[SK_RECEIPT_TEXT_MAX],
                       struct sk_receipt *out);

#endif
