/* fuzz_rpc_namesrv.c - any bytes as requests of a running name server: brokers', tools' and
 * clients'.
 *
 * It is real, in this process, and made anew now and then. Besides what calls.h asks for, after
 * every input it must answer a client, and now and then take a broker's registration and tell a
 * watcher. */
#include <stdlib.h>
#include <string.h>

#include "apache/rocketmq/v2/service.rpc.h"
#include "base/assert.h"
#include "calls.h"
#include "fixture.h"

enum { LIFE = 4000, REGISTER = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct place place;
static struct calls calls;
static uint64_t inputs;

static void open_it(void)
{
    static const struct rpc_service *const services[] = {&skua_name_server, &rmq_messaging_service};
    place_open(&place, NULL, 0);
    calls = (struct calls){.client = raw_client_open(place.port),
                           .services = services,
                           .service_count = sizeof services / sizeof services[0]};
}

static void close_it(void)
{
    raw_client_close(calls.client);
    place_close(&place);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    open_it();
    atexit(close_it);
    return 0;
}

static void answers(void)
{
    static char name[] = "orders";
    rmq_resource topic = RMQ_RESOURCE_INIT;
    topic.name = name;
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    request.topic = &topic;
    const rmq_query_route_response *response;
    sk_assert(sk_ok(rmq_messaging_service_query_route_wait(place.channel, &as_client, &request,
                                                           place.arena, &response)));
    sk_assert(response->status != NULL);
    sk_arena_reset(place.arena);
}

static void registers(void)
{
    static struct inbox inbox;
    inbox_init(&inbox);
    rpc_stream *stream = open_register(&place, &inbox);
    send_report(stream, "probe", inputs, 1);
    inbox_await(&inbox, "v1 ");
    send_leaving(stream);
    inbox_await_close(&inbox, RPC_OK);
    inbox_done(&inbox);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (++inputs % LIFE == 0) {
        close_it();
        open_it();
    }
    calls_run(&calls, data, size);
    answers();
    if (inputs % REGISTER == 0) registers();
    return 0;
}
