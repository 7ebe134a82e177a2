/* broker.c - the broker, put together from the ground up and taken down in the opposite order. */
#include "broker/broker.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "assembly.h"
#include "base/log.h"
#include "base/memory.h"
#include "message/stored_message.h"
#include "placing/burst.h"
#include "service/boot.h"

static const struct sk_setting settings[] = {
#define SK_SECTION(title) SK_CONFIG_SECTION(title)
#define SK_SETTING(...) SK_CONFIG_ROW(struct sk_broker_config, __VA_ARGS__)
#include "broker/config.def"
};

static struct sk_status check(const void *values)
{
    const struct sk_broker_config *c = values;
    if (!c->listen[0] && !c->listen_tls[0]) {
        return sk_error(SK_INVALID, "listen and listen_tls are both empty; set one of them");
    }
    if (c->min_invisible_duration_ms > c->max_invisible_duration_ms) {
        return sk_error(SK_INVALID, "min_invisible_duration is above max_invisible_duration");
    }
    if (c->min_long_polling_ms > c->max_long_polling_ms) {
        return sk_error(SK_INVALID, "min_long_polling is above max_long_polling");
    }
    if (c->max_body_bytes + (1u << 20) > c->max_request_bytes) {
        return sk_error(SK_INVALID, "max_request must exceed max_body by 1MiB or more");
    }
    return SK_SUCCESS;
}

const struct sk_program sk_broker_program = {
    .name = "skua-broker",
    .summary = "A broker of Skua: stores messages and delivers them to consumers.",
    .settings = settings,
    .count = sizeof settings / sizeof settings[0],
    .values_bytes = sizeof(struct sk_broker_config),
    .check = check,
};

/* --- what the ledger tells ------------------------------------------------------------------- */

static void somebody_waits(void *owner, uint64_t position)
{
    sk_broker *broker = owner;
    sk_burst_flush(broker->placing, position);
}

static void config_changed(void *owner)
{
    sk_broker *broker = owner;
    if (broker->routes) sk_routes_report_self(broker->routes);
}

static void failed(void *owner, struct sk_status why)
{
    sk_broker *broker = owner;
    if (atomic_exchange(&broker->failing, true)) return;
    sk_log_status(SK_ERROR, "the log has failed: nothing is acknowledged any more", why,
                  sk_text("data", broker->node.config->data));
    if (!broker->options.failed) _Exit(1);
    broker->options.failed(broker->options.owner, why);
}

/* --- open ---------------------------------------------------------------------------------------
 */

static struct sk_ledger_options ledger_options(sk_broker *broker)
{
    const struct sk_broker_config *c = broker->node.config;
    return (struct sk_ledger_options){
        .store = {.dir = c->data,
                  .segment_bytes = c->segment_size_bytes,
                  .snapshot_bytes = c->snapshot_distance_bytes,
                  .cache_bytes = c->page_cache_bytes,
                  .flush_interval_ms = c->flush_interval_ms,
                  .retention_ms = c->retention_ms,
                  .retention_bytes = c->retention_size_bytes,
                  .disk_refuse_percent = (unsigned)c->disk_refuse,
                  .disk_clean_percent = (unsigned)c->disk_clean,
                  .vfs = broker->options.vfs,
                  .clock = broker->node.clock},
        .flush = c->flush ? SK_FLUSH_ASYNC : SK_FLUSH_SYNC,
        .timers = broker->node.timers,
        .most_polls = (size_t)c->max_polls,
        .most_polls_per_group = (size_t)c->max_polls_per_group,
        .message_head = sk_stored_head,
        .failed = failed,
        .config_changed = config_changed,
        .owner = broker,
    };
}

static void log_recovery(const sk_broker *broker, const struct sk_recovery *r)
{
    sk_log(SK_INFO, r->created ? "log created" : "log opened",
           sk_text("data", broker->node.config->data), sk_u64("begin", r->begin),
           sk_u64("tail", r->tail), sk_u64("snapshot", r->snapshot_position),
           sk_u64("replayed", r->replayed_records), sk_u64("cut_bytes", r->cut_bytes),
           sk_text("last_stop", r->clean ? "clean" : "unclean"));
}

