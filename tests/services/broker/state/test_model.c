/* A second, naive implementation beside the first: an array with an entry for each offset.
 *
 * Random operations go to both. After each one choose, check_lease, the cursors, the next
 * deadline and the auto-renewed leases must agree; now and then the live state, its
 * snapshot loaded again, and a replay of all records must have the same hash.
 *
 * A failure prints its seed; SKUA_MODEL_SEED=n runs that one, SKUA_MODEL_STEPS=n that many. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"
#include "world.h"

enum { GROUPS = 3, TOPICS = 3, QUEUES = 4, OFFSETS = 4096, LEASES = 512, TAGS = 4, STEPS = 25000 };

enum { CLOSED, LEASED, RETURNED };

struct entry {
    uint64_t lease, deadline_ms, given_ms, owner;
    uint32_t attempt;
    uint8_t status;
    bool auto_renew;
};

struct model_cursor {
    bool touched;
    uint64_t low, next; /* everything below low is done */
    struct entry entries[OFFSETS];
};

struct model {
    struct world w;
    uint64_t seed, random;
    uint32_t group_ids[GROUPS], topic_ids[TOPICS]; /* 0: deleted */
    uint32_t read_queues[TOPICS], queue_count[TOPICS];
    struct model_cursor cursors[GROUPS][TOPICS][QUEUES];
    struct sk_lease leases[LEASES]; /* the last ones given */
    size_t lease_count;
};

static const char *const group_names[GROUPS] = {"red", "ns%green", "blue"};
static const char *const topic_names[TOPICS] = {"letters", "ns%parcels", "bills"};

static uint64_t next_random(struct model *m) /* xorshift64* */
{
    m->random ^= m->random >> 12;
    m->random ^= m->random << 25;
    m->random ^= m->random >> 27;
    return m->random * 0x2545f4914f6cdd1d;
}

static uint32_t below(struct model *m, uint32_t end)
{
    return (uint32_t)((next_random(m) >> 32) * end >> 32);
}

/* Check writes a line to a pipe for every assertion; this happens a few million times. */
#define must_equal(got, want, what)                                                                \
    do {                                                                                           \
        uint64_t got_ = (got), want_ = (want);                                                     \
        if (got_ != want_)                                                                         \
            ck_abort_msg("seed %" PRIu64 ": %s is %" PRIu64 ", the model says %" PRIu64, m->seed,  \
                         what, got_, want_);                                                       \
    } while (0)

/* --- the model --------------------------------------------------------------------------- */

static struct world_queue *queue_of(struct model *m, uint32_t topic, uint32_t queue)
{
    return &m->w.queues[sk_state_topic_by_id(m->w.state, m->topic_ids[topic])->queues[queue]];
}

static void clear(struct model_cursor *c)
{
    memset(c, 0, sizeof *c);
}

static uint64_t committed_of(struct model_cursor *c)
{
    while (c->low < c->next && c->entries[c->low].status == CLOSED) c->low++;
    return c->low;
}

static bool is_due(const struct entry *e, uint64_t now_ms)
{
    return e->status == RETURNED || (e->status == LEASED && e->deadline_ms <= now_ms);
}

/* The entry if that is its present lease. */
static struct entry *entry_of(struct model *m, const struct sk_lease *lease)
{
    for (uint32_t g = 0; g < GROUPS; g++)
        for (uint32_t t = 0; t < TOPICS; t++) {
            if (m->group_ids[g] != lease->group || m->topic_ids[t] != lease->topic) continue;
            struct model_cursor *c = &m->cursors[g][t][lease->queue];
            struct entry *e = &c->entries[lease->offset];
            bool held = e->status == LEASED && e->lease == lease->lease && lease->offset < c->next;
            return held ? e : NULL;
        }
    return NULL;
}

struct receipt {
    uint32_t group, topic; /* indexes */
    struct world_receive how;
    struct sk_chosen want[SK_CHOOSE_MAX];
    size_t count;
};

static bool wants(const struct world_receive *how, uint32_t tag)
{
    if (!how->tags) return true;
    for (size_t i = 0; i < how->tag_count; i++)
        if (how->tags[i] == tag) return true;
    return false;
}

