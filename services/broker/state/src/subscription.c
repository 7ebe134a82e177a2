/* subscription.c - where each group stands in each queue of a topic. */
#include "internal.h"

#include <stdlib.h>
#include <utlist.h>

static uint64_t key_of(uint32_t group, uint32_t topic)
{
    return (uint64_t)group << 32 | topic;
}

/* One group works on one topic for a while: remember it. */
struct sk_subscription *sk_subscription_find(const struct sk_state *state, uint32_t group,
                                             uint32_t topic)
{
    uint64_t key = key_of(group, topic);
    struct sk_subscription *found = state->last_found;
    if (found && found->key == key) return found;
    HASH_FIND(hh, state->subscriptions, &key, sizeof key, found);
    if (found) ((struct sk_state *)(uintptr_t)state)->last_found = found; /* no part of the fold */
    return found;
}

struct sk_subscription *sk_subscription_get(struct sk_state *state, struct sk_group_node *group,
                                            struct sk_topic_node *topic)
{
    struct sk_subscription *sub = sk_subscription_find(state, group->named.id, topic->named.id);
    if (sub) return sub;

    sub = sk_zalloc(1, sizeof *sub);
    sub->key = key_of(group->named.id, topic->named.id);
    sub->group = group;
    sub->topic = topic;
    sub->earliest_ms = SK_NEVER;
    HASH_ADD(hh, state->subscriptions, key, sizeof sub->key, sub);
    DL_APPEND2(group->subscriptions, sub, prev_of_group, next_of_group);
    DL_APPEND2(topic->subscriptions, sub, prev_of_topic, next_of_topic);
    return sub;
}

struct sk_track *sk_track_find(const struct sk_subscription *sub, uint32_t queue)
{
    if (queue >= sub->track_count || sub->tracks[queue].next == SK_NEVER) return NULL;
    return &sub->tracks[queue];
}

static uint32_t tracks_for(const struct sk_subscription *sub, uint32_t queue)
{
    uint64_t want = (uint64_t)sub->track_count * 2;
    if (want > sub->topic->topic.queue_count) want = sub->topic->topic.queue_count;
    return want > queue ? (uint32_t)want : queue + 1;
}

struct sk_track *sk_track_get(struct sk_subscription *sub, uint32_t queue)
{
    if (queue >= sub->track_count) {
        uint32_t count = tracks_for(sub, queue);
        sub->tracks = sk_realloc(sub->tracks, count, sizeof *sub->tracks);
        for (uint32_t i = sub->track_count; i < count; i++)
            sub->tracks[i] = (struct sk_track){.next = SK_NEVER};
        sub->track_count = count;
    }
    return &sub->tracks[queue];
}

uint64_t sk_track_committed(const struct sk_track *track)
{
    return track->window ? sk_window_first(track->window) : track->next;
}

struct sk_window *sk_track_window(struct sk_state *state, struct sk_subscription *sub,
                                  uint32_t queue, struct sk_track *track)
{
    if (!track->window) {
        track->window = sk_window_new(&state->pool);
        track->window->subscription = sub;
        track->window->key = sub->key;
        track->window->queue = queue;
        DL_APPEND(sub->windows, track->window);
    }
    return track->window;
}

static void add_renewing(struct sk_state *state, struct sk_window *w)
{
    if (state->renewing_count == state->renewing_room) {
        state->renewing_room = state->renewing_room ? state->renewing_room * 2 : 64;
        state->renewing =
            sk_realloc(state->renewing, state->renewing_room, sizeof(struct sk_window *));
    }
    state->renewing[state->renewing_count++] = w;
    w->renewing_at = state->renewing_count;
}

/* The last one takes its place: a walk from the end to the front misses none. */
static void remove_renewing(struct sk_state *state, struct sk_window *w)
{
    struct sk_window *last = state->renewing[--state->renewing_count];
    state->renewing[w->renewing_at - 1] = last;
    last->renewing_at = w->renewing_at;
    w->renewing_at = 0;
}

