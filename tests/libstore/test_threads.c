/* test_threads.c - many writers, readers, snapshots and retention at once, on the real disk. Under
 * the thread sanitizer this is the suite that looks for races. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/thread.h"
#include "support/faulty_vfs.h"
#include "support/memory_vfs.h"
#include "support/suite.h"
#include "toy.h"

static char dir[64];

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/skua-threads-XXXXXX");
    ck_assert(mkdtemp(dir) != NULL);
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

struct scene {
    struct toy_room room;
    struct sk_mutex lock;
    _Atomic bool over;
    _Atomic uint64_t reads, flushes;
};

/* The lock is held from one callback to the other, which the analysis cannot follow. */
static void lock_scene(void *owner) SK_NO_THREAD_ANALYSIS
{
    sk_mutex_lock(&((struct scene *)owner)->lock);
}
static void unlock_scene(void *owner) SK_NO_THREAD_ANALYSIS
{
    sk_mutex_unlock(&((struct scene *)owner)->lock);
}

static void on_flush(void *owner, const struct sk_status *why)
{
    (void)why;
    ((struct scene *)owner)->flushes++;
}

static void open_scene(struct scene *s, bool write_ahead, struct sk_vfs *vfs)
{
    memset(s, 0, sizeof *s);
    sk_mutex_init(&s->lock);
    struct sk_store_options o = toy_options(&s->room.state, dir, vfs);
    o.fold.owner = s; /* the room's state comes first */
    o.manual = false;
    o.write_ahead = write_ahead;
    o.segment_bytes = 256 * 1024;
    o.snapshot_bytes = 300 * 1024;
    o.retention_bytes = 512 * 1024;
    o.flush_interval_ms = 5;
    o.cache_bytes = 128 * 1024;
    o.lock = lock_scene;
    o.unlock = unlock_scene;
    ck_ok(sk_store_open(&o, NULL, &s->room.store));
    sk_gate_follow(sk_store_flushed_gate(s->room.store), on_flush, s);
}

struct waiter {
    struct sk_mutex lock;
    struct sk_cond wake;
    bool passed;
};

static void on_passed(void *arg, struct sk_status s)
{
    struct waiter *w = arg;
    ck_ok(s);
    sk_mutex_lock(&w->lock);
    w->passed = true;
    sk_cond_signal(&w->wake);
    sk_mutex_unlock(&w->lock);
}

static void await(struct scene *s, uint64_t position)
{
    struct waiter w = {.passed = false};
    sk_mutex_init(&w.lock);
    sk_cond_init(&w.wake);
    struct sk_gate_waiter g = {.position = position, .fn = on_passed, .arg = &w};
    sk_gate_wait(sk_store_flushed_gate(s->room.store), &g);
    sk_mutex_lock(&w.lock);
    while (!w.passed) sk_cond_wait(&w.wake, &w.lock);
    sk_mutex_unlock(&w.lock);
    sk_cond_done(&w.wake);
    sk_mutex_done(&w.lock);
}

struct writer {
    struct scene *scene;
    uint32_t queue;
    int count;
    pthread_t thread;
};

static void *write_and_wait(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; i < w->count; i++) {
        struct sk_span span;
        sk_mutex_lock(&w->scene->lock);
        ck_ok(toy_try_put(&w->scene->room, w->queue, 700, &span));
        sk_mutex_unlock(&w->scene->lock);
        sk_store_publish(w->scene->room.store);
        await(w->scene, span.end);
        ck_assert_uint_ge(sk_store_flushed(w->scene->room.store), span.end);
    }
    return NULL;
}

static void run_writers(struct scene *s, struct writer *w, int threads, int count)
{
    for (int i = 0; i < threads; i++) {
        w[i] = (struct writer){.scene = s, .queue = (uint32_t)i % 8, .count = count};
        ck_ok(sk_thread_start("writer", write_and_wait, &w[i], &w[i].thread));
    }
    for (int i = 0; i < threads; i++) sk_thread_join(w[i].thread);
}

/* A disk that takes its time, as one does whose cache is not the host's memory. */
static int sync_slowly(struct sk_vfs *v, int fd)
{
    usleep(2000);
    return sk_vfs_real()->fdatasync(v, fd);
}

