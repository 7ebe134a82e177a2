/* test_fault.c - fail each disk call of a workload, one after the other. Whatever fails: an append
 * that said no has left nothing, one that said yes is there after the next start, and a failed
 * sync stops the store. */
#include <errno.h>
#include <stdlib.h>

#include "support/faulty_vfs.h"
#include "support/memory_vfs.h"
#include "support/suite.h"
#include "toy.h"

#define DIR "/d/store"

static int failures_told;

static void on_failed(void *owner, struct sk_status why)
{
    (void)owner;
    ck_assert_int_eq(why.code, SK_IO);
    failures_told++;
}

static struct sk_store_options small(struct toy_room *room, struct sk_vfs *vfs)
{
    struct sk_store_options o = toy_options(&room->state, DIR, vfs);
    o.segment_bytes = 16 * 1024;
    o.retention_bytes = 24 * 1024;
    o.failed = on_failed;
    return o;
}

static struct sk_status open_on(struct toy_room *room, struct sk_vfs *vfs)
{
    struct sk_store_options o = small(room, vfs);
    memset(room, 0, sizeof *room);
    struct sk_status s = sk_store_open(&o, NULL, &room->store);
    for (uint32_t q = 0; sk_ok(s) && q < 64; q++)
        room->next[q] = sk_store_queue(room->store, q).max;
    return s;
}

/* A life of the store, in which any call may fail; `left` is the state its records add up to. */
static void live(struct sk_vfs *vfs, struct toy *left)
{
    struct toy_room room;
    if (!sk_ok(open_on(&room, vfs))) return;
    for (int i = 0; i < 40; i++) {
        struct sk_span span;
        uint64_t tail = sk_store_tail(room.store);
        struct sk_queue_range range = sk_store_queue(room.store, 1);
        struct sk_status s = toy_try_put(&room, 1, (size_t)(i * 53 % 1700), &span);
        if (!sk_ok(s)) {
            ck_assert_uint_eq(sk_store_queue(room.store, 1).max, range.max);
            ck_assert_uint_ge(sk_store_tail(room.store), tail); /* a pad may have been written */
        }
        sk_store_publish(room.store);
        if (i % 9 == 5) s = sk_store_flush(room.store);
        if (i % 19 == 11) s = sk_store_snapshot(room.store);
        if (i % 19 == 15) sk_store_retain(room.store);
    }
    *left = room.state;
    sk_store_close(room.store);
}

static const struct {
    const char *name;
    enum fault_verb verb;
    enum fault_mode mode;
    int error;
} rows[] = {
    {"EIO once", FAULT_ANY, FAULT_ONCE, EIO},
    {"EIO for ever", FAULT_ANY, FAULT_STICKY, EIO},
    {"full once", FAULT_PWRITEV, FAULT_ONCE, ENOSPC},
    {"full for ever", FAULT_PWRITEV, FAULT_STICKY, ENOSPC},
    {"half a write", FAULT_PWRITEV, FAULT_SHORT, EIO},
    {"half a write, then full", FAULT_PWRITEV, FAULT_SHORT, ENOSPC},
    {"written, but said no", FAULT_PWRITEV, FAULT_LATE, EIO},
    {"no room for a segment", FAULT_ALLOCATE, FAULT_STICKY, ENOSPC},
    {"interrupted", FAULT_PWRITEV, FAULT_ONCE, EINTR},
    {"out of descriptors", FAULT_OPEN, FAULT_ONCE, EMFILE},
};

START_TEST(any_call_may_fail)
{
    bool again = true;
    long nth = 1;
    for (; again; nth++) {
        struct memory_vfs *disk = memory_vfs_new();
        struct faulty_vfs faulty = faulty_vfs_over(memory_vfs_door(disk));
        struct toy left = {0};
        failures_told = 0;
        faulty_vfs_arm(&faulty, rows[_i].verb, nth, rows[_i].error, rows[_i].mode);
        live(&faulty.vfs, &left);
        again = faulty.fired;
        ck_assert_int_le(failures_told, 1);

        struct toy_room room;
        struct sk_status s = open_on(&room, memory_vfs_door(disk));
        ck_assert_msg(sk_ok(s), "%s, call %ld: %s", rows[_i].name, nth, sk_status_text(&s));
        ck_assert_msg(memcmp(&left, &room.state, sizeof left) == 0,
                      "%s, call %ld: %llu records were left, %llu are found", rows[_i].name, nth,
                      (unsigned long long)left.records, (unsigned long long)room.state.records);
        toy_check_queues(&room);
        sk_store_close(room.store);
        memory_vfs_free(disk);
    }
    ck_assert_int_gt(nth, 3);
}
END_TEST

