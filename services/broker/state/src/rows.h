/* rows.h - the state as a bag of rows: what a snapshot is made of, and what the hash is the sum of.
 *
 * SNAPSHOT, version 3: rows, kinds in ascending order, those of one kind in any; then END.
 * `v` is a varint (varint.h), other integers are little endian. Each row begins with its kind.
 *
 *   1 HEADER   4 magic "SKST"  4 version  v config version
 *              4 next topic id  4 next group id  4 next queue number of the store
 *   2 TOPIC    v id  1 type  1 flags (1 mixed)  1 permission  v read queues  v write queues
 *              v queues, hidden ones too  v created_ms  v length of the name  . name
 *   3 QUEUE    v topic id  v queue id  v the store's number  v next offset
 *   4 GROUP    v id  1 flags (1 orderly)  v max attempts  v created_ms
 *              v length of the name  . name
 *   5 TRACK    v group id  v topic id  v queue id  v next
 *   6 BLOCK    v group id  v topic id  v queue id  v index
 *              8 leased  8 returned  8 auto renewed (a bit for each offset)
 *              for each open message, in order of offset: v attempt, and if leased:
 *              v epoch  v position  v deadline_ms  8 owner  4 given_s
 *   7 END      v number of the rows before it  8 sum of their hashes (sk_row_hash)
 *
 * The same thing gives the same row: hints, pools and leftovers in slots are not written. So equal
 * states have equal hashes, whatever the order in which they came to be. */
#ifndef SK_STATE_ROWS_H
#define SK_STATE_ROWS_H

#include "base/bytes.h"
#include "state/state.h"
#include "window.h"

enum sk_row_kind {
    SK_ROW_HEADER = 1,
    SK_ROW_TOPIC,
    SK_ROW_QUEUE,
    SK_ROW_GROUP,
    SK_ROW_TRACK,
    SK_ROW_BLOCK,
    SK_ROW_END,
};

enum { SK_ROW_MAGIC = 0x54534b53, SK_ROW_VERSION = 3, SK_ROW_MIXED = 1, SK_ROW_ORDERLY = 1 };

struct sk_row_header {
    uint64_t config_version;
    uint32_t next_topic, next_group, next_queue;
};

void sk_put_header_row(const struct sk_row_header *header, struct sk_buffer *out);
void sk_put_topic_row(const struct sk_topic *topic, struct sk_buffer *out);
void sk_put_queue_row(uint32_t topic, uint32_t queue, uint32_t store_queue, uint64_t next_offset,
                      struct sk_buffer *out);
void sk_put_group_row(const struct sk_group *group, struct sk_buffer *out);

struct sk_row_place { /* of tracks and blocks */
    uint32_t group, topic, queue;
};
void sk_put_track_row(struct sk_row_place place, uint64_t next, struct sk_buffer *out);
void sk_put_block_row(struct sk_row_place place, uint64_t index, const struct sk_block *block,
                      struct sk_buffer *out);

/* To notice a difference, not to withstand an enemy. */
uint64_t sk_row_hash(const uint8_t *row, size_t len);

struct sk_row_tally {
    uint64_t rows, sum;
};
/* The row is all that *out holds from `from` on. */
void sk_tally_row(struct sk_row_tally *tally, const struct sk_buffer *out, size_t from);
void sk_put_end_row(const struct sk_row_tally *tally, struct sk_buffer *out);

#endif
