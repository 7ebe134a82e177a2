/* test_enter.c - nobody calls in with a lock of his own, and what makes that possible: streams that
 * are kept past their end. */
#include "echo.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"

static struct echo e;

/* --- the rule ------------------------------------------------------------------------------ */

static void ignore(const void *typed, void *arg, rpc_stream *stream,
                   const ProtobufCMessage *message)
{
    (void)typed, (void)arg, (void)stream, (void)message;
}

static void count(const void *typed, void *arg, rpc_stream *stream,
                  const struct rpc_outcome *outcome)
{
    (void)typed, (void)stream, (void)outcome;
    tally_add(arg);
}

static const struct rpc_stream_handler handler = {ignore, count};

static struct sk_mutex mine;

static void answer_under_a_lock(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner, (void)request;
    sk_mutex_lock(&mine);
    /* what came with it may be asked */
    (void)rpc_call_peer(call), (void)rpc_call_is_tls(call), (void)rpc_call_identity(call);
    (void)rpc_call_metadata(call, "x"), (void)rpc_call_arena(call);
    rpc_call_fail(call, RPC_ABORTED, "reached");
    sk_mutex_unlock(&mine);
}

/* These end in the assertion, with the lock. */
static void call_under_a_lock(void) SK_NO_THREAD_ANALYSIS
{
    struct sk_status s = echo_call(&e, ECHO_SAY, NULL, SK_EMPTY); /* connected, and no lock */
    if (!sk_ok(s)) _exit(3);
    sk_mutex_lock(&mine);
    rpc_unary_bytes(e.channel, ECHO_METHOD(ECHO_SAY), NULL, SK_EMPTY, NULL, NULL);
}

static void open_under_a_lock(void) SK_NO_THREAD_ANALYSIS
{
    struct tally closed;
    tally_init(&closed);
    sk_mutex_lock(&mine);
    (void)rpc_stream_open(e.channel, ECHO_METHOD(ECHO_CHAT), NULL, NULL, &handler, NULL, &closed);
}

static void have_it_answered(void)
{
    (void)echo_call(&e, ECHO_PARK, NULL, SK_EMPTY);
}

static void (*const offences[])(void) = {call_under_a_lock, open_under_a_lock, have_it_answered};
enum { OFFENCES = sizeof offences / sizeof offences[0] };

/* A child, for it must die; forked while no thread of gRPC is there. */
START_TEST(a_lock_that_is_held_is_noticed)
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) _exit(2);
        sk_mutex_init(&mine);
        echo_start(&e, NULL, &(struct echo_handlers){.park = answer_under_a_lock}, NULL);
        offences[_i]();
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
#ifdef SK_DEBUG
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#else
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0); /* it is not counted there */
#endif
}
END_TEST

/* --- kept streams -------------------------------------------------------------------------- */

static const struct rpc_options keep = {.keep_stream = true};

static void use(rpc_stream *stream)
{
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    rpc_stream_write(stream, &request.base);
    rpc_stream_half_close(stream);
    rpc_stream_cancel(stream);
}

START_TEST(a_kept_stream_may_be_used_after_its_end)
{
    struct rpc_server_options options = echo_options(_i);
    struct tally closed;
    tally_init(&closed);
    echo_start(&e, &options, NULL, NULL);
    for (unsigned i = 1; i <= 100; i++) {
        rpc_stream *stream = rpc_stream_open(e.channel, ECHO_METHOD(ECHO_MISSING), &keep, NULL,
                                             &handler, NULL, &closed);
        if (i % 2) use(stream); /* while it ends */
        tally_wait(&closed, i);
        use(stream);
        rpc_stream_unref(stream);
    }
    rpc_stream_unref(NULL);
    ck_assert(sk_ok(echo_call(&e, ECHO_SAY, NULL, SK_SLICE("still here"))));
    echo_stop(&e);
    ck_assert_uint_eq(tally_get(&closed), 100);
    tally_done(&closed);
}
END_TEST

struct holder {
    rpc_stream *stream;
    struct tally *closed;
    _Atomic bool released;
};

static void *hold(void *arg)
{
    struct holder *h = arg;
    tally_wait(h->closed, 1); /* by rpc_client_free, which then waits for us */
    use(h->stream);
    atomic_store(&h->released, true);
    rpc_stream_unref(h->stream);
    return NULL;
}

START_TEST(a_client_waits_for_who_keeps_a_stream)
{
    struct rpc_server_options options = echo_options(_i);
    struct tally closed;
    pthread_t thread;
    tally_init(&closed);
    echo_start(&e, &options, NULL, NULL);
    struct holder h = {.closed = &closed};
    h.stream =
        rpc_stream_open(e.channel, ECHO_METHOD(ECHO_CHAT), &keep, NULL, &handler, NULL, &closed);
    rpc_stream *second = rpc_stream_ref(h.stream);
    ck_assert_ptr_eq(second, h.stream);
    rpc_stream_unref(second);
    ck_assert(sk_ok(sk_thread_start("holder", hold, &h, &thread)));
    echo_stop(&e);
    ck_assert(atomic_load(&h.released));
    sk_thread_join(thread);
    tally_done(&closed);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api.rpc.enter");
    TCase *t = tcase_create("enter");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_lock_that_is_held_is_noticed, 0, OFFENCES); /* first: see there */
    tcase_add_loop_test(t, a_kept_stream_may_be_used_after_its_end, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_client_waits_for_who_keeps_a_stream, 0, ECHO_LOOPS);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return echo_run(suite());
}
