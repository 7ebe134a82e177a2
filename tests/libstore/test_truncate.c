/* test_truncate.c - the tail goes: to each place where a batch ends, and nowhere else; with
 * whatever spoke of it; and cut off at any point the cut is as if it had not begun, or ends where
 * it should. */
#include <stdio.h>
#include <stdlib.h>

#include "cut.h"
#include "header.h"
#include "record.h"
#include "support/suite.h"

static void on_finding(void *arg, bool is_error, const char *file, uint64_t position,
                       const char *detail)
{
    (void)arg;
    ck_assert_msg(!is_error, "%s, %llu: %s", file, (unsigned long long)position, detail);
}

static void check_verify(struct memory_vfs *disk)
{
    struct memory_vfs *copy = memory_vfs_copy(disk);
    struct sk_verify_result result;
    ck_ok(sk_store_verify(DIR, memory_vfs_door(copy), on_finding, NULL, &result));
    memory_vfs_free(copy);
}

/* What opening finds is what was there at this place; and it goes on from there. */
static void check_at(struct memory_vfs *disk, const struct cut_place *place)
{
    struct toy_room room;
    ck_ok(cut_open(&room, memory_vfs_door(disk)));
    ck_assert_msg(cut_same(&room.state, &place->state), "%llu records, not %llu",
                  (unsigned long long)room.state.records, (unsigned long long)place->state.records);
    ck_assert_uint_eq(sk_store_epoch(room.store), place->epoch);
    toy_check_queues(&room);
    struct sk_span span;
    if (place->epoch)
        ck_ok(sk_store_begin_epoch(room.store, sk_store_next_epoch(room.store), 9000, &span));
    toy_put(&room, 1, 500);
    toy_put(&room, 5, 500);
    struct toy after = room.state;
    sk_store_close(room.store);
    check_verify(disk);
    ck_ok(cut_open(&room, memory_vfs_door(disk)));
    ck_assert(cut_same(&room.state, &after));
    toy_check_queues(&room);
    sk_store_close(room.store);
}

struct archived {
    char path[128];
    int count;
};

static void find_archive(void *arg, const char *path)
{
    struct archived *a = arg;
    if (!strstr(path, DIR "/cut/")) return;
    snprintf(a->path, sizeof a->path, "%s", path);
    a->count++;
}

/* The log's bytes from `from` on, as they were. */
static void check_archive(struct memory_vfs *before, struct memory_vfs *after,
                          const struct sk_truncation *cut)
{
    struct archived a = {.count = 0};
    memory_vfs_each(after, find_archive, &a);
    ck_assert_int_eq(a.count, 1);
    char want[128];
    snprintf(want, sizeof want, DIR "/cut/%010u-%020llu.log", cut->epoch,
             (unsigned long long)cut->position);
    ck_assert_str_eq(a.path, want);
    size_t len;
    const uint8_t *kept = memory_vfs_bytes(after, a.path, &len);
    ck_assert_uint_eq(len, cut->cut_bytes);
    for (size_t i = 0, step; i < len; i += step) {
        uint64_t at = cut->position + i;
        size_t segment_len;
        snprintf(want, sizeof want, DIR "/log/%020llu.log",
                 (unsigned long long)(at - at % CUT_SEGMENT));
        const uint8_t *log = memory_vfs_bytes(before, want, &segment_len);
        step = CUT_SEGMENT - at % CUT_SEGMENT < len - i ? CUT_SEGMENT - at % CUT_SEGMENT : len - i;
        ck_assert(memcmp(kept + i, log + at % CUT_SEGMENT, step) == 0);
    }
}

/* --- where it may be cut ---------------------------------------------------------------------- */

START_TEST(each_end_of_a_batch_is_a_place_to_cut)
{
    struct cut_store s = cut_grow(_i == 0);
    const struct cut_place *tail = &s.places[s.count - 1];
    for (int i = 0; i < s.count - 1; i++) {
        struct memory_vfs *disk = memory_vfs_copy(s.disk);
        struct sk_truncation cut;
        ck_ok(cut_at(memory_vfs_door(disk), s.places[i].position, &cut));
        ck_assert_uint_eq(cut.position, s.places[i].position);
        ck_assert_uint_ge(cut.cut_bytes, tail->position - cut.position);
        ck_assert_uint_eq(cut.epoch, tail->epoch);
        ck_assert(!cut.resumed);
        check_archive(s.disk, disk, &cut);
        check_verify(disk);
        check_at(disk, &s.places[i]);
        memory_vfs_free(disk);
    }
    memory_vfs_free(s.disk);
}
END_TEST

