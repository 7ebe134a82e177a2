/* own_report.h - our own report, out of the state; service/report.h translates it. */
#ifndef SK_CLUSTER_OWN_REPORT_H
#define SK_CLUSTER_OWN_REPORT_H

#include "broker/node.h"
#include "route/table.h"
#include "service/report.h"

/* What this broker serves now. Borrows names from the broker's own fields; all else is in
 * `arena`. False when its budget does not suffice. Takes the ledger's lock. */
bool sk_own_report(const struct sk_node *node, sk_arena *arena, struct sk_route_broker *out);

#endif
