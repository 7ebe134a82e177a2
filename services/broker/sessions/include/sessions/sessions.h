/* sessions.h - the clients that are about, by their ids (protocol.md 5.9).
 *
 * A client is known from its first heartbeat, receive or settings, and forgotten
 * when it says goodbye or was silent for too long. Nothing is refused to a client
 * that is not known: after a restart, some never send their settings again.
 *
 * Threads: any; a lock of its own, under which nothing else is called. It may be taken under the
 * ledger's. */
#ifndef SK_BROKER_SESSIONS_H
#define SK_BROKER_SESSIONS_H

#include <stdbool.h>

#include "base/clock.h"
#include "sessions/caller.h"

typedef struct sk_sessions sk_sessions;

sk_sessions *sk_sessions_new(const struct sk_clock *clock, size_t most);
void sk_sessions_free(sk_sessions *sessions); /* NULL is fine */

/* It is alive. */
void sk_sessions_seen(sk_sessions *sessions, rpc_call *call, const struct sk_caller *caller);

/* It sent its Settings: its type, group and request timeout. */
void sk_sessions_settings(sk_sessions *sessions, rpc_call *call, const struct sk_caller *caller,
                          const rmq_settings *settings, struct sk_slice group);

/* It said goodbye. */
void sk_sessions_forget(sk_sessions *sessions, rpc_call *call, const struct sk_caller *caller);

/* Forget who was silent for longer than that; returns how many. */
size_t sk_sessions_expire(sk_sessions *sessions, uint64_t silent_ms);

/* The type that its Settings gave, or CLIENT_TYPE_UNSPECIFIED. */
rmq_client_type sk_sessions_type(sk_sessions *sessions, const struct sk_caller *caller);

/* What its Settings gave as request_timeout, or 3000. */
uint64_t sk_sessions_request_timeout_ms(sk_sessions *sessions, const struct sk_caller *caller);

/* Was the client heard of lately, and has it not said goodbye? `owner` is the hash of its id. */
bool sk_sessions_is_alive(sk_sessions *sessions, uint64_t owner);

size_t sk_sessions_count(sk_sessions *sessions);

/* Clients of a consumer group; what fn is given lives until it returns. */
struct sk_session_view {
    const char *client_id, *language, *version, *address;
    rmq_client_type type;
};
void sk_sessions_each_of_group(sk_sessions *sessions, struct sk_slice group,
                               void (*fn)(void *arg, const struct sk_session_view *view),
                               void *arg);

#endif
