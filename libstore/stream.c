/* stream.c - hand out whole frames in slices of the mapped segments.
 *
 * Only headers are read: with records of 1 KiB one cache line in sixteen. The frames lie below the
 * tail, so they were written whole; rot in a size may lead astray, which the next header shows, or
 * the follower's checksums. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "store_impl.h"
#include "stream_impl.h"

enum { SLICE_BYTES = 1024 * 1024 };

struct sk_log_stream {
    sk_store *store;
    struct sk_log_stream_options options;
    _Atomic uint64_t position; /* of the next frame; retention looks at it */
    bool lost;                 /* retention passed it; guarded by the row's lock */
    struct sk_log_stream *next, *prev;
};

/* --- the row of streams ------------------------------------------------------------------- */

void sk_log_streams_init(struct sk_log_streams *row)
{
    sk_mutex_init(&row->lock);
}

void sk_log_streams_done(struct sk_log_streams *row)
{
    sk_mutex_done(&row->lock);
}

static void enter_row(struct sk_log_streams *row, sk_log_stream *stream)
{
    sk_mutex_lock(&row->lock);
    stream->next = row->first;
    if (row->first) row->first->prev = stream;
    row->first = stream;
    sk_mutex_unlock(&row->lock);
}

static void leave_row(struct sk_log_streams *row, sk_log_stream *stream)
{
    sk_mutex_lock(&row->lock);
    if (stream->next) stream->next->prev = stream->prev;
    if (stream->prev)
        stream->prev->next = stream->next;
    else
        row->first = stream->next;
    sk_mutex_unlock(&row->lock);
}

uint64_t sk_log_streams_floor(sk_store *store)
{
    uint64_t floor = UINT64_MAX, tail = sk_commitlog_tail(&store->log);
    sk_mutex_lock(&store->streams.lock);
    for (const sk_log_stream *s = store->streams.first; s; s = s->next) {
        uint64_t base = sk_commitlog_base(&store->log, atomic_load(&s->position));
        bool holds = !s->lost && (tail < base || tail - base <= s->options.hold_bytes);
        if (holds && s->options.hold_bytes && base < floor) floor = base;
    }
    sk_mutex_unlock(&store->streams.lock);
    return floor;
}

void sk_log_streams_lose(sk_store *store, uint64_t begin)
{
    sk_mutex_lock(&store->streams.lock);
    for (sk_log_stream *s = store->streams.first; s; s = s->next) {
        if (s->lost || atomic_load(&s->position) >= begin) continue;
        s->lost = true;
        atomic_fetch_add(&store->streams.lost, 1);
    }
    sk_mutex_unlock(&store->streams.lock);
}

/* --- opening ------------------------------------------------------------------------------- */

/* Retention may have recorded a beginning above the one that the files still have. */
static uint64_t beginning(sk_store *store)
{
    uint64_t recorded = atomic_load(&store->begin.place), begin = sk_commitlog_begin(&store->log);
    return recorded > begin ? recorded : begin;
}

static struct sk_status check_reach(sk_store *store, uint64_t from, uint64_t at)
{
    uint64_t begin = beginning(store), tail = sk_commitlog_tail(&store->log);
    if (at < begin)
        return sk_error(SK_NOT_FOUND,
                        "positions %" PRIu64 " to %" PRIu64 " are gone: the log begins at %" PRIu64
                        " now",
                        from, begin, begin);
    if (from > tail && at != sk_commitlog_place(&store->log, tail))
        return sk_error(SK_NOT_FOUND, "position %" PRIu64 " lies above the log's tail at %" PRIu64,
                        from, tail);
    return SK_SUCCESS;
}

static struct sk_status check_frame(sk_store *store, uint64_t at)
{
    struct sk_segment *s = sk_commitlog_pin(&store->log, at);
    struct sk_frame frame;
    const char *why = "its segment is gone";
    bool good = s && sk_record_parse(sk_segment_from(s, at), store->store_id, at, &frame, &why) ==
                         SK_FRAME_VALID;
    sk_segment_unref(s); /* the table holds it too */
    if (good) return SK_SUCCESS;
    return sk_error(SK_INVALID, "a stream cannot begin at position %" PRIu64 ": %s", at, why);
}

/* A frame begins there, or the log ends there; at a segment's end, that of the next one's first
 * place. */
static struct sk_status check_place(sk_store *store, uint64_t from, uint64_t at)
{
    uint64_t into = from % store->segment_bytes;
    if (into % SK_RECORD_ALIGN || (into > 0 && into < SK_HEADER_BYTES))
        return sk_error(SK_INVALID,
                        "a stream cannot begin at position %" PRIu64 ": no frame begins there",
                        from);
    bool at_end = at == sk_commitlog_place(&store->log, sk_commitlog_tail(&store->log));
    return at_end ? SK_SUCCESS : check_frame(store, at);
}

