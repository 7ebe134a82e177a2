/* wire.h - protobuf's wire format, read and written in place.
 *
 * The reader walks the fields of one message without allocating; it never runs
 * past its end, and says `failed` once a field does not fit. Groups (wire types 3
 * and 4) fail: nobody sends them, and protobuf-c does not read them either.
 * The writer appends to memory that the caller has sized. */
#ifndef SK_BROKER_WIRE_H
#define SK_BROKER_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

enum sk_wire_type {
    SK_WIRE_VARINT = 0,
    SK_WIRE_FIXED64 = 1,
    SK_WIRE_BYTES = 2,
    SK_WIRE_FIXED32 = 5
};

struct sk_wire_reader {
    const uint8_t *at, *end;
    bool failed;
};

struct sk_wire_field {
    uint32_t number;
    enum sk_wire_type type;
    uint64_t value;        /* VARINT */
    struct sk_slice bytes; /* BYTES */
    struct sk_slice whole; /* tag, length and content */
};

static inline struct sk_wire_reader sk_wire_reader_of(struct sk_slice bytes)
{
    return (struct sk_wire_reader){.at = bytes.data, .end = bytes.data + bytes.len};
}

static inline uint64_t sk_wire_read_varint(struct sk_wire_reader *r)
{
    if (r->at < r->end && *r->at < 0x80) return *r->at++; /* nearly all are that short */
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (r->at == r->end) break;
        uint8_t byte = *r->at++;
        if (shift == 63 && byte > 1) break; /* would not fit 64 bits */
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    r->failed = true;
    return 0;
}

/* Tags and lengths: at most five bytes, as protobuf-c reads them. */
static inline uint32_t sk_wire_read_short(struct sk_wire_reader *r)
{
    const uint8_t *begin = r->at;
    uint64_t value = sk_wire_read_varint(r);
    if (r->at - begin > 5 || value > UINT32_MAX) r->failed = true;
    return (uint32_t)value;
}

/* False at the end, or when the rest is not a field (then r->failed). */
static inline bool sk_wire_next(struct sk_wire_reader *r, struct sk_wire_field *field)
{
    if (r->at == r->end || r->failed) return false;
    const uint8_t *begin = r->at;
    uint32_t tag = sk_wire_read_short(r);
    uint64_t skip = 0;
    field->number = tag >> 3;
    field->type = (enum sk_wire_type)(tag & 7);
    field->value = 0;
    field->bytes = SK_EMPTY;
    switch (tag & 7) {
    case SK_WIRE_VARINT:
        field->value = sk_wire_read_varint(r);
        break;
    case SK_WIRE_FIXED64:
        skip = 8;
        break;
    case SK_WIRE_FIXED32:
        skip = 4;
        break;
    case SK_WIRE_BYTES:
        skip = sk_wire_read_short(r);
        break;
    default:
        r->failed = true;
        break;
    }
    if (tag >> 3 == 0 || skip > (uint64_t)(r->end - r->at)) r->failed = true;
    if (r->failed) return false;
    if (field->type == SK_WIRE_BYTES) field->bytes = sk_slice_of(r->at, (size_t)skip);
    r->at += skip;
    field->whole = sk_slice_of(begin, (size_t)(r->at - begin));
    return true;
}

/* --- writing --------------------------------------------------------------------------------- */

static inline size_t sk_wire_varint_size(uint64_t value)
{
    return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static inline uint8_t *sk_wire_put_varint(uint8_t *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

static inline uint8_t *sk_wire_put_tag(uint8_t *out, uint32_t number, enum sk_wire_type type)
{
    return sk_wire_put_varint(out, (uint64_t)number << 3 | (unsigned)type);
}

/* Written even if it is zero: it may have to override what came before. */
static inline uint8_t *sk_wire_put_int(uint8_t *out, uint32_t number, uint64_t value)
{
    return sk_wire_put_varint(sk_wire_put_tag(out, number, SK_WIRE_VARINT), value);
}

static inline uint8_t *sk_wire_put_head(uint8_t *out, uint32_t number, size_t len)
{
    return sk_wire_put_varint(sk_wire_put_tag(out, number, SK_WIRE_BYTES), len);
}

static inline uint8_t *sk_wire_put_raw(uint8_t *out, struct sk_slice bytes)
{
    if (bytes.len) memcpy(out, bytes.data, bytes.len);
    return out + bytes.len;
}

static inline uint8_t *sk_wire_put_bytes(uint8_t *out, uint32_t number, struct sk_slice bytes)
{
    return sk_wire_put_raw(sk_wire_put_head(out, number, bytes.len), bytes);
}

/* A google.protobuf.Timestamp or Duration, from milliseconds. Both fields are written. */
enum { SK_WIRE_TIME_MAX = 2 + 1 + 10 + 1 + 5 };
static inline uint8_t *sk_wire_put_time(uint8_t *out, uint32_t number, uint64_t ms)
{
    uint64_t seconds = ms / 1000, nanos = ms % 1000 * 1000000;
    out = sk_wire_put_head(out, number,
                           2 + sk_wire_varint_size(seconds) + sk_wire_varint_size(nanos));
    return sk_wire_put_int(sk_wire_put_int(out, 1, seconds), 2, nanos);
}

#endif
