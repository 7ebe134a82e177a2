/* deliver.c - read, check, splice, write. */
#include "deliver.h"

#include "base/log.h"

/* Below this, copying is cheaper than a counted slice of the transport. */
enum { COPY_BELOW = 2048 };

static bool read_message(struct sk_calls *calls, uint32_t store_queue, uint64_t offset,
                         uint64_t position, struct sk_pinned *pinned, struct sk_stored_message *out)
{
    struct sk_status status = sk_store_read(sk_ledger_store(calls->node->ledger), position, pinned);
    if (sk_ok(status) && !sk_stored_parse(pinned->record.payload, out)) {
        sk_unpin(pinned->pin);
        status = sk_error(SK_CORRUPT, "the record is intact, but is no message");
    }
    if (sk_ok(status)) return true;
    if (status.code != SK_NOT_FOUND) {
        sk_log_status(SK_ERROR, "message cannot be read", status, sk_u64("queue", store_queue),
                      sk_u64("offset", offset), sk_u64("position", position));
    }
    return false;
}

static void release_pin(void *pin)
{
    sk_unpin(pin);
}

void sk_deliver_write(rpc_call *call, const struct sk_ready_message *message)
{
    struct rpc_piece pieces[3] = {
        {.bytes = message->spliced.head},
        {.bytes = message->stored.others},
        {.bytes = message->spliced.tail},
    };
    bool copy = message->stored.others.len < COPY_BELOW;
    if (!copy) {
        pieces[1].release = release_pin;
        pieces[1].owner = message->pin;
    }
    rpc_call_write_pieces(call, pieces, 3);
    if (copy) sk_unpin(message->pin);
}

enum sk_deliver_result sk_deliver_read(struct sk_calls *calls, rpc_call *call, uint32_t store_queue,
                                       const struct sk_index_entry *entry,
                                       const struct sk_tag_filter *filter,
                                       struct sk_delivery *about, struct sk_ready_message *out)
{
    struct sk_pinned pinned;
    if (!read_message(calls, store_queue, about->offset, entry->position, &pinned, &out->stored)) {
        return SK_DELIVER_FAILED;
    }
    bool tls = calls->node->tls_host && rpc_call_is_tls(call);
    about->store_host = sk_slice_of_text(tls ? calls->node->tls_host : calls->node->host);
    about->store_ms = pinned.record.time_ms;
    bool wanted = sk_tag_filter_matches(filter, out->stored.tag);
    if (wanted && sk_stored_splice(&out->stored, about, rpc_call_arena(call), &out->spliced)) {
        out->pin = pinned.pin;
        return SK_DELIVER_READY;
    }
    sk_unpin(pinned.pin);
    return wanted ? SK_DELIVER_FAILED : SK_DELIVER_MISMATCH;
}
