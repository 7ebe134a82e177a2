/* guard.h - whether a call is let in, before a byte of its request is read.
 *
 *      arrives ─► draining? ─► guard ─► known method? ─► decode ─► handler
 *                    │ yes       │ fails     │ no           │ no such message
 *                UNAVAILABLE  its code  UNIMPLEMENTED  INVALID_ARGUMENT
 *
 * One door for every kind of call (unary, raw, streams of the server's, of the client's, of both)
 * of every service, health and reflection among them, and for methods that nobody mounted: who may
 * not come in learns nothing of what is inside, and a flood of nonsense meets the same limits as
 * any other. It runs exactly once for each call, and not at all for those that end earlier:
 * refused by a server that drains, or by the core (metadata above the limits).
 *
 * A server without a guard asks for nothing and pays nothing. */
#ifndef RPC_GUARD_H
#define RPC_GUARD_H

#include "rpc/call.h"
#include "rpc/server.h"
#include "rpc/service.h"

struct rpc_verdict {
    enum rpc_code code; /* RPC_OK: come in */
    const char *text;   /* for the client; static, or in the call's arena; NULL: none */
};

#define RPC_PASS ((struct rpc_verdict){.code = RPC_OK})

/* May ask the call all that "came with the call" (rpc/call.h): rpc_call_path, rpc_call_method
 * (NULL: nobody mounted it), rpc_call_peer, rpc_call_is_tls, rpc_call_identity, rpc_call_metadata,
 * the deadline, the arena. It must not answer, park or listen: the verdict speaks for it.
 *
 * Threads: the pollers; several at the same time, for different calls. It must not block. */
typedef struct rpc_verdict rpc_guard_fn(void *owner, rpc_call *call);

/* Before start, once; `owner` must outlive the server. */
void rpc_server_guard(rpc_server *server, rpc_guard_fn *fn, void *owner);

#endif
