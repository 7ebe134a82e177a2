/* fake_peer.c - the scripted server. */
#include "support/fake_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apache/rocketmq/v2/service.rpc.h"
#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"
#include "rpc/server.h"

enum { SCRIPT_MAX = 64, QUEUES_MAX = 16, PARKED_MAX = 32, LAST = 512, ENTRIES_MAX = 8 };

struct answer {
    int code, rpc;
};

struct script {
    struct answer answers[SCRIPT_MAX];
    size_t first, count, calls;
    char last[LAST];
};

struct parked {
    fake_peer *peer;
    rpc_call *call; /* NULL: free, or over */
};

struct fake_peer {
    rpc_server *server;
    char address[64];
    struct sk_mutex lock; /* guards all that follows */
    struct sk_cond changed;
    struct script scripts[FAKE_METHODS];
    struct {
        char broker[64], address[64];
        int id;
    } queues[QUEUES_MAX];
    size_t queue_count;
    int entries[ENTRIES_MAX];
    size_t entry_count;
    size_t messages, delivered;
    bool generous; /* guarded by lock */
    struct parked *parked[PARKED_MAX];
    size_t cancelled;
    char client_id[256];
};

/* --- scripts --------------------------------------------------------------------------- */

/* Count the call; what is its answer? */
static struct answer take(fake_peer *p, enum fake_method method, rpc_call *call)
{
    struct script *s = &p->scripts[method];
    struct sk_slice id = rpc_call_metadata(call, "x-mq-client-id");
    struct answer a = {RMQ_CODE_OK, 0};
    s->calls++;
    snprintf(p->client_id, sizeof p->client_id, "%.*s", SK_SLICE_ARGS(id));
    if (s->count) {
        a = s->answers[s->first];
        s->first = (s->first + 1) % SCRIPT_MAX;
        s->count--;
    }
    sk_cond_broadcast(&p->changed);
    return a;
}

void fake_peer_answer_times(fake_peer *p, enum fake_method method, int code, int rpc, size_t times)
{
    sk_mutex_lock(&p->lock);
    struct script *s = &p->scripts[method];
    for (; times; times--) {
        sk_assert(s->count < SCRIPT_MAX);
        s->answers[(s->first + s->count++) % SCRIPT_MAX] = (struct answer){code, rpc};
    }
    sk_mutex_unlock(&p->lock);
}

void fake_peer_answer(fake_peer *p, enum fake_method method, int code, int rpc)
{
    fake_peer_answer_times(p, method, code, rpc, 1);
}

void fake_peer_entries(fake_peer *p, const int *codes, size_t count)
{
    sk_mutex_lock(&p->lock);
    p->entry_count = count;
    memcpy(p->entries, codes, count * sizeof *codes);
    sk_mutex_unlock(&p->lock);
}

static void note(fake_peer *p, enum fake_method method, const char *text)
{
    snprintf(p->scripts[method].last, LAST, "%s", text);
}

static bool fails(rpc_call *call, struct answer a)
{
    if (!a.rpc) return false;
    rpc_call_fail(call, (enum rpc_code)a.rpc, "scripted");
    return true;
}

static rmq_status status_of(int code)
{
    rmq_status s = RMQ_STATUS_INIT;
    s.code = (rmq_code)code;
    s.message = sk_proto_text(code == RMQ_CODE_OK ? "OK" : "scripted");
    return s;
}

/* --- routes ---------------------------------------------------------------------------- */

void fake_peer_route(fake_peer *p, const struct fake_queue *queues, size_t count)
{
    sk_mutex_lock(&p->lock);
    sk_assert(count <= QUEUES_MAX);
    for (size_t i = 0; i < count; i++) {
        snprintf(p->queues[i].broker, sizeof p->queues[i].broker, "%s", queues[i].broker);
        snprintf(p->queues[i].address, sizeof p->queues[i].address, "%s", queues[i].peer->address);
        p->queues[i].id = queues[i].id;
    }
    p->queue_count = count;
    sk_mutex_unlock(&p->lock);
}

