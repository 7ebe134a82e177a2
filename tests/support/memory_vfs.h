/* memory_vfs.h - a disk in memory that writes down what is done to it.
 *
 *     struct memory_vfs *disk = memory_vfs_new();
 *     ... a store on memory_vfs_door(disk) ...
 *     struct memory_vfs *after = memory_vfs_crash(disk, n, MEMORY_KEEP_SYNCED, 0);
 *     ... the store on `after`, as it was found when the power came back ...
 *
 * Cheap to copy: the bytes of a file are shared until one of the disks changes them.
 *
 * THE SYNC CONTRACT: what a disk may hold when the power comes back
 *
 * The verbs change the page cache. From there the kernel writes when it likes, and has to only when
 * told. What a disk image may be follows from six rules; each says what Linux promises (POSIX
 * promises less: that fsync makes a file's data durable, and nothing about names), and on which
 * side of it we stand where file systems differ.
 *
 *   sector   512 bytes are written whole or not at all. So the kernel's pages (4 KiB) and whole
 *            requests tear at 512, as they do on disks that promise no more.
 *   version  The page cache has one present content per page, and writes that. So each sector holds
 *            one of the contents that it had since its file was last synced, or the one it had
 *            then: never the later of two writes without the earlier. Which one, each sector
 *            decides by itself: the kernel and the disk write in any order.
 *   size     A file's size is metadata, and comes through the journal on its own: it may lag behind
 *            the data (which are then out of sight) or be ahead of them (and zeros are read: ext4
 *            and xfs show no old blocks). Changes of one file's size keep their order. A truncation
 *            that is lost takes with it what was written behind the cut since.
 *   name     open with CREATE, rename, unlink and mkdir change the directory. Each is there whole
 *            or not at all; a rename is one change of two names. The journals of ext4, xfs and
 *            btrfs keep the order of such changes, POSIX does not: we take any subset, in which a
 *            later change of a name wins. What a lost mkdir held is lost.
 *   sync     fsync and fdatasync of a file make durable what was written to it before the call
 *            began, and its size. Not its name (ext4 does so for new files; nobody has to).
 *            Writes that are made while it runs are not covered.
 *   sync_dir fsync of a directory makes durable the names in it. Not their files' data, and not
 *            the directory's own name in its parent.
 *
 * memory_cuts.h lists all images that these rules allow.
 *
 * Threads: any (one lock for each disk). */
#ifndef TESTS_SUPPORT_MEMORY_VFS_H
#define TESTS_SUPPORT_MEMORY_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/vfs.h"

struct memory_vfs;

struct memory_vfs *memory_vfs_new(void);
void memory_vfs_free(struct memory_vfs *m); /* all files must be closed; NULL is fine */
struct sk_vfs *memory_vfs_door(struct memory_vfs *m);

/* Changes and syncs so far, not reads. */
size_t memory_vfs_ops(struct memory_vfs *m);

/* One image of the disk after its first `ops` operations:
 *
 *   MEMORY_KEEP_ALL      everything (a killed process, or a lucky power cut)
 *   MEMORY_KEEP_SYNCED   nothing that was not synced
 *   MEMORY_KEEP_SOME     by the seed: any of the images that the contract allows
 *   MEMORY_TEAR_LAST     everything, but of the last write only the first few sectors (by the seed)
 *
 * Its history begins anew. */
enum memory_crash {
    MEMORY_KEEP_ALL,
    MEMORY_KEEP_SYNCED,
    MEMORY_KEEP_SOME,
    MEMORY_TEAR_LAST,
};
struct memory_vfs *memory_vfs_crash(struct memory_vfs *m, size_t ops, enum memory_crash how,
                                    uint64_t seed);

/* The bytes of a file, to be looked at or damaged; NULL: no such file. Valid until the next
 * operation on it. */
uint8_t *memory_vfs_bytes(struct memory_vfs *m, const char *path, size_t *len);
/* Names of all files, one call each. */
void memory_vfs_each(struct memory_vfs *m, void (*fn)(void *arg, const char *path), void *arg);
/* A disk with the same files and no history. */
struct memory_vfs *memory_vfs_copy(struct memory_vfs *m);
/* What is there now counts as durable, and as what crash images of later begin with. Before the
 * first operation. */
void memory_vfs_rebase(struct memory_vfs *m);
/* Write nothing down from now on: cheaper, where nobody will crash this disk. */
void memory_vfs_forget(struct memory_vfs *m);
/* Hash of all names, sizes and contents: equal for equal disks, however they came to be. */
uint64_t memory_vfs_hash(struct memory_vfs *m);

/* How much the disk holds, in bytes of all files together; more is -ENOSPC. 0, as at first: any
 * amount. */
void memory_vfs_limit(struct memory_vfs *m, uint64_t bytes);
uint64_t memory_vfs_used(struct memory_vfs *m);

/* The process dies: what it still does to the disk, on its way to closing its files, does not
 * happen, though it is told that it did. Until `dead` is false again: the next process. */
void memory_vfs_kill(struct memory_vfs *m, bool dead);

/* Called in the middle of each sync of a file: after it took what it will make durable, before it
 * is done. May use the disk, as another thread would. */
typedef void memory_vfs_sync_fn(void *arg);
void memory_vfs_on_sync(struct memory_vfs *m, memory_vfs_sync_fn *fn, void *arg);

#endif
