/* harness.c - a broker in this process, and a client of it. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"

/* --- the broker ------------------------------------------------------------------------------ */

static pthread_mutex_t failure_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t failure_told = PTHREAD_COND_INITIALIZER;

static void failed(void *owner, struct sk_status why)
{
    struct harness *h = owner;
    pthread_mutex_lock(&failure_lock);
    h->failure = why;
    pthread_cond_broadcast(&failure_told);
    pthread_mutex_unlock(&failure_lock);
}

struct sk_status harness_await_failure(struct harness *h)
{
    pthread_mutex_lock(&failure_lock);
    while (sk_ok(h->failure)) pthread_cond_wait(&failure_told, &failure_lock);
    struct sk_status why = h->failure;
    pthread_mutex_unlock(&failure_lock);
    return why;
}

static struct sk_status open_broker(struct harness *h)
{
    struct sk_broker_options options = {
        .config = &h->config, .vfs = h->vfs, .failed = failed, .owner = h};
    return sk_broker_open(&options, &h->broker);
}

static void serve(struct harness *h)
{
    struct rpc_server_options server = {0};
    ck_assert(sk_ok(rpc_server_new(&server, &h->server)));
    sk_broker_mount(h->broker, h->server);
    ck_assert(sk_ok(rpc_server_listen(h->server, "127.0.0.1:0", &h->port)));
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", h->port);
    ck_assert(sk_ok(sk_broker_start(h->broker, address, NULL)));
    ck_assert(sk_ok(rpc_server_start(h->server)));
    ck_assert(sk_ok(rpc_client_new(&h->client)));
    struct rpc_channel_options plain = {0};
    ck_assert(sk_ok(rpc_channel_open(h->client, address, &plain, &h->channel)));
}

static void start(struct harness *h)
{
    struct sk_status status = open_broker(h);
    ck_assert_msg(sk_ok(status), "%s", sk_status_text(&status));
    serve(h);
}

static void stop(struct harness *h)
{
    rpc_channel_close(h->channel);
    rpc_client_free(h->client);
    sk_broker_stop(h->broker);
    rpc_server_drain(h->server, 1000);
    rpc_server_free(h->server);
    sk_broker_close(h->broker);
}

static void unconfigure(struct harness *h)
{
    sk_config_free(h->settings);
    sk_arena_free(h->arena);
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", h->dir);
    ck_assert_int_eq(system(command), 0);
}

