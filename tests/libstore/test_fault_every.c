/* test_fault_every.c - every disk call of every workload fails in every way it can, one after the
 * other: fault_row() x n x workload. Whatever fails:
 *
 *   - what an append refused is not there, what it accepted is there after the next start;
 *   - what was said to be durable is there after a power cut, with exactly its bytes;
 *   - a file whose sync failed is never synced again, and nothing is committed over it;
 *   - the next start, on a healthy disk, works, and finds what was left: no more, no less.
 *
 * The one doubt that a disk can leave: a write that said no, wrote all the same, and could not be
 * wiped. The store stops then, and the next start may find that batch or not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"
#include "support/faulty_vfs.h"
#include "support/memory_vfs.h"
#include "support/suite.h"
#include "toy.h"

#define DIR "/d/store"

enum { MOST = 128, QUEUES = 5, SEGMENT = 32 * 1024 };

/* --- a life, and what was promised in it ------------------------------------------------------ */

struct life {
    struct toy_room room;   /* first; guarded by lock where there are threads, as what follows */
    struct toy after[MOST]; /* the state after so many appends that were accepted */
    int count;
    struct toy doubt; /* and if the one that stopped the store is there after all */
    bool doubtful;
    uint64_t durable; /* said to be, as a position */
    bool threads;     /* the store's own are running */
    int between;      /* what put_between puts; 0: nothing */
    struct sk_mutex lock;
    _Atomic int failures_told;
};

static void on_failed(void *owner, struct sk_status why)
{
    struct life *l = owner;
    ck_assert_int_eq(why.code, SK_IO);
    l->failures_told++;
}

/* The lock is held from one callback to the other, which the analysis cannot follow. */
static void lock_life(void *owner) SK_NO_THREAD_ANALYSIS
{
    sk_mutex_lock(&((struct life *)owner)->lock);
}
static void unlock_life(void *owner) SK_NO_THREAD_ANALYSIS
{
    sk_mutex_unlock(&((struct life *)owner)->lock);
}

/* Of a snapshot without threads: a record comes between two of its pages. */
static void put(struct life *l, int i, size_t count, size_t len);
static void put_between(void *owner)
{
    struct life *l = owner;
    if (l->between) put(l, l->between, 1, 100);
}

static struct sk_store_options options_of(struct life *l, struct sk_vfs *vfs)
{
    struct sk_store_options o = toy_options(&l->room.state, DIR, vfs);
    o.segment_bytes = SEGMENT;
    o.retention_bytes = SEGMENT;
    o.failed = on_failed;
    o.unlock = put_between;
    if (l->threads) {
        o.manual = false;
        o.lock = lock_life;
        o.unlock = unlock_life;
        o.snapshot_bytes = SEGMENT / 2;
        o.flush_interval_ms = 1;
        o.retention_bytes = 0;
    }
    return o;
}

static struct sk_status begin(struct life *l, struct sk_vfs *vfs, struct sk_recovery *found)
{
    struct sk_store_options o = options_of(l, vfs);
    memset(&l->room, 0, sizeof l->room);
    struct sk_status s = sk_store_open(&o, found, &l->room.store);
    for (uint32_t q = 0; sk_ok(s) && q < 64; q++)
        l->room.next[q] = sk_store_queue(l->room.store, q).max;
    return s;
}

static void note_durable(struct life *l)
{
    uint64_t now = sk_store_flushed(l->room.store);
    ck_assert_uint_ge(now, l->durable);
    l->durable = now;
}

/* A batch of `count` records of about `len` bytes, one of them too large to be copied; `end` is the
 * position behind it, if it was accepted. */
