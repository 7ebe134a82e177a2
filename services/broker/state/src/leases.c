/* leases.c - questions about leases, and the records that end or change them. */
#include "internal.h"

/* --- questions --------------------------------------------------------------------------- */

static struct sk_lease_info info_of(const struct sk_block *block, unsigned bit)
{
    const struct sk_slot *slot = &block->slots[bit];
    return (struct sk_lease_info){.deadline_ms = slot->deadline_ms,
                                  .given_ms = (uint64_t)slot->given_s * 1000,
                                  .owner = slot->owner,
                                  .attempt = slot->attempt,
                                  .auto_renew = block->renewing >> bit & 1};
}

bool sk_state_check_lease(const sk_state *state, const struct sk_lease *lease, uint64_t now_ms,
                          struct sk_lease_info *info)
{
    unsigned bit;
    const struct sk_subscription *sub = sk_subscription_find(state, lease->group, lease->topic);
    const struct sk_track *track = sub ? sk_track_find(sub, lease->queue) : NULL;
    if (!track || !track->window) return false;
    const struct sk_block *block = sk_window_find(track->window, lease->offset, &bit);
    if (!block || !(block->leased >> bit & 1)) return false;
    const struct sk_slot *slot = &block->slots[bit];
    if (!sk_lease_id_eq(sk_slot_lease(slot), lease->lease) || slot->deadline_ms <= now_ms)
        return false;
    *info = info_of(block, bit);
    return true;
}

struct renewal {
    uint64_t before_ms, only_owner;
    bool (*fn)(void *arg, const struct sk_lease *lease, const struct sk_lease_info *info);
    void *arg;
};

static bool tell_block(const struct renewal *r, const struct sk_window *w,
                       const struct sk_block_entry *entry)
{
    const struct sk_block *block = entry->block;
    for (uint64_t mask = block->renewing; mask; mask &= mask - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(mask);
        struct sk_lease_info info = info_of(block, bit);
        bool wanted = r->only_owner ? info.owner == r->only_owner : info.deadline_ms < r->before_ms;
        struct sk_lease lease = {.group = w->subscription->group->named.id,
                                 .topic = w->subscription->topic->named.id,
                                 .queue = w->queue,
                                 .offset = (entry->index << SK_BLOCK_SHIFT) + bit,
                                 .lease = sk_slot_lease(&block->slots[bit])};
        if (wanted && !r->fn(r->arg, &lease, &info)) return false;
    }
    return true;
}

/* As many windows and blocks a call: of those, each is a miss of the cache. */
enum { LOOK_AT_MOST = 2048 };

/* False: the budget, or fn's patience, is used up before the window's end. */
static bool tell_window(const struct renewal *r, const struct sk_window *w,
                        struct sk_renewing_cursor *cursor, size_t *looked)
{
    if (cursor->window != w) cursor->block = 0;
    cursor->window = w;
    if (!r->only_owner && w->earliest_ms >= r->before_ms) return true;
    for (size_t i = sk_window_entry(w, cursor->block); i < w->count; i++) {
        const struct sk_block_entry *entry = &w->entries[w->head + i];
        cursor->block = entry->index;
        if ((*looked)++ >= LOOK_AT_MOST || !tell_block(r, w, entry)) return false;
    }
    return true;
}

bool sk_state_each_auto_renewed(const sk_state *state, uint64_t before_ms, uint64_t only_owner,
                                struct sk_renewing_cursor *cursor,
                                bool (*fn)(void *arg, const struct sk_lease *lease,
                                           const struct sk_lease_info *info),
                                void *arg)
{
    struct renewal r = {.before_ms = before_ms, .only_owner = only_owner, .fn = fn, .arg = arg};
    size_t looked = 0;
    if (!cursor->begun || cursor->left > state->renewing_count)
        cursor->left = state->renewing_count;
    cursor->begun = true;
    for (; cursor->left > 0; cursor->left--) {
        if (looked++ >= LOOK_AT_MOST) return true;
        if (!tell_window(&r, state->renewing[cursor->left - 1], cursor, &looked)) return true;
        cursor->window = NULL;
    }
    return false;
}

/* --- apply ------------------------------------------------------------------------------- */

/* The record is done: what may be delivered again, and when? */
static void tell_ends(sk_state *state, const struct sk_fact *fact, uint64_t deadline_ms,
                      struct sk_reader runs)
{
    if (fact->kind == SK_RECORD_ACK || !state->watcher.lease_ends) return;
    if (deadline_ms <= fact->time_ms) deadline_ms = 0;
    struct sk_lease_run run = {0}, told = {0};
    while (sk_read_lease_run(&runs, &run)) {
        if (run.group == told.group && run.topic == told.topic) continue;
        if (sk_subscription_find(state, run.group, run.topic))
            sk_tell(state, lease_ends, run.group, run.topic, deadline_ms);
        told = run;
    }
}

/* ACK, CHANGE, RENEW, RELEASE. Whatever it names that is not there any more is no error. */
const char *sk_apply_leases(sk_state *state, const struct sk_fact *fact)
{
    struct sk_settle how = {.kind = (enum sk_record_kind)fact->kind,
                            .new_lease = {fact->epoch, fact->position}};
    bool with_deadline = fact->kind == SK_RECORD_CHANGE || fact->kind == SK_RECORD_RENEW;
    struct sk_reader rest;
    const char *wrong = sk_read_leases(fact->payload, with_deadline, &how.deadline_ms, &rest);
    if (wrong) return wrong;

    struct sk_reader runs = rest;
    struct sk_lease_run run = {0};
    while (sk_read_lease_run(&rest, &run)) {
        struct sk_subscription *sub = sk_subscription_find(state, run.group, run.topic);
        struct sk_track *track = sub ? sk_track_find(sub, run.queue) : NULL;
        if (!track || !track->window) continue;
        how.lease = run.lease;
        sk_window_settle(track->window, &state->pool, run.offset, run.offset + run.count, &how);
        sk_track_settle(state, sub, track);
    }
    if (rest.failed) return "a number in it is cut short or too large";
    tell_ends(state, fact, how.deadline_ms, runs);
    return NULL;
}

const char *sk_apply_seek(sk_state *state, const struct sk_fact *fact)
{
    struct sk_seek seek;
    const char *wrong = sk_read_seek(fact->payload, &seek);
    if (wrong) return wrong;
    if (!sk_names_knows(&state->groups, seek.group)) return "its group never was";
    if (!sk_names_knows(&state->topics, seek.topic)) return "its topic never was";

    struct sk_group_node *group = sk_names_by_id(&state->groups, seek.group);
    struct sk_topic_node *topic = sk_names_by_id(&state->topics, seek.topic);
    if (!group || !topic) return NULL; /* deleted since: no effect */
    if (seek.queue >= topic->topic.queue_count) return "its topic has no such queue";

    struct sk_subscription *sub = sk_subscription_get(state, group, topic);
    sk_track_seek(state, sub, sk_track_get(sub, seek.queue), seek.offset);
    sk_tell(state, lease_ends, seek.group, seek.topic, 0);
    return NULL;
}
