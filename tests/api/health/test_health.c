/* test_health.c - grpc.health.v1 as probes and balancers use it. */
#include "echo.h"

#include "grpc/health/v1/health.alias.h"
#include "health/health.h"

static struct echo e;
static sk_health *health;

static const struct rpc_method check = {"/grpc.health.v1.Health/Check", "Check", RPC_UNARY,
                                        &health_health_check_request_descriptor,
                                        &health_health_check_response_descriptor};
static const struct rpc_method watch = {"/grpc.health.v1.Health/Watch", "Watch", RPC_SERVER_STREAM,
                                        &health_health_check_request_descriptor,
                                        &health_health_check_response_descriptor};

static void start_with(int loop_index, const struct echo_handlers *handlers)
{
    struct rpc_server_options options = echo_options(loop_index);
    e = (struct echo){0};
    ck_assert(sk_ok(rpc_server_new(&options, &e.server)));
    if (handlers) echo_mount(e.server, handlers, NULL);
    health = sk_health_mount(e.server);
    sk_health_set(health, "readiness", false);
    ck_assert(sk_ok(rpc_server_listen(e.server, "127.0.0.1:0", &e.port)));
    ck_assert(sk_ok(rpc_server_start(e.server)));
    snprintf(e.target, sizeof e.target, "127.0.0.1:%d", e.port);
    ck_assert(sk_ok(rpc_client_new(&e.client)));
    ck_assert(sk_ok(rpc_channel_open(e.client, e.target, NULL, &e.channel)));
}

