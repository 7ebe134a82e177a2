/* snapshot.h - the owner's state and the store's tables at one position, in one file.
 * Private to libstore. */
#ifndef SK_STORE_SNAPSHOT_H
#define SK_STORE_SNAPSHOT_H

#include "base/bytes.h"
#include "base/status.h"
#include "disk.h"

struct sk_vfs;

/* A snapshot that is being written, piece by piece, in a temporary file: the owner's bytes, and
 * then the store's. */
struct sk_snapshot_writer {
    struct sk_vfs *vfs;
    const char *dir;
    uint64_t position;
    char path[SK_DISK_PATH], tmp[SK_DISK_PATH + 4];
    int fd;
    uint64_t bytes;        /* of the body, so far */
    uint64_t written_out;  /* of the file, told to the disk */
    uint32_t sum;          /* of its last block, so far */
    struct sk_buffer sums; /* of the blocks before */
};

SK_CHECKED struct sk_status sk_snapshot_begin(struct sk_snapshot_writer *w, struct sk_vfs *vfs,
                                              const char *dir, uint64_t position);
/* The next bytes of the body. */
SK_CHECKED struct sk_status sk_snapshot_put(struct sk_snapshot_writer *w, struct sk_slice bytes);
/* All or nothing: durable, under its name, when this returns. `owner_bytes`: of the body, the
 * first; `begin`: where the log begins, as recorded at the snapshot's position. */
SK_CHECKED struct sk_status sk_snapshot_finish(struct sk_snapshot_writer *w, uint64_t store_id,
                                               uint64_t owner_bytes, uint64_t begin);
/* Instead of finish, which does it itself when it fails, as begin does. */
void sk_snapshot_abandon(struct sk_snapshot_writer *w);

/* Appends the body to *body. SK_CORRUPT names the first bad block. */
SK_CHECKED struct sk_status sk_snapshot_read(struct sk_vfs *vfs, const char *dir, uint64_t store_id,
                                             uint64_t position, struct sk_buffer *body,
                                             uint64_t *owner_bytes, uint64_t *begin);

/* The position below which all lies that the snapshot speaks of; of its header alone. */
SK_CHECKED struct sk_status sk_snapshot_reach(struct sk_vfs *vfs, const char *dir,
                                              uint64_t store_id, uint64_t position,
                                              uint64_t *reach);

#endif
