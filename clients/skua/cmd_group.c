/* cmd_group.c - skua group create, list, describe, delete. */
#include <stdlib.h>
#include <string.h>

#include "admin.h"

int cmd_group_create(struct cli *cli)
{
    int exit = CLI_OK;
    struct targets targets = {0};
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    json_t *brokers = json_array();
    struct skua_group group = {.max_attempts = (int32_t)cli_number(cli, "max-attempts"),
                               .orderly = cli_has(cli, "orderly")};
    snprintf(group.name, sizeof group.name, "%s", cli->arguments[0]);

    if (admin_targets(cli, client, true, true, &targets, &exit)) {
        for (size_t i = 0; i < targets.count && exit == CLI_OK; i++) {
            bool created = false;
            snprintf(group.broker, sizeof group.broker, "%s", targets.brokers[i].name);
            struct skua_status s = skua_admin_create_group(client, &group, &created);
            if (s.code != SKUA_OK)
                exit = cli_fail(cli, s, NULL);
            else
                json_array_append_new(brokers, json_pack("{s:s, s:b}", "broker", group.broker,
                                                         "created", (int)created));
        }
    }
    if (exit == CLI_OK)
        print_created(cli, "group",
                      json_pack("{s:s, s:i, s:b}", "name", group.name, "max_attempts",
                                (int)group.max_attempts, "orderly", (int)group.orderly),
                      brokers);
    else
        json_decref(brokers);
    free(targets.brokers);
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

int cmd_group_list(struct cli *cli)
{
    int exit = CLI_OK;
    struct targets targets = {0};
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    json_t *groups = json_object();
    if (admin_targets(cli, client, false, true, &targets, &exit)) {
        for (size_t i = 0; i < targets.count && exit == CLI_OK; i++) {
            struct skua_group *list = NULL;
            size_t count = 0;
            struct skua_status s =
                skua_admin_groups(client, targets.brokers[i].name, &list, &count);
            if (s.code == SKUA_OK)
                merge_groups(groups, list, count);
            else
                exit = cli_fail(cli, s, NULL);
            free(list);
        }
    }
    if (exit == CLI_OK) {
        json_t *array = sorted(groups);
        if (cli->json)
            out_json(cli, json_pack("{s:O}", "groups", array));
        else
            print_groups(cli, array);
        json_decref(array);
    }
    json_decref(groups);
    free(targets.brokers);
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

int cmd_group_describe(struct cli *cli)
{
    int exit = CLI_OK;
    struct targets targets = {0};
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    json_t *object = json_pack("{s:s}", "name", cli->arguments[0]);
    struct skua_status missing = {.code = SKUA_OK};
    bool found = false;

    if (admin_targets(cli, client, true, false, &targets, &exit)) {
        for (size_t i = 0; i < targets.count && exit == CLI_OK; i++) {
            struct description d = {0};
            struct skua_status s = skua_admin_describe_group(
                client, targets.brokers[i].name, cli->arguments[0], &d.group, &d.queues,
                &d.queue_count, &d.clients, &d.client_count);
            if (s.code == SKUA_OK) {
                add_description(object, &d);
                found = true;
            } else if (s.code == SKUA_NOT_FOUND) {
                missing = s;
            } else {
                exit = cli_fail(cli, s, NULL);
            }
            free(d.queues);
            free(d.clients);
        }
        if (exit == CLI_OK && !found) exit = cli_fail(cli, missing, NULL);
    }
    if (exit == CLI_OK && cli->json)
        out_json(cli, json_incref(object));
    else if (exit == CLI_OK)
        print_description(cli, object);
    json_decref(object);
    free(targets.brokers);
    skua_client_free(client);
    return exit;
}

int cmd_group_delete(struct cli *cli)
{
    return delete_everywhere(cli, "group", skua_admin_delete_group);
}
