/* receive.c - ReceiveMessage: leases, long polling, delivery.
 *
 *      check ─► try (a turn: choose, commit DELIVER) ──found──► deliver ─► finish
 *               ▲ ▲ │ └─ needs tags: fetch them ─┐             │  │
 *               │ └─┼────────────────────────────┘             │  │
 *               │   └─► park ── woken: look ──found────────────┘  │
 *               │         │  └── a filter cannot look: try again  │
 *               │         └───── time over ─► MESSAGE_NOT_FOUND   │
 *               └──────── nothing of it was wanted after all ◄────┘
 *
 * The call's memory is its arena. Who may touch it: while the poll is parked, whoever takes it
 * off its list under the ledger's lock; else the thread that works on it. A call that was
 * cancelled takes no lease; leases of a stream that could not be written to its end are
 * released at once, their attempt uncounted (protocol.md 8, the first row). */
#include <stddef.h>
#include <stdlib.h>

#include "deliver.h"
#include "message/digest.h"
#include "message/receipt.h"
#include "request.h"
#include "tags.h"

/* Windows of tags that are looked at in a row on the caller's thread, which has others to serve. */
enum { FETCHES_MOST = 4 };

struct receive {
    struct sk_poll poll;
    struct sk_calls *calls;
    rpc_call *call;
    struct sk_caller caller;
    const rmq_receive_message_request *request;
    struct sk_tag_filter filter;
    struct sk_slice topic_name, group_name;
    uint64_t invisible_ms;
    uint32_t first_queue;
    size_t want;
    bool crc32; /* the client can verify one */

    struct sk_timer later;    /* to go on with a long walk past what the filter does not want */
    bool cancelled;           /* guarded by the ledger's lock */
    struct sk_status problem; /* why `look` could not write a lease */
    struct sk_chosen *chosen;
    size_t chosen_count;
    struct sk_lease *leases; /* of those that go back or are not wanted; see room_for_leases */
    struct sk_lease_id lease; /* of the DELIVER record */
};

static struct receive *receive_of(struct sk_poll *poll)
{
    return (struct receive *)(void *)((char *)poll - offsetof(struct receive, poll));
}

/* --- answers -----------------------------------------------------------------------------------
 */

static void write_status(struct receive *r, const struct sk_verdict *verdict)
{
    rmq_status status = sk_status_for(&r->caller, verdict);
    rmq_receive_message_response response = RMQ_RECEIVE_MESSAGE_RESPONSE_INIT;
    rmq_receive_message_response_set_status(&response, &status);
    rmq_messaging_service_write_receive_message(r->call, &response);
}

static void write_timestamp(struct receive *r)
{
    uint64_t now_ms = sk_wall_ms(r->calls->node->clock);
    pb_timestamp timestamp = PB_TIMESTAMP_INIT;
    timestamp.seconds = (int64_t)(now_ms / 1000);
    timestamp.nanos = (int32_t)(now_ms % 1000 * 1000000);
    rmq_receive_message_response response = RMQ_RECEIVE_MESSAGE_RESPONSE_INIT;
    rmq_receive_message_response_set_delivery_timestamp(&response, &timestamp);
    rmq_messaging_service_write_receive_message(r->call, &response);
}

static void refuse(struct receive *r, const struct sk_verdict *verdict)
{
    write_status(r, verdict);
    if (verdict->code != RMQ_CODE_CLIENT_ID_REQUIRED) write_timestamp(r);
    rpc_call_finish(r->call, RPC_OK, NULL);
}

static void answer_empty(struct receive *r)
{
    struct sk_verdict nothing = sk_refuse(RMQ_CODE_MESSAGE_NOT_FOUND, "no new message");
    refuse(r, &nothing);
}

/* --- leases --------------------------------------------------------------------------------------
 */

static struct sk_lease lease_of(const struct receive *r, const struct sk_chosen *chosen)
{
    return (struct sk_lease){.group = r->poll.group,
                             .topic = r->poll.topic,
                             .queue = chosen->queue,
                             .offset = chosen->offset,
                             .lease = r->lease};
}

