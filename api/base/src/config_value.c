/* config_value.c - the eight kinds of settings: text to value, with limits.
 *
 * A limit in the table is written as a value of the same kind is, so it is
 * read by the same functions. */
#include "config_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/utf8.h"

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"B", 1},          {"KiB", 1u << 10}, {"Ki", 1u << 10},    {"MiB", 1u << 20},  {"Mi", 1u << 20},
    {"GiB", 1u << 30}, {"Gi", 1u << 30},  {"TiB", 1ull << 40}, {"Ti", 1ull << 40}, {NULL, 0},
};

static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

const char *sk_kind_word(enum sk_setting_kind kind)
{
    static const char *const words[] = {
        [SK_KIND_BOOL] = "bool",         [SK_KIND_INT] = "number",      [SK_KIND_SIZE] = "size",
        [SK_KIND_DURATION] = "duration", [SK_KIND_TEXT] = "text",       [SK_KIND_CHOICE] = "choice",
        [SK_KIND_ADDRESS] = "address",   [SK_KIND_HOSTS] = "addresses",
    };
    return words[kind];
}

/* "12h" with its unit; a number without one only where `bare` allows it, and 0. */
static bool amount_of(const char *text, size_t len, const struct unit *units, bool bare,
                      uint64_t *out)
{
    uint64_t n = 0;
    size_t i = 0;
    for (; i < len && text[i] >= '0' && text[i] <= '9'; i++)
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
            return false;
    if (i == 0) return false;
    if (i == len) {
        *out = n;
        return bare || n == 0;
    }
    for (const struct unit *u = units; u->name; u++)
        if (strlen(u->name) == len - i && memcmp(u->name, text + i, len - i) == 0)
            return !__builtin_mul_overflow(n, u->factor, out);
    return false;
}

static bool integer_of(const char *text, size_t len, int64_t *out)
{
    char digits[24];
    if (len == 0 || len >= sizeof digits) return false;
    memcpy(digits, text, len);
    digits[len] = 0;
    if (digits[0] == ' ' || digits[0] == '+') return false;
    char *end;
    errno = 0;
    *out = strtoll(digits, &end, 10);
    return errno == 0 && *end == 0;
}

/* "5s..1h" cut in two; false when there are no limits. */
static bool split_limits(const char *limits, const char **low, size_t *low_len, const char **high)
{
    const char *dots = strstr(limits, "..");
    if (!dots) return false;
    *low = limits;
    *low_len = (size_t)(dots - limits);
    *high = dots + 2;
    return true;
}

static struct sk_status check_amount(const struct sk_setting *s, const char *text, uint64_t value,
                                     const struct unit *units)
{
    const char *low, *high;
    size_t low_len;
    uint64_t least = 0, most = 0;
    if (!split_limits(s->limits, &low, &low_len, &high)) return SK_SUCCESS;
    sk_assert(amount_of(low, low_len, units, true, &least));
    sk_assert(amount_of(high, strlen(high), units, true, &most));
    if (value < least)
        return sk_error(SK_INVALID, "%s is below the least of %.*s; choose %.*s to %s", text,
                        (int)low_len, low, (int)low_len, low, high);
    if (value > most)
        return sk_error(SK_INVALID, "%s is above the most of %s; choose %.*s to %s", text, high,
                        (int)low_len, low, high);
    return SK_SUCCESS;
}

static struct sk_status parse_int(const struct sk_setting *s, const char *text,
                                  struct sk_value *out)
{
    const char *low, *high;
    size_t low_len;
    int64_t least = 0, most = 0;
    if (!integer_of(text, strlen(text), &out->number))
        return sk_error(SK_INVALID, "'%.60s' is not a whole number; write digits, like %s", text,
                        s->fallback);
    if (!split_limits(s->limits, &low, &low_len, &high)) return SK_SUCCESS;
    sk_assert(integer_of(low, low_len, &least) && integer_of(high, strlen(high), &most));
    if (out->number < least || out->number > most)
        return sk_error(SK_INVALID, "%s is outside %" PRId64 " to %" PRId64 "%s%s", text, least,
                        most, s->unit[0] ? " " : "", s->unit);
    return SK_SUCCESS;
}

static struct sk_status parse_size(const struct sk_setting *s, const char *text,
                                   struct sk_value *out)
{
    if (!amount_of(text, strlen(text), size_units, true, &out->amount))
        return sk_error(SK_INVALID,
                        "'%.60s' is not a size; write a number with a unit, like 64KiB, 4MiB, 1GiB",
                        text);
    return check_amount(s, text, out->amount, size_units);
}

static struct sk_status parse_duration(const struct sk_setting *s, const char *text,
                                       struct sk_value *out)
{
    if (!amount_of(text, strlen(text), duration_units, false, &out->amount))
        return sk_error(
            SK_INVALID,
            "'%.60s' is not a duration; write a number with a unit, like 500ms, 10s, 2m, 12h",
            text);
    return check_amount(s, text, out->amount, duration_units);
}

