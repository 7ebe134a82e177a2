/* namesrv.h - the name server: a route table behind gRPC services.
 *
 *      brokers ──Register──►  route table  ──WatchRoutes──► whoever follows changes
 *      clients ──QueryRoute, QueryAssignment, Telemetry, Heartbeat──► answers
 *
 * Two faces, mounted apart: skua.v1.NameServer for brokers and tools, and the access
 * point of apache.rocketmq.v2.MessagingService for clients (protocol.md 4.0). A process
 * that has a broker as well (skua dev) mounts the first only: the broker is the
 * access point then.
 *
 * Life: sk_route_table_new ─► sk_namesrv_new ─► mount ─► serve ─► drain ─► sk_namesrv_free
 *       ─► sk_route_table_free. The table is used by nobody else before _new returned.
 *
 * Threads: the services run on the server's pollers, expiry on a timer thread. */
#ifndef SK_NAMESRV_NAMESRV_H
#define SK_NAMESRV_NAMESRV_H

#include "route/table.h"
#include "rpc/server.h"
#include "service/settings.h"

typedef struct sk_namesrv sk_namesrv;

struct sk_namesrv_options {         /* zero in any of these means the default behind it */
    uint64_t scan_interval_ms;      /* 10 s */
    size_t max_watchers;            /* 1024 */
    size_t max_watch_backlog_bytes; /* 16 MiB */
    size_t max_clients;             /* 100000 */
    uint64_t settings_repeat_ms;    /* 2 s */
    bool never_repeat_settings;
    struct sk_settings_rules rules;
    int32_t max_attempts; /* 17 */
};

SK_CHECKED struct sk_status sk_namesrv_new(sk_route_table *table,
                                           const struct sk_namesrv_options *options,
                                           sk_namesrv **out);

/* Before the server starts. */
void sk_namesrv_mount(sk_namesrv *namesrv, rpc_server *server);
void sk_namesrv_mount_access_point(sk_namesrv *namesrv, rpc_server *server);

/* After the server was drained. NULL is fine. */
void sk_namesrv_free(sk_namesrv *namesrv);
void sk_namesrv_free_p(sk_namesrv **namesrv);

#endif
