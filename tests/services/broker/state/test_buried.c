/* What a record takes away goes at once for whoever asks, and step by step for whoever pays. */
#include <stdlib.h>

#include "support/suite.h"
#include "world.h"

enum { WIDE = 300, EACH = 70, LEAST_STEPS = 5 };

static struct world w;
static uint32_t wide, group, gone[WIDE];
static size_t gone_count;

static void on_queues_gone(void *owner, const uint32_t *queues, size_t count)
{
    (void)owner;
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_lt(gone_count, WIDE);
        gone[gone_count++] = queues[i];
    }
}

/* 300 queues, a block or two of leases in each. */
static void setup(void)
{
    static struct sk_lease leases[SK_CHOOSE_MAX];
    static struct sk_chosen chosen[SK_CHOOSE_MAX];
    world_init(&w);
    world_topic(&w, "other", 2);
    wide = world_topic(&w, "wide", WIDE);
    group = world_group(&w, "readers");
    for (uint32_t q = 0; q < WIDE; q++) world_send(&w, wide, q, EACH, 0);
    size_t want = (size_t)WIDE * EACH;
    struct world_receive how = {.group = group, .topic = wide, .count = SK_CHOOSE_MAX};
    for (size_t got; want > 0; want -= got) {
        got = world_receive(&w, &how, leases, chosen);
        ck_assert_uint_gt(got, 0);
    }
    gone_count = 0;
    sk_state_watch(w.state, &(struct sk_state_watcher){.queues_gone = on_queues_gone});
}

static void teardown(void)
{
    world_done(&w);
}

static void take_away(int what)
{
    if (what == 0) world_delete_topic(&w, "wide");
    if (what == 1) world_delete_group(&w, "readers");
    for (uint32_t q = 0; what == 2 && q < WIDE; q++) world_seek(&w, group, wide, q, 1);
}

static int sweep_all(void)
{
    int steps = 0;
    for (bool more = true; more; steps++) more = sk_state_sweep(w.state);
    return steps;
}

/* A state that came about otherwise is not different, whatever is still to be taken apart. */
static void must_equal_replay(void)
{
    sk_state *replayed = world_replay(&w), *reloaded = world_reload(&w);
    ck_assert_uint_eq(sk_state_hash(w.state), sk_state_hash(replayed));
    ck_assert_uint_eq(sk_state_hash(w.state), sk_state_hash(reloaded));
    sk_state_free(replayed);
    sk_state_free(reloaded);
}

/* A million leases were freed in one hold of the lock: 5 ms. */
START_TEST(it_is_out_of_sight_at_once_and_goes_in_steps)
{
    take_away(_i);
    struct sk_cursor none = world_cursor(&w, group, wide, 5);
    if (_i < 2) ck_assert_uint_eq(none.next, UINT64_MAX);
    ck_assert_uint_eq(none.inflight, _i < 2 ? UINT64_MAX : 0);
    must_equal_replay();
    uint64_t hash = sk_state_hash(w.state);
    if (_i < 2) ck_assert_int_gt(sweep_all(), LEAST_STEPS);
    ck_assert(!sk_state_sweep(w.state));
    ck_assert_uint_eq(sk_state_hash(w.state), hash);
    must_equal_replay();
}
END_TEST

START_TEST(a_deleted_topics_queues_have_no_topic_and_are_told_once_each)
{
    const struct sk_topic *topic = sk_state_topic_by_id(w.state, wide);
    uint32_t queues[WIDE], unused;
    memcpy(queues, topic->queues, sizeof queues);
    take_away(0);
    ck_assert_uint_lt(gone_count, WIDE);
    for (int q = 0; q < WIDE; q++) {
        ck_assert_ptr_null(sk_state_topic_of_queue(w.state, queues[q], &unused));
        ck_assert_uint_eq(sk_state_next_offset(w.state, queues[q]), 0);
    }
    sweep_all();
    ck_assert_uint_eq(gone_count, WIDE);
    uint64_t sum = 0;
    for (int q = 0; q < WIDE; q++) sum += gone[q] - queues[0];
    ck_assert_uint_eq(sum, (uint64_t)WIDE * (WIDE - 1) / 2);
}
END_TEST

/* Records that are applied take a step each: nobody has to sweep. */
START_TEST(what_comes_after_takes_it_apart)
{
    take_away(0);
    for (int i = 0; i < 3 * WIDE * EACH / 32 && sk_state_topic_count(w.state) == 1; i++)
        world_topic(&w, "other", 2);
    ck_assert_uint_eq(gone_count, WIDE);
    ck_assert(!sk_state_sweep(w.state));
}
END_TEST

/* --- beside a snapshot ----------------------------------------------------------------------- */

/* Pages of 4,000 bytes; `what` is taken away before page `at`, and `steps` are swept before each.
 */
static bool save_with(int at, int what, int steps)
{
    struct sk_buffer b = {0};
    uint64_t hash = sk_state_hash(w.state);
    int page = 0;
    sk_state_save_begin(w.state);
    do {
        if (page++ == at) take_away(what);
        for (int i = 0; i < steps; i++) sk_state_sweep(w.state);
    } while (sk_state_save_page(w.state, &b, 4000));
    sk_state_save_end(w.state);
    sk_state *loaded = sk_state_new();
    struct sk_status s = sk_state_load(loaded, sk_buffer_slice(&b));
    ck_assert_msg(sk_ok(s), "page %d: %s", at, sk_status_text(&s));
    ck_assert_msg(sk_state_hash(loaded) == hash, "page %d: another state", at);
    sk_state_free(loaded);
    sk_buffer_done(&b);
    return page > at;
}

START_TEST(a_snapshot_that_began_before_has_all_of_it)
{
    bool more = true;
    for (int at = 0; more; at += 1 + at / 6) {
        teardown();
        setup();
        more = save_with(at, _i / 2, _i % 2);
    }
}
END_TEST

START_TEST(a_snapshot_that_begins_after_has_none_of_it)
{
    take_away(_i / 2);
    save_with(1 << 30, 3, _i % 2);
    must_equal_replay();
}
END_TEST

/* Begun, given up half-way, begun again: what went in between belongs to the first only. */
START_TEST(a_snapshot_that_was_given_up_has_no_claim)
{
    struct sk_buffer b = {0};
    sk_state_save_begin(w.state);
    ck_assert(sk_state_save_page(w.state, &b, 500));
    take_away(_i);
    sk_state_save_end(w.state);
    sk_buffer_done(&b);
    save_with(1 << 30, 3, 0);
}
END_TEST

static Suite *buried_suite(void)
{
    Suite *suite = suite_create("broker/state/buried");
    TCase *tc = tcase_create("buried");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, it_is_out_of_sight_at_once_and_goes_in_steps, 0, 3);
    tcase_add_test(tc, a_deleted_topics_queues_have_no_topic_and_are_told_once_each);
    tcase_add_test(tc, what_comes_after_takes_it_apart);
    tcase_add_loop_test(tc, a_snapshot_that_began_before_has_all_of_it, 0, 6);
    tcase_add_loop_test(tc, a_snapshot_that_begins_after_has_none_of_it, 0, 6);
    tcase_add_loop_test(tc, a_snapshot_that_was_given_up_has_no_claim, 0, 3);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(buried_suite)
