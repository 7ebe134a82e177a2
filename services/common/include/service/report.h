/* report.h - a broker's report between skua.v1 and the route table.
 *
 * Brokers write reports, name servers read and hand them on, and brokers that watch a
 * name server read them again: one translation serves all three. What a report may say
 * (names, queue counts) is for its reader to check.
 *
 * Results borrow from the argument and `arena`. NULL or false: the arena's budget does not
 * suffice; sk_report_of_message also when the report does not say which broker it is of.
 * A negative queue count reads as 0, a permission that is not set as READ_WRITE.
 *
 * Threads: pure functions. */
#ifndef SK_SERVICE_REPORT_H
#define SK_SERVICE_REPORT_H

#include <stdbool.h>

#include "base/arena.h"
#include "route/table.h"
#include "skua/v1/namesrv.alias.h"

skua_topic_config *sk_topic_config_message(const struct sk_route_topic *topic, sk_arena *arena);
skua_broker_identity *sk_identity_message(const struct sk_route_broker *broker, sk_arena *arena);
skua_broker_report *sk_report_message(const struct sk_route_broker *broker, sk_arena *arena);

bool sk_report_of_message(const skua_broker_report *message, sk_arena *arena,
                          struct sk_route_broker *out);

#endif
