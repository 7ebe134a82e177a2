/* test_services.c - telemetry, the pull side, and administration. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "support/suite.h"

static struct harness h;
static struct rpc_options options;

static void open_it(void)
{
    static const char *const settings[] = {"settings_repeat=50ms", NULL};
    harness_open(&h, settings);
    harness_topic(&h, "orders", 2);
    harness_group(&h, "billing");
    options = harness_options("tester");
}

/* --- streams whose messages are awaited ------------------------------------------------------ */

struct told {
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool over;
    enum rpc_code code;
    size_t count; /* messages */
    struct sk_slice last[16];
    sk_arena *arena;
};

static struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

static void close_it(void)
{
    harness_close(&h);
    sk_arena_free(told.arena);
    told.arena = NULL;
}

static char *text(const char *constant)
{
    return sk_arena_text(h.arena, sk_slice_of_text(constant));
}

static void tell_message(const ProtobufCMessage *message)
{
    pthread_mutex_lock(&told.lock);
    if (told.count < 16) told.last[told.count] = sk_proto_pack(message, told.arena);
    told.count++;
    pthread_cond_signal(&told.news);
    pthread_mutex_unlock(&told.lock);
}

static void tell_end(const struct rpc_outcome *outcome)
{
    pthread_mutex_lock(&told.lock);
    told.over = true;
    told.code = outcome->code;
    pthread_cond_signal(&told.news);
    pthread_mutex_unlock(&told.lock);
}

static void reset_told(void)
{
    told.over = false;
    told.count = 0;
    if (!told.arena) told.arena = sk_arena_new(0); /* the client's thread allocates here */
}

static void wait_for_messages(size_t count)
{
    pthread_mutex_lock(&told.lock);
    while (told.count < count && !told.over) pthread_cond_wait(&told.news, &told.lock);
    pthread_mutex_unlock(&told.lock);
    ck_assert_uint_ge(told.count, count);
}

static void wait_for_end(void)
{
    pthread_mutex_lock(&told.lock);
    while (!told.over) pthread_cond_wait(&told.news, &told.lock);
    pthread_mutex_unlock(&told.lock);
}

/* --- telemetry ----------------------------------------------------------------------------------
 */

static void on_command(void *arg, rpc_stream *stream, const rmq_telemetry_command *command)
{
    (void)arg, (void)stream;
    tell_message(&command->base);
}

static void on_telemetry_end(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    (void)arg, (void)stream;
    tell_end(outcome);
}

static const struct rmq_messaging_service_telemetry_handler TELEMETRY = {on_command,
                                                                         on_telemetry_end};

static rmq_telemetry_command *command_at(size_t i)
{
    ProtobufCAllocator allocator = sk_proto_allocator(h.arena);
    return rmq_telemetry_command_unpack(&allocator, told.last[i]);
}

static rpc_stream *open_telemetry(const struct rpc_options *how)
{
    struct rpc_options endless = *how;
    endless.timeout_ms = 0;
    reset_told();
    return rmq_messaging_service_telemetry(h.channel, &endless, &TELEMETRY, NULL);
}

static void send_settings(rpc_stream *stream, rmq_client_type type, const char *group_name)
{
    rmq_settings settings = RMQ_SETTINGS_INIT;
    rmq_publishing publishing = RMQ_PUBLISHING_INIT;
    rmq_subscription subscription = RMQ_SUBSCRIPTION_INIT;
    rmq_resource group = RMQ_RESOURCE_INIT;
    rmq_ua agent = RMQ_UA_INIT;
    agent.language = RMQ_LANGUAGE_JAVA;
    settings.user_agent = &agent;
    rmq_settings_set_client_type(&settings, type);
    if (group_name) {
        group.name = text(group_name);
        rmq_subscription_set_group(&subscription, &group);
        rmq_settings_set_subscription(&settings, &subscription);
    } else {
        rmq_settings_set_publishing(&settings, &publishing);
    }
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    rmq_telemetry_command_set_settings(&command, &settings);
    rmq_messaging_service_send_telemetry(stream, &command);
}

