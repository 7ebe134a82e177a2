/* test_fault_follow.c - every disk call of a follower's life fails in every way it can, as in
 * test_fault_every.c: while it receives, over segments and pads, flushes, takes snapshots, stops,
 * and recovers. Whatever fails:
 *
 *   - a slice that was refused changed nothing, and can be given again;
 *   - at the next start, on a healthy disk, the log is a prefix of the source's, byte for byte, the
 *     state is the source's at that position, and what was said to be durable is in it. */
#include <stdio.h>
#include <stdlib.h>

#include "pair.h"
#include "store_impl.h"
#include "support/faulty_vfs.h"
#include "support/suite.h"

enum { SEGMENT = 16 * 1024, RECORDS = 512 };

static struct pair pair;           /* the source lives through all cases */
static struct memory_vfs *empty;   /* a follower's disk before it has anything */
static struct toy states[RECORDS]; /* of the source after so many records; at a batch's end */
static uint64_t durable;           /* said to be, as a position */
static _Atomic int failures_told;

static void on_failed(void *owner, struct sk_status why)
{
    (void)owner;
    ck_assert_int_eq(why.code, SK_IO);
    failures_told++;
}

static void setup(void)
{
    pair_open(&pair, SEGMENT);
    empty = memory_vfs_copy(pair.disks[1]);
    sk_store_close(pair.follower.store);
    pair.follower.store = NULL;
    while (sk_store_tail(pair.source.store) < 4 * SEGMENT) {
        pair_fill(&pair, sk_store_tail(pair.source.store) + 1); /* one batch */
        ck_assert_uint_lt(pair.source.state.records, RECORDS);
        states[pair.source.state.records] = pair.source.state;
    }
}

static void teardown(void)
{
    memory_vfs_free(empty);
    pair_close(&pair);
}

static struct sk_status open_follower(struct sk_vfs *vfs)
{
    struct sk_store_options o = pair.options;
    o.vfs = vfs;
    o.fold.owner = &pair.follower.state;
    o.failed = on_failed;
    pair.follower.state = (struct toy){0};
    return sk_store_open(&o, NULL, &pair.follower.store);
}

static void note_durable(void)
{
    uint64_t now = sk_store_flushed(pair.follower.store);
    ck_assert_uint_ge(now, durable);
    durable = now;
}

/* One slice more; refused: as if nothing had been. */
static void receive_one(uint64_t slice_bytes)
{
    sk_store *store = pair.follower.store;
    sk_log_stream *stream = NULL;
    struct sk_log_stream_slice slice;
    struct sk_span span;
    uint64_t tail = sk_store_tail(store);
    struct toy before = pair.follower.state;
    ck_ok(sk_log_stream_open(pair.source.store, tail,
                             &(struct sk_log_stream_options){.slice_bytes = slice_bytes}, &stream));
    ck_ok(sk_log_stream_next(stream, UINT64_MAX, &slice));
    if (slice.bytes.len) {
        struct sk_status s = sk_store_receive(store, slice.span.begin, slice.bytes, &span);
        if (!sk_ok(s)) {
            ck_assert(s.detail[0]);
            ck_assert_mem_eq(&before, &pair.follower.state, sizeof before);
            /* The way to the next segment may be gone already, where there was no room for a
             * pad. */
            ck_assert_uint_eq(sk_commitlog_place(&store->log, sk_store_tail(store)),
                              sk_commitlog_place(&store->log, tail));
        }
        sk_unpin(slice.pin);
    }
    sk_log_stream_close(stream);
}

static void live(void)
{
    for (int i = 0; i < 40; i++) {
        receive_one(i % 3 ? 1 : 3000);
        struct sk_status s = SK_SUCCESS;
        if (i % 7 == 5) s = sk_store_flush(pair.follower.store);
        if (i % 16 == 11) s = sk_store_snapshot(pair.follower.store);
        if (i % 16 == 15) sk_store_retain(pair.follower.store);
        (void)s;
        note_durable();
    }
}

/* --- checking --------------------------------------------------------------------------------- */

static const char *name_of(const struct fault_row *row, long nth)
{
    static char name[128];
    snprintf(name, sizeof name, "call %ld: %s", nth, fault_row_name(row));
    return name;
}

