/* route_answer.c - from brokers and their topics to message queues.
 *
 * Each answer is built in two steps: the places of the topic that this asker can
 * reach are turned into one rmq_broker each, then into queues. */
#include "service/route_answer.h"

/* The answer under construction. `failed` is set when the arena has no more. */
struct builder {
    const struct sk_asker *asker;
    const rmq_resource *topic;
    sk_arena *arena;
    rmq_message_queue **queues;
    size_t count, room;
    bool trusted_only;
    bool failed;
};

enum { READ_WRITE = SK_ROUTE_READ | SK_ROUTE_WRITE };

static const struct sk_verdict no_memory = {RMQ_CODE_TOO_MANY_REQUESTS,
                                            "the answer needs more memory than one call may have"};

/* --- endpoints ---------------------------------------------------------------------------- */

static rmq_address *address_message(const struct sk_route_address *from, sk_arena *arena)
{
    rmq_address *to = sk_arena_alloc(arena, sizeof *to);
    char *host = sk_arena_text(arena, from->host);
    if (!to || !host) return NULL;
    rmq_address_init(to);
    to->host = host;
    to->port = from->port;
    return to;
}

rmq_endpoints *sk_endpoints_message(const struct sk_route_endpoints *from, sk_arena *arena)
{
    rmq_endpoints *to = sk_arena_alloc(arena, sizeof *to);
    rmq_address **addresses = sk_arena_zalloc(arena, from->count, sizeof *addresses);
    if (!to || !addresses || from->count == 0) return NULL;
    rmq_endpoints_init(to);
    to->scheme = (rmq_address_scheme)from->scheme;
    to->addresses = addresses;
    for (size_t i = 0; i < from->count; i++)
        if (!(addresses[to->n_addresses++] = address_message(&from->addresses[i], arena)))
            return NULL;
    return to;
}

struct sk_route_endpoints sk_endpoints_of_message(const rmq_endpoints *message, sk_arena *arena)
{
    struct sk_route_endpoints none = {0};
    if (!message || message->n_addresses == 0) return none;
    struct sk_route_address *to = sk_arena_zalloc(arena, message->n_addresses, sizeof *to);
    if (!to) return none;
    for (size_t i = 0; i < message->n_addresses; i++)
        to[i] = (struct sk_route_address){.host = sk_slice_of_text(message->addresses[i]->host),
                                          .port = message->addresses[i]->port};
    return (struct sk_route_endpoints){.scheme = (enum sk_route_scheme)message->scheme,
                                       .addresses = to,
                                       .count = message->n_addresses};
}

/* --- places ---------------------------------------------------------------------------------- */

static const struct sk_route_endpoints *endpoints_for(const struct sk_asker *asker,
                                                      const struct sk_route_broker *broker)
{
    return asker->tls ? &broker->tls : &broker->plain;
}

static unsigned permission_of(const struct sk_route_place *place)
{
    unsigned p = place->topic->permission & READ_WRITE;
    return place->suspect ? p & ~(unsigned)SK_ROUTE_WRITE : p;
}

/* The next master that has the topic and that the asker can reach. `*unreachable` says
 * that one was passed over for want of a listener. */
static bool next_place(const struct builder *b, const sk_route_snapshot *snapshot,
                       struct sk_slice key, size_t *cursor, struct sk_route_place *out,
                       bool *unreachable)
{
    while (sk_route_next_place(snapshot, key, cursor, out)) {
        if (out->broker->key.id != 0 || (out->suspect && b->trusted_only)) continue;
        if (endpoints_for(b->asker, out->broker)->count) return true;
        *unreachable = true;
    }
    return false;
}

/* Is there a master that is not suspect? Then suspect ones are left out altogether. Their
 * queues as READ would not do: the Go client's producer sends to queues that are not
 * writable, and it dials a dead broker for 5 s with a lock held that calls to all others
 * need, so that one dead broker stops a consumer, too. */
static bool any_trusted(const struct builder *b, const sk_route_snapshot *snapshot,
                        struct sk_slice key)
{
    struct sk_route_place place;
    bool unreachable;
    size_t cursor = 0;
    while (next_place(b, snapshot, key, &cursor, &place, &unreachable))
        if (!place.suspect) return true;
    return false;
}

static struct sk_verdict no_place(const struct sk_asker *asker, const rmq_resource *topic,
                                  bool unreachable)
{
    if (!unreachable)
        return sk_refuse(RMQ_CODE_TOPIC_NOT_FOUND, "topic '%.120s' does not exist", topic->name);
    if (asker->tls)
        return sk_refuse(RMQ_CODE_ILLEGAL_ACCESS_POINT,
                         "no broker of topic '%.120s' has a TLS listener; connect without TLS, or "
                         "start the brokers with --listen-tls",
                         topic->name);
    return sk_refuse(RMQ_CODE_ILLEGAL_ACCESS_POINT,
                     "the brokers of topic '%.120s' listen with TLS only; connect with TLS",
                     topic->name);
}

