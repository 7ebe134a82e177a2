/* on_describe.c - DescribeCluster and ListTopics: the table for people and tools. */
#include "inside.h"
#include "service/report.h"
#include "skua/v1/namesrv.rpc.h"

static void fail_memory(rpc_call *call)
{
    rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED,
                  "the answer needs more memory than one call may have (max_call_memory)");
}

static skua_broker_status *status_of(sk_namesrv *namesrv, struct sk_route_member member,
                                     sk_arena *arena)
{
    skua_broker_status *to = sk_arena_alloc(arena, sizeof *to);
    skua_broker_identity *identity = sk_identity_message(member.broker, arena);
    if (!to || !identity) return NULL;
    skua_broker_status_init(to);
    to->broker = identity;
    to->version = member.broker->version;
    to->suspect = member.suspect;
    to->silent_ms = sk_route_table_silent_ms(namesrv->table, &member.broker->key);
    to->topics = (int32_t)member.broker->topic_count;
    return to;
}

void on_describe_cluster(void *owner, rpc_call *call, const skua_describe_cluster_request *request)
{
    sk_namesrv *namesrv = owner;
    SK_CLEANUP(sk_route_unref_p) sk_route_snapshot *now = sk_route_acquire(namesrv->table);
    sk_arena *arena = rpc_call_arena(call);
    size_t count = sk_route_count(now);
    skua_describe_cluster_response response = SKUA_DESCRIBE_CLUSTER_RESPONSE_INIT;
    (void)request;
    response.brokers = sk_arena_zalloc(arena, count, sizeof(void *));
    bool made = response.brokers != NULL;
    for (; made && response.n_brokers < count; response.n_brokers++)
        made = (response.brokers[response.n_brokers] =
                    status_of(namesrv, sk_route_at(now, response.n_brokers), arena)) != NULL;
    if (made)
        skua_name_server_reply_describe_cluster(call, &response);
    else
        fail_memory(call);
}

static bool in_cluster(const struct sk_route_broker *b, const char *cluster)
{
    return cluster[0] == 0 || sk_slice_eq(b->key.cluster, sk_slice_of_text(cluster));
}

static skua_topic_route *route_of(const struct sk_route_topic *topic, char *broker, char *cluster,
                                  sk_arena *arena)
{
    skua_topic_route *to = sk_arena_alloc(arena, sizeof *to);
    skua_topic_config *config = sk_topic_config_message(topic, arena);
    if (!to || !config) return NULL;
    skua_topic_route_init(to);
    to->config = config;
    to->broker = broker;
    to->cluster = cluster;
    return to;
}

static bool add_topics(const struct sk_route_broker *b, sk_arena *arena,
                       skua_list_topics_response *response)
{
    char *broker = sk_arena_text(arena, b->key.name),
         *cluster = sk_arena_text(arena, b->key.cluster);
    if (!broker || !cluster) return false;
    for (size_t i = 0; i < b->topic_count; i++)
        if (!(response->topics[response->n_topics++] =
                  route_of(&b->topics[i], broker, cluster, arena)))
            return false;
    return true;
}

void on_list_topics(void *owner, rpc_call *call, const skua_list_topics_request *request)
{
    sk_namesrv *namesrv = owner;
    SK_CLEANUP(sk_route_unref_p) sk_route_snapshot *now = sk_route_acquire(namesrv->table);
    sk_arena *arena = rpc_call_arena(call);
    skua_list_topics_response response = SKUA_LIST_TOPICS_RESPONSE_INIT;
    size_t count = 0;
    for (size_t i = 0; i < sk_route_count(now); i++)
        count += sk_route_at(now, i).broker->topic_count;
    response.topics = sk_arena_zalloc(arena, count, sizeof(void *));
    bool made = response.topics != NULL;
    for (size_t i = 0; made && i < sk_route_count(now); i++) {
        const struct sk_route_broker *b = sk_route_at(now, i).broker;
        /* Masters speak for their set. */
        if (b->key.id == 0 && in_cluster(b, request->cluster))
            made = add_topics(b, arena, &response);
    }
    if (made)
        skua_name_server_reply_list_topics(call, &response);
    else
        fail_memory(call);
}
