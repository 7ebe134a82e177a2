/* send.c - SendMessage: scan, check, append, answer.
 *
 * One request is one append: all of its messages are stored, next to each other in
 * one queue, or none. The answer waits until the log's promise holds for them
 * (gate), on whichever thread moves the cursor; with async flush that is at once.
 * Nothing here allocates per message but from the call's arena. */
#include "send.h"

#include "filter.h"
#include "inside.h"
#include "normalise.h"
#include "stored_message.h"
#include "wire.h"

struct send {
    sk_broker *broker;
    rpc_call *call;
    struct sk_caller caller;
    struct sk_scanned_message *messages;
    size_t count;
    uint64_t first_offset;
    struct sk_gate_waiter waiter;
    struct sk_slice answer; /* serialized */
};

/* --- answers --------------------------------------------------------------------------------- */

/* A refusal is told at the top and, for clients that look there only, in every entry. */
static void refuse(struct send *send, const struct sk_verdict *verdict)
{
    enum { MOST_ENTRIES = 128 };
    rmq_status status = sk_status_for(&send->caller, verdict);
    rmq_send_message_response response = RMQ_SEND_MESSAGE_RESPONSE_INIT;
    rmq_send_result_entry entry = RMQ_SEND_RESULT_ENTRY_INIT;
    rmq_send_result_entry *entries[MOST_ENTRIES];
    entry.status = &status;
    response.status = &status;
    response.entries = entries;
    response.n_entries = send->count < MOST_ENTRIES ? send->count : MOST_ENTRIES;
    for (size_t i = 0; i < response.n_entries; i++) entries[i] = &entry;
    rmq_messaging_service_reply_send_message(send->call, &response);
}

/* Status{OK, "OK"} as field 1 of whatever holds it. */
static const uint8_t OK_STATUS[] = {0x0a, 8, 0x08, 0xa0, 0x9c, 0x01, 0x12, 2, 'O', 'K'};

static size_t entry_size(const struct send *send, size_t i)
{
    size_t id = send->messages[i].message_id.len;
    return sizeof OK_STATUS + 1 + sk_wire_varint_size(id) + id + 1 +
           sk_wire_varint_size(send->first_offset + i);
}

/* The shape is always the same, so the bytes are written here and not by the packer. */
static bool make_answer(struct send *send)
{
    size_t room = sizeof OK_STATUS;
    for (size_t i = 0; i < send->count; i++) room += 1 + 5 + entry_size(send, i);
    uint8_t *begin = sk_arena_alloc(rpc_call_arena(send->call), room);
    if (!begin) return false;
    uint8_t *out = sk_wire_put_raw(begin, sk_slice_of(OK_STATUS, sizeof OK_STATUS));
    for (size_t i = 0; i < send->count; i++) {
        out = sk_wire_put_head(out, 2, entry_size(send, i));
        out = sk_wire_put_raw(out, sk_slice_of(OK_STATUS, sizeof OK_STATUS));
        out = sk_wire_put_bytes(out, 2, send->messages[i].message_id);
        out = sk_wire_put_int(out, 4, send->first_offset + i);
    }
    send->answer = sk_slice_of(begin, (size_t)(out - begin));
    return true;
}

static void promised(void *arg, struct sk_status status)
{
    struct send *send = arg;
    if (sk_ok(status)) {
        rpc_call_reply_bytes(send->call, send->answer);
        return;
    }
    status = sk_while(status, "the outcome is unknown");
    rpc_call_fail(send->call, RPC_UNAVAILABLE, sk_status_text(&status));
}

/* --- scanning -------------------------------------------------------------------------------- */

/* The slow road: each message that the scan found unusual is normalised and scanned again. */
static bool scan_unusual(struct send *send, struct sk_slice request)
{
    struct sk_wire_reader r = sk_wire_reader_of(request);
    struct sk_wire_field f;
    for (size_t i = 0; i < send->count && sk_wire_next(&r, &f);) {
        if (f.number != 1) continue;
        enum sk_scan_result result = sk_scan_message(f.bytes, &send->messages[i]);
        if (result == SK_SCAN_UNUSUAL) {
            struct sk_slice usual = sk_normalise_message(f.bytes, rpc_call_arena(send->call));
            if (!usual.data) return false;
            result = sk_scan_message(usual, &send->messages[i]);
        }
        if (result != SK_SCAN_OK) return false;
        i++;
    }
    return true;
}

