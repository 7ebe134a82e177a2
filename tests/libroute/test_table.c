/* The route table under a clock that the test moves: who may speak for a broker,
 * when it is suspect, gone, back; what readers of an old snapshot still see; and
 * readers, writers and a reaper at once (meant for ThreadSanitizer). */
#include "route/table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/suite.h"

static uint64_t now_us;

static uint64_t fake_mono(const struct sk_clock *c)
{
    (void)c;
    return now_us;
}

static const struct sk_clock fake = {.mono_us = fake_mono, .wall_ms = fake_mono};

static sk_route_table *table;
static int changes;

static void count_change(void *arg)
{
    (void)arg;
    changes++;
}

static void setup(void)
{
    now_us = 1;
    changes = 0;
    table = sk_route_table_new(NULL, &fake);
    sk_route_table_listen(table, count_change, NULL);
}

static void teardown(void)
{
    sk_route_table_free(table);
}

static const struct sk_route_address here = {{(const uint8_t *)"10.0.0.1", 8}, 8081};

static const struct sk_route_topic two_topics[] = {
    {.name = {(const uint8_t *)"orders", 6},
     .type = 1,
     .read_queues = 4,
     .write_queues = 4,
     .permission = 3},
    {.name = {(const uint8_t *)"bills", 5},
     .type = 2,
     .read_queues = 1,
     .write_queues = 1,
     .permission = 3},
};

static const struct sk_slice one_group[] = {{(const uint8_t *)"clerks", 6}};

static struct sk_route_broker broker_a(uint64_t incarnation, uint64_t version)
{
    return (struct sk_route_broker){
        .key = {.cluster = SK_SLICE("c"), .name = SK_SLICE("a")},
        .incarnation = incarnation,
        .version = version,
        .plain = {.scheme = SK_ROUTE_IPV4, .addresses = &here, .count = 1},
        .topics = two_topics,
        .topic_count = 2,
        .orderly_groups = one_group,
        .group_count = 1,
    };
}

static uint64_t add(struct sk_route_broker b)
{
    uint64_t session = sk_route_session_new(table);
    struct sk_status s = sk_route_table_report(table, session, &b);
    ck_assert_msg(sk_ok(s), "%s", s.detail);
    return session;
}

/* How many brokers serve `topic`, as reader and as writer. */
static size_t places(const char *topic, size_t *writable)
{
    sk_route_snapshot *s = sk_route_acquire(table);
    struct sk_route_place p;
    size_t cursor = 0, n = 0;
    *writable = 0;
    for (; sk_route_next_place(s, sk_slice_of_text(topic), &cursor, &p); n++)
        *writable += !p.suspect;
    sk_route_unref(s);
    return n;
}

static void expect_places(const char *topic, size_t readable, size_t writable)
{
    size_t w, r = places(topic, &w);
    ck_assert_uint_eq(r, readable);
    ck_assert_uint_eq(w, writable);
}

START_TEST(a_report_is_found_by_topic_and_group)
{
    add(broker_a(1, 1));
    expect_places("orders", 1, 1);
    expect_places("bills", 1, 1);
    expect_places("order", 0, 0);
    expect_places("", 0, 0);
    sk_route_snapshot *s = sk_route_acquire(table);
    ck_assert(sk_route_group_is_orderly(s, SK_SLICE("clerks")));
    ck_assert(!sk_route_group_is_orderly(s, SK_SLICE("clerk")));
    ck_assert_uint_eq(sk_route_topic_of(sk_route_at(s, 0).broker, SK_SLICE("orders"))->read_queues,
                      4);
    sk_route_unref(s);
}
END_TEST

START_TEST(silence_longer_than_expiry_removes_at_once_everything_left_empty)
{
    struct sk_route_broker b = broker_a(1, 1);
    add(b);
    now_us += 120 * 1000000;
    ck_assert_uint_eq(sk_route_table_expire(table), 0);
    ck_assert_uint_eq(sk_route_table_silent_ms(table, &b.key), 120000);
    now_us += 1;
    ck_assert_uint_eq(sk_route_table_expire(table), 1);
    expect_places("orders", 0, 0);
    sk_route_snapshot *s = sk_route_acquire(table);
    ck_assert_uint_eq(sk_route_count(s), 0);
    sk_route_unref(s);
}
END_TEST

