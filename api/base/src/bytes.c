/* bytes.c - the reader that cannot overrun, the buffer that grows. */
#include "base/bytes.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

struct sk_reader sk_reader_of(struct sk_slice bytes)
{
    static const uint8_t nothing[1];
    const uint8_t *at = bytes.data ? bytes.data : nothing;
    return (struct sk_reader){.at = at, .end = at + bytes.len};
}

struct sk_slice sk_read_bytes(struct sk_reader *r, size_t len)
{
    if (r->failed || len > sk_reader_left(r)) {
        r->failed = true;
        return SK_EMPTY;
    }
    struct sk_slice got = sk_slice_of(r->at, len);
    r->at += len;
    return got;
}

uint8_t sk_read_u8(struct sk_reader *r)
{
    struct sk_slice s = sk_read_bytes(r, 1);
    return s.len ? s.data[0] : 0;
}

uint16_t sk_read_u16(struct sk_reader *r)
{
    struct sk_slice s = sk_read_bytes(r, 2);
    return s.len ? sk_get_u16(s.data) : 0;
}

uint32_t sk_read_u32(struct sk_reader *r)
{
    struct sk_slice s = sk_read_bytes(r, 4);
    return s.len ? sk_get_u32(s.data) : 0;
}

uint64_t sk_read_u64(struct sk_reader *r)
{
    struct sk_slice s = sk_read_bytes(r, 8);
    return s.len ? sk_get_u64(s.data) : 0;
}

struct sk_slice sk_read_block(struct sk_reader *r)
{
    uint32_t len = sk_read_u32(r);
    return sk_read_bytes(r, len);
}

void sk_buffer_done(struct sk_buffer *b)
{
    free(b->data);
    *b = (struct sk_buffer){0};
}

void sk_buffer_reserve(struct sk_buffer *b, size_t more)
{
    if (more <= b->room - b->len) return;
    size_t want = b->len + more;
    sk_assert(want >= more);
    size_t room = b->room ? b->room : 256;
    while (room < want) room *= 2;
    b->data = sk_realloc(b->data, room, 1);
    b->room = room;
}

void sk_buffer_put(struct sk_buffer *b, const void *data, size_t len)
{
    sk_buffer_reserve(b, len);
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
}

void sk_buffer_put_u8(struct sk_buffer *b, uint8_t v) { sk_buffer_put(b, &v, sizeof v); }
void sk_buffer_put_u16(struct sk_buffer *b, uint16_t v) { sk_buffer_put(b, &v, sizeof v); }
void sk_buffer_put_u32(struct sk_buffer *b, uint32_t v) { sk_buffer_put(b, &v, sizeof v); }
void sk_buffer_put_u64(struct sk_buffer *b, uint64_t v) { sk_buffer_put(b, &v, sizeof v); }

void sk_buffer_put_block(struct sk_buffer *b, struct sk_slice bytes)
{
    sk_assert(bytes.len <= UINT32_MAX);
    sk_buffer_put_u32(b, (uint32_t)bytes.len);
    sk_buffer_put(b, bytes.data, bytes.len);
}
