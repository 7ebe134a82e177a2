/* disk.h - the verbs of the vfs with their outcome as a status, loops for short writes, and
 * the one way to replace a small file. Private to libstore. */
#ifndef SK_STORE_DISK_H
#define SK_STORE_DISK_H

#include "base/slice.h"
#include "base/status.h"
#include "store/vfs.h"

enum { SK_DISK_PATH = 4096 };

/* "dir/00000000000000004096.log" */
void sk_disk_name(char out[SK_DISK_PATH], const char *dir, uint64_t number, const char *suffix);
/* The number if `name` is 20 digits and `suffix`, else UINT64_MAX. */
uint64_t sk_disk_number(const char *name, const char *suffix);
void sk_disk_path(char out[SK_DISK_PATH], const char *dir, const char *name);

SK_CHECKED struct sk_status sk_disk_open(struct sk_vfs *vfs, const char *path, unsigned flags,
                                         int *out);
void sk_disk_close(struct sk_vfs *vfs, int fd); /* -1 is skipped */

/* All or an error; *written (may be NULL) says how far it came in either case. The parts are
 * used up. */
SK_CHECKED struct sk_status sk_disk_writev(struct sk_vfs *vfs, int fd, struct iovec *parts,
                                           int count, uint64_t at, size_t *written);
SK_CHECKED struct sk_status sk_disk_write(struct sk_vfs *vfs, int fd, const void *data, size_t len,
                                          uint64_t at);
/* Zeros over [at, end). */
SK_CHECKED struct sk_status sk_disk_zero(struct sk_vfs *vfs, int fd, uint64_t at, uint64_t end);
/* All, or SK_CORRUPT when the file ends before. */
SK_CHECKED struct sk_status sk_disk_read(struct sk_vfs *vfs, int fd, void *out, size_t len,
                                         uint64_t at);

/* Put `parts` in `path` so that a crash leaves the old content or the new, never a mix:
 * temporary file, fsync, rename, directory sync. `dir` is the directory of `path`. */
SK_CHECKED struct sk_status sk_disk_replace(struct sk_vfs *vfs, const char *dir, const char *path,
                                            struct iovec *parts, int count);

/* Make a directory unless it is there; a new one survives a power cut when this returns. */
SK_CHECKED struct sk_status sk_disk_mkdir(struct sk_vfs *vfs, const char *path, const char *parent);

/* Numbers of the files "<number><suffix>" in dir, ascending, in memory from malloc. Leftovers
 * "*.tmp" are removed when `sweep`. */
SK_CHECKED struct sk_status sk_disk_list(struct sk_vfs *vfs, const char *dir, const char *suffix,
                                         bool sweep, uint64_t **out, size_t *count);

#endif
