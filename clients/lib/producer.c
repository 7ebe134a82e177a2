/* producer.c - sending.
 *
 *      pack once ──► route ──► choose ──► call ──► answer ──► done
 *                                ▲                   │ may help elsewhere
 *                                └── back off ◄──────┘
 *
 * The request is packed once; attempts differ only in where it goes. Queues
 * take turns, and the route interleaves brokers, so brokers take turns too. An
 * attempt after a failure avoids the brokers that failed and those that are
 * isolated, as long as there is another one; the same broker again is tried
 * after a pause. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIED_MAX = 8, BACKOFF_FIRST_MS = 10, BACKOFF_MAX_MS = 1000, AGAIN_MS = 100 };

struct skua_producer {
    struct member member;
    _Atomic size_t turn;
    struct sk_mutex lock;
    struct sk_cond idle;
    size_t under_way; /* guarded by lock */
};

struct send {
    skua_producer *producer;
    sk_arena *arena;
    char *topic;
    struct sk_slice request;
    size_t count;
    struct skua_receipt *receipts;
    rmq_message_type type;
    unsigned attempt;
    struct peer *tried[TRIED_MAX];
    const struct route_queue *queue; /* of `route`, this attempt's */
    struct route *route;
    struct skua_status last;
    struct sk_timer timer;
    skua_sent_fn *done;
    void *arg;
};

/* --- life ------------------------------------------------------------------------------ */

struct skua_status skua_producer_new(skua_client *client, skua_producer **out)
{
    skua_producer *p = sk_zalloc(1, sizeof *p);
    sk_mutex_init(&p->lock);
    sk_cond_init(&p->idle);
    member_init(&p->member, client, RMQ_CLIENT_TYPE_PRODUCER, NULL);
    *out = p;
    return OK_STATUS;
}

void skua_producer_free(skua_producer *p)
{
    if (!p) return;
    sk_mutex_lock(&p->lock);
    while (p->under_way) sk_cond_wait(&p->idle, &p->lock);
    sk_mutex_unlock(&p->lock);
    member_done(&p->member);
    sk_cond_done(&p->idle);
    sk_mutex_done(&p->lock);
    free(p);
}

static void leave(skua_producer *p)
{
    sk_mutex_lock(&p->lock);
    if (--p->under_way == 0) sk_cond_broadcast(&p->idle);
    sk_mutex_unlock(&p->lock);
}

static void send_finish(struct send *s, struct skua_status status)
{
    skua_producer *p = s->producer;
    s->done(s->arg, &status, s->receipts, s->count);
    route_unref(s->route);
    sk_arena_free(s->arena);
    leave(p);
}

/* --- choosing -------------------------------------------------------------------------- */

static bool was_tried(const struct send *s, const struct peer *peer)
{
    for (unsigned i = 0; i < s->attempt && i < TRIED_MAX; i++)
        if (s->tried[i] == peer) return true;
    return false;
}

static bool is_writable(const struct route_queue *q)
{
    return (q->permission & SKUA_WRITE) && q->broker_id == 0;
}

/* 0: cannot; the higher the better. */
static int fitness(const struct send *s, const struct route_queue *q)
{
    if (!is_writable(q)) return 0;
    bool tried = was_tried(s, q->peer), isolated = atomic_load(&q->peer->isolated);
    return tried ? 1 : isolated ? 2 : 3;
}

static const struct route_queue *choose(struct send *s)
{
    const struct route *r = s->route;
    size_t turn = atomic_fetch_add_explicit(&s->producer->turn, 1, memory_order_relaxed);
    const struct route_queue *best = NULL;
    int best_fitness = 0;
    for (size_t i = 0; i < r->count && best_fitness < 3; i++) {
        const struct route_queue *q = &r->queues[(turn + i) % r->count];
        int f = fitness(s, q);
        if (f > best_fitness) {
            best = q;
            best_fitness = f;
        }
    }
    return best;
}

/* Does the topic take such messages? Brokers check it too; here the hint is better. */
static bool takes_type(const struct route_queue *q, rmq_message_type type)
{
    return q->types == 0 || (q->types & (1u << (unsigned)type)) || (q->types & 1u);
}

/* --- attempts -------------------------------------------------------------------------- */

static void attempt(struct send *s);
static void on_timer(void *arg)
{
    attempt(arg);
}

static void attempt_after(struct send *s, uint64_t delay_ms)
{
    s->timer = (struct sk_timer){.fn = on_timer, .arg = s};
    sk_timer_set_after_ms(s->producer->member.client->timers, &s->timer, delay_ms);
}

/* A fresh route may have come in: use it. */
static void renew_route(struct send *s)
{
    skua_client *client = s->producer->member.client;
    sk_mutex_lock(&client->lock);
    struct route_entry *e;
    HASH_FIND_STR(client->routes, s->topic, e);
    if (e && e->route && e->route != s->route) {
        route_unref(s->route);
        s->route = route_ref(e->route);
    }
    sk_mutex_unlock(&client->lock);
}

