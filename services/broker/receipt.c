/* receipt.c - the only reader and writer of receipt handles.
 *
 * FORMAT, version 1: base64url, without padding, of (integers little endian)
 *
 *   0   1  version (1)
 *   1   1  length of the broker's name (n, at least 1)
 *   2   n  the broker's name
 *   .   4  group id
 *   .   4  topic id
 *   .   4  queue
 *   .   8  offset
 *   .   8  lease
 *   .   4  crc32c of all that
 *
 * The checksum finds what was cut or altered by accident; it is no signature. */
#include "receipt.h"

#include "base/bytes.h"
#include "base/crc32c.h"

enum { VERSION = 1, FIXED = 1 + 1 + 4 + 4 + 4 + 8 + 8 + 4 };

_Static_assert((FIXED + SK_RECEIPT_BROKER_MAX + 2) / 3 * 4 <= SK_RECEIPT_TEXT_MAX, "room");

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t to_base64(const uint8_t *bytes, size_t len, char *out)
{
    char *p = out;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 6; held -= 6) *p++ = ALPHABET[bits >> (held - 6) & 63];
    }
    if (held) *p++ = ALPHABET[bits << (6 - held) & 63];
    return (size_t)(p - out);
}

static int digit_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* SIZE_MAX when it is not base64url as to_base64 writes it. */
static size_t from_base64(struct sk_slice text, uint8_t *out)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0) return SIZE_MAX;
        bits = bits << 6 | (unsigned)digit;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        out[len++] = (uint8_t)(bits >> held);
    }
    bool canonical = held < 6 && (bits & ((1u << held) - 1)) == 0;
    return canonical ? len : SIZE_MAX;
}

size_t sk_receipt_encode(const struct sk_receipt *receipt, char out[SK_RECEIPT_TEXT_MAX])
{
    uint8_t bytes[FIXED + SK_RECEIPT_BROKER_MAX], *p = bytes;
    size_t name = receipt->broker.len;
    if (name > SK_RECEIPT_BROKER_MAX) name = SK_RECEIPT_BROKER_MAX;
    *p++ = VERSION;
    *p++ = (uint8_t)name;
    if (name) memcpy(p, receipt->broker.data, name);
    p += name;
    sk_put_u32(p, receipt->group);
    sk_put_u32(p + 4, receipt->topic);
    sk_put_u32(p + 8, receipt->queue);
    sk_put_u64(p + 12, receipt->offset);
    sk_put_u64(p + 20, receipt->lease);
    p += 28;
    sk_put_u32(p, sk_crc32c(0, bytes, (size_t)(p - bytes)));
    return to_base64(bytes, (size_t)(p + 4 - bytes), out);
}

bool sk_receipt_decode(struct sk_slice text, uint8_t room[SK_RECEIPT_TEXT_MAX],
                       struct sk_receipt *out)
{
    if (text.len > SK_RECEIPT_TEXT_MAX) return false;
    size_t len = from_base64(text, room);
    if (len == SIZE_MAX || len <= FIXED || room[0] != VERSION || len != FIXED + (size_t)room[1]) {
        return false;
    }
    if (sk_crc32c(0, room, len - 4) != sk_get_u32(room + len - 4)) return false;
    const uint8_t *p = room + 2 + room[1];
    *out = (struct sk_receipt){
        .broker = sk_slice_of(room + 2, room[1]),
        .group = sk_get_u32(p),
        .topic = sk_get_u32(p + 4),
        .queue = sk_get_u32(p + 8),
        .offset = sk_get_u64(p + 12),
        .lease = sk_get_u64(p + 20),
    };
    return true;
}
