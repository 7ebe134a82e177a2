/* powercut.h - the proof of the ledger by power cuts, as its own files see it: powercut.c says what
 * is proved, powercut_life.c lives, powercut_check.c looks at what came back. */
#ifndef TESTS_BROKER_POWERCUT_H
#define TESTS_BROKER_POWERCUT_H

#include "ledger/ledger.h"
#include "support/power_past.h"

#define DIR "/d/broker"

enum { MOST_QUEUES = 3, MOST_HELD = 32 };

/* What was done to cursors, in the order of the log: a cut leaves the first few. */
enum event_kind { LEASED, ACKED, CHANGED, RENEWED, RELEASED, SOUGHT, TOPIC_GONE, GROUP_GONE };

struct event {
    enum event_kind kind;
    size_t record;                /* done by the record of this number, from 1 */
    uint32_t group, topic, queue; /* ids */
    uint64_t offset, deadline_ms;
    struct sk_lease_id lease;
};

struct work {
    struct power_dice dice;
    struct sk_clock clock; /* stands still but for us */
    uint64_t now_ms;
    uint64_t segment_bytes, retention_bytes;
    struct power_past past;
    uint64_t *hashes; /* hashes[k]: of the state after k records */
    uint64_t *times;  /* times[k]: when record k was written, from 1 */
    size_t hash_room;
    struct event *events;
    size_t event_count, event_room;
    uint32_t queues;  /* of the store, ever made: numbers below this */
    uint64_t *epochs; /* epochs[e]: where it began in the life that the images are of */
    uint32_t epoch;   /* the last one */
    /* The present life. */
    struct memory_vfs *disk;
    sk_ledger *ledger;
    enum sk_flush_mode flush;
    struct sk_lease held[MOST_HELD]; /* given, perhaps void by now */
    size_t held_count;
};

/* Open what is on the disk. */
/* For a choice's view: its owner is a turn. */
void powercut_range(void *turn, uint32_t store_queue, uint64_t *min, uint64_t *visible);
sk_ledger *powercut_open(struct work *w, struct memory_vfs *disk, struct sk_recovery *found);

/* How many of the life's records are in a log that was just opened. What an opening writes itself,
 * the record of its epoch, lies where records of the life were lost, and is none of them. */
size_t powercut_records(const struct work *w, sk_ledger *ledger, const struct sk_recovery *found);

/* For struct power_subject; `work` is a struct work. */
void powercut_live(void *work, struct memory_vfs *disk, int life);
uint64_t powercut_recover(void *work, struct memory_vfs *image, bool thorough, size_t *steps);

#endif