static bool put_at(struct life *l, int i, size_t count, size_t len, uint64_t *end)
{
    static uint8_t bytes[4][SEGMENT];
    struct sk_slice parts[4];
    struct sk_append batch[4];
    struct sk_span spans[4];
    struct toy_room *room = &l->room;
    uint64_t next[64];
    memcpy(next, room->next, sizeof next);
    for (size_t k = 0; k < count; k++) {
        uint32_t queue = (uint32_t)((size_t)i + k) % (QUEUES + 1);
        if (queue == QUEUES) queue = SK_NO_QUEUE;
        uint64_t offset = queue == SK_NO_QUEUE ? 0 : next[queue]++;
        size_t size = k == 1 ? len + 17 * 1024 : len + k;
        parts[k] = sk_slice_of(bytes[k], toy_payload(queue, offset, size, bytes[k]));
        batch[k] = (struct sk_append){.kind = 1,
                                      .queue = queue,
                                      .offset = offset,
                                      .tag_hash = (uint32_t)offset * 7,
                                      .time_ms = 1000 + (uint64_t)i,
                                      .parts = &parts[k],
                                      .part_count = 1};
    }
    struct toy after = room->state;
    struct sk_status s = sk_store_append(room->store, batch, count, false, spans);
    if (!l->threads) sk_store_publish(room->store);
    for (size_t k = 0; k < count; k++)
        toy_apply(&after, &(struct sk_record){.kind = 1,
                                              .queue = batch[k].queue,
                                              .offset = batch[k].offset,
                                              .span = sk_ok(s) ? spans[k] : (struct sk_span){0},
                                              .payload = parts[k]});
    if (!sk_ok(s)) {
        for (uint32_t q = 0; q < QUEUES; q++)
            ck_assert_uint_eq(sk_store_queue(room->store, q).max, room->next[q]);
        if (!l->doubtful) l->doubt = after; /* the first in a row */
        l->doubtful = true;
        return false;
    }
    l->doubtful = false;
    memcpy(room->next, next, sizeof next);
    room->state = l->after[++l->count] = after;
    ck_assert_int_lt(l->count, MOST - 1);
    *end = spans[count - 1].end;
    return true;
}

static void put(struct life *l, int i, size_t count, size_t len)
{
    uint64_t end;
    put_at(l, i, count, len, &end);
}

/* --- the workloads -----------------------------------------------------------------------------
 */

/* A new store: segment rolls, batches, flushes, snapshots, retention, an orderly stop. */
static void a_life(struct life *l)
{
    for (int i = 0; i < 44; i++) {
        put(l, i, i % 7 == 3 ? 3 : 1, (size_t)(i * 1531 % 3000));
        struct sk_status s = SK_SUCCESS;
        if (i % 9 == 5) s = sk_store_flush(l->room.store);
        l->between = i == 30 ? i : 0;
        if (i % 19 == 11) s = sk_store_snapshot(l->room.store);
        l->between = 0;
        if (i % 19 == 15) sk_store_retain(l->room.store);
        if (i == 30) sk_store_drop_queue(l->room.store, 63);
        (void)s;
        note_durable(l);
    }
}

/* A few more records, after whatever the opening had to do. */
static void a_short_life(struct life *l)
{
    for (int i = 0; i < 4; i++) {
        put(l, i, i == 2 ? 2 : 1, 300);
        struct sk_status s = i % 2 ? sk_store_flush(l->room.store) : SK_SUCCESS;
        (void)s;
        note_durable(l);
    }
}

/* Three writers, each waiting for every promise, beside the store's three threads. */
struct writer {
    struct life *life;
    int first;
    pthread_t thread;
    struct sk_mutex lock;
    struct sk_cond answered;
    bool answer, good; /* guarded by lock */
};

static void on_promise(void *arg, struct sk_status s)
{
    struct writer *w = arg;
    sk_mutex_lock(&w->lock);
    w->answer = true;
    w->good = sk_ok(s);
    sk_cond_signal(&w->answered);
    sk_mutex_unlock(&w->lock);
}

/* True: the record was promised to survive a power cut. */
static bool await(struct writer *w, uint64_t end)
{
    struct sk_gate_waiter waiter = {.position = end, .fn = on_promise, .arg = w};
    w->answer = false;
    sk_gate_wait(sk_store_flushed_gate(w->life->room.store), &waiter);
    sk_mutex_lock(&w->lock);
    while (!w->answer) sk_cond_wait(&w->answered, &w->lock);
    bool good = w->good;
    sk_mutex_unlock(&w->lock);
    return good;
}

