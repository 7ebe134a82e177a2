/* inside.h - the ledger, as its own files see it.
 *
 *      ledger.c   opening; what the store asks of us
 *      turn.c     begin, commit, leave, end
 *      news.c     what was appended and is not visible yet
 *      follow.c   what follows from a fact
 *      polls.c    who waits for messages; due.c: for how long
 *      promise.c  committed = the slowest cursor */
#ifndef SK_LEDGER_INSIDE_H
#define SK_LEDGER_INSIDE_H

#include <stdatomic.h>

#include "base/thread.h"
#include "ledger/polls.h"

/* --- news.c ---------------------------------------------------------------------------------- */

/* Messages of one queue that were appended together. */
struct sk_news {
    uint64_t end; /* position: when this is committed, they can be seen */
    uint64_t next_offset;
    uint32_t store_queue;
    uint32_t topic;
};

struct sk_unseen_page;

struct sk_newsroom {
    struct sk_news *ring; /* [head, head + count), by position; room is a power of two */
    size_t head, count, room;
    bool joinable;                 /* the youngest is of the batch that is being put up */
    struct sk_unseen_page **pages; /* by store queue: the first offset that cannot be seen */
    size_t page_count;
    _Atomic uint64_t
        first_end; /* of the oldest; UINT64_MAX: there is none. Read without the lock */
};

void sk_news_done(struct sk_newsroom *news);
/* What is put up from here on belongs to a new batch of the log, which is committed whole. */
void sk_news_begin_batch(struct sk_newsroom *news);
/* One message; its offset is message->next_offset - 1. */
void sk_news_put(struct sk_newsroom *news, const struct sk_news *message);
/* The oldest, if it ends at or below `committed`; then it can be seen. */
bool sk_news_take(struct sk_newsroom *news, uint64_t committed, struct sk_news *out);
/* The first offset of the queue that cannot be seen; `next_offset` if all can. */
uint64_t sk_news_visible(const struct sk_newsroom *news, uint32_t store_queue,
                         uint64_t next_offset);
static inline uint64_t sk_news_first_end(const struct sk_newsroom *news)
{
    return atomic_load(&news->first_end); /* in one order with the cursor: see ledger.h */
}

/* --- polls.c, due.c ----------------------------------------------------------------------------
 */

struct sk_poll_topic;

struct sk_due_heap {
    struct sk_poll_due **places;
    size_t len, room;
};

void sk_due_set(struct sk_due_heap *heap, struct sk_poll_due *due, uint64_t at_us);
void sk_due_remove(struct sk_due_heap *heap, struct sk_poll_due *due);

struct sk_polls {
    size_t most, most_per_key;
    _Atomic size_t count; /* written under the lock, read without */
    struct sk_poll_topic *topics;
    struct sk_poll_key *keys;
    struct sk_poll_key *dirty; /* something happened that their polls were not told of yet */
    atomic_bool any_dirty;     /* written under the lock, read without */
    struct sk_due_heap heap;
    struct sk_timer timer;
    uint64_t timer_at_us; /* what the timer is set to; UINT64_MAX: not set */
    bool ended;
};

void sk_polls_init(sk_ledger *ledger);
void sk_polls_done(sk_ledger *ledger);
/* Messages of this topic can be seen now. */
void sk_polls_topic_has_news(sk_ledger *ledger, uint32_t topic);
/* A lease of this group and topic ends at that wall clock (0: it has): look again then. */
void sk_polls_lease_ends(sk_ledger *ledger, uint32_t group, uint32_t topic, uint64_t at_ms);
void sk_polls_topic_gone(sk_ledger *ledger, uint32_t topic);
void sk_polls_group_gone(sk_ledger *ledger, uint32_t group);
/* Look at dirty polls, a bounded number; whom that concerns goes to *ready, to be answered without
 * the lock. True: there are more. */
bool sk_polls_look(struct sk_turn *turn, struct sk_poll **ready);
void sk_polls_answer(struct sk_poll *ready);

/* --- the ledger --------------------------------------------------------------------------------
 */

struct sk_ledger {
    struct sk_mutex lock;
    sk_state *state; /* guarded by lock */
    sk_store *store;
    sk_promise *promise;
    uint64_t last_ms; /* guarded by lock */
    uint32_t epoch;   /* of what is written now */
    const struct sk_clock *clock;
    struct sk_ledger_options options;
    _Atomic enum sk_role role;
    atomic_bool failed;

    uint64_t applying_end;   /* of the record that is being applied; guarded by lock */
    struct sk_newsroom news; /* guarded by lock */
    struct sk_polls polls;   /* guarded by lock */
    atomic_bool config_changed;

    atomic_bool timing;
    uint64_t hold_began_ns;     /* guarded by lock */
    struct sk_hold_times holds; /* guarded by lock */
};

/* turn.c: wake whom committed news and dirty polls concern. No lock is held. */
void sk_ledger_wake(sk_ledger *ledger);

/* follow.c: watch the state from now on. */
void sk_follow(sk_ledger *ledger);
/* What was committed can be seen. Under the lock. */
void sk_follow_commit(sk_ledger *ledger);

/* ledger.c: fold one fact. Under the lock. */
SK_CHECKED struct sk_status sk_ledger_fold(sk_ledger *ledger, const struct sk_record *record);
void sk_ledger_fail(sk_ledger *ledger, struct sk_status why);

#endif
