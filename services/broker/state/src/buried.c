/* buried.c - what a record took away: a deleted topic's queues, the places of a deleted group, the
 * leases that a seek made void. A million leases take 5 ms to free, and whoever waits for the lock
 * would wait for that. So the record takes them out of sight, which costs little, and they are
 * taken apart in steps: by each record that is applied, by each turn of the ledger, by the pages of
 * a snapshot.
 *
 * Nothing here is part of the state: it is in no row and no hash, and two replicas may be at
 * different steps. But a snapshot that began before the record is of the time when all of it was
 * there: `kept_for` is the generation (save.h) of the one that was under way then, and as long as
 * it is, rows are put aside as they go. Its walk does not end a kind of row before all is gone. */
#include <stdlib.h>
#include <utlist.h>

#include "internal.h"

/* No snapshot is of generation 0. */
static uint32_t under_way(const struct sk_state *state)
{
    return state->saver.active ? state->saver.generation : 0;
}

static bool is_kept(const struct sk_state *state, uint32_t kept_for)
{
    return state->saver.active && state->saver.generation == kept_for;
}

void sk_bury_window(struct sk_state *state, struct sk_window *w)
{
    w->kept_for = under_way(state);
    LL_PREPEND(state->buried.windows, w);
}

void sk_bury_subscription(struct sk_state *state, struct sk_subscription *sub)
{
    sub->kept_for = under_way(state);
    LL_PREPEND2(state->buried.subscriptions, sub, next_buried);
}

void sk_bury_topic(struct sk_state *state, struct sk_topic_node *topic)
{
    topic->is_buried = true;
    topic->kept_for = under_way(state);
    LL_PREPEND2(state->buried.topics, topic, next_buried);
}

bool sk_has_buried(const struct sk_state *state)
{
    return state->buried.topics || state->buried.subscriptions || state->buried.windows;
}

/* --- taking apart ------------------------------------------------------------------------ */

static void sweep_topics(struct sk_state *state, size_t *budget)
{
    struct sk_topic_node *topic;
    while (*budget && (topic = state->buried.topics)) {
        if (!sk_topic_drop_queues(state, topic, is_kept(state, topic->kept_for), budget)) return;
        state->buried.topics = topic->next_buried;
        free(topic->queues);
        free(topic);
    }
}

static void sweep_subscriptions(struct sk_state *state, size_t *budget)
{
    struct sk_subscription *sub;
    while (*budget && (sub = state->buried.subscriptions)) {
        struct sk_subscription *next = sub->next_buried;
        if (!sk_subscription_free_some(state, sub, is_kept(state, sub->kept_for), budget)) return;
        state->buried.subscriptions = next;
    }
}

static void sweep_windows(struct sk_state *state, size_t *budget)
{
    struct sk_window *w;
    while (*budget && (w = state->buried.windows)) {
        struct sk_window *next = w->next;
        if (!sk_window_free_some(w, &state->pool, is_kept(state, w->kept_for), budget)) return;
        state->buried.windows = next;
    }
}

void sk_sweep(struct sk_state *state, size_t budget)
{
    sweep_topics(state, &budget);
    sweep_subscriptions(state, &budget);
    sweep_windows(state, &budget);
}

void sk_buried_done(struct sk_state *state)
{
    while (sk_has_buried(state)) sk_sweep(state, SIZE_MAX);
}
