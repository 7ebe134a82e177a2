/* admin.c - routes for people, and the administration of topics, groups and brokers.
 *
 * Name servers are tried in turn; a broker is found by its name in what they
 * answer to DescribeCluster. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "skua/v1/admin.rpc.h"
#include "skua/v1/namesrv.rpc.h"

#define COPY(to, from) snprintf((to), sizeof(to), "%s", (from))

static const struct rpc_method *ns_method(size_t index)
{
    return &skua_name_server.methods[index];
}
static const struct rpc_method *admin_method(size_t i)
{
    return &skua_broker_admin.methods[i];
}

static struct skua_status call_failed(struct sk_status s, const char *method)
{
    if (s.code == SK_UNIMPLEMENTED)
        return status_make(SKUA_UNIMPLEMENTED, 0,
                           "%s: the server does not have this: is it Skua's?", method);
    return status_from_base(s);
}

/* Ask the name servers in turn until one answers. */
static struct skua_status ask_name_servers(skua_client *client, const struct rpc_method *method,
                                           const ProtobufCMessage *request, sk_arena *arena,
                                           const ProtobufCMessage **response)
{
    size_t first = atomic_load(&client->name_server);
    struct sk_status s = SK_SUCCESS;
    for (size_t i = 0; i < client->name_server_count; i++) {
        size_t at = (first + i) % client->name_server_count;
        struct rpc_options options =
            member_options(&client->self, client->options.request_timeout_ms);
        s = rpc_unary_wait(client->name_servers[at]->channel, method, &options, request, arena,
                           response);
        if (sk_ok(s)) {
            atomic_store(&client->name_server, at);
            return OK_STATUS;
        }
        if (s.code != SK_UNAVAILABLE && s.code != SK_TIMEOUT) break;
    }
    return call_failed(s, method->name);
}

/* --- routes ---------------------------------------------------------------------------- */

static struct skua_route_queue route_queue_of(const struct route_queue *q)
{
    struct skua_route_queue out = {
        .broker_id = q->broker_id, .id = q->id, .permission = q->permission, .types = q->types};
    COPY(out.broker, q->broker);
    COPY(out.address, q->peer->target);
    return out;
}

static struct skua_status route_once(skua_client *client, struct peer *server, const char *topic,
                                     struct route **out)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    rmq_resource resource = resource_of(client->options.name_space, topic);
    const rmq_query_route_response *response;
    char doing[300];
    request.topic = &resource;
    struct rpc_options options = member_options(&client->self, client->options.request_timeout_ms);
    struct sk_status s = rmq_messaging_service_query_route_wait(server->channel, &options, &request,
                                                                arena, &response);
    if (!sk_ok(s)) return status_from_base(s);
    snprintf(doing, sizeof doing, "route of %s", topic);
    struct skua_status status = status_from_reply(response->status, doing);
    if (status.code != SKUA_OK) return status;
    *out = route_from_response(client, response);
    return OK_STATUS;
}

struct skua_status skua_client_route(skua_client *client, const char *topic,
                                     struct skua_route_queue **out, size_t *count)
{
    struct skua_status why = OK_STATUS;
    size_t first = atomic_load(&client->name_server);
    for (size_t i = 0; i < client->name_server_count; i++) {
        size_t at = (first + i) % client->name_server_count;
        struct route *route;
        struct skua_status s = route_once(client, client->name_servers[at], topic, &route);
        if (s.code != SKUA_OK) {
            if (why.code == SKUA_OK || (why.reply == 0 && s.reply != 0)) why = s;
            continue;
        }
        *out = sk_zalloc(route->count + 1, sizeof **out);
        for (size_t q = 0; q < route->count; q++) (*out)[q] = route_queue_of(&route->queues[q]);
        *count = route->count;
        route_unref(route);
        return OK_STATUS;
    }
    return why;
}

/* --- brokers --------------------------------------------------------------------------- */

static struct skua_status describe_cluster(skua_client *client, sk_arena *arena,
                                           const skua_describe_cluster_response **out)
{
    skua_describe_cluster_request request = SKUA_DESCRIBE_CLUSTER_REQUEST_INIT;
    const ProtobufCMessage *response;
    struct skua_status s = ask_name_servers(client, ns_method(SKUA_NAME_SERVER_DESCRIBE_CLUSTER),
                                            &request.base, arena, &response);
    if (s.code == SKUA_OK) *out = (const skua_describe_cluster_response *)response;
    return s;
}

