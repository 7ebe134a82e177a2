/* test_cache.c - the newest part of the log stays in the page cache and the rest is given back: all
 * of it, in order, and nothing that is not durable. On the real disk, which is told what it may
 * forget. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store_impl.h"
#include "support/suite.h"
#include "toy.h"

enum { MIB = 1 << 20, SEGMENT = 16 * MIB, KEEP = 20 * MIB, PAYLOAD = 128 * 1024 };

/* The real disk, and what it was advised: bytes, and the first thing that was wrong about it. */
static struct {
    struct sk_vfs vfs; /* first */
    uint64_t sent_out, let_go;
    const char *wrong;
} disk;

static char dir[64];
static struct toy_room room;
static struct sk_store_options options;

static int note_write_out(struct sk_vfs *v, int fd, uint64_t from, uint64_t to)
{
    if (fd < 0 || from >= to || to > SEGMENT) disk.wrong = "written out: no part of a segment";
    disk.sent_out += to - from;
    return sk_vfs_real()->write_out(v, fd, from, to);
}

static int note_drop_cache(struct sk_vfs *v, int fd, const uint8_t *map, uint64_t from, uint64_t to)
{
    if (fd < 0 || from >= to || to > SEGMENT) disk.wrong = "dropped: no part of a segment";
    if (!map) disk.wrong = "dropped without the map, which holds the pages";
    struct sk_commitlog *log = &room.store->log;
    if (disk.let_go + (to - from) > sk_commitlog_flushed(log)) disk.wrong = "dropped while dirty";
    if (disk.let_go + (to - from) + KEEP > sk_commitlog_tail(log)) disk.wrong = "dropped too soon";
    disk.let_go += to - from;
    return sk_vfs_real()->drop_cache(v, fd, map, from, to);
}

static void setup(void)
{
    memset(&disk, 0, sizeof disk);
    memset(&room, 0, sizeof room);
    disk.vfs = *sk_vfs_real();
    disk.vfs.write_out = note_write_out;
    snprintf(dir, sizeof dir, "/tmp/skua-cache-XXXXXX");
    ck_assert(mkdtemp(dir) != NULL);
    options = toy_options(&room.state, dir, &disk.vfs);
    options.segment_bytes = SEGMENT;
    options.cache_bytes = KEEP;
    options.write_ahead = false;
}

