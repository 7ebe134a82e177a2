/* fuzz_broker_scan.c - any bytes as a SendMessageRequest: the scan and the full unpack say the
 * same.
 *
 *   1. What the scan accepts, protobuf-c reads, and every value is the same; what the scan refuses
 * is no message, or has a text that is none.
 *   2. A delivery is, value for value and unknown fields included, the message that was sent, with
 *      what the server says put over it.
 *   3. What is unusual and can be read is usual after it was normalised. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apache/rocketmq/v2/service.alias.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "message/normalise.h"
#include "proto/message.h"
#include "message/scan.h"
#include "message/stored_message.h"
#include "message/wire.h"

enum { MESSAGES = 8, MD5_TEXT = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the same values ------------------------------------------------------------------------ */

/* protobuf-c ends a text at its first NUL. */
static bool is_text(struct sk_slice scanned, const char *unpacked)
{
    size_t len = strlen(unpacked);
    if (scanned.len < len || (len && memcmp(scanned.data, unpacked, len) != 0)) return false;
    return scanned.len == len || scanned.data[len] == '\0';
}

static void compare_system(const struct sk_scanned_message *s, const rmq_system_properties *p)
{
    static const rmq_system_properties none = RMQ_SYSTEM_PROPERTIES_INIT;
    if (!p) p = &none;
    const pb_timestamp *delivery = rmq_system_properties_get_delivery_timestamp(p);
    const pb_duration *recovery =
        rmq_system_properties_get_orphaned_transaction_recovery_duration(p);
    sk_assert(is_text(s->tag, rmq_system_properties_get_tag(p)));
    sk_assert(is_text(s->message_id, p->message_id));
    sk_assert(is_text(s->message_group, rmq_system_properties_get_message_group(p)));
    sk_assert(is_text(s->trace_context, rmq_system_properties_get_trace_context(p)));
    sk_assert(s->message_type == (int32_t)p->message_type);
    sk_assert(s->body_encoding == (int32_t)p->body_encoding);
    sk_assert(s->has_priority == rmq_system_properties_has_priority(p));
    sk_assert(s->priority == rmq_system_properties_get_priority(p));
    sk_assert(s->has_born_time == (p->born_timestamp != NULL));
    sk_assert(s->has_born_host || !p->born_host[0]);
    sk_assert(s->has_delivery_time == (delivery != NULL));
    sk_assert(!delivery || s->delivery_seconds == delivery->seconds);
    sk_assert(!recovery || s->recovery_seconds == recovery->seconds);
    sk_assert(!p->body_digest && !rmq_system_properties_has_store_timestamp(p) &&
              !rmq_system_properties_has_invisible_duration(p) &&
              !rmq_system_properties_has_dead_letter_queue(p));
}

static void compare(const struct sk_scanned_message *s, const rmq_message *m)
{
    sk_assert((s->topic.data != NULL) == (m->topic != NULL));
    sk_assert(!m->topic || is_text(s->topic_name, m->topic->name));
    sk_assert(!m->topic || is_text(s->topic_namespace, m->topic->resource_namespace));
    sk_assert(s->property_count == m->n_user_properties);
    sk_assert(sk_slice_eq(s->body, sk_proto_slice(m->body)));
    compare_system(s, m->system_properties);
}

/* --- deliveries ----------------------------------------------------------------------------------
 */

#define ARRIVAL_MS 1763700000123
#define STORED_MS 1763700001456
static const struct sk_delivery about = {.store_host = {(const uint8_t *)"h:1", 3},
                                         .store_ms = STORED_MS,
                                         .receipt_handle = {(const uint8_t *)"handle", 6},
                                         .queue = 3,
                                         .offset = 70000,
                                         .attempt = 2,
                                         .invisible_ms = 30001};

