/* save.c - snapshots: in pages while the state changes, and all at once; and the hash. */
#include "save.h"

#include <stdlib.h>

#include "internal.h"

enum { VISIT = 8 }; /* what looking at a row costs, in bytes of a page, though nothing be written */

static struct sk_row_place place_of_key(uint64_t key, uint32_t queue)
{
    return (struct sk_row_place){(uint32_t)(key >> 32), (uint32_t)key, queue};
}

static struct sk_row_place place_of(const struct sk_subscription *sub, uint32_t queue)
{
    return place_of_key(sub->key, queue);
}

/* --- put aside --------------------------------------------------------------------------- */

enum { CHUNK = 64 * 1024 };

static struct sk_aside_chunk *chunk_for(struct sk_aside *aside, size_t len)
{
    struct sk_aside_chunk *chunk = aside->last;
    if (chunk && chunk->room - chunk->len >= len) return chunk;
    size_t room = len > CHUNK ? len : CHUNK;
    chunk = sk_alloc(sizeof *chunk + room);
    *chunk = (struct sk_aside_chunk){.room = room};
    if (aside->last)
        aside->last->next = chunk;
    else
        aside->first = chunk;
    aside->last = chunk;
    return chunk;
}

static void drop_first(struct sk_aside *aside)
{
    struct sk_aside_chunk *chunk = aside->first;
    aside->first = chunk->next;
    if (!aside->first) aside->last = NULL;
    aside->at = 0;
    free(chunk);
}

/* saver->row has it. */
static void put_aside(struct sk_saver *saver, enum sk_row_kind kind, uint32_t *saved)
{
    size_t len = saver->row.len;
    struct sk_aside_chunk *chunk = chunk_for(&saver->aside[kind], 4 + len);
    sk_put_u32(chunk->rows + chunk->len, (uint32_t)len);
    memcpy(chunk->rows + chunk->len + 4, saver->row.data, len);
    chunk->len += 4 + len;
    saver->row.len = 0;
    *saved = saver->generation;
}

void sk_keep_topic(struct sk_state *state, struct sk_topic_node *topic)
{
    struct sk_saver *saver = &state->saver;
    if (!sk_is_to_be_kept(saver, topic->saved)) return;
    sk_put_topic_row(&topic->topic, &saver->row);
    put_aside(saver, SK_ROW_TOPIC, &topic->saved);
}

void sk_keep_group(struct sk_state *state, struct sk_group_node *group)
{
    struct sk_saver *saver = &state->saver;
    if (!sk_is_to_be_kept(saver, group->saved)) return;
    sk_put_group_row(&group->group, &saver->row);
    put_aside(saver, SK_ROW_GROUP, &group->saved);
}

static void put_queue(uint32_t store_queue, const struct sk_queue_slot *slot, struct sk_buffer *out)
{
    sk_put_queue_row(slot->topic->named.id, slot->queue, store_queue, slot->next_offset, out);
}

void sk_keep_queue(struct sk_state *state, uint32_t store_queue, struct sk_queue_slot *slot)
{
    struct sk_saver *saver = &state->saver;
    if (!sk_is_to_be_kept(saver, slot->saved)) return;
    put_queue(store_queue, slot, &saver->row);
    put_aside(saver, SK_ROW_QUEUE, &slot->saved);
}

void sk_keep_track(struct sk_state *state, const struct sk_subscription *sub, uint32_t queue)
{
    struct sk_saver *saver = &state->saver;
    struct sk_track *track = &sub->tracks[queue];
    if (track->next == SK_NEVER) track->saved = saver->generation;
    if (!sk_is_to_be_kept(saver, track->saved)) return;
    sk_put_track_row(place_of(sub, queue), track->next, &saver->row);
    put_aside(saver, SK_ROW_TRACK, &track->saved);
}

