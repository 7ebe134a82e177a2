/* pull.c - the pull side: PullMessage, UpdateOffset, GetOffset, QueryOffset.
 *
 * A pull names its queue and its offset and takes no lease; what it has read it says
 * with UpdateOffset. An offset outside [min, max] is ILLEGAL_OFFSET. At max a pull waits for as
 * long as it asks. */
#include <stddef.h>

#include "deliver.h"
#include "message/digest.h"
#include "request.h"

struct pull {
    struct sk_poll poll;
    struct sk_calls *calls;
    rpc_call *call;
    struct sk_caller caller;
    const rmq_pull_message_request *request;
    struct sk_tag_filter filter;
    struct sk_slice topic_name, group_name;
    uint32_t queue, store_queue;
    uint64_t offset;  /* the next to look at */
    uint64_t visible; /* the end of what it may read, at the last look */
    size_t want, written;
    struct sk_timer later; /* to go on with a long walk past what the filter does not want */
    bool was_told;         /* that its topic or group was deleted */
    bool cancelled;        /* guarded by the ledger's lock */
};

/* --- what all four ask ----------------------------------------------------------------------- */

/* The queue that a request names. */
static struct sk_verdict find_queue(struct sk_calls *calls, struct sk_turn *turn,
                                    struct sk_slice topic_name, int32_t id,
                                    const struct sk_topic **topic)
{
    SK_GRANT(sk_find_topic(calls->placing, turn, topic_name, topic));
    if (id < 0 || (uint32_t)id >= (*topic)->read_queues) {
        return sk_refuse(RMQ_CODE_BAD_REQUEST,
                         "no queue %d: the topic '%.*s' has %u on this broker", id,
                         SK_SLICE_ARGS(topic_name), (*topic)->read_queues);
    }
    if (!((*topic)->permission & SK_PERMIT_READ)) {
        return sk_refuse(RMQ_CODE_FORBIDDEN, "the topic '%.*s' is not readable",
                         SK_SLICE_ARGS(topic_name));
    }
    return SK_GRANTED;
}

static const rmq_resource *topic_of(const rmq_message_queue *queue)
{
    return queue ? queue->topic : NULL;
}

static struct sk_verdict check_offset(const struct sk_turn *turn, uint32_t store_queue,
                                      int64_t offset)
{
    uint64_t min, max;
    sk_turn_range(turn, store_queue, &min, &max);
    if (offset >= 0 && (uint64_t)offset >= min && (uint64_t)offset <= max) return SK_GRANTED;
    return sk_refuse(RMQ_CODE_ILLEGAL_OFFSET,
                     "offset %lld is outside [%llu, %llu], where the queue begins and ends now",
                     (long long)offset, (unsigned long long)min, (unsigned long long)max);
}

/* --- PullMessage: answers ------------------------------------------------------------------------
 */

static struct pull *pull_of(struct sk_poll *poll)
{
    return (struct pull *)(void *)((char *)poll - offsetof(struct pull, poll));
}

static void write_status(struct pull *p, const struct sk_verdict *verdict)
{
    rmq_status status = sk_status_for(&p->caller, verdict);
    rmq_pull_message_response response = RMQ_PULL_MESSAGE_RESPONSE_INIT;
    rmq_pull_message_response_set_status(&response, &status);
    rmq_messaging_service_write_pull_message(p->call, &response);
}

static void write_next_offset(struct pull *p)
{
    rmq_pull_message_response response = RMQ_PULL_MESSAGE_RESPONSE_INIT;
    rmq_pull_message_response_set_next_offset(&response, (int64_t)p->offset);
    rmq_messaging_service_write_pull_message(p->call, &response);
}

static void refuse(struct pull *p, const struct sk_verdict *verdict)
{
    write_status(p, verdict);
    if (verdict->code == RMQ_CODE_MESSAGE_NOT_FOUND) write_next_offset(p);
    rpc_call_finish(p->call, RPC_OK, NULL);
}

static void answer_empty(struct pull *p)
{
    struct sk_verdict nothing = sk_refuse(RMQ_CODE_MESSAGE_NOT_FOUND, "no new message");
    refuse(p, &nothing);
}

/* --- PullMessage: reading -------------------------------------------------------------------- */

