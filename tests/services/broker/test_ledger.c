/* test_ledger.c - the ledger and the polls on a disk in memory: what is seen when, and who is
 * woken. The store has no threads (manual), so each step of a commit is where the test puts it. */
#include <stdlib.h>
#include <string.h>

#include "ledger.h"
#include "polls.h"
#include "support/memory_vfs.h"
#include "support/suite.h"

static struct memory_vfs *disk;
static int (*sync_now)(struct sk_vfs *vfs, int fd); /* the disk's own */
static void (*meanwhile)(void);                     /* happens once, during the next sync */
static sk_ledger *ledger;
static sk_timers *timers;
static sk_polls *polls;
static uint64_t now_us;
static uint32_t orders, bills, group; /* ids */

static uint64_t mono(const struct sk_clock *c)
{
    (void)c;
    return now_us;
}

static uint64_t wall(const struct sk_clock *c)
{
    (void)c;
    return now_us / 1000;
}

static const struct sk_clock fake = {.mono_us = mono, .wall_ms = wall};

/* What is written while the disk works is not covered by that sync. */
static int sync_slowly(struct sk_vfs *vfs, int fd)
{
    void (*fn)(void) = meanwhile;
    meanwhile = NULL;
    int result = sync_now(vfs, fd);
    if (fn) fn();
    return result;
}

static void failed(void *owner, struct sk_status why)
{
    (void)owner;
    ck_abort_msg("%s", sk_status_text(&why));
}

static void committed(void *owner)
{
    (void)owner;
    sk_polls_committed(polls);
}

static void write_record(enum sk_record_kind kind, struct sk_buffer *payload)
{
    struct sk_status s = sk_ledger_write(ledger, kind, sk_buffer_slice(payload), NULL);
    ck_assert_msg(sk_ok(s), "%s", sk_status_text(&s));
    sk_buffer_done(payload);
}

static uint32_t make_topic(struct sk_slice name)
{
    struct sk_buffer b = {0};
    sk_state_encode_topic(&(struct sk_topic_change){.name = name,
                                                    .type = SK_TOPIC_NORMAL,
                                                    .read_queues = 1,
                                                    .write_queues = 1,
                                                    .permission = SK_PERMIT_READ | SK_PERMIT_WRITE},
                          &b);
    write_record(SK_RECORD_TOPIC, &b);
    return sk_state_topic(sk_ledger_state(ledger), name)->id;
}

static uint32_t make_group(struct sk_slice name)
{
    struct sk_buffer b = {0};
    sk_state_encode_group(&(struct sk_group_change){.name = name, .max_attempts = 3}, &b);
    write_record(SK_RECORD_GROUP, &b);
    return sk_state_group(sk_ledger_state(ledger), name)->id;
}

static void flush(void)
{
    ck_assert(sk_ok(sk_store_flush(sk_ledger_store(ledger))));
}

static void open_with(enum sk_flush_mode how)
{
    disk = memory_vfs_new();
    struct sk_vfs *door = memory_vfs_door(disk);
    sync_now = door->fdatasync;
    door->fdatasync = sync_slowly;
    now_us = 1000000000;
    struct sk_ledger_options options = {.store = {.dir = "/d",
                                                  .vfs = door,
                                                  .clock = &fake,
                                                  .segment_bytes = 1 << 20,
                                                  .disk_refuse_percent = 100,
                                                  .disk_clean_percent = 100,
                                                  .flush = how,
                                                  .manual = true},
                                        .failed = failed};
    ck_assert(sk_ok(sk_ledger_open(&options, NULL, &ledger)));
    ck_assert(sk_ok(sk_timers_new(&fake, &timers)));
    polls = sk_polls_new(ledger, timers, &fake, 100, 100);
    sk_ledger_on_commit(ledger, committed, NULL);
    sk_ledger_lock(ledger);
    orders = make_topic(SK_SLICE("orders"));
    bills = make_topic(SK_SLICE("bills"));
    group = make_group(SK_SLICE("clerks"));
    sk_ledger_unlock(ledger);
    flush();
}

static void open_sync(void)
{
    open_with(SK_FLUSH_SYNC);
}

static void close_it(void)
{
    sk_polls_end(polls);
    sk_timers_free(timers);
    sk_ledger_close(ledger); /* its last flush still tells the polls */
    sk_polls_free(polls);
    memory_vfs_free(disk);
}

static uint32_t queue_of(uint32_t topic)
{
    return sk_state_topic_by_id(sk_ledger_state(ledger), topic)->queues[0];
}