static void *write_and_wait(void *arg)
{
    struct writer *w = arg;
    struct life *l = w->life;
    int refused = 0;
    for (int i = 0; i < 10 && refused < 2; i++) {
        uint64_t end = 0;
        sk_mutex_lock(&l->lock);
        bool accepted = put_at(l, w->first + i, i == 4 ? 2 : 1, (size_t)(i * 1531 % 3000), &end);
        sk_mutex_unlock(&l->lock);
        sk_store_publish(l->room.store);
        refused = accepted ? 0 : refused + 1;
        if (!accepted || !await(w, end)) continue;
        sk_mutex_lock(&l->lock);
        if (end > l->durable) l->durable = end;
        sk_mutex_unlock(&l->lock);
    }
    return NULL;
}

static void a_threaded_life(struct life *l)
{
    struct writer writers[3] = {{.first = 0}, {.first = 10}, {.first = 20}};
    for (int i = 0; i < 3; i++) {
        writers[i].life = l;
        sk_mutex_init(&writers[i].lock);
        sk_cond_init(&writers[i].answered);
        ck_ok(sk_thread_start("writer", write_and_wait, &writers[i], &writers[i].thread));
    }
    for (int i = 0; i < 3; i++) {
        sk_thread_join(writers[i].thread);
        sk_cond_done(&writers[i].answered);
        sk_mutex_done(&writers[i].lock);
    }
    sk_mutex_lock(&l->lock);
    note_durable(l);
    sk_mutex_unlock(&l->lock);
}

static struct memory_vfs *grown(int how)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct life l = {0};
    ck_ok(begin(&l, memory_vfs_door(disk), NULL));
    a_life(&l);
    ck_ok(sk_store_flush(l.room.store));
    for (int i = 0; i < 6; i++) put(&l, i, 1, 4000); /* a tail that no sync has covered */
    struct memory_vfs *killed =
        memory_vfs_crash(disk, memory_vfs_ops(disk), (enum memory_crash)how, 5);
    sk_store_close(l.room.store);
    struct memory_vfs *stopped = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_ALL, 0);
    memory_vfs_free(disk);
    memory_vfs_free(how < 0 ? killed : stopped);
    return how < 0 ? stopped : killed;
}

static struct memory_vfs *nothing(void)
{
    return memory_vfs_new();
}
static struct memory_vfs *stopped_store(void)
{
    return grown(-1);
}
static struct memory_vfs *killed_store(void)
{
    return grown(MEMORY_KEEP_ALL);
}
static struct memory_vfs *torn_store(void)
{
    return grown(MEMORY_KEEP_SOME);
}

/* The index is gone and the newest snapshot is bad: both are made good out of the log. */
static struct memory_vfs *damaged_store(void)
{
    struct memory_vfs *disk = grown(-1);
    struct sk_vfs *vfs = memory_vfs_door(disk);
    uint8_t *newest = NULL;
    for (uint64_t at = 0; at < 64 * SEGMENT; at += 8) {
        char path[96];
        size_t len;
        snprintf(path, sizeof path, DIR "/snapshot/%020llu.snap", (unsigned long long)at);
        uint8_t *bytes = memory_vfs_bytes(disk, path, &len);
        if (bytes) newest = bytes;
        snprintf(path, sizeof path, DIR "/index/%020llu.idx", (unsigned long long)at);
        if (at % SEGMENT == 0 && vfs->unlink(vfs, path) == 0) continue;
    }
    ck_assert_ptr_nonnull(newest);
    newest[4100] ^= 1;
    return disk;
}

static const struct { /* the last one is the one with threads */
    const char *name;
    struct memory_vfs *(*disk)(void);
    void (*run)(struct life *l);
    bool threads;
} workloads[] = {
    {"a life from nothing", nothing, a_life, false},
    {"a start after an orderly stop", stopped_store, a_short_life, false},
    {"a recovery after a kill", killed_store, a_short_life, false},
    {"a recovery after a power cut", torn_store, a_short_life, false},
    {"a recovery of derived files", damaged_store, a_short_life, false},
    {"a life with all its threads", nothing, a_threaded_life, true},
};

/* --- checking --------------------------------------------------------------------------------- */

