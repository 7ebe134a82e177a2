/* test_turn.c - what is seen when, and who is woken. */
#include "room.h"

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

START_TEST(a_poll_is_woken_by_the_commit_not_by_the_append)
{
    static struct watcher w;
    park(&w, orders, 1);
    send(orders, 1);
    ck_assert_int_eq(w.answers, 0);
    flush();
    ck_assert_int_eq(w.answers, 1);
    ck_assert_int_eq(w.end, SK_POLL_HAS);
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
    ck_assert_int_eq(w.end, SK_POLL_HAS);
}
END_TEST

START_TEST(a_marked_topic_may_lose_its_last_poll)
{
    static struct watcher w, next;
    park(&w, orders, 1);
    send(orders, 1);
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    ck_assert(sk_poll_leave(&turn, &w.poll));
    ck_assert(!sk_poll_leave(&turn, &w.poll));
    sk_turn_end(&turn);
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
    struct sk_buffer empty_handed = {
        0}; /* a lease that is not there: the poll has to look, though */
    struct sk_lease lease = {.group = group, .topic = orders};
    sk_state_encode_release(&lease, 1, &empty_handed);
    write_record(SK_RECORD_RELEASE, &empty_handed);
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
    ck_assert_int_eq(w.end, SK_POLL_OVER);
}
END_TEST

/* --- what may be committed --------------------------------------------------------------- */

/* A dead letter is one "done here" and one "placed there", a transaction's end the like: records
 * with and without queue in one batch, all of them or none, in the log and in the state. */
START_TEST(a_batch_of_mixed_records_is_committed_whole)
{
    struct sk_turn turn;
    struct sk_span spans[3];
    struct sk_buffer group_made = {0};
    sk_state_encode_group(&(struct sk_group_change){.name = SK_SLICE("new"), .max_attempts = 1},
                          &group_made);
    struct sk_slice payload = sk_buffer_slice(&group_made);
    sk_turn_begin(&turn, ledger);
    struct sk_append records[3] = {
        message_to(&turn, orders),
        {.kind = SK_RECORD_GROUP, .queue = SK_NO_QUEUE, .parts = &payload, .part_count = 1},
        message_to(&turn, bills)};
    records[1].time_ms = records[2].time_ms;
    uint64_t tail = sk_store_tail(sk_ledger_store(ledger));
    ck_assert(sk_ok(sk_turn_commit(&turn, records, 3, spans)));
    ck_assert_uint_eq(spans[0].begin, tail);
    ck_assert_uint_eq(spans[2].end, sk_store_tail(sk_ledger_store(ledger)));
    ck_assert_ptr_nonnull(sk_state_group(sk_turn_state(&turn), SK_SLICE("new")));

    /* The last one's offset is wrong: nothing of the batch may be there. */
    struct sk_topic_change other = topic_named("other", 1);
    struct sk_buffer topic_made = {0};
    sk_state_encode_topic(&other, &topic_made);
    struct sk_slice second = sk_buffer_slice(&topic_made);
    struct sk_append wrong[2] = {
        {.kind = SK_RECORD_TOPIC, .queue = SK_NO_QUEUE, .parts = &second, .part_count = 1},
        message_to(&turn, orders)};
    wrong[1].offset++;
    wrong[0].time_ms = wrong[1].time_ms;
    uint64_t hash = sk_state_hash(sk_turn_state(&turn));
    tail = sk_store_tail(sk_ledger_store(ledger));
    ck_assert_int_eq(sk_turn_commit(&turn, wrong, 2, spans).code, SK_INVALID);
    ck_assert_uint_eq(sk_store_tail(sk_ledger_store(ledger)), tail);
    ck_assert_uint_eq(sk_state_hash(sk_turn_state(&turn)), hash);
    sk_turn_end(&turn);
    sk_buffer_done(&group_made);
    sk_buffer_done(&topic_made);
    ck_assert_uint_eq(visible(orders), 0);
    flush();
    ck_assert_uint_eq(visible(orders), 1);
    ck_assert_uint_eq(visible(bills), 1);
}
END_TEST

START_TEST(a_replica_commits_nothing_whatever_handler_asks)
{
    struct sk_turn turn;
    struct sk_span span;
    struct sk_buffer b = {0};
    uint64_t tail = sk_store_tail(sk_ledger_store(ledger));
    ck_assert(sk_ok(sk_ledger_set_role(ledger, SK_REPLICA)));
    sk_turn_begin(&turn, ledger);
    struct sk_append message = message_to(&turn, orders);
    ck_assert_int_eq(sk_turn_commit(&turn, &message, 1, &span).code, SK_NOT_MASTER);
    sk_state_encode_group_deleted(SK_SLICE("clerks"), &b);
    ck_assert_int_eq(sk_turn_write(&turn, SK_RECORD_GROUP_DELETED, sk_buffer_slice(&b), NULL).code,
                     SK_NOT_MASTER);
    sk_buffer_done(&b);
    sk_turn_end(&turn);
    ck_assert_uint_eq(sk_store_tail(sk_ledger_store(ledger)), tail);
    ck_assert(sk_ok(sk_ledger_set_role(ledger, SK_PRIMARY)));
    send(orders, 1);
    ck_assert_uint_gt(sk_store_tail(sk_ledger_store(ledger)), tail);
}
END_TEST

/* What one commit wrote used to be one place on the news, and so were all commits that followed one
 * another in one queue: a queue that is written to all the time was never seen. */
START_TEST(a_queue_that_is_written_to_all_the_time_is_seen)
{
    for (uint64_t i = 0; i < 20; i++) {
        send(orders, 1);
        meanwhile = send_two;
        flush();
        ck_assert_uint_eq(visible(orders), 3 * i + 1);
        flush();
        ck_assert_uint_eq(visible(orders), 3 * i + 3);
    }
}
END_TEST

