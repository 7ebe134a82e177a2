/* powercut_store.h - what the files of the store's proof by power cuts share: powercut.c (lives),
 * powercut_check.c (what an image must hold). */
#ifndef POWERCUT_STORE_H
#define POWERCUT_STORE_H

#include "store_impl.h"
#include "support/power_past.h"

#define DIR "/d/store"

enum { QUEUES = 4, MOST_BATCH = 5, MOST_BYTES = 1500 };

struct owner { /* the state that the store's owner keeps, and saves in snapshots */
    uint64_t records;
    uint64_t last_position; /* end of the last record */
    uint64_t sum;           /* over all of each record, in order */
};

struct work {
    struct power_dice dice;
    uint64_t segment_bytes, retention_bytes;
    struct power_past past;
    struct owner *after; /* after[k]: the state after k records */
    size_t after_room;
    /* The present life. */
    struct memory_vfs *disk;
    sk_store *store;
    struct owner state;
    uint64_t next[QUEUES];
    bool saving; /* steps of others may come in between */
    bool write_ahead;
    bool append_in_sync;
    uint64_t cut; /* the life ended with a cut to this position; 0: with a stop */
};

/* powercut.c */
struct sk_store_options store_options(const struct work *w, struct memory_vfs *disk,
                                      struct owner *state);
sk_store *open_store(struct work *w, struct memory_vfs *disk, struct owner *state,
                     struct sk_recovery *out);

/* powercut_check.c: of struct power_subject. */
uint64_t recover(void *work, struct memory_vfs *image, bool thorough, size_t *steps);

#endif
