/* op.c - the loop of every poller thread, and the core's coming and going. */
#include "src/op.h"

#include <grpc/support/log.h>
#include <time.h>

#include "base/log.h"
#include "base/thread.h"

static bool handle(grpc_event event)
{
    if (event.type == GRPC_QUEUE_SHUTDOWN) return false;
    struct rpc_op *op = event.tag;
    (void)atomic_load_explicit(&op->given, memory_order_acquire);
    op->done(op, event.success != 0);
    return true;
}

bool rpc_poll_one(grpc_completion_queue *queue)
{
    return handle(grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL));
}

/* Never blocks in the core: threads that wait there take turns at all sockets of the process,
 * and each turn costs two context switches. */
static bool poll_lazily(grpc_completion_queue *queue)
{
    enum { PAUSE_NS = 10000000 };
    grpc_event event = grpc_completion_queue_next(queue, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL);
    if (event.type != GRPC_QUEUE_TIMEOUT) return handle(event);
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    return true;
}

static void *poll_until_shutdown(void *arg)
{
    struct rpc_poller *poller = arg;
    while (poller->lazy ? poll_lazily(poller->queue) : rpc_poll_one(poller->queue)) {
    }
    return NULL;
}

void rpc_poller_init(struct rpc_poller *poller)
{
    *poller = (struct rpc_poller){.queue = grpc_completion_queue_create_for_next(NULL)};
}

struct sk_status rpc_poller_start(struct rpc_poller *poller, const char *name)
{
    SK_TRY(sk_thread_start(name, poll_until_shutdown, poller, &poller->thread));
    poller->running = true;
    return SK_SUCCESS;
}

void rpc_poller_done(struct rpc_poller *poller)
{
    grpc_completion_queue_shutdown(poller->queue);
    if (poller->running)
        sk_thread_join(poller->thread);
    else
        poll_until_shutdown(poller);
    grpc_completion_queue_destroy(poller->queue);
}

/* The core logs what goes wrong below any call (a handshake, a listener). */
static void on_core_log(gpr_log_func_args *line)
{
    enum sk_log_level level = line->severity == GPR_LOG_SEVERITY_ERROR ? SK_WARN : SK_DEBUG_LEVEL;
    sk_log(level, "grpc core", sk_text("detail", line->message));
}

static void core_start(void)
{
    gpr_set_log_function(on_core_log);
    grpc_init();
}

void rpc_core_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, core_start);
}
