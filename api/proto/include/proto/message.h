/* message.h - what every generated message shares: presence, memory, packing.
 *
 * The aliases that api/plugin emits (NAME.alias.h) stand on this header. Nothing
 * here knows a message by name. */
#ifndef SK_PROTO_MESSAGE_H
#define SK_PROTO_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

/* The empty text of the setters. protobuf-c leaves out a string of a oneof that
 * points at its own empty string, even if the case says that it is set; it packs
 * ours. */
extern char sk_proto_empty_text[1];

/* protobuf-c's own empty string, under a type that its messages can point to: what plain text
 * begins as. (Its declaration is const, its messages' members are not.) */
extern char sk_proto_default_text[] __asm__("protobuf_c_empty_string");

/* `text` as a message holds it: borrowed, and present even if it is empty. */
static inline char *sk_proto_text(const char *text)
{
    return text[0] ? (char *)(uintptr_t)text : sk_proto_empty_text;
}

/* Bytes of a message as a slice, and back. Both borrow. */
static inline struct sk_slice sk_proto_slice(ProtobufCBinaryData bytes)
{
    return (struct sk_slice){.data = bytes.data, .len = bytes.len};
}

static inline ProtobufCBinaryData sk_proto_bytes(struct sk_slice slice)
{
    return (ProtobufCBinaryData){.len = slice.len, .data = (uint8_t *)(uintptr_t)slice.data};
}

/* An allocator for the unpack functions that takes from `arena` and frees nothing.
 * Must not outlive the arena. Past its budget, unpacking gives NULL. */
ProtobufCAllocator sk_proto_allocator(sk_arena *arena);

/* Are all texts in a serialized message UTF-8 without a NUL? protobuf-c itself takes any bytes and
 * ends a text at its first NUL. Bytes that are no message count as fine: unpacking refuses them.
 * Messages nested deeper than 32 do not. */
bool sk_proto_texts_are_fine(const ProtobufCMessageDescriptor *type, struct sk_slice bytes);

/* The serialized message, in `arena`. data == NULL when the budget is exceeded. */
struct sk_slice sk_proto_pack(const ProtobufCMessage *message, sk_arena *arena);

/* The value's name in the .proto file, or "UNRECOGNIZED". */
const char *sk_proto_enum_name(const ProtobufCEnumDescriptor *descriptor, int value);

#endif
