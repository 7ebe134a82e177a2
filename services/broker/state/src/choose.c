/* choose.c - which messages a receive gets; and what the record about it does.
 *
 * sk_state_choose walks the queues from first_queue on. In each it looks at what
 * may be delivered again, lowest offset first, and then at what is new, and writes
 * the decision down as a DELIVER payload. It changes nothing: the payload comes
 * back through sk_apply_deliver, now or after a restart. */
#include "internal.h"

#include "base/assert.h"

enum { LOOK_AT_MOST = 16384, TAGS_AT_ONCE = 256 };

struct chooser {
    const struct sk_choose *how;
    const struct sk_queue_view *view;
    const struct sk_topic *topic;
    struct sk_chosen *chosen;
    size_t count;  /* filled of chosen */
    size_t looked; /* offsets whose tag was asked for */
    bool later;    /* tags are needed that are not at hand */
    struct sk_deliver_writer writer;
};

/* The queue that is looked at now. */
struct visit {
    uint32_t queue, store_queue;
    const struct sk_track *track; /* NULL: untouched */
    uint64_t min, visible;        /* the store's */
    uint64_t next;                /* the track's, not below min */
    bool has_floor;               /* min must be written down */
};

static bool is_full(const struct chooser *c)
{
    return c->later || c->count == c->how->count || c->looked >= LOOK_AT_MOST;
}

