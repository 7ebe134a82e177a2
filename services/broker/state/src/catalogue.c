/* catalogue.c - topics, groups, and which topic the store's queues belong to. */
#include "internal.h"

#include <stdlib.h>

#include "base/assert.h"

/* --- the store's queues ------------------------------------------------------------------ */

static struct sk_queue_slot *slot_of(const struct sk_state *state, uint32_t store_queue)
{
    size_t page = store_queue / SK_PAGE_QUEUES;
    if (page >= state->page_count || !state->pages[page]) return NULL;
    return &state->pages[page]->slots[store_queue % SK_PAGE_QUEUES];
}

struct sk_queue_slot *sk_queue_slot(const struct sk_state *state, uint32_t store_queue)
{
    struct sk_queue_slot *slot = slot_of(state, store_queue);
    return slot && slot->topic && !slot->topic->is_buried ? slot : NULL;
}

static struct sk_queue_slot *add_slot(struct sk_state *state, uint32_t store_queue)
{
    size_t page = store_queue / SK_PAGE_QUEUES;
    if (page >= state->page_count) {
        size_t count = state->page_count ? state->page_count * 2 : 16;
        while (count <= page) count *= 2;
        state->pages = sk_realloc(state->pages, count, sizeof *state->pages);
        memset(state->pages + state->page_count, 0,
               (count - state->page_count) * sizeof *state->pages);
        state->page_count = count;
    }
    if (!state->pages[page]) state->pages[page] = sk_zalloc(1, sizeof *state->pages[page]);
    state->pages[page]->used++;
    return slot_of(state, store_queue);
}

static void drop_slot(struct sk_state *state, uint32_t store_queue, bool keep)
{
    if (store_queue == SK_NO_STORE_QUEUE) return; /* the loading failed */
    struct sk_queue_page **page = &state->pages[store_queue / SK_PAGE_QUEUES];
    struct sk_queue_slot *slot = &(*page)->slots[store_queue % SK_PAGE_QUEUES];
    if (keep) sk_keep_queue(state, store_queue, slot);
    *slot = (struct sk_queue_slot){0};
    if (--(*page)->used == 0) {
        free(*page);
        *page = NULL;
    }
}

const char *sk_apply_message(struct sk_state *state, const struct sk_fact *fact)
{
    struct sk_queue_slot *slot = sk_queue_slot(state, fact->queue);
    if (!slot) return "no topic has its queue";
    if (fact->offset != slot->next_offset) return "its offset is not the next one of its queue";
    if (fact->offset + 1 >= SK_OFFSET_LIMIT) return "its offset is too large";
    sk_keep_queue(state, fact->queue, slot);
    slot->next_offset++;
    sk_tell(state, message, slot->topic->named.id, slot->queue, fact->queue, fact->offset, fact);
    return NULL;
}

uint64_t sk_state_next_offset(const sk_state *state, uint32_t store_queue)
{
    const struct sk_queue_slot *slot = sk_queue_slot(state, store_queue);
    return slot ? slot->next_offset : 0;
}

const struct sk_topic *sk_state_topic_of_queue(const sk_state *state, uint32_t store_queue,
                                               uint32_t *queue)
{
    const struct sk_queue_slot *slot = sk_queue_slot(state, store_queue);
    if (!slot) return NULL;
    *queue = slot->queue;
    return &slot->topic->topic;
}

/* --- topics ------------------------------------------------------------------------------ */

/* Room for one more: a power of two. */
static void make_room(struct sk_topic_node *topic)
{
    uint32_t count = topic->topic.queue_count;
    if ((count & (count - 1)) == 0)
        topic->queues = sk_realloc(topic->queues, count ? count * 2 : 1, sizeof *topic->queues);
    topic->topic.queues = topic->queues;
}

void sk_topic_promise_queues(struct sk_topic_node *topic, uint32_t count)
{
    while (topic->topic.queue_count < count) {
        make_room(topic);
        topic->queues[topic->topic.queue_count++] = SK_NO_STORE_QUEUE;
    }
}

bool sk_topic_lacks_queues(const struct sk_topic_node *topic)
{
    for (uint32_t i = 0; i < topic->topic.queue_count; i++)
        if (topic->queues[i] == SK_NO_STORE_QUEUE) return true;
    return false;
}

