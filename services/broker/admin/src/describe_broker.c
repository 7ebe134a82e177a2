/* describe_broker.c - how this broker is. */
#include "inside.h"
#include "ledger/polls.h"
#include "service/report.h"

static bool add_name_servers(struct sk_admin *admin, sk_arena *arena,
                             skua_describe_broker_response *out)
{
    size_t count = sk_routes_name_servers(admin->routes);
    skua_name_server_status *list = sk_arena_zalloc(arena, count, sizeof *list);
    out->name_servers = sk_arena_zalloc(arena, count, sizeof *out->name_servers);
    if (!list || !out->name_servers) return false;
    for (size_t i = 0; i < count; i++) {
        skua_name_server_status_init(&list[i]);
        list[i].address = (char *)(uintptr_t)admin->node->config->namesrv.items[i];
        list[i].connected = sk_routes_is_connected(admin->routes, i);
        out->name_servers[out->n_name_servers++] = &list[i];
    }
    return true;
}

void sk_admin_describe_broker(void *owner, rpc_call *call,
                              const skua_describe_broker_request *request)
{
    (void)request;
    struct sk_admin *admin = owner;
    sk_arena *arena = rpc_call_arena(call);
    skua_describe_broker_response response = SKUA_DESCRIBE_BROKER_RESPONSE_INIT;
    struct sk_route_broker own = {
        .key = {.cluster = sk_slice_of_text(admin->node->config->cluster),
                .name = admin->node->name},
        .incarnation = admin->node->incarnation,
        .software = SK_SLICE(SKUA_VERSION),
        .plain = admin->node->plain,
        .tls = admin->node->tls,
    };
    sk_store *store = sk_ledger_store(admin->node->ledger);
    struct sk_store_stats stats = sk_store_stats(store);
    response.broker = sk_identity_message(&own, arena);
    response.flush =
        admin->node->config->flush ? (char *)(uintptr_t) "async" : (char *)(uintptr_t) "sync";
    response.uptime_ms = (sk_mono_us(admin->node->clock) - admin->node->started_us) / 1000;
    response.log_begin = sk_store_begin(store);
    response.log_tail = sk_store_tail(store);
    response.log_flushed = stats.flushed;
    response.log_bytes = response.log_tail - response.log_begin;
    response.snapshot_position = stats.snapshot_position;
    response.disk_used_percent = stats.disk_used_percent;
    response.clients = sk_sessions_count(admin->sessions);
    struct sk_turn turn;
    sk_turn_begin(&turn, admin->node->ledger);
    response.topics = sk_state_topic_count(sk_turn_state(&turn));
    response.groups = sk_state_group_count(sk_turn_state(&turn));
    response.waiting_receives = sk_polls_count(&turn);
    sk_turn_end(&turn);
    if (response.broker && add_name_servers(admin, arena, &response)) {
        skua_broker_admin_reply_describe_broker(call, &response);
    } else {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the answer");
    }
}