static void deliver_one(struct pull *p, const struct sk_index_entry *entry)
{
    struct sk_verdict ok = SK_GRANTED;
    struct sk_ready_message message;
    struct sk_delivery about = {
        .queue = p->queue,
        .offset = p->offset,
        .attempt = 1,
        .crc32 = sk_digest_knows_crc32(p->caller.asker.language),
    };
    enum sk_deliver_result result =
        sk_deliver_read(p->calls, p->call, p->store_queue, entry, &p->filter, &about, &message);
    p->offset++;
    if (result != SK_DELIVER_READY) return; /* not wanted, or not readable: the others go on */
    if (p->written == 0) write_status(p, &ok);
    sk_deliver_write(p->call, &message);
    p->written++;
}

/* Without touching the message: may the filter want what has this hash? */
static bool may_match(const struct pull *p, uint32_t hash)
{
    for (size_t i = 0; i < p->filter.count; i++) {
        if (p->filter.hashes[i] == hash) return true;
    }
    return p->filter.everything;
}

/* Retention took it, or it cannot be found any more: go on behind it, never back. */
static void pass_over(struct pull *p, sk_store *store)
{
    uint64_t min = sk_store_queue(store, p->store_queue).min;
    p->offset = p->offset < min ? min : p->offset + 1;
}

/* From p->offset on; stops when there is enough, when the visible end is reached, or when so many
 * were passed over that others should have their turn. */
static void read_messages(struct pull *p, uint64_t visible)
{
    enum { PASS_MOST = 16384 };
    sk_store *store = sk_ledger_store(p->calls->node->ledger);
    uint64_t until = visible - p->offset > PASS_MOST ? p->offset + PASS_MOST : visible;
    while (p->offset < until && p->written < p->want) {
        struct sk_index_entry entries[64];
        size_t left = visible - p->offset < 64 ? (size_t)(visible - p->offset) : 64;
        size_t count = sk_store_lookup(store, p->store_queue, p->offset, left, entries);
        if (count == 0) pass_over(p, store);
        for (size_t i = 0; i < count && p->written < p->want; i++) {
            if (may_match(p, entries[i].tag_hash)) {
                deliver_one(p, &entries[i]);
            } else {
                p->offset++;
            }
        }
    }
}

/* sk_poll.look */
static enum sk_poll_look look(struct sk_poll *poll, struct sk_turn *turn)
{
    struct pull *p = pull_of(poll);
    uint64_t min;
    sk_turn_range(turn, p->store_queue, &min, &p->visible);
    return !p->cancelled && p->visible > p->offset ? SK_POLL_FOUND : SK_POLL_MISMATCH;
}

static void try_now(struct pull *p);
static void begin(struct pull *p);

static void go_on(void *arg)
{
    try_now(arg);
}

/* sk_poll.answer */
static void answer(struct sk_poll *poll, enum sk_poll_end end)
{
    struct pull *p = pull_of(poll);
    if (end == SK_POLL_GONE) {
        p->was_told = true;
        begin(p); /* says so, or goes on in a new topic of the name, if somebody made it */
        return;
    }
    if (end == SK_POLL_OVER) {
        answer_empty(p);
        return;
    }
    read_messages(p, p->visible);
    if (p->written > 0) {
        write_next_offset(p);
        rpc_call_finish(p->call, RPC_OK, NULL);
    } else if (p->offset < p->visible) {
        p->later = (struct sk_timer){.fn = go_on, .arg = p};
        sk_timer_set(p->calls->node->timers, &p->later, sk_mono_us(p->calls->node->clock));
    } else {
        try_now(p);
    }
}

/* --- PullMessage: waiting -------------------------------------------------------------------- */

static void cancelled(void *arg)
{
    struct pull *p = arg;
    struct sk_turn turn;
    sk_turn_begin(&turn, p->calls->node->ledger);
    p->cancelled = true;
    bool ours = sk_poll_leave(&turn, &p->poll);
    sk_turn_end(&turn);
    if (ours) rpc_call_finish(p->call, RPC_CANCELLED, NULL);
}