START_TEST(within_a_batch_is_refused_and_the_neighbours_are_named)
{
    struct cut_store s = cut_grow(true);
    uint64_t hash = memory_vfs_hash(s.disk);
    ck_assert_int_gt(s.inside_count, 3);
    for (int i = 0; i < s.inside_count; i++)
        for (uint64_t d = 0; d <= 16; d += 4) {
            int above = 0;
            while (s.places[above].position < s.inside[i] + d) above++;
            char want[128];
            snprintf(want, sizeof want, "the nearest ends are %llu and %llu",
                     (unsigned long long)s.places[above - 1].position,
                     (unsigned long long)s.places[above].position);
            if (s.places[above - 1].position / CUT_SEGMENT !=
                s.places[above].position / CUT_SEGMENT)
                continue; /* the batch begins its segment */
            struct sk_truncation cut;
            struct sk_status st = cut_at(memory_vfs_door(s.disk), s.inside[i] + d, &cut);
            ck_assert_int_eq(st.code, SK_INVALID);
            ck_assert_msg(strstr(st.detail, want), "%s; not: %s", st.detail, want);
        }
    ck_assert_uint_eq(memory_vfs_hash(s.disk), hash);
    memory_vfs_free(s.disk);
}
END_TEST

START_TEST(at_the_tail_and_above_there_is_nothing_to_do)
{
    for (int stop = 0; stop < 2; stop++) {
        struct cut_store s = cut_grow(stop);
        uint64_t tail = s.places[s.count - 1].position, hash = memory_vfs_hash(s.disk);
        const uint64_t above[] = {tail, tail + 8, tail + 1, tail + 3 * CUT_SEGMENT, UINT64_MAX};
        for (size_t i = 0; i < ROWS(above); i++) {
            struct sk_truncation cut;
            ck_ok(cut_at(memory_vfs_door(s.disk), above[i], &cut));
            ck_assert_uint_eq(cut.cut_bytes, 0);
        }
        ck_assert_uint_eq(memory_vfs_hash(s.disk), hash);
        check_at(s.disk, &s.places[s.count - 1]);
        memory_vfs_free(s.disk);
    }
}
END_TEST

START_TEST(no_store_and_a_store_in_use_are_told_apart)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct sk_truncation cut;
    uint64_t hash = memory_vfs_hash(disk);
    ck_assert_int_eq(cut_at(memory_vfs_door(disk), 8192, &cut).code, SK_NOT_FOUND);
    ck_assert_uint_eq(memory_vfs_hash(disk), hash);
    struct toy_room room;
    ck_ok(cut_open(&room, memory_vfs_door(disk)));
    toy_put(&room, 1, 100);
    ck_assert_int_eq(cut_at(memory_vfs_door(disk), 4096, &cut).code, SK_EXISTS);
    struct sk_store_options o = cut_options(&room, memory_vfs_door(disk));
    sk_store_close(room.store);
    o.store_id = 42;
    ck_assert_int_eq(sk_store_truncate(&o, 4096, &cut).code, SK_INVALID);
    memory_vfs_free(disk);
}
END_TEST

/* The log begins later than at 0, so its state comes from snapshots alone. */
static struct cut_store retained(uint64_t *begin, uint64_t *recorded)
{
    struct cut_store s = {.disk = memory_vfs_new()};
    struct toy_room room;
    struct sk_store_options o = cut_options(&room, memory_vfs_door(s.disk));
    memset(&room, 0, sizeof room);
    o.retention_bytes = 1;
    ck_ok(sk_store_open(&o, NULL, &room.store));
    for (int i = 0; i < 60; i++) {
        toy_put(&room, 1, 900);
        cut_note(&s, &room);
        if (i % 12 == 11) ck_ok(sk_store_snapshot(room.store));
    }
    ck_assert_uint_gt(sk_store_retain(room.store), 0);
    *begin = sk_store_begin(room.store);
    *recorded = sk_store_tail(room.store);
    for (int i = 0; i < 15; i++) {
        toy_put(&room, 1, 900);
        cut_note(&s, &room);
    }
    sk_store_close(room.store);
    return s;
}

START_TEST(a_cut_leaves_something_to_tell_the_state_from)
{
    uint64_t begin, recorded;
    struct cut_store s = retained(&begin, &recorded);
    int cut_count = 0, refused = 0;
    for (int i = 0; i < s.count - 1; i++) {
        struct memory_vfs *disk = memory_vfs_copy(s.disk);
        uint64_t hash = memory_vfs_hash(disk);
        struct sk_truncation cut;
        struct sk_status st = cut_at(memory_vfs_door(disk), s.places[i].position, &cut);
        if (sk_ok(st)) {
            cut_count++;
            check_at(disk, &s.places[i]);
        } else {
            refused++;
            ck_assert_int_eq(st.code, SK_INVALID);
            ck_assert_uint_lt(s.places[i].position, recorded);
            ck_assert_msg(strstr(st.detail, s.places[i].position < begin
                                                ? "before the log's beginning"
                                                : "there is no whole snapshot") ||
                              strstr(st.detail, "by a record that lies above"),
                          "%s", st.detail);
            ck_assert_uint_eq(memory_vfs_hash(disk), hash);
        }
        memory_vfs_free(disk);
    }
    ck_assert_int_gt(cut_count, 5);
    ck_assert_int_gt(refused, 5);
    memory_vfs_free(s.disk);
}
END_TEST

