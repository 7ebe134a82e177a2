/* test_follow.c - every kind of record is committed without any handler, and all that has to follow
 * from it is there: on a primary, and, of what is a replica's, on a replica. */
#include "room.h"

/* What a record did, seen from outside. */
struct consequences {
    int seen;    /* messages that became visible */
    int wakes;   /* the poll looked again, or was answered */
    int gone;    /* the poll was told of the end */
    int reports; /* of configuration */
    int dropped; /* the topic's queue left the store */
};

static struct watcher w;

static struct sk_buffer payload_of(enum sk_record_kind kind, uint64_t position)
{
    struct sk_buffer b = {0};
    struct sk_lease held = {.group = group, .topic = orders, .lease = {.position = position}};
    struct sk_topic_change topic = topic_named("orders", 2);
    uint64_t now_ms = now_us / 1000;
    switch (kind) {
    case SK_RECORD_TOPIC:
        sk_state_encode_topic(&topic, &b);
        break;
    case SK_RECORD_TOPIC_DELETED:
        sk_state_encode_topic_deleted(SK_SLICE("orders"), &b);
        break;
    case SK_RECORD_GROUP:
        sk_state_encode_group(
            &(struct sk_group_change){.name = SK_SLICE("clerks"), .max_attempts = 9}, &b);
        break;
    case SK_RECORD_GROUP_DELETED:
        sk_state_encode_group_deleted(SK_SLICE("clerks"), &b);
        break;
    case SK_RECORD_ACK:
        sk_state_encode_ack(&held, 1, &b);
        break;
    case SK_RECORD_CHANGE:
        sk_state_encode_change(&held, now_ms, &b);
        break;
    case SK_RECORD_RENEW:
        sk_state_encode_renew(&held, 1, now_ms + 20000, &b);
        break;
    case SK_RECORD_RELEASE:
        sk_state_encode_release(&held, 1, &b);
        break;
    case SK_RECORD_SEEK:
        sk_state_encode_seek(group, orders, 0, 0, &b);
        break;
    case SK_RECORD_MESSAGE:
    case SK_RECORD_DELIVER:
        break; /* made by send and lease_one */
    }
    return b;
}

static bool has_queue(uint32_t queue)
{
    return sk_store_queue(sk_ledger_store(ledger), queue).max > 0;
}

/* A message is leased, the poll waits for one that comes back; then the record is committed. */
static struct consequences apply(enum sk_record_kind kind)
{
    send(orders, 2);
    flush();
    uint64_t lease = sk_store_tail(sk_ledger_store(ledger));
    ck_assert(lease_one());
    flush();
    uint32_t queue = queue_of(orders);
    park(&w, orders, UINT64_MAX);
    unsigned reports = config_changes;
    if (kind == SK_RECORD_MESSAGE) {
        send(orders, 1);
    } else if (kind == SK_RECORD_DELIVER) {
        ck_assert(lease_one());
    } else {
        struct sk_buffer b = payload_of(kind, lease);
        write_record(kind, &b);
    }
    flush();
    sk_timers_run(timers);
    struct consequences c = {.gone = w.answers && w.end == SK_POLL_GONE,
                             .reports = (int)(config_changes - reports),
                             .dropped = !has_queue(queue)};
    c.seen = c.dropped ? 0 : (int)visible(orders) - 2;
    c.wakes = w.looks;
    return c;
}

static const struct {
    enum sk_record_kind kind;
    struct consequences expected;
} rows[] = {
    {SK_RECORD_TOPIC, {.reports = 1}},
    {SK_RECORD_TOPIC_DELETED, {.reports = 1, .gone = 1, .dropped = 1}},
    {SK_RECORD_GROUP, {.reports = 1}},
    {SK_RECORD_GROUP_DELETED, {.reports = 1, .gone = 1}},
    {SK_RECORD_MESSAGE, {.seen = 1, .wakes = 1}},
    {SK_RECORD_DELIVER, {0}}, /* its end is watched: below */
    {SK_RECORD_ACK, {0}},
    {SK_RECORD_CHANGE, {.wakes = 1}},
    {SK_RECORD_RENEW, {0}},
    {SK_RECORD_RELEASE, {.wakes = 1}},
    {SK_RECORD_SEEK, {.wakes = 1}},
};

START_TEST(each_fact_has_its_consequences)
{
    struct consequences got = apply(rows[_i].kind), want = rows[_i].expected;
    ck_assert_int_eq(got.seen, want.seen);
    ck_assert_int_eq(got.wakes, want.wakes);
    ck_assert_int_eq(got.gone, want.gone);
    ck_assert_int_eq(got.reports, want.reports);
    ck_assert_int_eq(got.dropped, want.dropped);
}
END_TEST

/* A new kind of record has to say what follows from it: a row above. */
START_TEST(every_kind_has_a_row)
{
    for (int kind = 1; kind < 128; kind++) {
        bool known = strcmp(sk_record_kind_name((uint8_t)kind), "unknown") != 0, has_row = false;
        for (int i = 0; i < ROWS(rows); i++) has_row |= (int)rows[i].kind == kind;
        ck_assert_int_eq(known, has_row);
    }
}
END_TEST

START_TEST(the_end_of_each_lease_is_watched)
{
    send(orders, 1);
    flush();
    park(&w, orders, UINT64_MAX);
    ck_assert(lease_one()); /* ten seconds */
    int before = w.looks;
    now_us += 9999000;
    sk_timers_run(timers);
    ck_assert_int_eq(w.looks, before);
    now_us += 1000;
    sk_timers_run(timers);
    ck_assert_int_eq(w.looks, before + 1);
}
END_TEST

/* Deleted between two turns of a call, the topic is nobody's to be told of. */
START_TEST(a_poll_that_parks_after_the_end_of_its_topic_is_told)
{
    struct sk_buffer b = payload_of(SK_RECORD_TOPIC_DELETED, 0);
    write_record(SK_RECORD_TOPIC_DELETED, &b);
    park(&w, orders, 1);
    ck_assert_int_eq(w.answers, 1);
    ck_assert_int_eq(w.end, SK_POLL_GONE);
}
END_TEST

static Suite *follow_suite(void)
{
    Suite *suite = suite_create("services/broker/ledger/follow");
    TCase *tc = tcase_create("follow");
    tcase_add_checked_fixture(tc, open_sync, close_it);
    tcase_add_loop_test(tc, each_fact_has_its_consequences, 0, ROWS(rows));
    tcase_add_test(tc, every_kind_has_a_row);
    tcase_add_test(tc, the_end_of_each_lease_is_watched);
    tcase_add_test(tc, a_poll_that_parks_after_the_end_of_its_topic_is_told);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(follow_suite)
