/* server.c - a server is put together: options, services, pollers; and taken apart. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "src/enter.h"
#include "src/server_inside.h"

enum { MIB = 1024 * 1024 };

static struct rpc_server_options with_defaults(const struct rpc_server_options *given)
{
    struct rpc_server_options o = given ? *given : (struct rpc_server_options){0};
    if (!o.pollers) o.pollers = 1;
    if (!o.max_request_bytes) o.max_request_bytes = 8 * MIB;
    if (!o.max_metadata_bytes) o.max_metadata_bytes = 16 * 1024;
    if (!o.call_budget_bytes) o.call_budget_bytes = 64 * MIB;
    if (!o.prepost) o.prepost = 128;
    if (!o.handshake_timeout_ms) o.handshake_timeout_ms = 5000;
    if (!o.max_concurrent_streams) o.max_concurrent_streams = 10000;
    return o;
}

/* --- the core's knobs --------------------------------------------------------- */

/* Each line says why it is not the core's default. Measurements: performance.md 3.4,
 * reliability.md 2.7. */
static grpc_server *core_new(const struct rpc_server_options *o)
{
    const struct {
        const char *key;
        size_t value;
    } knobs[] = {
        {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, o->max_request_bytes},
        {GRPC_ARG_MAX_METADATA_SIZE, o->max_metadata_bytes},
        {GRPC_ARG_MAX_CONCURRENT_STREAMS, o->max_concurrent_streams},
        /* connections that never speak are dropped in seconds, not after two minutes */
        {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, o->handshake_timeout_ms},
        /* two servers on one port is an error, not a lottery */
        {GRPC_ARG_ALLOW_REUSEPORT, 0},
        /* identity only: the core inflates before it checks the size (61 KB to 60 MiB) */
        {GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1},
        /* the C++ client pings every 60 s without calls, Java every 300 s; the core's own
         * defaults would send them away with "too_many_pings" */
        {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
        {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000},
        {GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0},
        /* find out about consumers that vanished behind a NAT */
        {GRPC_ARG_KEEPALIVE_TIME_MS, 60000},
        {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000},
        {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0},
        /* batches above 64 KiB without a round trip for each window */
        {GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, MIB},
        {GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 64 * 1024},
        {GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, 256 * 1024},
        {GRPC_ARG_ENABLE_CHANNELZ, 0},
    };
    enum { N = sizeof knobs / sizeof knobs[0] };
    grpc_arg args[N];
    for (size_t i = 0; i < N; i++) {
        int value = knobs[i].value > INT32_MAX ? INT32_MAX : (int)knobs[i].value;
        args[i] = (grpc_arg){.type = GRPC_ARG_INTEGER,
                             .key = (char *)(uintptr_t)knobs[i].key,
                             .value.integer = value};
    }
    return grpc_server_create(&(grpc_channel_args){.num_args = N, .args = args}, NULL);
}

struct sk_status rpc_server_new(const struct rpc_server_options *options, rpc_server **out)
{
    rpc_enter();
    rpc_core_start();
    rpc_server *server = sk_zalloc(1, sizeof *server);
    server->options = with_defaults(options);
    sk_mutex_init(&server->lock);
    sk_cond_init(&server->changed);
    server->core = core_new(&server->options);
    server->pollers = sk_zalloc(server->options.pollers, sizeof *server->pollers);
    for (unsigned i = 0; i < server->options.pollers; i++) {
        server->pollers[i] = rpc_poller_new();
        grpc_server_register_completion_queue(server->core, server->pollers[i]->queue, NULL);
    }
    *out = server;
    return SK_SUCCESS;
}

/* --- services ----------------------------------------------------------------- */

static struct rpc_route *route_of(rpc_server *server, const struct rpc_method *method)
{
    for (struct rpc_route *route = server->routes; route; route = route->next)
        if (strcmp(route->method->path, method->path) == 0) return route;

    struct rpc_route *route = sk_zalloc(1, sizeof *route);
    *route = (struct rpc_route){.method = method, .next = server->routes};
    server->routes = route;
    return route;
}

static void add_service(rpc_server *server, const struct rpc_service *service)
{
    for (size_t i = 0; i < server->service_count; i++)
        sk_assert(strcmp(server->services[i]->name, service->name) != 0);
    server->services =
        sk_realloc(server->services, server->service_count + 1, sizeof *server->services);
    server->services[server->service_count++] = service;
}

void rpc_server_mount(rpc_server *server, const struct rpc_service *service,
                      const struct rpc_binding *bindings, const void *handlers, void *owner)
{
    sk_assert(server->state == SERVER_NEW);
    add_service(server, service);
    for (size_t i = 0; i < service->method_count; i++) {
        bool bidi = service->methods[i].kind == RPC_BIDI;
        if (bidi ? !bindings[i].open : !bindings[i].request) continue;
        struct rpc_route *route = route_of(server, &service->methods[i]);
        route->binding = &bindings[i];
        route->handlers = handlers;
        route->owner = owner;
    }
}

void rpc_server_mount_raw(rpc_server *server, const struct rpc_method *method, rpc_raw_fn *fn,
                          void *owner)
{
    sk_assert(server->state == SERVER_NEW && method->kind != RPC_BIDI);
    struct rpc_route *route = route_of(server, method);
    route->raw = fn;
    route->raw_owner = owner;
}

const struct rpc_service *rpc_server_service(const rpc_server *server, size_t index)
{
    return index < server->service_count ? server->services[index] : NULL;
}

void rpc_server_watch(rpc_server *server, const struct rpc_server_events *events, void *owner)
{
    sk_assert(server->state == SERVER_NEW);
    struct rpc_watcher *w = sk_alloc(sizeof *w);
    *w = (struct rpc_watcher){.events = events, .owner = owner, .next = server->watchers};
    server->watchers = w;
}

static bool is_of(const struct rpc_service *service, const struct rpc_method *method)
{
    return method >= service->methods && method < service->methods + service->method_count;
}

void rpc_server_answer_to_the_end(rpc_server *server, const struct rpc_service *service)
{
    sk_assert(server->state == SERVER_NEW);
    for (struct rpc_route *route = server->routes; route; route = route->next)
        if (is_of(service, route->method)) route->to_the_end = true;
}

void rpc_server_guard(rpc_server *server, rpc_guard_fn *fn, void *owner)
{
    sk_assert(server->state == SERVER_NEW && fn && !server->guard);
    server->guard = fn;
    server->guard_owner = owner;
}

/* --- starting ----------------------------------------------------------------- */

static void register_route(rpc_server *server, struct rpc_route *route)
{
    grpc_server_register_method_payload_handling payload =
        route->method->kind == RPC_BIDI ? GRPC_SRM_PAYLOAD_NONE
                                        : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER;
    route->registered =
        grpc_server_register_method(server->core, route->method->path, NULL, payload, 0);
    sk_assert(route->registered);
}

struct sk_status rpc_server_start(rpc_server *server)
{
    rpc_enter();
    sk_assert(server->state == SERVER_NEW);
    for (struct rpc_route *route = server->routes; route; route = route->next)
        register_route(server, route);
    grpc_server_start(server->core);
    server->state = SERVER_SERVING;
    rpc_server_post_all(server);
    for (unsigned i = 0; i < server->options.pollers; i++) {
        char name[16];
        snprintf(name, sizeof name, "rpc-%u", i);
        SK_TRY(rpc_poller_start(server->pollers[i], name));
    }
    return SK_SUCCESS;
}

/* --- the end ------------------------------------------------------------------ */

static void free_routes(rpc_server *server)
{
    struct rpc_route *next;
    for (struct rpc_route *route = server->routes; route; route = next) {
        next = route->next;
        free(route);
    }
}

static void free_watchers(rpc_server *server)
{
    struct rpc_watcher *next;
    for (struct rpc_watcher *w = server->watchers; w; w = next) {
        next = w->next;
        if (w->events->freed) w->events->freed(w->owner);
        free(w);
    }
}

void rpc_server_free(rpc_server *server)
{
    rpc_enter();
    if (!server) return;
    rpc_server_drain(server, 0);
    grpc_server_destroy(server->core);
    free_watchers(server);
    rpc_server_free_slots(server);
    free_routes(server);
    free(server->services);
    free(server->pollers);
    sk_cond_done(&server->changed);
    sk_mutex_done(&server->lock);
    free(server);
}