void sk_topic_place_queue(struct sk_state *state, struct sk_topic_node *topic, uint32_t queue,
                          uint32_t store_queue, uint64_t next_offset)
{
    topic->queues[queue] = store_queue;
    if (store_queue >= state->next_queue) state->next_queue = store_queue + 1;
    struct sk_queue_slot *slot = add_slot(state, store_queue);
    sk_assert(!slot->topic);
    *slot = (struct sk_queue_slot){.topic = topic,
                                   .next_offset = next_offset,
                                   .queue = queue,
                                   .saved = state->saver.generation};
}

void sk_topic_add_queue(struct sk_state *state, struct sk_topic_node *topic, uint32_t store_queue,
                        uint64_t next_offset)
{
    make_room(topic);
    sk_topic_place_queue(state, topic, topic->topic.queue_count++, store_queue, next_offset);
}

static void change_topic(struct sk_topic_node *topic, const struct sk_topic_change *change)
{
    topic->topic.type = change->type;
    topic->topic.mixed = change->mixed;
    topic->topic.permission = change->permission;
    topic->topic.read_queues = change->read_queues;
    topic->topic.write_queues = change->write_queues;
}

struct sk_topic_node *sk_topic_add(struct sk_state *state, const struct sk_topic_change *change,
                                   uint32_t id, uint64_t created_ms)
{
    struct sk_topic_node *topic = sk_zalloc(1, sizeof *topic);
    sk_names_add(&state->topics, &topic->named, change->name, id);
    topic->topic.name = topic->named.name;
    topic->topic.id = topic->named.id;
    topic->topic.created_ms = created_ms;
    topic->saved = state->saver.generation;
    change_topic(topic, change);
    return topic;
}

static void topic_remove(struct sk_state *state, struct sk_topic_node *topic)
{
    sk_keep_topic(state, topic);
    while (topic->subscriptions) sk_subscription_remove(state, topic->subscriptions);
    sk_names_remove(&state->topics, &topic->named);
    sk_bury_topic(state, topic);
}

bool sk_topic_drop_queues(struct sk_state *state, struct sk_topic_node *topic, bool keep,
                          size_t *budget)
{
    uint32_t *count = &topic->topic.queue_count;
    uint32_t now = *count < *budget ? *count : (uint32_t)*budget;
    *count -= now;
    *budget -= now;
    if (now) sk_tell(state, queues_gone, topic->queues + *count, now);
    for (uint32_t i = 0; i < now; i++) drop_slot(state, topic->queues[*count + i], keep);
    return *count == 0;
}

const char *sk_apply_topic(struct sk_state *state, const struct sk_fact *fact)
{
    struct sk_topic_change change;
    const char *wrong = sk_read_topic(fact->payload, &change);
    if (wrong) return wrong;
    uint32_t queues =
        change.read_queues > change.write_queues ? change.read_queues : change.write_queues;
    if (queues > UINT32_MAX - state->next_queue || state->topics.next_id == UINT32_MAX)
        return "the numbers of topics or queues are used up";

    struct sk_topic_node *topic = sk_names_find(&state->topics, change.name);
    if (topic) {
        sk_keep_topic(state, topic);
        change_topic(topic, &change);
    } else {
        topic = sk_topic_add(state, &change, 0, fact->time_ms);
    }
    for (struct sk_subscription *s = topic->subscriptions; s; s = s->next_of_topic)
        sk_subscription_note_queues(s);
    while (topic->topic.queue_count < queues)
        sk_topic_add_queue(state, topic, state->next_queue, 0);
    state->config_version++;
    sk_tell(state, topic_changed, topic->named.id);
    return NULL;
}

const char *sk_apply_topic_deleted(struct sk_state *state, const struct sk_fact *fact)
{
    struct sk_slice name;
    const char *wrong = sk_read_name(fact->payload, &name);
    if (wrong) return wrong;
    struct sk_topic_node *topic = sk_names_find(&state->topics, name);
    if (!topic) return "there is no such topic";
    state->config_version++;
    sk_tell(state, topic_deleted, topic->named.id);
    topic_remove(state, topic);
    return NULL;
}

static const struct sk_topic *topic_of(const struct sk_topic_node *node)
{
    return node ? &node->topic : NULL;
}

