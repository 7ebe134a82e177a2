/* vfs.h - the disk as a table of verbs. The store touches no disk elsewhere.
 *
 * Three disks stand behind it: the real one (sk_vfs_real), one that fails the
 * nth call (tests/support/faulty_vfs.h), and one in memory that writes down
 * what was done to it, so that a test can cut the power at every point
 * (tests/support/memory_vfs.h).
 *
 * Every verb returns 0 (or a count, or a descriptor) or a negative errno.
 * A write may be short. What a verb did survives a power cut only after fsync or
 * fdatasync of that file, and a name only after sync_dir of its directory.
 * Maps are for reading only: a write through a map could not be failed, counted
 * or torn by a test, and on a full disk it would be a SIGBUS.
 *
 * Threads: all verbs from any thread. */
#ifndef SK_STORE_VFS_H
#define SK_STORE_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum sk_vfs_flags {
    SK_VFS_READ = 0,        /* must exist */
    SK_VFS_WRITE = 1u << 0, /* read and write; must exist unless CREATE is given too */
    SK_VFS_CREATE = 1u << 1,
};

struct sk_vfs_stat {
    uint64_t bytes;
    bool is_dir;
};

struct sk_vfs_space { /* of the file system that holds a path */
    uint64_t total_bytes;
    uint64_t free_bytes; /* for us, without the root user's reserve */
};

/* One name in a directory, without "." and ".."; return false to stop. */
typedef bool sk_vfs_name_fn(void *arg, const char *name);

struct sk_vfs {
    int (*open)(struct sk_vfs *vfs, const char *path, unsigned flags);
    int (*close)(struct sk_vfs *vfs, int fd);
    ssize_t (*pread)(struct sk_vfs *vfs, int fd, void *out, size_t len, uint64_t at);
    ssize_t (*pwritev)(struct sk_vfs *vfs, int fd, const struct iovec *parts, int count,
                       uint64_t at);
    int (*fdatasync)(struct sk_vfs *vfs, int fd);
    int (*fsync)(struct sk_vfs *vfs, int fd);
    /* Make the file `bytes` long with its blocks reserved; new bytes read as zeros. */
    int (*allocate)(struct sk_vfs *vfs, int fd, uint64_t bytes);
    int (*truncate)(struct sk_vfs *vfs, int fd, uint64_t bytes);
    int (*rename)(struct sk_vfs *vfs, const char *from, const char *to);
    int (*unlink)(struct sk_vfs *vfs, const char *path);
    int (*mkdir)(struct sk_vfs *vfs, const char *path); /* -EEXIST if it is there */
    int (*list)(struct sk_vfs *vfs, const char *path, sk_vfs_name_fn *each, void *arg);
    int (*sync_dir)(struct sk_vfs *vfs, const char *path);
    int (*stat)(struct sk_vfs *vfs, const char *path, struct sk_vfs_stat *out);
    int (*space)(struct sk_vfs *vfs, const char *path, struct sk_vfs_space *out);
    /* The first `len` bytes, read only; later writes show in it. */
    int (*map)(struct sk_vfs *vfs, int fd, size_t len, const uint8_t **out);
    void (*unmap)(struct sk_vfs *vfs, const uint8_t *map, size_t len);
    /* Exclusive, without waiting: -EWOULDBLOCK when another opener holds it; ends with close. */
    int (*lock)(struct sk_vfs *vfs, int fd);
    /* First place at or after `from` that may hold other bytes than zero; the file's size if
     * there is none. A disk that cannot tell returns `from`. */
    int64_t (*next_data)(struct sk_vfs *vfs, int fd, uint64_t from);
    /* Give back the memory of what is clean in [from, to), to = 0: the end; it is read from the
     * medium again when it is asked for. `map` is the file's map or NULL; what another map shows
     * may stay. Advice: nothing depends on it but memory, and what is believed after a failed
     * fsync. */
    int (*drop_cache)(struct sk_vfs *vfs, int fd, const uint8_t *map, uint64_t from, uint64_t to);
    /* Let the disk begin to write [from, to). Advice: promises nothing, and an error shows in the
     * next sync. */
    int (*write_out)(struct sk_vfs *vfs, int fd, uint64_t from, uint64_t to);
};

/* The machine's own disk; lives for ever. */
struct sk_vfs *sk_vfs_real(void);

#endif
