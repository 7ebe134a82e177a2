/* status.c - see base/status.h. */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static const char *const texts[] = {
#define X(code, text) [code] = (text),
    SK_STATUS_CODES(X)
#undef X
};

static const char *const names[] = {
#define X(code, text) [code] = #code,
    SK_STATUS_CODES(X)
#undef X
};

struct sk_status sk_error(enum sk_code code, const char *fmt, ...)
{
    struct sk_status s = {.code = code};
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(s.detail, sizeof s.detail, fmt, args);
    va_end(args);
    if (n >= (int)sizeof s.detail) sk_utf8_trim(s.detail);
    return s;
}

struct sk_status sk_while(struct sk_status s, const char *fmt, ...)
{
    if (sk_ok(s)) return s;
    struct sk_status wrapped = {.code = s.code};
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(wrapped.detail, sizeof wrapped.detail, fmt, args);
    va_end(args);
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used < sizeof wrapped.detail)
        n = snprintf(wrapped.detail + used, sizeof wrapped.detail - used, ": %s",
                     sk_status_text(&s));
    if (n < 0 || used + (size_t)n >= sizeof wrapped.detail) sk_utf8_trim(wrapped.detail);
    return wrapped;
}

static enum sk_code code_of_errno(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT: return SK_FULL;
    case ENOENT: return SK_NOT_FOUND;
    case EEXIST: return SK_EXISTS;
    case ENOMEM: return SK_NO_MEMORY;
    default: return SK_IO;
    }
}

struct sk_status sk_errno(int error, const char *fmt, ...)
{
    char what[sizeof(((struct sk_status *)0)->detail)];
    char text[128];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return sk_error(code_of_errno(error), "%s: %s", what, strerror_r(error, text, sizeof text));
}

const char *sk_code_text(enum sk_code code)
{
    return (size_t)code < sizeof texts / sizeof texts[0] ? texts[code] : "unknown code";
}

const char *sk_code_name(enum sk_code code)
{
    return (size_t)code < sizeof names / sizeof names[0] ? names[code] : "SK_UNKNOWN";
}

const char *sk_status_text(const struct sk_status *s)
{
    return s->detail[0] ? s->detail : sk_code_text(s->code);
}
