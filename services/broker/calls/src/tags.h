/* tags.h - tag hashes for a choice, read from the index while nobody holds the ledger's lock.
 *
 *      turn: choose ─► "tags of queue 7 from offset 4,096 on, please" ─► leave
 *      fetch them ─► turn: choose again, from where the group stands now ─► …
 *
 * A choice looks only into the window that was fetched; what it needs beyond is noted, and the
 * choice ends there. Meanwhile others may have moved the group on: then the window is not asked
 * for, and another one is.
 *
 * Threads: those of the call that it belongs to. */
#ifndef SK_BROKER_TAGS_H
#define SK_BROKER_TAGS_H

#include "ledger/ledger.h"

enum { SK_TAGS_WINDOW = 4096 };

struct sk_tags {
    sk_store *store;
    uint32_t stand_in; /* for a message whose tag cannot be read: one that the filter wants */
    bool missing;      /* the last choice ended because it needed more */
    uint32_t queue;    /* the store's number; of the window, or of what is missing */
    uint64_t offset;   /* where it begins */
    size_t count;      /* fetched; 0 while they are missing */
    uint32_t hashes[SK_TAGS_WINDOW];
};

/* free() it. */
struct sk_tags *sk_tags_new(sk_store *store, uint32_t stand_in);

/* For sk_queue_view.tags: SK_TAGS_LATER when they are not in the window. */
size_t sk_tags_see(struct sk_tags *tags, uint32_t store_queue, uint64_t offset, size_t count,
                   uint32_t *hashes);

/* Read what is missing. No lock is held. */
void sk_tags_fetch(struct sk_tags *tags);

#endif
