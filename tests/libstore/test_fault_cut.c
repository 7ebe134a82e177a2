/* test_fault_cut.c - every disk call of a cut fails in every way it can, one after the other; and
 * so does every call of beginning an epoch and of becoming a receiver. Whatever fails:
 *
 *   - the directory opens on a healthy disk, as whole as it was or cut, and cut if the cut said so;
 *   - after a power cut, too; what was cut away is then in the archive;
 *   - told again to cut, it comes to the same end;
 *   - no file whose sync failed is synced again by the same process. */
#include <stdio.h>
#include <stdlib.h>

#include "cut.h"
#include "store_impl.h"
#include "support/faulty_vfs.h"
#include "support/suite.h"

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

/* --- a cut -------------------------------------------------------------------------------------
 */

static void find_archive(void *arg, const char *path)
{
    size_t len = strlen(path);
    if (strstr(path, DIR "/cut/") && strcmp(path + len - 4, ".log") == 0) ++*(int *)arg;
}

/* What a healthy disk shows; true: it is cut. */
static bool check_opens(const struct cut_store *s, int at, struct memory_vfs *disk,
                        const struct what *w)
{
    struct toy_room room;
    int archives = 0;
    struct sk_status st = cut_open(&room, memory_vfs_door(disk));
    ck_assert_msg(sk_ok(st), "%s: %s", name_of(w), sk_status_text(&st));
    bool cut = cut_same(&room.state, &s->places[at].state);
    bool whole = cut_same(&room.state, &s->places[s->count - 1].state);
    ck_assert_msg(cut || whole, "%s: %llu records", name_of(w),
                  (unsigned long long)room.state.records);
    toy_check_queues(&room);
    sk_store_close(room.store);
    memory_vfs_each(disk, find_archive, &archives);
    ck_assert_msg(!cut || archives == 1, "%s: %d archives", name_of(w), archives);
    return cut;
}

static void check_left(const struct cut_store *s, int at, struct memory_vfs *disk, bool done,
                       const struct what *w)
{
    struct memory_vfs *copy = memory_vfs_copy(disk);
    bool cut = check_opens(s, at, copy, w);
    ck_assert_msg(cut || !done, "%s: the cut was said to be done", name_of(w));
    memory_vfs_free(copy);
    struct sk_truncation again;
    struct sk_status st = cut_at(memory_vfs_door(disk), s->places[at].position, &again);
    ck_assert_msg(sk_ok(st), "%s: cut again: %s", name_of(w), sk_status_text(&st));
    ck_assert_msg(check_opens(s, at, disk, w), "%s: cut again", name_of(w));
}

static struct sk_status do_cut(struct sk_vfs *vfs, uint64_t position)
{
    struct sk_truncation cut;
    return cut_at(vfs, position, &cut);
}

/* Opening a directory in which a cut is under way ends it. */
static struct sk_status do_open(struct sk_vfs *vfs, uint64_t position)
{
    struct toy_room room;
    (void)position;
    struct sk_status s = cut_open(&room, vfs);
    if (sk_ok(s)) sk_store_close(room.store);
    return s;
}

static const struct {
    const char *name;
    bool under_way; /* a cut had begun before */
    struct sk_status (*run)(struct sk_vfs *vfs, uint64_t position);
} workloads[] = {
    {"a cut", false, do_cut},
    {"a cut that was interrupted", true, do_cut},
    {"an opening that ends a cut", true, do_open},
};

/* As a crash leaves it that came right behind the intent. */
static struct memory_vfs *begun(struct memory_vfs *whole, uint64_t position)
{
    struct memory_vfs *disk = memory_vfs_copy(whole), *found = NULL;
    memory_vfs_rebase(disk);
    ck_ok(do_cut(memory_vfs_door(disk), position));
    for (size_t n = 0; !found && n <= memory_vfs_ops(disk); n++) {
        struct memory_vfs *image = memory_vfs_crash(disk, n, MEMORY_KEEP_SYNCED, 0);
        size_t len;
        uint8_t *slots = memory_vfs_bytes(image, DIR "/watermark", &len);
        if (sk_get_u64(slots + 48) && sk_get_u64(slots + 4096 + 48))
            found = image;
        else
            memory_vfs_free(image);
    }
    memory_vfs_free(disk);
    ck_assert_ptr_nonnull(found);
    return found;
}

/* One case; false: the run made fewer than nth such calls. */
static bool run_case(const struct cut_store *s, int at, struct memory_vfs *base, int workload,
                     const struct what *w)
{
    struct memory_vfs *disk = memory_vfs_copy(base);
    memory_vfs_rebase(disk);
    struct faulty_vfs faulty = faulty_vfs_over(memory_vfs_door(disk));
    faulty_vfs_arm_row(&faulty, &w->row, w->nth);
    struct sk_status st = workloads[workload].run(&faulty.vfs, s->places[at].position);
    bool done = sk_ok(st), fired = faulty.fired;
    ck_assert_msg(done || st.detail[0], "%s: refused without a word", name_of(w));
    ck_assert_msg(faulty.retried == 0, "%s: a sync that failed was tried again", name_of(w));
    if (fired) {
        size_t ops = memory_vfs_ops(disk);
        struct memory_vfs *image = memory_vfs_crash(disk, ops, MEMORY_KEEP_SYNCED, 0);
        check_left(s, at, image, done, w);
        memory_vfs_free(image);
        image = memory_vfs_crash(disk, ops, MEMORY_KEEP_SOME, (uint64_t)w->nth);
        check_left(s, at, image, done, w);
        memory_vfs_free(image);
        check_left(s, at, disk, done, w);
    }
    faulty_vfs_done(&faulty);
    memory_vfs_free(disk);
    return fired;
}

