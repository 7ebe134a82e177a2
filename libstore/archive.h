/* archive.h - what cuts took away, kept for people in <dir>/cut. Private to libstore. */
#ifndef SK_STORE_ARCHIVE_H
#define SK_STORE_ARCHIVE_H

#include "commitlog.h"

enum { SK_ARCHIVE_FILES = 16 };
#define SK_ARCHIVE_BYTES ((uint64_t)1 << 30)

/* Copy the log's bytes [from, to), as they lie, to "<dir>/<epoch>-<from>.log"; durable with its
 * name when this returns OK. `dir` is made in `parent` if it is not there. */
SK_CHECKED struct sk_status sk_archive(struct sk_commitlog *log, const char *parent,
                                       const char *dir, uint32_t epoch, uint64_t from, uint64_t to);

/* Remove the oldest until no more than the limits are left; the one that was just written (its
 * `epoch` and `from`) stays. What cannot be removed stays, too. */
void sk_archive_prune(struct sk_vfs *vfs, const char *dir, uint32_t epoch, uint64_t from);

#endif
