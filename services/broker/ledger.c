/* ledger.c - state and log under one lock. */
#include "ledger.h"

#include <stdlib.h>

#include <stdatomic.h>

#include "base/log.h"
#include "base/memory.h"

struct sk_ledger {
    struct sk_mutex lock;
    sk_state *state; /* guarded by lock */
    sk_store *store;
    uint64_t last_ms; /* guarded by lock */
    const struct sk_clock *clock;
    struct sk_queue_view view;
    struct sk_ledger_options options;
    sk_ledger_commit_fn *on_commit; /* set before the store tells us anything */
    void *on_commit_owner;
    atomic_bool unpublished; /* something was appended that the store was not told to tell */
    atomic_bool unsettled;   /* the committed cursor moved, and nobody was told yet */
};

/* --- what the store asks of us --------------------------------------------------------------- */

static struct sk_fact fact_of(const struct sk_record *record)
{
    return (struct sk_fact){.kind = record->kind,
                            .queue = record->queue,
                            .offset = record->offset,
                            .time_ms = record->time_ms,
                            .position = record->span.begin,
                            .payload = record->payload};
}

static struct sk_status fold_load(void *owner, struct sk_slice snapshot)
{
    sk_ledger *ledger = owner;
    sk_state_free(ledger->state);
    ledger->state = sk_state_new();
    return sk_state_load(ledger->state, snapshot);
}

static struct sk_status fold_apply(void *owner, const struct sk_record *record)
{
    sk_ledger *ledger = owner;
    struct sk_fact fact = fact_of(record);
    if (record->time_ms > ledger->last_ms) ledger->last_ms = record->time_ms;
    if (record->kind > SK_KIND_OWNER_MOST) return SK_SUCCESS; /* the store's own */
    return sk_state_apply(ledger->state, &fact);
}

static void fold_save(void *owner, struct sk_buffer *out)
{
    sk_ledger *ledger = owner;
    sk_state_save(ledger->state, out);
}

/* Queues of topics that were deleted before the log was opened again. */
static bool fold_keeps(void *owner, uint32_t queue)
{
    sk_ledger *ledger = owner;
    uint32_t unused;
    return sk_state_topic_of_queue(ledger->state, queue, &unused) != NULL;
}

static void store_failed(void *owner, struct sk_status why)
{
    sk_ledger *ledger = owner;
    ledger->options.failed(ledger->options.owner, why);
}

static void store_lock(void *owner) SK_NO_THREAD_ANALYSIS
{
    sk_ledger *ledger = owner;
    sk_mutex_lock(&ledger->lock);
}

static void store_unlock(void *owner) SK_NO_THREAD_ANALYSIS
{
    sk_ledger *ledger = owner;
    sk_mutex_unlock(&ledger->lock);
}

/* From whoever flushes, or in SK_FLUSH_ASYNC from sk_store_publish in sk_ledger_settle. */
static void store_committed(void *owner, uint64_t committed)
{
    (void)committed;
    sk_ledger *ledger = owner;
    atomic_store(&ledger->unsettled, true);
    if (!sk_mutex_is_held(&ledger->lock)) sk_ledger_settle(ledger);
}

/* --- what the state asks of the store -------------------------------------------------------- */

static bool is_visible(sk_store *store, uint32_t queue, uint64_t offset, uint64_t committed)
{
    struct sk_index_entry entry;
    if (sk_store_lookup(store, queue, offset, 1, &entry) == 0) return true; /* retention took it */
    return entry.position + entry.size <= committed;
}

/* Positions grow with offsets, and what is not committed yet is near the end: step back with
 * growing steps to a visible offset, then halve. */
static uint64_t visible_end(sk_store *store, uint32_t queue, struct sk_queue_range range)
{
    uint64_t committed = sk_store_committed_position(store);
    uint64_t hidden = range.max; /* this offset and all after it are not visible */
    uint64_t step = 1;
    uint64_t low = range.max;
    while (low > range.min) {
        low = range.max - range.min > step ? range.max - step : range.min;
        if (is_visible(store, queue, low, committed)) break;
        hidden = low;
        step *= 2;
    }
    if (hidden == low) return low; /* nothing of it is visible */
    while (hidden - low > 1) {
        uint64_t middle = low + (hidden - low) / 2;
        if (is_visible(store, queue, middle, committed)) {
            low = middle;
        } else {
            hidden = middle;
        }
    }
    return hidden;
}

static void view_range(void *owner, uint32_t store_queue, uint64_t *min, uint64_t *visible)
{
    sk_ledger *ledger = owner;
    struct sk_queue_range range = sk_store_queue(ledger->store, store_queue);
    *min = range.min;
    *visible = visible_end(ledger->store, store_queue, range);
}

static size_t view_tags(void *owner, uint32_t store_queue, uint64_t offset, size_t count,
                        uint32_t *hashes)
{
    sk_ledger *ledger = owner;
    struct sk_index_entry entries[128];
    size_t done = 0;
    while (done < count) {
        size_t want = count - done < 128 ? count - done : 128;
        size_t got = sk_store_lookup(ledger->store, store_queue, offset + done, want, entries);
        for (size_t i = 0; i < got; i++) hashes[done + i] = entries[i].tag_hash;
        done += got;
        if (got < want) break;
    }
    return done;
}

/* --- life ------------------------------------------------------------------------------------ */

/* Every start that may write begins an epoch, so that (epoch, position) never names two things. */
static struct sk_status begin_epoch(sk_ledger *ledger)
{
    struct sk_span span;
    sk_mutex_lock(&ledger->lock);
    uint32_t epoch = sk_store_epoch(ledger->store) + 1;
    struct sk_status s =
        sk_store_begin_epoch(ledger->store, epoch, sk_ledger_now_ms(ledger), &span);
    sk_mutex_unlock(&ledger->lock);
    if (sk_ok(s)) sk_store_publish(ledger->store);
    return s;
}

