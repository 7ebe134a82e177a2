/* normalise.c - the slow road for unusual messages: join, unpack, clean, pack. */
#include "message/normalise.h"

#include "apache/rocketmq/v2/definition.alias.h"
#include "proto/message.h"
#include "message/wire.h"

static void take_off_what_is_the_servers(rmq_system_properties *system)
{
    system->body_digest = NULL;
    rmq_system_properties_clear_store_timestamp(system);
    rmq_system_properties_clear_invisible_duration(system);
    rmq_system_properties_clear_dead_letter_queue(system);
    if (system->message_type != RMQ_MESSAGE_TYPE_TRANSACTION) {
        rmq_system_properties_clear_orphaned_transaction_recovery_duration(system);
    }
}

/* One field, given in several pieces: by protobuf's rules the pieces, put behind each other, are
 * the merged message. (protobuf-c forgets strings when it merges.) Returns what follows. */
static uint8_t *put_joined(uint8_t *out, struct sk_slice message, uint32_t number)
{
    struct sk_wire_field f;
    size_t len = 0;
    bool present = false;
    for (struct sk_wire_reader r = sk_wire_reader_of(message); sk_wire_next(&r, &f);) {
        if (f.number != number) continue;
        present = true;
        len += f.bytes.len;
    }
    if (!present) return out;
    out = sk_wire_put_head(out, number, len);
    for (struct sk_wire_reader r = sk_wire_reader_of(message); sk_wire_next(&r, &f);) {
        if (f.number == number) out = sk_wire_put_raw(out, f.bytes);
    }
    return out;
}

/* The message with its topic and its system_properties given once each. */
static struct sk_slice join_repeats(struct sk_slice message, sk_arena *arena)
{
    enum { TOPIC = 1, SYSTEM = 3, MORE = 2 * 6 };
    uint8_t *begin = sk_arena_alloc(arena, message.len + MORE), *out = begin;
    if (!begin) return SK_EMPTY;
    struct sk_wire_reader r = sk_wire_reader_of(message);
    struct sk_wire_field f;
    while (sk_wire_next(&r, &f)) {
        bool joined = f.number == TOPIC || f.number == SYSTEM;
        if (joined && f.type != SK_WIRE_BYTES) return SK_EMPTY;
        if (!joined) out = sk_wire_put_raw(out, f.whole);
    }
    if (r.failed) return SK_EMPTY;
    out = put_joined(out, message, TOPIC);
    out = put_joined(out, message, SYSTEM);
    return sk_slice_of(begin, (size_t)(out - begin));
}

struct sk_slice sk_normalise_message(struct sk_slice message, sk_arena *arena)
{
    ProtobufCAllocator allocator = sk_proto_allocator(arena);
    struct sk_slice joined = join_repeats(message, arena);
    rmq_message *unpacked = joined.data ? rmq_message_unpack(&allocator, joined) : NULL;
    if (!unpacked) return SK_EMPTY;
    if (unpacked->system_properties) take_off_what_is_the_servers(unpacked->system_properties);
    return sk_proto_pack(&unpacked->base, arena);
}
