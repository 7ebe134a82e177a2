/* snapshot.c - the whole state as bytes, and back.
 *
 * SNAPSHOT, version 2. `v` is a varint (varint.h), other integers are little endian.
 *
 *   4  magic "SKST"
 *   4  version
 *   v  config version
 *   4  next topic id; 4  next group id; 4  next queue number of the store
 *   v  topics, and for each, in order of id:
 *        v id  1 type  1 flags (1 mixed)  1 permission  v read queues  v write queues
 *        v created_ms  v length of the name  . name
 *        v queues, and for each: v the store's number  v next offset
 *   v  groups, and for each, in order of id:
 *        v id  1 flags (1 orderly)  v max attempts  v created_ms  v length of the name  . name
 *   v  subscriptions that have a cursor, and for each, in order of (group, topic):
 *        v group id  v topic id
 *        v cursors, and for each, in order of queue id:
 *            v queue id  v next
 *            v blocks with open messages, and for each, in order:
 *                v index  8 leased  8 returned  8 auto renewed (a bit for each offset)
 *                for each open message, in order of offset:
 *                    v attempt, and if leased: v epoch  v position  v deadline_ms  8 owner  4 given_s
 *
 * The same state gives the same bytes: everything is in order, and hints, pools and
 * leftovers in slots are not written. */
#include <stdlib.h>

#include "internal.h"
#include "varint.h"

enum { SNAPSHOT_MAGIC = 0x54534b53, SNAPSHOT_VERSION = 2, FLAG_MIXED = 1, FLAG_ORDERLY = 1 };

/* --- save -------------------------------------------------------------------------------- */

static void put_name(struct sk_slice name, struct sk_buffer *out)
{
    sk_put_varint(out, name.len);
    sk_buffer_put(out, name.data, name.len);
}

static void save_topic(const sk_state *state, const struct sk_topic *topic, struct sk_buffer *out)
{
    sk_put_varint(out, topic->id);
    sk_buffer_put_u8(out, (uint8_t)topic->type);
    sk_buffer_put_u8(out, topic->mixed ? FLAG_MIXED : 0);
    sk_buffer_put_u8(out, (uint8_t)topic->permission);
    sk_put_varint(out, topic->read_queues);
    sk_put_varint(out, topic->write_queues);
    sk_put_varint(out, topic->created_ms);
    put_name(topic->name, out);
    sk_put_varint(out, topic->queue_count);
    for (uint32_t i = 0; i < topic->queue_count; i++) {
        sk_put_varint(out, topic->queues[i]);
        sk_put_varint(out, sk_state_next_offset(state, topic->queues[i]));
    }
}

static void save_group(const struct sk_group *group, struct sk_buffer *out)
{
    sk_put_varint(out, group->id);
    sk_buffer_put_u8(out, group->orderly ? FLAG_ORDERLY : 0);
    sk_put_varint(out, group->max_attempts);
    sk_put_varint(out, group->created_ms);
    put_name(group->name, out);
}

static void save_block(const struct sk_block_entry *entry, struct sk_buffer *out)
{
    const struct sk_block *b = entry->block;
    sk_put_varint(out, entry->index);
    sk_buffer_put_u64(out, b->leased);
    sk_buffer_put_u64(out, b->returned);
    sk_buffer_put_u64(out, b->renewing);
    for (uint64_t open = b->leased | b->returned; open; open &= open - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(open);
        const struct sk_slot *slot = &b->slots[bit];
        sk_put_varint(out, slot->attempt);
        if (!(b->leased >> bit & 1)) continue;
        sk_put_varint(out, slot->epoch);
        sk_put_varint(out, slot->position);
        sk_put_varint(out, slot->deadline_ms);
        sk_buffer_put_u64(out, slot->owner);
        sk_buffer_put_u32(out, slot->given_s);
    }
}

