/* test_ack.c - handles that look right, but are not this broker's. */
#include <string.h>

#include "harness.h"
#include "message/receipt.h"
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

/* Another broker counts its leases alike: only the name in the handle tells whose it is. */
START_TEST(a_handle_of_another_broker_is_refused)
{
    struct received r;
    struct sk_receipt receipt;
    uint8_t room[SK_RECEIPT_TEXT_MAX];
    char text[SK_RECEIPT_TEXT_MAX + 1];
    harness_send(&h, "orders", "1", NULL, "b", NULL);
    harness_receive(&h, &(struct receive_how){.topic = "orders", .group = "billing"}, &r);
    ck_assert_uint_eq(r.count, 1);
    ck_assert(sk_receipt_decode(sk_slice_of_text(r.messages[0].handle), room, &receipt));
    receipt.broker = SK_SLICE("another");
    text[sk_receipt_encode(&receipt, text)] = '\0';
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", text), RMQ_CODE_INVALID_RECEIPT_HANDLE);
    ck_assert_int_eq(harness_change(&h, "orders", "billing", text, 60)->status->code,
                     RMQ_CODE_INVALID_RECEIPT_HANDLE);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", r.messages[0].handle), RMQ_CODE_OK);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("services.broker.ack");
    TCase *c = tcase_create("ack");
    tcase_add_checked_fixture(c, open_it, close_it);
    tcase_add_test(c, a_handle_of_another_broker_is_refused);
    suite_add_tcase(suite, c);
    return suite;
}

SUITE_MAIN(make_suite)
