/* test_recover.c - cut the power after each operation of one scripted workload, in four ways, and
 * look at what is left (powercut.c does so with many random ones, in every way):
 *
 *   1. every record that was durable before the cut is there, byte for byte;
 *   2. nothing is there that was not submitted, and batches are whole;
 *   3. the queue index finds every record, and no other;
 *   4. a cut during recovery, or recovery of what recovery left, ends in the same state. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store_impl.h"
#include "support/memory_vfs.h"
#include "support/suite.h"
#include "toy.h"

#define DIR "/d/store"

enum { MOST = 4096 };

/* The workload as it was: the state after each record, and what was promised when. */
static struct {
    struct toy after[MOST]; /* after[k]: the state after k records */
    bool whole[MOST];       /* k records end a batch */
    uint64_t count;
    struct {
        size_t ops;
        uint64_t records;
    } promise[MOST], submitted[MOST];
    size_t promises, submissions;
} past;

static void remember(struct toy_room *room, struct memory_vfs *disk, bool whole)
{
    past.count = room->state.records;
    ck_assert_uint_lt(past.count, MOST);
    past.after[past.count] = room->state;
    past.whole[past.count] = whole;
    (void)disk;
}

/* Before an append: these many may be there from the next operation on. */
static void submit(struct memory_vfs *disk, uint64_t records)
{
    past.submitted[past.submissions].ops = memory_vfs_ops(disk);
    past.submitted[past.submissions++].records = records;
}

static void promise(struct memory_vfs *disk, uint64_t records)
{
    past.promise[past.promises].ops = memory_vfs_ops(disk);
    past.promise[past.promises++].records = records;
}

static void put_one(struct toy_room *room, struct memory_vfs *disk, uint32_t queue, size_t len)
{
    submit(disk, room->state.records + 1);
    toy_put(room, queue, len);
    remember(room, disk, true);
}

/* A batch of three for one queue, folded one by one. */
static void put_batch(struct toy_room *room, struct memory_vfs *disk, uint32_t queue, size_t len)
{
    static uint8_t bytes[3][4096];
    struct sk_slice parts[3];
    struct sk_append a[3];
    struct sk_span spans[3];
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t offset = room->next[queue] + i;
        parts[i] = sk_slice_of(bytes[i], toy_payload(queue, offset, len, bytes[i]));
        a[i] = (struct sk_append){.kind = 1,
                                  .queue = queue,
                                  .offset = offset,
                                  .tag_hash = (uint32_t)offset * 7,
                                  .time_ms = 1,
                                  .parts = &parts[i],
                                  .part_count = 1};
    }
    submit(disk, room->state.records + 3);
    ck_ok(sk_store_append(room->store, a, 3, false, spans));
    for (uint32_t i = 0; i < 3; i++) {
        toy_apply(&room->state, &(struct sk_record){.kind = 1,
                                                    .queue = queue,
                                                    .offset = a[i].offset,
                                                    .span = spans[i],
                                                    .payload = parts[i]});
        remember(room, disk, i == 2);
    }
    room->next[queue] += 3;
}

static struct sk_recovery open_small(struct toy_room *room, struct memory_vfs *disk)
{
    struct sk_store_options o = toy_options(&room->state, DIR, memory_vfs_door(disk));
    struct sk_recovery r;
    o.segment_bytes = 16 * 1024;
    o.retention_bytes = 24 * 1024;
    room->state = (struct toy){0};
    ck_ok(sk_store_open(&o, &r, &room->store));
    for (uint32_t q = 0; q < 64; q++) room->next[q] = sk_store_queue(room->store, q).max;
    return r;
}

