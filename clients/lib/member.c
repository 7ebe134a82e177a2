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

/* What a member publishes, or is subscribed to, at one moment. */
struct topics {
    char **names, **filters; /* the texts live as long as the member */
    size_t count;
};

/* Under the client's lock. */
static struct topics topics_of(const struct member *m, sk_arena *arena)
{
    size_t size = m->topic_count * sizeof(char *);
    return (struct topics){.names = sk_arena_copy(arena, m->topics, size),
                           .filters = sk_arena_copy(arena, m->filters, size),
                           .count = m->topic_count};
}

/* Settings of a publisher: its topics; of a consumer: its group and subscriptions. */
static void write_settings(const struct member *m, rpc_stream *stream, const struct topics *t,
                           sk_arena *arena)
{
    rmq_settings settings = RMQ_SETTINGS_INIT;
    rmq_publishing publishing = RMQ_PUBLISHING_INIT;
    rmq_subscription subscription = RMQ_SUBSCRIPTION_INIT;
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    rmq_ua agent = RMQ_UA_INIT;
    rmq_resource group = resource_of(m->client->options.name_space, m->group ? m->group : "");
    rmq_resource *topics = sk_arena_alloc(arena, t->count * sizeof *topics);
    rmq_filter_expression *filters = sk_arena_alloc(arena, t->count * sizeof *filters);
    rmq_subscription_entry *entries = sk_arena_alloc(arena, t->count * sizeof *entries);
    rmq_resource **topic_list = sk_arena_zalloc(arena, t->count + 1, sizeof *topic_list);
    rmq_subscription_entry **entry_list = sk_arena_zalloc(arena, t->count + 1, sizeof *entry_list);

    for (size_t i = 0; i < t->count; i++) {
        topics[i] = resource_of(m->client->options.name_space, t->names[i]);
        rmq_filter_expression_init(&filters[i]);
        rmq_subscription_entry_init(&entries[i]);
        filters[i].type = RMQ_FILTER_TYPE_TAG;
        filters[i].expression = t->filters[i];
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
        publishing.n_topics = t->count;
        publishing.topics = topic_list;
        rmq_settings_set_publishing(&settings, &publishing);
    } else {
        rmq_subscription_set_group(&subscription, &group);
        subscription.n_subscriptions = t->count;
        subscription.subscriptions = entry_list;
        rmq_settings_set_subscription(&settings, &subscription);
    }
    rmq_telemetry_command_set_settings(&command, &settings);
    rmq_messaging_service_send_telemetry(stream, &command);
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
    rpc_stream *mine = s->stream;
    s->stream = NULL;
    s->closed_early = s->opening;
    sk_mutex_unlock(&client->lock);
    rpc_stream_unref(mine);

    sk_mutex_lock(&client->lock);
    s->member->streams--; /* the last may let the member go */
    sk_cond_broadcast(&client->changed);
    sk_mutex_unlock(&client->lock);
}

static const struct rmq_messaging_service_telemetry_handler telemetry_handler = {
    .message = on_command,
    .closed = on_closed,
};

/* Under the lock: become busy with the session, and say what is to be done. False: another one is
 * busy, who will see that it is stale. */
static bool become_busy(struct session *s)
{
    s->stale = true;
    if (s->busy) return false;
    s->busy = true;
    s->member->streams++;
    return true;
}

/* The stream to write to, with a reference for that; its callbacks may run before we know it. */
static rpc_stream *open_stream(struct session *s)
{
    skua_client *client = s->member->client;
    struct rpc_options options = member_options(s->member, 0);
    options.keep_stream = true;
    rpc_stream *stream =
        rmq_messaging_service_telemetry(s->peer->channel, &options, &telemetry_handler, s);
    sk_mutex_lock(&client->lock);
    bool closing = s->member->closing;
    if (!s->closed_early) s->stream = rpc_stream_ref(stream);
    s->opening = s->closed_early = false;
    sk_mutex_unlock(&client->lock);
    if (closing) rpc_stream_cancel(stream); /* too late to be told goodbye */
    return stream;
}

/* Write the newest settings, to a new stream if there is none. */
static void refresh_locked(struct session *s) SK_NO_THREAD_ANALYSIS
{
    struct member *m = s->member;
    skua_client *client = m->client;
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    struct topics topics = topics_of(m, arena);
    rpc_stream *stream = s->stream ? rpc_stream_ref(s->stream) : NULL;
    s->stale = false;
    s->settings_us = sk_mono_us(client->clock);
    s->opening = !stream;
    if (!stream) m->streams++;
    sk_mutex_unlock(&client->lock);
    if (!stream) stream = open_stream(s);
    write_settings(m, stream, &topics, arena);
    rpc_stream_unref(stream);
    sk_mutex_lock(&client->lock);
}

/* By the thread that is busy with it, without the lock; the session may be gone after it. */
static void tend(struct session *s)
{
    struct member *m = s->member;
    skua_client *client = m->client;
    sk_mutex_lock(&client->lock);
    while (s->stale && !m->closing) refresh_locked(s);
    s->busy = false;
    m->streams--;
    sk_cond_broadcast(&client->changed);
    sk_mutex_unlock(&client->lock);
}

