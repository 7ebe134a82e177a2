/* settings.h - what a client is told when it sends its Settings (protocol.md 3.11).
 *
 *      client's Settings ──► sk_settings_merge ──► the same, with the server's overrides
 *                                 ▲
 *                     rules (from configuration), the group's facts
 *
 * Each client has its quirks; they are all here:
 *   - producers must be given an exponential back-off, a max_body_size other than 0;
 *   - consumers must be given a back-off strategy: Node.js knows the exponential one
 *     only, Python's push consumer the customized one only; the others know both;
 *   - lite consumers hang for ever on a quota of 0.
 *
 * Threads: pure functions. */
#ifndef SK_SERVICE_SETTINGS_H
#define SK_SERVICE_SETTINGS_H

#include <stdint.h>

#include "apache/rocketmq/v2/definition.alias.h"
#include "service/codes.h"

/* Zero in any of these means the default behind it. */
struct sk_settings_rules {
    uint64_t max_body_bytes;               /* 4 MiB */
    bool skip_type_check;                  /* validate_message_type is its contrary */
    int32_t producer_max_attempts;         /* 3 */
    uint64_t producer_backoff_initial_ms;  /* 10 ms */
    uint64_t producer_backoff_max_ms;      /* 1 s */
    int32_t producer_backoff_multiplier;   /* 2 */
    int32_t receive_batch_size;            /* 32 */
    uint64_t long_polling_ms;              /* 20 s */
    int32_t lite_subscription_quota;       /* 2000 */
    int32_t max_lite_topic_size;           /* 64 */
};

/* From a struct that has the fields of service/clients.def. */
#define SK_SETTINGS_RULES(c)                                                                       \
    ((struct sk_settings_rules){                                                                   \
        .max_body_bytes = (c)->max_body_bytes,                                                     \
        .skip_type_check = !(c)->check_message_type,                                               \
        .producer_max_attempts = (int32_t)(c)->producer_attempts,                                  \
        .producer_backoff_initial_ms = (c)->producer_backoff_initial_ms,                           \
        .producer_backoff_max_ms = (c)->producer_backoff_max_ms,                                   \
        .producer_backoff_multiplier = (int32_t)(c)->producer_backoff_multiplier,                  \
        .receive_batch_size = (int32_t)(c)->max_receive_batch,                                     \
        .long_polling_ms = (c)->max_long_polling_ms,                                               \
        .lite_subscription_quota = (int32_t)(c)->lite_subscription_quota,                          \
        .max_lite_topic_size = (int32_t)(c)->max_lite_topic})

/* What is known of the consumer group; zeroed if nothing is. */
struct sk_group_facts {
    bool orderly;
    int32_t max_attempts; /* 0: 17 */
};

/* Check the client's Settings without changing them. UNRECOGNIZED_CLIENT_TYPE without a
 * client type that fits to publishing or subscription, ILLEGAL_CONSUMER_GROUP,
 * INVALID_CLIENT_PROPERTIES (4.10). */
SK_CHECKED struct sk_verdict sk_settings_check(const rmq_settings *client);

/* Is it a consumer's? (Then subscription is set, once sk_settings_check granted it.) */
bool sk_settings_is_consumer(const rmq_settings *client);

/* Fill *out: the client's own Settings with our overrides. Borrows from both; what is new
 * is in `arena`. Call only what sk_settings_check granted. TOO_MANY_REQUESTS when the
 * arena's budget is exceeded. */
SK_CHECKED struct sk_verdict sk_settings_merge(const rmq_settings *client,
                                               const struct sk_settings_rules *rules,
                                               const struct sk_group_facts *group,
                                               sk_arena *arena, rmq_settings *out);

#endif
