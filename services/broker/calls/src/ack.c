/* ack.c - AckMessage and ChangeInvisibleDuration: what consumers say of what they were given.
 *
 * An answer of OK is a promise: it waits until the record is as durable as the
 * broker promises (gate). Handles are hostile input; one that is not the present
 * lease of its message, for whatever reason, is INVALID_RECEIPT_HANDLE. */
#include "inside.h"
#include "message/receipt.h"
#include "request.h"

/* Parse a handle; it must be this broker's, and of this group and topic. */
static bool lease_of(struct sk_calls *calls, const struct sk_group *group,
                     const struct sk_topic *topic, const char *handle, struct sk_lease *out)
{
    uint8_t room[SK_RECEIPT_TEXT_MAX];
    struct sk_receipt receipt;
    if (!sk_receipt_decode(sk_slice_of_text(handle), room, &receipt)) return false;
    if (!sk_slice_eq(receipt.broker, calls->node->name)) return false;
    if (receipt.group != group->id || receipt.topic != topic->id) return false;
    *out = (struct sk_lease){.group = receipt.group,
                             .topic = receipt.topic,
                             .queue = receipt.queue,
                             .offset = receipt.offset,
                             .lease = {receipt.epoch, receipt.position}};
    return true;
}

/* Topics and groups are not made by an ack, whatever the settings say. */
static struct sk_verdict find(struct sk_calls *calls, const struct sk_turn *turn,
                              struct sk_slice topic_name, struct sk_slice group_name,
                              const struct sk_topic **topic, const struct sk_group **group)
{
    const sk_state *state = sk_turn_state(turn);
    *topic = sk_state_topic(state, topic_name);
    *group = sk_state_group(state, group_name);
    if (!*topic) {
        return sk_refuse(RMQ_CODE_TOPIC_NOT_FOUND, "no topic '%.*s' on broker %s",
                         SK_SLICE_ARGS(topic_name), calls->node->config->name);
    }
    return SK_GRANTED;
}

static const char STALE[] = "the receipt handle is not that of a message that is now leased to "
                            "this group: it has expired, was used, or is not ours";

/* --- AckMessage ------------------------------------------------------------------------------ */

struct ack {
    struct sk_calls *calls;
    rpc_call *call;
    struct sk_caller caller;
    const rmq_ack_message_request *request;
    bool *fine; /* per entry */
    size_t fine_count;
    struct sk_lease *leases; /* of the fine entries */
    struct sk_gate_waiter waiter;
};

static void refuse_ack(struct ack *ack, const struct sk_verdict *verdict)
{
    rmq_status status = sk_status_for(&ack->caller, verdict);
    rmq_ack_message_response response = RMQ_ACK_MESSAGE_RESPONSE_INIT;
    size_t count = ack->request->n_entries;
    sk_arena *arena = rpc_call_arena(ack->call);
    rmq_ack_message_result_entry *entries = sk_arena_zalloc(arena, count, sizeof *entries);
    rmq_ack_message_result_entry **list = sk_arena_zalloc(arena, count, sizeof *list);
    for (size_t i = 0; entries && list && i < count; i++) {
        rmq_ack_message_result_entry_init(&entries[i]);
        entries[i].message_id = ack->request->entries[i]->message_id;
        entries[i].receipt_handle = ack->request->entries[i]->receipt_handle;
        entries[i].status = &status;
        list[i] = &entries[i];
    }
    response.status = &status;
    response.n_entries = entries && list ? count : 0;
    response.entries = list;
    rmq_messaging_service_reply_ack_message(ack->call, &response);
}

static void answer_ack(struct ack *ack)
{
    struct sk_verdict ok = SK_GRANTED, mixed = sk_refuse(RMQ_CODE_MULTIPLE_RESULTS, "see entries"),
                      stale = sk_refuse(RMQ_CODE_INVALID_RECEIPT_HANDLE, "%s", STALE);
    rmq_status fine = sk_status_for(&ack->caller, &ok), bad = sk_status_for(&ack->caller, &stale),
               multiple = sk_status_for(&ack->caller, &mixed);
    size_t count = ack->request->n_entries;
    sk_arena *arena = rpc_call_arena(ack->call);
    rmq_ack_message_result_entry *entries = sk_arena_zalloc(arena, count, sizeof *entries);
    rmq_ack_message_result_entry **list = sk_arena_zalloc(arena, count, sizeof *list);
    if (!entries || !list) {
        rpc_call_fail(ack->call, RPC_RESOURCE_EXHAUSTED, "the request is too large");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        rmq_ack_message_result_entry_init(&entries[i]);
        entries[i].message_id = ack->request->entries[i]->message_id;
        entries[i].receipt_handle = ack->request->entries[i]->receipt_handle;
        entries[i].status = ack->fine[i] ? &fine : &bad;
        list[i] = &entries[i];
    }
    rmq_ack_message_response response = RMQ_ACK_MESSAGE_RESPONSE_INIT;
    response.status = ack->fine_count == count ? &fine : ack->fine_count == 0 ? &bad : &multiple;
    response.n_entries = count;
    response.entries = list;
    rmq_messaging_service_reply_ack_message(ack->call, &response);
}

