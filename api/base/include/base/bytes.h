/* bytes.h - little-endian integers in byte strings, and a bounds-checked reader.
 *
 * The reader never runs past its end: once a read does not fit it is `failed`,
 * every later read gives zero, and the caller asks once at the end. */
#ifndef SK_BASE_BYTES_H
#define SK_BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

/* Skua runs on little-endian machines only (x86-64, arm64): memcpy is the encoding. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "formats are little endian");

static inline uint16_t sk_get_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t sk_get_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t sk_get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void sk_put_u16(uint8_t *p, uint16_t v) { memcpy(p, &v, sizeof v); }
static inline void sk_put_u32(uint8_t *p, uint32_t v) { memcpy(p, &v, sizeof v); }
static inline void sk_put_u64(uint8_t *p, uint64_t v) { memcpy(p, &v, sizeof v); }

struct sk_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

struct sk_reader sk_reader_of(struct sk_slice bytes);
uint8_t sk_read_u8(struct sk_reader *r);
uint16_t sk_read_u16(struct sk_reader *r);
uint32_t sk_read_u32(struct sk_reader *r);
uint64_t sk_read_u64(struct sk_reader *r);
struct sk_slice sk_read_bytes(struct sk_reader *r, size_t len);
/* A u32 length, then that many bytes. */
struct sk_slice sk_read_block(struct sk_reader *r);
static inline size_t sk_reader_left(const struct sk_reader *r) { return (size_t)(r->end - r->at); }

/* A growing byte string; memory from malloc, ends the process when there is none
 * (its sizes are ours to choose, never a peer's). */
struct sk_buffer {
    uint8_t *data;
    size_t len, room;
};

void sk_buffer_done(struct sk_buffer *b);
void sk_buffer_reserve(struct sk_buffer *b, size_t more);
void sk_buffer_put(struct sk_buffer *b, const void *data, size_t len);
void sk_buffer_put_u8(struct sk_buffer *b, uint8_t v);
void sk_buffer_put_u16(struct sk_buffer *b, uint16_t v);
void sk_buffer_put_u32(struct sk_buffer *b, uint32_t v);
void sk_buffer_put_u64(struct sk_buffer *b, uint64_t v);
/* A u32 length, then the bytes. */
void sk_buffer_put_block(struct sk_buffer *b, struct sk_slice bytes);
static inline struct sk_slice sk_buffer_slice(const struct sk_buffer *b)
{
    return sk_slice_of(b->data, b->len);
}

#endif
