/* libskua against scripted name servers and brokers. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apache/rocketmq/v2/definition.alias.h"
#include "rpc/service.h"
#include "skua/client.h"
#include "support/fake_peer.h"
#include "support/suite.h"

/* Two name servers, two brokers, a client of them. */
static fake_peer *ns[2], *broker[2];
static skua_client *client;

static void both_brokers(fake_peer *server)
{
    const struct fake_queue queues[] = {{"broker-a", broker[0], 0},
                                        {"broker-a", broker[0], 1},
                                        {"broker-b", broker[1], 0},
                                        {"broker-b", broker[1], 1}};
    fake_peer_route(server, queues, 4);
}

static void one_broker(fake_peer *server)
{
    fake_peer_route(server, (struct fake_queue[]){{"broker-a", broker[0], 0}}, 1);
}

static void connect_client(uint32_t refresh_ms)
{
    char servers[160];
    skua_options *options = skua_options_new();
    snprintf(servers, sizeof servers, "%s,%s", fake_peer_address(ns[0]), fake_peer_address(ns[1]));
    skua_options_name_servers(options, servers);
    skua_options_route_refresh_ms(options, refresh_ms);
    struct skua_status s = skua_client_new(options, &client);
    skua_options_free(options);
    ck_assert_msg(s.code == SKUA_OK, "%s", s.detail);
}

static void set_up(void)
{
    for (int i = 0; i < 2; i++) {
        ns[i] = fake_peer_start();
        broker[i] = fake_peer_start();
    }
    both_brokers(ns[0]);
    both_brokers(ns[1]);
    connect_client(30000);
}

static void tear_down(void)
{
    skua_client_free(client);
    for (int i = 0; i < 2; i++) {
        fake_peer_free(ns[i]);
        fake_peer_free(broker[i]);
    }
}

static struct skua_status send_one(skua_producer *p, struct skua_receipt *receipt)
{
    skua_message *m = skua_message_new("orders", "hello", 5);
    struct skua_status s = skua_producer_send(p, m, receipt);
    skua_message_free(m);
    return s;
}

static skua_producer *producer(void)
{
    skua_producer *p = NULL;
    struct skua_status s = skua_producer_new(client, &p);
    ck_assert_int_eq(s.code, SKUA_OK);
    return p;
}

#define assert_status(s, want)                                                                     \
    ck_assert_msg((s).code == (want), "%s: %s", skua_code_name((s).code), (s).detail)

/* --- sending --------------------------------------------------------------------------- */

START_TEST(brokers_take_turns)
{
    skua_producer *p = producer();
    for (int i = 0; i < 8; i++) assert_status(send_one(p, NULL), SKUA_OK);
    ck_assert_uint_eq(fake_peer_calls(broker[0], FAKE_SEND), 4);
    ck_assert_uint_eq(fake_peer_calls(broker[1], FAKE_SEND), 4);
    ck_assert_uint_eq(fake_peer_calls(ns[0], FAKE_ROUTE), 1); /* the rest came from the cache */
    skua_producer_free(p);
}
END_TEST

START_TEST(a_receipt_says_who_has_it)
{
    struct skua_receipt r;
    char seen[64];
    one_broker(ns[0]);
    skua_producer *p = producer();
    assert_status(send_one(p, &r), SKUA_OK);
    fake_peer_last(broker[0], FAKE_SEND, seen, sizeof seen);
    ck_assert_str_eq(r.message_id, seen);
    ck_assert_str_eq(r.broker, "broker-a");
    ck_assert_int_eq(r.offset, 0);
    ck_assert_int_eq(r.code, SKUA_OK);
    skua_producer_free(p);
}
END_TEST