static void consider(struct model *m, struct receipt *r, uint32_t queue, uint64_t offset)
{
    struct model_cursor *c = &m->cursors[r->group][r->topic][queue];
    struct entry *e = &c->entries[offset];
    if (offset >= c->next) {
        *e = (struct entry){0};
        c->next = offset + 1;
    }
    if (!wants(&r->how, queue_of(m, r->topic, queue)->tags[offset])) {
        e->status = CLOSED;
        return;
    }
    *e = (struct entry){.lease = m->w.position + 100, /* of the record to come */
                        .deadline_ms = m->w.now_ms + r->how.invisible_ms,
                        .given_ms = m->w.now_ms / 1000 * 1000,
                        .owner = r->how.owner,
                        .attempt = e->attempt + 1,
                        .status = LEASED,
                        .auto_renew = r->how.auto_renew};
    r->want[r->count++] =
        (struct sk_chosen){.queue = queue, .offset = offset, .attempt = e->attempt};
}

static void model_receive_queue(struct model *m, struct receipt *r, uint32_t queue)
{
    struct world_queue *q = queue_of(m, r->topic, queue);
    struct model_cursor *c = &m->cursors[r->group][r->topic][queue];
    if (c->touched && c->next < q->min) {
        for (; c->next < q->min; c->next++) c->entries[c->next].status = CLOSED;
    }
    if (!c->touched) c->low = c->next = q->min;
    for (uint64_t o = 0; o < q->min && o < c->next; o++) c->entries[o].status = CLOSED;
    uint64_t old_next = c->next;
    for (uint64_t o = committed_of(c); o < old_next && r->count < r->how.count; o++)
        if (is_due(&c->entries[o], m->w.now_ms)) consider(m, r, queue, o);
    for (uint64_t o = c->next; o < q->visible && r->count < r->how.count; o++)
        consider(m, r, queue, o);
    if (c->touched || c->next > q->min) c->touched = true;
}

static void model_receive(struct model *m, struct receipt *r)
{
    uint32_t queues = m->read_queues[r->topic];
    for (uint32_t i = 0; i < queues && r->count < r->how.count; i++) {
        uint32_t queue = (r->how.first_queue + i) % queues;
        struct model_cursor *c = &m->cursors[r->group][r->topic][queue];
        /* A queue without anything to see is not looked at: retention is noticed later. */
        bool idle = c->touched
                        ? committed_of(c) == c->next && c->next >= queue_of(m, r->topic, queue)->max
                        : queue_of(m, r->topic, queue)->max == 0;
        if (!idle) model_receive_queue(m, r, queue);
    }
}

/* --- agreement --------------------------------------------------------------------------- */

static void compare_cursor(struct model *m, uint32_t g, uint32_t t, uint32_t queue)
{
    struct model_cursor *c = &m->cursors[g][t][queue];
    struct sk_cursor got;
    bool touched = sk_state_cursor(m->w.state, m->group_ids[g], m->topic_ids[t], queue, &got);
    must_equal(touched, c->touched, "'the cursor is there'");
    if (!touched) return;
    uint64_t leased = 0, returned = 0;
    for (uint64_t o = committed_of(c); o < c->next; o++) {
        leased += c->entries[o].status == LEASED;
        returned += c->entries[o].status == RETURNED;
    }
    must_equal(got.committed, committed_of(c), "committed");
    must_equal(got.next, c->next, "next");
    must_equal(got.inflight, leased, "inflight");
    must_equal(got.returned, returned, "returned");
}

/* It may be early, but neither late nor, after a choice in vain, in the past. */
static void compare_deadline(struct model *m, uint32_t g, uint32_t t, bool in_vain)
{
    uint64_t want = UINT64_MAX;
    for (uint32_t q = 0; q < m->read_queues[t]; q++) {
        struct model_cursor *c = &m->cursors[g][t][q];
        for (uint64_t o = committed_of(c); o < c->next; o++) {
            const struct entry *e = &c->entries[o];
            uint64_t due = e->status == RETURNED ? 0 : e->deadline_ms;
            if (e->status != CLOSED && due < want) want = due;
        }
    }
    uint64_t got = sk_state_next_deadline(m->w.state, m->group_ids[g], m->topic_ids[t]);
    if (got > want) must_equal(got, want, "the next deadline");
    if (in_vain) must_equal(got > m->w.now_ms, true, "'the next deadline is to come'");
    if (want == UINT64_MAX) must_equal(got, want, "the next deadline of nothing");
}

