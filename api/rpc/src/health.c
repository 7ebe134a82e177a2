/* health.c - grpc.health.v1: Check answers once, Watch answers again at every change.
 *
 * Names are "" (the server as a whole), every service mounted, and whatever else
 * rpc_server_set_serving names ("readiness"). When the server drains everything
 * becomes NOT_SERVING and stays so. */
#include <stdlib.h>

#include "base/memory.h"
#include "grpc/health/v1/health.alias.h"
#include "src/server_inside.h"

enum {
    UNKNOWN_NAME = HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVICE_UNKNOWN,
    SERVING = HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVING,
    NOT_SERVING = HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_NOT_SERVING,
};

struct name {
    char *service;
    bool serving;
    struct name *next;
};

/* Lives in the arena of its call. */
struct watcher {
    rpc_call *call; /* ours to finish, once: by whoever takes the watcher from the list */
    struct rpc_health *health;
    const char *service;
    int told; /* the state that was sent last */
    struct watcher *next, *prev;
};

struct rpc_health {
    struct sk_mutex lock;
    struct name *names; /* guarded by lock, as all that follows */
    struct watcher *watchers;
    bool draining;
};

/* --- names -------------------------------------------------------------------- */

static struct name *find(const struct rpc_health *health, const char *service)
{
    struct name *n = health->names;
    while (n && strcmp(n->service, service) != 0) n = n->next;
    return n;
}

static int state_of(const struct rpc_health *health, const char *service)
{
    const struct name *n = find(health, service);
    if (!n) return UNKNOWN_NAME;
    return n->serving && !health->draining ? SERVING : NOT_SERVING;
}

static void add_name(struct rpc_health *health, const char *service, bool serving)
{
    struct name *n = sk_alloc(sizeof *n);
    *n = (struct name){.service = sk_strdup(service), .serving = serving, .next = health->names};
    health->names = n;
}

static void set(struct rpc_health *health, const char *service, bool serving)
{
    struct name *n = find(health, service);
    if (n)
        n->serving = serving;
    else
        add_name(health, service, serving);
}

/* --- watchers ----------------------------------------------------------------- */

static void tell(struct watcher *w)
{
    int state = state_of(w->health, w->service);
    if (state == w->told) return;
    w->told = state;
    health_health_check_response response = HEALTH_HEALTH_CHECK_RESPONSE_INIT;
    response.status = (health_health_check_response_serving_status)state;
    rpc_call_write(w->call, &response.base);
}

static void tell_all(struct rpc_health *health)
{
    for (struct watcher *w = health->watchers; w; w = w->next) tell(w);
}

static void list(struct rpc_health *health, struct watcher *w)
{
    w->next = health->watchers;
    if (w->next) w->next->prev = w;
    health->watchers = w;
}

static void unlist(struct rpc_health *health, struct watcher *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        health->watchers = w->next;
    if (w->next) w->next->prev = w->prev;
}

static void on_watcher_gone(void *arg)
{
    struct watcher *w = arg;
    sk_mutex_lock(&w->health->lock);
    unlist(w->health, w);
    sk_mutex_unlock(&w->health->lock);
    rpc_call_finish(w->call, RPC_UNAVAILABLE, "the server is shutting down");
}

/* --- the service -------------------------------------------------------------- */

static void check(const void *handlers, void *owner, rpc_call *call,
                  const ProtobufCMessage *message)
{
    (void)handlers;
    struct rpc_health *health = owner;
    const char *service = ((const health_health_check_request *)message)->service;
    sk_mutex_lock(&health->lock);
    int state = state_of(health, service);
    sk_mutex_unlock(&health->lock);

    health_health_check_response response = HEALTH_HEALTH_CHECK_RESPONSE_INIT;
    response.status = (health_health_check_response_serving_status)state;
    if (state == UNKNOWN_NAME)
        rpc_call_fail(call, RPC_NOT_FOUND, "unknown service");
    else
        rpc_call_reply(call, &response.base);
}

static void watch(const void *handlers, void *owner, rpc_call *call,
                  const ProtobufCMessage *message)
{
    (void)handlers;
    struct rpc_health *health = owner;
    struct watcher *w = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *w);
    if (!w) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, NULL);
        return;
    }
    /* the request, and so the name in it, lives as long as the call */
    const char *service = ((const health_health_check_request *)message)->service;
    *w = (struct watcher){.call = call, .health = health, .service = service, .told = -1};
    sk_mutex_lock(&health->lock);
    list(health, w);
    tell(w);
    sk_mutex_unlock(&health->lock);
    rpc_call_on_cancel(call, on_watcher_gone, w);
}

#define METHOD(n, k)                                                                               \
    {                                                                                              \
        .path = "/grpc.health.v1.Health/" n, .name = n, .kind = k,                                 \
        .request = &health_health_check_request_descriptor,                                        \
        .response = &health_health_check_response_descriptor                                       \
    }

static const struct rpc_method methods[] = {METHOD("Check", RPC_UNARY),
                                            METHOD("Watch", RPC_SERVER_STREAM)};
static const struct rpc_binding bindings[] = {{.request = check}, {.request = watch}};
static const struct rpc_service service = {"grpc.health.v1.Health", methods, 2};

void rpc_server_mount_health(rpc_server *server)
{
    server->health = sk_zalloc(1, sizeof *server->health);
    sk_mutex_init(&server->health->lock);
    rpc_server_mount(server, &service, bindings, NULL, server->health);
}

void rpc_health_start(struct rpc_server *server)
{
    struct rpc_health *health = server->health;
    if (!health) return;
    sk_mutex_lock(&health->lock);
    if (!find(health, "")) set(health, "", true);
    for (size_t i = 0; i < server->service_count; i++)
        if (!find(health, server->services[i]->name)) set(health, server->services[i]->name, true);
    sk_mutex_unlock(&health->lock);
}

void rpc_server_set_serving(rpc_server *server, const char *name, bool serving)
{
    struct rpc_health *health = server->health;
    if (!health) return;
    sk_mutex_lock(&health->lock);
    set(health, name, serving);
    tell_all(health);
    sk_mutex_unlock(&health->lock);
}

void rpc_health_drain(struct rpc_health *health)
{
    if (!health) return;
    sk_mutex_lock(&health->lock);
    health->draining = true;
    tell_all(health);
    sk_mutex_unlock(&health->lock);
}

void rpc_health_free(struct rpc_health *health)
{
    if (!health) return;
    struct name *next;
    for (struct name *n = health->names; n; n = next) {
        next = n->next;
        free(n->service);
        free(n);
    }
    sk_mutex_done(&health->lock);
    free(health);
}
