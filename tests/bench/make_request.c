/* make_request.c - serialized requests on stdout, for the load generators.
 *
 *   bench-make-request send TOPIC BATCH BODY_BYTES > send.bin
 *   bench-make-request receive TOPIC GROUP BATCH > receive.bin
 *   bench-make-request ack TOPIC GROUP > ack.bin             entries are appended by bench-consume
 *   bench-make-request settings TOPIC GROUP > settings.bin   a simple consumer's TelemetryCommand
 *
 * What an official client sends: a message has a topic, a message id, a tag, a key, two user
 * properties, born time and host, and a body of random (incompressible) bytes; bodies of at least
 * 16 bytes begin with "bodymark" and 8 bytes of room for a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "apache/rocketmq/v2/service.alias.h"
#include "base/memory.h"

static char *text(const char *constant)
{
    return sk_strdup(constant);
}

static void add_property(rmq_message *message, int i, const char *key, const char *value)
{
    static rmq_message_user_properties_entry entries[2];
    rmq_message_user_properties_entry_init(&entries[i]);
    entries[i].key = text(key);
    entries[i].value = text(value);
    if (!message->user_properties) message->user_properties = sk_zalloc(2, sizeof(void *));
    message->user_properties[i] = &entries[i];
    message->n_user_properties = (size_t)i + 1;
}

static rmq_message *message_new(const char *topic_name, int number, size_t body_bytes)
{
    rmq_message *m = sk_alloc(sizeof *m);
    rmq_message_init(m);
    m->topic = sk_alloc(sizeof *m->topic);
    rmq_resource_init(m->topic);
    m->topic->name = text(topic_name);

    rmq_system_properties *p = sk_alloc(sizeof *p);
    rmq_system_properties_init(p);
    p->message_id = sk_asprintf("0156F7E71C361B21BC024CCDBE%08X", (unsigned)number);
    rmq_system_properties_set_tag(p, text("tag-a"));
    p->keys = sk_zalloc(1, sizeof(char *));
    p->keys[0] = text("order-4711");
    p->n_keys = 1;
    p->message_type = RMQ_MESSAGE_TYPE_NORMAL;
    p->body_encoding = RMQ_ENCODING_IDENTITY;
    p->born_host = text("bench.example");
    p->born_timestamp = sk_alloc(sizeof *p->born_timestamp);
    pb_timestamp_init(p->born_timestamp);
    p->born_timestamp->seconds = 1760000000;
    m->system_properties = p;

    add_property(m, 0, "region", "north");
    add_property(m, 1, "customer", "00042");
    m->body.len = body_bytes;
    m->body.data = sk_alloc(body_bytes);
    if (getrandom(m->body.data, body_bytes > 256 ? 256 : body_bytes, 0) < 0) exit(1);
    for (size_t i = 256; i < body_bytes; i++)
        m->body.data[i] = (uint8_t)(m->body.data[i - 256] * 31u + i);
    if (body_bytes >= 16) memcpy(m->body.data, "bodymark\0\0\0\0\0\0\0\0", 16);
    return m;
}

static int put(const ProtobufCMessage *request)
{
    uint8_t *bytes = sk_alloc(protobuf_c_message_get_packed_size(request));
    size_t len = protobuf_c_message_pack(request, bytes);
    return fwrite(bytes, 1, len, stdout) == len ? 0 : 1;
}

static int put_send(const char *topic, int batch, size_t body_bytes)
{
    rmq_send_message_request request = RMQ_SEND_MESSAGE_REQUEST_INIT;
    request.messages = sk_zalloc((size_t)batch, sizeof(void *));
    request.n_messages = (size_t)batch;
    for (int i = 0; i < batch; i++) request.messages[i] = message_new(topic, i, body_bytes);
    return put(&request.base);
}

static rmq_filter_expression everything(void)
{
    rmq_filter_expression filter = RMQ_FILTER_EXPRESSION_INIT;
    filter.type = RMQ_FILTER_TYPE_TAG;
    filter.expression = text("*");
    return filter;
}

static int put_receive(rmq_resource *topic, rmq_resource *group, int batch)
{
    rmq_message_queue queue = RMQ_MESSAGE_QUEUE_INIT;
    rmq_broker broker = RMQ_BROKER_INIT;
    rmq_filter_expression filter = everything();
    pb_duration invisible = PB_DURATION_INIT, polling = PB_DURATION_INIT;
    rmq_receive_message_request request = RMQ_RECEIVE_MESSAGE_REQUEST_INIT;
    queue.topic = topic;
    queue.id = -1; /* any */
    broker.name = text("broker-a");
    queue.broker = &broker;
    invisible.seconds = 60;
    polling.seconds = 20;
    request.group = group;
    request.message_queue = &queue;
    request.filter_expression = &filter;
    request.batch_size = batch;
    rmq_receive_message_request_set_invisible_duration(&request, &invisible);
    rmq_receive_message_request_set_long_polling_timeout(&request, &polling);
    return put(&request.base);
}

static int put_ack(rmq_resource *topic, rmq_resource *group)
{
    rmq_ack_message_request request = RMQ_ACK_MESSAGE_REQUEST_INIT;
    request.topic = topic;
    request.group = group;
    return put(&request.base);
}

static int put_settings(rmq_resource *topic, rmq_resource *group)
{
    rmq_filter_expression filter = everything();
    rmq_subscription_entry entry = RMQ_SUBSCRIPTION_ENTRY_INIT, *entries[] = {&entry};
    rmq_subscription subscription = RMQ_SUBSCRIPTION_INIT;
    rmq_ua agent = RMQ_UA_INIT;
    rmq_settings settings = RMQ_SETTINGS_INIT;
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    pb_duration polling = PB_DURATION_INIT;
    polling.seconds = 20;
    entry.topic = topic;
    entry.expression = &filter;
    rmq_subscription_set_group(&subscription, group);
    rmq_subscription_set_long_polling_timeout(&subscription, &polling);
    subscription.n_subscriptions = 1;
    subscription.subscriptions = entries;
    agent.language = RMQ_LANGUAGE_CPP;
    agent.version = text("5.0.8");
    agent.platform = text("bench");
    agent.hostname = text("bench.example");
    rmq_settings_set_client_type(&settings, RMQ_CLIENT_TYPE_SIMPLE_CONSUMER);
    rmq_settings_set_subscription(&settings, &subscription);
    settings.user_agent = &agent;
    rmq_telemetry_command_set_settings(&command, &settings);
    return put(&command.base);
}

int main(int argc, char **argv)
{
    const char *what = argc > 3 ? argv[1] : "";
    rmq_resource topic = RMQ_RESOURCE_INIT, group = RMQ_RESOURCE_INIT;
    if (argc > 3) {
        topic.name = argv[2];
        group.name = argv[3];
    }
    if (argc == 5 && strcmp(what, "send") == 0)
        return put_send(argv[2], atoi(argv[3]), (size_t)atoi(argv[4]));
    if (argc == 5 && strcmp(what, "receive") == 0)
        return put_receive(&topic, &group, atoi(argv[4]));
    if (argc == 4 && strcmp(what, "ack") == 0) return put_ack(&topic, &group);
    if (argc == 4 && strcmp(what, "settings") == 0) return put_settings(&topic, &group);
    fprintf(stderr, "bench-make-request: the comment in tests/bench/make_request.c says how\n");
    return 2;
}