START_TEST(heartbeats_keep_alive_and_publish_nothing)
{
    struct sk_route_broker b = broker_a(1, 7);
    uint64_t session = add(b), version = 0;
    sk_route_snapshot *before = sk_route_acquire(table);
    for (int i = 0; i < 100; i++) {
        now_us += 30 * 1000000;
        ck_assert(sk_ok(sk_route_table_heartbeat(table, session, &b.key, &version)));
        ck_assert(sk_ok(sk_route_table_report(table, session, &b)));
        ck_assert_uint_eq(sk_route_table_expire(table), 0);
    }
    sk_route_snapshot *after = sk_route_acquire(table);
    ck_assert_ptr_eq(before, after);
    ck_assert_uint_eq(version, 7);
    ck_assert_int_eq(changes, 1);
    sk_route_unref(before);
    sk_route_unref(after);
}
END_TEST

START_TEST(a_heartbeat_of_an_expired_broker_asks_for_a_report)
{
    struct sk_route_broker b = broker_a(1, 1);
    uint64_t session = add(b), version;
    now_us += 121 * 1000000;
    sk_route_table_expire(table);
    ck_assert_int_eq(sk_route_table_heartbeat(table, session, &b.key, &version).code, SK_NOT_FOUND);
}
END_TEST

START_TEST(a_suspect_is_readable_only_until_heard_again)
{
    struct sk_route_broker b = broker_a(1, 1);
    uint64_t session = add(b), again, version;
    sk_route_table_suspect(table, session, &b.key);
    expect_places("orders", 1, 0);
    sk_route_table_suspect(table, session, &b.key); /* no news */
    ck_assert_int_eq(changes, 2);

    again = add(b); /* same incarnation, new stream */
    expect_places("orders", 1, 1);
    sk_route_table_suspect(table, session, &b.key); /* the old stream is noticed late */
    expect_places("orders", 1, 1);
    sk_route_table_leave(table, session, &b.key);
    expect_places("orders", 1, 1);
    ck_assert_int_eq(sk_route_table_heartbeat(table, session, &b.key, &version).code, SK_EXISTS);
    ck_assert(sk_ok(sk_route_table_heartbeat(table, again, &b.key, &version)));
    sk_route_table_leave(table, again, &b.key);
    expect_places("orders", 0, 0);
}
END_TEST

START_TEST(an_older_incarnation_never_overwrites_a_newer_one)
{
    struct sk_route_broker old = broker_a(1, 9), young = broker_a(2, 1);
    young.topic_count = 1;
    uint64_t first = add(old), second = add(young), third = sk_route_session_new(table);
    expect_places("bills", 0, 0);
    ck_assert_int_eq(sk_route_table_report(table, third, &old).code, SK_EXISTS);
    ck_assert_int_eq(sk_route_table_report(table, first, &old).code, SK_EXISTS);
    young.version = 2;
    young.topic_count = 2;
    ck_assert(sk_ok(sk_route_table_report(table, second, &young)));
    expect_places("bills", 1, 1);
}
END_TEST

START_TEST(within_an_incarnation_the_newest_stream_speaks)
{
    struct sk_route_broker b = broker_a(1, 1);
    uint64_t first = add(b);
    b.version = 2;
    add(b);
    b.version = 3;
    ck_assert_int_eq(sk_route_table_report(table, first, &b).code, SK_EXISTS);
}
END_TEST

START_TEST(a_broker_that_moved_is_published_whatever_its_version)
{
    const struct sk_route_address elsewhere[] = {{SK_SLICE("there"), here.port}, {here.host, 1}};
    struct sk_route_broker b = broker_a(1, 1);
    uint64_t session = add(b);
    for (size_t i = 0; i < 2; i++) {
        b.plain.addresses = &elsewhere[i];
        ck_assert(sk_ok(sk_route_table_report(table, session, &b)));
        sk_route_snapshot *now = sk_route_acquire(table);
        const struct sk_route_address *held = sk_route_at(now, 0).broker->plain.addresses;
        ck_assert(sk_slice_eq(held->host, elsewhere[i].host));
        ck_assert_int_eq(held->port, elsewhere[i].port);
        sk_route_unref(now);
    }
}
END_TEST

