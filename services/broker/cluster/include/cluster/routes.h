/* routes.h - the broker's own idea of who serves what, and its ties to the name servers.
 *
 *      own state ──report──► every name server (one Register stream each)
 *          └──────────────► own route table ◄──WatchRoutes── one name server, or the next
 *                                 └──► QueryRoute, QueryAssignment
 *
 * Without name servers the table has this broker alone. When all of them are gone it
 * keeps what it knew; a broker that a new stream does not know is kept for another
 * two minutes, in which a restarted name server hears of it again.
 *
 * Threads: any. */
#ifndef SK_BROKER_ROUTES_H
#define SK_BROKER_ROUTES_H

#include "broker/node.h"
#include "rpc/server.h"

typedef struct sk_routes sk_routes;

SK_CHECKED struct sk_status sk_routes_new(const struct sk_node *node, sk_routes **out);
/* The broker's endpoints are known: report, and connect to the name servers. */
SK_CHECKED struct sk_status sk_routes_start(sk_routes *routes, rpc_server *server);
/* Say goodbye to the name servers; waits up to half a second until they have heard. */
void sk_routes_stop(sk_routes *routes);
/* Close all connections: no callback comes after this. */
void sk_routes_disconnect(sk_routes *routes);
void sk_routes_free(sk_routes *routes); /* after the timers have stopped; NULL is fine */

/* Topics or groups changed: the next sk_routes_acquire shows it, the name servers are told at once
 * or, of several changes together, soon. No lock may be held. */
void sk_routes_report_self(sk_routes *routes);

/* Every change that was reported before is in it: it is built here, at most once for all of them,
 * which takes some 0.5 us for each topic. No lock may be held. */
sk_route_snapshot *sk_routes_acquire(sk_routes *routes);

/* The name servers and whether a Register stream to each stands. */
size_t sk_routes_name_servers(const sk_routes *routes);
bool sk_routes_is_connected(sk_routes *routes, size_t i);

#endif
