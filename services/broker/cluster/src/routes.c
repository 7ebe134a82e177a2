/* routes.c - the route table, one Register stream to each name server, one WatchRoutes stream. */
#include "cluster/routes.h"

#include <uthash.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "own_report.h"
#include "rpc/channel.h"
#include "service/line.h"
#include "service/route_answer.h"
#include "skua/v1/namesrv.rpc.h"

enum { REPORT_BUDGET = 256 << 20, GOODBYE_US = 500000, MISSING_US = 120000000 };

/* One name server. */
struct link {
    sk_routes *routes;
    const char *address;
    rpc_channel *channel;
    struct sk_line line;   /* Register */
    bool connected;        /* it has answered; guarded by routes->lock, as the rest */
    bool complained;       /* its absence was logged */
    struct sk_timer timer; /* the next heartbeat, or the next attempt */
};

/* A broker that the present watch stream does not speak of. */
struct missing {
    char *cluster, *name;
    int32_t id;
    uint64_t until_us;
    struct missing *next;
};

struct sk_routes {
    const struct sk_node *node;
    rpc_server *server; /* that the broker is mounted on */
    rpc_client *client; /* to the name servers */
    sk_route_table *table;
    uint64_t own_session, watch_session;
    struct sk_mutex lock;
    struct link *links;
    size_t count;
    struct sk_line watch;
    bool started, stopping; /* guarded by lock, as all below */
    size_t watched;         /* which name server */
    struct missing *missing;
    struct sk_timer watch_timer, report_timer;
    atomic_bool report_planned;
    _Atomic uint64_t reported_us; /* when a change was last told at once */
    struct sk_mutex own_lock;     /* one rebuilder of our own part of the table; before lock */
    _Atomic uint64_t own_changes; /* of the state that the table must show */
    _Atomic uint64_t own_shown;   /* so many of them are in it; written under own_lock */
};

/* --- our report ------------------------------------------------------------------------------ */

static const struct rpc_options KEEP = {.keep_stream = true};

static void write_report(struct link *link, const skua_broker_report *report)
{
    rpc_stream *stream = sk_line_take(&link->line);
    skua_register_request request = SKUA_REGISTER_REQUEST_INIT;
    skua_register_request_set_report(&request, (skua_broker_report *)(uintptr_t)report);
    if (stream) skua_name_server_send_register(stream, &request);
    rpc_stream_unref(stream);
}

/* What this broker serves; false, and logged, when it is too much. */
static bool take_own(sk_routes *routes, sk_arena *arena, struct sk_route_broker *own)
{
    if (sk_own_report(routes->node, arena, own)) return true;
    sk_log(SK_ERROR, "too many topics and groups for a report");
    return false;
}

/* Bring our own part of the table up to date. */
static void show_own(sk_routes *routes)
{
    sk_mutex_lock(&routes->own_lock);
    uint64_t changes = atomic_load(&routes->own_changes); /* before looking at the state */
    if (changes != atomic_load(&routes->own_shown)) {
        sk_arena *arena = sk_arena_new(REPORT_BUDGET);
        struct sk_route_broker own;
        struct sk_status status = SK_SUCCESS;
        if (take_own(routes, arena, &own))
            status = sk_route_table_report(routes->table, routes->own_session, &own);
        if (!sk_ok(status)) sk_log_status(SK_ERROR, "own route cannot be entered", status);
        sk_arena_free(arena);
        atomic_store(&routes->own_shown, changes);
    }
    sk_mutex_unlock(&routes->own_lock);
}

/* To one link, or to all of them. */
static void report(sk_routes *routes, struct link *only)
{
    if (routes->count == 0) return;
    sk_arena *arena = sk_arena_new(REPORT_BUDGET);
    struct sk_route_broker own;
    skua_broker_report *message = NULL;
    if (take_own(routes, arena, &own)) message = sk_report_message(&own, arena);
    if (message && only) write_report(only, message);
    for (size_t i = 0; message && !only && i < routes->count; i++)
        write_report(&routes->links[i], message);
    sk_arena_free(arena);
}

enum { PAUSE_MS = 50 }; /* between reports of changes */

static void plan_report(sk_routes *routes)
{
    if (atomic_exchange(&routes->report_planned, true)) return;
    sk_timer_set_after_ms(routes->node->timers, &routes->report_timer, PAUSE_MS);
}

/* Many topics may be made in a row. Our own table shows each to whoever asks next, but it is
 * built only when somebody asks; the name servers are told of several together. */