START_TEST(sets_and_clusters_are_kept_apart)
{
    struct sk_route_broker a = broker_a(1, 1), replica = a, other = a;
    replica.key.id = 1;
    other.key.cluster = SK_SLICE("d");
    uint64_t session = add(a);
    add(other);
    add(replica);
    expect_places("orders", 3, 3);
    sk_route_snapshot *s = sk_route_acquire(table);
    ck_assert_int_eq(sk_route_at(s, 0).broker->key.id, 0); /* sorted */
    ck_assert_int_eq(sk_route_at(s, 1).broker->key.id, 1);
    ck_assert(sk_slice_eq(sk_route_at(s, 2).broker->key.cluster, SK_SLICE("d")));
    sk_route_unref(s);
    sk_route_table_leave(table, session, &a.key);
    expect_places("orders", 2, 2);
}
END_TEST

START_TEST(a_snapshot_never_changes)
{
    struct sk_route_broker b = broker_a(1, 1);
    uint64_t session = add(b);
    sk_route_snapshot *held = sk_route_acquire(table);
    sk_route_table_leave(table, session, &b.key);
    add(broker_a(2, 1));
    sk_route_table_free(table);
    table = NULL;
    ck_assert_uint_eq(sk_route_count(held), 1);
    ck_assert_uint_eq(sk_route_at(held, 0).broker->incarnation, 1);
    ck_assert(
        sk_slice_eq(sk_route_at(held, 0).broker->plain.addresses[0].host, SK_SLICE("10.0.0.1")));
    sk_route_unref(held);
}
END_TEST

/* --- what watchers are told ---------------------------------------------------------------- */

static char told[128];

static void tell(void *arg, const struct sk_route_broker *b, bool gone)
{
    (void)arg;
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%c%.*s%llu", gone ? '-' : '+', SK_SLICE_ARGS(b->key.name),
             (unsigned long long)b->version);
}

/* The news since `*seen`, which becomes what is now. */
static const char *news(sk_route_snapshot **seen)
{
    sk_route_snapshot *now = sk_route_acquire(table);
    told[0] = 0;
    sk_route_diff(*seen, now, tell, NULL);
    sk_route_unref(*seen);
    *seen = now;
    return told;
}

START_TEST(a_difference_tells_each_change_once)
{
    sk_route_snapshot *seen = NULL;
    struct sk_route_broker a = broker_a(1, 1), z = a, m = a;
    z.key.name = SK_SLICE("z");
    m.key.name = SK_SLICE("m");
    ck_assert_str_eq(news(&seen), "");
    uint64_t of_a = add(a), of_z = add(z);
    ck_assert_str_eq(news(&seen), "+a1+z1");
    ck_assert_str_eq(news(&seen), "");
    a.version = 2;
    ck_assert(sk_ok(sk_route_table_report(table, of_a, &a)));
    add(m);
    ck_assert_str_eq(news(&seen), "+a2+m1");
    sk_route_table_suspect(table, of_z, &z.key);
    ck_assert_str_eq(news(&seen), "-z1");
    now_us += 121 * 1000000;
    ck_assert(sk_ok(sk_route_table_report(table, of_a, &a)));
    ck_assert_uint_eq(sk_route_table_expire(table), 2);
    ck_assert_str_eq(news(&seen), "-m1"); /* z was told as gone already */
    sk_route_unref(seen);
}
END_TEST

/* --- what is refused ---------------------------------------------------------------------------
 */

static const struct sk_route_address bad_port = {{(const uint8_t *)"h", 1}, 65536};
static const struct sk_route_address no_host = {{NULL, 0}, 1};
static const struct sk_route_topic twins[] = {{.name = {(const uint8_t *)"t", 1}},
                                              {.name = {(const uint8_t *)"t", 1}}};

