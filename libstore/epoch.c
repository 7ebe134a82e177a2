/* epoch.c - who writes this log, and since when.
 *
 *      received          EPOCH 4 ... own ...          received          EPOCH 9 ... own
 *   -------------------+---------------------------+-------------------+----------------
 *    own_from: none      own_from = here             none                here
 *
 * What the watermark says of it is durable before the first byte that it is about. */
#include <inttypes.h>

#include "store_impl.h"

/* The highest that ever began here, as far as this directory knows. */
static uint32_t last_epoch(const sk_store *store)
{
    uint32_t current = sk_epochs_current(&store->epochs), gone = store->watermark.gone;
    return current > gone ? current : gone;
}

/* From the tail on this node writes. It did so already: nothing to write down. */
static struct sk_status own_from_here(sk_store *store)
{
    struct sk_commitlog *log = &store->log;
    uint64_t tail = sk_commitlog_tail(log);
    if (log->own_from <= tail) return SK_SUCCESS;
    struct sk_status s = sk_watermark_own(&store->watermark, sk_commitlog_flushed(log), tail);
    if (sk_ok(s))
        log->own_from = tail;
    else
        sk_store_mark_failed(store, s);
    return s;
}

/* The fold is told of what the store appends itself as replay would tell it. */
static struct sk_status tell_fold(sk_store *store, const struct sk_record *record)
{
    const struct sk_fold *fold = &store->options.fold;
    struct sk_status s = fold->apply ? fold->apply(fold->owner, record) : SK_SUCCESS;
    if (!sk_ok(s)) sk_store_mark_failed(store, s);
    return s;
}

struct sk_status sk_store_begin_epoch(sk_store *store, uint32_t epoch, uint64_t time_ms,
                                      struct sk_span *span)
{
    SK_TRY(sk_store_why(store));
    if (epoch <= last_epoch(store))
        return sk_error(SK_INVALID, "epoch %u is over: the next one of '%s' is %u", epoch,
                        store->paths.root, sk_store_next_epoch(store));
    SK_TRY(own_from_here(store));
    uint8_t payload[SK_EPOCH_PAYLOAD];
    sk_epoch_encode(epoch, time_ms, payload);
    struct sk_record record = {.kind = SK_KIND_EPOCH,
                               .queue = SK_NO_QUEUE,
                               .epoch = epoch,
                               .time_ms = time_ms,
                               .payload = sk_slice_of(payload, sizeof payload)};
    SK_TRY(sk_store_append_own(store, record.kind, epoch, time_ms, record.payload, &record.span));
    sk_epochs_add(&store->epochs, epoch, record.span.begin);
    SK_TRY(tell_fold(store, &record));
    /* Durable before anything else is written in it: a start after a power cut must not find the
     * epoch gone and give it out a second time. */
    SK_TRY(sk_store_sync_quietly(store));
    store->writes = true;
    *span = record.span;
    return SK_SUCCESS;
}

struct sk_status sk_store_note_received(sk_store *store)
{
    struct sk_commitlog *log = &store->log;
    SK_TRY(sk_store_why(store));
    store->writes = false;
    if (log->own_from == SK_OWN_NONE) return SK_SUCCESS;
    struct sk_status s =
        sk_watermark_own(&store->watermark, sk_commitlog_flushed(log), SK_OWN_NONE);
    if (sk_ok(s))
        log->own_from = SK_OWN_NONE;
    else
        sk_store_mark_failed(store, s);
    return s;
}

struct sk_status sk_store_follow_epoch(sk_store *store, const struct sk_record *record)
{
    SK_TRY(sk_epochs_take(&store->epochs, record));
    store->log.epoch = sk_epochs_current(&store->epochs);
    return SK_SUCCESS;
}

/* --- asking -------------------------------------------------------------------------------- */

/* The lock inside is not part of what a reader sees. */
static struct sk_epochs *epochs_of(const sk_store *store)
{
    return (struct sk_epochs *)(uintptr_t)&store->epochs;
}

uint32_t sk_store_epoch(const sk_store *store)
{
    return sk_epochs_current(&store->epochs);
}

uint32_t sk_store_next_epoch(const sk_store *store)
{
    return last_epoch(store) + 1;
}

bool sk_store_epoch_start(const sk_store *store, uint32_t epoch, uint64_t *position)
{
    return sk_epochs_start(epochs_of(store), epoch, position);
}

size_t sk_store_epochs(const sk_store *store, struct sk_epoch_start **out)
{
    return sk_epochs_copy(epochs_of(store), out);
}
