/* epochs.h - which epochs the log has, and where each begins. Private to libstore.
 *
 *      position   0        4096          9000              20480
 *                 | epoch 0 | EPOCH 1 ... | EPOCH 2 ... pad | EPOCH 7 ...
 *
 * A fold over the log's records: whoever reads them in order (replay, verify, a receiver) hands
 * each one to sk_epochs_take, whoever writes calls sk_epochs_add. Part of the store's half of a
 * snapshot.
 *
 * Threads: take, add, load, trim, cut from the one writer; the rest from any. */
#ifndef SK_STORE_EPOCHS_H
#define SK_STORE_EPOCHS_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/thread.h"
#include "store/store.h"

enum { SK_EPOCH_PAYLOAD = 16 };

struct sk_epochs {
    struct sk_mutex lock;
    struct sk_epoch_start *list; /* ascending in both; guarded by lock */
    size_t count, room;
    _Atomic uint32_t current;
};

void sk_epochs_init(struct sk_epochs *epochs);
void sk_epochs_done(struct sk_epochs *epochs);

/* The payload of an EPOCH record. */
void sk_epoch_encode(uint32_t epoch, uint64_t time_ms, uint8_t out[SK_EPOCH_PAYLOAD]);

/* May `record` follow one of epoch `current`? SK_CORRUPT: its epoch is lower; or is another one and
 * this is not its EPOCH record; or it is one that cannot be read, or of an epoch that began
 * already. */
SK_CHECKED struct sk_status sk_epoch_check(uint32_t current, const struct sk_record *record);

/* The next record of the log. SK_CORRUPT, as of sk_epoch_check: nothing is changed then. */
SK_CHECKED struct sk_status sk_epochs_take(struct sk_epochs *epochs,
                                           const struct sk_record *record);
/* An epoch begins at `position`; it is higher than all before it. */
void sk_epochs_add(struct sk_epochs *epochs, uint32_t epoch, uint64_t position);
/* The log is known from here on only: the epoch that it is in came from before. */
void sk_epochs_enter(struct sk_epochs *epochs, uint32_t epoch);

/* Retention passed: keep of those before `begin` the newest one only. */
void sk_epochs_trim(struct sk_epochs *epochs, uint64_t begin);

uint32_t sk_epochs_current(const struct sk_epochs *epochs);
bool sk_epochs_start(struct sk_epochs *epochs, uint32_t epoch, uint64_t *position);
size_t sk_epochs_copy(struct sk_epochs *epochs, struct sk_epoch_start **out);

/* The table, for the store's half of a snapshot. */
void sk_epochs_save(struct sk_epochs *epochs, struct sk_buffer *out);
/* Read it from there, as it was at `position`: what began at or above that is left to replay.
 * SK_CORRUPT: it cannot be read; the table is then empty. */
SK_CHECKED struct sk_status sk_epochs_load(struct sk_epochs *epochs, struct sk_reader *from,
                                           uint64_t position);

#endif
