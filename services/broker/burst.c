/* burst.c - a place for each, one append for all. */
#include "burst.h"

#include "base/memory.h"
#include "filter.h"
#include "send.h"

/* A burst is stored when it has as much; a larger request is a burst of its own. */
enum { RECORDS_MOST = 256, BYTES_MOST = 256 * 1024 };

/* Where the records of a burst stand side by side; guarded by the ledger's lock. Not on the stack,
 * where they would be cleared each time. */
struct sk_burst_room {
    struct sk_append records[RECORDS_MOST];
    struct sk_span spans[RECORDS_MOST];
};

struct sk_burst_room *sk_burst_room_new(void)
{
    return sk_alloc(sizeof(struct sk_burst_room));
}

static _Thread_local struct {
    struct sk_send *first, *last;
    size_t records, bytes;
    bool wants_flush;
} here;

/* --- under the lock: a place for each --------------------------------------------- */

static struct sk_verdict check_type(const struct sk_topic *topic,
                                    const struct sk_scanned_message *message)
{
    int type = sk_effective_type(message);
    bool fits = topic->mixed ? type <= RMQ_MESSAGE_TYPE_TRANSACTION : type == (int)topic->type;
    if (!fits) {
        return sk_refuse(RMQ_CODE_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
                         "the message is of type %s, the topic '%.*s' takes %s",
                         rmq_message_type_name(type), SK_SLICE_ARGS(topic->name),
                         topic->mixed ? "NORMAL, FIFO, DELAY and TRANSACTION"
                                      : rmq_message_type_name((int)topic->type));
    }
    if (type != RMQ_MESSAGE_TYPE_NORMAL) {
        return sk_refuse(RMQ_CODE_NOT_IMPLEMENTED, "%s messages come in a later version of Skua",
                         rmq_message_type_name(type));
    }
    return SK_GRANTED;
}

static struct sk_verdict check_topic(const struct sk_topic *topic, const struct sk_send *send)
{
    for (size_t i = 0; i < send->count; i++) SK_GRANT(check_type(topic, &send->messages[i]));
    if (!(topic->permission & SK_PERMIT_WRITE) || topic->write_queues == 0) {
        return sk_refuse(RMQ_CODE_FORBIDDEN, "the topic '%.*s' has no writable queue",
                         SK_SLICE_ARGS(topic->name));
    }
    return SK_GRANTED;
}

/* "1.2.3.4:567" out of "ipv4:1.2.3.4:567". */
static struct sk_slice peer_host(rpc_call *call)
{
    const char *peer = rpc_call_peer(call);
    const char *colon = peer ? strchr(peer, ':') : NULL;
    return sk_slice_of_text(colon ? colon + 1 : peer);
}

/* The queue's next offset when those from `first` up to `send` are stored. */
static uint64_t next_offset(const sk_state *state, const struct sk_send *first,
                            const struct sk_send *send)
{
    uint64_t offset = sk_state_next_offset(state, send->queue);
    for (const struct sk_send *s = first; s != send; s = s->next)
        if (s->queue == send->queue) offset = s->first_offset + s->count;
    return offset;
}

static void place(sk_broker *broker, const struct sk_turn *turn, const struct sk_topic *topic,
                  const struct sk_send *first, struct sk_send *send)
{
    uint64_t now_ms = sk_turn_now_ms(turn);
    send->queue = topic->queues[sk_rotate(broker, topic->id) % topic->write_queues];
    send->first_offset = next_offset(sk_turn_state(turn), first, send);
    for (size_t i = 0; i < send->count; i++) {
        const struct sk_scanned_message *message = &send->messages[i];
        struct sk_slice host = message->has_born_host ? SK_EMPTY : peer_host(send->call);
        sk_stored_encode(message, sk_effective_type(message), now_ms, host, send->heads[i],
                         send->parts[i]);
        send->records[i] = (struct sk_append){
            .kind = SK_RECORD_MESSAGE,
            .queue = send->queue,
            .offset = send->first_offset + i,
            .tag_hash = sk_tag_hash(message->tag),
            .time_ms = now_ms,
            .parts = send->parts[i],
            .part_count = SK_STORED_PARTS,
        };
    }
}

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

static void append_placed(sk_broker *broker, struct sk_turn *turn, struct sk_send *first,
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
    struct sk_status status = append_together(broker->burst_room, turn, first, end);
    if (sk_ok(status)) return;
    /* Where log and state have parted, the records may be there: nothing more is stored. */
    if (sk_ledger_has_failed(broker->ledger))
        refuse_all(first, end, status);
    else
        append_one_by_one(turn, first, end);
}

/* A topic that is made now has its record before those that are placed after it, and after those
 * placed before. */
static void store_all(sk_broker *broker, struct sk_turn *turn, struct sk_send *first)
{
    struct sk_send *unstored = first;
    for (struct sk_send *s = first; s; s = s->next) {
        const struct sk_topic *topic = sk_state_topic(sk_turn_state(turn), s->topic);
        s->queue = SK_NO_QUEUE;
        s->verdict = SK_GRANTED;
        if (!topic) {
            append_placed(broker, turn, unstored, s);
            unstored = s;
            s->verdict = sk_find_topic(broker, turn, s->topic, &topic);
        }
        if (sk_granted(s->verdict)) s->verdict = check_topic(topic, s);
        if (sk_granted(s->verdict)) place(broker, turn, topic, unstored, s);
    }
    append_placed(broker, turn, unstored, NULL);
}

static void store(sk_broker *broker, struct sk_send *first)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, broker->ledger);
    store_all(broker, &turn, first);
    sk_turn_leave(&turn);
    for (struct sk_send *next, *s = first; s; s = next) {
        next = s->next; /* it may be gone afterwards */
        s->stored(s);
    }
    sk_turn_end(&turn);
}

/* --- what is kept ------------------------------------------------------------------- */

static void store_kept(sk_broker *broker)
{
    struct sk_send *first = here.first;
    here.first = here.last = NULL;
    here.records = here.bytes = 0;
    if (first) store(broker, first);
}

static void burst_is_over(void *arg)
{
    sk_broker *broker = arg;
    store_kept(broker);
    if (!here.wants_flush) return;
    here.wants_flush = false;
    sk_store_demand_here(sk_ledger_store(broker->ledger));
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

void sk_burst_put(sk_broker *broker, struct sk_send *send)
{
    send->next = NULL;
    if (!rpc_when_dry(burst_is_over, broker)) {
        store(broker, send);
        return;
    }
    if (here.records + send->count > RECORDS_MOST || here.bytes + send->bytes > BYTES_MOST)
        store_kept(broker);
    keep(send);
    if (here.records >= RECORDS_MOST || here.bytes >= BYTES_MOST) store_kept(broker);
}

void sk_burst_flush(sk_broker *broker, uint64_t position)
{
    if (sk_ledger_flush_mode(broker->ledger) == SK_FLUSH_SYNC &&
        rpc_when_dry(burst_is_over, broker))
        here.wants_flush = true;
    else
        sk_promise_demand(sk_ledger_promise(broker->ledger), position);
}
