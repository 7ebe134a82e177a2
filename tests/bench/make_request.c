/* make_request.c - a serialized SendMessageRequest on stdout, for the load generator.
 *
 *   make_request TOPIC BATCH BODY_BYTES > request.bin
 *
 * What an official client sends: a topic, a message id, a tag, a key, two user properties, born
 * time and host, and a body of random (incompressible) bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "apache/rocketmq/v2/service.alias.h"
#include "base/memory.h"

static char *text(const char *constant) { return sk_strdup(constant); }

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
    return m;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: make_request TOPIC BATCH BODY_BYTES\n");
        return 2;
    }
    int batch = atoi(argv[2]);
    rmq_send_message_request request = RMQ_SEND_MESSAGE_REQUEST_INIT;
    request.messages = sk_zalloc((size_t)batch, sizeof(void *));
    request.n_messages = (size_t)batch;
    for (int i = 0; i < batch; i++)
        request.messages[i] = message_new(argv[1], i, (size_t)atoi(argv[3]));

    uint8_t *packed = sk_alloc(rmq_send_message_request_packed_size(&request));
    size_t len = rmq_send_message_request_pack(&request, packed);
    return fwrite(packed, 1, len, stdout) == len ? 0 : 1;
}
