/* powercut_check.c - what an image must hold, and the model that says who may get which message. */
#include "powercut.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct slot { /* a message as a group sees it */
    uint32_t group, topic, queue;
    uint64_t offset, deadline_ms;
    struct sk_lease_id lease;
    bool acked, leased;
};

struct model { /* made anew for each image */
    struct slot slots[2048];
    size_t count;
    struct event floors[256]; /* the last SOUGHT of each (group, topic, queue) */
    size_t floor_count;
};

/* --- the model after so many records -----------------------------------------------------------
 */

static struct slot *slot_of(struct model *m, const struct event *e)
{
    for (size_t i = 0; i < m->count; i++) {
        struct slot *s = &m->slots[i];
        if (s->group == e->group && s->topic == e->topic && s->queue == e->queue &&
            s->offset == e->offset)
            return s;
    }
    POWER_MUST(m->count < sizeof m->slots / sizeof m->slots[0], "the model is full");
    struct slot *s = &m->slots[m->count++];
    *s =
        (struct slot){.group = e->group, .topic = e->topic, .queue = e->queue, .offset = e->offset};
    return s;
}

static void seek_model(struct model *m, const struct event *e)
{
    for (size_t i = 0; i < m->count; i++) {
        struct slot *s = &m->slots[i];
        if (s->group == e->group && s->topic == e->topic && s->queue == e->queue)
            s->acked = s->leased = false;
    }
    POWER_MUST(m->floor_count < sizeof m->floors / sizeof m->floors[0], "the model is full");
    m->floors[m->floor_count++] = *e;
}

static void play(struct model *m, const struct event *e)
{
    if (e->kind == TOPIC_GONE || e->kind == GROUP_GONE) {
        for (size_t i = m->count; i-- > 0;)
            if (e->kind == TOPIC_GONE ? m->slots[i].topic == e->topic
                                      : m->slots[i].group == e->group)
                m->slots[i] = m->slots[--m->count];
        return;
    }
    if (e->kind == SOUGHT) {
        seek_model(m, e);
        return;
    }
    struct slot *s = slot_of(m, e);
    if (e->kind == ACKED) s->acked = true;
    s->leased = e->kind != ACKED && e->kind != RELEASED;
    s->lease = e->lease;
    s->deadline_ms = e->deadline_ms;
}

static uint64_t floor_of(const struct model *m, uint32_t group, uint32_t topic, uint32_t queue)
{
    for (size_t i = m->floor_count; i-- > 0;)
        if (m->floors[i].group == group && m->floors[i].topic == topic &&
            m->floors[i].queue == queue)
            return m->floors[i].offset;
    return 0;
}

/* --- what an image must hold ---------------------------------------------------------------------
 */

static void check_leases(struct model *m, const sk_state *state)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct slot *s = &m->slots[i];
        struct sk_lease lease = {s->group, s->topic, s->queue, s->offset, s->lease};
        struct sk_lease_info info;
        uint64_t before = s->deadline_ms ? s->deadline_ms - 1 : 0;
        bool good = sk_state_check_lease(state, &lease, before, &info);
        POWER_MUST(good == s->leased, "group %u, topic %u, queue %u, offset %" PRIu64 ": %s",
                   s->group, s->topic, s->queue, s->offset,
                   good ? "a lease that ended is back" : "a lease is lost");
        POWER_MUST(!good || info.deadline_ms == s->deadline_ms, "a lease has another deadline");
        POWER_MUST(!sk_state_check_lease(state, &lease, s->deadline_ms, &info),
                   "a lease outlives its deadline");
    }
}

/* What a group can receive of a topic now is what it has not acknowledged and nobody holds. */
static void check_choice(struct model *m, sk_ledger *ledger, uint32_t group,
                         const struct sk_topic *topic, uint64_t now_ms)
{
    static struct sk_chosen chosen[SK_CHOOSE_MAX];
    struct sk_choose how = {.group = group,
                            .topic = topic->id,
                            .now_ms = now_ms,
                            .count = SK_CHOOSE_MAX,
                            .deadline_ms = now_ms + 1,
                            .owner = 9};
    struct sk_buffer payload = {0};
    struct sk_turn here = {.ledger = ledger};
    const struct sk_queue_view view = {powercut_range, NULL, &here};
    size_t count = sk_state_choose(sk_turn_state(&here), &how, &view, chosen, &payload);
    sk_buffer_done(&payload);
    size_t expected = 0;
    for (uint32_t q = 0; q < topic->read_queues; q++) {
        struct sk_queue_range range = sk_store_queue(sk_ledger_store(ledger), topic->queues[q]);
        uint64_t low = floor_of(m, group, topic->id, q);
        if (low < range.min) low = range.min;
        if (range.max > low) expected += range.max - low;
    }
    for (size_t i = 0; i < m->count; i++) {
        const struct slot *s = &m->slots[i];
        if (s->group != group || s->topic != topic->id) continue;
        bool open = !s->acked && !(s->leased && s->deadline_ms > now_ms);
        uint64_t low = floor_of(m, group, topic->id, s->queue);
        struct sk_queue_range range =
            sk_store_queue(sk_ledger_store(ledger), topic->queues[s->queue]);
        if (s->offset < low || s->offset < range.min) continue;
        expected -= !open;
        for (size_t c = 0; c < count; c++)
            POWER_MUST(open || chosen[c].queue != s->queue || chosen[c].offset != s->offset,
                       "group %u, topic %u, queue %u, offset %" PRIu64 " is delivered again: %s",
                       group, topic->id, s->queue, s->offset,
                       s->acked ? "it was acknowledged" : "it is leased");
    }
    POWER_MUST(count == expected, "group %u can receive %zu messages of topic %u, should be %zu",
               group, count, topic->id, expected);
}