static rmq_message_queue *queue_in(sk_arena *arena, const fake_peer *p, size_t i,
                                   const rmq_resource *topic)
{
    rmq_message_queue *q = sk_arena_alloc(arena, sizeof *q);
    rmq_broker *b = sk_arena_alloc(arena, sizeof *b);
    rmq_endpoints *e = sk_arena_alloc(arena, sizeof *e);
    rmq_address *a = sk_arena_alloc(arena, sizeof *a);
    rmq_message_type *type = sk_arena_alloc(arena, sizeof *type);
    rmq_message_queue_init(q);
    rmq_broker_init(b);
    rmq_endpoints_init(e);
    rmq_address_init(a);
    a->host = sk_proto_text("127.0.0.1");
    a->port = atoi(strrchr(p->queues[i].address, ':') + 1);
    e->scheme = RMQ_ADDRESS_SCHEME_IPV4;
    e->n_addresses = 1;
    e->addresses = sk_arena_copy(arena, &a, sizeof a);
    b->name = sk_arena_text(arena, sk_slice_of_text(p->queues[i].broker));
    b->endpoints = e;
    *type = RMQ_MESSAGE_TYPE_NORMAL;
    q->accept_message_types = type;
    q->n_accept_message_types = 1;
    q->topic = (rmq_resource *)(uintptr_t)topic;
    q->id = p->queues[i].id;
    q->permission = RMQ_PERMISSION_READ_WRITE;
    q->broker = b;
    return q;
}

static void query_route(void *owner, rpc_call *call, const rmq_query_route_request *request)
{
    fake_peer *p = owner;
    sk_arena *arena = rpc_call_arena(call);
    rmq_query_route_response response = RMQ_QUERY_ROUTE_RESPONSE_INIT;
    sk_mutex_lock(&p->lock);
    struct answer a = take(p, FAKE_ROUTE, call);
    note(p, FAKE_ROUTE, request->topic->name);
    if (a.code == RMQ_CODE_OK && p->queue_count == 0) a.code = RMQ_CODE_TOPIC_NOT_FOUND;
    rmq_status status = status_of(a.code);
    response.status = &status;
    if (a.code == RMQ_CODE_OK) {
        response.message_queues = sk_arena_alloc(arena, p->queue_count * sizeof(void *));
        for (size_t i = 0; i < p->queue_count; i++)
            response.message_queues[response.n_message_queues++] =
                queue_in(arena, p, i, request->topic);
    }
    sk_mutex_unlock(&p->lock);
    if (!fails(call, a)) rmq_messaging_service_reply_query_route(call, &response);
}

/* --- sending --------------------------------------------------------------------------- */

static void send_message(void *owner, rpc_call *call, const rmq_send_message_request *request)
{
    fake_peer *p = owner;
    sk_arena *arena = rpc_call_arena(call);
    size_t count = request->n_messages;
    rmq_send_message_response response = RMQ_SEND_MESSAGE_RESPONSE_INIT;
    sk_mutex_lock(&p->lock);
    struct answer a = take(p, FAKE_SEND, call);
    note(p, FAKE_SEND, request->messages[0]->system_properties->message_id);
    rmq_status top = status_of(p->entry_count ? RMQ_CODE_MULTIPLE_RESULTS : a.code);
    response.status = &top;
    response.entries = sk_arena_alloc(arena, count * sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        rmq_send_result_entry *e = sk_arena_alloc(arena, sizeof *e);
        rmq_status *status = sk_arena_alloc(arena, sizeof *status);
        rmq_send_result_entry_init(e);
        *status = status_of(i < p->entry_count ? p->entries[i] : a.code);
        e->status = status;
        e->message_id = request->messages[i]->system_properties->message_id;
        e->offset = (int64_t)p->delivered++;
        response.entries[response.n_entries++] = e;
    }
    sk_mutex_unlock(&p->lock);
    if (!fails(call, a)) rmq_messaging_service_reply_send_message(call, &response);
}

