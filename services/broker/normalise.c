/* normalise.c - the slow road for unusual messages: unpack, clean, pack. */
#include "normalise.h"

#include "apache/rocketmq/v2/definition.alias.h"
#include "proto/message.h"

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

struct sk_slice sk_normalise_message(struct sk_slice message, sk_arena *arena)
{
    ProtobufCAllocator allocator = sk_proto_allocator(arena);
    rmq_message *unpacked = rmq_message_unpack(&allocator, message);
    if (!unpacked) return SK_EMPTY;
    if (unpacked->system_properties) take_off_what_is_the_servers(unpacked->system_properties);
    return sk_proto_pack(&unpacked->base, arena);
}
