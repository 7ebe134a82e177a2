/* find.c - finding topics and groups, and making them when that is allowed. */
#include "placing/find.h"

#include "inside.h"

static struct sk_status write_topic(sk_placing *placing, struct sk_turn *turn, struct sk_slice name)
{
    struct sk_topic_change change = {
        .name = name,
        .type = SK_TOPIC_NORMAL,
        .read_queues = (uint32_t)placing->node->config->default_queues,
        .write_queues = (uint32_t)placing->node->config->default_queues,
        .permission = SK_PERMIT_READ | SK_PERMIT_WRITE,
    };
    struct sk_buffer payload = {0};
    sk_state_encode_topic(&change, &payload);
    struct sk_status status = sk_turn_write(turn, SK_RECORD_TOPIC, sk_buffer_slice(&payload), NULL);
    sk_buffer_done(&payload);
    return status;
}

static struct sk_status write_group(sk_placing *placing, struct sk_turn *turn, struct sk_slice name)
{
    struct sk_group_change change = {.name = name,
                                     .max_attempts = (uint32_t)placing->node->config->max_attempts};
    struct sk_buffer payload = {0};
    sk_state_encode_group(&change, &payload);
    struct sk_status status = sk_turn_write(turn, SK_RECORD_GROUP, sk_buffer_slice(&payload), NULL);
    sk_buffer_done(&payload);
    return status;
}

struct sk_verdict sk_see_topic(sk_placing *placing, struct sk_turn *turn, struct sk_slice name,
                               const struct sk_topic **out)
{
    *out = sk_state_topic(sk_turn_state(turn), name);
    if (*out) return SK_GRANTED;
    return sk_refuse(RMQ_CODE_TOPIC_NOT_FOUND,
                     "no topic '%.*s' on broker %s: create it first, or start the broker with "
                     "auto_create_topics",
                     SK_SLICE_ARGS(name), placing->node->config->name);
}

struct sk_verdict sk_see_group(sk_placing *placing, struct sk_turn *turn, struct sk_slice name,
                               const struct sk_group **out)
{
    *out = sk_state_group(sk_turn_state(turn), name);
    if (*out) return SK_GRANTED;
    return sk_refuse(RMQ_CODE_CONSUMER_GROUP_NOT_FOUND,
                     "no consumer group '%.*s' on broker %s: create it first, or start the "
                     "broker with auto_create_groups",
                     SK_SLICE_ARGS(name), placing->node->config->name);
}

struct sk_verdict sk_find_topic(sk_placing *placing, struct sk_turn *turn, struct sk_slice name,
                                const struct sk_topic **out)
{
    const sk_state *state = sk_turn_state(turn);
    struct sk_verdict seen = sk_see_topic(placing, turn, name, out);
    if (sk_granted(seen) || !placing->node->config->auto_create_topics) return seen;
    if (sk_state_topic_count(state) >= (size_t)placing->node->config->max_topics) {
        return sk_refuse(RMQ_CODE_TOO_MANY_REQUESTS,
                         "the broker has %lld topics already: max_topics",
                         (long long)placing->node->config->max_topics);
    }
    struct sk_status status = write_topic(placing, turn, name);
    if (!sk_ok(status)) return sk_verdict_of(status);
    *out = sk_state_topic(state, name);
    return SK_GRANTED;
}

struct sk_verdict sk_find_group(sk_placing *placing, struct sk_turn *turn, struct sk_slice name,
                                const struct sk_group **out)
{
    const sk_state *state = sk_turn_state(turn);
    struct sk_verdict seen = sk_see_group(placing, turn, name, out);
    if (sk_granted(seen) || !placing->node->config->auto_create_groups) return seen;
    if (sk_state_group_count(state) >= (size_t)placing->node->config->max_groups) {
        return sk_refuse(RMQ_CODE_TOO_MANY_REQUESTS,
                         "the broker has %lld consumer groups already: max_groups",
                         (long long)placing->node->config->max_groups);
    }
    struct sk_status status = write_group(placing, turn, name);
    if (!sk_ok(status)) return sk_verdict_of(status);
    *out = sk_state_group(state, name);
    return SK_GRANTED;
}