/* --- delivering ------------------------------------------------------------------------ */

void fake_peer_deliver(fake_peer *p, size_t messages)
{
    sk_mutex_lock(&p->lock);
    p->messages += messages;
    sk_mutex_unlock(&p->lock);
}

void fake_peer_be_generous(fake_peer *p)
{
    sk_mutex_lock(&p->lock);
    p->generous = true;
    sk_mutex_unlock(&p->lock);
}

struct made {
    rmq_message message;
    rmq_system_properties system;
    rmq_resource topic;
};

/* Message number n of this peer. */
static rmq_message *make_message(sk_arena *arena, const char *topic, size_t n)
{
    struct made *m = sk_arena_alloc(arena, sizeof *m);
    rmq_message_init(&m->message);
    rmq_system_properties_init(&m->system);
    rmq_resource_init(&m->topic);
    m->topic.name = sk_arena_text(arena, sk_slice_of_text(topic));
    m->system.message_id = sk_arena_printf(arena, "id%zu", n);
    rmq_system_properties_set_receipt_handle(&m->system, sk_arena_printf(arena, "h%zu", n));
    rmq_system_properties_set_delivery_attempt(&m->system, 1);
    rmq_system_properties_set_queue_offset(&m->system, (int64_t)n);
    m->message.topic = &m->topic;
    m->message.system_properties = &m->system;
    char *body = sk_arena_printf(arena, "m%zu", n);
    m->message.body = sk_proto_bytes(sk_slice_of_text(body));
    return &m->message;
}

static void on_cancel(void *arg)
{
    struct parked *parked = arg;
    fake_peer *p = parked->peer;
    rpc_call *call = NULL;
    sk_mutex_lock(&p->lock);
    for (size_t i = 0; i < PARKED_MAX; i++) {
        if (p->parked[i] != parked) continue;
        p->parked[i] = NULL;
        call = parked->call;
        p->cancelled++;
    }
    sk_cond_broadcast(&p->changed);
    sk_mutex_unlock(&p->lock);
    if (call) rpc_call_finish(call, RPC_CANCELLED, NULL);
}

static void park(fake_peer *p, rpc_call *call)
{
    struct parked *parked = sk_arena_alloc(rpc_call_arena(call), sizeof *parked);
    *parked = (struct parked){p, call};
    sk_mutex_lock(&p->lock);
    size_t i = 0;
    while (i < PARKED_MAX && p->parked[i]) i++;
    sk_assert(i < PARKED_MAX);
    p->parked[i] = parked;
    sk_cond_broadcast(&p->changed);
    sk_mutex_unlock(&p->lock);
    rpc_call_on_cancel(call, on_cancel, parked);
}

static void receive_message(void *owner, rpc_call *call, const rmq_receive_message_request *request)
{
    fake_peer *p = owner;
    sk_arena *arena = rpc_call_arena(call);
    rmq_receive_message_response piece = RMQ_RECEIVE_MESSAGE_RESPONSE_INIT;
    sk_mutex_lock(&p->lock);
    struct answer a = take(p, FAKE_RECEIVE, call);
    size_t max = p->generous ? SIZE_MAX : (size_t)request->batch_size;
    size_t count = a.code != RMQ_CODE_OK ? 0 : p->messages < max ? p->messages : max;
    size_t first = p->delivered;
    p->messages -= count;
    p->delivered += count;
    sk_mutex_unlock(&p->lock);
    if (fails(call, a)) return;
    if (a.code == RMQ_CODE_OK && count == 0) {
        park(p, call);
        return;
    }
    rmq_status status = status_of(a.code);
    rmq_receive_message_response_set_status(&piece, &status);
    rmq_messaging_service_write_receive_message(call, &piece);
    for (size_t i = 0; i < count; i++) {
        rmq_receive_message_response one = RMQ_RECEIVE_MESSAGE_RESPONSE_INIT;
        rmq_receive_message_response_set_message(
            &one, make_message(arena, request->message_queue->topic->name, first + i));
        rmq_messaging_service_write_receive_message(call, &one);
    }
    rpc_call_finish(call, RPC_OK, NULL);
}

