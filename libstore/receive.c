/* receive.c - take in the frames of another log of this store's id, at their own positions.
 *
 *      slice --check all--> append with one write --index, fold each-->
 *              |                  |
 *              +-- refused -------+-- nothing was changed
 *
 * The bytes come from outside. Their checksums prove that they are what the source has in this
 * place; everything else that a log of ours never does is refused as well, since whatever is
 * appended here has to pass the next opening. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "store_impl.h"

/* --- what comes next in each queue of the slice ----------------------------------------------- */

struct expected {
    uint32_t queue; /* SK_NO_QUEUE: a free place */
    uint64_t next;
};

struct queues { /* open addressing; at most half full */
    struct expected *places;
    size_t mask;
};

static void queues_init(struct queues *q, size_t records)
{
    size_t room = 16;
    while (room < 2 * records) room *= 2;
    q->places = sk_zalloc(room, sizeof *q->places);
    q->mask = room - 1;
    for (size_t i = 0; i < room; i++) q->places[i].queue = SK_NO_QUEUE;
}

static struct expected *expected_of(struct queues *q, sk_index *index, uint32_t queue)
{
    size_t i = queue * 2654435769u & q->mask;
    while (q->places[i].queue != queue && q->places[i].queue != SK_NO_QUEUE) i = (i + 1) & q->mask;
    struct expected *e = &q->places[i];
    if (e->queue == SK_NO_QUEUE)
        *e = (struct expected){.queue = queue, .next = sk_index_range(index, queue).max};
    return e;
}

/* --- checking --------------------------------------------------------------------------------- */

struct incoming {
    sk_store *store;
    uint64_t position; /* of the slice */
    struct sk_slice bytes;
    size_t at;       /* of the next frame in it */
    size_t records;  /* all of them, found by counting */
    size_t in_batch; /* records of the batch that is not complete yet */
    bool closes;     /* the last frame is a pad */
    uint32_t epoch;
    uint64_t begin; /* of the log, as the last BEGIN says */
    struct queues queues;
};

static struct sk_status refuse(const struct incoming *in, enum sk_code code, const char *why)
{
    return sk_error(code, "receive: the frame at position %" PRIu64 ": %s", in->position + in->at,
                    why);
}

/* What a frame may lie in: the slice; or, for a pad, of which only the header is sent, the
 * segment. */
static struct sk_slice reach(const struct incoming *in)
{
    size_t left = in->bytes.len - in->at;
    const uint8_t *p = in->bytes.data + in->at;
    uint64_t room = in->store->segment_bytes;
    room -= (in->position + in->at) % room;
    bool pad = left == SK_RECORD_HEADER && p[12] == SK_RECORD_PAD;
    return sk_slice_of(p, pad ? (size_t)room : left);
}

/* Its segment may have no room for another header: both ends of that gap are the same place. */
static struct sk_status check_place(struct incoming *in)
{
    const struct sk_commitlog *log = &in->store->log;
    uint64_t tail = sk_commitlog_tail(log), next = sk_commitlog_place(log, tail);
    if (in->position != tail && in->position != next)
        return sk_error(SK_INVALID,
                        "receive: position %" PRIu64 " comes next, not %" PRIu64 " (%s)", next,
                        in->position, in->position < next ? "it is there already" : "a gap");
    uint64_t into = next % log->segment_bytes;
    if (in->bytes.len == 0 || in->bytes.len % SK_RECORD_ALIGN ||
        in->bytes.len > log->segment_bytes - into)
        return sk_error(SK_INVALID,
                        "receive: a slice of %zu bytes at position %" PRIu64
                        " is not of whole frames in one segment",
                        in->bytes.len, next);
    in->position = next;
    return SK_SUCCESS;
}

/* How many frames the sizes in the headers make of it. */
static struct sk_status count_frames(struct incoming *in)
{
    struct sk_frame f;
    const char *why;
    for (in->at = 0; in->at < in->bytes.len; in->records++) {
        if (sk_record_read(reach(in), &f, &why) != SK_FRAME_VALID)
            return refuse(in, SK_CORRUPT, why);
        bool pad = f.kind == SK_RECORD_PAD;
        in->at += pad ? SK_RECORD_HEADER : (size_t)sk_record_room(f.size);
    }
    if (in->records > SK_SLICE_MOST_RECORDS)
        return sk_error(SK_INVALID, "receive: a slice has at most %d records, not %zu",
                        SK_SLICE_MOST_RECORDS, in->records);
    return SK_SUCCESS;
}

static struct sk_status check_pad(struct incoming *in, const struct sk_frame *f)
{
    uint64_t end = in->position + in->at + f->size;
    if (end % in->store->segment_bytes || in->at + SK_RECORD_HEADER != in->bytes.len)
        return refuse(in, SK_INVALID, "a pad that does not end its segment");
    if (in->in_batch || f->flags || f->queue != SK_NO_QUEUE || f->epoch != in->epoch)
        return refuse(in, SK_INVALID, "a pad inside a batch, or with a queue or another epoch");
    in->closes = true;
    return SK_SUCCESS;
}

/* As replay has it. */
static struct sk_status check_epoch(struct incoming *in, const struct sk_frame *f)
{
    struct sk_record record = sk_frame_record(f, in->position + in->at);
    struct sk_status s = sk_epoch_check(in->epoch, &record);
    if (!sk_ok(s)) return refuse(in, SK_INVALID, sk_status_text(&s));
    in->epoch = f->epoch;
    return SK_SUCCESS;
}

