/* polls.c - parked calls, their wake-ups and their one timer. */
#include "inside.h"

#include <stddef.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#include "base/memory.h"

enum {
    /* After a lease deadline passed without a message to show for it, look again so much later at
     * the earliest (sk_state_next_deadline may be early). */
    RETRY_US = 10000,
    /* So many polls are looked at in one turn: a look may write a record and choose messages. */
    LOOKS_MOST = 32,
};

struct sk_poll_topic {
    uint32_t id;
    struct sk_poll_key *keys;
    UT_hash_handle hh;
};

/* The polls of one group on one topic. Lives while there are any. */
struct sk_poll_key {
    struct {
        uint32_t topic, group;
    } id;
    struct sk_poll *polls;
    size_t count;
    struct sk_poll_due due;  /* the next end of a lease */
    bool dirty;              /* in polls->dirty: */
    uint32_t marks;          /* something happened so often; */
    size_t unseen;           /* so many were not looked at since the last time, */
    struct sk_poll *look_at; /* from this one on, then from the first */
    struct sk_poll_topic *topic;
    struct sk_poll_key *next, *prev; /* of the topic */
    struct sk_poll_key *next_dirty, *prev_dirty;
    UT_hash_handle hh;
};

/* --- lists ---------------------------------------------------------------------------------- */

static struct sk_poll_topic *topic_of(struct sk_polls *polls, uint32_t id)
{
    struct sk_poll_topic *topic = NULL;
    if (polls->topics) HASH_FIND(hh, polls->topics, &id, sizeof id, topic);
    return topic;
}

static struct sk_poll_key *key_of(struct sk_polls *polls, uint32_t topic, uint32_t group)
{
    struct sk_poll_key sought = {.id = {topic, group}}, *key = NULL;
    if (polls->keys) HASH_FIND(hh, polls->keys, &sought.id, sizeof sought.id, key);
    return key;
}

static struct sk_poll_key *key_make(struct sk_polls *polls, uint32_t topic_id, uint32_t group)
{
    struct sk_poll_topic *topic = topic_of(polls, topic_id);
    if (!topic) {
        topic = sk_zalloc(1, sizeof *topic);
        topic->id = topic_id;
        HASH_ADD(hh, polls->topics, id, sizeof topic->id, topic);
    }
    struct sk_poll_key *key = sk_zalloc(1, sizeof *key);
    key->id.topic = topic_id;
    key->id.group = group;
    key->topic = topic;
    key->due.is_key = true;
    HASH_ADD(hh, polls->keys, id, sizeof key->id, key);
    DL_APPEND(topic->keys, key);
    return key;
}

/* Each poll is looked at once for what happened, however often it is taken off and parked again
 * meanwhile, and those at the end as surely as the first: a walk under way goes on where it is. */
static void mark(struct sk_polls *polls, struct sk_poll_key *key)
{
    key->marks++;
    key->unseen = key->count;
    if (key->dirty) return;
    key->look_at = key->polls;
    key->dirty = true;
    DL_APPEND2(polls->dirty, key, prev_dirty, next_dirty);
    atomic_store(&polls->any_dirty, true);
}

static void unmark(struct sk_polls *polls, struct sk_poll_key *key)
{
    if (!key->dirty) return;
    key->dirty = false;
    DL_DELETE2(polls->dirty, key, prev_dirty, next_dirty);
    atomic_store(&polls->any_dirty, polls->dirty != NULL);
}

static void key_drop_if_empty(struct sk_polls *polls, struct sk_poll_key *key)
{
    if (key->polls) return;
    struct sk_poll_topic *topic = key->topic;
    unmark(polls, key);
    sk_due_remove(&polls->heap, &key->due);
    HASH_DEL(polls->keys, key);
    DL_DELETE(topic->keys, key);
    free(key);
    if (topic->keys) return;
    HASH_DEL(polls->topics, topic);
    free(topic);
}

/* Takes it off its list, but leaves its key, even if that is empty now. */
static void take_off(struct sk_polls *polls, struct sk_poll *poll)
{
    struct sk_poll_key *key = poll->key;
    if (key->look_at == poll) key->look_at = poll->next;
    if (key->dirty && poll->looked != key->marks) key->unseen--;
    sk_due_remove(&polls->heap, &poll->due);
    DL_DELETE(key->polls, poll);
    key->count--;
    polls->count--;
    poll->key = NULL;
}

static void give(struct sk_polls *polls, struct sk_poll *poll, enum sk_poll_end end,
                 struct sk_poll **ready)
{
    take_off(polls, poll);
    poll->end = end;
    DL_APPEND(*ready, poll);
}

bool sk_poll_leave(struct sk_turn *turn, struct sk_poll *poll)
{
    struct sk_polls *polls = &turn->ledger->polls;
    struct sk_poll_key *key = poll->key;
    if (!key) return false;
    take_off(polls, poll);
    key_drop_if_empty(polls, key);
    return true;
}

/* --- when ----------------------------------------------------------------------------------- */