static void pull_message(void *owner, rpc_call *call, const rmq_pull_message_request *request)
{
    fake_peer *p = owner;
    sk_mutex_lock(&p->lock);
    struct answer a = take(p, FAKE_PULL, call);
    size_t max = (size_t)request->batch_size, at = (size_t)request->offset;
    size_t count = at >= p->messages ? 0 : p->messages - at < max ? p->messages - at : max;
    sk_mutex_unlock(&p->lock);
    if (fails(call, a)) return;
    if (a.code == RMQ_CODE_OK && count == 0) a.code = RMQ_CODE_MESSAGE_NOT_FOUND;
    if (a.code != RMQ_CODE_OK) count = 0;
    rmq_status status = status_of(a.code);
    rmq_pull_message_response piece = RMQ_PULL_MESSAGE_RESPONSE_INIT;
    rmq_pull_message_response_set_status(&piece, &status);
    rmq_messaging_service_write_pull_message(call, &piece);
    for (size_t i = 0; i < count; i++) {
        rmq_pull_message_response one = RMQ_PULL_MESSAGE_RESPONSE_INIT;
        rmq_pull_message_response_set_message(
            &one, make_message(rpc_call_arena(call), request->message_queue->topic->name, at + i));
        rmq_messaging_service_write_pull_message(call, &one);
    }
    rmq_pull_message_response last = RMQ_PULL_MESSAGE_RESPONSE_INIT;
    rmq_pull_message_response_set_next_offset(&last, (int64_t)(at + count));
    rmq_messaging_service_write_pull_message(call, &last);
    rpc_call_finish(call, RPC_OK, NULL);
}

static void query_offset(void *owner, rpc_call *call, const rmq_query_offset_request *request)
{
    fake_peer *p = owner;
    rmq_query_offset_response response = RMQ_QUERY_OFFSET_RESPONSE_INIT;
    sk_mutex_lock(&p->lock);
    struct answer a = take(p, FAKE_OFFSET, call);
    bool end = request->query_offset_policy == RMQ_QUERY_OFFSET_POLICY_END;
    response.offset = end ? (int64_t)p->messages : 0;
    sk_mutex_unlock(&p->lock);
    rmq_status status = status_of(a.code);
    response.status = &status;
    if (!fails(call, a)) rmq_messaging_service_reply_query_offset(call, &response);
}

/* --- acknowledging --------------------------------------------------------------------- */

static void ack_message(void *owner, rpc_call *call, const rmq_ack_message_request *request)
{
    fake_peer *p = owner;
    sk_arena *arena = rpc_call_arena(call);
    char handles[LAST] = "";
    rmq_ack_message_response response = RMQ_ACK_MESSAGE_RESPONSE_INIT;
    sk_mutex_lock(&p->lock);
    struct answer a = take(p, FAKE_ACK, call);
    rmq_status status = status_of(a.code);
    response.status = &status;
    response.entries = sk_arena_alloc(arena, request->n_entries * sizeof(void *));
    for (size_t i = 0; i < request->n_entries; i++) {
        rmq_ack_message_result_entry *e = sk_arena_alloc(arena, sizeof *e);
        rmq_ack_message_result_entry_init(e);
        e->status = &status;
        response.entries[response.n_entries++] = e;
        size_t n = strlen(handles);
        snprintf(handles + n, sizeof handles - n, "%s%s", n ? "," : "",
                 request->entries[i]->receipt_handle);
    }
    note(p, FAKE_ACK, handles);
    sk_mutex_unlock(&p->lock);
    if (!fails(call, a)) rmq_messaging_service_reply_ack_message(call, &response);
}

