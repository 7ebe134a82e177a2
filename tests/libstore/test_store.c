/* test_store.c - the door, on the real disk. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/suite.h"
#include "toy.h"

static char dir[64];

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/skua-store-XXXXXX");
    ck_assert(mkdtemp(dir) != NULL);
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(an_empty_store_opens_and_stays_empty)
{
    struct toy_room room;
    struct sk_recovery r = toy_open(&room, dir, NULL);
    ck_assert(r.created);
    ck_assert_uint_eq(r.begin, r.tail);
    sk_store_close(room.store);

    r = toy_open(&room, dir, NULL);
    ck_assert(!r.created);
    ck_assert(r.clean);
    ck_assert_uint_eq(r.begin, r.tail);
    sk_store_close(room.store);
}
END_TEST

START_TEST(what_was_appended_can_be_read_and_is_replayed)
{
    struct toy_room room;
    toy_open(&room, dir, NULL);
    for (int i = 0; i < 2000; i++) toy_put(&room, (uint32_t)(i * i % 7), (size_t)(i % 500));
    toy_check_queues(&room);
    struct toy before = room.state;
    ck_assert_uint_gt(sk_store_stats(room.store).segments, 5);
    sk_store_close(room.store);

    struct sk_recovery r = toy_open(&room, dir, NULL);
    ck_assert(r.clean);
    ck_assert_uint_eq(r.replayed_records, 0); /* the last snapshot says it all */
    ck_assert_mem_eq(&before, &room.state, sizeof before);
    toy_check_queues(&room);
    for (int i = 0; i < 100; i++) toy_put(&room, (uint32_t)(i % 7), 100);
    toy_check_queues(&room);
    sk_store_close(room.store);
}
END_TEST

static struct sk_store_options threaded(struct toy_room *room, bool write_ahead)
{
    struct sk_store_options o = toy_options(&room->state, dir, NULL);
    o.manual = false;
    o.write_ahead = write_ahead;
    o.segment_bytes = 1024 * 1024;
    o.snapshot_bytes = (uint64_t)1 << 40; /* none on its own: this owner has no lock */
    o.flush_interval_ms = 20;
    return o;
}

static sk_gate *flushed_gate;

static void note_flushed(void *arg, const struct sk_status *why)
{
    _Atomic uint64_t *last = arg;
    if (!why) *last = sk_gate_cursor(flushed_gate);
}

static void on_passed(void *arg, struct sk_status s)
{
    ck_ok(s);
    ck_assert_int_eq(write(*(int *)arg, "x", 1), 1);
}

/* Wait at the gate, without a condition of our own: a pipe is enough. */
static void await(sk_store *store, uint64_t position)
{
    int ends[2];
    char byte;
    ck_assert_int_eq(pipe(ends), 0);
    struct sk_gate_waiter w = {.position = position, .fn = on_passed, .arg = &ends[1]};
    sk_gate_wait(sk_store_flushed_gate(store), &w);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    close(ends[1]);
}

static const bool modes[] = {true, false};

START_TEST(waiters_wake_when_their_record_is_flushed)
{
    struct toy_room room = {0};
    struct sk_store_options o = threaded(&room, modes[_i]);
    static _Atomic uint64_t last;
    last = 0;
    ck_ok(sk_store_open(&o, NULL, &room.store));
    flushed_gate = sk_store_flushed_gate(room.store);
    sk_gate_follow(flushed_gate, note_flushed, (void *)(uintptr_t)&last);
    for (int i = 0; i < 3000; i++) {
        struct sk_span span = toy_put(&room, 3, 1000);
        if (i % 10 == 0) await(room.store, span.end);
        if (i % 10 == 0) ck_assert_uint_ge(sk_store_flushed(room.store), span.end);
    }
    toy_check_queues(&room);
    struct toy before = room.state;
    uint64_t tail = sk_store_tail(room.store);
    sk_store_close(room.store);
    ck_assert_uint_eq(last, tail); /* closing flushes the rest */
    toy_open(&room, dir, NULL);
    ck_assert_mem_eq(&before, &room.state, sizeof before);
    toy_check_queues(&room);
    sk_store_close(room.store);
}
END_TEST

/* The child appends until it is killed; `done` counts what append said yes to. */
static void append_for_ever(_Atomic uint64_t *done)
{
    struct toy_room room = {0};
    struct sk_store_options o = threaded(&room, true);
    if (!sk_ok(sk_store_open(&o, NULL, &room.store))) _exit(1);
    for (uint32_t q = 0; q < 64; q++) room.next[q] = sk_store_queue(room.store, q).max;
    for (uint64_t i = 0;; i++) {
        struct sk_span span;
        if (!sk_ok(toy_try_put(&room, (uint32_t)(i % 5), (size_t)(i * 31 % 3000), &span))) _exit(2);
        *done = room.state.records;
    }
}

