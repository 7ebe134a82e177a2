/* status.c - the library's own small status, and what becomes one.
 *
 * Three sources: our own rooms (sk_status), the transport (rpc_outcome), the
 * server's answer (a RocketMQ Code). They meet here and nowhere else. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
} codes[] = {
    [SKUA_OK] = {"SKUA_OK", "ok"},
    [SKUA_BUSY] = {"SKUA_BUSY", "too many requests: try again later"},
    [SKUA_NOT_FOUND] = {"SKUA_NOT_FOUND", "no such thing"},
    [SKUA_EXISTS] = {"SKUA_EXISTS", "it is there already, and differs"},
    [SKUA_INVALID] = {"SKUA_INVALID", "the request breaks a rule"},
    [SKUA_FULL] = {"SKUA_FULL", "a disk or quota limit is reached"},
    [SKUA_DENIED] = {"SKUA_DENIED", "not allowed"},
    [SKUA_EXPIRED] = {"SKUA_EXPIRED", "the receipt handle is no longer valid"},
    [SKUA_TIMEOUT] = {"SKUA_TIMEOUT", "no answer in time"},
    [SKUA_UNAVAILABLE] = {"SKUA_UNAVAILABLE", "nobody could be reached"},
    [SKUA_UNIMPLEMENTED] = {"SKUA_UNIMPLEMENTED", "the server cannot do this"},
    [SKUA_CANCELLED] = {"SKUA_CANCELLED", "cancelled"},
    [SKUA_INTERNAL] = {"SKUA_INTERNAL", "a bug: please report it"},
};

static bool known(enum skua_code code)
{
    return (unsigned)code < sizeof codes / sizeof codes[0];
}

const char *skua_code_name(enum skua_code code)
{
    return known(code) ? codes[code].name : "SKUA_?";
}
const char *skua_code_text(enum skua_code code)
{
    return known(code) ? codes[code].text : "unknown";
}

const char *skua_status_text(const struct skua_status *s)
{
    return s->detail[0] ? s->detail : skua_code_text(s->code);
}

const char *skua_version(void)
{
    return SKUA_VERSION;
}

struct skua_status status_make(enum skua_code code, int32_t reply, const char *format, ...)
{
    struct skua_status s = {.code = code, .reply = reply};
    va_list args;
    va_start(args, format);
    vsnprintf(s.detail, sizeof s.detail, format, args);
    va_end(args);
    return s;
}

struct skua_status status_from_base(struct sk_status s)
{
    static const enum skua_code map[] = {
        [SK_OK] = SKUA_OK,
        [SK_RETRY] = SKUA_BUSY,
        [SK_NOT_FOUND] = SKUA_NOT_FOUND,
        [SK_EXISTS] = SKUA_EXISTS,
        [SK_INVALID] = SKUA_INVALID,
        [SK_FULL] = SKUA_FULL,
        [SK_NOT_MASTER] = SKUA_DENIED,
        [SK_CORRUPT] = SKUA_INTERNAL,
        [SK_IO] = SKUA_INTERNAL,
        [SK_NO_MEMORY] = SKUA_INTERNAL,
        [SK_TIMEOUT] = SKUA_TIMEOUT,
        [SK_CANCELLED] = SKUA_CANCELLED,
        [SK_UNAVAILABLE] = SKUA_UNAVAILABLE,
        [SK_UNIMPLEMENTED] = SKUA_UNIMPLEMENTED,
        [SK_CLOSED] = SKUA_UNAVAILABLE,
        [SK_INTERNAL] = SKUA_INTERNAL,
    };
    if (sk_ok(s)) return OK_STATUS;
    const char *text = sk_status_text(&s);
    /* The transport says "PEER: failed to connect to all addresses; …: the reason". */
    const char *noise = strstr(text, ": failed to connect to all addresses"), *reason = text;
    for (const char *at = text; (at = strstr(at, ": ")); at += 2) reason = at + 2;
    if (noise && reason > noise)
        return status_make(map[s.code], 0, "%.*s cannot be reached: %s", (int)(noise - text), text,
                           reason);
    return status_make(map[s.code], 0, "%s", text);
}

