/* turn.c - one hold of the lock: ask, commit, and wake at its end. */
#include "inside.h"

#include <time.h>

#include "store/stream.h"

/* --- what a hold costs ------------------------------------------------------------------------ */

static uint64_t thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void begin_hold(sk_ledger *ledger)
{
    if (atomic_load_explicit(&ledger->timing, memory_order_relaxed))
        ledger->hold_began_ns = thread_ns();
}

static void end_hold(sk_ledger *ledger)
{
    if (ledger->hold_began_ns == 0) return;
    struct sk_hold_times *times = &ledger->holds;
    uint64_t ns = thread_ns() - ledger->hold_began_ns;
    ledger->hold_began_ns = 0;
    times->holds++;
    if (ns > times->longest_ns) times->longest_ns = ns;
    for (size_t i = 0; i < sizeof times->over_us / sizeof times->over_us[0]; i++)
        times->over_us[i] += ns / 1000 >= (uint64_t)1 << i;
}

void sk_ledger_time_holds(sk_ledger *ledger, bool on)
{
    sk_mutex_lock(&ledger->lock);
    ledger->holds = (struct sk_hold_times){0};
    sk_mutex_unlock(&ledger->lock);
    atomic_store(&ledger->timing, on);
}

struct sk_hold_times sk_ledger_hold_times(sk_ledger *ledger)
{
    sk_mutex_lock(&ledger->lock);
    struct sk_hold_times times = ledger->holds;
    sk_mutex_unlock(&ledger->lock);
    return times;
}

/* --- begin, leave, end ------------------------------------------------------------------------ */

static void lock(sk_ledger *ledger) SK_NO_THREAD_ANALYSIS
{
    sk_mutex_lock(&ledger->lock);
    begin_hold(ledger);
}

static void unlock(sk_ledger *ledger) SK_NO_THREAD_ANALYSIS
{
    end_hold(ledger);
    sk_mutex_unlock(&ledger->lock);
}

void sk_turn_begin(struct sk_turn *turn, sk_ledger *ledger)
{
    *turn = (struct sk_turn){.ledger = ledger};
    lock(ledger);
    /* Making a segment is work for the disk. Another turn may use up what we made: look again. */
    for (bool made = true; made && sk_store_wants_segment(ledger->store);) {
        unlock(ledger);
        made = sk_store_make_segment(ledger->store);
        lock(ledger);
    }
    sk_state_sweep(ledger->state);
    sk_follow_commit(ledger);
}

void sk_turn_leave(struct sk_turn *turn)
{
    turn->left = true;
    unlock(turn->ledger);
}

static void tell_config(sk_ledger *ledger)
{
    if (!atomic_load(&ledger->config_changed)) return;
    if (atomic_exchange(&ledger->config_changed, false) && ledger->options.config_changed)
        ledger->options.config_changed(ledger->options.owner);
}

void sk_turn_end(struct sk_turn *turn)
{
    sk_ledger *ledger = turn->ledger;
    if (!turn->left) sk_turn_leave(turn);
    if (turn->appended) sk_store_publish(ledger->store);
    sk_ledger_wake(ledger);
    tell_config(ledger);
}

/* --- waking ----------------------------------------------------------------------------------- */

/* Where nobody waits, news can wait for the next turn, which makes it visible before it is asked.
 * Whoever parks meanwhile looks here himself, at the end of his turn. */
static bool has_work(sk_ledger *ledger)
{
    if (atomic_load(&ledger->polls.any_dirty)) return true;
    return atomic_load(&ledger->polls.count) > 0 &&
           sk_news_first_end(&ledger->news) <= sk_promise_position(ledger->promise);
}

/* One turn's worth: a bounded number of polls. Its own leases need no second look. */
static void wake_some(sk_ledger *ledger)
{
    struct sk_turn turn;
    struct sk_poll *ready = NULL;
    sk_turn_begin(&turn, ledger);
    sk_polls_look(&turn, &ready);
    sk_turn_leave(&turn);
    sk_polls_answer(ready);
    sk_turn_end(&turn); /* comes back to sk_ledger_wake, which is under way */
}

/* A woken call may take turns of its own, and their ends come back to here: the outermost does the
 * work, else a chain of polls would be a chain of frames on the stack. */