void sk_routes_report_self(sk_routes *routes)
{
    atomic_fetch_add(&routes->own_changes, 1);
    uint64_t now_us = sk_mono_us(routes->node->clock);
    uint64_t last_us = atomic_exchange(&routes->reported_us, now_us);
    if (now_us - last_us >= PAUSE_MS * 1000) {
        report(routes, NULL);
    } else {
        plan_report(routes);
    }
}

static void on_report_timer(void *arg)
{
    sk_routes *routes = arg;
    atomic_store(&routes->report_planned,
                 false); /* first: what changes from now on is planned anew */
    report(routes, NULL);
}

/* --- Register -------------------------------------------------------------------------------- */

static uint64_t config_version(sk_routes *routes)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, routes->node->ledger);
    uint64_t version = sk_state_config_version(sk_turn_state(&turn));
    sk_turn_end(&turn);
    return version;
}

static void on_register_answer(void *arg, rpc_stream *stream,
                               const skua_register_response *response)
{
    (void)stream;
    struct link *link = arg;
    sk_routes *routes = link->routes;
    sk_mutex_lock(&routes->lock);
    bool first = !link->connected;
    link->connected = true;
    link->complained = false;
    sk_mutex_unlock(&routes->lock);
    if (first) sk_log(SK_INFO, "registered", sk_text("namesrv", link->address));
    if (response->version != config_version(routes)) report(routes, link);
}

static void on_register_closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    (void)stream;
    struct link *link = arg;
    sk_routes *routes = link->routes;
    sk_line_closed(&link->line);
    sk_mutex_lock(&routes->lock);
    bool complain = !routes->stopping && !link->complained;
    link->connected = false;
    link->complained = true;
    if (!routes->stopping) {
        sk_timer_set_after_ms(routes->node->timers, &link->timer,
                              routes->node->config->reconnect_delay_ms);
    }
    sk_mutex_unlock(&routes->lock);
    if (complain) {
        sk_log_status(SK_WARN, "name server is away; will keep trying", outcome->status,
                      sk_text("namesrv", link->address));
    }
}

static const struct skua_name_server_register_handler REGISTER = {on_register_answer,
                                                                  on_register_closed};

static void write_heartbeat(struct link *link)
{
    rpc_stream *stream = sk_line_take(&link->line);
    skua_register_request request = SKUA_REGISTER_REQUEST_INIT;
    skua_register_request_set_heartbeat(&request, config_version(link->routes));
    if (stream) skua_name_server_send_register(stream, &request);
    rpc_stream_unref(stream);
}

/* Not when the broker is stopping, which a later timer does not come from either. */
static bool set_timer(sk_routes *routes, struct sk_timer *timer, uint64_t after_ms)
{
    sk_mutex_lock(&routes->lock);
    bool goes_on = !routes->stopping;
    if (goes_on) sk_timer_set_after_ms(routes->node->timers, timer, after_ms);
    sk_mutex_unlock(&routes->lock);
    return goes_on;
}

/* Time for a heartbeat, or to connect. */
static void on_link_timer(void *arg)
{
    struct link *link = arg;
    sk_routes *routes = link->routes;
    /* before it is opened: if that fails at once, its end sets the timer to an earlier time */
    if (!set_timer(routes, &link->timer, routes->node->config->heartbeat_interval_ms)) return;
    if (sk_line_begin(&link->line)) {
        sk_line_opened(&link->line,
                       skua_name_server_register(link->channel, &KEEP, &REGISTER, link));
        report(routes, link);
    } else {
        write_heartbeat(link);
    }
}

/* --- WatchRoutes ----------------------------------------------------------------------------- */

static bool is_self(const sk_routes *routes, const struct sk_route_key *key)
{
    return key->id == 0 && sk_slice_eq(key->name, routes->node->name) &&
           sk_slice_eq(key->cluster, sk_slice_of_text(routes->node->config->cluster));
}

static bool is_missing(const struct missing *m, const struct sk_route_key *key)
{
    return m->id == key->id && sk_slice_eq(sk_slice_of_text(m->name), key->name) &&
           sk_slice_eq(sk_slice_of_text(m->cluster), key->cluster);
}

static void missing_free(struct missing *m)
{
    free(m->cluster);
    free(m->name);
    free(m);
}

/* Under the lock. */
static void missing_remove(sk_routes *routes, const struct sk_route_key *key)
{
    for (struct missing **at = &routes->missing; *at; at = &(*at)->next) {
        if (!is_missing(*at, key)) continue;
        struct missing *found = *at;
        *at = found->next;
        missing_free(found);
        return;
    }
}

