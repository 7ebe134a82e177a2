/* memory_inside.h - the disk in memory, as its own files see it. */
#ifndef TESTS_SUPPORT_MEMORY_INSIDE_H
#define TESTS_SUPPORT_MEMORY_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "support/memory_vfs.h"

enum { MEMORY_FDS = 256, MEMORY_SECTOR = 512 };

/* The bytes of a file; shared by disks as long as nobody changes them. Zeros from the file's end
 * up to `room`, which is a multiple of a sector. */
struct memory_blob {
    _Atomic int refs;
    bool summed;
    uint64_t sum; /* valid if summed */
    uint64_t room;
    uint8_t data[];
};

struct memory_inode {
    struct memory_blob *blob; /* NULL: no bytes were written yet */
    uint64_t bytes;
    int links, fds, maps;
    int lock_fd; /* -1: not locked */
};

struct memory_path { /* shared by disks, like blobs */
    _Atomic int refs;
    uint64_t hash;
    char text[];
};

struct memory_name {
    struct memory_path *path;
    int inode; /* -1: a directory */
};

enum memory_op_kind {
    MEMORY_MKDIR,
    MEMORY_LINK, /* a new file */
    MEMORY_RENAME,
    MEMORY_UNLINK,
    MEMORY_WRITE,
    MEMORY_RESIZE,
    MEMORY_SYNC,
    MEMORY_SYNC_DIR,
};

struct memory_op {
    enum memory_op_kind kind;
    char *path, *to;
    int inode;
    uint64_t at;  /* WRITE: where; SYNC: how many operations it covers */
    uint64_t len; /* WRITE: how much; RESIZE: the size */
    uint8_t *data;
};

struct memory_vfs {
    struct sk_vfs vfs; /* first */
    pthread_mutex_t lock;
    struct memory_inode *inodes; /* numbered alike in all images of one disk */
    int inode_count;
    struct memory_name *names;
    int name_count;
    int fds[MEMORY_FDS]; /* inode + 1; 0: free */
    struct memory_op *ops;
    size_t op_count, op_room;
    bool silent;             /* write nothing down */
    struct memory_vfs *base; /* what was there before the first op; NULL: nothing */
    bool dead;               /* changes do not happen */
    uint64_t limit;          /* 0: none */
    memory_vfs_sync_fn *on_sync;
    void *on_sync_arg;
};

static inline uint64_t memory_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline bool memory_is_name_change(const struct memory_op *op)
{
    return op->kind <= MEMORY_UNLINK;
}

/* Is `path` a name in directory `dir`? */
bool memory_is_in(const char *path, const char *dir);

void memory_unref_path(struct memory_path *path);
int memory_find(const struct memory_vfs *m, const char *path); /* -1: no such name */
void memory_add_name(struct memory_vfs *m, struct memory_path *path, int inode); /* takes path */
void memory_put_name(struct memory_vfs *m, const char *path, int inode);
void memory_drop_name(struct memory_vfs *m, int i);
/* What an operation on a name does. One whose name is missing (a part of history that was lost)
 * does what is left of it: `inode` is what a RENAME moves. */
void memory_apply_name(struct memory_vfs *m, const struct memory_op *op, int inode);

void memory_unref_blob(struct memory_blob *blob); /* NULL is fine */
/* A copy of the file's bytes, with `room` for more. */
struct memory_blob *memory_new_blob(const struct memory_inode *n, uint64_t room);
struct memory_inode *memory_new_inode(struct memory_vfs *m);
void memory_resize(struct memory_inode *n, uint64_t bytes);
/* The bytes of a file for writing, at least `room` of them; its size stays. */
uint8_t *memory_own(struct memory_inode *n, uint64_t room);
uint64_t memory_inode_sum(struct memory_inode *n);
/* Of one sector's content: 0 for zeros. */
uint64_t memory_sector_sum(uint64_t sector, const uint8_t *bytes);

#endif
