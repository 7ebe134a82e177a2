/* calls.h - what clients ask: apache.rocketmq.v2.MessagingService. */
#ifndef SK_CALLS_CALLS_H
#define SK_CALLS_CALLS_H

#include "cluster/routes.h"
#include "placing/placing.h"
#include "rpc/server.h"
#include "sessions/renew.h"

typedef struct sk_calls sk_calls;

/* All are borrowed. */
struct sk_calls_options {
    const struct sk_node *node;
    sk_placing *placing;
    sk_sessions *sessions;
    sk_renewer *renewer;
    sk_routes *routes;
};

sk_calls *sk_calls_new(const struct sk_calls_options *options);
void sk_calls_mount(sk_calls *calls, rpc_server *server);
/* End the Telemetry streams, and each that opens later. */
void sk_calls_end(sk_calls *calls);
void sk_calls_free(sk_calls *calls); /* after the server was drained; NULL is fine */

#endif
