/* Brokers that come, live, break, leave and expire, as watchers and routes show it;
 * over real connections. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "apache/rocketmq/v2/service.rpc.h"
#include "support/suite.h"

static struct place place;
static struct inbox broker, watcher;

static void setup(void)
{
    place_open(&place, NULL, 0);
    inbox_init(&broker);
    inbox_init(&watcher);
}

static void teardown(void)
{
    place_close(&place);
    inbox_done(&broker);
    inbox_done(&watcher);
}

/* The code that QueryRoute gives for a topic; how many queues can be read and written. */
static rmq_code route(const char *topic, size_t *readable, size_t *writable)
{
    const rmq_query_route_response *response;
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    rmq_resource resource = RMQ_RESOURCE_INIT;
    resource.name = sk_proto_text(topic);
    request.topic = &resource;
    *readable = *writable = 0;
    struct sk_status s = rmq_messaging_service_query_route_wait(place.channel, &as_client, &request,
                                                                place.arena, &response);
    ck_assert_msg(sk_ok(s), "%s", s.detail);
    for (size_t i = 0; i < response->n_message_queues; i++) {
        rmq_permission p = response->message_queues[i]->permission;
        *readable += p == RMQ_PERMISSION_READ || p == RMQ_PERMISSION_READ_WRITE;
        *writable += p == RMQ_PERMISSION_WRITE || p == RMQ_PERMISSION_READ_WRITE;
    }
    return response->status->code;
}

static void expect_route(const char *topic, rmq_code code, size_t readable, size_t writable)
{
    size_t r, w;
    ck_assert_int_eq(route(topic, &r, &w), code);
    ck_assert_uint_eq(r, readable);
    ck_assert_uint_eq(w, writable);
}

START_TEST(a_report_makes_routes_and_leaving_unmakes_them)
{
    open_watch(&place, &watcher);
    inbox_await(&watcher, "[full] ");
    rpc_stream *stream = open_register(&place, &broker);
    send_report(stream, "a", 1, 5);
    inbox_await(&broker, "v5 ");
    inbox_await(&watcher, "[+a:5] ");
    expect_route("orders", RMQ_CODE_OK, 4, 4);
    expect_route("none", RMQ_CODE_TOPIC_NOT_FOUND, 0, 0);
    send_leaving(stream);
    inbox_await_close(&broker, RPC_OK);
    inbox_await(&watcher, "[-a] ");
    expect_route("orders", RMQ_CODE_TOPIC_NOT_FOUND, 0, 0);
}
END_TEST

START_TEST(a_broken_stream_leaves_only_reads_until_the_broker_is_back)
{
    rpc_stream *stream = open_register(&place, &broker);
    open_watch(&place, &watcher);
    send_report(stream, "a", 1, 1);
    inbox_await(&watcher, "+a:1");
    rpc_stream_cancel(stream);
    inbox_await(&watcher, "[-a] ");
    expect_route("orders", RMQ_CODE_OK, 4, 0);

    struct inbox again;
    inbox_init(&again);
    stream = open_register(&place, &again);
    send_report(stream, "a", 1, 1);
    inbox_await(&again, "v1 ");
    inbox_await(&watcher, "[-a] [+a:1] ");
    expect_route("orders", RMQ_CODE_OK, 4, 4);
    rpc_stream_cancel(stream);
    inbox_await_close(&again, RPC_CANCELLED);
    inbox_done(&again);
}
END_TEST

START_TEST(closing_without_goodbye_is_suspicious_too)
{
    rpc_stream *stream = open_register(&place, &broker);
    send_report(stream, "a", 1, 1);
    inbox_await(&broker, "v1 ");
    rpc_stream_half_close(stream);
    inbox_await_close(&broker, RPC_OK);
    expect_route("orders", RMQ_CODE_OK, 4, 0);
}
END_TEST

START_TEST(heartbeats_are_answered_with_the_version_held)
{
    rpc_stream *stream = open_register(&place, &broker);
    send_heartbeat(stream, 3); /* before any report: asks for one */
    inbox_await(&broker, "v0 ");
    send_report(stream, "a", 1, 3);
    send_heartbeat(stream, 3);
    inbox_await(&broker, "v0 v3 v3 ");
    send_report(stream, "a", 1, 4);
    send_heartbeat(stream, 4);
    inbox_await(&broker, "v4 v4 ");
}
END_TEST

