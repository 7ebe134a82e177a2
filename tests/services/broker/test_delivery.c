/* test_delivery.c - leases, long polls, handles, and clients that do not wait. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "support/suite.h"

static struct harness h;

static void open_it(void)
{
    static const char *const settings[] = {"min_invisible_duration=0ms", NULL};
    harness_open(&h, settings);
    harness_topic(&h, "orders", 1);
    harness_group(&h, "billing");
}

static void open_sync(void)
{
    static const char *const settings[] = {"min_invisible_duration=0ms", "flush=sync", NULL};
    harness_open(&h, settings);
    harness_topic(&h, "orders", 1);
    harness_group(&h, "billing");
}

static void close_it(void)
{
    harness_close(&h);
}

static struct receive_how how(int64_t invisible_ms, int64_t polling_ms)
{
    return (struct receive_how){.topic = "orders",
                                .group = "billing",
                                .invisible_ms = invisible_ms,
                                .polling_ms = polling_ms,
                                .timeout_ms = 20000};
}

static void send_one(const char *id)
{
    ck_assert_int_eq(harness_send(&h, "orders", id, NULL, "body", NULL), RMQ_CODE_OK);
}

/* Receive once, expecting exactly this message. */
static void expect(const struct receive_how *how_, const char *id, int attempt, struct received *r)
{
    harness_receive(&h, how_, r);
    ck_assert_int_eq(r->code, RMQ_CODE_OK);
    ck_assert(r->in_order && r->timestamp);
    ck_assert_uint_eq(r->count, 1);
    ck_assert_str_eq(r->messages[0].id, id);
    ck_assert_int_eq(r->messages[0].attempt, attempt);
}

static void expect_nothing(int64_t polling_ms)
{
    struct receive_how asked = how(30000, polling_ms);
    struct received r;
    harness_receive(&h, &asked, &r);
    ck_assert_int_eq(r.code, RMQ_CODE_MESSAGE_NOT_FOUND);
    ck_assert(r.in_order && r.timestamp);
    ck_assert_int_eq(r.ended, RPC_OK);
}

/* --- leases ---------------------------------------------------------------------------------- */

START_TEST(a_lease_that_ends_brings_the_message_back)
{
    struct received r;
    send_one("A");
    struct receive_how shortly = how(200, 100), patiently = how(30000, 15000);
    expect(&shortly, "A", 1, &r);
    expect_nothing(20);
    /* Parked until the lease ends: nothing else wakes it. */
    expect(&patiently, "A", 2, &r);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", r.messages[0].handle), RMQ_CODE_OK);
}
END_TEST

START_TEST(a_lease_survives_a_restart)
{
    struct received first, r;
    send_one("A");
    struct receive_how asked = how(60000, 100);
    expect(&asked, "A", 1, &first);
    harness_restart(&h);
    expect_nothing(20);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", first.messages[0].handle), RMQ_CODE_OK);
    harness_restart(&h);
    expect_nothing(20);
    send_one("B");
    expect(&asked, "B", 1, &r);
    ck_assert_int_eq(r.messages[0].offset, 1);
}
END_TEST

START_TEST(an_old_handle_is_refused)
{
    struct received r, again;
    send_one("A");
    struct receive_how shortly = how(100, 100), patiently = how(30000, 15000);
    expect(&shortly, "A", 1, &r);
    expect(&patiently, "A", 2, &again);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", r.messages[0].handle),
                     RMQ_CODE_INVALID_RECEIPT_HANDLE);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", again.messages[0].handle), RMQ_CODE_OK);
    rmq_code twice = harness_ack(&h, "orders", "billing", again.messages[0].handle);
    ck_assert(twice == RMQ_CODE_OK || twice == RMQ_CODE_INVALID_RECEIPT_HANDLE);
    expect_nothing(20);
}
END_TEST

