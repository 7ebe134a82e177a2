/* state.h - what the broker must remember, as a deterministic fold over records.
 *
 *      log:   TOPIC  GROUP  MESSAGE  MESSAGE  DELIVER  ACK  …
 *               │      │       │        │        │      │
 *               └──────┴───────┴── sk_state_apply ──────┘──►  state
 *
 * The broker asks questions (sk_state_choose, sk_state_check_lease, …), writes
 * what it decided as a record, and applies that record. Recovery applies the
 * same records and comes to the same state; so will a replica. Therefore no
 * clock, no random and no I/O in here: the time used is in the record.
 *
 * Per (group, topic, queue) there is a cursor:
 *
 *      committed          next                     queue's max
 *      |  window          |     not yet delivered  |
 *      v                  v                        v
 *   ---+--A--L--A--R--L---+------------------------+
 *         A acknowledged  L leased (deadline, lease id, attempt)
 *         R returned: leased once, may be delivered again
 *
 * Offsets below `committed` are done. Inside the window each offset is A, L or R;
 * a lease whose deadline is at or before `now` counts as returned: expiry needs
 * no record. `lease` is the epoch and position of the record that gave it: unique
 * for ever, growing, the same on every replica; a receipt handle carries it. (A
 * position alone is not: a log that lost its unflushed tail writes there again,
 * but in a later epoch.)
 *
 * A new (group, topic) pair starts at the queue's first kept offset: a group sees
 * the whole topic. UpdateOffset (sk_state_encode_seek) moves it anywhere.
 *
 * Threads: none. The owner's one lock guards all of it, questions included (they
 * may write notes of no consequence); borrowed pointers live until the next apply.
 * Names are "namespace%name", or "name" without namespace.
 * Sources: protocol.md 5.3-5.5 (RocketMQ's POP consumption), design.md 2. */
#ifndef SK_STATE_STATE_H
#define SK_STATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/slice.h"
#include "base/status.h"

typedef struct sk_state sk_state;

enum {
    SK_NAME_MAX = 1024,    /* bytes of a topic's or group's name */
    SK_QUEUES_MAX = 65536, /* of one topic */
    SK_CHOOSE_MAX = 1024,  /* messages of one choice */
};

/* Record kinds, as they stand in the log. Numbers are for ever. */
enum sk_record_kind {
    SK_RECORD_TOPIC = 1,         /* create or change a topic */
    SK_RECORD_TOPIC_DELETED = 2,
    SK_RECORD_GROUP = 3,
    SK_RECORD_GROUP_DELETED = 4,
    SK_RECORD_MESSAGE = 5,       /* its head is the broker's; the frame has queue and offset */
    SK_RECORD_DELIVER = 6,       /* leases given, filtered offsets passed over */
    SK_RECORD_ACK = 7,
    SK_RECORD_CHANGE = 8,        /* new deadline and a new lease id */
    SK_RECORD_RENEW = 9,         /* new deadline, same lease id */
    SK_RECORD_RELEASE = 10,      /* never reached the consumer: back at once, attempt not counted */
    SK_RECORD_SEEK = 11,         /* the cursor is put somewhere; leases there are void */
};

/* "TOPIC", …; "unknown". */
const char *sk_record_kind_name(uint8_t kind);

/* --- life -------------------------------------------------------------------------------- */

sk_state *sk_state_new(void);
void sk_state_free(sk_state *state);

/* A frame of the log, as apply needs it. */
struct sk_fact {
    uint8_t kind;
    uint32_t epoch;    /* in which it was written */
    uint32_t queue;    /* MESSAGE: the store's queue number */
    uint64_t offset;   /* MESSAGE */
    uint64_t time_ms;
    uint64_t position; /* where the record begins: with the epoch, the lease id that it gives */
    uint32_t tag_hash; /* MESSAGE: 0 without tag */
    /* Of a MESSAGE only the head (services/broker/stored_message.h), never the body: a live fact
     * and its replay are the same, byte by byte. */
    struct sk_slice payload;
};

/* SK_CORRUPT when the payload cannot be what the live broker wrote; the state is then good for
 * sk_state_free only. */
SK_CHECKED struct sk_status sk_state_apply(sk_state *state, const struct sk_fact *fact);

