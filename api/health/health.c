/* health.c - grpc.health.v1: Check answers once, Watch answers again at every change. */
#include "health/health.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/thread.h"
#include "grpc/health/v1/health.rpc.h"
#include "rpc/call.h"

enum {
    UNKNOWN_NAME = HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVICE_UNKNOWN,
    SERVING = HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_SERVING,
    NOT_SERVING = HEALTH_HEALTH_CHECK_RESPONSE_SERVING_STATUS_NOT_SERVING,
};

/* A name that was set. */
struct name {
    char *service;
    bool serving;
    struct name *next;
};

/* Lives in the arena of its call. One thread at a time is busy with it, writes to its call and
 * finishes it, without the lock; what changes meanwhile it sees before it goes. */
struct watcher {
    rpc_call *call;
    sk_health *health;
    const char *service;
    int told;        /* the state that was sent last; the busy one's */
    bool busy, gone; /* guarded by the lock, as what follows */
    struct watcher *next, *prev;
    struct watcher *todo;
};

struct sk_health {
    const rpc_server *server;
    struct sk_mutex lock;
    struct name *names; /* guarded by lock, as all that follows */
    struct watcher *watchers;
    bool draining;
};

/* --- names -------------------------------------------------------------------- */

static struct name *find(const sk_health *health, const char *service)
{
    struct name *n = health->names;
    while (n && strcmp(n->service, service) != 0) n = n->next;
    return n;
}

/* The server itself, and all that it has mounted. */
static bool is_there(const sk_health *health, const char *service)
{
    const struct rpc_service *mounted;
    if (!*service) return true;
    for (size_t i = 0; (mounted = rpc_server_service(health->server, i)); i++)
        if (strcmp(mounted->name, service) == 0) return true;
    return false;
}

static int state_of(const sk_health *health, const char *service)
{
    const struct name *n = find(health, service);
    if (!n && !is_there(health, service)) return UNKNOWN_NAME;
    return (!n || n->serving) && !health->draining ? SERVING : NOT_SERVING;
}

static void add_name(sk_health *health, const char *service, bool serving)
{
    struct name *n = sk_alloc(sizeof *n);
    *n = (struct name){.service = sk_strdup(service), .serving = serving, .next = health->names};
    health->names = n;
}

/* --- watchers ----------------------------------------------------------------- */

static void list(sk_health *health, struct watcher *w)
{
    w->next = health->watchers;
    if (w->next) w->next->prev = w;
    health->watchers = w;
}

static void unlist(sk_health *health, struct watcher *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        health->watchers = w->next;
    if (w->next) w->next->prev = w->prev;
}

static void write_state(struct watcher *w)
{
    health_health_check_response response = HEALTH_HEALTH_CHECK_RESPONSE_INIT;
    response.status = (health_health_check_response_serving_status)w->told;
    health_health_write_watch(w->call, &response);
}

/* By the busy one: write until all is told, finish if the client is gone; the watcher may be no
 * more then. */
static void serve(struct watcher *w)
{
    sk_health *health = w->health;
    sk_mutex_lock(&health->lock);
    for (int state; (state = state_of(health, w->service)) != w->told;) {
        w->told = state;
        sk_mutex_unlock(&health->lock);
        write_state(w);
        sk_mutex_lock(&health->lock);
    }
    bool gone = w->gone;
    if (gone)
        unlist(health, w);
    else
        w->busy = false;
    sk_mutex_unlock(&health->lock);
    if (gone) rpc_call_finish(w->call, RPC_UNAVAILABLE, "the server is shutting down");
}

/* All whom a change concerns and with whom nobody is busy, for the caller to be busy with. */
static struct watcher *take_idle(sk_health *health)
{
    struct watcher *todo = NULL;
    for (struct watcher *w = health->watchers; w; w = w->next) {
        if (w->busy || state_of(health, w->service) == w->told) continue;
        w->busy = true;
        w->todo = todo;
        todo = w;
    }
    return todo;
}

static void serve_all(struct watcher *todo)
{
    struct watcher *next;
    for (struct watcher *w = todo; w; w = next) {
        next = w->todo;
        serve(w);
    }
}

static void on_watcher_gone(void *arg)
{
    struct watcher *w = arg;
    sk_mutex_lock(&w->health->lock);
    w->gone = true;
    bool mine = !w->busy;
    w->busy = true;
    sk_mutex_unlock(&w->health->lock);
    if (mine) serve(w);
}

/* --- the service -------------------------------------------------------------- */

static void check(void *owner, rpc_call *call, const health_health_check_request *request)
{
    sk_health *health = owner;
    sk_mutex_lock(&health->lock);
    int state = state_of(health, request->service);
    sk_mutex_unlock(&health->lock);

    health_health_check_response response = HEALTH_HEALTH_CHECK_RESPONSE_INIT;
    response.status = (health_health_check_response_serving_status)state;
    if (state == UNKNOWN_NAME)
        rpc_call_fail(call, RPC_NOT_FOUND, "unknown service");
    else
        health_health_reply_check(call, &response);
}

static void watch(void *owner, rpc_call *call, const health_health_check_request *request)
{
    sk_health *health = owner;
    struct watcher *w = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *w);
    if (!w) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, NULL);
        return;
    }
    /* the request, and so the name in it, lives as long as the call */
    *w = (struct watcher){
        .call = call, .health = health, .service = request->service, .told = -1, .busy = true};
    sk_mutex_lock(&health->lock);
    list(health, w);
    sk_mutex_unlock(&health->lock);
    rpc_call_on_cancel(call, on_watcher_gone, w);
    serve(w);
}

/* --- its owner ---------------------------------------------------------------- */

void sk_health_set(sk_health *health, const char *name, bool serving)
{
    sk_mutex_lock(&health->lock);
    struct name *n = find(health, name);
    if (n)
        n->serving = serving;
    else
        add_name(health, name, serving);
    struct watcher *todo = take_idle(health);
    sk_mutex_unlock(&health->lock);
    serve_all(todo);
}

static void on_draining(void *owner)
{
    sk_health *health = owner;
    sk_mutex_lock(&health->lock);
    health->draining = true;
    struct watcher *todo = take_idle(health);
    sk_mutex_unlock(&health->lock);
    serve_all(todo);
}

static void free_health(void *owner)
{
    sk_health *health = owner;
    struct name *next;
    for (struct name *n = health->names; n; n = next) {
        next = n->next;
        free(n->service);
        free(n);
    }
    sk_mutex_done(&health->lock);
    free(health);
}

sk_health *sk_health_mount(rpc_server *server)
{
    static const struct health_health_handlers handlers = {.check = check, .watch = watch};
    static const struct rpc_server_events events = {on_draining, free_health};
    sk_health *health = sk_zalloc(1, sizeof *health);
    health->server = server;
    sk_mutex_init(&health->lock);
    health_health_mount(server, &handlers, health);
    rpc_server_answer_to_the_end(server, &health_health);
    rpc_server_watch(server, &events, health);
    return health;
}
