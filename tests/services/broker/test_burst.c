/* test_burst.c - sends that come together: places in their queues, one append, and what becomes of
 * them when something in their midst is refused or the disk is.
 *
 * This program's rpc_when_dry is ours (linked with --wrap): the test's thread is a poller's, and
 * the queue is dry when the test says so. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "assembly.h"
#include "placing/burst.h"
#include "harness.h"
#include "support/faulty_vfs.h"
#include "support/memory_vfs.h"
#include "support/suite.h"

/* --- a poller ---------------------------------------------------------------------- */

bool __wrap_rpc_when_dry(rpc_dry_fn *fn, void *arg);

static _Thread_local bool is_poller;
static rpc_dry_fn *put_off;
static void *put_off_arg;

bool __wrap_rpc_when_dry(rpc_dry_fn *fn, void *arg)
{
    if (!is_poller) return false;
    put_off = fn;
    put_off_arg = arg;
    return true;
}

static void run_dry(void)
{
    while (put_off) {
        rpc_dry_fn *fn = put_off;
        put_off = NULL;
        fn(put_off_arg);
    }
}

/* --- a broker and requests ----------------------------------------------------------- */

enum { MOST = 300 };

struct request {
    struct sk_send send; /* first */
    struct sk_scanned_message message;
    struct sk_append record;
    struct sk_span span;
    uint8_t head[1][SK_STORED_HEAD_MAX];
    struct sk_slice parts[1][SK_STORED_PARTS];
    char id[16];
    int times_stored;
};

static struct harness h;
static struct memory_vfs *disk;
static struct faulty_vfs faulty;
static struct request requests[MOST];
static int stored_count;

static void open_with(const char *auto_create)
{
    const char *const settings[] = {"default_queues=1", auto_create, "auto_create_groups=true",
                                    NULL};
    disk = memory_vfs_new();
    faulty = faulty_vfs_over(memory_vfs_door(disk));
    ck_assert(sk_ok(harness_try_open(&h, "/d/broker", &faulty.vfs, settings)));
    is_poller = true;
    stored_count = 0;
}

static void close_it(void)
{
    is_poller = false;
    harness_close(&h);
    faulty_vfs_done(&faulty);
    memory_vfs_free(disk);
}

static void stored(struct sk_send *send)
{
    ((struct request *)(void *)send)->times_stored++;
    stored_count++;
}

static struct request *put(const char *topic, int number, size_t body)
{
    static const uint8_t bytes[200 * 1024];
    struct request *r = &requests[number];
    *r = (struct request){.send = {.topic = sk_slice_of_text(topic), .count = 1, .bytes = body}};
    snprintf(r->id, sizeof r->id, "id-%d", number);
    rmq_resource resource = RMQ_RESOURCE_INIT;
    resource.name = (char *)(uintptr_t)topic;
    rmq_system_properties system = RMQ_SYSTEM_PROPERTIES_INIT;
    system.message_id = r->id;
    system.born_host = (char *)(uintptr_t) "laptop";
    rmq_message m = RMQ_MESSAGE_INIT;
    m.topic = &resource;
    m.system_properties = &system;
    m.body = sk_proto_bytes(sk_slice_of(bytes, body));
    ck_assert_int_eq(sk_scan_message(sk_proto_pack(&m.base, h.arena), &r->message), SK_SCAN_OK);
    r->send.messages = &r->message;
    r->send.records = &r->record;
    r->send.spans = &r->span;
    r->send.heads = r->head;
    r->send.parts = r->parts;
    r->send.stored = stored;
    sk_burst_put(h.broker->placing, &r->send);
    return r;
}

static void check_stored(const struct request *r, uint64_t offset)
{
    ck_assert_int_eq(r->times_stored, 1);
    ck_assert(sk_granted(r->send.verdict));
    ck_assert_uint_eq(r->send.first_offset, offset);
    struct sk_index_entry entry;
    sk_store *store = sk_ledger_store(h.broker->node.ledger);
    ck_assert_uint_eq(sk_store_lookup(store, r->send.queue, offset, 1, &entry), 1);
    ck_assert_uint_eq(entry.position + entry.size, r->send.end);
}

static void check_refused(const struct request *r, rmq_code code)
{
    ck_assert_int_eq(r->times_stored, 1);
    ck_assert(!sk_granted(r->send.verdict));
    ck_assert_int_eq(r->send.verdict.code, code);
}

/* --- places -------------------------------------------------------------------------- */

START_TEST(a_burst_is_one_append)
{
    enum { SENDS = 10 };
    open_with("auto_create_topics=false");
    harness_topic(&h, "orders", 2);
    long before = faulty.calls[FAULT_PWRITEV];
    for (int i = 0; i < SENDS; i++) put("orders", i, 100);
    ck_assert_int_eq(stored_count, 0);
    ck_assert_int_eq(faulty.calls[FAULT_PWRITEV], before);
    run_dry();
    ck_assert_int_eq(stored_count, SENDS);
    ck_assert_int_eq(faulty.calls[FAULT_PWRITEV], before + 1);
    for (int i = 0; i < SENDS; i++) check_stored(&requests[i], (uint64_t)i / 2);
    for (int i = 1; i < SENDS; i++)
        ck_assert_uint_gt(requests[i].send.end, requests[i - 1].send.end);
    put("orders", 0, 100); /* the next burst goes on from there */
    run_dry();
    check_stored(&requests[0], SENDS / 2);
    close_it();
}
END_TEST