static void missing_add(sk_routes *routes, const struct sk_route_key *key)
{
    for (struct missing *m = routes->missing; m; m = m->next) {
        if (is_missing(m, key)) return;
    }
    struct missing *m = sk_zalloc(1, sizeof *m);
    m->cluster = sk_strndup(key->cluster);
    m->name = sk_strndup(key->name);
    m->id = key->id;
    m->until_us = sk_mono_us(routes->node->clock) + MISSING_US;
    m->next = routes->missing;
    routes->missing = m;
}

/* Those that are missing for too long leave the table. Under the lock. */
static void missing_expire(sk_routes *routes)
{
    uint64_t now_us = sk_mono_us(routes->node->clock);
    for (struct missing **at = &routes->missing; *at;) {
        struct missing *m = *at;
        if (m->until_us > now_us) {
            at = &m->next;
            continue;
        }
        struct sk_route_key key = {sk_slice_of_text(m->cluster), sk_slice_of_text(m->name), m->id};
        sk_route_table_leave(routes->table, routes->watch_session, &key);
        *at = m->next;
        missing_free(m);
    }
}

/* A new stream begins with all that its name server knows: who is not in it is missing. */
static void all_are_missing(sk_routes *routes)
{
    sk_route_snapshot *snapshot = sk_route_acquire(routes->table);
    for (size_t i = 0; i < sk_route_count(snapshot); i++) {
        const struct sk_route_key *key = &sk_route_at(snapshot, i).broker->key;
        if (!is_self(routes, key)) missing_add(routes, key);
    }
    sk_route_unref(snapshot);
}

static void take_changed(sk_routes *routes, const skua_broker_report *message, sk_arena *arena)
{
    struct sk_route_broker broker;
    if (!sk_report_of_message(message, arena, &broker) || is_self(routes, &broker.key)) return;
    missing_remove(routes, &broker.key);
    struct sk_status status = sk_route_table_report(routes->table, routes->watch_session, &broker);
    if (!sk_ok(status)) sk_log_status(SK_WARN, "route is not taken", status);
}

static void take_removed(sk_routes *routes, const skua_broker_identity *message)
{
    struct sk_route_key key = {sk_slice_of_text(message->cluster), sk_slice_of_text(message->name),
                               message->id};
    if (is_self(routes, &key)) return;
    sk_route_table_suspect(routes->table, routes->watch_session, &key);
    missing_add(routes, &key);
}

static void on_routes(void *arg, rpc_stream *stream, const skua_watch_routes_response *response)
{
    (void)stream;
    sk_routes *routes = arg;
    sk_arena *arena = sk_arena_new(REPORT_BUDGET);
    sk_mutex_lock(&routes->lock);
    if (response->full) all_are_missing(routes);
    for (size_t i = 0; i < response->n_changed; i++) {
        take_changed(routes, response->changed[i], arena);
    }
    for (size_t i = 0; i < response->n_removed; i++) take_removed(routes, response->removed[i]);
    sk_mutex_unlock(&routes->lock);
    sk_arena_free(arena);
}

static void on_watch_closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    (void)stream;
    (void)outcome; /* the Register stream to the same name server complains */
    sk_routes *routes = arg;
    sk_line_closed(&routes->watch);
    sk_mutex_lock(&routes->lock);
    routes->watched = (routes->watched + 1) % routes->count;
    sk_mutex_unlock(&routes->lock);
    (void)set_timer(routes, &routes->watch_timer, routes->node->config->reconnect_delay_ms);
}

static const struct skua_name_server_watch_routes_handler WATCH = {on_routes, on_watch_closed};

static void on_watch_timer(void *arg)
{
    enum { EVERY_MS = 10000 };
    sk_routes *routes = arg;
    if (!set_timer(routes, &routes->watch_timer, EVERY_MS)) return;
    bool open = sk_line_begin(&routes->watch);
    sk_mutex_lock(&routes->lock);
    if (!open) missing_expire(routes);
    rpc_channel *channel = routes->links[routes->watched].channel;
    sk_mutex_unlock(&routes->lock);
    if (!open) return;
    skua_watch_routes_request request = SKUA_WATCH_ROUTES_REQUEST_INIT;
    sk_line_opened(&routes->watch,
                   skua_name_server_watch_routes(channel, &KEEP, &request, &WATCH, routes));
}

/* --- life ------------------------------------------------------------------------------------ */

struct sk_status sk_routes_new(const struct sk_node *node, sk_routes **out)
{
    sk_routes *routes = sk_zalloc(1, sizeof *routes);
    struct sk_route_limits limits = {.name_bytes = 512};
    routes->node = node;
    sk_mutex_init(&routes->lock);
    sk_mutex_init(&routes->own_lock);
    sk_line_init(&routes->watch);
    routes->table = sk_route_table_new(&limits, node->clock);
    routes->own_session = sk_route_session_new(routes->table);
    routes->watch_session = sk_route_session_new(routes->table);
    routes->report_timer = (struct sk_timer){.fn = on_report_timer, .arg = routes};
    routes->watch_timer = (struct sk_timer){.fn = on_watch_timer, .arg = routes};
    *out = routes;
    return SK_SUCCESS;
}

