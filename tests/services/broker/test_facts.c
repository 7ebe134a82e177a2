/* test_facts.c - the state is told the same of every record, live and in replay.
 *
 * sk_state_apply is wrapped: what a broker applied while it lived is compared, fact by fact and
 * byte by byte, with what its log tells after the snapshots are gone. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "harness.h"
#include "state/state.h"
#include "message/stored_message.h"
#include "support/suite.h"

enum { MOST = 512 };

struct told {
    struct sk_fact fact; /* without its payload */
    uint32_t payload_sum;
    size_t payload_len;
};

static struct told told[MOST];
static size_t count;

struct sk_status __real_sk_state_apply(sk_state *state, const struct sk_fact *fact);
struct sk_status __wrap_sk_state_apply(sk_state *state, const struct sk_fact *fact);

/* Under the ledger's lock, or before there is anyone else. */
struct sk_status __wrap_sk_state_apply(sk_state *state, const struct sk_fact *fact)
{
    ck_assert_uint_lt(count, MOST);
    struct told *t = &told[count++];
    *t = (struct told){.fact = *fact,
                       .payload_sum = sk_crc32c(0, fact->payload.data, fact->payload.len),
                       .payload_len = fact->payload.len};
    t->fact.payload = SK_EMPTY;
    return __real_sk_state_apply(state, fact);
}

static void must_be_same(const struct told *live, const struct told *again)
{
    ck_assert_uint_eq(again->fact.kind, live->fact.kind);
    ck_assert_uint_eq(again->fact.epoch, live->fact.epoch);
    ck_assert_uint_eq(again->fact.queue, live->fact.queue);
    ck_assert_uint_eq(again->fact.offset, live->fact.offset);
    ck_assert_uint_eq(again->fact.time_ms, live->fact.time_ms);
    ck_assert_uint_eq(again->fact.position, live->fact.position);
    ck_assert_uint_eq(again->fact.tag_hash, live->fact.tag_hash);
    ck_assert_uint_eq(again->payload_len, live->payload_len);
    ck_assert_uint_eq(again->payload_sum, live->payload_sum);
}

static void remove_snapshots(const char *dir)
{
    char path[512];
    snprintf(path, sizeof path, "%s/snapshot", dir);
    DIR *d = opendir(path);
    ck_assert_ptr_nonnull(d);
    int removed = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (!strstr(e->d_name, ".snap")) continue;
        snprintf(path, sizeof path, "%s/snapshot/%s", dir, e->d_name);
        ck_assert_int_eq(unlink(path), 0);
        removed++;
    }
    closedir(d);
    ck_assert_int_gt(removed, 0);
}

static void send_all(struct harness *h)
{
    static uint8_t large[100000];
    rmq_code code;
    int64_t offset;
    ck_assert_int_eq(harness_send(h, "orders", "1", NULL, "body", NULL), RMQ_CODE_OK);
    ck_assert_int_eq(harness_send(h, "orders", "2", "red", "b", NULL), RMQ_CODE_OK);
    ck_assert_int_eq(harness_send(h, "orders", "3", "blue", "another", NULL), RMQ_CODE_OK);
    memset(large, 'x', sizeof large);
    ck_assert(sk_ok(harness_try_send(h, "orders", "4", "red", sk_slice_of(large, sizeof large),
                                     &code, &offset)));
    ck_assert_int_eq(code, RMQ_CODE_OK);
}

static void consume(struct harness *h)
{
    struct received r;
    struct receive_how red = {.topic = "orders", .group = "g", .filter = "red", .polling_ms = 100};
    struct receive_how all = {.topic = "orders", .group = "h", .polling_ms = 100};
    harness_receive(h, &red, &r);
    ck_assert_uint_eq(r.count, 2);
    ck_assert_int_eq(harness_ack(h, "orders", "g", r.messages[0].handle), RMQ_CODE_OK);
    harness_change(h, "orders", "g", r.messages[1].handle, 0);
    harness_receive(h, &all, &r);
    ck_assert_uint_eq(r.count, 4);
}

static void check_what_was_told(size_t live)
{
    size_t kinds[SK_RECORD_SEEK + 1] = {0}, tagged = 0;
    for (size_t i = 0; i < live; i++) {
        const struct told *t = &told[i];
        kinds[t->fact.kind]++;
        tagged += t->fact.tag_hash != 0;
        if (t->fact.kind != SK_RECORD_MESSAGE) continue;
        ck_assert_uint_ge(t->payload_len, SK_STORED_HEAD_LEAST);
        ck_assert_uint_le(t->payload_len, SK_STORED_HEAD_MAX);
    }
    ck_assert_uint_eq(kinds[SK_RECORD_MESSAGE], 4);
    ck_assert_uint_eq(tagged, 3);
    ck_assert(kinds[SK_RECORD_TOPIC] && kinds[SK_RECORD_GROUP] && kinds[SK_RECORD_DELIVER]);
    ck_assert(kinds[SK_RECORD_ACK] && kinds[SK_RECORD_CHANGE]);
}

START_TEST(facts_are_the_same_live_and_in_replay)
{
    static struct harness h;
    static struct told lived[MOST];
    char dir[] = "/tmp/skua-facts-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert(sk_ok(harness_try_open(&h, dir, NULL, NULL)));
    harness_topic(&h, "orders", 1);
    harness_group(&h, "g");
    harness_group(&h, "h");
    send_all(&h);
    consume(&h);
    harness_close(&h);
    size_t live = count;
    check_what_was_told(live);
    memcpy(lived, told, sizeof lived);

    remove_snapshots(dir);
    count = 0;
    ck_assert(sk_ok(harness_try_open(&h, dir, NULL, NULL)));
    ck_assert_uint_ge(count, live); /* starting anew may have added some */
    for (size_t i = 0; i < live; i++) must_be_same(&lived[i], &told[i]);
    harness_close(&h);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

static Suite *facts_suite(void)
{
    Suite *suite = suite_create("broker/facts");
    TCase *tc = tcase_create("facts");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, facts_are_the_same_live_and_in_replay);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(facts_suite)
