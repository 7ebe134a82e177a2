/* records.h - the payloads of the records, for the rest of the room.
 *
 * Readers return NULL, or a sentence that says what is wrong with the bytes.
 * Names and slices they give point into the payload. */
#ifndef SK_STATE_RECORDS_H
#define SK_STATE_RECORDS_H

#include "state/state.h"

/* Offsets, and ranges of them, stay below this, so that sums cannot wrap. */
#define SK_OFFSET_LIMIT ((uint64_t)1 << 62)

const char *sk_read_topic(struct sk_slice payload, struct sk_topic_change *out);
const char *sk_read_group(struct sk_slice payload, struct sk_group_change *out);
const char *sk_read_name(struct sk_slice payload, struct sk_slice *out);

/* --- DELIVER: a header, then per queue a base offset and runs from there on -------------- */

struct sk_deliver {
    uint32_t group, topic;
    uint64_t deadline_ms;
    uint64_t owner;
    bool auto_renew;
};

enum sk_run_kind { SK_RUN_GAP, SK_RUN_LEASE, SK_RUN_SKIP };

/* Writes nothing until the first queue is begun. Runs of one kind that touch become one. */
struct sk_deliver_writer {
    struct sk_buffer *out;
    const struct sk_deliver *header;
    bool begun, in_queue;
    enum sk_run_kind kind; /* of the run that is not written yet */
    uint64_t at;           /* its end */
    uint64_t count;        /* its length; 0: none */
};

/* floor: NULL, or the offset below which everything is done. */
void sk_deliver_queue(struct sk_deliver_writer *w, uint32_t queue, const uint64_t *floor,
                      uint64_t base);
/* [offset, offset + count) of that queue; offsets ascend. */
void sk_deliver_run(struct sk_deliver_writer *w, enum sk_run_kind kind, uint64_t offset,
                    uint64_t count);
void sk_deliver_queue_done(struct sk_deliver_writer *w);

struct sk_deliver_queue {
    uint32_t queue;
    bool has_floor;
    uint64_t floor, base;
};

struct sk_run {
    enum sk_run_kind kind;
    uint64_t count;
};

const char *sk_read_deliver(struct sk_slice payload, struct sk_deliver *out,
                            struct sk_reader *rest);
/* False at the end, or when the bytes are bad: then rest->failed. */
bool sk_read_deliver_queue(struct sk_reader *rest, struct sk_deliver_queue *out);
bool sk_read_deliver_run(struct sk_reader *rest, struct sk_run *out);

/* --- ACK, CHANGE, RENEW, RELEASE: runs of leases ----------------------------------------- */

struct sk_lease_run {
    uint32_t group, topic, queue;
    struct sk_lease_id lease;
    uint64_t offset, count;
};

/* A zeroed run goes in at first; each call changes it into the next one. */
const char *sk_read_leases(struct sk_slice payload, bool with_deadline, uint64_t *deadline_ms,
                           struct sk_reader *rest);
bool sk_read_lease_run(struct sk_reader *rest, struct sk_lease_run *run);

struct sk_seek {
    uint32_t group, topic, queue;
    uint64_t offset;
};
const char *sk_read_seek(struct sk_slice payload, struct sk_seek *out);

#endif