struct what {
    const char *workload;
    struct fault_row row;
    long nth;
};

static const char *name_of(const struct what *w)
{
    static char name[256];
    snprintf(name, sizeof name, "%s, call %ld: %s", w->workload, w->nth, fault_row_name(&w->row));
    return name;
}

static bool same(const struct toy *a, const struct toy *b)
{
    return a->records == b->records && a->sum == b->sum;
}

/* Open it on a healthy disk: it is what so many appends left, at least `least` of them. */
static void check_image(const struct life *l, struct memory_vfs *disk, const struct what *w,
                        const char *image, int least)
{
    struct life again = {0};
    struct sk_status s = begin(&again, memory_vfs_door(disk), NULL);
    ck_assert_msg(sk_ok(s), "%s, %s: %s", name_of(w), image, sk_status_text(&s));
    bool doubtful = l->doubtful && l->failures_told && w->row.verb == FAULT_PWRITEV;
    bool fits = doubtful && same(&again.room.state, &l->doubt);
    for (int k = least; !fits && k <= l->count; k++) fits = same(&again.room.state, &l->after[k]);
    ck_assert_msg(fits, "%s, %s: %llu records are found; %llu were accepted, %llu durable",
                  name_of(w), image, (unsigned long long)again.room.state.records,
                  (unsigned long long)l->after[l->count].records,
                  (unsigned long long)l->after[least].records);
    toy_check_queues(&again.room);
    struct sk_span span;
    s = toy_try_put(&again.room, 3, 50, &span); /* and it goes on from there */
    ck_assert_msg(sk_ok(s), "%s, %s: %s", name_of(w), image, sk_status_text(&s));
    sk_store_close(again.room.store);
}

/* How many of the appends were promised to survive a power cut. */
static int promised(const struct life *l)
{
    int k = 0;
    while (k < l->count && l->after[k + 1].last_position <= l->durable) k++;
    return k;
}

static void check(const struct life *l, struct memory_vfs *disk, struct faulty_vfs *faulty,
                  const struct what *w)
{
    bool lossy = w->row.mode == FAULT_DROPPED || w->row.mode == FAULT_HALVED;
    int durable = promised(l);
    ck_assert_int_le(l->failures_told, 1);
    ck_assert_msg(faulty->retried == 0, "%s: a sync that failed was tried again", name_of(w));
    size_t ops = memory_vfs_ops(disk);
    struct memory_vfs *cut = memory_vfs_crash(disk, ops, MEMORY_KEEP_SYNCED, 0);
    check_image(l, cut, w, "what was synced", durable);
    memory_vfs_free(cut);
    cut = memory_vfs_crash(disk, ops, MEMORY_KEEP_SOME, (uint64_t)w->nth);
    check_image(l, cut, w, "some of the rest, too", durable);
    memory_vfs_free(cut);
    check_image(l, disk, w, "after a kill", lossy ? durable : l->count);
}

/* --- the loop --------------------------------------------------------------------------------- */

struct matrix {
    struct memory_vfs *base;
    struct toy found; /* what a healthy opening of it finds */
    uint64_t tail;
    long cases;
};

/* One case; false: the run made fewer than nth such calls. */
static bool run_case(struct matrix *m, int workload, const struct what *w)
{
    struct memory_vfs *disk = memory_vfs_copy(m->base);
    memory_vfs_rebase(disk);
    struct faulty_vfs faulty = faulty_vfs_over(memory_vfs_door(disk));
    static struct life l;
    memset(&l, 0, sizeof l);
    l.after[0] = m->found;
    l.threads = workloads[workload].threads;
    sk_mutex_init(&l.lock);
    faulty_vfs_arm_row(&faulty, &w->row, w->nth);
    struct sk_status s = begin(&l, &faulty.vfs, NULL);
    if (sk_ok(s)) {
        ck_assert_msg(same(&l.room.state, &m->found), "%s: opened with another state", name_of(w));
        l.durable = m->tail;
        workloads[workload].run(&l);
        sk_store_close(l.room.store);
    } else {
        ck_assert_msg(s.detail[0], "%s: refused without a word", name_of(w));
    }
    bool fired = faulty.fired;
    if (fired) check(&l, disk, &faulty, w);
    m->cases += fired;
    sk_mutex_done(&l.lock);
    faulty_vfs_done(&faulty);
    memory_vfs_free(disk);
    return fired;
}

