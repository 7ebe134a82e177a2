/* health.h - grpc.health.v1, for probes and balancers.
 *
 *      ""                  the server as a whole      SERVING from the start
 *      a mounted service   by its full name           SERVING from the start
 *      any other name      that sk_health_set gives   as it says
 *
 * Check answers once (NOT_FOUND for a name that nobody gave), Watch now and at every change
 * (SERVICE_UNKNOWN until somebody gives the name). From the beginning of a drain all of them are
 * NOT_SERVING, and stay so; Check goes on answering until the server is gone.
 *
 * Threads: any; no lock is held while it writes to a watcher. */
#ifndef SK_HEALTH_H
#define SK_HEALTH_H

#include <stdbool.h>

#include "rpc/server.h"

typedef struct sk_health sk_health;

/* Before start. The result lives as long as the server. */
sk_health *sk_health_mount(rpc_server *server);

/* Wins over what the name is from the start; "readiness" is a name like any other. */
void sk_health_set(sk_health *health, const char *name, bool serving);

#endif