void sk_keep_block(struct sk_saver *saver, const struct sk_window *w, uint64_t index,
                   struct sk_block *block)
{
    if (!sk_is_to_be_kept(saver, block->saved)) return;
    sk_put_block_row(place_of_key(w->key, w->queue), index, block, &saver->row);
    put_aside(saver, SK_ROW_BLOCK, &block->saved);
}

void sk_saver_forget(struct sk_saver *saver, const struct sk_subscription *sub)
{
    if (saver->subscription != sub) return;
    saver->subscription = sub->hh.next;
    saver->queue = 0;
    saver->index = 0;
}

void sk_saver_done(struct sk_saver *saver)
{
    for (int kind = 0; kind < SK_ROW_END; kind++)
        while (saver->aside[kind].first) drop_first(&saver->aside[kind]);
    sk_buffer_done(&saver->row);
    *saver = (struct sk_saver){.generation = saver->generation};
}

/* --- a page ------------------------------------------------------------------------------ */

struct page {
    sk_state *state;
    struct sk_saver *saver;
    struct sk_buffer *out;
    size_t end;     /* out->len, when it is full */
    size_t visited; /* rows */
};

static bool has_room(const struct page *p)
{
    return p->out->len + p->visited * VISIT < p->end;
}

/* A row was written from `from` on. */
static void count(struct page *p, size_t from, uint32_t *saved)
{
    sk_tally_row(&p->saver->tally, p->out, from);
    *saved = p->saver->generation;
}

/* The walks: false if the page is full before the end. */

static bool walk_header(struct page *p)
{
    uint32_t unused;
    size_t from = p->out->len;
    sk_put_header_row(&p->saver->header, p->out);
    count(p, from, &unused);
    return true;
}

static bool walk_topics(struct page *p)
{
    struct sk_saver *s = p->saver;
    for (; s->id < s->header.next_topic; s->id++, p->visited++) {
        if (!has_room(p)) return false;
        struct sk_topic_node *topic = sk_names_by_id(&p->state->topics, s->id);
        if (!topic || !sk_is_to_be_kept(s, topic->saved)) continue;
        size_t from = p->out->len;
        sk_put_topic_row(&topic->topic, p->out);
        count(p, from, &topic->saved);
    }
    return true;
}

static bool walk_groups(struct page *p)
{
    struct sk_saver *s = p->saver;
    for (; s->id < s->header.next_group; s->id++, p->visited++) {
        if (!has_room(p)) return false;
        struct sk_group_node *group = sk_names_by_id(&p->state->groups, s->id);
        if (!group || !sk_is_to_be_kept(s, group->saved)) continue;
        size_t from = p->out->len;
        sk_put_group_row(&group->group, p->out);
        count(p, from, &group->saved);
    }
    return true;
}

static bool walk_queues(struct page *p)
{
    struct sk_saver *s = p->saver;
    for (; s->id < s->header.next_queue; s->id++, p->visited++) {
        if (!has_room(p)) return false;
        if (s->id / SK_PAGE_QUEUES >= p->state->page_count) return true; /* their topics are gone */
        struct sk_queue_page *page = p->state->pages[s->id / SK_PAGE_QUEUES];
        if (!page) { /* go on with the next one */
            if ((s->id | (SK_PAGE_QUEUES - 1)) >= s->header.next_queue) return true;
            s->id |= SK_PAGE_QUEUES - 1;
            continue;
        }
        struct sk_queue_slot *slot = &page->slots[s->id % SK_PAGE_QUEUES];
        if (!slot->topic || slot->topic->is_buried || !sk_is_to_be_kept(s, slot->saved)) continue;
        size_t from = p->out->len;
        put_queue(s->id, slot, p->out);
        count(p, from, &slot->saved);
    }
    return true;
}

static bool walk_tracks_of(struct page *p, struct sk_subscription *sub)
{
    struct sk_saver *s = p->saver;
    for (; s->queue < sub->track_count; s->queue++, p->visited++) {
        if (!has_room(p)) return false;
        struct sk_track *track = &sub->tracks[s->queue];
        if (track->next == SK_NEVER || !sk_is_to_be_kept(s, track->saved)) continue;
        size_t from = p->out->len;
        sk_put_track_row(place_of(sub, s->queue), track->next, p->out);
        count(p, from, &track->saved);
    }
    return true;
}

