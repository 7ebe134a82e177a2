/* fuzz_broker_scan.c - any bytes as a SendMessageRequest: what the scan accepts, protobuf-c reads
 * too; what is stored of it is read back, and its delivery is a message again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "apache/rocketmq/v2/service.alias.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "normalise.h"
#include "scan.h"
#include "stored_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void deliver(const struct sk_scanned_message *message, sk_arena *arena)
{
    uint8_t head[SK_STORED_HEAD_MAX];
    struct sk_slice parts[SK_STORED_PARTS];
    if (message->tag.len > UINT16_MAX) return; /* send.c has refused it */
    sk_stored_encode(message, 1, 1763700000000, SK_SLICE("127.0.0.1:1"), head, parts);
    struct sk_buffer payload = {0}, response = {0};
    for (size_t i = 0; i < SK_STORED_PARTS; i++)
        sk_buffer_put(&payload, parts[i].data, parts[i].len);
    struct sk_stored_message stored;
    if (!sk_stored_parse(sk_buffer_slice(&payload), &stored)) abort();
    struct sk_delivery about = {.store_host = SK_SLICE("h:1"), .store_ms = 1, .attempt = 1};
    struct sk_spliced spliced;
    if (sk_stored_splice(&stored, &about, arena, &spliced)) {
        sk_buffer_put(&response, spliced.head.data, spliced.head.len);
        sk_buffer_put(&response, stored.others.data, stored.others.len);
        sk_buffer_put(&response, spliced.tail.data, spliced.tail.len);
        ProtobufCAllocator allocator = sk_proto_allocator(arena);
        if (!rmq_receive_message_response_unpack(&allocator, sk_buffer_slice(&response)) &&
            !sk_arena_is_exhausted(arena)) {
            abort();
        }
    }
    sk_buffer_done(&payload);
    sk_buffer_done(&response);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sk_slice request = sk_slice_of(data, size);
    struct sk_scanned_message messages[8];
    size_t count = sk_scan_count(request);
    if (count == SIZE_MAX || count > 8) return 0;
    enum sk_scan_result result = sk_scan_request(request, messages, count);
    sk_arena *arena = sk_arena_new(16u << 20);
    ProtobufCAllocator allocator = sk_proto_allocator(arena);
    if (result == SK_SCAN_OK) {
        bool readable = rmq_send_message_request_unpack(&allocator, request) != NULL;
        if (!readable && !sk_arena_is_exhausted(arena)) abort();
        for (size_t i = 0; i < count; i++) deliver(&messages[i], arena);
    }
    struct sk_slice usual = sk_normalise_message(request, arena);
    if (usual.data) {
        struct sk_scanned_message message;
        if (sk_scan_message(usual, &message) == SK_SCAN_UNUSUAL) abort();
    }
    sk_arena_free(arena);
    return 0;
}
