/* polls.h - calls that wait for messages.
 *
 *      topic ─► key (group 1) ─► poll, poll, poll     woken in this order
 *            └► key (group 2) ─► poll
 *      heap of what is due: ends of polls, ends of leases ─► one timer
 *
 * A poll is parked under one topic and one group, and looked at again when
 *   - a message of the topic was appended and is committed,
 *   - a lease of its group ended, was released or was changed,
 *   - its own time is over; then it is answered, whatever the look says.
 * Whoever takes a poll off its list answers it, once, with no lock held.
 *
 * Threads: the ledger's lock guards everything; functions say whether it is held. */
#ifndef SK_BROKER_POLLS_H
#define SK_BROKER_POLLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/timer.h"
#include "ledger.h"

typedef struct sk_polls sk_polls;
struct sk_poll;
struct sk_poll_key;

enum sk_poll_look {
    SK_POLL_NOTHING,  /* there is nothing for anybody of this group: ask no more of them */
    SK_POLL_MISMATCH, /* nothing for this one, perhaps for the next (filters differ) */
    SK_POLL_FOUND,    /* it has something: answer it */
};

/* A place in the heap of what is due. */
struct sk_due {
    uint64_t at_us;
    size_t slot; /* place + 1; 0: not in the heap */
    bool is_key;
};

/* Embedded in the waiting call's own struct, which lives in the call's arena. Fill the first
 * part; the rest is zeroed, and ours. */
struct sk_poll {
    uint32_t topic, group; /* ids; group 0 for those that take no leases */
    uint64_t end_us;       /* on the mono_us scale */
    /* Under the lock: is there something now? May write records. */
    enum sk_poll_look (*look)(struct sk_poll *poll);
    /* With no lock held; found: look said so. Else the time is over. */
    void (*answer)(struct sk_poll *poll, bool found);

    struct sk_due due;
    struct sk_poll_key *key; /* NULL: not parked */
    struct sk_poll *next, *prev;
    bool found;
};

sk_polls *sk_polls_new(sk_ledger *ledger, sk_timers *timers, const struct sk_clock *clock,
                       size_t most, size_t most_per_key);
/* After the timers have stopped, with nothing parked (sk_polls_end). */
void sk_polls_free(sk_polls *polls);

/* --- the lock is held ------------------------------------------------------------------------ */

/* False: too many wait already, or the polls have ended. */
bool sk_polls_park(sk_polls *polls, struct sk_poll *poll);

/* True: it was parked and is the caller's now. False: somebody else answers it, or it never was. */
bool sk_polls_leave(sk_polls *polls, struct sk_poll *poll);

/* A message of this topic is about to be appended, under this same hold of the lock. */
void sk_polls_appended(sk_polls *polls, uint32_t topic);

/* A lease of this group and topic ends at that wall clock (or now): look again then. */
void sk_polls_lease_ends(sk_polls *polls, uint32_t group, uint32_t topic, uint64_t at_ms);

size_t sk_polls_count(const sk_polls *polls);

/* --- the lock is not held -------------------------------------------------------------------- */

/* The committed cursor moved: wake whom it concerns. Cheap if nobody waits. */
void sk_polls_committed(sk_polls *polls);

/* Answer all that wait and park no more. */
void sk_polls_end(sk_polls *polls);

#endif
