/* message.c - what every generated message shares. */
#include "proto/message.h"

char sk_proto_empty_text[1];

static void *arena_alloc(void *arena, size_t size)
{
    return sk_arena_alloc(arena, size);
}

static void arena_free(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

ProtobufCAllocator sk_proto_allocator(sk_arena *arena)
{
    return (ProtobufCAllocator){
        .alloc = arena_alloc,
        .free = arena_free,
        .allocator_data = arena,
    };
}

struct sk_slice sk_proto_pack(const ProtobufCMessage *message, sk_arena *arena)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *data = sk_arena_alloc(arena, size);
    if (!data) return SK_EMPTY;
    protobuf_c_message_pack(message, data);
    return sk_slice_of(data, size);
}

const char *sk_proto_enum_name(const ProtobufCEnumDescriptor *descriptor, int value)
{
    const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(descriptor, value);
    return found ? found->name : "UNRECOGNIZED";
}
