/* receive_messages.c - what a receive chooses, delivers, and gives back. */
#include "message/digest.h"
#include "message/receipt.h"
#include "receive.h"

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
enum sk_poll_look sk_receive_choose(struct receive *r, struct sk_turn *turn, struct sk_tags *tags)
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
void sk_receive_delivered(void *arg, bool all)
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
void sk_receive_deliver(struct receive *r)
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
        if (kept == 0) sk_receive_write_status(r, &ok);
        sk_deliver_write(r->call, &message);
        r->chosen[kept++] = chosen;
    }
    r->chosen_count = kept;
    if (unwanted) acknowledge(r, unwanted);
}