static void spoil_cluster(struct sk_route_broker *b)
{
    b->key.cluster = SK_EMPTY;
}
static void spoil_name(struct sk_route_broker *b)
{
    b->key.name = SK_SLICE("12345678901");
}
static void spoil_id(struct sk_route_broker *b)
{
    b->key.id = -1;
}
static void spoil_incarnation(struct sk_route_broker *b)
{
    b->incarnation = 0;
}
static void spoil_endpoints(struct sk_route_broker *b)
{
    b->plain.count = 0;
}
static void spoil_port(struct sk_route_broker *b)
{
    b->plain.addresses = &bad_port;
}
static void spoil_host(struct sk_route_broker *b)
{
    b->plain.addresses = &no_host;
}
static void spoil_scheme(struct sk_route_broker *b)
{
    b->plain.scheme = 0;
}
static void spoil_topics(struct sk_route_broker *b)
{
    b->topics = twins;
}
static void spoil_count(struct sk_route_broker *b)
{
    b->topic_count = 3;
}
static void spoil_groups(struct sk_route_broker *b)
{
    b->group_count = 2;
}

static const struct {
    void (*spoil)(struct sk_route_broker *);
    enum sk_code code;
    const char *want;
} refused[] = {
    {spoil_cluster, SK_INVALID, "cluster is empty"},
    {spoil_name, SK_INVALID, "broker name '1234567890…' has 11 bytes; at most 10 are allowed"},
    {spoil_id, SK_INVALID, "broker id -1 is negative"},
    {spoil_incarnation, SK_INVALID, "incarnation is 0"},
    {spoil_endpoints, SK_INVALID, "no endpoints: clients could not reach this broker"},
    {spoil_port, SK_INVALID, "endpoints: port 65536 is not one of 1 to 65535"},
    {spoil_host, SK_INVALID, "endpoints: host is empty"},
    {spoil_scheme, SK_INVALID, "endpoints: the scheme must be IPv4, IPv6 or a domain name"},
    {spoil_topics, SK_INVALID, "topic 't' is reported twice"},
    {spoil_count, SK_FULL, "3 topics in one report; this name server takes 2"},
    {spoil_groups, SK_FULL, "2 ordered groups in one report; this name server takes 1"},
};

START_TEST(bad_reports_are_refused_and_change_nothing)
{
    struct sk_route_limits limits = {.name_bytes = 10, .topics = 2, .groups = 1};
    sk_route_table *t = sk_route_table_new(&limits, &fake);
    struct sk_route_broker b = broker_a(1, 1);
    refused[_i].spoil(&b);
    struct sk_status s = sk_route_table_report(t, sk_route_session_new(t), &b);
    ck_assert_int_eq(s.code, refused[_i].code);
    ck_assert_str_eq(s.detail, refused[_i].want);
    sk_route_snapshot *now = sk_route_acquire(t);
    ck_assert_uint_eq(sk_route_count(now), 0);
    sk_route_unref(now);
    sk_route_table_free(t);
}
END_TEST

START_TEST(brokers_and_memory_are_bounded)
{
    struct sk_route_limits limits = {.brokers = 1, .table_bytes = 700};
    sk_route_table *t = sk_route_table_new(&limits, &fake);
    struct sk_route_broker a = broker_a(1, 1), b = a;
    uint64_t session = sk_route_session_new(t);
    ck_assert(sk_ok(sk_route_table_report(t, session, &a)));
    b.key.name = SK_SLICE("b");
    ck_assert_int_eq(sk_route_table_report(t, session, &b).code, SK_FULL);
    char *wide = calloc(1, 200);
    ck_assert_ptr_nonnull(wide);
    a.software = sk_slice_of(wide, 200);
    for (a.version = 2; a.version < 50; a.version++) /* replacing gives the old bytes back */
        ck_assert(sk_ok(sk_route_table_report(t, session, &a)));
    struct sk_slice groups[50];
    for (int i = 0; i < 50; i++) groups[i] = SK_SLICE("g");
    a.orderly_groups = groups;
    a.group_count = 50;
    ck_assert_int_eq(sk_route_table_report(t, session, &a).code, SK_FULL);
    free(wide);
    sk_route_table_free(t);
}
END_TEST