static void retry_or_finish(struct send *s, struct skua_status status)
{
    skua_client *client = s->producer->member.client;
    struct peer *failed = s->queue->peer;
    bool unreachable = status.code == SKUA_UNAVAILABLE || status.code == SKUA_TIMEOUT;
    if (unreachable && status.reply == 0) peer_isolate(client, failed);
    if (unreachable || status.code == SKUA_NOT_FOUND) route_refresh(client, s->topic);

    s->last = status;
    if (s->attempt < TRIED_MAX) s->tried[s->attempt] = failed;
    s->attempt++;
    if (!status_is_retriable(&status) || s->attempt >= client->options.max_attempts) {
        if (status.reply == RMQ_CODE_TOPIC_NOT_FOUND) route_forget(client, s->topic);
        send_finish(s, status);
        return;
    }
    uint64_t backoff = (uint64_t)BACKOFF_FIRST_MS << (s->attempt < 8 ? s->attempt - 1 : 7);
    if (backoff > BACKOFF_MAX_MS) backoff = BACKOFF_MAX_MS;
    renew_route(s);
    const struct route_queue *next = choose(s);
    if (status.code == SKUA_BUSY)
        attempt_after(s, backoff);
    else if (next && was_tried(s, next->peer))
        attempt_after(s, AGAIN_MS * s->attempt);
    else
        attempt(s);
}

/* Entries tell about each message; the top about the request. */
static struct skua_status read_entries(struct send *s, const rmq_send_message_response *response)
{
    struct skua_status top = status_from_reply(response->status, s->queue->broker), first = top;
    bool any_failed = false;
    for (size_t i = 0; i < s->count && i < response->n_entries; i++) {
        const rmq_send_result_entry *e = response->entries[i];
        struct skua_receipt *r = &s->receipts[i];
        struct skua_status one = e->status ? status_from_reply(e->status, s->queue->broker) : top;
        r->code = one.code;
        r->reply = one.reply;
        r->offset = e->offset;
        snprintf(r->broker, sizeof r->broker, "%s", s->queue->broker);
        if (one.code != SKUA_OK && !any_failed) {
            any_failed = true;
            first = one;
        }
    }
    if (any_failed) return first;
    if (top.code == SKUA_OK && response->n_entries < s->count)
        return status_make(SKUA_INTERNAL, 0, "%s: %zu answers for %zu messages", s->queue->broker,
                           response->n_entries, s->count);
    return top;
}

/* Did some of a batch succeed? Then sending all of it again would make doubles. */
static bool is_partial(const struct send *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->receipts[i].code == SKUA_OK) return s->count > 1;
    return false;
}

static void on_sent(void *arg, const struct rpc_outcome *outcome, struct sk_slice bytes)
{
    struct send *s = arg;
    struct skua_status status;
    if (outcome->code != RPC_OK) {
        status = status_from_call(outcome, NULL, s->queue->broker);
        retry_or_finish(s, status);
        return;
    }
    sk_arena *arena = sk_arena_new(0);
    ProtobufCAllocator allocator = sk_proto_allocator(arena);
    rmq_send_message_response *response = rmq_send_message_response_unpack(&allocator, bytes);
    bool answered = response != NULL;
    status = answered
                 ? read_entries(s, response)
                 : status_make(SKUA_INTERNAL, 0, "%s: an undecodable answer", s->queue->broker);
    sk_arena_free(arena);

    if (status.code == SKUA_OK) {
        atomic_store_explicit(&s->queue->peer->isolated, false, memory_order_relaxed);
        send_finish(s, status);
    } else if (answered && is_partial(s)) {
        send_finish(s, status);
    } else {
        retry_or_finish(s, status);
    }
}

static const struct rpc_method *send_method(void)
{
    return &rmq_messaging_service.methods[RMQ_MESSAGING_SERVICE_SEND_MESSAGE];
}

static void start(void *arg)
{
    struct send *s = arg;
    struct member *m = &s->producer->member;
    struct rpc_options options = member_options(m, m->client->options.request_timeout_ms);
    rpc_unary_bytes(s->queue->peer->channel, send_method(), &options, s->request, on_sent, s);
}

static void attempt(struct send *s)
{
    struct member *m = &s->producer->member;
    s->queue = choose(s);
    if (!s->queue) {
        send_finish(s, status_make(SKUA_DENIED, RMQ_CODE_FORBIDDEN,
                                   "topic %s has no writable queue", s->topic));
        return;
    }
    if (!takes_type(s->queue, s->type)) {
        send_finish(s, status_make(SKUA_INVALID, RMQ_CODE_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
                                   "topic %s does not take %s messages", s->topic,
                                   rmq_message_type_name((int)s->type)));
        return;
    }
    member_meet(m, s->queue->peer);
    peer_when_greeted(m, s->queue->peer, start, s);
}