static void ack_promised(void *arg, struct sk_status status)
{
    struct ack *ack = arg;
    if (sk_ok(status)) {
        answer_ack(ack);
        return;
    }
    status = sk_while(status, "the outcome is unknown");
    rpc_call_fail(ack->call, RPC_UNAVAILABLE, sk_status_text(&status));
}

/* Which entries are good, and one record for all of them. */
static struct sk_verdict acknowledge(struct ack *ack, struct sk_turn *turn,
                                     struct sk_slice topic_name, struct sk_slice group_name,
                                     struct sk_span *span)
{
    const struct sk_topic *topic;
    const struct sk_group *group;
    SK_GRANT(find(ack->calls, turn, topic_name, group_name, &topic, &group));
    uint64_t now_ms = sk_turn_now_ms(turn);
    for (size_t i = 0; group && i < ack->request->n_entries; i++) {
        struct sk_lease *lease = &ack->leases[ack->fine_count];
        struct sk_lease_info info;
        ack->fine[i] =
            lease_of(ack->calls, group, topic, ack->request->entries[i]->receipt_handle, lease) &&
            sk_state_check_lease(sk_turn_state(turn), lease, now_ms, &info);
        ack->fine_count += ack->fine[i];
    }
    if (ack->fine_count == 0) return SK_GRANTED;
    struct sk_buffer payload = {0};
    sk_state_encode_ack(ack->leases, ack->fine_count, &payload);
    struct sk_status status = sk_turn_write(turn, SK_RECORD_ACK, sk_buffer_slice(&payload), span);
    sk_buffer_done(&payload);
    return sk_verdict_of(status);
}

static struct sk_verdict check_ack(struct ack *ack, struct sk_slice *topic, struct sk_slice *group)
{
    enum { MOST_ENTRIES = 4096 };
    SK_GRANT(sk_topic_of(ack->call, &ack->caller, ack->request->topic, topic));
    SK_GRANT(sk_group_of(ack->call, &ack->caller, ack->request->group, group));
    size_t count = ack->request->n_entries;
    if (count == 0) return sk_refuse(RMQ_CODE_BAD_REQUEST, "the request has no entries");
    if (count > MOST_ENTRIES) {
        return sk_refuse(RMQ_CODE_BAD_REQUEST, "the request has %zu entries, the limit is %d",
                         count, MOST_ENTRIES);
    }
    ack->fine = sk_arena_zalloc(rpc_call_arena(ack->call), count, sizeof *ack->fine);
    ack->leases = sk_arena_zalloc(rpc_call_arena(ack->call), count, sizeof *ack->leases);
    if (ack->fine && ack->leases) return SK_GRANTED;
    return sk_refuse(RMQ_CODE_BAD_REQUEST, "the request is too large");
}

void sk_handle_ack(void *owner, rpc_call *call, const rmq_ack_message_request *request)
{
    struct sk_calls *calls = owner;
    struct ack *ack = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *ack);
    if (!ack) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "the request is too large");
        return;
    }
    ack->calls = calls;
    ack->call = call;
    ack->request = request;
    struct sk_slice topic, group;
    struct sk_span span = {0};
    struct sk_verdict verdict = sk_caller_of(call, &ack->caller);
    if (sk_granted(verdict)) verdict = check_ack(ack, &topic, &group);
    if (!sk_granted(verdict)) {
        refuse_ack(ack, &verdict);
        return;
    }
    struct sk_turn turn;
    sk_turn_begin(&turn, calls->node->ledger);
    verdict = acknowledge(ack, &turn, topic, group, &span);
    sk_turn_leave(&turn);
    if (!sk_granted(verdict)) {
        refuse_ack(ack, &verdict);
    } else {
        ack->waiter = (struct sk_gate_waiter){.position = span.end, .fn = ack_promised, .arg = ack};
        sk_promise_wait(sk_ledger_promise(calls->node->ledger), &ack->waiter);
    }
    sk_turn_end(&turn);
}

/* --- ChangeInvisibleDuration ----------------------------------------------------------------- */

struct change {
    struct sk_calls *calls;
    rpc_call *call;
    struct sk_caller caller;
    const rmq_change_invisible_duration_request *request;
    char handle[SK_RECEIPT_TEXT_MAX + 1];
    struct sk_gate_waiter waiter;
};