/* Appends, batches, flushes, rolls, snapshots, retention, a stop and a new start. */
static struct memory_vfs *work(void)
{
    memset(&past, 0, sizeof past);
    past.whole[0] = true;
    struct memory_vfs *disk = memory_vfs_new();
    for (int life = 0; life < 2; life++) {
        struct toy_room room;
        open_small(&room, disk);
        for (int i = 0; i < 45; i++) {
            if (i % 5 == 4)
                put_batch(&room, disk, (uint32_t)(i % 3), (size_t)(i * 29 % 900));
            else
                put_one(&room, disk, i % 7 ? (uint32_t)(i % 3) : SK_NO_QUEUE,
                        (size_t)(i * 37 % 1500));
            if (i % 4 == 3) {
                ck_ok(sk_store_flush(room.store));
                promise(disk, room.state.records);
            }
            if (i % 15 == 10) {
                ck_ok(sk_store_snapshot(room.store));
                promise(disk, room.state.records);
            }
            if (i % 15 == 14) sk_store_retain(room.store);
        }
        sk_store_close(room.store);
        promise(disk, room.state.records);
    }
    return disk;
}

static uint64_t promised_at(size_t ops)
{
    uint64_t records = 0;
    for (size_t i = 0; i < past.promises && past.promise[i].ops <= ops; i++)
        records = past.promise[i].records;
    return records;
}

static uint64_t submitted_at(size_t ops)
{
    uint64_t records = 0;
    for (size_t i = 0; i < past.submissions && past.submitted[i].ops < ops; i++)
        records = past.submitted[i].records;
    return records;
}

static void check_state(const struct toy *t, size_t ops, const char *what)
{
    ck_assert_msg(t->records >= promised_at(ops),
                  "%s after %zu ops: %" PRIu64 " of %" PRIu64 " promised records", what, ops,
                  t->records, promised_at(ops));
    ck_assert_msg(t->records <= submitted_at(ops),
                  "%s after %zu ops: %" PRIu64 " records, but only %" PRIu64 " were submitted",
                  what, ops, t->records, submitted_at(ops));
    ck_assert_msg(past.whole[t->records], "%s after %zu ops: half a batch", what, ops);
    ck_assert_msg(memcmp(t, &past.after[t->records], sizeof *t) == 0,
                  "%s after %zu ops: the state after %" PRIu64 " records differs", what, ops,
                  t->records);
}

/* Open an image, compare, and open again what this opening left, also cut off in the middle. */
static void check_image(struct memory_vfs *image, size_t ops, const char *what, bool deeper)
{
    struct toy_room room;
    open_small(&room, image);
    check_state(&room.state, ops, what);
    toy_check_queues(&room);
    struct toy first = room.state;
    size_t steps = memory_vfs_ops(image);
    for (size_t n = 0; deeper && n <= steps; n += 1 + steps / 8) {
        static const enum memory_crash hows[] = {MEMORY_KEEP_ALL, MEMORY_KEEP_SYNCED,
                                                 MEMORY_KEEP_SOME};
        for (int h = 0; h < 3; h++) {
            struct memory_vfs *again = memory_vfs_crash(image, n, hows[h], n + ops);
            struct toy_room second;
            open_small(&second, again);
            ck_assert_msg(memcmp(&first, &second.state, sizeof first) == 0,
                          "%s after %zu ops, and %zu of recovery: another state", what, ops, n);
            toy_check_queues(&second);
            sk_store_close(second.store);
            memory_vfs_free(again);
        }
    }
    /* Life goes on. */
    toy_put(&room, 1, 333);
    toy_check_queues(&room);
    sk_store_close(room.store);
    struct sk_recovery r = open_small(&room, image);
    ck_assert_msg(r.clean, "%s after %zu ops: an orderly stop, but tail %" PRIu64 " begin %" PRIu64,
                  what, ops, r.tail, r.begin);
    ck_assert_uint_eq(room.state.records, first.records + 1);
    sk_store_close(room.store);
}

static const struct {
    const char *name;
    enum memory_crash how;
    int seeds;
} ways[] = {
    {"all kept", MEMORY_KEEP_ALL, 1},
    {"only synced kept", MEMORY_KEEP_SYNCED, 1},
    {"last write torn", MEMORY_TEAR_LAST, 1},
    {"some kept", MEMORY_KEEP_SOME, 2},
};

