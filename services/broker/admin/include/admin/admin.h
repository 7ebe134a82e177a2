/* admin.h - what operators ask: skua.v1.BrokerAdmin. */
#ifndef SK_ADMIN_ADMIN_H
#define SK_ADMIN_ADMIN_H

#include "cluster/routes.h"
#include "rpc/server.h"
#include "sessions/sessions.h"

typedef struct sk_admin sk_admin;

/* All are borrowed. */
struct sk_admin_options {
    const struct sk_node *node;
    sk_sessions *sessions;
    sk_routes *routes;
};

sk_admin *sk_admin_new(const struct sk_admin_options *options);
void sk_admin_mount(sk_admin *admin, rpc_server *server);
void sk_admin_free(sk_admin *admin); /* after the server was drained; NULL is fine */

#endif
