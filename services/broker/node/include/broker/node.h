/* node.h - this broker, as all its rooms may know it: its settings, its name and addresses, its
 * ledger, its clock. The rooms that stand on it (placing, sessions, cluster, calls, admin) do not
 * know each other but by the headers that they name.
 *
 * Threads: read by any; written by broker.c before anybody serves, but for `stopping`. */
#ifndef SK_BROKER_NODE_H
#define SK_BROKER_NODE_H

#include <stdatomic.h>

#include "base/timer.h"
#include "broker/config.h"
#include "ledger/ledger.h"
#include "route/table.h"

struct sk_node {
    const struct sk_broker_config *config;
    const struct sk_clock *clock;
    sk_ledger *ledger;
    sk_timers *timers;
    struct sk_slice name;
    uint64_t incarnation; /* wall clock of the start, ms */
    uint64_t started_us;
    char *host;     /* HOST:PORT that consumers see; set by sk_broker_start */
    char *tls_host; /* or NULL */
    struct sk_route_address addresses[2];
    struct sk_route_endpoints plain, tls; /* the same, for routes */
    atomic_bool stopping;
};

#endif
