/* member.c - producers and consumers as brokers know them.
 *
 * Each member has a client id of its own, sends the x-mq-* headers with every
 * call, and keeps one Telemetry stream open to every broker that it works with:
 * settings first, again every five minutes and when they change. A heartbeat
 * goes to each every ten seconds; to a broker that failed, every second, and
 * when it is answered the broker is trusted again.
 *
 * Nothing waits for the answer to settings: brokers serve without. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    HEARTBEAT_US = 10 * 1000 * 1000,
    SETTINGS_US = 300 * 1000 * 1000,
    FORGET_US = 600 * 1000 * 1000,
    GOODBYE_MS = 500,
};

/* --- identity -------------------------------------------------------------------------- */

/* host@pid@index@time, as the official clients make them. */
static void make_id(struct member *m)
{
    static _Atomic unsigned index;
    char host[65] = "localhost";
    (void)gethostname(host, sizeof host - 1);
    snprintf(m->id, sizeof m->id, "%s@%d@%u@%llx", host, (int)getpid(), atomic_fetch_add(&index, 1),
             (unsigned long long)sk_wall_ms(sk_clock_real()));
}

static void add_header(struct member *m, const char *key, const char *value)
{
    m->headers[m->header_count++] = (struct rpc_header){key, value};
}

void member_init(struct member *m, skua_client *client, rmq_client_type type, const char *group)
{
    *m = (struct member){.client = client, .type = type, .group = sk_strdup(group)};
    make_id(m);
    add_header(m, "x-mq-client-id", m->id);
    add_header(m, "x-mq-language", "C");
    add_header(m, "x-mq-client-version", SKUA_VERSION);
    add_header(m, "x-mq-protocol", "v2");
    if (client->options.name_space[0]) add_header(m, "x-mq-namespace", client->options.name_space);
    if (type == RMQ_CLIENT_TYPE_UNSPECIFIED) return;
    sk_mutex_lock(&client->lock);
    m->next = client->members;
    client->members = m;
    sk_mutex_unlock(&client->lock);
}

struct rpc_options member_options(const struct member *m, uint64_t timeout_ms)
{
    return (struct rpc_options){
        .timeout_ms = timeout_ms,
        .headers = m->headers,
        .header_count = m->header_count,
    };
}

/* --- Telemetry ------------------------------------------------------------------------- */

/* Settings of a publisher: its topics; of a consumer: its group and subscriptions. */
static void write_settings(struct session *s)
{
    struct member *m = s->member;
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    rmq_settings settings = RMQ_SETTINGS_INIT;
    rmq_publishing publishing = RMQ_PUBLISHING_INIT;
    rmq_subscription subscription = RMQ_SUBSCRIPTION_INIT;
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    rmq_ua agent = RMQ_UA_INIT;
    rmq_resource group = resource_of(m->client->options.name_space, m->group ? m->group : "");
    rmq_resource *topics = sk_arena_alloc(arena, m->topic_count * sizeof *topics);
    rmq_filter_expression *filters = sk_arena_alloc(arena, m->topic_count * sizeof *filters);
    rmq_subscription_entry *entries = sk_arena_alloc(arena, m->topic_count * sizeof *entries);
    rmq_resource **topic_list = sk_arena_zalloc(arena, m->topic_count + 1, sizeof *topic_list);
    rmq_subscription_entry **entry_list =
        sk_arena_zalloc(arena, m->topic_count + 1, sizeof *entry_list);

    for (size_t i = 0; i < m->topic_count; i++) {
        topics[i] = resource_of(m->client->options.name_space, m->topics[i]);
        rmq_filter_expression_init(&filters[i]);
        rmq_subscription_entry_init(&entries[i]);
        filters[i].type = RMQ_FILTER_TYPE_TAG;
        filters[i].expression = m->filters[i];
        entries[i].topic = topic_list[i] = &topics[i];
        entries[i].expression = &filters[i];
        entry_list[i] = &entries[i];
    }
    agent.language = RMQ_LANGUAGE_CPP; /* the protocol has no C */
    agent.version = sk_proto_text(SKUA_VERSION);
    agent.platform = sk_proto_text("C");
    settings.user_agent = &agent;
    rmq_settings_set_client_type(&settings, m->type);
    if (m->type == RMQ_CLIENT_TYPE_PRODUCER) {
        publishing.n_topics = m->topic_count;
        publishing.topics = topic_list;
        rmq_settings_set_publishing(&settings, &publishing);
    } else {
        rmq_subscription_set_group(&subscription, &group);
        subscription.n_subscriptions = m->topic_count;
        subscription.subscriptions = entry_list;
        rmq_settings_set_subscription(&settings, &subscription);
    }
    rmq_telemetry_command_set_settings(&command, &settings);
    rmq_messaging_service_send_telemetry(s->stream, &command);
    s->settings_us = sk_mono_us(m->client->clock);
}

