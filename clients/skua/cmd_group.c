/* cmd_group.c - skua group create, list, describe, delete. */
#include <stdlib.h>
#include <string.h>

#include "admin.h"

struct creation {
    struct skua_group group;
    json_t *brokers; /* what note_created writes */
};

static struct skua_status create_on(void *arg, skua_client *client, const char *broker)
{
    struct creation *c = arg;
    bool created = false;
    snprintf(c->group.broker, sizeof c->group.broker, "%s", broker);
    struct skua_status s = skua_admin_create_group(client, &c->group, &created);
    if (s.code == SKUA_OK) note_created(c->brokers, broker, created);
    return s;
}

int cmd_group_create(struct cli *cli)
{
    int exit = CLI_OK;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    struct creation c = {.group = {.max_attempts = (int32_t)cli_number(cli, "max-attempts"),
                                   .orderly = cli_has(cli, "orderly")},
                         .brokers = json_array()};
    snprintf(c.group.name, sizeof c.group.name, "%s", cli->arguments[0]);
    exit = admin_on_each(cli, client, BY_BROKER | BY_CLUSTER | ON_ALL, create_on, &c);
    if (exit == CLI_OK)
        print_created(cli, "group",
                      json_pack("{s:s, s:i, s:b}", "name", c.group.name, "max_attempts",
                                (int)c.group.max_attempts, "orderly", (int)c.group.orderly),
                      c.brokers);
    json_decref(c.brokers);
    skua_client_free(client);
    return exit;
}

/* --- list ------------------------------------------------------------------------------ */

/* Merge one broker's groups into `groups`: {name: {…, brokers: []}}. */
static void merge_groups(json_t *groups, const struct skua_group *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *g = json_object_get(groups, list[i].name);
        if (!g) {
            g = json_pack("{s:s, s:i, s:b, s:[]}", "name", list[i].name, "max_attempts",
                          (int)list[i].max_attempts, "orderly", (int)list[i].orderly, "brokers");
            json_object_set_new(groups, list[i].name, g);
        }
        json_array_append_new(json_object_get(g, "brokers"), json_string(list[i].broker));
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* {name: object} as an array in order of name. */
static json_t *sorted(json_t *objects)
{
    size_t count = json_object_size(objects), i = 0;
    const char **names = calloc(count + 1, sizeof *names), *name;
    json_t *array = json_array(), *value;
    json_object_foreach(objects, name, value) names[i++] = name;
    qsort(names, count, sizeof *names, by_name);
    for (i = 0; i < count; i++) json_array_append(array, json_object_get(objects, names[i]));
    free(names);
    return array;
}

static void print_groups(struct cli *cli, json_t *array)
{
    static const char *const titles[] = {"GROUP", ">MAX ATTEMPTS", "ORDERLY", "BROKERS"};
    struct out_table table;
    size_t i;
    json_t *g;
    out_table_begin(&table, cli, titles, 4);
    json_array_foreach(array, i, g)
    {
        char names[1024] = "";
        json_t *brokers = json_object_get(g, "brokers");
        for (size_t b = 0; b < json_array_size(brokers); b++) {
            size_t n = strlen(names);
            snprintf(names + n, sizeof names - n, "%s%s", n ? "," : "",
                     json_string_value(json_array_get(brokers, b)));
        }
        out_row(&table);
        out_cell(&table, "%s", json_string_value(json_object_get(g, "name")));
        out_cell(&table, "%d", (int)json_integer_value(json_object_get(g, "max_attempts")));
        out_cell(&table, "%s", json_is_true(json_object_get(g, "orderly")) ? "yes" : "no");
        out_cell(&table, "%s", names);
    }
    out_table_end(&table, cli, true);
}

static struct skua_status list_on(void *arg, skua_client *client, const char *broker)
{
    json_t *groups = arg;
    struct skua_group *list = NULL;
    size_t count = 0;
    struct skua_status s = skua_admin_groups(client, broker, &list, &count);
    if (s.code == SKUA_OK) merge_groups(groups, list, count);
    free(list);
    return s;
}

int cmd_group_list(struct cli *cli)
{
    int exit = CLI_OK;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    json_t *groups = json_object();
    exit = admin_on_each(cli, client, BY_CLUSTER | ON_ALL, list_on, groups);
    if (exit == CLI_OK) {
        json_t *array = sorted(groups);
        if (cli->json)
            out_json(cli, json_pack("{s:O}", "groups", array));
        else
            print_groups(cli, array);
        json_decref(array);
    }
    json_decref(groups);
    skua_client_free(client);
    return exit;
}

/* --- describe -------------------------------------------------------------------------- */

struct description {
    struct skua_group group;
    struct skua_group_queue *queues;
    size_t queue_count;
    struct skua_group_client *clients;
    size_t client_count;
};

static void add_description(json_t *object, const struct description *d)
{
    if (!json_object_get(object, "queues")) {
        json_object_set_new(object, "max_attempts", json_integer(d->group.max_attempts));
        json_object_set_new(object, "orderly", json_boolean(d->group.orderly));
        json_object_set_new(object, "lag", json_integer(0));
        json_object_set_new(object, "queues", json_array());
        json_object_set_new(object, "clients", json_array());
    }
    json_int_t lag = json_integer_value(json_object_get(object, "lag"));
    for (size_t i = 0; i < d->queue_count; i++) {
        const struct skua_group_queue *q = &d->queues[i];
        lag += q->lag;
        json_array_append_new(json_object_get(object, "queues"),
                              json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:I}", "topic",
                                        q->topic, "id", (int)q->id, "broker", d->group.broker,
                                        "min_offset", (json_int_t)q->min_offset, "max_offset",
                                        (json_int_t)q->max_offset, "committed_offset",
                                        (json_int_t)q->committed_offset, "inflight",
                                        (json_int_t)q->inflight, "lag", (json_int_t)q->lag));
    }
    json_object_set_new(object, "lag", json_integer(lag));
    for (size_t i = 0; i < d->client_count; i++) {
        const struct skua_group_client *c = &d->clients[i];
        json_array_append_new(json_object_get(object, "clients"),
                              json_pack("{s:s, s:s, s:s, s:s, s:s}", "client_id", c->client_id,
                                        "language", c->language, "version", c->version, "address",
                                        c->address, "broker", d->group.broker));
    }
}

