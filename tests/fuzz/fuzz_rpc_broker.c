/* fuzz_rpc_broker.c - any bytes as requests of a running broker: MessagingService, BrokerAdmin,
 * Admin.
 *
 * The broker is real, in this process, on a data directory that is removed; it is made anew now and
 * then, and in between goes on with what the inputs did to it. Besides what calls.h asks for, after
 * every input it must take a message, and now and then deliver it. Broker and server assert when
 * they are taken down that every call was ended. */
#include <stdlib.h>

#include "apache/rocketmq/v2/admin.rpc.h"
#include "base/assert.h"
#include "calls.h"
#include "harness.h"

enum { LIFE = 4000, DELIVER = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct harness h;
static struct calls calls;
static uint64_t inputs;

static void open_it(void)
{
    static const struct rpc_service *const services[] = {&rmq_messaging_service, &skua_broker_admin,
                                                         &rmq_admin};
    harness_open(&h, NULL);
    harness_topic(&h, "t", 2);
    harness_group(&h, "g");
    harness_topic(&h, "probe", 1);
    harness_group(&h, "prober");
    for (int i = 0; i < 40; i++)
        sk_assert(harness_send(&h, "t", "id", i % 2 ? "a" : NULL, "body", NULL) == RMQ_CODE_OK);
    calls = (struct calls){.client = raw_client_open(h.port),
                           .services = services,
                           .service_count = sizeof services / sizeof services[0]};
}

static void close_it(void)
{
    raw_client_close(calls.client);
    harness_close(&h);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    open_it();
    atexit(close_it);
    return 0;
}

static void deliver(void)
{
    static struct received r;
    struct receive_how how = {.topic = "probe", .group = "prober", .batch = 32};
    harness_receive(&h, &how, &r);
    sk_assert(r.ended == RPC_OK && r.in_order && r.code == RMQ_CODE_OK && r.count > 0);
    for (size_t i = 0; i < r.count; i++)
        sk_assert(harness_ack(&h, "probe", "prober", r.messages[i].handle) == RMQ_CODE_OK);
}

/* Inputs may have deleted or changed what the probe needs: libFuzzer learns names. */
static void probe(void)
{
    if (harness_send(&h, "probe", "p", NULL, "probe", NULL) != RMQ_CODE_OK) {
        close_it();
        open_it();
        sk_assert(harness_send(&h, "probe", "p", NULL, "probe", NULL) == RMQ_CODE_OK);
    }
    if (inputs % DELIVER == 0) deliver();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (++inputs % LIFE == 0) {
        close_it();
        open_it();
    }
    calls_run(&calls, data, size);
    probe();
    sk_arena_reset(h.arena);
    sk_assert(sk_ok(h.failure));
    return 0;
}
