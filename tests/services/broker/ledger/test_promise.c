/* test_promise.c - committed is the minimum of the cursors that count: driven by cursors of our
 * own. */
#include "ledger/promise.h"
#include "support/suite.h"

static sk_promise *promise;
static sk_gate *disk, *replica;
static unsigned moves;
static uint64_t asked[2];

static void moved(void *arg)
{
    (void)arg;
    moves++;
}

static void ask(void *arg, uint64_t position)
{
    *(uint64_t *)arg = position;
}

static void open_two(void)
{
    moves = 0;
    asked[0] = asked[1] = 0;
    disk = sk_gate_new(100);
    replica = sk_gate_new(100);
    sk_gate_on_wait(disk, ask, &asked[0]);
    sk_gate_on_wait(replica, ask, &asked[1]);
    promise = sk_promise_new(100);
    sk_promise_on_move(promise, moved, NULL);
    ck_assert(sk_ok(sk_promise_count(promise, disk)));
    ck_assert(sk_ok(sk_promise_count(promise, replica)));
}

static void close_two(void)
{
    sk_promise_close(promise, sk_error(SK_CLOSED, "over"));
    sk_promise_free(promise);
    sk_gate_free(disk);
    sk_gate_free(replica);
}

static void note(void *arg, struct sk_status status)
{
    *(enum sk_code *)arg = status.code;
}

enum { STILL_WAITS = 99 };

static struct sk_gate_waiter waiter_for(uint64_t position, enum sk_code *outcome)
{
    *outcome = (enum sk_code)STILL_WAITS;
    return (struct sk_gate_waiter){.position = position, .fn = note, .arg = outcome};
}

START_TEST(nothing_is_promised_before_the_slowest_has_it)
{
    enum sk_code outcome;
    struct sk_gate_waiter w = waiter_for(200, &outcome);
    sk_promise_wait(promise, &w);
    sk_gate_advance(disk, 300);
    ck_assert_uint_eq(sk_promise_position(promise), 100);
    ck_assert_uint_eq(moves, 0);
    sk_gate_advance(replica, 150);
    ck_assert_uint_eq(sk_promise_position(promise), 150);
    ck_assert_int_eq(outcome, STILL_WAITS);
    sk_gate_advance(replica, 250);
    ck_assert_int_eq(outcome, SK_OK);
    ck_assert_uint_eq(sk_promise_position(promise), 250);
    ck_assert_uint_eq(moves, 2);
    sk_gate_advance(replica, 900); /* now the other one is the slowest */
    ck_assert_uint_eq(sk_promise_position(promise), 300);
    sk_gate_advance(disk, 400);
    ck_assert_uint_eq(sk_promise_position(promise), 400);
}
END_TEST

START_TEST(a_wait_asks_those_who_are_behind_and_no_others)
{
    enum sk_code outcome;
    struct sk_gate_waiter w = waiter_for(200, &outcome);
    sk_gate_advance(disk, 400);
    sk_promise_wait(promise, &w);
    ck_assert_uint_eq(asked[0], 0);
    ck_assert_uint_eq(asked[1], 200);
    ck_assert(sk_promise_leave(promise, &w));
    ck_assert(!sk_promise_leave(promise, &w));
    sk_gate_advance(replica, 400);
    ck_assert_int_eq(outcome, STILL_WAITS);
}
END_TEST

START_TEST(one_that_stops_holds_all_until_it_counts_no_more)
{
    enum sk_code outcome;
    struct sk_gate_waiter w = waiter_for(300, &outcome);
    sk_promise_wait(promise, &w);
    for (uint64_t at = 100; at < 500; at += 10) sk_gate_advance(disk, at);
    ck_assert_uint_eq(sk_promise_position(promise), 100);
    ck_assert(sk_promise_discount(promise, replica));
    ck_assert_uint_eq(sk_promise_position(promise), 490);
    ck_assert_int_eq(outcome, SK_OK);
    sk_gate_advance(replica, 495); /* nobody listens to it any more */
    ck_assert_uint_eq(sk_promise_position(promise), 490);
    ck_assert(!sk_promise_discount(promise, replica));
    ck_assert(!sk_promise_discount(promise, disk)); /* with nobody left all would be promised */
    sk_gate_advance(disk, 500);
    ck_assert_uint_eq(sk_promise_position(promise), 500);
}
END_TEST

START_TEST(one_that_begins_behind_takes_nothing_back)
{
    sk_gate_advance(disk, 500);
    sk_gate_advance(replica, 500);
    sk_gate *late = sk_gate_new(50);
    ck_assert(sk_ok(sk_promise_count(promise, late)));
    ck_assert_uint_eq(sk_promise_position(promise), 500);
    sk_gate_advance(disk, 900);
    sk_gate_advance(replica, 900);
    ck_assert_uint_eq(sk_promise_position(promise), 500);
    sk_gate_advance(late, 600);
    ck_assert_uint_eq(sk_promise_position(promise), 600);
    ck_assert(sk_promise_discount(promise, late));
    ck_assert_uint_eq(sk_promise_position(promise), 900);
    sk_gate_free(late);
}
END_TEST

START_TEST(a_disk_that_fails_fails_the_promise_with_its_reason)
{
    enum sk_code outcome, later;
    struct sk_gate_waiter w = waiter_for(200, &outcome), after = waiter_for(300, &later);
    sk_promise_wait(promise, &w);
    sk_gate_close(disk, sk_error(SK_IO, "gone"));
    ck_assert_int_eq(outcome, SK_IO);
    sk_promise_wait(promise, &after);
    ck_assert_int_eq(later, SK_IO);
}
END_TEST

START_TEST(there_is_room_for_a_broker_set)
{
    sk_gate *more[SK_PROMISE_CURSORS];
    size_t n = 0;
    for (; n < SK_PROMISE_CURSORS; n++) {
        more[n] = sk_gate_new(100);
        if (!sk_ok(sk_promise_count(promise, more[n]))) break;
    }
    ck_assert_uint_eq(n, SK_PROMISE_CURSORS - 2);
    for (size_t i = 0; i < n; i++) ck_assert(sk_promise_discount(promise, more[i]));
    for (size_t i = 0; i <= n; i++) sk_gate_free(more[i]);
}
END_TEST

static Suite *promise_suite(void)
{
    Suite *suite = suite_create("services/broker/ledger/promise");
    TCase *tc = tcase_create("promise");
    tcase_add_checked_fixture(tc, open_two, close_two);
    tcase_add_test(tc, nothing_is_promised_before_the_slowest_has_it);
    tcase_add_test(tc, a_wait_asks_those_who_are_behind_and_no_others);
    tcase_add_test(tc, one_that_stops_holds_all_until_it_counts_no_more);
    tcase_add_test(tc, one_that_begins_behind_takes_nothing_back);
    tcase_add_test(tc, a_disk_that_fails_fails_the_promise_with_its_reason);
    tcase_add_test(tc, there_is_room_for_a_broker_set);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(promise_suite)
