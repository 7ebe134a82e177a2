/* fixture.c - see fixture.h. */
#include "fixture.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static const struct rpc_header client_id = {"x-mq-client-id", "test"};
const struct rpc_options as_client = {
    .timeout_ms = 10000, .headers = &client_id, .header_count = 1};

static void expect_ok(struct sk_status s)
{
    ck_assert_msg(sk_ok(s), "%s", sk_status_text(&s));
}

/* A TLS listener with a certificate of its own, and a channel that trusts it. */
static void open_tls(struct place *p)
{
    static const char *const names[] = {"127.0.0.1"};
    char target[32], cert[64], key[64];
    strcpy(p->dir, "/tmp/skua-namesrv-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(p->dir));
    snprintf(cert, sizeof cert, "%s/tls.crt", p->dir);
    snprintf(key, sizeof key, "%s/tls.key", p->dir);
    expect_ok(rpc_tls_make_self_signed(cert, key, names, 1));
    expect_ok(rpc_server_listen_tls(p->server, "127.0.0.1:0",
                                    &(struct rpc_tls_options){.cert_file = cert, .key_file = key},
                                    &p->tls_port));
    snprintf(target, sizeof target, "127.0.0.1:%d", p->tls_port);
    expect_ok(rpc_channel_open(p->client, target,
                               &(struct rpc_channel_options){.tls = true, .ca_file = cert},
                               &p->tls_channel));
    unlink(cert);
    unlink(key);
    rmdir(p->dir);
}

void place_open(struct place *p, const struct sk_namesrv_options *options, uint64_t expiry_ms)
{
    struct sk_route_limits limits = {.expiry_ms = expiry_ms};
    char target[32];
    sk_log_configure(SK_SILENT, false);
    *p = (struct place){.table = sk_route_table_new(&limits, NULL), .arena = sk_arena_new(0)};
    expect_ok(sk_namesrv_new(p->table, options, &p->namesrv));
    expect_ok(rpc_server_new(&(struct rpc_server_options){.prepost = 4}, &p->server));
    sk_namesrv_mount(p->namesrv, p->server);
    sk_namesrv_mount_access_point(p->namesrv, p->server);
    expect_ok(rpc_server_listen(p->server, "127.0.0.1:0", &p->port));
    expect_ok(rpc_client_new(&p->client));
    open_tls(p);
    expect_ok(rpc_server_start(p->server));
    snprintf(target, sizeof target, "127.0.0.1:%d", p->port);
    expect_ok(rpc_channel_open(p->client, target, &(struct rpc_channel_options){0}, &p->channel));
}

void place_close(struct place *p)
{
    rpc_channel_close(p->channel);
    rpc_channel_close(p->tls_channel);
    rpc_client_free(p->client);
    rpc_server_drain(p->server, 1000);
    rpc_server_free(p->server);
    sk_namesrv_free(p->namesrv);
    sk_route_table_free(p->table);
    sk_arena_free(p->arena);
}

/* --- inboxes ---------------------------------------------------------------------------------- */

void inbox_init(struct inbox *inbox)
{
    memset(inbox, 0, sizeof *inbox);
    sk_mutex_init(&inbox->lock);
    sk_cond_init(&inbox->changed);
}

void inbox_done(struct inbox *inbox)
{
    sk_cond_done(&inbox->changed);
    sk_mutex_done(&inbox->lock);
}

void inbox_note(struct inbox *inbox, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    sk_mutex_lock(&inbox->lock);
    size_t len = strlen(inbox->text);
    vsnprintf(inbox->text + len, sizeof inbox->text - len, fmt, args);
    sk_cond_broadcast(&inbox->changed);
    sk_mutex_unlock(&inbox->lock);
    va_end(args);
}

void inbox_close(struct inbox *inbox, const struct rpc_outcome *outcome)
{
    sk_mutex_lock(&inbox->lock);
    inbox->closed = true;
    inbox->code = outcome->code;
    memcpy(inbox->detail, outcome->status.detail, sizeof inbox->detail);
    sk_cond_broadcast(&inbox->changed);
    sk_mutex_unlock(&inbox->lock);
}

enum { PATIENCE_US = 10 * 1000000 };

void inbox_await(struct inbox *inbox, const char *wanted)
{
    bool in_time = true;
    sk_mutex_lock(&inbox->lock);
    while (!strstr(inbox->text, wanted) && !inbox->closed && in_time)
        in_time = sk_cond_wait_for(&inbox->changed, &inbox->lock, PATIENCE_US);
    bool came = strstr(inbox->text, wanted) != NULL;
    sk_mutex_unlock(&inbox->lock);
    ck_assert_msg(came, "waited for '%s', have '%s'%s %s", wanted, inbox->text,
                  inbox->closed ? ", closed:" : "", inbox->detail);
}

void inbox_await_close(struct inbox *inbox, enum rpc_code code)
{
    bool in_time = true;
    sk_mutex_lock(&inbox->lock);
    while (!inbox->closed && in_time)
        in_time = sk_cond_wait_for(&inbox->changed, &inbox->lock, PATIENCE_US);
    sk_mutex_unlock(&inbox->lock);
    ck_assert_msg(inbox->closed, "still open; have '%s'", inbox->text);
    ck_assert_msg(inbox->code == code, "closed with %d: %s", (int)inbox->code, inbox->detail);
}

/* --- Register ------------------------------------------------------------------------------------
 */

static void on_version(void *arg, rpc_stream *stream, const skua_register_response *message)
{
    (void)stream;
    inbox_note(arg, "v%llu ", (unsigned long long)message->version);
}

static void on_closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    (void)stream;
    inbox_close(arg, outcome);
}