START_TEST(a_changed_lease_has_a_new_handle)
{
    struct received r;
    send_one("A");
    struct receive_how asked = how(30000, 100);
    expect(&asked, "A", 1, &r);
    const char *old = r.messages[0].handle;
    const rmq_change_invisible_duration_response *changed =
        harness_change(&h, "orders", "billing", old, 40);
    ck_assert_int_eq(changed->status->code, RMQ_CODE_OK);
    ck_assert_str_ne(changed->receipt_handle, old);
    const char *handle = changed->receipt_handle;

    /* GrpcBaseIT: [old, new] is one INVALID_RECEIPT_HANDLE and one OK. */
    struct rpc_options options = harness_options("tester");
    rmq_resource topic = RMQ_RESOURCE_INIT, group = RMQ_RESOURCE_INIT;
    topic.name = (char *)(uintptr_t) "orders";
    group.name = (char *)(uintptr_t) "billing";
    rmq_ack_message_entry one = RMQ_ACK_MESSAGE_ENTRY_INIT, two = RMQ_ACK_MESSAGE_ENTRY_INIT,
                          *entries[] = {&one, &two};
    one.receipt_handle = (char *)(uintptr_t)old;
    one.message_id = (char *)(uintptr_t) "A";
    two.receipt_handle = (char *)(uintptr_t)handle;
    rmq_ack_message_request request = RMQ_ACK_MESSAGE_REQUEST_INIT;
    request.topic = &topic;
    request.group = &group;
    request.entries = entries;
    request.n_entries = 2;
    const rmq_ack_message_response *response;
    ck_assert(sk_ok(
        rmq_messaging_service_ack_message_wait(h.channel, &options, &request, h.arena, &response)));
    ck_assert_int_eq(response->status->code, RMQ_CODE_MULTIPLE_RESULTS);
    ck_assert_uint_eq(response->n_entries, 2);
    ck_assert_str_eq(response->entries[0]->message_id, "A");
    ck_assert_int_eq(response->entries[0]->status->code, RMQ_CODE_INVALID_RECEIPT_HANDLE);
    ck_assert_int_eq(response->entries[1]->status->code, RMQ_CODE_OK);
    expect_nothing(20);
}
END_TEST

START_TEST(a_lease_changed_to_nothing_wakes_a_poll)
{
    struct received r, woken;
    send_one("A");
    struct receive_how asked = how(60000, 100), patiently = how(60000, 15000);
    expect(&asked, "A", 1, &r);
    harness_pending *pending = harness_receive_begin(&h, &patiently, &woken);
    harness_wait_for_polls(&h, 1);
    ck_assert_int_eq(harness_change(&h, "orders", "billing", r.messages[0].handle, 0)->status->code,
                     RMQ_CODE_OK);
    harness_receive_end(pending);
    ck_assert_int_eq(woken.code, RMQ_CODE_OK);
    ck_assert_int_eq(woken.messages[0].attempt, 2);
    const rmq_change_invisible_duration_response *late =
        harness_change(&h, "orders", "billing", r.messages[0].handle, 5);
    ck_assert_int_eq(late->status->code, RMQ_CODE_INVALID_RECEIPT_HANDLE);
    ck_assert_str_eq(late->receipt_handle, r.messages[0].handle);
}
END_TEST

/* --- long polls ------------------------------------------------------------------------------ */

START_TEST(a_poll_is_woken_by_a_send)
{
    struct received woken;
    struct receive_how patiently = how(30000, 15000);
    harness_pending *pending = harness_receive_begin(&h, &patiently, &woken);
    harness_wait_for_polls(&h, 1);
    send_one("A");
    harness_receive_end(pending);
    ck_assert_int_eq(woken.code, RMQ_CODE_OK);
    ck_assert_str_eq(woken.messages[0].id, "A");
    harness_wait_for_polls(&h, 0);
}
END_TEST

START_TEST(polls_are_woken_in_their_order)
{
    enum { POLLS = 5 };
    struct received woken[POLLS];
    harness_pending *pending[POLLS];
    struct receive_how patiently = how(30000, 15000);
    for (uint64_t i = 0; i < POLLS; i++) {
        pending[i] = harness_receive_begin(&h, &patiently, &woken[i]);
        harness_wait_for_polls(&h, i + 1);
    }
    for (int i = 0; i < POLLS; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        send_one(id);
        harness_receive_end(pending[i]); /* would wait for ever if another one had been woken */
        ck_assert_str_eq(woken[i].messages[0].id, id);
    }
}
END_TEST

START_TEST(a_poll_ends_before_the_clients_deadline)
{
    struct received r;
    struct receive_how asked = how(30000, 10000);
    asked.timeout_ms = 600; /* the Rust client's deadline is not longer than its polling time */
    harness_receive(&h, &asked, &r);
    ck_assert_int_eq(r.code, RMQ_CODE_MESSAGE_NOT_FOUND);
    ck_assert_int_eq(r.ended, RPC_OK);
}
END_TEST

