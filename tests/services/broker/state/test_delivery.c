/* Choosing messages: order, filters, retention, cursors. */
#include <stdio.h>
#include <string.h>

#include "support/suite.h"
#include "world.h"

static struct world w;
static uint32_t topic, group;
static struct sk_lease leases[SK_CHOOSE_MAX];
static struct sk_chosen chosen[SK_CHOOSE_MAX];

static void setup(void)
{
    world_init(&w);
    topic = world_topic(&w, "orders", 2);
    group = world_group(&w, "billing");
}

static void teardown(void)
{
    world_done(&w);
}

static size_t receive(size_t count)
{
    return world_receive(&w,
                         &(struct world_receive){.group = group, .topic = topic, .count = count},
                         leases, chosen);
}

/* "queue:offset/attempt ..." of what was chosen. */
static const char *text_of(size_t count)
{
    static char text[4096];
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%u:%llu/%u", i ? " " : "",
                                chosen[i].queue, (unsigned long long)chosen[i].offset,
                                chosen[i].attempt);
    return text;
}

static void assert_cursor(uint32_t queue, uint64_t committed, uint64_t next, uint64_t inflight)
{
    struct sk_cursor c = world_cursor(&w, group, topic, queue);
    ck_assert_uint_eq(c.committed, committed);
    ck_assert_uint_eq(c.next, next);
    ck_assert_uint_eq(c.inflight, inflight);
}

START_TEST(an_empty_topic_gives_nothing_to_write)
{
    size_t facts = w.fact_count;
    ck_assert_uint_eq(receive(32), 0);
    ck_assert_uint_eq(w.fact_count, facts);
    ck_assert_uint_eq(world_cursor(&w, group, topic, 0).next, UINT64_MAX);
}
END_TEST

START_TEST(a_new_group_sees_the_whole_topic_in_order)
{
    world_send(&w, topic, 0, 3, 0);
    world_send(&w, topic, 1, 2, 0);
    ck_assert_str_eq(text_of(receive(32)), "0:0/1 0:1/1 0:2/1 1:0/1 1:1/1");
    assert_cursor(0, 0, 3, 3);
    assert_cursor(1, 0, 2, 2);
    ck_assert_uint_eq(receive(32), 0);
}
END_TEST

START_TEST(first_queue_says_where_to_begin)
{
    world_send(&w, topic, 0, 1, 0);
    world_send(&w, topic, 1, 1, 0);
    struct world_receive how = {.group = group, .topic = topic, .count = 2, .first_queue = 5};
    ck_assert_str_eq(text_of(world_receive(&w, &how, leases, chosen)), "1:0/1 0:0/1");
}
END_TEST

START_TEST(acks_out_of_order_move_committed_over_what_is_done)
{
    world_send(&w, topic, 0, 200, 0);
    ck_assert_uint_eq(receive(200), 200);
    world_ack(&w, leases + 1, 150);
    assert_cursor(0, 0, 200, 50);
    world_ack(&w, leases, 1);
    assert_cursor(0, 151, 200, 49);
    world_ack(&w, leases + 199, 1);
    assert_cursor(0, 151, 200, 48);
    world_ack(&w, leases + 151, 48);
    assert_cursor(0, 200, 200, 0);
}
END_TEST

START_TEST(an_ended_lease_is_delivered_again_before_what_is_new)
{
    world_send(&w, topic, 0, 2, 0);
    ck_assert_uint_eq(receive(2), 2);
    world_ack(&w, leases, 1);
    world_send(&w, topic, 0, 1, 0);
    w.now_ms += 999;
    ck_assert_str_eq(text_of(receive(1)), "0:2/1");
    w.now_ms += 1;
    ck_assert_str_eq(text_of(receive(9)), "0:1/2");
    w.now_ms += 1000;
    ck_assert_str_eq(text_of(receive(9)), "0:1/3 0:2/2");
}
END_TEST

static const struct {
    const char *name;
    uint32_t tags[2];
    size_t tag_count;
    const char *want; /* of tags 1 2 3 1 2 3, at offsets 0 to 5 */
    uint64_t committed, next;
} filters[] = {
    {"first", {1}, 1, "0:0/1 0:3/1", 0, 6},
    {"last", {3}, 1, "0:2/1 0:5/1", 2, 6},
    {"two", {2, 3}, 2, "0:1/1 0:2/1 0:4/1 0:5/1", 1, 6},
    {"none", {9}, 1, "", 6, 6},
    {"no tags at all", {0}, 0, "", 6, 6},
};

START_TEST(a_filter_passes_over_what_it_does_not_want)
{
    for (int i = 0; i < 6; i++) world_send(&w, topic, 0, 1, (uint32_t)(i % 3 + 1));
    struct world_receive how = {.group = group,
                                .topic = topic,
                                .count = 32,
                                .tags = filters[_i].tags,
                                .tag_count = filters[_i].tag_count};
    const char *got = text_of(world_receive(&w, &how, leases, chosen));
    ck_assert_msg(strcmp(got, filters[_i].want) == 0, "%s: got '%s'", filters[_i].name, got);
    struct sk_cursor c = world_cursor(&w, group, topic, 0);
    ck_assert_uint_eq(c.committed, filters[_i].committed);
    ck_assert_uint_eq(c.next, filters[_i].next);
    w.now_ms += 5000;
    how.tags = NULL; /* what was passed over never comes back */
    size_t again = world_receive(&w, &how, leases, chosen);
    for (size_t k = 0; k < again; k++) ck_assert_uint_eq(chosen[k].attempt, 2);
}
END_TEST