/* On errors too the handle is told: Java, Go and Python keep what they read here. */
static void answer_change(struct change *change, const struct sk_verdict *verdict)
{
    rmq_status status = sk_status_for(&change->caller, verdict);
    rmq_change_invisible_duration_response response = RMQ_CHANGE_INVISIBLE_DURATION_RESPONSE_INIT;
    response.status = &status;
    response.receipt_handle =
        sk_granted(*verdict) ? change->handle : change->request->receipt_handle;
    rmq_messaging_service_reply_change_invisible_duration(change->call, &response);
}

static void change_promised(void *arg, struct sk_status status)
{
    struct change *change = arg;
    if (sk_ok(status)) {
        struct sk_verdict ok = SK_GRANTED;
        answer_change(change, &ok);
        return;
    }
    status = sk_while(status, "the outcome is unknown");
    rpc_call_fail(change->call, RPC_UNAVAILABLE, sk_status_text(&status));
}

static void new_handle(struct change *change, const struct sk_lease *lease, struct sk_lease_id id)
{
    struct sk_receipt receipt = {.broker = change->calls->node->name,
                                 .group = lease->group,
                                 .topic = lease->topic,
                                 .queue = lease->queue,
                                 .offset = lease->offset,
                                 .epoch = id.epoch,
                                 .position = id.position};
    change->handle[sk_receipt_encode(&receipt, change->handle)] = '\0';
}

static struct sk_verdict change_lease(struct change *change, struct sk_turn *turn,
                                      struct sk_slice topic_name, struct sk_slice group_name,
                                      uint64_t invisible_ms, struct sk_span *span)
{
    struct sk_calls *calls = change->calls;
    const struct sk_topic *topic;
    const struct sk_group *group;
    struct sk_lease lease;
    struct sk_lease_info info;
    SK_GRANT(find(calls, turn, topic_name, group_name, &topic, &group));
    uint64_t now_ms = sk_turn_now_ms(turn);
    if (!group || !lease_of(calls, group, topic, change->request->receipt_handle, &lease) ||
        !sk_state_check_lease(sk_turn_state(turn), &lease, now_ms, &info)) {
        return sk_refuse(RMQ_CODE_INVALID_RECEIPT_HANDLE, "%s", STALE);
    }
    uint64_t deadline_ms = now_ms + invisible_ms;
    struct sk_buffer payload = {0};
    sk_state_encode_change(&lease, deadline_ms, &payload);
    struct sk_status status =
        sk_turn_write(turn, SK_RECORD_CHANGE, sk_buffer_slice(&payload), span);
    sk_buffer_done(&payload);
    if (!sk_ok(status)) return sk_verdict_of(status);
    new_handle(change, &lease, sk_turn_lease_id(turn, span));
    return SK_GRANTED;
}

static struct sk_verdict check_change(struct change *change, struct sk_slice *topic,
                                      struct sk_slice *group, uint64_t *invisible_ms)
{
    SK_GRANT(sk_topic_of(change->call, &change->caller, change->request->topic, topic));
    SK_GRANT(sk_group_of(change->call, &change->caller, change->request->group, group));
    int64_t ms = sk_duration_ms(change->request->invisible_duration);
    int64_t most = (int64_t)change->calls->node->config->max_invisible_duration_ms;
    if (ms < 0 || ms > most) {
        return sk_refuse(RMQ_CODE_ILLEGAL_INVISIBLE_TIME,
                         "the invisible duration is %lld ms; allowed are 0 to %lld ms "
                         "(max_invisible_duration)",
                         (long long)ms, (long long)most);
    }
    *invisible_ms = (uint64_t)ms;
    return SK_GRANTED;
}

void sk_handle_change(void *owner, rpc_call *call,
                      const rmq_change_invisible_duration_request *request)
{
    struct sk_calls *calls = owner;
    struct change *change = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *change);
    if (!change) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "the request is too large");
        return;
    }
    change->calls = calls;
    change->call = call;
    change->request = request;
    struct sk_slice topic, group;
    uint64_t invisible_ms = 0;
    struct sk_span span = {0};
    struct sk_verdict verdict = sk_caller_of(call, &change->caller);
    if (sk_granted(verdict)) verdict = check_change(change, &topic, &group, &invisible_ms);
    if (!sk_granted(verdict)) {
        answer_change(change, &verdict);
        return;
    }
    struct sk_turn turn;
    sk_turn_begin(&turn, calls->node->ledger);
    verdict = change_lease(change, &turn, topic, group, invisible_ms, &span);
    sk_turn_leave(&turn);
    if (!sk_granted(verdict)) {
        answer_change(change, &verdict);
    } else {
        change->waiter =
            (struct sk_gate_waiter){.position = span.end, .fn = change_promised, .arg = change};
        sk_promise_wait(sk_ledger_promise(calls->node->ledger), &change->waiter);
    }
    sk_turn_end(&turn);
}
