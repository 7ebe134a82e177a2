/* puller.c - the pull consumer: queues and offsets, without leases. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PULL_MAX_MS = 20 * 1000, PULL_BATCH_MAX = 32 };

struct place {
    struct skua_queue queue;
    int64_t offset;
    struct place *next;
};

struct skua_puller {
    struct member member;
    struct sk_mutex lock;
    struct place *places; /* guarded by lock */
};

/* --- life ------------------------------------------------------------------------------ */

struct skua_status skua_puller_new(skua_client *client, const char *group, skua_puller **out)
{
    skua_puller *p = sk_zalloc(1, sizeof *p);
    sk_mutex_init(&p->lock);
    member_init(&p->member, client, RMQ_CLIENT_TYPE_PULL_CONSUMER, group);
    *out = p;
    return OK_STATUS;
}

void skua_puller_free(skua_puller *p)
{
    if (!p) return;
    member_done(&p->member);
    while (p->places) {
        struct place *place = p->places;
        p->places = place->next;
        free(place);
    }
    sk_mutex_done(&p->lock);
    free(p);
}

/* --- queues ---------------------------------------------------------------------------- */

struct skua_status skua_puller_queues(skua_puller *p, const char *topic, struct skua_queue **out,
                                      size_t *count)
{
    struct route *route;
    struct skua_status s = route_wait(p->member.client, topic, &route);
    if (s.code != SKUA_OK) return s;
    struct skua_queue *queues = sk_zalloc(route->count + 1, sizeof *queues);
    size_t n = 0;
    for (size_t i = 0; i < route->count; i++) {
        const struct route_queue *q = &route->queues[i];
        if (!(q->permission & SKUA_READ) || q->broker_id != 0) continue;
        snprintf(queues[n].topic, sizeof queues[n].topic, "%s", topic);
        snprintf(queues[n].broker, sizeof queues[n].broker, "%s", q->broker);
        queues[n++].id = q->id;
    }
    route_unref(route);
    *out = queues;
    *count = n;
    return OK_STATUS;
}

static struct skua_status peer_of(skua_puller *p, const struct skua_queue *queue, struct peer **out)
{
    struct route *route;
    struct skua_status s = route_wait(p->member.client, queue->topic, &route);
    if (s.code != SKUA_OK) return s;
    s = status_make(SKUA_NOT_FOUND, 0, "topic %s has no queue %d on broker %s", queue->topic,
                    queue->id, queue->broker);
    for (size_t i = 0; i < route->count; i++) {
        const struct route_queue *q = &route->queues[i];
        if (q->id != queue->id || strcmp(q->broker, queue->broker) != 0) continue;
        *out = q->peer;
        s = OK_STATUS;
    }
    route_unref(route);
    return s;
}

/* What every request about a queue carries, on the caller's stack. */
struct about {
    rmq_resource group, topic;
    rmq_broker broker;
    rmq_message_queue queue;
};

static void about_queue(struct about *a, skua_puller *p, const struct skua_queue *queue)
{
    const char *name_space = p->member.client->options.name_space;
    a->group = resource_of(name_space, p->member.group ? p->member.group : "");
    a->topic = resource_of(name_space, queue->topic);
    rmq_broker_init(&a->broker);
    rmq_message_queue_init(&a->queue);
    a->broker.name = sk_proto_text(queue->broker);
    a->queue.topic = &a->topic;
    a->queue.broker = &a->broker;
    a->queue.id = queue->id;
}

static struct rpc_options options_of(skua_puller *p, uint64_t more_ms)
{
    return member_options(&p->member, p->member.client->options.request_timeout_ms + more_ms);
}

/* --- offsets --------------------------------------------------------------------------- */

struct skua_status skua_puller_query_offset(skua_puller *p, const struct skua_queue *queue,
                                            enum skua_offset what, int64_t time_ms, int64_t *out)
{
    struct peer *peer;
    struct about a;
    struct skua_status status = peer_of(p, queue, &peer);
    if (status.code != SKUA_OK) return status;
    about_queue(&a, p, queue);
    rmq_query_offset_request request = RMQ_QUERY_OFFSET_REQUEST_INIT;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time.seconds = time_ms / 1000;
    time.nanos = (int32_t)(time_ms % 1000) * 1000000;
    request.message_queue = &a.queue;
    request.query_offset_policy = (rmq_query_offset_policy)what;
    if (what == SKUA_OFFSET_TIMESTAMP) rmq_query_offset_request_set_timestamp(&request, &time);

    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    const rmq_query_offset_response *response;
    struct rpc_options options = options_of(p, 0);
    struct sk_status s = rmq_messaging_service_query_offset_wait(peer->channel, &options, &request,
                                                                 arena, &response);
    if (!sk_ok(s)) return status_from_base(s);
    status = status_from_reply(response->status, "query offset");
    if (status.code == SKUA_OK) *out = response->offset;
    return status;
}

