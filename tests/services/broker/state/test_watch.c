/* What must follow a record follows from its fact: every kind of record is applied, by no handler
 * at all, and the watcher is told every consequence; a replay tells the same. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"
#include "world.h"

static struct world w;
static struct sk_lease leases[SK_CHOOSE_MAX];
static struct sk_chosen chosen[SK_CHOOSE_MAX];

/* What was told, as text. */
struct heard {
    const sk_state *state;
    char text[4096];
    size_t len;
};
static struct heard heard;

__attribute__((format(printf, 2, 3))) static void note(struct heard *h, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(h->text + h->len, sizeof h->text - h->len, fmt, args);
    va_end(args);
    ck_assert(len >= 0 && h->len + (size_t)len < sizeof h->text);
    h->len += (size_t)len;
}

static void on_message(void *owner, uint32_t topic, uint32_t queue, uint32_t store_queue,
                       uint64_t offset, const struct sk_fact *fact)
{
    struct heard *h = owner;
    ck_assert_uint_eq(fact->kind, SK_RECORD_MESSAGE);
    ck_assert_uint_eq(sk_state_next_offset(h->state, store_queue), offset + 1);
    note(h, "message %u/%u@%" PRIu64 " in %u; ", topic, queue, offset, store_queue);
}

static void on_lease_ends(void *owner, uint32_t group, uint32_t topic, uint64_t deadline_ms)
{
    struct heard *h = owner;
    if (deadline_ms) /* else it may be now */
        ck_assert_uint_le(sk_state_next_deadline(h->state, group, topic), deadline_ms);
    note(h, "lease %u/%u %" PRIu64 "; ", group, topic, deadline_ms);
}

static void on_topic_changed(void *owner, uint32_t topic)
{
    struct heard *h = owner;
    const struct sk_topic *t = sk_state_topic_by_id(h->state, topic);
    ck_assert_ptr_nonnull(t);
    note(h, "topic %u has %u of %u; ", topic, t->read_queues, t->queue_count);
}

static void on_topic_deleted(void *owner, uint32_t topic)
{
    struct heard *h = owner;
    ck_assert_ptr_nonnull(sk_state_topic_by_id(h->state, topic)); /* still there */
    note(h, "topic %u deleted; ", topic);
}

static void on_queues_gone(void *owner, const uint32_t *queues, size_t count)
{
    note(owner, "queues gone:");
    for (size_t i = 0; i < count; i++) note(owner, " %u", queues[i]);
    note(owner, "; ");
}

static void on_group_changed(void *owner, uint32_t group)
{
    struct heard *h = owner;
    ck_assert_ptr_nonnull(sk_state_group_by_id(h->state, group));
    note(h, "group %u; ", group);
}

static void on_group_deleted(void *owner, uint32_t group)
{
    struct heard *h = owner;
    ck_assert_ptr_nonnull(sk_state_group_by_id(h->state, group));
    note(h, "group %u deleted; ", group);
}

static void watch(sk_state *state, struct heard *h)
{
    h->state = state;
    sk_state_watch(state, &(struct sk_state_watcher){
                              .message = on_message,
                              .lease_ends = on_lease_ends,
                              .topic_changed = on_topic_changed,
                              .topic_deleted = on_topic_deleted,
                              .queues_gone = on_queues_gone,
                              .group_changed = on_group_changed,
                              .group_deleted = on_group_deleted,
                              .owner = h,
                          });
}

static void setup(void)
{
    world_init(&w);
    w.now_ms = 1000;
    heard.len = 0;
    watch(w.state, &heard);
}

static void teardown(void)
{
    world_done(&w);
}

/* ...was told since the last question, and nothing else. */
static void expect(const char *text)
{
    heard.text[heard.len] = 0;
    ck_assert_str_eq(heard.text, text);
    heard.len = 0;
}

static size_t receive(uint32_t group, uint32_t topic, size_t count)
{
    struct world_receive how = {.group = group, .topic = topic, .count = count};
    return world_receive(&w, &how, leases, chosen);
}

START_TEST(changes_of_the_catalogue)
{
    world_topic(&w, "a", 1);
    expect("topic 1 has 1 of 1; ");
    world_topic(&w, "b", 1);
    world_topic(&w, "a", 3);
    world_topic(&w, "a", 2);
    expect("topic 2 has 1 of 1; topic 1 has 3 of 3; topic 1 has 2 of 3; ");
    world_group(&w, "g");
    world_group(&w, "g");
    expect("group 1; group 1; ");
    world_delete_topic(&w, "a");
    expect("topic 1 deleted; queues gone: 0 2 3; ");
    world_delete_group(&w, "g");
    expect("group 1 deleted; ");
}
END_TEST

