/* test_move.c - live bodies in old segments are appended anew, and the places that point at them
 * follow: through moves, snapshots, retention, and a crash at every step of all that.
 *
 * The owner keeps a few bodies for ever. A BODY record is the bytes; a PLACE record after it in the
 * same batch says whose they are. So the fold learns where a body lies from the span of its record,
 * whether it is new or was moved, and a batch leaves both or none. */
#include <stdio.h>
#include <stdlib.h>

#include "support/memory_vfs.h"
#include "support/suite.h"
#include "toy.h"

#define DIR "/d/store"

enum { SEGMENT = 16 * 1024, IDS = 12, BODY_BYTES = 700, BODY = 1, PLACE = 2, FILLER = 3 };

struct keeper {
    uint64_t places[IDS]; /* of the bodies; 0: none */
    uint64_t last_body;   /* of the batch under way */
    uint64_t moves;
    sk_store *store;
};

static struct memory_vfs *disk;
static struct keeper keeper;
static struct sk_store_options options;

/* --- the owner -------------------------------------------------------------------------------- */

static struct sk_status on_apply(void *owner, const struct sk_record *r)
{
    struct keeper *k = owner;
    if (r->kind == BODY) k->last_body = r->span.begin;
    if (r->kind != PLACE) return SK_SUCCESS;
    uint8_t id = r->payload.data[0];
    k->moves += k->places[id] != 0;
    k->places[id] = k->last_body;
    return SK_SUCCESS;
}

static struct sk_status on_load(void *owner, struct sk_slice snapshot)
{
    struct keeper *k = owner;
    ck_assert_uint_eq(snapshot.len, sizeof k->places);
    memcpy(k->places, snapshot.data, sizeof k->places);
    return SK_SUCCESS;
}

/* The places as they were when the snapshot began; one page. */
static uint64_t frozen[IDS];

static void on_save_begin(void *owner)
{
    memcpy(frozen, ((struct keeper *)owner)->places, sizeof frozen);
}

static bool on_save_page(void *owner, struct sk_buffer *out, size_t most)
{
    (void)owner, (void)most;
    sk_buffer_put(out, frozen, sizeof frozen);
    return false;
}

static uint64_t oldest(void *owner)
{
    const struct keeper *k = owner;
    uint64_t least = UINT64_MAX;
    for (int id = 0; id < IDS; id++)
        if (k->places[id] && k->places[id] < least) least = k->places[id];
    return least;
}

static void start(struct memory_vfs *on)
{
    options = (struct sk_store_options){
        .dir = DIR,
        .segment_bytes = SEGMENT,
        .retention_bytes = SEGMENT,
        .disk_refuse_percent = 100,
        .disk_clean_percent = 100,
        .vfs = memory_vfs_door(on),
        .fold = {.load = on_load,
                 .apply = on_apply,
                 .save_begin = on_save_begin,
                 .save_page = on_save_page,
                 .owner = &keeper},
        .needs = oldest,
        .manual = true,
    };
    keeper = (struct keeper){.store = NULL};
    ck_ok(sk_store_open(&options, NULL, &keeper.store));
}

/* Append, and fold what is the owner's as recovery will. */
static void append(const struct sk_append *batch, size_t count)
{
    struct sk_span spans[2];
    ck_ok(sk_store_append(keeper.store, batch, count, false, spans));
    for (size_t i = 0; i < count; i++)
        ck_ok(on_apply(&keeper, &(struct sk_record){.kind = batch[i].kind,
                                                    .span = spans[i],
                                                    .payload = batch[i].parts[0]}));
    sk_store_publish(keeper.store);
}

static void place_body(uint8_t id, struct sk_slice body)
{
    struct sk_slice who = sk_slice_of(&id, 1);
    struct sk_append batch[2] = {
        {.kind = BODY, .queue = SK_NO_QUEUE, .time_ms = 1, .parts = &body, .part_count = 1},
        {.kind = PLACE, .queue = SK_NO_QUEUE, .time_ms = 1, .parts = &who, .part_count = 1},
    };
    append(batch, 2);
}

static void add(uint8_t id)
{
    uint8_t body[BODY_BYTES];
    place_body(id, sk_slice_of(body, toy_payload(id, 0, sizeof body, body)));
}

/* Forward, out of the segments that are to go. */
static void move(uint8_t id)
{
    struct sk_pinned pinned;
    ck_ok(sk_store_read(keeper.store, keeper.places[id], &pinned));
    place_body(id, pinned.record.payload);
    sk_unpin(pinned.pin);
}

