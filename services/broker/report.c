/* report.c - what this broker serves, out of its state. */
#include "report.h"

static struct sk_route_topic route_topic(const struct sk_topic *topic, struct sk_slice name)
{
    unsigned permission = (topic->permission & SK_PERMIT_READ ? SK_ROUTE_READ : 0u) |
                          (topic->permission & SK_PERMIT_WRITE ? SK_ROUTE_WRITE : 0u);
    return (struct sk_route_topic){.name = name,
                                   .type = (int32_t)topic->type,
                                   .mixed = topic->mixed,
                                   .read_queues = topic->read_queues,
                                   .write_queues = topic->write_queues,
                                   .permission = permission};
}

static bool copy(sk_arena *arena, struct sk_slice *name)
{
    void *bytes = sk_arena_copy(arena, name->data, name->len);
    name->data = bytes;
    return bytes != NULL;
}

/* Under the ledger's lock. */
static bool take_topics(const sk_state *state, sk_arena *arena, struct sk_route_broker *out)
{
    size_t count = sk_state_topic_count(state), cursor = 0;
    struct sk_route_topic *topics = sk_arena_zalloc(arena, count, sizeof *topics);
    const struct sk_topic *topic;
    out->topics = topics;
    while (topics && out->topic_count < count && (topic = sk_state_next_topic(state, &cursor))) {
        struct sk_slice name = topic->name;
        if (!copy(arena, &name)) return false;
        topics[out->topic_count++] = route_topic(topic, name);
    }
    return topics != NULL;
}

static bool take_orderly_groups(const sk_state *state, sk_arena *arena, struct sk_route_broker *out)
{
    size_t count = sk_state_group_count(state), cursor = 0;
    struct sk_slice *names = sk_arena_zalloc(arena, count, sizeof *names);
    const struct sk_group *group;
    out->orderly_groups = names;
    while (names && (group = sk_state_next_group(state, &cursor))) {
        if (!group->orderly) continue;
        struct sk_slice name = group->name;
        if (!copy(arena, &name)) return false;
        names[out->group_count++] = name;
    }
    return names != NULL;
}

bool sk_report_of_broker(sk_broker *broker, sk_arena *arena, struct sk_route_broker *out)
{
    *out = (struct sk_route_broker){
        .key = {.cluster = sk_slice_of_text(broker->config->cluster), .name = broker->name},
        .incarnation = broker->incarnation,
        .software = sk_slice_of_text(SKUA_VERSION),
        .plain = broker->plain,
        .tls = broker->tls,
    };
    sk_ledger_lock(broker->ledger);
    const sk_state *state = sk_ledger_state(broker->ledger);
    out->version = sk_state_config_version(state);
    bool fits = take_topics(state, arena, out) && take_orderly_groups(state, arena, out);
    sk_ledger_unlock(broker->ledger);
    return fits;
}
