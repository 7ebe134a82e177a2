/* text.c - one pass over a text. Printable ASCII, which is nearly all that comes, is looked at
 * eight bytes at a time; what is not, one character after the other. */
#include "message/text.h"

#include "base/bytes.h"

static bool is_white(uint32_t c)
{
    if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f);
    return c == 0x1680 || (c >= 0x2000 && c <= 0x200a && c != 0x2007) || c == 0x2028 ||
           c == 0x2029 || c == 0x205f || c == 0x3000;
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f);
}

/* All eight bytes in 0x21..0x7e: then they are valid, not white and no controls. */
static bool is_plain8(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t below = (v | tops) - ones * 0x21; /* top bit of a byte stays when it is >= 0x21 */
    uint64_t above = v + ones;                 /* 0x7f becomes 0x80 */
    return ((v | above) & tops) == 0 && (below & tops) == tops;
}

/* One to seven bytes in one word, some of them twice, the rest filled with an 'a'. */
static uint64_t short_word(const uint8_t *p, size_t len)
{
    if (len >= 4) return sk_get_u32(p) | (uint64_t)sk_get_u32(p + len - 4) << 32;
    uint64_t rest = 0x6161616161000000u;
    return rest | p[0] | (uint64_t)p[len / 2] << 8 | (uint64_t)p[len - 1] << 16;
}

/* All of it, and it is not empty; the last word may overlap the one before it. */
static bool is_plain(struct sk_slice text)
{
    if (text.len == 0) return false;
    if (text.len < 8) return is_plain8(short_word(text.data, text.len));
    for (size_t i = 0; i + 8 <= text.len; i += 8)
        if (!is_plain8(sk_get_u64(text.data + i))) return false;
    return is_plain8(sk_get_u64(text.data + text.len - 8));
}

/* Decode what begins at p. 0 bytes when it is not UTF-8. */
static size_t decode(const uint8_t *p, size_t left, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = p[0];
    size_t len = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : 4;
    if (len == 4 && first >> 3 != 30) return 0;
    if (len > left) return 0;
    uint32_t c = len == 1 ? first : first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2) return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return 0;
    *out = c;
    return len;
}

static struct sk_text_facts look_closely(struct sk_slice text)
{
    struct sk_text_facts facts = {.valid = true, .blank = true, .control = false};
    const uint8_t *p = text.data, *end = text.data + text.len;
    while (p < end) {
        uint32_t c = 0;
        size_t len = decode(p, (size_t)(end - p), &c);
        if (len == 0) {
            facts.valid = false;
            return facts;
        }
        facts.blank = facts.blank && is_white(c);
        facts.control = facts.control || is_control(c);
        p += len;
    }
    return facts;
}

struct sk_text_facts sk_text_look(struct sk_slice text)
{
    if (is_plain(text)) return (struct sk_text_facts){.valid = true};
    return look_closely(text);
}