/* --- what speaks of it goes ---------------------------------------------------------------------
 */

static void count_snapshot(void *arg, const char *path)
{
    if (strstr(path, ".snap")) ++*(int *)arg;
}

/* A snapshot is of a position, and may speak of more. */
START_TEST(a_snapshot_that_reaches_above_the_cut_goes)
{
    struct cut_store s = cut_grow(true);
    int at = s.count - 8, before = 0, after = 0;
    memory_vfs_each(s.disk, count_snapshot, &before);
    ck_assert_int_eq(before, 2);
    char path[128];
    for (int i = 0; i < at && _i; i++) {
        size_t len;
        snprintf(path, sizeof path, DIR "/snapshot/%020llu.snap",
                 (unsigned long long)s.places[i].position);
        uint8_t *page = memory_vfs_bytes(s.disk, path, &len);
        if (!page) continue;
        sk_put_u64(page + 48, s.places[at].position + 8);
        sk_put_u32(page, sk_crc32c(0, page + 4, SK_HEADER_BYTES - 4));
    }
    struct sk_truncation cut;
    ck_ok(cut_at(memory_vfs_door(s.disk), s.places[at].position, &cut));
    memory_vfs_each(s.disk, count_snapshot, &after);
    ck_assert_int_eq(after, _i ? 0 : 1);
    ck_assert_uint_eq(cut.snapshots, (uint64_t)(before - after));
    check_at(s.disk, &s.places[at]);
    memory_vfs_free(s.disk);
}
END_TEST

/* (epoch, position) names one string of bytes for ever, also after a cut. */
START_TEST(an_epoch_that_was_cut_away_does_not_begin_once_more)
{
    struct cut_store s = cut_grow(true);
    int at = 0;
    uint32_t gone = s.places[s.count - 1].epoch;
    while (s.places[at].epoch == 0) at++;
    ck_assert_uint_lt(s.places[at].epoch, gone);
    struct sk_truncation cut;
    ck_ok(cut_at(memory_vfs_door(s.disk), s.places[at].position, &cut));
    for (int again = 0; again < 2; again++) {
        struct toy_room room;
        struct sk_span span;
        ck_ok(cut_open(&room, memory_vfs_door(s.disk)));
        if (again == 0) {
            ck_assert_uint_eq(sk_store_next_epoch(room.store), gone + 1);
            ck_assert_int_eq(sk_store_begin_epoch(room.store, gone, 1, &span).code, SK_INVALID);
            ck_ok(sk_store_begin_epoch(room.store, gone + 1, 1000, &span));
        }
        ck_assert_uint_eq(sk_store_next_epoch(room.store), gone + 1 + (again || 1));
        sk_store_close(room.store);
    }
    memory_vfs_free(s.disk);
}
END_TEST

/* Whatever is wrong behind the place goes, too, and with it what would have been refused. */
START_TEST(rot_behind_the_place_goes_with_the_tail)
{
    struct cut_store s = cut_grow(true);
    int at = s.count - 9;
    size_t len;
    char path[128];
    uint64_t rot = s.places[at + _i].position + 20;
    snprintf(path, sizeof path, DIR "/log/%020llu.log",
             (unsigned long long)(rot - rot % CUT_SEGMENT));
    memory_vfs_bytes(s.disk, path, &len)[rot % CUT_SEGMENT] ^= 1;
    struct sk_verify_result result;
    ck_assert_int_eq(sk_store_verify(DIR, memory_vfs_door(s.disk), NULL, NULL, &result).code,
                     SK_CORRUPT);
    struct sk_truncation cut;
    ck_ok(cut_at(memory_vfs_door(s.disk), s.places[at].position, &cut));
    ck_assert_uint_gt(cut.cut_bytes, 0);
    ck_assert_uint_eq(cut.epoch, s.places[s.count - 1].epoch);
    check_at(s.disk, &s.places[at]);
    memory_vfs_free(s.disk);
}
END_TEST