START_TEST(a_filter_passes_over_what_it_does_not_want)
{
    struct received r;
    struct receive_how red = how(30000, 100), woken_how = how(30000, 15000);
    red.filter = "red || blue";
    woken_how.filter = "red";
    harness_send(&h, "orders", "1", "green", "b", NULL);
    harness_send(&h, "orders", "2", "red", "b", NULL);
    harness_send(&h, "orders", "3", NULL, "b", NULL);
    expect(&red, "2", 1, &r);
    ck_assert_str_eq(r.messages[0].tag, "red");
    expect_nothing(20); /* what was passed over counts as consumed */

    harness_pending *pending = harness_receive_begin(&h, &woken_how, &r);
    harness_wait_for_polls(&h, 1);
    harness_send(&h, "orders", "4", "green", "b", NULL);
    harness_send(&h, "orders", "5", "red", "b", NULL);
    harness_receive_end(pending);
    ck_assert_int_eq(r.code, RMQ_CODE_OK);
    ck_assert_str_eq(r.messages[0].id, "5");
}
END_TEST

START_TEST(too_many_polls_are_refused)
{
    harness_close(&h);
    static const char *const settings[] = {"max_polls_per_group=2", NULL};
    harness_open(&h, settings);
    harness_topic(&h, "orders", 1);
    harness_group(&h, "billing");
    struct received r[3];
    struct receive_how patiently = how(30000, 15000);
    harness_pending *one = harness_receive_begin(&h, &patiently, &r[0]);
    harness_pending *two = harness_receive_begin(&h, &patiently, &r[1]);
    harness_wait_for_polls(&h, 2);
    harness_receive(&h, &patiently, &r[2]);
    ck_assert_int_eq(r[2].code, RMQ_CODE_TOO_MANY_REQUESTS);
    ck_assert(r[2].timestamp);
    send_one("A");
    harness_receive_end(one);
    send_one("B");
    harness_receive_end(two);
}
END_TEST

START_TEST(a_stopping_broker_answers_its_polls)
{
    struct received r;
    struct receive_how patiently = how(30000, 15000);
    harness_pending *pending = harness_receive_begin(&h, &patiently, &r);
    harness_wait_for_polls(&h, 1);
    sk_broker_stop(h.broker);
    harness_receive_end(pending);
    ck_assert_int_eq(r.code, RMQ_CODE_MESSAGE_NOT_FOUND);
    ck_assert_int_eq(r.ended, RPC_OK);
}
END_TEST

/* --- impatient clients ----------------------------------------------------------------------- */

START_TEST(cancelled_polls_lose_nothing)
{
    enum { ROUNDS = 20, POLLS = 50 };
    static struct received r[POLLS];
    struct receive_how patiently = how(60000, 15000);
    for (int round = 0; round < ROUNDS; round++) {
        harness_pending *pending[POLLS];
        for (int i = 0; i < POLLS; i++) pending[i] = harness_receive_begin(&h, &patiently, &r[i]);
        if (round % 2) harness_wait_for_polls(&h, POLLS);
        for (int i = 0; i < POLLS; i++) harness_receive_cancel(pending[i]);
        for (int i = 0; i < POLLS; i++) harness_receive_end(pending[i]);
        harness_wait_for_polls(&h, 0);
    }
    /* Nobody took a lease: the message is there at once, for the first time. */
    send_one("A");
    struct receive_how asked = how(60000, 15000);
    expect(&asked, "A", 1, &r[0]);
}
END_TEST

/* Messages are sent while polls are cancelled. A client that got a message and was cancelled keeps
 * it for no longer than its lease; what never reached a client comes back at once. */
