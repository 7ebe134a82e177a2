/* op.h - something that the C core will report on a completion queue.
 *
 * The tag of every event is a struct rpc_op inside the object it is about
 * (libuv's request idea): the loop calls op->done(op, ok) and knows no more.
 *
 * The queue hands memory from thread to thread under locks that sanitizers
 * cannot see inside libgrpc; `given` repeats that hand-over where they can. It
 * is a plain store and load on our machines. */
#ifndef RPC_OP_H
#define RPC_OP_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/status.h"

struct rpc_op {
    void (*done)(struct rpc_op *op, bool ok);
    _Atomic bool given; /* release in rpc_op_give pairs with acquire in the loop */
};

/* The object around one of its ops. */
#define RPC_AROUND(type, member, op_) ((type *)(void *)((char *)(op_)-offsetof(type, member)))

static inline void *rpc_op_give(struct rpc_op *op)
{
    atomic_store_explicit(&op->given, true, memory_order_release);
    return op;
}

/* Start a batch that the core must take. Once it is given, the object around `op` belongs
 * to whoever handles the event: `core` is read before. */
static inline void rpc_op_start(grpc_call *core, const grpc_op *ops, size_t count,
                                struct rpc_op *op)
{
    void *tag = rpc_op_give(op);
    grpc_call_error err = grpc_call_start_batch(core, ops, count, tag, NULL);
    sk_assert(err == GRPC_CALL_OK);
}

/* One queue and the thread that empties it; a server's may be shared with a client. */
struct rpc_poller {
    grpc_completion_queue *queue;
    pthread_t thread;
    bool running;
    atomic_int refs;
};

struct rpc_poller *rpc_poller_new(void);
/* Does nothing if it runs already. */
SK_CHECKED struct sk_status rpc_poller_start(struct rpc_poller *poller, const char *name);
struct rpc_poller *rpc_poller_ref(struct rpc_poller *poller);
/* Nothing of the caller's may be under way any more. The last one ends the thread, or without a
 * thread empties the queue itself; not from the thread. */
void rpc_poller_unref(struct rpc_poller *poller);

/* Handle one event, waiting for it; false when the queue is shut down and empty. */
bool rpc_poll_one(grpc_completion_queue *queue);

/* Start the core, once, and lead its log into ours. It is never shut down: grpc_shutdown can
 * wait ten seconds for a backup poller of its own that nobody wakes (seen in 1.51 after large
 * writes), and a broker that restarts has no ten seconds. */
void rpc_core_start(void);

#endif
