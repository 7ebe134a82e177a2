/* memory_parts.h - what is not synced at a cut, taken apart (memory_cuts.c) to be put together in
 * all ways (memory_image.c). */
#ifndef TESTS_SUPPORT_MEMORY_PARTS_H
#define TESTS_SUPPORT_MEMORY_PARTS_H

#include "support/memory_cuts.h"
#include "support/memory_inside.h"

#define MEMORY_NO_PART UINT32_MAX

struct memory_part {
    uint32_t states, state; /* 0 is what is durable */
    uint32_t file;          /* in files[]; MEMORY_NO_PART: a name */
    bool newest;            /* the last operation added a state */
};

struct memory_event { /* one pending change of a file's bytes or size */
    size_t op;
    uint32_t size_index; /* this is the file's nth change of size; 0: it does not change it */
    bool shrinks;
    size_t tags; /* WRITE: where in tags[] the states stand that it gives its sectors */
};

struct memory_file { /* with pending changes */
    int inode;
    size_t first_event, event_count;
    uint32_t size_part;  /* or MEMORY_NO_PART */
    size_t sector_parts; /* where in tags[] the part of each sector stands */
    uint64_t sectors, final_bytes;
    bool shrinks;
    uint64_t durable_sum;
    /* The file as the present states make it. */
    bool made;
    uint64_t made_for; /* hash of these states */
    uint8_t *bytes;
    uint64_t size, sum;
};

struct memory_cuts {
    struct memory_vfs *disk, *durable;
    struct memory_cuts_plan plan;
    size_t at; /* operations done */
    size_t *pending, pending_count, pending_room;
    struct memory_part *parts;
    uint32_t part_count, part_room;
    uint32_t name_parts; /* the first of parts[], in the order of pending name changes */
    struct memory_event *events;
    size_t event_count, event_room;
    struct memory_file *files;
    uint32_t file_count, file_room;
    uint32_t *tags;
    size_t tag_count, tag_room;
    uint64_t unchanged_sum;   /* of the names of files without pending changes */
    uint64_t choice, choices; /* the next one, and how many there are here */
    bool all;
};

/* The hash of the image that the present states make. */
uint64_t memory_cuts_hash(struct memory_cuts *cuts);

/* Where the sector of byte `from` ends, or the write that ends at `end`. */
static inline uint64_t memory_piece(uint64_t from, uint64_t end)
{
    uint64_t to = (from / MEMORY_SECTOR + 1) * MEMORY_SECTOR;
    return to < end ? to : end;
}

static inline uint64_t memory_name_sum(const struct memory_name *name, uint64_t content)
{
    return memory_mix(name->path->hash ^ memory_mix(content));
}

#endif