/* What must follow a record follows from its fact: whoever keeps something beside the state (polls
 * that wait, timers, routes, the store's queues) is told here, the same live, in replay and on a
 * replica. Each function may be NULL. They are called by sk_state_apply, in the order of the
 * records, once the record's whole change is done and may be asked about; but deletions are told
 * while what goes is still there. They must not apply anything. */
struct sk_state_watcher {
    /* There is a message at `offset`. */
    void (*message)(void *owner, uint32_t topic, uint32_t queue, uint32_t store_queue,
                    uint64_t offset, const struct sk_fact *fact);
    /* Messages of this pair may be delivered (again) from deadline_ms on. 0: now, for leases were
     * released or changed to end at once, or the cursor was put elsewhere. Told once a record for
     * each pair in a row, also when the record's leases were void already. */
    void (*lease_ends)(void *owner, uint32_t group, uint32_t topic, uint64_t deadline_ms);
    /* Made or changed. */
    void (*topic_changed)(void *owner, uint32_t topic);
    void (*topic_deleted)(void *owner, uint32_t topic);
    /* The store may forget these queues of deleted topics: a few at a time, by the record itself and
     * by later ones, or by sk_state_sweep. */
    void (*queues_gone)(void *owner, const uint32_t *store_queues, size_t count);
    void (*group_changed)(void *owner, uint32_t group);
    void (*group_deleted)(void *owner, uint32_t group);
    void *owner;
};

/* From now on; it is copied. NULL: nobody. No part of the state: not saved, loaded or hashed. */
void sk_state_watch(sk_state *state, const struct sk_state_watcher *watcher);

/* What a record takes away is out of sight with it, but taken apart in steps: each apply does one,
 * of some microseconds, and this another. False: nothing is left. No part of the fold. */
bool sk_state_sweep(sk_state *state);

/* The whole state as bytes (appended to *out); and back, into a new state, which after SK_CORRUPT is
 * good for sk_state_free only. */
void sk_state_save(const sk_state *state, struct sk_buffer *out);
SK_CHECKED struct sk_status sk_state_load(sk_state *state, struct sk_slice bytes);

/* The same bytes, but for their order, of the state as it was at `begin`, page by page while it goes
 * on changing: other calls may come between these. Each page appends rows to *out until they are
 * about `most` bytes (or have cost as much to look at); false: that was the last one. `end` at any
 * time: it gives up what is left. `begin` and `end` cost nothing to speak of, and each thing that
 * changes before its page came costs a copy of it, once. */
void sk_state_save_begin(sk_state *state);
bool sk_state_save_page(sk_state *state, struct sk_buffer *out, size_t most);
void sk_state_save_end(sk_state *state);

/* The same for equal states, however they came to be: to compare live run, replay and replicas.
 * It is the sum of hashes of all rows, so it costs as much as sk_state_save. */
uint64_t sk_state_hash(const sk_state *state);

/* --- topics ------------------------------------------------------------------------------ */

enum sk_topic_type { SK_TOPIC_NORMAL = 1, SK_TOPIC_FIFO = 2, SK_TOPIC_DELAY = 3,
                     SK_TOPIC_TRANSACTION = 4 }; /* numbers of MessageType */

enum { SK_PERMIT_READ = 1, SK_PERMIT_WRITE = 2 };

struct sk_topic {
    struct sk_slice name;
    uint32_t id;              /* never used again */
    enum sk_topic_type type;
    bool mixed;
    uint32_t read_queues, write_queues;
    unsigned permission;      /* SK_PERMIT_* */
    uint64_t created_ms;
    const uint32_t *queues;   /* the store's queue number of each queue id */
    uint32_t queue_count;     /* as many as read or write ever were: fewer hides, never deletes */
};

const struct sk_topic *sk_state_topic(const sk_state *state, struct sk_slice name);
const struct sk_topic *sk_state_topic_by_id(const sk_state *state, uint32_t id);
/* In order of name; *cursor starts at 0; NULL at the end. Valid while nothing is applied. */
const struct sk_topic *sk_state_next_topic(const sk_state *state, size_t *cursor);
size_t sk_state_topic_count(const sk_state *state);
/* The cursor of the first topic after that name in order, whether or not there is such a topic; empty:
 * of the first. For listings in pages, between which the state changes. */
size_t sk_state_topics_after(const sk_state *state, struct sk_slice name);