struct sk_status sk_ledger_open(const struct sk_ledger_options *options,
                                struct sk_recovery *recovery, sk_ledger **out)
{
    sk_ledger *ledger = sk_zalloc(1, sizeof *ledger);
    sk_mutex_init(&ledger->lock);
    ledger->state = sk_state_new();
    ledger->options = *options;
    ledger->clock = options->store.clock ? options->store.clock : sk_clock_real();
    ledger->view = (struct sk_queue_view){view_range, view_tags, ledger};

    struct sk_store_options *store = &ledger->options.store;
    store->fold = (struct sk_fold){fold_load, fold_apply, fold_save, ledger, fold_keeps};
    store->failed = store_failed;
    store->lock = store_lock;
    store->unlock = store_unlock;
    struct sk_status status = sk_store_open(store, recovery, &ledger->store);
    if (sk_ok(status)) status = begin_epoch(ledger);
    if (!sk_ok(status)) {
        sk_ledger_close(ledger);
        return status;
    }
    *out = ledger;
    return SK_SUCCESS;
}

void sk_ledger_on_commit(sk_ledger *ledger, sk_ledger_commit_fn *fn, void *owner)
{
    ledger->on_commit = fn;
    ledger->on_commit_owner = owner;
    sk_store_on_commit(ledger->store, store_committed, ledger);
}

void sk_ledger_close(sk_ledger *ledger)
{
    if (!ledger) return;
    sk_store_close(ledger->store);
    sk_state_free(ledger->state);
    sk_mutex_done(&ledger->lock);
    free(ledger);
}

/* --- the lock -----------------------------------------------------------------------------------
 */

void sk_ledger_lock(sk_ledger *ledger) SK_NO_THREAD_ANALYSIS
{
    sk_mutex_lock(&ledger->lock);
}

void sk_ledger_unlock_quietly(sk_ledger *ledger) SK_NO_THREAD_ANALYSIS
{
    sk_mutex_unlock(&ledger->lock);
}

void sk_ledger_unlock(sk_ledger *ledger)
{
    sk_ledger_unlock_quietly(ledger);
    sk_ledger_settle(ledger);
}

void sk_ledger_settle(sk_ledger *ledger)
{
    if (atomic_load(&ledger->unpublished) && atomic_exchange(&ledger->unpublished, false))
        sk_store_publish(ledger->store);
    if (!atomic_load(&ledger->unsettled)) return;
    if (atomic_exchange(&ledger->unsettled, false)) {
        ledger->on_commit(ledger->on_commit_owner);
    }
}

/* --- under the lock -------------------------------------------------------------------------- */

const sk_state *sk_ledger_state(const sk_ledger *ledger)
{
    return ledger->state;
}

const struct sk_queue_view *sk_ledger_view(const sk_ledger *ledger)
{
    return &ledger->view;
}

uint64_t sk_ledger_now_ms(sk_ledger *ledger)
{
    uint64_t now = sk_wall_ms(ledger->clock);
    if (now > ledger->last_ms) ledger->last_ms = now;
    return ledger->last_ms;
}

static struct sk_status apply(sk_ledger *ledger, const struct sk_append *record,
                              const struct sk_span *span)
{
    struct sk_fact fact = {
        .kind = record->kind,
        .queue = record->queue,
        .offset = record->offset,
        .time_ms = record->time_ms,
        .position = span->begin,
        /* The state does not look into messages; all other records have one part. */
        .payload = record->part_count == 1 ? record->parts[0] : SK_EMPTY,
    };
    struct sk_status status = sk_state_apply(ledger->state, &fact);
    if (sk_ok(status)) return status;
    status = sk_while(status, "apply the record at %llu that was just written",
                      (unsigned long long)span->begin);
    ledger->options.failed(ledger->options.owner, status);
    return status;
}

struct sk_status sk_ledger_append(sk_ledger *ledger, const struct sk_append *records, size_t count,
                                  struct sk_span *spans)
{
    SK_TRY(sk_store_append(ledger->store, records, count, false, spans));
    atomic_store(&ledger->unpublished, true);
    for (size_t i = 0; i < count; i++) SK_TRY(apply(ledger, &records[i], &spans[i]));
    return SK_SUCCESS;
}

struct sk_status sk_ledger_write(sk_ledger *ledger, enum sk_record_kind kind,
                                 struct sk_slice payload, struct sk_span *span)
{
    if (payload.len == 0) return SK_SUCCESS;
    struct sk_append record = {.kind = (uint8_t)kind,
                               .queue = SK_NO_QUEUE,
                               .time_ms = sk_ledger_now_ms(ledger),
                               .parts = &payload,
                               .part_count = 1};
    struct sk_span written;
    SK_TRY(sk_store_append(ledger->store, &record, 1, true, &written));
    atomic_store(&ledger->unpublished, true);
    SK_TRY(apply(ledger, &record, &written));
    if (span) *span = written;
    return SK_SUCCESS;
}

uint64_t sk_ledger_visible(sk_ledger *ledger, uint32_t store_queue)
{
    uint64_t min = 0, visible = 0;
    view_range(ledger, store_queue, &min, &visible);
    return visible;
}

sk_store *sk_ledger_store(const sk_ledger *ledger)
{
    return ledger->store;
}

sk_gate *sk_ledger_committed(const sk_ledger *ledger)
{
    return sk_store_committed(ledger->store);
}
