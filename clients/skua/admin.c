/* admin.c - one administrative request to every broker that the flags leave. */
#include "admin.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

int admin_on_each(struct cli *cli, skua_client *client, unsigned flags, on_broker_fn *fn, void *arg)
{
    int exit = CLI_OK;
    struct targets targets;
    if (!admin_targets(cli, client, flags & BY_BROKER, flags & BY_CLUSTER, &targets, &exit))
        return exit;
    struct skua_status missing = {.code = SKUA_OK};
    size_t found = 0;
    for (size_t i = 0; i < targets.count && exit == CLI_OK; i++) {
        struct skua_status s = fn(arg, client, targets.brokers[i].name);
        if (s.code == SKUA_OK)
            found++;
        else if (s.code == SKUA_NOT_FOUND && !(flags & ON_ALL))
            missing = s;
        else
            exit = cli_fail(cli, s, NULL);
    }
    if (exit == CLI_OK && found == 0) exit = cli_fail(cli, missing, NULL);
    free(targets.brokers);
    return exit;
}

/* --- created --------------------------------------------------------------------------- */

void note_created(json_t *brokers, const char *broker, bool created)
{
    json_array_append_new(brokers,
                          json_pack("{s:s, s:b}", "broker", broker, "created", (int)created));
}

void print_created(struct cli *cli, const char *kind, json_t *object_take, json_t *brokers)
{
    if (cli->json) {
        json_object_set(object_take, "brokers", brokers);
        out_json(cli, object_take);
        return;
    }
    size_t i;
    json_t *b;
    json_array_foreach(brokers, i, b)
    {
        bool created = json_is_true(json_object_get(b, "created"));
        fprintf(cli->out, "%s %s %s on %s\n", kind,
                json_string_value(json_object_get(object_take, "name")),
                created ? "created" : "was there already",
                json_string_value(json_object_get(b, "broker")));
    }
    json_decref(object_take);
}

/* --- deleted --------------------------------------------------------------------------- */

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

struct deletion {
    delete_fn *fn;
    const char *name;
    json_t *brokers; /* their names */
};

static struct skua_status delete_on(void *arg, skua_client *client, const char *broker)
{
    struct deletion *d = arg;
    struct skua_status s = d->fn(client, broker, d->name);
    if (s.code == SKUA_OK) json_array_append_new(d->brokers, json_string(broker));
    return s;
}

static void print_deleted(struct cli *cli, const char *kind, json_t *brokers)
{
    if (cli->json) {
        out_json(cli, json_pack("{s:s, s:O}", "name", cli->arguments[0], "brokers", brokers));
        return;
    }
    for (size_t i = 0; i < json_array_size(brokers); i++)
        fprintf(cli->out, "%s %s deleted on %s\n", kind, cli->arguments[0],
                json_string_value(json_array_get(brokers, i)));
}

int delete_everywhere(struct cli *cli, const char *kind, delete_fn *fn)
{
    int exit = CLI_OK;
    if (!confirmed(cli, kind, &exit)) return exit;
    skua_client *client = out_connect(cli, &exit);
    if (!client) return exit;
    struct deletion d = {fn, cli->arguments[0], json_array()};
    exit = admin_on_each(cli, client, BY_BROKER | BY_CLUSTER, delete_on, &d);
    if (exit == CLI_OK) print_deleted(cli, kind, d.brokers);
    json_decref(d.brokers);
    skua_client_free(client);
    return exit;
}
