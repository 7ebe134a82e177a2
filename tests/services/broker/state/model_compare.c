/* model_compare.c - do the state machine and the model say the same? */
#include <string.h>

#include "model_run.h"

static void compare_cursor(struct run *r, uint32_t g, uint32_t t, uint32_t queue)
{
    struct model_cursor *c = &r->m.cursors[g][t][queue];
    struct sk_cursor got;
    bool touched = call(cursor)(r->w.state, group_id(r, g), topic_id(r, t), queue, &got);
    must_equal(touched, c->touched, "'the cursor is there'");
    if (!touched) return;
    uint64_t leased = 0, returned = 0;
    for (uint64_t o = model_committed(c); o < c->next; o++) {
        leased += c->entries[o].status == LEASED;
        returned += c->entries[o].status == RETURNED;
    }
    must_equal(got.committed, model_committed(c), "committed");
    must_equal(got.next, c->next, "next");
    must_equal(got.inflight, leased, "inflight");
    must_equal(got.returned, returned, "returned");
}

void compare_cursors(struct run *r, uint32_t g, uint32_t t)
{
    if (!group_id(r, g)) return;
    for (uint32_t q = 0; q < r->m.topics[t].queue_count; q++) compare_cursor(r, g, t, q);
}

void compare_deadline(struct run *r, uint32_t g, uint32_t t, bool in_vain)
{
    uint64_t want = UINT64_MAX;
    for (uint32_t q = 0; q < r->m.topics[t].is.read_queues; q++) {
        struct model_cursor *c = &r->m.cursors[g][t][q];
        for (uint64_t o = model_committed(c); o < c->next; o++) {
            const struct entry *e = &c->entries[o];
            uint64_t due = e->status == RETURNED ? 0 : e->deadline_ms;
            if (e->status != CLOSED && due < want) want = due;
        }
    }
    uint64_t got = call(next_deadline)(r->w.state, group_id(r, g), topic_id(r, t));
    if (got > want) must_equal(got, want, "the next deadline");
    if (in_vain) must_equal(got > r->w.now_ms, true, "'the next deadline is to come'");
    if (want == UINT64_MAX) must_equal(got, want, "the next deadline of nothing");
}

void compare_leases(struct run *r)
{
    for (int i = 0; i < 4 && r->lease_count; i++) {
        const struct sk_lease *lease = &r->leases[below(r, (uint32_t)r->lease_count)];
        const struct entry *e = model_entry(&r->m, lease);
        struct sk_lease_info info;
        bool good = call(check_lease)(r->w.state, lease, r->w.now_ms, &info);
        must_equal(good, e && e->deadline_ms > r->w.now_ms, "'the lease is good'");
        if (!good) continue;
        must_equal(info.deadline_ms, e->deadline_ms, "a deadline");
        must_equal(info.given_ms, e->given_ms, "a lease's begin");
        must_equal(info.owner, e->owner, "an owner");
        must_equal(info.attempt, e->attempt, "an attempt");
        must_equal(info.auto_renew, e->auto_renew, "an auto renewal");
    }
}

struct tally {
    uint64_t count, sum, most;
};

static uint64_t print_of(uint64_t group, uint64_t topic, uint64_t queue, uint64_t offset,
                         struct sk_lease_id lease, uint64_t deadline_ms)
{
    return mix(((group * 31 + topic) * 31 + queue) << 20 | offset) +
           mix(lease.position ^ (uint64_t)lease.epoch << 32) + deadline_ms;
}

static bool take(void *arg, const struct sk_lease *l, const struct sk_lease_info *info)
{
    struct tally *tally = arg;
    tally->sum += print_of(l->group, l->topic, l->queue, l->offset, l->lease, info->deadline_ms);
    return ++tally->count < tally->most;
}

void compare_auto_renewed(struct run *r, uint64_t before_ms, uint64_t owner)
{
    struct tally got = {.most = UINT64_MAX}, want = {0}, few = {.most = 1 + below(r, 4)};
    struct sk_renewing_cursor at = {0}, again = {0};
    while (call(each_auto_renewed)(r->w.state, before_ms, owner, &at, take, &got)) continue;
    for (uint32_t i = 0; i < GROUPS * TOPICS * QUEUES; i++) {
        uint32_t g = i / QUEUES / TOPICS, t = i / QUEUES % TOPICS, q = i % QUEUES;
        struct model_cursor *c = &r->m.cursors[g][t][q];
        for (uint64_t o = model_committed(c); o < c->next; o++) {
            const struct entry *e = &c->entries[o];
            if (e->status != LEASED || !e->auto_renew) continue;
            if (owner ? e->owner != owner : e->deadline_ms >= before_ms) continue;
            want.count++;
            want.sum += print_of(group_id(r, g), topic_id(r, t), q, o, e->lease, e->deadline_ms);
        }
    }
    must_equal(got.count, want.count, "the number of auto-renewed leases");
    must_equal(got.sum, want.sum, "what is auto-renewed");
    call(each_auto_renewed)(r->w.state, before_ms, owner, &again, take, &few);
    must_equal(few.count, want.count < few.most ? want.count : few.most, "where it stops");
}