static const struct {
    const char *name;
    int code, rpc;
} passing[] = {
    {"internal error", RMQ_CODE_INTERNAL_SERVER_ERROR, 0},
    {"not durable in time", RMQ_CODE_MASTER_PERSISTENCE_TIMEOUT, 0},
    {"too many requests", RMQ_CODE_TOO_MANY_REQUESTS, 0},
    {"no writable queue", RMQ_CODE_FORBIDDEN, 0},
    {"topic moved away", RMQ_CODE_TOPIC_NOT_FOUND, 0},
    {"unreachable", 0, RPC_UNAVAILABLE},
    {"too late", 0, RPC_DEADLINE_EXCEEDED},
    {"overloaded", 0, RPC_RESOURCE_EXHAUSTED},
};

/* Whichever broker is tried first fails, and the other one gets the same message. */
START_TEST(a_retry_avoids_the_broker_that_failed)
{
    struct skua_receipt r;
    char seen[2][64];
    skua_producer *p = producer();
    for (int round = 0; round < 2; round++) { /* each of the two is first once */
        size_t before[2] = {fake_peer_calls(broker[0], FAKE_SEND),
                            fake_peer_calls(broker[1], FAKE_SEND)};
        fake_peer_answer(broker[round], FAKE_SEND, passing[_i].code, passing[_i].rpc);
        for (int tries = 0; tries < 2; tries++) {
            struct skua_status s = send_one(p, &r);
            ck_assert_msg(s.code == SKUA_OK, "%s: %s", passing[_i].name, s.detail);
            if (fake_peer_calls(broker[round], FAKE_SEND) == before[round]) continue;
            ck_assert_str_eq(r.broker, round == 0 ? "broker-b" : "broker-a");
            fake_peer_last(broker[0], FAKE_SEND, seen[0], sizeof seen[0]);
            fake_peer_last(broker[1], FAKE_SEND, seen[1], sizeof seen[1]);
            ck_assert_str_eq(seen[0], seen[1]);
            break;
        }
        ck_assert_uint_eq(fake_peer_calls(broker[round], FAKE_SEND), before[round] + 1);
        ck_assert_uint_ge(fake_peer_calls(broker[!round], FAKE_SEND), before[!round] + 1);
    }
    skua_producer_free(p);
}
END_TEST

static const struct {
    int code, rpc;
    enum skua_code want;
} final[] = {
    {RMQ_CODE_ILLEGAL_MESSAGE_TAG, 0, SKUA_INVALID},
    {RMQ_CODE_MESSAGE_BODY_TOO_LARGE, 0, SKUA_INVALID},
    {RMQ_CODE_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, 0, SKUA_INVALID},
    {RMQ_CODE_UNAUTHORIZED, 0, SKUA_DENIED},
    {RMQ_CODE_NOT_IMPLEMENTED, 0, SKUA_UNIMPLEMENTED},
    {0, RPC_UNIMPLEMENTED, SKUA_UNIMPLEMENTED},
    {0, RPC_INVALID_ARGUMENT, SKUA_INVALID},
};

START_TEST(a_broken_rule_is_not_retried)
{
    struct skua_receipt r;
    skua_producer *p = producer();
    for (int i = 0; i < 2; i++)
        fake_peer_answer(broker[i], FAKE_SEND, final[_i].code, final[_i].rpc);
    struct skua_status s = send_one(p, &r);
    assert_status(s, final[_i].want);
    ck_assert_int_eq(s.reply, final[_i].code);
    ck_assert_uint_eq(fake_peer_calls(broker[0], FAKE_SEND) + fake_peer_calls(broker[1], FAKE_SEND),
                      1);
    skua_producer_free(p);
}
END_TEST

START_TEST(three_attempts_then_the_last_error)
{
    one_broker(ns[0]);
    one_broker(ns[1]);
    fake_peer_answer_times(broker[0], FAKE_SEND, RMQ_CODE_TOO_MANY_REQUESTS, 0, 3);
    skua_producer *p = producer();
    struct skua_status s = send_one(p, NULL);
    assert_status(s, SKUA_BUSY);
    ck_assert_int_eq(s.reply, RMQ_CODE_TOO_MANY_REQUESTS);
    ck_assert_uint_eq(fake_peer_calls(broker[0], FAKE_SEND), 3);
    assert_status(send_one(p, NULL), SKUA_OK);
    skua_producer_free(p);
}
END_TEST

