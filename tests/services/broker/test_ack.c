/* test_ack.c - handles that look right, but are not this broker's. */
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "message/receipt.h"
#include "support/memory_vfs.h"
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

/* --- a lease that a power cut took away --------------------------------------------------------
 */

static const char *const lazy[] = {"flush=async", "flush_interval=60s", "segment_size=1MiB", NULL};

static void open_on(struct memory_vfs *disk)
{
    struct sk_status s = harness_try_open(&h, "/d/store", memory_vfs_door(disk), lazy);
    ck_assert_msg(sk_ok(s), "%s", sk_status_text(&s));
}

/* The lease that the handle names. */
static struct sk_receipt send_and_receive(const char *body, struct received *out)
{
    static uint8_t room[SK_RECEIPT_TEXT_MAX];
    struct sk_receipt receipt;
    struct receive_how how = {.topic = "orders", .group = "billing", .invisible_ms = 600000};
    ck_assert_int_eq(harness_send(&h, "orders", "id", NULL, body, NULL), RMQ_CODE_OK);
    harness_receive(&h, &how, out);
    ck_assert_uint_eq(out->count, 1);
    ck_assert(sk_receipt_decode(sk_slice_of_text(out->messages[0].handle), room, &receipt));
    return receipt;
}

/* Message and lease were not flushed and are gone; another message comes. True: its lease's record
 * stands where the old one's stood. */
static bool lose_and_ack(int padding)
{
    static struct received old, now;
    char body[128];
    struct memory_vfs *disk = memory_vfs_new();
    open_on(disk);
    harness_topic(&h, "orders", 1);
    harness_group(&h, "billing");
    harness_close(&h);
    open_on(disk);
    snprintf(body, sizeof body, "%*s", 1 + padding, "b");
    struct sk_receipt lost = send_and_receive(body, &old);
    struct memory_vfs *after = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_SYNCED, 0);
    harness_close(&h);
    open_on(after);
    struct sk_receipt given = send_and_receive("b", &now);
    ck_assert_uint_eq(given.offset, lost.offset);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", old.messages[0].handle),
                     RMQ_CODE_INVALID_RECEIPT_HANDLE);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", now.messages[0].handle), RMQ_CODE_OK);
    harness_close(&h);
    memory_vfs_free(after);
    memory_vfs_free(disk);
    ck_assert_uint_gt(given.epoch, lost.epoch);
    return given.position == lost.position;
}

/* The lost message was longer by as much as the record of the new epoch takes. */
START_TEST(an_old_handle_acknowledges_nothing_of_what_took_its_place)
{
    int alike = 0;
    for (int padding = 0; padding <= 96; padding += 8) alike += lose_and_ack(padding);
    ck_assert_int_eq(alike, 1);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("services.broker.ack");
    TCase *c = tcase_create("ack");
    tcase_add_checked_fixture(c, open_it, close_it);
    tcase_add_test(c, a_handle_of_another_broker_is_refused);
    suite_add_tcase(suite, c);
    TCase *cut = tcase_create("cut");
    tcase_set_timeout(cut, 60);
    tcase_add_test(cut, an_old_handle_acknowledges_nothing_of_what_took_its_place);
    suite_add_tcase(suite, cut);
    return suite;
}

SUITE_MAIN(make_suite)
