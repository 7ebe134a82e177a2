/* test_retain.c - old segments go by age, by size and when the disk fills; never what a fallback
 * to the older snapshot would need, and never under a reader's hands. */
#include <stdio.h>
#include <stdlib.h>

#include "support/faulty_vfs.h"
#include "support/memory_vfs.h"
#include "support/suite.h"
#include "toy.h"

#define DIR "/d/store"

enum { SEGMENT = 16 * 1024 };

static struct {
    struct sk_clock clock; /* first */
    uint64_t ms;
} hands;

static uint64_t hands_mono_us(const struct sk_clock *c)
{
    (void)c;
    return hands.ms * 1000;
}

static uint64_t hands_wall_ms(const struct sk_clock *c)
{
    (void)c;
    return hands.ms;
}

static struct memory_vfs *disk;
static struct faulty_vfs faulty;
static struct toy_room room;
static struct sk_store_options options;

static void setup(void)
{
    disk = memory_vfs_new();
    faulty = faulty_vfs_over(memory_vfs_door(disk));
    hands.clock = (struct sk_clock){hands_mono_us, hands_wall_ms};
    hands.ms = 1000;
    memset(&room, 0, sizeof room);
    options = toy_options(&room.state, DIR, &faulty.vfs);
    options.segment_bytes = SEGMENT;
    options.clock = &hands.clock;
}

static void teardown(void)
{
    sk_store_close(room.store);
    memory_vfs_free(disk);
}

/* Ten segments of records; record i was stored at 1000 + 10 i. */
static void fill(void)
{
    while (sk_store_tail(room.store) < 10 * SEGMENT) toy_put(&room, 3, 500);
}

static void snapshot_twice(void)
{
    ck_ok(sk_store_snapshot(room.store));
    toy_put(&room, 3, 10);
    ck_ok(sk_store_snapshot(room.store));
}

static size_t names_in(const char *dir)
{
    size_t count = 0, n;
    for (uint64_t base = 0; base < 20; base++) {
        char path[64];
        snprintf(path, sizeof path, DIR "/%s/%020llu.%s", dir, (unsigned long long)base * SEGMENT,
                 dir[0] == 'l' ? "log" : "idx");
        count += memory_vfs_bytes(disk, path, &n) != NULL;
    }
    return count;
}

START_TEST(nothing_goes_without_a_reason_or_a_snapshot)
{
    ck_ok(sk_store_open(&options, NULL, &room.store));
    fill();
    snapshot_twice();
    ck_assert_uint_eq(sk_store_retain(room.store), 0);
    sk_store_close(room.store);

    options.retention_bytes = SEGMENT;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    ck_assert_uint_gt(sk_store_retain(room.store), 0);
    ck_assert_uint_eq(sk_store_begin(room.store) % SEGMENT, 4096);
}
END_TEST

START_TEST(the_older_snapshot_keeps_its_log)
{
    options.retention_bytes = SEGMENT;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    fill();
    ck_assert_uint_eq(sk_store_retain(room.store), 0);
    ck_ok(sk_store_snapshot(room.store));
    ck_assert_uint_eq(sk_store_retain(room.store), 0); /* there is no older one yet */
    uint64_t first = sk_store_stats(room.store).snapshot_position;
    while (sk_store_tail(room.store) < 15 * SEGMENT) toy_put(&room, 3, 500);
    ck_ok(sk_store_snapshot(room.store));
    ck_assert_uint_gt(sk_store_retain(room.store), 0);
    ck_assert_uint_le(sk_store_begin(room.store), first);
    ck_assert_uint_gt(sk_store_begin(room.store), first - SEGMENT);
}
END_TEST

START_TEST(age_is_that_of_the_youngest_record)
{
    options.retention_ms = 1000;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    fill();
    snapshot_twice();
    struct sk_pinned second;
    ck_ok(sk_store_read(room.store, SEGMENT + 4096, &second));
    uint64_t bound = second.record.time_ms;
    sk_unpin(second.pin);
    hands.ms = bound + 999;
    ck_assert_uint_eq(sk_store_retain(room.store), 0);
    hands.ms = bound + 1000;
    ck_assert_uint_eq(sk_store_retain(room.store), 1);
    hands.ms = bound * 1000;
    sk_store_retain(room.store);
    ck_assert_uint_gt(sk_store_begin(room.store), 8 * SEGMENT);
    ck_assert_uint_le(sk_store_begin(room.store), sk_store_tail(room.store));
}
END_TEST

