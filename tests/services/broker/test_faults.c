/* test_faults.c - every disk call fails under the requests: sends that roll a segment, receives,
 * acks, an orderly stop. What was answered with OK must be there after a power cut at that moment,
 * what was refused must not come, and the next start, on a healthy disk, must serve.
 *
 * The store has the finer matrix (tests/libstore/test_fault_every.c); this one is about what the
 * handlers make of it: an answer is an error or true. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "support/faulty_vfs.h"
#include "support/memory_vfs.h"
#include "support/suite.h"

#define DIR "/d/broker"

enum { SENDS = 9, TAKEN = 4, BODY = 150 * 1000 };

static const char *const settings[] = {"flush=sync",
                                       "segment_size=1MiB",
                                       "default_queues=1",
                                       "auto_create_topics=true",
                                       "auto_create_groups=true",
                                       "snapshot_distance=512KiB",
                                       NULL};

struct promises {
    bool tried[SENDS + 1], sent[SENDS + 1]; /* by number in the id */
    int64_t offset[SENDS + 1];
    bool acked[SENDS + 1];
};

struct what {
    struct fault_row row;
    long nth;
};

static const char *name_of(const struct what *w)
{
    static char name[192];
    snprintf(name, sizeof name, "call %ld: %s", w->nth, fault_row_name(&w->row));
    return name;
}

/* --- what is asked of it ---------------------------------------------------------------------- */

static void send_one(struct harness *h, struct promises *p, int i, size_t len)
{
    static uint8_t body[BODY];
    char id[16];
    rmq_code code = RMQ_CODE_UNSPECIFIED;
    snprintf(id, sizeof id, "id-%d", i);
    p->tried[i] = true;
    struct sk_status s =
        harness_try_send(h, "orders", id, NULL, sk_slice_of(body, len), &code, &p->offset[i]);
    p->sent[i] = sk_ok(s) && code == RMQ_CODE_OK;
}

static void requests(struct harness *h, struct promises *p)
{
    struct received got;
    for (int i = 0; i < SENDS - 1; i++) send_one(h, p, i, BODY);
    harness_receive(
        h,
        &(struct receive_how){
            .topic = "orders", .group = "billing", .batch = TAKEN, .invisible_ms = 600000},
        &got);
    for (size_t i = 0; i + 1 < got.count; i++) {
        rmq_code code = RMQ_CODE_UNSPECIFIED;
        struct sk_status s = harness_try_ack(h, "orders", "billing", got.messages[i].handle, &code);
        if (sk_ok(s) && code == RMQ_CODE_OK) p->acked[atoi(got.messages[i].id + 3)] = true;
    }
    send_one(h, p, SENDS - 1, 100);
}

/* --- what must be true then ------------------------------------------------------------------- */

static void check_received(const struct promises *p, const struct received *got, bool all,
                           const struct what *w)
{
    bool seen[SENDS + 1] = {false};
    for (size_t i = 0; i < got->count; i++) {
        int number = atoi(got->messages[i].id + 3);
        ck_assert_msg(number >= 0 && number <= SENDS && p->tried[number], "%s: %s was never sent",
                      name_of(w), got->messages[i].id);
        ck_assert_msg(!seen[number], "%s: %s is there twice", name_of(w), got->messages[i].id);
        seen[number] = true;
        ck_assert_msg(!p->sent[number] || got->messages[i].offset == p->offset[number],
                      "%s: %s is at another offset", name_of(w), got->messages[i].id);
        ck_assert_msg(all || !p->acked[number], "%s: %s was acknowledged, and comes again",
                      name_of(w), got->messages[i].id);
    }
    for (int i = 0; all && i < SENDS; i++)
        ck_assert_msg(!p->sent[i] || seen[i], "%s: id-%d was answered, and is lost", name_of(w), i);
}