static void configure(struct harness *h, const char *const *settings)
{
    memset(h, 0, sizeof *h);
    sk_log_configure(SK_SILENT, false);
    snprintf(h->dir, sizeof h->dir, "/tmp/skua-broker-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(h->dir));
    h->settings = sk_config_new(&sk_broker_program, &h->config);
    const char *const usual[] = {"flush=async", "segment_size=16MiB", "min_long_polling=0ms",
                                 "settings_repeat=0ms", NULL};
    char data[80];
    snprintf(data, sizeof data, "data=%s", h->dir);
    const char *const own[] = {data, NULL};
    const char *const *lists[] = {usual, own, settings};
    for (size_t i = 0; i < 3; i++) {
        for (const char *const *at = lists[i]; at && *at; at++) {
            char name[64];
            const char *equals = strchr(*at, '=');
            snprintf(name, sizeof name, "%.*s", (int)(equals - *at), *at);
            struct sk_status status = sk_config_set(h->settings, name, equals + 1, SK_FROM_FLAG);
            ck_assert_msg(sk_ok(status), "%s", sk_status_text(&status));
        }
    }
    h->arena = sk_arena_new(0);
}

void harness_open(struct harness *h, const char *const *settings)
{
    configure(h, settings);
    start(h);
}

struct sk_status harness_try_open(struct harness *h, const char *dir, struct sk_vfs *vfs,
                                  const char *const *settings)
{
    configure(h, settings);
    h->config.data = dir;
    h->vfs = vfs;
    struct sk_status status = open_broker(h);
    if (sk_ok(status))
        serve(h);
    else
        unconfigure(h);
    return status;
}

void harness_restart(struct harness *h)
{
    stop(h);
    start(h);
}

void harness_close(struct harness *h)
{
    stop(h);
    unconfigure(h);
}

struct rpc_options harness_options(const char *client_id)
{
    static _Thread_local struct rpc_header headers[2];
    headers[0] = (struct rpc_header){"x-mq-client-id", client_id};
    headers[1] = (struct rpc_header){"x-mq-language", "JAVA"};
    return (struct rpc_options){
        .timeout_ms = 5000, .headers = headers, .header_count = client_id ? 2 : 0};
}

/* --- requests ----------------------------------------------------------------------------------
 */

void harness_topic(struct harness *h, const char *name, int queues)
{
    struct rpc_options options = harness_options("tester");
    skua_topic_config config = SKUA_TOPIC_CONFIG_INIT;
    config.name = (char *)(uintptr_t)name;
    config.read_queues = config.write_queues = queues;
    skua_create_topic_request request = SKUA_CREATE_TOPIC_REQUEST_INIT;
    request.topic = &config;
    const skua_create_topic_response *response;
    struct sk_status status =
        skua_broker_admin_create_topic_wait(h->channel, &options, &request, h->arena, &response);
    ck_assert_msg(sk_ok(status), "%s", sk_status_text(&status));
}

void harness_group(struct harness *h, const char *name)
{
    struct rpc_options options = harness_options("tester");
    skua_group_config config = SKUA_GROUP_CONFIG_INIT;
    config.name = (char *)(uintptr_t)name;
    skua_create_group_request request = SKUA_CREATE_GROUP_REQUEST_INIT;
    request.group = &config;
    const skua_create_group_response *response;
    struct sk_status status =
        skua_broker_admin_create_group_wait(h->channel, &options, &request, h->arena, &response);
    ck_assert_msg(sk_ok(status), "%s", sk_status_text(&status));
}

struct sk_status harness_try_send(struct harness *h, const char *topic, const char *id,
                                  const char *tag, struct sk_slice body, rmq_code *code,
                                  int64_t *offset)
{
    struct rpc_options options = harness_options("tester");
    rmq_resource resource = RMQ_RESOURCE_INIT;
    resource.name = (char *)(uintptr_t)topic;
    rmq_system_properties system = RMQ_SYSTEM_PROPERTIES_INIT;
    system.message_id = (char *)(uintptr_t)id;
    if (tag) rmq_system_properties_set_tag(&system, tag);
    rmq_message message = RMQ_MESSAGE_INIT, *messages[] = {&message};
    message.topic = &resource;
    message.system_properties = &system;
    message.body = sk_proto_bytes(body);
    rmq_send_message_request request = RMQ_SEND_MESSAGE_REQUEST_INIT;
    request.messages = messages;
    request.n_messages = 1;
    const rmq_send_message_response *response;
    struct sk_status status = rmq_messaging_service_send_message_wait(
        h->channel, &options, &request, h->arena, &response);
    if (!sk_ok(status)) return status;
    ck_assert_uint_eq(response->n_entries, 1);
    ck_assert_int_eq(response->entries[0]->status->code, response->status->code);
    if (offset) *offset = response->entries[0]->offset;
    *code = response->status->code;
    return status;
}

rmq_code harness_send(struct harness *h, const char *topic, const char *id, const char *tag,
                      const char *body, int64_t *offset)
{
    rmq_code code = RMQ_CODE_UNSPECIFIED;
    struct sk_status status =
        harness_try_send(h, topic, id, tag, sk_slice_of_text(body), &code, offset);
    ck_assert_msg(sk_ok(status), "%s", sk_status_text(&status));
    return code;
}

struct sk_status harness_try_ack(struct harness *h, const char *topic, const char *group,
                                 const char *handle, rmq_code *code)
{
    struct rpc_options options = harness_options("tester");
    rmq_resource t = RMQ_RESOURCE_INIT, g = RMQ_RESOURCE_INIT;
    t.name = (char *)(uintptr_t)topic;
    g.name = (char *)(uintptr_t)group;
    rmq_ack_message_entry entry = RMQ_ACK_MESSAGE_ENTRY_INIT, *entries[] = {&entry};
    entry.receipt_handle = (char *)(uintptr_t)handle;
    rmq_ack_message_request request = RMQ_ACK_MESSAGE_REQUEST_INIT;
    request.topic = &t;
    request.group = &g;
    request.entries = entries;
    request.n_entries = 1;
    const rmq_ack_message_response *response;
    struct sk_status status =
        rmq_messaging_service_ack_message_wait(h->channel, &options, &request, h->arena, &response);
    if (!sk_ok(status)) return status;
    ck_assert_uint_eq(response->n_entries, 1);
    ck_assert_str_eq(response->entries[0]->receipt_handle, handle);
    *code = response->entries[0]->status->code;
    return status;
}

rmq_code harness_ack(struct harness *h, const char *topic, const char *group, const char *handle)
{
    rmq_code code = RMQ_CODE_UNSPECIFIED;
    struct sk_status status = harness_try_ack(h, topic, group, handle, &code);
    ck_assert_msg(sk_ok(status), "%s", sk_status_text(&status));
    return code;
}

const rmq_change_invisible_duration_response *harness_change(struct harness *h, const char *topic,
                                                             const char *group, const char *handle,
                                                             int64_t seconds)
{
    struct rpc_options options = harness_options("tester");
    rmq_resource t = RMQ_RESOURCE_INIT, g = RMQ_RESOURCE_INIT;
    t.name = (char *)(uintptr_t)topic;
    g.name = (char *)(uintptr_t)group;
    pb_duration duration = PB_DURATION_INIT;
    duration.seconds = seconds;
    rmq_change_invisible_duration_request request = RMQ_CHANGE_INVISIBLE_DURATION_REQUEST_INIT;
    request.topic = &t;
    request.group = &g;
    request.receipt_handle = (char *)(uintptr_t)handle;
    request.invisible_duration = &duration;
    const rmq_change_invisible_duration_response *response;
    struct sk_status status = rmq_messaging_service_change_invisible_duration_wait(
        h->channel, &options, &request, h->arena, &response);
    ck_assert_msg(sk_ok(status), "%s", sk_status_text(&status));
    return response;
}

enum { BATCH = 1000 };

static void send_batch(struct harness *h, const char *to, const char *tag, int count)
{
    static rmq_message messages[BATCH];
    static rmq_system_properties system[BATCH];
    rmq_message *list[BATCH];
    rmq_resource topic = RMQ_RESOURCE_INIT;
    topic.name = (char *)(uintptr_t)to;
    for (int i = 0; i < count; i++) {
        rmq_message_init(&messages[i]);
        rmq_system_properties_init(&system[i]);
        rmq_system_properties_set_tag(&system[i], (char *)(uintptr_t)tag);
        system[i].message_id = (char *)(uintptr_t) "id";
        messages[i].topic = &topic;
        messages[i].system_properties = &system[i];
        messages[i].body = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t) "b", .len = 1};
        list[i] = &messages[i];
    }
    rmq_send_message_request request = RMQ_SEND_MESSAGE_REQUEST_INIT;
    request.messages = list;
    request.n_messages = (size_t)count;
    struct rpc_options options = harness_options("tester");
    options.timeout_ms = 20000;
    const rmq_send_message_response *response;
    ck_assert(sk_ok(rmq_messaging_service_send_message_wait(h->channel, &options, &request,
                                                            h->arena, &response)));
    ck_assert_int_eq(response->status->code, RMQ_CODE_OK);
}