static void teardown(void)
{
    disk.vfs.drop_cache = sk_vfs_real()->drop_cache;
    sk_store_close(room.store);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static void open_room(void)
{
    ck_ok(sk_store_open(&options, NULL, &room.store));
    disk.vfs.drop_cache = note_drop_cache; /* opening has its own reasons to call it */
}

static void fill(uint64_t bytes)
{
    uint64_t end = sk_store_tail(room.store) + bytes;
    while (sk_store_tail(room.store) < end)
        toy_put(&room, (uint32_t)(room.state.records % 8), PAYLOAD);
}

/* What the helper does when it is poked. */
static void help(void)
{
    bool more = true;
    while (more) {
        ck_ok(sk_commitlog_prepare(&room.store->log, &more));
        more = sk_commitlog_trim_cache(&room.store->log) || more;
    }
    ck_assert_msg(!disk.wrong, "%s", disk.wrong);
}

START_TEST(what_is_dirty_is_sent_out_and_kept)
{
    open_room();
    fill(50 * MIB);
    ck_assert(sk_commitlog_wants_trim(&room.store->log));
    help();
    ck_assert_uint_gt(disk.sent_out, 45 * MIB);
    ck_assert_uint_eq(disk.let_go, 0);
    ck_assert(!sk_commitlog_wants_trim(&room.store->log));
}
END_TEST

START_TEST(what_is_durable_and_old_goes_and_can_be_read_again)
{
    open_room();
    for (int i = 0; i < 6; i++) {
        fill(12 * MIB);
        ck_ok(sk_store_flush(room.store));
        help();
    }
    uint64_t tail = sk_store_tail(room.store);
    ck_assert_uint_le(tail - disk.let_go, KEEP + SK_CACHE_CHUNK);
    toy_check_queues(&room);
}
END_TEST

START_TEST(with_a_sync_flush_the_flusher_writes_it_out)
{
    options.write_ahead = true;
    open_room();
    fill(40 * MIB);
    ck_ok(sk_store_flush(room.store));
    help();
    ck_assert_uint_eq(disk.sent_out, 0);
    ck_assert_uint_gt(disk.let_go, 12 * MIB);
    toy_check_queues(&room);
}
END_TEST

START_TEST(a_full_segment_keeps_its_descriptor_until_it_was_let_go)
{
    open_room();
    fill(40 * MIB);
    ck_ok(sk_store_flush(room.store));
    help();
    struct sk_commitlog *log = &room.store->log;
    ck_assert_uint_eq(log->count, 3);
    ck_assert_int_ge(log->segments[1]->fd, 0);
    fill(20 * MIB);
    ck_ok(sk_store_flush(room.store));
    help();
    ck_assert_int_lt(log->segments[0]->fd, 0);
    ck_assert_int_lt(log->segments[1]->fd, 0);
    toy_check_queues(&room);
}
END_TEST

START_TEST(what_retention_took_is_passed_over)
{
    open_room();
    fill(40 * MIB);
    ck_ok(sk_store_flush(room.store));
    ck_ok(sk_commitlog_drop_oldest(&room.store->log));
    struct sk_commitlog *log = &room.store->log;
    while (sk_commitlog_trim_cache(log)) continue;
    ck_assert_uint_ge(atomic_load(&log->let_go), SEGMENT);
    ck_assert_uint_eq(disk.sent_out % SK_CACHE_CHUNK, 0);
}
END_TEST

START_TEST(without_a_limit_the_kernel_is_left_alone)
{
    options.cache_bytes = 0;
    open_room();
    fill(60 * MIB);
    ck_ok(sk_store_flush(room.store));
    ck_assert(!sk_commitlog_wants_trim(&room.store->log));
    help();
    ck_assert_uint_eq(disk.sent_out + disk.let_go, 0);
    ck_assert_int_lt(room.store->log.segments[0]->fd, 0);
}
END_TEST

START_TEST(it_begins_where_an_opened_log_ends)
{
    open_room();
    fill(30 * MIB);
    disk.vfs.drop_cache = sk_vfs_real()->drop_cache;
    sk_store_close(room.store);
    disk.sent_out = disk.let_go = 0;
    ck_ok(sk_store_open(&options, NULL, &room.store));
    help();
    ck_assert_uint_eq(disk.sent_out, 0);
    toy_check_queues(&room);
}
END_TEST

static uint64_t distrusted_from;
static unsigned distrusted;

static int note_distrust(struct sk_vfs *v, int fd, const uint8_t *map, uint64_t from, uint64_t to)
{
    ck_assert_uint_eq(to, 0);
    distrusted_from = from;
    distrusted++;
    return sk_vfs_real()->drop_cache(v, fd, map, from, to);
}

/* A killed process: everything as it is, and another opens it. `before` may damage the copy. */
static void open_killed(void (*before)(const char *copy))
{
    char copy[128], command[300];
    snprintf(copy, sizeof copy, "%s.killed", dir);
    snprintf(command, sizeof command, "cp -r '%s' '%s'", dir, copy);
    ck_assert_int_eq(system(command), 0);
    if (before) before(copy);

    struct toy_room second = {.store = NULL};
    struct sk_store_options o = options;
    o.dir = copy;
    o.fold.owner = &second.state;
    disk.vfs.drop_cache = note_distrust;
    distrusted_from = UINT64_MAX;
    distrusted = 0;
    ck_ok(sk_store_open(&o, NULL, &second.store));
    ck_assert_uint_eq(sk_store_tail(second.store), sk_store_tail(room.store));
    ck_assert_uint_eq(second.state.sum, room.state.sum);
    sk_store_close(second.store);
    snprintf(command, sizeof command, "rm -rf '%s'", copy);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(after_a_kill_what_no_sync_confirmed_is_read_from_the_disk)
{
    open_room();
    fill(2 * MIB);
    ck_ok(sk_store_flush(room.store));
    uint64_t flushed = sk_commitlog_flushed(&room.store->log);
    fill(1 * MIB);
    open_killed(NULL);
    ck_assert_uint_eq(distrusted_from, flushed / SK_SEGMENT_PAGE * SK_SEGMENT_PAGE);
}
END_TEST

static void blank_watermark(const char *copy)
{
    char path[160], zeros[4096] = {0};
    snprintf(path, sizeof path, "%s/watermark", copy);
    int fd = open(path, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, zeros, sizeof zeros, 0), sizeof zeros);
    close(fd);
}

/* Position 0 is in no segment any more, and everything that is left was taken for confirmed. */
START_TEST(without_a_watermark_all_that_is_left_is_read_from_the_disk)
{
    open_room();
    fill(40 * MIB);
    ck_ok(sk_store_snapshot(room.store));
    ck_ok(sk_begin_append(room.store, SEGMENT + SK_HEADER_BYTES));
    ck_ok(sk_commitlog_drop_oldest(&room.store->log));
    fill(1 * MIB);
    open_killed(blank_watermark);
    ck_assert_uint_eq(distrusted, 2); /* segments */
}
END_TEST

static Suite *cache_suite(void)
{
    Suite *suite = suite_create("libstore/cache");
    TCase *tc = tcase_create("page cache");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, what_is_dirty_is_sent_out_and_kept);
    tcase_add_test(tc, what_is_durable_and_old_goes_and_can_be_read_again);
    tcase_add_test(tc, with_a_sync_flush_the_flusher_writes_it_out);
    tcase_add_test(tc, a_full_segment_keeps_its_descriptor_until_it_was_let_go);
    tcase_add_test(tc, what_retention_took_is_passed_over);
    tcase_add_test(tc, without_a_limit_the_kernel_is_left_alone);
    tcase_add_test(tc, it_begins_where_an_opened_log_ends);
    tcase_add_test(tc, after_a_kill_what_no_sync_confirmed_is_read_from_the_disk);
    tcase_add_test(tc, without_a_watermark_all_that_is_left_is_read_from_the_disk);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(cache_suite)