/* What a choice may see: offsets by the turn, tags by what was fetched before it. */
struct sight {
    const struct sk_turn *turn;
    struct sk_tags *tags;
};

static void see_range(void *owner, uint32_t store_queue, uint64_t *min, uint64_t *visible)
{
    const struct sight *sight = owner;
    sk_turn_range(sight->turn, store_queue, min, visible);
}

static size_t see_tags(void *owner, uint32_t store_queue, uint64_t offset, size_t count,
                       uint32_t *hashes)
{
    const struct sight *sight = owner;
    return sk_tags_see(sight->tags, store_queue, offset, count, hashes);
}

/* SK_OK with chosen_count 0: there is nothing to be had now. */
static struct sk_status choose_once(struct receive *r, struct sk_turn *turn, struct sk_tags *tags,
                                    bool *more)
{
    struct sight sight = {turn, tags};
    const struct sk_queue_view view = {see_range, see_tags, &sight};
    uint64_t now_ms = sk_turn_now_ms(turn);
    struct sk_choose how = {
        .group = r->poll.group,
        .topic = r->poll.topic,
        .now_ms = now_ms,
        .first_queue = r->first_queue,
        .count = r->want,
        .tag_hashes = r->filter.hashes,
        .tag_hash_count = r->filter.count,
        .deadline_ms = now_ms + r->invisible_ms,
        .auto_renew = r->request->auto_renew,
        .owner = r->caller.owner,
    };
    struct sk_buffer payload = {0};
    size_t count = sk_state_choose(sk_turn_state(turn), &how, &view, r->chosen, &payload);
    struct sk_span span = {0};
    struct sk_status status =
        sk_turn_write(turn, SK_RECORD_DELIVER, sk_buffer_slice(&payload), &span);
    *more = count == 0 && payload.len > 0;
    sk_buffer_done(&payload);
    if (!sk_ok(status)) return status;
    r->chosen_count = count;
    r->lease = sk_turn_lease_id(turn, &span);
    return SK_SUCCESS;
}

/* A choice may do no more than move the floor, which retention moved, or pass over what the filter
 * does not want: then the next one may find something. SK_POLL_UNSURE: tags are missing. */
static enum sk_poll_look choose(struct receive *r, struct sk_turn *turn, struct sk_tags *tags)
{
    enum { CHOICES_MOST = 4 };
    bool more = !r->cancelled;
    r->chosen_count = 0;
    for (int i = 0; more && i < CHOICES_MOST; i++) {
        r->problem = choose_once(r, turn, tags, &more);
        if (!sk_ok(r->problem)) return SK_POLL_MISMATCH; /* a full disk, or one that has failed */
        if (tags && tags->missing) break;
    }
    if (r->chosen_count) return SK_POLL_FOUND;
    if (r->cancelled) return SK_POLL_MISMATCH;
    return tags ? tags->missing || more ? SK_POLL_UNSURE : SK_POLL_MISMATCH : SK_POLL_NOTHING;
}

/* sk_poll.look: whoever wakes us holds the lock, and may not read tags. */
static enum sk_poll_look look(struct sk_poll *poll, struct sk_turn *turn)
{
    struct receive *r = receive_of(poll);
    return r->filter.everything || r->cancelled ? choose(r, turn, NULL) : SK_POLL_UNSURE;
}

/* Few receives need it. Without memory: those leases end by themselves. */
static bool room_for_leases(struct receive *r)
{
    if (!r->leases)
        r->leases = sk_arena_alloc(rpc_call_arena(r->call), r->want * sizeof *r->leases);
    return r->leases != NULL;
}

/* Nobody waits for it. If it fails, the leases end when their time has come. */
static void write_settlement(struct receive *r, enum sk_record_kind kind, struct sk_buffer *payload)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, r->calls->node->ledger);
    struct sk_status status = sk_turn_write(&turn, kind, sk_buffer_slice(payload), NULL);
    sk_turn_end(&turn);
    sk_buffer_done(payload);
    (void)status;
}

