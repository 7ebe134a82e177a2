/* test_drain.c - a server stops while calls of every kind are under way, and a call
 * that is cancelled, answered and drained at the same moment ends exactly once. */
#include "echo.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"

static struct echo e;

/* --- a lot where calls are parked ---------------------------------------------------------
 *
 * The pattern of every owner: whoever takes the call out of its place, under the
 * owner's lock, finishes it. */

struct parked {
    rpc_call *call; /* guarded by lot.lock; NULL: taken */
    bool told;
};

static struct {
    struct sk_mutex lock;
    struct parked *places[4096];
    size_t count;
    struct tally arrived, told, done, delivered;
} lot;

static void lot_init(void)
{
    sk_mutex_init(&lot.lock);
    lot.count = 0;
    tally_init(&lot.arrived);
    tally_init(&lot.told);
    tally_init(&lot.done);
    tally_init(&lot.delivered);
}

static void lot_done(void)
{
    tally_done(&lot.arrived);
    tally_done(&lot.told);
    tally_done(&lot.done);
    tally_done(&lot.delivered);
    sk_mutex_done(&lot.lock);
}

static rpc_call *take(struct parked *p)
{
    sk_mutex_lock(&lot.lock);
    rpc_call *call = p->call;
    p->call = NULL;
    sk_mutex_unlock(&lot.lock);
    return call;
}

static void on_done(void *arg, bool delivered)
{
    (void)arg;
    if (delivered) tally_add(&lot.delivered);
    tally_add(&lot.done);
}

static void answer(struct parked *p)
{
    rpc_call *call = take(p);
    if (!call) return;
    echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
    rpc_call_write(call, &response.base);
    rpc_call_finish_done(call, RPC_OK, NULL, on_done, NULL);
}

static void tell_answer(void *arg)
{
    struct parked *p = arg;
    tally_add(&lot.told);
    answer(p);
}

static void tell_only(void *arg)
{
    struct parked *p = arg;
    sk_mutex_lock(&lot.lock);
    p->told = true;
    sk_mutex_unlock(&lot.lock);
    tally_add(&lot.told);
}

static struct parked *park_call(rpc_call *call, rpc_cancel_fn *on_cancel)
{
    struct parked *p = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *p);
    p->call = call;
    sk_mutex_lock(&lot.lock);
    lot.places[lot.count++ % 4096] = p;
    sk_mutex_unlock(&lot.lock);
    if (on_cancel) rpc_call_on_cancel(call, on_cancel, p);
    return p;
}

static void park_answer(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    (void)request;
    park_call(call, tell_answer);
    tally_add(&lot.arrived);
}

static void park_only(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    (void)request;
    park_call(call, tell_only);
    tally_add(&lot.arrived);
}

/* --- clients ------------------------------------------------------------------ */

struct outcomes {
    struct tally ok, failed;
    _Atomic int last_code;
};

static void outcomes_init(struct outcomes *o)
{
    tally_init(&o->ok);
    tally_init(&o->failed);
    atomic_store(&o->last_code, 0);
}

static void outcomes_done(struct outcomes *o)
{
    tally_done(&o->ok);
    tally_done(&o->failed);
}

static void on_answer(void *arg, const struct rpc_outcome *outcome, struct sk_slice response)
{
    (void)response;
    struct outcomes *o = arg;
    atomic_store(&o->last_code, (int)outcome->code);
    tally_add(outcome->code == RPC_OK ? &o->ok : &o->failed);
}

static void park(struct outcomes *o, uint64_t timeout_ms)
{
    rpc_unary_bytes(e.channel, ECHO_METHOD(ECHO_PARK),
                    &(struct rpc_options){.timeout_ms = timeout_ms}, SK_EMPTY, on_answer, o);
}

START_TEST(a_deadline_reaches_the_parked_call)
{
    struct rpc_server_options options = echo_options(_i);
    struct outcomes o;
    outcomes_init(&o);
    lot_init();
    echo_start(&e, &options, &(struct echo_handlers){.park = park_only}, NULL);
    unsigned tries = 0;
    while (tally_get(&lot.arrived) == 0) { /* it may pass before the call even gets there */
        park(&o, 100);
        tally_wait(&o.failed, ++tries);
        ck_assert_int_eq(atomic_load(&o.last_code), RPC_DEADLINE_EXCEEDED);
    }
    tally_wait(&lot.told, 1);
    struct parked *p = lot.places[0];
    ck_assert(rpc_call_is_cancelled(p->call));
    ck_assert_int_le(rpc_call_remaining_ms(p->call), 100);
    answer(p);
    tally_wait(&lot.done, 1);
    ck_assert_uint_eq(tally_get(&lot.delivered), 0);
    echo_stop(&e);
    lot_done();
    outcomes_done(&o);
}
END_TEST

