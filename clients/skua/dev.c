/* dev.c - skua dev: a name server and a broker behind one listener.
 *
 *      settings ─► route table ─► name server ─► log, state: broker ─► server
 *
 * Each line of serve() may use only the lines above it; scope exit takes them
 * down in the opposite order. The broker registers with the name server over
 * the listener, as any broker does: what is tried here is what runs elsewhere. */
#include "dev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "namesrv/namesrv.h"
#include "output.h"
#include "service/boot.h"

/* --- settings -------------------------------------------------------------------------- */

/* "~/.local/share/skua/dev", made with its parents. */
static char *default_data(void)
{
    const char *share = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (share && *share) return sk_asprintf("%s/skua/dev", share);
    return home && *home ? sk_asprintf("%s/.local/share/skua/dev", home) : sk_strdup("skua-dev");
}

static struct sk_status make_directories(const char *path)
{
    char *copy = sk_strdup(path);
    struct sk_status s = SK_SUCCESS;
    for (char *at = copy + 1; sk_ok(s); at++) {
        if (*at && *at != '/') continue;
        char kept = *at;
        *at = 0;
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            s = sk_errno(errno, "make directory %s", copy);
        *at = kept;
        if (!kept) break;
    }
    free(copy);
    return s;
}

/* Can a listener have this port of 127.0.0.1? */
static bool is_free(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool free_port = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return free_port;
}

/* One port above the plaintext one; any free one if that is taken, or if port 0 was asked for. */
static void default_tls(const char *listen, char out[288])
{
    char host[256];
    int port = 0;
    if (!sk_address_split(listen, host, &port)) return;
    int above = port > 0 && port < 65535 && is_free(port + 1) ? port + 1 : 0;
    sk_address_join(host, above, out);
}

struct setting {
    const char *name, *value;
};

/* What is different from a broker of its own; --set comes after and wins. */
static struct sk_status load(struct cli *cli, sk_config *config, const char *data)
{
    char tls[288] = "";
    const char *asked_tls = cli_text(cli, "listen-tls");
    if (!asked_tls)
        default_tls(cli_text(cli, "listen"), tls);
    else if (strcmp(asked_tls, "off") != 0)
        snprintf(tls, sizeof tls, "%s", asked_tls);

    const struct setting settings[] = {
        {"name", "dev"},
        {"cluster", "dev"},
        {"auto_create_topics", "true"},
        {"auto_create_groups", "true"},
        {"log_level", "warn"},
        {"listen", cli_text(cli, "listen")},
        {"listen_tls", tls},
        {"data", data},
        {"flush", cli_text(cli, "flush")},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        SK_TRY(sk_config_set(config, settings[i].name, settings[i].value, SK_FROM_FLAG));

    const struct cli_values *sets = cli_all(cli, "set");
    for (size_t i = 0; i < sets->count; i++) {
        const char *text = sets->items[i].text, *equals = strchr(text, '=');
        SK_CLEANUP(sk_free_p) char *name = sk_strndup(sk_slice_of(text, (size_t)(equals - text)));
        SK_TRY(sk_config_set(config, name, equals + 1, SK_FROM_FLAG));
    }
    return SK_SUCCESS;
}

/* --- serving --------------------------------------------------------------------------- */

static void free_table_p(sk_route_table **table)
{
    sk_route_table_free(*table);
}
static void free_server_p(rpc_server **server)
{
    rpc_server_free(*server);
}
static void close_broker_p(sk_broker **broker)
{
    sk_broker_close(*broker);
}

/* The disk failed: stop as on SIGTERM, and say so. */
struct failure {
    _Atomic bool happened;
    struct sk_status why;
};

static void on_failed(void *owner, struct sk_status why)
{
    struct failure *f = owner;
    f->why = why;
    atomic_store(&f->happened, true);
    kill(getpid(), SIGTERM);
}

static void set_log_level(int level)
{
    sk_log_configure((enum sk_log_level)level, isatty(STDERR_FILENO) != 1);
}

static void print_ready(struct cli *cli, const struct sk_bound *bound, const char *data)
{
    if (cli->json) {
        json_t *o = json_pack("{s:s, s:s}", "listen", bound->listen, "data", data);
        if (bound->listen_tls[0])
            json_object_set_new(o, "listen_tls", json_string(bound->listen_tls));
        out_json(cli, o);
        fflush(cli->out);
        return;
    }
    SK_CLEANUP(sk_free_p) char *rest = sk_asprintf(" data=%s", data);
    sk_ready(bound, rest);
}

static void print_try_this(struct cli *cli, const char *address)
{
    char flag[300] = "";
    if (cli->json || isatty(STDERR_FILENO) != 1) return;
    if (strcmp(address, "127.0.0.1:8081") != 0)
        snprintf(flag, sizeof flag, " --namesrv %s", address);
    fprintf(cli->err,
            "\nTry this in another terminal:\n"
            "  skua send hello --body world%s\n"
            "  skua receive hello --group readers%s\n"
            "  skua topic describe hello%s\n"
            "\nCtrl-C stops it.\n",
            flag, flag, flag);
}

static struct sk_status serve(struct cli *cli, struct sk_broker_config *config)
{
    struct failure failure = {0};
    struct sk_broker_options options = {.config = config, .failed = on_failed, .owner = &failure};
    struct sk_server_settings listeners = SK_SERVER_SETTINGS(config, config->data);
    struct sk_namesrv_options namesrv_options = {0};
    struct sk_bound bound;

