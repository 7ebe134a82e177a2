/* consumer.c - the simple consumer: receive, ack, change the invisible time.
 *
 * A receive polls one broker; when that one has nothing at once, the next one
 * too, and so on, until all are polled in parallel. The first that delivers
 * ends the receive and the other polls are cancelled: a broker takes no lease
 * for a poll that was cancelled. What was on its way all the same is kept for
 * the next receive of this consumer as long as its lease holds. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STAGGER_US = 20 * 1000,  /* a broker that has messages answers sooner */
    POLL_MAX_MS = 20 * 1000, /* servers clamp to this */
    POLL_MIN_MS = 5 * 1000,  /* and to this: we end a shorter poll ourselves */
    GRACE_MS = 250,          /* for a server to end a poll by itself */
    LEAST_WAIT_MS = 100,
    LEASE_LEFT_US = 1000 * 1000,
};

struct skua_consumer {
    struct member member;
    struct sk_mutex lock;
    struct sk_cond news;  /* something happened to a poll, or closing */
    skua_messages *spare; /* delivered, not handed out; guarded by lock */
    size_t receivers;     /* guarded by lock */
    bool closing;         /* guarded by lock */
    _Atomic size_t turn;
};

/* --- life ------------------------------------------------------------------------------ */

struct skua_status skua_consumer_new(skua_client *client, const char *group, skua_consumer **out)
{
    if (!group || !*group)
        return status_make(SKUA_INVALID, RMQ_CODE_ILLEGAL_CONSUMER_GROUP,
                           "a consumer needs a group");
    skua_consumer *c = sk_zalloc(1, sizeof *c);
    sk_mutex_init(&c->lock);
    sk_cond_init(&c->news);
    c->spare = messages_new();
    member_init(&c->member, client, RMQ_CLIENT_TYPE_SIMPLE_CONSUMER, group);
    *out = c;
    return OK_STATUS;
}

void skua_consumer_free(skua_consumer *c)
{
    if (!c) return;
    sk_mutex_lock(&c->lock);
    c->closing = true;
    sk_cond_broadcast(&c->news);
    while (c->receivers) sk_cond_wait(&c->news, &c->lock);
    sk_mutex_unlock(&c->lock);

    for (size_t i = 0; i < c->spare->count; i++) {
        struct skua_status ignored = skua_consumer_change_invisible(c, c->spare->items[i], 0);
        (void)ignored;
    }
    skua_messages_free(c->spare);
    member_done(&c->member);
    sk_cond_done(&c->news);
    sk_mutex_done(&c->lock);
    free(c);
}

struct skua_status skua_consumer_subscribe(skua_consumer *c, const char *topic, const char *tags)
{
    if (!topic || !*topic) return status_make(SKUA_INVALID, RMQ_CODE_ILLEGAL_TOPIC, "no topic");
    member_add_topic(&c->member, topic, tags && *tags ? tags : "*");
    return OK_STATUS;
}

/* --- one receive ----------------------------------------------------------------------- */

/* One broker of one topic; all guarded by the consumer's lock. */
struct poll {
    struct receive *receive;
    char *topic, *filter, *broker;
    struct peer *peer;
    rpc_stream *stream; /* a reference of the thread that receives; only it touches this */
    struct skua_status status;
    size_t delivered; /* by this poll */
    bool started, open, cancelled, ended;
};

struct receive {
    skua_consumer *consumer;
    struct poll *polls;
    size_t poll_count;
    skua_messages *list;
    size_t max;
    uint64_t invisible_ms;
    uint64_t end_us; /* when the caller's wait is over */
    uint64_t cut_us; /* when we end polls ourselves */
};

static void on_message(void *arg, rpc_stream *stream, const rmq_receive_message_response *m)
{
    struct poll *p = arg;
    skua_consumer *c = p->receive->consumer;
    (void)stream;
    sk_mutex_lock(&c->lock);
    if (m->content_case == RMQ_RECEIVE_MESSAGE_RESPONSE_CONTENT_STATUS) {
        p->status = status_from_reply(m->status, p->broker);
    } else if (m->content_case == RMQ_RECEIVE_MESSAGE_RESPONSE_CONTENT_MESSAGE) {
        skua_message *got = messages_add(p->receive->list, m->message, p->broker, p->peer);
        got->lease_end_us = sk_mono_us(c->member.client->clock) + p->receive->invisible_ms * 1000;
        p->delivered++;
    }
    sk_mutex_unlock(&c->lock);
}

