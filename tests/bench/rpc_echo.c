/* rpc_echo.c - the same echo as echo.c, through api/rpc: what the runtime costs.
 *
 *     bench-rpc-echo [PORT]     prints {"port":N}, serves until SIGTERM
 *
 * /bench.Echo/Call answers 64 bytes; /bench.Echo/Stream sends 32 messages of 1 KiB. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "rpc/call.h"
#include "rpc/server.h"

static void answer(void *owner, rpc_call *call, struct sk_slice request)
{
    (void)request;
    rpc_call_reply_bytes(call, sk_slice_of(owner, 64));
}

enum { MESSAGES = 32 };
static uint8_t log_bytes[1024];

static void still_mapped(void *owner)
{
    (void)owner;
}

/* As a delivery: each message a small header and bytes that are not copied. */
static void stream(void *owner, rpc_call *call, struct sk_slice request)
{
    (void)request;
    for (int i = 0; i < MESSAGES; i++) {
        struct rpc_piece pieces[] = {
            {.bytes = sk_slice_of(owner, 16)},
            {.bytes = sk_slice_of(log_bytes, sizeof log_bytes), .release = still_mapped}};
        rpc_call_write_pieces(call, pieces, 2);
    }
    rpc_call_finish(call, RPC_OK, NULL);
}

static const struct rpc_method streaming = {
    .path = "/bench.Echo/Stream", .name = "Stream", .kind = RPC_SERVER_STREAM};
static const struct rpc_method method = {.path = "/bench.Echo/Call", .name = "Call"};
static uint8_t bytes[64];

static struct sk_status run(const char *address)
{
    rpc_server *server;
    int port, signal_number;
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigaddset(&end, SIGINT);
    sigprocmask(SIG_BLOCK, &end, NULL);

    for (uint8_t i = 0; i < sizeof bytes; i++) bytes[i] = i;
    SK_TRY(rpc_server_new(NULL, &server));
    rpc_server_mount_raw(server, &method, answer, bytes);
    rpc_server_mount_raw(server, &streaming, stream, bytes);
    SK_TRY(rpc_server_listen(server, address, &port));
    SK_TRY(rpc_server_start(server));
    printf("{\"port\":%d}\n", port);
    fflush(stdout);
    sigwait(&end, &signal_number);
    rpc_server_drain(server, 1000);
    rpc_server_free(server);
    return SK_SUCCESS;
}

int main(int argc, char **argv)
{
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%s", argc > 1 ? argv[1] : "0");
    struct sk_status s = run(address);
    if (!sk_ok(s)) fprintf(stderr, "bench-rpc-echo: %s\n", sk_status_text(&s));
    return sk_ok(s) ? EXIT_SUCCESS : EXIT_FAILURE;
}
