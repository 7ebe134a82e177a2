/* tags.c - one window of tag hashes. */
#include "tags.h"

#include <string.h>

#include "base/memory.h"

struct sk_tags *sk_tags_new(sk_store *store, uint32_t stand_in)
{
    struct sk_tags *tags = sk_alloc(sizeof *tags); /* not cleared: the hashes are most of it */
    tags->store = store;
    tags->stand_in = stand_in;
    tags->missing = false;
    tags->queue = SK_NO_QUEUE;
    tags->offset = 0;
    tags->count = 0;
    return tags;
}

size_t sk_tags_see(struct sk_tags *tags, uint32_t store_queue, uint64_t offset, size_t count,
                   uint32_t *hashes)
{
    bool inside =
        store_queue == tags->queue && offset >= tags->offset && offset - tags->offset < tags->count;
    if (!inside) {
        tags->missing = true;
        tags->queue = store_queue;
        tags->offset = offset;
        tags->count = 0;
        return SK_TAGS_LATER;
    }
    size_t first = (size_t)(offset - tags->offset);
    size_t got = tags->count - first < count ? tags->count - first : count;
    memcpy(hashes, tags->hashes + first, got * sizeof *hashes);
    return got;
}

/* A message that the index has lost and the log cannot tell is given to the consumer, as it is
 * without a filter; below the first kept offset there is nothing, and the next choice begins above
 * it. */
void sk_tags_fetch(struct sk_tags *tags)
{
    struct sk_index_entry entries[128];
    while (tags->count < SK_TAGS_WINDOW) {
        size_t got = sk_store_lookup(tags->store, tags->queue, tags->offset + tags->count,
                                     sizeof entries / sizeof entries[0], entries);
        for (size_t i = 0; i < got; i++) tags->hashes[tags->count++] = entries[i].tag_hash;
        if (got == 0) break;
    }
    struct sk_queue_range range = sk_store_queue(tags->store, tags->queue);
    if (tags->count == 0 && tags->offset >= range.min && tags->offset < range.max)
        tags->hashes[tags->count++] = tags->stand_in;
    tags->missing = false;
}
