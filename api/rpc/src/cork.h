/* cork.h - the answers of a burst leave in few packets.
 *
 *      event ─► sendmsg(MSG_MORE)  ┐
 *      event ─► sendmsg(MSG_MORE)  ├ held in the kernel
 *      event ─► sendmsg(MSG_MORE)  ┘
 *      dry   ─► TCP_NODELAY again: all of it goes out
 *
 * The core writes each answer with a sendmsg of its own, and more than two thirds of what
 * that costs is the way down through TCP, which is the same for one answer and for eight. While a
 * thread is corked the kernel is told that more is to come (tcp(7), MSG_MORE), and when the cork is
 * drawn what is still there is pushed. A connection that has RPC_CORK_WRITES writes or
 * RPC_CORK_BYTES waiting is pushed at once, so that the other side has work while this one goes on.
 *
 * The core has no setting for this, so the programs that hold a broker put a sendmsg of their own
 * before libc's (sendmsg.c, the target skua_rpc_sendmsg). Where that is not linked, as in libskua,
 * nothing here has any effect.
 *
 * Nothing can get lost: the kernel sends what is held with the next acknowledgement, after 200 ms,
 * or when the connection is closed.
 *
 * Threads: all of it belongs to the calling thread. */
#ifndef RPC_CORK_H
#define RPC_CORK_H

#include <stdbool.h>
#include <stddef.h>

enum { RPC_CORK_WRITES = 8, RPC_CORK_BYTES = 32 * 1024, RPC_CORK_SOCKETS = 8 };

/* A second begin, or an end without one, is nothing. End: was it corked? */
void rpc_cork_begin(void);
bool rpc_cork_end(void);

/* On a poller thread: begin now, and end when no more events are at hand. Elsewhere it does
 * nothing. */
void rpc_cork_until_dry(void);

/* What to add to the flags of a send of `bytes` on this descriptor: MSG_MORE or 0. */
int rpc_cork_flags(int fd, size_t bytes);

#endif
