/* payload.h - messages as the C core carries them: byte buffers made of slices. */
#ifndef RPC_PAYLOAD_H
#define RPC_PAYLOAD_H

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/slice.h"
#include "rpc/call.h"

/* The result is the caller's: grpc_byte_buffer_destroy. *len: its bytes. */
grpc_byte_buffer *rpc_payload_pack(const ProtobufCMessage *message, size_t *len);
grpc_byte_buffer *rpc_payload_copy(struct sk_slice bytes);
/* Memory that the copied messages of one stream share: small ones lie in a row in one block, which
 * goes when the last of them was sent. Zeroed at first; rpc_slab_done gives it back. */
struct rpc_slab {
    grpc_slice block;
    size_t used, room; /* room 0: there is no block */
};
void rpc_slab_done(struct rpc_slab *slab);

/* Pieces with a release function are carried, the others copied. */
grpc_byte_buffer *rpc_payload_gather(struct rpc_slab *slab, const struct rpc_piece *pieces,
                                     size_t count, size_t *len);

size_t rpc_payload_len(const grpc_byte_buffer *payload);

/* The message in one stretch: in place if it came in one slice, else copied into `arena`.
 * Valid while both live. False when the arena's budget is exceeded. */
bool rpc_payload_flatten(grpc_byte_buffer *payload, sk_arena *arena, struct sk_slice *out);
/* Is it one slice, which flatten would give in place? */
bool rpc_payload_is_flat(const grpc_byte_buffer *payload);
bool rpc_payload_copy_out(grpc_byte_buffer *payload, sk_arena *arena, struct sk_slice *out);

/* protobuf-c's memory from an arena; freeing is the arena's affair. */
ProtobufCAllocator rpc_arena_allocator(sk_arena *arena);

/* NULL when the bytes are no such message, or the budget is exceeded. */
const ProtobufCMessage *rpc_payload_decode(const ProtobufCMessageDescriptor *type,
                                           struct sk_slice bytes, sk_arena *arena);

static inline struct sk_slice rpc_slice_view(const grpc_slice *s)
{
    return sk_slice_of(GRPC_SLICE_START_PTR(*s), GRPC_SLICE_LENGTH(*s));
}

/* The value of the first entry with this key; empty when there is none. */
struct sk_slice rpc_metadata_find(const grpc_metadata_array *metadata, const char *key);

#endif