static void list_renewing(struct sk_state *state, struct sk_window *w, bool wanted)
{
    if ((w->renewing_at != 0) == wanted) return;
    if (wanted)
        add_renewing(state, w);
    else
        remove_renewing(state, w);
}

static void drop_window(struct sk_state *state, struct sk_subscription *sub, struct sk_track *track)
{
    struct sk_window *w = track->window;
    size_t no_blocks = 0; /* only an empty one goes at once */
    list_renewing(state, w, false);
    DL_DELETE(sub->windows, w);
    if (!sk_window_free_some(w, &state->pool, false, &no_blocks)) sk_bury_window(state, w);
    track->window = NULL;
    sub->stale = true;
}

/* Nobody can receive from a queue beyond the read queues: its leases end unnoticed. */
static bool is_hidden(const struct sk_window *w)
{
    return w->queue >= w->subscription->topic->topic.read_queues;
}

void sk_subscription_note_queues(struct sk_subscription *sub)
{
    sub->earliest_ms = 0;
    sub->stale = true;
}

void sk_track_settle(struct sk_state *state, struct sk_subscription *sub, struct sk_track *track)
{
    struct sk_window *w = track->window;
    if (!w) return;
    if (sk_window_is_empty(w)) {
        drop_window(state, sub, track);
        return;
    }
    list_renewing(state, w, w->renewing > 0);
    if (w->earliest_ms < sub->earliest_ms && !is_hidden(w)) sub->earliest_ms = w->earliest_ms;
}

void sk_track_seek(struct sk_state *state, struct sk_subscription *sub, struct sk_track *track,
                   uint64_t offset)
{
    if (track->window) drop_window(state, sub, track);
    sk_keep_track(state, sub, (uint32_t)(track - sub->tracks));
    track->next = offset;
}

void sk_subscription_remove(struct sk_state *state, struct sk_subscription *sub)
{
    for (struct sk_window *w = sub->windows; w; w = w->next) list_renewing(state, w, false);
    sk_saver_forget(&state->saver, sub);
    if (state->last_found == sub) state->last_found = NULL;
    HASH_DELETE(hh, state->subscriptions, sub);
    DL_DELETE2(sub->group->subscriptions, sub, prev_of_group, next_of_group);
    DL_DELETE2(sub->topic->subscriptions, sub, prev_of_topic, next_of_topic);
    sk_bury_subscription(state, sub);
}

bool sk_subscription_free_some(struct sk_state *state, struct sk_subscription *sub, bool keep,
                               size_t *budget)
{
    while (sub->track_count > 0) {
        if (*budget == 0) return false;
        uint32_t queue = sub->track_count - 1;
        struct sk_track *track = &sub->tracks[queue];
        if (track->window && !sk_window_free_some(track->window, &state->pool, keep, budget))
            return false;
        track->window = NULL;
        if (keep && track->next != SK_NEVER) sk_keep_track(state, sub, queue);
        sub->track_count--;
        if (*budget > 0) --*budget; /* the window may have used it up */
    }
    free(sub->tracks);
    free(sub);
    return true;
}

uint64_t sk_state_next_deadline(const sk_state *state, uint32_t group, uint32_t topic)
{
    struct sk_subscription *sub = sk_subscription_find(state, group, topic);
    if (!sub) return SK_NEVER;
    if (sub->stale) {
        sub->earliest_ms = SK_NEVER;
        for (const struct sk_window *w = sub->windows; w; w = w->next)
            if (w->earliest_ms < sub->earliest_ms && !is_hidden(w))
                sub->earliest_ms = w->earliest_ms;
        sub->stale = false;
    }
    return sub->earliest_ms;
}

bool sk_state_cursor(const sk_state *state, uint32_t group, uint32_t topic, uint32_t queue,
                     struct sk_cursor *out)
{
    const struct sk_subscription *sub = sk_subscription_find(state, group, topic);
    const struct sk_track *track = sub ? sk_track_find(sub, queue) : NULL;
    if (!track) return false;
    *out = (struct sk_cursor){.committed = sk_track_committed(track),
                              .next = track->next,
                              .inflight = track->window ? track->window->leased : 0,
                              .returned = track->window ? track->window->returned : 0};
    return true;
}
