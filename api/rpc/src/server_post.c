/* server_post.c - calls posted with the core, their arrival, and their slots. */
#include "base/assert.h"
#include "base/memory.h"
#include "src/server_inside.h"

/* A method has one call posted until it is used, and then a few; more only while more are alive.
 * Debian's core is built with its assertions: for each completion it looks through the tags of all
 * that is posted or under way on the queue (cq_check_tag), which with eight for each method was
 * 3.8 % of what a delivery costs. */
enum { POSTED_AT_FIRST = 1, POSTED_IN_USE = 8, FREE_CALLS_KEPT = 4096 };

static void on_arrived(struct rpc_op *op, bool ok);

/* --- slots -------------------------------------------------------------------- */

static rpc_call *take_slot_locked(struct rpc_server *server)
{
    rpc_call *call = server->free_calls;
    if (!call) return rpc_call_new(server);
    server->free_calls = call->next_free;
    server->free_call_count--;
    return call;
}

/* What does not fit the free list is the caller's to free. */
static rpc_call *keep_slot_locked(struct rpc_server *server, rpc_call *call)
{
    if (server->free_call_count == FREE_CALLS_KEPT) return call;
    call->next_free = server->free_calls;
    server->free_calls = call;
    server->free_call_count++;
    return NULL;
}

static sk_arena *keep_arena_locked(struct rpc_server *server, sk_arena *arena)
{
    size_t room = sizeof server->free_arenas / sizeof server->free_arenas[0];
    if (!arena || server->free_arena_count == room) return arena;
    server->free_arenas[server->free_arena_count++] = arena;
    return NULL;
}

sk_arena *rpc_server_take_arena(struct rpc_server *server)
{
    sk_arena *arena = NULL;
    sk_mutex_lock(&server->lock);
    if (server->free_arena_count) arena = server->free_arenas[--server->free_arena_count];
    sk_mutex_unlock(&server->lock);
    return arena ? arena : sk_arena_new(server->options.call_budget_bytes);
}

void rpc_server_give_arena(struct rpc_server *server, sk_arena *arena)
{
    sk_arena_reset(arena);
    sk_mutex_lock(&server->lock);
    arena = keep_arena_locked(server, arena);
    sk_mutex_unlock(&server->lock);
    sk_arena_free(arena);
}

void rpc_server_take_back(struct rpc_server *server, rpc_call *call)
{
    sk_arena *arena = call->arena;
    if (arena) sk_arena_reset(arena);
    call->arena = NULL;
    bool late = call->late;

    sk_mutex_lock(&server->lock);
    call->route->alive--;
    arena = keep_arena_locked(server, arena);
    call = keep_slot_locked(server, call);
    /* last, because a drain that waits for it may free the server */
    server->alive--;
    if (!late) server->working--;
    if (!server->alive || !server->working) sk_cond_broadcast(&server->changed);
    sk_mutex_unlock(&server->lock);
    sk_arena_free(arena);
    if (call) rpc_call_free(call);
}

void rpc_server_free_slots(struct rpc_server *server)
{
    rpc_call *next;
    for (rpc_call *call = server->free_calls; call; call = next) {
        next = call->next_free;
        rpc_call_free(call);
    }
    while (server->free_arena_count) sk_arena_free(server->free_arenas[--server->free_arena_count]);
}

/* --- posting ------------------------------------------------------------------ */

static void post(rpc_call *call, struct rpc_route *route, struct rpc_poller *poller)
{
    call->route = route;
    call->poller = poller;
    call->arrived.done = on_arrived;
    rpc_call_post(call);

    struct rpc_server *server = call->server;
    void *tag = rpc_op_give(&call->arrived);
    grpc_completion_queue *q = poller->queue;
    bool with_payload = route->method && route->method->kind != RPC_BIDI;
    grpc_call_error err =
        route->registered
            ? grpc_server_request_registered_call(server->core, route->registered, &call->core,
                                                  &call->deadline, &call->metadata,
                                                  with_payload ? &call->payload : NULL, q, q, tag)
            : grpc_server_request_call(server->core, &call->core, &call->details, &call->metadata,
                                       q, q, tag);
    sk_assert(err == GRPC_CALL_OK);
}

static void post_new(struct rpc_server *server, struct rpc_route *route, struct rpc_poller *poller)
{
    sk_mutex_lock(&server->lock);
    rpc_call *call = take_slot_locked(server);
    server->posted++;
    route->posted++;
    sk_mutex_unlock(&server->lock);
    post(call, route, poller);
}