START_TEST(only_so_many_cuts_are_kept_and_the_newest_always)
{
    struct memory_vfs *disk = memory_vfs_new();
    uint64_t last = 0;
    for (uint32_t epoch = 1; epoch <= 20; epoch++) {
        struct toy_room room;
        struct sk_span span;
        struct sk_truncation cut;
        ck_ok(cut_open(&room, memory_vfs_door(disk)));
        ck_ok(sk_store_begin_epoch(room.store, epoch, 1000, &span));
        last = toy_put(&room, SK_NO_QUEUE, 100).begin;
        sk_store_close(room.store);
        ck_ok(cut_at(memory_vfs_door(disk), last, &cut));
    }
    struct archived a = {.count = 0};
    memory_vfs_each(disk, find_archive, &a);
    ck_assert_int_eq(a.count, 16);
    for (uint32_t epoch = 1; epoch <= 20; epoch++) {
        bool there = false;
        char dir[64];
        snprintf(dir, sizeof dir, DIR "/cut/%010u-", epoch);
        for (uint64_t at = 4096; at <= last && !there; at += 8) {
            char path[128];
            size_t len;
            snprintf(path, sizeof path, "%s%020llu.log", dir, (unsigned long long)at);
            there = memory_vfs_bytes(disk, path, &len) != NULL;
        }
        ck_assert_msg(there == (epoch > 4), "epoch %u", epoch);
    }
    memory_vfs_free(disk);
}
END_TEST

/* --- cut off ------------------------------------------------------------------------------------
 */

/* The image opens: as whole as it was, or cut, and then what went is in the archive; and it may
 * only be cut once the cut was said to be `done`. `full` is what the cut told that nothing
 * interrupted. */
static void check_image(const struct cut_store *s, int at, struct memory_vfs *image,
                        const struct sk_truncation *full, bool done, bool thorough)
{
    if (thorough) check_verify(image);
    struct memory_vfs *copy = memory_vfs_copy(image);
    struct toy_room room;
    ck_ok(cut_open(&room, memory_vfs_door(copy)));
    bool cut = cut_same(&room.state, &s->places[at].state);
    bool whole = cut_same(&room.state, &s->places[s->count - 1].state);
    uint64_t records = room.state.records;
    toy_check_queues(&room);
    sk_store_close(room.store);
    ck_assert_msg(cut || (whole && !done), "%llu records", (unsigned long long)records);
    if (cut) check_archive(s->disk, copy, full);
    if (thorough) check_at(copy, &s->places[cut ? at : s->count - 1]);
    memory_vfs_free(copy);

    struct sk_truncation again;
    ck_ok(cut_at(memory_vfs_door(image), s->places[at].position, &again));
    check_at(image, &s->places[at]);
}

START_TEST(cut_off_at_any_point_it_starts_over_to_the_same_end)
{
    struct cut_store s = cut_grow(true);
    int at = _i ? 6 : s.count - 20;
    struct memory_vfs *disk = memory_vfs_copy(s.disk);
    memory_vfs_rebase(disk);
    struct sk_truncation cut;
    ck_ok(cut_at(memory_vfs_door(disk), s.places[at].position, &cut));
    size_t ops = memory_vfs_ops(disk);
    ck_assert_uint_gt(ops, 20);
    for (size_t n = 0; n <= ops; n++)
        for (uint64_t how = 0; how < 5; how++) {
            static const enum memory_crash hows[] = {MEMORY_KEEP_ALL, MEMORY_KEEP_SYNCED,
                                                     MEMORY_TEAR_LAST, MEMORY_KEEP_SOME,
                                                     MEMORY_KEEP_SOME};
            enum memory_crash crash = hows[how];
            struct memory_vfs *image = memory_vfs_crash(disk, n, crash, how * 1000 + n);
            check_image(&s, at, image, &cut, n == ops, (n + how) % 3 == 0);
            memory_vfs_free(image);
        }
    memory_vfs_free(disk);
    memory_vfs_free(s.disk);
}
END_TEST

static Suite *truncate_suite(void)
{
    Suite *suite = suite_create("libstore/truncate");
    TCase *tc = tcase_create("places");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, each_end_of_a_batch_is_a_place_to_cut, 0, 2);
    tcase_add_test(tc, within_a_batch_is_refused_and_the_neighbours_are_named);
    tcase_add_test(tc, at_the_tail_and_above_there_is_nothing_to_do);
    tcase_add_test(tc, no_store_and_a_store_in_use_are_told_apart);
    tcase_add_test(tc, a_cut_leaves_something_to_tell_the_state_from);
    suite_add_tcase(suite, tc);
    tc = tcase_create("what goes");
    tcase_add_loop_test(tc, a_snapshot_that_reaches_above_the_cut_goes, 0, 2);
    tcase_add_test(tc, an_epoch_that_was_cut_away_does_not_begin_once_more);
    tcase_add_loop_test(tc, rot_behind_the_place_goes_with_the_tail, 0, 2);
    tcase_add_test(tc, only_so_many_cuts_are_kept_and_the_newest_always);
    suite_add_tcase(suite, tc);
    tc = tcase_create("cut off");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, cut_off_at_any_point_it_starts_over_to_the_same_end, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(truncate_suite)
