/* model.h - what the state machine should do, written down as simply as it goes.
 *
 * Arrays with an entry for each offset, and a loop over all of them for every question. It shares
 * no code with services/broker/state. Where that one keeps masks, hints and lists, this one looks
 * again. Topics and groups are few, and known by their place in an array. */
#ifndef TESTS_STATE_MODEL_H
#define TESTS_STATE_MODEL_H

#include "world.h"

enum { GROUPS = 3, TOPICS = 3, QUEUES = 4, OFFSETS = 2048 };

enum entry_status { CLOSED, LEASED, RETURNED };

struct entry {
    struct sk_lease_id lease;
    uint64_t deadline_ms, given_ms, owner;
    uint32_t attempt;
    uint8_t status;
    bool auto_renew;
};

struct model_cursor {
    bool touched;
    uint64_t low, next; /* everything below low is done */
    struct entry entries[OFFSETS];
};

struct model_topic {
    uint32_t id; /* 0: there is none */
    struct sk_topic_change is;
    uint64_t created_ms;
    uint32_t queue_count;
    uint32_t store_queues[QUEUES];
};

struct model_group {
    uint32_t id; /* 0: there is none */
    struct sk_group_change is;
    uint64_t created_ms;
};

struct model {
    struct model_topic topics[TOPICS];
    struct model_group groups[GROUPS];
    uint32_t last_topic, last_group, last_queue; /* the numbers given out last, or one more */
    uint64_t config_version;
    struct model_cursor cursors[GROUPS][TOPICS][QUEUES];
};

/* TOPIC, TOPIC_DELETED, GROUP, GROUP_DELETED. */
void model_topic(struct model *m, uint32_t topic, const struct sk_topic_change *is,
                 uint64_t now_ms);
void model_topic_deleted(struct model *m, uint32_t topic);
void model_group(struct model *m, uint32_t group, const struct sk_group_change *is,
                 uint64_t now_ms);
void model_group_deleted(struct model *m, uint32_t group);

/* What a receive should get, and what its DELIVER does: `how` as the world takes it, the lease is
 * that of the record to come. */
struct model_receipt {
    uint32_t group, topic;
    struct world_receive how;
    struct sk_chosen want[SK_CHOOSE_MAX];
    size_t count;
};
void model_receive(struct model *m, const struct world *w, struct model_receipt *r);

/* ACK, CHANGE, RENEW, RELEASE of one lease. */
void model_settle(struct model *m, enum sk_record_kind kind, const struct sk_lease *lease,
                  uint64_t deadline_ms, struct sk_lease_id new_lease);
void model_seek(struct model *m, uint32_t group, uint32_t topic, uint32_t queue, uint64_t offset);

/* The entry if that is its present lease; NULL. */
const struct entry *model_entry(struct model *m, const struct sk_lease *lease);
uint64_t model_committed(struct model_cursor *c);

#endif