static bool is_wanted(const struct sk_choose *how, uint32_t tag_hash)
{
    size_t low = 0, high = how->tag_hash_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (how->tag_hashes[middle] < tag_hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low < how->tag_hash_count && how->tag_hashes[low] == tag_hash;
}

static void begin_queue(struct chooser *c, const struct visit *v, uint64_t base)
{
    if (!c->writer.in_queue)
        sk_deliver_queue(&c->writer, v->queue, v->has_floor ? &v->min : NULL, base);
}

static void skip(struct chooser *c, const struct visit *v, uint64_t offset)
{
    begin_queue(c, v, offset);
    sk_deliver_run(&c->writer, SK_RUN_SKIP, offset, 1);
}

static void take(struct chooser *c, const struct visit *v, uint64_t offset, uint64_t count,
                 uint32_t attempt)
{
    begin_queue(c, v, offset);
    sk_deliver_run(&c->writer, SK_RUN_LEASE, offset, count);
    for (uint64_t i = 0; i < count; i++)
        c->chosen[c->count++] = (struct sk_chosen){.queue = v->queue,
                                                   .store_queue = v->store_queue,
                                                   .offset = offset + i,
                                                   .attempt = attempt};
}

/* The subscription may have changed since the message was delivered first: ask again. If its tag
 * cannot be had, it is delivered. */
static bool is_wanted_again(struct chooser *c, const struct visit *v, uint64_t offset)
{
    uint32_t tag_hash;
    if (!c->how->tag_hashes) return true;
    c->looked++;
    size_t got = c->view->tags(c->view->owner, v->store_queue, offset, 1, &tag_hash);
    c->later = got == SK_TAGS_LATER;
    return got != 1 || is_wanted(c->how, tag_hash);
}

static void choose_due_of_block(struct chooser *c, const struct visit *v, struct sk_due due,
                                const struct sk_window *window)
{
    for (; due.mask && !is_full(c); due.mask &= due.mask - 1) {
        uint64_t offset = due.base + (uint64_t)__builtin_ctzll(due.mask);
        if (offset < v->min) continue; /* the floor sees to it */
        unsigned bit;
        const struct sk_block *block = sk_window_find(window, offset, &bit);
        bool wanted = is_wanted_again(c, v, offset);
        if (c->later) return;
        if (wanted)
            take(c, v, offset, 1, block->slots[bit].attempt + 1);
        else
            skip(c, v, offset);
    }
}

static void choose_due(struct chooser *c, const struct visit *v)
{
    const struct sk_window *w = v->track ? v->track->window : NULL;
    if (!w || w->earliest_ms > c->how->now_ms) return;
    w->subscription->stale = true; /* whatever comes out: the window knows better now */
    if (!sk_window_has_due(w, c->how->now_ms)) return;

    struct sk_due due;
    for (size_t at = 0; !is_full(c) && sk_window_next_due(w, &at, c->how->now_ms, &due);)
        choose_due_of_block(c, v, due, w);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void choose_new_filtered(struct chooser *c, const struct visit *v)
{
    uint32_t tags[TAGS_AT_ONCE];
    for (uint64_t at = v->next; at < v->visible && !is_full(c);) {
        size_t want =
            (size_t)smaller(smaller(v->visible - at, TAGS_AT_ONCE), LOOK_AT_MOST - c->looked);
        size_t got = c->view->tags(c->view->owner, v->store_queue, at, want, tags);
        c->later = got == SK_TAGS_LATER;
        if (got == 0 || c->later) return;
        for (size_t i = 0; i < got && c->count < c->how->count; i++, at++, c->looked++) {
            if (is_wanted(c->how, tags[i]))
                take(c, v, at, 1, 1);
            else
                skip(c, v, at);
        }
    }
}

static void choose_new(struct chooser *c, const struct visit *v)
{
    if (v->next >= v->visible || is_full(c)) return;
    if (c->how->tag_hashes)
        choose_new_filtered(c, v);
    else
        take(c, v, v->next, smaller(v->visible - v->next, c->how->count - c->count), 1);
}

/* False if there is nothing to see, which costs no question to the store. */
static bool enter(const struct chooser *c, const sk_state *state, uint32_t queue,
                  const struct sk_subscription *sub, struct visit *v)
{
    const struct sk_track *track = sub ? sk_track_find(sub, queue) : NULL;
    uint32_t store_queue = c->topic->queues[queue];
    uint64_t end = sk_state_next_offset(state, store_queue);
    if (track ? !track->window && track->next >= end : end == 0) return false;

    *v = (struct visit){.queue = queue, .store_queue = store_queue, .track = track};
    c->view->range(c->view->owner, store_queue, &v->min, &v->visible);
    v->next = track && track->next > v->min ? track->next : v->min;
    v->has_floor = !track || sk_track_committed(track) < v->min;
    return true;
}

static void choose_in_queue(struct chooser *c, const struct visit *v)
{
    if (v->track && v->has_floor) begin_queue(c, v, v->min);
    choose_due(c, v);
    choose_new(c, v);
    sk_deliver_queue_done(&c->writer);
}

size_t sk_state_choose(const sk_state *state, const struct sk_choose *how,
                       const struct sk_queue_view *view, struct sk_chosen *chosen,
                       struct sk_buffer *out)
{
    const struct sk_topic *topic = sk_state_topic_by_id(state, how->topic);
    const struct sk_group *group = sk_state_group_by_id(state, how->group);
    struct sk_deliver header = {.group = how->group,
                                .topic = how->topic,
                                .deadline_ms = how->deadline_ms,
                                .owner = how->owner,
                                .auto_renew = how->auto_renew};
    struct chooser c = {.how = how,
                        .view = view,
                        .topic = topic,
                        .chosen = chosen,
                        .writer = {.out = out, .header = &header}};

    out->len = 0;
    if (!topic || !group || topic->read_queues == 0 || !sk_expect(how->count <= SK_CHOOSE_MAX))
        return 0;
    const struct sk_subscription *sub = sk_subscription_find(state, how->group, how->topic);
    uint32_t queue = how->first_queue % topic->read_queues;
    for (uint32_t i = 0; i < topic->read_queues && !is_full(&c); i++) {
        struct visit v;
        if (enter(&c, state, queue, sub, &v)) choose_in_queue(&c, &v);
        if (++queue == topic->read_queues) queue = 0;
    }
    return c.count;
}

/* --- apply ------------------------------------------------------------------------------- */

struct delivery {
    struct sk_subscription *sub;
    struct sk_track *track;
    uint32_t queue;
    uint64_t leased; /* messages, by the whole record */
    struct sk_terms terms;
};

static void move_next(sk_state *state, struct delivery *d, uint64_t next)
{
    sk_keep_track(state, d->sub, d->queue);
    d->track->next = next;
}

static const char *lease_run(sk_state *state, struct delivery *d, uint64_t first, uint64_t end)
{
    d->leased += end - first;
    if (d->leased > SK_CHOOSE_MAX) return "it leases too many messages";
    struct sk_window *w = sk_track_window(state, d->sub, d->queue, d->track);
    if (!sk_window_lease(w, &state->pool, first, end, d->track->next, &d->terms))
        return "it leases a message that is acknowledged";
    return NULL;
}

static const char *apply_run(sk_state *state, struct delivery *d, const struct sk_run *run,
                             uint64_t first)
{
    struct sk_track *track = d->track;
    uint64_t end = first + run->count;
    if (end >= SK_OFFSET_LIMIT) return "a run of it is too long";
    if (run->kind == SK_RUN_GAP) return end <= track->next ? NULL : "it leaves a hole";

    if (run->kind == SK_RUN_LEASE) {
        const char *wrong = lease_run(state, d, first, end);
        if (wrong) return wrong;
    } else if (track->window) {
        sk_window_close(track->window, &state->pool, first, end);
    }
    if (end > track->next) move_next(state, d, end);
    return NULL;
}

static void apply_floor(sk_state *state, struct delivery *d, uint64_t floor)
{
    struct sk_track *track = d->track;
    if (track->next == SK_NEVER || track->next < floor) move_next(state, d, floor);
    if (track->window) sk_window_close(track->window, &state->pool, 0, floor);
}

static const char *apply_queue(sk_state *state, struct delivery *d,
                               const struct sk_deliver_queue *queue, struct sk_reader *rest)
{
    if (queue->queue >= d->sub->topic->topic.queue_count) return "its topic has no such queue";
    d->queue = queue->queue;
    d->track = sk_track_get(d->sub, queue->queue);
    if (queue->has_floor) apply_floor(state, d, queue->floor);
    if (d->track->next == SK_NEVER) return "it continues a cursor that does not exist";
    if (queue->base > d->track->next) return "it leaves a hole";

    struct sk_run run;
    const char *wrong = NULL;
    for (uint64_t at = queue->base; !wrong && sk_read_deliver_run(rest, &run); at += run.count)
        wrong = apply_run(state, d, &run, at);
    sk_track_settle(state, d->sub, d->track);
    return wrong;
}

const char *sk_apply_deliver(sk_state *state, const struct sk_fact *fact)
{
    struct sk_deliver header;
    struct sk_reader rest;
    const char *wrong = sk_read_deliver(fact->payload, &header, &rest);
    if (wrong) return wrong;
    if (!sk_names_knows(&state->groups, header.group)) return "its group never was";
    if (!sk_names_knows(&state->topics, header.topic)) return "its topic never was";

    struct sk_group_node *group = sk_names_by_id(&state->groups, header.group);
    struct sk_topic_node *topic = sk_names_by_id(&state->topics, header.topic);
    if (!group || !topic) return NULL; /* deleted since: no effect */

    struct delivery d = {.sub = sk_subscription_get(state, group, topic),
                         .terms = {.lease = {fact->epoch, fact->position},
                                   .deadline_ms = header.deadline_ms,
                                   .owner = header.owner,
                                   .given_s = (uint32_t)(fact->time_ms / 1000),
                                   .auto_renew = header.auto_renew}};
    struct sk_deliver_queue queue;
    while (!wrong && sk_read_deliver_queue(&rest, &queue))
        wrong = apply_queue(state, &d, &queue, &rest);
    if (!wrong && rest.failed) wrong = "a number in it is cut short or too large";
    if (!wrong && d.leased)
        sk_tell(state, lease_ends, header.group, header.topic, header.deadline_ms);
    return wrong;
}