START_TEST(who_is_refused_takes_no_place)
{
    open_with("auto_create_topics=false");
    harness_topic(&h, "orders", 1);
    put("orders", 0, 100);
    put("nobody", 1, 100);
    put("orders", 2, 100);
    run_dry();
    ck_assert_int_eq(stored_count, 3);
    check_stored(&requests[0], 0);
    check_refused(&requests[1], RMQ_CODE_TOPIC_NOT_FOUND);
    check_stored(&requests[2], 1);
    put("nobody", 3, 100); /* nothing to append at all */
    run_dry();
    check_refused(&requests[3], RMQ_CODE_TOPIC_NOT_FOUND);
    close_it();
}
END_TEST

/* Its record comes after those that were placed before it, as their times do. */
START_TEST(a_topic_may_be_made_in_the_midst)
{
    open_with("auto_create_topics=true");
    put("old", 0, 100);
    run_dry();
    put("old", 1, 100);
    put("new", 2, 100);
    put("old", 3, 100);
    put("new", 4, 100);
    run_dry();
    check_stored(&requests[1], 1);
    check_stored(&requests[2], 0);
    check_stored(&requests[3], 2);
    check_stored(&requests[4], 1);
    struct sk_index_entry first;
    sk_store *store = sk_ledger_store(h.broker->node.ledger);
    ck_assert_uint_eq(sk_store_lookup(store, requests[2].send.queue, 0, 1, &first), 1);
    ck_assert_uint_gt(first.position, requests[1].send.end);
    ck_assert_uint_eq(first.position + first.size, requests[2].send.end);
    close_it();
}
END_TEST

/* --- when it is full ------------------------------------------------------------------- */

START_TEST(a_full_burst_does_not_wait)
{
    open_with("auto_create_topics=true");
    for (int i = 0; i < 255; i++) put("orders", i, 10);
    ck_assert_int_eq(stored_count, 0);
    put("orders", 255, 10);
    ck_assert_int_eq(stored_count, 256);
    put("orders", 256, 200 * 1024);
    ck_assert_int_eq(stored_count, 256);
    put("orders", 257, 200 * 1024); /* does not fit beside the other */
    ck_assert_int_eq(stored_count, 257);
    run_dry();
    ck_assert_int_eq(stored_count, 258);
    for (int i = 0; i < 258; i++) check_stored(&requests[i], (uint64_t)i);
    close_it();
}
END_TEST

START_TEST(no_poller_no_burst)
{
    open_with("auto_create_topics=true");
    is_poller = false;
    put("orders", 0, 100);
    ck_assert_int_eq(stored_count, 1);
    check_stored(&requests[0], 0);
    close_it();
}
END_TEST

/* --- disks --------------------------------------------------------------------------------- */

START_TEST(what_all_cannot_get_each_may_get_alone)
{
    open_with("auto_create_topics=false");
    harness_topic(&h, "orders", 1);
    for (int i = 0; i < 4; i++) put("orders", i, 100);
    faulty_vfs_arm(&faulty, FAULT_PWRITEV, 1, ENOSPC, FAULT_ONCE);
    run_dry();
    ck_assert(faulty.fired);
    for (int i = 0; i < 4; i++) check_stored(&requests[i], (uint64_t)i);
    close_it();
}
END_TEST

START_TEST(a_full_disk_refuses_each_and_leaves_no_gap)
{
    open_with("auto_create_topics=false");
    harness_topic(&h, "orders", 1);
    put("orders", 0, 100);
    run_dry();
    for (int i = 1; i < 4; i++) put("orders", i, 100);
    faulty_vfs_arm(&faulty, FAULT_PWRITEV, 1, ENOSPC, FAULT_STICKY);
    run_dry();
    ck_assert_int_eq(stored_count, 4);
    for (int i = 1; i < 4; i++) ck_assert(!sk_granted(requests[i].send.verdict));
    faulty_vfs_disarm(&faulty);
    for (int i = 4; i < 7; i++) put("orders", i, 100);
    run_dry();
    for (int i = 4; i < 7; i++) check_stored(&requests[i], (uint64_t)i - 3);
    is_poller = false;
    struct received got;
    harness_receive(&h, &(struct receive_how){.topic = "orders", .group = "g"}, &got);
    ck_assert_uint_eq(got.count, 4);
    ck_assert_str_eq(got.messages[0].id, "id-0");
    ck_assert_str_eq(got.messages[1].id, "id-4");
    ck_assert_str_eq(got.messages[3].id, "id-6");
    close_it();
}
END_TEST

static Suite *burst_suite(void)
{
    Suite *suite = suite_create("services/broker/burst");
    TCase *tc = tcase_create("burst");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, a_burst_is_one_append);
    tcase_add_test(tc, who_is_refused_takes_no_place);
    tcase_add_test(tc, a_topic_may_be_made_in_the_midst);
    tcase_add_test(tc, a_full_burst_does_not_wait);
    tcase_add_test(tc, no_poller_no_burst);
    tcase_add_test(tc, what_all_cannot_get_each_may_get_alone);
    tcase_add_test(tc, a_full_disk_refuses_each_and_leaves_no_gap);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(burst_suite)