START_TEST(a_dead_broker_is_not_noticed)
{
    skua_producer *p = producer();
    for (int i = 0; i < 2; i++) assert_status(send_one(p, NULL), SKUA_OK);
    fake_peer_kill(broker[0]);
    for (int i = 0; i < 20; i++) assert_status(send_one(p, NULL), SKUA_OK);
    ck_assert_uint_ge(fake_peer_calls(broker[1], FAKE_SEND), 20);
    skua_producer_free(p);
}
END_TEST

START_TEST(a_batch_has_a_receipt_for_each)
{
    const int codes[] = {RMQ_CODE_OK, RMQ_CODE_ILLEGAL_MESSAGE_TAG, RMQ_CODE_OK};
    skua_message *batch[3];
    struct skua_receipt receipts[3];
    one_broker(ns[0]);
    for (int i = 0; i < 3; i++) batch[i] = skua_message_new("orders", "x", 1);
    skua_producer *p = producer();
    assert_status(skua_producer_send_batch(p, batch, 3, receipts), SKUA_OK);
    ck_assert_uint_eq(fake_peer_calls(broker[0], FAKE_SEND), 1);

    fake_peer_entries(broker[0], codes, 3);
    struct skua_status s = skua_producer_send_batch(p, batch, 3, receipts);
    assert_status(s, SKUA_INVALID);
    ck_assert_int_eq(receipts[0].code, SKUA_OK);
    ck_assert_int_eq(receipts[1].code, SKUA_INVALID);
    ck_assert_int_eq(receipts[1].reply, RMQ_CODE_ILLEGAL_MESSAGE_TAG);
    ck_assert_int_eq(receipts[2].code, SKUA_OK);
    ck_assert_str_eq(receipts[2].message_id, skua_message_id(batch[2]));
    ck_assert_uint_eq(fake_peer_calls(broker[0], FAKE_SEND), 2); /* no doubles */
    for (int i = 0; i < 3; i++) skua_message_free(batch[i]);
    skua_producer_free(p);
}
END_TEST

/* The error of the rest would be worth another try, but that would store the others twice. */
START_TEST(a_half_stored_batch_is_not_sent_again)
{
    const int codes[] = {RMQ_CODE_OK, RMQ_CODE_INTERNAL_SERVER_ERROR, RMQ_CODE_OK};
    skua_message *batch[3];
    struct skua_receipt receipts[3];
    one_broker(ns[0]);
    for (int i = 0; i < 3; i++) batch[i] = skua_message_new("orders", "x", 1);
    skua_producer *p = producer();
    fake_peer_entries(broker[0], codes, 3);
    assert_status(skua_producer_send_batch(p, batch, 3, receipts), SKUA_INTERNAL);
    ck_assert_int_eq(receipts[0].code, SKUA_OK);
    ck_assert_int_eq(receipts[1].code, SKUA_INTERNAL);
    ck_assert_uint_eq(fake_peer_calls(broker[0], FAKE_SEND), 1);
    for (int i = 0; i < 3; i++) skua_message_free(batch[i]);
    skua_producer_free(p);
}
END_TEST

START_TEST(what_cannot_be_sent_is_told_at_home)
{
    skua_producer *p = producer();
    skua_message *mixed[2] = {skua_message_new("a", "x", 1), skua_message_new("b", "x", 1)};
    skua_message *empty = skua_message_new("a", "", 0), *fifo = skua_message_new("a", "x", 1);
    skua_message_set_group(fifo, "g");
    assert_status(skua_producer_send_batch(p, mixed, 2, NULL), SKUA_INVALID);
    assert_status(skua_producer_send_batch(p, mixed, 0, NULL), SKUA_INVALID);
    assert_status(skua_producer_send(p, empty, NULL), SKUA_INVALID);
    struct skua_status s = skua_producer_send(p, fifo, NULL); /* the route says NORMAL */
    assert_status(s, SKUA_INVALID);
    ck_assert_msg(strstr(s.detail, "does not take FIFO"), "%s", s.detail);
    ck_assert_uint_eq(fake_peer_calls(broker[0], FAKE_SEND) + fake_peer_calls(broker[1], FAKE_SEND),
                      0);
    skua_message_free(mixed[0]);
    skua_message_free(mixed[1]);
    skua_message_free(empty);
    skua_message_free(fifo);
    skua_producer_free(p);
}
END_TEST