void sk_ledger_wake(sk_ledger *ledger)
{
    static _Thread_local sk_ledger *awake;
    if (awake == ledger) return;
    sk_ledger *before = awake;
    awake = ledger;
    while (has_work(ledger)) wake_some(ledger);
    awake = before;
}

/* --- asking ----------------------------------------------------------------------------------- */

const sk_state *sk_turn_state(const struct sk_turn *turn)
{
    return turn->ledger->state;
}

void sk_turn_range(const struct sk_turn *turn, uint32_t store_queue, uint64_t *min,
                   uint64_t *visible)
{
    sk_ledger *ledger = turn->ledger;
    uint64_t next_offset = sk_state_next_offset(ledger->state, store_queue);
    *min = sk_store_queue(ledger->store, store_queue).min;
    *visible = sk_news_visible(&ledger->news, store_queue, next_offset);
}

uint64_t sk_turn_now_ms(const struct sk_turn *turn)
{
    sk_ledger *ledger = turn->ledger;
    uint64_t now = sk_wall_ms(ledger->clock);
    if (now > ledger->last_ms) ledger->last_ms = now;
    return ledger->last_ms;
}

struct sk_lease_id sk_turn_lease_id(const struct sk_turn *turn, const struct sk_span *span)
{
    return (struct sk_lease_id){.epoch = turn->ledger->epoch, .position = span->begin};
}

enum sk_role sk_turn_role(const struct sk_turn *turn)
{
    return atomic_load_explicit(&turn->ledger->role, memory_order_relaxed);
}

/* --- changing --------------------------------------------------------------------------------- */

static struct sk_status may_write(const struct sk_turn *turn)
{
    if (sk_turn_role(turn) == SK_PRIMARY) return SK_SUCCESS;
    return sk_error(SK_NOT_MASTER, "this broker is a replica: send to the primary of its set");
}

/* What makes room may go on when messages are refused. */
static bool is_urgent(const struct sk_append *records, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (records[i].kind == SK_RECORD_MESSAGE) return false;
    return true;
}

static struct sk_record record_of(const struct sk_append *append, struct sk_span span,
                                  uint32_t epoch)
{
    return (struct sk_record){.kind = append->kind,
                              .epoch = epoch,
                              .queue = append->queue,
                              .offset = append->offset,
                              .tag_hash = append->tag_hash,
                              .time_ms = append->time_ms,
                              .span = span,
                              .payload = append->part_count ? append->parts[0] : SK_EMPTY};
}

struct sk_status sk_turn_commit(struct sk_turn *turn, const struct sk_append *records, size_t count,
                                struct sk_span *spans)
{
    sk_ledger *ledger = turn->ledger;
    SK_TRY(may_write(turn));
    bool urgent = is_urgent(records, count);
    SK_TRY(sk_store_append(ledger->store, records, count, urgent, spans));
    turn->appended = true;
    sk_news_begin_batch(&ledger->news);
    for (size_t i = 0; i < count; i++) {
        struct sk_record record = record_of(&records[i], spans[i], ledger->epoch);
        struct sk_status status = sk_ledger_fold(ledger, &record);
        if (sk_ok(status)) continue;
        status = sk_while(status, "apply the record at %llu that was just written",
                          (unsigned long long)spans[i].begin);
        sk_ledger_fail(ledger, status);
        return status;
    }
    return SK_SUCCESS;
}

struct sk_status sk_turn_receive(struct sk_turn *turn, uint64_t position, struct sk_slice bytes,
                                 struct sk_span *span)
{
    sk_ledger *ledger = turn->ledger;
    if (sk_turn_role(turn) == SK_PRIMARY)
        return sk_error(SK_INVALID, "this broker is a primary: it takes no other one's log");
    sk_news_begin_batch(&ledger->news);
    SK_TRY(sk_store_receive(ledger->store, position, bytes, span));
    turn->appended = true;
    return SK_SUCCESS;
}

struct sk_status sk_turn_write(struct sk_turn *turn, enum sk_record_kind kind,
                               struct sk_slice payload, struct sk_span *span)
{
    if (payload.len == 0) return SK_SUCCESS;
    struct sk_append record = {.kind = (uint8_t)kind,
                               .queue = SK_NO_QUEUE,
                               .time_ms = sk_turn_now_ms(turn),
                               .parts = &payload,
                               .part_count = 1};
    struct sk_span written;
    SK_TRY(sk_turn_commit(turn, &record, 1, &written));
    if (span) *span = written;
    return SK_SUCCESS;
}
