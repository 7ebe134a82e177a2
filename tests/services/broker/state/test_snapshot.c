/* Snapshots: all at once, in pages while the state changes, and no bytes that bring the loader
 * down. */
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"
#include "world.h"

static struct world w;

static void setup(void)
{
    static struct sk_lease leases[SK_CHOOSE_MAX];
    static struct sk_chosen chosen[SK_CHOOSE_MAX];
    world_init(&w);
    world_topic(&w, "gone", 3);
    uint32_t topic = world_topic(&w, "orders", 2), other = world_topic(&w, "bills", 1);
    uint32_t group = world_group(&w, "billing"), audit = world_group(&w, "audit");
    world_delete_topic(&w, "gone");
    world_send(&w, topic, 0, 300, 0);
    world_send(&w, topic, 1, 10, 0);
    world_send(&w, other, 0, 3, 0);

    struct world_receive how = {.group = group, .topic = topic, .count = 200, .auto_renew = true};
    ck_assert_uint_eq(world_receive(&w, &how, leases, chosen), 200);
    world_ack(&w, leases + 1, 130);
    world_release(&w, leases + 140, 10);
    world_change(&w, &leases[0], w.now_ms + 123);
    how.group = audit;
    ck_assert_uint_eq(world_receive(&w, &how, leases, chosen), 200);
    world_ack(&w, leases, 200);
    world_seek(&w, audit, other, 0, 2);
}

static void teardown(void)
{
    world_done(&w);
}

START_TEST(a_loaded_state_is_the_same)
{
    sk_state *reloaded = world_reload(&w), *replayed = world_replay(&w), *empty = sk_state_new();
    ck_assert_uint_eq(sk_state_hash(reloaded), sk_state_hash(w.state));
    ck_assert_uint_eq(sk_state_hash(replayed), sk_state_hash(w.state));
    ck_assert_uint_ne(sk_state_hash(empty), sk_state_hash(w.state));
    sk_state_free(reloaded);
    sk_state_free(replayed);
    sk_state_free(empty);
}
END_TEST

START_TEST(an_empty_state_can_be_saved_too)
{
    struct sk_buffer b = {0};
    sk_state *empty = sk_state_new(), *loaded = sk_state_new();
    sk_state_save(empty, &b);
    ck_assert(sk_ok(sk_state_load(loaded, sk_buffer_slice(&b))));
    ck_assert_uint_eq(sk_state_hash(empty), sk_state_hash(loaded));
    sk_buffer_done(&b);
    sk_state_free(empty);
    sk_state_free(loaded);
}
END_TEST

START_TEST(save_appends)
{
    struct sk_buffer b = {0};
    sk_buffer_put_u32(&b, 0xfeedface);
    sk_state_save(w.state, &b);
    sk_state *loaded = sk_state_new();
    ck_assert(sk_ok(sk_state_load(loaded, sk_slice_of(b.data + 4, b.len - 4))));
    sk_buffer_done(&b);
    sk_state_free(loaded);
}
END_TEST

/* Load a copy of exactly `len` bytes: a sanitizer sees the byte behind. */
static struct sk_status load(const uint8_t *data, size_t len, bool *same)
{
    uint8_t *copy = memcpy(malloc(len + !len), data, len);
    sk_state *state = sk_state_new();
    struct sk_status s = sk_state_load(state, sk_slice_of(copy, len));
    if (sk_ok(s)) *same = sk_state_hash(state) == sk_state_hash(w.state);
    sk_state_free(state);
    free(copy);
    return s;
}

START_TEST(a_snapshot_cut_anywhere_is_refused)
{
    struct sk_buffer b = {0};
    bool same = false;
    sk_state_save(w.state, &b);
    for (size_t len = 0; len < b.len; len++) {
        struct sk_status s = load(b.data, len, &same);
        if (s.code != SK_CORRUPT)
            ck_abort_msg("cut after %zu bytes: %s", len, sk_code_name(s.code));
    }
    sk_buffer_put_u8(&b, 0);
    ck_assert_int_eq(load(b.data, b.len, &same).code, SK_CORRUPT);
    sk_buffer_done(&b);
}
END_TEST

START_TEST(a_damaged_byte_is_refused_or_makes_a_difference)
{
    struct sk_buffer b = {0};
    sk_state_save(w.state, &b);
    size_t refused = 0;
    for (size_t at = 0; at < b.len; at++)
        for (unsigned mask = 1; mask < 256; mask <<= 1) {
            bool same = false;
            b.data[at] ^= (uint8_t)mask;
            struct sk_status s = load(b.data, b.len, &same);
            b.data[at] ^= (uint8_t)mask;
            if (sk_ok(s) ? same : s.code != SK_CORRUPT)
                ck_abort_msg("bit %u of byte %zu: %s", mask, at, sk_status_text(&s));
            refused += !sk_ok(s);
        }
    ck_assert_uint_gt(refused, 0);
    sk_buffer_done(&b);
}
END_TEST

