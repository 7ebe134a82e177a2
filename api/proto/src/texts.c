/* texts.c - the texts of a serialized message, looked at before it is unpacked.
 *
 * protobuf-c takes any bytes for a string and ends it at the first NUL: "orders\0x" would be the
 * topic "orders", and what is not UTF-8 would come back in answers that no client can read. */
#include "base/utf8.h"
#include "proto/message.h"

enum { VARINT = 0, EIGHT_BYTES = 1, COUNTED = 2, FOUR_BYTES = 5, DEEPEST = 32 };

struct reader {
    const uint8_t *at, *end;
};

/* False: no varint; what is wrong with the bytes is for the unpacking to say. */
static bool read_varint(struct reader *r, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool skip(struct reader *r, uint64_t len)
{
    if (len > (size_t)(r->end - r->at)) return false;
    r->at += len;
    return true;
}

/* The next counted field; others are passed over. False: no more. */
static bool next_counted(struct reader *r, unsigned *number, struct sk_slice *out)
{
    uint64_t key, value;
    while (read_varint(r, &key)) {
        bool fine = false;
        switch (key & 7) {
        case VARINT:
            fine = read_varint(r, &value);
            break;
        case EIGHT_BYTES:
            fine = skip(r, 8);
            break;
        case FOUR_BYTES:
            fine = skip(r, 4);
            break;
        case COUNTED:
            if (!read_varint(r, &value) || !skip(r, value)) return false;
            *number = (unsigned)(key >> 3);
            *out = sk_slice_of(r->at - value, (size_t)value);
            return true;
        default:
            break;
        }
        if (!fine) return false;
    }
    return false;
}

static bool are_fine(const ProtobufCMessageDescriptor *type, struct sk_slice bytes, int depth)
{
    struct reader r = {bytes.data, bytes.len ? bytes.data + bytes.len : bytes.data};
    unsigned number;
    struct sk_slice value;
    while (next_counted(&r, &number, &value)) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, number);
        if (!field) continue;
        if (field->type == PROTOBUF_C_TYPE_STRING && !sk_utf8_is_text(value)) return false;
        if (field->type != PROTOBUF_C_TYPE_MESSAGE) continue;
        if (depth == 0 || !are_fine(field->descriptor, value, depth - 1)) return false;
    }
    return true;
}

bool sk_proto_texts_are_fine(const ProtobufCMessageDescriptor *type, struct sk_slice bytes)
{
    return are_fine(type, bytes, DEEPEST);
}