void harness_send_many(struct harness *h, const char *topic, const char *tag, int count)
{
    for (; count > 0; count -= BATCH) send_batch(h, topic, tag, count < BATCH ? count : BATCH);
}

/* --- receive, waiting for its end ------------------------------------------------------------ */

struct harness_pending {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool over; /* guarded by lock, as stream */
    rpc_stream *stream;
    struct received *out;
    size_t cancel_after;
};

static void copy_text(char *to, size_t room, const char *from)
{
    snprintf(to, room, "%s", from ? from : "");
}

static void on_message(void *arg, rpc_stream *stream, const rmq_receive_message_response *message)
{
    struct harness_pending *w = arg;
    struct received *r = w->out;
    switch (message->content_case) {
    case RMQ_RECEIVE_MESSAGE_RESPONSE_CONTENT_STATUS:
        r->in_order = r->code == RMQ_CODE_UNSPECIFIED && r->count == 0 && !r->timestamp;
        r->code = message->status->code;
        copy_text(r->text, sizeof r->text, message->status->message);
        break;
    case RMQ_RECEIVE_MESSAGE_RESPONSE_CONTENT_MESSAGE: {
        if (r->code != RMQ_CODE_OK || r->timestamp) r->in_order = false;
        rmq_system_properties *s = message->message->system_properties;
        size_t i = r->count++;
        copy_text(r->messages[i].id, sizeof r->messages[i].id, s->message_id);
        copy_text(r->messages[i].tag, sizeof r->messages[i].tag, rmq_system_properties_get_tag(s));
        copy_text(r->messages[i].handle, sizeof r->messages[i].handle,
                  rmq_system_properties_get_receipt_handle(s));
        snprintf(r->messages[i].body, sizeof r->messages[i].body, "%.*s",
                 (int)message->message->body.len, (const char *)message->message->body.data);
        r->messages[i].queue = s->queue_id;
        r->messages[i].offset = rmq_system_properties_get_queue_offset(s);
        r->messages[i].attempt = rmq_system_properties_get_delivery_attempt(s);
        if (r->count == w->cancel_after) rpc_stream_cancel(stream);
        break;
    }
    case RMQ_RECEIVE_MESSAGE_RESPONSE_CONTENT_DELIVERY_TIMESTAMP:
        if (r->code == RMQ_CODE_UNSPECIFIED || r->timestamp) r->in_order = false;
        r->timestamp = true;
        break;
    default:
        r->in_order = false;
    }
}