rpc_stream *open_register(struct place *p, struct inbox *inbox)
{
    static const struct skua_name_server_register_handler handler = {on_version, on_closed};
    return skua_name_server_register(p->channel, &(struct rpc_options){0}, &handler, inbox);
}

void send_report(rpc_stream *stream, const char *name, uint64_t incarnation, uint64_t version)
{
    static char host[] = "10.0.0.1", tls_host[] = "broker.example", group[] = "clerks";
    static char orders[] = "orders", bills[] = "bills", mix[] = "ns%mix", cluster[] = "c";
    rmq_address plain = RMQ_ADDRESS_INIT, tls = RMQ_ADDRESS_INIT;
    rmq_address *plains[] = {&plain}, *tlss[] = {&tls};
    rmq_endpoints endpoints = RMQ_ENDPOINTS_INIT, tls_endpoints = RMQ_ENDPOINTS_INIT;
    skua_topic_config topics[3] = {SKUA_TOPIC_CONFIG_INIT, SKUA_TOPIC_CONFIG_INIT,
                                   SKUA_TOPIC_CONFIG_INIT};
    skua_topic_config *topic_list[] = {&topics[0], &topics[1], &topics[2]};
    char *groups[] = {group};
    skua_broker_identity identity = SKUA_BROKER_IDENTITY_INIT;
    skua_broker_report report = SKUA_BROKER_REPORT_INIT;
    skua_register_request request = SKUA_REGISTER_REQUEST_INIT;

    plain.host = host;
    plain.port = 10911;
    tls.host = tls_host;
    tls.port = 10912;
    endpoints.scheme = RMQ_ADDRESS_SCHEME_IPV4;
    endpoints.addresses = plains;
    tls_endpoints.scheme = RMQ_ADDRESS_SCHEME_DOMAIN_NAME;
    tls_endpoints.addresses = tlss;
    endpoints.n_addresses = tls_endpoints.n_addresses = 1;
    identity.cluster = cluster;
    identity.name = sk_proto_text(name);
    identity.incarnation = incarnation;
    identity.endpoints = &endpoints;
    identity.tls_endpoints = &tls_endpoints;
    topics[0].name = orders;
    topics[0].read_queues = topics[0].write_queues = 4;
    topics[1].name = bills;
    topics[1].type = RMQ_MESSAGE_TYPE_FIFO;
    topics[1].read_queues = topics[1].write_queues = 1;
    topics[2].name = mix;
    topics[2].mixed = true;
    topics[2].read_queues = topics[2].write_queues = 2;
    report.broker = &identity;
    report.version = version;
    report.topics = topic_list;
    report.n_topics = 3;
    report.orderly_groups = groups;
    report.n_orderly_groups = 1;
    skua_register_request_set_report(&request, &report);
    skua_name_server_send_register(stream, &request);
}

void send_heartbeat(rpc_stream *stream, uint64_t version)
{
    skua_register_request request = SKUA_REGISTER_REQUEST_INIT;
    skua_register_request_set_heartbeat(&request, version);
    skua_name_server_send_register(stream, &request);
}

void send_leaving(rpc_stream *stream)
{
    skua_register_request request = SKUA_REGISTER_REQUEST_INIT;
    skua_register_request_set_leaving(&request, true);
    skua_name_server_send_register(stream, &request);
}

/* --- WatchRoutes
 * ------------------------------------------------------------------------------------ */

static void on_news(void *arg, rpc_stream *stream, const skua_watch_routes_response *message)
{
    (void)stream;
    inbox_note(arg, message->full ? "[full" : "[");
    for (size_t i = 0; i < message->n_changed; i++)
        inbox_note(arg, "+%s:%llu", message->changed[i]->broker->name,
                   (unsigned long long)message->changed[i]->version);
    for (size_t i = 0; i < message->n_removed; i++)
        inbox_note(arg, "-%s", message->removed[i]->name);
    inbox_note(arg, "] ");
}

rpc_stream *open_watch(struct place *p, struct inbox *inbox)
{
    static const struct skua_name_server_watch_routes_handler handler = {on_news, on_closed};
    skua_watch_routes_request request = SKUA_WATCH_ROUTES_REQUEST_INIT;
    return skua_name_server_watch_routes(p->channel, &(struct rpc_options){0}, &request, &handler,
                                         inbox);
}