static void on_closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    struct poll *p = arg;
    skua_consumer *c = p->receive->consumer;
    (void)stream;
    sk_mutex_lock(&c->lock);
    if (outcome->code != RPC_OK && !p->cancelled)
        p->status = status_from_call(outcome, NULL, p->broker);
    p->open = false;
    p->ended = true;
    sk_cond_broadcast(&c->news);
    sk_mutex_unlock(&c->lock);
}

static const struct rmq_messaging_service_receive_message_handler receive_handler = {
    .message = on_message,
    .closed = on_closed,
};

static Google__Protobuf__Duration duration_of(uint64_t ms)
{
    Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;
    d.seconds = (int64_t)(ms / 1000);
    d.nanos = (int32_t)(ms % 1000) * 1000000;
    return d;
}

static uint64_t poll_ms(const struct receive *r, uint64_t now_us)
{
    uint64_t left = r->end_us > now_us ? (r->end_us - now_us) / 1000 : 0;
    return left > POLL_MAX_MS ? POLL_MAX_MS : left;
}

/* With the consumer's lock, which it lets go to open the stream. */
static void start_poll(struct poll *p, uint64_t now_us) SK_NO_THREAD_ANALYSIS
{
    struct receive *r = p->receive;
    struct member *m = &r->consumer->member;
    const char *name_space = m->client->options.name_space;
    rmq_receive_message_request request = RMQ_RECEIVE_MESSAGE_REQUEST_INIT;
    rmq_resource group = resource_of(name_space, m->group);
    rmq_resource topic = resource_of(name_space, p->topic);
    rmq_message_queue queue = RMQ_MESSAGE_QUEUE_INIT;
    rmq_broker broker = RMQ_BROKER_INIT;
    rmq_filter_expression filter = RMQ_FILTER_EXPRESSION_INIT;
    uint64_t wait = poll_ms(r, now_us);
    Google__Protobuf__Duration invisible = duration_of(r->invisible_ms),
                               polling = duration_of(wait);

    broker.name = sk_proto_text(p->broker);
    queue.topic = &topic;
    queue.broker = &broker;
    filter.type = RMQ_FILTER_TYPE_TAG;
    filter.expression = sk_proto_text(p->filter);
    request.group = &group;
    request.message_queue = &queue;
    request.filter_expression = &filter;
    request.batch_size = (int32_t)(r->max > 32 ? 32 : r->max);
    rmq_receive_message_request_set_invisible_duration(&request, &invisible);
    rmq_receive_message_request_set_long_polling_timeout(&request, &polling);

    uint64_t deadline =
        (wait > POLL_MIN_MS ? wait : POLL_MIN_MS) + m->client->options.request_timeout_ms;
    struct rpc_options options = member_options(m, deadline);
    options.keep_stream = true;
    p->started = p->open = true;
    p->ended = p->cancelled = false;
    p->status = OK_STATUS;
    sk_mutex_unlock(&r->consumer->lock);
    rpc_stream_unref(p->stream); /* of the poll that ended */
    p->stream = rmq_messaging_service_receive_message(p->peer->channel, &options, &request,
                                                      &receive_handler, p);
    sk_mutex_lock(&r->consumer->lock);
}

static bool is_empty_answer(const struct skua_status *s)
{
    return s->code == SKUA_OK || s->reply == RMQ_CODE_MESSAGE_NOT_FOUND;
}

/* Poll again where a poll ended with nothing. True while at least one poll is alive. */
static bool restart_empty(struct receive *r, uint64_t now_us)
{
    bool alive = false;
    for (size_t i = 0; i < r->poll_count; i++) {
        struct poll *p = &r->polls[i];
        if (p->started && p->ended && is_empty_answer(&p->status) && now_us < r->end_us)
            start_poll(p, now_us);
        if (!p->started || p->open) alive = true;
    }
    return alive;
}

static struct poll *next_unstarted(struct receive *r)
{
    for (size_t i = 0; i < r->poll_count; i++)
        if (!r->polls[i].started) return &r->polls[i];
    return NULL;
}

