/* send.c - SendMessage: scan, check, have it stored (burst.c), answer.
 *
 * All messages of a request are stored, next to each other in one queue, or none;
 * requests that come together share an append. The answer waits until the log's promise holds for
 * them (gate), on whichever thread moves the cursor; with async flush that is at once. Nothing here
 * allocates per message but from the call's arena. */
#include "inside.h"
#include "send_check.h"

#include "placing/burst.h"
#include "message/normalise.h"
#include "message/wire.h"

struct send {
    struct sk_send base; /* first: what is stored, and how that went */
    struct sk_calls *calls;
    struct sk_caller caller;
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
    response.n_entries = send->base.count < MOST_ENTRIES ? send->base.count : MOST_ENTRIES;
    for (size_t i = 0; i < response.n_entries; i++) entries[i] = &entry;
    rmq_messaging_service_reply_send_message(send->base.call, &response);
}

/* Status{OK, "OK"} as field 1 of whatever holds it. */
static const uint8_t OK_STATUS[] = {0x0a, 8, 0x08, 0xa0, 0x9c, 0x01, 0x12, 2, 'O', 'K'};

static size_t entry_size(const struct send *send, size_t i)
{
    size_t id = send->base.messages[i].message_id.len;
    return sizeof OK_STATUS + 1 + sk_wire_varint_size(id) + id + 1 +
           sk_wire_varint_size(send->base.first_offset + i);
}

/* The shape is always the same, so the bytes are written here and not by the packer. */
static bool make_answer(struct send *send)
{
    size_t room = sizeof OK_STATUS;
    for (size_t i = 0; i < send->base.count; i++) room += 1 + 5 + entry_size(send, i);
    uint8_t *begin = sk_arena_alloc(rpc_call_arena(send->base.call), room);
    if (!begin) return false;
    uint8_t *out = sk_wire_put_raw(begin, sk_slice_of(OK_STATUS, sizeof OK_STATUS));
    for (size_t i = 0; i < send->base.count; i++) {
        out = sk_wire_put_head(out, 2, entry_size(send, i));
        out = sk_wire_put_raw(out, sk_slice_of(OK_STATUS, sizeof OK_STATUS));
        out = sk_wire_put_bytes(out, 2, send->base.messages[i].message_id);
        out = sk_wire_put_int(out, 4, send->base.first_offset + i);
    }
    send->answer = sk_slice_of(begin, (size_t)(out - begin));
    return true;
}

static void promised(void *arg, struct sk_status status)
{
    struct send *send = arg;
    if (sk_ok(status)) {
        rpc_call_reply_bytes(send->base.call, send->answer);
        return;
    }
    status = sk_while(status, "the outcome is unknown");
    rpc_call_fail(send->base.call, RPC_UNAVAILABLE, sk_status_text(&status));
}

/* --- scanning -------------------------------------------------------------------------------- */

/* The slow road: each message that the scan found unusual is normalised and scanned again. */
static bool scan_unusual(struct send *send, struct sk_slice request)
{
    struct sk_wire_reader r = sk_wire_reader_of(request);
    struct sk_wire_field f;
    for (size_t i = 0; i < send->base.count && sk_wire_next(&r, &f);) {
        if (f.number != 1) continue;
        enum sk_scan_result result = sk_scan_message(f.bytes, &send->base.messages[i]);
        if (result == SK_SCAN_UNUSUAL) {
            struct sk_slice usual = sk_normalise_message(f.bytes, rpc_call_arena(send->base.call));
            if (!usual.data) return false;
            result = sk_scan_message(usual, &send->base.messages[i]);
        }
        if (result != SK_SCAN_OK) return false;
        i++;
    }
    return true;
}

