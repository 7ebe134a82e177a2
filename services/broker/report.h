/* report.h - brokers' reports: our own, out of the state, and others', off the wire. */
#ifndef SK_BROKER_REPORT_H
#define SK_BROKER_REPORT_H

#include "inside.h"
#include "route/table.h"
#include "skua/v1/namesrv.alias.h"

/* What this broker serves now. Borrows names from the broker's own fields; all else is in
 * `arena`. False when its budget does not suffice. Takes the ledger's lock. */
bool sk_report_of_broker(sk_broker *broker, sk_arena *arena, struct sk_route_broker *out);

/* To the wire's form and back; borrow from their argument and `arena`. NULL, false: no memory, or
 * not a report. */
skua_broker_report *sk_report_message(const struct sk_route_broker *report, sk_arena *arena);
bool sk_report_of_message(const skua_broker_report *message, sk_arena *arena,
                          struct sk_route_broker *out);

skua_topic_config *sk_topic_config_message(const struct sk_route_topic *topic, sk_arena *arena);
skua_broker_identity *sk_identity_message(const struct sk_route_broker *report, sk_arena *arena);

#endif