START_TEST(an_older_incarnation_is_refused)
{
    struct inbox old;
    inbox_init(&old);
    rpc_stream *stream = open_register(&place, &broker);
    send_report(stream, "a", 2, 1);
    inbox_await(&broker, "v1 ");
    stream = open_register(&place, &old);
    send_report(stream, "a", 1, 9);
    inbox_await_close(&old, RPC_ALREADY_EXISTS);
    ck_assert_ptr_nonnull(strstr(old.detail, "broker a:0 has registered with a newer incarnation"));
    expect_route("orders", RMQ_CODE_OK, 4, 4);
    inbox_done(&old);
}
END_TEST

static void report_twice(rpc_stream *stream)
{
    send_report(stream, "a", 1, 1);
    send_report(stream, "b", 1, 1);
}

static void report_nameless(rpc_stream *stream)
{
    send_report(stream, "", 1, 1);
}

static void say_nothing(rpc_stream *stream)
{
    skua_register_request request = SKUA_REGISTER_REQUEST_INIT;
    skua_name_server_send_register(stream, &request);
}

static void report_of_nobody(rpc_stream *stream)
{
    skua_register_request request = SKUA_REGISTER_REQUEST_INIT;
    skua_broker_report report = SKUA_BROKER_REPORT_INIT;
    skua_register_request_set_report(&request, &report);
    skua_name_server_send_register(stream, &request);
}

static const struct {
    void (*send)(rpc_stream *);
    const char *want;
} bad[] = {
    {report_twice, "one stream speaks for one broker, 'a:0'"},
    {report_nameless, "broker name is empty"},
    {say_nothing, "a message without report, heartbeat or leaving"},
    {report_of_nobody, "the report does not say which broker it is of"},
};

START_TEST(bad_messages_end_the_stream_with_the_reason)
{
    bad[_i].send(open_register(&place, &broker));
    inbox_await_close(&broker, RPC_INVALID_ARGUMENT);
    ck_assert_msg(strstr(broker.detail, bad[_i].want) != NULL, "%s", broker.detail);
}
END_TEST

START_TEST(silence_expires_and_a_heartbeat_is_asked_for_a_report)
{
    place_close(&place);
    place_open(&place, &(struct sk_namesrv_options){.scan_interval_ms = 20}, 100);
    open_watch(&place, &watcher);
    rpc_stream *stream = open_register(&place, &broker);
    send_report(stream, "a", 1, 1);
    inbox_await(&watcher, "[-a] "); /* the stream lives, but says nothing */
    expect_route("orders", RMQ_CODE_TOPIC_NOT_FOUND, 0, 0);
    send_heartbeat(stream, 1);
    inbox_await(&broker, "v1 v0 ");
}
END_TEST

START_TEST(watchers_are_told_alike_and_late_ones_get_the_whole)
{
    enum { WATCHERS = 70 }; /* more than are visited at once */
    static struct inbox many[WATCHERS];
    rpc_stream *stream = open_register(&place, &broker);
    send_report(stream, "a", 1, 1);
    inbox_await(&broker, "v1 ");
    for (int i = 0; i < WATCHERS; i++) {
        inbox_init(&many[i]);
        open_watch(&place, &many[i]);
        inbox_await(&many[i], "[full+a:1] ");
    }
    send_report(stream, "a", 1, 2);
    for (int i = 0; i < WATCHERS; i++) inbox_await(&many[i], "[full+a:1] [+a:2] ");
}
END_TEST

START_TEST(too_many_watchers_are_refused)
{
    place_close(&place);
    place_open(&place, &(struct sk_namesrv_options){.max_watchers = 1}, 0);
    open_watch(&place, &watcher);
    inbox_await(&watcher, "[full] ");
    open_watch(&place, &broker);
    inbox_await_close(&broker, RPC_RESOURCE_EXHAUSTED);
    ck_assert_ptr_nonnull(strstr(broker.detail, "too many watchers"));
}
END_TEST

/* A watcher whose first message keeps its thread until the test lets go. */
static struct inbox gate;

static void on_news_wait(void *arg, rpc_stream *stream, const skua_watch_routes_response *message)
{
    (void)arg;
    (void)stream;
    (void)message;
    inbox_await(&gate, "open");
}

static void on_closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    (void)stream;
    inbox_close(arg, outcome);
}

