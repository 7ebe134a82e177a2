/* utf8.c - one pass over a text; ASCII is looked at eight bytes at a time. */
#include "base/utf8.h"

#include <string.h>

#include "base/bytes.h"

/* All eight bytes in 0x01..0x7f. */
static bool is_ascii8(const uint8_t *p)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t v = sk_get_u64(p);
    return ((v | (v - ones)) & tops) == 0;
}

/* Length of the character that begins at p; 0 when it is none. */
static size_t char_len(const uint8_t *p, size_t left)
{
    static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
    uint8_t first = p[0];
    size_t len = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : 4;
    if (len > left || (len == 4 && first >> 3 != 30)) return 0;
    uint32_t c = len == 1 ? first : first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2) return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    bool legal = c >= least[len] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
    return legal ? len : 0;
}

bool sk_utf8_is_text(struct sk_slice bytes)
{
    const uint8_t *p = bytes.data, *end = bytes.data + bytes.len;
    /* The last eight bytes at once, whatever of them was seen before. */
    if (bytes.len >= 8 && is_ascii8(end - 8)) end -= bytes.len % 8;
    while (p < end) {
        size_t len = end - p >= 8 && is_ascii8(p) ? 8 : char_len(p, (size_t)(end - p));
        if (len == 0) return false;
        p += len;
    }
    return true;
}

void sk_utf8_trim(char *text)
{
    size_t len = strlen(text);
    size_t back = 0;
    while (back < 4 && back < len && ((unsigned char)text[len - 1 - back] & 0xc0) == 0x80) back++;
    if (back == len) return;
    unsigned char lead = (unsigned char)text[len - 1 - back];
    size_t want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (want != back) text[len - 1 - back] = '\0';
}
