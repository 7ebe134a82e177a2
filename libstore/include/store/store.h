/* store.h - the front door of libstore: one log, its queues, its snapshots.
 *
 *      position 0            S                    2S
 *      +---------------------+--------------------+-------------+- - - - +
 *      | rec | rec | … | pad | rec | rec | …  pad | rec | rec   | zeros  |
 *      +---------------------+--------------------+-------------+- - - - +
 *            ^begin (oldest kept segment)     ^flushed    ^tail
 *
 * A position is a byte address in this endless file: it never moves and is never
 * reused, so whatever points at a record does so by position. An offset is a
 * place in one queue. The two words are never mixed.
 *
 * An epoch is a stretch of the log with one writer, so that (epoch, position) names the same bytes
 * for ever and everywhere. Each begins with an EPOCH record; every record carries its epoch.
 *
 * Another machine follows it through stream.h: whole frames go out, and are taken in.
 *
 * The store knows frames, not meanings. A record has a kind (its owner's), an
 * owner's payload, and, if it places something in a queue, that queue's number
 * and the offset. The store keeps the queue index (queue, offset) -> record
 * from these by itself; it is derived, and rebuilt from the log if it is lost.
 *
 * Everything else that the owner must remember is a fold over the records: the
 * store calls `load` with the newest snapshot and `apply` with every record after
 * it when it opens, and asks for a new snapshot now and then, page by page.
 *
 * Durability: after append, records survive the death of the process (the tail
 * gate). Once the flushed gate passed a record's end it survives power loss. What
 * is promised to whom is the owner's affair: it waits at the gate that its promise
 * names, or at the slowest of several.
 *
 * Failure: an append that fails leaves nothing behind. A failed fsync is never
 * retried: the store stops (both gates closed with SK_IO, appends refused)
 * and `failed` is called once; the process must exit and open anew.
 *
 * Threads: one writer at a time (sk_store_append, sk_store_drop_queue and the
 * owner's state share the owner's lock); readers take no lock of the owner, and
 * everything under "without the owner's lock" must be called so.
 * Rules: reliability.md 1.5; bytes: FORMAT.md. */
#ifndef SK_STORE_STORE_H
#define SK_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/gate.h"
#include "base/slice.h"
#include "base/status.h"

struct sk_vfs; /* store/vfs.h: the disk, or a test's idea of one */
typedef struct sk_store sk_store;

#define SK_NO_QUEUE UINT32_MAX
/* Queue numbers lie below this; memory follows the highest one, so hand them out densely. */
#define SK_MAX_QUEUES ((uint32_t)1 << 24)
/* Most records in one append. */
#define SK_MAX_BATCH 1024

/* --- records ------------------------------------------------------------------------- */

/* Kinds of record that are the store's own; 1..127 are the owner's. */
enum {
    SK_KIND_OWNER_MOST = 127,
    SK_KIND_PAD = 128,   /* nothing but the way to the next segment; nobody is told of it */
    SK_KIND_EPOCH = 129, /* an epoch begins: sk_store_begin_epoch */
    SK_KIND_BEGIN = 130, /* the log begins later from now on: retention */
};

/* A record to append. The payload is the concatenation of the parts. */
struct sk_append {
    uint8_t kind;      /* the owner's, 1..127 */
    uint32_t queue;    /* queue number, or SK_NO_QUEUE */
    uint64_t offset;   /* the queue's next offset; the store refuses a gap or a repeat */
    uint32_t tag_hash; /* kept in the queue index, for filters; 0 without tag */
    uint64_t time_ms;  /* wall clock that the owner used; never goes back */
    const struct sk_slice *parts;
    size_t part_count;
};

struct sk_span {
    uint64_t begin; /* position of the record's first byte */
    uint64_t end;   /* position after its last; what a gate has to pass */
};

/* A record as read back: from recovery (apply), or by sk_store_read. */
struct sk_record {
    uint8_t kind;
    uint32_t queue;
    uint64_t offset;
    uint32_t tag_hash;
    uint32_t epoch; /* 0: written before any began */
    uint64_t time_ms;
    struct sk_span span;
    struct sk_slice payload; /* borrowed: see who hands it out */
};

/* --- opening ------------------------------------------------------------------------- */

/* The owner's state, as a fold. All are called with no other writer about; load only during
 * sk_store_open; apply then, and later under the owner's lock for records of the store's own kinds
 * (SK_KIND_EPOCH and above), which it appends itself. A status that is not OK ends the opening; later
 * it stops the store. */