static void save_track(uint32_t queue, const struct sk_track *track, struct sk_buffer *out)
{
    const struct sk_window *w = track->window;
    sk_put_varint(out, queue);
    sk_put_varint(out, track->next);
    sk_put_varint(out, w ? w->count : 0);
    for (size_t i = 0; w && i < w->count; i++) save_block(&w->entries[w->head + i], out);
}

static uint64_t count_tracks(const struct sk_subscription *sub)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < sub->track_count; i++) count += sub->tracks[i].next != SK_NEVER;
    return count;
}

static void save_subscription(const struct sk_subscription *sub, struct sk_buffer *out)
{
    sk_put_varint(out, sub->group->named.id);
    sk_put_varint(out, sub->topic->named.id);
    sk_put_varint(out, count_tracks(sub));
    for (uint32_t i = 0; i < sub->track_count; i++)
        if (sub->tracks[i].next != SK_NEVER) save_track(i, &sub->tracks[i], out);
}

static int by_key(const void *a, const void *b)
{
    const struct sk_subscription *const *left = a, *const *right = b;
    return ((*left)->key > (*right)->key) - ((*left)->key < (*right)->key);
}

static void save_subscriptions(const sk_state *state, struct sk_buffer *out)
{
    size_t count = 0;
    const struct sk_subscription **all =
        sk_zalloc(HASH_COUNT(state->subscriptions), sizeof(struct sk_subscription *));
    for (const struct sk_subscription *sub = state->subscriptions; sub; sub = sub->hh.next)
        if (count_tracks(sub)) all[count++] = sub;
    qsort(all, count, sizeof *all, by_key);

    sk_put_varint(out, count);
    for (size_t i = 0; i < count; i++) save_subscription(all[i], out);
    free(all);
}

void sk_state_save(const sk_state *state, struct sk_buffer *out)
{
    sk_buffer_put_u32(out, SNAPSHOT_MAGIC);
    sk_buffer_put_u32(out, SNAPSHOT_VERSION);
    sk_put_varint(out, state->config_version);
    sk_buffer_put_u32(out, state->topics.next_id);
    sk_buffer_put_u32(out, state->groups.next_id);
    sk_buffer_put_u32(out, state->next_queue);

    struct sk_named **topics = sk_names_in_order_of_id(&state->topics);
    sk_put_varint(out, state->topics.count);
    for (size_t i = 0; i < state->topics.count; i++)
        save_topic(state, &((const struct sk_topic_node *)topics[i])->topic, out);
    free(topics);

    struct sk_named **groups = sk_names_in_order_of_id(&state->groups);
    sk_put_varint(out, state->groups.count);
    for (size_t i = 0; i < state->groups.count; i++)
        save_group(&((const struct sk_group_node *)groups[i])->group, out);
    free(groups);

    save_subscriptions(state, out);
}

/* FNV-1a: to notice a difference, not to withstand an enemy. */
uint64_t sk_state_hash(const sk_state *state)
{
    struct sk_buffer bytes = {0};
    sk_state_save(state, &bytes);
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < bytes.len; i++) hash = (hash ^ bytes.data[i]) * 0x100000001b3;
    sk_buffer_done(&bytes);
    return hash;
}

/* --- load -------------------------------------------------------------------------------- */

/* Each part returns NULL or what is wrong. Loops end with the bytes, whatever their count says. */

static struct sk_slice read_name(struct sk_reader *r)
{
    uint64_t len = sk_read_varint(r);
    if (len == 0 || len > SK_NAME_MAX) r->failed = true;
    return sk_read_bytes(r, (size_t)len);
}

