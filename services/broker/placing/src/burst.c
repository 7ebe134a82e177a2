/* burst.c - a place for each, one append for all. */
#include "placing/burst.h"

#include "inside.h"
#include "place.h"
#include "placing/find.h"
#include "rpc/server.h"

/* A burst is stored when it has as much; a larger request is a burst of its own. */
enum { RECORDS_MOST = SK_BURST_RECORDS, BYTES_MOST = 256 * 1024 };

static _Thread_local struct {
    struct sk_send *first, *last;
    size_t records, bytes;
    bool wants_flush;
} here;

/* --- under the lock: one append ------------------------------------------------------ */

static void append_alone(struct sk_turn *turn, struct sk_send *send)
{
    send->verdict = sk_verdict_of(sk_turn_commit(turn, send->records, send->count, send->spans));
    if (sk_granted(send->verdict)) send->end = send->spans[send->count - 1].end;
}

static struct sk_status append_together(struct sk_burst_room *room, struct sk_turn *turn,
                                        struct sk_send *first, const struct sk_send *end)
{
    size_t n = 0;
    for (struct sk_send *s = first; s != end; s = s->next) {
        if (s->queue == SK_NO_QUEUE) continue;
        memcpy(&room->records[n], s->records, s->count * sizeof *s->records);
        n += s->count;
    }
    SK_TRY(sk_turn_commit(turn, room->records, n, room->spans));
    n = 0;
    for (struct sk_send *s = first; s != end; s = s->next) {
        if (s->queue == SK_NO_QUEUE) continue;
        n += s->count;
        s->end = room->spans[n - 1].end;
    }
    return SK_SUCCESS;
}

static void refuse_all(struct sk_send *first, const struct sk_send *end, struct sk_status why)
{
    for (struct sk_send *s = first; s != end; s = s->next)
        if (s->queue != SK_NO_QUEUE) s->verdict = sk_verdict_of(why);
}

/* What all of them could not get, each may get for itself. */
static void append_one_by_one(struct sk_turn *turn, struct sk_send *first,
                              const struct sk_send *end)
{
    for (struct sk_send *s = first; s != end; s = s->next) {
        if (s->queue == SK_NO_QUEUE) continue;
        uint64_t offset = sk_state_next_offset(sk_turn_state(turn), s->queue);
        for (size_t i = 0; i < s->count; i++) s->records[i].offset = offset + i;
        s->first_offset = offset;
        append_alone(turn, s);
    }
}

static void append_placed(sk_placing *placing, struct sk_turn *turn, struct sk_send *first,
                          const struct sk_send *end)
{
    size_t placed = 0;
    struct sk_send *one = NULL;
    for (struct sk_send *s = first; s != end; s = s->next) {
        if (s->queue == SK_NO_QUEUE) continue;
        one = s;
        placed++;
    }
    if (placed == 0) return;
    if (placed == 1) {
        append_alone(turn, one);
        return;
    }
    struct sk_status status = append_together(placing->room, turn, first, end);
    if (sk_ok(status)) return;
    /* Where log and state have parted, the records may be there: nothing more is stored. */
    if (sk_ledger_has_failed(placing->node->ledger))
        refuse_all(first, end, status);
    else
        append_one_by_one(turn, first, end);
}

/* A topic that is made now has its record before those that are placed after it, and after those
 * placed before. */
static void store_all(sk_placing *placing, struct sk_turn *turn, struct sk_send *first)
{
    struct sk_send *unstored = first;
    for (struct sk_send *s = first; s; s = s->next) {
        const struct sk_topic *topic = sk_state_topic(sk_turn_state(turn), s->topic);
        s->queue = SK_NO_QUEUE;
        s->verdict = SK_GRANTED;
        if (!topic) {
            append_placed(placing, turn, unstored, s);
            unstored = s;
            s->verdict = sk_find_topic(placing, turn, s->topic, &topic);
        }
        if (sk_granted(s->verdict)) s->verdict = sk_place_check(topic, s);
        if (sk_granted(s->verdict)) sk_place(placing, turn, topic, unstored, s);
    }
    append_placed(placing, turn, unstored, NULL);
}

static void store(sk_placing *placing, struct sk_send *first)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, placing->node->ledger);
    store_all(placing, &turn, first);
    sk_turn_leave(&turn);
    for (struct sk_send *next, *s = first; s; s = next) {
        next = s->next; /* it may be gone afterwards */
        s->stored(s);
    }
    sk_turn_end(&turn);
}

/* --- what is kept ------------------------------------------------------------------- */

static void store_kept(sk_placing *placing)
{
    struct sk_send *first = here.first;
    here.first = here.last = NULL;
    here.records = here.bytes = 0;
    if (first) store(placing, first);
}

static void burst_is_over(void *arg)
{
    sk_placing *placing = arg;
    store_kept(placing);
    if (!here.wants_flush) return;
    here.wants_flush = false;
    sk_store_demand_here(sk_ledger_store(placing->node->ledger));
}

static void keep(struct sk_send *send)
{
    if (here.last)
        here.last->next = send;
    else
        here.first = send;
    here.last = send;
    here.records += send->count;
    here.bytes += send->bytes;
}

void sk_burst_put(sk_placing *placing, struct sk_send *send)
{
    send->next = NULL;
    if (!rpc_when_dry(burst_is_over, placing)) {
        store(placing, send);
        return;
    }
    if (here.records + send->count > RECORDS_MOST || here.bytes + send->bytes > BYTES_MOST)
        store_kept(placing);
    keep(send);
    if (here.records >= RECORDS_MOST || here.bytes >= BYTES_MOST) store_kept(placing);
}

void sk_burst_flush(sk_placing *placing, uint64_t position)
{
    if (sk_ledger_flush_mode(placing->node->ledger) == SK_FLUSH_SYNC &&
        rpc_when_dry(burst_is_over, placing))
        here.wants_flush = true;
    else
        sk_promise_demand(sk_ledger_promise(placing->node->ledger), position);
}