static struct skua_status need_group(const skua_puller *p)
{
    return p->member.group ? OK_STATUS
                           : status_make(SKUA_INVALID, RMQ_CODE_ILLEGAL_CONSUMER_GROUP,
                                         "a puller without a group has no committed offset");
}

struct skua_status skua_puller_commit(skua_puller *p, const struct skua_queue *queue,
                                      int64_t offset)
{
    struct peer *peer;
    struct about a;
    struct skua_status status = need_group(p);
    if (status.code == SKUA_OK) status = peer_of(p, queue, &peer);
    if (status.code != SKUA_OK) return status;
    about_queue(&a, p, queue);
    rmq_update_offset_request request = RMQ_UPDATE_OFFSET_REQUEST_INIT;
    request.group = &a.group;
    request.message_queue = &a.queue;
    request.offset = offset;
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    const rmq_update_offset_response *response;
    struct rpc_options options = options_of(p, 0);
    struct sk_status s = rmq_messaging_service_update_offset_wait(peer->channel, &options, &request,
                                                                  arena, &response);
    return sk_ok(s) ? status_from_reply(response->status, "commit offset") : status_from_base(s);
}

struct skua_status skua_puller_committed(skua_puller *p, const struct skua_queue *queue,
                                         int64_t *out)
{
    struct peer *peer;
    struct about a;
    struct skua_status status = need_group(p);
    if (status.code == SKUA_OK) status = peer_of(p, queue, &peer);
    if (status.code != SKUA_OK) return status;
    about_queue(&a, p, queue);
    rmq_get_offset_request request = RMQ_GET_OFFSET_REQUEST_INIT;
    request.group = &a.group;
    request.message_queue = &a.queue;
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    const rmq_get_offset_response *response;
    struct rpc_options options = options_of(p, 0);
    struct sk_status s =
        rmq_messaging_service_get_offset_wait(peer->channel, &options, &request, arena, &response);
    if (!sk_ok(s)) return status_from_base(s);
    status = status_from_reply(response->status, "committed offset");
    if (status.code == SKUA_OK) *out = response->offset;
    return status;
}

/* --- pulling --------------------------------------------------------------------------- */

struct pull {
    struct waiter waiter;
    skua_messages *list;
    const char *broker;
    struct peer *peer;
    struct skua_status status;
    int64_t next;
};

static void on_message(void *arg, rpc_stream *stream, const rmq_pull_message_response *m)
{
    struct pull *p = arg;
    (void)stream;
    if (m->content_case == RMQ_PULL_MESSAGE_RESPONSE_CONTENT_STATUS)
        p->status = status_from_reply(m->status, p->broker);
    else if (m->content_case == RMQ_PULL_MESSAGE_RESPONSE_CONTENT_MESSAGE)
        messages_add(p->list, m->message, p->broker, NULL);
    else if (m->content_case == RMQ_PULL_MESSAGE_RESPONSE_CONTENT_NEXT_OFFSET)
        p->next = m->next_offset;
}

static void on_closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    struct pull *p = arg;
    (void)stream;
    if (outcome->code != RPC_OK) p->status = status_from_call(outcome, NULL, p->broker);
    waiter_tell(&p->waiter, &p->status);
}

static const struct rmq_messaging_service_pull_message_handler pull_handler = {
    .message = on_message,
    .closed = on_closed,
};

