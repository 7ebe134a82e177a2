/* polls.h - calls that wait for messages.
 *
 *      topic ─► key (group 1) ─► poll, poll, poll     woken in this order
 *            └► key (group 2) ─► poll
 *      heap of what is due: ends of polls, ends of leases ─► one timer
 *
 * A poll is parked under one topic and one group, and looked at again when
 *   - a message of the topic is committed,
 *   - a lease of its group ended, was released or was changed,
 *   - its topic or its group was deleted,
 *   - its own time is over; then it is answered, whatever the look says.
 * None of that is a handler's to remember: it follows from the record (follow.c).
 * Whoever takes a poll off its list answers it, once, with no lock held.
 *
 * Threads: any; the turn's lock guards everything. */
#ifndef SK_LEDGER_POLLS_H
#define SK_LEDGER_POLLS_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger/ledger.h"

struct sk_poll;
struct sk_poll_key;

enum sk_poll_look {
    SK_POLL_NOTHING,  /* there is nothing for anybody of this group: ask no more of them */
    SK_POLL_MISMATCH, /* nothing for this one, perhaps for the next (filters differ) */
    SK_POLL_FOUND,    /* it has something: answer it */
    SK_POLL_UNSURE,   /* that cannot be told under the lock: let it try by itself */
};

enum sk_poll_end {
    SK_POLL_HAS,  /* look said FOUND */
    SK_POLL_TRY,  /* look said UNSURE: look again by yourself, and park again if it was nothing */
    SK_POLL_OVER, /* its time is over */
    SK_POLL_GONE, /* its topic or group was deleted; there may be a new one of the name */
};

/* A place in the heap of what is due. */
struct sk_poll_due {
    uint64_t at_us;
    size_t slot; /* place + 1; 0: not in the heap */
    bool is_key;
};

/* Embedded in the waiting call's own struct, which lives in the call's arena. Fill the first
 * part; the rest is zeroed, and ours. */
struct sk_poll {
    uint32_t topic, group; /* ids; group 0 for those that take no leases */
    uint64_t end_us;       /* on the mono_us scale */
    /* Under the lock: is there something now? May commit. */
    enum sk_poll_look (*look)(struct sk_poll *poll, struct sk_turn *turn);
    /* With no lock held. */
    void (*answer)(struct sk_poll *poll, enum sk_poll_end end);

    struct sk_poll_due due;
    struct sk_poll_key *key; /* NULL: not parked */
    struct sk_poll *next, *prev;
    uint32_t looked; /* at which of its key's marks */
    enum sk_poll_end end;
};

/* In the turn in which it looked and found nothing: it is not looked at again for what happened
 * before. False: too many wait already, or the ledger is quiet. */
bool sk_poll_park(struct sk_turn *turn, struct sk_poll *poll);

/* True: it was parked and is the caller's now. False: somebody else answers it, or it never was. */
bool sk_poll_leave(struct sk_turn *turn, struct sk_poll *poll);

size_t sk_polls_count(const struct sk_turn *turn);

#endif
