/* test_promise.c - an answer of OK is a promise: it comes after the sync, and not if that fails.
 *
 * This program's fdatasync is ours (linked with --wrap): the test holds it, lets it go on, or makes
 * it fail. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "support/suite.h"

static struct harness h;

/* --- the disk's sync --------------------------------------------------------------------- */

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held;
    int error;
    unsigned waiting;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __wrap_fdatasync(int fd)
{
    pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.held) pthread_cond_wait(&gate.changed, &gate.lock);
    gate.waiting--;
    int error = gate.error;
    pthread_mutex_unlock(&gate.lock);
    if (error == 0) return __real_fdatasync(fd);
    errno = error;
    return -1;
}

static void hold_syncs(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.held = true;
    pthread_mutex_unlock(&gate.lock);
}

static void release_syncs(int error)
{
    pthread_mutex_lock(&gate.lock);
    gate.held = false;
    gate.error = error;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void wait_for_sync(void)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.waiting == 0) pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

/* --- a request in a thread --------------------------------------------------------------- */

struct request {
    pthread_t thread;
    pthread_mutex_t lock;
    bool answered;
    struct harness own; /* the same broker; an arena of its own */
    const char *handle; /* NULL: a send */
    enum request_code { REFUSED, PROMISED } outcome;
};

static bool send_it(struct harness *on)
{
    struct rpc_options options = harness_options("tester");
    rmq_resource topic = RMQ_RESOURCE_INIT;
    topic.name = (char *)(uintptr_t) "orders";
    rmq_system_properties system = RMQ_SYSTEM_PROPERTIES_INIT;
    system.message_id = (char *)(uintptr_t) "1";
    rmq_message message = RMQ_MESSAGE_INIT, *messages[] = {&message};
    message.topic = &topic;
    message.system_properties = &system;
    message.body = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t) "x", .len = 1};
    rmq_send_message_request request = RMQ_SEND_MESSAGE_REQUEST_INIT;
    request.messages = messages;
    request.n_messages = 1;
    const rmq_send_message_response *response;
    return sk_ok(rmq_messaging_service_send_message_wait(on->channel, &options, &request, on->arena,
                                                         &response)) &&
           response->status->code == RMQ_CODE_OK;
}

static bool ack_it(struct harness *on, const char *handle)
{
    struct rpc_options options = harness_options("tester");
    rmq_resource topic = RMQ_RESOURCE_INIT, group = RMQ_RESOURCE_INIT;
    topic.name = (char *)(uintptr_t) "orders";
    group.name = (char *)(uintptr_t) "billing";
    rmq_ack_message_entry entry = RMQ_ACK_MESSAGE_ENTRY_INIT, *entries[] = {&entry};
    entry.message_id = (char *)(uintptr_t) "1";
    entry.receipt_handle = (char *)(uintptr_t)handle;
    rmq_ack_message_request request = RMQ_ACK_MESSAGE_REQUEST_INIT;
    request.topic = &topic;
    request.group = &group;
    request.entries = entries;
    request.n_entries = 1;
    const rmq_ack_message_response *response;
    return sk_ok(rmq_messaging_service_ack_message_wait(on->channel, &options, &request, on->arena,
                                                        &response)) &&
           response->status->code == RMQ_CODE_OK;
}

