/* broker.c - the broker, put together from the ground up and taken down in the opposite order. */
#include "broker/broker.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "burst.h"
#include "inside.h"
#include "later.h"
#include "renew.h"
#include "routes.h"
#include "service/boot.h"
#include "stored_message.h"
#include "telemetry.h"

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
    sk_burst_flush(owner, position);
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
                  sk_text("data", broker->config->data));
    if (!broker->options.failed) _Exit(1);
    broker->options.failed(broker->options.owner, why);
}

/* --- open ---------------------------------------------------------------------------------------
 */

static struct sk_ledger_options ledger_options(sk_broker *broker)
{
    const struct sk_broker_config *c = broker->config;
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
                  .clock = broker->clock},
        .flush = c->flush ? SK_FLUSH_ASYNC : SK_FLUSH_SYNC,
        .timers = broker->timers,
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
           sk_text("data", broker->config->data), sk_u64("begin", r->begin),
           sk_u64("tail", r->tail), sk_u64("snapshot", r->snapshot_position),
           sk_u64("replayed", r->replayed_records), sk_u64("cut_bytes", r->cut_bytes),
           sk_text("last_stop", r->clean ? "clean" : "unclean"));
}

struct sk_status sk_broker_open(const struct sk_broker_options *options, sk_broker **out)
{
    sk_broker *broker = sk_zalloc(1, sizeof *broker);
    const struct sk_broker_config *config = options->config;
    broker->options = *options;
    broker->config = config;
    broker->clock = options->clock ? options->clock : sk_clock_real();
    broker->name = sk_slice_of_text(config->name);
    broker->incarnation = sk_wall_ms(broker->clock);
    broker->started_us = sk_mono_us(broker->clock);

    struct sk_recovery recovery;
    struct sk_status status = sk_timers_new(broker->clock, &broker->timers);
    struct sk_ledger_options ledger = ledger_options(broker);
    if (sk_ok(status)) status = sk_ledger_open(&ledger, &recovery, &broker->ledger);
    if (sk_ok(status)) status = sk_routes_new(broker, &broker->routes);
    if (!sk_ok(status)) {
        sk_broker_close(broker);
        return sk_while(status, "open the broker on %s", config->data);
    }
    broker->burst_room = sk_burst_room_new();
    broker->sessions = sk_sessions_new(broker->clock, (size_t)config->max_clients);
    broker->telemetry = sk_telemetry_new(broker);
    broker->renewer = sk_renewer_new(broker);
    sk_promise_on_wait(sk_ledger_promise(broker->ledger), somebody_waits, broker);
    log_recovery(broker, &recovery);
    *out = broker;
    return SK_SUCCESS;
}

/* --- serve ----------------------------------------------------------------------------------- */

static const struct rmq_messaging_service_handlers HANDLERS = {
    .query_route = sk_handle_route,
    .query_assignment = sk_handle_assignment,
    .heartbeat = sk_handle_heartbeat,
    .telemetry = sk_handle_telemetry,
    .notify_client_termination = sk_handle_termination,
    .receive_message = sk_handle_receive,
    .ack_message = sk_handle_ack,
    .change_invisible_duration = sk_handle_change,
    .pull_message = sk_handle_pull,
    .update_offset = sk_handle_update_offset,
    .get_offset = sk_handle_get_offset,
    .query_offset = sk_handle_query_offset,
    .forward_message_to_dead_letter_queue = sk_handle_dead_letter,
    .end_transaction = sk_handle_end_transaction,
    .recall_message = sk_handle_recall,
    .sync_lite_subscription = sk_handle_sync_lite,
};

void sk_broker_mount(sk_broker *broker, rpc_server *server)
{
    broker->server = server;
    rmq_messaging_service_mount(server, &HANDLERS, broker);
    rpc_server_mount_raw(server, &rmq_messaging_service.methods[RMQ_MESSAGING_SERVICE_SEND_MESSAGE],
                         sk_handle_send, broker);
    sk_mount_admin(broker, server);
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
    if (plain && plain[0]) {
        broker->store_host = sk_strdup(plain);
        SK_TRY(endpoints_of(broker->store_host, &broker->addresses[0], &broker->plain));
    }
    if (tls && tls[0]) {
        broker->tls_host = sk_strdup(tls);
        SK_TRY(endpoints_of(broker->tls_host, &broker->addresses[1], &broker->tls));
        if (!broker->store_host) broker->store_host = sk_strdup(tls);
    }
    return sk_routes_start(broker->routes);
}

/* --- stop ------------------------------------------------------------------------------------ */

void sk_broker_stop(sk_broker *broker)
{
    atomic_store(&broker->stopping, true);
    sk_routes_stop(broker->routes);
    sk_ledger_quiet(broker->ledger);
    sk_telemetry_end(broker->telemetry);
}

void sk_broker_close(sk_broker *broker)
{
    if (!broker) return;
    sk_routes_disconnect(broker->routes);
    sk_timers_free(broker->timers); /* no timer runs from here on */
    sk_routes_free(broker->routes);
    rpc_client_free(broker->client);
    sk_renewer_free(broker->renewer);
    sk_telemetry_free(broker->telemetry);
    sk_ledger_close(broker->ledger);
    sk_sessions_free(broker->sessions);
    free(broker->burst_room);
    free(broker->store_host);
    free(broker->tls_host);
    free(broker);
}
