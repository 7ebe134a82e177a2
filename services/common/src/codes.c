/* codes.c - tables between Skua's statuses and RocketMQ's codes. */
#include "service/codes.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

struct sk_verdict sk_refuse(rmq_code code, const char *fmt, ...)
{
    struct sk_verdict v = {.code = code};
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(v.text, sizeof v.text, fmt, args);
    va_end(args);
    if (n >= (int)sizeof v.text) sk_utf8_trim(v.text);
    return v;
}

struct sk_verdict sk_verdict_of(struct sk_status status)
{
    static const rmq_code codes[] = {
        [SK_OK] = RMQ_CODE_OK,
        [SK_RETRY] = RMQ_CODE_TOO_MANY_REQUESTS,
        [SK_NOT_FOUND] = RMQ_CODE_NOT_FOUND,
        [SK_EXISTS] = RMQ_CODE_PRECONDITION_FAILED,
        [SK_INVALID] = RMQ_CODE_BAD_REQUEST,
        [SK_FULL] = RMQ_CODE_TOO_MANY_REQUESTS,
        [SK_NOT_MASTER] = RMQ_CODE_HA_NOT_AVAILABLE,
        [SK_CORRUPT] = RMQ_CODE_INTERNAL_SERVER_ERROR,
        [SK_IO] = RMQ_CODE_INTERNAL_SERVER_ERROR,
        [SK_NO_MEMORY] = RMQ_CODE_TOO_MANY_REQUESTS,
        [SK_TIMEOUT] = RMQ_CODE_PROXY_TIMEOUT,
        [SK_CANCELLED] = RMQ_CODE_REQUEST_TIMEOUT,
        [SK_UNAVAILABLE] = RMQ_CODE_HA_NOT_AVAILABLE,
        [SK_UNIMPLEMENTED] = RMQ_CODE_NOT_IMPLEMENTED,
        [SK_CLOSED] = RMQ_CODE_TOO_MANY_REQUESTS,
        [SK_INTERNAL] = RMQ_CODE_INTERNAL_SERVER_ERROR,
    };
    if (sk_ok(status)) return SK_GRANTED;
    return sk_refuse(codes[status.code], "%s", sk_status_text(&status));
}

void sk_fill_status(rmq_status *out, rmq_code code, const char *text)
{
    *out = (rmq_status)RMQ_STATUS_INIT;
    out->code = code;
    if (!text) text = rmq_code_name((int)code);
    out->message = sk_proto_text(text);
}

rmq_status *sk_verdict_message(struct sk_verdict verdict, sk_arena *arena)
{
    static char poor[] = "the request needs more memory than one call may have";
    static rmq_status fallback = {.base = PROTOBUF_C_MESSAGE_INIT(&rmq_status_descriptor),
                                  .code = RMQ_CODE_TOO_MANY_REQUESTS,
                                  .message = poor};
    rmq_status *status = sk_arena_alloc(arena, sizeof *status);
    char *text = sk_arena_text(arena, sk_slice_of_text(verdict.text));
    if (!status || !text) return &fallback;
    sk_fill_status(status, verdict.code, text);
    return status;
}

rmq_code sk_code_for(struct sk_slice language, rmq_code code)
{
    if (!sk_slice_eq(language, SK_SLICE("RUST"))) return code;
    switch (code) {
    case RMQ_CODE_ILLEGAL_OFFSET:
    case RMQ_CODE_ILLEGAL_LITE_TOPIC:
    case RMQ_CODE_INVALID_CLIENT_PROPERTIES:
    case RMQ_CODE_MESSAGE_BODY_EMPTY:
        return RMQ_CODE_BAD_REQUEST;
    case RMQ_CODE_OFFSET_NOT_FOUND:
        return RMQ_CODE_NOT_FOUND;
    case RMQ_CODE_LITE_TOPIC_QUOTA_EXCEEDED:
    case RMQ_CODE_LITE_SUBSCRIPTION_QUOTA_EXCEEDED:
        return RMQ_CODE_TOO_MANY_REQUESTS;
    default:
        return code;
    }
}
