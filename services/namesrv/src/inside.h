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

/* --- translate.c: skua.v1's messages and the route table's structs */

/* Borrowed from `message` and `arena`. SK_INVALID without a broker, SK_FULL when the
 * arena's budget is exceeded. */
SK_CHECKED struct sk_status report_from_proto(const skua_broker_report *message, sk_arena *arena,
                                              struct sk_route_broker *out);

/* Borrowed from `broker` and `arena`; NULL when the budget is exceeded. */
skua_broker_report *report_to_proto(const struct sk_route_broker *broker, sk_arena *arena);
skua_broker_identity *identity_to_proto(const struct sk_route_broker *broker, sk_arena *arena);
skua_topic_config *topic_to_proto(const struct sk_route_topic *topic, sk_arena *arena);

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