static void fill(uint64_t bytes)
{
    static const uint8_t zeros[1500];
    struct sk_slice part = sk_slice_of(zeros, sizeof zeros);
    struct sk_append a = {
        .kind = FILLER, .queue = SK_NO_QUEUE, .time_ms = 1, .parts = &part, .part_count = 1};
    uint64_t end = sk_store_tail(keeper.store) + bytes;
    while (sk_store_tail(keeper.store) < end) append(&a, 1);
}

/* --- checking --------------------------------------------------------------------------------- */

static int check_bodies(void)
{
    uint8_t want[BODY_BYTES];
    int found = 0;
    for (uint32_t id = 0; id < IDS; id++) {
        if (!keeper.places[id]) continue;
        struct sk_pinned pinned;
        ck_assert_uint_ge(keeper.places[id], sk_store_begin(keeper.store));
        ck_ok(sk_store_read(keeper.store, keeper.places[id], &pinned));
        toy_payload(id, 0, sizeof want, want);
        ck_assert_uint_eq(pinned.record.payload.len, sizeof want);
        ck_assert_mem_eq(pinned.record.payload.data, want, sizeof want);
        sk_unpin(pinned.pin);
        found++;
    }
    return found;
}

/* Everything a keeper does to get rid of its oldest segment. */
static void step_forward(void)
{
    uint64_t begin = sk_store_begin(keeper.store);
    uint64_t end = begin - begin % SEGMENT + SEGMENT;
    for (uint8_t id = 0; id < IDS; id++)
        if (keeper.places[id] && keeper.places[id] < end) move(id);
    fill(SEGMENT);
    ck_ok(sk_store_snapshot(keeper.store));
    fill(2000);
    ck_ok(sk_store_snapshot(keeper.store));
    sk_store_retain(keeper.store);
}

START_TEST(places_follow_bodies_that_were_moved)
{
    disk = memory_vfs_new();
    start(disk);
    for (uint8_t id = 0; id < IDS; id++) {
        add(id);
        fill(1500);
    }
    for (int step = 0; step < 6; step++) {
        uint64_t begin = sk_store_begin(keeper.store);
        step_forward();
        ck_assert_uint_gt(sk_store_begin(keeper.store), begin);
        ck_assert_int_eq(check_bodies(), IDS);
    }
    ck_assert_uint_gt(keeper.moves, IDS);
    uint64_t places[IDS];
    memcpy(places, keeper.places, sizeof places);
    sk_store_close(keeper.store);
    start(disk);
    ck_assert_mem_eq(places, keeper.places, sizeof places);
    ck_assert_int_eq(check_bodies(), IDS);
    sk_store_close(keeper.store);
    memory_vfs_free(disk);
}
END_TEST

/* What a crash left: all bodies that were durable, each whole in its place; and it goes on. */
static void check_image(struct memory_vfs *image, int least)
{
    memory_vfs_forget(image);
    start(image);
    ck_assert_int_ge(check_bodies(), least);
    step_forward();
    check_bodies();
    sk_store_close(keeper.store);
    memory_vfs_free(image);
}

START_TEST(a_crash_at_every_step_loses_none)
{
    struct { /* from so many operations on, so many bodies are durable */
        size_t ops;
        int bodies;
    } promised[8];
    size_t count = 0;
    disk = memory_vfs_new();
    start(disk);
    for (uint8_t id = 0; id < IDS; id++) {
        add(id);
        fill(1500);
        if (id % 4 != 3) continue;
        ck_ok(sk_store_flush(keeper.store));
        promised[count].ops = memory_vfs_ops(disk);
        promised[count++].bodies = id + 1;
    }
    for (int step = 0; step < 3; step++) step_forward();
    ck_assert_int_eq(check_bodies(), IDS);
    ck_assert_uint_gt(sk_store_begin(keeper.store), SEGMENT);
    size_t ops = memory_vfs_ops(disk);
    sk_store_close(keeper.store);

    for (size_t n = 0; n <= ops; n++) {
        int least = 0;
        for (size_t i = 0; i < count && promised[i].ops <= n; i++) least = promised[i].bodies;
        check_image(memory_vfs_crash(disk, n, MEMORY_KEEP_SYNCED, 0), least);
        check_image(memory_vfs_crash(disk, n, MEMORY_KEEP_ALL, 0), least);
        for (uint64_t seed = 0; seed < 3; seed++)
            check_image(memory_vfs_crash(disk, n, MEMORY_KEEP_SOME, seed), least);
    }
    memory_vfs_free(disk);
}
END_TEST

static Suite *move_suite(void)
{
    Suite *suite = suite_create("libstore/move");
    TCase *tc = tcase_create("move");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, places_follow_bodies_that_were_moved);
    tcase_add_test(tc, a_crash_at_every_step_loses_none);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(move_suite)
