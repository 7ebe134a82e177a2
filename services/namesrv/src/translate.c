/* translate.c - skua.v1's reports as the route table's structs, and back. */
#include "apache/rocketmq/v2/definition.alias.h"
#include "inside.h"
#include "service/route_answer.h"

/* --- in -------------------------------------------------------------------------------------- */

static unsigned permission_of(rmq_permission p)
{
    switch (p) {
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

/* More than any broker lets a topic have (its max_queues); each is a part of every answer. */
static struct sk_status check_queues(const skua_topic_config *t)
{
    enum { MOST_QUEUES = 65536 };
    int32_t least = t->read_queues < t->write_queues ? t->read_queues : t->write_queues;
    int32_t most = t->read_queues < t->write_queues ? t->write_queues : t->read_queues;
    if (least >= 0 && most <= MOST_QUEUES) return SK_SUCCESS;
    return sk_error(SK_INVALID,
                    "topic '%.127s' has %d read and %d write queues; at most %d are allowed",
                    t->name, t->read_queues, t->write_queues, MOST_QUEUES);
}

static struct sk_route_topic topic_of(const skua_topic_config *t)
{
    return (struct sk_route_topic){.name = sk_slice_of_text(t->name),
                                   .type = (int32_t)t->type,
                                   .mixed = t->mixed,
                                   .read_queues = (uint32_t)t->read_queues,
                                   .write_queues = (uint32_t)t->write_queues,
                                   .permission = permission_of(t->permission)};
}

struct sk_status report_from_proto(const skua_broker_report *m, sk_arena *arena,
                                   struct sk_route_broker *out)
{
    const skua_broker_identity *b = m->broker;
    if (!b) return sk_error(SK_INVALID, "the report does not say which broker it is of");
    struct sk_route_topic *topics = sk_arena_zalloc(arena, m->n_topics, sizeof *topics);
    struct sk_slice *groups = sk_arena_zalloc(arena, m->n_orderly_groups, sizeof *groups);
    if (!topics || !groups) return sk_error(SK_FULL, "the report needs too much memory");
    for (size_t i = 0; i < m->n_topics; i++) {
        SK_TRY(check_queues(m->topics[i]));
        topics[i] = topic_of(m->topics[i]);
    }
    for (size_t i = 0; i < m->n_orderly_groups; i++)
        groups[i] = sk_slice_of_text(m->orderly_groups[i]);
    *out = (struct sk_route_broker){
        .key = {.cluster = sk_slice_of_text(b->cluster),
                .name = sk_slice_of_text(b->name),
                .id = b->id},
        .incarnation = b->incarnation,
        .version = m->version,
        .software = sk_slice_of_text(b->version),
        .plain = sk_endpoints_of_message(b->endpoints, arena),
        .tls = sk_endpoints_of_message(b->tls_endpoints, arena),
        .topics = topics,
        .topic_count = m->n_topics,
        .orderly_groups = groups,
        .group_count = m->n_orderly_groups,
    };
    return SK_SUCCESS;
}

/* --- out -------------------------------------------------------------------------------------- */

skua_broker_identity *identity_to_proto(const struct sk_route_broker *b, sk_arena *arena)
{
    skua_broker_identity *to = sk_arena_alloc(arena, sizeof *to);
    char *cluster = sk_arena_text(arena, b->key.cluster);
    char *name = sk_arena_text(arena, b->key.name);
    char *software = sk_arena_text(arena, b->software);
    if (!to || !cluster || !name || !software) return NULL;
    skua_broker_identity_init(to);
    to->cluster = cluster;
    to->name = name;
    to->version = software;
    to->id = b->key.id;
    to->incarnation = b->incarnation;
    if (b->plain.count && !(to->endpoints = sk_endpoints_message(&b->plain, arena))) return NULL;
    if (b->tls.count && !(to->tls_endpoints = sk_endpoints_message(&b->tls, arena))) return NULL;
    return to;
}

skua_topic_config *topic_to_proto(const struct sk_route_topic *t, sk_arena *arena)
{
    static const rmq_permission permissions[] = {RMQ_PERMISSION_NONE, RMQ_PERMISSION_READ,
                                                 RMQ_PERMISSION_WRITE, RMQ_PERMISSION_READ_WRITE};
    skua_topic_config *to = sk_arena_alloc(arena, sizeof *to);
    char *name = sk_arena_text(arena, t->name);
    if (!to || !name) return NULL;
    skua_topic_config_init(to);
    to->name = name;
    to->type = (rmq_message_type)t->type;
    to->mixed = t->mixed;
    to->read_queues = (int32_t)t->read_queues;
    to->write_queues = (int32_t)t->write_queues;
    to->permission = permissions[t->permission & 3];
    return to;
}

skua_broker_report *report_to_proto(const struct sk_route_broker *b, sk_arena *arena)
{
    skua_broker_report *to = sk_arena_alloc(arena, sizeof *to);
    skua_topic_config **topics = sk_arena_zalloc(arena, b->topic_count, sizeof *topics);
    char **groups = sk_arena_zalloc(arena, b->group_count, sizeof *groups);
    if (!to || !topics || !groups) return NULL;
    skua_broker_report_init(to);
    to->version = b->version;
    if (!(to->broker = identity_to_proto(b, arena))) return NULL;
    to->topics = topics;
    for (; to->n_topics < b->topic_count; to->n_topics++)
        if (!(topics[to->n_topics] = topic_to_proto(&b->topics[to->n_topics], arena))) return NULL;
    to->orderly_groups = groups;
    for (; to->n_orderly_groups < b->group_count; to->n_orderly_groups++)
        if (!(groups[to->n_orderly_groups] =
                  sk_arena_text(arena, b->orderly_groups[to->n_orderly_groups])))
            return NULL;
    return to;
}
