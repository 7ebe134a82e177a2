/* main.c - skua-namesrv, from the ground up. Each line of run() may use only the lines
 * above it; scope exit takes them down in the opposite order. */
#include "base/cleanup.h"
#include "base/log.h"
#include "namesrv/namesrv.h"
#include "service/boot.h"

struct namesrv_config {
#define SK_SECTION(title)
#define SK_SETTING(...) SK_CONFIG_FIELD(__VA_ARGS__)
#include "config.def"
};

static const struct sk_setting settings[] = {
#define SK_SECTION(title) SK_CONFIG_SECTION(title)
#define SK_SETTING(...) SK_CONFIG_ROW(struct namesrv_config, __VA_ARGS__)
#include "config.def"
};

static struct sk_status check(const void *values)
{
    const struct namesrv_config *c = values;
    if (c->listen[0] || c->listen_tls[0]) return SK_SUCCESS;
    return sk_error(SK_INVALID, "listen and listen_tls are both empty; set one of them");
}

static const struct sk_program program = {
    .name = "skua-namesrv",
    .summary = "The name server of Skua: brokers register here, clients ask here for routes.",
    .settings = settings,
    .count = sizeof settings / sizeof settings[0],
    .values_bytes = sizeof(struct namesrv_config),
    .check = check,
};

static struct sk_route_limits limits_of(const struct namesrv_config *c)
{
    return (struct sk_route_limits){
        .brokers = (size_t)c->max_brokers,
        .topics = (size_t)c->max_topics,
        .groups = (size_t)c->max_groups,
        .name_bytes = 512, /* "namespace%name" of the longest that service/names.h allows */
        .table_bytes = c->max_table_bytes,
        .expiry_ms = c->expiry_ms,
    };
}

static struct sk_namesrv_options options_of(const struct namesrv_config *c)
{
    return (struct sk_namesrv_options){
        .scan_interval_ms = c->scan_interval_ms,
        .max_watchers = (size_t)c->max_watchers,
        .max_watch_backlog_bytes = c->max_watch_backlog_bytes,
        .max_clients = (size_t)c->max_clients,
        .settings_repeat_ms = c->settings_repeat_ms,
        .never_repeat_settings = c->settings_repeat_ms == 0,
        .rules = SK_SETTINGS_RULES(c),
        .max_attempts = (int32_t)c->max_attempts,
    };
}

static void free_table_p(sk_route_table **table)
{
    sk_route_table_free(*table);
}
static void free_server_p(rpc_server **server)
{
    rpc_server_free(*server);
}

static struct sk_status run(sk_boot *boot, void *values)
{
    const struct namesrv_config *c = values;
    struct sk_route_limits limits = limits_of(c);
    struct sk_namesrv_options options = options_of(c);
    struct sk_server_settings listeners = SK_SERVER_SETTINGS(c, c->data);
    struct sk_bound bound;

    SK_CLEANUP(free_table_p) sk_route_table *table = sk_route_table_new(&limits, NULL);
    SK_CLEANUP(sk_namesrv_free_p) sk_namesrv *namesrv = NULL;
    SK_CLEANUP(free_server_p) rpc_server *server = NULL;

    SK_TRY(sk_namesrv_new(table, &options, &namesrv));
    SK_TRY(sk_server_new(&listeners, &server));
    sk_namesrv_mount(namesrv, server);
    sk_namesrv_mount_access_point(namesrv, server);
    SK_TRY(sk_server_listen(server, &listeners, NULL, 0, &bound));
    SK_TRY(rpc_server_start(server));

    sk_log(SK_INFO, "serving", sk_text("listen", bound.listen),
           sk_text("listen_tls", bound.listen_tls));
    sk_ready(&bound, "");
    sk_boot_wait(boot);
    rpc_server_drain(server, listeners.drain_grace_ms);
    return SK_SUCCESS;
}

int main(int argc, char **argv)
{
    struct namesrv_config config;
    struct sk_boot_program boot = {.program = &program,
                                   .values = &config,
                                   .log_level = &config.log_level,
                                   .log_format = &config.log_format,
                                   .run = run};
    return sk_boot_main(&boot, argc, argv);
}