static void compare_topic(struct run *r, uint32_t t)
{
    const struct model_topic *want = &r->m.topics[t];
    const struct sk_topic *got = call(topic)(r->w.state, sk_slice_of_text(topic_names[t]));
    must_equal(got != NULL, want->id != 0, "'the topic is there'");
    if (!got) return;
    must_equal(call(topic_by_id)(r->w.state, want->id) == got, true, "'it has its id'");
    must_equal(got->id, want->id, "a topic's id");
    must_equal(got->type, want->is.type, "a topic's type");
    must_equal(got->mixed, want->is.mixed, "a topic's mixed");
    must_equal(got->permission, want->is.permission, "a topic's permission");
    must_equal(got->read_queues, want->is.read_queues, "a topic's read queues");
    must_equal(got->write_queues, want->is.write_queues, "a topic's write queues");
    must_equal(got->created_ms, want->created_ms, "when a topic was created");
    must_equal(got->queue_count, want->queue_count, "the number of queues");
    for (uint32_t q = 0; q < want->queue_count; q++) {
        uint32_t store_queue = want->store_queues[q], queue = UINT32_MAX;
        must_equal(got->queues[q], store_queue, "a queue's number");
        must_equal(call(next_offset)(r->w.state, store_queue), r->w.queues[store_queue].max,
                   "a queue's next offset");
        must_equal(call(topic_of_queue)(r->w.state, store_queue, &queue) == got, true,
                   "'the queue is the topic's'");
        must_equal(queue, q, "the queue of a number");
    }
}

static void compare_group(struct run *r, uint32_t g)
{
    const struct model_group *want = &r->m.groups[g];
    const struct sk_group *got = call(group)(r->w.state, sk_slice_of_text(group_names[g]));
    must_equal(got != NULL, want->id != 0, "'the group is there'");
    if (!got) return;
    must_equal(call(group_by_id)(r->w.state, want->id) == got, true, "'it has its id'");
    must_equal(got->id, want->id, "a group's id");
    must_equal(got->max_attempts, want->is.max_attempts, "a group's attempts");
    must_equal(got->orderly, want->is.orderly, "a group's order");
    must_equal(got->created_ms, want->created_ms, "when a group was created");
}

static bool in_order(struct sk_slice a, struct sk_slice b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order < 0 || (order == 0 && a.len < b.len);
}

void compare_catalogue(struct run *r)
{
    size_t topics = 0, groups = 0, cursor = 0, seen = 0;
    for (uint32_t t = 0; t < TOPICS; t++, topics += topic_id(r, t - 1) != 0) compare_topic(r, t);
    for (uint32_t g = 0; g < GROUPS; g++, groups += group_id(r, g - 1) != 0) compare_group(r, g);
    must_equal(call(topic_count)(r->w.state), topics, "the number of topics");
    must_equal(call(group_count)(r->w.state), groups, "the number of groups");
    must_equal(call(config_version)(r->w.state), r->m.config_version, "the config version");

    for (uint32_t t = 0; t < TOPICS; t++) {
        size_t at = call(topics_after)(r->w.state, sk_slice_of_text(topic_names[t]));
        const struct sk_topic *next = sk_state_next_topic(r->w.state, &at);
        must_equal(!next || in_order(sk_slice_of_text(topic_names[t]), next->name), true,
                   "'the topic after it is after it'");
    }
    for (uint32_t g = 0; g < GROUPS; g++) {
        size_t at = call(groups_after)(r->w.state, sk_slice_of_text(group_names[g]));
        const struct sk_group *next = sk_state_next_group(r->w.state, &at);
        must_equal(!next || in_order(sk_slice_of_text(group_names[g]), next->name), true,
                   "'the group after it is after it'");
    }
    struct sk_slice last = SK_EMPTY;
    for (const struct sk_topic *t; (t = call(next_topic)(r->w.state, &cursor)); seen++) {
        if (seen) must_equal(in_order(last, t->name), true, "'topics are in order'");
        last = t->name;
    }
    must_equal(seen, topics, "the topics told");
    seen = cursor = 0;
    for (const struct sk_group *g; (g = call(next_group)(r->w.state, &cursor)); seen++) {
        if (seen) must_equal(in_order(last, g->name), true, "'groups are in order'");
        last = g->name;
    }
    must_equal(seen, groups, "the groups told");
}
