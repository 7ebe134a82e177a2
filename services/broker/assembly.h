/* assembly.h - the rooms of a broker, put together: broker.c's, and its tests'. */
#ifndef SK_BROKER_ASSEMBLY_H
#define SK_BROKER_ASSEMBLY_H

#include "admin/admin.h"
#include "broker/broker.h"
#include "calls/calls.h"

struct sk_broker {
    struct sk_broker_options options;
    struct sk_node node;
    sk_placing *placing;
    sk_sessions *sessions;
    sk_renewer *renewer;
    sk_routes *routes;
    sk_calls *calls;
    sk_admin *admin;
    rpc_server *server;  /* that it is mounted on; not to be used once that drains */
    atomic_bool failing; /* `failed` was called */
};

#endif