/* What the consumer must see of `sent`, which is changed. The digest is taken from what it saw. */
static void expect(rmq_message *sent, const struct sk_scanned_message *scanned,
                   const rmq_message *seen, sk_arena *arena)
{
    static pb_timestamp arrival = PB_TIMESTAMP_INIT, stored = PB_TIMESTAMP_INIT;
    static pb_duration invisible = PB_DURATION_INIT;
    static char born_host[] = "127.0.0.1:1", store_host[] = "h:1";
    rmq_system_properties *p = sent->system_properties;
    arrival.seconds = ARRIVAL_MS / 1000;
    arrival.nanos = ARRIVAL_MS % 1000 * 1000000;
    stored.seconds = STORED_MS / 1000;
    stored.nanos = STORED_MS % 1000 * 1000000;
    invisible.seconds = 30;
    invisible.nanos = 1000000;
    if (!p) {
        p = sk_arena_alloc(arena, sizeof *p);
        sk_assert(p != NULL);
        rmq_system_properties_init(p);
        sent->system_properties = p;
    }
    const rmq_digest *digest = seen->system_properties->body_digest;
    sk_assert(digest && digest->type == RMQ_DIGEST_TYPE_MD5 &&
              strlen(digest->checksum) == MD5_TEXT);
    p->body_digest = seen->system_properties->body_digest;
    /* One byte is kept of it; send.c refuses what is no encoding. */
    uint8_t encoding = (uint8_t)scanned->body_encoding;
    p->body_encoding = encoding ? (rmq_encoding)encoding : RMQ_ENCODING_IDENTITY;
    p->message_type = RMQ_MESSAGE_TYPE_NORMAL;
    if (!p->born_timestamp) p->born_timestamp = &arrival;
    if (!scanned->has_born_host) p->born_host = born_host;
    rmq_system_properties_set_store_timestamp(p, &stored);
    p->store_host = store_host;
    rmq_system_properties_set_receipt_handle(p, "handle");
    p->queue_id = 3;
    rmq_system_properties_set_queue_offset(p, 70000);
    rmq_system_properties_set_invisible_duration(p, &invisible);
    rmq_system_properties_set_delivery_attempt(p, 2);
}

/* The bytes of the response that delivers it, by way of the log. */
static bool splice(const struct sk_scanned_message *message, sk_arena *arena,
                   struct sk_buffer *response)
{
    uint8_t head[SK_STORED_HEAD_MAX];
    struct sk_slice parts[SK_STORED_PARTS];
    struct sk_buffer payload = {0};
    struct sk_stored_message stored;
    struct sk_spliced spliced;
    sk_stored_encode(message, RMQ_MESSAGE_TYPE_NORMAL, ARRIVAL_MS, SK_SLICE("127.0.0.1:1"), head,
                     parts);
    for (size_t i = 0; i < SK_STORED_PARTS; i++)
        sk_buffer_put(&payload, parts[i].data, parts[i].len);
    sk_assert(sk_stored_parse(sk_buffer_slice(&payload), &stored));
    sk_assert(sk_slice_eq(stored.body, message->body));
    sk_assert(sk_slice_eq(stored.tag, message->tag));
    bool fits = sk_stored_splice(&stored, &about, arena, &spliced);
    if (fits) {
        sk_buffer_put(response, spliced.head.data, spliced.head.len);
        sk_buffer_put(response, stored.others.data, stored.others.len);
        sk_buffer_put(response, spliced.tail.data, spliced.tail.len);
    }
    sk_buffer_done(&payload);
    return fits;
}

static void deliver(const struct sk_scanned_message *scanned, rmq_message *sent, sk_arena *arena)
{
    struct sk_buffer response = {0};
    ProtobufCAllocator allocator = sk_proto_allocator(arena);
    if (scanned->tag.len > UINT16_MAX) return; /* send.c has refused it */
    if (splice(scanned, arena, &response)) {
        rmq_receive_message_response *seen =
            rmq_receive_message_response_unpack(&allocator, sk_buffer_slice(&response));
        sk_assert(seen || sk_arena_is_exhausted(arena));
        if (seen) {
            sk_assert(seen->content_case == RMQ_RECEIVE_MESSAGE_RESPONSE_CONTENT_MESSAGE);
            expect(sent, scanned, seen->message, arena);
            struct sk_slice want = sk_proto_pack(&sent->base, arena);
            struct sk_slice got = sk_proto_pack(&seen->message->base, arena);
            sk_assert(sk_slice_eq(want, got) || sk_arena_is_exhausted(arena));
        }
    }
    sk_buffer_done(&response);
}