static void send(uint32_t topic, size_t count)
{
    struct sk_slice body = SK_SLICE("body");
    sk_ledger_lock(ledger);
    for (size_t i = 0; i < count; i++) {
        struct sk_span span;
        struct sk_append record = {.kind = SK_RECORD_MESSAGE,
                                   .queue = queue_of(topic),
                                   .time_ms = sk_ledger_now_ms(ledger),
                                   .parts = &body,
                                   .part_count = 1};
        record.offset = sk_state_next_offset(sk_ledger_state(ledger), record.queue);
        sk_polls_appended(polls, topic);
        ck_assert(sk_ok(sk_ledger_append(ledger, &record, 1, &span)));
    }
    sk_ledger_unlock(ledger);
}

static uint64_t visible(uint32_t topic)
{
    sk_ledger_lock(ledger);
    uint64_t end = sk_ledger_visible(ledger, queue_of(topic));
    sk_ledger_unlock(ledger);
    return end;
}

/* A lease of one message, for ten seconds; false: there is none to be had. */
static bool lease_one(void)
{
    struct sk_chosen chosen;
    struct sk_buffer b = {0};
    sk_ledger_lock(ledger);
    uint64_t now_ms = sk_ledger_now_ms(ledger);
    struct sk_choose how = {.group = group,
                            .topic = orders,
                            .now_ms = now_ms,
                            .count = 1,
                            .deadline_ms = now_ms + 10000,
                            .owner = 7};
    size_t count =
        sk_state_choose(sk_ledger_state(ledger), &how, sk_ledger_view(ledger), &chosen, &b);
    if (b.len) write_record(SK_RECORD_DELIVER, &b);
    sk_buffer_done(&b);
    sk_ledger_unlock(ledger);
    return count == 1;
}

/* --- what is seen ------------------------------------------------------------------------ */

START_TEST(nothing_is_seen_before_it_is_durable)
{
    uint64_t durable = 0;
    for (size_t more = 1; more < 40; more++) {
        send(orders, more);
        ck_assert_uint_eq(visible(orders), durable);
        ck_assert(!lease_one() || durable > 0);
        durable += more;
        flush();
        ck_assert_uint_eq(visible(orders), durable);
    }
}
END_TEST

START_TEST(with_async_flush_all_is_seen_at_once)
{
    close_it();
    open_with(SK_FLUSH_ASYNC);
    send(orders, 5);
    ck_assert_uint_eq(visible(orders), 5);
}
END_TEST

static void send_two(void)
{
    send(orders, 2);
}

START_TEST(what_came_during_a_sync_waits_for_the_next)
{
    send(orders, 3);
    meanwhile = send_two;
    flush();
    ck_assert_uint_eq(visible(orders), 3);
    flush();
    ck_assert_uint_eq(visible(orders), 5);
}
END_TEST

/* --- who is woken ------------------------------------------------------------------------ */

struct watcher {
    struct sk_poll poll;
    uint64_t wants; /* so many messages visible; UINT64_MAX: an ended lease */
    int looks, answers;
    bool found;
};

static struct watcher *watcher_of(struct sk_poll *poll)
{
    return (struct watcher *)(void *)poll;
}

static enum sk_poll_look look(struct sk_poll *poll)
{
    struct watcher *w = watcher_of(poll);
    w->looks++;
    uint64_t now = sk_ledger_visible(ledger, queue_of(poll->topic));
    return now >= w->wants ? SK_POLL_FOUND : SK_POLL_NOTHING;
}

static void answer(struct sk_poll *poll, bool found)
{
    struct watcher *w = watcher_of(poll);
    w->answers++;
    w->found = found;
}

static void park(struct watcher *w, uint32_t topic, uint64_t wants)
{
    *w = (struct watcher){.wants = wants,
                          .poll = {.topic = topic,
                                   .group = group,
                                   .end_us = now_us + 60000000,
                                   .look = look,
                                   .answer = answer}};
    sk_ledger_lock(ledger);
    ck_assert(sk_polls_park(polls, &w->poll));
    sk_ledger_unlock(ledger);
}

START_TEST(a_poll_is_woken_by_the_commit_not_by_the_append)
{
    static struct watcher w;
    park(&w, orders, 1);
    send(orders, 1);
    ck_assert_int_eq(w.answers, 0);
    flush();
    ck_assert_int_eq(w.answers, 1);
    ck_assert(w.found);
}
END_TEST

static void send_bill(void)
{
    send(bills, 1);
}

/* The sync of one topic's message ends while another topic's has only just been written: the
 * commit finds that topic marked, but nothing to see. The next commit must look again. */