static struct skua_status pull_once(skua_puller *p, struct pull *pull,
                                    const struct skua_queue *queue, int64_t offset, size_t max,
                                    uint64_t wait_ms)
{
    struct about a;
    about_queue(&a, p, queue);
    rmq_pull_message_request request = RMQ_PULL_MESSAGE_REQUEST_INIT;
    rmq_filter_expression filter = RMQ_FILTER_EXPRESSION_INIT;
    Google__Protobuf__Duration polling = GOOGLE__PROTOBUF__DURATION__INIT;
    polling.seconds = (int64_t)(wait_ms / 1000);
    polling.nanos = (int32_t)(wait_ms % 1000) * 1000000;
    filter.type = RMQ_FILTER_TYPE_TAG;
    filter.expression = sk_proto_text("*");
    if (p->member.group) request.group = &a.group;
    request.message_queue = &a.queue;
    request.offset = offset;
    request.batch_size = (int32_t)(max > PULL_BATCH_MAX ? PULL_BATCH_MAX : max);
    request.filter_expression = &filter;
    request.long_polling_timeout = &polling;

    struct rpc_options options = options_of(p, wait_ms);
    waiter_init(&pull->waiter);
    pull->status = OK_STATUS;
    pull->next = offset;
    rpc_stream *stream = rmq_messaging_service_pull_message(pull->peer->channel, &options, &request,
                                                            &pull_handler, pull);
    struct skua_status s = stream ? waiter_wait(&pull->waiter)
                                  : status_make(SKUA_UNAVAILABLE, 0, "%s: no stream", pull->broker);
    waiter_done(&pull->waiter);
    return s.reply == RMQ_CODE_MESSAGE_NOT_FOUND ? OK_STATUS : s;
}

struct skua_status skua_puller_pull(skua_puller *p, const struct skua_queue *queue, int64_t offset,
                                    size_t max, uint64_t wait_ms, skua_messages **out,
                                    int64_t *next)
{
    struct pull pull = {.broker = queue->broker};
    struct skua_status s = peer_of(p, queue, &pull.peer);
    if (s.code != SKUA_OK) return s;
    member_meet(&p->member, pull.peer);
    pull.list = messages_new();
    const struct sk_clock *clock = p->member.client->clock;
    uint64_t end = sk_mono_us(clock) + wait_ms * 1000;
    for (;;) {
        uint64_t now = sk_mono_us(clock), left = end > now ? (end - now) / 1000 : 0;
        s = pull_once(p, &pull, queue, offset, max ? max : 1,
                      left > PULL_MAX_MS ? PULL_MAX_MS : left);
        if (s.code != SKUA_OK || pull.list->count || pull.next != offset) break;
        if (sk_mono_us(clock) >= end) break;
    }
    if (s.code == SKUA_OK) {
        *out = pull.list;
        *next = pull.next > offset || !pull.list->count
                    ? pull.next
                    : pull.list->items[pull.list->count - 1]->offset + 1;
    } else {
        skua_messages_free(pull.list);
        if (s.code == SKUA_UNAVAILABLE) route_refresh(p->member.client, queue->topic);
    }
    return s;
}

/* --- a place in each queue ------------------------------------------------------------- */

static struct place *find_place(skua_puller *p, const struct skua_queue *q)
{
    for (struct place *place = p->places; place; place = place->next)
        if (place->queue.id == q->id && strcmp(place->queue.topic, q->topic) == 0 &&
            strcmp(place->queue.broker, q->broker) == 0)
            return place;
    return NULL;
}

void skua_puller_seek(skua_puller *p, const struct skua_queue *queue, int64_t offset)
{
    sk_mutex_lock(&p->lock);
    struct place *place = find_place(p, queue);
    if (!place) {
        place = sk_zalloc(1, sizeof *place);
        place->queue = *queue;
        place->next = p->places;
        p->places = place;
    }
    place->offset = offset;
    sk_mutex_unlock(&p->lock);
}

static struct skua_status current_place(skua_puller *p, const struct skua_queue *queue,
                                        int64_t *out)
{
    sk_mutex_lock(&p->lock);
    struct place *place = find_place(p, queue);
    if (place) *out = place->offset;
    sk_mutex_unlock(&p->lock);
    if (place) return OK_STATUS;
    if (p->member.group) {
        struct skua_status s = skua_puller_committed(p, queue, out);
        if (s.code != SKUA_NOT_FOUND) return s;
    }
    return skua_puller_query_offset(p, queue, SKUA_OFFSET_BEGINNING, 0, out);
}

struct skua_status skua_puller_poll(skua_puller *p, const struct skua_queue *queue, size_t max,
                                    uint64_t wait_ms, skua_messages **out)
{
    int64_t offset, next;
    struct skua_status s = current_place(p, queue, &offset);
    if (s.code == SKUA_OK) s = skua_puller_pull(p, queue, offset, max, wait_ms, out, &next);
    if (s.code == SKUA_OK) skua_puller_seek(p, queue, next);
    return s;
}
