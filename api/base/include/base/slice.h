/* slice.h - borrowed bytes: a pointer and a length, passed by value.
 *
 * A slice owns nothing; whoever hands one out says until when it is valid. It
 * need not end in a zero byte, and an empty slice may have data == NULL. */
#ifndef SK_BASE_SLICE_H
#define SK_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sk_slice {
    const uint8_t *data;
    size_t len;
};

#define SK_EMPTY ((struct sk_slice){.data = NULL, .len = 0})

/* A string literal as a slice, without its terminating zero. */
#define SK_SLICE(literal) ((struct sk_slice){(const uint8_t *)("" literal), sizeof(literal) - 1})

/* printf("%.*s", SK_SLICE_ARGS(s)) */
#define SK_SLICE_ARGS(s) (int)(s).len, (const char *)((s).len ? (s).data : (const uint8_t *)"")

static inline struct sk_slice sk_slice_of(const void *data, size_t len)
{
    return (struct sk_slice){.data = data, .len = len};
}

/* `text` may be NULL, which is the empty slice. */
static inline struct sk_slice sk_slice_of_text(const char *text)
{
    return (struct sk_slice){.data = (const uint8_t *)text, .len = text ? strlen(text) : 0};
}

static inline bool sk_slice_eq(struct sk_slice a, struct sk_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif
