/* polls.c - parked calls, their wake-ups and their one timer. */
#include "polls.h"

#include <stdatomic.h>
#include <stddef.h>
#include <uthash.h>
#include <utlist.h>

#include "base/memory.h"

/* After a lease deadline passed without a message to show for it, look again so much later at
 * the earliest (sk_state_next_deadline may be early). */
enum { RETRY_US = 10000 };

struct topic {
    uint32_t id;
    struct sk_poll_key *keys;
    bool dirty; /* appended to since its polls were last looked at */
    struct topic *next_dirty;
    UT_hash_handle hh;
};

/* The polls of one group on one topic. Lives while there are any. */
struct sk_poll_key {
    struct {
        uint32_t topic, group;
    } id;
    struct sk_poll *polls;
    size_t count;
    struct sk_due due; /* the next end of a lease */
    struct topic *topic;
    struct sk_poll_key *next, *prev; /* of the topic */
    UT_hash_handle hh;
};

struct sk_polls {
    sk_ledger *ledger;
    sk_timers *timers;
    const struct sk_clock *clock;
    size_t most, most_per_key;
    /* All below: guarded by the ledger's lock. */
    size_t count;
    struct topic *topics;
    struct sk_poll_key *keys;
    struct topic *dirty;
    atomic_bool any_dirty; /* written under the lock, read without */
    struct sk_due **heap;
    size_t heap_len, heap_room;
    struct sk_timer timer;
    uint64_t timer_at_us; /* what the timer is set to; UINT64_MAX: not set */
    bool ended;
};

/* --- the heap of what is due ----------------------------------------------------------------- */

static void heap_put(sk_polls *polls, size_t place, struct sk_due *due)
{
    polls->heap[place] = due;
    due->slot = place + 1;
}

static void heap_sift(sk_polls *polls, struct sk_due *due)
{
    size_t place = due->slot - 1;
    while (place > 0 && polls->heap[(place - 1) / 2]->at_us > due->at_us) {
        heap_put(polls, place, polls->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= polls->heap_len) break;
        if (child + 1 < polls->heap_len &&
            polls->heap[child + 1]->at_us < polls->heap[child]->at_us) {
            child++;
        }
        if (polls->heap[child]->at_us >= due->at_us) break;
        heap_put(polls, place, polls->heap[child]);
        place = child;
    }
    heap_put(polls, place, due);
}

static void heap_set(sk_polls *polls, struct sk_due *due, uint64_t at_us)
{
    due->at_us = at_us;
    if (due->slot == 0) {
        if (polls->heap_len == polls->heap_room) {
            polls->heap_room = polls->heap_room ? polls->heap_room * 2 : 64;
            polls->heap = sk_realloc(polls->heap, polls->heap_room, sizeof *polls->heap);
        }
        due->slot = ++polls->heap_len;
        polls->heap[due->slot - 1] = due;
    }
    heap_sift(polls, due);
}

static void heap_remove(sk_polls *polls, struct sk_due *due)
{
    if (due->slot == 0) return;
    size_t place = due->slot - 1;
    struct sk_due *last = polls->heap[--polls->heap_len];
    due->slot = 0;
    if (last == due) return;
    heap_put(polls, place, last);
    heap_sift(polls, last);
}

static void set_timer(sk_polls *polls)
{
    if (polls->heap_len == 0 || polls->heap[0]->at_us >= polls->timer_at_us) return;
    polls->timer_at_us = polls->heap[0]->at_us;
    sk_timer_set(polls->timers, &polls->timer, polls->timer_at_us);
}

/* --- lists -------------------------------------------------------------------------------------
 */

static struct topic *topic_of(sk_polls *polls, uint32_t id)
{
    struct topic *topic = NULL;
    HASH_FIND(hh, polls->topics, &id, sizeof id, topic);
    return topic;
}

static struct sk_poll_key *key_of(sk_polls *polls, uint32_t topic, uint32_t group)
{
    struct sk_poll_key sought = {.id = {topic, group}}, *key = NULL;
    HASH_FIND(hh, polls->keys, &sought.id, sizeof sought.id, key);
    return key;
}