static bool scan(struct send *send, struct sk_slice request)
{
    switch (sk_scan_request(request, send->messages, send->count)) {
    case SK_SCAN_OK:
        return true;
    case SK_SCAN_UNUSUAL:
        return scan_unusual(send, request);
    case SK_SCAN_BAD:
        break;
    }
    return false;
}

/* --- storing --------------------------------------------------------------------------------- */

static struct sk_verdict check_all(struct send *send, struct sk_slice *topic)
{
    const struct sk_scanned_message *first = &send->messages[0];
    for (size_t i = 1; i < send->count; i++) {
        const struct sk_scanned_message *m = &send->messages[i];
        if (!sk_slice_eq(m->topic_name, first->topic_name) ||
            !sk_slice_eq(m->topic_namespace, first->topic_namespace)) {
            return sk_refuse(RMQ_CODE_MESSAGE_CORRUPTED,
                             "the messages of one request must have one topic");
        }
    }
    sk_arena *arena = rpc_call_arena(send->call);
    rmq_resource resource = RMQ_RESOURCE_INIT;
    resource.resource_namespace = sk_arena_text(arena, first->topic_namespace);
    resource.name = sk_arena_text(arena, first->topic_name);
    SK_GRANT(sk_topic_of(send->call, &send->caller, &resource, topic));
    uint64_t now_ms = sk_wall_ms(send->broker->clock);
    size_t bytes = 0;
    for (size_t i = 0; i < send->count; i++) {
        SK_GRANT(sk_check_message(send->broker->config, &send->messages[i], send->count, now_ms));
        bytes += send->messages[i].body.len;
    }
    if (bytes > send->broker->config->max_batch_size_bytes && send->count > 1) {
        return sk_refuse(RMQ_CODE_PAYLOAD_TOO_LARGE,
                         "the bodies have %zu bytes together, the limit is %llu (max_batch_size)",
                         bytes, (unsigned long long)send->broker->config->max_batch_size_bytes);
    }
    return SK_GRANTED;
}

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

/* "1.2.3.4:567" out of "ipv4:1.2.3.4:567". */
static struct sk_slice peer_host(rpc_call *call)
{
    const char *peer = rpc_call_peer(call);
    const char *colon = peer ? strchr(peer, ':') : NULL;
    return sk_slice_of_text(colon ? colon + 1 : peer);
}

struct frames {
    struct sk_append *records;
    struct sk_span *spans;
    uint8_t (*heads)[SK_STORED_HEAD_MAX];
    struct sk_slice (*parts)[SK_STORED_PARTS];
};

/* Under the lock: the queue that is next, and its next offsets. */
static void place(struct send *send, const struct sk_topic *topic, struct frames *frames)
{
    const sk_state *state = sk_ledger_state(send->broker->ledger);
    uint32_t turn = sk_rotate(send->broker, topic->id);
    uint32_t queue = topic->queues[turn % topic->write_queues];
    uint64_t now_ms = sk_ledger_now_ms(send->broker->ledger);
    send->first_offset = sk_state_next_offset(state, queue);
    for (size_t i = 0; i < send->count; i++) {
        const struct sk_scanned_message *message = &send->messages[i];
        struct sk_slice host = message->has_born_host ? SK_EMPTY : peer_host(send->call);
        sk_stored_encode(message, sk_effective_type(message), now_ms, host, frames->heads[i],
                         frames->parts[i]);
        frames->records[i] = (struct sk_append){
            .kind = SK_RECORD_MESSAGE,
            .queue = queue,
            .offset = send->first_offset + i,
            .tag_hash = sk_tag_hash(message->tag),
            .time_ms = now_ms,
            .parts = frames->parts[i],
            .part_count = SK_STORED_PARTS,
        };
    }
}