/* In pages of `most` bytes, loaded: it must be the same state. */
static void must_survive_pages(sk_state *state, size_t most)
{
    struct sk_buffer b = {0};
    sk_state_save_begin(state);
    while (sk_state_save_page(state, &b, most)) {
    }
    sk_state_save_end(state);
    sk_state *loaded = sk_state_new();
    ck_assert(sk_ok(sk_state_load(loaded, sk_buffer_slice(&b))));
    ck_assert_uint_eq(sk_state_hash(loaded), sk_state_hash(state));
    sk_state_free(loaded);
    sk_buffer_done(&b);
}

/* Numbers of queues were given out, but none of them is left, before the saving or the loading. */
START_TEST(a_state_whose_topics_are_gone_is_saved_in_pages)
{
    sk_state *empty = sk_state_new();
    must_survive_pages(empty, 1);
    sk_state_free(empty);
    world_topic(&w, "wide", 3000);
    world_delete_topic(&w, "orders");
    world_delete_topic(&w, "bills");
    must_survive_pages(w.state, 100);
    world_delete_topic(&w, "wide");
    must_survive_pages(w.state, 100);
    sk_state *reloaded = world_reload(&w);
    must_survive_pages(reloaded, 1);
    sk_state_free(reloaded);
}
END_TEST

/* Whatever comes between two pages, the snapshot is of the moment when it began: a topic and a
 * group with all that hangs on them go, others come, leases end, everywhere in the walk. */
static void disturb(int what)
{
    struct sk_lease leases[64];
    struct sk_chosen chosen[64];
    const struct sk_topic *orders = sk_state_topic(w.state, SK_SLICE("orders"));
    const struct sk_group *billing = sk_state_group(w.state, SK_SLICE("billing"));
    uint32_t topic = orders ? orders->id : 0, group = billing ? billing->id : 0;
    struct world_receive how = {.group = group, .topic = topic, .count = 64};
    switch (what) {
    case 0:
        if (topic) world_delete_topic(&w, "orders");
        break;
    case 1:
        if (group) world_delete_group(&w, "billing");
        break;
    case 2:
        world_topic(&w, "orders", 4);
        world_topic(&w, "later", 2);
        world_topic(&w, "later", 3); /* what is younger is not put aside either */
        world_group(&w, "billing");
        world_group(&w, "later");
        world_group(&w, "later");
        break;
    case 3:
        w.now_ms += 2000;
        if (topic && group) world_ack(&w, leases, world_receive(&w, &how, leases, chosen));
        break;
    default:
        if (topic) world_send(&w, topic, 0, 5, 0);
        if (topic && group) world_seek(&w, group, topic, 0, 1);
    }
}

/* `what` comes before page `at`, and then one after the other. */
static bool save_disturbed(int at, int what)
{
    struct sk_buffer b = {0};
    uint64_t hash = sk_state_hash(w.state);
    int page = 0;
    sk_state_save_begin(w.state);
    do {
        if (page >= at) disturb((what + page - at) % 5);
        page++;
    } while (sk_state_save_page(w.state, &b, 500));
    sk_state_save_end(w.state);
    sk_state *loaded = sk_state_new();
    struct sk_status s = sk_state_load(loaded, sk_buffer_slice(&b));
    ck_assert_msg(sk_ok(s), "page %d, change %d: %s", at, what, sk_status_text(&s));
    ck_assert_msg(sk_state_hash(loaded) == hash, "page %d, change %d: another state", at, what);
    sk_state_free(loaded);
    sk_buffer_done(&b);
    return page > at;
}

START_TEST(changes_between_pages_are_not_in_the_snapshot)
{
    bool more = true;
    for (int at = 0; more; at++)
        for (int what = 0; what < 5; what++) {
            teardown();
            setup();
            more = save_disturbed(at, what);
        }
}
END_TEST

static Suite *snapshot_suite(void)
{
    Suite *suite = suite_create("broker/state/snapshot");
    TCase *tc = tcase_create("snapshot");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_loaded_state_is_the_same);
    tcase_add_test(tc, an_empty_state_can_be_saved_too);
    tcase_add_test(tc, save_appends);
    tcase_add_test(tc, a_state_whose_topics_are_gone_is_saved_in_pages);
    tcase_add_test(tc, changes_between_pages_are_not_in_the_snapshot);
    tcase_add_test(tc, a_snapshot_cut_anywhere_is_refused);
    tcase_add_test(tc, a_damaged_byte_is_refused_or_makes_a_difference);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(snapshot_suite)