static struct sk_poll_key *key_make(sk_polls *polls, uint32_t topic_id, uint32_t group)
{
    struct topic *topic = topic_of(polls, topic_id);
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

static void forget_dirty(sk_polls *polls, struct topic *topic)
{
    if (!topic->dirty) return;
    LL_DELETE2(polls->dirty, topic, next_dirty);
    topic->dirty = false;
    atomic_store(&polls->any_dirty, polls->dirty != NULL);
}

static void key_drop_if_empty(sk_polls *polls, struct sk_poll_key *key)
{
    if (key->polls) return;
    struct topic *topic = key->topic;
    heap_remove(polls, &key->due);
    HASH_DEL(polls->keys, key);
    DL_DELETE(topic->keys, key);
    free(key);
    if (topic->keys) return;
    forget_dirty(polls, topic);
    HASH_DEL(polls->topics, topic);
    free(topic);
}

/* Takes it off its list, but leaves its key, even if that is empty now. */
static void take_off(sk_polls *polls, struct sk_poll *poll)
{
    heap_remove(polls, &poll->due);
    DL_DELETE(poll->key->polls, poll);
    poll->key->count--;
    polls->count--;
    poll->key = NULL;
}

bool sk_polls_leave(sk_polls *polls, struct sk_poll *poll)
{
    struct sk_poll_key *key = poll->key;
    if (!key) return false;
    take_off(polls, poll);
    key_drop_if_empty(polls, key);
    return true;
}

static uint64_t lease_due(sk_polls *polls, uint64_t at_ms)
{
    uint64_t wall = sk_ledger_now_ms(polls->ledger), mono = sk_mono_us(polls->clock);
    if (at_ms <= wall) return mono;
    return at_ms - wall > UINT64_MAX / 2000 ? UINT64_MAX : mono + (at_ms - wall) * 1000;
}

bool sk_polls_park(sk_polls *polls, struct sk_poll *poll)
{
    struct sk_poll_key *key = key_of(polls, poll->topic, poll->group);
    if (polls->ended || polls->count >= polls->most) return false;
    if (key && key->count >= polls->most_per_key) return false;
    if (!key) key = key_make(polls, poll->topic, poll->group);
    poll->key = key;
    poll->due.is_key = false;
    DL_APPEND(key->polls, poll);
    key->count++;
    polls->count++;
    heap_set(polls, &poll->due, poll->end_us);
    if (key->due.slot == 0 && poll->group) {
        uint64_t at_ms =
            sk_state_next_deadline(sk_ledger_state(polls->ledger), poll->group, poll->topic);
        if (at_ms != UINT64_MAX) heap_set(polls, &key->due, lease_due(polls, at_ms));
    }
    set_timer(polls);
    return true;
}

size_t sk_polls_count(const sk_polls *polls)
{
    return polls->count;
}

/* --- waking -------------------------------------------------------------------------------------
 */

/* Look at a key's polls, in order; those with something go to *ready. */
static void wake_key(sk_polls *polls, struct sk_poll_key *key, struct sk_poll **ready)
{
    struct sk_poll *poll, *next;
    DL_FOREACH_SAFE(key->polls, poll, next)
    {
        enum sk_poll_look look = poll->look(poll);
        if (look == SK_POLL_NOTHING) break;
        if (look == SK_POLL_MISMATCH) continue;
        take_off(polls, poll);
        poll->found = true;
        DL_APPEND(*ready, poll);
    }
}

static void answer_all(struct sk_poll *ready)
{
    while (ready) {
        struct sk_poll *poll = ready;
        DL_DELETE(ready, poll);
        poll->answer(poll, poll->found);
    }
}

void sk_polls_appended(sk_polls *polls, uint32_t topic_id)
{
    struct topic *topic = polls->topics ? topic_of(polls, topic_id) : NULL;
    if (!topic || topic->dirty) return;
    topic->dirty = true;
    LL_PREPEND2(polls->dirty, topic, next_dirty);
    atomic_store(&polls->any_dirty, true);
}

/* What was appended to a dirty topic is committed or will be soon: it stays dirty until the
 * committed cursor has caught up with the tail. */
void sk_polls_committed(sk_polls *polls)
{
    if (!atomic_load(&polls->any_dirty)) return;
    struct sk_poll *ready = NULL;
    sk_ledger_lock(polls->ledger);
    sk_store *store = sk_ledger_store(polls->ledger);
    bool all = sk_store_committed_position(store) >= sk_store_tail(store);
    struct topic *topic, *next_topic;
    LL_FOREACH_SAFE2(polls->dirty, topic, next_topic, next_dirty)
    {
        if (all) forget_dirty(polls, topic);
        struct sk_poll_key *key, *next_key;
        DL_FOREACH_SAFE(topic->keys, key, next_key)
        { /* the topic goes with its last key */
            wake_key(polls, key, &ready);
            key_drop_if_empty(polls, key);
        }
    }
    sk_ledger_unlock_quietly(polls->ledger);
    answer_all(ready);
}

void sk_polls_lease_ends(sk_polls *polls, uint32_t group, uint32_t topic, uint64_t at_ms)
{
    struct sk_poll_key *key = polls->keys ? key_of(polls, topic, group) : NULL;
    if (!key) return;
    uint64_t at_us = lease_due(polls, at_ms);
    if (key->due.slot && key->due.at_us <= at_us) return;
    heap_set(polls, &key->due, at_us);
    set_timer(polls);
}

static void leases_ended(sk_polls *polls, struct sk_poll_key *key, uint64_t now_us,
                         struct sk_poll **ready)
{
    heap_remove(polls, &key->due);
    wake_key(polls, key, ready);
    uint64_t at_ms =
        sk_state_next_deadline(sk_ledger_state(polls->ledger), key->id.group, key->id.topic);
    if (key->polls && at_ms != UINT64_MAX) {
        uint64_t at_us = lease_due(polls, at_ms);
        if (at_us < now_us + RETRY_US) at_us = now_us + RETRY_US;
        heap_set(polls, &key->due, at_us);
    }
    key_drop_if_empty(polls, key);
}

static void poll_ended(sk_polls *polls, struct sk_poll *poll, struct sk_poll **ready)
{
    poll->found = poll->look(poll) == SK_POLL_FOUND; /* a last look costs little */
    sk_polls_leave(polls, poll);
    DL_APPEND(*ready, poll);
}

static void on_timer(void *arg)
{
    sk_polls *polls = arg;
    struct sk_poll *ready = NULL;
    sk_ledger_lock(polls->ledger);
    polls->timer_at_us = UINT64_MAX;
    uint64_t now_us = sk_mono_us(polls->clock);
    while (polls->heap_len && polls->heap[0]->at_us <= now_us) {
        struct sk_due *due = polls->heap[0];
        char *at = (char *)due;
        if (due->is_key) {
            leases_ended(polls, (void *)(at - offsetof(struct sk_poll_key, due)), now_us, &ready);
        } else {
            poll_ended(polls, (void *)(at - offsetof(struct sk_poll, due)), &ready);
        }
    }
    set_timer(polls);
    sk_ledger_unlock_quietly(polls->ledger);
    answer_all(ready);
}

/* --- life ------------------------------------------------------------------------------------ */

sk_polls *sk_polls_new(sk_ledger *ledger, sk_timers *timers, const struct sk_clock *clock,
                       size_t most, size_t most_per_key)
{
    sk_polls *polls = sk_zalloc(1, sizeof *polls);
    polls->ledger = ledger;
    polls->timers = timers;
    polls->clock = clock;
    polls->most = most;
    polls->most_per_key = most_per_key;
    polls->timer = (struct sk_timer){.fn = on_timer, .arg = polls};
    polls->timer_at_us = UINT64_MAX;
    return polls;
}

void sk_polls_end(sk_polls *polls)
{
    struct sk_poll *ready = NULL;
    sk_ledger_lock(polls->ledger);
    polls->ended = true;
    struct sk_poll_key *key, *next_key;
    HASH_ITER(hh, polls->keys, key, next_key)
    {
        while (key->polls) {
            struct sk_poll *poll = key->polls;
            take_off(polls, poll);
            poll->found = false;
            DL_APPEND(ready, poll);
        }
        key_drop_if_empty(polls, key);
    }
    sk_ledger_unlock_quietly(polls->ledger);
    answer_all(ready);
}

void sk_polls_free(sk_polls *polls)
{
    if (!polls) return;
    free(polls->heap);
    free(polls);
}
