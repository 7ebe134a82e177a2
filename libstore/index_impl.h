/* index_impl.h - what index.c (in memory) and index_file.c (on disk) share. */
#ifndef SK_STORE_INDEX_IMPL_H
#define SK_STORE_INDEX_IMPL_H

#include <stdatomic.h>

#include "index.h"

enum {
    SK_EXTENT_LEAST = 8, /* entries; also the unit of place in an index file */
    SK_EXTENT_MOST = 1024,
    SK_QUEUE_PAGE = 1024, /* queues looked after together */
};

/* INDEX ENTRY, 16 bytes, little endian, the same in memory and on disk.
 *
 *   0  6  position of the record
 *   6  2  check: low half of the crc32c of (queue u32, offset u64, position u64, size u32, tag u32)
 *   8  4  size of the whole record in the log
 *  12  4  tag hash */
struct entry {
    uint64_t place;
    uint32_t size;
    uint32_t tag_hash;
};
_Static_assert(sizeof(struct entry) == 16, "entries are written as they lie in memory");

#define SK_POSITION_MASK (((uint64_t)1 << 48) - 1)

struct extent {
    uint64_t first;    /* offset of entry 0 */
    struct entry *hot; /* all `count` entries, or NULL when they are only in the file */
    uint32_t segment;  /* which file */
    uint32_t unit;     /* where in it, in units of SK_EXTENT_LEAST entries */
    uint16_t count, room;
    uint16_t written; /* so many are in the file */
};

struct queue {
    uint64_t next;
    struct extent *extents; /* ascending; room is the power of two at or above count */
    uint32_t count;
    uint16_t pending; /* claimed by the batch under way; the writer's */
    bool listed;      /* in index->hot */
    bool known;
};

struct index_file {
    _Atomic uint32_t refs;
    struct sk_vfs *vfs;
    uint32_t segment;
    uint32_t units; /* next free place */
    int fd;         /* -1: not made yet */
    bool dirty;     /* written since the last fsync */
};

struct ready { /* a full extent that waits to be written */
    uint32_t queue;
    uint64_t first;
};

/* A snapshot's table that is being written. */
struct sk_index_save {
    bool active;
    bool begun;         /* the table's head is written */
    uint64_t position;  /* entries from here on are no part of it */
    uint32_t queue;     /* what comes next: this one, from... */
    uint32_t extent;    /* ...this extent on */
    struct ready *held; /* full and written, but kept in memory until the end */
    uint32_t held_count, held_room;
    uint32_t *dropped; /* queues to be dropped at the end */
    uint32_t dropped_count, dropped_room;
};

struct sk_index {
    struct sk_vfs *vfs;
    char *dir;
    uint64_t store_id;
    uint64_t segment_bytes;
    bool read_only;

    struct sk_mutex lock; /* guards what follows, unless it says otherwise */
    struct queue **pages; /* by queue / SK_QUEUE_PAGE; NULL: none of them known */
    uint32_t page_count;
    struct index_file **files; /* of segments [first_segment, first_segment + file_count) */
    uint32_t first_segment;
    uint32_t file_count;
    uint32_t *hot; /* queues with entries in memory */
    uint32_t hot_count, hot_room;
    struct ready *ready;
    uint32_t ready_count, ready_room;
    struct sk_index_save save;
    _Atomic uint32_t ready_seen; /* ready_count, for a look without the lock */

    struct sk_mutex write_lock;         /* one sk_index_write at a time; before lock */
    struct entry batch[SK_EXTENT_MOST]; /* under write_lock */
    bool new_names;                     /* a file was made since the last sync_dir; write_lock */
    _Atomic bool broken;
};

/* All under index->lock. */
struct queue *sk_index_queue(sk_index *index, uint32_t queue);        /* NULL: not known */
struct queue *sk_index_make_queue(sk_index *index, uint32_t queue);   /* NULL: number too large */
struct extent *sk_index_extent(struct queue *queue, uint64_t offset); /* that holds it, or NULL */
struct index_file *sk_index_file(sk_index *index, uint32_t segment);  /* NULL: deleted */
struct index_file *sk_index_make_file(sk_index *index, uint32_t segment);
void sk_index_push_extent(struct queue *queue, struct extent extent);
/* Forget the extents of deleted segments. */
void sk_index_trim(sk_index *index, struct queue *queue);
void sk_index_forget(struct queue *queue);
void sk_index_list_ready(sk_index *index, uint32_t queue, uint64_t first);
/* Must the extent, which is in its file, stay in memory until the table is saved? */
bool sk_index_hold(sk_index *index, uint32_t queue, const struct extent *extent);
/* The queue is dropped, when the table is saved; false: now, by the caller. */
bool sk_index_drop_later(sk_index *index, uint32_t queue);
void sk_index_save_done(sk_index *index);

/* Byte in the file of the extent at `unit`. */
uint64_t sk_index_place(uint32_t unit);
void sk_index_file_unref(struct index_file *file);
/* SK_NOT_FOUND: one of those from `first_kept` on is missing or damaged. Without the lock. */
SK_CHECKED struct sk_status sk_index_open_files(sk_index *index, uint32_t first_kept);
uint64_t sk_entry_place(uint32_t queue, uint64_t offset, const struct sk_index_entry *entry);

#endif