static struct matrix matrix_of(int workload)
{
    struct matrix m = {.base = workloads[workload].disk()};
    struct memory_vfs *healthy = memory_vfs_copy(m.base);
    struct life l = {0};
    struct sk_recovery found;
    ck_ok(begin(&l, memory_vfs_door(healthy), &found));
    m.found = l.room.state;
    m.tail = found.tail;
    sk_store_close(l.room.store);
    memory_vfs_free(healthy);
    return m;
}

/* Under sanitizers all of it takes minutes: every call there in scripts/prove.sh, else a quarter.
 */
static int stride(void)
{
    return getenv("SKUA_PROVE") ? 1 : 4;
}

START_TEST(whatever_fails_is_told_or_true)
{
    struct matrix m = matrix_of(_i);
    struct what w = {.workload = workloads[_i].name};
    int rows = 0;
    for (; fault_row(rows, &w.row); rows++) {
        for (w.nth = 1 + rows % stride(); run_case(&m, _i, &w);) w.nth += stride();
    }
    memory_vfs_free(m.base);
    printf("%s: %d ways to fail, %ld cases\n", workloads[_i].name, rows, m.cases);
    ck_assert_int_gt(m.cases, 1000 / stride());
}
END_TEST

/* --- looking ---------------------------------------------------------------------------------- */

static bool count_record(void *arg, const struct sk_record *record)
{
    (void)record;
    ++*(uint64_t *)arg;
    return true;
}

START_TEST(verify_says_all_is_well_only_if_it_could_read_all)
{
    struct memory_vfs *disk = stopped_store();
    struct sk_verify_result healthy, result;
    ck_ok(sk_store_verify(DIR, memory_vfs_door(disk), NULL, NULL, &healthy));
    struct what w = {.workload = "verify"};
    long cases = 0;
    for (int row = 0; fault_row(row, &w.row); row++) {
        bool again = true;
        for (w.nth = 1; again; w.nth++) {
            struct faulty_vfs faulty = faulty_vfs_over(memory_vfs_door(disk));
            faulty_vfs_arm_row(&faulty, &w.row, w.nth);
            struct sk_status s = sk_store_verify(DIR, &faulty.vfs, NULL, NULL, &result);
            ck_assert_msg(!sk_ok(s) || result.records == healthy.records,
                          "%s: %llu of %llu records", name_of(&w),
                          (unsigned long long)result.records, (unsigned long long)healthy.records);
            again = faulty.fired;
            faulty_vfs_arm_row(&faulty, &w.row, w.nth);
            uint64_t seen = 0;
            s = sk_store_dump(DIR, &faulty.vfs, 0, count_record, &seen);
            ck_assert_msg(!sk_ok(s) || seen == healthy.records, "%s: dumped %llu", name_of(&w),
                          (unsigned long long)seen);
            cases += again + faulty.fired;
            again |= faulty.fired;
            ck_assert_int_eq(faulty.calls[FAULT_PWRITEV] + faulty.calls[FAULT_UNLINK] +
                                 faulty.calls[FAULT_RENAME] + faulty.calls[FAULT_TRUNCATE],
                             0); /* it only looks */
            faulty_vfs_done(&faulty);
        }
    }
    memory_vfs_free(disk);
    printf("verify and dump: %ld cases\n", cases);
    ck_assert_int_gt(cases, 50);
}
END_TEST

static Suite *fault_suite(void)
{
    Suite *suite = suite_create("libstore/fault_every");
    TCase *tc = tcase_create("matrix");
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, whatever_fails_is_told_or_true, 0, ROWS(workloads) - 1);
    tcase_add_test(tc, verify_says_all_is_well_only_if_it_could_read_all);
    suite_add_tcase(suite, tc);
    tc = tcase_create("threads"); /* for the thread sanitizer, too */
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, whatever_fails_is_told_or_true, ROWS(workloads) - 1, ROWS(workloads));
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(fault_suite)
