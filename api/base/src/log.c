/* log.c - formats a line in one buffer and writes it with one write(2), so that
 * lines of several threads never mix. */
#include "base/log.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_ROOM = 2048, END_ROOM = 64, VALUE_LIMIT = 256, LINES_PER_SECOND = 20 };

static _Atomic int lowest_level = SK_INFO;
static _Atomic bool as_json;

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const level_columns[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};

struct line {
    char text[LINE_ROOM];
    size_t len;
    bool full; /* something did not fit; the last END_ROOM bytes are for the end */
};

void sk_log_configure(enum sk_log_level lowest, bool json)
{
    atomic_store_explicit(&lowest_level, (int)lowest, memory_order_relaxed);
    atomic_store_explicit(&as_json, json, memory_order_relaxed);
}

bool sk_log_enabled(enum sk_log_level level)
{
    return (int)level >= atomic_load_explicit(&lowest_level, memory_order_relaxed);
}

static void put_char(struct line *l, char c)
{
    if (l->len < LINE_ROOM - END_ROOM)
        l->text[l->len++] = c;
    else
        l->full = true;
}

static void put_text(struct line *l, const char *s)
{
    while (*s) put_char(l, *s++);
}

static void put_hex(struct line *l, unsigned c)
{
    static const char digits[] = "0123456789abcdef";
    put_char(l, digits[c >> 4]);
    put_char(l, digits[c & 15]);
}

/* Quoted, with everything that could break a line or a terminal escaped. */
static void put_quoted(struct line *l, struct sk_slice bytes)
{
    size_t n = bytes.len > VALUE_LIMIT ? VALUE_LIMIT : bytes.len;
    put_char(l, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = bytes.data[i];
        if (c == '"' || c == '\\') {
            put_char(l, '\\');
            put_char(l, (char)c);
        } else if (c >= 0x20 && c < 0x7f) {
            put_char(l, (char)c);
        } else {
            put_text(l, "\\u00");
            put_hex(l, c);
        }
    }
    if (n < bytes.len) put_text(l, "...");
    put_char(l, '"');
}

static void put_value(struct line *l, const struct sk_log_field *f)
{
    char number[24];
    switch (f->kind) {
    case SK_FIELD_U64:
        snprintf(number, sizeof number, "%" PRIu64, f->value.u64);
        put_text(l, number);
        break;
    case SK_FIELD_I64:
        snprintf(number, sizeof number, "%" PRId64, f->value.i64);
        put_text(l, number);
        break;
    case SK_FIELD_TEXT:
        put_quoted(l, sk_slice_of_text(f->value.text));
        break;
    case SK_FIELD_BYTES:
        put_quoted(l, f->value.bytes);
        break;
    }
}

static void put_time(struct line *l)
{
    struct timespec now;
    struct tm tm;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof text - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
    put_text(l, text);
}

static void put_head(struct line *l, enum sk_log_level level, const char *message, bool json)
{
    if (json) put_text(l, "{\"ts\":\"");
    put_time(l);
    put_text(l, json ? "\",\"level\":\"" : " ");
    put_text(l, json ? level_names[level] : level_columns[level]);
    put_text(l, json ? "\",\"msg\":" : " ");
    if (json)
        put_quoted(l, sk_slice_of_text(message));
    else
        put_text(l, message);
}

static void put_field(struct line *l, const struct sk_log_field *f, bool json)
{
    put_text(l, json ? ",\"" : " ");
    put_text(l, f->key);
    put_text(l, json ? "\":" : "=");
    put_value(l, f);
}

/* May this call site write another line in this second? The counters may be a little off
 * when threads race; the limit need not be exact. */
static bool admit(struct sk_log_site *site, uint32_t *dropped)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t second = (uint64_t)now.tv_sec + 1;
    *dropped = 0;
    if (atomic_exchange_explicit(&site->second, second, memory_order_relaxed) != second) {
        atomic_store_explicit(&site->count, 0, memory_order_relaxed);
        *dropped = atomic_exchange_explicit(&site->dropped, 0, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&site->count, 1, memory_order_relaxed) < LINES_PER_SECOND)
        return true;
    atomic_fetch_add_explicit(&site->dropped, 1, memory_order_relaxed);
    return false;
}

/* A field goes in whole or not at all: half a field would break the line for jq. */
static void put_whole_field(struct line *l, const struct sk_log_field *f, bool json)
{
    size_t before = l->len;
    if (l->full) return;
    put_field(l, f, json);
    if (l->full) l->len = before;
}

static void put_end(struct line *l, uint32_t dropped, bool json)
{
    char *at = l->text + l->len;
    int n = 0;
    if (dropped)
        n += snprintf(at, END_ROOM,
                      json ? ",\"lines_dropped\":%" PRIu32 : " lines_dropped=%" PRIu32, dropped);
    if (l->full)
        n += snprintf(at + n, END_ROOM - (size_t)n, "%s", json ? ",\"cut\":true" : " cut=true");
    n += snprintf(at + n, END_ROOM - (size_t)n, "%s\n", json ? "}" : "");
    l->len += (size_t)n;
}

void sk_log_write(struct sk_log_site *site, enum sk_log_level level, const char *message,
                  const struct sk_log_field *fields, size_t count)
{
    uint32_t dropped;
    if (level >= SK_SILENT || !admit(site, &dropped)) return;
    bool json = atomic_load_explicit(&as_json, memory_order_relaxed);
    struct line l = {.len = 0};
    put_head(&l, level, message, json);
    for (size_t i = 0; i < count; i++) put_whole_field(&l, &fields[i], json);
    put_end(&l, dropped, json);
    ssize_t written = write(STDERR_FILENO, l.text, l.len);
    (void)written; /* nowhere left to complain */
}
