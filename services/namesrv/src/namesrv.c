/* namesrv.c - the name server put together: table, streams, the timer of the scan. */
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "inside.h"
#include "skua/v1/namesrv.rpc.h"

static const struct skua_name_server_handlers handlers = {
    .register_ = on_register,
    .watch_routes = on_watch,
    .describe_cluster = on_describe_cluster,
    .list_topics = on_list_topics,
};

static void scan(void *arg)
{
    sk_namesrv *namesrv = arg;
    size_t gone = sk_route_table_expire(namesrv->table);
    if (gone) sk_log(SK_WARN, "silent brokers removed", sk_u64("brokers", gone));
    sk_timer_set_after_ms(namesrv->timers, &namesrv->scan, namesrv->options.scan_interval_ms);
}

static uint64_t or_else(uint64_t value, uint64_t fallback)
{
    return value ? value : fallback;
}

static void fill_defaults(struct sk_namesrv_options *o)
{
    o->scan_interval_ms = or_else(o->scan_interval_ms, 10000);
    o->max_watchers = or_else(o->max_watchers, 1024);
    o->max_watch_backlog_bytes = or_else(o->max_watch_backlog_bytes, 16u << 20);
    o->max_clients = or_else(o->max_clients, 100000);
    o->settings_repeat_ms = or_else(o->settings_repeat_ms, 2000);
}

struct sk_status sk_namesrv_new(sk_route_table *table, const struct sk_namesrv_options *options,
                                sk_namesrv **out)
{
    sk_namesrv *n = sk_zalloc(1, sizeof *n);
    n->table = table;
    if (options) n->options = *options;
    fill_defaults(&n->options);
    sk_streams_init(&n->registrations, register_ended);
    sk_streams_init(&n->watchers, watch_ended);
    sk_streams_init(&n->clients, telemetry_ended);
    n->scan = (struct sk_timer){.fn = scan, .arg = n};
    n->repeat = (struct sk_timer){.fn = repeat_settings, .arg = n};
    struct sk_status s = sk_timers_new(NULL, &n->timers);
    if (!sk_ok(s)) {
        sk_namesrv_free(n);
        return s;
    }
    sk_route_table_listen(table, tell_watchers, n);
    sk_timer_set_after_ms(n->timers, &n->scan, n->options.scan_interval_ms);
    *out = n;
    return SK_SUCCESS;
}

void sk_namesrv_mount(sk_namesrv *namesrv, rpc_server *server)
{
    skua_name_server_mount(server, &handlers, namesrv);
}

void sk_namesrv_free(sk_namesrv *n)
{
    if (!n) return;
    sk_timers_free(n->timers);
    sk_streams_done(&n->registrations);
    sk_streams_done(&n->watchers);
    sk_streams_done(&n->clients);
    free(n);
}

void sk_namesrv_free_p(sk_namesrv **namesrv)
{
    sk_namesrv_free(*namesrv);
}