static struct sk_status check_own(struct incoming *in, const struct sk_frame *f)
{
    if (f->queue != SK_NO_QUEUE) return refuse(in, SK_INVALID, "a record of the store in a queue");
    if (f->kind == SK_KIND_EPOCH) return SK_SUCCESS;
    if (f->kind == SK_KIND_BEGIN &&
        sk_begin_accepts(in->store, f, in->position + in->at, &in->begin))
        return SK_SUCCESS;
    return refuse(in, SK_INVALID,
                  f->kind == SK_KIND_BEGIN ? "a beginning that cannot be" : "an unknown kind");
}

/* As replay has it: a queue goes on, or its number is used again, from 0. */
static struct sk_status check_offset(struct incoming *in, const struct sk_frame *f)
{
    if (f->queue == SK_NO_QUEUE) return SK_SUCCESS;
    if (f->queue >= SK_MAX_QUEUES) return refuse(in, SK_INVALID, "its queue number is too large");
    struct expected *e = expected_of(&in->queues, in->store->index, f->queue);
    if (f->offset != e->next && f->offset != 0)
        return sk_error(SK_INVALID,
                        "receive: the frame at position %" PRIu64
                        ": queue %u goes on with offset %" PRIu64 ", not %" PRIu64,
                        in->position + in->at, f->queue, e->next, f->offset);
    e->next = f->offset + 1;
    return SK_SUCCESS;
}

static struct sk_status check_record(struct incoming *in, const struct sk_frame *f)
{
    if (f->kind == SK_RECORD_PAD) return check_pad(in, f);
    if (f->kind == 0 || f->flags & ~SK_RECORD_MORE)
        return refuse(in, SK_INVALID, "an unknown kind or flag");
    if (f->kind > SK_KIND_OWNER_MOST) SK_TRY(check_own(in, f));
    SK_TRY(check_epoch(in, f));
    SK_TRY(check_offset(in, f));
    if (++in->in_batch > SK_MAX_BATCH) return refuse(in, SK_INVALID, "its batch is too large");
    if (!(f->flags & SK_RECORD_MORE)) in->in_batch = 0;
    return SK_SUCCESS;
}

static struct sk_status check_frames(struct incoming *in)
{
    for (in->at = 0; in->at < in->bytes.len;) {
        struct sk_frame f;
        const char *why;
        if (sk_record_parse(reach(in), in->store->store_id, in->position + in->at, &f, &why) !=
            SK_FRAME_VALID)
            return refuse(in, SK_CORRUPT, why);
        if (f.flushed > in->position + in->at)
            return refuse(in, SK_INVALID, "it calls durable what lies behind it");
        SK_TRY(check_record(in, &f));
        in->at += f.kind == SK_RECORD_PAD ? SK_RECORD_HEADER : (size_t)sk_record_room(f.size);
    }
    if (in->in_batch) return refuse(in, SK_INVALID, "the batch before it is not complete");
    return SK_SUCCESS;
}

static struct sk_status check(struct incoming *in)
{
    SK_TRY(check_place(in));
    SK_TRY(count_frames(in));
    queues_init(&in->queues, in->records);
    in->begin = atomic_load(&in->store->begin.place);
    in->epoch = sk_epochs_current(&in->store->epochs);
    struct sk_status s = check_frames(in);
    free(in->queues.places);
    return s;
}

/* --- taking in -------------------------------------------------------------------------------- */

static struct sk_status take_record(sk_store *store, const struct sk_record *r)
{
    if (r->queue != SK_NO_QUEUE) {
        bool fits = sk_index_add(store->index, r, false);
        sk_assert(fits); /* checked */
    }
    SK_TRY(sk_store_follow_epoch(store, r));
    if (r->kind == SK_KIND_BEGIN) SK_TRY(sk_begin_note(store, r));
    const struct sk_fold *fold = &store->options.fold;
    return fold->apply ? fold->apply(fold->owner, r) : SK_SUCCESS;
}

/* From the caller's bytes, which are those of the log. */
static struct sk_status take_all(struct incoming *in)
{
    struct sk_status s = SK_SUCCESS;
    size_t records = in->records - in->closes;
    for (in->at = 0; sk_ok(s) && records > 0; records--) {
        struct sk_frame f;
        const char *why;
        enum sk_frame_verdict v = sk_record_read(reach(in), &f, &why);
        sk_assert(v == SK_FRAME_VALID);
        struct sk_record record = sk_frame_record(&f, in->position + in->at);
        s = take_record(in->store, &record);
        in->at += (size_t)sk_record_room(f.size);
    }
    return sk_while(s, "fold a received record");
}

struct sk_status sk_store_receive(sk_store *store, uint64_t position, struct sk_slice bytes,
                                  struct sk_span *out)
{
    SK_TRY(sk_store_why(store));
    struct incoming in = {.store = store, .position = position, .bytes = bytes};
    SK_TRY(check(&in));
    SK_TRY(sk_store_note_received(store));
    struct sk_status s = sk_commitlog_append_frames(&store->log, in.position, bytes, in.closes);
    if (!sk_ok(s)) return sk_store_append_failed(store, s);
    uint64_t end = sk_commitlog_tail(&store->log);
    s = take_all(&in);
    if (!sk_ok(s)) {
        sk_store_mark_failed(store, s); /* the log has what the state has not */
        return s;
    }
    sk_store_appended(store, in.records - in.closes, bytes.len);
    *out = (struct sk_span){in.position, end};
    return SK_SUCCESS;
}