struct sk_fold {
    struct sk_status (*load)(void *owner, struct sk_slice snapshot);
    struct sk_status (*apply)(void *owner, const struct sk_record *record);
    /* A snapshot of the state as it is at save_begin, in pages, for `load` to get in one piece. Each
     * of these is called under the owner's lock, and between them it is free: what is appended then is
     * no part of the snapshot. A page appends about `most` bytes to *out; false: it was the last one.
     * save_end comes after the last page, or earlier when the snapshot is given up. save_page NULL:
     * there is nothing to save; the others may be NULL, too. */
    void (*save_begin)(void *owner);
    bool (*save_page)(void *owner, struct sk_buffer *out, size_t most);
    void (*save_end)(void *owner);
    void *owner;
    /* Does the queue still exist? Asked at the end of opening; may be NULL: all do. */
    bool (*keeps)(void *owner, uint32_t queue);
};

struct sk_store_options {
    const char *dir; /* created if missing; one process at a time (locked) */
    bool write_ahead;           /* write zeros ahead of the tail: for owners who wait for flushes */
    uint64_t segment_bytes;     /* 0: 1 GiB; fixed when the directory is made */
    uint64_t snapshot_bytes;    /* a snapshot is due after this much log; 0: 64 MiB */
    uint64_t cache_bytes;       /* so much of the newest log stays in the page cache; 0: no limit */
    uint64_t append_most;       /* bytes of payload appended under one hold of the owner's lock, usually:
                                   0: 8 MiB; at most a quarter of a segment */
    uint64_t flush_interval_ms; /* fdatasync at least so often while there is need; 0: 500 */
    uint64_t retention_ms;      /* 0: keep for ever */
    uint64_t retention_bytes;   /* 0: no limit */
    unsigned disk_refuse_percent; /* sends are refused above; 0: 95 */
    unsigned disk_clean_percent;  /* oldest segments go above, whatever their age; 0: 90 */
    uint64_t store_id; /* 0: draw one for a new directory, take what is there; else: a directory
                        * that has another is refused. A replica carries its primary's */
    struct sk_vfs *vfs;           /* NULL: the real disk */
    const struct sk_clock *clock; /* NULL: the real clock */
    struct sk_fold fold;
    /* What follows is called with fold.owner; each may be NULL.
     * The disk failed for good; called once, from any thread, no lock held. */
    void (*failed)(void *owner, struct sk_status why);
    /* The owner's lock, which the store's own threads hold around fold.save_*. */
    void (*lock)(void *owner);
    void (*unlock)(void *owner);
    /* The oldest position that the owner still needs, UINT64_MAX: none. Asked by retention, under
     * the owner's lock, which also holds until the log's beginning has been moved. NULL: none. */
    uint64_t (*needs)(void *owner);
    /* Keep at most so much log for what the owner needs; 0: no limit, and the disk may fill. */
    uint64_t need_limit_bytes;
    /* That limit won: what the owner needs lies at `need`, the log begins at `begin` now. For one
     * log line; no lock held. */
    void (*need_passed)(void *owner, uint64_t need, uint64_t begin);
    /* The position below which no record will ever be taken back, on any copy of the log; only then
     * a BEGIN record deletes. Any thread. NULL: all that is flushed. */
    uint64_t (*settled)(void *owner);
    /* No threads: nothing is flushed, cleaned or saved unless asked for. For tests and tools. */
    bool manual;
};

struct sk_recovery {            /* what opening found; for one log line */
    uint64_t snapshot_position; /* 0: none, replayed from the first record */
    uint64_t replayed_records, replayed_bytes;
    uint64_t cut_bytes; /* torn tail removed */
    uint64_t begin, tail;
    bool created;
    bool clean; /* the last stop was an orderly one */
};

/* Open or create. Cuts a torn tail; refuses (SK_CORRUPT, naming file and byte) when the log is
 * damaged below what was known durable, SK_EXISTS when another process has it open.
 * *recovery may be NULL. */
SK_CHECKED struct sk_status sk_store_open(const struct sk_store_options *options,
                                          struct sk_recovery *recovery, sk_store **out);

/* Flush, write a last snapshot, release. NULL is fine. */
void sk_store_close(sk_store *store);

/* --- writing (under the owner's lock) --------------------------------------------------- */

/* From here on this process writes, in `epoch`, which no writer of this log had before: an EPOCH
 * record is appended, durable when this returns, and the fold told of it; every record behind it
 * carries the epoch. SK_INVALID: below sk_store_next_epoch. Any other failure: as of append, or of a
 * flush. After letting go of the lock call sk_store_publish and sk_store_flush, which wake those who
 * wait. An owner who never begins one writes epoch 0. */
SK_CHECKED struct sk_status sk_store_begin_epoch(sk_store *store, uint32_t epoch, uint64_t time_ms,
                                                 struct sk_span *span);