/* Under the lock. */
static struct sk_verdict store(struct send *send, struct sk_slice name, struct frames *frames)
{
    sk_broker *broker = send->broker;
    const struct sk_topic *topic;
    SK_GRANT(sk_find_topic(broker, name, &topic));
    for (size_t i = 0; i < send->count; i++) SK_GRANT(check_type(topic, &send->messages[i]));
    if (!(topic->permission & SK_PERMIT_WRITE) || topic->write_queues == 0) {
        return sk_refuse(RMQ_CODE_FORBIDDEN, "the topic '%.*s' has no writable queue",
                         SK_SLICE_ARGS(name));
    }
    uint32_t topic_id = topic->id;
    place(send, topic, frames);
    /* First, so that whoever hears of the commit finds the topic marked. */
    sk_polls_appended(broker->polls, topic_id);
    return sk_verdict_of(
        sk_ledger_append(broker->ledger, frames->records, send->count, frames->spans));
}

static bool make_frames(struct send *send, struct frames *frames)
{
    sk_arena *arena = rpc_call_arena(send->call);
    frames->records = sk_arena_alloc(arena, send->count * sizeof *frames->records);
    frames->spans = sk_arena_alloc(arena, send->count * sizeof *frames->spans);
    frames->heads = sk_arena_alloc(arena, send->count * sizeof *frames->heads);
    frames->parts = sk_arena_alloc(arena, send->count * sizeof *frames->parts);
    return frames->records && frames->spans && frames->heads && frames->parts;
}

static void store_and_answer(struct send *send)
{
    struct sk_slice topic;
    struct sk_verdict verdict = check_all(send, &topic);
    struct frames frames;
    if (sk_granted(verdict) && !make_frames(send, &frames)) {
        verdict = sk_refuse(RMQ_CODE_PAYLOAD_TOO_LARGE, "the request needs too much memory");
    }
    if (!sk_granted(verdict)) {
        refuse(send, &verdict);
        return;
    }
    sk_ledger *ledger = send->broker->ledger;
    sk_ledger_lock(ledger);
    verdict = store(send, topic, &frames);
    sk_ledger_unlock_quietly(ledger);
    if (sk_granted(verdict) && make_answer(send)) {
        send->waiter = (struct sk_gate_waiter){
            .position = frames.spans[send->count - 1].end, .fn = promised, .arg = send};
        sk_gate_wait(sk_ledger_committed(ledger), &send->waiter);
    } else if (sk_granted(verdict)) {
        rpc_call_fail(send->call, RPC_RESOURCE_EXHAUSTED, "stored, but no memory to say so");
    } else {
        refuse(send, &verdict);
    }
    sk_ledger_settle(ledger);
}

/* --- the handler ----------------------------------------------------------------------------- */

static struct sk_verdict check_count(const struct send *send)
{
    const struct sk_broker_config *config = send->broker->config;
    if (send->count == 0) {
        return sk_refuse(RMQ_CODE_MESSAGE_CORRUPTED, "the request has no messages");
    }
    if (send->count > (size_t)config->max_batch) {
        return sk_refuse(RMQ_CODE_BAD_REQUEST,
                         "the request has %zu messages, the limit is %lld (max_batch)", send->count,
                         (long long)config->max_batch);
    }
    return SK_GRANTED;
}

void sk_handle_send(void *owner, rpc_call *call, struct sk_slice request)
{
    sk_arena *arena = rpc_call_arena(call);
    struct send *send = sk_arena_alloc(arena, sizeof *send);
    size_t count = sk_scan_count(request);
    if (!send || count == SIZE_MAX) {
        rpc_call_fail(call, RPC_INVALID_ARGUMENT,
                      "the request is no valid apache.rocketmq.v2.SendMessageRequest");
        return;
    }
    *send = (struct send){.broker = owner, .call = call};
    struct sk_verdict verdict = sk_caller_of(call, &send->caller);
    send->count = count;
    if (sk_granted(verdict)) verdict = check_count(send);
    if (!sk_granted(verdict)) {
        refuse(send, &verdict);
        return;
    }
    send->messages = sk_arena_alloc(arena, count * sizeof *send->messages);
    if (!send->messages || !scan(send, request)) {
        rpc_call_fail(
            call, RPC_INVALID_ARGUMENT,
            "the request is no valid apache.rocketmq.v2.SendMessageRequest, or a text in it "
            "is not UTF-8");
        return;
    }
    store_and_answer(send);
}