/* The offset that the next message of this queue gets. */
uint64_t sk_state_next_offset(const sk_state *state, uint32_t store_queue);

/* Whose queue is that? NULL if no topic has it (any more). */
const struct sk_topic *sk_state_topic_of_queue(const sk_state *state, uint32_t store_queue,
                                               uint32_t *queue);

/* A name that exists is a change: queues are added, the rest is replaced. The caller has checked
 * that there is a topic before it deletes it, and keeps topic->queues: the store drops them. */
struct sk_topic_change {
    struct sk_slice name;
    enum sk_topic_type type;
    bool mixed;
    uint32_t read_queues, write_queues;
    unsigned permission;
};
void sk_state_encode_topic(const struct sk_topic_change *change, struct sk_buffer *out);
void sk_state_encode_topic_deleted(struct sk_slice name, struct sk_buffer *out);

/* --- groups ------------------------------------------------------------------------------ */

struct sk_group {
    struct sk_slice name;
    uint32_t id;
    uint32_t max_attempts;
    bool orderly;
    uint64_t created_ms;
};

const struct sk_group *sk_state_group(const sk_state *state, struct sk_slice name);
const struct sk_group *sk_state_group_by_id(const sk_state *state, uint32_t id);
const struct sk_group *sk_state_next_group(const sk_state *state, size_t *cursor);
size_t sk_state_group_count(const sk_state *state);
size_t sk_state_groups_after(const sk_state *state, struct sk_slice name);

struct sk_group_change {
    struct sk_slice name;
    uint32_t max_attempts;
    bool orderly;
};
void sk_state_encode_group(const struct sk_group_change *change, struct sk_buffer *out);
void sk_state_encode_group_deleted(struct sk_slice name, struct sk_buffer *out);

/* Grows with every change of topics or groups: the registrar reports when it moved. */
uint64_t sk_state_config_version(const sk_state *state);

/* --- delivery ---------------------------------------------------------------------------- */

/* What the state must ask the store: the first kept offset of a queue, the offset after the last
 * one that consumers may see (committed), and the tag hashes in between. */
struct sk_queue_view {
    void (*range)(void *owner, uint32_t store_queue, uint64_t *min, uint64_t *visible);
    /* Fills hashes[0..count) from `offset`; returns how many are there. SK_TAGS_LATER: they are not
     * at hand; the choice ends with what it has, to be made again when they are. */
    size_t (*tags)(void *owner, uint32_t store_queue, uint64_t offset, size_t count,
                   uint32_t *hashes);
    void *owner;
};

#define SK_TAGS_LATER SIZE_MAX

struct sk_choose {
    uint32_t group, topic;       /* ids */
    uint64_t now_ms;
    uint32_t first_queue;        /* where to begin; the caller rotates it */
    size_t count;                /* at most so many messages, <= SK_CHOOSE_MAX */
    const uint32_t *tag_hashes;  /* sorted; NULL: everything matches */
    size_t tag_hash_count;
    uint64_t deadline_ms;        /* of the leases */
    bool auto_renew;
    uint64_t owner;              /* hash of the client id */
};

struct sk_chosen {
    uint32_t queue;      /* queue id within the topic */
    uint32_t store_queue;
    uint64_t offset;
    uint32_t attempt;    /* 1 for the first delivery */
};

/* Choose messages for one receive.
 *
 * Order: queue after queue from first_queue; in each queue first what came back (returned, or
 * its lease ended), lowest offset first, then what is new. Each queue is drained before the next
 * one is looked at, so no queue starves as long as the caller rotates first_queue. (Until there
 * are dead letters, a message that is always given back at once keeps those behind it waiting
 * when count is 1.)
 * Filter: what it does not want is passed over, which counts as consumed, also when it came back.
 * It compares hashes: the caller compares the tags themselves, and acknowledges the rare message
 * that only its hash let through.
 * Attempts: not limited here, they only grow; dead letters are to come. Neither the topic's
 * permission nor `orderly` is looked at.
 *
 * Fills chosen[0..count) and the DELIVER payload in *out (which is emptied first); returns how
 * many were chosen. Whenever *out is not empty it must be appended and applied. 0 chosen and
 * something in *out: offsets were passed over, and there may be more: choose again at once.
 * 0 chosen and nothing in *out: wait for a message, or for sk_state_next_deadline. A message that
 * cannot be read any more (damaged, just deleted by retention) is to be acknowledged.
 * Changes nothing. At most 16384 tags are looked at in one call. */