/* Where this client reaches a broker: by TLS if it uses TLS. */
static bool broker_target(const skua_client *client, const skua_broker_identity *b, char *out,
                          size_t room)
{
    return endpoints_target(client->options.tls ? b->tls_endpoints : b->endpoints, out, room);
}

static struct skua_status broker_by_name(skua_client *client, const char *name, struct peer **out)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    const skua_describe_cluster_response *cluster;
    char target[264];
    struct skua_status s = describe_cluster(client, arena, &cluster);
    if (s.code != SKUA_OK) return s;
    for (size_t i = 0; i < cluster->n_brokers; i++) {
        const skua_broker_identity *b = cluster->brokers[i]->broker;
        if (!b || b->id != 0 || strcmp(b->name, name) != 0) continue;
        if (!broker_target(client, b, target, sizeof target))
            return status_make(SKUA_UNAVAILABLE, 0, "broker %s has no %s listener", name,
                               client->options.tls ? "TLS" : "plaintext");
        *out = client_peer(client, target);
        return *out ? OK_STATUS : status_make(SKUA_INTERNAL, 0, "broker %s: bad address", name);
    }
    return status_make(SKUA_NOT_FOUND, 0, "there is no broker %s", name);
}

static struct skua_status ask_peer(skua_client *client, struct peer *peer, size_t method,
                                   const ProtobufCMessage *request, sk_arena *arena,
                                   const ProtobufCMessage **response)
{
    struct rpc_options options = member_options(&client->self, client->options.request_timeout_ms);
    struct sk_status s =
        rpc_unary_wait(peer->channel, admin_method(method), &options, request, arena, response);
    return sk_ok(s) ? OK_STATUS : call_failed(s, admin_method(method)->name);
}

static struct skua_status ask_broker(skua_client *client, const char *name, size_t method,
                                     const ProtobufCMessage *request, sk_arena *arena,
                                     const ProtobufCMessage **response)
{
    struct peer *peer;
    struct skua_status s = broker_by_name(client, name, &peer);
    return s.code == SKUA_OK ? ask_peer(client, peer, method, request, arena, response) : s;
}

static void ask_how_it_is(skua_client *client, struct skua_broker *b)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    skua_describe_broker_request request = SKUA_DESCRIBE_BROKER_REQUEST_INIT;
    const ProtobufCMessage *answer;
    struct peer *peer = client_peer(client, client->options.tls ? b->tls_address : b->address);
    if (!peer) return;
    struct skua_status s =
        ask_peer(client, peer, SKUA_BROKER_ADMIN_DESCRIBE_BROKER, &request.base, arena, &answer);
    if (s.code != SKUA_OK) return;
    const skua_describe_broker_response *r = (const skua_describe_broker_response *)answer;
    b->reached = true;
    COPY(b->flush, r->flush);
    b->uptime_ms = r->uptime_ms;
    b->log_bytes = r->log_bytes;
    b->log_tail = r->log_tail;
    b->log_flushed = r->log_flushed;
    b->groups = r->groups;
    b->clients = r->clients;
    b->waiting_receives = r->waiting_receives;
    b->disk_used_percent = r->disk_used_percent;
}

static int by_broker(const void *a, const void *b)
{
    const struct skua_broker *x = a, *y = b;
    int order = strcmp(x->cluster, y->cluster);
    if (!order) order = strcmp(x->name, y->name);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

struct skua_status skua_admin_brokers(skua_client *client, struct skua_broker **out, size_t *count)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    const skua_describe_cluster_response *cluster;
    struct skua_status s = describe_cluster(client, arena, &cluster);
    if (s.code != SKUA_OK) return s;
    struct skua_broker *list = sk_zalloc(cluster->n_brokers + 1, sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < cluster->n_brokers; i++) {
        const skua_broker_status *from = cluster->brokers[i];
        if (!from->broker) continue;
        struct skua_broker *b = &list[n++];
        COPY(b->cluster, from->broker->cluster);
        COPY(b->name, from->broker->name);
        COPY(b->version, from->broker->version);
        b->id = from->broker->id;
        (void)endpoints_target(from->broker->endpoints, b->address, sizeof b->address);
        (void)endpoints_target(from->broker->tls_endpoints, b->tls_address, sizeof b->tls_address);
        b->suspect = from->suspect;
        b->silent_ms = from->silent_ms;
        b->topics = from->topics;
        ask_how_it_is(client, b);
    }
    qsort(list, n, sizeof *list, by_broker);
    *out = list;
    *count = n;
    return OK_STATUS;
}

/* --- topics ---------------------------------------------------------------------------- */

