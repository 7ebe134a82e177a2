/* ledger.c - opening and closing, and what the store asks of us. */
#include "inside.h"

#include <stdlib.h>

#include "base/memory.h"

/* --- the fold ---------------------------------------------------------------------------- */

/* The payload of a live message is its first part only; what the state is told is the same. */
static struct sk_slice payload_of(const sk_ledger *ledger, const struct sk_record *record)
{
    if (record->kind != SK_RECORD_MESSAGE) return record->payload;
    return ledger->options.message_head ? ledger->options.message_head(record->payload) : SK_EMPTY;
}

/* The state sees of a message what its frame and head say, live and in replay alike; never its
 * body. */
static struct sk_fact fact_of(const sk_ledger *ledger, const struct sk_record *record)
{
    return (struct sk_fact){.kind = record->kind,
                            .epoch = record->epoch,
                            .queue = record->queue,
                            .offset = record->offset,
                            .time_ms = record->time_ms,
                            .position = record->span.begin,
                            .tag_hash = record->tag_hash,
                            .payload = payload_of(ledger, record)};
}

struct sk_status sk_ledger_fold(sk_ledger *ledger, const struct sk_record *record)
{
    struct sk_fact fact = fact_of(ledger, record);
    if (record->time_ms > ledger->last_ms) ledger->last_ms = record->time_ms;
    if (record->kind > SK_KIND_OWNER_MOST) return SK_SUCCESS; /* the store's own */
    ledger->applying_end = record->span.end;
    return sk_state_apply(ledger->state, &fact);
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
    return sk_ledger_fold(owner, record);
}

static void fold_save_begin(void *owner)
{
    sk_ledger *ledger = owner;
    sk_state_save_begin(ledger->state);
}

static bool fold_save_page(void *owner, struct sk_buffer *out, size_t most)
{
    sk_ledger *ledger = owner;
    return sk_state_save_page(ledger->state, out, most);
}

static void fold_save_end(void *owner)
{
    sk_ledger *ledger = owner;
    sk_state_save_end(ledger->state);
}

/* Queues of topics that were deleted before the log was opened again. */
static bool fold_keeps(void *owner, uint32_t queue)
{
    sk_ledger *ledger = owner;
    uint32_t unused;
    return sk_state_topic_of_queue(ledger->state, queue, &unused) != NULL;
}

/* --- failing, the lock ------------------------------------------------------------------- */

void sk_ledger_fail(sk_ledger *ledger, struct sk_status why)
{
    atomic_store(&ledger->failed, true);
    ledger->options.failed(ledger->options.owner, why);
}

bool sk_ledger_has_failed(const sk_ledger *ledger)
{
    return atomic_load(&ledger->failed);
}

static void store_failed(void *owner, struct sk_status why)
{
    sk_ledger_fail(owner, why);
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

/* Files go only when the record that lets them go is promised: on a replica, too, it stays then. */
static uint64_t store_settled(void *owner)
{
    const sk_ledger *ledger = owner;
    return ledger->promise ? sk_promise_position(ledger->promise) : 0;
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_committed(void *arg)
{
    sk_ledger_wake(arg);
}

static struct sk_store_options store_options(sk_ledger *ledger)
{
    struct sk_store_options store = ledger->options.store;
    store.fold = (struct sk_fold){.load = fold_load,
                                  .apply = fold_apply,
                                  .save_begin = fold_save_begin,
                                  .save_page = fold_save_page,
                                  .save_end = fold_save_end,
                                  .owner = ledger,
                                  .keeps = fold_keeps};
    store.write_ahead = ledger->options.flush == SK_FLUSH_SYNC;
    store.failed = store_failed;
    store.lock = store_lock;
    store.unlock = store_unlock;
    store.settled = store_settled;
    return store;
}

/* Before the first append. */
static struct sk_status make_promise(sk_ledger *ledger)
{
    sk_store *store = ledger->store;
    bool sync = ledger->options.flush == SK_FLUSH_SYNC;
    ledger->promise = sk_promise_new(sk_store_tail(store));
    sk_promise_on_move(ledger->promise, on_committed, ledger);
    return sk_promise_count(ledger->promise,
                            sync ? sk_store_flushed_gate(store) : sk_store_tail_gate(store));
}

/* Every start that may write begins an epoch, so that (epoch, position) never names two things. */
static struct sk_status begin_epoch(sk_ledger *ledger)
{
    struct sk_turn turn;
    struct sk_span span;
    sk_turn_begin(&turn, ledger);
    ledger->epoch = sk_store_next_epoch(ledger->store);
    struct sk_status s =
        sk_store_begin_epoch(ledger->store, ledger->epoch, sk_turn_now_ms(&turn), &span);
    turn.appended = sk_ok(s);
    sk_turn_end(&turn);
    return s;
}

static struct sk_status begin_to_write(sk_ledger *ledger)
{
    struct sk_status s = begin_epoch(ledger);
    /* A full disk is no reason not to start: what retention may take, it takes now. */
    if (s.code == SK_FULL && sk_store_retain(ledger->store) > 0) s = begin_epoch(ledger);
    SK_TRY(s);
    return sk_store_flush(ledger->store); /* it is on disk: this moves the gate */
}

static struct sk_status open_parts(sk_ledger *ledger, struct sk_recovery *recovery)
{
    struct sk_store_options store = store_options(ledger);
    SK_TRY(sk_store_open(&store, recovery, &ledger->store));
    SK_TRY(make_promise(ledger));
    sk_follow(ledger);
    return ledger->options.role == SK_PRIMARY ? begin_to_write(ledger) : SK_SUCCESS;
}

struct sk_status sk_ledger_open(const struct sk_ledger_options *options,
                                struct sk_recovery *recovery, sk_ledger **out)
{
    sk_ledger *ledger = sk_zalloc(1, sizeof *ledger);
    sk_mutex_init(&ledger->lock);
    ledger->state = sk_state_new();
    ledger->options = *options;
    atomic_init(&ledger->role, options->role);
    ledger->clock = options->store.clock ? options->store.clock : sk_clock_real();
    atomic_init(&ledger->news.first_end, UINT64_MAX);
    sk_polls_init(ledger);
    struct sk_status status = open_parts(ledger, recovery);
    if (!sk_ok(status)) {
        sk_ledger_close(ledger);
        return status;
    }
    *out = ledger;
    return SK_SUCCESS;
}

void sk_ledger_close(sk_ledger *ledger)
{
    if (!ledger) return;
    sk_store_close(ledger->store); /* its last flush still moves the promise */
    sk_promise_free(ledger->promise);
    sk_polls_done(ledger);
    sk_news_done(&ledger->news);
    sk_state_free(ledger->state);
    sk_mutex_done(&ledger->lock);
    free(ledger);
}

struct sk_status sk_ledger_set_role(sk_ledger *ledger, enum sk_role role)
{
    if (role == SK_PRIMARY && atomic_load(&ledger->role) != SK_PRIMARY)
        SK_TRY(begin_to_write(ledger));
    atomic_store(&ledger->role, role);
    return SK_SUCCESS;
}

sk_store *sk_ledger_store(const sk_ledger *ledger)
{
    return ledger->store;
}

sk_promise *sk_ledger_promise(const sk_ledger *ledger)
{
    return ledger->promise;
}

enum sk_flush_mode sk_ledger_flush_mode(const sk_ledger *ledger)
{
    return ledger->options.flush;
}