static bool any_delivered(const struct receive *r)
{
    for (size_t i = 0; i < r->poll_count; i++)
        if (r->polls[i].delivered && r->polls[i].ended) return true;
    return false;
}

/* Until a broker delivered, all failed, or the time is over. With the consumer's lock. */
static void poll_all(skua_consumer *c, struct receive *r) SK_REQUIRES(c->lock)
{
    uint64_t stagger_end = 0;
    for (;;) {
        uint64_t now = sk_mono_us(c->member.client->clock);
        if (c->closing || any_delivered(r) || now >= r->cut_us) return;
        if (!restart_empty(r, now)) return;
        struct poll *next = next_unstarted(r);
        if (next && now >= stagger_end) {
            start_poll(next, now);
            stagger_end = now + STAGGER_US;
            continue;
        }
        uint64_t until = next && stagger_end < r->cut_us ? stagger_end : r->cut_us;
        (void)sk_cond_wait_for(&c->news, &c->lock, until - now);
    }
}

static void end_poll(skua_consumer *c, struct poll *p)
{
    sk_mutex_lock(&c->lock);
    bool open = p->open;
    if (open) p->cancelled = true;
    sk_mutex_unlock(&c->lock);
    if (open) rpc_stream_cancel(p->stream);
    rpc_stream_unref(p->stream);
    p->stream = NULL;
}

/* Without the lock. */
static void end_polls(skua_consumer *c, struct receive *r)
{
    for (size_t i = 0; i < r->poll_count; i++) end_poll(c, &r->polls[i]);
    sk_mutex_lock(&c->lock);
    for (size_t i = 0; i < r->poll_count; i++)
        while (r->polls[i].open) sk_cond_wait(&c->news, &c->lock);
    sk_mutex_unlock(&c->lock);
}

/* --- where to poll --------------------------------------------------------------------- */

static void add_polls(struct receive *r, sk_arena *arena, const char *topic, const char *filter,
                      const struct route *route)
{
    size_t begin = r->poll_count;
    for (size_t i = 0; i < route->count; i++) {
        const struct route_queue *q = &route->queues[i];
        if (!(q->permission & SKUA_READ) || q->broker_id != 0) continue;
        bool known = false;
        for (size_t j = begin; j < r->poll_count; j++)
            known |= r->polls[j].peer == q->peer && strcmp(r->polls[j].broker, q->broker) == 0;
        if (known) continue;
        r->polls = sk_realloc(r->polls, r->poll_count + 1, sizeof *r->polls);
        r->polls[r->poll_count++] = (struct poll){
            .receive = r,
            .topic = sk_arena_text(arena, sk_slice_of_text(topic)),
            .filter = sk_arena_text(arena, sk_slice_of_text(filter)),
            .broker = sk_arena_text(arena, sk_slice_of_text(q->broker)),
            .peer = q->peer,
        };
    }
}

struct subscription {
    char *topic, *filter;
};

/* A copy: the member's own list may grow meanwhile. */
static size_t subscriptions(skua_consumer *c, sk_arena *arena, struct subscription **out)
{
    skua_client *client = c->member.client;
    sk_mutex_lock(&client->lock);
    size_t count = c->member.topic_count;
    *out = sk_arena_zalloc(arena, count + 1, sizeof **out);
    for (size_t i = 0; i < count; i++) {
        (*out)[i].topic = sk_arena_text(arena, sk_slice_of_text(c->member.topics[i]));
        (*out)[i].filter = sk_arena_text(arena, sk_slice_of_text(c->member.filters[i]));
    }
    sk_mutex_unlock(&client->lock);
    return count;
}

/* Take turns: who is polled first changes with each receive. */
static void rotate(struct receive *r)
{
    size_t turn = atomic_fetch_add(&r->consumer->turn, 1) % r->poll_count;
    struct poll *turned = sk_zalloc(r->poll_count, sizeof *turned);
    for (size_t i = 0; i < r->poll_count; i++) turned[i] = r->polls[(i + turn) % r->poll_count];
    free(r->polls);
    r->polls = turned;
}