static bool walk_window(struct page *p, struct sk_subscription *sub, const struct sk_window *w)
{
    struct sk_saver *s = p->saver;
    for (size_t at = sk_window_entry(w, s->index); at < w->count; at++, p->visited++) {
        const struct sk_block_entry *entry = &w->entries[w->head + at];
        s->index = entry->index;
        if (!has_room(p)) return false;
        if (!sk_is_to_be_kept(s, entry->block->saved)) continue;
        size_t from = p->out->len;
        sk_put_block_row(place_of(sub, w->queue), entry->index, entry->block, p->out);
        count(p, from, &entry->block->saved);
    }
    return true;
}

static bool walk_blocks_of(struct page *p, struct sk_subscription *sub)
{
    struct sk_saver *s = p->saver;
    if (!sub->windows) return true;
    for (; s->queue < sub->track_count; s->queue++, s->index = 0, p->visited++) {
        if (!has_room(p)) return false;
        const struct sk_window *w = sub->tracks[s->queue].window;
        if (w && !walk_window(p, sub, w)) return false;
    }
    return true;
}

static bool walk_subscriptions(struct page *p,
                               bool (*walk)(struct page *p, struct sk_subscription *sub))
{
    struct sk_saver *s = p->saver;
    while (s->subscription) {
        if (!has_room(p) || !walk(p, s->subscription)) return false;
        sk_saver_forget(s, s->subscription);
        p->visited++;
    }
    return true;
}

/* What was taken away since the beginning puts its rows aside as it goes: before this kind ends. */
static bool walk_buried(struct page *p)
{
    for (; sk_has_buried(p->state); p->visited += SK_SWEEP) {
        if (!has_room(p)) return false;
        sk_sweep(p->state, SK_SWEEP);
    }
    return true;
}

static bool walk(struct page *p)
{
    switch (p->saver->kind) {
    case SK_ROW_HEADER:
        return walk_header(p);
    case SK_ROW_TOPIC:
        return walk_topics(p);
    case SK_ROW_QUEUE:
        return walk_queues(p) && walk_buried(p);
    case SK_ROW_GROUP:
        return walk_groups(p);
    case SK_ROW_TRACK:
        return walk_subscriptions(p, walk_tracks_of) && walk_buried(p);
    default:
        return walk_subscriptions(p, walk_blocks_of) && walk_buried(p);
    }
}

static bool give_aside(struct page *p)
{
    struct sk_aside *aside = &p->saver->aside[p->saver->kind];
    while (aside->first) {
        if (!has_room(p)) return false;
        uint32_t unused, len = sk_get_u32(aside->first->rows + aside->at);
        size_t from = p->out->len;
        sk_buffer_put(p->out, aside->first->rows + aside->at + 4, len);
        count(p, from, &unused);
        aside->at += 4 + len;
        if (aside->at == aside->first->len) drop_first(aside);
    }
    return true;
}

static void next_kind(sk_state *state)
{
    struct sk_saver *s = &state->saver;
    s->kind++;
    s->walked = false;
    s->id = 0;
    s->subscription = state->subscriptions;
    s->queue = 0;
    s->index = 0;
}

static struct sk_row_header header_of(const sk_state *state)
{
    return (struct sk_row_header){.config_version = state->config_version,
                                  .next_topic = state->topics.next_id,
                                  .next_group = state->groups.next_id,
                                  .next_queue = state->next_queue};
}

void sk_state_save_begin(sk_state *state)
{
    struct sk_saver *s = &state->saver;
    sk_saver_done(s);
    s->active = true;
    s->generation++;
    s->kind = SK_ROW_HEADER;
    s->header = header_of(state);
}

