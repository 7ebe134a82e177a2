/* receipt.c - the only reader and writer of receipt handles.
 *
 * FORMAT, version 2: base64url, without padding, of (integers little endian)
 *
 *   0   1  version (2)
 *   1   1  length of the broker's name (n, at least 1)
 *   2   n  the broker's name
 *   .   4  group id
 *   .   4  topic id
 *   .   4  queue
 *   .   8  offset
 *   .   4  lease: epoch
 *   .   8  lease: position
 *   .   4  crc32c of all that
 *
 * The checksum finds what was cut or altered by accident; it is no signature. */
#include "message/receipt.h"

#include "base/bytes.h"
#include "base/crc32c.h"

enum { VERSION = 2, FIXED = 1 + 1 + 4 + 4 + 4 + 8 + 4 + 8 + 4 };

_Static_assert((FIXED + SK_RECEIPT_BROKER_MAX + 2) / 3 * 4 <= SK_RECEIPT_TEXT_MAX, "room");

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* One handle is written for each message that goes out and read for each acknowledgement: whole
 * groups of three bytes, four digits, are done without a loop inside. */
static char *put_group(char *out, uint32_t bits)
{
    out[0] = ALPHABET[bits >> 18];
    out[1] = ALPHABET[bits >> 12 & 63];
    out[2] = ALPHABET[bits >> 6 & 63];
    out[3] = ALPHABET[bits & 63];
    return out + 4;
}

static size_t to_base64(const uint8_t *bytes, size_t len, char *out)
{
    char *p = out;
    for (; len >= 3; bytes += 3, len -= 3)
        p = put_group(p, (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2]);
    if (len == 0) return (size_t)(p - out);
    put_group(p, (uint32_t)bytes[0] << 16 | (len == 2 ? (uint32_t)bytes[1] << 8 : 0));
    return (size_t)(p - out) + len + 1;
}

/* One more than the digit's value; 0: no digit. */
static const uint8_t DIGIT[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

/* Four digits as 24 bits; above them, if one is none. */
static uint32_t get_group(const uint8_t text[4])
{
    uint32_t a = DIGIT[text[0]] - 1u, b = DIGIT[text[1]] - 1u, c = DIGIT[text[2]] - 1u,
             d = DIGIT[text[3]] - 1u;
    return (a | b | c | d) > 63 ? UINT32_MAX : a << 18 | b << 12 | c << 6 | d;
}

/* The last group, of fewer: 'A' is the digit of value 0. */
static uint32_t get_rest(const uint8_t *text, size_t digits)
{
    uint8_t group[4] = {'A', 'A', 'A', 'A'};
    memcpy(group, text, digits);
    return get_group(group);
}

/* SIZE_MAX when it is not base64url as to_base64 writes it: no digit, a digit too few, or bits that
 * say nothing. */
static size_t from_base64(struct sk_slice text, uint8_t *out)
{
    uint8_t *p = out;
    size_t at = 0, rest = text.len % 4;
    for (; at + 4 <= text.len; at += 4, p += 3) {
        uint32_t bits = get_group(text.data + at);
        if (bits == UINT32_MAX) return SIZE_MAX;
        p[0] = (uint8_t)(bits >> 16);
        p[1] = (uint8_t)(bits >> 8);
        p[2] = (uint8_t)bits;
    }
    if (rest == 0) return (size_t)(p - out);
    uint32_t bits = get_rest(text.data + at, rest);
    if (bits == UINT32_MAX || rest == 1 || (bits & (0xffffffu >> (8 * (rest - 1)))))
        return SIZE_MAX;
    for (size_t i = 0; i < rest - 1; i++) *p++ = (uint8_t)(bits >> (16 - 8 * i));
    return (size_t)(p - out);
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
    sk_put_u32(p + 20, receipt->epoch);
    sk_put_u64(p + 24, receipt->position);
    p += 32;
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
        .epoch = sk_get_u32(p + 20),
        .position = sk_get_u64(p + 24),
    };
    return true;
}