static void start(int loop_index)
{
    start_with(loop_index, NULL);
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
    sk_health_set(health, "readiness", true);
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
    sk_health_set(health, "readiness", false); /* no change, no message */
    sk_health_set(health, "readiness", true);
    sk_health_set(health, "a.service.to.come", true);
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

/* --- changes from all sides ---------------------------------------------------------------- */

enum { WATCHERS = 8, ROUNDS = 400, FLIPS = 6 };

/* What was heard last, and whether it was news each time. */
struct ear {
    struct sk_mutex lock;
    struct sk_cond changed;
    int last;
    bool repeated, closed;
};

static void on_news(const void *typed, void *arg, rpc_stream *stream,
                    const ProtobufCMessage *message)
{
    (void)typed, (void)stream;
    struct ear *ear = arg;
    int state = (int)((const health_health_check_response *)message)->status;
    sk_mutex_lock(&ear->lock);
    if (state == ear->last) ear->repeated = true;
    ear->last = state;
    sk_cond_broadcast(&ear->changed);
    sk_mutex_unlock(&ear->lock);
}

static void on_silence(const void *typed, void *arg, rpc_stream *stream,
                       const struct rpc_outcome *outcome)
{
    (void)typed, (void)stream, (void)outcome;
    struct ear *ear = arg;
    sk_mutex_lock(&ear->lock);
    ear->closed = true;
    sk_cond_broadcast(&ear->changed);
    sk_mutex_unlock(&ear->lock);
}

static rpc_stream *listen_to(struct ear *ear, const char *name)
{
    static const struct rpc_stream_handler handler = {on_news, on_silence};
    *ear = (struct ear){.last = -1};
    sk_mutex_init(&ear->lock);
    sk_cond_init(&ear->changed);
    health_health_check_request request = ask_for(name);
    return rpc_stream_open(e.channel, &watch, NULL, &request.base, &handler, NULL, ear);
}

static void wait_for_state(struct ear *ear, int state)
{
    bool in_time = true;
    sk_mutex_lock(&ear->lock);
    while (ear->last != state && in_time)
        in_time = sk_cond_wait_for(&ear->changed, &ear->lock, 20000000);
    int last = ear->last;
    sk_mutex_unlock(&ear->lock);
    ck_assert_int_eq(last, state);
}

static void wait_for_silence(struct ear *ear)
{
    bool in_time = true;
    sk_mutex_lock(&ear->lock);
    while (!ear->closed && in_time) in_time = sk_cond_wait_for(&ear->changed, &ear->lock, 20000000);
    bool closed = ear->closed;
    sk_mutex_unlock(&ear->lock);
    ck_assert(closed);
}

/* Nothing that comes after it makes good what one side missed of the other's last change. */
static void *flip(void *arg)
{
    bool odd = arg != NULL;
    for (int i = 0; i < FLIPS; i++) sk_health_set(health, "readiness", (i % 2) != odd);
    return NULL;
}

static void flip_from_two_sides(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        ck_assert(sk_ok(sk_thread_start("flip", flip, i ? health : NULL, &threads[i])));
    for (int i = 0; i < 2; i++) sk_thread_join(threads[i]);
}

START_TEST(every_watcher_hears_the_last_of_many_changes_and_none_twice)
{
    struct ear ears[WATCHERS];
    rpc_stream *streams[WATCHERS];
    start(_i);
    for (int i = 0; i < WATCHERS; i++) streams[i] = listen_to(&ears[i], "readiness");
    for (int round = 0; round < ROUNDS; round++) {
        int status = -1; /* an answer that comes after what the watchers were told */
        flip_from_two_sides();
        ck_assert(sk_ok(check_now("readiness", &status)));
        for (int i = 1; i < WATCHERS; i += 2) wait_for_state(&ears[i], status);
        if (round % 50 == 25 && round / 50 < WATCHERS / 2) /* others go away in the middle of it */
            rpc_stream_cancel(streams[round / 50 * 2]);
    }
    rpc_server_drain(e.server, 10000);
    for (int i = 0; i < WATCHERS; i++) {
        wait_for_silence(&ears[i]);
        ck_assert(!ears[i].repeated);
    }
    for (int i = 1; i < WATCHERS; i += 2)
        wait_for_state(&ears[i], HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_NOT_SERVING);
    echo_stop(&e);
    for (int i = 0; i < WATCHERS; i++) {
        sk_cond_done(&ears[i].changed);
        sk_mutex_done(&ears[i].lock);
    }
}
END_TEST

/* --- a drain ------------------------------------------------------------------------------- */

static rpc_call *_Atomic parked;
static struct tally arrived;

static void park(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner, (void)request;
    atomic_store(&parked, call);
    tally_add(&arrived);
}

static void *drain(void *arg)
{
    rpc_server_drain(arg, 20000);
    return NULL;
}

static void on_answer(void *arg, const struct rpc_outcome *outcome, struct sk_slice response)
{
    (void)response;
    ck_assert_int_eq(outcome->code, RPC_OK);
    tally_add(arg);
}

START_TEST(probes_are_answered_while_the_server_drains)
{
    struct tally answered;
    pthread_t thread;
    tally_init(&arrived);
    tally_init(&answered);
    start_with(_i, &(struct echo_handlers){.park = park});
    rpc_unary_bytes(e.channel, ECHO_METHOD(ECHO_PARK), &(struct rpc_options){.timeout_ms = 20000},
                    SK_EMPTY, on_answer, &answered);
    tally_wait(&arrived, 1);
    ck_assert(sk_ok(sk_thread_start("drain", drain, e.server, &thread)));

    int status = -1;
    do { /* until it has begun to drain */
        ck_assert(sk_ok(check_now("", &status)));
    } while (status == HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVING);
    ck_assert_int_eq(status, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_NOT_SERVING);
    ck_assert_int_eq(echo_call(&e, ECHO_SAY, NULL, SK_EMPTY).code, SK_UNAVAILABLE);
    ck_assert(sk_ok(check_now("skua.test.Echo", &status)));
    ck_assert_int_eq(status, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_NOT_SERVING);
    struct watcher late;
    (void)watch_now(&late, "");
    expect(&late, 1, HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_NOT_SERVING);
    tally_wait(&late.closed, 1);
    ck_assert_int_eq(late.code, RPC_UNAVAILABLE);

    rpc_call_reply_bytes(atomic_load(&parked), SK_EMPTY);
    tally_wait(&answered, 1);
    sk_thread_join(thread);
    echo_stop(&e);
    watcher_done(&late);
    tally_done(&answered);
    tally_done(&arrived);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api.health");
    TCase *t = tcase_create("health");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, check_answers_by_service, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, watch_tells_now_and_at_every_change, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, every_watcher_hears_the_last_of_many_changes_and_none_twice, 0,
                        ECHO_LOOPS);
    tcase_add_loop_test(t, probes_are_answered_while_the_server_drains, 0, ECHO_LOOPS);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return echo_run(suite());
}
