/* listen.c - addresses and their credentials. */
#include <errno.h>
#include <grpc/grpc_security.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "src/enter.h"
#include "src/server_inside.h"
#include "src/tls.h"

/* The core says only "no". Trying once ourselves tells the operator why. */
static struct sk_status why_not(const char *address, const char *host, const char *port)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int err = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (err) return sk_error(SK_INVALID, "listen on '%s': %s", address, gai_strerror(err));

    SK_CLEANUP(sk_close_p) int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    bool refused = fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
                               bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, 1));
    err = fd < 0 || refused ? errno : 0;
    freeaddrinfo(found);
    if (err) return sk_errno(err, "listen on '%s'", address);
    return sk_error(SK_IO, "listen on '%s': refused", address);
}

/* HOST:PORT, [v6]:PORT or :PORT into its two halves, both borrowed from `copy`. */
static bool split(char *copy, const char **host, const char **port)
{
    char *colon = strrchr(copy, ':');
    if (!colon || !colon[1]) return false;
    *colon = '\0';
    *port = colon + 1;
    *host = copy;
    size_t len = strlen(copy);
    if (copy[0] == '[' && copy[len - 1] == ']') {
        copy[len - 1] = '\0';
        *host = copy + 1;
    }
    return true;
}

static struct sk_status bind_port(rpc_server *server, const char *address,
                                  grpc_server_credentials *credentials, int *port)
{
    SK_CLEANUP(sk_free_p) char *copy = sk_strdup(address);
    const char *host, *service;
    if (!split(copy, &host, &service))
        return sk_error(SK_INVALID, "listen on '%s': expected HOST:PORT", address);

    SK_CLEANUP(sk_free_p)
    char *target = *host ? sk_strdup(address) : sk_asprintf("[::]:%s", service);
    int bound = grpc_server_add_http2_port(server->core, target, credentials);
    if (bound <= 0) return why_not(address, host, service);
    if (port) *port = bound;
    return SK_SUCCESS;
}

struct sk_status rpc_server_listen(rpc_server *server, const char *address, int *port)
{
    rpc_enter();
    grpc_server_credentials *plain = grpc_insecure_server_credentials_create();
    struct sk_status s = bind_port(server, address, plain, port);
    grpc_server_credentials_release(plain);
    return s;
}

struct sk_status rpc_server_listen_tls(rpc_server *server, const char *address,
                                       const struct rpc_tls_options *tls, int *port)
{
    rpc_enter();
    grpc_server_credentials *credentials;
    SK_TRY(rpc_tls_server_credentials(tls, &credentials));
    struct sk_status s = bind_port(server, address, credentials, port);
    grpc_server_credentials_release(credentials);
    return s;
}
