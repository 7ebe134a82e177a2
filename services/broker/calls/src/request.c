/* request.c - times, sizes and filters out of requests. */
#include "request.h"

static int64_t to_ms(int64_t seconds, int32_t nanos)
{
    int64_t ms = 0;
    if (__builtin_mul_overflow(seconds, 1000, &ms) ||
        __builtin_add_overflow(ms, nanos / 1000000, &ms)) {
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    }
    return ms;
}

int64_t sk_duration_ms(const pb_duration *duration)
{
    return duration ? to_ms(duration->seconds, duration->nanos) : 0;
}

int64_t sk_timestamp_ms(const pb_timestamp *timestamp)
{
    return timestamp ? to_ms(timestamp->seconds, timestamp->nanos) : 0;
}

static int64_t clamp(int64_t value, uint64_t least, uint64_t most)
{
    if (value < (int64_t)least) value = (int64_t)least;
    return value > (int64_t)most ? (int64_t)most : value;
}

struct sk_verdict sk_poll_end(struct sk_calls *calls, rpc_call *call,
                              const struct sk_caller *caller, const pb_duration *polling,
                              uint64_t *end_us)
{
    const struct sk_broker_config *config = calls->node->config;
    int64_t remaining = rpc_call_remaining_ms(call);
    int64_t ms = sk_duration_ms(polling);
    if (ms < 0) {
        return sk_refuse(RMQ_CODE_ILLEGAL_POLLING_TIME, "long_polling_timeout is negative");
    }
    if (!polling && remaining == INT64_MAX) {
        ms = (int64_t)config->max_long_polling_ms;
    } else if (!polling) {
        ms = remaining - (int64_t)sk_sessions_request_timeout_ms(calls->sessions, caller) / 2;
    }
    ms = clamp(ms, config->min_long_polling_ms, config->max_long_polling_ms);
    int64_t reserve = (int64_t)config->polling_reserve_ms;
    if (remaining != INT64_MAX && ms > remaining - reserve) ms = remaining - reserve;
    if (ms < 0) {
        return sk_refuse(RMQ_CODE_ILLEGAL_POLLING_TIME,
                         "the deadline is %lld ms ahead, too near to poll before it",
                         (long long)remaining);
    }
    *end_us = sk_mono_us(calls->node->clock) + (uint64_t)ms * 1000;
    return SK_GRANTED;
}

struct sk_verdict sk_check_batch(struct sk_calls *calls, int32_t batch_size, size_t *out)
{
    if (batch_size <= 0) {
        return sk_refuse(RMQ_CODE_BAD_REQUEST, "batch_size is %d; it must be at least 1",
                         batch_size);
    }
    int64_t most = calls->node->config->max_receive_batch;
    *out = (size_t)(batch_size < most ? batch_size : most);
    return SK_GRANTED;
}

struct sk_verdict sk_check_filter(rpc_call *call, const rmq_filter_expression *filter,
                                  struct sk_tag_filter *out)
{
    struct sk_slice text = sk_slice_of_text(filter ? filter->expression : NULL);
    if (filter && filter->type == RMQ_FILTER_TYPE_SQL) {
        if (text.len == 0) {
            return sk_refuse(RMQ_CODE_ILLEGAL_FILTER_EXPRESSION, "the SQL expression is empty");
        }
        return sk_refuse(RMQ_CODE_NOT_IMPLEMENTED,
                         "SQL filters come in a later version of Skua; TAG filters work");
    }
    if (filter && filter->type != RMQ_FILTER_TYPE_TAG &&
        filter->type != RMQ_FILTER_TYPE_UNSPECIFIED) {
        return sk_refuse(RMQ_CODE_ILLEGAL_FILTER_EXPRESSION, "unknown filter type %d",
                         (int)filter->type);
    }
    const char *broken = sk_tag_filter_parse(text, rpc_call_arena(call), out);
    return broken ? sk_refuse(RMQ_CODE_ILLEGAL_FILTER_EXPRESSION, "%s", broken) : SK_GRANTED;
}
