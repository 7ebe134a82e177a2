/* call_inside.h - what a server call is made of. Private to this room.
 *
 *   POSTED ──arrived──► OPEN ──finish──► FINISHED ──last op done──► ENDED ─► free list
 *      └──────────server shut down──────────────────────────────────▲
 *
 * Four things can be under way in the core for one call, each with its own op:
 *
 *      arrived   the slot waits for a call of its method
 *      sent      one batch of: headers, one message, the final status
 *      closed    "tell me when the call is over, and whether it was cancelled"
 *      received  one incoming message (bidi)
 *
 * References: one for the life from arrival until the status batch is reported,
 * one for `closed` and one for `received` while under way, and one for whoever
 * tells the call of a drain. The last one ends the call.
 *
 * A unary call that nobody parks with rpc_call_on_cancel is answered by a single
 * batch which carries `closed` too: one event to arrive, one to be done. */
#ifndef RPC_CALL_INSIDE_H
#define RPC_CALL_INSIDE_H

#include <grpc/grpc.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "rpc/call.h"
#include "src/op.h"
#include "src/payload.h"

enum rpc_call_state { CALL_POSTED, CALL_OPEN, CALL_FINISHED, CALL_ENDED, CALL_STATES };

/* Messages that wait for their turn; a ring that keeps its memory. */
struct rpc_outgoing {
    grpc_byte_buffer *payload;
    size_t len;
};

struct rpc_queue {
    struct rpc_outgoing *slots;
    size_t room, first, count;
};

void rpc_queue_put(struct rpc_queue *q, struct rpc_outgoing message);
struct rpc_outgoing rpc_queue_take(struct rpc_queue *q);
/* Destroys what waits, which may run release functions: hold no lock. */
void rpc_queue_drop(struct rpc_queue *q);
void rpc_queue_done(struct rpc_queue *q);

struct rpc_server;
struct rpc_route;

struct rpc_call {
    struct rpc_server *server;
    struct rpc_route *route; /* without a method: the slot for those that nobody mounted */
    struct rpc_poller *poller;
    struct rpc_call *next_free; /* guarded by the server's lock */

    /* --- filled by the core when the call arrives */
    struct rpc_op arrived;
    grpc_call *core;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    grpc_call_details details; /* only in slots without a method */

    /* --- the owner's view, made when first asked for */
    sk_arena *arena;
    struct sk_slice request;
    const char *peer;
    const struct rpc_identity *identity;
    bool late; /* arrived while the server drains */
    enum { TLS_UNASKED, TLS_NO, TLS_YES } tls;

    struct sk_mutex lock;
    enum rpc_call_state state; /* guarded by lock, as all that follows */
    atomic_int refs;
    _Atomic bool cancelled; /* written under lock, read anywhere */

    /* --- parked */
    rpc_cancel_fn *cancel_fn;
    void *cancel_arg;
    bool cancel_told;
    struct rpc_call *parked_next, *parked_prev; /* guarded by the server's lock */
    bool parked;                                /* in the server's list; guarded by both */

    struct rpc_slab slab; /* the owner's, while it writes */

    /* --- sending: `sending` gives one thread the right to start a batch */
    struct rpc_op sent;
    struct rpc_queue queue;
    _Atomic size_t backlog;
    bool sending, headers_wanted, headers_sent, status_sent, status_ok;
    enum rpc_code code;
    grpc_slice detail;
    rpc_done_fn *done;
    void *done_arg;

    /* --- closed */
    struct rpc_op closed;
    bool close_started;
    int core_cancelled;

    /* --- receiving (bidi) */
    struct rpc_op received;
    const struct rpc_stream_events *events;
    const void *events_typed;
    void *events_arg;
    grpc_byte_buffer *incoming;
    sk_arena *incoming_arena;
    bool undecodable;
};

/* A slot for the life of the server; `arrived` is set by server_post.c. */
struct rpc_call *rpc_call_new(struct rpc_server *server);
void rpc_call_free(struct rpc_call *call);

/* ENDED → POSTED */
void rpc_call_post(struct rpc_call *call);
/* POSTED → OPEN, with the first reference. */
void rpc_call_open(struct rpc_call *call);
/* POSTED → ENDED: the server shuts down and nobody came. */
void rpc_call_withdraw(struct rpc_call *call);

void rpc_call_ref(struct rpc_call *call);
void rpc_call_unref(struct rpc_call *call);

/* Ask the core to report the end of the call. Once. */
void rpc_call_watch_close(struct rpc_call *call);

/* Tell the owner, unless it was told or has finished. The caller holds a reference. */
void rpc_call_tell_cancel(struct rpc_call *call);

/* The connection or the client is gone: drop what waits to be sent, tell the owner. */
void rpc_call_broke(struct rpc_call *call);

/* One batch to be sent. */
struct rpc_batch {
    bool headers, message, status, close;
    uint32_t message_flags;
    grpc_byte_buffer *payload;
    enum rpc_code code;
    grpc_slice detail;
};

/* With the lock held: is there something to send, and nobody sending? Then the caller has
 * the right and the duty to give *out to rpc_call_send, without the lock. */
bool rpc_call_plan_locked(struct rpc_call *call, struct rpc_batch *out);
/* Do not touch the call afterwards: it may have ended meanwhile. */
void rpc_call_send(struct rpc_call *call, struct rpc_batch *batch);
/* As the op of `sent`. */
void rpc_call_on_sent(struct rpc_op *op, bool ok);
void rpc_call_on_received(struct rpc_op *op, bool ok);

/* The request's bytes in one stretch; false: no message came, or the budget is exceeded. */
bool rpc_call_take_request(struct rpc_call *call);

#endif
