/* index.h - the queue index: (queue, offset) -> where the record is. Private to libstore.
 *
 *   queue 7:  [extent: offsets 0..7   | file 0, unit 4 ]     an extent's entries lie side by
 *             [extent: offsets 8..23  | file 0, unit 9 ]     side in the index file of the log
 *             [extent: offsets 24..26 | in memory      ]     segment that holds their records
 *
 * Index file k belongs to log segment k, so both are deleted together, and what is left of a
 * queue begins with its first extent that is left. Extents grow 8, 16, ... 1024 entries: a
 * quiet queue costs little, a busy one is read in long runs, and a million queues share one
 * file per segment. Only the last, unfilled extent of a queue lives in memory; full ones are
 * written by sk_index_write, off the append path, so an append never waits for the index' disk
 * and cannot fail because of it.
 *
 * Derived: everything here can be rebuilt from the log. Each entry on disk carries a check of
 * its queue and offset, so that rot shows as a missing entry, never as another queue's record.
 *
 * Threads: add, drop, claim, save from the store's writer; lookup, range, trim, write from any. */
#ifndef SK_STORE_INDEX_H
#define SK_STORE_INDEX_H

#include "base/bytes.h"
#include "base/thread.h"
#include "store/store.h"

typedef struct sk_index sk_index;

sk_index *sk_index_new(struct sk_vfs *vfs, const char *dir, uint64_t store_id,
                       uint64_t segment_bytes);
void sk_index_free(sk_index *index);

/* Take the next offsets of their queues for the records of a batch, all or none; records without a
 * queue are passed over. False: records[*bad] has another offset than the *expected one, or a queue
 * number that is too large. Given back by unclaim, or settled by add_batch. */
bool sk_index_claim(sk_index *index, const struct sk_append *records, size_t count, size_t *bad,
                    uint64_t *expected);
void sk_index_unclaim(sk_index *index, const struct sk_append *records, size_t count);

/* Put the records of a claimed batch in their queues; record i lies at spans[i]. */
void sk_index_add_batch(sk_index *index, const struct sk_append *records,
                        const struct sk_span *spans, size_t count);

/* Put a record in its queue. Offset 0 begins the queue anew; any other must be the next, or,
 * with `first`, the queue's first that is left. False: it is neither. */
bool sk_index_add(sk_index *index, const struct sk_record *record, bool first);
void sk_index_drop(sk_index *index, uint32_t queue);

struct sk_queue_range sk_index_range(sk_index *index, uint32_t queue);
size_t sk_index_lookup(sk_index *index, uint32_t queue, uint64_t offset, size_t count,
                       struct sk_index_entry *out);

/* Which log segment holds the record, whether or not its entry can be read; false: none does. */
bool sk_index_segment(sk_index *index, uint32_t queue, uint64_t offset, uint64_t *base);
/* Put a right entry, told by the log, in the place of a rotten one. */
void sk_index_repair(sk_index *index, uint32_t queue, uint64_t offset,
                     const struct sk_index_entry *entry);

/* Entries for records below `position` are forgotten and their files deleted. */
SK_CHECKED struct sk_status sk_index_drop_below(sk_index *index, uint64_t position);

/* Write what is full (or, with `all`, whatever is in memory) to the files; with `all` they are
 * durable when this returns. What fails stays in memory and is tried again next time. */
SK_CHECKED struct sk_status sk_index_write(sk_index *index, bool all);
/* Enough full extents for sk_index_write to be worth a call? */
bool sk_index_wants_write(const sk_index *index);

/* The table of extents, for a snapshot, page by page while the index goes on: of what lies below
 * `position`, which is the tail now. (begin: from the writer. What is dropped, or could leave
 * memory, in between does so at the end.) Each page appends about `most` bytes to *out and holds
 * the index' lock for as long; false: it was the last. Valid once sk_index_write(index, true)
 * succeeded after. */
void sk_index_save_begin(sk_index *index, uint64_t position);
bool sk_index_save_page(sk_index *index, struct sk_buffer *out, size_t most);
void sk_index_save_end(sk_index *index);
/* Open files for reading only: for verify. Before load. */
void sk_index_set_read_only(sk_index *index);
/* The table that was begun at `position`. Files for records below `begin` need not be there any
 * more. SK_CORRUPT: no save at that position can have said this.
 * SK_NOT_FOUND: another file that the table names is missing or damaged: rebuild. */
SK_CHECKED struct sk_status sk_index_load(sk_index *index, struct sk_slice table,
                                          uint64_t position, uint64_t begin);
/* Forget everything but the queues' next offsets, which a log cut short by retention does not
 * tell. */
void sk_index_clear(sk_index *index);

/* Numbers of the queues that have any state, in ascending order: call with *queue = 0 first and
 * the last one + 1 afterwards; false at the end. */
bool sk_index_next_queue(sk_index *index, uint32_t *queue);

/* An fsync of the index failed: it must not be trusted or tried again (the store fails). */
bool sk_index_is_broken(const sk_index *index);
uint64_t sk_index_bytes(sk_index *index);

#endif
