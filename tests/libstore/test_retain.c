/* test_retain.c - old segments go by age, by size and when the disk fills; never what a fallback
 * to the older snapshot would need, and never under a reader's hands. */
#include <errno.h>
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

/* --- the beginning, by record ----------------------------------------------------------------- */

static void file_name(char path[64], uint64_t base)
{
    snprintf(path, 64, DIR "/log/%020llu.log", (unsigned long long)base);
}

static bool has_segment(uint64_t base)
{
    char path[64];
    size_t len;
    file_name(path, base);
    return memory_vfs_bytes(disk, path, &len) != NULL;
}

static struct sk_status reopen(void)
{
    sk_store_close(room.store);
    room.store = NULL;
    room.state = (struct toy){0};
    struct sk_status s = sk_store_open(&options, NULL, &room.store);
    for (uint32_t q = 0; sk_ok(s) && q < 64; q++) room.next[q] = sk_store_queue(room.store, q).max;
    return s;
}

START_TEST(a_missing_first_segment_is_refused)
{
    struct sk_vfs *vfs = memory_vfs_door(disk);
    for (int retained = 0; retained < 2; retained++) {
        if (room.store) sk_store_close(room.store);
        options.retention_bytes = retained ? 4 * SEGMENT : 0;
        ck_ok(sk_store_open(&options, NULL, &room.store));
        if (!retained) fill();
        snapshot_twice();
        ck_assert((sk_store_retain(room.store) > 0) == (retained > 0));
        if (retained) snapshot_twice(); /* the BEGIN lies before the newest snapshot */
        uint64_t base = sk_store_begin(room.store) - 4096;
        sk_store_close(room.store);
        room.store = NULL;

        struct memory_vfs *whole = memory_vfs_copy(disk);
        char path[64];
        file_name(path, base);
        ck_assert_int_eq(vfs->unlink(vfs, path), 0);
        struct sk_status s = sk_store_open(&options, NULL, &room.store);
        ck_assert_int_eq(s.code, SK_CORRUPT);
        ck_assert_msg(strstr(s.detail, path) && strstr(s.detail, "is missing"), "%s", s.detail);
        struct sk_verify_result found;
        ck_assert_int_eq(sk_store_verify(DIR, vfs, NULL, NULL, &found).code, SK_CORRUPT);
        ck_assert_uint_eq(found.errors, 1);
        memory_vfs_free(disk);
        disk = whole;
        faulty = faulty_vfs_over(memory_vfs_door(disk));
        vfs = memory_vfs_door(disk);
        ck_ok(sk_store_verify(DIR, vfs, NULL, NULL, &found));
    }
}
END_TEST

/* Each unlink of a retention fails once, and for ever: no gap ever, and the next opening ends
 * it. */
START_TEST(a_deletion_that_was_cut_off_is_finished)
{
    options.retention_bytes = 3 * SEGMENT;
    for (long nth = 1; nth <= 4; nth++) {
        ck_ok(sk_store_open(&options, NULL, &room.store));
        fill();
        snapshot_twice();
        faulty_vfs_arm(&faulty, FAULT_UNLINK, nth, EIO, FAULT_STICKY);
        ck_assert_uint_eq(sk_store_retain(room.store), (size_t)nth - 1);
        ck_assert(faulty.fired);
        ck_assert(has_segment((uint64_t)(nth - 1) * SEGMENT));
        faulty_vfs_disarm(&faulty);
        if (nth % 2)
            ck_ok(reopen());
        else
            ck_assert_uint_gt(sk_store_retain(room.store), 0);
        for (uint64_t base = 0; base < 6 * SEGMENT; base += SEGMENT) ck_assert(!has_segment(base));
        ck_assert_uint_gt(sk_store_begin(room.store), 6 * SEGMENT);
        toy_check_queues(&room);
        teardown();
        setup();
        options.retention_bytes = 3 * SEGMENT;
    }
    ck_ok(sk_store_open(&options, NULL, &room.store));
}
END_TEST

static uint64_t settled_at;

static uint64_t settled(void *owner)
{
    (void)owner;
    return settled_at;
}

START_TEST(nothing_goes_before_the_record_is_settled)
{
    options.retention_bytes = 3 * SEGMENT;
    options.settled = settled;
    settled_at = 0;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    fill();
    snapshot_twice();
    uint64_t before = sk_store_tail(room.store);
    ck_assert_uint_eq(sk_store_retain(room.store), 0);
    uint64_t after = sk_store_tail(room.store);
    ck_assert_uint_gt(after, before); /* the record is there */
    settled_at = after - 1;
    ck_assert_uint_eq(sk_store_retain(room.store), 0);
    ck_ok(reopen());
    ck_assert(has_segment(0));
    ck_assert_uint_eq(sk_store_tail(room.store), after); /* and not another one */
    settled_at = after;
    ck_assert_uint_gt(sk_store_retain(room.store), 0);
    ck_assert(!has_segment(0));
}
END_TEST

/* The fold of all records is told where the log begins, live and in replay. */
static uint64_t begins_told;