START_TEST(a_watcher_that_does_not_read_is_sent_away)
{
    enum { TOPICS = 1000, CHANGES = 500 };
    static const struct skua_name_server_watch_routes_handler handler = {on_news_wait, on_closed};
    static char names[TOPICS][64];
    static struct sk_route_topic topics[TOPICS];
    struct sk_route_address address = {SK_SLICE("h"), 1};
    struct sk_route_broker b = {.key = {SK_SLICE("c"), SK_SLICE("a"), 0},
                                .incarnation = 1,
                                .plain = {SK_ROUTE_DOMAIN, &address, 1},
                                .topics = topics,
                                .topic_count = TOPICS};
    for (int i = 0; i < TOPICS; i++) {
        snprintf(names[i], sizeof names[i], "a-topic-with-a-rather-long-name-to-fill-pipes-%d", i);
        topics[i].name = sk_slice_of_text(names[i]);
    }
    place_close(&place);
    place_open(&place, &(struct sk_namesrv_options){.max_watch_backlog_bytes = 65536}, 0);
    inbox_init(&gate);
    skua_watch_routes_request request = SKUA_WATCH_ROUTES_REQUEST_INIT;
    skua_name_server_watch_routes(place.channel, &(struct rpc_options){0}, &request, &handler,
                                  &watcher);
    uint64_t session = sk_route_session_new(place.table);
    for (b.version = 1; b.version <= CHANGES; b.version++)
        ck_assert(sk_ok(sk_route_table_report(place.table, session, &b)));
    inbox_note(&gate, "open");
    inbox_await_close(&watcher, RPC_RESOURCE_EXHAUSTED);
    ck_assert_ptr_nonnull(strstr(watcher.detail, "reads too slowly"));
    inbox_done(&gate);
}
END_TEST

START_TEST(people_see_clusters_brokers_and_topics)
{
    rpc_stream *stream = open_register(&place, &broker);
    send_report(stream, "a", 7, 1);
    inbox_await(&broker, "v1 ");

    skua_describe_cluster_request ask = SKUA_DESCRIBE_CLUSTER_REQUEST_INIT;
    const skua_describe_cluster_response *cluster;
    ck_assert(sk_ok(skua_name_server_describe_cluster_wait(place.channel, &as_client, &ask,
                                                           place.arena, &cluster)));
    ck_assert_uint_eq(cluster->n_brokers, 1);
    ck_assert_str_eq(cluster->brokers[0]->broker->name, "a");
    ck_assert_uint_eq(cluster->brokers[0]->broker->incarnation, 7);
    ck_assert_str_eq(cluster->brokers[0]->broker->tls_endpoints->addresses[0]->host,
                     "broker.example");
    ck_assert(!cluster->brokers[0]->suspect);
    ck_assert_int_eq(cluster->brokers[0]->topics, 3);

    skua_list_topics_request list = SKUA_LIST_TOPICS_REQUEST_INIT;
    const skua_list_topics_response *topics;
    ck_assert(sk_ok(
        skua_name_server_list_topics_wait(place.channel, &as_client, &list, place.arena, &topics)));
    ck_assert_uint_eq(topics->n_topics, 3);
    ck_assert_str_eq(topics->topics[0]->config->name, "bills"); /* sorted */
    ck_assert_int_eq(topics->topics[0]->config->type, RMQ_MESSAGE_TYPE_FIFO);
    ck_assert_str_eq(topics->topics[0]->broker, "a");
    static char elsewhere[] = "elsewhere";
    list.cluster = elsewhere;
    ck_assert(sk_ok(
        skua_name_server_list_topics_wait(place.channel, &as_client, &list, place.arena, &topics)));
    ck_assert_uint_eq(topics->n_topics, 0);
}
END_TEST

START_TEST(a_stopping_name_server_ends_all_streams)
{
    rpc_stream *stream = open_register(&place, &broker);
    send_report(stream, "a", 1, 1);
    open_watch(&place, &watcher);
    inbox_await(&watcher, "+a:1");
    rpc_server_drain(place.server, 5000);
    inbox_await_close(&broker, RPC_UNAVAILABLE);
    inbox_await_close(&watcher, RPC_UNAVAILABLE);
}
END_TEST

static Suite *registration_suite(void)
{
    Suite *suite = suite_create("namesrv/registration");
    TCase *tc = tcase_create("streams");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_report_makes_routes_and_leaving_unmakes_them);
    tcase_add_test(tc, a_broken_stream_leaves_only_reads_until_the_broker_is_back);
    tcase_add_test(tc, closing_without_goodbye_is_suspicious_too);
    tcase_add_test(tc, heartbeats_are_answered_with_the_version_held);
    tcase_add_test(tc, an_older_incarnation_is_refused);
    tcase_add_loop_test(tc, bad_messages_end_the_stream_with_the_reason, 0, ROWS(bad));
    tcase_add_test(tc, silence_expires_and_a_heartbeat_is_asked_for_a_report);
    tcase_add_test(tc, watchers_are_told_alike_and_late_ones_get_the_whole);
    tcase_add_test(tc, too_many_watchers_are_refused);
    tcase_add_test(tc, a_watcher_that_does_not_read_is_sent_away);
    tcase_add_test(tc, people_see_clusters_brokers_and_topics);
    tcase_add_test(tc, a_stopping_name_server_ends_all_streams);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(registration_suite)
