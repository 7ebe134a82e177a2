/* world.c - a log and a store in memory around a state. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

void world_init(struct world *w)
{
    *w = (struct world){.state = sk_state_new(), .now_ms = 1000000};
}

void world_done(struct world *w)
{
    for (size_t i = 0; i < w->fact_count; i++) free((void *)(uintptr_t)w->facts[i].payload.data);
    for (size_t i = 0; i < WORLD_QUEUES; i++) free(w->queues[i].tags);
    free(w->facts);
    sk_state_free(w->state);
}

/* --- the log ----------------------------------------------------------------------------- */

static struct sk_status append(struct world *w, struct sk_fact fact)
{
    if (w->fact_count == w->fact_room) {
        w->fact_room = w->fact_room ? w->fact_room * 2 : 64;
        w->facts = sk_realloc(w->facts, w->fact_room, sizeof *w->facts);
    }
    fact.epoch = w->epoch;
    fact.position = w->position += 100;
    fact.time_ms = w->now_ms;
    if (fact.payload.len)
        fact.payload.data = memcpy(sk_alloc(fact.payload.len), fact.payload.data, fact.payload.len);
    else
        fact.payload.data = NULL;
    w->facts[w->fact_count++] = fact;
    return sk_state_apply(w->state, &fact);
}

struct sk_status world_try(struct world *w, enum sk_record_kind kind, struct sk_slice payload)
{
    return append(w, (struct sk_fact){.kind = (uint8_t)kind, .payload = payload});
}

static struct sk_lease_id last_id(const struct world *w)
{
    return (struct sk_lease_id){.epoch = w->epoch, .position = w->position};
}

void world_new_epoch(struct world *w, uint64_t records)
{
    w->epoch++;
    w->position -= records * 100 < w->position ? records * 100 : 0;
}

struct sk_lease_id world_write(struct world *w, enum sk_record_kind kind, struct sk_buffer *payload)
{
    struct sk_status s = world_try(w, kind, sk_buffer_slice(payload));
    sk_assert(sk_ok(s));
    payload->len = 0;
    return last_id(w);
}

static struct sk_lease_id write_and_drop(struct world *w, enum sk_record_kind kind,
                                         struct sk_buffer *payload)
{
    struct sk_lease_id id = world_write(w, kind, payload);
    sk_buffer_done(payload);
    return id;
}

uint32_t world_topic(struct world *w, const char *name, uint32_t queues)
{
    struct sk_buffer b = {0};
    struct sk_topic_change change = {.name = sk_slice_of_text(name),
                                     .type = SK_TOPIC_NORMAL,
                                     .read_queues = queues,
                                     .write_queues = queues,
                                     .permission = SK_PERMIT_READ | SK_PERMIT_WRITE};
    sk_state_encode_topic(&change, &b);
    write_and_drop(w, SK_RECORD_TOPIC, &b);
    return sk_state_topic(w->state, change.name)->id;
}

uint32_t world_group(struct world *w, const char *name)
{
    struct sk_buffer b = {0};
    struct sk_group_change change = {.name = sk_slice_of_text(name), .max_attempts = 17};
    sk_state_encode_group(&change, &b);
    write_and_drop(w, SK_RECORD_GROUP, &b);
    return sk_state_group(w->state, change.name)->id;
}

void world_delete_topic(struct world *w, const char *name)
{
    struct sk_buffer b = {0};
    sk_state_encode_topic_deleted(sk_slice_of_text(name), &b);
    write_and_drop(w, SK_RECORD_TOPIC_DELETED, &b);
}

void world_delete_group(struct world *w, const char *name)
{
    struct sk_buffer b = {0};
    sk_state_encode_group_deleted(sk_slice_of_text(name), &b);
    write_and_drop(w, SK_RECORD_GROUP_DELETED, &b);
}

void world_seek(struct world *w, uint32_t group, uint32_t topic, uint32_t queue, uint64_t offset)
{
    struct sk_buffer b = {0};
    sk_state_encode_seek(group, topic, queue, offset, &b);
    write_and_drop(w, SK_RECORD_SEEK, &b);
}

/* --- the store --------------------------------------------------------------------------- */

void world_send(struct world *w, uint32_t topic, uint32_t queue, size_t count, uint32_t tag_hash)
{
    uint32_t number = sk_state_topic_by_id(w->state, topic)->queues[queue];
    sk_assert(number < WORLD_QUEUES);
    struct world_queue *q = &w->queues[number];
    for (; count > 0; count--) {
        if (q->max == q->room) {
            q->room = q->room ? q->room * 2 : 64;
            q->tags = sk_realloc(q->tags, q->room, sizeof *q->tags);
        }
        q->tags[q->max] = tag_hash;
        struct sk_fact fact = {.kind = SK_RECORD_MESSAGE, .queue = number, .offset = q->max};
        struct sk_status s = append(w, fact);
        sk_assert(sk_ok(s));
        q->visible += q->visible == q->max;
        q->max++;
    }
}

