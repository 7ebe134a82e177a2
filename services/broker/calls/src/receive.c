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
#include "receive.h"

#include <stddef.h>
#include <stdlib.h>

#include "message/digest.h"
#include "request.h"

/* Windows of tags that are looked at in a row on the caller's thread, which has others to serve. */
enum { FETCHES_MOST = 4 };

static struct receive *receive_of(struct sk_poll *poll)
{
    return (struct receive *)(void *)((char *)poll - offsetof(struct receive, poll));
}

/* --- answers -----------------------------------------------------------------------------------
 */

void sk_receive_write_status(struct receive *r, const struct sk_verdict *verdict)
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
    sk_receive_write_status(r, verdict);
    if (verdict->code != RMQ_CODE_CLIENT_ID_REQUIRED) write_timestamp(r);
    rpc_call_finish(r->call, RPC_OK, NULL);
}

static void answer_empty(struct receive *r)
{
    struct sk_verdict nothing = sk_refuse(RMQ_CODE_MESSAGE_NOT_FOUND, "no new message");
    refuse(r, &nothing);
}

/* sk_poll.look: whoever wakes us holds the lock, and may not read tags. */
static enum sk_poll_look look(struct sk_poll *poll, struct sk_turn *turn)
{
    struct receive *r = receive_of(poll);
    return r->filter.everything || r->cancelled ? sk_receive_choose(r, turn, NULL) : SK_POLL_UNSURE;
}

static void begin(struct receive *r);
static void try_now(struct receive *r);

static void deliver(struct receive *r)
{
    sk_receive_deliver(r);
    if (r->chosen_count == 0) {
        try_now(r);
        return;
    }
    write_timestamp(r);
    rpc_call_finish_done(r->call, RPC_OK, NULL, sk_receive_delivered, r);
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
        r->was_told = true;
        begin(r); /* says so, or goes on in a new topic of the name, if somebody made it */
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
    enum sk_poll_look look = sk_receive_choose(r, turn, tags);
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

/* Try; answer, park, or give up. With a filter as often as it needs tags: a few times here, and
 * then on the timers' thread, from the call's place in a round of all that do so. */
static void try_now(struct receive *r)
{
    if (r->filter.everything) {
        try_once(r, NULL);
        return;
    }
    struct sk_tags *tags =
        sk_tags_new(sk_ledger_store(r->calls->node->ledger), r->filter.hashes[0]);
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
    SK_GRANT((r->was_told ? sk_see_topic : sk_find_topic)(r->calls->placing, turn, r->topic_name,
                                                          &topic));
    r->poll.topic = topic->id;
    if (!(topic->permission & SK_PERMIT_READ) || topic->read_queues == 0) {
        return sk_refuse(RMQ_CODE_FORBIDDEN, "the topic '%.*s' has no readable queue",
                         SK_SLICE_ARGS(r->topic_name));
    }
    r->first_queue = sk_rotate(r->calls->placing, r->poll.topic + 512) % topic->read_queues;
    SK_GRANT((r->was_told ? sk_see_group : sk_find_group)(r->calls->placing, turn, r->group_name,
                                                          &group));
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
