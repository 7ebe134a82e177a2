/* route.c - the route cache.
 *
 *      route_get ──► cached? ──yes──► told at once
 *                       │no
 *                       ▼
 *                 a round: ask the name server that answered last, then the
 *                 others in turn, until one knows the topic
 *
 * Routes are asked for anew every route_refresh_ms, and at once when a call
 * shows that one is wrong. A route that cannot be refreshed is kept: if all name
 * servers die, or come back empty, running clients go on. It is forgotten only
 * when the brokers themselves say that there is no such topic. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- routes ---------------------------------------------------------------------------- */

struct route *route_ref(struct route *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void route_unref(struct route *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < r->count; i++) free(r->queues[i].broker);
    free(r->queues);
    free(r);
}

static unsigned permission_bits(rmq_permission p)
{
    switch (p) {
    case RMQ_PERMISSION_READ:
        return SKUA_READ;
    case RMQ_PERMISSION_WRITE:
        return SKUA_WRITE;
    case RMQ_PERMISSION_READ_WRITE:
        return SKUA_READ | SKUA_WRITE;
    default:
        return 0;
    }
}

/* How many earlier queues of the same broker are there? Its turn. */
static size_t rank_of(const rmq_query_route_response *r, size_t index)
{
    size_t rank = 0;
    for (size_t i = 0; i < index; i++) {
        const rmq_broker *a = r->message_queues[i]->broker, *b = r->message_queues[index]->broker;
        if (a && b && a->id == b->id && strcmp(a->name, b->name) == 0) rank++;
    }
    return rank;
}

struct turn {
    size_t rank, index;
};