START_TEST(drain_lets_parked_calls_answer)
{
    struct rpc_server_options options = echo_options(_i);
    struct outcomes o;
    outcomes_init(&o);
    lot_init();
    echo_start(&e, &options, &(struct echo_handlers){.park = park_answer}, NULL);
    for (int i = 0; i < 200; i++) park(&o, 20000);
    tally_wait(&lot.arrived, 200);
    rpc_server_drain(e.server, 10000);
    tally_wait(&o.ok, 200);
    ck_assert_uint_eq(tally_get(&o.failed), 0);
    ck_assert_uint_eq(tally_get(&lot.told), 200);
    ck_assert_uint_eq(tally_get(&lot.done), 200);
    park(&o, 20000); /* too late: nobody listens */
    tally_wait(&o.failed, 1);
    ck_assert_int_eq(atomic_load(&o.last_code), RPC_UNAVAILABLE);
    echo_stop(&e);
    lot_done();
    outcomes_done(&o);
}
END_TEST

static void *answer_slowly(void *arg)
{
    (void)arg;
    tally_wait(&lot.told, 1); /* the drain has begun, and has asked */
    struct sk_status late = echo_call(&e, ECHO_SAY, NULL, SK_EMPTY);
    ck_assert_int_eq(late.code,
                     SK_UNAVAILABLE); /* new calls are refused, over the open connection */
    ck_assert_ptr_nonnull(strstr(late.detail, "shutting down"));
    ck_assert(!rpc_call_is_cancelled(lot.places[0]->call)); /* the answer can still arrive */
    answer(lot.places[0]);
    return NULL;
}

START_TEST(drain_waits_for_the_answer_of_another_thread)
{
    struct rpc_server_options options = echo_options(_i);
    struct outcomes o;
    pthread_t thread;
    outcomes_init(&o);
    lot_init();
    echo_start(&e, &options, &(struct echo_handlers){.park = park_only}, NULL);
    park(&o, 20000);
    tally_wait(&lot.arrived, 1);
    ck_assert(sk_ok(sk_thread_start("answer", answer_slowly, NULL, &thread)));
    rpc_server_drain(e.server, 10000);
    sk_thread_join(thread);
    tally_wait(&o.ok, 1);
    tally_wait(&lot.delivered, 1);
    echo_stop(&e);
    lot_done();
    outcomes_done(&o);
}
END_TEST

static void *answer_when_cut_off(void *arg)
{
    (void)arg;
    tally_wait(&lot.told, 1);
    while (!rpc_call_is_cancelled(lot.places[0]->call)) sched_yield();
    answer(lot.places[0]);
    return NULL;
}

START_TEST(drain_cuts_off_what_outlives_its_grace)
{
    struct rpc_server_options options = echo_options(_i);
    struct outcomes o;
    pthread_t thread;
    outcomes_init(&o);
    lot_init();
    echo_start(&e, &options, &(struct echo_handlers){.park = park_only}, NULL);
    park(&o, 20000);
    tally_wait(&lot.arrived, 1);
    ck_assert(sk_ok(sk_thread_start("answer", answer_when_cut_off, NULL, &thread)));
    rpc_server_drain(e.server, 100);
    sk_thread_join(thread);
    tally_wait(&o.failed, 1);
    ck_assert_uint_eq(tally_get(&lot.delivered), 0);
    ck_assert_uint_eq(tally_get(&lot.done), 1);
    echo_stop(&e);
    lot_done();
    outcomes_done(&o);
}
END_TEST

static void answer_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < lot.count; i++) answer(lot.places[i]);
}

/* The first is told last. */
static void park_in_turn(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    (void)request;
    park_call(call, tally_get(&lot.arrived) == 0 ? answer_all : tell_only);
    tally_add(&lot.arrived);
}