START_TEST(a_producer_is_told_its_settings)
{
    rpc_stream *stream = open_telemetry(&options);
    send_settings(stream, RMQ_CLIENT_TYPE_PRODUCER, NULL);
    wait_for_messages(1);
    rmq_telemetry_command *command = command_at(0);
    ck_assert_int_eq(rmq_telemetry_command_get_status(command)->code, RMQ_CODE_OK);
    rmq_settings *settings = rmq_telemetry_command_get_settings(command);
    ck_assert_ptr_nonnull(settings);
    ck_assert_int_eq(rmq_settings_get_publishing(settings)->max_body_size, 4194304);
    ck_assert_ptr_nonnull(rmq_settings_get_backoff_policy(settings));
    rpc_stream_half_close(stream);
    wait_for_end();
    ck_assert_int_eq(told.code, RPC_OK);
}
END_TEST

START_TEST(a_consumer_is_told_its_settings_and_is_listed)
{
    rpc_stream *stream = open_telemetry(&options);
    send_settings(stream, RMQ_CLIENT_TYPE_SIMPLE_CONSUMER, "billing");
    wait_for_messages(1);
    rmq_telemetry_command *command = command_at(0);
    ck_assert_int_eq(rmq_telemetry_command_get_status(command)->code, RMQ_CODE_OK);
    rmq_settings *settings = rmq_telemetry_command_get_settings(command);
    ck_assert_int_eq(
        rmq_subscription_get_receive_batch_size(rmq_settings_get_subscription(settings)), 32);

    skua_describe_group_request request = SKUA_DESCRIBE_GROUP_REQUEST_INIT;
    request.name = text("billing");
    const skua_describe_group_response *response;
    ck_assert(sk_ok(
        skua_broker_admin_describe_group_wait(h.channel, &options, &request, h.arena, &response)));
    ck_assert_uint_eq(response->n_clients, 1);
    ck_assert_str_eq(response->clients[0]->client_id, "tester");
    rpc_stream_cancel(stream);
    wait_for_end();
}
END_TEST

START_TEST(an_unknown_group_ends_the_stream)
{
    rpc_stream *stream = open_telemetry(&options);
    send_settings(stream, RMQ_CLIENT_TYPE_PUSH_CONSUMER, "nobody");
    wait_for_end();
    ck_assert_uint_eq(told.count, 1);
    ck_assert_int_eq(rmq_telemetry_command_get_status(command_at(0))->code,
                     RMQ_CODE_CONSUMER_GROUP_NOT_FOUND);
    ck_assert_int_eq(told.code, RPC_INVALID_ARGUMENT);
}
END_TEST

START_TEST(settings_that_do_not_fit_are_refused_and_the_stream_stays)
{
    rpc_stream *stream = open_telemetry(&options);
    send_settings(stream, RMQ_CLIENT_TYPE_PRODUCER, "billing"); /* a producer that subscribes */
    wait_for_messages(1);
    ck_assert_int_ne(rmq_telemetry_command_get_status(command_at(0))->code, RMQ_CODE_OK);
    send_settings(stream, RMQ_CLIENT_TYPE_PRODUCER, NULL);
    wait_for_messages(2);
    ck_assert_int_eq(rmq_telemetry_command_get_status(command_at(1))->code, RMQ_CODE_OK);
    rpc_stream_half_close(stream);
    wait_for_end();
    ck_assert_int_eq(told.code, RPC_OK);
}
END_TEST

START_TEST(telemetry_without_a_client_id_is_told_so)
{
    struct rpc_options none = harness_options(NULL);
    open_telemetry(&none);
    wait_for_end();
    ck_assert_uint_eq(told.count, 1);
    ck_assert_int_eq(rmq_telemetry_command_get_status(command_at(0))->code,
                     RMQ_CODE_CLIENT_ID_REQUIRED);
    ck_assert_int_eq(told.code, RPC_OK);
}
END_TEST