static const char *load_queues(sk_state *state, struct sk_topic_node *topic, struct sk_reader *r)
{
    uint64_t count = sk_read_varint(r);
    if (count > SK_QUEUES_MAX || topic->topic.read_queues > count ||
        topic->topic.write_queues > count)
        return "a topic's number of queues is wrong";
    for (uint64_t i = 0; i < count; i++) {
        uint32_t store_queue = sk_read_small(r);
        uint64_t next_offset = sk_read_varint(r);
        if (r->failed || next_offset >= SK_OFFSET_LIMIT) return "a queue is damaged";
        if (store_queue >= state->next_queue || sk_queue_slot(state, store_queue))
            return "a queue number stands twice, or was never given out";
        sk_topic_add_queue(state, topic, store_queue, next_offset);
    }
    return NULL;
}

static const char *load_topic(sk_state *state, struct sk_reader *r, uint32_t *last_id)
{
    uint32_t id = sk_read_small(r);
    uint8_t type = sk_read_u8(r);
    uint8_t flags = sk_read_u8(r);
    struct sk_topic_change topic = {.type = (enum sk_topic_type)type, .mixed = flags & FLAG_MIXED};
    topic.permission = sk_read_u8(r);
    topic.read_queues = sk_read_small(r);
    topic.write_queues = sk_read_small(r);
    uint64_t created_ms = sk_read_varint(r);
    topic.name = read_name(r);
    if (r->failed) return "a topic is damaged";
    if (id <= *last_id || id >= state->topics.next_id) return "a topic's id is wrong";
    if (type < SK_TOPIC_NORMAL || type > SK_TOPIC_TRANSACTION || flags & ~FLAG_MIXED ||
        topic.permission & ~(unsigned)(SK_PERMIT_READ | SK_PERMIT_WRITE))
        return "a topic's type, flags or permission is unknown";
    if (sk_names_find(&state->topics, topic.name)) return "a topic stands twice";
    *last_id = id;
    return load_queues(state, sk_topic_add(state, &topic, id, created_ms), r);
}

static const char *load_group(sk_state *state, struct sk_reader *r, uint32_t *last_id)
{
    uint32_t id = sk_read_small(r);
    uint8_t flags = sk_read_u8(r);
    struct sk_group_change group = {.orderly = flags & FLAG_ORDERLY};
    group.max_attempts = sk_read_small(r);
    uint64_t created_ms = sk_read_varint(r);
    group.name = read_name(r);
    if (r->failed || flags & ~FLAG_ORDERLY) return "a group is damaged";
    if (id <= *last_id || id >= state->groups.next_id) return "a group's id is wrong";
    if (sk_names_find(&state->groups, group.name)) return "a group stands twice";
    *last_id = id;
    sk_group_add(state, &group, id, created_ms);
    return NULL;
}

static const char *load_slots(struct sk_block *b, struct sk_reader *r)
{
    for (uint64_t open = b->leased | b->returned; open; open &= open - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(open);
        struct sk_slot *slot = &b->slots[bit];
        *slot = (struct sk_slot){.attempt = sk_read_small(r)};
        if (!(b->leased >> bit & 1)) continue;
        if (slot->attempt == 0) return "a lease was never delivered";
        slot->epoch = sk_read_small(r);
        slot->position = sk_read_varint(r);
        slot->deadline_ms = sk_read_varint(r);
        slot->owner = sk_read_u64(r);
        slot->given_s = sk_read_u32(r);
    }
    return r->failed ? "a message's delivery is damaged" : NULL;
}

/* *index: of the last block, UINT64_MAX at first. */
static const char *load_block(sk_state *state, struct sk_window *w, uint64_t next, uint64_t *index,
                              struct sk_reader *r)
{
    uint64_t at = sk_read_varint(r), last = *index;
    uint64_t leased = sk_read_u64(r), returned = sk_read_u64(r), renewing = sk_read_u64(r);
    uint64_t open = leased | returned;
    if (r->failed || open == 0 || leased & returned || renewing & ~leased)
        return "a block of messages is damaged";
    if (last != UINT64_MAX && at <= last) return "blocks of messages are out of order";
    if (at > next >> SK_BLOCK_SHIFT ||
        (at << SK_BLOCK_SHIFT) + (uint64_t)(63 - __builtin_clzll(open)) >= next)
        return "an open message lies above its cursor";