START_TEST(who_was_told_is_not_told_again_by_the_drain)
{
    struct rpc_server_options options = echo_options(_i);
    struct outcomes o;
    outcomes_init(&o);
    lot_init();
    echo_start(&e, &options, &(struct echo_handlers){.park = park_in_turn}, NULL);
    park(&o, 20000);
    tally_wait(&lot.arrived, 1);
    for (unsigned tries = 1; tally_get(&lot.arrived) == 1; tries++) {
        park(&o, 100);
        tally_wait(&o.failed, tries);
    }
    tally_wait(&lot.told, 1); /* its deadline passed */
    rpc_server_drain(e.server, 10000);
    ck_assert_uint_eq(tally_get(&lot.told), 1);
    tally_wait(&o.ok, 1);
    tally_wait(&lot.done, 2);
    echo_stop(&e);
    lot_done();
    outcomes_done(&o);
}
END_TEST

/* --- streams at drain
 * ------------------------------------------------------------------------------ */

/* As an owner of telemetry streams: open until the client is done or the server drains. */
static void chat_half_closed(const void *typed, void *arg, rpc_call *call)
{
    (void)typed;
    (void)call;
    answer(arg);
}

static void chat_message(const void *typed, void *arg, rpc_call *call,
                         const ProtobufCMessage *message)
{
    (void)typed;
    (void)call;
    (void)message;
    struct parked *p = arg;
    echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
    sk_mutex_lock(&lot.lock); /* one thread at a time works on a call */
    if (p->call) rpc_call_write(p->call, &response.base);
    sk_mutex_unlock(&lot.lock);
}

static void park_chat(void *owner, rpc_call *call)
{
    (void)owner;
    static const struct rpc_stream_events events = {chat_message, chat_half_closed};
    struct parked *p = park_call(call, NULL);
    rpc_call_listen(call, &events, NULL, p);
    rpc_call_on_cancel(call, tell_answer, p);
    tally_add(&lot.arrived);
}

static void ignore_message(const void *typed, void *arg, rpc_stream *stream,
                           const ProtobufCMessage *message)
{
    (void)typed;
    (void)arg;
    (void)stream;
    (void)message;
}

static void count_closed(const void *typed, void *arg, rpc_stream *stream,
                         const struct rpc_outcome *outcome)
{
    (void)typed;
    (void)stream;
    on_answer(arg, outcome, SK_EMPTY);
}

static const struct rpc_stream_handler stream_handler = {ignore_message, count_closed};

START_TEST(drain_ends_open_streams)
{
    struct rpc_server_options options = echo_options(_i);
    struct outcomes o;
    outcomes_init(&o);
    lot_init();
    echo_start(&e, &options, &(struct echo_handlers){.chat = park_chat, .list = park_answer}, NULL);
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    for (int i = 0; i < 20; i++) {
        (void)rpc_stream_open(e.channel, ECHO_METHOD(ECHO_CHAT), NULL, NULL, &stream_handler, NULL,
                              &o);
        (void)rpc_stream_open(e.channel, ECHO_METHOD(ECHO_LIST), NULL, &request.base,
                              &stream_handler, NULL, &o);
    }
    tally_wait(&lot.arrived, 40);
    rpc_server_drain(e.server, 10000);
    tally_wait(&o.ok, 40);
    ck_assert_uint_eq(tally_get(&lot.done), 40);
    echo_stop(&e);
    lot_done();
    outcomes_done(&o);
}
END_TEST

START_TEST(servers_without_a_life)
{
    rpc_server *server;
    ck_assert(sk_ok(rpc_server_new(NULL, &server))); /* never started */
    rpc_server_free(server);
    ck_assert(sk_ok(rpc_server_new(NULL, &server))); /* drained twice */
    int port;
    ck_assert(sk_ok(rpc_server_listen(server, ":0", &port)));
    ck_assert_int_gt(port, 0);
    ck_assert(sk_ok(rpc_server_start(server)));
    rpc_server_drain(server, 1000);
    rpc_server_drain(server, 1000);
    rpc_server_free(server);
}
END_TEST

/* --- exactly once
 * ---------------------------------------------------------------------------------------
 *
 * Clients cancel, deadlines pass, two threads answer, and at last the server drains:
 * all at once, thousands of times. Every call that arrived must be done exactly once. */

enum { ROUNDS = 60, CALLS = 64 };

static rpc_call *take_any(unsigned *seed)
{
    sk_mutex_lock(&lot.lock);
    struct parked *p = lot.count ? lot.places[(size_t)rand_r(seed) % lot.count] : NULL;
    rpc_call *call = p ? p->call : NULL;
    if (call) p->call = NULL;
    sk_mutex_unlock(&lot.lock);
    return call;
}

