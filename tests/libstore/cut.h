/* cut.h - the small store that is cut: a few segments, epochs, batches and snapshots, and what its
 * state was at each place where it may end. */
#ifndef CUT_H
#define CUT_H

#include "support/memory_vfs.h"
#include "toy.h"

#define DIR "/d/store"

enum { CUT_SEGMENT = 16 * 1024, CUT_MOST = 96 };

struct cut_place { /* where a batch ends */
    uint64_t position;
    struct toy state; /* of the records below it */
    uint32_t epoch;
};

struct cut_store {
    struct memory_vfs *disk;
    struct cut_place places[CUT_MOST]; /* ascending; the last one is the tail */
    int count;
    uint64_t inside[CUT_MOST]; /* positions within batches, one each of those that have some */
    int inside_count;
};

static inline struct sk_store_options cut_options(struct toy_room *room, struct sk_vfs *vfs)
{
    struct sk_store_options o = toy_options(&room->state, DIR, vfs);
    o.segment_bytes = CUT_SEGMENT;
    return o;
}

static inline struct sk_status cut_open(struct toy_room *room, struct sk_vfs *vfs)
{
    struct sk_store_options o = cut_options(room, vfs);
    memset(room, 0, sizeof *room);
    struct sk_status s = sk_store_open(&o, NULL, &room->store);
    for (uint32_t q = 0; sk_ok(s) && q < 64; q++)
        room->next[q] = sk_store_queue(room->store, q).max;
    return s;
}

static inline struct sk_status cut_at(struct sk_vfs *vfs, uint64_t position,
                                      struct sk_truncation *out)
{
    struct toy_room unused;
    struct sk_store_options o = cut_options(&unused, vfs);
    return sk_store_truncate(&o, position, out);
}

static inline void cut_note(struct cut_store *s, struct toy_room *room)
{
    ck_assert_int_lt(s->count, CUT_MOST);
    s->places[s->count++] = (struct cut_place){.position = sk_store_tail(room->store),
                                               .state = room->state,
                                               .epoch = sk_store_epoch(room->store)};
}

/* Two records, the first of which ends within the batch. */
static inline void cut_put_two(struct cut_store *s, struct toy_room *room, uint32_t queue)
{
    static uint8_t bytes[2][300];
    struct sk_slice parts[2];
    struct sk_append a[2];
    struct sk_span spans[2];
    for (size_t i = 0; i < 2; i++) {
        uint64_t offset = room->next[queue]++;
        parts[i] = sk_slice_of(bytes[i], toy_payload(queue, offset, 300, bytes[i]));
        a[i] = (struct sk_append){.kind = 1,
                                  .queue = queue,
                                  .offset = offset,
                                  .tag_hash = (uint32_t)offset * 7,
                                  .time_ms = 1000 + room->state.records * 10,
                                  .parts = &parts[i],
                                  .part_count = 1};
    }
    ck_ok(sk_store_append(room->store, a, 2, false, spans));
    for (size_t i = 0; i < 2; i++)
        toy_apply(&room->state, &(struct sk_record){.kind = 1,
                                                    .queue = queue,
                                                    .offset = a[i].offset,
                                                    .span = spans[i],
                                                    .payload = parts[i]});
    s->inside[s->inside_count++] = spans[0].end;
    cut_note(s, room);
}

static inline void cut_begin_epoch(struct cut_store *s, struct toy_room *room, uint32_t epoch)
{
    struct sk_span span;
    ck_ok(sk_store_begin_epoch(room->store, epoch, 1000 + room->state.records * 10, &span));
    cut_note(s, room);
}

/* `stop` in an orderly way, or as a kill leaves it, with a tail that no sync covers. */
static inline struct cut_store cut_grow(bool stop)
{
    struct cut_store s = {.disk = memory_vfs_new()};
    struct toy_room room;
    ck_ok(cut_open(&room, memory_vfs_door(s.disk)));
    cut_note(&s, &room);
    for (int i = 0; i < 44; i++) {
        if (i % 15 == 3) cut_begin_epoch(&s, &room, (uint32_t)i);
        toy_put(&room, (uint32_t)(i % 3), (size_t)(i * 977 % 2100));
        cut_note(&s, &room);
        if (i % 6 == 4) cut_put_two(&s, &room, 2);
        if (i == 20 || i == 32) ck_ok(sk_store_snapshot(room.store));
    }
    struct memory_vfs *killed =
        memory_vfs_crash(s.disk, memory_vfs_ops(s.disk), MEMORY_KEEP_ALL, 0);
    sk_store_close(room.store);
    if (stop) {
        memory_vfs_free(killed);
    } else {
        memory_vfs_free(s.disk);
        s.disk = killed;
    }
    return s;
}

static inline bool cut_same(const struct toy *a, const struct toy *b)
{
    return a->records == b->records && a->sum == b->sum;
}

#endif
