/* save.h - a snapshot of the state at one moment, in pages, while the state goes on changing.
 *
 *      begin      page     page        page            end
 *      v          v        v           v               v
 *   ---+--apply---+-apply--+--apply----+---- … --------+---
 *      ^ the snapshot is of this moment
 *
 * The rows (rows.h) are walked kind by kind. Each bears the generation of the last snapshot that it
 * is in, or that it is too young for: whoever is about to change a row, or to remove it, calls
 * sk_keep_* first, which puts the old row aside if the snapshot has not got it yet. The rows
 * of a kind that were put aside follow those that were walked. So a page costs what is written in
 * it, and a change at most one row more, once for each row.
 *
 * The walk is by numbers and by the list of subscriptions, which is in the order of their making:
 * neither minds what comes or goes between two pages. */
#ifndef SK_STATE_SAVE_H
#define SK_STATE_SAVE_H

#include "rows.h"

/* Rows put aside, in the order of their coming: in chunks, so that none is ever moved, and each is
 * freed once it is written. */
struct sk_aside_chunk {
    struct sk_aside_chunk *next;
    size_t room, len;
    uint8_t rows[]; /* each: u32 length, bytes */
};

struct sk_aside {
    struct sk_aside_chunk *first, *last;
    size_t at; /* of the first, what is written */
};

struct sk_saver {
    bool active;
    uint32_t generation; /* of the snapshot under way, or of the last one */

    enum sk_row_kind kind; /* that is written now */
    bool walked;           /* of it only rows put aside are left */
    uint32_t id;           /* what the walk comes to next: topic, group, the store's queue; */
    struct sk_subscription *subscription; /* or this one's... */
    uint32_t queue;                       /* ...queue, and in it... */
    uint64_t index;                       /* ...block */

    struct sk_row_header header; /* as it was at the beginning */
    struct sk_aside aside[SK_ROW_END];
    struct sk_buffer row; /* room for one */
    struct sk_row_tally tally;
};

/* Is the row in no snapshot yet that is to have it? */
static inline bool sk_is_to_be_kept(const struct sk_saver *saver, uint32_t saved)
{
    return saver->active && saved != saver->generation;
}

/* Before the change. */
struct sk_topic_node;
struct sk_group_node;
struct sk_queue_slot;
void sk_keep_topic(struct sk_state *state, struct sk_topic_node *topic);
void sk_keep_group(struct sk_state *state, struct sk_group_node *group);
void sk_keep_queue(struct sk_state *state, uint32_t store_queue, struct sk_queue_slot *slot);
/* A track that was never touched is a new row. */
void sk_keep_track(struct sk_state *state, const struct sk_subscription *sub, uint32_t queue);
void sk_keep_block(struct sk_saver *saver, const struct sk_window *window, uint64_t index,
                   struct sk_block *block);
/* The subscription goes, and its rows were kept. */
void sk_saver_forget(struct sk_saver *saver, const struct sk_subscription *sub);
void sk_saver_done(struct sk_saver *saver);

#endif
