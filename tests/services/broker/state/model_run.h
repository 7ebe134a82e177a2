/* model_run.h - a run of test_model.c: the state machine and the model side by side. */
#ifndef TESTS_STATE_MODEL_RUN_H
#define TESTS_STATE_MODEL_RUN_H

#include "model.h"
#include "shrink.h"

enum { LEASES = 256, TAGS = 4 };

/* What a run is made of: name, and how often of all. Each seed has more of some and less of others.
 */
#define OPERATIONS(X)                                                                              \
    X(SEND, 250)                                                                                   \
    X(RECEIVE, 300)                                                                                \
    X(ACK, 220)                                                                                    \
    X(RELEASE, 30)                                                                                 \
    X(RENEW, 40)                                                                                   \
    X(CHANGE, 40)                                                                                  \
    X(SEEK, 8)                                                                                     \
    X(TIME, 50)                                                                                    \
    X(RETAIN, 10)                                                                                  \
    X(HOLD_BACK, 15)                                                                               \
    X(TOPIC, 6)                                                                                    \
    X(GROUP, 4)                                                                                    \
    X(TOPIC_DELETED, 2)                                                                            \
    X(GROUP_DELETED, 2)                                                                            \
    X(EPOCH, 4)                                                                                    \
    X(LATE, 2)                                                                                     \
    X(SNAPSHOT, 3)                                                                                 \
    X(RESTART, 3)

/* Every public function of the state machine. */
#define FUNCTIONS(X)                                                                               \
    X(new)                                                                                         \
    X(free)                                                                                        \
    X(apply)                                                                                       \
    X(save) X(load) X(hash) X(topic) X(topic_by_id) X(next_topic) X(topic_count) X(next_offset)    \
        X(topic_of_queue) X(encode_topic) X(encode_topic_deleted) X(group) X(group_by_id)          \
            X(next_group) X(group_count) X(encode_group) X(encode_group_deleted) X(config_version) \
                X(choose) X(next_deadline) X(check_lease) X(encode_ack) X(encode_change)           \
                    X(encode_renew) X(encode_release) X(each_auto_renewed) X(cursor)               \
                        X(encode_seek) X(watch) X(sweep) X(topics_after) X(groups_after) X(save_begin)      \
                            X(save_page) X(save_end)

#define AS_OPERATION(name, weight) OP_##name,
#define AS_FUNCTION(name) FN_##name,
enum operation { OPERATIONS(AS_OPERATION) OP_COUNT };
enum function { FUNCTIONS(AS_FUNCTION) FN_COUNT };

/* How often; shared with the processes that the runs are in. */
extern struct counts {
    uint64_t operations[OP_COUNT], functions[FN_COUNT], kinds[SK_RECORD_SEEK + 1];
    uint64_t steps, runs, hashes, pages;
} * counts;

#define used(name) (counts->functions[FN_##name]++)
#define call(name) (used(name), sk_state_##name)

struct run {
    struct world w;
    struct model m;
    const struct trial *trial;
    uint64_t random; /* of this step */
    uint32_t weights[OP_COUNT], weight_sum;
    struct sk_lease leases[LEASES]; /* some of those that were given, present or not */
    size_t lease_count;
    struct sk_buffer pages; /* of the snapshot that is being taken, of the state... */
    size_t pages_facts;     /* ...after so many records... */
    uint64_t pages_hash;    /* ...which has this hash */
    bool saving;
    struct sk_buffer snapshot; /* taken when there were... */
    size_t snapshot_facts;     /* ...so many records; empty: none yet */
    size_t replayed;           /* by all restarts: their cost grows with the square */
    size_t watched, messages;  /* messages that the watcher was told of; MESSAGE records */
};

extern const char *const group_names[GROUPS];
extern const char *const topic_names[TOPICS];

uint64_t mix(uint64_t x);
uint32_t below(struct run *r, uint32_t end);
bool one_in(struct run *r, uint32_t n);

#define must_equal(got, want, what) trial_must_equal(r->trial, (got), (want), (what))
#define tell(...) trial_tell(r->trial, __VA_ARGS__)

static inline uint32_t topic_id(const struct run *r, uint32_t t)
{
    return r->m.topics[t].id;
}

static inline uint32_t group_id(const struct run *r, uint32_t g)
{
    return r->m.groups[g].id;
}

/* What both say must be the same. The deadline may be early, but neither late nor, after a choice
 * in vain, in the past. */
void compare_cursors(struct run *r, uint32_t g, uint32_t t);
void compare_deadline(struct run *r, uint32_t g, uint32_t t, bool in_vain);
void compare_leases(struct run *r);
void compare_auto_renewed(struct run *r, uint64_t before_ms, uint64_t owner);
void compare_catalogue(struct run *r);

#endif