static struct sk_status count_begins(void *owner, const struct sk_record *r)
{
    begins_told += r->kind > SK_KIND_OWNER_MOST;
    return toy_on_apply(owner, r);
}

START_TEST(the_fold_is_told)
{
    options.retention_bytes = 3 * SEGMENT;
    options.fold.apply = count_begins;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    fill();
    snapshot_twice();
    begins_told = 0;
    ck_assert_uint_gt(sk_store_retain(room.store), 0);
    ck_assert_uint_eq(begins_told, 1);
    struct memory_vfs *killed = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_SYNCED, 0);
    sk_store_close(room.store);
    memory_vfs_free(disk);
    disk = killed;
    faulty = faulty_vfs_over(memory_vfs_door(disk));
    begins_told = 0;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    ck_assert_uint_eq(begins_told, 1);
}
END_TEST

/* Acks may go on into what is left of the segment, until nothing fits. */
static void fill_to_the_brim(void)
{
    static const uint8_t zeros[3000];
    for (size_t len = sizeof zeros;; len /= 2) {
        struct sk_slice part = sk_slice_of(zeros, len);
        struct sk_append a = {
            .kind = 1, .queue = SK_NO_QUEUE, .time_ms = 1 << 30, .parts = &part, .part_count = 1};
        struct sk_span span;
        struct sk_status s;
        while (sk_ok(s = sk_store_append(room.store, &a, 1, true, &span))) continue;
        ck_assert_int_eq(s.code, SK_FULL);
        if (len == 0) return;
    }
}

/* Not a byte is left on the disk, and the segment is full as well: the record still finds room. */
START_TEST(a_disk_that_is_full_to_the_last_byte_gets_room_again)
{
    options.disk_clean_percent = 90;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    fill();
    snapshot_twice();
    memory_vfs_limit(disk, memory_vfs_used(disk));
    fill_to_the_brim();
    uint64_t rest = SEGMENT - sk_store_tail(room.store) % SEGMENT;
    ck_assert_uint_lt(rest, 512 + 64);
    faulty.full_percent = 100;
    ck_assert_uint_gt(sk_store_retain(room.store), 3);
    faulty.full_percent = 50;
    sk_store_retain(room.store);
    toy_put(&room, 3, 3000);
    toy_check_queues(&room);
}
END_TEST

/* --- what the owner needs --------------------------------------------------------------------- */

static uint64_t need, need_told, begin_told;

static uint64_t needs(void *owner)
{
    (void)owner;
    return need;
}

static void need_passed(void *owner, uint64_t needed, uint64_t begin)
{
    ck_assert_ptr_eq(owner, &room.state);
    need_told = needed;
    begin_told = begin;
}

static void open_with_need(uint64_t position, uint64_t limit)
{
    options.retention_bytes = SEGMENT;
    options.needs = needs;
    options.need_passed = need_passed;
    options.need_limit_bytes = limit;
    need = position;
    need_told = begin_told = 0;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    fill();
    snapshot_twice();
}

START_TEST(what_the_owner_needs_stays)
{
    open_with_need(2 * SEGMENT + 5000, 0);
    ck_assert_uint_eq(sk_store_retain(room.store), 2);
    ck_assert_uint_eq(sk_store_begin(room.store), 2 * SEGMENT + 4096);
    ck_assert_uint_eq(sk_store_retain(room.store), 0);
    need = 4 * SEGMENT + 4096;
    ck_assert_uint_eq(sk_store_retain(room.store), 2);
    need = UINT64_MAX;
    ck_assert_uint_gt(sk_store_retain(room.store), 3);
    ck_assert_uint_eq(sk_store_stats(room.store).needs_passed, 0);
    ck_assert_uint_eq(need_told, 0);
}
END_TEST

START_TEST(the_operators_limit_wins_over_it_and_says_so)
{
    open_with_need(2 * SEGMENT + 5000, 5 * SEGMENT);
    uint64_t tail = sk_store_tail(room.store);
    ck_assert_uint_gt(sk_store_retain(room.store), 3);
    uint64_t begin = sk_store_begin(room.store);
    ck_assert_uint_le(tail - (begin - 4096), 5 * SEGMENT);           /* as much as it may be */
    ck_assert_uint_gt(tail - (begin - 4096) + SEGMENT, 5 * SEGMENT); /* and no less than that */
    ck_assert_uint_eq(sk_store_stats(room.store).needs_passed, 1);
    ck_assert_uint_eq(need_told, 2 * SEGMENT + 5000);
    ck_assert_uint_eq(begin_told, begin);
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
    tcase_add_test(tc, a_missing_first_segment_is_refused);
    tcase_add_test(tc, a_deletion_that_was_cut_off_is_finished);
    tcase_add_test(tc, nothing_goes_before_the_record_is_settled);
    tcase_add_test(tc, the_fold_is_told);
    tcase_add_test(tc, a_disk_that_is_full_to_the_last_byte_gets_room_again);
    tcase_add_test(tc, what_the_owner_needs_stays);
    tcase_add_test(tc, the_operators_limit_wins_over_it_and_says_so);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(retain_suite)