static void topic_from(struct skua_topic *t, const skua_topic_config *c, const char *broker)
{
    COPY(t->name, c->name);
    COPY(t->broker, broker);
    t->type = c->mixed ? SKUA_MIXED : (enum skua_message_type)c->type;
    t->queues = c->write_queues;
    t->permission = c->permission == RMQ_PERMISSION_READ_WRITE ? SKUA_READ | SKUA_WRITE
                    : c->permission == RMQ_PERMISSION_READ     ? SKUA_READ
                    : c->permission == RMQ_PERMISSION_WRITE    ? SKUA_WRITE
                                                               : 0;
}

/* "namespace%name", as brokers keep it. */
static char *full_name(skua_client *client, const char *name, sk_arena *arena)
{
    const char *name_space = client->options.name_space;
    return *name_space ? sk_arena_printf(arena, "%s%%%s", name_space, name)
                       : sk_arena_printf(arena, "%s", name);
}

struct skua_status skua_admin_create_topic(skua_client *client, const struct skua_topic *topic,
                                           bool *created)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    skua_create_topic_request request = SKUA_CREATE_TOPIC_REQUEST_INIT;
    skua_topic_config config = SKUA_TOPIC_CONFIG_INIT;
    const ProtobufCMessage *answer;
    config.name = full_name(client, topic->name, arena);
    config.mixed = topic->type == SKUA_MIXED;
    config.type = config.mixed ? RMQ_MESSAGE_TYPE_NORMAL : (rmq_message_type)topic->type;
    config.read_queues = config.write_queues = topic->queues;
    config.permission = RMQ_PERMISSION_READ_WRITE;
    request.topic = &config;
    struct skua_status s = ask_broker(client, topic->broker, SKUA_BROKER_ADMIN_CREATE_TOPIC,
                                      &request.base, arena, &answer);
    if (s.code == SKUA_OK && created)
        *created = ((const skua_create_topic_response *)answer)->created;
    return s;
}

struct skua_status skua_admin_delete_topic(skua_client *client, const char *broker,
                                           const char *name)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    skua_delete_topic_request request = SKUA_DELETE_TOPIC_REQUEST_INIT;
    const ProtobufCMessage *answer;
    request.name = full_name(client, name, arena);
    struct skua_status s =
        ask_broker(client, broker, SKUA_BROKER_ADMIN_DELETE_TOPIC, &request.base, arena, &answer);
    if (s.code == SKUA_OK) route_forget(client, name);
    return s;
}

static int by_topic(const void *a, const void *b)
{
    const struct skua_topic *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->broker, y->broker);
}

struct skua_status skua_admin_topics(skua_client *client, const char *cluster,
                                     struct skua_topic **out, size_t *count)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    skua_list_topics_request request = SKUA_LIST_TOPICS_REQUEST_INIT;
    const ProtobufCMessage *answer;
    if (cluster && *cluster) request.cluster = sk_proto_text(cluster);
    struct skua_status s = ask_name_servers(client, ns_method(SKUA_NAME_SERVER_LIST_TOPICS),
                                            &request.base, arena, &answer);
    if (s.code != SKUA_OK) return s;
    const skua_list_topics_response *r = (const skua_list_topics_response *)answer;
    struct skua_topic *list = sk_zalloc(r->n_topics + 1, sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < r->n_topics; i++)
        if (r->topics[i]->config)
            topic_from(&list[n++], r->topics[i]->config, r->topics[i]->broker);
    qsort(list, n, sizeof *list, by_topic);
    *out = list;
    *count = n;
    return OK_STATUS;
}

static int by_queue(const void *a, const void *b)
{
    const struct skua_queue_range *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

struct skua_status skua_admin_describe_topic(skua_client *client, const char *broker,
                                             const char *name, struct skua_topic *topic,
                                             struct skua_queue_range **queues, size_t *count)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    skua_describe_topic_request request = SKUA_DESCRIBE_TOPIC_REQUEST_INIT;
    const ProtobufCMessage *answer;
    request.name = full_name(client, name, arena);
    struct skua_status s =
        ask_broker(client, broker, SKUA_BROKER_ADMIN_DESCRIBE_TOPIC, &request.base, arena, &answer);
    if (s.code != SKUA_OK) return s;
    const skua_describe_topic_response *r = (const skua_describe_topic_response *)answer;
    *topic = (struct skua_topic){0};
    if (r->topic) topic_from(topic, r->topic, broker);
    *queues = sk_zalloc(r->n_queues + 1, sizeof **queues);
    for (size_t i = 0; i < r->n_queues; i++)
        (*queues)[i] = (struct skua_queue_range){r->queues[i]->id, r->queues[i]->min_offset,
                                                 r->queues[i]->max_offset};
    qsort(*queues, r->n_queues, sizeof **queues, by_queue);
    *count = r->n_queues;
    return OK_STATUS;
}