struct ended {
    size_t count, messages;
    struct skua_status failure;
};

/* On one thread: the library's. */
static void count_sent(void *arg, const struct skua_status *status,
                       const struct skua_receipt *receipts, size_t count)
{
    struct ended *ended = arg;
    (void)receipts;
    ended->count++;
    ended->messages += count;
    if (status->code != SKUA_OK) ended->failure = *status;
}

START_TEST(free_waits_for_what_is_under_way)
{
    struct ended ended = {0};
    skua_producer *p = producer();
    for (int i = 0; i < 100; i++) {
        skua_message *m = skua_message_new("orders", "x", 1);
        skua_producer_send_async(p, &m, 1, count_sent, &ended);
        skua_message_free(m);
    }
    skua_producer_free(p);
    assert_status(ended.failure, SKUA_OK);
    ck_assert_uint_eq(ended.count, 100);
    ck_assert_uint_eq(ended.messages, 100);
}
END_TEST

/* --- routes ---------------------------------------------------------------------------- */

START_TEST(the_next_name_server_is_asked)
{
    skua_producer *p = producer();
    if (_i == 0) fake_peer_kill(ns[0]);
    if (_i == 1) fake_peer_answer(ns[0], FAKE_ROUTE, 0, RPC_UNAVAILABLE);
    if (_i == 2) fake_peer_route(ns[0], NULL, 0); /* it came back empty */
    assert_status(send_one(p, NULL), SKUA_OK);
    ck_assert_uint_eq(fake_peer_calls(ns[1], FAKE_ROUTE), 1);
    skua_producer_free(p);
}
END_TEST

START_TEST(an_unknown_topic_is_told_and_not_cached)
{
    skua_producer *p = producer();
    fake_peer_route(ns[0], NULL, 0);
    fake_peer_route(ns[1], NULL, 0);
    struct skua_status s = send_one(p, NULL);
    assert_status(s, SKUA_NOT_FOUND);
    ck_assert_int_eq(s.reply, RMQ_CODE_TOPIC_NOT_FOUND);
    both_brokers(ns[1]);
    assert_status(send_one(p, NULL), SKUA_OK);
    skua_producer_free(p);
}
END_TEST

START_TEST(no_name_server_at_all_is_told)
{
    skua_producer *p = producer();
    fake_peer_kill(ns[0]);
    fake_peer_kill(ns[1]);
    struct skua_status s = send_one(p, NULL);
    assert_status(s, SKUA_UNAVAILABLE);
    ck_assert_msg(strstr(s.detail, "cannot be reached"), "%s", s.detail);
    skua_producer_free(p);
}
END_TEST

START_TEST(old_routes_serve_when_no_name_server_does)
{
    skua_client_free(client);
    connect_client(1); /* every tick of the client's clock asks anew */
    skua_producer *p = producer();
    assert_status(send_one(p, NULL), SKUA_OK);
    size_t asked = fake_peer_calls(ns[0], FAKE_ROUTE) + fake_peer_calls(ns[1], FAKE_ROUTE);
    for (int i = 0; i < 2; i++) /* one fails, one forgot everything */
        fake_peer_answer_times(ns[i], FAKE_ROUTE, i ? RMQ_CODE_TOPIC_NOT_FOUND : 0,
                               i ? 0 : RPC_UNAVAILABLE, 32);
    ck_assert(fake_peer_wait_calls(ns[0], FAKE_ROUTE, asked + 1));
    ck_assert(fake_peer_wait_calls(ns[1], FAKE_ROUTE, 2)); /* a second round was begun or done */
    for (int i = 0; i < 4; i++) assert_status(send_one(p, NULL), SKUA_OK);
    skua_producer_free(p);
}
END_TEST

