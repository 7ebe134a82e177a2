/* snapshot.h - the owner's state and the store's tables at one position, in one file.
 * Private to libstore. */
#ifndef SK_STORE_SNAPSHOT_H
#define SK_STORE_SNAPSHOT_H

#include "base/bytes.h"
#include "base/status.h"

struct sk_vfs;

/* `body` is the owner's bytes and then the store's: its epochs, the index' table; `begin` where the
 * log begins, as recorded. All or nothing, durable. */
SK_CHECKED struct sk_status sk_snapshot_write(struct sk_vfs *vfs, const char *dir,
                                              uint64_t store_id, uint64_t position,
                                              struct sk_slice body, uint64_t owner_bytes,
                                              uint64_t begin);
/* Appends the body to *body. SK_CORRUPT names the first bad block. */
SK_CHECKED struct sk_status sk_snapshot_read(struct sk_vfs *vfs, const char *dir, uint64_t store_id,
                                             uint64_t position, struct sk_buffer *body,
                                             uint64_t *owner_bytes, uint64_t *begin);

/* The position below which all lies that the snapshot speaks of; of its header alone. */
SK_CHECKED struct sk_status sk_snapshot_reach(struct sk_vfs *vfs, const char *dir,
                                              uint64_t store_id, uint64_t position,
                                              uint64_t *reach);

#endif