static rmq_broker *broker_message(struct builder *b, const struct sk_route_broker *from)
{
    rmq_broker *to = sk_arena_alloc(b->arena, sizeof *to);
    char *name = sk_arena_text(b->arena, from->key.name);
    rmq_endpoints *endpoints = sk_endpoints_message(endpoints_for(b->asker, from), b->arena);
    b->failed |= !to || !name || !endpoints;
    if (b->failed) return NULL;
    rmq_broker_init(to);
    to->name = name;
    to->id = from->key.id;
    to->endpoints = endpoints;
    return to;
}

/* --- queues ------------------------------------------------------------------------------------
 */

static bool make_room(struct builder *b)
{
    if (b->count < b->room) return true;
    size_t room = b->room ? b->room * 2 : 16;
    rmq_message_queue **wider = sk_arena_zalloc(b->arena, room, sizeof *wider);
    b->failed |= !wider;
    if (b->failed) return false;
    if (b->count) memcpy(wider, b->queues, b->count * sizeof *wider);
    b->queues = wider;
    b->room = room;
    return true;
}

static rmq_message_queue *add_queue(struct builder *b, rmq_broker *broker, int32_t id,
                                    rmq_permission permission)
{
    rmq_message_queue *q = make_room(b) ? sk_arena_alloc(b->arena, sizeof *q) : NULL;
    b->failed |= !q;
    if (!q) return NULL;
    rmq_message_queue_init(q);
    q->topic = (rmq_resource *)(uintptr_t)b->topic;
    q->id = id;
    q->permission = permission;
    q->broker = broker;
    b->queues[b->count++] = q;
    return q;
}

/* What this queue of a topic allows; 0 is NONE. */
static rmq_permission queue_permission(const struct sk_route_topic *t, unsigned permission,
                                       uint32_t id)
{
    bool reads = (permission & SK_ROUTE_READ) && id < t->read_queues;
    bool writes = (permission & SK_ROUTE_WRITE) && id < t->write_queues;
    if (reads) return writes ? RMQ_PERMISSION_READ_WRITE : RMQ_PERMISSION_READ;
    return writes ? RMQ_PERMISSION_WRITE : RMQ_PERMISSION_NONE;
}

/* How many queues a topic shows under a permission. */
static uint32_t queue_count(const struct sk_route_topic *t, unsigned permission)
{
    uint32_t most = t->read_queues > t->write_queues ? t->read_queues : t->write_queues;
    if (permission == SK_ROUTE_READ) return t->read_queues;
    if (permission == SK_ROUTE_WRITE) return t->write_queues;
    return permission == 0 && most == 0 ? 1 : most;
}

static void set_types(rmq_message_queue *q, const struct sk_route_topic *t)
{
    static rmq_message_type each[] = {
        RMQ_MESSAGE_TYPE_NORMAL,      RMQ_MESSAGE_TYPE_FIFO, RMQ_MESSAGE_TYPE_DELAY,
        RMQ_MESSAGE_TYPE_TRANSACTION, RMQ_MESSAGE_TYPE_LITE, RMQ_MESSAGE_TYPE_PRIORITY,
    };
    bool typed = t->type >= RMQ_MESSAGE_TYPE_NORMAL && t->type <= RMQ_MESSAGE_TYPE_PRIORITY;
    q->accept_message_types = t->mixed || !typed ? each : &each[t->type - 1];
    q->n_accept_message_types = t->mixed ? 4 : 1;
}

/* A master of the topic, ready to be listed. */
struct listed {
    rmq_broker *broker;
    const struct sk_route_topic *topic;
    unsigned permission;
    uint32_t queues;
};

static size_t count_places(const sk_route_snapshot *snapshot, struct sk_slice key)
{
    struct sk_route_place place;
    size_t cursor = 0, n = 0;
    while (sk_route_next_place(snapshot, key, &cursor, &place)) n++;
    return n;
}

/* The masters that the asker can reach, in `out`; returns how many. */
static size_t list_masters(struct builder *b, const sk_route_snapshot *snapshot,
                           struct sk_slice key, struct listed *out, bool *unreachable)
{
    struct sk_route_place place;
    size_t cursor = 0, n = 0;
    while (!b->failed && next_place(b, snapshot, key, &cursor, &place, unreachable)) {
        unsigned permission = permission_of(&place);
        if (place.suspect && permission == 0) continue;
        out[n++] = (struct listed){.broker = broker_message(b, place.broker),
                                   .topic = place.topic,
                                   .permission = permission,
                                   .queues = queue_count(place.topic, permission)};
    }
    return n;
}

/* By turns: a0 b0 a1 b1. A client that retries on the next queue (Python) so comes
 * to another broker. */
