/* rot.h - the small store that the rot suites damage. */
#ifndef ROT_H
#define ROT_H

#include "support/memory_vfs.h"
#include "toy.h"

#define DIR "/d/store"

static inline struct sk_status try_open(struct toy_room *room, struct memory_vfs *disk)
{
    struct sk_store_options o = toy_options(&room->state, DIR, memory_vfs_door(disk));
    memset(room, 0, sizeof *room);
    o.segment_bytes = 16 * 1024;
    struct sk_status s = sk_store_open(&o, NULL, &room->store);
    for (uint32_t q = 0; sk_ok(s) && q < 64; q++)
        room->next[q] = sk_store_queue(room->store, q).max;
    return s;
}

/* A few segments, two snapshots; `stop` in an orderly way, or as a kill leaves it. *earlier, unless
 * NULL, is a copy made when two thirds of it were there. */
static inline struct memory_vfs *small_store_and(bool stop, struct toy *state,
                                                 struct sk_span *spans, struct memory_vfs **earlier)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    ck_ok(try_open(&room, disk));
    for (int i = 0; i < 60; i++) {
        struct sk_span span;
        if (i % 25 == 4) ck_ok(sk_store_begin_epoch(room.store, (uint32_t)i, 1000, &span));
        spans[i] = toy_put(&room, (uint32_t)(i % 3), (size_t)(i * 37 % 900));
        if (i == 20) ck_ok(sk_store_snapshot(room.store));
        if (i == 40 && earlier) *earlier = memory_vfs_copy(disk);
    }
    ck_ok(sk_store_flush(room.store));
    *state = room.state;
    struct memory_vfs *killed = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_ALL, 0);
    sk_store_close(room.store);
    if (stop) {
        memory_vfs_free(killed);
        return disk;
    }
    memory_vfs_free(disk);
    return killed;
}

static inline struct memory_vfs *small_store(bool stop, struct toy *state, struct sk_span *spans)
{
    return small_store_and(stop, state, spans, NULL);
}

static inline void count_findings(void *arg, bool is_error, const char *file, uint64_t position,
                                  const char *detail)
{
    (void)is_error;
    (void)position;
    ck_assert_ptr_nonnull(strstr(file, DIR));
    ck_assert_uint_gt(strlen(detail), 0);
    ++*(int *)arg;
}

/* Does anything tell of the damage? If not, opening must find the same store. */
static inline bool is_told(struct memory_vfs *disk, int *findings)
{
    struct sk_verify_result result;
    *findings = 0;
    struct sk_status s =
        sk_store_verify(DIR, memory_vfs_door(disk), count_findings, findings, &result);
    ck_assert_msg(sk_ok(s) == (result.errors == 0), "%s", sk_status_text(&s));
    return *findings > 0;
}

#endif