START_TEST(node_is_told_twice)
{
    struct rpc_header headers[] = {{"x-mq-client-id", "node"}, {"x-mq-language", "HTTP"}};
    struct rpc_options node = {.headers = headers, .header_count = 2};
    rpc_stream *stream = open_telemetry(&node);
    send_settings(stream, RMQ_CLIENT_TYPE_PRODUCER, NULL);
    wait_for_messages(2);
    ck_assert(sk_slice_eq(told.last[0], told.last[1]));
    rpc_stream_cancel(stream);
    wait_for_end();
}
END_TEST

START_TEST(a_stopping_broker_ends_telemetry)
{
    rpc_stream *stream = open_telemetry(&options);
    send_settings(stream, RMQ_CLIENT_TYPE_PRODUCER, NULL);
    wait_for_messages(1);
    sk_broker_stop(h.broker);
    wait_for_end();
    ck_assert_int_eq(told.code, RPC_OK);
}
END_TEST

/* --- the pull side -------------------------------------------------------------------------------
 */

static void on_pulled(void *arg, rpc_stream *stream, const rmq_pull_message_response *message)
{
    (void)arg, (void)stream;
    tell_message(&message->base);
}

static const struct rmq_messaging_service_pull_message_handler PULL = {on_pulled, on_telemetry_end};

struct pulled {
    rmq_code code;
    size_t count;
    int64_t first, next; /* offsets; next -1: not told */
};

static rmq_resource pull_topic, pull_group;

static rmq_message_queue queue_of(const char *topic, int id)
{
    rmq_message_queue queue = RMQ_MESSAGE_QUEUE_INIT;
    rmq_resource_init(&pull_topic);
    rmq_resource_init(&pull_group);
    pull_topic.name = text(topic);
    pull_group.name = text("billing");
    queue.topic = &pull_topic;
    queue.id = id;
    return queue;
}

static void begin_pull(int id, int64_t offset, int batch, const char *filter_text, int64_t wait_s)
{
    rmq_message_queue queue = queue_of("orders", id);
    rmq_filter_expression filter = RMQ_FILTER_EXPRESSION_INIT;
    filter.expression = text(filter_text);
    pb_duration polling = PB_DURATION_INIT;
    polling.seconds = wait_s;
    rmq_pull_message_request request = RMQ_PULL_MESSAGE_REQUEST_INIT;
    request.group = &pull_group;
    request.message_queue = &queue;
    request.offset = offset;
    request.batch_size = batch;
    request.filter_expression = &filter;
    request.long_polling_timeout = &polling;
    struct rpc_options patient = options;
    patient.timeout_ms = 20000;
    reset_told();
    rmq_messaging_service_pull_message(h.channel, &patient, &request, &PULL, NULL);
}

static struct pulled end_pull(void)
{
    wait_for_end();
    ck_assert_int_eq(told.code, RPC_OK);
    struct pulled out = {.first = -1, .next = -1};
    for (size_t i = 0; i < told.count; i++) {
        ProtobufCAllocator allocator = sk_proto_allocator(h.arena);
        rmq_pull_message_response *r = rmq_pull_message_response_unpack(&allocator, told.last[i]);
        if (r->content_case == RMQ_PULL_MESSAGE_RESPONSE_CONTENT_STATUS) {
            ck_assert_uint_eq(i, 0);
            out.code = r->status->code;
        } else if (r->content_case == RMQ_PULL_MESSAGE_RESPONSE_CONTENT_MESSAGE) {
            if (out.first < 0) {
                out.first = rmq_system_properties_get_queue_offset(r->message->system_properties);
            }
            out.count++;
        } else {
            ck_assert_uint_eq(i + 1, told.count);
            out.next = r->next_offset;
        }
    }
    return out;
}

static struct pulled pull(int id, int64_t offset, int batch, const char *filter)
{
    begin_pull(id, offset, batch, filter, 0);
    return end_pull();
}