START_TEST(a_filling_disk_takes_the_oldest_whatever_their_age)
{
    options.disk_clean_percent = 90;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    fill();
    snapshot_twice();
    faulty.full_percent = 90;
    ck_assert_uint_eq(sk_store_retain(room.store), 0);
    faulty.full_percent = 91;
    ck_assert_uint_ge(sk_store_retain(room.store), 8); /* the fake disk never gets emptier */
    toy_put(&room, 3, 10);                             /* the active segment stays */
    toy_check_queues(&room);
}
END_TEST

START_TEST(what_is_left_is_consistent_also_after_a_restart)
{
    struct sk_index_entry e;
    struct sk_pinned held;
    options.retention_bytes = 3 * SEGMENT;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    toy_put(&room, 9, 100); /* a quiet queue, all of it in the first segment */
    fill();
    snapshot_twice();
    ck_assert_uint_eq(sk_store_lookup(room.store, 3, 0, 1, &e), 1);
    ck_ok(sk_store_read(room.store, e.position, &held));
    uint32_t sum = sk_crc32c(0, held.record.payload.data, held.record.payload.len);

    size_t gone = sk_store_retain(room.store);
    ck_assert_uint_ge(gone, 5);
    ck_assert_uint_eq(names_in("log"), sk_store_stats(room.store).segments);
    ck_assert_uint_eq(sum, sk_crc32c(0, held.record.payload.data, held.record.payload.len));
    sk_unpin(held.pin);
    for (int life = 0; life < 3; life++) {
        struct sk_queue_range range = sk_store_queue(room.store, 3);
        ck_assert_uint_gt(range.min, 100);
        ck_assert_uint_eq(sk_store_lookup(room.store, 3, range.min - 1, 1, &e), 0);
        ck_assert_uint_eq(sk_store_lookup(room.store, 3, range.min, 1, &e), 1);
        ck_assert_uint_ge(e.position, sk_store_begin(room.store));
        struct sk_pinned p;
        ck_assert_int_eq(sk_store_read(room.store, 4096, &p).code, SK_NOT_FOUND);
        range = sk_store_queue(room.store, 9);
        ck_assert_uint_eq(range.min, 1); /* its offsets do not begin again */
        ck_assert_uint_eq(range.max, 1);
        toy_check_queues(&room);
        struct toy state = room.state;
        if (life == 1) { /* without its files the index is made again from the log */
            struct sk_vfs *vfs = memory_vfs_door(disk);
            sk_store_close(room.store);
            for (uint64_t b = 0; b < 20; b++) {
                char path[64];
                snprintf(path, sizeof path, DIR "/index/%020llu.idx",
                         (unsigned long long)b * SEGMENT);
                vfs->unlink(vfs, path);
            }
        } else {
            sk_store_close(room.store);
        }
        room.state = (struct toy){0};
        ck_ok(sk_store_open(&options, NULL, &room.store));
        ck_assert_mem_eq(&state, &room.state, sizeof state);
    }
    ck_assert_uint_eq(sk_store_verify(DIR, &faulty.vfs, NULL, NULL, NULL).code, SK_EXISTS);
}
END_TEST

START_TEST(a_log_without_its_beginning_needs_a_snapshot)
{
    options.retention_bytes = 3 * SEGMENT;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    fill();
    snapshot_twice();
    ck_assert_uint_gt(sk_store_retain(room.store), 0);
    sk_store_close(room.store);
    room.store = NULL;
    struct sk_vfs *vfs = memory_vfs_door(disk);
    for (uint64_t p = 0; p < 12 * SEGMENT; p += 8) {
        char path[64];
        snprintf(path, sizeof path, DIR "/snapshot/%020llu.snap", (unsigned long long)p);
        vfs->unlink(vfs, path);
    }
    struct sk_status s = sk_store_open(&options, NULL, &room.store);
    ck_assert_int_eq(s.code, SK_CORRUPT);
    ck_assert_msg(strstr(s.detail, "no valid snapshot") != NULL, "%s", s.detail);
}
END_TEST

static Suite *retain_suite(void)
{
    Suite *suite = suite_create("libstore/retain");
    TCase *tc = tcase_create("retention");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, nothing_goes_without_a_reason_or_a_snapshot);
    tcase_add_test(tc, the_older_snapshot_keeps_its_log);
    tcase_add_test(tc, age_is_that_of_the_youngest_record);
    tcase_add_test(tc, a_filling_disk_takes_the_oldest_whatever_their_age);
    tcase_add_test(tc, what_is_left_is_consistent_also_after_a_restart);
    tcase_add_test(tc, a_log_without_its_beginning_needs_a_snapshot);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(retain_suite)
