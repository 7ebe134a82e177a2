/* cork.c - which sockets hold back how much, per thread. */
#include "src/cork.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>

struct held {
    int fd;
    unsigned writes;
    size_t bytes;
};

static _Thread_local struct {
    bool corked;
    unsigned count;
    struct held sockets[RPC_CORK_SOCKETS];
} here;

/* MSG_MORE means another thing to a datagram. */
static bool is_tcp(int fd)
{
    int protocol = 0;
    socklen_t size = sizeof protocol;
    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
           protocol == IPPROTO_TCP;
}

/* NULL: this one is not held back. */
static struct held *find(int fd)
{
    for (unsigned i = 0; i < here.count; i++)
        if (here.sockets[i].fd == fd) return &here.sockets[i];
    if (here.count == RPC_CORK_SOCKETS || !is_tcp(fd)) return NULL;
    struct held *new = &here.sockets[here.count++];
    *new = (struct held){.fd = fd};
    return new;
}

int rpc_cork_flags(int fd, size_t bytes)
{
    struct held *held = here.corked ? find(fd) : NULL;
    if (!held) return 0;
    held->bytes += bytes;
    if (++held->writes < RPC_CORK_WRITES && held->bytes < RPC_CORK_BYTES) return MSG_MORE;
    held->writes = 0;
    held->bytes = 0;
    return 0;
}

/* Setting TCP_NODELAY sends what waits, also where it was set before (as the core does). The
 * descriptor may have been closed meanwhile, which sent it, too. */
static void push(const struct held *held)
{
    const int on = 1;
    if (held->writes) (void)setsockopt(held->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void rpc_cork_begin(void)
{
    here.corked = true;
}

bool rpc_cork_end(void)
{
    bool was = here.corked;
    here.corked = false;
    for (unsigned i = 0; i < here.count; i++) push(&here.sockets[i]);
    here.count = 0;
    return was;
}
