/* scan.h - a SendMessageRequest, checked and taken apart in place.
 *
 *      Message  | topic | user_properties… | system_properties | body |
 *                \______ before __________/ \____ system _____/ \after/
 *
 * One pass over the bytes, no allocation, no copy: what is stored later are these
 * three spans as the client sent them. The scan knows what well-formed means
 * (lengths, wire types, UTF-8); which values are allowed is send.c's business, for
 * which it collects facts.
 *
 * Whatever is legal but unusual (a singular sub-message that is given twice, which
 * would have to be merged; fields that only a server may set) is left to
 * protobuf-c: sk_scan_normalise unpacks, cleans and packs it anew, and what comes
 * out passes the scan (performance.md 4.2). */
#ifndef SK_BROKER_SCAN_H
#define SK_BROKER_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

enum sk_scan_result {
    SK_SCAN_OK,
    SK_SCAN_UNUSUAL, /* well-formed as far as seen: normalise, then scan again */
    SK_SCAN_BAD,     /* not such a message */
};

/* Why a text may not be used. */
enum sk_text_fault { SK_TEXT_FINE, SK_TEXT_BLANK, SK_TEXT_CONTROL, SK_TEXT_RESERVED, SK_TEXT_BAR };

struct sk_scanned_message {
    struct sk_slice before, after; /* all fields but system_properties, around it */
    struct sk_slice system;        /* content of system_properties */
    struct sk_slice body;          /* lies in before or after */

    struct sk_slice topic; /* the Resource's bytes, to compare */
    struct sk_slice topic_namespace, topic_name;

    uint32_t property_count;
    size_t property_bytes; /* user properties' keys and values, tag and keys */
    enum sk_text_fault property_fault;
    struct sk_slice property_key; /* the first faulty one */

    struct sk_slice tag, message_id, message_group, trace_context;
    enum sk_text_fault tag_fault, key_fault, group_fault;
    bool id_blank;
    bool has_delivery_time, has_priority, has_lite_topic; /* lite_topic: set and not empty */
    bool has_born_time, has_born_host;
    int32_t message_type, body_encoding, priority;
    int64_t delivery_seconds, recovery_seconds;
};

/* How many messages the request has; SIZE_MAX if its outermost fields are not well-formed. */
size_t sk_scan_count(struct sk_slice request);

/* Scan the first `count` messages (as many as sk_scan_count said). */
enum sk_scan_result sk_scan_request(struct sk_slice request, struct sk_scanned_message *out,
                                    size_t count);

/* The serialized content of one Message. */
enum sk_scan_result sk_scan_message(struct sk_slice message, struct sk_scanned_message *out);

/* Is the key one of RocketMQ's own (protocol.md 3.4)? */
bool sk_scan_is_reserved(struct sk_slice key);

/* What a message is, whatever its message_type says: a MessageType. */
int sk_effective_type(const struct sk_scanned_message *message);

#endif
