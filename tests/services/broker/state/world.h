/* world.h - a log and a store in memory around a state: what a broker does with it.
 *
 * Every record is kept, so that a test can replay them into a second state.
 * Positions grow by 100, and go back only with a new epoch. All functions abort on what a test did
 * not expect. */
#ifndef TESTS_STATE_WORLD_H
#define TESTS_STATE_WORLD_H

#include "state/state.h"

enum { WORLD_QUEUES = 8192 }; /* of the store, counting those of deleted topics */

struct world_queue {
    uint64_t min, max;
    uint64_t visible; /* moves with max unless the test holds it back */
    uint32_t *tags;   /* by offset */
    size_t room;
};

struct world {
    sk_state *state;
    struct sk_fact *facts; /* payloads are ours */
    size_t fact_count, fact_room;
    uint64_t position, now_ms;
    uint32_t epoch;
    struct world_queue queues[WORLD_QUEUES];
    size_t tag_questions; /* offsets asked for */
};

void world_init(struct world *w);
void world_done(struct world *w);

/* Write and apply. `payload` is emptied. Returns the lease id that the record gives. */
struct sk_lease_id world_write(struct world *w, enum sk_record_kind kind,
                               struct sk_buffer *payload);
/* The next record is of a new epoch, and stands where one of the last `records` stood before. */
void world_new_epoch(struct world *w, uint64_t records);
/* As world_write, giving back what apply said. */
struct sk_status world_try(struct world *w, enum sk_record_kind kind, struct sk_slice payload);

uint32_t world_topic(struct world *w, const char *name, uint32_t queues); /* returns its id */
uint32_t world_group(struct world *w, const char *name);
void world_delete_topic(struct world *w, const char *name);
void world_delete_group(struct world *w, const char *name);
void world_send(struct world *w, uint32_t topic, uint32_t queue, size_t count, uint32_t tag_hash);
void world_seek(struct world *w, uint32_t group, uint32_t topic, uint32_t queue, uint64_t offset);

struct sk_queue_view world_view(struct world *w);

/* Choose, write and apply; a lease for each message. Everything not said is: any tag, from queue
 * 0 on, for 1000 ms, owner 7. */
struct world_receive {
    uint32_t group, topic, first_queue;
    size_t count;
    const uint32_t *tags;
    size_t tag_count;
    uint64_t invisible_ms; /* 0: 1000 */
    uint64_t owner;
    bool auto_renew;
};
size_t world_receive(struct world *w, const struct world_receive *how, struct sk_lease *leases,
                     struct sk_chosen *chosen);

void world_ack(struct world *w, const struct sk_lease *leases, size_t count);
void world_release(struct world *w, const struct sk_lease *leases, size_t count);
void world_renew(struct world *w, const struct sk_lease *leases, size_t count,
                 uint64_t deadline_ms);
/* The lease becomes the new one. */
void world_change(struct world *w, struct sk_lease *lease, uint64_t deadline_ms);

/* {0}, all UINT64_MAX, without a cursor. */
struct sk_cursor world_cursor(const struct world *w, uint32_t group, uint32_t topic,
                              uint32_t queue);

/* States made from this one; the caller frees them. */
sk_state *world_replay(const struct world *w);
sk_state *world_reload(const struct world *w);

#endif