/* Append all or nothing, also across a power cut: 1 .. SK_MAX_BATCH records, together smaller
 * than a segment. spans[i] is record i's place. When this returns OK readers can find the
 * records and they survive the process. Call sk_store_publish after releasing the lock. SK_FULL:
 * the disk is above its mark, or has no room for the next segment (`urgent` appends, such as acks,
 * may go on into what is left of both); ends by itself when there is room again. SK_IO: the store
 * has failed. SK_NOT_MASTER: the present epoch was not begun by this process (or it has
 * received since): begin one, or (epoch, position) could name two things. */
SK_CHECKED struct sk_status sk_store_append(sk_store *store, const struct sk_append *records,
                                            size_t count, bool urgent, struct sk_span *spans);

/* Is there neither room for append_most bytes in the active segment nor a next one ready? An append makes the
 * next segment when it needs it, which is work for the disk: an owner who lets nobody wait for that
 * asks here first, under his lock, and makes it without. Not when there was no room on the disk for
 * it: the janitor tries again. */
bool sk_store_wants_segment(const sk_store *store);

/* --- without the owner's lock ----------------------------------------------------------- */

/* Make the next segment ahead of time. False: that failed, and the append that needs it will say why. */
bool sk_store_make_segment(sk_store *store);

/* Move the tail gate to where the last append ended. Those who wait there, and whoever follows it,
 * run on the calling thread, which is why it is not done inside append. */
void sk_store_publish(sk_store *store);

/* Make everything appended so far durable, now, on the calling thread; wakes who waited. */
SK_CHECKED struct sk_status sk_store_flush(sk_store *store);

/* Flush, then save the owner's state and the queue index; takes the owner's lock itself, for
 * each fold.save_*, and no longer. The janitor thread does this every snapshot_bytes; tests do it themselves. */
SK_CHECKED struct sk_status sk_store_snapshot(sk_store *store);

/* --- cursors ---------------------------------------------------------------------------- */

/* Readable, and surviving the process, below its cursor; moved by sk_store_publish. */
sk_gate *sk_store_tail_gate(sk_store *store);
/* Surviving a power cut below its cursor; moved by whoever flushed. Waiting on it (or sk_gate_demand)
 * is what starts a flush: a record that nobody waits for becomes durable within flush_interval_ms. */
sk_gate *sk_store_flushed_gate(sk_store *store);
/* Demand a flush of all there is, by a thread that can wait a little: where flushes took less than
 * SK_QUICK_FLUSH_US of late, and none is under way, it is done here and now, and who waits is woken
 * on this thread. Two changes of thread cost more than that. The price: when a quick disk suddenly
 * hangs, the thread hangs with it, once. */
#define SK_QUICK_FLUSH_US 500
void sk_store_demand_here(sk_store *store);
uint64_t sk_store_tail(const sk_store *store); /* perhaps above the tail gate's cursor */
uint64_t sk_store_flushed(const sk_store *store);
uint64_t sk_store_begin(const sk_store *store);

/* --- epochs: any thread ----------------------------------------------------------------- */

struct sk_epoch_start {
    uint32_t epoch;
    uint64_t position; /* of its EPOCH record */
};

/* The present epoch; 0: none has begun. */
uint32_t sk_store_epoch(const sk_store *store);
/* The lowest one that may begin: above the present one, and above all that cuts took away. 0: there
 * is none left. */
uint32_t sk_store_next_epoch(const sk_store *store);
/* Where an epoch began; false: it never did here, or retention passed its end. */
bool sk_store_epoch_start(const sk_store *store, uint32_t epoch, uint64_t *position);
/* All of them, ascending, in memory from malloc (*out; NULL if there are none); returns how many.
 * Derived from the log: of those that lie before its beginning only the newest is kept. */
size_t sk_store_epochs(const sk_store *store, struct sk_epoch_start **out);

/* --- queues ----------------------------------------------------------------------------- */

struct sk_queue_range {
    uint64_t min; /* first offset still kept */
    uint64_t max; /* next to be written */
};
struct sk_queue_range sk_store_queue(const sk_store *store, uint32_t queue);

/* Forget a queue (its topic was deleted); its number may be used again only after a restart
 * or never. Under the owner's lock. */
void sk_store_drop_queue(sk_store *store, uint32_t queue);

struct sk_index_entry {
    uint64_t position;
    uint32_t size; /* of the whole record */
    uint32_t tag_hash;
};

/* Up to `count` consecutive entries from `offset`; returns how many there are (0 at the end or
 * below min; fewer than there are when an entry is rotten, which the next call from there repairs).
 * May read from the disk. Any thread. */
size_t sk_store_lookup(sk_store *store, uint32_t queue, uint64_t offset, size_t count,
                       struct sk_index_entry *out);

/* First offset whose record was stored at or after time_ms; max if there is none. */
uint64_t sk_store_offset_by_time(sk_store *store, uint32_t queue, uint64_t time_ms);

/* --- reading ---------------------------------------------------------------------------- */