static void try_now(struct pull *p)
{
    struct sk_calls *calls = p->calls;
    struct sk_verdict verdict = SK_GRANTED;
    struct sk_turn turn;
    sk_turn_begin(&turn, calls->node->ledger);
    bool over =
        sk_mono_us(calls->node->clock) >= p->poll.end_us || atomic_load(&calls->node->stopping);
    bool dead = p->cancelled;
    bool found = look(&p->poll, &turn) == SK_POLL_FOUND;
    bool parked = !dead && !found && !over && sk_poll_park(&turn, &p->poll);
    if (!dead && !found && !over && !parked) {
        verdict = sk_refuse(RMQ_CODE_TOO_MANY_REQUESTS,
                            "too many pulls wait already: max_polls is %lld, "
                            "max_polls_per_group %lld",
                            (long long)calls->node->config->max_polls,
                            (long long)calls->node->config->max_polls_per_group);
    }
    sk_turn_leave(&turn);
    if (parked) {
        /* it may be answered and gone already */
    } else if (dead) {
        rpc_call_finish(p->call, RPC_CANCELLED, NULL);
    } else if (sk_granted(verdict)) {
        answer(&p->poll, found ? SK_POLL_HAS : SK_POLL_OVER);
    } else {
        refuse(p, &verdict);
    }
    sk_turn_end(&turn);
}

/* --- PullMessage: the request ---------------------------------------------------------------- */

/* A pull waits only if it asks for it. */
static struct sk_verdict poll_end(struct pull *p, const pb_duration *polling)
{
    int64_t ms = sk_duration_ms(polling),
            most = (int64_t)p->calls->node->config->max_long_polling_ms;
    int64_t remaining = rpc_call_remaining_ms(p->call);
    if (ms < 0) {
        return sk_refuse(RMQ_CODE_ILLEGAL_POLLING_TIME, "long_polling_timeout is negative");
    }
    if (ms > most) ms = most;
    int64_t reserve = (int64_t)p->calls->node->config->polling_reserve_ms;
    if (remaining != INT64_MAX && ms > remaining - reserve) ms = remaining - reserve;
    p->poll.end_us = sk_mono_us(p->calls->node->clock) + (ms > 0 ? (uint64_t)ms * 1000 : 0);
    return SK_GRANTED;
}

static struct sk_verdict check_request(struct pull *p, const rmq_pull_message_request *request)
{
    SK_GRANT(poll_end(p, request->long_polling_timeout));
    SK_GRANT(sk_topic_of(p->call, &p->caller, topic_of(request->message_queue), &p->topic_name));
    if (request->group) /* reading leaves no trace: a group need not be named */
        SK_GRANT(sk_group_of(p->call, &p->caller, request->group, &p->group_name));
    SK_GRANT(sk_check_batch(p->calls, request->batch_size, &p->want));
    return sk_check_filter(p->call, request->filter_expression, &p->filter);
}

static struct sk_verdict find(struct pull *p, struct sk_turn *turn)
{
    const rmq_pull_message_request *request = p->request;
    const struct sk_topic *topic;
    const struct sk_group *group;
    if (p->was_told) SK_GRANT(sk_see_topic(p->calls->placing, turn, p->topic_name, &topic));
    SK_GRANT(find_queue(p->calls, turn, p->topic_name, request->message_queue->id, &topic));
    p->poll.topic = topic->id;
    p->queue = (uint32_t)request->message_queue->id;
    p->store_queue = topic->queues[p->queue];
    if (p->group_name.len)
        SK_GRANT((p->was_told ? sk_see_group : sk_find_group)(p->calls->placing, turn,
                                                              p->group_name, &group));
    SK_GRANT(check_offset(turn, p->store_queue, request->offset));
    p->offset = (uint64_t)request->offset;
    return SK_GRANTED;
}

static void begin(struct pull *p)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, p->calls->node->ledger);
    struct sk_verdict verdict = find(p, &turn);
    sk_turn_end(&turn);
    if (sk_granted(verdict))
        try_now(p);
    else
        refuse(p, &verdict);
}

void sk_handle_pull(void *owner, rpc_call *call, const rmq_pull_message_request *request)
{
    struct sk_calls *calls = owner;
    struct pull *p = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *p);
    if (!p) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "the request is too large");
        return;
    }
    p->calls = calls;
    p->call = call;
    p->request = request;
    p->poll.look = look;
    p->poll.answer = answer;
    struct sk_verdict verdict = sk_caller_of(call, &p->caller);
    if (sk_granted(verdict)) verdict = check_request(p, request);
    if (!sk_granted(verdict)) {
        refuse(p, &verdict);
        return;
    }
    sk_sessions_seen(calls->sessions, call, &p->caller);
    rpc_call_on_cancel(call, cancelled, p);
    begin(p);
}