/* The client never got (all of) them. */
static void delivered(void *arg, bool all)
{
    struct receive *r = arg;
    if (all || r->chosen_count == 0 || !room_for_leases(r)) return;
    for (size_t i = 0; i < r->chosen_count; i++) r->leases[i] = lease_of(r, &r->chosen[i]);
    struct sk_buffer payload = {0};
    sk_state_encode_release(r->leases, r->chosen_count, &payload);
    write_settlement(r, SK_RECORD_RELEASE, &payload);
}

/* Messages whose tag only looked right: consumed, as all that the filter does not want. */
static void acknowledge(struct receive *r, size_t count)
{
    struct sk_buffer payload = {0};
    sk_state_encode_ack(r->leases, count, &payload);
    write_settlement(r, SK_RECORD_ACK, &payload); /* else chosen again, and not wanted again */
}

static enum sk_deliver_result read_one(struct receive *r, const struct sk_chosen *chosen,
                                       const struct sk_index_entry *entry,
                                       struct sk_ready_message *out)
{
    struct sk_receipt receipt = {.broker = r->calls->node->name,
                                 .group = r->poll.group,
                                 .topic = r->poll.topic,
                                 .queue = chosen->queue,
                                 .offset = chosen->offset,
                                 .epoch = r->lease.epoch,
                                 .position = r->lease.position};
    char handle[SK_RECEIPT_TEXT_MAX];
    struct sk_delivery about = {
        .receipt_handle = sk_slice_of(handle, sk_receipt_encode(&receipt, handle)),
        .queue = chosen->queue,
        .offset = chosen->offset,
        .attempt = chosen->attempt,
        .invisible_ms = r->invisible_ms,
        .crc32 = r->crc32,
    };
    return sk_deliver_read(r->calls, r->call, chosen->store_queue, entry, &r->filter, &about, out);
}

/* How many of the chosen stand in a row in one queue: their index entries are looked up at once. */
static size_t row_of(const struct sk_chosen *chosen, size_t count)
{
    size_t n = 1;
    while (n < count && chosen[n].store_queue == chosen[0].store_queue &&
           chosen[n].offset == chosen[0].offset + n) {
        n++;
    }
    return n;
}

enum { ROW_MAX = 64 };

/* The index entries of chosen[begin] to chosen[end - 1]; none if retention took that one away. */
struct row {
    struct sk_index_entry entries[ROW_MAX];
    size_t begin, end, found;
};

/* The entry of chosen[i]; i goes up by one from call to call. */
static const struct sk_index_entry *entry_of(struct receive *r, size_t i, struct row *row)
{
    if (i == row->end) {
        size_t left = r->chosen_count - i < ROW_MAX ? r->chosen_count - i : ROW_MAX;
        const struct sk_chosen *first = &r->chosen[i];
        row->found = sk_store_lookup(sk_ledger_store(r->calls->node->ledger), first->store_queue,
                                     first->offset, row_of(first, left), row->entries);
        row->begin = i;
        row->end = i + (row->found ? row->found : 1);
    }
    return row->found ? &row->entries[i - row->begin] : NULL;
}

/* Write what can be read and is wanted, and keep only that in r->chosen. OK goes first, but not
 * before there is a message to follow it. What cannot be read stays leased, and is tried again
 * when the lease ends. */
static void deliver_all(struct receive *r)
{
    struct sk_verdict ok = SK_GRANTED;
    struct row row = {.end = 0};
    size_t unwanted = 0, kept = 0;
    for (size_t i = 0; i < r->chosen_count; i++) {
        struct sk_chosen chosen = r->chosen[i];
        struct sk_ready_message message;
        const struct sk_index_entry *entry = entry_of(r, i, &row);
        if (!entry) continue;
        enum sk_deliver_result result = read_one(r, &chosen, entry, &message);
        if (result == SK_DELIVER_MISMATCH && room_for_leases(r))
            r->leases[unwanted++] = lease_of(r, &chosen);
        if (result != SK_DELIVER_READY) continue;
        if (kept == 0) write_status(r, &ok);
        sk_deliver_write(r->call, &message);
        r->chosen[kept++] = chosen;
    }
    r->chosen_count = kept;
    if (unwanted) acknowledge(r, unwanted);
}

static void begin(struct receive *r);
static void try_now(struct receive *r);