static void check_deliveries(struct work *w, sk_ledger *ledger, size_t records)
{
    static struct model m;
    m.count = m.floor_count = 0;
    for (size_t i = 0; i < w->event_count && w->events[i].record <= records; i++)
        play(&m, &w->events[i]);
    const sk_state *state = sk_turn_state(&(struct sk_turn){.ledger = ledger});
    check_leases(&m, state);
    const struct sk_topic *topic;
    for (size_t t = 0; (topic = sk_state_next_topic(state, &t)) != NULL;) {
        const struct sk_group *group;
        for (size_t g = 0; (group = sk_state_next_group(state, &g)) != NULL;) {
            check_choice(&m, ledger, group->id, topic, w->times[records]);
            check_choice(&m, ledger, group->id, topic, UINT64_MAX - 1);
        }
    }
}

static void check(struct work *w, sk_ledger *ledger, size_t records)
{
    POWER_MUST(!records || w->past.puts[records - 1].ends_batch,
               "%zu records came back: half a batch", records);
    const sk_state *state = sk_turn_state(&(struct sk_turn){.ledger = ledger});
    POWER_MUST(sk_state_hash(state) == w->hashes[records],
               "the state after %zu records is another one", records);
    for (uint32_t q = 0; q < w->queues; q++) {
        uint32_t unused;
        if (sk_state_topic_of_queue(state, q, &unused)) {
            power_past_check_queue(&w->past, records, sk_ledger_store(ledger), q);
        } else {
            struct sk_queue_range range = sk_store_queue(sk_ledger_store(ledger), q);
            POWER_MUST(range.max == 0,
                       "queue %u of a topic that is gone has offsets %" PRIu64 "..%" PRIu64, q,
                       range.min, range.max);
        }
    }
    check_deliveries(w, ledger, records);
}

/* Each opening begins an epoch, so the disk does change; but nothing is cut, and nothing is lost of
 * what the one before left, up to its `tail`. */
static void check_again(struct work *w, struct memory_vfs *disk, size_t records, uint64_t tail,
                        const char *what)
{
    struct sk_recovery found;
    memory_vfs_forget(disk);
    sk_ledger *ledger = powercut_open(w, disk, &found);
    power_recovered();
    /* Too little for a record's header, or nothing, before a segment that was made ahead of time?
     */
    uint64_t rest = (w->segment_bytes - tail % w->segment_bytes) % w->segment_bytes;
    POWER_MUST(found.tail == tail || (found.tail > tail && rest < 56),
               "%s: the log ends at %llu, not %llu", what, (unsigned long long)found.tail,
               (unsigned long long)tail);
    POWER_MUST(found.cut_bytes == 0, "%s: cuts the log", what);
    check(w, ledger, records);
    sk_ledger_close(ledger);
}

static bool take_name(void *arg, const char *name)
{
    snprintf(arg, 64, "%s", name);
    return false;
}

/* The log alone, from its first record, yields the same state. */
static void forget_snapshots(struct memory_vfs *disk)
{
    struct sk_vfs *vfs = memory_vfs_door(disk);
    char name[64], path[256];
    for (;;) {
        name[0] = '\0';
        vfs->list(vfs, DIR "/snapshot", take_name, name);
        if (!name[0]) return;
        snprintf(path, sizeof path, "%s/%s", DIR "/snapshot", name);
        vfs->unlink(vfs, path);
    }
}

/* One more message is taken, and there after an orderly stop. */
static void check_use(struct work *w, struct memory_vfs *image, sk_ledger *ledger)
{
    struct sk_recovery found;
    struct sk_buffer payload = {0};
    struct sk_span span;
    sk_state_encode_group(
        &(struct sk_group_change){.name = SK_SLICE("after the cut"), .max_attempts = 1}, &payload);
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    power_ok(sk_turn_write(&turn, SK_RECORD_GROUP, sk_buffer_slice(&payload), &span), "write");
    sk_turn_end(&turn);
    sk_buffer_done(&payload);
    uint64_t hash = sk_state_hash(sk_turn_state(&(struct sk_turn){.ledger = ledger}));
    sk_ledger_close(ledger);
    ledger = powercut_open(w, image, &found);
    POWER_MUST(found.clean, "an orderly stop after a cut passes for another one");
    POWER_MUST(sk_state_hash(sk_turn_state(&(struct sk_turn){.ledger = ledger})) == hash,
               "what was written after the cut is not there after a restart");
    sk_ledger_close(ledger);
}

uint64_t powercut_recover(void *work, struct memory_vfs *image, bool thorough, size_t *steps)
{
    struct work *w = work;
    struct sk_recovery found;
    sk_ledger *ledger = powercut_open(w, image, &found);
    power_recovered();
    *steps = memory_vfs_ops(image);
    size_t records = powercut_records(w, ledger, &found);
    check(w, ledger, records);
    if (!thorough) {
        sk_ledger_close(ledger);
        return records;
    }
    struct memory_vfs *again = memory_vfs_copy(image), *bare = NULL;
    if (sk_store_begin(sk_ledger_store(ledger)) < w->segment_bytes) bare = memory_vfs_copy(image);
    uint64_t tail = sk_store_tail(sk_ledger_store(ledger));
    check_use(w, image, ledger);
    check_again(w, again, records, tail, "recovered once more");
    memory_vfs_free(again);
    if (bare) {
        forget_snapshots(bare);
        check_again(w, bare, records, tail, "from the log alone");
    }
    memory_vfs_free(bare);
    return records;
}