static void check_image(struct memory_vfs *disk, uint64_t least, const char *what)
{
    pair.disks[1] = disk;
    struct sk_status s = open_follower(memory_vfs_door(disk));
    ck_assert_msg(sk_ok(s), "%s: %s", what, sk_status_text(&s));
    const struct toy *found = &pair.follower.state;
    ck_assert_msg(
        found->records < RECORDS && memcmp(found, &states[found->records], sizeof *found) == 0,
        "%s: %llu records fold to another state", what, (unsigned long long)found->records);
    ck_assert_msg(sk_store_tail(pair.follower.store) >= least, "%s: less than is durable", what);
    pair_check_bytes(&pair);
    toy_check_queues(&pair.follower);
    pair_feed(&pair, UINT64_MAX, 2000); /* and it goes on from there */
    pair_check_equal(&pair);
    sk_store_close(pair.follower.store);
    pair.follower.store = NULL;
}

static void check(struct memory_vfs *disk, const struct faulty_vfs *faulty, long nth,
                  const struct fault_row *row)
{
    bool lossy = row->mode == FAULT_DROPPED || row->mode == FAULT_HALVED;
    const char *what = name_of(row, nth);
    ck_assert_int_le(failures_told, 1);
    ck_assert_msg(faulty->retried == 0, "%s: a sync that failed was tried again", what);
    size_t ops = memory_vfs_ops(disk);
    for (int how = MEMORY_KEEP_ALL; how <= MEMORY_KEEP_SOME; how++) {
        if (how == MEMORY_KEEP_ALL && lossy) continue;
        struct memory_vfs *image =
            memory_vfs_crash(disk, ops, (enum memory_crash)how, (uint64_t)nth);
        check_image(image, durable, what);
        memory_vfs_free(image);
    }
    pair.disks[1] = NULL;
}

/* --- the loop --------------------------------------------------------------------------------- */

/* False: the run made fewer than nth such calls. */
static bool run_case(struct memory_vfs *base, const struct fault_row *row, long nth)
{
    struct memory_vfs *disk = memory_vfs_copy(base);
    memory_vfs_rebase(disk);
    struct faulty_vfs faulty = faulty_vfs_over(memory_vfs_door(disk));
    durable = 0;
    failures_told = 0;
    faulty_vfs_arm_row(&faulty, row, nth);
    struct sk_status s = open_follower(&faulty.vfs);
    if (sk_ok(s)) {
        note_durable();
        live();
        sk_store_close(pair.follower.store);
    }
    pair.follower.store = NULL;
    bool fired = faulty.fired;
    if (fired) check(disk, &faulty, nth, row);
    faulty_vfs_done(&faulty);
    memory_vfs_free(disk);
    return fired;
}

/* A follower that was killed in the middle: its recovery is what fails. */
static struct memory_vfs *half_way(void)
{
    struct memory_vfs *disk = memory_vfs_copy(empty);
    memory_vfs_rebase(disk);
    ck_ok(open_follower(memory_vfs_door(disk)));
    while (sk_store_tail(pair.follower.store) < 2 * SEGMENT) receive_one(2000);
    ck_ok(sk_store_flush(pair.follower.store));
    for (int i = 0; i < 8; i++) receive_one(1);
    struct memory_vfs *killed = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_ALL, 0);
    sk_store_close(pair.follower.store);
    pair.follower.store = NULL;
    memory_vfs_free(disk);
    return killed;
}

static int stride(void)
{
    return getenv("SKUA_PROVE") ? 1 : 8;
}

START_TEST(a_follower_is_a_prefix_whatever_fails)
{
    memory_vfs_free(pair.disks[1]);
    pair.disks[1] = NULL;
    struct memory_vfs *base = _i ? half_way() : memory_vfs_copy(empty);
    struct fault_row row;
    long cases = 0;
    for (int i = 0; fault_row(i, &row); i++)
        for (long nth = 1 + i % stride(); run_case(base, &row, nth); nth += stride()) cases++;
    memory_vfs_free(base);
    printf("a follower's life, %s: %ld cases\n", _i ? "after a kill" : "from nothing", cases);
    ck_assert_int_gt(cases, 1000 / stride());
}
END_TEST

static Suite *fault_follow_suite(void)
{
    Suite *suite = suite_create("libstore/fault_follow");
    TCase *tc = tcase_create("matrix");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, a_follower_is_a_prefix_whatever_fails, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(fault_follow_suite)
