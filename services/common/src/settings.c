/* settings.c - a copy of the client's Settings with the server's overrides. */
#include "service/settings.h"

#include <string.h>

#include "service/names.h"

/* RocketMQ's own retry delays in seconds: 1s 5s 10s 30s 1m … 2h (protocol.md 5.5). */
static const uint32_t retry_delays[] = {1,   5,   10,  30,  60,  120,  180,  240,  300,
                                        360, 420, 480, 540, 600, 1200, 1800, 3600, 7200};

enum { RETRY_COUNT = sizeof retry_delays / sizeof retry_delays[0] };

static uint64_t or_else(uint64_t value, uint64_t fallback)
{
    return value ? value : fallback;
}

static int32_t or_else_int(int32_t value, int32_t fallback)
{
    return value ? value : fallback;
}

/* --- checks ------------------------------------------------------------------------------- */

bool sk_settings_is_consumer(const rmq_settings *client)
{
    rmq_client_type type = rmq_settings_get_client_type(client);
    return type >= RMQ_CLIENT_TYPE_PUSH_CONSUMER && type <= RMQ_CLIENT_TYPE_LITE_SIMPLE_CONSUMER;
}

static bool is_property_key(const char *key)
{
    size_t len = strlen(key);
    if (len < 1 || len > 64 || strncmp(key, "rocketmq.", 9) == 0) return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)key[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool later = (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
        if (!letter && !(later && i > 0)) return false;
    }
    return true;
}

static struct sk_verdict check_properties(const rmq_settings *client)
{
    enum { MOST = 32, VALUE_LIMIT = 256, TOTAL_LIMIT = 4096 };
    size_t total = 0;
    if (client->n_client_properties > MOST)
        return sk_refuse(RMQ_CODE_INVALID_CLIENT_PROPERTIES, "%zu client properties; at most %d",
                         client->n_client_properties, MOST);
    for (size_t i = 0; i < client->n_client_properties; i++) {
        const rmq_settings_client_properties_entry *e = client->client_properties[i];
        if (!is_property_key(e->key))
            return sk_refuse(RMQ_CODE_INVALID_CLIENT_PROPERTIES,
                             "the key of client property %zu is not legal: 1 to 64 letters, digits "
                             "and _ . -, a letter first, not beginning with rocketmq.",
                             i + 1);
        if (strlen(e->value) > VALUE_LIMIT)
            return sk_refuse(RMQ_CODE_INVALID_CLIENT_PROPERTIES,
                             "client property '%.64s' has %zu bytes; at most %d", e->key,
                             strlen(e->value), VALUE_LIMIT);
        total += strlen(e->key) + strlen(e->value);
    }
    if (total > TOTAL_LIMIT)
        return sk_refuse(RMQ_CODE_INVALID_CLIENT_PROPERTIES,
                         "client properties have %zu bytes together; at most %d", total,
                         TOTAL_LIMIT);
    return SK_GRANTED;
}

static struct sk_verdict check_consumer(const rmq_settings *client)
{
    const rmq_subscription *s = rmq_settings_get_subscription(client);
    if (!s)
        return sk_refuse(RMQ_CODE_UNRECOGNIZED_CLIENT_TYPE,
                         "client type %s must come with a subscription",
                         rmq_client_type_name((int)rmq_settings_get_client_type(client)));
    const rmq_resource *group = rmq_subscription_get_group(s);
    return sk_group_check(sk_slice_of_text(group ? group->name : ""));
}

struct sk_verdict sk_settings_check(const rmq_settings *client)
{
    rmq_client_type type = rmq_settings_get_client_type(client);
    if (type == RMQ_CLIENT_TYPE_PRODUCER && !rmq_settings_has_publishing(client))
        return sk_refuse(RMQ_CODE_UNRECOGNIZED_CLIENT_TYPE,
                         "client type PRODUCER must come with publishing");
    if (type != RMQ_CLIENT_TYPE_PRODUCER && !sk_settings_is_consumer(client))
        return sk_refuse(RMQ_CODE_UNRECOGNIZED_CLIENT_TYPE,
                         "the settings have no client type that is supported");
    if (type != RMQ_CLIENT_TYPE_PRODUCER) SK_GRANT(check_consumer(client));
    return check_properties(client);
}

/* --- overrides ------------------------------------------------------------------------------- */

static pb_duration *duration(uint64_t ms, sk_arena *arena)
{
    pb_duration *d = sk_arena_alloc(arena, sizeof *d);
    if (!d) return NULL;
    pb_duration_init(d);
    d->seconds = (int64_t)(ms / 1000);
    d->nanos = (int32_t)(ms % 1000) * 1000000;
    return d;
}