START_TEST(cancelling_while_messages_come_loses_nothing)
{
    enum { MESSAGES = 200, POLLS = 5 };
    static bool seen[MESSAGES];
    memset(seen, 0, sizeof seen);
    static struct received r[POLLS];
    struct receive_how patiently = how(1000, 15000);
    for (int i = 0; i < MESSAGES; i++) {
        harness_pending *pending[POLLS];
        for (int p = 0; p < POLLS; p++) pending[p] = harness_receive_begin(&h, &patiently, &r[p]);
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        send_one(id);
        for (int p = 0; p < POLLS; p++) harness_receive_cancel(pending[p]);
        for (int p = 0; p < POLLS; p++) harness_receive_end(pending[p]);
    }
    /* All of them come to a patient client; acknowledged, none comes again. */
    int left = MESSAGES;
    struct receive_how calmly = how(30000, 3000);
    while (left > 0) {
        harness_receive(&h, &calmly, &r[0]);
        ck_assert_int_eq(r[0].code, RMQ_CODE_OK);
        for (size_t i = 0; i < r[0].count; i++) {
            int id = atoi(r[0].messages[i].id);
            ck_assert(!seen[id]);
            seen[id] = true;
            left--;
            ck_assert_int_eq(harness_ack(&h, "orders", "billing", r[0].messages[i].handle),
                             RMQ_CODE_OK);
        }
    }
    expect_nothing(1500);
}
END_TEST

/* A stream that is reset while large messages are on their way: what was not written comes back at
 * once and uncounted, the rest when its lease ends. */
START_TEST(streams_reset_in_mid_delivery_lose_nothing)
{
    enum { MESSAGES = 12, BODY = 1 << 20, ROUNDS = 5 };
    char *body = malloc(BODY + 1);
    memset(body, 'x', BODY);
    body[BODY] = '\0';
    for (int i = 0; i < MESSAGES; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        ck_assert_int_eq(harness_send(&h, "orders", id, NULL, body, NULL), RMQ_CODE_OK);
    }
    free(body);
    static struct received r;
    for (int round = 0; round < ROUNDS; round++) {
        struct receive_how impatiently = how(300, 5000);
        impatiently.cancel_after = 1 + (size_t)round % 3;
        harness_receive(&h, &impatiently, &r);
        ck_assert_uint_ge(r.count, impatiently.cancel_after);
    }
    bool seen[MESSAGES] = {false};
    struct receive_how calmly = how(30000, 3000);
    for (int left = MESSAGES; left > 0;) {
        harness_receive(&h, &calmly, &r);
        ck_assert_int_eq(r.code, RMQ_CODE_OK);
        for (size_t i = 0; i < r.count; i++, left--) {
            int id = atoi(r.messages[i].id);
            ck_assert(!seen[id]);
            seen[id] = true;
            ck_assert_int_le(r.messages[i].attempt, ROUNDS + 1);
        }
    }
}
END_TEST

START_TEST(connections_that_are_cut_lose_nothing)
{
    enum { ROUNDS = 20 };
    struct received r;
    struct receive_how patiently = how(500, 15000);
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", h.port);
    rpc_client *good_client = h.client;
    rpc_channel *good = h.channel;
    for (int round = 0; round < ROUNDS; round++) {
        rpc_client *client;
        rpc_channel *channel;
        struct rpc_channel_options plain = {0};
        ck_assert(sk_ok(rpc_client_new(&client)));
        ck_assert(sk_ok(rpc_channel_open(client, address, &plain, &channel)));
        h.channel = channel;
        harness_pending *pending = harness_receive_begin(&h, &patiently, &r);
        h.channel = good;
        h.client = good_client;
        if (round < ROUNDS / 2) harness_wait_for_polls(&h, 1); /* nothing is there yet */
        if (round >= ROUNDS / 2) send_one("late");
        rpc_channel_close(channel);
        rpc_client_free(client); /* cancels, and takes the connection down */
        harness_receive_end(pending);
        harness_wait_for_polls(&h, 0);
    }
    send_one("last");
    struct receive_how calmly = how(30000, 3000);
    int last = 0, late = 0;
    while (!last || late < ROUNDS / 2) {
        harness_receive(&h, &calmly, &r);
        ck_assert_int_eq(r.code, RMQ_CODE_OK);
        for (size_t i = 0; i < r.count; i++) {
            last += strcmp(r.messages[i].id, "last") == 0;
            late += strcmp(r.messages[i].id, "late") == 0;
        }
    }
    ck_assert_int_eq(last, 1);
    ck_assert_int_eq(late, ROUNDS / 2);
}
END_TEST

/* --- push consumers -------------------------------------------------------------------------- */