static void make_rooms(sk_broker *broker)
{
    const struct sk_node *node = &broker->node;
    broker->placing = sk_placing_new(node);
    broker->sessions = sk_sessions_new(node->clock, (size_t)node->config->max_clients);
    broker->renewer = sk_renewer_new(node, broker->sessions);
    broker->calls = sk_calls_new(&(struct sk_calls_options){.node = node,
                                                            .placing = broker->placing,
                                                            .sessions = broker->sessions,
                                                            .renewer = broker->renewer,
                                                            .routes = broker->routes});
    broker->admin = sk_admin_new(&(struct sk_admin_options){
        .node = node, .sessions = broker->sessions, .routes = broker->routes});
}

struct sk_status sk_broker_open(const struct sk_broker_options *options, sk_broker **out)
{
    sk_broker *broker = sk_zalloc(1, sizeof *broker);
    struct sk_node *node = &broker->node;
    broker->options = *options;
    node->config = options->config;
    node->clock = options->clock ? options->clock : sk_clock_real();
    node->name = sk_slice_of_text(node->config->name);
    node->incarnation = sk_wall_ms(node->clock);
    node->started_us = sk_mono_us(node->clock);

    struct sk_recovery recovery;
    struct sk_status status = sk_timers_new(node->clock, &node->timers);
    struct sk_ledger_options ledger = ledger_options(broker);
    if (sk_ok(status)) status = sk_ledger_open(&ledger, &recovery, &node->ledger);
    if (sk_ok(status)) status = sk_routes_new(node, &broker->routes);
    if (!sk_ok(status)) {
        sk_broker_close(broker);
        return sk_while(status, "open the broker on %s", options->config->data);
    }
    make_rooms(broker);
    sk_promise_on_wait(sk_ledger_promise(node->ledger), somebody_waits, broker);
    log_recovery(broker, &recovery);
    *out = broker;
    return SK_SUCCESS;
}

/* --- serve ----------------------------------------------------------------------------------- */

void sk_broker_mount(sk_broker *broker, rpc_server *server)
{
    broker->server = server;
    sk_calls_mount(broker->calls, server);
    sk_admin_mount(broker->admin, server);
}

/* "HOST:PORT" as endpoints that borrow from `text`; `address` is their one address. */
static struct sk_status endpoints_of(const char *text, struct sk_route_address *address,
                                     struct sk_route_endpoints *out)
{
    struct sk_advertised advertised;
    SK_TRY(sk_advertise(text, text, &advertised));
    const char *host = text[0] == '[' ? text + 1 : text;
    address->host = sk_slice_of(host, strlen(advertised.host));
    address->port = advertised.port;
    *out = (struct sk_route_endpoints){
        .scheme = (enum sk_route_scheme)advertised.scheme, .addresses = address, .count = 1};
    return SK_SUCCESS;
}

struct sk_status sk_broker_start(sk_broker *broker, const char *plain, const char *tls)
{
    struct sk_node *node = &broker->node;
    if (plain && plain[0]) {
        node->host = sk_strdup(plain);
        SK_TRY(endpoints_of(node->host, &node->addresses[0], &node->plain));
    }
    if (tls && tls[0]) {
        node->tls_host = sk_strdup(tls);
        SK_TRY(endpoints_of(node->tls_host, &node->addresses[1], &node->tls));
        if (!node->host) node->host = sk_strdup(tls);
    }
    return sk_routes_start(broker->routes, broker->server);
}

/* --- stop ------------------------------------------------------------------------------------ */

void sk_broker_stop(sk_broker *broker)
{
    atomic_store(&broker->node.stopping, true);
    sk_routes_stop(broker->routes);
    sk_ledger_quiet(broker->node.ledger);
    sk_calls_end(broker->calls);
}

void sk_broker_close(sk_broker *broker)
{
    if (!broker) return;
    struct sk_node *node = &broker->node;
    sk_routes_disconnect(broker->routes);
    sk_timers_free(node->timers); /* no timer runs from here on */
    sk_routes_free(broker->routes);
    sk_admin_free(broker->admin);
    sk_calls_free(broker->calls);
    sk_renewer_free(broker->renewer);
    sk_ledger_close(node->ledger);
    sk_sessions_free(broker->sessions);
    sk_placing_free(broker->placing);
    free(node->host);
    free(node->tls_host);
    free(broker);
}
