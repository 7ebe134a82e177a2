/* client_inside.h - what the client side is made of. Private to this room. */
#ifndef RPC_CLIENT_INSIDE_H
#define RPC_CLIENT_INSIDE_H

#include <grpc/grpc.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "rpc/channel.h"
#include "src/op.h"

/* What every call under way has in common; first member of it. */
struct rpc_client_call {
    rpc_channel *channel; /* a reference */
    grpc_call *core;
    struct rpc_client_call *next, *prev; /* guarded by the client's lock */
};

struct rpc_client {
    struct rpc_poller *poller; /* a reference */
    sk_arena *scratch;         /* for messages while a callback reads them; the poller's alone */
    struct sk_mutex lock;
    struct sk_cond idle;
    struct rpc_client_call *calls; /* guarded by lock */
    bool closing;                  /* guarded by lock; new calls are cancelled at once */
};

struct rpc_channel {
    rpc_client *client;
    grpc_channel *core;
    char *target;
    atomic_int refs; /* one of the opener, one of each call under way */
};

/* Make the core's call and join the client's list. */
void rpc_client_call_begin(struct rpc_client_call *call, rpc_channel *channel,
                           const struct rpc_method *method, uint64_t timeout_ms);
/* Leave the list and drop the core's call and the channel. The client may be gone after. */
void rpc_client_call_end(struct rpc_client_call *call);

/* Request headers in the core's form; `out` has room for all of them. */
void rpc_client_headers(const struct rpc_options *options, grpc_metadata *out);
uint32_t rpc_client_header_flags(const struct rpc_options *options);

struct rpc_outcome rpc_client_outcome(const rpc_channel *channel, grpc_status_code code,
                                      grpc_slice detail);
/* Of a call that the core would not even start. */
struct rpc_outcome rpc_client_rejected(const rpc_channel *channel, grpc_call_error why);

enum { RPC_MAX_HEADERS = 16 };

#endif
