/* server_inside.h - what a server is made of. Private to this room.
 *
 *   NEW ──start──► SERVING ──drain──► DRAINING ──► STOPPED
 *
 * A route is one mounted method. Each poller keeps some calls of each route
 * posted with the core; a call that arrives is replaced before it is handled
 * (performance.md 3.4.3). A route begins with one posted call, has a few once it is used, and gets
 * more as more of its calls are alive at one time, so that forty quiet methods do not cost forty
 * times the memory of the one hot one. */
#ifndef RPC_SERVER_INSIDE_H
#define RPC_SERVER_INSIDE_H

#include <grpc/grpc.h>

#include "base/thread.h"
#include "rpc/guard.h"
#include "rpc/server.h"
#include "src/call_inside.h"
#include "src/op.h"

struct rpc_route {
    const struct rpc_method *method;
    const struct rpc_binding *binding;
    const void *handlers;
    void *owner;
    rpc_raw_fn *raw;
    void *raw_owner;
    void *registered;     /* the core's handle */
    bool to_the_end;      /* answered even while the server drains */
    size_t posted, alive; /* posted: the aim, over all pollers; guarded by the server's lock */
    struct rpc_route *next;
};

enum rpc_server_state { SERVER_NEW, SERVER_SERVING, SERVER_DRAINING, SERVER_STOPPED };

struct rpc_watcher {
    const struct rpc_server_events *events;
    void *owner;
    struct rpc_watcher *next;
};

struct rpc_server {
    struct rpc_server_options options;
    grpc_server *core;
    struct rpc_poller **pollers; /* references; of the first, a client may have another */
    struct rpc_route *routes;    /* fixed after start */
    struct rpc_route unknown;    /* stands for every method that is not mounted */
    const struct rpc_service **services;
    size_t service_count;
    rpc_guard_fn *guard; /* NULL: everybody may come in */
    void *guard_owner;
    struct rpc_watcher *watchers; /* fixed after start */

    struct sk_mutex lock;
    struct sk_cond changed;      /* one of the counts fell to 0, or the core is shut down */
    enum rpc_server_state state; /* guarded by lock, as all that follows */
    size_t alive, posted;        /* calls between arrival and end; slots with the core */
    size_t working;              /* of those alive, the ones that came before the drain */
    struct rpc_call *free_calls;
    size_t free_call_count;
    sk_arena *free_arenas[64];
    size_t free_arena_count;
    struct rpc_call *parked;
    struct rpc_op shut;
    bool core_is_shut;
};

/* --- slots and arenas (server_post.c) ----------------------------------------- */

/* Post the first calls of every route with every poller. */
void rpc_server_post_all(struct rpc_server *server);
/* An ended call comes back. */
void rpc_server_take_back(struct rpc_server *server, struct rpc_call *call);
sk_arena *rpc_server_take_arena(struct rpc_server *server);
void rpc_server_give_arena(struct rpc_server *server, sk_arena *arena);
void rpc_server_free_slots(struct rpc_server *server);

/* --- parked calls (drain.c); the call's lock is held -------------------------- */

/* True: the server drains, tell the owner yourself. */
bool rpc_server_park(struct rpc_server *server, struct rpc_call *call);
void rpc_server_unpark(struct rpc_server *server, struct rpc_call *call);

#endif
