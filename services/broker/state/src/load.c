/* load.c - a state from the rows of a snapshot (rows.h).
 *
 * Each reader returns NULL or what is wrong. What stands in a row is checked against the rows of
 * lower kinds, which come first; the sum at the end says whether they are all there. */
#include <stdlib.h>

#include "internal.h"
#include "rows.h"
#include "varint.h"

static struct sk_slice read_name(struct sk_reader *r)
{
    uint64_t len = sk_read_varint(r);
    if (len == 0 || len > SK_NAME_MAX) r->failed = true;
    return sk_read_bytes(r, (size_t)len);
}

static const char *load_header(sk_state *state, struct sk_reader *r)
{
    if (sk_read_u32(r) != SK_ROW_MAGIC) return "it is no snapshot";
    if (sk_read_u32(r) != SK_ROW_VERSION) return "its version is unknown";
    state->config_version = sk_read_varint(r);
    state->topics.next_id = sk_read_u32(r);
    state->groups.next_id = sk_read_u32(r);
    state->next_queue = sk_read_u32(r);
    return r->failed ? "its header is damaged" : NULL;
}

static const char *load_topic(sk_state *state, struct sk_reader *r)
{
    uint32_t id = sk_read_small(r);
    uint8_t type = sk_read_u8(r);
    uint8_t flags = sk_read_u8(r);
    struct sk_topic_change topic = {.type = (enum sk_topic_type)type,
                                    .mixed = flags & SK_ROW_MIXED};
    topic.permission = sk_read_u8(r);
    topic.read_queues = sk_read_small(r);
    topic.write_queues = sk_read_small(r);
    uint32_t queues = sk_read_small(r);
    uint64_t created_ms = sk_read_varint(r);
    topic.name = read_name(r);
    if (r->failed) return "a topic is damaged";
    if (id == 0 || id >= state->topics.next_id) return "a topic's id is wrong";
    if (type < SK_TOPIC_NORMAL || type > SK_TOPIC_TRANSACTION || flags & ~SK_ROW_MIXED ||
        topic.permission & ~(unsigned)(SK_PERMIT_READ | SK_PERMIT_WRITE))
        return "a topic's type, flags or permission is unknown";
    if (queues > SK_QUEUES_MAX || topic.read_queues > queues || topic.write_queues > queues)
        return "a topic's number of queues is wrong";
    if (sk_names_by_id(&state->topics, id) || sk_names_find(&state->topics, topic.name))
        return "a topic stands twice";
    sk_topic_promise_queues(sk_topic_add(state, &topic, id, created_ms), queues);
    return NULL;
}

static const char *load_queue(sk_state *state, struct sk_reader *r)
{
    struct sk_topic_node *topic = sk_names_by_id(&state->topics, sk_read_small(r));
    uint32_t queue = sk_read_small(r);
    uint32_t store_queue = sk_read_small(r);
    uint64_t next_offset = sk_read_varint(r);
    if (r->failed || next_offset >= SK_OFFSET_LIMIT) return "a queue is damaged";
    if (!topic || queue >= topic->topic.queue_count) return "a queue is no topic's";
    if (topic->queues[queue] != SK_NO_STORE_QUEUE) return "a queue stands twice";
    if (store_queue >= state->next_queue || sk_queue_slot(state, store_queue))
        return "a queue number stands twice, or was never given out";
    sk_topic_place_queue(state, topic, queue, store_queue, next_offset);
    return NULL;
}

static const char *load_group(sk_state *state, struct sk_reader *r)
{
    uint32_t id = sk_read_small(r);
    uint8_t flags = sk_read_u8(r);
    struct sk_group_change group = {.orderly = flags & SK_ROW_ORDERLY};
    group.max_attempts = sk_read_small(r);
    uint64_t created_ms = sk_read_varint(r);
    group.name = read_name(r);
    if (r->failed || flags & ~SK_ROW_ORDERLY) return "a group is damaged";
    if (id == 0 || id >= state->groups.next_id) return "a group's id is wrong";
    if (sk_names_by_id(&state->groups, id) || sk_names_find(&state->groups, group.name))
        return "a group stands twice";
    sk_group_add(state, &group, id, created_ms);
    return NULL;
}

