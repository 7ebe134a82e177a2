/* test_receive.c - what a receive takes, and what it gives back. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "support/suite.h"

static struct harness h;

static void open_it(void)
{
    harness_open(&h, NULL);
    harness_topic(&h, "orders", 1);
    harness_group(&h, "billing");
}

static void close_it(void)
{
    harness_close(&h);
}

/* Two tags that have the same hash: the index cannot tell them apart, the delivery must. What is
 * passed over counts as consumed. */
START_TEST(a_tag_that_only_hashes_alike_is_passed_over)
{
    struct received r;
    struct receive_how how = {.topic = "orders", .group = "billing", .filter = "ccaoacux"};
    harness_send(&h, "orders", "1", "wcjifoae", "b", NULL);
    harness_receive(&h, &how, &r);
    ck_assert_int_eq(r.code, RMQ_CODE_MESSAGE_NOT_FOUND);
    harness_send(&h, "orders", "2", "wcjifoae", "b", NULL);
    harness_send(&h, "orders", "3", "ccaoacux", "b", NULL);
    harness_receive(&h, &how, &r);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_str_eq(r.messages[0].id, "3");
    how.filter = "*";
    harness_receive(&h, &how, &r);
    ck_assert_int_eq(r.code, RMQ_CODE_MESSAGE_NOT_FOUND);
}
END_TEST

/* A stream that broke before all was written gives its leases back: at once, and uncounted. */
START_TEST(a_broken_stream_gives_back_at_once)
{
    enum { MESSAGES = 16, BODY = 1 << 20 };
    char *body = malloc(BODY + 1);
    memset(body, 'x', BODY);
    body[BODY] = '\0';
    for (int i = 0; i < MESSAGES; i++)
        ck_assert_int_eq(harness_send(&h, "orders", "id", NULL, body, NULL), RMQ_CODE_OK);
    free(body);
    static struct received r;
    struct receive_how impatient = {
        .topic = "orders", .group = "billing", .cancel_after = 1, .timeout_ms = 20000};
    struct receive_how calm = {.topic = "orders",
                               .group = "billing",
                               .invisible_ms = 600000,
                               .polling_ms = 10000,
                               .timeout_ms = 20000};
    impatient.invisible_ms = 600000;
    harness_receive(&h, &impatient, &r);
    for (size_t left = MESSAGES; left > 0; left -= r.count) {
        harness_receive(&h, &calm, &r);
        ck_assert_int_eq(r.code, RMQ_CODE_OK);
        for (size_t i = 0; i < r.count; i++) ck_assert_int_eq(r.messages[i].attempt, 1);
    }
}
END_TEST

/* --- a long way past what a filter does not want --------------------------------------------- */

/* So many that the walk goes on on another thread several times. */
enum { BACKLOG = 45000 };

START_TEST(a_receive_walks_past_a_long_backlog)
{
    static struct received r;
    struct receive_how how = {.topic = "orders",
                              .group = "billing",
                              .filter = "rare",
                              .polling_ms = 20000,
                              .timeout_ms = 25000};
    harness_send_many(&h, "orders", "dull", BACKLOG);
    harness_pending *pending = harness_receive_begin(&h, &how, &r);
    harness_wait_for_polls(&h, 1); /* it has come to the end, and waits there */
    ck_assert_int_eq(harness_send(&h, "orders", "1", "rare", "b", NULL), RMQ_CODE_OK);
    harness_receive_end(pending);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_str_eq(r.messages[0].tag, "rare");
    ck_assert_int_eq(r.messages[0].offset, BACKLOG);
}
END_TEST

START_TEST(a_receive_that_is_called_off_on_its_way_ends)
{
    static struct received r;
    struct receive_how how = {.topic = "orders",
                              .group = "billing",
                              .filter = "rare",
                              .polling_ms = 20000,
                              .timeout_ms = 25000};
    harness_send_many(&h, "orders", "dull", BACKLOG);
    harness_pending *pending = harness_receive_begin(&h, &how, &r);
    harness_receive_cancel(pending);
    harness_receive_end(pending);
    ck_assert_int_eq(r.ended, RPC_CANCELLED);
    harness_wait_for_polls(&h, 0);
    how.filter = "dull";
    harness_receive(&h, &how,
                    &r); /* what it had passed over by then is consumed; the rest is there */
    ck_assert_int_le(r.code, RMQ_CODE_MESSAGE_NOT_FOUND);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("services.broker.receive");
    TCase *c = tcase_create("receive");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, open_it, close_it);
    tcase_add_test(c, a_tag_that_only_hashes_alike_is_passed_over);
    tcase_add_test(c, a_broken_stream_gives_back_at_once);
    tcase_add_test(c, a_receive_walks_past_a_long_backlog);
    tcase_add_test(c, a_receive_that_is_called_off_on_its_way_ends);
    suite_add_tcase(suite, c);
    return suite;
}

SUITE_MAIN(make_suite)