/* A record in the page cache, its segment held. */
struct sk_pinned {
    struct sk_record record; /* payload valid until sk_unpin(pin) */
    void *pin;
};

/* Read one record and verify its checksum. SK_NOT_FOUND: below begin or above tail. SK_CORRUPT:
 * rot, or no record begins there; the others stay readable. Any thread. */
SK_CHECKED struct sk_status sk_store_read(sk_store *store, uint64_t position,
                                          struct sk_pinned *out);
void sk_pin_ref(void *pin);
void sk_unpin(void *pin); /* NULL is fine; any thread, also after sk_store_close */

/* --- retention -------------------------------------------------------------------------- */

/* Look at the disk's fill level, and let old segments go as the options say: never the active one,
 * nor what the older of the two kept snapshots needs; nor, within their limits, what the owner
 * needs or a stream holds. The janitor thread does so every ten seconds, tests call it themselves.
 * Returns how many went. Takes the owner's lock for a moment, for `needs` and the fold.
 *
 * The log's beginning moves by a record (BEGIN, FORMAT.md), which is durable, and settled, before
 * the first file goes. A store that receives appends none: it does what the received ones say, as
 * far as its own snapshots and streams let it.
 *
 * An owner whose need is old moves forward what it needs: read the record (sk_store_read), append
 * its payload anew, and in the same batch the record that makes whatever points at it point there:
 * the fold takes the new position from the span of the record before. After a crash both are there
 * or none. Then `needs` gives a later position by itself, and the old segment goes: the BEGIN lies
 * behind the move in the log, so where it is durable the move is, too
 * (tests/libstore/test_move.c). */
size_t sk_store_retain(sk_store *store);

struct sk_store_stats {
    uint64_t segments, log_bytes, index_bytes, appended_records, appended_bytes, flushes, snapshots;
    uint64_t snapshot_failures; /* tried again ten seconds later */
    uint64_t snapshot_position, flushed;
    uint64_t segments_in_append; /* made by an append, under the owner's lock */
    unsigned disk_used_percent;
    bool refusing; /* the disk is too full for sends: above the mark, or no room for a segment */
    uint64_t streams_lost; /* passed by retention, each beyond what it may hold */
    uint64_t needs_passed; /* times that need_limit_bytes won over what the owner needs */
};
struct sk_store_stats sk_store_stats(sk_store *store);

/* --- cutting a directory that no process has open ------------------------------------------ */

struct sk_truncation {
    uint64_t position;  /* the log has nothing at or above it now */
    uint64_t cut_bytes; /* that went; 0: there was nothing to do */
    uint64_t snapshots; /* that went, too */
    uint32_t epoch;     /* the highest one of the records that went */
    bool resumed;       /* first a cut was ended that had been interrupted */
};

/* End the log at `position`: for a node whose tail is not the one that was agreed on. What lies behind
 * is gone for good, also after a power cut, when this returns OK; until the cut begins it is copied to
 * the directory "cut" ("<epoch>-<position>.log"; 16 files and 1 GiB are kept, the newest always).
 * Snapshots that reach above it go. The state follows when the store is opened: it is replayed from an
 * older snapshot, or from the first record.
 *
 * At or above the tail there is nothing to do. SK_INVALID, and nothing was changed: `position` is not
 * where a batch ends (its neighbours are named), lies before the log's beginning, or no snapshot is left
 * from which the state could be replayed. SK_EXISTS: a process has the store open. SK_NOT_FOUND: there
 * is no store. Of the options dir, vfs and store_id count.
 *
 * Cut off by a crash, the directory is as before, or a cut is under way: the next sk_store_truncate or
 * sk_store_open ends it first. Whoever asks sees to it that nothing goes that was promised. */
SK_CHECKED struct sk_status sk_store_truncate(const struct sk_store_options *options,
                                              uint64_t position, struct sk_truncation *out);

/* --- inspection of a directory that no process has open ------------------------------------ */

/* Told of each finding, in order of position; file and detail live until it returns. */
typedef void sk_verify_fn(void *arg, bool is_error, const char *file, uint64_t position,
                          const char *detail);
struct sk_verify_result {
    uint64_t records, bytes, errors, segments, snapshots;
};
/* Check every byte that recovery or a reader could meet. SK_CORRUPT if there was an error. */
SK_CHECKED struct sk_status sk_store_verify(const char *dir, struct sk_vfs *vfs,
                                            sk_verify_fn *report, void *arg,
                                            struct sk_verify_result *out);

/* Every record from `from` (0: the oldest), in order; stop by returning false. */
typedef bool sk_dump_fn(void *arg, const struct sk_record *record);
SK_CHECKED struct sk_status sk_store_dump(const char *dir, struct sk_vfs *vfs, uint64_t from,
                                          sk_dump_fn *each, void *arg);

#endif
