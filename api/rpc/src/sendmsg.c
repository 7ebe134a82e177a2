/* sendmsg.c - libc's sendmsg with a cork in it (cork.h).
 *
 * Comes before libc's for the whole program it is linked into, the C core above all. A thread that
 * has corked nothing passes through. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "src/cork.h"

typedef ssize_t send_fn(int fd, const struct msghdr *message, int flags);

/* libc's, or a sanitizer's that stands before it. */
static send_fn *next_sendmsg(void)
{
    static _Atomic(send_fn *) found;
    send_fn *next = atomic_load_explicit(&found, memory_order_relaxed);
    if (next) return next;
    *(void **)&next = dlsym(RTLD_NEXT, "sendmsg");
    atomic_store_explicit(&found, next, memory_order_relaxed);
    return next;
}

static size_t bytes_of(const struct msghdr *message)
{
    size_t bytes = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) bytes += message->msg_iov[i].iov_len;
    return bytes;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return next_sendmsg()(fd, message, flags | rpc_cork_flags(fd, bytes_of(message)));
}