static void change_invisible(void *owner, rpc_call *call,
                             const rmq_change_invisible_duration_request *request)
{
    fake_peer *p = owner;
    char handle[LAST];
    rmq_change_invisible_duration_response response = RMQ_CHANGE_INVISIBLE_DURATION_RESPONSE_INIT;
    sk_mutex_lock(&p->lock);
    struct answer a = take(p, FAKE_CHANGE, call);
    note(p, FAKE_CHANGE, request->receipt_handle);
    sk_mutex_unlock(&p->lock);
    rmq_status status = status_of(a.code);
    snprintf(handle, sizeof handle, "%.400s-new", request->receipt_handle);
    response.status = &status;
    response.receipt_handle = handle;
    if (!fails(call, a)) rmq_messaging_service_reply_change_invisible_duration(call, &response);
}

/* --- sessions -------------------------------------------------------------------------- */

static void on_settings(void *arg, rpc_call *call, const rmq_telemetry_command *command)
{
    fake_peer *p = arg;
    char text[LAST];
    rmq_status status = status_of(RMQ_CODE_OK);
    rmq_telemetry_command answer = RMQ_TELEMETRY_COMMAND_INIT;
    if (command->command_case != RMQ_TELEMETRY_COMMAND_COMMAND_SETTINGS) return;
    const rmq_settings *s = command->settings;
    const rmq_publishing *publishing = rmq_settings_get_publishing(s);
    const rmq_subscription *subscription = rmq_settings_get_subscription(s);
    snprintf(text, sizeof text, "%s", rmq_client_type_name((int)rmq_settings_get_client_type(s)));
    for (size_t i = 0; publishing && i < publishing->n_topics; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %s",
                 publishing->topics[i]->name);
    if (subscription)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %s",
                 rmq_subscription_get_group(subscription)->name);
    for (size_t i = 0; subscription && i < subscription->n_subscriptions; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %s:%s",
                 subscription->subscriptions[i]->topic->name,
                 subscription->subscriptions[i]->expression->expression);
    sk_mutex_lock(&p->lock);
    note(p, FAKE_TELEMETRY, text);
    p->scripts[FAKE_TELEMETRY].calls++;
    sk_cond_broadcast(&p->changed);
    sk_mutex_unlock(&p->lock);
    rmq_telemetry_command_set_status(&answer, &status);
    rmq_telemetry_command_set_settings(&answer, (rmq_settings *)(uintptr_t)s);
    rmq_messaging_service_write_telemetry(call, &answer);
}

static void on_half_closed(void *arg, rpc_call *call)
{
    (void)arg;
    rpc_call_finish(call, RPC_OK, NULL);
}

static const struct rmq_messaging_service_telemetry_events telemetry_events = {
    .message = on_settings,
    .half_closed = on_half_closed,
};

static void telemetry(void *owner, rpc_call *call)
{
    rmq_messaging_service_listen_telemetry(call, &telemetry_events, owner);
}

static void heartbeat(void *owner, rpc_call *call, const rmq_heartbeat_request *request)
{
    fake_peer *p = owner;
    (void)request;
    sk_mutex_lock(&p->lock);
    struct answer a = take(p, FAKE_HEARTBEAT, call);
    sk_mutex_unlock(&p->lock);
    rmq_status status = status_of(a.code);
    rmq_heartbeat_response response = RMQ_HEARTBEAT_RESPONSE_INIT;
    response.status = &status;
    if (!fails(call, a)) rmq_messaging_service_reply_heartbeat(call, &response);
}

static void goodbye(void *owner, rpc_call *call,
                    const rmq_notify_client_termination_request *request)
{
    fake_peer *p = owner;
    (void)request;
    sk_mutex_lock(&p->lock);
    struct answer a = take(p, FAKE_GOODBYE, call);
    sk_mutex_unlock(&p->lock);
    rmq_status status = status_of(a.code);
    rmq_notify_client_termination_response response = RMQ_NOTIFY_CLIENT_TERMINATION_RESPONSE_INIT;
    response.status = &status;
    if (!fails(call, a)) rmq_messaging_service_reply_notify_client_termination(call, &response);
}