static void on_closed(void *arg, struct sk_status s)
{
    *(enum sk_code *)arg = s.code;
}

START_TEST(a_failed_sync_stops_the_store)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct faulty_vfs faulty = faulty_vfs_over(memory_vfs_door(disk));
    struct toy_room room;
    failures_told = 0;
    ck_ok(open_on(&room, &faulty.vfs));
    struct sk_span span = toy_put(&room, 1, 100);
    enum sk_code woken = SK_OK;
    struct sk_gate_waiter w = {.position = span.end, .fn = on_closed, .arg = &woken};
    sk_gate_wait(sk_store_flushed_gate(room.store), &w);

    faulty_vfs_arm(&faulty, FAULT_FDATASYNC, 1, EIO, FAULT_ONCE);
    ck_assert_int_eq(sk_store_flush(room.store).code, SK_IO);
    ck_assert_int_eq(woken, SK_IO);
    ck_assert_int_eq(failures_told, 1);
    long syncs = faulty.calls[FAULT_FDATASYNC];
    ck_assert_int_eq(sk_store_flush(room.store).code, SK_IO); /* the disk would say yes now */
    ck_assert_int_eq(toy_try_put(&room, 1, 10, &span).code, SK_IO);
    ck_assert_int_eq(faulty.calls[FAULT_FDATASYNC], syncs);
    ck_assert_uint_lt(sk_store_flushed(room.store), span.end);

    struct sk_pinned pinned; /* reading goes on */
    ck_ok(sk_store_read(room.store, span.begin, &pinned));
    sk_unpin(pinned.pin);
    sk_store_close(room.store);
    memory_vfs_free(disk);
    ck_assert_int_eq(failures_told, 1);
}
END_TEST

START_TEST(an_append_that_cannot_be_undone_stops_the_store)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct faulty_vfs faulty = faulty_vfs_over(memory_vfs_door(disk));
    struct toy_room room;
    struct sk_span span;
    failures_told = 0;
    ck_ok(open_on(&room, &faulty.vfs));
    toy_put(&room, 1, 100);
    faulty_vfs_arm(&faulty, FAULT_PWRITEV, 1, EIO, FAULT_LATE_STICKY);
    ck_assert_int_eq(toy_try_put(&room, 1, 200, &span).code, SK_IO);
    faulty_vfs_disarm(&faulty);
    ck_assert_int_eq(toy_try_put(&room, 1, 100, &span).code, SK_IO);
    ck_assert_int_eq(failures_told, 0); /* not under the owner's lock */
    sk_store_publish(room.store);
    ck_assert_int_eq(failures_told, 1);
    ck_assert_uint_eq(sk_store_queue(room.store, 1).max, 1);
    sk_store_close(room.store);
    ck_ok(open_on(&room, memory_vfs_door(disk)));
    ck_assert_uint_ge(room.state.records, 1); /* what became of the other nobody was told */
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

START_TEST(a_full_disk_refuses_sends_but_not_acks)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct faulty_vfs faulty = faulty_vfs_over(memory_vfs_door(disk));
    struct toy_room room;
    struct sk_store_options o = small(&room, &faulty.vfs);
    memset(&room, 0, sizeof room);
    o.disk_refuse_percent = 95;
    ck_ok(sk_store_open(&o, NULL, &room.store));
    toy_put(&room, 1, 100);
    faulty.full_percent = 96;
    sk_store_retain(room.store);
    struct sk_span span;
    struct sk_status s = toy_try_put(&room, 1, 100, &span);
    ck_assert_int_eq(s.code, SK_FULL);
    ck_assert_msg(strstr(s.detail, "96 %") != NULL, "%s", s.detail);
    ck_assert(sk_store_stats(room.store).refusing);
    struct sk_append ack = {.kind = 2, .queue = SK_NO_QUEUE, .time_ms = 1};
    ck_ok(sk_store_append(room.store, &ack, 1, true, &span));
    faulty.full_percent = 95;
    sk_store_retain(room.store);
    toy_put(&room, 1, 100);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

static Suite *fault_suite(void)
{
    Suite *suite = suite_create("libstore/fault");
    TCase *tc = tcase_create("faults");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, any_call_may_fail, 0, ROWS(rows));
    tcase_add_test(tc, a_failed_sync_stops_the_store);
    tcase_add_test(tc, an_append_that_cannot_be_undone_stops_the_store);
    tcase_add_test(tc, a_full_disk_refuses_sends_but_not_acks);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(fault_suite)
