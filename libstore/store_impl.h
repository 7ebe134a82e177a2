/* store_impl.h - the store's inside, shared by store.c (opening, appending, reading), recover.c,
 * epoch.c, threads.c (flusher, helper, janitor) and retain.c. */
#ifndef SK_STORE_IMPL_H
#define SK_STORE_IMPL_H

#include <stdatomic.h>

#include "base/thread.h"
#include "commitlog.h"
#include "epochs.h"
#include "index.h"
#include "store/store.h"
#include "store/vfs.h"
#include "begin.h"
#include "stream_impl.h"
#include "watermark.h"

/* A thread that sleeps until it is poked or its time has come. */
struct sk_sleeper {
    struct sk_mutex lock;
    struct sk_cond wake;
    pthread_t thread;
    bool started;
    bool stop;          /* guarded by lock */
    _Atomic bool poked; /* there is work */
    uint64_t wanted;    /* the flusher's: flush up to here now; guarded by lock */
};

struct sk_store_paths {
    char *root, *log, *index, *snapshot, *cut, *lock, *identity, *watermark;
};

struct sk_store {
    struct sk_store_options options; /* with the defaults filled in; dir is not kept */
    struct sk_store_paths paths;
    struct sk_vfs *vfs;
    const struct sk_clock *clock;
    uint64_t store_id;
    uint64_t segment_bytes;
    int lock_fd;

    struct sk_commitlog log;
    bool log_open;
    struct sk_watermark watermark;
    bool watermark_open;
    bool ended_cut; /* opening the directory ended a cut that was under way */
    sk_index *index;
    struct sk_epochs epochs;
    bool writes; /* this process may: it began the present epoch, or there was none; owner's lock */
    sk_gate *tail_gate, *flushed_gate;
    _Atomic uint64_t flush_time; /* store.c's: what flushes take of late */

    _Atomic bool failed; /* appends are refused */
    struct sk_mutex fail_lock;
    struct sk_status why; /* guarded by fail_lock, written once */
    bool announced;       /* guarded by fail_lock */

    struct sk_begin begin;
    struct sk_log_streams streams;

    struct sk_turnstile housekeeping;   /* one snapshot or retention at a time, which wake */
    _Atomic uint64_t snapshot_position; /* of the newest */
    uint64_t older_position;            /* of the one before it, 0: none; inside housekeeping */
    _Atomic uint64_t snapshot_not_before_us; /* after a failure */

    _Atomic bool refusing;
    _Atomic unsigned disk_used_percent;
    _Atomic uint64_t appended_records, appended_bytes, flushes, snapshots, snapshot_failures;

    struct sk_sleeper flusher, helper, janitor;
};

/* recover.c */
SK_CHECKED struct sk_status sk_store_recover(sk_store *store, struct sk_recovery *out);

/* threads.c */
void sk_store_demand(void *store, uint64_t position); /* of the flushed gate */
SK_CHECKED struct sk_status sk_store_start_threads(sk_store *store);
void sk_store_stop_threads(sk_store *store);
void sk_store_poke(struct sk_sleeper *sleeper);
bool sk_store_snapshot_is_due(const sk_store *store);

/* store.c: the store has failed. mark is safe under any lock; announce closes the gate and calls
 * `failed`, once, and needs to be called with none. */
void sk_store_mark_failed(sk_store *store, struct sk_status why);
void sk_store_announce_failure(sk_store *store);
SK_CHECKED struct sk_status sk_store_why(sk_store *store); /* OK while it has not failed */

/* store.c: append one record of the store's own (SK_KIND_EPOCH and above), without a queue. It is
 * urgent; of the rest of sk_store_append everything holds, but that the epoch is given. Under the
 * owner's lock. */
SK_CHECKED struct sk_status sk_store_append_own(sk_store *store, uint8_t kind, uint32_t epoch,
                                                uint64_t time_ms, struct sk_slice payload,
                                                struct sk_span *span);
/* store.c: make all durable; nobody who waits is woken, so the owner's lock may be held. The next
 * sk_store_flush wakes them. */
SK_CHECKED struct sk_status sk_store_sync_quietly(sk_store *store);

/* epoch.c: from the next byte on the log is another node's: a receiver calls this before it writes
 * the first byte of what it received (any number of times; only the first one after own writing touches
 * the disk). Until sk_store_begin_epoch appends are refused, and the `flushed` field of no record
 * proves anything: it speaks of the other node's disk. Durable when it returns OK; otherwise the
 * store has failed. Under the owner's lock. */
SK_CHECKED struct sk_status sk_store_note_received(sk_store *store);
/* epoch.c: the record that was appended last came from another node: it is held against the epochs
 * as replay would (SK_CORRUPT), and what is appended from here on carries its epoch. */
SK_CHECKED struct sk_status sk_store_follow_epoch(sk_store *store, const struct sk_record *record);

/* truncate.c: if a cut is under way, end it. Before anything else is read of log and snapshots. */
SK_CHECKED struct sk_status sk_store_end_cut(sk_store *store);

/* store.c: what follows an append that went well, or did not. */
void sk_store_appended(sk_store *store, size_t count, uint64_t bytes);
SK_CHECKED struct sk_status sk_store_append_failed(sk_store *store, struct sk_status why);

/* retain.c */
void sk_store_look_at_disk(sk_store *store);
static inline bool sk_store_is_full(const sk_store *store)
{
    return atomic_load_explicit(&store->refusing, memory_order_relaxed) ||
           atomic_load_explicit(&store->log.cramped, memory_order_relaxed);
}

#endif