bool sk_state_save_page(sk_state *state, struct sk_buffer *out, size_t most)
{
    struct sk_saver *s = &state->saver;
    struct page p = {.state = state, .saver = s, .out = out, .end = out->len + most};
    while (s->kind < SK_ROW_END && has_room(&p)) {
        if (!s->walked) s->walked = walk(&p);
        if (s->walked && give_aside(&p)) next_kind(state);
    }
    if (s->kind < SK_ROW_END) return true;
    sk_put_end_row(&s->tally, out);
    return false;
}

void sk_state_save_end(sk_state *state)
{
    sk_saver_done(&state->saver);
}

/* --- all at once ------------------------------------------------------------------------- */

struct sink {
    struct sk_buffer *out;
    bool only_hash;
    struct sk_row_tally tally;
};

static void took(struct sink *sink, size_t from)
{
    sk_tally_row(&sink->tally, sink->out, from);
    if (sink->only_hash) sink->out->len = from;
}

static void all_topics(const sk_state *state, struct sink *sink)
{
    for (size_t i = 0; i < state->topics.count; i++) {
        const struct sk_topic_node *node = (struct sk_topic_node *)state->topics.sorted[i];
        size_t from = sink->out->len;
        sk_put_topic_row(&node->topic, sink->out);
        took(sink, from);
    }
}

static void all_queues(const sk_state *state, struct sink *sink)
{
    for (size_t i = 0; i < state->topics.count; i++) {
        const struct sk_topic_node *node = (struct sk_topic_node *)state->topics.sorted[i];
        for (uint32_t q = 0; q < node->topic.queue_count; q++) {
            uint32_t store_queue = node->queues[q];
            size_t from = sink->out->len;
            put_queue(store_queue, sk_queue_slot(state, store_queue), sink->out);
            took(sink, from);
        }
    }
}

static void all_groups(const sk_state *state, struct sink *sink)
{
    for (size_t i = 0; i < state->groups.count; i++) {
        const struct sk_group_node *node = (struct sk_group_node *)state->groups.sorted[i];
        size_t from = sink->out->len;
        sk_put_group_row(&node->group, sink->out);
        took(sink, from);
    }
}

static void all_tracks(const sk_state *state, struct sink *sink)
{
    for (const struct sk_subscription *sub = state->subscriptions; sub; sub = sub->hh.next)
        for (uint32_t q = 0; q < sub->track_count; q++) {
            if (sub->tracks[q].next == SK_NEVER) continue;
            size_t from = sink->out->len;
            sk_put_track_row(place_of(sub, q), sub->tracks[q].next, sink->out);
            took(sink, from);
        }
}

static void all_blocks_of(const struct sk_window *w, struct sink *sink)
{
    for (size_t i = 0; i < w->count; i++) {
        const struct sk_block_entry *entry = &w->entries[w->head + i];
        size_t from = sink->out->len;
        sk_put_block_row(place_of(w->subscription, w->queue), entry->index, entry->block,
                         sink->out);
        took(sink, from);
    }
}

static void all(const sk_state *state, struct sink *sink)
{
    size_t from = sink->out->len;
    struct sk_row_header header = header_of(state);
    sk_put_header_row(&header, sink->out);
    took(sink, from);
    all_topics(state, sink);
    all_queues(state, sink);
    all_groups(state, sink);
    all_tracks(state, sink);
    for (const struct sk_subscription *sub = state->subscriptions; sub; sub = sub->hh.next)
        for (const struct sk_window *w = sub->windows; w; w = w->next) all_blocks_of(w, sink);
}

void sk_state_save(const sk_state *state, struct sk_buffer *out)
{
    struct sink sink = {.out = out};
    all(state, &sink);
    sk_put_end_row(&sink.tally, out);
}

uint64_t sk_state_hash(const sk_state *state)
{
    struct sk_buffer row = {0};
    struct sink sink = {.out = &row, .only_hash = true};
    all(state, &sink);
    sk_buffer_done(&row);
    return sink.tally.sum;
}
