/* table.c - the members under one lock, and the snapshot in force in two slots.
 *
 * Readers take no lock. There are two slots, of which one is active:
 *
 *      reader: i = active; slot[i].readers++; still active == i? take a reference,
 *              slot[i].readers--. Else step back and try again.
 *      writer: j = the other slot; wait until slot[j].readers == 0 (a reader is in
 *              there for a few instructions only); put the new snapshot; active = j;
 *              wait until slot[i] is empty too; drop the old one.
 *
 * A reader that counted itself in after the writer looked sees that its slot is
 * not active, or sees what the writer put there. Sequential consistency is
 * needed between "count in, look at active" and "set active, look at count". */
#include "route/table.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"
#include "report.h"

enum { MOST_LISTENERS = 4 };

struct member {
    struct report *report;
    uint64_t session;
    uint64_t heard_us;
    bool suspect;
};

struct slot {
    sk_route_snapshot *snapshot;
    _Atomic unsigned readers;
};

struct sk_route_table {
    const struct sk_clock *clock;
    struct sk_route_limits limits;
    _Atomic uint64_t sessions;
    struct sk_mutex lock;   /* of writers */
    struct member *members; /* guarded by lock, as the next three; sorted by key */
    size_t count, room;
    size_t bytes;
    struct slot slots[2];
    _Atomic unsigned active;
    struct {
        sk_route_changed_fn *fn;
        void *arg;
    } listeners[MOST_LISTENERS]; /* set before other threads come */
    size_t listener_count;
};

/* --- snapshots in force ------------------------------------------------------------------- */

sk_route_snapshot *sk_route_acquire(sk_route_table *t)
{
    for (;;) {
        unsigned i = atomic_load(&t->active);
        atomic_fetch_add(&t->slots[i].readers, 1);
        sk_route_snapshot *s =
            atomic_load(&t->active) == i ? sk_route_ref(t->slots[i].snapshot) : NULL;
        atomic_fetch_sub(&t->slots[i].readers, 1);
        if (s) return s;
    }
}

static void wait_until_empty(struct slot *slot)
{
    while (atomic_load(&slot->readers) != 0) sched_yield();
}

static void put_in_force(sk_route_table *t, sk_route_snapshot *fresh)
{
    unsigned old = atomic_load(&t->active), now = 1 - old;
    wait_until_empty(&t->slots[now]);
    t->slots[now].snapshot = fresh;
    atomic_store(&t->active, now);
    wait_until_empty(&t->slots[old]);
    sk_route_unref(t->slots[old].snapshot);
    t->slots[old].snapshot = NULL;
}

static void publish(sk_route_table *t) SK_REQUIRES(t->lock)
{
    sk_route_snapshot *fresh = snapshot_new(t->count);
    struct member_view *views = snapshot_members(fresh);
    for (size_t i = 0; i < t->count; i++)
        views[i] = (struct member_view){.report = report_ref(t->members[i].report),
                                        .suspect = t->members[i].suspect};
    put_in_force(t, fresh);
}

static void tell_listeners(sk_route_table *t)
{
    for (size_t i = 0; i < t->listener_count; i++) t->listeners[i].fn(t->listeners[i].arg);
}

/* --- life ------------------------------------------------------------------------------------ */

static size_t or_else(size_t value, size_t fallback)
{
    return value ? value : fallback;
}

sk_route_table *sk_route_table_new(const struct sk_route_limits *limits,
                                   const struct sk_clock *clock)
{
    static const struct sk_route_limits none;
    const struct sk_route_limits *l = limits ? limits : &none;
    sk_route_table *t = sk_zalloc(1, sizeof *t);
    t->clock = clock ? clock : sk_clock_real();
    t->limits = (struct sk_route_limits){
        .brokers = or_else(l->brokers, 1024),
        .topics = or_else(l->topics, 100000),
        .groups = or_else(l->groups, 100000),
        .name_bytes = or_else(l->name_bytes, 255),
        .table_bytes = or_else(l->table_bytes, (size_t)512 << 20),
        .expiry_ms = or_else(l->expiry_ms, 120000),
    };
    sk_mutex_init(&t->lock);
    t->slots[0].snapshot = snapshot_new(0);
    return t;
}

