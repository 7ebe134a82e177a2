/* internal.h - what the state is made of.
 *
 *      sk_state ── topics, groups (names.h) ── the store's queues
 *         ├── subscriptions (group, topic) ── tracks[queue] ── window (window.h)
 *         └── buried: topics, subscriptions, windows that a record took away (buried.c)
 *
 * Functions that apply return NULL, or a sentence that says what was wrong;
 * then the state is half changed and only good for sk_state_free. */
#ifndef SK_STATE_INTERNAL_H
#define SK_STATE_INTERNAL_H

#include "names.h"
#include "records.h"
#include "save.h"
#include "state/state.h"
#include "window.h"

struct sk_topic_node {
    struct sk_named named;
    struct sk_topic topic;
    uint32_t *queues; /* topic.queues, writable */
    uint32_t saved;   /* save.h, as the others of this name */
    struct sk_subscription *subscriptions;
    struct sk_topic_node *next_buried;
    bool is_buried;
    uint32_t kept_for;
};

struct sk_group_node {
    struct sk_named named;
    struct sk_group group;
    uint32_t saved;
    struct sk_subscription *subscriptions;
};

/* The store's queues by number: in pages, so that numbers of deleted topics cost nothing. */
enum { SK_PAGE_QUEUES = 1024 };

struct sk_queue_slot {
    struct sk_topic_node *topic; /* NULL: no such queue any more */
    uint64_t next_offset;
    uint32_t queue; /* id within the topic */
    uint32_t saved;
};

struct sk_queue_page {
    size_t used;
    struct sk_queue_slot slots[SK_PAGE_QUEUES];
};

/* Where a group stands in one queue. */
struct sk_track {
    uint64_t next;            /* SK_NEVER: never touched */
    struct sk_window *window; /* NULL: nothing is open below next */
    uint32_t saved;
};

struct sk_subscription {
    uint64_t key; /* group id << 32 | topic id */
    UT_hash_handle hh;
    struct sk_group_node *group;
    struct sk_topic_node *topic;
    struct sk_subscription *next_of_group, *prev_of_group;
    struct sk_subscription *next_of_topic, *prev_of_topic;

    struct sk_track *tracks; /* by queue id; those behind track_count were never touched */
    uint32_t track_count;
    struct sk_window *windows; /* of the tracks that have one */
    uint64_t earliest_ms;      /* of the windows of queues that can be read, or less if stale */
    bool stale;
    struct sk_subscription *next_buried;
    uint32_t kept_for;
};

/* Out of sight, not yet freed. */
struct sk_buried {
    struct sk_window *windows;
    struct sk_subscription *subscriptions;
    struct sk_topic_node *topics;
};

struct sk_state {
    struct sk_names topics, groups;
    struct sk_queue_page **pages;
    size_t page_count;
    uint32_t next_queue; /* the store's; never used again */
    uint64_t config_version;

    struct sk_subscription *subscriptions; /* in the order of their making */
    struct sk_subscription *last_found;    /* NULL, or what the last search gave */
    struct sk_window **renewing;           /* windows with auto-renewed leases, in no order */
    size_t renewing_count, renewing_room;
    struct sk_pool pool;
    struct sk_buried buried;
    struct sk_state_watcher watcher;
    struct sk_saver saver;
};

/* Tell the watcher, if it wants to know: sk_tell(state, topic_changed, id). */
#define sk_tell(state, what, ...)                                                                  \
    do {                                                                                           \
        const struct sk_state_watcher *watcher_ = &(state)->watcher;                               \
        if (watcher_->what) watcher_->what(watcher_->owner, __VA_ARGS__);                          \
    } while (0)

/* --- catalogue.c: topics, groups, the store's queues ------------------------------------- */

const char *sk_apply_topic(struct sk_state *state, const struct sk_fact *fact);
const char *sk_apply_topic_deleted(struct sk_state *state, const struct sk_fact *fact);
const char *sk_apply_group(struct sk_state *state, const struct sk_fact *fact);
const char *sk_apply_group_deleted(struct sk_state *state, const struct sk_fact *fact);
const char *sk_apply_message(struct sk_state *state, const struct sk_fact *fact);

