/* cmd_topic.c - skua topic create, list, describe, delete. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

/* --- which brokers --------------------------------------------------------------------- */

/* Of the flags --broker and --cluster, the primaries that they leave. */
static bool is_meant(struct cli *cli, const struct skua_broker *b, const char *cluster)
{
    const char *broker = cli_text(cli, "broker");
    if (b->id != 0) return false;
    if (broker && strcmp(b->name, broker) != 0) return false;
    return !cluster || strcmp(b->cluster, cluster) == 0;
}

bool admin_targets(struct cli *cli, skua_client *client, bool by_broker, bool by_cluster,
                   struct targets *out, int *exit)
{
    struct skua_broker *all;
    size_t count, kept = 0;
    struct skua_status s = skua_admin_brokers(client, &all, &count);
    if (s.code != SKUA_OK) {
        *exit = cli_fail(cli, s, NULL);
        return false;
    }
    const char *cluster = by_cluster ? cli_text(cli, "cluster") : NULL;
    for (size_t i = 0; i < count; i++) {
        bool meant = by_broker ? is_meant(cli, &all[i], cluster)
                               : all[i].id == 0 && (!cluster || !strcmp(all[i].cluster, cluster));
        if (meant) all[kept++] = all[i];
    }
    if (kept == 0) {
        const char *broker = by_broker ? cli_text(cli, "broker") : NULL;
        *exit =
            count && (broker || cluster)
                ? cli_error(cli, CLI_NOT_FOUND, "skua cluster shows the brokers and clusters",
                            "there is no broker%s%s%s%s", broker ? " " : "", broker ? broker : "",
                            cluster ? " in cluster " : "", cluster ? cluster : "")
                : cli_error(cli, CLI_UNAVAILABLE,
                            "start one with --namesrv pointing here, then look: skua cluster",
                            "no broker is registered with the name server");
        free(all);
        return false;
    }
    *out = (struct targets){all, kept};
    return true;
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

void print_created(struct cli *cli, const char *kind, json_t *object_take, json_t *brokers_take)
{
    if (cli->json) {
        json_object_set_new(object_take, "brokers", brokers_take);
        out_json(cli, object_take);
        return;
    }
    size_t i;
    json_t *b;
    json_array_foreach(brokers_take, i, b)
    {
        bool created = json_is_true(json_object_get(b, "created"));
        fprintf(cli->out, "%s %s %s on %s\n", kind,
                json_string_value(json_object_get(object_take, "name")),
                created ? "created" : "was there already",
                json_string_value(json_object_get(b, "broker")));
    }
    json_decref(brokers_take);
    json_decref(object_take);
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

int cmd_topic_create(struct cli *cli)
{
    int exit = CLI_OK;
    struct targets targets = {0};
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    json_t *brokers = json_array();
    struct skua_topic topic = {.type = type_of(cli_text(cli, "type")),
                               .queues = (int32_t)cli_number(cli, "queues")};
    snprintf(topic.name, sizeof topic.name, "%s", cli->arguments[0]);

    if (admin_targets(cli, client, true, true, &targets, &exit)) {
        for (size_t i = 0; i < targets.count && exit == CLI_OK; i++) {
            bool created = false;
            snprintf(topic.broker, sizeof topic.broker, "%s", targets.brokers[i].name);
            struct skua_status s = skua_admin_create_topic(client, &topic, &created);
            if (s.code != SKUA_OK)
                exit = cli_fail(cli, s, NULL);
            else
                json_array_append_new(brokers, json_pack("{s:s, s:b}", "broker", topic.broker,
                                                         "created", (int)created));
        }
    }
    if (exit == CLI_OK) {
        wait_until_routed(client, topic.name, targets.count);
        print_created(cli, "topic",
                      json_pack("{s:s, s:s, s:i}", "name", topic.name, "type",
                                type_name(topic.type), "queues", (int)topic.queues),
                      brokers);
    } else {
        json_decref(brokers);
    }
    free(targets.brokers);
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

int cmd_topic_describe(struct cli *cli)
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
            struct skua_topic t;
            struct skua_queue_range *queues = NULL;
            size_t count = 0;
            struct skua_status s = skua_admin_describe_topic(
                client, targets.brokers[i].name, cli->arguments[0], &t, &queues, &count);
            if (s.code == SKUA_OK) {
                add_description(object, &t, queues, count);
                found = true;
            } else if (s.code == SKUA_NOT_FOUND) {
                missing = s;
            } else {
                exit = cli_fail(cli, s, NULL);
            }
            free(queues);
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

/* --- delete ---------------------------------------------------------------------------- */

bool confirmed(struct cli *cli, const char *kind, int *exit)
{
    if (cli_has(cli, "yes")) return true;
    if (isatty(fileno(cli->in)) != 1 || isatty(fileno(cli->err)) != 1) {
        *exit = cli_error(cli, CLI_USAGE, "add --yes if you are sure",
                          "deleting %s %s cannot be undone, and there is no terminal to ask on",
                          kind, cli->arguments[0]);
        return false;
    }
    char answer[16] = "";
    fprintf(cli->err, "Delete %s %s? Type yes: ", kind, cli->arguments[0]);
    fflush(cli->err);
    if (!fgets(answer, sizeof answer, cli->in)) answer[0] = 0;
    answer[strcspn(answer, "\n")] = 0;
    if (strcmp(answer, "yes") == 0) return true;
    *exit = cli_error(cli, CLI_FAILURE, "type yes, or add --yes", "nothing was deleted");
    return false;
}

int delete_everywhere(struct cli *cli, const char *kind, delete_fn *fn)
{
    int exit = CLI_OK;
    struct targets targets = {0};
    if (!confirmed(cli, kind, &exit)) return exit;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    json_t *brokers = json_array();
    struct skua_status missing = {.code = SKUA_NOT_FOUND};

    if (admin_targets(cli, client, true, true, &targets, &exit)) {
        for (size_t i = 0; i < targets.count && exit == CLI_OK; i++) {
            struct skua_status s = fn(client, targets.brokers[i].name, cli->arguments[0]);
            if (s.code == SKUA_OK)
                json_array_append_new(brokers, json_string(targets.brokers[i].name));
            else if (s.code == SKUA_NOT_FOUND)
                missing = s;
            else
                exit = cli_fail(cli, s, NULL);
        }
        if (exit == CLI_OK && json_array_size(brokers) == 0) exit = cli_fail(cli, missing, NULL);
    }
    if (exit == CLI_OK && cli->json)
        out_json(cli, json_pack("{s:s, s:O}", "name", cli->arguments[0], "brokers", brokers));
    for (size_t i = 0; exit == CLI_OK && !cli->json && i < json_array_size(brokers); i++)
        fprintf(cli->out, "%s %s deleted on %s\n", kind, cli->arguments[0],
                json_string_value(json_array_get(brokers, i)));
    json_decref(brokers);
    free(targets.brokers);
    skua_client_free(client);
    return exit;
}

int cmd_topic_delete(struct cli *cli)
{
    return delete_everywhere(cli, "topic", skua_admin_delete_topic);
}