START_TEST(an_error_asks_for_the_route_at_once)
{
    one_broker(ns[0]);
    one_broker(ns[1]);
    skua_producer *p = producer();
    assert_status(send_one(p, NULL), SKUA_OK);
    both_brokers(ns[0]); /* a second one has come, the first one goes */
    fake_peer_answer_times(broker[0], FAKE_SEND, 0, RPC_UNAVAILABLE, 2);
    assert_status(send_one(p, NULL), SKUA_OK);
    ck_assert(fake_peer_wait_calls(ns[0], FAKE_ROUTE, 2));
    skua_producer_free(p);
}
END_TEST

START_TEST(a_route_can_be_looked_at)
{
    struct skua_route_queue *queues;
    size_t count;
    assert_status(skua_client_route(client, "orders", &queues, &count), SKUA_OK);
    ck_assert_uint_eq(count, 4);
    ck_assert_str_eq(queues[0].broker, "broker-a"); /* they take turns */
    ck_assert_str_eq(queues[1].broker, "broker-b");
    ck_assert_str_eq(queues[0].address, fake_peer_address(broker[0]));
    ck_assert_uint_eq(queues[0].permission, SKUA_READ | SKUA_WRITE);
    free(queues);
}
END_TEST

static const char *const bad_servers[] = {"", "localhost", ":80", "a:1,b", "a:"};

START_TEST(a_bad_name_server_list_is_refused)
{
    skua_client *none = NULL;
    skua_options *options = skua_options_new();
    skua_options_name_servers(options, bad_servers[_i]);
    assert_status(skua_client_new(options, &none), SKUA_INVALID);
    ck_assert_ptr_null(none);
    skua_options_free(options);
}
END_TEST

/* --- sessions -------------------------------------------------------------------------- */

START_TEST(a_broker_learns_who_we_are)
{
    char text[512];
    one_broker(ns[0]);
    skua_producer *p = producer();
    assert_status(send_one(p, NULL), SKUA_OK);
    ck_assert(fake_peer_wait_calls(broker[0], FAKE_TELEMETRY, 1));
    fake_peer_last(broker[0], FAKE_TELEMETRY, text, sizeof text);
    ck_assert_str_eq(text, "PRODUCER orders");
    fake_peer_client_id(broker[0], text, sizeof text);
    ck_assert_msg(strchr(text, '@'), "client id '%s'", text);
    skua_producer_free(p);
    ck_assert_uint_eq(fake_peer_calls(broker[0], FAKE_GOODBYE), 1);

    skua_consumer *c;
    skua_messages *list;
    fake_peer_deliver(broker[0], 1);
    assert_status(skua_consumer_new(client, "billing", &c), SKUA_OK);
    assert_status(skua_consumer_subscribe(c, "orders", "new||paid"), SKUA_OK);
    assert_status(skua_consumer_receive(c, 1, 30000, 5000, &list), SKUA_OK);
    ck_assert(fake_peer_wait_calls(broker[0], FAKE_TELEMETRY, 2));
    fake_peer_last(broker[0], FAKE_TELEMETRY, text, sizeof text);
    ck_assert_str_eq(text, "SIMPLE_CONSUMER billing orders:new||paid");
    skua_messages_free(list);
    skua_consumer_free(c);
}
END_TEST

START_TEST(a_broker_that_failed_is_asked_whether_it_is_back)
{
    one_broker(ns[0]);
    one_broker(ns[1]);
    skua_producer *p = producer();
    fake_peer_answer(broker[0], FAKE_SEND, 0, RPC_UNAVAILABLE);
    assert_status(send_one(p, NULL), SKUA_OK);
    fake_peer_answer(broker[0], FAKE_SEND, 0, RPC_UNAVAILABLE);
    fake_peer_answer(broker[0], FAKE_SEND, 0, RPC_UNAVAILABLE);
    fake_peer_answer(broker[0], FAKE_SEND, 0, RPC_UNAVAILABLE);
    assert_status(send_one(p, NULL), SKUA_UNAVAILABLE);
    ck_assert(fake_peer_wait_calls(broker[0], FAKE_HEARTBEAT, 1)); /* long before ten seconds */
    skua_producer_free(p);
}
END_TEST