/* Ten messages in two queues, five in each; tags red and blue in turns of two. */
static void send_ten(void)
{
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(harness_send(&h, "orders", "ID", i / 2 % 2 ? "red" : "blue", "body", NULL),
                         RMQ_CODE_OK);
    }
}

START_TEST(messages_are_pulled_by_offset)
{
    send_ten();
    struct pulled p = pull(0, 0, 3, "*");
    ck_assert_int_eq(p.code, RMQ_CODE_OK);
    ck_assert_uint_eq(p.count, 3);
    ck_assert_int_eq(p.first, 0);
    ck_assert_int_eq(p.next, 3);
    p = pull(0, 3, 10, "*");
    ck_assert_uint_eq(p.count, 2);
    ck_assert_int_eq(p.next, 5);
    p = pull(0, 5, 10, "*");
    ck_assert_int_eq(p.code, RMQ_CODE_MESSAGE_NOT_FOUND);
    ck_assert_int_eq(p.next, 5);
    p = pull(1, 0, 10, "red");
    ck_assert_int_eq(p.code, RMQ_CODE_OK);
    ck_assert_uint_eq(p.count, 2);
    ck_assert_int_eq(p.first, 1);
}
END_TEST

START_TEST(bad_pulls_are_refused)
{
    send_ten();
    ck_assert_int_eq(pull(0, 6, 1, "*").code, RMQ_CODE_ILLEGAL_OFFSET);
    ck_assert_int_eq(pull(0, -1, 1, "*").code, RMQ_CODE_ILLEGAL_OFFSET);
    ck_assert_int_eq(pull(7, 0, 1, "*").code, RMQ_CODE_BAD_REQUEST);
    ck_assert_int_eq(pull(-1, 0, 1, "*").code, RMQ_CODE_BAD_REQUEST);
    ck_assert_int_eq(pull(0, 0, 0, "*").code, RMQ_CODE_BAD_REQUEST);
    ck_assert_int_eq(pull(0, 0, 1, "||").code, RMQ_CODE_ILLEGAL_FILTER_EXPRESSION);
}
END_TEST

/* In steps, between which others are served, and in the end it waits. */
START_TEST(a_pull_walks_past_a_long_backlog)
{
    enum { BACKLOG = 60000 };
    harness_send_many(&h, "orders", "dull", BACKLOG);
    begin_pull(0, 0, 1, "rare", 15);
    harness_wait_for_polls(&h, 1);
    for (int i = 0; i < 2; i++) /* one of them goes to its queue */
        ck_assert_int_eq(harness_send(&h, "orders", "id", "rare", "b", NULL), RMQ_CODE_OK);
    struct pulled p = end_pull();
    ck_assert_int_eq(p.code, RMQ_CODE_OK);
    ck_assert_uint_eq(p.count, 1);
    ck_assert_int_gt(p.first, BACKLOG / 4);
    ck_assert_int_eq(p.next, p.first + 1);
}
END_TEST

/* No time to wait: it says how far it came. */
START_TEST(a_pull_with_little_time_ends_its_walk)
{
    harness_send_many(&h, "orders", "dull", 60000);
    struct pulled p = pull(0, 0, 1, "rare");
    ck_assert_int_eq(p.code, RMQ_CODE_MESSAGE_NOT_FOUND);
    ck_assert_uint_eq(p.count, 0);
    ck_assert_int_gt(p.next, 0);
    harness_wait_for_polls(&h, 0);
}
END_TEST

START_TEST(a_pull_waits_at_the_end)
{
    begin_pull(0, 0, 1, "*", 15);
    harness_wait_for_polls(&h, 1);
    send_ten();
    struct pulled p = end_pull();
    ck_assert_int_eq(p.code, RMQ_CODE_OK);
    ck_assert_uint_eq(p.count, 1);
}
END_TEST

