/* Streams that come, break and are cut off by a stopping server, all at once: every call
 * is finished once, nothing leaks, nothing is touched after its end (for the
 * sanitizers). */
#include "apache/rocketmq/v2/service.rpc.h"
#include "fixture.h"

#include <stdatomic.h>

#include "support/suite.h"

enum { STREAMS = 300, ROUNDS = 4 };

static struct place place;
static _Atomic int closed;

static void on_command(void *arg, rpc_stream *stream, const rmq_telemetry_command *command)
{
    (void)arg;
    (void)stream;
    (void)command;
}

static void on_version(void *arg, rpc_stream *stream, const skua_register_response *message)
{
    (void)arg;
    (void)stream;
    (void)message;
}

static void on_news(void *arg, rpc_stream *stream, const skua_watch_routes_response *message)
{
    (void)arg;
    (void)stream;
    (void)message;
}

static void on_closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    (void)arg;
    (void)stream;
    (void)outcome;
    atomic_fetch_add(&closed, 1);
}

static rpc_stream *telemetry(void)
{
    static const struct rmq_messaging_service_telemetry_handler handler = {on_command, on_closed};
    struct rpc_options forever = as_client;
    forever.timeout_ms = 0;
    rpc_stream *stream = rmq_messaging_service_telemetry(place.channel, &forever, &handler, NULL);
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    rmq_settings settings = RMQ_SETTINGS_INIT;
    rmq_publishing publishing = RMQ_PUBLISHING_INIT;
    rmq_ua agent = RMQ_UA_INIT;
    agent.language = RMQ_LANGUAGE_NODE_JS;
    settings.user_agent = &agent;
    rmq_settings_set_client_type(&settings, RMQ_CLIENT_TYPE_PRODUCER);
    rmq_settings_set_publishing(&settings, &publishing);
    rmq_telemetry_command_set_settings(&command, &settings);
    rmq_messaging_service_send_telemetry(stream, &command);
    return stream;
}

static rpc_stream *registration(int i)
{
    static const struct skua_name_server_register_handler handler = {on_version, on_closed};
    rpc_stream *stream =
        skua_name_server_register(place.channel, &(struct rpc_options){0}, &handler, NULL);
    char name[2] = {(char)('a' + i % 20), 0};
    send_report(stream, name, 1 + (uint64_t)i, 1);
    return stream;
}

static rpc_stream *watch(void)
{
    static const struct skua_name_server_watch_routes_handler handler = {on_news, on_closed};
    skua_watch_routes_request request = SKUA_WATCH_ROUTES_REQUEST_INIT;
    return skua_name_server_watch_routes(place.channel, &(struct rpc_options){0}, &request,
                                         &handler, NULL);
}

/* Row 0: the server stops in the middle of it. Row 1: the client goes first. */
START_TEST(streams_end_once_however_they_end)
{
    rpc_stream *streams[STREAMS];
    for (int round = 0; round < ROUNDS; round++) {
        atomic_store(&closed, 0);
        place_open(&place, &(struct sk_namesrv_options){.settings_repeat_ms = 1}, 0);
        for (int i = 0; i < STREAMS; i++) {
            streams[i] = i % 3 == 0 ? telemetry() : i % 3 == 1 ? registration(i) : watch();
            if (i >= 10 && i % 2 == 0 && _i == 1) rpc_stream_cancel(streams[i - 10]);
        }
        if (_i == 0) rpc_server_drain(place.server, 0);
        place_close(&place);
        ck_assert_int_eq(atomic_load(&closed), STREAMS);
    }
}
END_TEST

static Suite *churn_suite(void)
{
    Suite *suite = suite_create("namesrv/churn");
    TCase *tc = tcase_create("churn");
    tcase_set_timeout(tc, 110);
    tcase_add_loop_test(tc, streams_end_once_however_they_end, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(churn_suite)