static void set_timer(sk_ledger *ledger)
{
    struct sk_polls *polls = &ledger->polls;
    if (polls->heap.len == 0 || polls->heap.places[0]->at_us >= polls->timer_at_us) return;
    polls->timer_at_us = polls->heap.places[0]->at_us;
    sk_timer_set(ledger->options.timers, &polls->timer, polls->timer_at_us);
}

static uint64_t lease_due(sk_ledger *ledger, uint64_t at_ms)
{
    struct sk_turn here = {.ledger = ledger};
    uint64_t wall = sk_turn_now_ms(&here), mono = sk_mono_us(ledger->clock);
    if (at_ms <= wall) return mono;
    return at_ms - wall > UINT64_MAX / 2000 ? UINT64_MAX : mono + (at_ms - wall) * 1000;
}

static void await_next_lease(sk_ledger *ledger, struct sk_poll_key *key, uint64_t not_before_us)
{
    uint64_t at_ms = sk_state_next_deadline(ledger->state, key->id.group, key->id.topic);
    if (at_ms == UINT64_MAX) return;
    uint64_t at_us = lease_due(ledger, at_ms);
    sk_due_set(&ledger->polls.heap, &key->due, at_us < not_before_us ? not_before_us : at_us);
}

/* Deleted between two turns of the call that parks: nobody would tell it any more. */
static bool is_gone(const struct sk_turn *turn, const struct sk_poll *poll)
{
    const sk_state *state = turn->ledger->state;
    return !sk_state_topic_by_id(state, poll->topic) ||
           (poll->group && !sk_state_group_by_id(state, poll->group));
}

bool sk_poll_park(struct sk_turn *turn, struct sk_poll *poll)
{
    struct sk_polls *polls = &turn->ledger->polls;
    struct sk_poll_key *key = key_of(polls, poll->topic, poll->group);
    if (polls->ended || polls->count >= polls->most) return false;
    if (key && key->count >= polls->most_per_key) return false;
    if (!key) key = key_make(polls, poll->topic, poll->group);
    poll->key = key;
    poll->due.is_key = false;
    poll->looked = key->marks;
    DL_APPEND(key->polls, poll);
    key->count++;
    polls->count++;
    sk_due_set(&polls->heap, &poll->due, poll->end_us);
    if (key->due.slot == 0 && poll->group) await_next_lease(turn->ledger, key, 0);
    poll->end = is_gone(turn, poll) ? SK_POLL_GONE : SK_POLL_OVER;
    if (poll->end == SK_POLL_GONE) mark(polls, key);
    set_timer(turn->ledger);
    return true;
}

size_t sk_polls_count(const struct sk_turn *turn)
{
    return turn->ledger->polls.count;
}

/* --- what happened --------------------------------------------------------------------------- */

void sk_polls_topic_has_news(sk_ledger *ledger, uint32_t topic_id)
{
    struct sk_poll_topic *topic = topic_of(&ledger->polls, topic_id);
    struct sk_poll_key *key;
    if (topic) DL_FOREACH(topic->keys, key) mark(&ledger->polls, key);
}

void sk_polls_lease_ends(sk_ledger *ledger, uint32_t group, uint32_t topic, uint64_t at_ms)
{
    struct sk_poll_key *key = key_of(&ledger->polls, topic, group);
    if (!key) return;
    uint64_t at_us = lease_due(ledger, at_ms);
    if (key->due.slot && key->due.at_us <= at_us) return;
    sk_due_set(&ledger->polls.heap, &key->due, at_us);
    set_timer(ledger);
}

/* It is looked at once more, and finds that there is nothing to wait for. */
static void key_gone(struct sk_polls *polls, struct sk_poll_key *key)
{
    struct sk_poll *poll;
    DL_FOREACH(key->polls, poll) poll->end = SK_POLL_GONE;
    mark(polls, key);
}

void sk_polls_topic_gone(sk_ledger *ledger, uint32_t topic_id)
{
    struct sk_poll_topic *topic = topic_of(&ledger->polls, topic_id);
    struct sk_poll_key *key;
    if (topic) DL_FOREACH(topic->keys, key) key_gone(&ledger->polls, key);
}

void sk_polls_group_gone(sk_ledger *ledger, uint32_t group)
{
    struct sk_poll_key *key, *next;
    HASH_ITER(hh, ledger->polls.keys, key, next)
    {
        if (key->id.group == group) key_gone(&ledger->polls, key);
    }
}

/* --- looking ---------------------------------------------------------------------------------- */

/* False: there is nothing for the others of its group either. */
static bool look_at(struct sk_turn *turn, struct sk_poll *poll, struct sk_poll **ready)
{
    struct sk_polls *polls = &turn->ledger->polls;
    if (poll->end == SK_POLL_GONE) {
        give(polls, poll, SK_POLL_GONE, ready);
        return true;
    }
    switch (poll->look(poll, turn)) {
    case SK_POLL_NOTHING:
        return false;
    case SK_POLL_MISMATCH:
        break;
    case SK_POLL_FOUND:
        give(polls, poll, SK_POLL_HAS, ready);
        break;
    case SK_POLL_UNSURE:
        give(polls, poll, SK_POLL_TRY, ready);
        break;
    }
    return true;
}