START_TEST(a_killed_process_has_lost_nothing)
{
    _Atomic uint64_t *done =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct toy_room room;
    for (int round = 0; round < 8; round++) {
        uint64_t goal = *done + 200 + (uint64_t)round * 97;
        pid_t child = fork();
        if (child == 0) append_for_ever(done);
        while (*done < goal) ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);

        struct sk_recovery r = toy_open(&room, dir, NULL);
        ck_assert(!r.clean);
        ck_assert_uint_ge(room.state.records, *done);
        ck_assert_uint_le(room.state.records, *done + 1);
        toy_check_queues(&room);
        *done = room.state.records;
        sk_store_close(room.store);
        ck_ok(sk_store_verify(dir, NULL, NULL, NULL, NULL));
    }
    munmap((void *)(uintptr_t)done, 4096);
}
END_TEST

START_TEST(offsets_follow_each_other)
{
    struct toy_room room;
    toy_open(&room, dir, NULL);
    toy_put(&room, 5, 10);
    struct sk_append a = {.kind = 1, .queue = 5, .offset = 0, .time_ms = 1};
    struct sk_span span[2];
    ck_assert_int_eq(sk_store_append(room.store, &a, 1, false, span).code, SK_INVALID);
    a.offset = 2;
    ck_assert_int_eq(sk_store_append(room.store, &a, 1, false, span).code, SK_INVALID);

    /* The second of a batch is wrong: the first must not be there either. */
    struct sk_append two[] = {{.kind = 1, .queue = 5, .offset = 1, .time_ms = 1},
                              {.kind = 1, .queue = 5, .offset = 3, .time_ms = 1}};
    uint64_t tail = sk_store_tail(room.store);
    ck_assert_int_eq(sk_store_append(room.store, two, 2, false, span).code, SK_INVALID);
    ck_assert_uint_eq(sk_store_tail(room.store), tail);
    ck_assert_uint_eq(sk_store_queue(room.store, 5).max, 1);
    two[1].offset = 2;
    ck_ok(sk_store_append(room.store, two, 2, false, span));
    ck_assert_uint_eq(sk_store_queue(room.store, 5).max, 3);
    ck_assert_uint_eq(span[0].end, span[1].begin);
    ck_assert_uint_eq(span[1].end, sk_store_tail(room.store));
    sk_store_close(room.store);
}
END_TEST

START_TEST(two_openers_are_one_too_many)
{
    struct toy_room room, other = {0};
    toy_open(&room, dir, NULL);
    struct sk_store_options o = toy_options(&other.state, dir, NULL);
    struct sk_status s = sk_store_open(&o, NULL, &other.store);
    ck_assert_int_eq(s.code, SK_EXISTS);
    ck_assert_msg(strstr(s.detail, "in use by another process") != NULL, "%s", s.detail);
    sk_store_close(room.store);
    ck_ok(sk_store_open(&o, NULL, &other.store));
    sk_store_close(other.store);
}
END_TEST