START_TEST(a_message)
{
    world_topic(&w, "a", 1);
    uint32_t b = world_topic(&w, "b", 2);
    expect("topic 1 has 1 of 1; topic 2 has 2 of 2; ");
    world_send(&w, b, 1, 2, 0);
    expect("message 2/1@0 in 2; message 2/1@1 in 2; ");
}
END_TEST

static void two_pairs(uint32_t *topic, uint32_t *group, uint32_t *other)
{
    *topic = world_topic(&w, "a", 2);
    *group = world_group(&w, "g");
    *other = world_group(&w, "h");
    world_send(&w, *topic, 0, 4, 0);
    world_send(&w, *topic, 1, 4, 0);
    heard.len = 0;
}

START_TEST(leases_that_begin_and_end)
{
    uint32_t topic, group, other;
    two_pairs(&topic, &group, &other);
    ck_assert_uint_eq(receive(group, topic, 8), 8);
    expect("lease 1/1 2000; ");
    struct sk_lease mixed[] = {leases[0], leases[4], leases[1], leases[5]};
    ck_assert_uint_eq(receive(other, topic, 3), 3);
    expect("lease 2/1 2000; ");
    world_ack(&w, mixed, 1);
    expect("");
    world_renew(&w, mixed + 1, 3, 5000);
    expect("lease 1/1 5000; ");
    struct sk_lease pairs[] = {mixed[1], mixed[2], leases[0], leases[1]};
    world_release(&w, pairs, 4);
    expect("lease 1/1 0; lease 2/1 0; ");
}
END_TEST

START_TEST(a_change_to_later_and_to_now)
{
    uint32_t topic, group, other;
    two_pairs(&topic, &group, &other);
    ck_assert_uint_eq(receive(group, topic, 2), 2);
    expect("lease 1/1 2000; ");
    world_change(&w, &leases[0], 3000);
    expect("lease 1/1 3000; ");
    world_change(&w, &leases[0], w.now_ms);
    expect("lease 1/1 0; ");
    world_seek(&w, group, topic, 0, 1);
    expect("lease 1/1 0; ");
}
END_TEST

/* A receive that only passes over gives no lease, and what was deleted has no consequence. */
START_TEST(what_has_no_effect_is_not_told)
{
    static const uint32_t none = 77;
    uint32_t topic, group, other;
    two_pairs(&topic, &group, &other);
    struct world_receive how = {
        .group = group, .topic = topic, .count = 8, .tags = &none, .tag_count = 1};
    ck_assert_uint_eq(world_receive(&w, &how, leases, chosen), 0);
    expect("");
    ck_assert_uint_eq(receive(other, topic, 1), 1);
    world_delete_group(&w, "h");
    heard.len = 0;
    world_release(&w, leases, 1);
    world_seek(&w, other, topic, 0, 0);
    expect("");
}
END_TEST

START_TEST(a_replay_tells_the_same_and_nobody_need_listen)
{
    uint32_t topic, group, other;
    world_topic(&w, "gone", 1);
    world_delete_topic(&w, "gone");
    two_pairs(&topic, &group, &other);
    static struct heard again;
    sk_state *replayed = sk_state_new();
    watch(replayed, &again);
    ck_assert_uint_eq(receive(group, topic, 8), 8);
    world_change(&w, &leases[3], 7000);
    world_release(&w, leases, 2);
    world_renew(&w, leases + 4, 2, 8000);
    world_seek(&w, group, topic, 1, 0);
    world_delete_group(&w, "h");
    for (size_t i = 0; i < w.fact_count; i++)
        ck_assert(sk_ok(sk_state_apply(replayed, &w.facts[i])));
    ck_assert_uint_gt(again.len, heard.len);
    ck_assert_mem_eq(again.text + again.len - heard.len, heard.text, heard.len);

    again.len = 0;
    sk_state_watch(replayed, NULL);
    sk_state *silent = world_replay(&w);
    ck_assert_uint_eq(sk_state_hash(silent), sk_state_hash(replayed));
    ck_assert_uint_eq(again.len, 0);
    sk_state_free(silent);
    sk_state_free(replayed);
}
END_TEST

static Suite *watch_suite(void)
{
    Suite *suite = suite_create("broker/state/watch");
    TCase *tc = tcase_create("watch");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, changes_of_the_catalogue);
    tcase_add_test(tc, a_message);
    tcase_add_test(tc, leases_that_begin_and_end);
    tcase_add_test(tc, a_change_to_later_and_to_now);
    tcase_add_test(tc, what_has_no_effect_is_not_told);
    tcase_add_test(tc, a_replay_tells_the_same_and_nobody_need_listen);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(watch_suite)
