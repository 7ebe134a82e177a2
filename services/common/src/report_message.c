/* report_message.c - skua.v1's reports as the route table's structs, and back. */
#include "service/report.h"

#include "apache/rocketmq/v2/definition.alias.h"
#include "service/route_answer.h"

/* --- to the wire ---------------------------------------------------------------------------------
 */

skua_topic_config *sk_topic_config_message(const struct sk_route_topic *topic, sk_arena *arena)
{
    static const rmq_permission permissions[] = {RMQ_PERMISSION_NONE, RMQ_PERMISSION_READ,
                                                 RMQ_PERMISSION_WRITE, RMQ_PERMISSION_READ_WRITE};
    skua_topic_config *to = sk_arena_alloc(arena, sizeof *to);
    char *name = sk_arena_text(arena, topic->name);
    if (!to || !name) return NULL;
    skua_topic_config_init(to);
    to->name = name;
    to->type = (rmq_message_type)topic->type;
    to->mixed = topic->mixed;
    to->read_queues = (int32_t)topic->read_queues;
    to->write_queues = (int32_t)topic->write_queues;
    to->permission = permissions[topic->permission & 3];
    return to;
}

skua_broker_identity *sk_identity_message(const struct sk_route_broker *broker, sk_arena *arena)
{
    skua_broker_identity *to = sk_arena_alloc(arena, sizeof *to);
    char *cluster = sk_arena_text(arena, broker->key.cluster);
    char *name = sk_arena_text(arena, broker->key.name);
    char *software = sk_arena_text(arena, broker->software);
    if (!to || !cluster || !name || !software) return NULL;
    skua_broker_identity_init(to);
    to->cluster = cluster;
    to->name = name;
    to->version = software;
    to->id = broker->key.id;
    to->incarnation = broker->incarnation;
    const struct sk_route_endpoints *plain = &broker->plain, *tls = &broker->tls;
    if (plain->count && !(to->endpoints = sk_endpoints_message(plain, arena))) return NULL;
    if (tls->count && !(to->tls_endpoints = sk_endpoints_message(tls, arena))) return NULL;
    return to;
}

skua_broker_report *sk_report_message(const struct sk_route_broker *report, sk_arena *arena)
{
    skua_broker_report *to = sk_arena_alloc(arena, sizeof *to);
    skua_topic_config **topics = sk_arena_zalloc(arena, report->topic_count, sizeof *topics);
    char **groups = sk_arena_zalloc(arena, report->group_count, sizeof *groups);
    if (!to || !topics || !groups) return NULL;
    skua_broker_report_init(to);
    to->version = report->version;
    to->broker = sk_identity_message(report, arena);
    to->topics = topics;
    to->orderly_groups = groups;
    for (; to->n_topics < report->topic_count; to->n_topics++) {
        topics[to->n_topics] = sk_topic_config_message(&report->topics[to->n_topics], arena);
        if (!topics[to->n_topics]) return NULL;
    }
    for (size_t i = 0; i < report->group_count; i++) {
        groups[to->n_orderly_groups++] = sk_arena_text(arena, report->orderly_groups[i]);
        if (!groups[i]) return NULL;
    }
    return to->broker ? to : NULL;
}

/* --- off the wire --------------------------------------------------------------------------------
 */

static unsigned permission_of(rmq_permission permission)
{
    switch (permission) {
    case RMQ_PERMISSION_NONE:
        return 0;
    case RMQ_PERMISSION_READ:
        return SK_ROUTE_READ;
    case RMQ_PERMISSION_WRITE:
        return SK_ROUTE_WRITE;
    default:
        return SK_ROUTE_READ | SK_ROUTE_WRITE;
    }
}

bool sk_report_of_message(const skua_broker_report *message, sk_arena *arena,
                          struct sk_route_broker *out)
{
    const skua_broker_identity *identity = message->broker;
    struct sk_route_topic *topics = sk_arena_zalloc(arena, message->n_topics, sizeof *topics);
    struct sk_slice *groups = sk_arena_zalloc(arena, message->n_orderly_groups, sizeof *groups);
    if (!identity || !topics || !groups) return false;
    for (size_t i = 0; i < message->n_topics; i++) {
        const skua_topic_config *t = message->topics[i];
        topics[i] = (struct sk_route_topic){
            .name = sk_slice_of_text(t->name),
            .type = (int32_t)t->type,
            .mixed = t->mixed,
            .read_queues = t->read_queues > 0 ? (uint32_t)t->read_queues : 0,
            .write_queues = t->write_queues > 0 ? (uint32_t)t->write_queues : 0,
            .permission = permission_of(t->permission),
        };
    }
    for (size_t i = 0; i < message->n_orderly_groups; i++) {
        groups[i] = sk_slice_of_text(message->orderly_groups[i]);
    }
    *out = (struct sk_route_broker){
        .key = {.cluster = sk_slice_of_text(identity->cluster),
                .name = sk_slice_of_text(identity->name),
                .id = identity->id},
        .incarnation = identity->incarnation,
        .version = message->version,
        .software = sk_slice_of_text(identity->version),
        .plain = sk_endpoints_of_message(identity->endpoints, arena),
        .tls = sk_endpoints_of_message(identity->tls_endpoints, arena),
        .topics = topics,
        .topic_count = message->n_topics,
        .orderly_groups = groups,
        .group_count = message->n_orderly_groups,
    };
    return true;
}
