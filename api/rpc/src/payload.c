/* payload.c - between protobuf-c's messages, our slices and the core's buffers. */
#include "src/payload.h"

#include <grpc/byte_buffer_reader.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proto/message.h"

static grpc_byte_buffer *wrap(grpc_slice slice)
{
    grpc_byte_buffer *payload = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return payload;
}

grpc_byte_buffer *rpc_payload_pack(const ProtobufCMessage *message, size_t *len)
{
    *len = protobuf_c_message_get_packed_size(message);
    grpc_slice slice = grpc_slice_malloc(*len);
    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    return wrap(slice);
}

grpc_byte_buffer *rpc_payload_copy(struct sk_slice bytes)
{
    grpc_slice slice = grpc_slice_malloc(bytes.len);
    if (bytes.len) memcpy(GRPC_SLICE_START_PTR(slice), bytes.data, bytes.len);
    return wrap(slice);
}

/* A piece without bytes cannot be carried: the core may drop an empty slice unseen. */
static grpc_slice slice_of_piece(const struct rpc_piece *piece)
{
    const void *data = piece->bytes.data;
    size_t len = piece->bytes.len;
    if (piece->release && len)
        return grpc_slice_new_with_user_data((void *)(uintptr_t)data, len, piece->release,
                                             piece->owner);
    if (piece->release) piece->release(piece->owner);
    return len ? grpc_slice_from_copied_buffer(data, len) : grpc_empty_slice();
}

static void copy_pieces(const struct rpc_piece *pieces, size_t count, uint8_t *to)
{
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].bytes.len == 0) continue;
        memcpy(to, pieces[i].bytes.data, pieces[i].bytes.len);
        to += pieces[i].bytes.len;
    }
}

/* A stream's messages are made faster than they leave, so one block of each size after the other
 * would be split off the heap and merged again. */
static grpc_byte_buffer *gather_in_slab(struct rpc_slab *slab, const struct rpc_piece *pieces,
                                        size_t count, size_t len)
{
    enum { BLOCK = 32 * 1024 };
    if (slab->room - slab->used < len) {
        rpc_slab_done(slab);
        *slab = (struct rpc_slab){.block = grpc_slice_malloc_large(BLOCK), .room = BLOCK};
    }
    size_t end = slab->used + len;
    copy_pieces(pieces, count, GRPC_SLICE_START_PTR(slab->block) + slab->used);
    grpc_slice slice = grpc_slice_sub(slab->block, slab->used, end);
    slab->used = end;
    return wrap(slice);
}

/* All pieces are copied: one slice costs less than many. */
static grpc_byte_buffer *gather_copies(struct rpc_slab *slab, const struct rpc_piece *pieces,
                                       size_t count, size_t len)
{
    enum { SHARED_BELOW = 4096 };
    if (len < SHARED_BELOW) return gather_in_slab(slab, pieces, count, len);
    grpc_slice slice = grpc_slice_malloc(len);
    copy_pieces(pieces, count, GRPC_SLICE_START_PTR(slice));
    return wrap(slice);
}

void rpc_slab_done(struct rpc_slab *slab)
{
    if (slab->room) grpc_slice_unref(slab->block);
    *slab = (struct rpc_slab){.room = 0};
}

static bool all_are_copied(const struct rpc_piece *pieces, size_t count, size_t *len)
{
    bool copied = true;
    *len = 0;
    for (size_t i = 0; i < count; i++) {
        *len += pieces[i].bytes.len;
        copied = copied && !pieces[i].release;
    }
    return copied;
}

grpc_byte_buffer *rpc_payload_gather(struct rpc_slab *slab, const struct rpc_piece *pieces,
                                     size_t count, size_t *len)
{
    if (all_are_copied(pieces, count, len)) return gather_copies(slab, pieces, count, *len);
    grpc_slice few[16];
    grpc_slice *slices = count <= 16 ? few : sk_zalloc(count, sizeof *slices);
    for (size_t i = 0; i < count; i++) slices[i] = slice_of_piece(&pieces[i]);
    grpc_byte_buffer *payload = grpc_raw_byte_buffer_create(slices, count);
    for (size_t i = 0; i < count; i++) grpc_slice_unref(slices[i]);
    if (slices != few) free(slices);
    return payload;
}

/* The buffer's own list of slices; the core inflates nothing here (identity only). */
static const grpc_slice_buffer *slices_of(const grpc_byte_buffer *payload)
{
    return &payload->data.raw.slice_buffer;
}

size_t rpc_payload_len(const grpc_byte_buffer *payload)
{
    return slices_of(payload)->length;
}

bool rpc_payload_is_flat(const grpc_byte_buffer *payload)
{
    return slices_of(payload)->count <= 1;
}

bool rpc_payload_copy_out(grpc_byte_buffer *payload, sk_arena *arena, struct sk_slice *out)
{
    const grpc_slice_buffer *from = slices_of(payload);
    uint8_t *to = sk_arena_alloc(arena, from->length);
    if (!to) return false;
    size_t at = 0;
    for (size_t i = 0; i < from->count; i++) {
        struct sk_slice part = rpc_slice_view(&from->slices[i]);
        if (part.len) memcpy(to + at, part.data, part.len);
        at += part.len;
    }
    *out = sk_slice_of(to, at);
    return true;
}

bool rpc_payload_flatten(grpc_byte_buffer *payload, sk_arena *arena, struct sk_slice *out)
{
    const grpc_slice_buffer *from = slices_of(payload);
    if (from->count > 1) return rpc_payload_copy_out(payload, arena, out);
    *out = from->count ? rpc_slice_view(&from->slices[0]) : SK_EMPTY;
    return true;
}

static void *arena_alloc(void *arena, size_t size)
{
    return sk_arena_alloc(arena, size);
}

static void arena_keep(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

ProtobufCAllocator rpc_arena_allocator(sk_arena *arena)
{
    return (ProtobufCAllocator){.alloc = arena_alloc, .free = arena_keep, .allocator_data = arena};
}

const ProtobufCMessage *rpc_payload_decode(const ProtobufCMessageDescriptor *type,
                                           struct sk_slice bytes, sk_arena *arena)
{
    if (!sk_proto_texts_are_fine(type, bytes)) return NULL;
    ProtobufCAllocator allocator = rpc_arena_allocator(arena);
    return protobuf_c_message_unpack(type, &allocator, bytes.len, bytes.data);
}

struct sk_slice rpc_metadata_find(const grpc_metadata_array *metadata, const char *key)
{
    struct sk_slice wanted = sk_slice_of_text(key);
    for (size_t i = 0; i < metadata->count; i++)
        if (sk_slice_eq(rpc_slice_view(&metadata->metadata[i].key), wanted))
            return rpc_slice_view(&metadata->metadata[i].value);
    return SK_EMPTY;
}