static void on_routed(void *arg, const struct skua_status *status, struct route *route_take)
{
    struct send *s = arg;
    s->route = route_take;
    if (status->code != SKUA_OK)
        send_finish(s, *status);
    else
        attempt(s);
}

/* --- the three ways to send ------------------------------------------------------------ */

static struct skua_status check(skua_message *const *messages, size_t count)
{
    if (count == 0) return status_make(SKUA_INVALID, 0, "nothing to send");
    for (size_t i = 0; i < count; i++) {
        if (!messages[i]->topic[0]) return status_make(SKUA_INVALID, 0, "a message has no topic");
        if (strcmp(messages[i]->topic, messages[0]->topic) != 0)
            return status_make(SKUA_INVALID, 0, "a batch has one topic, not %s and %s",
                               messages[0]->topic, messages[i]->topic);
        if (messages[i]->body_len == 0)
            return status_make(SKUA_INVALID, RMQ_CODE_MESSAGE_BODY_EMPTY,
                               "a message needs a body of at least one byte");
        if (strlen(messages[i]->id) >= sizeof((struct skua_receipt *)0)->message_id)
            return status_make(SKUA_INVALID, RMQ_CODE_ILLEGAL_MESSAGE_ID,
                               "a message id has at most 127 bytes");
    }
    return OK_STATUS;
}

static rmq_message_type type_of(const skua_message *m)
{
    if (m->delivery_ms >= 0) return RMQ_MESSAGE_TYPE_DELAY;
    return m->group[0] ? RMQ_MESSAGE_TYPE_FIFO : RMQ_MESSAGE_TYPE_NORMAL;
}

static struct send *send_new(skua_producer *p, skua_message *const *messages, size_t count,
                             skua_sent_fn *done, void *arg)
{
    sk_arena *arena = sk_arena_new(0);
    struct send *s = sk_arena_zalloc(arena, 1, sizeof *s);
    s->producer = p;
    s->arena = arena;
    s->topic = sk_arena_text(arena, sk_slice_of_text(messages[0]->topic));
    s->count = count;
    s->type = type_of(messages[0]);
    s->done = done;
    s->arg = arg;
    s->request = messages_pack(p->member.client->options.name_space, messages, count, arena);
    s->receipts = sk_arena_zalloc(arena, count, sizeof *s->receipts);
    for (size_t i = 0; i < count; i++) {
        s->receipts[i].code = SKUA_UNAVAILABLE; /* until somebody answers */
        snprintf(s->receipts[i].message_id, sizeof s->receipts[i].message_id, "%s",
                 messages[i]->id);
    }
    return s;
}

/* A refused request is told from the library's thread as well, as every callback. */
struct refusal {
    struct sk_timer timer;
    struct skua_status status;
    skua_producer *producer;
    skua_sent_fn *done;
    void *arg;
};

static void tell_refusal(void *arg)
{
    struct refusal *r = arg;
    skua_producer *p = r->producer;
    r->done(r->arg, &r->status, NULL, 0);
    free(r);
    leave(p);
}

static void refuse(skua_producer *p, struct skua_status status, skua_sent_fn *done, void *arg)
{
    struct refusal *r = sk_zalloc(1, sizeof *r);
    *r = (struct refusal){.status = status, .producer = p, .done = done, .arg = arg};
    r->timer = (struct sk_timer){.fn = tell_refusal, .arg = r};
    sk_timer_set_after_ms(p->member.client->timers, &r->timer, 0);
}

void skua_producer_send_async(skua_producer *p, skua_message *const *messages, size_t count,
                              skua_sent_fn *done, void *arg)
{
    sk_mutex_lock(&p->lock);
    p->under_way++;
    sk_mutex_unlock(&p->lock);

    struct skua_status s = check(messages, count);
    if (s.code != SKUA_OK) {
        refuse(p, s, done, arg);
        return;
    }
    member_add_topic(&p->member, messages[0]->topic, "*");
    struct send *send = send_new(p, messages, count, done, arg);
    route_get(p->member.client, send->topic, on_routed, send);
}

struct sync_send {
    struct waiter waiter;
    struct skua_receipt *receipts;
    size_t count;
};

static void on_sync(void *arg, const struct skua_status *status,
                    const struct skua_receipt *receipts, size_t count)
{
    struct sync_send *s = arg;
    if (s->receipts && count) memcpy(s->receipts, receipts, count * sizeof *receipts);
    waiter_tell(&s->waiter, status);
}

struct skua_status skua_producer_send_batch(skua_producer *p, skua_message *const *messages,
                                            size_t count, struct skua_receipt *receipts)
{
    struct sync_send s = {.receipts = receipts, .count = count};
    waiter_init(&s.waiter);
    skua_producer_send_async(p, messages, count, on_sync, &s);
    struct skua_status status = waiter_wait(&s.waiter);
    waiter_done(&s.waiter);
    return status;
}

struct skua_status skua_producer_send(skua_producer *p, skua_message *message,
                                      struct skua_receipt *out)
{
    return skua_producer_send_batch(p, &message, 1, out);
}