static void tend_all(struct session *todo)
{
    struct session *next;
    for (struct session *s = todo; s; s = next) {
        next = s->todo;
        tend(s);
    }
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

static void send_heartbeat(struct session *s)
{
    struct member *m = s->member;
    rmq_heartbeat_request request = RMQ_HEARTBEAT_REQUEST_INIT;
    rmq_resource group = resource_of(m->client->options.name_space, m->group ? m->group : "");
    if (m->group) rmq_heartbeat_request_set_group(&request, &group);
    request.client_type = m->type;
    struct rpc_options options = member_options(m, m->client->options.request_timeout_ms);
    rmq_messaging_service_heartbeat(s->peer->channel, &options, &request, on_heartbeat, s);
}

/* Under the lock: put what is to be done for the session onto the list. Who is busy with it also
 * sends the heartbeat. */
static void session_tick(struct session *s, uint64_t now_us, struct session **todo)
{
    bool due = now_us - s->heartbeat_us >= HEARTBEAT_US || atomic_load(&s->peer->isolated);
    bool old = !s->stream || now_us - s->settings_us >= SETTINGS_US;
    bool beat = due && !s->heartbeat_under_way;
    if (s->busy || !(old || beat)) return;
    bool stale = s->stale || old;
    (void)become_busy(s);
    s->stale = stale;
    s->beat_due = beat;
    if (beat) {
        s->heartbeat_us = now_us;
        s->heartbeat_under_way = true;
        s->member->streams++;
    }
    s->todo = *todo;
    *todo = s;
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
        bool idle = !s->stream && !s->heartbeat_under_way && !s->busy;
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
    struct session *todo = NULL;
    sk_mutex_lock(&client->lock);
    for (struct member *m = client->members; m; m = m->next) {
        if (m->closing) continue;
        drop_forgotten(m, now_us);
        for (struct session *s = m->sessions; s; s = s->next) session_tick(s, now_us, &todo);
    }
    sk_mutex_unlock(&client->lock);
    for (struct session *s = todo; s; s = s->todo)
        if (s->beat_due) send_heartbeat(s);
    tend_all(todo);
}

/* --- topics and sessions --------------------------------------------------------------- */

bool member_add_topic(struct member *m, const char *topic, const char *filter)
{
    skua_client *client = m->client;
    bool is_new = true;
    struct session *todo = NULL;
    sk_mutex_lock(&client->lock);
    for (size_t i = 0; i < m->topic_count; i++)
        if (strcmp(m->topics[i], topic) == 0 && strcmp(m->filters[i], filter) == 0) is_new = false;
    if (is_new) {
        m->topics = sk_realloc(m->topics, m->topic_count + 1, sizeof *m->topics);
        m->filters = sk_realloc(m->filters, m->topic_count + 1, sizeof *m->filters);
        m->topics[m->topic_count] = sk_strdup(topic);
        m->filters[m->topic_count++] = sk_strdup(filter);
        for (struct session *s = m->sessions; s; s = s->next) {
            if (!(s->stream || s->busy) || !become_busy(s)) continue;
            s->todo = todo;
            todo = s;
        }
    }
    sk_mutex_unlock(&client->lock);
    tend_all(todo);
    return is_new;
}

void member_meet(struct member *m, struct peer *peer)
{
    skua_client *client = m->client;
    sk_mutex_lock(&client->lock);
    struct session *s = m->sessions;
    while (s && s->peer != peer) s = s->next;
    bool first = !s && !m->closing;
    if (first) {
        s = sk_zalloc(1, sizeof *s);
        s->member = m;
        s->peer = peer;
        s->next = m->sessions;
        m->sessions = s;
        s->heartbeat_us = sk_mono_us(client->clock);
        (void)become_busy(s);
    }
    sk_mutex_unlock(&client->lock);
    if (first) tend(s);
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
    rpc_stream *stream = s->stream ? rpc_stream_ref(s->stream) : NULL;
    sk_mutex_unlock(&client->lock);
    if (stream) rpc_stream_cancel(stream);
    rpc_stream_unref(stream);

    sk_mutex_lock(&client->lock);
    s->member->streams--; /* the last may let the member go */
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
    rmq_messaging_service_notify_client_termination(s->peer->channel, &options, &request,
                                                    on_goodbye, s);
}

static bool is_any_busy(const struct member *m)
{
    for (const struct session *s = m->sessions; s; s = s->next)
        if (s->busy) return true;
    return false;
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
    struct session *todo = NULL;
    sk_mutex_lock(&client->lock);
    m->closing = true;
    leave_client(m);
    while (is_any_busy(m)) sk_cond_wait(&client->changed, &client->lock);
    for (struct session *s = m->sessions; s; s = s->next) {
        if (!s->stream) continue;
        m->streams++;
        s->todo = todo;
        todo = s;
    }
    sk_mutex_unlock(&client->lock);

    struct session *next;
    for (struct session *s = todo; s; s = next) {
        next = s->todo;
        say_goodbye(s);
    }
    sk_mutex_lock(&client->lock);
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
