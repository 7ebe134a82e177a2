/* filter.c - TAG filter expressions. */
#include "message/filter.h"

#include <stdlib.h>

#include "base/crc32c.h"

enum { EXPRESSION_MAX = 8192 };

uint32_t sk_tag_hash(struct sk_slice tag)
{
    if (tag.len == 0) return 0;
    uint32_t hash = sk_crc32c(0, tag.data, tag.len);
    return hash ? hash : 1;
}

static struct sk_slice trim(struct sk_slice s)
{
    while (s.len && s.data[0] <= ' ') s = sk_slice_of(s.data + 1, s.len - 1);
    while (s.len && s.data[s.len - 1] <= ' ') s.len--;
    return s;
}

/* Cut the text before the first "||" off *rest. */
static struct sk_slice next_item(struct sk_slice *rest)
{
    for (size_t i = 0; i + 1 < rest->len; i++) {
        if (rest->data[i] != '|' || rest->data[i + 1] != '|') continue;
        struct sk_slice item = sk_slice_of(rest->data, i);
        *rest = sk_slice_of(rest->data + i + 2, rest->len - i - 2);
        return item;
    }
    struct sk_slice item = *rest;
    *rest = SK_EMPTY;
    return item;
}

static int compare_hashes(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

const char *sk_tag_filter_parse(struct sk_slice expression, sk_arena *arena,
                                struct sk_tag_filter *out)
{
    *out = (struct sk_tag_filter){.everything = true};
    if (expression.len == 0 || sk_slice_eq(expression, SK_SLICE("*"))) return NULL;
    if (expression.len > EXPRESSION_MAX) return "the expression is longer than 8192 bytes";

    size_t room = expression.len / 2 + 1;
    struct sk_slice *tags = sk_arena_zalloc(arena, room, sizeof *tags);
    uint32_t *hashes = sk_arena_zalloc(arena, room, sizeof *hashes);
    uint8_t *text = sk_arena_copy(arena, expression.data, expression.len);
    if (!tags || !hashes || !text) return "the expression needs too much memory";

    size_t count = 0;
    bool only_bars = true;
    for (struct sk_slice rest = sk_slice_of(text, expression.len); rest.len;) {
        struct sk_slice item = next_item(&rest);
        only_bars = only_bars && item.len == 0;
        item = trim(item);
        if (item.len == 0) continue;
        tags[count] = item;
        hashes[count++] = sk_tag_hash(item);
    }
    if (only_bars) return "the expression has no tag between its bars";
    qsort(hashes, count, sizeof *hashes, compare_hashes);
    *out = (struct sk_tag_filter){.count = count, .tags = tags, .hashes = hashes};
    return NULL;
}

bool sk_tag_filter_matches(const struct sk_tag_filter *filter, struct sk_slice tag)
{
    if (filter->everything) return true;
    if (tag.len == 0) return false;
    for (size_t i = 0; i < filter->count; i++) {
        if (sk_slice_eq(filter->tags[i], tag)) return true;
    }
    return false;
}