static void print_queues(struct cli *cli, json_t *queues)
{
    static const char *const titles[] = {"TOPIC",       "BROKER",     ">QUEUE",     ">MIN OFFSET",
                                         ">MAX OFFSET", ">COMMITTED", ">IN FLIGHT", ">LAG"};
    static const char *const numbers[] = {
        "id", "min_offset", "max_offset", "committed_offset", "inflight", "lag"};
    struct out_table table;
    size_t i;
    json_t *q;
    out_table_begin(&table, cli, titles, 8);
    json_array_foreach(queues, i, q)
    {
        out_row(&table);
        out_cell(&table, "%s", json_string_value(json_object_get(q, "topic")));
        out_cell(&table, "%s", json_string_value(json_object_get(q, "broker")));
        for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++)
            out_cell(&table, "%lld", (long long)json_integer_value(json_object_get(q, numbers[n])));
    }
    out_table_end(&table, cli, true);
}

static void print_clients(struct cli *cli, json_t *clients)
{
    static const char *const titles[] = {"CLIENT", "LANGUAGE", "VERSION", "ADDRESS", "BROKER"};
    static const char *const keys[] = {"client_id", "language", "version", "address", "broker"};
    struct out_table table;
    size_t i;
    json_t *c;
    if (json_array_size(clients) == 0) return;
    fputc('\n', cli->out);
    out_table_begin(&table, cli, titles, 5);
    json_array_foreach(clients, i, c)
    {
        out_row(&table);
        for (size_t k = 0; k < 5; k++)
            out_cell(&table, "%s", json_string_value(json_object_get(c, keys[k])));
    }
    out_table_end(&table, cli, true);
}

static void print_description(struct cli *cli, json_t *o)
{
    fprintf(cli->out, "group %s, at most %d attempts%s, lag %lld\n\n",
            json_string_value(json_object_get(o, "name")),
            (int)json_integer_value(json_object_get(o, "max_attempts")),
            json_is_true(json_object_get(o, "orderly")) ? ", orderly" : "",
            (long long)json_integer_value(json_object_get(o, "lag")));
    print_queues(cli, json_object_get(o, "queues"));
    print_clients(cli, json_object_get(o, "clients"));
}

struct describe {
    const char *group;
    json_t *object;
};

static struct skua_status describe_on(void *arg, skua_client *client, const char *broker)
{
    struct describe *context = arg;
    struct description d = {0};
    struct skua_status s =
        skua_admin_describe_group(client, broker, context->group, &d.group, &d.queues,
                                  &d.queue_count, &d.clients, &d.client_count);
    if (s.code == SKUA_OK) add_description(context->object, &d);
    free(d.queues);
    free(d.clients);
    return s;
}

int cmd_group_describe(struct cli *cli)
{
    int exit = CLI_OK;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    struct describe d = {cli->arguments[0], json_pack("{s:s}", "name", cli->arguments[0])};
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

int cmd_group_delete(struct cli *cli)
{
    return delete_everywhere(cli, "group", skua_admin_delete_group);
}