START_TEST(many_waiters_share_a_sync)
{
    enum { THREADS = 32, EACH = 40 };
    static struct scene s;
    struct writer w[THREADS];
    struct sk_vfs slow = *sk_vfs_real();
    slow.fdatasync = sync_slowly;
    open_scene(&s, true, &slow);
    run_writers(&s, w, THREADS, EACH);
    struct sk_store_stats stats = sk_store_stats(s.room.store);
    ck_assert_uint_eq(stats.appended_records, THREADS * EACH);
    ck_assert_uint_lt(stats.flushes, THREADS * EACH / 2);
    ck_assert_uint_gt(s.flushes, 0);
    sk_store_close(s.room.store);
    sk_mutex_done(&s.lock);
}
END_TEST

/* Read whatever the index shows while it grows at one end and shrinks at the other. */
static void *read_all(void *arg)
{
    struct scene *s = arg;
    uint64_t from[8] = {0};
    while (!atomic_load(&s->over)) {
        for (uint32_t q = 0; q < 8; q++) {
            struct sk_index_entry e[16];
            struct sk_queue_range range = sk_store_queue(s->room.store, q);
            ck_assert_uint_le(range.min, range.max);
            if (from[q] < range.min || from[q] >= range.max) from[q] = range.min;
            size_t n = sk_store_lookup(s->room.store, q, from[q], 16, e);
            for (size_t i = 0; i < n; i++) {
                struct sk_pinned p;
                struct sk_status status = sk_store_read(s->room.store, e[i].position, &p);
                if (status.code == SK_NOT_FOUND) continue; /* retention was faster */
                ck_ok(status);
                ck_assert_uint_eq(p.record.queue, q);
                ck_assert_uint_eq(p.record.offset, from[q] + i);
                ck_assert_uint_eq(p.record.payload.len, 700);
                sk_unpin(p.pin);
                s->reads++;
            }
            from[q] += n;
            sk_store_offset_by_time(s->room.store, q, 1000 + s->reads % 5000);
        }
    }
    return NULL;
}

static void *clean_up(void *arg)
{
    struct scene *s = arg;
    while (!atomic_load(&s->over)) {
        ck_ok(sk_store_snapshot(s->room.store));
        sk_store_retain(s->room.store);
        (void)sk_store_stats(s->room.store);
    }
    return NULL;
}

static const bool modes[] = {true, false};

START_TEST(readers_need_no_lock_while_all_moves)
{
    enum { THREADS = 4, EACH = 800 };
    static struct scene s;
    struct writer w[THREADS];
    pthread_t readers[2], cleaner;
    open_scene(&s, modes[_i], NULL);
    for (int i = 0; i < 2; i++) ck_ok(sk_thread_start("reader", read_all, &s, &readers[i]));
    ck_ok(sk_thread_start("cleaner", clean_up, &s, &cleaner));
    run_writers(&s, w, THREADS, EACH);
    atomic_store(&s.over, true);
    for (int i = 0; i < 2; i++) sk_thread_join(readers[i]);
    sk_thread_join(cleaner);
    ck_assert_uint_gt(s.reads, 1000);
    ck_assert_uint_gt(sk_store_begin(s.room.store), 4096); /* retention did something */
    toy_check_queues(&s.room);
    struct toy state = s.room.state;
    sk_store_close(s.room.store);
    sk_mutex_done(&s.lock);

    struct toy_room again;
    toy_open(&again, dir, NULL);
    ck_assert_mem_eq(&state, &again.state, sizeof state);
    toy_check_queues(&again);
    sk_store_close(again.store);
    ck_ok(sk_store_verify(dir, NULL, NULL, NULL, NULL));
}
END_TEST

/* A tail at the very end of a segment is also the beginning of the next one: in the moment of a
 * roll the helper took the header of the new segment for room to be filled with zeros. */