static const char *load_track(sk_state *state, struct sk_reader *r)
{
    struct sk_group_node *group = sk_names_by_id(&state->groups, sk_read_small(r));
    struct sk_topic_node *topic = sk_names_by_id(&state->topics, sk_read_small(r));
    uint32_t queue = sk_read_small(r);
    uint64_t next = sk_read_varint(r);
    if (r->failed || next >= SK_OFFSET_LIMIT) return "a cursor is damaged";
    if (!group || !topic) return "a cursor has no group or no topic";
    if (queue >= topic->topic.queue_count) return "a cursor's queue is wrong";

    struct sk_subscription *sub = sk_subscription_get(state, group, topic);
    struct sk_track *track = sk_track_get(sub, queue);
    if (track->next != SK_NEVER) return "a cursor stands twice";
    track->next = next;
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

static const char *load_block_of(sk_state *state, struct sk_subscription *sub, uint32_t queue,
                                 struct sk_reader *r)
{
    struct sk_track *track = sk_track_find(sub, queue);
    uint64_t at = sk_read_varint(r);
    uint64_t leased = sk_read_u64(r), returned = sk_read_u64(r), renewing = sk_read_u64(r);
    uint64_t open = leased | returned;
    if (!track) return "a block of messages has no cursor";
    if (r->failed || open == 0 || leased & returned || renewing & ~leased)
        return "a block of messages is damaged";
    if (at > track->next >> SK_BLOCK_SHIFT ||
        (at << SK_BLOCK_SHIFT) + (uint64_t)(63 - __builtin_clzll(open)) >= track->next)
        return "an open message lies above its cursor";

    struct sk_block *b = sk_block_new(&state->pool);
    b->leased = leased;
    b->returned = returned;
    b->renewing = renewing;
    const char *wrong = load_slots(b, r);
    if (!sk_window_insert_block(sk_track_window(state, sub, queue, track), at, b)) {
        free(b);
        wrong = "a block of messages stands twice";
    }
    sk_track_settle(state, sub, track);
    return wrong;
}

static const char *load_block(sk_state *state, struct sk_reader *r)
{
    uint32_t group = sk_read_small(r), topic = sk_read_small(r), queue = sk_read_small(r);
    struct sk_subscription *sub = r->failed ? NULL : sk_subscription_find(state, group, topic);
    return sub ? load_block_of(state, sub, queue, r) : "a block of messages has no cursor";
}

/* --- all ------------------------------------------------------------------------------------- */

typedef const char *load_fn(sk_state *state, struct sk_reader *r);

static load_fn *const loaders[] = {
    [SK_ROW_HEADER] = load_header, [SK_ROW_TOPIC] = load_topic, [SK_ROW_QUEUE] = load_queue,
    [SK_ROW_GROUP] = load_group,   [SK_ROW_TRACK] = load_track, [SK_ROW_BLOCK] = load_block,
};

static const char *load_end(const sk_state *state, const struct sk_row_tally *tally,
                            struct sk_reader *r)
{
    uint64_t rows = sk_read_varint(r), sum = sk_read_u64(r);
    if (r->failed) return "it ends too early";
    if (rows != tally->rows || sum != tally->sum) return "its rows are not those that were saved";
    if (sk_reader_left(r)) return "it has bytes too many";
    for (size_t i = 0; i < state->topics.count; i++)
        if (sk_topic_lacks_queues((struct sk_topic_node *)state->topics.sorted[i]))
            return "a topic lacks a queue";
    return NULL;
}

static const char *load_row(sk_state *state, unsigned kind, struct sk_row_tally *tally,
                            struct sk_reader *r)
{
    const uint8_t *row = r->at - 1;
    const char *wrong = loaders[kind](state, r);
    if (wrong) return wrong;
    tally->rows++;
    tally->sum += sk_row_hash(row, (size_t)(r->at - row));
    return NULL;
}

static const char *load_rows(sk_state *state, struct sk_reader *r)
{
    struct sk_row_tally tally = {0};
    const char *wrong = NULL;
    for (unsigned last = 0; !wrong;) {
        unsigned kind = sk_read_u8(r);
        if (r->failed) return "it ends too early";
        if (tally.rows == 0 ? kind != SK_ROW_HEADER : kind < last || kind == SK_ROW_HEADER)
            return "its rows are out of order";
        if (kind == SK_ROW_END) return load_end(state, &tally, r);
        if (kind > SK_ROW_END) return "it has a row of an unknown kind";
        last = kind;
        wrong = load_row(state, kind, &tally, r);
    }
    return wrong;
}

struct sk_status sk_state_load(sk_state *state, struct sk_slice bytes)
{
    struct sk_reader r = sk_reader_of(bytes);
    const char *wrong = load_rows(state, &r);
    if (!wrong) return SK_SUCCESS;
    return sk_error(SK_CORRUPT, "state: snapshot: %s (before byte %zu)", wrong,
                    (size_t)(r.at - bytes.data));
}
