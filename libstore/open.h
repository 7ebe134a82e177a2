/* open.h - the directory of a store: names, lock, identity. Private to libstore. */
#ifndef SK_STORE_OPEN_H
#define SK_STORE_OPEN_H

#include "header.h"
#include "store_impl.h"

void sk_store_paths_init(struct sk_store_paths *paths, const char *dir);
void sk_store_paths_done(struct sk_store_paths *paths);

/* SK_EXISTS: another process has it. *out is closed to let go. */
SK_CHECKED struct sk_status sk_store_lock_dir(struct sk_vfs *vfs,
                                              const struct sk_store_paths *paths, unsigned flags,
                                              int *out);
/* SK_NOT_FOUND: there is no store in the directory. */
SK_CHECKED struct sk_status sk_store_must_exist(const struct sk_store_options *options);

/* A store whose directory is locked and identified, its watermark read and its segments open, and a
 * cut that was under way ended; nothing has been recovered. Let go of by sk_store_leave. */
SK_CHECKED struct sk_status sk_store_enter(const struct sk_store_options *options, sk_store **out);
void sk_store_leave(sk_store *store);

SK_CHECKED struct sk_status sk_store_read_identity(struct sk_vfs *vfs,
                                                   const struct sk_store_paths *paths,
                                                   struct sk_header *out);

#endif