/* --- receiving ------------------------------------------------------------------------- */

static skua_consumer *consumer(void)
{
    skua_consumer *c = NULL;
    struct skua_status s = skua_consumer_new(client, "billing", &c);
    ck_assert_int_eq(s.code, SKUA_OK);
    s = skua_consumer_subscribe(c, "orders", NULL);
    ck_assert_int_eq(s.code, SKUA_OK);
    return c;
}

/* One broker has nothing and keeps its poll; the other one's message comes all the same. */
START_TEST(all_brokers_are_polled)
{
    skua_messages *list = NULL;
    skua_consumer *c = consumer();
    fake_peer_deliver(broker[_i], 1);
    assert_status(skua_consumer_receive(c, 16, 30000, 600000, &list), SKUA_OK);
    ck_assert_uint_eq(skua_messages_count(list), 1);
    const skua_message *m = skua_messages_at(list, 0);
    size_t len;
    const char *body = skua_message_body(m, &len);
    ck_assert_uint_eq(len, 2);
    ck_assert_int_eq(memcmp(body, "m0", 2), 0);
    ck_assert_str_eq(skua_message_receipt(m), "h0");
    ck_assert_str_eq(skua_message_broker(m), _i ? "broker-b" : "broker-a");
    ck_assert_int_eq(skua_message_attempt(m), 1);
    assert_status(skua_consumer_ack_all(c, list), SKUA_OK);
    ck_assert_uint_eq(fake_peer_calls(broker[_i], FAKE_ACK), 1);
    ck_assert_uint_eq(fake_peer_calls(broker[!_i], FAKE_ACK), 0);
    skua_messages_free(list);
    skua_consumer_free(c);
}
END_TEST

START_TEST(nothing_in_time_is_an_empty_list)
{
    skua_messages *list = NULL;
    skua_consumer *c = consumer();
    assert_status(skua_consumer_receive(c, 16, 30000, 200, &list), SKUA_OK);
    ck_assert_uint_eq(skua_messages_count(list), 0);
    skua_messages_free(list);
    for (int i = 0; i < 2; i++) ck_assert(fake_peer_wait_parked(broker[i], 0)); /* taken back */
    skua_consumer_free(c);
}
END_TEST

/* Three come into a receive that wants one: the others are handed out next, without asking again.
 * Only one broker has messages: a poll that is called off may lose what was on its way, which a
 * real broker would deliver again when the lease ends. */
START_TEST(what_came_too_much_is_handed_out_next)
{
    skua_messages *list = NULL;
    skua_consumer *c = consumer();
    fake_peer_be_generous(broker[0]);
    fake_peer_deliver(broker[0], 3);
    for (int i = 0; i < 3; i++) {
        assert_status(skua_consumer_receive(c, 1, 30000, 5000, &list), SKUA_OK);
        ck_assert_uint_eq(skua_messages_count(list), 1);
        assert_status(skua_consumer_ack_all(c, list), SKUA_OK);
        skua_messages_free(list);
    }
    ck_assert_uint_eq(fake_peer_calls(broker[0], FAKE_RECEIVE), 1);
    ck_assert_uint_eq(fake_peer_calls(broker[0], FAKE_ACK), 3);
    skua_consumer_free(c);
}
END_TEST