/* The server's settings and commands ask nothing of these clients. */
static void on_command(void *arg, rpc_stream *stream, const rmq_telemetry_command *command)
{
    (void)arg;
    (void)stream;
    (void)command;
}

static void on_closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    struct session *s = arg;
    skua_client *client = s->member->client;
    (void)stream;
    (void)outcome;
    sk_mutex_lock(&client->lock);
    s->stream = NULL;
    s->member->streams--;
    sk_cond_broadcast(&client->changed);
    sk_mutex_unlock(&client->lock);
}

static const struct rmq_messaging_service_telemetry_handler telemetry_handler = {
    .message = on_command,
    .closed = on_closed,
};

static void open_session(struct session *s)
{
    struct rpc_options options = member_options(s->member, 0);
    s->stream = rmq_messaging_service_telemetry(s->peer->channel, &options, &telemetry_handler, s);
    if (!s->stream) return;
    s->member->streams++;
    write_settings(s);
}

/* --- first contact --------------------------------------------------------------------- */

struct knock {
    void (*fn)(void *arg);
    void *arg;
    struct knock *next;
};

struct greeting {
    skua_client *client;
    struct peer *peer;
};

/* Those who waited, and those who came meanwhile, in order; then nobody has to wait any more. */
static void on_greeted(void *arg, const struct rpc_outcome *outcome,
                       const rmq_heartbeat_response *response)
{
    struct greeting g = *(struct greeting *)arg;
    (void)outcome, (void)response;
    free(arg);
    sk_mutex_lock(&g.client->lock);
    while (g.peer->knocks) {
        struct knock *k = g.peer->knocks;
        g.peer->knocks = k->next;
        sk_mutex_unlock(&g.client->lock);
        k->fn(k->arg);
        free(k);
        sk_mutex_lock(&g.client->lock);
    }
    atomic_store(&g.peer->greeted, true);
    sk_mutex_unlock(&g.client->lock);
}

static void greet(struct member *m, struct peer *peer)
{
    struct greeting *g = sk_alloc(sizeof *g);
    *g = (struct greeting){m->client, peer};
    rmq_heartbeat_request request = RMQ_HEARTBEAT_REQUEST_INIT;
    request.client_type = m->type;
    struct rpc_options options = member_options(m, m->client->options.request_timeout_ms);
    rmq_messaging_service_heartbeat(peer->channel, &options, &request, on_greeted, g);
}

void peer_when_greeted(struct member *m, struct peer *peer, void (*fn)(void *arg), void *arg)
{
    skua_client *client = m->client;
    struct knock *k = NULL;
    bool first = false;
    if (!atomic_load_explicit(&peer->greeted, memory_order_acquire)) {
        sk_mutex_lock(&client->lock);
        if (!atomic_load(&peer->greeted)) {
            k = sk_alloc(sizeof *k);
            *k = (struct knock){.fn = fn, .arg = arg};
            *(peer->knocks ? &peer->last_knock->next : &peer->knocks) = k;
            peer->last_knock = k;
            first = !peer->greeting;
            peer->greeting = true;
        }
        sk_mutex_unlock(&client->lock);
    }
    if (!k)
        fn(arg);
    else if (first)
        greet(m, peer);
}

/* --- heartbeat ------------------------------------------------------------------------- */

static void on_heartbeat(void *arg, const struct rpc_outcome *outcome,
                         const rmq_heartbeat_response *response)
{
    struct session *s = arg;
    skua_client *client = s->member->client;
    sk_mutex_lock(&client->lock);
    if (outcome->code == RPC_OK && response->status && response->status->code == RMQ_CODE_OK)
        atomic_store(&s->peer->isolated, false);
    s->heartbeat_under_way = false;
    s->member->streams--;
    sk_cond_broadcast(&client->changed);
    sk_mutex_unlock(&client->lock);
}

static void send_heartbeat(struct session *s, uint64_t now_us)
{
    struct member *m = s->member;
    rmq_heartbeat_request request = RMQ_HEARTBEAT_REQUEST_INIT;
    rmq_resource group = resource_of(m->client->options.name_space, m->group ? m->group : "");
    if (m->group) rmq_heartbeat_request_set_group(&request, &group);
    request.client_type = m->type;
    struct rpc_options options = member_options(m, m->client->options.request_timeout_ms);
    s->heartbeat_us = now_us;
    s->heartbeat_under_way = true;
    m->streams++;
    rmq_messaging_service_heartbeat(s->peer->channel, &options, &request, on_heartbeat, s);
}

static void session_tick(struct session *s, uint64_t now_us)
{
    if (!s->stream)
        open_session(s);
    else if (now_us - s->settings_us >= SETTINGS_US)
        write_settings(s);
    bool due = now_us - s->heartbeat_us >= HEARTBEAT_US || atomic_load(&s->peer->isolated);
    if (due && !s->heartbeat_under_way) send_heartbeat(s, now_us);
}