void sk_route_table_free(sk_route_table *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->count; i++) report_unref(t->members[i].report);
    sk_route_unref(t->slots[0].snapshot);
    sk_route_unref(t->slots[1].snapshot);
    sk_mutex_done(&t->lock);
    free(t->members);
    free(t);
}

uint64_t sk_route_session_new(sk_route_table *t)
{
    return atomic_fetch_add_explicit(&t->sessions, 1, memory_order_relaxed) + 1;
}

void sk_route_table_listen(sk_route_table *t, sk_route_changed_fn *fn, void *arg)
{
    sk_assert(t->listener_count < MOST_LISTENERS);
    t->listeners[t->listener_count].fn = fn;
    t->listeners[t->listener_count++].arg = arg;
}

/* --- members -----------------------------------------------------------------------------------
 */

/* Where the key is, or belongs. */
static size_t place_of(const sk_route_table *t, const struct sk_route_key *key, bool *found)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = key_compare(&t->members[middle].report->broker.key, key);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

static struct member *find(sk_route_table *t, const struct sk_route_key *key) SK_REQUIRES(t->lock)
{
    bool found;
    size_t i = place_of(t, key, &found);
    return found ? &t->members[i] : NULL;
}

static struct member *insert(sk_route_table *t, const struct sk_route_key *key) SK_REQUIRES(t->lock)
{
    bool found;
    size_t i = place_of(t, key, &found);
    if (t->count == t->room) {
        t->room = t->room ? t->room * 2 : 8;
        t->members = sk_realloc(t->members, t->room, sizeof *t->members);
    }
    memmove(&t->members[i + 1], &t->members[i], (t->count - i) * sizeof *t->members);
    t->members[i] = (struct member){0};
    t->count++;
    return &t->members[i];
}

static void erase(sk_route_table *t, struct member *m) SK_REQUIRES(t->lock)
{
    size_t i = (size_t)(m - t->members);
    t->bytes -= m->report->bytes;
    report_unref(m->report);
    t->count--;
    memmove(m, m + 1, (t->count - i) * sizeof *m);
}

/* --- reports -------------------------------------------------------------------------------------
 */

/* Rules 1 and 2: may this session, with this incarnation, speak for the member? */
static struct sk_status may_speak(const struct member *m, uint64_t session, uint64_t incarnation)
{
    const struct sk_route_key *key = &m->report->broker.key;
    if (incarnation < m->report->broker.incarnation)
        return sk_error(SK_EXISTS,
                        "broker %.*s:%d has registered with a newer incarnation: is a second "
                        "process using this name and id?",
                        SK_SLICE_ARGS(key->name), key->id);
    if (incarnation == m->report->broker.incarnation && session < m->session)
        return sk_error(SK_EXISTS, "broker %.*s:%d has a newer stream", SK_SLICE_ARGS(key->name),
                        key->id);
    return SK_SUCCESS;
}

static struct sk_status make_room(const sk_route_table *t, const struct member *m, size_t bytes)
{
    size_t freed = m ? m->report->bytes : 0;
    if (!m && t->count == t->limits.brokers)
        return sk_error(SK_FULL, "this name server takes %zu brokers", t->limits.brokers);
    if (t->bytes - freed + bytes > t->limits.table_bytes)
        return sk_error(SK_FULL, "the route table would exceed %zu bytes", t->limits.table_bytes);
    return SK_SUCCESS;
}

/* The same report as before: only the session and the suspicion may change. */
static bool renew(struct member *m, uint64_t session, uint64_t now_us)
{
    bool was_suspect = m->suspect;
    m->session = session;
    m->heard_us = now_us;
    m->suspect = false;
    return was_suspect;
}

/* Takes over `fresh` on success. */
static struct sk_status put_report(sk_route_table *t, uint64_t session, struct report *fresh)
    SK_REQUIRES(t->lock)
{
    struct member *m = find(t, &fresh->broker.key);
    if (m) SK_TRY(may_speak(m, session, fresh->broker.incarnation));
    SK_TRY(make_room(t, m, fresh->bytes));
    if (!m)
        m = insert(t, &fresh->broker.key);
    else
        t->bytes -= m->report->bytes;
    report_unref(m->report);
    t->bytes += fresh->bytes;
    *m = (struct member){.report = fresh, .session = session, .heard_us = sk_mono_us(t->clock)};
    publish(t);
    return SK_SUCCESS;
}

