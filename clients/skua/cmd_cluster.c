/* cmd_cluster.c - skua route, skua cluster, skua version. */
#include <stdlib.h>
#include <string.h>

#include "output.h"

/* --- route ----------------------------------------------------------------------------- */

static const char *permission_name(unsigned p)
{
    static const char *const names[] = {"none", "read", "write", "read_write"};
    return names[p & 3];
}

static json_t *types_of(unsigned bits)
{
    static const struct {
        enum skua_message_type type;
        const char *name;
    } types[] = {{SKUA_NORMAL, "normal"},
                 {SKUA_FIFO, "fifo"},
                 {SKUA_DELAY, "delay"},
                 {SKUA_TRANSACTION, "transaction"}};
    json_t *array = json_array();
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (bits & (1u << types[i].type)) json_array_append_new(array, json_string(types[i].name));
    return array;
}

static int by_place(const void *a, const void *b)
{
    const struct skua_route_queue *x = a, *y = b;
    int order = strcmp(x->broker, y->broker);
    if (!order) order = (x->broker_id > y->broker_id) - (x->broker_id < y->broker_id);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

static void print_route(struct cli *cli, const struct skua_route_queue *queues, size_t count)
{
    static const char *const titles[] = {"BROKER", ">ID", "ADDRESS", ">QUEUE", "PERMISSION"};
    struct out_table table;
    out_table_begin(&table, cli, titles, 5);
    for (size_t i = 0; i < count; i++) {
        out_row(&table);
        out_cell(&table, "%s", queues[i].broker);
        out_cell(&table, "%d", queues[i].broker_id);
        out_cell(&table, "%s", queues[i].address);
        out_cell(&table, "%d", queues[i].id);
        out_cell(&table, "%s", permission_name(queues[i].permission));
    }
    out_table_end(&table, cli, true);
}

static json_t *route_json(const char *topic, const struct skua_route_queue *queues, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            array, json_pack("{s:i, s:s, s:i, s:s, s:s, s:o}", "id", (int)queues[i].id, "broker",
                             queues[i].broker, "broker_id", (int)queues[i].broker_id, "address",
                             queues[i].address, "permission", permission_name(queues[i].permission),
                             "types", types_of(queues[i].types)));
    return json_pack("{s:s, s:o}", "topic", topic, "queues", array);
}

int cmd_route(struct cli *cli)
{
    int exit = CLI_OK;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    struct skua_route_queue *queues = NULL;
    size_t count = 0;
    struct skua_status s = skua_client_route(client, cli->arguments[0], &queues, &count);
    if (s.code == SKUA_OK) {
        qsort(queues, count, sizeof *queues, by_place);
        if (cli->json)
            out_json(cli, route_json(cli->arguments[0], queues, count));
        else
            print_route(cli, queues, count);
    } else {
        exit = cli_fail(cli, s, NULL);
    }
    free(queues);
    skua_client_free(client);
    return exit;
}

/* --- cluster --------------------------------------------------------------------------- */

static const char *state_of(const struct skua_broker *b)
{
    return b->suspect ? "suspect" : b->reached ? "ok" : "unreachable";
}

static json_t *broker_json(const struct skua_broker *b)
{
    json_t *o =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:I}", "cluster", b->cluster, "broker",
                  b->name, "broker_id", (int)b->id, "address", b->address, "tls_address",
                  b->tls_address, "version", b->version, "state", state_of(b), "topics",
                  (int)b->topics, "silent_ms", (json_int_t)b->silent_ms);
    if (!b->reached) return o;
    json_t *more =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "flush", b->flush, "uptime_ms",
                  (json_int_t)b->uptime_ms, "log_bytes", (json_int_t)b->log_bytes, "log_tail",
                  (json_int_t)b->log_tail, "log_flushed", (json_int_t)b->log_flushed, "groups",
                  (json_int_t)b->groups, "clients", (json_int_t)b->clients, "waiting_receives",
                  (json_int_t)b->waiting_receives, "disk_used_percent", (int)b->disk_used_percent);
    json_object_update(o, more);
    json_decref(more);
    return o;
}

static void print_cluster(struct cli *cli, const struct skua_broker *brokers, size_t count)
{
    static const char *const titles[] = {"CLUSTER", "BROKER",  ">ID",     "ADDRESS",
                                         "STATE",   "VERSION", ">TOPICS", ">CLIENTS",
                                         ">LOG",    ">DISK",   "FLUSH"};
    struct out_table table;
    char bytes[32];
    out_table_begin(&table, cli, titles, 11);
    for (size_t i = 0; i < count; i++) {
        const struct skua_broker *b = &brokers[i];
        out_row(&table);
        out_cell(&table, "%s", b->cluster);
        out_cell(&table, "%s", b->name);
        out_cell(&table, "%d", b->id);
        out_cell(&table, "%s", b->address);
        out_cell(&table, "%s", state_of(b));
        out_cell(&table, "%s", b->version);
        out_cell(&table, "%d", b->topics);
        if (b->reached)
            out_cell(&table, "%llu", (unsigned long long)b->clients);
        else
            out_cell(&table, "-");
        out_cell(&table, "%s", b->reached ? out_bytes(b->log_bytes, bytes, sizeof bytes) : "-");
        if (b->reached)
            out_cell(&table, "%u%%", b->disk_used_percent);
        else
            out_cell(&table, "-");
        out_cell(&table, "%s", b->flush);
    }
    out_table_end(&table, cli, true);
}

int cmd_cluster(struct cli *cli)
{
    int exit = CLI_OK;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    struct skua_broker *brokers = NULL;
    size_t count = 0;
    struct skua_status s = skua_admin_brokers(client, &brokers, &count);
    if (s.code != SKUA_OK) {
        exit = cli_fail(cli, s, NULL);
    } else if (cli->json) {
        json_t *array = json_array();
        for (size_t i = 0; i < count; i++) json_array_append_new(array, broker_json(&brokers[i]));
        out_json(cli, json_pack("{s:o}", "brokers", array));
    } else {
        print_cluster(cli, brokers, count);
    }
    free(brokers);
    skua_client_free(client);
    return exit;
}

/* --- version --------------------------------------------------------------------------- */

int cmd_version(struct cli *cli)
{
    if (cli->json)
        out_json(cli, json_pack("{s:s, s:s}", "version", skua_version(), "protocol",
                                "apache.rocketmq.v2"));
    else
        fprintf(cli->out, "skua %s, speaks apache.rocketmq.v2\n", skua_version());
    return CLI_OK;
}