struct sk_status sk_log_stream_open(sk_store *store, uint64_t from,
                                    const struct sk_log_stream_options *options,
                                    sk_log_stream **out)
{
    uint64_t at = sk_commitlog_place(&store->log, from);
    SK_TRY(check_reach(store, from, at));
    SK_TRY(check_place(store, from, at));
    sk_log_stream *stream = sk_zalloc(1, sizeof *stream);
    stream->store = store;
    if (options) stream->options = *options;
    uint64_t *bytes = &stream->options.slice_bytes;
    if (*bytes == 0) *bytes = SLICE_BYTES;
    if (*bytes > SK_SLICE_MOST_BYTES) *bytes = SK_SLICE_MOST_BYTES;
    atomic_init(&stream->position, at);
    enter_row(&store->streams, stream);
    *out = stream;
    return SK_SUCCESS;
}

void sk_log_stream_close(sk_log_stream *stream)
{
    if (!stream) return;
    leave_row(&stream->store->streams, stream);
    free(stream);
}

uint64_t sk_log_stream_position(const sk_log_stream *stream)
{
    return atomic_load(&stream->position);
}

/* --- slices -------------------------------------------------------------------------------- */

/* The batches from `begin` on that fit in a slice. */
struct run {
    const struct sk_segment *segment;
    uint64_t begin, limit;
    uint64_t most;    /* bytes, of more than one batch */
    uint64_t end;     /* after the last whole batch */
    uint64_t written; /* the same, without the zeros behind a pad's header */
    uint32_t epoch;   /* once end > begin, or in its first batch */
    size_t records;
};

/* Take the batch at r->end; false: none that is whole below the limit, or it has to wait for the
 * next slice. */
static bool take_batch(struct run *r, const char **why, bool *pad)
{
    uint64_t at = r->end, written = at;
    size_t records = 0;
    bool more = true;
    while (more) {
        struct sk_frame f;
        *why = "";
        if (at >= r->limit) return false;
        struct sk_slice rest = sk_segment_from(r->segment, at);
        if (rest.len < SK_RECORD_HEADER && records == 0) return false; /* the segment's end */
        if (sk_record_read(rest, &f, why) != SK_FRAME_VALID) return false;
        if (r->end > r->begin && f.epoch != r->epoch) return false;
        *pad = f.kind == SK_RECORD_PAD;
        r->epoch = f.epoch;
        records++;
        written = at + (*pad ? SK_RECORD_HEADER : sk_record_room(f.size));
        at += sk_record_room(f.size);
        more = f.flags & SK_RECORD_MORE;
    }
    if (at > r->limit) return false;
    if (r->end > r->begin &&
        (written - r->begin > r->most || r->records + records > SK_SLICE_MOST_RECORDS))
        return false;
    r->end = at;
    r->written = written;
    r->records += records;
    return true;
}

static struct sk_status measure(sk_log_stream *stream, struct run *r)
{
    const char *why = "";
    bool pad = false;
    while (!pad && take_batch(r, &why, &pad)) {
    }
    if (r->end > r->begin || !*why) return SK_SUCCESS;
    return sk_error(SK_CORRUPT,
                    "segment '%s/%020" PRIu64 ".log': a batch at byte %" PRIu64
                    " cannot be streamed: %s",
                    stream->store->paths.log, r->segment->base, r->begin - r->segment->base, why);
}

static struct sk_status still_there(sk_log_stream *stream, uint64_t at)
{
    sk_store *store = stream->store;
    sk_mutex_lock(&store->streams.lock);
    bool lost = stream->lost;
    sk_mutex_unlock(&store->streams.lock);
    uint64_t begin = beginning(store);
    if (!lost && at >= sk_commitlog_begin(&store->log)) return SK_SUCCESS;
    return sk_error(SK_NOT_FOUND,
                    "positions %" PRIu64 " to %" PRIu64 " are gone: the log begins at %" PRIu64
                    " now, and this stream holds no more than %" PRIu64 " bytes",
                    at, begin, begin, stream->options.hold_bytes);
}

static void nothing_now(uint64_t at, struct sk_log_stream_slice *out)
{
    *out = (struct sk_log_stream_slice){.span = {at, at}};
}

struct sk_status sk_log_stream_next(sk_log_stream *stream, uint64_t limit,
                                    struct sk_log_stream_slice *out)
{
    struct sk_commitlog *log = &stream->store->log;
    uint64_t at = sk_log_stream_position(stream), tail = sk_commitlog_tail(log);
    SK_TRY(still_there(stream, at));
    if (limit > tail) limit = tail;
    struct sk_segment *s = at < limit ? sk_commitlog_pin(log, at) : NULL;
    if (!s) {
        nothing_now(at, out);
        return still_there(stream, at);
    }
    struct run r = {.segment = s,
                    .begin = at,
                    .limit = limit,
                    .most = stream->options.slice_bytes,
                    .end = at,
                    .written = at};
    struct sk_status status = measure(stream, &r);
    if (!sk_ok(status) || r.end == at) {
        sk_segment_unref(s);
        if (sk_ok(status)) nothing_now(at, out);
        return status;
    }
    *out = (struct sk_log_stream_slice){
        .span = {at, sk_commitlog_place(log, r.end)},
        .epoch = r.epoch,
        .bytes = sk_slice_of(sk_segment_from(s, at).data, (size_t)(r.written - at)),
        .pin = s,
    };
    atomic_store(&stream->position, out->span.end);
    return SK_SUCCESS;
}
