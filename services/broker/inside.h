/* inside.h - the broker, as its own files see it. */
#ifndef SK_BROKER_INSIDE_H
#define SK_BROKER_INSIDE_H

#include <stdatomic.h>

#include "apache/rocketmq/v2/service.rpc.h"
#include "base/timer.h"
#include "broker/broker.h"
#include "caller.h"
#include "ledger/ledger.h"
#include "ledger/polls.h"
#include "rpc/channel.h"
#include "route/table.h"
#include "sessions.h"

typedef struct sk_registrar sk_registrar;
typedef struct sk_routes sk_routes;
typedef struct sk_renewer sk_renewer;
typedef struct sk_telemetry sk_telemetry;

struct sk_broker {
    struct sk_broker_options options;
    const struct sk_broker_config *config;
    const struct sk_clock *clock;
    struct sk_slice name;
    sk_ledger *ledger;
    sk_timers *timers;
    sk_sessions *sessions;
    sk_renewer *renewer;
    sk_telemetry *telemetry;
    struct sk_burst_room *burst_room;
    rpc_server *server; /* that it is mounted on; not to be used once that drains */
    rpc_client *client; /* to the name servers */
    sk_routes *routes;
    sk_registrar *registrar;
    char *store_host; /* HOST:PORT of ours that consumers see; set by sk_broker_start */
    char *tls_host;   /* or NULL */
    struct sk_route_address addresses[2];
    struct sk_route_endpoints plain, tls; /* the same, for routes */
    uint64_t incarnation;                 /* wall clock of the start, ms */
    uint64_t started_us;
    uint32_t rotations[1024]; /* guarded by the ledger's lock */
    atomic_bool failing;      /* `failed` was called */
    atomic_bool stopping;
};

/* --- handlers: owner is the sk_broker -------------------------------------------------------- */

void sk_handle_send(void *owner, rpc_call *call, struct sk_slice request);
void sk_handle_receive(void *owner, rpc_call *call, const rmq_receive_message_request *request);
void sk_handle_ack(void *owner, rpc_call *call, const rmq_ack_message_request *request);
void sk_handle_change(void *owner, rpc_call *call,
                      const rmq_change_invisible_duration_request *request);
void sk_handle_pull(void *owner, rpc_call *call, const rmq_pull_message_request *request);
void sk_handle_update_offset(void *owner, rpc_call *call, const rmq_update_offset_request *request);
void sk_handle_get_offset(void *owner, rpc_call *call, const rmq_get_offset_request *request);
void sk_handle_query_offset(void *owner, rpc_call *call, const rmq_query_offset_request *request);
void sk_handle_route(void *owner, rpc_call *call, const rmq_query_route_request *request);
void sk_handle_assignment(void *owner, rpc_call *call, const rmq_query_assignment_request *request);
void sk_handle_heartbeat(void *owner, rpc_call *call, const rmq_heartbeat_request *request);
void sk_handle_termination(void *owner, rpc_call *call,
                           const rmq_notify_client_termination_request *request);
void sk_handle_telemetry(void *owner, rpc_call *call);

void sk_mount_admin(sk_broker *broker, rpc_server *server);

/* --- topics and groups (catalogue.c) -----------------------------------------------------------
 */

/* Find, or create if that is allowed; *out until the next commit. */
SK_CHECKED struct sk_verdict sk_find_topic(sk_broker *broker, struct sk_turn *turn,
                                           struct sk_slice name, const struct sk_topic **out);
SK_CHECKED struct sk_verdict sk_find_group(sk_broker *broker, struct sk_turn *turn,
                                           struct sk_slice name, const struct sk_group **out);

/* A number that grows by one each time, per topic: spreads sends (and receives) over its queues.
 * Under the lock. */
static inline uint32_t sk_rotate(sk_broker *broker, uint32_t topic)
{
    return broker->rotations[topic % 1024]++;
}

#endif