static bool scan(struct send *send, struct sk_slice request)
{
    switch (sk_scan_request(request, send->base.messages, send->base.count)) {
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
    const struct sk_scanned_message *first = &send->base.messages[0];
    for (size_t i = 1; i < send->base.count; i++) {
        const struct sk_scanned_message *m = &send->base.messages[i];
        if (!sk_slice_eq(m->topic_name, first->topic_name) ||
            !sk_slice_eq(m->topic_namespace, first->topic_namespace)) {
            return sk_refuse(RMQ_CODE_MESSAGE_CORRUPTED,
                             "the messages of one request must have one topic");
        }
    }
    sk_arena *arena = rpc_call_arena(send->base.call);
    rmq_resource resource = RMQ_RESOURCE_INIT;
    resource.resource_namespace = sk_arena_text(arena, first->topic_namespace);
    resource.name = sk_arena_text(arena, first->topic_name);
    SK_GRANT(sk_topic_of(send->base.call, &send->caller, &resource, topic));
    uint64_t now_ms = sk_wall_ms(send->calls->node->clock);
    size_t bytes = 0;
    for (size_t i = 0; i < send->base.count; i++) {
        SK_GRANT(sk_check_message(send->calls->node->config, &send->base.messages[i],
                                  send->base.count, now_ms));
        bytes += send->base.messages[i].body.len;
    }
    send->base.bytes = bytes;
    if (bytes > send->calls->node->config->max_batch_size_bytes && send->base.count > 1) {
        return sk_refuse(RMQ_CODE_PAYLOAD_TOO_LARGE,
                         "the bodies have %zu bytes together, the limit is %llu (max_batch_size)",
                         bytes,
                         (unsigned long long)send->calls->node->config->max_batch_size_bytes);
    }
    return SK_GRANTED;
}

static bool make_frames(struct sk_send *send)
{
    sk_arena *arena = rpc_call_arena(send->call);
    send->records = sk_arena_alloc(arena, send->count * sizeof *send->records);
    send->spans = sk_arena_alloc(arena, send->count * sizeof *send->spans);
    send->heads = sk_arena_alloc(arena, send->count * sizeof *send->heads);
    send->parts = sk_arena_alloc(arena, send->count * sizeof *send->parts);
    return send->records && send->spans && send->heads && send->parts;
}

/* sk_send.stored */
static void answer(struct sk_send *stored)
{
    struct send *send = (struct send *)(void *)stored;
    if (!sk_granted(stored->verdict)) {
        refuse(send, &stored->verdict);
    } else if (!make_answer(send)) {
        rpc_call_fail(stored->call, RPC_RESOURCE_EXHAUSTED, "stored, but no memory to say so");
    } else {
        send->waiter =
            (struct sk_gate_waiter){.position = stored->end, .fn = promised, .arg = send};
        sk_promise_wait(sk_ledger_promise(send->calls->node->ledger), &send->waiter);
    }
}

static void store_and_answer(struct send *send)
{
    struct sk_send *base = &send->base;
    struct sk_verdict verdict = check_all(send, &base->topic);
    if (sk_granted(verdict) && !make_frames(base)) {
        verdict = sk_refuse(RMQ_CODE_PAYLOAD_TOO_LARGE, "the request needs too much memory");
    }
    if (!sk_granted(verdict)) {
        refuse(send, &verdict);
        return;
    }
    base->stored = answer;
    sk_burst_put(send->calls->placing, base);
}

/* --- the handler ----------------------------------------------------------------------------- */

static struct sk_verdict check_count(const struct send *send)
{
    const struct sk_broker_config *config = send->calls->node->config;
    if (send->base.count == 0) {
        return sk_refuse(RMQ_CODE_MESSAGE_CORRUPTED, "the request has no messages");
    }
    if (send->base.count > (size_t)config->max_batch) {
        return sk_refuse(RMQ_CODE_BAD_REQUEST,
                         "the request has %zu messages, the limit is %lld (max_batch)",
                         send->base.count, (long long)config->max_batch);
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
    *send = (struct send){.calls = owner, .base = {.call = call, .count = count}};
    struct sk_verdict verdict = sk_caller_of(call, &send->caller);
    if (sk_granted(verdict)) verdict = check_count(send);
    if (!sk_granted(verdict)) {
        refuse(send, &verdict);
        return;
    }
    send->base.messages = sk_arena_alloc(arena, count * sizeof *send->base.messages);
    if (!send->base.messages || !scan(send, request)) {
        rpc_call_fail(
            call, RPC_INVALID_ARGUMENT,
            "the request is no valid apache.rocketmq.v2.SendMessageRequest, or a text in it "
            "is not UTF-8");
        return;
    }
    store_and_answer(send);
}