START_TEST(a_topic_stays_marked_until_all_of_it_is_committed)
{
    static struct watcher w;
    park(&w, bills, 1);
    send(orders, 1);
    meanwhile = send_bill;
    flush();
    ck_assert_int_eq(w.answers, 0);
    flush();
    ck_assert_int_eq(w.answers, 1);
    ck_assert(w.found);
}
END_TEST

START_TEST(a_marked_topic_may_lose_its_last_poll)
{
    static struct watcher w, next;
    park(&w, orders, 1);
    send(orders, 1);
    sk_ledger_lock(ledger);
    ck_assert(sk_polls_leave(polls, &w.poll));
    ck_assert(!sk_polls_leave(polls, &w.poll));
    sk_ledger_unlock(ledger);
    flush();
    ck_assert_int_eq(w.answers, 0);
    park(&next, orders, 2);
    send(orders, 1);
    flush();
    ck_assert_int_eq(next.answers, 1);
}
END_TEST

START_TEST(a_lease_that_ends_earlier_than_thought_wakes_a_poll)
{
    static struct watcher w;
    send(orders, 1);
    flush();
    ck_assert(lease_one());
    park(&w, orders, UINT64_MAX);
    sk_timers_run(timers);
    ck_assert_int_eq(w.looks, 0);
    sk_ledger_lock(ledger);
    sk_polls_lease_ends(polls, group, orders, 0); /* released */
    sk_ledger_unlock(ledger);
    sk_timers_run(timers);
    ck_assert_int_eq(w.looks, 1);
    ck_assert_int_eq(w.answers, 0);

    now_us += 9000000; /* and the deadline that was there before still counts */
    sk_timers_run(timers);
    int before = w.looks;
    now_us += 1000000;
    sk_timers_run(timers);
    ck_assert_int_gt(w.looks, before);
}
END_TEST

START_TEST(a_poll_whose_time_is_over_is_answered_without)
{
    static struct watcher w;
    park(&w, orders, 1);
    now_us += 59999999;
    sk_timers_run(timers);
    ck_assert_int_eq(w.answers, 0);
    now_us += 1;
    sk_timers_run(timers);
    ck_assert_int_eq(w.answers, 1);
    ck_assert(!w.found);
}
END_TEST

/* --- opened again ------------------------------------------------------------------------- */

/* The broker drops the queues of a topic that it deletes. Killed before the next snapshot, it
 * replays the topic's messages, and kept their index entries for ever. */
START_TEST(a_restart_forgets_the_queues_of_deleted_topics)
{
    uint32_t queue = queue_of(orders);
    struct sk_buffer gone = {0};
    send(orders, 20);
    sk_state_encode_topic_deleted(SK_SLICE("orders"), &gone);
    sk_ledger_lock(ledger);
    write_record(SK_RECORD_TOPIC_DELETED, &gone);
    sk_ledger_unlock(ledger);
    struct memory_vfs *killed = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_ALL, 0);

    sk_ledger *again;
    struct sk_ledger_options options = {
        .store = {.dir = "/d", .vfs = memory_vfs_door(killed), .manual = true}, .failed = failed};
    ck_assert(sk_ok(sk_ledger_open(&options, NULL, &again)));
    ck_assert_uint_eq(sk_state_topic_count(sk_ledger_state(again)), 1);
    ck_assert_uint_eq(sk_store_queue(sk_ledger_store(again), queue).max, 0);
    sk_ledger_close(again);
    memory_vfs_free(killed);
}
END_TEST

static Suite *ledger_suite(void)
{
    Suite *suite = suite_create("services/broker/ledger");
    TCase *tc = tcase_create("ledger");
    tcase_add_checked_fixture(tc, open_sync, close_it);
    tcase_add_test(tc, nothing_is_seen_before_it_is_durable);
    tcase_add_test(tc, with_async_flush_all_is_seen_at_once);
    tcase_add_test(tc, what_came_during_a_sync_waits_for_the_next);
    tcase_add_test(tc, a_poll_is_woken_by_the_commit_not_by_the_append);
    tcase_add_test(tc, a_topic_stays_marked_until_all_of_it_is_committed);
    tcase_add_test(tc, a_marked_topic_may_lose_its_last_poll);
    tcase_add_test(tc, a_lease_that_ends_earlier_than_thought_wakes_a_poll);
    tcase_add_test(tc, a_poll_whose_time_is_over_is_answered_without);
    tcase_add_test(tc, a_restart_forgets_the_queues_of_deleted_topics);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(ledger_suite)