static void compare_leases(struct model *m)
{
    for (int i = 0; i < 4 && m->lease_count; i++) {
        const struct sk_lease *lease = &m->leases[below(m, (uint32_t)m->lease_count)];
        const struct entry *e = entry_of(m, lease);
        struct sk_lease_info info;
        bool good = sk_state_check_lease(m->w.state, lease, m->w.now_ms, &info);
        must_equal(good, e && e->deadline_ms > m->w.now_ms, "'the lease is good'");
        if (!good) continue;
        must_equal(info.deadline_ms, e->deadline_ms, "a deadline");
        must_equal(info.given_ms, e->given_ms, "a lease's begin");
        must_equal(info.owner, e->owner, "an owner");
        must_equal(info.attempt, e->attempt, "an attempt");
        must_equal(info.auto_renew, e->auto_renew, "an auto renewal");
    }
}

struct tally {
    uint64_t count, sum;
};

static uint64_t mix(uint64_t group, uint64_t topic, uint64_t queue, uint64_t offset, uint64_t lease)
{
    uint64_t h = ((group * 31 + topic) * 31 + queue) * 0x9e3779b97f4a7c15 + offset;
    return (h ^ h >> 29) * 0xbf58476d1ce4e5b9 ^ lease;
}

static bool tell(void *arg, const struct sk_lease *l, const struct sk_lease_info *info)
{
    struct tally *tally = arg;
    tally->count++;
    tally->sum += mix(l->group, l->topic, l->queue, l->offset, l->lease) + info->deadline_ms;
    return true;
}

static void compare_auto_renewed(struct model *m, uint64_t before_ms, uint64_t owner)
{
    struct tally got = {0}, want = {0};
    sk_state_each_auto_renewed(m->w.state, before_ms, owner, tell, &got);
    for (uint32_t i = 0; i < GROUPS * TOPICS * QUEUES; i++) {
        uint32_t g = i / QUEUES / TOPICS, t = i / QUEUES % TOPICS, q = i % QUEUES;
        struct model_cursor *c = &m->cursors[g][t][q];
        for (uint64_t o = committed_of(c); o < c->next; o++) {
            const struct entry *e = &c->entries[o];
            if (e->status != LEASED || !e->auto_renew) continue;
            if (owner ? e->owner != owner : e->deadline_ms >= before_ms) continue;
            want.count++;
            want.sum += mix(m->group_ids[g], m->topic_ids[t], q, o, e->lease) + e->deadline_ms;
        }
    }
    must_equal(got.count, want.count, "the number of auto-renewed leases");
    must_equal(got.sum, want.sum, "what is auto-renewed");
}

static void compare_histories(struct model *m, bool swap)
{
    sk_state *replayed = world_replay(&m->w), *reloaded = world_reload(&m->w);
    uint64_t hash = sk_state_hash(m->w.state);
    must_equal(sk_state_hash(replayed), hash, "the hash after a replay");
    must_equal(sk_state_hash(reloaded), hash, "the hash after a reload");
    if (swap) { /* go on with what was loaded */
        sk_state *live = m->w.state;
        m->w.state = reloaded;
        reloaded = live;
    }
    sk_state_free(replayed);
    sk_state_free(reloaded);
}

/* --- operations -------------------------------------------------------------------------- */

static void do_topic(struct model *m, uint32_t t)
{
    uint32_t queues = below(m, QUEUES) + 1;
    m->topic_ids[t] = world_topic(&m->w, topic_names[t], queues);
    m->read_queues[t] = queues;
    if (queues > m->queue_count[t]) m->queue_count[t] = queues;
    must_equal(sk_state_topic_by_id(m->w.state, m->topic_ids[t])->queue_count, m->queue_count[t],
               "the number of queues");
}

