/* threads.c - the store's three threads.
 *
 *   sk-flusher   syncs when somebody waits (or after the interval), moves the flushed gate
 *   sk-helper    works ahead of the tail: zeros, the next segment; behind it: writes full index
 *                extents, gives page cache back
 *   sk-janitor   snapshots when due, retention every ten seconds (every second while the disk
 *                is full)
 *
 * Group commit needs no queue: while one fdatasync runs, appends go on, and the next fdatasync
 * covers all of them. */
#include "store_impl.h"

enum { JANITOR_PERIOD_MS = 10000, JANITOR_HURRY_MS = 1000 };

/* --- sleeping ---------------------------------------------------------------------------- */

void sk_store_poke(struct sk_sleeper *s)
{
    /* Already poked: it will look again before it sleeps. */
    if (atomic_exchange_explicit(&s->poked, true, memory_order_acq_rel)) return;
    sk_mutex_lock(&s->lock);
    sk_cond_signal(&s->wake);
    sk_mutex_unlock(&s->lock);
}

/* Wait until poked, stopped, or for at most timeout_us; false: stop. Takes the poke. */
static bool doze(struct sk_sleeper *s, uint64_t timeout_us)
{
    sk_mutex_lock(&s->lock);
    if (!s->stop && !atomic_load_explicit(&s->poked, memory_order_acquire))
        sk_cond_wait_for(&s->wake, &s->lock, timeout_us);
    bool go_on = !s->stop;
    atomic_store_explicit(&s->poked, false, memory_order_release);
    sk_mutex_unlock(&s->lock);
    return go_on;
}

/* --- flusher ------------------------------------------------------------------------------- */

void sk_store_demand(void *arg, uint64_t position)
{
    sk_store *store = arg;
    uint64_t tail = sk_commitlog_tail(&store->log);
    if (store->options.manual) return;
    if (position > tail) position = tail;
    sk_mutex_lock(&store->flusher.lock);
    bool more = position > store->flusher.wanted;
    if (more) store->flusher.wanted = position;
    sk_mutex_unlock(&store->flusher.lock);
    if (more) sk_store_poke(&store->flusher);
}

static bool somebody_waits(sk_store *store)
{
    sk_mutex_lock(&store->flusher.lock);
    bool waits = store->flusher.wanted > sk_commitlog_flushed(&store->log);
    sk_mutex_unlock(&store->flusher.lock);
    return waits;
}

static void *flusher_body(void *arg)
{
    sk_store *store = arg;
    const uint64_t interval_us = store->options.flush_interval_ms * 1000;
    uint64_t last_us = sk_mono_us(store->clock);
    for (;;) {
        uint64_t since_us = sk_mono_us(store->clock) - last_us;
        bool failed = atomic_load(&store->failed);
        if (failed) sk_store_announce_failure(store);
        if (!failed && (since_us >= interval_us || somebody_waits(store))) {
            struct sk_status s = sk_store_flush(store);
            (void)s; /* marked and announced by itself */
            last_us = sk_mono_us(store->clock);
            if (somebody_waits(store)) continue;
            since_us = 0;
        }
        if (!doze(&store->flusher, since_us < interval_us ? interval_us - since_us : interval_us))
            return NULL;
    }
}

/* --- helper ---------------------------------------------------------------------------------- */

/* Ahead of the tail first: that is what appends wait for. */
static void work_on_log(sk_store *store)
{
    bool more = true;
    while (more && !atomic_load(&store->failed)) {
        struct sk_status s = sk_commitlog_prepare(&store->log, &more);
        if (!sk_ok(s)) sk_store_mark_failed(store, s);
        if (sk_commitlog_trim_cache(&store->log)) more = true;
        sk_mutex_lock(&store->helper.lock);
        if (store->helper.stop) more = false;
        sk_mutex_unlock(&store->helper.lock);
    }
}

static void *helper_body(void *arg)
{
    sk_store *store = arg;
    do {
        bool was_full = sk_store_is_full(store);
        work_on_log(store);
        sk_store_look_at_disk(store); /* a segment was made, perhaps, and that is what fills it */
        if (!was_full && sk_store_is_full(store)) sk_store_poke(&store->janitor);
        if (sk_index_wants_write(store->index)) {
            struct sk_status s = sk_index_write(store->index, false);
            (void)s; /* kept in memory, and tried again with the next snapshot */
        }
    } while (doze(&store->helper, 3600ull * 1000000));
    return NULL;
}

/* --- janitor -----------------------------------------------------------------------------------
 */

bool sk_store_snapshot_is_due(const sk_store *store)
{
    uint64_t since = sk_commitlog_tail(&store->log) - atomic_load(&store->snapshot_position);
    return since >= store->options.snapshot_bytes &&
           (atomic_load(&store->snapshot_not_before_us) == 0 ||
            sk_mono_us(store->clock) >= atomic_load(&store->snapshot_not_before_us));
}

static uint64_t janitor_period_us(const sk_store *store)
{
    return (sk_store_is_full(store) ? JANITOR_HURRY_MS : JANITOR_PERIOD_MS) * UINT64_C(1000);
}

static void *janitor_body(void *arg)
{
    sk_store *store = arg;
    uint64_t last_us = sk_mono_us(store->clock);
    while (doze(&store->janitor, janitor_period_us(store))) {
        if (sk_store_snapshot_is_due(store) && !atomic_load(&store->failed)) {
            struct sk_status s = sk_store_snapshot(store);
            (void)s; /* counted; tried again ten seconds later */
        }
        if (sk_mono_us(store->clock) - last_us < janitor_period_us(store)) continue;
        sk_store_retain(store);
        last_us = sk_mono_us(store->clock);
    }
    return NULL;
}

/* --- start and stop
 * --------------------------------------------------------------------------------- */

static struct sk_status start(struct sk_sleeper *s, const char *name, void *(*body)(void *),
                              sk_store *store)
{
    SK_TRY(sk_thread_start(name, body, store, &s->thread));
    s->started = true;
    return SK_SUCCESS;
}

struct sk_status sk_store_start_threads(sk_store *store)
{
    SK_TRY(start(&store->flusher, "sk-flusher", flusher_body, store));
    SK_TRY(start(&store->helper, "sk-helper", helper_body, store));
    return start(&store->janitor, "sk-janitor", janitor_body, store);
}

static void stop(struct sk_sleeper *s)
{
    if (!s->started) return;
    sk_mutex_lock(&s->lock);
    s->stop = true;
    sk_cond_signal(&s->wake);
    sk_mutex_unlock(&s->lock);
    sk_thread_join(s->thread);
    s->started = false;
}

void sk_store_stop_threads(sk_store *store)
{
    stop(&store->janitor); /* first: it may still want a flush */
    stop(&store->helper);
    stop(&store->flusher);
}