/* For applying and loading alike. id 0: the next one. */
struct sk_topic_node *sk_topic_add(struct sk_state *state, const struct sk_topic_change *change,
                                   uint32_t id, uint64_t created_ms);
void sk_topic_add_queue(struct sk_state *state, struct sk_topic_node *topic, uint32_t store_queue,
                        uint64_t next_offset);
/* For loading: so many queues are to come, in any order, each once. */
#define SK_NO_STORE_QUEUE UINT32_MAX
void sk_topic_promise_queues(struct sk_topic_node *topic, uint32_t count);
void sk_topic_place_queue(struct sk_state *state, struct sk_topic_node *topic, uint32_t queue,
                          uint32_t store_queue, uint64_t next_offset);
bool sk_topic_lacks_queues(const struct sk_topic_node *topic);
struct sk_group_node *sk_group_add(struct sk_state *state, const struct sk_group_change *change,
                                   uint32_t id, uint64_t created_ms);
/* NULL if no topic has it. */
struct sk_queue_slot *sk_queue_slot(const struct sk_state *state, uint32_t store_queue);
/* Of a topic that is gone: at most *budget of its last queues; true: all are. */
bool sk_topic_drop_queues(struct sk_state *state, struct sk_topic_node *topic, bool keep,
                          size_t *budget);
void sk_catalogue_done(struct sk_state *state);

/* --- buried.c: what records took away ----------------------------------------------------- */

void sk_bury_window(struct sk_state *state, struct sk_window *w);
void sk_bury_subscription(struct sk_state *state, struct sk_subscription *sub);
void sk_bury_topic(struct sk_state *state, struct sk_topic_node *topic);
/* A step: so many take some 3 µs, and 30 when a snapshot has to be told of each. */
enum { SK_SWEEP = 32 };
/* Take apart at most `budget` blocks, tracks and queues. */
void sk_sweep(struct sk_state *state, size_t budget);
bool sk_has_buried(const struct sk_state *state);
void sk_buried_done(struct sk_state *state);

/* --- subscription.c: tracks and their windows -------------------------------------------- */

struct sk_subscription *sk_subscription_find(const struct sk_state *state, uint32_t group,
                                             uint32_t topic);
struct sk_subscription *sk_subscription_get(struct sk_state *state, struct sk_group_node *group,
                                            struct sk_topic_node *topic);
/* Out of all lists, and buried. */
void sk_subscription_remove(struct sk_state *state, struct sk_subscription *sub);
/* Of one that is buried: at most *budget of its last tracks and their blocks; true: it is gone. */
bool sk_subscription_free_some(struct sk_state *state, struct sk_subscription *sub, bool keep,
                               size_t *budget);

/* NULL: never touched. */
struct sk_track *sk_track_find(const struct sk_subscription *sub, uint32_t queue);
/* Never NULL; new ones have next == SK_NEVER. Moves the tracks of `sub`. */
struct sk_track *sk_track_get(struct sk_subscription *sub, uint32_t queue);
uint64_t sk_track_committed(const struct sk_track *track);
struct sk_window *sk_track_window(struct sk_state *state, struct sk_subscription *sub,
                                  uint32_t queue, struct sk_track *track);
/* After every change of a track's window: frees an empty one, and keeps the lists and hints. */
void sk_track_settle(struct sk_state *state, struct sk_subscription *sub, struct sk_track *track);
/* Other queues may be hidden now. */
void sk_subscription_note_queues(struct sk_subscription *sub);
/* Put it there; leases are void. */
void sk_track_seek(struct sk_state *state, struct sk_subscription *sub, struct sk_track *track,
                   uint64_t offset);

/* --- the records of consumption ---------------------------------------------------------- */

const char *sk_apply_deliver(struct sk_state *state, const struct sk_fact *fact); /* choose.c */
const char *sk_apply_leases(struct sk_state *state, const struct sk_fact *fact);  /* leases.c */
const char *sk_apply_seek(struct sk_state *state, const struct sk_fact *fact);    /* leases.c */

#endif