/* Is there nothing to copy? Then the answer is complete. */
static bool take_known(sk_route_table *t, uint64_t session, const struct sk_route_broker *report,
                       bool *changed)
{
    sk_mutex_lock(&t->lock);
    struct member *m = find(t, &report->key);
    bool known =
        m && sk_ok(may_speak(m, session, report->incarnation)) && report_is_same(m->report, report);
    *changed = known && renew(m, session, sk_mono_us(t->clock));
    if (*changed) publish(t);
    sk_mutex_unlock(&t->lock);
    return known;
}

struct sk_status sk_route_table_report(sk_route_table *t, uint64_t session,
                                       const struct sk_route_broker *report)
{
    bool changed;
    if (take_known(t, session, report, &changed)) {
        if (changed) tell_listeners(t);
        return SK_SUCCESS;
    }
    struct report *fresh;
    SK_TRY(report_new(report, &t->limits, &fresh));
    sk_mutex_lock(&t->lock);
    struct sk_status s = put_report(t, session, fresh);
    sk_mutex_unlock(&t->lock);
    if (sk_ok(s))
        tell_listeners(t);
    else
        report_unref(fresh);
    return s;
}

struct sk_status sk_route_table_heartbeat(sk_route_table *t, uint64_t session,
                                          const struct sk_route_key *key, uint64_t *version)
{
    struct sk_status s = SK_SUCCESS;
    bool changed = false;
    sk_mutex_lock(&t->lock);
    struct member *m = find(t, key);
    if (!m)
        s = sk_error(SK_NOT_FOUND, "not registered (or expired): send a full report");
    else if (m->session != session)
        s = sk_error(SK_EXISTS, "broker %.*s:%d is registered by another stream",
                     SK_SLICE_ARGS(key->name), key->id);
    else {
        changed = renew(m, session, sk_mono_us(t->clock));
        *version = m->report->broker.version;
        if (changed) publish(t);
    }
    sk_mutex_unlock(&t->lock);
    if (changed) tell_listeners(t);
    return s;
}

bool sk_route_table_suspect(sk_route_table *t, uint64_t session, const struct sk_route_key *key)
{
    sk_mutex_lock(&t->lock);
    struct member *m = find(t, key);
    bool changed = m && m->session == session && !m->suspect;
    if (changed) {
        m->suspect = true;
        publish(t);
    }
    sk_mutex_unlock(&t->lock);
    if (changed) tell_listeners(t);
    return changed;
}

bool sk_route_table_leave(sk_route_table *t, uint64_t session, const struct sk_route_key *key)
{
    sk_mutex_lock(&t->lock);
    struct member *m = find(t, key);
    bool changed = m && m->session == session;
    if (changed) {
        erase(t, m);
        publish(t);
    }
    sk_mutex_unlock(&t->lock);
    if (changed) tell_listeners(t);
    return changed;
}

size_t sk_route_table_expire(sk_route_table *t)
{
    size_t gone = 0;
    sk_mutex_lock(&t->lock);
    uint64_t now = sk_mono_us(t->clock), patience = t->limits.expiry_ms * 1000;
    for (size_t i = t->count; i-- > 0;) {
        if (now - t->members[i].heard_us <= patience) continue;
        erase(t, &t->members[i]);
        gone++;
    }
    if (gone) publish(t);
    sk_mutex_unlock(&t->lock);
    if (gone) tell_listeners(t);
    return gone;
}

uint64_t sk_route_table_silent_ms(sk_route_table *t, const struct sk_route_key *key)
{
    sk_mutex_lock(&t->lock);
    const struct member *m = find(t, key);
    uint64_t silent = m ? (sk_mono_us(t->clock) - m->heard_us) / 1000 : 0;
    sk_mutex_unlock(&t->lock);
    return silent;
}