static struct sk_poll *next_unseen(struct sk_poll_key *key)
{
    struct sk_poll *poll;
    do {
        poll = key->look_at ? key->look_at : key->polls;
        key->look_at = poll->next;
    } while (poll->looked == key->marks);
    poll->looked = key->marks;
    key->unseen--;
    return poll;
}

/* Look at a dirty key's polls, in order. True: all that had to be was looked at. */
static bool look_at_key(struct sk_turn *turn, struct sk_poll_key *key, int *looks,
                        struct sk_poll **ready)
{
    while (key->unseen > 0) {
        if ((*looks)-- == 0) return false;
        if (!look_at(turn, next_unseen(key), ready)) break;
    }
    return true;
}

bool sk_polls_look(struct sk_turn *turn, struct sk_poll **ready)
{
    struct sk_polls *polls = &turn->ledger->polls;
    int looks = LOOKS_MOST;
    while (polls->dirty) {
        struct sk_poll_key *key = polls->dirty;
        if (!look_at_key(turn, key, &looks, ready)) return true;
        unmark(polls, key);
        key_drop_if_empty(polls, key);
    }
    return false;
}

void sk_polls_answer(struct sk_poll *ready)
{
    while (ready) {
        struct sk_poll *poll = ready;
        DL_DELETE(ready, poll);
        poll->answer(poll, poll->end);
    }
}

/* --- the timer -------------------------------------------------------------------------------- */

static void leases_ended(struct sk_turn *turn, struct sk_poll_key *key, uint64_t now_us,
                         struct sk_poll **ready)
{
    struct sk_polls *polls = &turn->ledger->polls;
    sk_due_remove(&polls->heap, &key->due);
    mark(polls, key);
    int looks = LOOKS_MOST;
    if (!look_at_key(turn, key, &looks, ready)) {
        sk_due_set(&polls->heap, &key->due, now_us); /* the rest in the next turn */
        return;
    }
    unmark(polls, key);
    if (key->polls) await_next_lease(turn->ledger, key, now_us + RETRY_US);
    key_drop_if_empty(polls, key);
}

/* A last look costs little; what only a try of its own could tell, has been tried before. */
static void poll_ended(struct sk_turn *turn, struct sk_poll *poll, struct sk_poll **ready)
{
    struct sk_polls *polls = &turn->ledger->polls;
    struct sk_poll_key *key = poll->key;
    enum sk_poll_end end = poll->end;
    if (end != SK_POLL_GONE)
        end = poll->look(poll, turn) == SK_POLL_FOUND ? SK_POLL_HAS : SK_POLL_OVER;
    give(polls, poll, end, ready);
    key_drop_if_empty(polls, key);
}

/* What is due now, or as much of it as one turn may cost. */
static void take_due(struct sk_turn *turn, struct sk_poll **ready)
{
    struct sk_polls *polls = &turn->ledger->polls;
    uint64_t now_us = sk_mono_us(turn->ledger->clock);
    for (int i = 0; i < LOOKS_MOST && polls->heap.len; i++) {
        struct sk_poll_due *due = polls->heap.places[0];
        char *at = (char *)due;
        if (due->at_us > now_us) break;
        if (!due->is_key) {
            poll_ended(turn, (void *)(at - offsetof(struct sk_poll, due)), ready);
        } else {
            leases_ended(turn, (void *)(at - offsetof(struct sk_poll_key, due)), now_us, ready);
            break; /* that was a turn's worth of looks */
        }
    }
}

static void on_timer(void *arg)
{
    sk_ledger *ledger = arg;
    struct sk_poll *ready = NULL;
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    ledger->polls.timer_at_us = UINT64_MAX;
    take_due(&turn, &ready);
    set_timer(ledger);
    sk_turn_leave(&turn);
    sk_polls_answer(ready);
    sk_turn_end(&turn);
}

/* --- life --------------------------------------------------------------------------------------
 */

void sk_polls_init(sk_ledger *ledger)
{
    ledger->polls.most = ledger->options.most_polls;
    ledger->polls.most_per_key = ledger->options.most_polls_per_group;
    ledger->polls.timer = (struct sk_timer){.fn = on_timer, .arg = ledger};
    ledger->polls.timer_at_us = UINT64_MAX;
}

void sk_ledger_quiet(sk_ledger *ledger)
{
    struct sk_polls *polls = &ledger->polls;
    struct sk_poll *ready = NULL;
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    polls->ended = true;
    struct sk_poll_key *key, *next;
    HASH_ITER(hh, polls->keys, key, next)
    {
        while (key->polls) give(polls, key->polls, SK_POLL_OVER, &ready);
        key_drop_if_empty(polls, key);
    }
    sk_turn_leave(&turn);
    sk_polls_answer(ready);
    sk_turn_end(&turn);
}

void sk_polls_done(sk_ledger *ledger)
{
    free(ledger->polls.heap.places);
}
