/* ledger.h - the broker's one lock, around its state and its log.
 *
 *      lock ─► ask the state ─► write records ─► unlock ─► wake whom it concerns
 *                                 │ append to the log
 *                                 └ apply to the state
 *
 * Nothing changes the state but a record that was appended first, so what the
 * broker knows is always what a restart would find. Under the lock there is no I/O
 * but the append itself, and no call into api/rpc.
 *
 * The function given to sk_ledger_on_commit is told, with no lock held, when consumers
 * may see more than before. In SK_FLUSH_ASYNC that is at sk_ledger_unlock, on the thread
 * that wrote; in SK_FLUSH_SYNC on whatever thread flushed.
 *
 * Threads: any. */
#ifndef SK_BROKER_LEDGER_H
#define SK_BROKER_LEDGER_H

#include "base/status.h"
#include "base/thread.h"
#include "state/state.h"
#include "store/store.h"

typedef struct sk_ledger sk_ledger;

struct sk_ledger_options {
    struct sk_store_options store; /* fold, failed, lock and unlock are the ledger's to set */
    /* The disk failed, or the log and the state disagree: nothing may be acknowledged any more.
     * Called at least once, from any thread. */
    void (*failed)(void *owner, struct sk_status why);
    void *owner;
};

SK_CHECKED struct sk_status sk_ledger_open(const struct sk_ledger_options *options,
                                           struct sk_recovery *recovery, sk_ledger **out);
void sk_ledger_close(sk_ledger *ledger); /* NULL is fine */

/* From now on tell `fn`. Once, before the first append; what `fn` uses must be ready by now, for the
 * flusher may call it at once. */
typedef void sk_ledger_commit_fn(void *owner);
void sk_ledger_on_commit(sk_ledger *ledger, sk_ledger_commit_fn *fn, void *owner);

void sk_ledger_lock(sk_ledger *ledger);
void sk_ledger_unlock(sk_ledger *ledger);

/* Unlock now, and leave the wake-up for sk_ledger_settle, to be called soon with no lock held:
 * for whoever wants to answer its own call first. */
void sk_ledger_unlock_quietly(sk_ledger *ledger);
void sk_ledger_settle(sk_ledger *ledger);

/* --- under the lock -------------------------------------------------------------------------- */

const sk_state *sk_ledger_state(const sk_ledger *ledger);
const struct sk_queue_view *sk_ledger_view(const sk_ledger *ledger);

/* The wall clock, kept from going back. */
uint64_t sk_ledger_now_ms(sk_ledger *ledger);

/* Append one record and apply it. An empty payload writes nothing. *span may be NULL. */
SK_CHECKED struct sk_status sk_ledger_write(sk_ledger *ledger, enum sk_record_kind kind,
                                            struct sk_slice payload, struct sk_span *span);

/* The id of the leases that the record there, written since the start, gives. */
struct sk_lease_id sk_ledger_lease_id(const sk_ledger *ledger, const struct sk_span *span);

/* Append MESSAGE records, all or nothing, and apply them. */
SK_CHECKED struct sk_status sk_ledger_append(sk_ledger *ledger, const struct sk_append *records,
                                             size_t count, struct sk_span *spans);

/* The offset after the last one of this queue that consumers may see. */
uint64_t sk_ledger_visible(sk_ledger *ledger, uint32_t store_queue);

/* --- any time -------------------------------------------------------------------------------- */

sk_store *sk_ledger_store(const sk_ledger *ledger);
sk_gate *sk_ledger_committed(const sk_ledger *ledger);

#endif