START_TEST(an_error_of_all_brokers_is_told)
{
    skua_messages *list = NULL;
    skua_consumer *c = consumer();
    for (int i = 0; i < 2; i++)
        fake_peer_answer(broker[i], FAKE_RECEIVE, RMQ_CODE_CONSUMER_GROUP_NOT_FOUND, 0);
    struct skua_status s = skua_consumer_receive(c, 1, 30000, 5000, &list);
    assert_status(s, SKUA_NOT_FOUND);
    ck_assert_int_eq(s.reply, RMQ_CODE_CONSUMER_GROUP_NOT_FOUND);
    ck_assert_ptr_null(list);
    skua_consumer_free(c);
}
END_TEST

START_TEST(an_error_of_one_broker_is_not)
{
    skua_messages *list = NULL;
    skua_consumer *c = consumer();
    fake_peer_kill(broker[0]);
    fake_peer_deliver(broker[1], 2);
    assert_status(skua_consumer_receive(c, 16, 30000, 60000, &list), SKUA_OK);
    ck_assert_uint_eq(skua_messages_count(list), 2);
    skua_messages_free(list);
    skua_consumer_free(c);
}
END_TEST

START_TEST(acks_of_one_broker_are_one_request)
{
    char handles[512];
    skua_messages *list = NULL;
    one_broker(ns[0]);
    skua_consumer *c = consumer();
    fake_peer_deliver(broker[0], 3);
    assert_status(skua_consumer_receive(c, 16, 30000, 5000, &list), SKUA_OK);
    ck_assert_uint_eq(skua_messages_count(list), 3);
    assert_status(skua_consumer_ack_all(c, list), SKUA_OK);
    fake_peer_last(broker[0], FAKE_ACK, handles, sizeof handles);
    ck_assert_str_eq(handles, "h0,h1,h2");

    fake_peer_answer(broker[0], FAKE_ACK, RMQ_CODE_INVALID_RECEIPT_HANDLE, 0);
    assert_status(skua_consumer_ack(c, skua_messages_at(list, 1)), SKUA_EXPIRED);
    skua_messages_free(list);
    skua_consumer_free(c);
}
END_TEST

START_TEST(a_change_gives_a_new_handle)
{
    skua_messages *list = NULL;
    one_broker(ns[0]);
    skua_consumer *c = consumer();
    fake_peer_deliver(broker[0], 1);
    assert_status(skua_consumer_receive(c, 1, 30000, 5000, &list), SKUA_OK);
    skua_message *m = skua_messages_at(list, 0);
    assert_status(skua_consumer_change_invisible(c, m, 60000), SKUA_OK);
    ck_assert_str_eq(skua_message_receipt(m), "h0-new");
    fake_peer_answer(broker[0], FAKE_CHANGE, RMQ_CODE_INVALID_RECEIPT_HANDLE, 0);
    assert_status(skua_consumer_change_invisible(c, m, 60000), SKUA_EXPIRED);
    ck_assert_str_eq(skua_message_receipt(m), "h0-new");
    skua_messages_free(list);
    skua_consumer_free(c);
}
END_TEST

START_TEST(a_consumer_needs_a_group_and_a_topic)
{
    skua_consumer *c = NULL;
    skua_messages *list = NULL;
    assert_status(skua_consumer_new(client, "", &c), SKUA_INVALID);
    assert_status(skua_consumer_new(client, "billing", &c), SKUA_OK);
    assert_status(skua_consumer_subscribe(c, "", NULL), SKUA_INVALID);
    assert_status(skua_consumer_receive(c, 1, 30000, 100, &list), SKUA_INVALID);
    skua_consumer_free(c);
}
END_TEST

/* --- pulling --------------------------------------------------------------------------- */