struct sk_status sk_routes_start(sk_routes *routes, rpc_server *server)
{
    const struct sk_node *node = routes->node;
    const struct sk_hosts *hosts = &node->config->namesrv;
    routes->server = server;
    routes->links = sk_zalloc(hosts->count ? hosts->count : 1, sizeof *routes->links);
    struct rpc_channel_options plain = {0};
    /* Now, and not at the opening: skua dev is its own name server, at a port just found. */
    if (hosts->count) SK_TRY(rpc_client_new_beside(routes->server, &routes->client));
    for (size_t i = 0; i < hosts->count; i++) {
        struct link *link = &routes->links[i];
        link->routes = routes;
        sk_line_init(&link->line);
        link->address = hosts->items[i];
        link->timer = (struct sk_timer){.fn = on_link_timer, .arg = link};
        SK_TRY(rpc_channel_open(routes->client, link->address, &plain, &link->channel));
        routes->count++;
    }
    routes->started = true;
    atomic_fetch_add(&routes->own_changes, 1);
    report(routes, NULL);
    for (size_t i = 0; i < routes->count; i++) {
        sk_timer_set_after_ms(node->timers, &routes->links[i].timer, 0);
    }
    if (routes->count) sk_timer_set_after_ms(node->timers, &routes->watch_timer, 0);
    return SK_SUCCESS;
}

static void say_goodbye(struct link *link)
{
    rpc_stream *stream = sk_line_take(&link->line);
    if (stream && sk_routes_is_connected(link->routes, (size_t)(link - link->routes->links))) {
        skua_register_request request = SKUA_REGISTER_REQUEST_INIT;
        skua_register_request_set_leaving(&request, true);
        skua_name_server_send_register(stream, &request);
        rpc_stream_half_close(stream);
    } else if (stream) {
        rpc_stream_cancel(stream);
    }
    rpc_stream_unref(stream);
}

/* From now on nothing is opened, and nothing is just being opened. */
static void begin_to_stop(sk_routes *routes)
{
    sk_mutex_lock(&routes->lock);
    routes->stopping = true;
    sk_mutex_unlock(&routes->lock);
    for (size_t i = 0; i < routes->count; i++) sk_line_stop(&routes->links[i].line);
    sk_line_stop(&routes->watch);
}

void sk_routes_stop(sk_routes *routes)
{
    begin_to_stop(routes);
    for (size_t i = 0; i < routes->count; i++) say_goodbye(&routes->links[i]);
    sk_line_cancel(&routes->watch);
    uint64_t until_us = sk_mono_us(sk_clock_real()) + GOODBYE_US;
    for (size_t i = 0; i < routes->count; i++) {
        uint64_t now_us = sk_mono_us(sk_clock_real());
        sk_line_await_end(&routes->links[i].line, now_us < until_us ? until_us - now_us : 0);
    }
}

void sk_routes_disconnect(sk_routes *routes)
{
    if (!routes) return;
    begin_to_stop(routes);
    for (size_t i = 0; i < routes->count; i++) sk_line_cancel(&routes->links[i].line);
    sk_line_cancel(&routes->watch);
    for (size_t i = 0; i < routes->count; i++) rpc_channel_close(routes->links[i].channel);
    rpc_client_free(routes->client); /* now no callback can come */
    routes->client = NULL;
}

void sk_routes_free(sk_routes *routes)
{
    if (!routes) return;
    while (routes->missing) {
        struct missing *m = routes->missing;
        routes->missing = m->next;
        missing_free(m);
    }
    sk_route_table_free(routes->table);
    for (size_t i = 0; i < routes->count; i++) sk_line_done(&routes->links[i].line);
    sk_line_done(&routes->watch);
    sk_mutex_done(&routes->lock);
    sk_mutex_done(&routes->own_lock);
    free(routes->links);
    free(routes);
}

sk_route_snapshot *sk_routes_acquire(sk_routes *routes)
{
    if (atomic_load(&routes->own_changes) != atomic_load(&routes->own_shown)) show_own(routes);
    return sk_route_acquire(routes->table);
}

size_t sk_routes_name_servers(const sk_routes *routes)
{
    return routes->count;
}

bool sk_routes_is_connected(sk_routes *routes, size_t i)
{
    sk_mutex_lock(&routes->lock);
    bool connected = routes->links[i].connected;
    sk_mutex_unlock(&routes->lock);
    return connected;
}
