/* request.h - checks that several RPCs share. */
#ifndef SK_BROKER_REQUEST_H
#define SK_BROKER_REQUEST_H

#include "message/filter.h"
#include "inside.h"

/* Saturates; 0 for NULL. Nanoseconds are rounded towards zero. */
int64_t sk_duration_ms(const pb_duration *duration);
int64_t sk_timestamp_ms(const pb_timestamp *timestamp);

/* When a receive has to be answered at the latest (protocol.md 3.5.1): what the client asked for
 * within the broker's bounds, and before the client's deadline. `polling` may be NULL. */
SK_CHECKED struct sk_verdict sk_poll_end(struct sk_calls *calls, rpc_call *call,
                                         const struct sk_caller *caller, const pb_duration *polling,
                                         uint64_t *end_us);

SK_CHECKED struct sk_verdict sk_check_batch(struct sk_calls *calls, int32_t batch_size,
                                            size_t *out);

/* Compiles the expression (NULL: everything) into the call's arena. */
SK_CHECKED struct sk_verdict sk_check_filter(rpc_call *call, const rmq_filter_expression *filter,
                                             struct sk_tag_filter *out);

#endif