/* --- life ------------------------------------------------------------------------------ */

static const struct rmq_messaging_service_handlers handlers = {
    .query_route = query_route,
    .send_message = send_message,
    .receive_message = receive_message,
    .pull_message = pull_message,
    .query_offset = query_offset,
    .ack_message = ack_message,
    .change_invisible_duration = change_invisible,
    .telemetry = telemetry,
    .heartbeat = heartbeat,
    .notify_client_termination = goodbye,
};

fake_peer *fake_peer_start(void)
{
    fake_peer *p = sk_zalloc(1, sizeof *p);
    struct rpc_server_options options = {0};
    int port = 0;
    sk_mutex_init(&p->lock);
    sk_cond_init(&p->changed);
    struct sk_status s = rpc_server_new(&options, &p->server);
    sk_assert(sk_ok(s));
    rmq_messaging_service_mount(p->server, &handlers, p);
    s = rpc_server_listen(p->server, "127.0.0.1:0", &port);
    sk_assert(sk_ok(s));
    s = rpc_server_start(p->server);
    sk_assert(sk_ok(s));
    snprintf(p->address, sizeof p->address, "127.0.0.1:%d", port);
    return p;
}

void fake_peer_kill(fake_peer *p)
{
    rpc_server_free(p->server);
    p->server = NULL;
}

void fake_peer_free(fake_peer *p)
{
    if (!p) return;
    fake_peer_kill(p);
    sk_cond_done(&p->changed);
    sk_mutex_done(&p->lock);
    free(p);
}

const char *fake_peer_address(const fake_peer *p)
{
    return p->address;
}

/* --- what it saw ----------------------------------------------------------------------- */

size_t fake_peer_calls(fake_peer *p, enum fake_method method)
{
    sk_mutex_lock(&p->lock);
    size_t calls = p->scripts[method].calls;
    sk_mutex_unlock(&p->lock);
    return calls;
}

bool fake_peer_wait_calls(fake_peer *p, enum fake_method method, size_t calls)
{
    bool in_time = true;
    sk_mutex_lock(&p->lock);
    while (p->scripts[method].calls < calls && in_time)
        in_time = sk_cond_wait_for(&p->changed, &p->lock, 10 * 1000 * 1000);
    bool seen = p->scripts[method].calls >= calls;
    sk_mutex_unlock(&p->lock);
    return seen;
}

static size_t parked_now(const fake_peer *p)
{
    size_t n = 0;
    for (size_t i = 0; i < PARKED_MAX; i++) n += p->parked[i] != NULL;
    return n;
}

size_t fake_peer_parked(fake_peer *p)
{
    sk_mutex_lock(&p->lock);
    size_t n = parked_now(p);
    sk_mutex_unlock(&p->lock);
    return n;
}

bool fake_peer_wait_parked(fake_peer *p, size_t parked)
{
    bool in_time = true;
    sk_mutex_lock(&p->lock);
    while (parked_now(p) != parked && in_time)
        in_time = sk_cond_wait_for(&p->changed, &p->lock, 10 * 1000 * 1000);
    bool so = parked_now(p) == parked;
    sk_mutex_unlock(&p->lock);
    return so;
}

size_t fake_peer_cancelled(fake_peer *p)
{
    sk_mutex_lock(&p->lock);
    size_t n = p->cancelled;
    sk_mutex_unlock(&p->lock);
    return n;
}

void fake_peer_last(fake_peer *p, enum fake_method method, char *out, size_t room)
{
    sk_mutex_lock(&p->lock);
    snprintf(out, room, "%s", p->scripts[method].last);
    sk_mutex_unlock(&p->lock);
}

void fake_peer_client_id(fake_peer *p, char *out, size_t room)
{
    sk_mutex_lock(&p->lock);
    snprintf(out, room, "%s", p->client_id);
    sk_mutex_unlock(&p->lock);
}