/* --- offsets --------------------------------------------------------------------------------- */

struct update {
    rpc_call *call;
    struct sk_caller caller;
    struct sk_gate_waiter waiter;
};

static void answer_update(struct update *u, const struct sk_verdict *verdict)
{
    rmq_status status = sk_status_for(&u->caller, verdict);
    rmq_update_offset_response response = RMQ_UPDATE_OFFSET_RESPONSE_INIT;
    response.status = &status;
    rmq_messaging_service_reply_update_offset(u->call, &response);
}

static void update_promised(void *arg, struct sk_status status)
{
    struct update *u = arg;
    if (sk_ok(status)) {
        struct sk_verdict ok = SK_GRANTED;
        answer_update(u, &ok);
        return;
    }
    status = sk_while(status, "the outcome is unknown");
    rpc_call_fail(u->call, RPC_UNAVAILABLE, sk_status_text(&status));
}

static struct sk_verdict seek(struct sk_calls *calls, struct sk_turn *turn,
                              struct sk_slice topic_name, struct sk_slice group_name,
                              const rmq_update_offset_request *request, struct sk_span *span)
{
    const struct sk_topic *topic;
    const struct sk_group *group;
    int32_t queue = request->message_queue->id;
    SK_GRANT(find_queue(calls, turn, topic_name, queue, &topic));
    SK_GRANT(sk_find_group(calls->placing, turn, group_name, &group));
    topic = sk_state_topic(sk_turn_state(turn), topic_name); /* making a group moved it, perhaps */
    SK_GRANT(check_offset(turn, topic->queues[queue], request->offset));
    struct sk_buffer payload = {0};
    sk_state_encode_seek(group->id, topic->id, (uint32_t)queue, (uint64_t)request->offset,
                         &payload);
    struct sk_status status = sk_turn_write(turn, SK_RECORD_SEEK, sk_buffer_slice(&payload), span);
    sk_buffer_done(&payload);
    return sk_verdict_of(status);
}

static struct sk_verdict names_of(const struct update *u, const rmq_update_offset_request *request,
                                  struct sk_slice *topic, struct sk_slice *group)
{
    SK_GRANT(sk_topic_of(u->call, &u->caller, topic_of(request->message_queue), topic));
    return sk_group_of(u->call, &u->caller, request->group, group);
}

void sk_handle_update_offset(void *owner, rpc_call *call, const rmq_update_offset_request *request)
{
    struct sk_calls *calls = owner;
    struct update *u = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *u);
    if (!u) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "the request is too large");
        return;
    }
    u->call = call;
    struct sk_span span = {0};
    struct sk_slice topic, group;
    struct sk_verdict verdict = sk_caller_of(call, &u->caller);
    if (sk_granted(verdict)) verdict = names_of(u, request, &topic, &group);
    if (!sk_granted(verdict)) {
        answer_update(u, &verdict);
        return;
    }
    struct sk_turn turn;
    sk_turn_begin(&turn, calls->node->ledger);
    verdict = seek(calls, &turn, topic, group, request, &span);
    sk_turn_leave(&turn);
    if (!sk_granted(verdict)) {
        answer_update(u, &verdict);
    } else {
        u->waiter = (struct sk_gate_waiter){.position = span.end, .fn = update_promised, .arg = u};
        sk_promise_wait(sk_ledger_promise(calls->node->ledger), &u->waiter);
    }
    sk_turn_end(&turn);
}

static struct sk_verdict get_offset(struct sk_calls *calls, rpc_call *call,
                                    const struct sk_caller *caller,
                                    const rmq_get_offset_request *request, int64_t *out)
{
    const struct sk_topic *topic;
    const struct sk_group *group = NULL;
    struct sk_slice topic_name, group_name;
    struct sk_cursor cursor;
    SK_GRANT(sk_topic_of(call, caller, topic_of(request->message_queue), &topic_name));
    SK_GRANT(sk_group_of(call, caller, request->group, &group_name));
    struct sk_turn turn;
    sk_turn_begin(&turn, calls->node->ledger);
    const sk_state *state = sk_turn_state(&turn);
    struct sk_verdict verdict =
        find_queue(calls, &turn, topic_name, request->message_queue->id, &topic);
    if (sk_granted(verdict)) verdict = sk_find_group(calls->placing, &turn, group_name, &group);
    if (sk_granted(verdict)) {
        topic = sk_state_topic(state, topic_name);
        uint32_t queue = (uint32_t)request->message_queue->id;
        if (sk_state_cursor(state, group->id, topic->id, queue, &cursor)) {
            *out = (int64_t)cursor.committed;
        } else {
            verdict = sk_refuse(RMQ_CODE_OFFSET_NOT_FOUND,
                                "the group '%.*s' has no offset in queue %u of '%.*s' yet",
                                SK_SLICE_ARGS(group_name), queue, SK_SLICE_ARGS(topic_name));
        }
    }
    sk_turn_end(&turn);
    return verdict;
}

