/* main.c - skua-broker, from the ground up. Each line of run() may use only the lines above it;
 * scope exit takes them down in the opposite order. */
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <signal.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "broker/broker.h"
#include "service/boot.h"

static atomic_bool disk_failed;

/* End as if asked to, but with an error: what is acknowledged is on disk, nothing else is lost. */
static void failed(void *owner, struct sk_status why)
{
    (void)owner, (void)why;
    atomic_store(&disk_failed, true);
    kill(getpid(), SIGTERM);
}

static void close_broker_p(sk_broker **broker)
{
    sk_broker_close(*broker);
}

static void free_server_p(rpc_server **server)
{
    rpc_server_free(*server);
}

/* What clients are told: HOST:PORT in `out`; "" for a listener that there is not. */
static struct sk_status advertised(const char *advertise, const char *bound, char out[288])
{
    struct sk_advertised address;
    out[0] = '\0';
    if (!bound[0]) return SK_SUCCESS;
    SK_TRY(sk_advertise(advertise, bound, &address));
    sk_address_join(address.host, address.port, out);
    return SK_SUCCESS;
}

static struct sk_status serve(sk_boot *boot, const struct sk_broker_config *c, sk_broker *broker,
                              rpc_server *server, const struct sk_server_settings *listeners)
{
    struct sk_bound bound;
    char plain[288], tls[288];
    const char *names[] = {c->advertise, c->advertise_tls};
    sk_broker_mount(broker, server);
    SK_TRY(sk_server_listen(server, listeners, names, 2, &bound));
    SK_TRY(advertised(c->advertise, bound.listen, plain));
    SK_TRY(advertised(c->advertise_tls, bound.listen_tls, tls));
    SK_TRY(sk_broker_start(broker, plain, tls));
    SK_TRY(rpc_server_start(server));

    sk_log(SK_INFO, "serving", sk_text("broker", c->name), sk_text("listen", bound.listen),
           sk_text("listen_tls", bound.listen_tls), sk_text("advertise", plain));
    sk_ready(&bound, "");
    sk_boot_wait(boot);
    sk_broker_stop(broker);
    rpc_server_drain(server, listeners->drain_grace_ms);
    return SK_SUCCESS;
}

static struct sk_status run(sk_boot *boot, void *values)
{
    const struct sk_broker_config *c = values;
    struct sk_broker_options options = {.config = c, .failed = failed};
    struct sk_server_settings listeners = SK_SERVER_SETTINGS(c, c->data);
    SK_CLEANUP(close_broker_p) sk_broker *broker = NULL;
    SK_CLEANUP(free_server_p) rpc_server *server = NULL;

    SK_TRY(sk_broker_open(&options, &broker));
    SK_TRY(sk_server_new(&listeners, &server));
    SK_TRY(serve(boot, c, broker, server, &listeners));
    if (atomic_load(&disk_failed)) return sk_error(SK_IO, "the log has failed; see above");
    return SK_SUCCESS;
}

int main(int argc, char **argv)
{
    struct sk_broker_config config;
    struct sk_boot_program boot = {.program = &sk_broker_program,
                                   .values = &config,
                                   .log_level = &config.log_level,
                                   .log_format = &config.log_format,
                                   .run = run};
    return sk_boot_main(&boot, argc, argv);
}
