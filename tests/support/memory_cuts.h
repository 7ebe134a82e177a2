/* memory_cuts.h - every disk that a power cut may leave behind.
 *
 *     struct memory_cuts *cuts = memory_cuts_new(disk, &plan);
 *     struct memory_cut cut;
 *     while (memory_cuts_next(cuts, &cut)) {
 *         if (... cut.hash was seen before ...) continue;
 *         struct memory_vfs *image = memory_cuts_image(cuts);
 *         ... recover it ...
 *         memory_vfs_free(image);
 *     }
 *     memory_cuts_free(cuts);
 *
 * After each operation of the disk's history, what was not synced is taken apart into *parts* that
 * the sync contract (memory_vfs.h) lets survive on their own:
 *
 *   a sector of a file   in one of its contents since the last sync       states 0 (synced) .. k
 *   a file's size        the first few of its changes                     states 0 .. k
 *   a change of a name   there or not                                     states 0, 1
 *
 * An image is a state for each part. Up to `all_up_to` combinations every one is told (of a part
 * with more than three states the oldest and the two newest). If there are more:
 *
 *   all parts newest; all oldest; each part alone without its last change; each alone newest;
 *   every subset of what the last operation did (every prefix if that is much); `pairs` pairs of
 *   parts without their last change, and as many newest alone; `randoms` random ones, dense,
 *   thin, and file by file.
 *
 * The same disk and plan tell the same images in the same order, so (ops, choice) names one. */
#ifndef TESTS_SUPPORT_MEMORY_CUTS_H
#define TESTS_SUPPORT_MEMORY_CUTS_H

#include "support/memory_vfs.h"

struct memory_cuts_plan {
    size_t first, last; /* cut after so many operations; last may be SIZE_MAX */
    uint64_t all_up_to;
    unsigned pairs, randoms;
    uint64_t seed;
};

struct memory_cut {
    size_t ops;      /* the power went after so many operations */
    uint64_t choice; /* number of the image at this cut */
    uint64_t hash;   /* memory_vfs_hash of the image */
    unsigned parts;  /* how many there are to choose */
};

struct memory_cuts;

/* The disk must not change meanwhile. */
struct memory_cuts *memory_cuts_new(struct memory_vfs *disk, const struct memory_cuts_plan *plan);
void memory_cuts_free(struct memory_cuts *cuts);
/* The next image; false: that was all. */
bool memory_cuts_next(struct memory_cuts *cuts, struct memory_cut *out);
/* The image that was told last, as a disk of its own with no history. */
struct memory_vfs *memory_cuts_image(struct memory_cuts *cuts);

#endif