/* --- groups ---------------------------------------------------------------------------- */

static void group_from(struct skua_group *g, const skua_group_config *c, const char *broker)
{
    COPY(g->name, c->name);
    COPY(g->broker, broker);
    g->max_attempts = c->max_attempts ? c->max_attempts : 17;
    g->orderly = c->orderly;
}

struct skua_status skua_admin_create_group(skua_client *client, const struct skua_group *group,
                                           bool *created)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    skua_create_group_request request = SKUA_CREATE_GROUP_REQUEST_INIT;
    skua_group_config config = SKUA_GROUP_CONFIG_INIT;
    const ProtobufCMessage *answer;
    config.name = full_name(client, group->name, arena);
    config.max_attempts = group->max_attempts;
    config.orderly = group->orderly;
    request.group = &config;
    struct skua_status s = ask_broker(client, group->broker, SKUA_BROKER_ADMIN_CREATE_GROUP,
                                      &request.base, arena, &answer);
    if (s.code == SKUA_OK && created)
        *created = ((const skua_create_group_response *)answer)->created;
    return s;
}

struct skua_status skua_admin_delete_group(skua_client *client, const char *broker,
                                           const char *name)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    skua_delete_group_request request = SKUA_DELETE_GROUP_REQUEST_INIT;
    const ProtobufCMessage *answer;
    request.name = full_name(client, name, arena);
    return ask_broker(client, broker, SKUA_BROKER_ADMIN_DELETE_GROUP, &request.base, arena,
                      &answer);
}

struct skua_status skua_admin_groups(skua_client *client, const char *broker,
                                     struct skua_group **out, size_t *count)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    skua_list_groups_request request = SKUA_LIST_GROUPS_REQUEST_INIT;
    const ProtobufCMessage *answer;
    struct skua_status s =
        ask_broker(client, broker, SKUA_BROKER_ADMIN_LIST_GROUPS, &request.base, arena, &answer);
    if (s.code != SKUA_OK) return s;
    const skua_list_groups_response *r = (const skua_list_groups_response *)answer;
    *out = sk_zalloc(r->n_groups + 1, sizeof **out);
    for (size_t i = 0; i < r->n_groups; i++) group_from(&(*out)[i], r->groups[i], broker);
    *count = r->n_groups;
    return OK_STATUS;
}

static struct skua_group_queue group_queue_of(const skua_group_queue_status *q)
{
    struct skua_group_queue out = {
        .id = q->queue,
        .min_offset = q->min_offset,
        .max_offset = q->max_offset,
        .committed_offset = q->committed_offset,
        .inflight = q->inflight,
        .lag = q->lag,
    };
    COPY(out.topic, q->topic);
    return out;
}

static struct skua_group_client group_client_of(const skua_client_status *c)
{
    struct skua_group_client out = {0};
    COPY(out.client_id, c->client_id);
    COPY(out.language, c->language);
    COPY(out.version, c->version);
    COPY(out.address, c->address);
    return out;
}

struct skua_status skua_admin_describe_group(skua_client *client, const char *broker,
                                             const char *name, struct skua_group *group,
                                             struct skua_group_queue **queues, size_t *queue_count,
                                             struct skua_group_client **clients,
                                             size_t *client_count)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    skua_describe_group_request request = SKUA_DESCRIBE_GROUP_REQUEST_INIT;
    const ProtobufCMessage *answer;
    request.name = full_name(client, name, arena);
    struct skua_status s =
        ask_broker(client, broker, SKUA_BROKER_ADMIN_DESCRIBE_GROUP, &request.base, arena, &answer);
    if (s.code != SKUA_OK) return s;
    const skua_describe_group_response *r = (const skua_describe_group_response *)answer;
    *group = (struct skua_group){0};
    if (r->group) group_from(group, r->group, broker);
    *queues = sk_zalloc(r->n_queues + 1, sizeof **queues);
    for (size_t i = 0; i < r->n_queues; i++) (*queues)[i] = group_queue_of(r->queues[i]);
    *queue_count = r->n_queues;
    *clients = sk_zalloc(r->n_clients + 1, sizeof **clients);
    for (size_t i = 0; i < r->n_clients; i++) (*clients)[i] = group_client_of(r->clients[i]);
    *client_count = r->n_clients;
    return OK_STATUS;
}