/* Same incarnation, same version, another address: clients must learn it. */
START_TEST(a_report_from_another_address_is_taken)
{
    static const struct sk_route_address there = {{(const uint8_t *)"10.0.0.2", 8}, 8081};
    const struct sk_route_endpoints other = {
        .scheme = SK_ROUTE_IPV4, .addresses = &there, .count = 1};
    struct sk_route_broker b = broker_a(1, 1);
    uint64_t session = add(b);
    for (int tls = 0; tls < 2; tls++) {
        *(tls ? &b.tls : &b.plain) = other;
        ck_assert(sk_ok(sk_route_table_report(table, session, &b)));
        sk_route_snapshot *s = sk_route_acquire(table);
        const struct sk_route_broker *now = sk_route_at(s, 0).broker;
        ck_assert(sk_slice_eq(now->plain.addresses[0].host, there.host));
        ck_assert_uint_eq(now->tls.count, (size_t)tls);
        sk_route_unref(s);
    }
}
END_TEST

/* --- threads
 * --------------------------------------------------------------------------------------- */

enum { READERS = 3, ROUNDS = 2000 };

static _Atomic bool stop;

/* A broker's version and its topic count always go together: 1 and 1, or 2 and 2. */
static void *read_all(void *arg)
{
    size_t *seen = arg;
    while (!atomic_load(&stop)) {
        sk_route_snapshot *s = sk_route_acquire(table);
        for (size_t i = 0; i < sk_route_count(s); i++) {
            const struct sk_route_broker *b = sk_route_at(s, i).broker;
            ck_assert_uint_eq(b->version, b->topic_count);
            ck_assert(sk_slice_eq(b->topics[b->topic_count - 1].name, SK_SLICE("orders")));
            (*seen)++;
        }
        sk_route_unref(s);
    }
    return NULL;
}

static void *write_all(void *arg)
{
    struct sk_route_broker b = broker_a(1, 1);
    b.key.name = *(const struct sk_slice *)arg;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t session = sk_route_session_new(table);
        b.incarnation++;
        b.version = b.topic_count = 1 + (size_t)i % 2;
        ck_assert(sk_ok(sk_route_table_report(table, session, &b)));
        if (i % 3 == 0) sk_route_table_suspect(table, session, &b.key);
        if (i % 7 == 0) sk_route_table_leave(table, session, &b.key);
    }
    return NULL;
}

START_TEST(readers_always_see_a_whole_table)
{
    table = sk_route_table_new(NULL, NULL);
    pthread_t readers[READERS], writers[2];
    size_t seen[READERS] = {0};
    struct sk_slice names[2] = {SK_SLICE("w1"), SK_SLICE("w2")};
    atomic_store(&stop, false);
    for (int i = 0; i < READERS; i++) pthread_create(&readers[i], NULL, read_all, &seen[i]);
    for (int i = 0; i < 2; i++) pthread_create(&writers[i], NULL, write_all, &names[i]);
    for (int i = 0; i < 2; i++) pthread_join(writers[i], NULL);
    size_t w;
    ck_assert_uint_eq(places("orders", &w), 2);
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
    sk_route_table_free(table);
}
END_TEST

static Suite *table_suite(void)
{
    Suite *suite = suite_create("libroute/table");
    TCase *tc = tcase_create("brokers");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_report_is_found_by_topic_and_group);
    tcase_add_test(tc, silence_longer_than_expiry_removes_at_once_everything_left_empty);
    tcase_add_test(tc, heartbeats_keep_alive_and_publish_nothing);
    tcase_add_test(tc, a_heartbeat_of_an_expired_broker_asks_for_a_report);
    tcase_add_test(tc, a_suspect_is_readable_only_until_heard_again);
    tcase_add_test(tc, an_older_incarnation_never_overwrites_a_newer_one);
    tcase_add_test(tc, within_an_incarnation_the_newest_stream_speaks);
    tcase_add_test(tc, a_broker_that_moved_is_published_whatever_its_version);
    tcase_add_test(tc, sets_and_clusters_are_kept_apart);
    tcase_add_test(tc, a_snapshot_never_changes);
    tcase_add_test(tc, a_difference_tells_each_change_once);
    tcase_add_loop_test(tc, bad_reports_are_refused_and_change_nothing, 0, ROWS(refused));
    tcase_add_test(tc, brokers_and_memory_are_bounded);
    tcase_add_test(tc, a_report_from_another_address_is_taken);
    suite_add_tcase(suite, tc);
    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, 60);
    tcase_add_test(threads, readers_always_see_a_whole_table);
    suite_add_tcase(suite, threads);
    return suite;
}

SUITE_MAIN(table_suite)