static void range(void *owner, uint32_t store_queue, uint64_t *min, uint64_t *visible)
{
    struct world *w = owner;
    sk_assert(store_queue < WORLD_QUEUES);
    *min = w->queues[store_queue].min;
    *visible = w->queues[store_queue].visible;
}

static size_t tags(void *owner, uint32_t store_queue, uint64_t offset, size_t count,
                   uint32_t *hashes)
{
    struct world *w = owner;
    const struct world_queue *q = &w->queues[store_queue];
    if (offset < q->min || offset >= q->max) return 0;
    if (count > q->max - offset) count = (size_t)(q->max - offset);
    memcpy(hashes, q->tags + offset, count * sizeof *hashes);
    w->tag_questions += count;
    return count;
}

struct sk_queue_view world_view(struct world *w)
{
    return (struct sk_queue_view){.range = range, .tags = tags, .owner = w};
}

/* --- consumption ------------------------------------------------------------------------- */

size_t world_receive(struct world *w, const struct world_receive *how, struct sk_lease *leases,
                     struct sk_chosen *chosen)
{
    struct sk_buffer b = {0};
    struct sk_queue_view view = world_view(w);
    struct sk_choose choose = {.group = how->group,
                               .topic = how->topic,
                               .now_ms = w->now_ms,
                               .first_queue = how->first_queue,
                               .count = how->count,
                               .tag_hashes = how->tags,
                               .tag_hash_count = how->tag_count,
                               .deadline_ms =
                                   w->now_ms + (how->invisible_ms ? how->invisible_ms : 1000),
                               .auto_renew = how->auto_renew,
                               .owner = how->owner ? how->owner : 7};
    size_t count = sk_state_choose(w->state, &choose, &view, chosen, &b);
    sk_assert(count <= how->count);
    sk_assert(b.len > 0 || count == 0);
    if (b.len) world_write(w, SK_RECORD_DELIVER, &b);
    for (size_t i = 0; i < count; i++)
        leases[i] = (struct sk_lease){.group = how->group,
                                      .topic = how->topic,
                                      .queue = chosen[i].queue,
                                      .offset = chosen[i].offset,
                                      .lease = last_id(w)};
    sk_buffer_done(&b);
    return count;
}

void world_ack(struct world *w, const struct sk_lease *leases, size_t count)
{
    struct sk_buffer b = {0};
    sk_state_encode_ack(leases, count, &b);
    write_and_drop(w, SK_RECORD_ACK, &b);
}

void world_release(struct world *w, const struct sk_lease *leases, size_t count)
{
    struct sk_buffer b = {0};
    sk_state_encode_release(leases, count, &b);
    write_and_drop(w, SK_RECORD_RELEASE, &b);
}

void world_renew(struct world *w, const struct sk_lease *leases, size_t count, uint64_t deadline_ms)
{
    struct sk_buffer b = {0};
    sk_state_encode_renew(leases, count, deadline_ms, &b);
    write_and_drop(w, SK_RECORD_RENEW, &b);
}

void world_change(struct world *w, struct sk_lease *lease, uint64_t deadline_ms)
{
    struct sk_buffer b = {0};
    sk_state_encode_change(lease, deadline_ms, &b);
    lease->lease = write_and_drop(w, SK_RECORD_CHANGE, &b);
}

struct sk_cursor world_cursor(const struct world *w, uint32_t group, uint32_t topic, uint32_t queue)
{
    struct sk_cursor c = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    (void)sk_state_cursor(w->state, group, topic, queue, &c);
    return c;
}

/* --- the same state by other ways -------------------------------------------------------- */

sk_state *world_replay(const struct world *w)
{
    sk_state *state = sk_state_new();
    for (size_t i = 0; i < w->fact_count; i++) {
        struct sk_status s = sk_state_apply(state, &w->facts[i]);
        sk_assert(sk_ok(s));
    }
    return state;
}

sk_state *world_reload(const struct world *w)
{
    struct sk_buffer b = {0};
    sk_state *state = sk_state_new();
    sk_state_save(w->state, &b);
    struct sk_status s = sk_state_load(state, sk_buffer_slice(&b));
    sk_assert(sk_ok(s));
    sk_buffer_done(&b);
    return state;
}
