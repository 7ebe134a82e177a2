/* listen.c - a server's listeners, and the certificate it makes for itself. */
#include <errno.h>
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "health/health.h"
#include "proto/descriptors.h"
#include "reflection/reflection.h"
#include "service/boot.h"

enum { MOST_NAMES = 64 };

/* Names for the certificate, each once. */
struct names {
    char *items[MOST_NAMES];
    size_t count;
};

struct sk_status sk_server_new(const struct sk_server_settings *settings, rpc_server **out)
{
    struct rpc_server_options options = {
        .pollers = settings->pollers,
        .max_request_bytes = settings->max_request_bytes,
        .max_metadata_bytes = settings->max_metadata_bytes,
        .call_budget_bytes = settings->max_call_bytes,
        .handshake_timeout_ms = settings->handshake_timeout_ms,
        .max_concurrent_streams = settings->max_streams,
    };
    rpc_server *server;
    SK_TRY(rpc_server_new(&options, &server));
    (void)sk_health_mount(server);
    sk_reflection_mount(server, skua_descriptor_set);
    *out = server;
    return SK_SUCCESS;
}

/* --- the certificate's names ---------------------------------------------------------------- */

static void add_name(struct names *n, const char *name)
{
    if (!name[0] || strcmp(name, "0.0.0.0") == 0 || strcmp(name, "::") == 0) return;
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->items[i], name) == 0) return;
    if (n->count < MOST_NAMES) n->items[n->count++] = sk_strdup(name);
}

static void add_host_of(struct names *n, const char *address)
{
    char host[256];
    int port;
    if (sk_address_split(address, host, &port)) add_name(n, host);
}

static void add_own_addresses(struct names *n)
{
    struct ifaddrs *list = NULL;
    char text[INET6_ADDRSTRLEN];
    if (getifaddrs(&list) != 0) return;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        struct sockaddr_in v4;
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET) continue;
        memcpy(&v4, i->ifa_addr, sizeof v4);
        if (inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text)) add_name(n, text);
    }
    freeifaddrs(list);
}

static void add_listed(struct names *n, const char *list)
{
    char name[256];
    while (*list) {
        size_t len = strcspn(list, ", ");
        if (len && len < sizeof name) {
            memcpy(name, list, len);
            name[len] = 0;
            add_name(n, name);
        }
        list += len;
        list += strspn(list, ", ");
    }
}

static void collect_names(struct names *n, const struct sk_server_settings *s,
                          const char *const *more, size_t more_count)
{
    char host[256] = "";
    add_name(n, "localhost");
    add_name(n, "127.0.0.1");
    add_name(n, "::1");
    if (gethostname(host, sizeof host - 1) == 0) add_name(n, host);
    add_host_of(n, s->listen);
    add_host_of(n, s->listen_tls);
    add_listed(n, s->tls_names);
    for (size_t i = 0; i < more_count; i++) add_name(n, more[i]);
    add_own_addresses(n);
}

static struct sk_status make_certificate(const struct sk_server_settings *s, const char *cert,
                                         const char *key, const char *const *more,
                                         size_t more_count)
{
    struct names n = {0};
    if (mkdir(s->data_dir, 0750) != 0 && errno != EEXIST)
        return sk_errno(errno, "data directory %s, for the certificate", s->data_dir);
    collect_names(&n, s, more, more_count);
    struct sk_status status =
        rpc_tls_make_self_signed(cert, key, (const char *const *)n.items, n.count);
    for (size_t i = 0; i < n.count; i++) free(n.items[i]);
    return status;
}

/* --- listeners -------------------------------------------------------------------------------- */

/* HOST:PORT with the port that was bound; dialable where the host says "everywhere". */
static void describe(const char *address, int port, char out[288])
{
    char host[256];
    int asked;
    if (!sk_address_split(address, host, &asked)) host[0] = 0;
    sk_address_join(host[0] ? host : "127.0.0.1", port, out);
}

static struct sk_status listen_tls(rpc_server *server, const struct sk_server_settings *s,
                                   const char *const *more, size_t more_count, int *port)
{
    if ((s->tls_cert[0] == 0) != (s->tls_key[0] == 0))
        return sk_error(SK_INVALID, "tls_cert and tls_key go together: give both or neither");
    char *cert = s->tls_cert[0] ? sk_strdup(s->tls_cert) : sk_asprintf("%s/tls.crt", s->data_dir);
    char *key = s->tls_key[0] ? sk_strdup(s->tls_key) : sk_asprintf("%s/tls.key", s->data_dir);
    struct sk_status status = SK_SUCCESS;
    if (!s->tls_cert[0]) status = make_certificate(s, cert, key, more, more_count);
    struct rpc_tls_options tls = {.cert_file = cert, .key_file = key};
    if (sk_ok(status)) status = rpc_server_listen_tls(server, s->listen_tls, &tls, port);
    free(cert);
    free(key);
    return status;
}

struct sk_status sk_server_listen(rpc_server *server, const struct sk_server_settings *s,
                                  const char *const *more, size_t more_count, struct sk_bound *out)
{
    struct sk_bound bound = {.listen = ""};
    int port;
    if (!s->listen[0] && !s->listen_tls[0])
        return sk_error(SK_INVALID, "neither listen nor listen_tls is set: nobody could connect");
    if (s->listen[0]) {
        SK_TRY(rpc_server_listen(server, s->listen, &port));
        describe(s->listen, port, bound.listen);
    }
    if (s->listen_tls[0]) {
        SK_TRY(listen_tls(server, s, more, more_count, &port));
        describe(s->listen_tls, port, bound.listen_tls);
    }
    *out = bound;
    return SK_SUCCESS;
}

void sk_ready(const struct sk_bound *bound, const char *rest)
{
    printf("ready");
    if (bound->listen[0]) printf(" listen=%s", bound->listen);
    if (bound->listen_tls[0]) printf(" listen-tls=%s", bound->listen_tls);
    printf("%s\n", rest);
    fflush(stdout);
    sk_memory_forget_start();
}
