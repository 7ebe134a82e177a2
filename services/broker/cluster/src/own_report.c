/* own_report.c - what this broker serves, out of its state. */
#include "own_report.h"

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

/* The report is copied in turns of a page each, so that nobody waits for the number of topics. What
 * changes between two pages is reported with the next version, which is under way then. */
struct page {
    sk_arena *arena;
    struct sk_route_broker *out;
    struct sk_slice last; /* name of the last one that was looked at, in the arena */
    size_t room;
};

enum { PAGE = 256 };

/* Twice as much room, of elements of that size; NULL: no memory. */
static void *grow(struct page *p, const void *list, size_t count, size_t size)
{
    p->room = p->room ? p->room * 2 : PAGE;
    void *bigger = sk_arena_zalloc(p->arena, p->room, size);
    if (bigger && count) memcpy(bigger, list, count * size);
    return bigger;
}

static bool add_topic(struct page *p, const struct sk_topic *topic)
{
    struct sk_route_broker *out = p->out;
    if (out->topic_count == p->room) {
        out->topics = grow(p, out->topics, out->topic_count, sizeof *out->topics);
        if (!out->topics) return false;
    }
    p->last = topic->name;
    if (!copy(p->arena, &p->last)) return false;
    struct sk_route_topic *topics = (struct sk_route_topic *)(uintptr_t)out->topics;
    topics[out->topic_count++] = route_topic(topic, p->last);
    return true;
}

static bool add_group(struct page *p, const struct sk_group *group)
{
    struct sk_route_broker *out = p->out;
    if (group->orderly && out->group_count == p->room) {
        out->orderly_groups =
            grow(p, out->orderly_groups, out->group_count, sizeof *out->orderly_groups);
        if (!out->orderly_groups) return false;
    }
    p->last = group->name;
    if (!copy(p->arena, &p->last)) return false;
    struct sk_slice *names = (struct sk_slice *)(uintptr_t)out->orderly_groups;
    if (group->orderly) names[out->group_count++] = p->last;
    return true;
}

static bool take_topics(const sk_state *state, struct page *p, bool *more)
{
    size_t cursor = sk_state_topics_after(state, p->last);
    for (int i = 0; i < PAGE; i++) {
        const struct sk_topic *topic = sk_state_next_topic(state, &cursor);
        *more = topic != NULL;
        if (!topic) break;
        if (!add_topic(p, topic)) return false;
    }
    return true;
}

static bool take_orderly_groups(const sk_state *state, struct page *p, bool *more)
{
    size_t cursor = sk_state_groups_after(state, p->last);
    for (int i = 0; i < PAGE; i++) {
        const struct sk_group *group = sk_state_next_group(state, &cursor);
        *more = group != NULL;
        if (!group) break;
        if (!add_group(p, group)) return false;
    }
    return true;
}

static bool take_all(const struct sk_node *node, sk_arena *arena, struct sk_route_broker *out,
                     bool (*take)(const sk_state *state, struct page *p, bool *more))
{
    struct page p = {.arena = arena, .out = out};
    bool fits = true;
    for (bool more = true; fits && more;) {
        struct sk_turn turn;
        sk_turn_begin(&turn, node->ledger);
        fits = take(sk_turn_state(&turn), &p, &more);
        sk_turn_end(&turn);
    }
    return fits;
}

bool sk_own_report(const struct sk_node *node, sk_arena *arena, struct sk_route_broker *out)
{
    *out = (struct sk_route_broker){
        .key = {.cluster = sk_slice_of_text(node->config->cluster), .name = node->name},
        .incarnation = node->incarnation,
        .software = sk_slice_of_text(SKUA_VERSION),
        .plain = node->plain,
        .tls = node->tls,
    };
    struct sk_turn turn;
    sk_turn_begin(&turn, node->ledger);
    out->version = sk_state_config_version(sk_turn_state(&turn));
    sk_turn_end(&turn);
    return take_all(node, arena, out, take_topics) &&
           take_all(node, arena, out, take_orderly_groups);
}