START_TEST(a_filter_stops_after_a_bounded_look_and_goes_on_next_time)
{
    static const uint32_t wanted[] = {5};
    world_send(&w, topic, 0, 40000, 1);
    world_send(&w, topic, 0, 1, 5);
    struct world_receive how = {
        .group = group, .topic = topic, .count = 1, .tags = wanted, .tag_count = 1};
    int rounds = 0;
    size_t facts = w.fact_count, got = 0;
    while (got == 0 && rounds++ < 10) got = world_receive(&w, &how, leases, chosen);
    ck_assert_int_eq(rounds, 3);
    ck_assert_str_eq(text_of(got), "0:40000/1");
    ck_assert_uint_eq(w.tag_questions, 40001);
    for (; facts < w.fact_count; facts++) ck_assert_uint_lt(w.facts[facts].payload.len, 40);
}
END_TEST

START_TEST(a_changed_filter_passes_over_what_came_back)
{
    static const uint32_t wanted[] = {2};
    world_send(&w, topic, 0, 1, 1);
    world_send(&w, topic, 0, 1, 2);
    ck_assert_uint_eq(receive(2), 2);
    w.now_ms += 1000;
    struct world_receive how = {
        .group = group, .topic = topic, .count = 2, .tags = wanted, .tag_count = 1};
    ck_assert_str_eq(text_of(world_receive(&w, &how, leases, chosen)), "0:1/2");
    assert_cursor(0, 1, 2, 1);
}
END_TEST

static const struct {
    const char *name;
    uint64_t min;
    const char *want;
    uint64_t committed;
} retentions[] = {
    {"nothing of the window", 2, "0:2/2 0:3/2 0:4/2 0:5/1 0:6/1 0:7/1 0:8/1 0:9/1", 2},
    {"a part of the window", 4, "0:4/2 0:5/1 0:6/1 0:7/1 0:8/1 0:9/1", 4},
    {"the window", 5, "0:5/1 0:6/1 0:7/1 0:8/1 0:9/1", 5},
    {"more than the window", 8, "0:8/1 0:9/1", 8},
    {"everything", 10, "", 10},
};

START_TEST(what_retention_took_counts_as_done)
{
    world_send(&w, topic, 0, 5, 0);
    ck_assert_uint_eq(receive(5), 5);
    world_ack(&w, leases, 2);
    world_send(&w, topic, 0, 5, 0);
    w.now_ms += 1000;
    w.queues[0].min = retentions[_i].min;
    const char *got = text_of(receive(32));
    ck_assert_msg(strcmp(got, retentions[_i].want) == 0, "%s: got '%s'", retentions[_i].name, got);
    ck_assert_uint_eq(world_cursor(&w, group, topic, 0).committed, retentions[_i].committed);
    ck_assert_uint_eq(world_cursor(&w, group, topic, 0).next, 10);
}
END_TEST

START_TEST(a_new_cursor_begins_at_the_first_kept_offset)
{
    world_send(&w, topic, 0, 10, 0);
    w.queues[0].min = 7;
    ck_assert_str_eq(text_of(receive(1)), "0:7/1");
    assert_cursor(0, 7, 8, 1);
}
END_TEST

START_TEST(only_what_is_visible_is_delivered)
{
    world_send(&w, topic, 0, 10, 0);
    w.queues[0].visible = 4;
    ck_assert_uint_eq(receive(32), 4);
    w.queues[0].visible = 10;
    ck_assert_uint_eq(receive(32), 6);
}
END_TEST

START_TEST(hidden_queues_keep_their_messages)
{
    world_send(&w, topic, 1, 3, 0);
    uint32_t number = sk_state_topic_by_id(w.state, topic)->queues[1];
    world_topic(&w, "orders", 1);
    ck_assert_uint_eq(receive(32), 0);
    ck_assert_uint_eq(world_topic(&w, "orders", 3), topic);
    const struct sk_topic *t = sk_state_topic_by_id(w.state, topic);
    ck_assert_uint_eq(t->queue_count, 3);
    ck_assert_uint_eq(t->queues[1], number);
    ck_assert_str_eq(text_of(receive(32)), "1:0/1 1:1/1 1:2/1");
}
END_TEST