size_t sk_state_choose(const sk_state *state, const struct sk_choose *how,
                       const struct sk_queue_view *view, struct sk_chosen *chosen,
                       struct sk_buffer *out);

/* When to choose again for (group, topic) although no message was sent: the earliest end of a lease
 * in the queues that can be read, 0 if something was released; UINT64_MAX without leases. May be
 * early, never late; after a choice in vain it lies after the now_ms of that choice. */
uint64_t sk_state_next_deadline(const sk_state *state, uint32_t group, uint32_t topic);

/* --- leases ------------------------------------------------------------------------------ */

/* Of the record that gave it. */
struct sk_lease_id {
    uint32_t epoch;
    uint64_t position;
};

static inline bool sk_lease_id_eq(struct sk_lease_id a, struct sk_lease_id b)
{
    return a.position == b.position && a.epoch == b.epoch;
}

/* Was `a` given before `b`? */
static inline bool sk_lease_id_before(struct sk_lease_id a, struct sk_lease_id b)
{
    return a.epoch != b.epoch ? a.epoch < b.epoch : a.position < b.position;
}

struct sk_lease {
    uint32_t group, topic, queue; /* ids */
    uint64_t offset;
    struct sk_lease_id lease;
};

struct sk_lease_info {
    uint64_t deadline_ms;
    uint64_t given_ms; /* time of the DELIVER record, in whole seconds */
    uint64_t owner;
    uint32_t attempt;
    bool auto_renew;
};

/* Is this the present lease of that message, not yet ended at now_ms? */
bool sk_state_check_lease(const sk_state *state, const struct sk_lease *lease, uint64_t now_ms,
                          struct sk_lease_info *info);

/* Payloads for leases that were just checked. Applying one that is void is no error: that entry
 * has no effect. CHANGE: the new lease id is the record's, and there is no more auto
 * renewal: the consumer said when it wants the message again. A deadline at or before now gives
 * it back at once. */
void sk_state_encode_ack(const struct sk_lease *leases, size_t count, struct sk_buffer *out);
void sk_state_encode_change(const struct sk_lease *lease, uint64_t deadline_ms,
                            struct sk_buffer *out);
void sk_state_encode_renew(const struct sk_lease *leases, size_t count, uint64_t deadline_ms,
                           struct sk_buffer *out);
void sk_state_encode_release(const struct sk_lease *leases, size_t count, struct sk_buffer *out);

/* Auto-renewed leases whose deadline is before `before_ms`, or, with only_owner != 0, all of
 * that owner. A lease that has ended but was given to nobody else is among them: RENEW revives
 * it. fn must not apply anything.
 *
 * A call looks at a bounded part of them, or until fn returns false, and goes on where the last one
 * with this cursor stopped; false: that was all. What changes between two calls does no harm: each
 * lease that was there when the walk began and is still there was told when it ends, some of them
 * perhaps twice. */
struct sk_renewing_cursor { /* zeroed at first; the rest is the state's */
    bool begun;
    size_t left;
    const void *window;
    uint64_t block;
};
bool sk_state_each_auto_renewed(const sk_state *state, uint64_t before_ms, uint64_t only_owner,
                                struct sk_renewing_cursor *cursor,
                                bool (*fn)(void *arg, const struct sk_lease *lease,
                                           const struct sk_lease_info *info),
                                void *arg);

/* --- offsets (the pull side) ------------------------------------------------------------- */

struct sk_cursor {
    uint64_t committed; /* everything below is done */
    uint64_t next;      /* everything from here on was never delivered */
    uint64_t inflight;  /* leased, as far as the records say: those that have ended included */
    uint64_t returned;  /* by a RELEASE; [committed, next) without both is acknowledged */
};
/* False if the group never touched that queue. */
bool sk_state_cursor(const sk_state *state, uint32_t group, uint32_t topic, uint32_t queue,
                     struct sk_cursor *out);

/* Put the cursor there: committed = next = offset. */
void sk_state_encode_seek(uint32_t group, uint32_t topic, uint32_t queue, uint64_t offset,
                          struct sk_buffer *out);

#endif