START_TEST(zeros_ahead_spare_the_header_of_a_new_segment)
{
    enum { SEGMENT = 8192, FILLS_IT = SEGMENT - 4096 - 56, ROLLS = 100 };
    static struct scene s;
    memset(&s, 0, sizeof s);
    sk_mutex_init(&s.lock);
    struct memory_vfs *disk = memory_vfs_new();
    struct sk_store_options o = toy_options(&s.room.state, "/d/store", memory_vfs_door(disk));
    o.manual = false;
    o.segment_bytes = SEGMENT;
    o.lock = lock_scene;
    o.unlock = unlock_scene;
    ck_ok(sk_store_open(&o, NULL, &s.room.store));
    for (int i = 0; i < ROLLS; i++) {
        sk_mutex_lock(&s.lock);
        struct sk_span span = toy_put(&s.room, 0, FILLS_IT);
        sk_mutex_unlock(&s.lock);
        ck_assert_uint_eq(span.end % SEGMENT, 0);
        if (i % 4 == 0) await(&s, span.end);
    }
    sk_store_close(s.room.store);
    ck_ok(sk_store_verify("/d/store", memory_vfs_door(disk), NULL, NULL, NULL));
    memory_vfs_free(disk);
    sk_mutex_done(&s.lock);
}
END_TEST

/* --- a flush on the thread that asks -------------------------------------------------------- */

static _Thread_local bool this_is_the_asker;
static _Atomic unsigned synced_by_asker;
static _Atomic bool disk_is_slow;

static int sync_and_see_who(struct sk_vfs *v, int fd)
{
    (void)v, (void)fd;
    if (this_is_the_asker) synced_by_asker++;
    if (disk_is_slow) usleep(20 * SK_QUICK_FLUSH_US);
    return 0;
}

static bool asking_flushes_here(struct scene *s)
{
    unsigned before = synced_by_asker;
    sk_mutex_lock(&s->lock);
    struct sk_span span = toy_put(&s->room, 0, 700);
    sk_mutex_unlock(&s->lock);
    sk_store_demand_here(s->room.store);
    bool here = synced_by_asker > before;
    if (here) ck_assert_uint_ge(sk_store_flushed(s->room.store), span.end);
    await(s, span.end);
    return here;
}

START_TEST(who_asks_flushes_where_the_disk_is_quick)
{
    enum { TRIES = 20000, FEW = 40 };
    static struct scene s;
    struct sk_vfs vfs = *sk_vfs_real();
    vfs.fdatasync = sync_and_see_who;
    this_is_the_asker = true;
    disk_is_slow = false;
    open_scene(&s, true, &vfs);
    ck_assert(!asking_flushes_here(&s)); /* nothing is known yet */
    int tries = 0;
    while (!asking_flushes_here(&s)) ck_assert_int_lt(++tries, TRIES);
    disk_is_slow = true;
    for (tries = 0; asking_flushes_here(&s);) ck_assert_int_lt(++tries, FEW);
    ck_assert(!asking_flushes_here(&s));
    disk_is_slow = false;
    for (tries = 0; !asking_flushes_here(&s);) ck_assert_int_lt(++tries, TRIES);
    sk_store_close(s.room.store);
    sk_mutex_done(&s.lock);
}
END_TEST

/* A segment of 32 MiB or less was begun in the moment when turns begin to wait for it: an fsync of
 * 1.5 s, and every call took three. */
START_TEST(a_small_segments_successor_is_begun_with_it)
{
    struct scene s;
    struct sk_span span;
    char next[300];
    open_scene(&s, false, sk_vfs_real());
    sk_mutex_lock(&s.lock);
    ck_ok(toy_try_put(&s.room, 1, 700, &span));
    sk_mutex_unlock(&s.lock);
    snprintf(next, sizeof next, "%s/log/%020d.log", dir, 256 * 1024);
    int tries = 2000; /* of 5 ms */
    while (access(next, F_OK) != 0 && --tries > 0) usleep(5000);
    ck_assert_int_gt(tries, 0);
    ck_assert_uint_lt(sk_store_tail(s.room.store), 256 * 1024 / 4);
    sk_store_close(s.room.store);
}
END_TEST

static Suite *threads_suite(void)
{
    Suite *suite = suite_create("libstore/threads");
    TCase *tc = tcase_create("threads");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, many_waiters_share_a_sync);
    tcase_add_test(tc, a_small_segments_successor_is_begun_with_it);
    tcase_add_loop_test(tc, zeros_ahead_spare_the_header_of_a_new_segment, 0, 25);
    tcase_add_test(tc, who_asks_flushes_where_the_disk_is_quick);
    tcase_add_loop_test(tc, readers_need_no_lock_while_all_moves, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(threads_suite)
