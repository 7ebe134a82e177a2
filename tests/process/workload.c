/* workload.c - a client for tests that kill servers: it does one thing and says, line by line, what
 * the server promised. No retries, so every line is one answer.
 *
 *   workload send HOST:PORT TOPIC PREFIX IN_FLIGHT COUNT     "ok ID OFFSET" | "unknown ID"
 *   workload read HOST:PORT TOPIC QUEUES                     "at QUEUE OFFSET ID"
 *   workload take HOST:PORT TOPIC GROUP COUNT INVISIBLE_S    "got ID QUEUE OFFSET ATTEMPT HANDLE"
 *   workload ack  HOST:PORT TOPIC GROUP  < "ID HANDLE" lines "ack ID CODE"
 *
 * `send` stops at the first failure, after the answers still out have come in. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apache/rocketmq/v2/service.rpc.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/thread.h"
#include "rpc/channel.h"

enum { BODY_BYTES = 700, BATCH = 32, PULL_BATCH = 32 };

static const struct rpc_header headers[] = {{"x-mq-client-id", "workload"}};
static const struct rpc_options unary = {
    .timeout_ms = 10000, .headers = headers, .header_count = 1, .wait_for_ready = true};
static rpc_channel *channel;

static void die(const char *what, struct sk_status s)
{
    fprintf(stderr, "workload: %s: %s\n", what, sk_status_text(&s));
    exit(1);
}

/* --- send ----------------------------------------------------------------------- */

static struct {
    struct sk_mutex lock;
    struct sk_cond changed;
    int in_flight; /* guarded by lock */
    bool failed;   /* guarded by lock */
} sending;

static void sent(void *arg, const struct rpc_outcome *outcome,
                 const rmq_send_message_response *response)
{
    char *id = arg;
    bool ok = sk_ok(outcome->status) && response->status->code == RMQ_CODE_OK;
    sk_mutex_lock(&sending.lock);
    if (ok) printf("ok %s %" PRId64 "\n", id, response->entries[0]->offset);
    else printf("unknown %s\n", id);
    sending.in_flight--;
    if (!ok) sending.failed = true;
    sk_cond_signal(&sending.changed);
    sk_mutex_unlock(&sending.lock);
    free(id);
}

static void send_one(const char *topic_name, char *id)
{
    static uint8_t body[BODY_BYTES];
    rmq_resource topic = RMQ_RESOURCE_INIT;
    topic.name = (char *)(uintptr_t)topic_name;
    rmq_system_properties properties = RMQ_SYSTEM_PROPERTIES_INIT;
    properties.message_id = id;
    rmq_message message = RMQ_MESSAGE_INIT;
    message.topic = &topic;
    message.system_properties = &properties;
    message.body.data = body;
    message.body.len = sizeof body;
    rmq_send_message_request request = RMQ_SEND_MESSAGE_REQUEST_INIT;
    rmq_message *messages[] = {&message};
    request.messages = messages;
    request.n_messages = 1;
    struct rpc_options options = unary;
    options.wait_for_ready = false;
    rmq_messaging_service_send_message(channel, &options, &request, sent, id);
}

static int run_send(char **args)
{
    int limit = atoi(args[2]), count = atoi(args[3]);
    sk_mutex_init(&sending.lock);
    sk_cond_init(&sending.changed);
    sk_mutex_lock(&sending.lock);
    for (int i = 0; i < count && !sending.failed; i++) {
        while (sending.in_flight >= limit) sk_cond_wait(&sending.changed, &sending.lock);
        if (sending.failed) break;
        sending.in_flight++;
        sk_mutex_unlock(&sending.lock);
        char *id = NULL;
        if (asprintf(&id, "%s-%d", args[1], i) < 0) abort();
        send_one(args[0], id);
        sk_mutex_lock(&sending.lock);
    }
    while (sending.in_flight > 0) sk_cond_wait(&sending.changed, &sending.lock);
    sk_mutex_unlock(&sending.lock);
    return 0;
}

/* --- streams: read, take --------------------------------------------------------- */