void sk_handle_get_offset(void *owner, rpc_call *call, const rmq_get_offset_request *request)
{
    struct sk_caller caller;
    rmq_get_offset_response response = RMQ_GET_OFFSET_RESPONSE_INIT;
    struct sk_verdict verdict = sk_caller_of(call, &caller);
    if (sk_granted(verdict)) verdict = get_offset(owner, call, &caller, request, &response.offset);
    rmq_status status = sk_status_for(&caller, &verdict);
    response.status = &status;
    rmq_messaging_service_reply_get_offset(call, &response);
}

/* Of the queue that had these offsets a moment ago. A search by time reads records: no turn holds
 * the lock for it. */
static struct sk_verdict offset_by_policy(struct sk_calls *calls, uint32_t store_queue,
                                          uint64_t min, uint64_t max,
                                          const rmq_query_offset_request *request, int64_t *out)
{
    const pb_timestamp *time = rmq_query_offset_request_get_timestamp(request);
    int64_t ms = sk_timestamp_ms(time);
    switch (request->query_offset_policy) {
    case RMQ_QUERY_OFFSET_POLICY_BEGINNING:
        *out = (int64_t)min;
        return SK_GRANTED;
    case RMQ_QUERY_OFFSET_POLICY_END:
        *out = (int64_t)max;
        return SK_GRANTED;
    case RMQ_QUERY_OFFSET_POLICY_TIMESTAMP:
        break;
    default:
        return sk_refuse(RMQ_CODE_BAD_REQUEST,
                         "unknown query_offset_policy %d; there are BEGINNING, END and TIMESTAMP",
                         (int)request->query_offset_policy);
    }
    if (!time)
        return sk_refuse(RMQ_CODE_BAD_REQUEST, "query_offset_policy TIMESTAMP needs a timestamp");
    sk_store *store = sk_ledger_store(calls->node->ledger);
    uint64_t offset = ms <= 0 ? min : sk_store_offset_by_time(store, store_queue, (uint64_t)ms);
    *out = (int64_t)(offset > max ? max : offset);
    return SK_GRANTED;
}

static struct sk_verdict query_offset(struct sk_calls *calls, rpc_call *call,
                                      const struct sk_caller *caller,
                                      const rmq_query_offset_request *request, int64_t *out)
{
    const struct sk_topic *topic;
    struct sk_slice name;
    SK_GRANT(sk_topic_of(call, caller, topic_of(request->message_queue), &name));
    uint32_t store_queue = 0;
    uint64_t min = 0, max = 0;
    struct sk_turn turn;
    sk_turn_begin(&turn, calls->node->ledger);
    struct sk_verdict verdict = find_queue(calls, &turn, name, request->message_queue->id, &topic);
    if (sk_granted(verdict)) {
        store_queue = topic->queues[request->message_queue->id];
        sk_turn_range(&turn, store_queue, &min, &max);
    }
    sk_turn_end(&turn);
    SK_GRANT(verdict);
    return offset_by_policy(calls, store_queue, min, max, request, out);
}

void sk_handle_query_offset(void *owner, rpc_call *call, const rmq_query_offset_request *request)
{
    struct sk_caller caller;
    rmq_query_offset_response response = RMQ_QUERY_OFFSET_RESPONSE_INIT;
    struct sk_verdict verdict = sk_caller_of(call, &caller);
    if (sk_granted(verdict)) {
        verdict = query_offset(owner, call, &caller, request, &response.offset);
    }
    rmq_status status = sk_status_for(&caller, &verdict);
    response.status = &status;
    rmq_messaging_service_reply_query_offset(call, &response);
}
