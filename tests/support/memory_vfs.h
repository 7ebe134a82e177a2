/* memory_vfs.h - a disk in memory that writes down what is done to it.
 *
 *     struct memory_vfs *disk = memory_vfs_new();
 *     ... a store on memory_vfs_door(disk) ...
 *     for (n = 0; n <= memory_vfs_ops(disk); n++)
 *         for each way of crashing:
 *             struct memory_vfs *after = memory_vfs_crash(disk, n, how, seed);
 *
 * A crash image is a new disk as the medium might look when the power goes after the first n
 * operations. What a sync covered is there; of the rest `how` decides:
 *
 *   MEMORY_KEEP_ALL      everything (a killed process, or a lucky power cut)
 *   MEMORY_KEEP_SYNCED   nothing that was not synced
 *   MEMORY_KEEP_SOME     by the seed: each 512-byte sector of each write on its own, each change
 *                        of a size on its own, and of the names of a directory the first few
 *                        changes (journals keep their order)
 *   MEMORY_TEAR_LAST     everything, but the last write only up to a sector that the seed says
 *
 * Threads: any (one lock). */
#ifndef TESTS_SUPPORT_MEMORY_VFS_H
#define TESTS_SUPPORT_MEMORY_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/vfs.h"

struct memory_vfs;

enum memory_crash {
    MEMORY_KEEP_ALL,
    MEMORY_KEEP_SYNCED,
    MEMORY_KEEP_SOME,
    MEMORY_TEAR_LAST,
};

struct memory_vfs *memory_vfs_new(void);
void memory_vfs_free(struct memory_vfs *m); /* all files must be closed */
struct sk_vfs *memory_vfs_door(struct memory_vfs *m);

/* Operations so far: changes and syncs, not reads. */
size_t memory_vfs_ops(struct memory_vfs *m);
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

#endif
