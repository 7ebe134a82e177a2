/* memory.c - malloc that does not return without memory. */
#include "base/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p, size_t size)
{
    if (p || size == 0) return p;
    fprintf(stderr, "skua: out of memory (%zu bytes wanted)\n", size);
    abort();
}

void *sk_alloc(size_t size) { return checked(malloc(size ? size : 1), size ? size : 1); }

void *sk_zalloc(size_t count, size_t size)
{
    if (count == 0 || size == 0) count = size = 1;
    return checked(calloc(count, size), size);
}

void *sk_realloc(void *old, size_t count, size_t size)
{
    if (count == 0 || size == 0) count = size = 1;
    return checked(reallocarray(old, count, size), size);
}

char *sk_strdup(const char *text) { return text ? sk_strndup(sk_slice_of_text(text)) : NULL; }

char *sk_strndup(struct sk_slice bytes)
{
    char *copy = sk_alloc(bytes.len + 1);
    if (bytes.len) memcpy(copy, bytes.data, bytes.len);
    copy[bytes.len] = '\0';
    return copy;
}

char *sk_asprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    return checked(n < 0 ? NULL : text, 1);
}