    SK_CLEANUP(free_table_p) sk_route_table *table = sk_route_table_new(NULL, NULL);
    SK_CLEANUP(sk_namesrv_free_p) sk_namesrv *namesrv = NULL;
    SK_CLEANUP(close_broker_p) sk_broker *broker = NULL;
    SK_CLEANUP(free_server_p) rpc_server *server = NULL;

    SK_TRY(sk_namesrv_new(table, &namesrv_options, &namesrv));
    SK_TRY(sk_broker_open(&options, &broker));
    SK_TRY(sk_server_new(&listeners, &server));
    sk_namesrv_mount(namesrv, server);
    sk_broker_mount(broker, server);
    SK_TRY(sk_server_listen(server, &listeners, NULL, 0, &bound));
    SK_TRY(rpc_server_start(server));

    const char *self = bound.listen;
    config->namesrv = (struct sk_hosts){&self, 1};
    SK_TRY(sk_broker_start(broker, bound.listen, bound.listen_tls[0] ? bound.listen_tls : NULL));

    set_log_level(config->log_level);
    print_ready(cli, &bound, config->data);
    print_try_this(cli, bound.listen);
    sk_boot_wait(NULL);
    sk_broker_stop(broker);
    rpc_server_drain(server, listeners.drain_grace_ms);
    return atomic_load(&failure.happened) ? failure.why : SK_SUCCESS;
}

static int failed(struct cli *cli, struct sk_status s)
{
    const char *text = sk_status_text(&s);
    if (s.code == SK_EXISTS)
        return cli_error(cli, CLI_FAILURE, "another broker runs there: stop it, or give --data DIR",
                         "%s", text);
    if (strstr(text, "address") || strstr(text, "bind") || strstr(text, "in use"))
        return cli_error(cli, CLI_FAILURE, "choose another one: skua dev --listen 127.0.0.1:0",
                         "%s", text);
    const char *hint = s.code == SK_CORRUPT ? "skua verify DIR says what is wrong and where"
                                            : "give --data DIR: a directory of your own, that is "
                                              "empty or was a broker's before";
    return cli_error(cli, CLI_FAILURE, hint, "%s", text);
}

int cmd_dev(struct cli *cli)
{
    struct sk_broker_config config;
    SK_CLEANUP(sk_free_p) char *data = NULL;
    SK_CLEANUP(sk_config_free_p) sk_config *loaded = sk_config_new(&sk_broker_program, &config);
    data = cli_text(cli, "data") ? sk_strdup(cli_text(cli, "data")) : default_data();

    struct sk_status s = load(cli, loaded, data);
    if (!sk_ok(s))
        return cli_error(cli, CLI_USAGE, "docs/configuration.md lists the settings", "%s",
                         sk_status_text(&s));
    s = make_directories(data);
    if (!sk_ok(s)) return failed(cli, s);
    /* Until it serves, what goes wrong is said once, by us. */
    set_log_level(config.log_level < SK_ERROR ? (int)SK_ERROR : config.log_level);
    sk_memory_tune();
    sk_signals_block();
    s = serve(cli, &config);
    return sk_ok(s) ? CLI_OK : failed(cli, s);
}