static void open_renewing(void)
{
    static const char *const settings[] = {"auto_renew_duration=1s", "auto_renew_interval=50ms",
                                           "min_invisible_duration=0ms", NULL};
    harness_open(&h, settings);
    harness_topic(&h, "orders", 1);
    harness_group(&h, "billing");
}

START_TEST(the_lease_of_a_living_client_is_renewed)
{
    struct received r;
    send_one("A");
    struct receive_how push = how(0, 100), other = how(30000, 2500);
    push.auto_renew = true;
    push.client_id = "pusher";
    expect(&push, "A", 1, &r);
    struct received nothing;
    harness_receive(&h, &other, &nothing); /* longer than the lease */
    ck_assert_int_eq(nothing.code, RMQ_CODE_MESSAGE_NOT_FOUND);

    /* It says goodbye: the message is another's within a second or two. */
    struct rpc_options options = harness_options("pusher");
    rmq_notify_client_termination_request goodbye = RMQ_NOTIFY_CLIENT_TERMINATION_REQUEST_INIT;
    const rmq_notify_client_termination_response *response;
    ck_assert(sk_ok(rmq_messaging_service_notify_client_termination_wait(
        h.channel, &options, &goodbye, h.arena, &response)));
    ck_assert_int_eq(response->status->code, RMQ_CODE_OK);
    struct receive_how patiently = how(30000, 15000);
    expect(&patiently, "A", 2, &r);
}
END_TEST

START_TEST(the_first_handle_of_a_renewed_lease_acknowledges)
{
    struct received r, nothing;
    send_one("A");
    struct receive_how push = how(0, 100), other = how(30000, 1500);
    push.auto_renew = true;
    expect(&push, "A", 1, &r);
    harness_receive(&h, &other, &nothing);
    ck_assert_int_eq(nothing.code, RMQ_CODE_MESSAGE_NOT_FOUND);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", r.messages[0].handle), RMQ_CODE_OK);
}
END_TEST

/* A broker that died in mid-delivery kept the lease; the consumer, alive and asking, never got the
 * message. */
START_TEST(a_lease_from_before_a_restart_is_not_renewed_for_ever)
{
    struct received r;
    send_one("A");
    struct receive_how push = how(0, 15000);
    push.auto_renew = true;
    push.client_id = "pusher";
    expect(&push, "A", 1, &r);
    harness_restart(&h);
    expect(&push, "A", 2, &r);
}
END_TEST

static void add_all(TCase *c)
{
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_lease_that_ends_brings_the_message_back);
    tcase_add_test(c, a_lease_survives_a_restart);
    tcase_add_test(c, an_old_handle_is_refused);
    tcase_add_test(c, a_changed_lease_has_a_new_handle);
    tcase_add_test(c, a_lease_changed_to_nothing_wakes_a_poll);
    tcase_add_test(c, a_poll_is_woken_by_a_send);
    tcase_add_test(c, polls_are_woken_in_their_order);
    tcase_add_test(c, a_poll_ends_before_the_clients_deadline);
    tcase_add_test(c, a_filter_passes_over_what_it_does_not_want);
    tcase_add_test(c, a_stopping_broker_answers_its_polls);
    tcase_add_test(c, cancelled_polls_lose_nothing);
    tcase_add_test(c, cancelling_while_messages_come_loses_nothing);
    tcase_add_test(c, streams_reset_in_mid_delivery_lose_nothing);
    tcase_add_test(c, connections_that_are_cut_lose_nothing);
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("services.broker.delivery");
    TCase *c = tcase_create("async");
    tcase_add_checked_fixture(c, open_it, close_it);
    add_all(c);
    tcase_add_test(c, too_many_polls_are_refused);
    suite_add_tcase(suite, c);
    TCase *s = tcase_create("sync");
    tcase_add_checked_fixture(s, open_sync, close_it);
    add_all(s);
    suite_add_tcase(suite, s);
    TCase *r = tcase_create("renewing");
    tcase_set_timeout(r, 60);
    tcase_add_checked_fixture(r, open_renewing, close_it);
    tcase_add_test(r, the_lease_of_a_living_client_is_renewed);
    tcase_add_test(r, the_first_handle_of_a_renewed_lease_acknowledges);
    tcase_add_test(r, a_lease_from_before_a_restart_is_not_renewed_for_ever);
    suite_add_tcase(suite, r);
    return suite;
}

SUITE_MAIN(make_suite)