static rmq_code update(int id, int64_t offset)
{
    rmq_message_queue queue = queue_of("orders", id);
    rmq_update_offset_request request = RMQ_UPDATE_OFFSET_REQUEST_INIT;
    request.group = &pull_group;
    request.message_queue = &queue;
    request.offset = offset;
    const rmq_update_offset_response *response;
    ck_assert(sk_ok(rmq_messaging_service_update_offset_wait(h.channel, &options, &request, h.arena,
                                                             &response)));
    return response->status->code;
}

static rmq_code get(int id, int64_t *offset)
{
    rmq_message_queue queue = queue_of("orders", id);
    rmq_get_offset_request request = RMQ_GET_OFFSET_REQUEST_INIT;
    request.group = &pull_group;
    request.message_queue = &queue;
    const rmq_get_offset_response *response;
    ck_assert(sk_ok(
        rmq_messaging_service_get_offset_wait(h.channel, &options, &request, h.arena, &response)));
    *offset = response->offset;
    return response->status->code;
}

static rmq_code query(rmq_query_offset_policy policy, int64_t seconds, int64_t *offset)
{
    rmq_message_queue queue = queue_of("orders", 0);
    pb_timestamp time = PB_TIMESTAMP_INIT;
    time.seconds = seconds;
    rmq_query_offset_request request = RMQ_QUERY_OFFSET_REQUEST_INIT;
    request.message_queue = &queue;
    request.query_offset_policy = policy;
    if (seconds >= 0) rmq_query_offset_request_set_timestamp(&request, &time);
    const rmq_query_offset_response *response;
    ck_assert(sk_ok(rmq_messaging_service_query_offset_wait(h.channel, &options, &request, h.arena,
                                                            &response)));
    *offset = response->offset;
    return response->status->code;
}

START_TEST(offsets_are_kept)
{
    int64_t offset;
    send_ten();
    ck_assert_int_eq(get(0, &offset), RMQ_CODE_OFFSET_NOT_FOUND);
    ck_assert_int_eq(update(0, 3), RMQ_CODE_OK);
    ck_assert_int_eq(get(0, &offset), RMQ_CODE_OK);
    ck_assert_int_eq(offset, 3);
    ck_assert_int_eq(update(0, 6), RMQ_CODE_ILLEGAL_OFFSET);
    harness_restart(&h);
    ck_assert_int_eq(get(0, &offset), RMQ_CODE_OK);
    ck_assert_int_eq(offset, 3);
}
END_TEST

START_TEST(offsets_are_found)
{
    int64_t offset;
    send_ten();
    ck_assert_int_eq(query(RMQ_QUERY_OFFSET_POLICY_BEGINNING, -1, &offset), RMQ_CODE_OK);
    ck_assert_int_eq(offset, 0);
    ck_assert_int_eq(query(RMQ_QUERY_OFFSET_POLICY_END, -1, &offset), RMQ_CODE_OK);
    ck_assert_int_eq(offset, 5);
    ck_assert_int_eq(query(RMQ_QUERY_OFFSET_POLICY_TIMESTAMP, 1000, &offset), RMQ_CODE_OK);
    ck_assert_int_eq(offset, 0);
    ck_assert_int_eq(query(RMQ_QUERY_OFFSET_POLICY_TIMESTAMP, 33000000000, &offset), RMQ_CODE_OK);
    ck_assert_int_eq(offset, 5);
    ck_assert_int_eq(query(RMQ_QUERY_OFFSET_POLICY_TIMESTAMP, -1, &offset), RMQ_CODE_BAD_REQUEST);
    ck_assert_int_eq(query((rmq_query_offset_policy)9, -1, &offset), RMQ_CODE_BAD_REQUEST);
}
END_TEST

/* --- administration -------------------------------------------------------------------------- */

static struct sk_status create_topic(const char *name, int queues, rmq_message_type type,
                                     const skua_create_topic_response **response)
{
    skua_topic_config config = SKUA_TOPIC_CONFIG_INIT;
    config.name = text(name);
    config.read_queues = config.write_queues = queues;
    config.type = type;
    skua_create_topic_request request = SKUA_CREATE_TOPIC_REQUEST_INIT;
    request.topic = &config;
    return skua_broker_admin_create_topic_wait(h.channel, &options, &request, h.arena, response);
}