/* Under sanitizers all of it takes minutes: every call there in scripts/prove.sh, else a quarter.
 */
static int stride(void)
{
    return getenv("SKUA_PROVE") ? 1 : 4;
}

START_TEST(whatever_fails_in_a_cut_is_told_or_true)
{
    struct cut_store s = cut_grow(true);
    int at = s.count - 16, rows = 0;
    struct memory_vfs *base =
        workloads[_i].under_way ? begun(s.disk, s.places[at].position) : memory_vfs_copy(s.disk);
    struct what w = {.workload = workloads[_i].name};
    long cases = 0;
    for (; fault_row(rows, &w.row); rows++)
        for (w.nth = 1 + rows % stride(); run_case(&s, at, base, _i, &w); w.nth += stride())
            cases++;
    memory_vfs_free(base);
    memory_vfs_free(s.disk);
    printf("%s: %d ways to fail, %ld cases\n", workloads[_i].name, rows, cases);
    ck_assert_int_gt(cases, 300 / stride());
}
END_TEST

/* --- changing sides ------------------------------------------------------------------------------
 */

static int failures_told;

static void on_failed(void *owner, struct sk_status why)
{
    (void)owner;
    ck_assert_int_eq(why.code, SK_IO);
    failures_told++;
}

struct sides {      /* what a run was told */
    uint32_t begun; /* the highest epoch that was said to have begun */
    bool received;  /* and, after it, that it receives */
};

/* Begins epochs and receives in turn, on a store with records. */
static struct sides change_sides(struct sk_vfs *vfs)
{
    struct sides told = {0};
    struct toy_room room;
    struct sk_store_options o = cut_options(&room, vfs);
    memset(&room, 0, sizeof room);
    o.failed = on_failed;
    if (!sk_ok(sk_store_open(&o, NULL, &room.store))) return told;
    for (uint32_t epoch = 50; epoch < 54; epoch++) {
        struct sk_span span;
        if (sk_ok(sk_store_begin_epoch(room.store, epoch, 5000, &span))) {
            told.begun = epoch;
            told.received = false;
        }
        sk_store_publish(room.store);
        struct sk_status s = toy_try_put(&room, 1, 100, &span);
        if (epoch % 2 && sk_ok(sk_store_note_received(room.store))) told.received = true;
        (void)s;
    }
    sk_store_close(room.store);
    return told;
}

static void check_sides(struct memory_vfs *disk, const struct sides *told, const struct what *w)
{
    struct toy_room room;
    struct sk_status s = cut_open(&room, memory_vfs_door(disk));
    ck_assert_msg(sk_ok(s), "%s: %s", name_of(w), sk_status_text(&s));
    ck_assert_msg(sk_store_epoch(room.store) >= told->begun, "%s: epoch %u began and is gone",
                  name_of(w), told->begun);
    ck_assert_msg(!room.store->writes, "%s: it goes on where another process wrote", name_of(w));
    /* A beginning that failed may have come as far as to say who writes from here on. */
    uint64_t own_from = room.store->log.own_from;
    if (told->received && sk_store_epoch(room.store) == told->begun)
        ck_assert_msg(own_from == SK_OWN_NONE || own_from >= sk_store_tail(room.store),
                      "%s: it takes received records for its own", name_of(w));
    toy_check_queues(&room);
    sk_store_close(room.store);
}

START_TEST(an_epoch_that_began_and_who_writes_survive_whatever_fails)
{
    struct cut_store grown = cut_grow(true);
    struct what w = {.workload = "changing sides"};
    long cases = 0;
    for (int row = 0; fault_row(row, &w.row); row++) {
        bool fired = true;
        for (w.nth = 1 + row % stride(); fired; w.nth += stride()) {
            struct memory_vfs *disk = memory_vfs_copy(grown.disk);
            memory_vfs_rebase(disk);
            struct faulty_vfs faulty = faulty_vfs_over(memory_vfs_door(disk));
            faulty_vfs_arm_row(&faulty, &w.row, w.nth);
            failures_told = 0;
            struct sides told = change_sides(&faulty.vfs);
            fired = faulty.fired;
            cases += fired;
            ck_assert_msg(faulty.retried == 0, "%s: a sync was tried again", name_of(&w));
            ck_assert_int_le(failures_told, 1);
            struct memory_vfs *image =
                memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_SYNCED, 0);
            check_sides(image, &told, &w);
            memory_vfs_free(image);
            check_sides(disk, &told, &w);
            faulty_vfs_done(&faulty);
            memory_vfs_free(disk);
        }
    }
    memory_vfs_free(grown.disk);
    printf("changing sides: %ld cases\n", cases);
    ck_assert_int_gt(cases, 400 / stride());
}
END_TEST

static Suite *fault_suite(void)
{
    Suite *suite = suite_create("libstore/fault_cut");
    TCase *tc = tcase_create("matrix");
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, whatever_fails_in_a_cut_is_told_or_true, 0, ROWS(workloads));
    tcase_add_test(tc, an_epoch_that_began_and_who_writes_survive_whatever_fails);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(fault_suite)
