/* varint.h - integers of one to ten bytes, seven bits each, the lowest first.
 *
 * The last byte has its top bit clear. The reader refuses what does not fit
 * into 64 bits; it sets `failed` as the other readers of base/bytes.h do. */
#ifndef SK_STATE_VARINT_H
#define SK_STATE_VARINT_H

#include "base/bytes.h"

enum { SK_VARINT_MAX = 10 };

static inline void sk_put_varint(struct sk_buffer *b, uint64_t v)
{
    sk_buffer_reserve(b, SK_VARINT_MAX);
    uint8_t *p = b->data + b->len;
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    b->len = (size_t)(p - b->data);
}

static inline uint64_t sk_read_varint(struct sk_reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && r->at < r->end && !r->failed; shift += 7) {
        uint8_t byte = *r->at++;
        if (shift == 63 && byte > 1) break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return v;
    }
    r->failed = true;
    return 0;
}

/* An id or a queue: what exceeds 32 bits is no such thing. */
static inline uint32_t sk_read_small(struct sk_reader *r)
{
    uint64_t v = sk_read_varint(r);
    if (v > UINT32_MAX) r->failed = true;
    return (uint32_t)v;
}

#endif
