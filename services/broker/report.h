/* report.h - our own report, out of the state; service/report.h translates it. */
#ifndef SK_BROKER_REPORT_H
#define SK_BROKER_REPORT_H

#include "inside.h"
#include "route/table.h"
#include "service/report.h"

/* What this broker serves now. Borrows names from the broker's own fields; all else is in
 * `arena`. False when its budget does not suffice. Takes the ledger's lock. */
bool sk_report_of_broker(sk_broker *broker, sk_arena *arena, struct sk_route_broker *out);

#endif
