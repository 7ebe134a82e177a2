/* renew.h - leases of push consumers last as long as the consumer lives (protocol.md 5.4).
 *
 * Every few seconds, leases that end soon are renewed if their owner was heard of
 * lately and the lease is not too old; a lease that is not renewed just ends.
 * Leases given before a restart are not renewed: whether their messages arrived is not known. */
#ifndef SK_BROKER_RENEW_H
#define SK_BROKER_RENEW_H

#include "broker/node.h"
#include "sessions/sessions.h"

typedef struct sk_renewer sk_renewer;

sk_renewer *sk_renewer_new(const struct sk_node *node, sk_sessions *sessions); /* begins to work */
void sk_renewer_free(sk_renewer *renewer); /* after the timers have stopped; NULL is fine */

/* Look once, as the timer does. Tests call it. */
void sk_renewer_run(sk_renewer *renewer);

/* The owner said goodbye: its leases end in a second. */
void sk_renewer_release_owner(sk_renewer *renewer, uint64_t owner);

#endif