const struct sk_topic *sk_state_topic(const sk_state *state, struct sk_slice name)
{
    return topic_of(sk_names_find(&state->topics, name));
}

const struct sk_topic *sk_state_topic_by_id(const sk_state *state, uint32_t id)
{
    return topic_of(sk_names_by_id(&state->topics, id));
}

const struct sk_topic *sk_state_next_topic(const sk_state *state, size_t *cursor)
{
    if (*cursor >= state->topics.count) return NULL;
    return topic_of((struct sk_topic_node *)state->topics.sorted[(*cursor)++]);
}

size_t sk_state_topic_count(const sk_state *state)
{
    return state->topics.count;
}

size_t sk_state_topics_after(const sk_state *state, struct sk_slice name)
{
    return sk_names_after(&state->topics, name);
}

/* --- groups ------------------------------------------------------------------------------ */

static void change_group(struct sk_group_node *group, const struct sk_group_change *change)
{
    group->group.max_attempts = change->max_attempts;
    group->group.orderly = change->orderly;
}

struct sk_group_node *sk_group_add(struct sk_state *state, const struct sk_group_change *change,
                                   uint32_t id, uint64_t created_ms)
{
    struct sk_group_node *group = sk_zalloc(1, sizeof *group);
    sk_names_add(&state->groups, &group->named, change->name, id);
    group->group.name = group->named.name;
    group->group.id = group->named.id;
    group->group.created_ms = created_ms;
    group->saved = state->saver.generation;
    change_group(group, change);
    return group;
}

static void group_free(struct sk_state *state, struct sk_group_node *group)
{
    sk_keep_group(state, group);
    while (group->subscriptions) sk_subscription_remove(state, group->subscriptions);
    sk_names_remove(&state->groups, &group->named);
    free(group);
}

const char *sk_apply_group(struct sk_state *state, const struct sk_fact *fact)
{
    struct sk_group_change change;
    const char *wrong = sk_read_group(fact->payload, &change);
    if (wrong) return wrong;
    if (state->groups.next_id == UINT32_MAX) return "the numbers of groups are used up";
    struct sk_group_node *group = sk_names_find(&state->groups, change.name);
    if (group) {
        sk_keep_group(state, group);
        change_group(group, &change);
    } else {
        group = sk_group_add(state, &change, 0, fact->time_ms);
    }
    state->config_version++;
    sk_tell(state, group_changed, group->named.id);
    return NULL;
}

const char *sk_apply_group_deleted(struct sk_state *state, const struct sk_fact *fact)
{
    struct sk_slice name;
    const char *wrong = sk_read_name(fact->payload, &name);
    if (wrong) return wrong;
    struct sk_group_node *group = sk_names_find(&state->groups, name);
    if (!group) return "there is no such group";
    state->config_version++;
    sk_tell(state, group_deleted, group->named.id);
    group_free(state, group);
    return NULL;
}

static const struct sk_group *group_of(const struct sk_group_node *node)
{
    return node ? &node->group : NULL;
}

const struct sk_group *sk_state_group(const sk_state *state, struct sk_slice name)
{
    return group_of(sk_names_find(&state->groups, name));
}

const struct sk_group *sk_state_group_by_id(const sk_state *state, uint32_t id)
{
    return group_of(sk_names_by_id(&state->groups, id));
}

const struct sk_group *sk_state_next_group(const sk_state *state, size_t *cursor)
{
    if (*cursor >= state->groups.count) return NULL;
    return group_of((struct sk_group_node *)state->groups.sorted[(*cursor)++]);
}

size_t sk_state_group_count(const sk_state *state)
{
    return state->groups.count;
}

size_t sk_state_groups_after(const sk_state *state, struct sk_slice name)
{
    return sk_names_after(&state->groups, name);
}

void sk_catalogue_done(struct sk_state *state)
{
    while (state->topics.count)
        topic_remove(state, (struct sk_topic_node *)state->topics.sorted[0]);
    while (state->groups.count) group_free(state, (struct sk_group_node *)state->groups.sorted[0]);
    sk_names_done(&state->topics);
    sk_names_done(&state->groups);
    sk_buried_done(state);
    free(state->pages);
}
