/* op.c - the loop of every poller thread, and the core's coming and going. */
#include "src/op.h"

#include <grpc/support/log.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "rpc/server.h"
#include "src/cork.h"

static bool handle(grpc_event event)
{
    if (event.type == GRPC_QUEUE_SHUTDOWN) return false;
    struct rpc_op *op = event.tag;
    (void)atomic_load_explicit(&op->given, memory_order_acquire);
    op->done(op, event.success != 0);
    return true;
}

/* --- work put off until the queue is dry ----------------------------------------- */

/* Of this poller thread. */
static _Thread_local struct {
    bool is_poller;
    unsigned events; /* since it last was dry, or did as if it were */
    rpc_dry_fn *fn;  /* what is put off */
    void *arg;
} here;

bool rpc_when_dry(rpc_dry_fn *fn, void *arg)
{
    if (!here.is_poller) return false;
    if (here.fn) return here.fn == fn && here.arg == arg;
    here.fn = fn;
    here.arg = arg;
    return true;
}

void rpc_cork_until_dry(void)
{
    if (here.is_poller) rpc_cork_begin();
}

/* Answers that were given already do not wait for this, which may be a flush. */
static void do_what_was_put_off(void)
{
    here.events = 0;
    bool busy = rpc_cork_end();
    while (here.fn) { /* it may put off something itself */
        rpc_dry_fn *fn = here.fn;
        here.fn = NULL;
        if (busy) rpc_cork_begin();
        fn(here.arg);
    }
    (void)rpc_cork_end();
}

/* --- the loop --------------------------------------------------------------------- */

bool rpc_poll_one(grpc_completion_queue *queue)
{
    return handle(grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL));
}

/* Handle events as long as there are any, the second one and all that follow corked; false when the
 * queue is shut down. */
static bool poll_until_dry(grpc_completion_queue *queue)
{
    enum { EVENTS_MOST = 64 };
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(queue, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL);
        bool dry = event.type != GRPC_OP_COMPLETE;
        if (dry || ++here.events == EVENTS_MOST) do_what_was_put_off();
        if (dry) return event.type == GRPC_QUEUE_TIMEOUT;
        rpc_cork_until_dry();
        handle(event);
    }
}

static void *poll_until_shutdown(void *arg)
{
    struct rpc_poller *poller = arg;
    here.is_poller = true;
    while (rpc_poll_one(poller->queue) && poll_until_dry(poller->queue)) {
    }
    here.is_poller = false;
    return NULL;
}

struct rpc_poller *rpc_poller_new(void)
{
    struct rpc_poller *poller = sk_zalloc(1, sizeof *poller);
    poller->queue = grpc_completion_queue_create_for_next(NULL);
    atomic_init(&poller->refs, 1);
    return poller;
}

struct sk_status rpc_poller_start(struct rpc_poller *poller, const char *name)
{
    if (poller->running) return SK_SUCCESS;
    SK_TRY(sk_thread_start(name, poll_until_shutdown, poller, &poller->thread));
    poller->running = true;
    return SK_SUCCESS;
}

struct rpc_poller *rpc_poller_ref(struct rpc_poller *poller)
{
    atomic_fetch_add_explicit(&poller->refs, 1, memory_order_relaxed);
    return poller;
}

void rpc_poller_unref(struct rpc_poller *poller)
{
    if (atomic_fetch_sub_explicit(&poller->refs, 1, memory_order_acq_rel) != 1) return;
    grpc_completion_queue_shutdown(poller->queue);
    if (poller->running)
        sk_thread_join(poller->thread);
    else
        poll_until_shutdown(poller);
    grpc_completion_queue_destroy(poller->queue);
    free(poller);
}

/* The core logs what goes wrong below any call (a handshake, a listener). */
static void on_core_log(gpr_log_func_args *line)
{
    enum sk_log_level level = line->severity == GPR_LOG_SEVERITY_ERROR ? SK_WARN : SK_DEBUG_LEVEL;
    sk_log(level, "grpc core", sk_text("detail", line->message));
}

/* Debian's abseil looks for deadlocks at each of the core's locks, and keeps a graph of them for
 * that. That is for who writes the core; turning it off is
 * absl::SetMutexDeadlockDetectionMode(kIgnore), which has no C name. Weak: another abseil is none
 * the worse. */
extern void set_deadlock_detection(int mode) __asm__(
    "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE") __attribute__((weak));

static void core_start(void)
{
    enum { IGNORE = 0 };
    gpr_set_log_function(on_core_log);
    if (set_deadlock_detection) set_deadlock_detection(IGNORE);
    grpc_init();
}

void rpc_core_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, core_start);
}
