/* test_cork.c - what a burst holds back, and that it lets go of it. Linked with our sendmsg, as the
 * programs are. */
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "echo.h"
#include "src/cork.h"

/* --- sockets ---------------------------------------------------------------------- */

static void connect_pair(int pair[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    const int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, size), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&a, &size), 0);
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(pair[0], (struct sockaddr *)&a, size), 0);
    pair[1] = accept(listener, NULL, NULL);
    ck_assert_int_ge(pair[1], 0);
    ck_assert_int_eq(setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    close(listener);
}

static void close_pair(const int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

static void put(int fd, size_t bytes)
{
    static char data[RPC_CORK_BYTES];
    struct iovec part = {.iov_base = data, .iov_len = bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ck_assert_int_eq(sendmsg(fd, &message, 0), (ssize_t)bytes);
}

/* Bytes that the kernel has and did not send yet. */
static int waiting(int fd)
{
    int bytes = -1;
    ck_assert_int_eq(ioctl(fd, SIOCOUTQNSD, &bytes), 0);
    return bytes;
}

/* --- what is held ----------------------------------------------------------------- */

START_TEST(without_a_burst_nothing_is_held)
{
    int pair[2];
    connect_pair(pair);
    put(pair[0], 10);
    ck_assert_int_eq(waiting(pair[0]), 0);
    close_pair(pair);
}
END_TEST

START_TEST(a_burst_holds_and_its_end_pushes)
{
    int pair[2];
    char got[64];
    connect_pair(pair);
    rpc_cork_begin();
    put(pair[0], 10);
    put(pair[0], 11);
    ck_assert_int_eq(waiting(pair[0]), 21);
    ck_assert_int_eq(recv(pair[1], got, sizeof got, MSG_DONTWAIT), -1);
    (void)rpc_cork_end();
    ck_assert_int_eq(waiting(pair[0]), 0);
    ck_assert_int_eq(recv(pair[1], got, 21, MSG_WAITALL), 21);
    put(pair[0], 5);
    ck_assert_int_eq(waiting(pair[0]), 0);
    ck_assert(!rpc_cork_end()); /* without a begin: nothing */
    close_pair(pair);
}
END_TEST

/* The other side is to have work while we go on. */
START_TEST(many_writes_do_not_wait_for_the_end)
{
    int pair[2];
    connect_pair(pair);
    rpc_cork_begin();
    for (int round = 0; round < 2; round++) {
        for (int i = 1; i < RPC_CORK_WRITES; i++) put(pair[0], 1);
        ck_assert_int_eq(waiting(pair[0]), RPC_CORK_WRITES - 1);
        put(pair[0], 1);
        ck_assert_int_eq(waiting(pair[0]), 0);
    }
    put(pair[0], RPC_CORK_BYTES - 1);
    ck_assert_int_gt(waiting(pair[0]), 0);
    put(pair[0], 1);
    ck_assert_int_eq(waiting(pair[0]), 0);
    (void)rpc_cork_end();
    close_pair(pair);
}
END_TEST

START_TEST(connections_are_held_each_for_itself)
{
    int pairs[RPC_CORK_SOCKETS + 1][2];
    for (int i = 0; i <= RPC_CORK_SOCKETS; i++) connect_pair(pairs[i]);
    rpc_cork_begin();
    for (int i = 0; i <= RPC_CORK_SOCKETS; i++) put(pairs[i][0], 3);
    for (int i = 0; i < RPC_CORK_SOCKETS; i++) ck_assert_int_eq(waiting(pairs[i][0]), 3);
    ck_assert_int_eq(waiting(pairs[RPC_CORK_SOCKETS][0]), 0); /* one too many: at once */
    close_pair(pairs[0]);                                     /* in the midst of it */
    (void)rpc_cork_end();
    for (int i = 1; i < RPC_CORK_SOCKETS; i++) ck_assert_int_eq(waiting(pairs[i][0]), 0);
    for (int i = 1; i <= RPC_CORK_SOCKETS; i++) close_pair(pairs[i]);
}
END_TEST

/* For those MSG_MORE would make one datagram of two. */
START_TEST(datagrams_are_left_alone)
{
    int pair[2];
    char got[64];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    rpc_cork_begin();
    ck_assert_int_eq(rpc_cork_flags(pair[0], 1), 0);
    ck_assert_int_eq(rpc_cork_flags(udp, 1), 0);
    put(pair[0], 7);
    ck_assert_int_eq(recv(pair[1], got, sizeof got, MSG_DONTWAIT), 7);
    (void)rpc_cork_end();
    close(udp);
    close_pair(pair);
}
END_TEST

static void *put_elsewhere(void *fd)
{
    put(*(int *)fd, 4);
    return NULL;
}

START_TEST(other_threads_are_not_held)
{
    int pair[2];
    pthread_t other;
    connect_pair(pair);
    rpc_cork_begin();
    ck_assert(sk_ok(sk_thread_start("other", put_elsewhere, pair, &other)));
    sk_thread_join(other);
    ck_assert_int_eq(waiting(pair[0]), 0);
    (void)rpc_cork_end();
    close_pair(pair);
}
END_TEST

/* --- under the core --------------------------------------------------------------- */

static void count_answer(void *arg, const struct rpc_outcome *outcome, struct sk_slice response)
{
    (void)response;
    ck_assert_int_eq(outcome->code, RPC_OK);
    tally_add(arg);
}

/* What nobody pushes leaves with the next acknowledgement, or after 200 ms. For the answer of a
 * call that is alone there is none to come: forty rounds would take eight seconds. */
START_TEST(a_poller_pushes_when_it_is_dry)
{
    enum { ROUNDS = 40, CALLS = 13 };
    static struct echo e;
    struct rpc_server_options options = echo_options(_i);
    struct tally answers;
    tally_init(&answers);
    echo_start(&e, &options, NULL, NULL);
    ck_assert(sk_ok(echo_call(&e, ECHO_SAY, NULL, SK_SLICE("connected"))));
    uint64_t begin_us = sk_mono_us(sk_clock_real());
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < CALLS; i++)
            rpc_unary_bytes(e.channel, ECHO_METHOD(ECHO_SAY), NULL, SK_EMPTY, count_answer,
                            &answers);
        tally_wait(&answers, round * CALLS);
        ck_assert(sk_ok(echo_call(&e, ECHO_SAY, NULL, SK_SLICE("alone"))));
    }
    ck_assert_uint_lt(sk_mono_us(sk_clock_real()) - begin_us, 4000000);
    echo_stop(&e);
    tally_done(&answers);
}
END_TEST

static Suite *cork_suite(void)
{
    Suite *suite = suite_create("api/rpc/cork");
    TCase *tc = tcase_create("cork");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, without_a_burst_nothing_is_held);
    tcase_add_test(tc, a_burst_holds_and_its_end_pushes);
    tcase_add_test(tc, many_writes_do_not_wait_for_the_end);
    tcase_add_test(tc, connections_are_held_each_for_itself);
    tcase_add_test(tc, datagrams_are_left_alone);
    tcase_add_test(tc, other_threads_are_not_held);
    tcase_add_loop_test(tc, a_poller_pushes_when_it_is_dry, 0, ECHO_LOOPS);
    suite_add_tcase(suite, tc);
    return suite;
}

int main(void)
{
    return echo_run(cork_suite());
}