struct listening {
    struct sk_mutex lock;
    struct sk_cond changed;
    bool closed;      /* guarded by lock */
    int messages;     /* written by callbacks, read after closed */
    int64_t next;     /* read: where to go on */
    int queue;
    enum rpc_code code;
    int status;       /* rmq_code of the status element */
};

static void listening_wait(struct listening *l)
{
    sk_mutex_lock(&l->lock);
    while (!l->closed) sk_cond_wait(&l->changed, &l->lock);
    sk_mutex_unlock(&l->lock);
}

static void closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    (void)stream;
    struct listening *l = arg;
    sk_mutex_lock(&l->lock);
    l->code = outcome->code;
    l->closed = true;
    sk_cond_signal(&l->changed);
    sk_mutex_unlock(&l->lock);
}

static void pulled(void *arg, rpc_stream *stream, const rmq_pull_message_response *response)
{
    (void)stream;
    struct listening *l = arg;
    switch (response->content_case) {
    case RMQ_PULL_MESSAGE_RESPONSE_CONTENT_STATUS: l->status = (int)response->status->code; break;
    case RMQ_PULL_MESSAGE_RESPONSE_CONTENT_MESSAGE: {
        const rmq_system_properties *p = response->message->system_properties;
        printf("at %d %" PRId64 " %s\n", l->queue, rmq_system_properties_get_queue_offset(p),
               p->message_id);
        l->messages++;
        break;
    }
    case RMQ_PULL_MESSAGE_RESPONSE_CONTENT_NEXT_OFFSET: l->next = response->next_offset; break;
    default: break;
    }
}

static struct listening listening_new(void)
{
    struct listening l = {.next = -1};
    sk_mutex_init(&l.lock);
    sk_cond_init(&l.changed);
    return l;
}

/* Pull one queue from `offset`; returns where to go on, or -1 at its end. */
static int64_t pull(const char *topic_name, int queue, int64_t offset)
{
    static const struct rmq_messaging_service_pull_message_handler handler = {
        .message = pulled, .closed = closed};
    struct listening l = listening_new();
    l.queue = queue;
    rmq_resource topic = RMQ_RESOURCE_INIT, group = RMQ_RESOURCE_INIT;
    topic.name = (char *)(uintptr_t)topic_name;
    group.name = (char *)(uintptr_t) "workload-readers";
    rmq_message_queue mq = RMQ_MESSAGE_QUEUE_INIT;
    mq.topic = &topic;
    mq.id = queue;
    rmq_pull_message_request request = RMQ_PULL_MESSAGE_REQUEST_INIT;
    request.group = &group;
    request.message_queue = &mq;
    request.offset = offset;
    request.batch_size = PULL_BATCH;
    rmq_messaging_service_pull_message(channel, &unary, &request, &handler, &l);
    listening_wait(&l);
    if (l.code != RPC_OK) die("pull", sk_error(SK_IO, "gRPC code %d", l.code));
    if (l.status != RMQ_CODE_OK && l.status != RMQ_CODE_MESSAGE_NOT_FOUND)
        die("pull", sk_error(SK_IO, "code %d", l.status));
    return l.messages ? l.next : -1;
}

static int run_read(char **args)
{
    for (int queue = 0; queue < atoi(args[1]); queue++)
        for (int64_t offset = 0; offset >= 0;) offset = pull(args[0], queue, offset);
    return 0;
}

static void received(void *arg, rpc_stream *stream, const rmq_receive_message_response *response)
{
    (void)stream;
    struct listening *l = arg;
    if (response->content_case == RMQ_RECEIVE_MESSAGE_RESPONSE_CONTENT_STATUS)
        l->status = (int)response->status->code;
    if (response->content_case != RMQ_RECEIVE_MESSAGE_RESPONSE_CONTENT_MESSAGE) return;
    const rmq_system_properties *p = response->message->system_properties;
    printf("got %s %d %" PRId64 " %d %s\n", p->message_id, p->queue_id,
           rmq_system_properties_get_queue_offset(p),
           rmq_system_properties_get_delivery_attempt(p),
           rmq_system_properties_get_receipt_handle(p));
    l->messages++;
}

