/* inside.h - what the name server is made of. Private to this room. */
#ifndef SK_NAMESRV_INSIDE_H
#define SK_NAMESRV_INSIDE_H

#include "base/cleanup.h"
#include "base/timer.h"
#include "namesrv/namesrv.h"
#include "service/stream.h"
#include "skua/v1/namesrv.alias.h"

struct sk_namesrv {
    sk_route_table *table;
    struct sk_namesrv_options options; /* all set */
    sk_timers *timers;
    struct sk_timer scan;
    struct sk_timer repeat;
    struct sk_streams registrations; /* on_register.c */
    struct sk_streams watchers;      /* on_watch.c */
    struct sk_streams clients;       /* on_telemetry.c */
};

/* --- accept_report.c */

/* Translate a report after checking it; borrowed from `message` and `arena`. SK_INVALID without a
 * broker or with impossible queue counts, SK_FULL when the arena's budget is exceeded. */
SK_CHECKED struct sk_status accept_report(const skua_broker_report *message, sk_arena *arena,
                                          struct sk_route_broker *out);

/* --- the services' handlers, one file each */

void on_register(void *owner, rpc_call *call);
void register_ended(struct sk_stream *stream);

void on_watch(void *owner, rpc_call *call, const skua_watch_routes_request *request);
void watch_ended(struct sk_stream *stream);
void tell_watchers(void *owner); /* the table's listener */

void on_describe_cluster(void *owner, rpc_call *call, const skua_describe_cluster_request *request);
void on_list_topics(void *owner, rpc_call *call, const skua_list_topics_request *request);

void on_telemetry(void *owner, rpc_call *call);
void telemetry_ended(struct sk_stream *stream);
void repeat_settings(void *owner); /* the timer's function */

#endif