/* A retry policy without a strategy yet. */
static rmq_retry_policy *policy(int32_t max_attempts, sk_arena *arena)
{
    rmq_retry_policy *p = sk_arena_alloc(arena, sizeof *p);
    if (!p) return NULL;
    rmq_retry_policy_init(p);
    p->max_attempts = max_attempts;
    return p;
}

static bool make_exponential(rmq_retry_policy *p, uint64_t initial_ms, uint64_t max_ms,
                             int32_t multiplier, sk_arena *arena)
{
    rmq_exponential_backoff *b = p ? sk_arena_alloc(arena, sizeof *b) : NULL;
    if (!b) return false;
    rmq_exponential_backoff_init(b);
    b->initial = duration(initial_ms, arena);
    b->max = duration(max_ms, arena);
    b->multiplier = (float)multiplier;
    rmq_retry_policy_set_exponential_backoff(p, b);
    return b->initial && b->max;
}

static bool make_customized(rmq_retry_policy *p, sk_arena *arena)
{
    rmq_customized_backoff *b = p ? sk_arena_alloc(arena, sizeof *b) : NULL;
    pb_duration **next = sk_arena_zalloc(arena, RETRY_COUNT, sizeof *next);
    if (!b || !next) return false;
    rmq_customized_backoff_init(b);
    b->n_next = RETRY_COUNT;
    b->next = next;
    for (size_t i = 0; i < RETRY_COUNT; i++)
        if (!(next[i] = duration(retry_delays[i] * 1000ull, arena))) return false;
    rmq_retry_policy_set_customized_backoff(p, b);
    return true;
}

static bool override_producer(const rmq_settings *client, const struct sk_settings_rules *rules,
                              sk_arena *arena, rmq_settings *out)
{
    rmq_publishing *p = sk_arena_copy(arena, rmq_settings_get_publishing(client), sizeof *p);
    rmq_retry_policy *retry = policy(or_else_int(rules->producer_max_attempts, 3), arena);
    if (!p || !make_exponential(retry, or_else(rules->producer_backoff_initial_ms, 10),
                                or_else(rules->producer_backoff_max_ms, 1000),
                                or_else_int(rules->producer_backoff_multiplier, 2), arena))
        return false;
    p->max_body_size = (int32_t)or_else(rules->max_body_bytes, 4u << 20);
    p->validate_message_type = !rules->skip_type_check;
    rmq_settings_set_publishing(out, p);
    rmq_settings_set_backoff_policy(out, retry);
    return true;
}

static bool speaks_node(const rmq_settings *client)
{
    return client->user_agent && client->user_agent->language == RMQ_LANGUAGE_NODE_JS;
}

static bool override_consumer(const rmq_settings *client, const struct sk_settings_rules *rules,
                              const struct sk_group_facts *group, sk_arena *arena,
                              rmq_settings *out)
{
    rmq_subscription *s = sk_arena_copy(arena, rmq_settings_get_subscription(client), sizeof *s);
    rmq_retry_policy *retry = policy(or_else_int(group->max_attempts, 17), arena);
    pb_duration *polling = duration(or_else(rules->long_polling_ms, 20000), arena);
    bool made = speaks_node(client) ? make_exponential(retry, 5000, 7200000, 2, arena)
                                    : make_customized(retry, arena);
    if (!s || !polling || !made) return false;
    rmq_subscription_set_fifo(s, group->orderly);
    rmq_subscription_set_receive_batch_size(s, or_else_int(rules->receive_batch_size, 32));
    rmq_subscription_set_long_polling_timeout(s, polling);
    if (rmq_settings_get_client_type(client) >= RMQ_CLIENT_TYPE_LITE_PUSH_CONSUMER) {
        rmq_subscription_set_lite_subscription_quota(
            s, or_else_int(rules->lite_subscription_quota, 2000));
        rmq_subscription_set_max_lite_topic_size(s, or_else_int(rules->max_lite_topic_size, 64));
    }
    rmq_settings_set_subscription(out, s);
    rmq_settings_set_backoff_policy(out, retry);
    return true;
}

struct sk_verdict sk_settings_merge(const rmq_settings *client,
                                    const struct sk_settings_rules *rules,
                                    const struct sk_group_facts *group, sk_arena *arena,
                                    rmq_settings *out)
{
    rmq_metric *metric = sk_arena_alloc(arena, sizeof *metric);
    rmq_settings merged = *client;
    bool made = metric && (sk_settings_is_consumer(client)
                               ? override_consumer(client, rules, group, arena, &merged)
                               : override_producer(client, rules, arena, &merged));
    if (!made) return sk_refuse(RMQ_CODE_TOO_MANY_REQUESTS, "the settings need too much memory");
    rmq_metric_init(metric);
    merged.metric = metric;
    *out = merged;
    return SK_GRANTED;
}