/* The length of the field's content behind its tag; SIZE_MAX: it is no field. */
static size_t content_of(struct sk_wire_reader *r, uint64_t tag)
{
    uint64_t len = 0;
    switch (tag & 7) {
    case SK_WIRE_VARINT:
        sk_wire_read_varint(r);
        break;
    case SK_WIRE_FIXED64:
        len = 8;
        break;
    case SK_WIRE_FIXED32:
        len = 4;
        break;
    case SK_WIRE_BYTES:
        len = sk_wire_read_varint(r);
        break;
    default:
        return SIZE_MAX;
    }
    return r->failed || len > (uint64_t)(r->end - r->at) ? SIZE_MAX : (size_t)len;
}

/* Does it have a field of number 0, which is none? protobuf-c takes it for an unknown one, and
 * forgets it when a later occurrence of the sub-message that it stands in is merged with it: so the
 * bytes are asked. */
static bool has_field_0(const ProtobufCMessageDescriptor *type, struct sk_slice bytes)
{
    struct sk_wire_reader r = sk_wire_reader_of(bytes);
    while (r.at < r.end) {
        uint64_t tag = sk_wire_read_varint(&r);
        if (!r.failed && (uint32_t)tag >> 3 == 0) return true;
        size_t len = r.failed ? SIZE_MAX : content_of(&r, tag);
        if (len == SIZE_MAX) return false;
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field(type, (uint32_t)tag >> 3);
        if (f && f->type == PROTOBUF_C_TYPE_MESSAGE && (tag & 7) == SK_WIRE_BYTES &&
            has_field_0(f->descriptor, sk_slice_of(r.at, len)))
            return true;
        r.at += len;
    }
    return false;
}

/* Five bytes that as a tag would say more than 32 bits, or ten that would say more than 64:
 * protobuf-c drops the bits above, other parsers refuse it, and so do we. */
static bool may_have_long_number(struct sk_slice bytes)
{
    for (size_t i = 0, run = 0; i < bytes.len; i++) {
        uint8_t byte = bytes.data[i];
        if (run >= 4 && byte >= 0x10 && byte < 0x80) return true;
        if (run >= 9 && byte >= 0x02 && byte < 0x80) return true;
        run = byte & 0x80 ? run + 1 : 0;
    }
    return false;
}

/* --- one input
 * ------------------------------------------------------------------------------------ */

static void check_request(struct sk_slice request, sk_arena *arena)
{
    struct sk_scanned_message messages[MESSAGES];
    ProtobufCAllocator allocator = sk_proto_allocator(arena);
    rmq_send_message_request *whole = rmq_send_message_request_unpack(&allocator, request);
    size_t count = sk_scan_count(request);
    const ProtobufCMessageDescriptor *type = &rmq_send_message_request_descriptor;
    sk_assert(count != SIZE_MAX || !whole || has_field_0(type, request) ||
              may_have_long_number(request));
    if (count > MESSAGES) return;
    enum sk_scan_result result = sk_scan_request(request, messages, count);
    if (sk_arena_is_exhausted(arena)) return;
    if (result == SK_SCAN_BAD && !may_have_long_number(request))
        sk_assert(!whole || has_field_0(type, request) || !sk_proto_texts_are_fine(type, request));
    if (result != SK_SCAN_OK) return;
    sk_assert(whole && whole->n_messages == count);
    for (size_t i = 0; i < count; i++) {
        compare(&messages[i], whole->messages[i]);
        deliver(&messages[i], whole->messages[i], arena);
    }
}

static void check_normalising(struct sk_slice message, sk_arena *arena)
{
    struct sk_scanned_message scanned;
    struct sk_slice usual = sk_normalise_message(message, arena);
    sk_assert(!usual.data || sk_scan_message(usual, &scanned) != SK_SCAN_UNUSUAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sk_arena *arena = sk_arena_new(16u << 20);
    check_request(sk_slice_of(data, size), arena);
    check_normalising(sk_slice_of(data, size), arena);
    sk_arena_free(arena);
    return 0;
}
