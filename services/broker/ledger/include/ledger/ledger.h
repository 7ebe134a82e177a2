/* ledger.h - the only door through which the broker changes.
 *
 *      begin ─► ask ─► decide ─► commit ─► … ─► leave ─► own answers ─► end
 *       lock    state   records    │            unlock                   │
 *                                  ├ append to the log                   └ wake whom it concerns
 *                                  ├ apply to the state
 *                                  └ what follows from the fact (follow.c)
 *
 * Nothing changes the state but a record that was appended first, so what the broker knows is
 * always what a restart would find. A *turn* is one hold of the ledger's lock, and the proof of
 * holding it: what may only be asked or done under the lock takes one. Within a turn there is no
 * I/O but the append, no call into api/rpc, and nothing that costs in proportion to all there is.
 *
 * How an append wakes a flush, a sender and a long poll:
 *
 *      commit ── puts (end, queue) of each message on the *news* (news.c), nothing is visible yet
 *      sender ── sk_promise_wait(end) ── promise asks the slowest cursor to come up ── flush
 *      flush  ── moves the flushed gate ── promise: committed = min of cursors ── sender is
 * answered ── tells the ledger ── wake: takes news up to committed, which makes it visible, and
 *                looks at the polls of its topics
 *      end    ── wakes too, if there is news that is committed
 *
 * Both sides look at the news after their own move: whoever appends looks at the cursor after he
 * put the news up, whoever moves the cursor looks at the news after he moved it. A poll looks under
 * the lock, after what is committed was made visible, and parks before it lets go: so it either
 * sees a message or stands on its list when that message's news is taken.
 *
 * Threads: any. Functions that take a turn: on the thread that began it. */
#ifndef SK_LEDGER_LEDGER_H
#define SK_LEDGER_LEDGER_H

#include "base/status.h"
#include "base/timer.h"
#include "ledger/promise.h"
#include "state/state.h"
#include "store/store.h"

typedef struct sk_ledger sk_ledger;

/* Which cursors the promise counts. */
enum sk_flush_mode {
    SK_FLUSH_SYNC,  /* flushed: done means on disk */
    SK_FLUSH_ASYNC, /* tail: done means that it survives the process */
};

enum sk_role {
    SK_PRIMARY, /* writes */
    SK_REPLICA, /* folds what it is sent: no turn of its own may commit anything */
};

struct sk_ledger_options {
    struct sk_store_options store; /* fold, failed, lock, unlock and write_ahead are the ledger's */
    enum sk_flush_mode flush;
    enum sk_role role; /* to begin with; a primary begins an epoch, durably, before it returns */
    sk_timers *timers; /* for the ends of polls and leases; must run until sk_ledger_quiet */
    size_t most_polls, most_polls_per_group;
    /* What the state is told of a MESSAGE: the head at the beginning of its payload, which lies
     * within the first part of those that sk_turn_commit is given. NULL: nothing. */
    struct sk_slice (*message_head)(struct sk_slice payload);
    /* The disk failed, or the log and the state disagree: nothing may be acknowledged any more.
     * Called at least once, from any thread. */
    void (*failed)(void *owner, struct sk_status why);
    /* Topics or groups are not what they were; with no lock held, once for many changes. NULL:
     * nobody wants to know. */
    void (*config_changed)(void *owner);
    void *owner;
};

SK_CHECKED struct sk_status sk_ledger_open(const struct sk_ledger_options *options,
                                           struct sk_recovery *recovery, sk_ledger **out);
/* Answer all polls, and park no more. */
void sk_ledger_quiet(sk_ledger *ledger);
/* After sk_ledger_quiet, and once the timers have stopped. NULL is fine. */
void sk_ledger_close(sk_ledger *ledger);

/* --- a turn ---------------------------------------------------------------------------------- */

struct sk_turn {
    sk_ledger *ledger;
    bool left;     /* the lock was given back */
    bool appended; /* something was */
};

/* Takes the lock, and makes visible what was committed meanwhile. */
void sk_turn_begin(struct sk_turn *turn, sk_ledger *ledger);
/* Gives the lock back and wakes nobody yet: for whoever wants to answer its own call first. */
void sk_turn_leave(struct sk_turn *turn);
/* Leaves, if that was not done, and wakes whom the turn concerns. Each turn ends, soon. */
void sk_turn_end(struct sk_turn *turn);

/* --- asking: under the lock ------------------------------------------------------------------ */

const sk_state *sk_turn_state(const struct sk_turn *turn);
/* Which of a queue's offsets can be read: from *min, the first kept, to before *visible. */
void sk_turn_range(const struct sk_turn *turn, uint32_t store_queue, uint64_t *min,
                   uint64_t *visible);

/* The wall clock, kept from going back. */
uint64_t sk_turn_now_ms(const struct sk_turn *turn);

enum sk_role sk_turn_role(const struct sk_turn *turn);

/* --- changing: under the lock ---------------------------------------------------------------- */

/* Append records of any kinds, with and without queue, and apply them: all or none, in the log, in
 * the state, and across a power cut. A record without queue has one part, its payload; spans[i] is
 * the place of record i. A batch without messages may go on into what is left of a full disk.
 * SK_NOT_MASTER: this broker is not the primary. After a failure of the append nothing has changed;
 * if the state refuses what was appended, `failed` was called. */
SK_CHECKED struct sk_status sk_turn_commit(struct sk_turn *turn, const struct sk_append *records,
                                           size_t count, struct sk_span *spans);

/* The same for one record without queue. An empty payload writes nothing. *span may be NULL. */
SK_CHECKED struct sk_status sk_turn_write(struct sk_turn *turn, enum sk_record_kind kind,
                                          struct sk_slice payload, struct sk_span *span);

/* Take in what another ledger's log has at `position`, as a replica: verified, appended byte for byte,
 * folded, and what is a replica's share follows. As sk_store_receive; SK_NOT_MASTER turned round:
 * SK_INVALID on a primary. */
SK_CHECKED struct sk_status sk_turn_receive(struct sk_turn *turn, uint64_t position,
                                            struct sk_slice bytes, struct sk_span *span);

/* The id of the leases that the record there, committed since the start, gives: a position alone
 * may be used again by the next start, when an async store lost its tail. */
struct sk_lease_id sk_turn_lease_id(const struct sk_turn *turn, const struct sk_span *span);

/* --- any time -------------------------------------------------------------------------------- */

/* Under no lock. To become a primary an epoch must begin first, which SK_TRYs the disk; to become a
 * replica always works. */
SK_CHECKED struct sk_status sk_ledger_set_role(sk_ledger *ledger, enum sk_role role);
sk_store *sk_ledger_store(const sk_ledger *ledger);
sk_promise *sk_ledger_promise(const sk_ledger *ledger);
enum sk_flush_mode sk_ledger_flush_mode(const sk_ledger *ledger);
/* The log and the state have parted, or the disk failed: `failed` was called. */
bool sk_ledger_has_failed(const sk_ledger *ledger);

/* What the holds of the lock cost their threads: CPU time from begin to leave. Off (and free) until
 * it is switched on; for benchmarks. */
struct sk_hold_times {
    uint64_t holds, longest_ns;
    uint64_t over_us[24]; /* holds of at least 2^i µs */
};
void sk_ledger_time_holds(sk_ledger *ledger, bool on);
struct sk_hold_times sk_ledger_hold_times(sk_ledger *ledger);

#endif