static void deliver(struct receive *r)
{
    deliver_all(r);
    if (r->chosen_count == 0) {
        try_now(r);
        return;
    }
    write_timestamp(r);
    rpc_call_finish_done(r->call, RPC_OK, NULL, delivered, r);
}

/* sk_poll.answer */
static void answer(struct sk_poll *poll, enum sk_poll_end end)
{
    struct receive *r = receive_of(poll);
    switch (end) {
    case SK_POLL_HAS:
        deliver(r);
        break;
    case SK_POLL_TRY:
        try_now(r);
        break;
    case SK_POLL_OVER:
        answer_empty(r);
        break;
    case SK_POLL_GONE:
        begin(r); /* says so, or goes on in a new topic of the name */
        break;
    }
}

/* --- waiting --------------------------------------------------------------------------------- */

static void cancelled(void *arg)
{
    struct receive *r = arg;
    struct sk_turn turn;
    sk_turn_begin(&turn, r->calls->node->ledger);
    r->cancelled = true;
    bool ours = sk_poll_leave(&turn, &r->poll);
    sk_turn_end(&turn);
    if (ours) rpc_call_finish(r->call, RPC_CANCELLED, NULL);
}

enum outcome { FOUND, UNSURE, NOTHING, DEAD, STUCK, PARKED, CROWDED };

/* One turn: choose, and park if there was nothing. */
static enum outcome decide(struct receive *r, struct sk_turn *turn, struct sk_tags *tags)
{
    struct sk_calls *calls = r->calls;
    if (r->cancelled) return DEAD;
    enum sk_poll_look look = choose(r, turn, tags);
    if (look == SK_POLL_FOUND) return FOUND;
    if (!sk_ok(r->problem)) return STUCK;
    if (sk_mono_us(calls->node->clock) >= r->poll.end_us || atomic_load(&calls->node->stopping))
        return NOTHING;
    if (look == SK_POLL_UNSURE) return UNSURE;
    return sk_poll_park(turn, &r->poll) ? PARKED : CROWDED;
}

static void act(struct receive *r, enum outcome outcome)
{
    struct sk_verdict verdict;
    switch (outcome) {
    case FOUND:
        deliver(r);
        break;
    case NOTHING:
        answer_empty(r);
        break;
    case DEAD:
        rpc_call_finish(r->call, RPC_CANCELLED, NULL);
        break;
    case STUCK:
        verdict = sk_verdict_of(r->problem);
        refuse(r, &verdict);
        break;
    case CROWDED:
        verdict = sk_refuse(RMQ_CODE_TOO_MANY_REQUESTS,
                            "too many receives wait already: max_polls is %lld, "
                            "max_polls_per_group %lld",
                            (long long)r->calls->node->config->max_polls,
                            (long long)r->calls->node->config->max_polls_per_group);
        refuse(r, &verdict);
        break;
    case PARKED: /* it may be answered and gone already */
    case UNSURE:
        break;
    }
}

static enum outcome try_once(struct receive *r, struct sk_tags *tags)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, r->calls->node->ledger);
    enum outcome outcome = decide(r, &turn, tags);
    sk_turn_leave(&turn);
    act(r, outcome);
    sk_turn_end(&turn);
    return outcome;
}

static void go_on(void *arg)
{
    try_now(arg);
}

/* Try; answer, park, or give up. With a filter as often as it needs tags: a few times here, and then
 * on the timers' thread, from the call's place in a round of all that do so. */
static void try_now(struct receive *r)
{
    if (r->filter.everything) {
        try_once(r, NULL);
        return;
    }
    struct sk_tags *tags = sk_tags_new(sk_ledger_store(r->calls->node->ledger), r->filter.hashes[0]);
    int fetches = 0;
    while (try_once(r, tags) == UNSURE && fetches++ < FETCHES_MOST) {
        if (tags->missing) sk_tags_fetch(tags);
    }
    free(tags);
    if (fetches <= FETCHES_MOST) return;
    r->later = (struct sk_timer){.fn = go_on, .arg = r};
    sk_timer_set(r->calls->node->timers, &r->later, sk_mono_us(r->calls->node->clock));
}