static const struct {
    const char *name;
    int queues, type;
    enum sk_code code;
    const char *words;
} creations[] = {
    {"fine", 4, 0, SK_OK, ""},
    {"ns%fine", 4, 1, SK_OK, ""},
    {"orders", 2, 0, SK_OK, ""},
    {"orders", 3, 0, SK_EXISTS, "2 read and 2 write queues"},
    {"", 1, 0, SK_INVALID, "blank"},
    {"a b", 1, 0, SK_INVALID, "0x20"},
    {"TBW102", 1, 0, SK_INVALID, "reserved"},
    {"many", 4097, 0, SK_INVALID, "4096"},
    {"few", -1, 0, SK_INVALID, "-1"},
    {"lite", 1, RMQ_MESSAGE_TYPE_LITE, SK_INVALID, "later"},
};

START_TEST(topics_are_created_by_rule)
{
    const skua_create_topic_response *response;
    struct sk_status status = create_topic(creations[_i].name, creations[_i].queues,
                                           (rmq_message_type)creations[_i].type, &response);
    ck_assert_msg(status.code == creations[_i].code, "%s: %s", creations[_i].name,
                  sk_status_text(&status));
    ck_assert_msg(strstr(sk_status_text(&status), creations[_i].words), "%s",
                  sk_status_text(&status));
    if (!sk_ok(status)) return;
    ck_assert_int_eq(response->created, strcmp(creations[_i].name, "orders") != 0);
    ck_assert_int_eq(response->topic->read_queues, creations[_i].queues);
    ck_assert_int_eq(response->topic->type, RMQ_MESSAGE_TYPE_NORMAL);
}
END_TEST

/* It is made in turns of 16,384 queues, and answered when the last is there. */
START_TEST(a_topic_of_very_many_queues_is_made_whole)
{
    enum { QUEUES = 40000 };
    harness_close(&h);
    static const char *const settings[] = {"max_queues=65536", NULL};
    harness_open(&h, settings);
    const skua_create_topic_response *response;
    ck_assert(sk_ok(create_topic("wide", QUEUES, RMQ_MESSAGE_TYPE_NORMAL, &response)));
    ck_assert(response->created);
    ck_assert_int_eq(response->topic->read_queues, QUEUES);
    ck_assert_int_eq(response->topic->write_queues, QUEUES);
    ck_assert(sk_ok(create_topic("wide", QUEUES, RMQ_MESSAGE_TYPE_NORMAL, &response)));
    ck_assert(!response->created);
    struct sk_status other = create_topic("wide", 16384, RMQ_MESSAGE_TYPE_NORMAL, &response);
    ck_assert_int_eq(other.code, SK_EXISTS);
    ck_assert_int_eq(harness_send(&h, "wide", "A", NULL, "b", NULL), RMQ_CODE_OK);
}
END_TEST