static void *answer_some(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int tries = 0; tries < 20 * CALLS; tries++) {
        rpc_call *call = take_any(&seed);
        if (!call) {
            sched_yield();
        } else if (rand_r(&seed) % 3 == 0) {
            rpc_call_fail(call, RPC_ABORTED, "no");
            on_done(NULL, false);
        } else {
            rpc_call_finish_done(call, RPC_OK, NULL, on_done, NULL);
        }
    }
    return NULL;
}

/* A place that outlives its call, since answer_some looks at all of them. */
static struct parked all_places[CALLS];
static _Atomic size_t places_used;

static void race_cancel(void *arg)
{
    struct parked *p = arg;
    tally_add(&lot.told);
    rpc_call *call = take(p);
    if (call) rpc_call_finish_done(call, RPC_CANCELLED, NULL, on_done, NULL);
}

static void race_park(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    (void)request;
    struct parked *p = &all_places[atomic_fetch_add(&places_used, 1)];
    *p = (struct parked){.call = call};
    tally_add(&lot.arrived);
    rpc_call_on_cancel(call, race_cancel, p); /* before others can see the call */
    sk_mutex_lock(&lot.lock);
    lot.places[lot.count++] = p;
    sk_mutex_unlock(&lot.lock);
}

static void race_once(unsigned seed, struct rpc_server_options options)
{
    struct outcomes o;
    pthread_t threads[2];
    atomic_store(&places_used, 0);
    outcomes_init(&o);
    lot_init();
    echo_start(&e, &options, &(struct echo_handlers){.park = race_park, .list = race_park}, NULL);
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    rpc_stream *streams[CALLS / 2];
    for (int i = 0; i < CALLS / 2; i++) {
        park(&o, 1 + (uint64_t)rand_r(&seed) % 8);
        streams[i] = rpc_stream_open(e.channel, ECHO_METHOD(ECHO_LIST), NULL, &request.base,
                                     &stream_handler, NULL, &o);
        if (rand_r(&seed) % 4 == 0) rpc_stream_cancel(streams[i]);
    }
    tally_wait(&lot.arrived, 1 + (unsigned)rand_r(&seed) % 8);
    for (uintptr_t i = 0; i < 2; i++)
        ck_assert(sk_ok(sk_thread_start("race", answer_some, (void *)(seed + i), &threads[i])));
    if (rand_r(&seed) % 2) rpc_server_drain(e.server, 0);
    sk_thread_join(threads[0]);
    sk_thread_join(threads[1]);
    rpc_server_drain(e.server, 2000);
    tally_wait(&lot.done, tally_get(&lot.arrived));
    echo_stop(&e);
    ck_assert_uint_eq(tally_get(&lot.done), tally_get(&lot.arrived));
    ck_assert_uint_eq(tally_get(&o.ok) + tally_get(&o.failed), CALLS);
    lot_done();
    outcomes_done(&o);
}

START_TEST(every_call_ends_exactly_once)
{
    for (unsigned i = 0; i < ROUNDS; i++) race_once(i * 7919 + 1, echo_options(_i));
}
END_TEST

/* --- the assertions that guard it
 * --------------------------------------------------------------------------- */

static void finish_twice(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    (void)request;
    rpc_call_write_pieces(call, NULL, 0); /* under way: the call cannot have ended meanwhile */
    rpc_call_finish(call, RPC_OK, NULL);
    rpc_call_finish(call, RPC_OK, NULL);
}

/* A child, for it must die; forked while no thread of gRPC is there. */
START_TEST(finishing_twice_is_caught)
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) _exit(2);
        echo_start(&e, NULL, &(struct echo_handlers){.list = finish_twice}, NULL);
        struct outcomes o;
        outcomes_init(&o);
        echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
        (void)rpc_stream_open(e.channel, ECHO_METHOD(ECHO_LIST), NULL, &request.base,
                              &stream_handler, NULL, &o);
        tally_wait(&o.ok, 1);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api.rpc.drain");
    TCase *t = tcase_create("drain");
    tcase_set_timeout(t, 100);
    tcase_add_test(t, finishing_twice_is_caught); /* first: see there */
    tcase_add_loop_test(t, a_deadline_reaches_the_parked_call, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, drain_lets_parked_calls_answer, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, drain_waits_for_the_answer_of_another_thread, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, drain_cuts_off_what_outlives_its_grace, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, who_was_told_is_not_told_again_by_the_drain, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, drain_ends_open_streams, 0, ECHO_LOOPS);
    tcase_add_test(t, servers_without_a_life);
    tcase_add_loop_test(t, every_call_ends_exactly_once, 0, ECHO_LOOPS);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return echo_run(suite());
}