static struct skua_status find_polls(struct receive *r, sk_arena *arena)
{
    skua_consumer *c = r->consumer;
    struct subscription *list;
    size_t count = subscriptions(c, arena, &list);
    struct skua_status first = OK_STATUS;
    if (count == 0) return status_make(SKUA_INVALID, 0, "the consumer is subscribed to no topic");
    for (size_t i = 0; i < count; i++) {
        struct route *route;
        struct skua_status s = route_wait(c->member.client, list[i].topic, &route);
        if (s.code == SKUA_OK) {
            add_polls(r, arena, list[i].topic, list[i].filter, route);
            route_unref(route);
        } else if (first.code == SKUA_OK) {
            first = s;
        }
    }
    if (r->poll_count == 0)
        return first.code != SKUA_OK
                   ? first
                   : status_make(SKUA_DENIED, RMQ_CODE_FORBIDDEN, "no readable queue");
    rotate(r);
    for (size_t i = 0; i < r->poll_count; i++) member_meet(&c->member, r->polls[i].peer);
    return OK_STATUS;
}

/* --- results --------------------------------------------------------------------------- */

/* What an earlier receive could not hand out, as far as its lease still holds. */
static void take_spare(skua_consumer *c, struct receive *r) SK_REQUIRES(c->lock)
{
    uint64_t now = sk_mono_us(c->member.client->clock);
    skua_messages *spare = c->spare, *rest = messages_new();
    for (size_t i = 0; i < spare->count; i++) {
        if (spare->items[i]->lease_end_us <= now + LEASE_LEFT_US) continue;
        messages_copy(r->list->count < r->max ? r->list : rest, spare->items[i]);
    }
    c->spare = rest;
    skua_messages_free(spare);
}

static void keep_spare(skua_consumer *c, struct receive *r) SK_REQUIRES(c->lock)
{
    for (size_t i = r->max; i < r->list->count; i++) messages_copy(c->spare, r->list->items[i]);
    if (r->list->count > r->max) r->list->count = r->max;
}

/* Nobody delivered: is that an error? Only if no broker said "nothing yet". */
static struct skua_status verdict(struct receive *r)
{
    struct skua_status first = OK_STATUS;
    for (size_t i = 0; i < r->poll_count; i++) {
        const struct poll *p = &r->polls[i];
        if (p->started && !p->cancelled && !is_empty_answer(&p->status)) {
            bool lost = p->status.code == SKUA_UNAVAILABLE || p->status.code == SKUA_TIMEOUT ||
                        p->status.code == SKUA_NOT_FOUND;
            if (lost) route_refresh(r->consumer->member.client, p->topic);
            if (first.code == SKUA_OK) first = p->status;
        } else {
            return OK_STATUS;
        }
    }
    return first;
}

static struct skua_status receive_from_brokers(struct receive *r)
{
    skua_consumer *c = r->consumer;
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    struct skua_status s = find_polls(r, arena);
    if (s.code == SKUA_OK) {
        sk_mutex_lock(&c->lock);
        poll_all(c, r);
        sk_mutex_unlock(&c->lock);
        end_polls(c, r);
        sk_mutex_lock(&c->lock);
        keep_spare(c, r);
        bool closing = c->closing;
        sk_mutex_unlock(&c->lock);
        if (r->list->count == 0)
            s = closing ? status_make(SKUA_CANCELLED, 0, "the consumer was freed") : verdict(r);
    }
    free(r->polls);
    return s;
}

struct skua_status skua_consumer_receive(skua_consumer *c, size_t max, uint64_t invisible_ms,
                                         uint64_t wait_ms, skua_messages **out)
{
    uint64_t now = sk_mono_us(c->member.client->clock);
    uint64_t cut = wait_ms >= POLL_MIN_MS    ? wait_ms + GRACE_MS
                   : wait_ms > LEAST_WAIT_MS ? wait_ms
                                             : LEAST_WAIT_MS;
    struct receive r = {
        .consumer = c,
        .list = messages_new(),
        .max = max ? max : 1,
        .invisible_ms = invisible_ms,
        .end_us = now + wait_ms * 1000,
        .cut_us = now + cut * 1000,
    };
    sk_mutex_lock(&c->lock);
    c->receivers++;
    take_spare(c, &r);
    sk_mutex_unlock(&c->lock);

    struct skua_status s = r.list->count ? OK_STATUS : receive_from_brokers(&r);

    sk_mutex_lock(&c->lock);
    c->receivers--;
    sk_cond_broadcast(&c->news);
    sk_mutex_unlock(&c->lock);
    if (s.code == SKUA_OK)
        *out = r.list;
    else
        skua_messages_free(r.list);
    return s;
}