START_TEST(a_topic_is_described_listed_and_deleted)
{
    send_ten();
    skua_describe_topic_request describe = SKUA_DESCRIBE_TOPIC_REQUEST_INIT;
    describe.name = text("orders");
    const skua_describe_topic_response *described;
    ck_assert(sk_ok(skua_broker_admin_describe_topic_wait(h.channel, &options, &describe, h.arena,
                                                          &described)));
    ck_assert_uint_eq(described->n_queues, 2);
    ck_assert_int_eq(described->queues[1]->id, 1);
    ck_assert_int_eq(described->queues[1]->min_offset, 0);
    ck_assert_int_eq(described->queues[1]->max_offset, 5);
    ck_assert_str_eq(described->queues[1]->broker, "broker-a");

    skua_list_broker_topics_request list = SKUA_LIST_BROKER_TOPICS_REQUEST_INIT;
    const skua_list_broker_topics_response *listed;
    ck_assert(
        sk_ok(skua_broker_admin_list_topics_wait(h.channel, &options, &list, h.arena, &listed)));
    ck_assert_uint_eq(listed->n_topics, 1);

    skua_delete_topic_request delete = SKUA_DELETE_TOPIC_REQUEST_INIT;
    delete.name = text("orders");
    const skua_delete_topic_response *deleted;
    ck_assert(sk_ok(
        skua_broker_admin_delete_topic_wait(h.channel, &options, &delete, h.arena, &deleted)));
    struct sk_status again =
        skua_broker_admin_delete_topic_wait(h.channel, &options, &delete, h.arena, &deleted);
    ck_assert_int_eq(again.code, SK_NOT_FOUND);
    ck_assert_int_eq(harness_send(&h, "orders", "X", NULL, "b", NULL), RMQ_CODE_TOPIC_NOT_FOUND);

    harness_topic(&h, "orders", 1); /* a new topic of that name begins anew */
    int64_t offset = -1;
    ck_assert_int_eq(harness_send(&h, "orders", "X", NULL, "b", &offset), RMQ_CODE_OK);
    ck_assert_int_eq(offset, 0);
    harness_restart(&h);
    ck_assert_int_eq(harness_send(&h, "orders", "X", NULL, "b", &offset), RMQ_CODE_OK);
    ck_assert_int_eq(offset, 1);
}
END_TEST

START_TEST(a_group_is_described_and_deleted)
{
    send_ten();
    struct received r;
    struct receive_how how = {.topic = "orders", .group = "billing", .polling_ms = 100, .batch = 3};
    harness_receive(&h, &how, &r);
    ck_assert_uint_eq(r.count, 3);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", r.messages[0].handle), RMQ_CODE_OK);

    skua_describe_group_request describe = SKUA_DESCRIBE_GROUP_REQUEST_INIT;
    describe.name = text("billing");
    const skua_describe_group_response *described;
    ck_assert(sk_ok(skua_broker_admin_describe_group_wait(h.channel, &options, &describe, h.arena,
                                                          &described)));
    int64_t inflight = 0, lag = 0;
    for (size_t i = 0; i < described->n_queues; i++) {
        inflight += described->queues[i]->inflight;
        lag += described->queues[i]->lag;
    }
    ck_assert_int_eq(inflight, 2);
    ck_assert_int_ge(lag, 4);
    ck_assert_int_eq(described->group->max_attempts, 17);

    skua_delete_group_request delete = SKUA_DELETE_GROUP_REQUEST_INIT;
    delete.name = text("billing");
    const skua_delete_group_response *deleted;
    ck_assert(sk_ok(
        skua_broker_admin_delete_group_wait(h.channel, &options, &delete, h.arena, &deleted)));
    harness_receive(&h, &how, &r);
    ck_assert_int_eq(r.code, RMQ_CODE_CONSUMER_GROUP_NOT_FOUND);
    ck_assert_int_eq(
        skua_broker_admin_delete_group_wait(h.channel, &options, &delete, h.arena, &deleted).code,
        SK_NOT_FOUND);
}
END_TEST

START_TEST(topics_and_groups_make_themselves_if_they_may)
{
    harness_close(&h);
    static const char *const settings[] = {"auto_create_topics=true", "auto_create_groups=true",
                                           NULL};
    harness_open(&h, settings);
    rmq_resource topic = RMQ_RESOURCE_INIT;
    topic.name = text("fresh");
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    request.topic = &topic;
    const rmq_query_route_response *route;
    ck_assert(sk_ok(
        rmq_messaging_service_query_route_wait(h.channel, &options, &request, h.arena, &route)));
    ck_assert_int_eq(route->status->code, RMQ_CODE_OK);
    ck_assert_uint_eq(route->n_message_queues, 4);
    ck_assert_int_eq(harness_send(&h, "another", "A", NULL, "b", NULL), RMQ_CODE_OK);
    struct received r;
    struct receive_how how = {.topic = "another", .group = "fresh-group", .polling_ms = 100};
    harness_receive(&h, &how, &r);
    ck_assert_int_eq(r.code, RMQ_CODE_OK);
    ck_assert_uint_eq(r.count, 1); /* a new group sees the whole topic */
}
END_TEST