/* --- the request ----------------------------------------------------------------------------- */

static struct sk_verdict check_duration(struct receive *r)
{
    const struct sk_broker_config *config = r->calls->node->config;
    if (r->request->auto_renew) {
        r->invisible_ms = config->auto_renew_duration_ms;
        return SK_GRANTED;
    }
    const pb_duration *asked = rmq_receive_message_request_get_invisible_duration(r->request);
    int64_t ms = sk_duration_ms(asked);
    if (ms < (int64_t)config->min_invisible_duration_ms ||
        ms > (int64_t)config->max_invisible_duration_ms) {
        return sk_refuse(RMQ_CODE_ILLEGAL_INVISIBLE_TIME,
                         "the invisible duration is %lld ms; allowed are %llu to %llu ms "
                         "(min_invisible_duration, max_invisible_duration)",
                         (long long)ms, (unsigned long long)config->min_invisible_duration_ms,
                         (unsigned long long)config->max_invisible_duration_ms);
    }
    r->invisible_ms = (uint64_t)ms;
    return SK_GRANTED;
}

static struct sk_verdict check_request(struct receive *r)
{
    const rmq_receive_message_request *request = r->request;
    const rmq_message_queue *queue = request->message_queue;
    const pb_duration *polling = rmq_receive_message_request_get_long_polling_timeout(request);
    SK_GRANT(sk_poll_end(r->calls, r->call, &r->caller, polling, &r->poll.end_us));
    SK_GRANT(sk_topic_of(r->call, &r->caller, queue ? queue->topic : NULL, &r->topic_name));
    SK_GRANT(sk_group_of(r->call, &r->caller, request->group, &r->group_name));
    SK_GRANT(sk_check_batch(r->calls, request->batch_size, &r->want));
    SK_GRANT(sk_check_filter(r->call, request->filter_expression, &r->filter));
    r->crc32 = sk_digest_knows_crc32(r->caller.asker.language);
    return check_duration(r);
}

static struct sk_verdict find(struct receive *r, struct sk_turn *turn)
{
    const struct sk_topic *topic;
    const struct sk_group *group;
    SK_GRANT(sk_find_topic(r->calls->placing, turn, r->topic_name, &topic));
    r->poll.topic = topic->id;
    if (!(topic->permission & SK_PERMIT_READ) || topic->read_queues == 0) {
        return sk_refuse(RMQ_CODE_FORBIDDEN, "the topic '%.*s' has no readable queue",
                         SK_SLICE_ARGS(r->topic_name));
    }
    r->first_queue = sk_rotate(r->calls->placing, r->poll.topic + 512) % topic->read_queues;
    SK_GRANT(sk_find_group(r->calls->placing, turn, r->group_name, &group));
    r->poll.group = group->id;
    return SK_GRANTED;
}

static void begin(struct receive *r)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, r->calls->node->ledger);
    struct sk_verdict verdict = find(r, &turn);
    sk_turn_end(&turn);
    if (sk_granted(verdict))
        try_now(r);
    else
        refuse(r, &verdict);
}

void sk_handle_receive(void *owner, rpc_call *call, const rmq_receive_message_request *request)
{
    struct sk_calls *calls = owner;
    struct receive *r = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *r);
    if (!r) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "the request is too large");
        return;
    }
    r->calls = calls;
    r->call = call;
    r->request = request;
    r->poll.look = look;
    r->poll.answer = answer;
    struct sk_verdict verdict = sk_caller_of(call, &r->caller);
    if (sk_granted(verdict)) verdict = check_request(r);
    if (sk_granted(verdict)) {
        r->chosen = sk_arena_zalloc(rpc_call_arena(call), r->want, sizeof *r->chosen);
        if (!r->chosen) verdict = sk_refuse(RMQ_CODE_BAD_REQUEST, "the request is too large");
    }
    if (!sk_granted(verdict)) {
        refuse(r, &verdict);
        return;
    }
    sk_sessions_seen(calls->sessions, call, &r->caller);
    rpc_call_on_cancel(call, cancelled, r);
    begin(r);
}
