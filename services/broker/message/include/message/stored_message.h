/* stored_message.h - a message as it lies in the log, and as it is delivered.
 *
 *      log:       head | other fields ................. | system properties |
 *                        \___ straight from the log ___/   \____ copied ____/
 *      delivery:  tag,len | other fields ................ | tag,len | system properties | suffix
 *
 * What the client sent is stored byte for byte, but kept in two spans, so that a
 * delivery can put its own scalars behind the system properties without encoding
 * anything anew (design.md 2). The suffix holds every field that only the server
 * may set: the last value of a scalar wins in every parser, so nothing that a
 * client wrote there shows. (Sub-messages of that kind were taken off before.) */
#ifndef SK_BROKER_STORED_MESSAGE_H
#define SK_BROKER_STORED_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "message/scan.h"

enum { SK_STORED_HEAD_MAX = 128, SK_STORED_PARTS = 4, SK_STORED_HOST_MAX = 64 };

/* The payload's parts for sk_store_append. `head` is the caller's and, like the message,
 * must live until the append. type: a MessageType. born_host: for messages that name none,
 * cut at SK_STORED_HOST_MAX. */
void sk_stored_encode(const struct sk_scanned_message *message, int type, uint64_t arrival_ms,
                      struct sk_slice born_host, uint8_t head[SK_STORED_HEAD_MAX],
                      struct sk_slice parts[SK_STORED_PARTS]);

enum { SK_STORED_HEAD_LEAST = 36, SK_STORED_HEAD_HOST_AT = 34, SK_STORED_HEAD_CHOICE_AT = 35 };

/* The head at the beginning of a payload, or of its first part: what the state is told of a
 * message. Empty if there is no whole one. */
static inline struct sk_slice sk_stored_head(struct sk_slice payload)
{
    if (payload.len < SK_STORED_HEAD_LEAST) return SK_EMPTY;
    size_t len = SK_STORED_HEAD_LEAST + (size_t)payload.data[SK_STORED_HEAD_HOST_AT] +
                 (size_t)payload.data[SK_STORED_HEAD_CHOICE_AT];
    return payload.len < len ? SK_EMPTY : sk_slice_of(payload.data, len);
}

struct sk_stored_message {
    struct sk_slice others, system; /* spans into the payload, as all slices here */
    struct sk_slice body, tag;
    int type, encoding;
    bool add_born_time, add_born_host; /* the client gave none: these are ours */
    uint64_t arrival_ms;
    struct sk_slice born_host;
};

/* False if these bytes are not what sk_stored_encode made. */
bool sk_stored_parse(struct sk_slice payload, struct sk_stored_message *out);

/* What the server says of a message that it delivers. */
struct sk_delivery {
    struct sk_slice store_host;
    uint64_t store_ms;
    struct sk_slice receipt_handle; /* empty on the pull side */
    uint32_t queue;
    uint64_t offset;
    uint32_t attempt;
    uint64_t invisible_ms; /* 0: not told */
    bool crc32;            /* this client can verify one */
};

struct sk_spliced {
    struct sk_slice head; /* tag and length of field 2 (`message`) of the response */
    struct sk_slice tail; /* system_properties, whole */
};

/* The response's bytes are head, message->others, tail. Head and tail lie in `arena`; false when
 * its budget does not suffice. */
bool sk_stored_splice(const struct sk_stored_message *message, const struct sk_delivery *delivery,
                      sk_arena *arena, struct sk_spliced *out);

#endif
