/* test_health.c - grpc.health.v1 as probes and balancers use it. */
#include "echo.h"

#include "grpc/health/v1/health.alias.h"

static struct echo e;

static const struct rpc_method check = {"/grpc.health.v1.Health/Check", "Check", RPC_UNARY,
                                        &health_health_check_request_descriptor,
                                        &health_health_check_response_descriptor};
static const struct rpc_method watch = {"/grpc.health.v1.Health/Watch", "Watch", RPC_SERVER_STREAM,
                                        &health_health_check_request_descriptor,
                                        &health_health_check_response_descriptor};

static void start(int loop_index)
{
    struct rpc_server_options options = echo_options(loop_index);
    e = (struct echo){0};
    ck_assert(sk_ok(rpc_server_new(&options, &e.server)));
    rpc_server_mount_health(e.server);
    rpc_server_set_serving(e.server, "readiness", false);
    ck_assert(sk_ok(rpc_server_listen(e.server, "127.0.0.1:0", &e.port)));
    ck_assert(sk_ok(rpc_server_start(e.server)));
    snprintf(e.target, sizeof e.target, "127.0.0.1:%d", e.port);
    ck_assert(sk_ok(rpc_client_new(&e.client)));
    ck_assert(sk_ok(rpc_channel_open(e.client, e.target, NULL, &e.channel)));
}

static health_health_check_request ask_for(const char *service)
{
    health_health_check_request request = HEALTH_HEALTH_CHECK_REQUEST_INIT;
    request.service = (char *)(uintptr_t)service;
    return request;
}

static struct sk_status check_now(const char *service, int *status)
{
    sk_arena *arena = sk_arena_new(0);
    const ProtobufCMessage *response;
    health_health_check_request request = ask_for(service);
    struct sk_status s = rpc_unary_wait(e.channel, &check, NULL, &request.base, arena, &response);
    if (sk_ok(s)) *status = (int)((const health_health_check_response *)response)->status;
    sk_arena_free(arena);
    return s;
}

START_TEST(check_answers_by_service)
{
    start(_i);
    int status = -1;
    ck_assert(sk_ok(check_now("", &status)));
    ck_assert_int_eq(status, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVING);
    ck_assert(sk_ok(check_now("grpc.health.v1.Health", &status)));
    ck_assert_int_eq(status, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVING);
    ck_assert(sk_ok(check_now("readiness", &status)));
    ck_assert_int_eq(status, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_NOT_SERVING);
    rpc_server_set_serving(e.server, "readiness", true);
    ck_assert(sk_ok(check_now("readiness", &status)));
    ck_assert_int_eq(status, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVING);
    ck_assert_int_eq(check_now("no.such", &status).code, SK_NOT_FOUND);
    echo_stop(&e);
}
END_TEST

struct watcher {
    struct tally changes, closed;
    int statuses[16]; /* guarded by changes.lock */
    enum rpc_code code;
};

static void on_status(const void *typed, void *arg, rpc_stream *stream,
                      const ProtobufCMessage *message)
{
    (void)typed;
    (void)stream;
    struct watcher *w = arg;
    sk_mutex_lock(&w->changes.lock);
    w->statuses[w->changes.count % 16] =
        (int)((const health_health_check_response *)message)->status;
    sk_mutex_unlock(&w->changes.lock);
    tally_add(&w->changes);
}

static void on_closed(const void *typed, void *arg, rpc_stream *stream,
                      const struct rpc_outcome *outcome)
{
    (void)typed;
    (void)stream;
    struct watcher *w = arg;
    w->code = outcome->code;
    tally_add(&w->closed);
}

static rpc_stream *watch_now(struct watcher *w, const char *service)
{
    static const struct rpc_stream_handler handler = {on_status, on_closed};
    *w = (struct watcher){0};
    tally_init(&w->changes);
    tally_init(&w->closed);
    health_health_check_request request = ask_for(service);
    return rpc_stream_open(e.channel, &watch, NULL, &request.base, &handler, NULL, w);
}

static void expect(struct watcher *w, unsigned nth, int status)
{
    tally_wait(&w->changes, nth);
    sk_mutex_lock(&w->changes.lock);
    ck_assert_int_eq(w->statuses[nth - 1], status);
    sk_mutex_unlock(&w->changes.lock);
}

static void watcher_done(struct watcher *w)
{
    tally_done(&w->changes);
    tally_done(&w->closed);
}

START_TEST(watch_tells_now_and_at_every_change)
{
    start(_i);
    struct watcher all, ready, later;
    (void)watch_now(&all, "");
    rpc_stream *stream = watch_now(&ready, "readiness");
    (void)watch_now(&later, "a.service.to.come");
    expect(&all, 1, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVING);
    expect(&ready, 1, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_NOT_SERVING);
    expect(&later, 1, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVICE_UNKNOWN);
    rpc_server_set_serving(e.server, "readiness", false); /* no change, no message */
    rpc_server_set_serving(e.server, "readiness", true);
    rpc_server_set_serving(e.server, "a.service.to.come", true);
    expect(&ready, 2, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVING);
    expect(&later, 2, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVING);
    rpc_stream_cancel(stream);
    tally_wait(&ready.closed, 1);

    rpc_server_drain(e.server, 10000);
    expect(&all, 2, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_NOT_SERVING);
    expect(&later, 3, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_NOT_SERVING);
    tally_wait(&all.closed, 1);
    tally_wait(&later.closed, 1);
    ck_assert_int_eq(all.code, RPC_UNAVAILABLE);
    echo_stop(&e);
    watcher_done(&all);
    watcher_done(&ready);
    watcher_done(&later);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api.rpc.health");
    TCase *t = tcase_create("health");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, check_answers_by_service, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, watch_tells_now_and_at_every_change, 0, ECHO_LOOPS);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return echo_run(suite());
}