static void do_delete(struct model *m, bool topic, uint32_t which)
{
    if (topic && m->topic_ids[which]) {
        world_delete_topic(&m->w, topic_names[which]);
        m->topic_ids[which] = m->queue_count[which] = m->read_queues[which] = 0;
        for (uint32_t i = 0; i < GROUPS * QUEUES; i++)
            clear(&m->cursors[i / QUEUES][which][i % QUEUES]);
    } else if (!topic && m->group_ids[which]) {
        world_delete_group(&m->w, group_names[which]);
        m->group_ids[which] = 0;
        for (uint32_t i = 0; i < TOPICS * QUEUES; i++)
            clear(&m->cursors[which][i / QUEUES][i % QUEUES]);
    }
}

static void do_send(struct model *m, uint32_t t)
{
    uint32_t queue = below(m, m->queue_count[t]);
    size_t count = below(m, 10) ? below(m, 8) : below(m, 300);
    if (queue_of(m, t, queue)->max + count >= OFFSETS) return;
    for (; count > 0; count--) world_send(&m->w, m->topic_ids[t], queue, 1, below(m, TAGS));
}

static void do_store(struct model *m, uint32_t t) /* retention, and what is not flushed yet */
{
    struct world_queue *q = queue_of(m, t, below(m, m->queue_count[t]));
    if (below(m, 2) == 0)
        q->min += below(m, (uint32_t)(q->visible - q->min) / 4 + 1);
    else if (q->visible < q->max)
        q->visible = q->max;
    else if (q->visible > 0) { /* never takes back what it has shown: send on top */
        if (q->max + 3 < OFFSETS) {
            uint64_t shown = q->visible;
            uint32_t queue = 0;
            while (queue_of(m, t, queue) != q) queue++;
            world_send(&m->w, m->topic_ids[t], queue, 3, below(m, TAGS));
            q->visible = shown;
        }
    }
}

static void keep_leases(struct model *m, const struct sk_lease *leases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = m->lease_count < LEASES ? m->lease_count++ : below(m, LEASES);
        m->leases[at] = leases[i];
    }
}

static void do_receive(struct model *m, uint32_t g, uint32_t t)
{
    static struct sk_lease leases[SK_CHOOSE_MAX];
    static struct sk_chosen got[SK_CHOOSE_MAX];
    static struct receipt r;
    uint32_t tags[TAGS];
    size_t tag_count = 0;
    for (uint32_t tag = 0; tag < TAGS; tag++)
        if (below(m, 2)) tags[tag_count++] = tag;

    r.group = g;
    r.topic = t;
    r.count = 0;
    r.how = (struct world_receive){.group = m->group_ids[g],
                                   .topic = m->topic_ids[t],
                                   .first_queue = below(m, 10),
                                   .count = below(m, 8) ? below(m, 33) : below(m, 200),
                                   .tags = below(m, 3) ? NULL : tags,
                                   .tag_count = tag_count,
                                   .invisible_ms = below(m, 3000) + 1,
                                   .owner = below(m, 3) + 1,
                                   .auto_renew = below(m, 4) == 0};
    model_receive(m, &r);
    size_t facts = m->w.fact_count;
    size_t count = world_receive(&m->w, &r.how, leases, got);
    must_equal(count, r.count, "the number of messages chosen");
    for (size_t i = 0; i < count; i++) {
        must_equal(got[i].queue, r.want[i].queue, "a chosen queue");
        must_equal(got[i].offset, r.want[i].offset, "a chosen offset");
        must_equal(got[i].attempt, r.want[i].attempt, "a chosen attempt");
    }
    keep_leases(m, leases, count);
    compare_deadline(m, g, t, r.how.count > 0 && m->w.fact_count == facts);
}

static void model_settle(struct model *m, enum sk_record_kind kind, const struct sk_lease *lease,
                         uint64_t deadline_ms, uint64_t new_lease)
{
    struct entry *e = entry_of(m, lease);
    if (!e) return;
    switch (kind) {
    case SK_RECORD_ACK:
        e->status = CLOSED;
        break;
    case SK_RECORD_RELEASE:
        e->status = RETURNED;
        e->attempt--;
        break;
    case SK_RECORD_CHANGE:
        e->auto_renew = false;
        e->lease = new_lease;
        e->deadline_ms = deadline_ms;
        break;
    default:
        e->deadline_ms = deadline_ms;
    }
}

