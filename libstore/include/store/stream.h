/* stream.h - the log as bytes for another machine: hand out whole frames, take them in.
 *
 *      source    | rec | rec rec rec | rec | pad |     | rec | rec |
 *                ^position           ^           ^limit
 *                |<---- slice 1 ---->|<-slice 2->|
 *                          |
 *      follower  | rec | rec rec rec |
 *                                    ^tail = where slice 2 goes
 *
 * A stream hands out the log's own bytes, pads included, in slices: each lies in one segment,
 * begins and ends at the border of a batch, and is of one epoch. Nothing is copied, and nothing but
 * frame headers is read: the follower verifies. sk_store_receive puts a slice at the very position
 * that it has in the source, so that two logs of one store id are the same bytes up to the shorter
 * tail.
 *
 * What is not in the bytes: the zeros behind a pad's header, and the zeros at a segment's end that
 * are too few for a pad. The next slice then begins at the next segment's first place, and the
 * follower goes there as the source did.
 *
 *      for (;;) {
 *          uint64_t limit = committed();                     // read first, then ask
 *          SK_TRY(sk_log_stream_next(stream, limit, &slice));
 *          if (slice.bytes.len == 0) {                       // nothing below the limit now
 *              w.position = slice.span.begin + 1;            // a byte more than there is
 *              sk_gate_wait(gate, &w);                       // the gate whose cursor `limit` was
 *              return;                                       // ... go on in w.fn
 *          }
 *          send(slice.span.begin, slice.bytes);              // then sk_unpin(slice.pin)
 *      }
 *
 * Which gate is the caller's choice: the store's, for all that is flushed, or one of his own that
 * follows what he has promised. The limit is what that gate's cursor said, so a wake-up between the
 * question and the wait is not lost: the gate calls back at once. Rules: replication.md 6. */
#ifndef SK_STORE_STREAM_H
#define SK_STORE_STREAM_H

#include "store/store.h"

typedef struct sk_log_stream sk_log_stream;

/* Most records in a slice, and the most bytes of one that holds more than a single batch. */
#define SK_SLICE_MOST_RECORDS 65536
#define SK_SLICE_MOST_BYTES ((uint64_t)64 << 20)

struct sk_log_stream_options {
    uint64_t slice_bytes; /* about so much at a time; a larger batch comes whole. 0: 1 MiB */
    /* So much log, from the segment of the stream's position to the tail, is kept for this stream
     * although retention would let it go. Behind that, retention wins. 0: nothing is kept. */
    uint64_t hold_bytes;
};

struct sk_log_stream_slice {
    struct sk_span span;   /* its place; `end` is where the next one begins */
    uint32_t epoch;        /* of all its frames */
    struct sk_slice bytes; /* in the segment, until sk_unpin(pin); none: at the limit */
    void *pin;             /* NULL when there are no bytes */
};

/* Hand out from `from` on, which must be where a batch begins: sk_store_begin, the end of a span, a
 * follower's tail. SK_NOT_FOUND: the log does not reach back, or up, to there. SK_INVALID: no frame
 * begins there. Any thread; `options` may be NULL. */
SK_CHECKED struct sk_status sk_log_stream_open(sk_store *store, uint64_t from,
                                               const struct sk_log_stream_options *options,
                                               sk_log_stream **out);
/* Before the store is closed. Slices stay valid while they are pinned. NULL is fine. */
void sk_log_stream_close(sk_log_stream *stream);

/* The next slice that ends at or below `limit` (as the tail does, whatever the limit). Without
 * bytes: there is none now. SK_NOT_FOUND: retention took what comes next, and for ever says so; the
 * positions are in the text. SK_CORRUPT: a frame's header is damaged; what is before it has been
 * handed out. One thread at a time for each stream. */
SK_CHECKED struct sk_status sk_log_stream_next(sk_log_stream *stream, uint64_t limit,
                                               struct sk_log_stream_slice *out);
/* Where the next slice begins. */
uint64_t sk_log_stream_position(const sk_log_stream *stream);

/* --- taking in (under the owner's lock) ---------------------------------------------------- */

/* Append the frames of a slice at `position`, which must be exactly the next one: the tail, or,
 * when the tail's segment has no room for another header, the next segment's first place. All of it
 * is verified before anything is written: checksums (which cover the store's id and the position),
 * whole batches, a pad only at the very end of a segment, epochs that do not go back and are opened
 * by their record, offsets that continue their queues. Then the bytes are appended with one write,
 * indexed, and folded, in order. *out is the place they took; out->end is the new tail.
 *
 * SK_CORRUPT: the bytes are not frames of this place in this store. SK_INVALID: they are, but do
 * not come next, or break a rule; the text says which. SK_FULL: no room, as for an urgent append.
 * SK_IO: the store has failed. A refusal changes nothing (but for the note in the watermark that
 * this node receives, before the first byte of it). If the owner's fold refuses a record, which
 * replay would meet again, the store stops like one whose disk failed. Call sk_store_publish after
 * releasing the lock, as after an append.
 *
 * A store that has received does not append (sk_store_append says SK_NOT_MASTER) before it has
 * begun an epoch of its own: (epoch, position) names one byte string for ever, and the epoch that
 * was received is another's. */
SK_CHECKED struct sk_status sk_store_receive(sk_store *store, uint64_t position,
                                             struct sk_slice bytes, struct sk_span *out);

#endif
