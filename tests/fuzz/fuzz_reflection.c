/* fuzz_reflection.c - any bytes as questions to reflection (v1, v1alpha) and health of a server.
 *
 * Besides what calls.h asks for: after every input the services are listed as they were at first.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "calls.h"
#include "grpc/health/v1/health.rpc.h"
#include "grpc/reflection/v1/reflection.rpc.h"
#include "grpc/reflection/v1alpha/reflection.rpc.h"
#include "health/health.h"
#include "proto/descriptors.h"
#include "reflection/reflection.h"
#include "rpc/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static rpc_server *server;
static struct calls calls;

static void close_it(void)
{
    raw_client_close(calls.client);
    rpc_server_free(server);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct rpc_service *const services[] = {
        &reflection_server_reflection, &reflection_alpha_server_reflection, &health_health};
    int port;
    (void)argc, (void)argv;
    sk_log_configure(SK_SILENT, false);
    sk_assert(sk_ok(rpc_server_new(NULL, &server)));
    (void)sk_health_mount(server);
    sk_reflection_mount(server, skua_descriptor_set);
    sk_assert(sk_ok(rpc_server_listen(server, "127.0.0.1:0", &port)));
    sk_assert(sk_ok(rpc_server_start(server)));
    calls = (struct calls){.client = raw_client_open(port),
                           .services = services,
                           .service_count = sizeof services / sizeof services[0]};
    atexit(close_it);
    return 0;
}

static void keep_length(void *arg, struct sk_slice bytes)
{
    *(size_t *)arg = bytes.len;
}

/* list_services */
static void probe(void)
{
    static size_t first;
    static const uint8_t question[] = {0x3a, 0};
    const struct sk_slice message = sk_slice_of(question, sizeof question);
    size_t len = 0;
    struct raw_ending ending;
    const struct raw_call call = {.path = reflection_server_reflection.methods[0].path,
                                  .messages = &message,
                                  .count = 1,
                                  .message = keep_length,
                                  .arg = &len};
    raw_client_call(calls.client, &call, &ending);
    sk_assert(ending.code == RPC_OK && ending.messages == 1 && len > 0);
    if (first == 0) first = len;
    sk_assert(len == first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    calls_run(&calls, data, size);
    probe();
    return 0;
}