START_TEST(power_cuts_at_every_operation_lose_nothing_and_invent_nothing)
{
    struct memory_vfs *disk = work();
    size_t images = 0, ops = memory_vfs_ops(disk);
    ck_assert_uint_gt(ops, 200);
    for (size_t n = 0; n <= ops; n++) {
        for (int seed = 0; seed < ways[_i].seeds; seed++, images++) {
            struct memory_vfs *image =
                memory_vfs_crash(disk, n, ways[_i].how, (uint64_t)seed * 1000003 + n);
            check_image(image, n, ways[_i].name, seed == 0 && n % 5 == 0);
            memory_vfs_free(image);
        }
    }
    memory_vfs_free(disk);
    printf("%s: %zu operations, %zu images\n", ways[_i].name, ops, images);
}
END_TEST

/* A lies durable; B tore, C behind it is whole: both are cut. Then another B of the same size is
 * written, and the power goes again: C must not come back behind it. */
START_TEST(what_was_cut_does_not_come_back)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    size_t len;
    open_small(&room, disk);
    toy_put(&room, 1, 300);
    ck_ok(sk_store_flush(room.store));
    struct sk_span torn = toy_put(&room, 1, 300);
    toy_put(&room, 1, 300);
    struct memory_vfs *image = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_ALL, 0);
    memory_vfs_bytes(image, DIR "/log/00000000000000000000.log", &len)[torn.begin + 100] ^= 1;
    sk_store_close(room.store);
    memory_vfs_free(disk);
    disk = memory_vfs_copy(image);
    memory_vfs_free(image);
    memory_vfs_rebase(disk);

    struct sk_recovery r = open_small(&room, disk);
    ck_assert_uint_gt(r.cut_bytes, 600);
    ck_assert_uint_eq(room.state.records, 1);
    ck_assert_uint_eq(toy_put(&room, 1, 300).begin, torn.begin);
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct toy_room second;
        image = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_SOME, seed);
        open_small(&second, image);
        ck_assert_uint_le(second.state.records, 2);
        toy_check_queues(&second);
        sk_store_close(second.store);
        memory_vfs_free(image);
    }
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

static void hear(void *arg, bool is_error, const char *file, uint64_t position, const char *detail)
{
    (void)file;
    (void)position;
    if (is_error) snprintf(arg, 512, "%s", detail);
}

/* Two records, the second of which says that it is the tenth of its queue, with a good checksum. */
static struct memory_vfs *out_of_order(bool with_snapshot)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room = {.store = NULL};
    open_small(&room, disk);
    toy_put(&room, 3, 100);
    if (with_snapshot) ck_ok(sk_store_snapshot(room.store));
    struct sk_slice payload = sk_slice_of_text("from nowhere");
    struct sk_append a = {
        .kind = 1, .queue = 3, .offset = 9, .time_ms = 1, .parts = &payload, .part_count = 1};
    struct sk_span span;
    ck_ok(sk_commitlog_append(&room.store->log, &a, 1, &span));
    struct memory_vfs *killed = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_ALL, 0);
    sk_store_close(room.store);
    memory_vfs_free(disk);
    return killed;
}

START_TEST(verify_names_a_record_that_a_start_would_refuse)
{
    struct memory_vfs *disk = out_of_order(_i);
    char said[512] = "";
    ck_assert_int_eq(sk_store_verify(DIR, memory_vfs_door(disk), hear, said, NULL).code,
                     SK_CORRUPT);
    ck_assert_msg(strstr(said, "queue 3: offset 9 does not follow") != NULL, "%s", said);

    struct toy_room room = {.store = NULL};
    struct sk_store_options o = toy_options(&room.state, DIR, memory_vfs_door(disk));
    o.segment_bytes = 16 * 1024;
    struct sk_status s = sk_store_open(&o, NULL, &room.store);
    ck_assert_int_eq(s.code, SK_CORRUPT);
    ck_assert_msg(strstr(s.detail, "queue 3: offset 9") != NULL, "%s", s.detail);
    memory_vfs_free(disk);
}
END_TEST

static Suite *recover_suite(void)
{
    Suite *suite = suite_create("libstore/recover");
    TCase *tc = tcase_create("power");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, power_cuts_at_every_operation_lose_nothing_and_invent_nothing, 0,
                        ROWS(ways));
    tcase_add_test(tc, what_was_cut_does_not_come_back);
    tcase_add_loop_test(tc, verify_names_a_record_that_a_start_would_refuse, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(recover_suite)