/* A receive that waited was told of the deletion, asked again, and made them anew. */
START_TEST(a_poll_does_not_undo_a_deletion)
{
    harness_close(&h);
    static const char *const settings[] = {"auto_create_topics=true", "auto_create_groups=true",
                                           NULL};
    harness_open(&h, settings);
    harness_topic(&h, "orders", 2);
    harness_group(&h, "billing");
    struct received r;
    struct receive_how how = {
        .topic = "orders", .group = "billing", .polling_ms = 20000, .timeout_ms = 25000};
    harness_pending *pending = harness_receive_begin(&h, &how, &r);
    harness_wait_for_polls(&h, 1);
    struct sk_status gone;
    if (_i == 0) {
        skua_delete_topic_request delete = SKUA_DELETE_TOPIC_REQUEST_INIT;
        delete.name = text("orders");
        const skua_delete_topic_response *deleted;
        gone = skua_broker_admin_delete_topic_wait(h.channel, &options, &delete, h.arena, &deleted);
    } else {
        skua_delete_group_request delete = SKUA_DELETE_GROUP_REQUEST_INIT;
        delete.name = text("billing");
        const skua_delete_group_response *deleted;
        gone = skua_broker_admin_delete_group_wait(h.channel, &options, &delete, h.arena, &deleted);
    }
    ck_assert(sk_ok(gone));
    harness_receive_end(pending);
    ck_assert_int_eq(r.code, _i ? RMQ_CODE_CONSUMER_GROUP_NOT_FOUND : RMQ_CODE_TOPIC_NOT_FOUND);
    skua_list_broker_topics_request list = SKUA_LIST_BROKER_TOPICS_REQUEST_INIT;
    const skua_list_broker_topics_response *topics;
    ck_assert(
        sk_ok(skua_broker_admin_list_topics_wait(h.channel, &options, &list, h.arena, &topics)));
    ck_assert_uint_eq(topics->n_topics, _i ? 1 : 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("services.broker.services");
    TCase *c = tcase_create("services");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, open_it, close_it);
    tcase_add_test(c, a_producer_is_told_its_settings);
    tcase_add_test(c, a_consumer_is_told_its_settings_and_is_listed);
    tcase_add_test(c, an_unknown_group_ends_the_stream);
    tcase_add_test(c, settings_that_do_not_fit_are_refused_and_the_stream_stays);
    tcase_add_test(c, telemetry_without_a_client_id_is_told_so);
    tcase_add_test(c, node_is_told_twice);
    tcase_add_test(c, a_stopping_broker_ends_telemetry);
    tcase_add_test(c, messages_are_pulled_by_offset);
    tcase_add_test(c, bad_pulls_are_refused);
    tcase_add_test(c, a_pull_walks_past_a_long_backlog);
    tcase_add_test(c, a_pull_with_little_time_ends_its_walk);
    tcase_add_test(c, a_pull_waits_at_the_end);
    tcase_add_test(c, offsets_are_kept);
    tcase_add_test(c, offsets_are_found);
    tcase_add_loop_test(c, topics_are_created_by_rule, 0, ROWS(creations));
    tcase_add_test(c, a_topic_of_very_many_queues_is_made_whole);
    tcase_add_test(c, a_topic_is_described_listed_and_deleted);
    tcase_add_test(c, a_group_is_described_and_deleted);
    tcase_add_test(c, topics_and_groups_make_themselves_if_they_may);
    tcase_add_loop_test(c, a_poll_does_not_undo_a_deletion, 0, 2);
    suite_add_tcase(suite, c);
    return suite;
}

SUITE_MAIN(make_suite)