static void check_disk(const struct promises *p, struct memory_vfs *disk, const struct what *w)
{
    struct harness h;
    struct received got;
    struct promises now = *p;
    struct sk_status s = harness_try_open(&h, DIR, memory_vfs_door(disk), settings);
    ck_assert_msg(sk_ok(s), "%s: %s", name_of(w), sk_status_text(&s));
    struct receive_how how = {.topic = "orders", .group = "auditor", .invisible_ms = 600000};
    harness_receive(&h, &how, &got);
    check_received(p, &got, true, w);
    how.group = "billing";
    harness_receive(&h, &how, &got);
    check_received(p, &got, false, w);
    send_one(&h, &now, SENDS, 10);
    ck_assert_msg(now.sent[SENDS], "%s: it does not go on", name_of(w));
    harness_close(&h);
}

/* False: there were fewer than nth such calls. */
static bool run_case(const struct what *w)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct faulty_vfs faulty = faulty_vfs_over(memory_vfs_door(disk));
    struct promises p = {0};
    struct harness h;
    faulty_vfs_arm_row(&faulty, &w->row, w->nth);
    struct sk_status s = harness_try_open(&h, DIR, &faulty.vfs, settings);
    struct memory_vfs *cut = NULL;
    if (sk_ok(s)) {
        requests(&h, &p);
        cut = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_SYNCED, 0);
        harness_close(&h);
    }
    bool fired = faulty.fired;
    ck_assert_msg(faulty.retried == 0, "%s: a sync that failed was tried again", name_of(w));
    if (fired && cut) check_disk(&p, cut, w);
    if (fired) check_disk(&p, disk, w);
    faulty_vfs_done(&faulty);
    memory_vfs_free(cut);
    memory_vfs_free(disk);
    return fired;
}

START_TEST(an_answer_is_an_error_or_true)
{
    const int stride = getenv("SKUA_PROVE") ? 1 : 24;
    struct what w;
    long cases = 0;
    for (int row = 0; fault_row(row, &w.row); row++)
        for (w.nth = 1 + row % stride; run_case(&w); w.nth += stride) cases++;
    printf("requests to a broker: %ld cases\n", cases);
    ck_assert_int_gt(cases, 1000 / stride);
}
END_TEST

/* --- a disk that is full ---------------------------------------------------------------------- */

/* No block for another segment: refused, and told what to do; acks and receives go on, and sends
 * when there is room. */
START_TEST(a_full_disk_refuses_sends_and_serves_the_rest)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct faulty_vfs faulty = faulty_vfs_over(memory_vfs_door(disk));
    static uint8_t body[BODY];
    struct harness h;
    rmq_code code = RMQ_CODE_OK;
    ck_assert(sk_ok(harness_try_open(&h, DIR, &faulty.vfs, settings)));
    faulty_vfs_arm(&faulty, FAULT_ALLOCATE, 1, ENOSPC, FAULT_STICKY);
    int sent = 0;
    for (; code == RMQ_CODE_OK && sent < 20; sent++)
        ck_assert(sk_ok(
            harness_try_send(&h, "orders", "id", NULL, sk_slice_of(body, BODY), &code, NULL)));
    ck_assert_int_lt(sent, 9);
    ck_assert_int_eq(code, RMQ_CODE_TOO_MANY_REQUESTS);
    struct received got;
    harness_receive(&h, &(struct receive_how){.topic = "orders", .group = "billing", .batch = 2},
                    &got);
    ck_assert_int_eq(got.code, RMQ_CODE_OK);
    ck_assert_uint_eq(got.count, 2);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", got.messages[0].handle), RMQ_CODE_OK);
    ck_assert(sk_ok(h.failure));
    faulty_vfs_disarm(&faulty);
    while (code != RMQ_CODE_OK) /* the janitor looks every second; the suite has a timeout */
        ck_assert(
            sk_ok(harness_try_send(&h, "orders", "id", NULL, sk_slice_of(body, 10), &code, NULL)));
    harness_close(&h);
    faulty_vfs_done(&faulty);
    memory_vfs_free(disk);
}
END_TEST

static Suite *faults_suite(void)
{
    Suite *suite = suite_create("services/broker/faults");
    TCase *tc = tcase_create("faults");
    tcase_set_timeout(tc, 900);
    tcase_add_test(tc, an_answer_is_an_error_or_true);
    tcase_add_test(tc, a_full_disk_refuses_sends_and_serves_the_rest);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(faults_suite)