static int take(const char *topic_name, const char *group_name, int count, int invisible_s)
{
    static const struct rmq_messaging_service_receive_message_handler handler = {
        .message = received, .closed = closed};
    struct listening l = listening_new();
    rmq_resource topic = RMQ_RESOURCE_INIT, group = RMQ_RESOURCE_INIT;
    topic.name = (char *)(uintptr_t)topic_name;
    group.name = (char *)(uintptr_t)group_name;
    rmq_message_queue mq = RMQ_MESSAGE_QUEUE_INIT;
    mq.topic = &topic;
    mq.id = -1;
    rmq_filter_expression filter = RMQ_FILTER_EXPRESSION_INIT;
    filter.expression = (char *)(uintptr_t) "*";
    pb_duration invisible = PB_DURATION_INIT, polling = PB_DURATION_INIT;
    invisible.seconds = invisible_s;
    polling.seconds = 1;
    rmq_receive_message_request request = RMQ_RECEIVE_MESSAGE_REQUEST_INIT;
    request.group = &group;
    request.message_queue = &mq;
    request.filter_expression = &filter;
    request.batch_size = count < BATCH ? count : BATCH;
    rmq_receive_message_request_set_invisible_duration(&request, &invisible);
    rmq_receive_message_request_set_long_polling_timeout(&request, &polling);
    rmq_messaging_service_receive_message(channel, &unary, &request, &handler, &l);
    listening_wait(&l);
    if (l.code != RPC_OK) die("receive", sk_error(SK_IO, "gRPC code %d", l.code));
    if (l.status != RMQ_CODE_OK && l.status != RMQ_CODE_MESSAGE_NOT_FOUND)
        die("receive", sk_error(SK_IO, "code %d", l.status));
    return l.messages;
}

/* Until `count` came, or nothing more does. */
static int run_take(char **args)
{
    int left = atoi(args[2]);
    while (left > 0) {
        int got = take(args[0], args[1], left, atoi(args[3]));
        if (got == 0) break;
        left -= got;
    }
    return 0;
}

/* --- ack --------------------------------------------------------------------------- */

static void ack_one(const char *topic_name, const char *group_name, char *id, char *handle)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    rmq_resource topic = RMQ_RESOURCE_INIT, group = RMQ_RESOURCE_INIT;
    topic.name = (char *)(uintptr_t)topic_name;
    group.name = (char *)(uintptr_t)group_name;
    rmq_ack_message_entry entry = RMQ_ACK_MESSAGE_ENTRY_INIT;
    entry.message_id = id;
    entry.receipt_handle = handle;
    rmq_ack_message_entry *entries[] = {&entry};
    rmq_ack_message_request request = RMQ_ACK_MESSAGE_REQUEST_INIT;
    request.topic = &topic;
    request.group = &group;
    request.entries = entries;
    request.n_entries = 1;
    const rmq_ack_message_response *response;
    struct sk_status s =
        rmq_messaging_service_ack_message_wait(channel, &unary, &request, arena, &response);
    if (!sk_ok(s)) die("ack", s);
    printf("ack %s %d\n", id, (int)response->entries[0]->status->code);
}

static int run_ack(char **args)
{
    char id[256], handle[2048];
    while (scanf("%255s %2047s", id, handle) == 2) ack_one(args[0], args[1], id, handle);
    return 0;
}

static const struct {
    const char *name;
    int args;
    int (*run)(char **args);
} commands[] = {{"send", 4, run_send}, {"read", 2, run_read}, {"take", 4, run_take},
                {"ack", 2, run_ack}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 2 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) != 0 || argc - 3 != commands[i].args) continue;
        rpc_client *client;
        struct sk_status s = rpc_client_new(&client);
        if (sk_ok(s)) s = rpc_channel_open(client, argv[2], NULL, &channel);
        if (!sk_ok(s)) die("connect", s);
        int status = commands[i].run(argv + 3);
        rpc_channel_close(channel);
        rpc_client_free(client);
        return status;
    }
    fprintf(stderr, "usage: see workload.c\n");
    return 2;
}