/* --- ack ------------------------------------------------------------------------------- */

static struct skua_status ack_some(skua_consumer *c, const skua_message *const *messages,
                                   size_t count)
{
    struct member *m = &c->member;
    const char *name_space = m->client->options.name_space;
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    rmq_ack_message_request request = RMQ_ACK_MESSAGE_REQUEST_INIT;
    rmq_resource group = resource_of(name_space, m->group);
    rmq_resource topic = resource_of(name_space, messages[0]->topic);
    rmq_ack_message_entry *entries = sk_arena_zalloc(arena, count, sizeof *entries);
    request.entries = sk_arena_zalloc(arena, count, sizeof *request.entries);
    request.n_entries = count;
    request.group = &group;
    request.topic = &topic;
    for (size_t i = 0; i < count; i++) {
        rmq_ack_message_entry_init(&entries[i]);
        entries[i].message_id = sk_proto_text(messages[i]->id);
        entries[i].receipt_handle = sk_proto_text(messages[i]->receipt);
        request.entries[i] = &entries[i];
    }
    struct rpc_options options = member_options(m, m->client->options.request_timeout_ms);
    const rmq_ack_message_response *response;
    struct sk_status s = rmq_messaging_service_ack_message_wait(
        messages[0]->peer->channel, &options, &request, arena, &response);
    if (!sk_ok(s)) return status_from_base(s);
    for (size_t i = 0; i < response->n_entries; i++) {
        struct skua_status one = status_from_reply(response->entries[i]->status, "ack");
        if (one.code != SKUA_OK) return one;
    }
    return status_from_reply(response->status, "ack");
}

struct skua_status skua_consumer_ack(skua_consumer *c, const skua_message *message)
{
    if (!message->peer)
        return status_make(SKUA_INVALID, 0, "only received messages can be acknowledged");
    return ack_some(c, &message, 1);
}

static bool same_request(const skua_message *a, const skua_message *b)
{
    return a->peer == b->peer && strcmp(a->topic, b->topic) == 0;
}

struct skua_status skua_consumer_ack_all(skua_consumer *c, const skua_messages *list)
{
    struct skua_status first = OK_STATUS;
    const skua_message **some = sk_zalloc(list->count + 1, sizeof *some);
    for (size_t i = 0; i < list->count; i++) {
        bool done = false;
        size_t count = 0;
        for (size_t j = 0; j < i; j++) done |= same_request(list->items[i], list->items[j]);
        if (done || !list->items[i]->peer) continue;
        for (size_t j = i; j < list->count; j++)
            if (same_request(list->items[i], list->items[j])) some[count++] = list->items[j];
        struct skua_status s = ack_some(c, some, count);
        if (first.code == SKUA_OK) first = s;
    }
    free(some);
    return first;
}

/* --- change ---------------------------------------------------------------------------- */

struct skua_status skua_consumer_change_invisible(skua_consumer *c, skua_message *message,
                                                  uint64_t invisible_ms)
{
    if (!message->peer) return status_make(SKUA_INVALID, 0, "only received messages have a lease");
    struct member *m = &c->member;
    const char *name_space = m->client->options.name_space;
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    rmq_change_invisible_duration_request request = RMQ_CHANGE_INVISIBLE_DURATION_REQUEST_INIT;
    rmq_resource group = resource_of(name_space, m->group);
    rmq_resource topic = resource_of(name_space, message->topic);
    Google__Protobuf__Duration duration = duration_of(invisible_ms);
    request.group = &group;
    request.topic = &topic;
    request.receipt_handle = sk_proto_text(message->receipt);
    request.message_id = sk_proto_text(message->id);
    request.invisible_duration = &duration;
    struct rpc_options options = member_options(m, m->client->options.request_timeout_ms);
    const rmq_change_invisible_duration_response *response;
    struct sk_status s = rmq_messaging_service_change_invisible_duration_wait(
        message->peer->channel, &options, &request, arena, &response);
    if (!sk_ok(s)) return status_from_base(s);
    struct skua_status status = status_from_reply(response->status, "change invisible time");
    if (status.code == SKUA_OK && response->receipt_handle[0])
        message->receipt =
            sk_arena_text(message->arena, sk_slice_of_text(response->receipt_handle));
    return status;
}
