/* test_connection.c - what happens below the calls: silence, restarts, many connections. */
#include "echo.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct echo e;

static int connect_raw(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)e.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Reads until the server closes; false when it has not within 20 s. */
static bool is_closed_by_server(int fd)
{
    char bytes[256];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, 20000) == 1)
        if (read(fd, bytes, sizeof bytes) <= 0) return true;
    return false;
}

START_TEST(a_silent_connection_is_dropped)
{
    struct rpc_server_options options = echo_options(_i);
    options.handshake_timeout_ms = 200;
    echo_start(&e, &options, NULL, NULL);
    int silent = connect_raw(), babbling = connect_raw();
    ck_assert_int_gt(write(babbling, "GET / HTTP/1.0\r\n\r\n", 18), 0);
    ck_assert(is_closed_by_server(silent));
    ck_assert(is_closed_by_server(babbling));
    close(silent);
    close(babbling);
    ck_assert(sk_ok(echo_call(&e, ECHO_SAY, NULL, SK_SLICE("still here"))));
    echo_stop(&e);
}
END_TEST

START_TEST(a_restarted_server_is_found_again)
{
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, NULL, NULL);
    ck_assert(sk_ok(echo_call(&e, ECHO_SAY, NULL, SK_SLICE("before"))));
    rpc_server_free(e.server);
    ck_assert_int_eq(echo_call(&e, ECHO_SAY, NULL, SK_EMPTY).code, SK_UNAVAILABLE);

    ck_assert(sk_ok(rpc_server_new(&options, &e.server)));
    echo_mount(e.server, NULL, NULL);
    ck_assert(sk_ok(rpc_server_listen(e.server, e.target, NULL))); /* the same port, at once */
    ck_assert(sk_ok(rpc_server_start(e.server)));
    struct rpc_options patient = {.timeout_ms = 20000, .wait_for_ready = true};
    ck_assert(sk_ok(echo_call(&e, ECHO_SAY, &patient, SK_SLICE("after"))));
    echo_stop(&e);
}
END_TEST

static void count_ok(void *arg, const struct rpc_outcome *outcome, struct sk_slice response)
{
    (void)response;
    ck_assert_msg(outcome->code == RPC_OK, "%s", outcome->status.detail);
    tally_add(arg);
}

static void count_refused(void *arg, const struct rpc_outcome *outcome, struct sk_slice response)
{
    (void)response;
    ck_assert_int_eq(outcome->code, RPC_UNAVAILABLE);
    tally_add(arg);
}

START_TEST(many_connections)
{
    enum { CONNECTIONS = 50, EACH = 40 };
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, NULL, NULL);
    rpc_channel *channels[CONNECTIONS];
    struct tally done;
    tally_init(&done);
    struct rpc_options patient = {.timeout_ms = 60000};
    for (int i = 0; i < CONNECTIONS; i++) {
        ck_assert(sk_ok(rpc_channel_open(e.client, e.target, NULL, &channels[i])));
        for (int j = 0; j < EACH; j++)
            rpc_unary_bytes(channels[i], ECHO_METHOD(ECHO_SAY), &patient, SK_EMPTY, count_ok,
                            &done);
    }
    for (int i = 0; i < CONNECTIONS; i++)
        rpc_channel_close(channels[i]); /* calls under way keep going */
    tally_wait(&done, CONNECTIONS * EACH);
    tally_done(&done);
    echo_stop(&e);
}
END_TEST

/* A client on the server's own poller: it calls that server, and outlives it. */
START_TEST(a_client_beside_its_server)
{
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, NULL, NULL);
    rpc_client *beside;
    rpc_channel *channel;
    struct tally done;
    tally_init(&done);
    ck_assert(sk_ok(rpc_client_new_beside(e.server, &beside)));
    ck_assert(sk_ok(rpc_channel_open(beside, e.target, NULL, &channel)));
    for (int i = 0; i < 100; i++)
        rpc_unary_bytes(channel, ECHO_METHOD(ECHO_SAY), NULL, SK_EMPTY, count_ok, &done);
    tally_wait(&done, 100);

    rpc_channel_close(e.channel);
    rpc_client_free(e.client);
    rpc_server_free(e.server);
    rpc_unary_bytes(channel, ECHO_METHOD(ECHO_SAY), NULL, SK_EMPTY, count_refused, &done);
    tally_wait(&done, 101);
    rpc_channel_close(channel);
    rpc_client_free(beside);
    tally_done(&done);
}
END_TEST

START_TEST(a_client_beside_a_server_that_never_starts)
{
    struct rpc_server_options options = echo_options(_i);
    rpc_server *server;
    rpc_client *beside;
    rpc_channel *channel;
    struct tally done;
    tally_init(&done);
    ck_assert(sk_ok(rpc_server_new(&options, &server)));
    ck_assert(sk_ok(rpc_client_new_beside(server, &beside)));
    ck_assert(sk_ok(rpc_channel_open(beside, "127.0.0.1:1", NULL, &channel)));
    rpc_unary_bytes(channel, ECHO_METHOD(ECHO_SAY), NULL, SK_EMPTY, count_refused, &done);
    tally_wait(&done, 1);
    rpc_channel_close(channel);
    rpc_server_free(server);
    rpc_client_free(beside);
    tally_done(&done);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api.rpc.connection");
    TCase *t = tcase_create("connection");
    tcase_set_timeout(t, 100);
    tcase_add_loop_test(t, a_silent_connection_is_dropped, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_restarted_server_is_found_again, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, many_connections, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_client_beside_its_server, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_client_beside_a_server_that_never_starts, 0, ECHO_LOOPS);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return echo_run(suite());
}