static void *perform(void *arg)
{
    struct request *r = arg;
    bool fine = r->handle ? ack_it(&r->own, r->handle) : send_it(&r->own);
    pthread_mutex_lock(&r->lock);
    r->outcome = fine ? PROMISED : REFUSED;
    r->answered = true;
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void begin(struct request *r, const char *handle)
{
    *r = (struct request){.own = h, .handle = handle};
    r->own.arena = sk_arena_new(0);
    pthread_mutex_init(&r->lock, NULL);
    ck_assert_int_eq(pthread_create(&r->thread, NULL, perform, r), 0);
}

static bool is_answered(struct request *r)
{
    pthread_mutex_lock(&r->lock);
    bool answered = r->answered;
    pthread_mutex_unlock(&r->lock);
    return answered;
}

static enum request_code end(struct request *r)
{
    pthread_join(r->thread, NULL);
    pthread_mutex_destroy(&r->lock);
    sk_arena_free(r->own.arena);
    return r->outcome;
}

static struct received receive_now(void)
{
    static struct received r;
    harness_receive(&h, &(struct receive_how){.topic = "orders", .group = "billing"}, &r);
    return r;
}

static void open_it(void)
{
    static const char *const settings[] = {"flush=sync", NULL};
    harness_open(&h, settings);
    harness_topic(&h, "orders", 1);
    harness_group(&h, "billing");
}

static void close_it(void)
{
    release_syncs(0);
    harness_close(&h);
}

static uint64_t log_tail(void)
{
    struct rpc_options options = harness_options("tester");
    skua_describe_broker_request request = SKUA_DESCRIBE_BROKER_REQUEST_INIT;
    const skua_describe_broker_response *response;
    ck_assert(sk_ok(
        skua_broker_admin_describe_broker_wait(h.channel, &options, &request, h.arena, &response)));
    return response->log_tail;
}

/* Begin it, wait until it is written, and give an answer that comes too early time to arrive: it
 * would be on its way before those of the twenty, on the same connection. */
static void begin_and_write(struct request *r, const char *handle)
{
    uint64_t tail = log_tail();
    begin(r, handle);
    while (log_tail() == tail) sched_yield();
    for (int i = 0; i < 20; i++) log_tail();
}

START_TEST(a_send_is_answered_and_seen_after_the_sync)
{
    struct request send;
    hold_syncs();
    begin_and_write(&send, NULL);
    ck_assert(!is_answered(&send));
    ck_assert_uint_eq(receive_now().count, 0);
    release_syncs(0);
    ck_assert_int_eq(end(&send), PROMISED);
    ck_assert_uint_eq(receive_now().count, 1);
}
END_TEST

START_TEST(an_ack_is_answered_after_the_sync)
{
    struct request ack;
    ck_assert(send_it(&h));
    struct received r = receive_now();
    ck_assert_uint_eq(r.count, 1);
    ck_assert(send_it(&h)); /* the lease is durable now */
    hold_syncs();
    begin_and_write(&ack, r.messages[0].handle);
    ck_assert(!is_answered(&ack));
    release_syncs(0);
    ck_assert_int_eq(end(&ack), PROMISED);
}
END_TEST

/* After a sync that failed nothing is promised any more, although the disk would say yes again. */
START_TEST(a_failed_sync_promises_nothing)
{
    struct request send;
    hold_syncs();
    begin_and_write(&send, NULL);
    wait_for_sync();
    release_syncs(EIO);
    ck_assert_int_eq(end(&send), REFUSED);
    release_syncs(0);
    ck_assert(!send_it(&h));
    ck_assert_int_eq(harness_await_failure(&h).code, SK_IO);
}
END_TEST

/* --- woken beside a disk that is slow ------------------------------------------------------- */

/* Where the receive begins to wait: before the send, or while the disk works for it. The first Skua
 * did not wake the second kind: it slept to its end, seconds later, beside a committed message. */
enum { WAITS_BEFORE, WAITS_DURING_SYNC, WAITS_BEHIND_ANOTHER, PLACES };

static uint64_t now_us(void)
{
    return sk_mono_us(sk_clock_real());
}

/* How long after the answer to the send the receive had its message. */
static uint64_t delay_us(int place)
{
    enum { POLL_MS = 8000 };
    static struct received got[2];
    struct receive_how how = {
        .topic = "orders", .group = "billing", .polling_ms = POLL_MS, .timeout_ms = 15000};
    harness_pending *pending[2] = {NULL, NULL};
    struct request send;
    if (place != WAITS_DURING_SYNC) pending[0] = harness_receive_begin(&h, &how, &got[0]);
    if (pending[0]) harness_wait_for_polls(&h, 1);
    hold_syncs();
    begin_and_write(&send, NULL);
    wait_for_sync();
    int last = place == WAITS_BEFORE ? 0 : place == WAITS_DURING_SYNC ? 0 : 1;
    if (!pending[last]) {
        how.group = last ? "shipping" : "billing"; /* a group of its own gets the message, too */
        pending[last] = harness_receive_begin(&h, &how, &got[last]);
        harness_wait_for_polls(&h, (uint64_t)last + 1);
    }
    usleep(30000); /* a slow disk */
    release_syncs(0);
    ck_assert_int_eq(end(&send), PROMISED);
    uint64_t answered_us = now_us();
    for (int i = 0; i <= last; i++) {
        harness_receive_end(pending[i]);
        ck_assert_uint_eq(got[i].count, 1);
    }
    return now_us() - answered_us;
}

/* On a machine that is busy with others a wake-up may be late, so the best of three counts: one
 * that was lost is late by seconds each time. */
START_TEST(a_receive_is_woken_within_50_ms_of_the_answer_to_the_send)
{
    enum { LIMIT_US = 50000, TRIES = 3 };
    uint64_t best = UINT64_MAX;
    harness_group(&h, "shipping");
    for (int i = 0; best > LIMIT_US && i < TRIES; i++) {
        uint64_t took = delay_us(_i);
        if (took < best) best = took;
        struct received left;
        do
            harness_receive(&h, &(struct receive_how){.topic = "orders", .group = "shipping"},
                            &left);
        while (left.count);
    }
    ck_assert_uint_le(best, LIMIT_US);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("services.broker.promise");
    TCase *c = tcase_create("promise");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, open_it, close_it);
    tcase_add_test(c, a_send_is_answered_and_seen_after_the_sync);
    tcase_add_test(c, an_ack_is_answered_after_the_sync);
    tcase_add_test(c, a_failed_sync_promises_nothing);
    tcase_add_loop_test(c, a_receive_is_woken_within_50_ms_of_the_answer_to_the_send, 0, PLACES);
    suite_add_tcase(suite, c);
    return suite;
}

SUITE_MAIN(make_suite)
