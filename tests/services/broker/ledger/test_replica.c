/* test_replica.c - another ledger's log, taken in slice by slice: the same state, and of what follows the
 * replica's share. */
#include "room.h"
#include "store/stream.h"

static struct memory_vfs *other_disk;
static sk_ledger *replica;
static sk_timers *other_timers;
static unsigned other_changes;

static void other_changed(void *owner)
{
    (void)owner;
    other_changes++;
}

/* The primary draws a store id when its directory is made; the replica is given it. */
static uint64_t store_id(void)
{
    uint8_t page[4096];
    struct sk_vfs *door = memory_vfs_door(disk);
    int fd = door->open(door, "/d/store/store", SK_VFS_READ);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(door->pread(door, fd, page, sizeof page, 0), sizeof page);
    door->close(door, fd);
    return sk_get_u64(page + 16);
}

static void open_both(void)
{
    open_sync();
    other_disk = memory_vfs_new();
    other_changes = 0;
    ck_assert(sk_ok(sk_timers_new(&fake, &other_timers)));
    struct sk_ledger_options options = {.store = {.dir = "/d/store",
                                                  .vfs = memory_vfs_door(other_disk),
                                                  .clock = &fake,
                                                  .store_id = store_id(),
                                                  .segment_bytes = 1 << 20,
                                                  .disk_refuse_percent = 100,
                                                  .disk_clean_percent = 100,
                                                  .manual = true},
                                        .role = SK_REPLICA,
                                        .timers = other_timers,
                                        .most_polls = 10,
                                        .most_polls_per_group = 10,
                                        .failed = failed,
                                        .config_changed = other_changed};
    ck_assert(sk_ok(sk_ledger_open(&options, NULL, &replica)));
}

static void close_both(void)
{
    sk_ledger_quiet(replica);
    sk_timers_free(other_timers);
    sk_ledger_close(replica);
    memory_vfs_free(other_disk);
    close_it();
}

static uint64_t hash_of(sk_ledger *of)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, of);
    uint64_t hash = sk_state_hash(sk_turn_state(&turn));
    sk_turn_end(&turn);
    return hash;
}

/* All that the primary has, from where the replica stands. */
static void catch_up(void)
{
    sk_store *from = sk_ledger_store(ledger), *to = sk_ledger_store(replica);
    sk_log_stream *stream;
    struct sk_log_stream_slice slice;
    uint64_t position = sk_store_tail(to);
    ck_assert(sk_ok(sk_log_stream_open(from, position, NULL, &stream)));
    for (;;) {
        struct sk_turn turn;
        struct sk_span span;
        ck_assert(sk_ok(sk_log_stream_next(stream, sk_store_tail(from), &slice)));
        if (slice.bytes.len == 0) break;
        sk_turn_begin(&turn, replica);
        struct sk_status s = sk_turn_receive(&turn, slice.span.begin, slice.bytes, &span);
        ck_assert_msg(sk_ok(s), "%s", sk_status_text(&s));
        sk_turn_end(&turn);
        sk_unpin(slice.pin);
    }
    sk_log_stream_close(stream);
    ck_assert_uint_eq(sk_store_tail(to), sk_store_tail(from));
}

static uint64_t visible_at(sk_ledger *of, uint32_t topic)
{
    uint64_t min, end;
    struct sk_turn turn;
    sk_turn_begin(&turn, of);
    sk_turn_range(&turn, queue_in(&turn, topic), &min, &end);
    sk_turn_end(&turn);
    return end;
}

START_TEST(a_replica_folds_to_the_same_state)
{
    for (int i = 0; i < 20; i++) {
        send(orders, 3);
        flush();
        ck_assert(lease_one());
        if (i % 5 == 2) make_group(i % 2 ? "odd" : "even");
        catch_up();
        ck_assert_uint_eq(hash_of(replica), hash_of(ledger));
    }
}
END_TEST

START_TEST(it_shows_what_is_durable_here)
{
    send(orders, 3);
    flush();
    catch_up();
    ck_assert_uint_eq(visible_at(replica, orders), 0); /* durable there is not durable here */
    ck_assert(sk_ok(sk_store_flush(sk_ledger_store(replica))));
    ck_assert_uint_eq(visible_at(replica, orders), 3);
}
END_TEST

START_TEST(its_share_follows_and_no_more)
{
    static struct watcher watching;
    send(orders, 1);
    flush();
    catch_up();
    ck_assert(sk_ok(sk_store_flush(sk_ledger_store(replica))));
    uint32_t queue = queue_of(orders);
    ck_assert_uint_eq(sk_store_queue(sk_ledger_store(replica), queue).max, 1);

    /* Leases are the primary's: no poll of the replica looks for their ends. */
    struct sk_turn turn;
    watch_for(&watching, orders, UINT64_MAX);
    sk_turn_begin(&turn, replica);
    ck_assert(sk_poll_park(&turn, &watching.poll));
    sk_turn_end(&turn);
    ck_assert(lease_one());
    catch_up();
    now_us += 20000000;
    sk_timers_run(other_timers);
    ck_assert_int_eq(watching.looks, 0);

    unsigned before = other_changes;
    struct sk_buffer gone = {0};
    sk_state_encode_topic_deleted(SK_SLICE("orders"), &gone);
    write_record(SK_RECORD_TOPIC_DELETED, &gone);
    catch_up();
    ck_assert_uint_gt(other_changes, before);
    ck_assert_int_eq(watching.answers, 1);
    ck_assert_int_eq(watching.end, SK_POLL_GONE);
    ck_assert_uint_eq(sk_store_queue(sk_ledger_store(replica), queue).max, 0);
}
END_TEST

/* It may write once it has begun an epoch of its own, above all that it received. */
START_TEST(a_replica_that_becomes_primary_begins_an_epoch)
{
    struct sk_turn turn;
    struct sk_span span;
    send(orders, 2);
    flush();
    catch_up();
    uint32_t before = sk_store_epoch(sk_ledger_store(ledger));
    sk_turn_begin(&turn, replica);
    struct sk_append message = message_to(&turn, orders);
    ck_assert_int_eq(sk_turn_commit(&turn, &message, 1, &span).code, SK_NOT_MASTER);
    sk_turn_end(&turn);
    ck_assert(sk_ok(sk_ledger_set_role(replica, SK_PRIMARY)));
    ck_assert_uint_eq(sk_store_epoch(sk_ledger_store(replica)), before + 1);
    sk_turn_begin(&turn, replica);
    message = message_to(&turn, orders);
    ck_assert(sk_ok(sk_turn_commit(&turn, &message, 1, &span)));
    ck_assert_uint_eq(sk_turn_lease_id(&turn, &span).epoch, before + 1);
    struct sk_slice nothing = SK_EMPTY;
    ck_assert_int_eq(sk_turn_receive(&turn, span.end, nothing, &span).code, SK_INVALID);
    sk_turn_end(&turn);
}
END_TEST

static Suite *replica_suite(void)
{
    Suite *suite = suite_create("services/broker/ledger/replica");
    TCase *tc = tcase_create("replica");
    tcase_add_checked_fixture(tc, open_both, close_both);
    tcase_add_test(tc, a_replica_folds_to_the_same_state);
    tcase_add_test(tc, it_shows_what_is_durable_here);
    tcase_add_test(tc, its_share_follows_and_no_more);
    tcase_add_test(tc, a_replica_that_becomes_primary_begins_an_epoch);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(replica_suite)
