/* test_broker.c - a message's way through the broker: sent, received, acknowledged. */
#include "harness.h"
#include "support/suite.h"

#include <stdio.h>

static struct harness h;

static void open_it(void)
{
    harness_open(&h, NULL);
    harness_topic(&h, "orders", 2);
    harness_group(&h, "billing");
}

static void close_it(void)
{
    harness_close(&h);
}

static const struct receive_how USUAL = {.topic = "orders", .group = "billing", .polling_ms = 300};

START_TEST(a_message_is_sent_received_and_acknowledged)
{
    int64_t offset = -1;
    ck_assert_int_eq(harness_send(&h, "orders", "ID1", "red", "hello", &offset), RMQ_CODE_OK);
    ck_assert_int_eq(offset, 0);
    struct received r;
    harness_receive(&h, &USUAL, &r);
    ck_assert_int_eq(r.code, RMQ_CODE_OK);
    ck_assert_int_eq(r.ended, RPC_OK);
    ck_assert(r.in_order && r.timestamp);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_str_eq(r.messages[0].id, "ID1");
    ck_assert_str_eq(r.messages[0].tag, "red");
    ck_assert_str_eq(r.messages[0].body, "hello");
    ck_assert_int_eq(r.messages[0].attempt, 1);
    char handle[256];
    snprintf(handle, sizeof handle, "%s", r.messages[0].handle);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", handle), RMQ_CODE_OK);
    harness_receive(&h, &USUAL, &r);
    ck_assert_int_eq(r.code, RMQ_CODE_MESSAGE_NOT_FOUND);
    ck_assert(r.in_order && r.timestamp);
    ck_assert_uint_eq(r.count, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("services.broker");
    TCase *c = tcase_create("way");
    tcase_set_timeout(c, 30);
    tcase_add_checked_fixture(c, open_it, close_it);
    tcase_add_test(c, a_message_is_sent_received_and_acknowledged);
    suite_add_tcase(suite, c);
    return suite;
}

SUITE_MAIN(make_suite)
