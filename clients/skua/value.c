/* value.c - the kinds of values: is it one, and which number does it mean? */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

#include "base/utf8.h"

/* A number with an optional fraction and one of the units; scaled to the unit `1`. */
struct unit {
    const char *name;
    double scale;
};

static bool scaled(const char *text, const struct unit *units, size_t count, int64_t *number)
{
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)text[0])) return false;
    double value = strtod(text, &end);
    if (errno || end == text || strspn(text, "0123456789.") != (size_t)(end - text)) return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(end, units[i].name) != 0) continue;
        double result = value * units[i].scale;
        if (!(result >= 0 && result < 9e18)) return false;
        *number = (int64_t)(result + 0.5);
        return true;
    }
    return false;
}

static const struct unit time_units[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000},
};
static const struct unit size_units[] = {
    {"", 1},        {"B", 1},         {"K", 1024},  {"KiB", 1024},   {"k", 1024},
    {"M", 1048576}, {"MiB", 1048576}, {"KB", 1000}, {"MB", 1000000},
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool integer(const char *text, int64_t *number)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || isspace((unsigned char)text[0]) || text[0] == '+')
        return false;
    *number = value;
    return true;
}

/* HOST:PORT of `len` bytes; the port may be 0 only if asked. */
static bool is_address(const char *text, size_t len, bool zero_port)
{
    const char *colon = memrchr(text, ':', len);
    if (!colon || colon == text || colon + 1 == text + len) return false;
    size_t host_len = (size_t)(colon - text);
    bool bracketed = text[0] == '[' && colon[-1] == ']';
    if (!bracketed && memchr(text, ':', host_len)) return false;
    for (size_t i = 0; i < host_len; i++)
        if (isspace((unsigned char)text[i]) || text[i] == '/') return false;

    long port = 0;
    for (const char *p = colon + 1; p < text + len; p++) {
        if (!isdigit((unsigned char)*p)) return false;
        port = port * 10 + (*p - '0');
        if (port > 65535) return false;
    }
    return port > 0 || zero_port;
}

static bool is_server_list(const char *text)
{
    size_t servers = 0;
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, ",;");
        if (!is_address(at, len, false)) return false;
        servers++;
        at += len;
        if (*at) at++;
    }
    return servers > 0;
}

static bool is_name(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > 127) return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("%|_-", text[i])) return false;
    return true;
}

static bool is_choice(const char *choices, const char *text, int64_t *place)
{
    size_t len = strlen(text);
    int64_t n = 0;
    for (const char *at = choices; *at; n++) {
        size_t word = strcspn(at, "|");
        if (word == len && memcmp(at, text, len) == 0) {
            *place = n;
            return true;
        }
        at += word;
        if (*at) at++;
    }
    return false;
}

/* "@1700000000", "2026-11-21", "2026-11-21T10:00:00Z" (UTC) as milliseconds since 1970. */
static bool calendar(const char *text, int64_t *ms)
{
    if (text[0] == '@') {
        if (!scaled(text + 1, time_units, 1, ms)) return false;
        return true;
    }
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (!end) return false;
    if (*end == 'T' || *end == ' ') end = strptime(end + 1, "%H:%M:%S", &tm);
    if (!end) return false;
    if (*end == 'Z') end++;
    if (*end) return false;
    *ms = (int64_t)timegm(&tm) * 1000;
    return *ms >= 0;
}

enum offset_form cli_offset_form(const char *text)
{
    if (strcmp(text, "beginning") == 0) return OFFSET_BEGINNING;
    if (strcmp(text, "end") == 0) return OFFSET_END;
    int64_t ignored;
    return integer(text, &ignored) ? OFFSET_NUMBER : OFFSET_TIME;
}

static bool offset(const char *text, int64_t *number)
{
    switch (cli_offset_form(text)) {
    case OFFSET_BEGINNING:
    case OFFSET_END:
        *number = 0;
        return true;
    case OFFSET_NUMBER:
        return integer(text, number) && *number >= 0;
    case OFFSET_TIME:
        return calendar(text, number);
    }
    return false;
}

static bool out_of_range(const struct flag *flag, int64_t number, char *why, size_t room)
{
    if (number >= flag->min && number <= flag->max) return false;
    if (flag->kind == FLAG_SECONDS)
        snprintf(why, room, "must be between %gs and %gs", (double)flag->min / 1000,
                 (double)flag->max / 1000);
    else if (flag->max == INT64_MAX)
        snprintf(why, room, "must be %lld or more", (long long)flag->min);
    else
        snprintf(why, room, "must be between %lld and %lld", (long long)flag->min,
                 (long long)flag->max);
    return true;
}

/* Bodies may be any bytes and so may paths; what goes into a string of the protocol may not. */
static bool is_for_strings(const char *flag)
{
    static const char *const strings[] = {"tag", "key", "filter", "broker", "cluster"};
    for (size_t i = 0; i < COUNT(strings); i++)
        if (strcmp(flag, strings[i]) == 0) return true;
    return false;
}

bool cli_convert(const struct flag *flag, const char *text, int64_t *number, char *why, size_t room)
{
    const char *want = NULL;
    *number = 0;
    switch (flag->kind) {
    case FLAG_SWITCH:
    case FLAG_TEXT:
        if (!*text) want = "must not be empty";
        if (is_for_strings(flag->name) && !sk_utf8_is_text(sk_slice_of_text(text)))
            want = "must be UTF-8";
        if (strcmp(flag->name, "body") == 0 && !*text)
            want = "must not be empty: a message needs at least one byte";
        break;
    case FLAG_NAME:
        if (!is_name(text)) want = "must be 1 to 127 letters, digits or any of _ - % |";
        break;
    case FLAG_NUMBER:
        if (!integer(text, number)) want = "must be a whole number";
        break;
    case FLAG_SECONDS:
        if (!scaled(text, time_units, COUNT(time_units), number))
            want = "must be a time such as 5, 0.5, 500ms, 2s or 1m";
        break;
    case FLAG_SIZE:
        if (!scaled(text, size_units, COUNT(size_units), number))
            want = "must be a size such as 512, 4KiB or 1MiB";
        break;
    case FLAG_CHOICE:
        if (!is_choice(flag->choices, text, number)) {
            snprintf(why, room, "must be one of %s", flag->choices);
            return false;
        }
        break;
    case FLAG_PAIR:
        if (!sk_utf8_is_text(sk_slice_of_text(text)))
            want = "must be UTF-8";
        else if (text[0] == '=' || !strchr(text, '='))
            want = "must be NAME=VALUE";
        break;
    case FLAG_SERVERS:
        if (!is_server_list(text)) want = "must be HOST:PORT, or several with commas between";
        break;
    case FLAG_LISTEN:
        if (strcmp(text, "off") == 0) break;
        if (!is_address(text, strlen(text), true)) want = "must be HOST:PORT or off";
        break;
    case FLAG_ADDRESS:
        if (!is_address(text, strlen(text), true))
            want = "must be HOST:PORT (port 0 picks a free one)";
        break;
    case FLAG_OFFSET:
        if (!offset(text, number))
            want = "must be a number, beginning, end, or a time such as 2026-11-21T10:00:00Z";
        break;
    }
    if (want) {
        snprintf(why, room, "%s", want);
        return false;
    }
    bool ranged =
        flag->kind == FLAG_NUMBER || flag->kind == FLAG_SECONDS || flag->kind == FLAG_SIZE;
    return !ranged || !out_of_range(flag, *number, why, room);
}