/* RocketMQ's codes, by what the caller should do. What is not listed goes by its hundred. */
static const struct {
    rmq_code reply;
    enum skua_code code;
} replies[] = {
    {RMQ_CODE_OK, SKUA_OK},
    {RMQ_CODE_INVALID_RECEIPT_HANDLE, SKUA_EXPIRED},
    {RMQ_CODE_UNAUTHORIZED, SKUA_DENIED},
    {RMQ_CODE_PAYMENT_REQUIRED, SKUA_DENIED},
    {RMQ_CODE_FORBIDDEN, SKUA_DENIED},
    {RMQ_CODE_NOT_FOUND, SKUA_NOT_FOUND},
    {RMQ_CODE_MESSAGE_NOT_FOUND, SKUA_NOT_FOUND},
    {RMQ_CODE_TOPIC_NOT_FOUND, SKUA_NOT_FOUND},
    {RMQ_CODE_CONSUMER_GROUP_NOT_FOUND, SKUA_NOT_FOUND},
    {RMQ_CODE_OFFSET_NOT_FOUND, SKUA_NOT_FOUND},
    {RMQ_CODE_REQUEST_TIMEOUT, SKUA_TIMEOUT},
    {RMQ_CODE_TOO_MANY_REQUESTS, SKUA_BUSY},
    {RMQ_CODE_NOT_IMPLEMENTED, SKUA_UNIMPLEMENTED},
    {RMQ_CODE_UNSUPPORTED, SKUA_UNIMPLEMENTED},
    {RMQ_CODE_PROXY_TIMEOUT, SKUA_TIMEOUT},
    {RMQ_CODE_MASTER_PERSISTENCE_TIMEOUT, SKUA_TIMEOUT},
    {RMQ_CODE_SLAVE_PERSISTENCE_TIMEOUT, SKUA_TIMEOUT},
    {RMQ_CODE_HA_NOT_AVAILABLE, SKUA_UNAVAILABLE},
};

static enum skua_code code_of_reply(int32_t reply)
{
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++)
        if ((int32_t)replies[i].reply == reply) return replies[i].code;
    return reply >= 40000 && reply < 50000 ? SKUA_INVALID : SKUA_INTERNAL;
}

struct skua_status status_from_reply(const rmq_status *reply, const char *doing)
{
    if (!reply) return status_make(SKUA_INTERNAL, 0, "%s: the answer has no status", doing);
    if (reply->code == RMQ_CODE_OK) return OK_STATUS;
    return status_make(code_of_reply((int32_t)reply->code), (int32_t)reply->code, "%s: %s%s%s",
                       doing, rmq_code_name((int)reply->code), reply->message[0] ? ": " : "",
                       reply->message);
}

struct skua_status status_from_call(const struct rpc_outcome *outcome, const rmq_status *reply,
                                    const char *doing)
{
    if (outcome->code == RPC_OK) return status_from_reply(reply, doing);
    struct skua_status s = status_from_base(outcome->status);
    return status_make(s.code, 0, "%s: %s", doing, skua_status_text(&s));
}

/* Another broker may have the topic, the room, the time; a broken rule stays broken. */
bool status_is_retriable(const struct skua_status *s)
{
    switch (s->code) {
    case SKUA_BUSY:
    case SKUA_FULL:
    case SKUA_TIMEOUT:
    case SKUA_UNAVAILABLE:
    case SKUA_CANCELLED:
    case SKUA_INTERNAL:
        return true;
    case SKUA_NOT_FOUND:
        return s->reply == RMQ_CODE_TOPIC_NOT_FOUND;
    case SKUA_DENIED:
        return s->reply == RMQ_CODE_FORBIDDEN;
    default:
        return false;
    }
}