static struct sk_status parse_bool(const char *text, struct sk_value *out)
{
    static const char *const yes[] = {"true", "on", "yes", "1"};
    static const char *const no[] = {"false", "off", "no", "0"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        bool is_yes = strcmp(text, yes[i]) == 0;
        if (!is_yes && strcmp(text, no[i]) != 0) continue;
        out->flag = is_yes;
        return SK_SUCCESS;
    }
    return sk_error(SK_INVALID, "'%.60s' is neither true nor false", text);
}

static struct sk_status parse_text(const struct sk_setting *s, const char *text)
{
    const char *low, *high;
    size_t low_len;
    int64_t least = 0, most = 0, len = (int64_t)strlen(text);
    if (!sk_utf8_is_text(sk_slice_of_text(text))) return sk_error(SK_INVALID, "it is not UTF-8");
    if (!split_limits(s->limits, &low, &low_len, &high)) return SK_SUCCESS;
    sk_assert(integer_of(low, low_len, &least) && integer_of(high, strlen(high), &most));
    if (len >= least && len <= most) return SK_SUCCESS;
    if (len == 0) return sk_error(SK_INVALID, "it must not be empty");
    return sk_error(SK_INVALID,
                    "it has %" PRId64 " characters; %" PRId64 " to %" PRId64 " are allowed", len,
                    least, most);
}

static struct sk_status parse_choice(const struct sk_setting *s, const char *text,
                                     struct sk_value *out)
{
    size_t len = strlen(text);
    int64_t place = 0;
    for (const char *at = s->limits; at; place++) {
        const char *bar = strchr(at, '|');
        size_t n = bar ? (size_t)(bar - at) : strlen(at);
        if (n == len && memcmp(at, text, n) == 0) {
            out->number = place;
            return SK_SUCCESS;
        }
        at = bar ? bar + 1 : NULL;
    }
    return sk_error(SK_INVALID, "'%.60s' is not one of %s", text, s->limits);
}

/* HOST:PORT or [v6]:PORT. Listeners may leave the host empty and ask for port 0. */
static bool is_address(const char *text, size_t len, bool listener)
{
    const char *colon = memrchr(text, ':', len);
    int64_t port;
    if (!colon) return false;
    size_t host = (size_t)(colon - text);
    if (!integer_of(colon + 1, len - host - 1, &port)) return false;
    if (port < (listener ? 0 : 1) || port > 65535) return false;
    if (host == 0) return listener;
    bool bracketed = text[0] == '[' && host > 2 && text[host - 1] == ']';
    for (size_t i = 0; i < host; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c >= 0x7f || c == ',' || c == ';' || c == '/') return false;
        if (c == ':' && !bracketed) return false;
    }
    return true;
}

static struct sk_status parse_address(const char *text)
{
    if (text[0] == 0 || is_address(text, strlen(text), true)) return SK_SUCCESS;
    return sk_error(SK_INVALID,
                    "'%.80s' is not an address; write HOST:PORT, like 127.0.0.1:8081 or [::1]:8081",
                    text);
}

void sk_hosts_free(char **hosts)
{
    for (char **h = hosts; h && *h; h++) free(*h);
    free(hosts);
}

static struct sk_status parse_hosts(const char *text, struct sk_value *out)
{
    size_t room = 1;
    for (const char *c = text; *c; c++) room += *c == ',' || *c == ';';
    char **hosts = sk_zalloc(room + 1, sizeof *hosts);
    size_t count = 0;
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, ",;");
        if (!is_address(at, len, false)) {
            sk_hosts_free(hosts);
            return sk_error(SK_INVALID, "'%.*s' is not an address; write HOST:PORT[,HOST:PORT…]",
                            len > 80 ? 80 : (int)len, at);
        }
        hosts[count++] = sk_strndup(sk_slice_of(at, len));
        at += len;
        if (*at) at++;
    }
    out->hosts = hosts;
    out->host_count = count;
    return SK_SUCCESS;
}

struct sk_status sk_value_parse(const struct sk_setting *s, const char *text, struct sk_value *out)
{
    *out = (struct sk_value){0};
    switch (s->kind) {
    case SK_KIND_BOOL:
        return parse_bool(text, out);
    case SK_KIND_INT:
        return parse_int(s, text, out);
    case SK_KIND_SIZE:
        return parse_size(s, text, out);
    case SK_KIND_DURATION:
        return parse_duration(s, text, out);
    case SK_KIND_TEXT:
        return parse_text(s, text);
    case SK_KIND_CHOICE:
        return parse_choice(s, text, out);
    case SK_KIND_ADDRESS:
        return parse_address(text);
    case SK_KIND_HOSTS:
        return parse_hosts(text, out);
    }
    return sk_error(SK_INTERNAL, "setting kind %d", (int)s->kind);
}