START_TEST(a_puller_reads_and_keeps_its_place)
{
    skua_puller *p;
    struct skua_queue *queues;
    size_t count;
    skua_messages *list;
    int64_t offset, next;
    one_broker(ns[0]);
    fake_peer_deliver(broker[0], 5);
    assert_status(skua_puller_new(client, NULL, &p), SKUA_OK);
    assert_status(skua_puller_queues(p, "orders", &queues, &count), SKUA_OK);
    ck_assert_uint_eq(count, 1);
    assert_status(skua_puller_query_offset(p, &queues[0], SKUA_OFFSET_END, 0, &offset), SKUA_OK);
    ck_assert_int_eq(offset, 5);

    assert_status(skua_puller_pull(p, &queues[0], 3, 10, 0, &list, &next), SKUA_OK);
    ck_assert_uint_eq(skua_messages_count(list), 2);
    ck_assert_int_eq(next, 5);
    skua_messages_free(list);

    size_t read = 0;
    do { /* from the beginning, two by two, to the end */
        assert_status(skua_puller_poll(p, &queues[0], 2, 0, &list), SKUA_OK);
        count = skua_messages_count(list);
        for (size_t i = 0; i < count; i++, read++)
            ck_assert_int_eq(skua_message_offset(skua_messages_at(list, i)), (int64_t)read);
        skua_messages_free(list);
    } while (count);
    ck_assert_uint_eq(read, 5);

    skua_puller_seek(p, &queues[0], 4);
    assert_status(skua_puller_poll(p, &queues[0], 2, 0, &list), SKUA_OK);
    ck_assert_uint_eq(skua_messages_count(list), 1);
    skua_messages_free(list);

    fake_peer_answer(broker[0], FAKE_PULL, RMQ_CODE_ILLEGAL_OFFSET, 0);
    struct skua_status s = skua_puller_pull(p, &queues[0], 99, 1, 0, &list, &next);
    assert_status(s, SKUA_INVALID);
    ck_assert_int_eq(s.reply, RMQ_CODE_ILLEGAL_OFFSET);
    assert_status(skua_puller_commit(p, &queues[0], 1), SKUA_INVALID); /* it has no group */
    free(queues);
    skua_puller_free(p);
}
END_TEST

static Suite *client_suite(void)
{
    Suite *suite = suite_create("clients/client");
    TCase *tc = tcase_create("client");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, brokers_take_turns);
    tcase_add_test(tc, a_receipt_says_who_has_it);
    tcase_add_loop_test(tc, a_retry_avoids_the_broker_that_failed, 0, ROWS(passing));
    tcase_add_loop_test(tc, a_broken_rule_is_not_retried, 0, ROWS(final));
    tcase_add_test(tc, three_attempts_then_the_last_error);
    tcase_add_test(tc, a_dead_broker_is_not_noticed);
    tcase_add_test(tc, a_batch_has_a_receipt_for_each);
    tcase_add_test(tc, a_half_stored_batch_is_not_sent_again);
    tcase_add_test(tc, what_cannot_be_sent_is_told_at_home);
    tcase_add_test(tc, free_waits_for_what_is_under_way);
    tcase_add_loop_test(tc, the_next_name_server_is_asked, 0, 3);
    tcase_add_test(tc, an_unknown_topic_is_told_and_not_cached);
    tcase_add_test(tc, no_name_server_at_all_is_told);
    tcase_add_test(tc, old_routes_serve_when_no_name_server_does);
    tcase_add_test(tc, an_error_asks_for_the_route_at_once);
    tcase_add_test(tc, a_route_can_be_looked_at);
    tcase_add_loop_test(tc, a_bad_name_server_list_is_refused, 0, ROWS(bad_servers));
    tcase_add_test(tc, a_broker_learns_who_we_are);
    tcase_add_test(tc, a_broker_that_failed_is_asked_whether_it_is_back);
    tcase_add_loop_test(tc, all_brokers_are_polled, 0, 2);
    tcase_add_test(tc, nothing_in_time_is_an_empty_list);
    tcase_add_test(tc, what_came_too_much_is_handed_out_next);
    tcase_add_test(tc, an_error_of_all_brokers_is_told);
    tcase_add_test(tc, an_error_of_one_broker_is_not);
    tcase_add_test(tc, acks_of_one_broker_are_one_request);
    tcase_add_test(tc, a_change_gives_a_new_handle);
    tcase_add_test(tc, a_consumer_needs_a_group_and_a_topic);
    tcase_add_test(tc, a_puller_reads_and_keeps_its_place);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(client_suite)