static void on_closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    (void)stream;
    struct harness_pending *w = arg;
    w->out->ended = outcome->code;
    pthread_mutex_lock(&w->lock);
    w->over = true;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
}

static const struct rmq_messaging_service_receive_message_handler HANDLER = {on_message, on_closed};

static pb_duration duration_of(int64_t ms)
{
    pb_duration duration = PB_DURATION_INIT;
    duration.seconds = ms / 1000;
    duration.nanos = (int32_t)(ms % 1000 * 1000000);
    return duration;
}

harness_pending *harness_receive_begin(struct harness *h, const struct receive_how *how,
                                       struct received *out)
{
    memset(out, 0, sizeof *out);
    out->in_order = true;
    struct harness_pending *w = sk_zalloc(1, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->ended, NULL);
    w->out = out;
    w->cancel_after = how->cancel_after;
    struct rpc_options options = harness_options(how->client_id ? how->client_id : "tester");
    options.timeout_ms = how->timeout_ms ? how->timeout_ms : 3000;
    rmq_resource topic = RMQ_RESOURCE_INIT, group = RMQ_RESOURCE_INIT;
    topic.name = (char *)(uintptr_t)how->topic;
    group.name = (char *)(uintptr_t)how->group;
    rmq_message_queue queue = RMQ_MESSAGE_QUEUE_INIT;
    queue.topic = &topic;
    rmq_filter_expression filter = RMQ_FILTER_EXPRESSION_INIT;
    filter.type = RMQ_FILTER_TYPE_TAG;
    filter.expression = (char *)(uintptr_t)(how->filter ? how->filter : "*");
    pb_duration invisible = duration_of(how->invisible_ms ? how->invisible_ms : 30000);
    pb_duration polling = duration_of(how->polling_ms);
    rmq_receive_message_request request = RMQ_RECEIVE_MESSAGE_REQUEST_INIT;
    request.group = &group;
    request.message_queue = &queue;
    request.filter_expression = &filter;
    request.batch_size = how->batch ? how->batch : 32;
    request.auto_renew = how->auto_renew;
    rmq_receive_message_request_set_invisible_duration(&request, &invisible);
    if (how->polling_ms) rmq_receive_message_request_set_long_polling_timeout(&request, &polling);
    pthread_mutex_lock(&w->lock);
    w->stream = rmq_messaging_service_receive_message(h->channel, &options, &request, &HANDLER, w);
    pthread_mutex_unlock(&w->lock);
    return w;
}

void harness_receive_cancel(harness_pending *w)
{
    pthread_mutex_lock(&w->lock);
    if (!w->over) rpc_stream_cancel(w->stream);
    pthread_mutex_unlock(&w->lock);
}

void harness_receive_end(harness_pending *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->over) pthread_cond_wait(&w->ended, &w->lock);
    pthread_mutex_unlock(&w->lock);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->ended);
    free(w);
}

void harness_receive(struct harness *h, const struct receive_how *how, struct received *out)
{
    harness_receive_end(harness_receive_begin(h, how, out));
}

static uint64_t waiting_polls(struct harness *h)
{
    struct rpc_options options = harness_options("tester");
    skua_describe_broker_request request = SKUA_DESCRIBE_BROKER_REQUEST_INIT;
    const skua_describe_broker_response *response;
    struct sk_status status =
        skua_broker_admin_describe_broker_wait(h->channel, &options, &request, h->arena, &response);
    ck_assert_msg(sk_ok(status), "%s", sk_status_text(&status));
    return response->waiting_receives;
}

void harness_wait_for_polls(struct harness *h, uint64_t count)
{
    while (waiting_polls(h) != count) sched_yield();
}