static void post_route(struct rpc_server *server, struct rpc_route *route)
{
    size_t few =
        POSTED_AT_FIRST < server->options.prepost ? POSTED_AT_FIRST : server->options.prepost;
    for (unsigned p = 0; p < server->options.pollers; p++)
        for (size_t i = 0; i < few; i++) post_new(server, route, server->pollers[p]);
}

void rpc_server_post_all(struct rpc_server *server)
{
    for (struct rpc_route *route = server->routes; route; route = route->next)
        if (route->registered) post_route(server, route);
    post_route(server, &server->unknown);
}

/* --- arrival ------------------------------------------------------------------ */

static bool wants_more_posted(const struct rpc_server *server, const struct rpc_route *route)
{
    size_t most = (size_t)server->options.prepost * server->options.pollers;
    return route->posted < most && (route->posted < POSTED_IN_USE || route->alive > route->posted);
}

/* Count the call as alive and say which slots to post in its place: one, or two while the route
 * wants more of them. */
static size_t replace(rpc_call *call, rpc_call *fresh[2])
{
    struct rpc_server *server = call->server;
    struct rpc_route *route = call->route;
    size_t n = 0;
    sk_mutex_lock(&server->lock);
    server->alive++;
    route->alive++;
    server->posted--;
    route->posted--;
    call->late = server->state != SERVER_SERVING;
    if (!call->late) server->working++;
    while (n < 2 && (n == 0 || wants_more_posted(server, route))) {
        fresh[n++] = take_slot_locked(server);
        server->posted++;
        route->posted++;
    }
    sk_mutex_unlock(&server->lock);
    return n;
}

static void withdraw(rpc_call *call)
{
    struct rpc_server *server = call->server;
    rpc_call_withdraw(call);
    sk_mutex_lock(&server->lock);
    call->route->posted--;
    call = keep_slot_locked(server, call);
    if (--server->posted == 0) sk_cond_broadcast(&server->changed);
    sk_mutex_unlock(&server->lock);
    if (call) rpc_call_free(call);
}

static void refuse_unknown(rpc_call *call)
{
    struct sk_slice path = rpc_call_path(call);
    char *text = sk_arena_printf(rpc_call_arena(call), "no such method: %.*s", SK_SLICE_ARGS(path));
    rpc_call_fail(call, RPC_UNIMPLEMENTED, text);
}

static bool is_refused(const rpc_call *call)
{
    return call->late && !call->route->to_the_end;
}

/* False: the guard refused the call, and it is answered. */
static bool is_let_in(rpc_call *call)
{
    const struct rpc_server *server = call->server;
    if (!server->guard) return true;
    struct rpc_verdict verdict = server->guard(server->guard_owner, call);
    if (verdict.code == RPC_OK) return true;
    rpc_call_fail(call, verdict.code, verdict.text);
    return false;
}

static void refuse_bytes(rpc_call *call)
{
    bool budget = call->arena && sk_arena_is_exhausted(call->arena);
    if (budget) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED,
                      "the request needs more memory than one call may have (max_call_memory)");
        return;
    }
    char *text = sk_arena_printf(rpc_call_arena(call),
                                 "the request is no valid %s, or a text in it is not UTF-8",
                                 call->route->method->request->name);
    rpc_call_fail(call, RPC_INVALID_ARGUMENT, text);
}

/* Nothing of the request is looked at before is_let_in. */
static void handle(rpc_call *call)
{
    const struct rpc_route *route = call->route;
    if (is_refused(call)) {
        rpc_call_fail(call, RPC_UNAVAILABLE, "the server is shutting down");
    } else if (!is_let_in(call)) {
        return;
    } else if (!route->method) {
        refuse_unknown(call);
    } else if (route->method->kind == RPC_BIDI) {
        rpc_call_watch_close(call);
        route->binding->open(route->handlers, route->owner, call);
    } else if (!rpc_call_take_request(call)) {
        refuse_bytes(call);
    } else if (route->raw) {
        route->raw(route->raw_owner, call, call->request);
    } else {
        const ProtobufCMessage *request = rpc_call_decode_request(call);
        if (request)
            route->binding->request(route->handlers, route->owner, call, request);
        else
            refuse_bytes(call);
    }
}

static void on_arrived(struct rpc_op *op, bool ok)
{
    rpc_call *call = RPC_AROUND(rpc_call, arrived, op);
    if (!ok) {
        withdraw(call);
        return;
    }
    rpc_call *fresh[2];
    size_t n = replace(call, fresh);
    for (size_t i = 0; i < n; i++) post(fresh[i], call->route, call->poller);
    if (!call->route->method) call->deadline = call->details.deadline;
    rpc_call_open(call);
    handle(call);
}