static int by_turn(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static bool fill_queue(skua_client *client, const rmq_message_queue *from, struct route_queue *to)
{
    char target[264];
    if (!from->broker || !endpoints_target(from->broker->endpoints, target, sizeof target))
        return false;
    to->peer = client_peer(client, target);
    if (!to->peer) return false;
    to->broker = sk_strdup(from->broker->name);
    to->broker_id = from->broker->id;
    to->id = from->id;
    to->permission = permission_bits(from->permission);
    to->types = 0;
    for (size_t i = 0; i < from->n_accept_message_types; i++)
        if ((unsigned)from->accept_message_types[i] < 32)
            to->types |= 1u << (unsigned)from->accept_message_types[i];
    return true;
}

struct route *route_from_response(skua_client *client, const rmq_query_route_response *response)
{
    size_t count = response->n_message_queues;
    struct route *r = sk_zalloc(1, sizeof *r);
    struct turn *turns = sk_zalloc(count + 1, sizeof *turns);
    for (size_t i = 0; i < count; i++) turns[i] = (struct turn){rank_of(response, i), i};
    qsort(turns, count, sizeof *turns, by_turn);

    atomic_init(&r->refs, 1);
    r->queues = sk_zalloc(count + 1, sizeof *r->queues);
    for (size_t i = 0; i < count; i++)
        if (fill_queue(client, response->message_queues[turns[i].index], &r->queues[r->count]))
            r->count++;
    free(turns);
    return r;
}

/* --- rounds ---------------------------------------------------------------------------- */

static void on_route(void *arg, const struct rpc_outcome *outcome,
                     const rmq_query_route_response *response);

static struct peer *server_of_round(const struct route_entry *e)
{
    const skua_client *c = e->client;
    return c->name_servers[(e->asked_first + e->asked_count) % c->name_server_count];
}

static void ask(struct route_entry *e)
{
    skua_client *client = e->client;
    rmq_resource topic = resource_of(client->options.name_space, e->topic);
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    request.topic = &topic;
    struct rpc_options options = member_options(&client->self, client->options.request_timeout_ms);
    rmq_messaging_service_query_route(server_of_round(e)->channel, &options, &request, on_route, e);
}

/* Under the lock. True: the caller is to ask, without it. */
static bool begin_round(struct route_entry *e)
{
    if (e->asking || e->client->closing) return false;
    e->asking = true;
    e->asked_first = atomic_load(&e->client->name_server);
    e->asked_count = 0;
    e->why = OK_STATUS;
    e->client->rounds++;
    return true;
}

/* An answer says more than silence. */
static void remember_why(struct route_entry *e, struct skua_status s)
{
    if (e->why.code == SKUA_OK || (e->why.reply == 0 && s.reply != 0)) e->why = s;
}

/* The round is over; the waiters are the caller's to tell, without the lock. */
static struct route_waiter *end_round(struct route_entry *e, struct route *fresh)
{
    skua_client *client = e->client;
    if (fresh) {
        route_unref(e->route);
        e->route = fresh;
        atomic_store(&client->name_server,
                     (e->asked_first + e->asked_count) % client->name_server_count);
    }
    e->asking = false;
    e->asked_us = sk_mono_us(client->clock);
    client->rounds--;
    struct route_waiter *waiters = SK_STEAL(e->waiters);
    sk_cond_broadcast(&client->changed);
    return waiters;
}

/* They were put in front of each other; who came first is told first, and so sends first. */
static struct route_waiter *in_order(struct route_waiter *waiters)
{
    struct route_waiter *turned = NULL;
    while (waiters) {
        struct route_waiter *next = waiters->next;
        waiters->next = turned;
        turned = waiters;
        waiters = next;
    }
    return turned;
}

static void tell(struct route_waiter *waiters, struct skua_status why, struct route *route)
{
    waiters = in_order(waiters);
    while (waiters) {
        struct route_waiter *w = waiters;
        waiters = w->next;
        w->fn(w->arg, &why, route ? route_ref(route) : NULL);
        free(w);
    }
    route_unref(route);
}

static void on_route(void *arg, const struct rpc_outcome *outcome,
                     const rmq_query_route_response *response)
{
    struct route_entry *e = arg;
    skua_client *client = e->client;
    char doing[400];

    snprintf(doing, sizeof doing, "route of %.200s", e->topic);
    struct skua_status s = status_from_call(outcome, response ? response->status : NULL, doing);
    struct route *fresh = s.code == SKUA_OK ? route_from_response(client, response) : NULL;
    if (fresh && fresh->count == 0) {
        route_unref(fresh);
        fresh = NULL;
        s = status_make(SKUA_NOT_FOUND, RMQ_CODE_TOPIC_NOT_FOUND, "%s: it has no queue", doing);
    }
    sk_mutex_lock(&client->lock);
    if (!fresh) {
        remember_why(e, s);
        if (++e->asked_count < client->name_server_count && !client->closing) {
            sk_mutex_unlock(&client->lock);
            ask(e);
            return;
        }
    }
    struct route_waiter *waiters = end_round(e, fresh);
    e->telling = waiters != NULL;
    while (waiters) {
        struct route *route = e->route ? route_ref(e->route) : NULL;
        struct skua_status why = route ? OK_STATUS : e->why;
        sk_mutex_unlock(&client->lock);
        tell(waiters, why, route);
        sk_mutex_lock(&client->lock);
        waiters = e->asking ? NULL : SK_STEAL(e->waiters);
    }
    e->telling = false;
    sk_mutex_unlock(&client->lock);
}

/* --- the cache ------------------------------------------------------------------------- */

static struct route_entry *entry_of(skua_client *client, const char *topic)
{
    struct route_entry *e;
    HASH_FIND_STR(client->routes, topic, e);
    if (e) return e;
    e = sk_zalloc(1, sizeof *e);
    e->topic = sk_strdup(topic);
    e->client = client;
    HASH_ADD_KEYPTR(hh, client->routes, e->topic, strlen(e->topic), e);
    return e;
}

void route_get(skua_client *client, const char *topic, route_fn *fn, void *arg)
{
    sk_mutex_lock(&client->lock);
    struct route_entry *e = entry_of(client, topic);
    struct route *cached = e->route && !e->telling ? route_ref(e->route) : NULL;
    bool first = false;
    if (!cached) {
        struct route_waiter *w = sk_zalloc(1, sizeof *w);
        *w = (struct route_waiter){fn, arg, e->waiters};
        e->waiters = w;
        if (!e->route) first = begin_round(e);
    }
    sk_mutex_unlock(&client->lock);
    if (first) ask(e);
    struct skua_status ok = OK_STATUS;
    if (cached) fn(arg, &ok, cached);
}

struct waiting_route {
    struct waiter waiter;
    struct route *route;
};

static void on_waited(void *arg, const struct skua_status *status, struct route *route_take)
{
    struct waiting_route *w = arg;
    w->route = route_take;
    waiter_tell(&w->waiter, status);
}

struct skua_status route_wait(skua_client *client, const char *topic, struct route **out)
{
    struct waiting_route w = {0};
    waiter_init(&w.waiter);
    route_get(client, topic, on_waited, &w);
    struct skua_status s = waiter_wait(&w.waiter);
    waiter_done(&w.waiter);
    if (s.code == SKUA_OK) *out = w.route;
    return s;
}

void route_refresh(skua_client *client, const char *topic)
{
    sk_mutex_lock(&client->lock);
    struct route_entry *e = entry_of(client, topic);
    bool first = begin_round(e);
    sk_mutex_unlock(&client->lock);
    if (first) ask(e);
}

void route_forget(skua_client *client, const char *topic)
{
    sk_mutex_lock(&client->lock);
    struct route_entry *e = entry_of(client, topic);
    route_unref(e->route);
    e->route = NULL;
    sk_mutex_unlock(&client->lock);
}

void routes_tick(skua_client *client, uint64_t now_us)
{
    uint64_t old_us = (uint64_t)client->options.route_refresh_ms * 1000;
    struct route_entry *due = NULL;
    sk_mutex_lock(&client->lock);
    for (struct route_entry *e = client->routes; e; e = e->hh.next) {
        if (!e->route || now_us - e->asked_us < old_us || !begin_round(e)) continue;
        e->next_due = due;
        due = e;
    }
    sk_mutex_unlock(&client->lock);
    for (; due; due = due->next_due) ask(due);
}

void routes_done(skua_client *client)
{
    struct route_entry *e, *next;
    HASH_ITER(hh, client->routes, e, next)
    {
        HASH_DEL(client->routes, e);
        route_unref(e->route);
        free(e->topic);
        free(e);
    }
}