/* --- leases across a cut --------------------------------------------------------------------- */

/* A message of `len` bytes, then a lease of it: its name. */
static struct sk_lease lease_after(sk_ledger *of, size_t len)
{
    static const uint8_t bytes[1024];
    struct sk_slice body = {bytes, len};
    struct sk_chosen chosen;
    struct sk_buffer b = {0};
    struct sk_turn turn;
    struct sk_span span;
    sk_turn_begin(&turn, of);
    struct sk_append message = message_to(&turn, orders);
    message.parts = &body;
    ck_assert(sk_ok(sk_turn_commit(&turn, &message, 1, &span)));
    sk_turn_end(&turn); /* with async flush it can be seen now */
    sk_turn_begin(&turn, of);
    const struct sk_queue_view view = {see_range, NULL, &turn};
    uint64_t now_ms = sk_turn_now_ms(&turn);
    struct sk_choose how = {.group = group,
                            .topic = orders,
                            .now_ms = now_ms,
                            .count = 1,
                            .deadline_ms = now_ms + 10000,
                            .owner = 7};
    ck_assert_uint_eq(sk_state_choose(sk_turn_state(&turn), &how, &view, &chosen, &b), 1);
    ck_assert(sk_ok(sk_turn_write(&turn, SK_RECORD_DELIVER, sk_buffer_slice(&b), &span)));
    sk_buffer_done(&b);
    struct sk_lease lease = {.group = group,
                             .topic = orders,
                             .offset = chosen.offset,
                             .lease = sk_turn_lease_id(&turn, &span)};
    sk_turn_end(&turn);
    return lease;
}

static bool is_good(sk_ledger *of, const struct sk_lease *lease)
{
    struct sk_turn turn;
    struct sk_lease_info info;
    sk_turn_begin(&turn, of);
    bool good = sk_state_check_lease(sk_turn_state(&turn), lease, sk_turn_now_ms(&turn), &info);
    sk_turn_end(&turn);
    return good;
}

/* An async store loses what was not flushed, and the next life writes where the last one did: a
 * receipt of then must not acknowledge what lies there now. */
START_TEST(a_lease_is_not_named_twice_although_its_place_is)
{
    enum { LEN = 800 };
    close_it();
    open_with(SK_FLUSH_ASYNC);
    struct sk_lease old = lease_after(ledger, LEN);
    ck_assert(is_good(ledger, &old));
    struct memory_vfs *cut = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_SYNCED, 0);

    sk_ledger *again;
    struct sk_ledger_options options = {
        .store = {.dir = "/d/store", .vfs = memory_vfs_door(cut), .clock = &fake, .manual = true},
        .flush = SK_FLUSH_ASYNC,
        .failed = failed};
    ck_assert(sk_ok(sk_ledger_open(&options, NULL, &again)));
    uint64_t epoch_at, tail = sk_store_tail(sk_ledger_store(again));
    uint32_t epoch = sk_store_epoch(sk_ledger_store(again));
    ck_assert(sk_store_epoch_start(sk_ledger_store(again), epoch, &epoch_at));
    struct sk_lease now = lease_after(again, LEN - (size_t)(tail - epoch_at));
    ck_assert_uint_eq(now.lease.position, old.lease.position);
    ck_assert_uint_eq(now.offset, old.offset);
    ck_assert(is_good(again, &now));
    ck_assert(!is_good(again, &old));
    sk_ledger_quiet(again);
    sk_ledger_close(again);
    memory_vfs_free(cut);
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
    write_record(SK_RECORD_TOPIC_DELETED, &gone);
    struct memory_vfs *killed = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_ALL, 0);

    sk_ledger *again;
    struct sk_ledger_options options = {
        .store = {.dir = "/d/store", .vfs = memory_vfs_door(killed), .manual = true}, .failed = failed};
    ck_assert(sk_ok(sk_ledger_open(&options, NULL, &again)));
    ck_assert_uint_eq(sk_state_topic_count(sk_turn_state(&(struct sk_turn){.ledger = again})), 1);
    ck_assert_uint_eq(sk_store_queue(sk_ledger_store(again), queue).max, 0);
    sk_ledger_close(again);
    memory_vfs_free(killed);
}
END_TEST

static Suite *turn_suite(void)
{
    Suite *suite = suite_create("services/broker/ledger/turn");
    TCase *tc = tcase_create("turn");
    tcase_add_checked_fixture(tc, open_sync, close_it);
    tcase_add_test(tc, nothing_is_seen_before_it_is_durable);
    tcase_add_test(tc, with_async_flush_all_is_seen_at_once);
    tcase_add_test(tc, what_came_during_a_sync_waits_for_the_next);
    tcase_add_test(tc, a_poll_is_woken_by_the_commit_not_by_the_append);
    tcase_add_test(tc, a_topic_stays_marked_until_all_of_it_is_committed);
    tcase_add_test(tc, a_marked_topic_may_lose_its_last_poll);
    tcase_add_test(tc, a_lease_that_ends_earlier_than_thought_wakes_a_poll);
    tcase_add_test(tc, a_poll_whose_time_is_over_is_answered_without);
    tcase_add_test(tc, a_batch_of_mixed_records_is_committed_whole);
    tcase_add_test(tc, a_replica_commits_nothing_whatever_handler_asks);
    tcase_add_test(tc, a_queue_that_is_written_to_all_the_time_is_seen);
    tcase_add_test(tc, a_lease_is_not_named_twice_although_its_place_is);
    tcase_add_test(tc, a_restart_forgets_the_queues_of_deleted_topics);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(turn_suite)
