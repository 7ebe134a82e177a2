/* log.h - one line per event on stderr, for people and for jq.
 *
 *     sk_log(SK_WARN, "flush is late", sk_u64("position", p), sk_text("disk", dir));
 *
 *     2026-11-21T10:15:02.123Z WARN  flush is late position=4096 disk="/data"
 *     {"ts":"2026-11-21T10:15:02.123Z","level":"warn","msg":"flush is late","position":4096,...}
 *
 * The message is a constant, so lines can be searched and counted; what varies
 * goes into fields. Values are escaped: a peer's text cannot forge a line.
 * Library rooms return a status instead of logging. Rate: at most
 * 20 lines a second of one call site; the next line says how many were dropped.
 *
 * Threads: any. */
#ifndef SK_BASE_LOG_H
#define SK_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

enum sk_log_level { SK_DEBUG_LEVEL, SK_INFO, SK_WARN, SK_ERROR, SK_SILENT };

enum sk_log_kind { SK_FIELD_U64, SK_FIELD_I64, SK_FIELD_TEXT, SK_FIELD_BYTES };

struct sk_log_field {
    const char *key;
    enum sk_log_kind kind;
    union {
        uint64_t u64;
        int64_t i64;
        const char *text;
        struct sk_slice bytes;
    } value;
};

struct sk_log_site { /* one per call site, static */
    _Atomic uint64_t second;
    _Atomic uint32_t count;
    _Atomic uint32_t dropped;
};

static inline struct sk_log_field sk_u64(const char *key, uint64_t v)
{
    return (struct sk_log_field){.key = key, .kind = SK_FIELD_U64, .value.u64 = v};
}
static inline struct sk_log_field sk_i64(const char *key, int64_t v)
{
    return (struct sk_log_field){.key = key, .kind = SK_FIELD_I64, .value.i64 = v};
}
static inline struct sk_log_field sk_text(const char *key, const char *v)
{
    return (struct sk_log_field){.key = key, .kind = SK_FIELD_TEXT, .value.text = v ? v : ""};
}
static inline struct sk_log_field sk_bytes(const char *key, struct sk_slice v)
{
    return (struct sk_log_field){.key = key, .kind = SK_FIELD_BYTES, .value.bytes = v};
}

void sk_log_configure(enum sk_log_level lowest, bool json);
bool sk_log_enabled(enum sk_log_level level);
void sk_log_write(struct sk_log_site *site, enum sk_log_level level, const char *message,
                  const struct sk_log_field *fields, size_t count);

/* sk_log(level, message, fields…); there may be no fields. */
#define sk_log(level, ...) SK_LOG_(level, __VA_ARGS__, (struct sk_log_field){0})

/* The usual ending of a failure: sk_log_status(level, message, status, fields…) adds the
 * status' code and text. */
#define sk_log_status(level, message, ...)                                                         \
    SK_LOG_STATUS_(level, message, __VA_ARGS__, (struct sk_log_field){0})

/* Behind both: the last field is an end mark, so that there is always one. */
#define SK_LOG_STATUS_(level, message, status, ...)                                                \
    SK_LOG_(level, message, sk_text("code", sk_code_name((status).code)),                          \
            sk_text("detail", (status).detail), __VA_ARGS__)

#define SK_LOG_(level, message, ...)                                                               \
    do {                                                                                           \
        static struct sk_log_site sk_site_;                                                        \
        const struct sk_log_field sk_fields_[] = {__VA_ARGS__};                                    \
        if (sk_log_enabled(level))                                                                 \
            sk_log_write(&sk_site_, level, message, sk_fields_,                                    \
                         sizeof sk_fields_ / sizeof sk_fields_[0] - 1);                            \
    } while (0)

#endif