    *index = at;
    struct sk_block *b = sk_block_new(&state->pool);
    b->leased = leased;
    b->returned = returned;
    b->renewing = renewing;
    const char *wrong = load_slots(b, r);
    sk_window_append_block(w, at, b);
    return wrong;
}

static const char *load_track(sk_state *state, struct sk_subscription *sub, uint32_t *queue,
                              struct sk_reader *r)
{
    uint32_t id = sk_read_small(r);
    uint64_t next = sk_read_varint(r), blocks = sk_read_varint(r);
    if (r->failed || next >= SK_OFFSET_LIMIT) return "a cursor is damaged";
    if (id >= sub->topic->topic.queue_count || (*queue != UINT32_MAX && id <= *queue))
        return "a cursor's queue is wrong";
    *queue = id;

    struct sk_track *track = sk_track_get(sub, id);
    track->next = next;
    const char *wrong = NULL;
    for (uint64_t index = UINT64_MAX; !wrong && blocks > 0; blocks--)
        wrong = load_block(state, sk_track_window(state, sub, id, track), next, &index, r);
    sk_track_settle(state, sub, track);
    return wrong;
}

static const char *load_subscription(sk_state *state, struct sk_reader *r, uint64_t *last_key)
{
    uint32_t group_id = sk_read_small(r), topic_id = sk_read_small(r);
    uint64_t count = sk_read_varint(r);
    struct sk_group_node *group = sk_names_by_id(&state->groups, group_id);
    struct sk_topic_node *topic = sk_names_by_id(&state->topics, topic_id);
    if (r->failed || count == 0) return "a subscription is damaged";
    if (!group || !topic) return "a subscription has no group or no topic";

    struct sk_subscription *sub = sk_subscription_get(state, group, topic);
    if (sub->key <= *last_key) return "subscriptions are out of order";
    *last_key = sub->key;
    const char *wrong = NULL;
    for (uint32_t queue = UINT32_MAX; !wrong && count > 0; count--)
        wrong = load_track(state, sub, &queue, r);
    return wrong;
}

static const char *load_parts(sk_state *state, struct sk_reader *r)
{
    const char *wrong = NULL;
    uint32_t last_topic = 0, last_group = 0;
    uint64_t last_key = 0;

    state->config_version = sk_read_varint(r);
    state->topics.next_id = sk_read_u32(r);
    state->groups.next_id = sk_read_u32(r);
    state->next_queue = sk_read_u32(r);
    for (uint64_t n = sk_read_varint(r); !wrong && n > 0; n--)
        wrong = load_topic(state, r, &last_topic);
    for (uint64_t n = wrong ? 0 : sk_read_varint(r); !wrong && n > 0; n--)
        wrong = load_group(state, r, &last_group);
    for (uint64_t n = wrong ? 0 : sk_read_varint(r); !wrong && n > 0; n--)
        wrong = load_subscription(state, r, &last_key);
    if (wrong) return wrong;
    if (r->failed) return "it ends too early";
    return sk_reader_left(r) ? "it has bytes too many" : NULL;
}

struct sk_status sk_state_load(sk_state *state, struct sk_slice bytes)
{
    struct sk_reader r = sk_reader_of(bytes);
    if (sk_read_u32(&r) != SNAPSHOT_MAGIC) return sk_error(SK_CORRUPT, "state: not a snapshot");
    uint32_t version = sk_read_u32(&r);
    if (version != SNAPSHOT_VERSION)
        return sk_error(SK_CORRUPT, "state: snapshot version %u is unknown", version);
    const char *wrong = load_parts(state, &r);
    if (!wrong) return SK_SUCCESS;
    return sk_error(SK_CORRUPT, "state: snapshot: %s (before byte %zu)", wrong,
                    (size_t)(r.at - bytes.data));
}
