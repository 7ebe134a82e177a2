/* enter.h - the first line of every function of this room that goes into the core.
 *
 * Nobody calls in here while holding a lock of his own. The core takes locks of its own, writes to
 * sockets, and runs what others left with it (release functions, a callback that it owes to another
 * call): a lock that is held meanwhile is held for as long as all of that takes, and deadlocks with
 * whatever of it wants the same lock. So: decide under the lock, act after it (take what you need
 * along, or note who is busy with the call). Debug and sanitizer builds insist on it, in every
 * suite. */
#ifndef RPC_ENTER_H
#define RPC_ENTER_H

#include "base/assert.h"
#include "base/thread.h"

static inline void rpc_enter(void)
{
    sk_assert(sk_mutexes_held() == 0);
}

#endif