/* Is the peer in a route that we have? */
static bool is_routed(skua_client *client, const struct peer *peer)
{
    for (const struct route_entry *e = client->routes; e; e = e->hh.next)
        for (size_t i = 0; e->route && i < e->route->count; i++)
            if (e->route->queues[i].peer == peer) return true;
    return false;
}

/* A broker that left the routes long ago is not called any more. */
static void drop_forgotten(struct member *m, uint64_t now_us)
{
    for (struct session **at = &m->sessions; *at;) {
        struct session *s = *at;
        bool idle = !s->stream && !s->heartbeat_under_way;
        if (idle && now_us - s->settings_us >= FORGET_US && !is_routed(m->client, s->peer)) {
            *at = s->next;
            free(s);
        } else {
            at = &s->next;
        }
    }
}

void members_tick(skua_client *client, uint64_t now_us)
{
    sk_mutex_lock(&client->lock);
    for (struct member *m = client->members; m; m = m->next) {
        if (m->closing) continue;
        drop_forgotten(m, now_us);
        for (struct session *s = m->sessions; s; s = s->next) session_tick(s, now_us);
    }
    sk_mutex_unlock(&client->lock);
}

/* --- topics and sessions --------------------------------------------------------------- */

bool member_add_topic(struct member *m, const char *topic, const char *filter)
{
    skua_client *client = m->client;
    bool is_new = true;
    sk_mutex_lock(&client->lock);
    for (size_t i = 0; i < m->topic_count; i++)
        if (strcmp(m->topics[i], topic) == 0 && strcmp(m->filters[i], filter) == 0) is_new = false;
    if (is_new) {
        m->topics = sk_realloc(m->topics, m->topic_count + 1, sizeof *m->topics);
        m->filters = sk_realloc(m->filters, m->topic_count + 1, sizeof *m->filters);
        m->topics[m->topic_count] = sk_strdup(topic);
        m->filters[m->topic_count++] = sk_strdup(filter);
        for (struct session *s = m->sessions; s; s = s->next)
            if (s->stream) write_settings(s);
    }
    sk_mutex_unlock(&client->lock);
    return is_new;
}

void member_meet(struct member *m, struct peer *peer)
{
    skua_client *client = m->client;
    sk_mutex_lock(&client->lock);
    struct session *s = m->sessions;
    while (s && s->peer != peer) s = s->next;
    if (!s && !m->closing) {
        s = sk_zalloc(1, sizeof *s);
        s->member = m;
        s->peer = peer;
        s->next = m->sessions;
        m->sessions = s;
        s->heartbeat_us = s->settings_us = sk_mono_us(client->clock);
        open_session(s);
    }
    sk_mutex_unlock(&client->lock);
}

/* --- goodbye --------------------------------------------------------------------------- */

static void on_goodbye(void *arg, const struct rpc_outcome *outcome,
                       const rmq_notify_client_termination_response *response)
{
    struct session *s = arg;
    skua_client *client = s->member->client;
    (void)outcome;
    (void)response;
    sk_mutex_lock(&client->lock);
    if (s->stream) rpc_stream_cancel(s->stream);
    s->member->streams--;
    sk_cond_broadcast(&client->changed);
    sk_mutex_unlock(&client->lock);
}

static void say_goodbye(struct session *s)
{
    struct member *m = s->member;
    rmq_notify_client_termination_request request = RMQ_NOTIFY_CLIENT_TERMINATION_REQUEST_INIT;
    rmq_resource group = resource_of(m->client->options.name_space, m->group ? m->group : "");
    if (m->group) rmq_notify_client_termination_request_set_group(&request, &group);
    struct rpc_options options = member_options(m, GOODBYE_MS);
    m->streams++;
    rmq_messaging_service_notify_client_termination(s->peer->channel, &options, &request,
                                                    on_goodbye, s);
}

static void leave_client(struct member *m)
{
    struct member **at = &m->client->members;
    while (*at && *at != m) at = &(*at)->next;
    if (*at) *at = m->next;
}

void member_done(struct member *m)
{
    skua_client *client = m->client;
    sk_mutex_lock(&client->lock);
    m->closing = true;
    leave_client(m);
    for (struct session *s = m->sessions; s; s = s->next)
        if (s->stream) say_goodbye(s);
    while (m->streams) sk_cond_wait(&client->changed, &client->lock);
    sk_mutex_unlock(&client->lock);

    while (m->sessions) {
        struct session *s = m->sessions;
        m->sessions = s->next;
        free(s);
    }
    for (size_t i = 0; i < m->topic_count; i++) {
        free(m->topics[i]);
        free(m->filters[i]);
    }
    free(m->topics);
    free(m->filters);
    free(m->group);
}