static void do_settle(struct model *m, enum sk_record_kind kind)
{
    struct sk_lease some[32];
    size_t count = kind == SK_RECORD_CHANGE ? 1 : below(m, 32) + 1;
    size_t at = below(m, (uint32_t)m->lease_count);
    bool in_row = below(m, 2);
    for (size_t i = 0; i < count; i++)
        some[i] =
            m->leases[in_row ? (at + i) % m->lease_count : below(m, (uint32_t)m->lease_count)];
    uint64_t deadline_ms = m->w.now_ms + below(m, 4) * 700;

    for (size_t i = 0; i < count; i++)
        model_settle(m, kind, &some[i], deadline_ms, m->w.position + 100);
    if (kind == SK_RECORD_ACK) world_ack(&m->w, some, count);
    if (kind == SK_RECORD_RELEASE) world_release(&m->w, some, count);
    if (kind == SK_RECORD_RENEW) world_renew(&m->w, some, count, deadline_ms);
    if (kind == SK_RECORD_CHANGE) world_change(&m->w, &some[0], deadline_ms);
    if (kind == SK_RECORD_CHANGE) keep_leases(m, some, 1);
}

static void do_seek(struct model *m, uint32_t g, uint32_t t)
{
    uint32_t queue = below(m, m->queue_count[t]);
    uint64_t offset = below(m, (uint32_t)queue_of(m, t, queue)->max + 3);
    world_seek(&m->w, m->group_ids[g], m->topic_ids[t], queue, offset);
    clear(&m->cursors[g][t][queue]);
    m->cursors[g][t][queue].touched = true;
    m->cursors[g][t][queue].low = m->cursors[g][t][queue].next = offset;
}

static void step(struct model *m)
{
    uint32_t g = below(m, GROUPS), t = below(m, TOPICS), dice = below(m, 1000);
    if (!m->group_ids[g]) m->group_ids[g] = world_group(&m->w, group_names[g]);
    if (!m->topic_ids[t]) do_topic(m, t);

    if (dice < 250)
        do_send(m, t);
    else if (dice < 550)
        do_receive(m, g, t);
    else if (dice < 600)
        m->w.now_ms += below(m, 2) ? below(m, 300) : below(m, 3000);
    else if (dice < 620)
        do_store(m, t);
    else if (dice < 623)
        do_seek(m, g, t);
    else if (dice < 626)
        do_topic(m, t);
    else if (dice < 628)
        do_delete(m, dice & 1, below(m, GROUPS));
    else if (dice < 629)
        compare_histories(m, true);
    else if (m->lease_count)
        do_settle(m, dice < 900   ? SK_RECORD_ACK
                     : dice < 930 ? SK_RECORD_RELEASE
                     : dice < 970 ? SK_RECORD_RENEW
                                  : SK_RECORD_CHANGE);

    if (m->group_ids[g] && m->topic_ids[t]) {
        for (uint32_t q = 0; q < m->queue_count[t]; q++) compare_cursor(m, g, t, q);
        compare_deadline(m, g, t, false);
    }
    compare_leases(m);
    if (dice % 16 == 0) compare_auto_renewed(m, m->w.now_ms + below(m, 2000), below(m, 4));
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(random_operations_agree_with_the_model)
{
    struct model *m = calloc(1, sizeof *m);
    m->seed = setting("SKUA_MODEL_SEED", (uint64_t)_i + 1);
    m->random = m->seed * 0x9e3779b97f4a7c15 | 1;
    world_init(&m->w);
    uint64_t steps = setting("SKUA_MODEL_STEPS", STEPS);
    for (uint64_t i = 0; i < steps; i++) step(m);
    compare_histories(m, false);
    world_done(&m->w);
    free(m);
}
END_TEST

static Suite *model_suite(void)
{
    Suite *suite = suite_create("broker/state/model");
    TCase *tc = tcase_create("random");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, random_operations_agree_with_the_model, 0, 8);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(model_suite)
