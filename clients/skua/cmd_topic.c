/* cmd_topic.c - skua topic create, list, describe, delete. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin.h"

const char *type_name(enum skua_message_type type)
{
    switch (type) {
    case SKUA_NORMAL:
        return "normal";
    case SKUA_FIFO:
        return "fifo";
    case SKUA_DELAY:
        return "delay";
    case SKUA_TRANSACTION:
        return "transaction";
    case SKUA_MIXED:
        return "mixed";
    }
    return "unknown";
}

static const char *permission_name(unsigned p)
{
    static const char *const names[] = {"none", "read", "write", "read_write"};
    return names[p & 3];
}

/* --- create ---------------------------------------------------------------------------- */

static enum skua_message_type type_of(const char *name)
{
    static const enum skua_message_type types[] = {SKUA_NORMAL, SKUA_FIFO, SKUA_DELAY,
                                                   SKUA_TRANSACTION, SKUA_MIXED};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(type_name(types[i]), name) == 0) return types[i];
    return SKUA_NORMAL;
}

enum { KNOWN_TRIES = 100, KNOWN_PAUSE_MS = 30 };

/* Brokers tell the name servers at once, but not before they answer us: wait until clients can
 * find the topic, so that what a script does next works. */
void wait_until_routed(skua_client *client, const char *topic, size_t brokers)
{
    for (int i = 0; i < KNOWN_TRIES; i++) {
        struct skua_route_queue *queues = NULL;
        size_t count = 0, first_queues = 0;
        struct skua_status s = skua_client_route(client, topic, &queues, &count);
        for (size_t q = 0; s.code == SKUA_OK && q < count; q++)
            if (queues[q].id == 0 && queues[q].broker_id == 0) first_queues++;
        free(queues);
        if (first_queues >= brokers) return;
        struct timespec pause = {0, KNOWN_PAUSE_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
}

struct creation {
    struct skua_topic topic;
    json_t *brokers; /* what note_created writes */
};

static struct skua_status create_on(void *arg, skua_client *client, const char *broker)
{
    struct creation *c = arg;
    bool created = false;
    snprintf(c->topic.broker, sizeof c->topic.broker, "%s", broker);
    struct skua_status s = skua_admin_create_topic(client, &c->topic, &created);
    if (s.code == SKUA_OK) note_created(c->brokers, broker, created);
    return s;
}

int cmd_topic_create(struct cli *cli)
{
    int exit = CLI_OK;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    struct creation c = {.topic = {.type = type_of(cli_text(cli, "type")),
                                   .queues = (int32_t)cli_number(cli, "queues")},
                         .brokers = json_array()};
    snprintf(c.topic.name, sizeof c.topic.name, "%s", cli->arguments[0]);
    exit = admin_on_each(cli, client, BY_BROKER | BY_CLUSTER | ON_ALL, create_on, &c);
    if (exit == CLI_OK) {
        wait_until_routed(client, c.topic.name, json_array_size(c.brokers));
        print_created(cli, "topic",
                      json_pack("{s:s, s:s, s:i}", "name", c.topic.name, "type",
                                type_name(c.topic.type), "queues", (int)c.topic.queues),
                      c.brokers);
    }
    json_decref(c.brokers);
    skua_client_free(client);
    return exit;
}

/* --- list ------------------------------------------------------------------------------ */

static void print_topics(struct cli *cli, const struct skua_topic *topics, size_t count)
{
    static const char *const titles[] = {"TOPIC", "TYPE", ">QUEUES", "BROKERS"};
    struct out_table table;
    json_t *array = json_array();
    if (!cli->json) out_table_begin(&table, cli, titles, 4);
    for (size_t i = 0; i < count;) {
        char names[1024] = "";
        json_t *brokers = json_array();
        size_t first = i;
        for (; i < count && strcmp(topics[i].name, topics[first].name) == 0; i++) {
            size_t n = strlen(names);
            snprintf(names + n, sizeof names - n, "%s%s", n ? "," : "", topics[i].broker);
            json_array_append_new(brokers, json_string(topics[i].broker));
        }
        if (!cli->json) {
            out_row(&table);
            out_cell(&table, "%s", topics[first].name);
            out_cell(&table, "%s", type_name(topics[first].type));
            out_cell(&table, "%d", topics[first].queues);
            out_cell(&table, "%s", names);
        }
        json_array_append_new(array, json_pack("{s:s, s:s, s:i, s:o}", "name", topics[first].name,
                                               "type", type_name(topics[first].type), "queues",
                                               (int)topics[first].queues, "brokers", brokers));
    }
    if (cli->json)
        out_json(cli, json_pack("{s:O}", "topics", array));
    else
        out_table_end(&table, cli, true);
    json_decref(array);
}

int cmd_topic_list(struct cli *cli)
{
    int exit = CLI_OK;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    struct skua_topic *topics = NULL;
    size_t count = 0;
    struct skua_status s = skua_admin_topics(client, cli_text(cli, "cluster"), &topics, &count);
    if (s.code == SKUA_OK)
        print_topics(cli, topics, count);
    else
        exit = cli_fail(cli, s, NULL);
    free(topics);
    skua_client_free(client);
    return exit;
}

/* --- describe -------------------------------------------------------------------------- */

/* Add one broker's part to `object` (its settings come from the first). */
static void add_description(json_t *object, const struct skua_topic *t,
                            const struct skua_queue_range *queues, size_t count)
{
    if (!json_object_get(object, "type")) {
        json_object_set_new(object, "type", json_string(type_name(t->type)));
        json_object_set_new(object, "permission", json_string(permission_name(t->permission)));
        json_object_set_new(object, "queues", json_array());
    }
    for (size_t i = 0; i < count; i++)
        json_array_append_new(json_object_get(object, "queues"),
                              json_pack("{s:i, s:s, s:I, s:I}", "id", (int)queues[i].id, "broker",
                                        t->broker, "min_offset", (json_int_t)queues[i].min_offset,
                                        "max_offset", (json_int_t)queues[i].max_offset));
}

static void print_description(struct cli *cli, json_t *object)
{
    static const char *const titles[] = {"BROKER", ">QUEUE", ">MIN OFFSET", ">MAX OFFSET",
                                         ">MESSAGES"};
    struct out_table table;
    size_t i;
    json_t *q;
    fprintf(cli->out, "topic %s, %s, %s\n\n", json_string_value(json_object_get(object, "name")),
            json_string_value(json_object_get(object, "type")),
            json_string_value(json_object_get(object, "permission")));
    out_table_begin(&table, cli, titles, 5);
    json_array_foreach(json_object_get(object, "queues"), i, q)
    {
        json_int_t min = json_integer_value(json_object_get(q, "min_offset"));
        json_int_t max = json_integer_value(json_object_get(q, "max_offset"));
        out_row(&table);
        out_cell(&table, "%s", json_string_value(json_object_get(q, "broker")));
        out_cell(&table, "%lld", (long long)json_integer_value(json_object_get(q, "id")));
        out_cell(&table, "%lld", (long long)min);
        out_cell(&table, "%lld", (long long)max);
        out_cell(&table, "%lld", (long long)(max - min));
    }
    out_table_end(&table, cli, true);
}

struct description {
    const char *topic;
    json_t *object;
};

static struct skua_status describe_on(void *arg, skua_client *client, const char *broker)
{
    struct description *d = arg;
    struct skua_topic topic;
    struct skua_queue_range *queues = NULL;
    size_t count = 0;
    struct skua_status s =
        skua_admin_describe_topic(client, broker, d->topic, &topic, &queues, &count);
    if (s.code == SKUA_OK) add_description(d->object, &topic, queues, count);
    free(queues);
    return s;
}

int cmd_topic_describe(struct cli *cli)
{
    int exit = CLI_OK;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    struct description d = {cli->arguments[0], json_pack("{s:s}", "name", cli->arguments[0])};
    exit = admin_on_each(cli, client, BY_BROKER, describe_on, &d);
    if (exit == CLI_OK && cli->json)
        out_json(cli, json_incref(d.object));
    else if (exit == CLI_OK)
        print_description(cli, d.object);
    json_decref(d.object);
    skua_client_free(client);
    return exit;
}

/* --- delete ---------------------------------------------------------------------------- */

int cmd_topic_delete(struct cli *cli)
{
    return delete_everywhere(cli, "topic", skua_admin_delete_topic);
}