START_TEST(a_strangers_directory_is_left_alone)
{
    char path[128];
    snprintf(path, sizeof path, "%s/photo.jpg", dir);
    FILE *f = fopen(path, "w");
    fclose(f);
    struct toy_room room;
    struct sk_store_options o = toy_options(&room.state, dir, NULL);
    struct sk_status s = sk_store_open(&o, NULL, &room.store);
    ck_assert_int_eq(s.code, SK_INVALID);
    ck_assert_msg(strstr(s.detail, "photo.jpg") != NULL, "%s", s.detail);
    snprintf(path, sizeof path, "%s/lock", dir);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

static const struct {
    struct sk_append record;
    size_t count;
    const char *want;
} bad_appends[] = {
    {{.kind = 0, .queue = SK_NO_QUEUE}, 1, "kind is 1..127, not 0"},
    {{.kind = 128, .queue = SK_NO_QUEUE}, 1, "kind is 1..127, not 128"},
    {{.kind = 1, .queue = SK_MAX_QUEUES}, 1, "is too large"},
    {{.kind = 1, .queue = 3, .offset = 7}, 1, "offset 0 comes next, not 7"},
    {{.kind = 1, .queue = SK_NO_QUEUE}, 0, "records, not 0"},
};

START_TEST(what_an_owner_does_wrong_is_refused_and_changes_nothing)
{
    struct toy_room room;
    toy_open(&room, dir, NULL);
    uint64_t before = sk_store_tail(room.store);
    struct sk_span span;
    struct sk_status s =
        sk_store_append(room.store, &bad_appends[_i].record, bad_appends[_i].count, false, &span);
    ck_assert_int_eq(s.code, SK_INVALID);
    ck_assert_msg(strstr(s.detail, bad_appends[_i].want) != NULL, "%s", s.detail);
    ck_assert_uint_eq(sk_store_tail(room.store), before);
    sk_store_close(room.store);
}
END_TEST

START_TEST(options_that_make_no_sense_are_refused)
{
    struct toy_room room;
    struct sk_store_options uneven = toy_options(&room.state, dir, NULL), full = uneven;
    uneven.segment_bytes += 1;
    full.disk_refuse_percent = 101;
    ck_assert_int_eq(sk_store_open(&uneven, NULL, &room.store).code, SK_INVALID);
    ck_assert_int_eq(sk_store_open(&full, NULL, &room.store).code, SK_INVALID);
}
END_TEST

START_TEST(records_are_found_by_time)
{
    struct toy_room room;
    toy_open(&room, dir, NULL);
    for (int i = 0; i < 500; i++) toy_put(&room, (uint32_t)(i % 2), 300); /* times 1000, 1010, … */
    ck_assert_uint_eq(sk_store_offset_by_time(room.store, 0, 0), 0);
    ck_assert_uint_eq(sk_store_offset_by_time(room.store, 0, 1000), 0);
    ck_assert_uint_eq(sk_store_offset_by_time(room.store, 0, 1001), 1);
    ck_assert_uint_eq(sk_store_offset_by_time(room.store, 1, 1010 + 20 * 100), 100);
    ck_assert_uint_eq(sk_store_offset_by_time(room.store, 1, 1010 + 20 * 100 - 19), 100);
    ck_assert_uint_eq(sk_store_offset_by_time(room.store, 1, 99999999), 250);
    ck_assert_uint_eq(sk_store_offset_by_time(room.store, 9, 0), 0);
    sk_store_close(room.store);
}
END_TEST

START_TEST(a_pin_outlives_the_store)
{
    struct toy_room room;
    struct sk_pinned pinned;
    uint8_t want[100];
    toy_open(&room, dir, NULL);
    struct sk_span span = toy_put(&room, 4, 100);
    ck_ok(sk_store_read(room.store, span.begin, &pinned));
    sk_pin_ref(pinned.pin);
    sk_store_close(room.store);
    sk_unpin(pinned.pin);
    toy_payload(4, 0, 100, want);
    ck_assert_mem_eq(want, pinned.record.payload.data, 100);
    sk_unpin(pinned.pin);
}
END_TEST

START_TEST(a_batch_may_fill_a_segment_but_not_more)
{
    enum { SEGMENT = 64 * 1024, FILE_HEADER = 4096, RECORD_HEADER = 56 };
    const size_t most = SEGMENT - FILE_HEADER - RECORD_HEADER;
    struct toy_room room;
    struct sk_span span;
    toy_open(&room, dir, NULL);
    toy_put(&room, 1, most);
    ck_assert_int_eq(toy_try_put(&room, 1, most + 1, &span).code, SK_INVALID);
    span = toy_put(&room, 1, most);
    ck_assert_uint_eq(span.end % SEGMENT, 0);
    toy_put(&room, 1, 1);
    toy_check_queues(&room);
    struct toy before = room.state;
    sk_store_close(room.store);
    toy_open(&room, dir, NULL);
    ck_assert_mem_eq(&before, &room.state, sizeof before);
    toy_check_queues(&room);
    sk_store_close(room.store);
}
END_TEST

static Suite *store_suite(void)
{
    Suite *suite = suite_create("libstore/store");
    TCase *tc = tcase_create("door");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, an_empty_store_opens_and_stays_empty);
    tcase_add_test(tc, what_was_appended_can_be_read_and_is_replayed);
    tcase_add_loop_test(tc, waiters_wake_when_their_record_is_flushed, 0, 2);
    tcase_add_test(tc, a_killed_process_has_lost_nothing);
    tcase_add_test(tc, offsets_follow_each_other);
    tcase_add_test(tc, two_openers_are_one_too_many);
    tcase_add_test(tc, a_strangers_directory_is_left_alone);
    tcase_add_loop_test(tc, what_an_owner_does_wrong_is_refused_and_changes_nothing, 0,
                        sizeof bad_appends / sizeof bad_appends[0]);
    tcase_add_test(tc, options_that_make_no_sense_are_refused);
    tcase_add_test(tc, records_are_found_by_time);
    tcase_add_test(tc, a_pin_outlives_the_store);
    tcase_add_test(tc, a_batch_may_fill_a_segment_but_not_more);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(store_suite)