static void add_by_turns(struct builder *b, const struct listed *masters, size_t count)
{
    bool more = true;
    for (uint32_t id = 0; more; id++) {
        more = false;
        for (size_t i = 0; i < count && !b->failed; i++) {
            const struct listed *m = &masters[i];
            if (id >= m->queues) continue;
            more = true;
            rmq_message_queue *q =
                add_queue(b, m->broker, (int32_t)id, queue_permission(m->topic, m->permission, id));
            if (q) set_types(q, m->topic);
        }
    }
}

static struct sk_verdict build_route(struct builder *b, const sk_route_snapshot *snapshot)
{
    struct sk_slice key;
    bool unreachable = false;
    SK_GRANT(sk_topic_key(b->topic, b->asker->name_space, b->arena, &key));
    b->trusted_only = any_trusted(b, snapshot, key);
    size_t room = count_places(snapshot, key);
    struct listed *masters = sk_arena_zalloc(b->arena, room + 1, sizeof *masters);
    if (!masters) return no_memory;
    add_by_turns(b, masters, list_masters(b, snapshot, key, masters, &unreachable));
    if (b->failed) return no_memory;
    return b->count ? SK_GRANTED : no_place(b->asker, b->topic, unreachable);
}

void sk_answer_route(const sk_route_snapshot *snapshot, const struct sk_asker *asker,
                     const rmq_query_route_request *request, sk_arena *arena,
                     rmq_query_route_response *out)
{
    struct builder b = {.asker = asker, .topic = request->topic, .arena = arena};
    struct sk_verdict v = sk_client_check(asker);
    if (sk_granted(v)) v = build_route(&b, snapshot);
    rmq_query_route_response_init(out);
    out->status = sk_verdict_message(v, arena);
    if (!sk_granted(v)) return;
    out->message_queues = b.queues;
    out->n_message_queues = b.count;
}

/* --- assignments
 * ---------------------------------------------------------------------------------- */

static void add_assigned(struct builder *b, const struct sk_route_place *place, bool orderly)
{
    unsigned permission = permission_of(place);
    if (!(permission & SK_ROUTE_READ) || place->topic->read_queues == 0) return;
    rmq_broker *broker = broker_message(b, place->broker);
    if (!orderly) {
        add_queue(b, broker, -1, queue_permission(place->topic, permission, 0));
        return;
    }
    for (uint32_t id = 0; id < place->topic->read_queues && !b->failed; id++)
        add_queue(b, broker, (int32_t)id, queue_permission(place->topic, permission, id));
}

static struct sk_verdict build_assignment(struct builder *b, const sk_route_snapshot *snapshot,
                                          const rmq_resource *group)
{
    struct sk_slice key, group_key;
    struct sk_route_place place;
    bool unreachable = false, found = false;
    size_t cursor = 0;
    SK_GRANT(sk_topic_key(b->topic, b->asker->name_space, b->arena, &key));
    SK_GRANT(sk_group_key(group, b->asker->name_space, b->arena, &group_key));
    bool orderly = sk_route_group_is_orderly(snapshot, group_key);
    b->trusted_only = any_trusted(b, snapshot, key);
    for (; next_place(b, snapshot, key, &cursor, &place, &unreachable); found = true)
        add_assigned(b, &place, orderly);
    if (b->failed) return no_memory;
    if (!found) return no_place(b->asker, b->topic, unreachable);
    if (b->count == 0) return sk_refuse(RMQ_CODE_FORBIDDEN, "no readable queue");
    return SK_GRANTED;
}

/* Each queue in its envelope; NULL without memory. */
static rmq_assignment **envelopes(const struct builder *b)
{
    rmq_assignment **list = sk_arena_zalloc(b->arena, b->count, sizeof *list);
    rmq_assignment *each = sk_arena_zalloc(b->arena, b->count, sizeof *each);
    if (!list || !each) return NULL;
    for (size_t i = 0; i < b->count; i++) {
        rmq_assignment_init(&each[i]);
        each[i].message_queue = b->queues[i];
        list[i] = &each[i];
    }
    return list;
}

void sk_answer_assignment(const sk_route_snapshot *snapshot, const struct sk_asker *asker,
                          const rmq_query_assignment_request *request, sk_arena *arena,
                          rmq_query_assignment_response *out)
{
    struct builder b = {.asker = asker, .topic = request->topic, .arena = arena};
    rmq_assignment **list = NULL;
    struct sk_verdict v = sk_client_check(asker);
    if (sk_granted(v)) v = build_assignment(&b, snapshot, request->group);
    if (sk_granted(v) && !(list = envelopes(&b))) v = no_memory;
    rmq_query_assignment_response_init(out);
    out->status = sk_verdict_message(v, arena);
    if (!list) return;
    out->assignments = list;
    out->n_assignments = b.count;
}