START_TEST(seek_goes_anywhere_and_voids_leases)
{
    world_send(&w, topic, 0, 10, 0);
    ck_assert_uint_eq(receive(5), 5);
    world_seek(&w, group, topic, 0, 8);
    assert_cursor(0, 8, 8, 0);
    struct sk_lease_info info;
    ck_assert(!sk_state_check_lease(w.state, &leases[0], w.now_ms, &info));
    world_ack(&w, leases, 5);
    ck_assert_str_eq(text_of(receive(32)), "0:8/1 0:9/1");
    world_seek(&w, group, topic, 0, 3);
    ck_assert_str_eq(text_of(receive(2)), "0:3/1 0:4/1");
    world_seek(&w, group, topic, 1, 2); /* above the end: waits there */
    world_send(&w, topic, 1, 3, 0);
    ck_assert_str_eq(text_of(receive(32)), "0:5/1 0:6/1 0:7/1 0:8/1 0:9/1 1:2/1");
}
END_TEST

START_TEST(two_groups_do_not_notice_each_other)
{
    uint32_t other = world_group(&w, "audit");
    world_send(&w, topic, 0, 2, 0);
    ck_assert_uint_eq(receive(2), 2);
    world_ack(&w, leases, 2);
    struct world_receive how = {.group = other, .topic = topic, .count = 2};
    ck_assert_str_eq(text_of(world_receive(&w, &how, leases, chosen)), "0:0/1 0:1/1");
}
END_TEST

START_TEST(nothing_of_a_deleted_topic_or_group_is_left)
{
    world_send(&w, topic, 0, 3, 0);
    ck_assert_uint_eq(receive(3), 3);
    if (_i)
        world_delete_topic(&w, "orders");
    else
        world_delete_group(&w, "billing");
    struct sk_lease_info info;
    ck_assert(!sk_state_check_lease(w.state, leases, w.now_ms, &info));
    world_ack(&w, leases, 3); /* late, and without effect */
    world_seek(&w, group, topic, 0, 1);
    ck_assert_uint_eq(receive(3), 0);
    uint32_t before = _i ? topic : group;
    uint32_t after = _i ? world_topic(&w, "orders", 2) : world_group(&w, "billing");
    ck_assert_uint_gt(after, before);
    ck_assert_uint_eq(world_cursor(&w, group, topic, 0).next, UINT64_MAX);
}
END_TEST

START_TEST(a_stuck_message_costs_next_to_nothing)
{
    enum { MANY = 1000000 };
    world_send(&w, topic, 0, MANY + 1, 0);
    ck_assert_uint_eq(receive(1), 1);
    for (size_t done = 0; done < MANY;) {
        size_t got = receive(1000);
        world_ack(&w, leases, got);
        done += got;
    }
    assert_cursor(0, 0, MANY + 1, 1);
    struct sk_buffer snapshot = {0};
    sk_state_save(w.state, &snapshot);
    ck_assert_uint_lt(snapshot.len, 256);
    sk_buffer_done(&snapshot);
}
END_TEST

/* More blocks than are kept for reuse, and every way to take one out of the directory. */
START_TEST(many_in_flight_are_acknowledged_in_any_order)
{
    enum { MANY = 64000, STEP = 7919 }; /* coprime: every offset is met once */
    static struct sk_lease held[MANY];
    world_send(&w, topic, 0, MANY, 0);
    for (size_t done = 0; done < MANY; done += 1000) {
        ck_assert_uint_eq(receive(1000), 1000);
        memcpy(held + done, leases, 1000 * sizeof *leases);
    }
    for (size_t i = 0, at = 0; i < MANY; i++, at = (at + STEP) % MANY) {
        world_ack(&w, &held[at], 1);
        struct sk_cursor c = world_cursor(&w, group, topic, 0);
        if (c.inflight != MANY - 1 - i || c.committed > MANY) ck_abort_msg("after %zu acks", i + 1);
    }
    assert_cursor(0, MANY, MANY, 0);
}
END_TEST

static Suite *delivery_suite(void)
{
    Suite *suite = suite_create("broker/state/delivery");
    TCase *tc = tcase_create("choose");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, an_empty_topic_gives_nothing_to_write);
    tcase_add_test(tc, a_new_group_sees_the_whole_topic_in_order);
    tcase_add_test(tc, first_queue_says_where_to_begin);
    tcase_add_test(tc, acks_out_of_order_move_committed_over_what_is_done);
    tcase_add_test(tc, an_ended_lease_is_delivered_again_before_what_is_new);
    tcase_add_loop_test(tc, a_filter_passes_over_what_it_does_not_want, 0, ROWS(filters));
    tcase_add_test(tc, a_filter_stops_after_a_bounded_look_and_goes_on_next_time);
    tcase_add_test(tc, a_changed_filter_passes_over_what_came_back);
    tcase_add_loop_test(tc, what_retention_took_counts_as_done, 0, ROWS(retentions));
    tcase_add_test(tc, a_new_cursor_begins_at_the_first_kept_offset);
    tcase_add_test(tc, only_what_is_visible_is_delivered);
    tcase_add_test(tc, hidden_queues_keep_their_messages);
    tcase_add_test(tc, seek_goes_anywhere_and_voids_leases);
    tcase_add_test(tc, two_groups_do_not_notice_each_other);
    tcase_add_loop_test(tc, nothing_of_a_deleted_topic_or_group_is_left, 0, 2);
    tcase_add_test(tc, a_stuck_message_costs_next_to_nothing);
    tcase_add_test(tc, many_in_flight_are_acknowledged_in_any_order);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(delivery_suite)
