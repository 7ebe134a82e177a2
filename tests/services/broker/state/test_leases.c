/* Leases: who holds a message, until when, and what ACK, CHANGE, RENEW and RELEASE do to it. */
#include <string.h>

#include "support/suite.h"
#include "world.h"

static struct world w;
static uint32_t topic, group;
static struct sk_lease leases[SK_CHOOSE_MAX];
static struct sk_chosen chosen[SK_CHOOSE_MAX];
static struct sk_lease_info info;

static void setup(void)
{
    world_init(&w);
    topic = world_topic(&w, "orders", 2);
    group = world_group(&w, "billing");
    world_send(&w, topic, 0, 100, 0);
}

static void teardown(void)
{
    world_done(&w);
}

static size_t receive(size_t count, bool auto_renew, uint64_t owner)
{
    struct world_receive how = {
        .group = group, .topic = topic, .count = count, .auto_renew = auto_renew, .owner = owner};
    return world_receive(&w, &how, leases, chosen);
}

static bool is_good(const struct sk_lease *lease)
{
    return sk_state_check_lease(w.state, lease, w.now_ms, &info);
}

START_TEST(a_lease_tells_who_has_it_and_until_when)
{
    w.now_ms = 5000999;
    ck_assert_uint_eq(receive(1, true, 42), 1);
    ck_assert(is_good(leases));
    ck_assert_uint_eq(info.deadline_ms, 5001999);
    ck_assert_uint_eq(info.given_ms, 5000000);
    ck_assert_uint_eq(info.owner, 42);
    ck_assert_uint_eq(info.attempt, 1);
    ck_assert(info.auto_renew);
}
END_TEST

/* How a good lease must be changed so that it is no more. */
static const struct {
    const char *name;
    struct sk_lease add;
    uint64_t later_ms;
} wrong[] = {
    {"another group", {.group = 1}, 0},
    {"another topic", {.topic = 1}, 0},
    {"another queue", {.queue = 1}, 0},
    {"a queue that is not", {.queue = 1000}, 0},
    {"the next offset", {.offset = 1}, 0},
    {"an offset far off", {.offset = 1ull << 61}, 0},
    {"another position", {.lease = {.position = 1}}, 0},
    {"another epoch", {.lease = {.epoch = 1}}, 0},
    {"at its end", {0}, 1000},
    {"long after its end", {0}, 100000},
};

START_TEST(only_the_present_lease_is_good)
{
    ck_assert_uint_eq(receive(1, false, 1), 1);
    struct sk_lease lease = leases[0];
    ck_assert(is_good(&lease));
    lease.group += wrong[_i].add.group;
    lease.topic += wrong[_i].add.topic;
    lease.queue += wrong[_i].add.queue;
    lease.offset += wrong[_i].add.offset;
    lease.lease.epoch += wrong[_i].add.lease.epoch;
    lease.lease.position += wrong[_i].add.lease.position;
    w.now_ms += wrong[_i].later_ms;
    ck_assert_msg(!is_good(&lease), "%s", wrong[_i].name);
    if (wrong[_i].later_ms) return;
    world_ack(&w, &lease, 1);
    ck_assert_msg(is_good(leases), "%s: was acknowledged all the same", wrong[_i].name);
}
END_TEST

/* A store that lost its unflushed tail writes the same positions again, for other leases. */
START_TEST(a_receipt_of_an_earlier_epoch_acknowledges_nothing)
{
    ck_assert_uint_eq(receive(3, false, 1), 3);
    struct sk_lease old[3] = {leases[0], leases[1], leases[2]}, changed = old[0];
    world_release(&w, leases, 3);
    world_new_epoch(&w, 2);
    ck_assert_uint_eq(receive(3, false, 2), 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(leases[i].offset, old[i].offset);
        ck_assert_uint_eq(leases[i].lease.position, old[i].lease.position);
        ck_assert(sk_lease_id_before(old[i].lease, leases[i].lease));
        ck_assert(!is_good(&old[i]));
    }
    uint64_t hash = sk_state_hash(w.state);
    world_ack(&w, old, 3);
    world_release(&w, old, 3);
    world_renew(&w, old, 3, w.now_ms + 5000);
    world_change(&w, &changed, w.now_ms + 5000);
    ck_assert_uint_eq(sk_state_hash(w.state), hash);
    sk_state *reloaded = world_reload(&w);
    ck_assert_uint_eq(sk_state_hash(reloaded), hash);
    ck_assert(sk_state_check_lease(reloaded, leases, w.now_ms, &info));
    ck_assert(!sk_state_check_lease(reloaded, old, w.now_ms, &info));
    sk_state_free(reloaded);
}
END_TEST

START_TEST(an_acknowledged_message_never_comes_back)
{
    ck_assert_uint_eq(receive(3, false, 1), 3);
    world_ack(&w, leases, 3);
    for (int i = 0; i < 3; i++) ck_assert(!is_good(&leases[i]));
    world_ack(&w, leases, 3);
    ck_assert_uint_eq(world_cursor(&w, group, topic, 0).committed, 3);
    w.now_ms += 10000;
    ck_assert_uint_eq(receive(1, false, 1), 1);
    ck_assert_uint_eq(chosen[0].offset, 3);
}
END_TEST

START_TEST(a_late_ack_counts_until_someone_else_has_the_message)
{
    ck_assert_uint_eq(receive(2, false, 1), 2);
    struct sk_lease old[2] = {leases[0], leases[1]};
    w.now_ms += 1000;
    ck_assert_uint_eq(receive(1, false, 1), 1);
    ck_assert_uint_eq(chosen[0].offset, 0);
    world_ack(&w, old, 2); /* 0 belongs to another by now, 1 to nobody */
    ck_assert(is_good(leases));
    struct sk_cursor c = world_cursor(&w, group, topic, 0);
    ck_assert_uint_eq(c.committed, 0);
    ck_assert_uint_eq(c.inflight, 1);
}
END_TEST

START_TEST(change_gives_a_new_lease_and_ends_auto_renewal)
{
    ck_assert_uint_eq(receive(1, true, 1), 1);
    struct sk_lease old = leases[0], lease = old;
    world_change(&w, &lease, w.now_ms + 50);
    ck_assert(sk_lease_id_before(old.lease, lease.lease));
    ck_assert(!is_good(&old));
    ck_assert(is_good(&lease));
    ck_assert_uint_eq(info.deadline_ms, w.now_ms + 50);
    ck_assert(!info.auto_renew);
    world_ack(&w, &old, 1);
    ck_assert(is_good(&lease));
    w.now_ms += 50;
    ck_assert_uint_eq(receive(1, false, 1), 1);
    ck_assert_uint_eq(chosen[0].offset, 0);
    ck_assert_uint_eq(chosen[0].attempt, 2);
}
END_TEST

START_TEST(change_to_now_gives_it_back_at_once)
{
    ck_assert_uint_eq(receive(1, false, 1), 1);
    world_change(&w, leases, w.now_ms);
    ck_assert_uint_eq(receive(1, false, 1), 1);
    ck_assert_uint_eq(chosen[0].attempt, 2);
}
END_TEST

START_TEST(renew_keeps_the_lease_and_its_attempt)
{
    ck_assert_uint_eq(receive(2, true, 1), 2);
    world_renew(&w, leases, 2, w.now_ms + 9000);
    w.now_ms += 8999;
    ck_assert(is_good(leases));
    ck_assert_uint_eq(info.attempt, 1);
    ck_assert(info.auto_renew);
    ck_assert_uint_le(sk_state_next_deadline(w.state, group, topic), w.now_ms + 1);
    w.queues[0].visible = 2; /* nothing new */
    ck_assert_uint_eq(receive(1, false, 1), 0);
    ck_assert_uint_eq(sk_state_next_deadline(w.state, group, topic), w.now_ms + 1);
    w.now_ms++;
    ck_assert(!is_good(leases));
}
END_TEST

START_TEST(released_messages_come_back_at_once_and_uncounted)
{
    ck_assert_uint_eq(receive(3, true, 1), 3);
    world_release(&w, leases, 2);
    ck_assert(!is_good(leases));
    struct sk_cursor c = world_cursor(&w, group, topic, 0);
    ck_assert_uint_eq(c.inflight, 1);
    ck_assert_uint_eq(c.returned, 2);
    ck_assert_uint_eq(c.committed, 0);
    ck_assert_uint_eq(receive(3, false, 1), 3);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(chosen[i].offset, (uint64_t)i);
        ck_assert_uint_eq(chosen[i].attempt, 1);
    }
    ck_assert_uint_eq(chosen[2].offset, 3);
}
END_TEST

START_TEST(the_next_deadline_is_the_earliest_of_all_queues)
{
    ck_assert_uint_eq(sk_state_next_deadline(w.state, group, topic), UINT64_MAX);
    uint64_t start = w.now_ms;
    world_send(&w, topic, 1, 1, 0);
    ck_assert_uint_eq(receive(1, false, 1), 1);
    struct sk_lease first = leases[0];
    w.now_ms += 10;
    struct world_receive how = {.group = group, .topic = topic, .count = 1, .first_queue = 1};
    ck_assert_uint_eq(world_receive(&w, &how, leases, chosen), 1);
    ck_assert_uint_eq(sk_state_next_deadline(w.state, group, topic), start + 1000);
    world_ack(&w, &first, 1);
    ck_assert_uint_eq(sk_state_next_deadline(w.state, group, topic), start + 1010);
    world_ack(&w, leases, 1);
    ck_assert_uint_eq(sk_state_next_deadline(w.state, group, topic), UINT64_MAX);
}
END_TEST

START_TEST(released_messages_are_due_now)
{
    ck_assert_uint_eq(receive(2, false, 1), 2);
    world_release(&w, leases, 1);
    ck_assert_uint_eq(sk_state_next_deadline(w.state, group, topic), 0);
    ck_assert_uint_eq(receive(1, false, 1), 1);
    w.queues[0].visible = 2;
    ck_assert_uint_eq(receive(1, false, 1), 0);
    ck_assert_uint_eq(sk_state_next_deadline(w.state, group, topic), w.now_ms + 1000);
}
END_TEST

/* Else a waiting receive would wake up for ever, and in vain. */
START_TEST(leases_in_hidden_queues_wake_nobody)
{
    world_send(&w, topic, 1, 1, 0);
    struct world_receive how = {.group = group, .topic = topic, .count = 1, .first_queue = 1};
    ck_assert_uint_eq(world_receive(&w, &how, leases, chosen), 1);
    world_topic(&w, "orders", 1);
    ck_assert_uint_eq(sk_state_next_deadline(w.state, group, topic), UINT64_MAX);
    world_renew(&w, leases, 1, w.now_ms + 5);
    ck_assert_uint_eq(sk_state_next_deadline(w.state, group, topic), UINT64_MAX);
    world_topic(&w, "orders", 2);
    ck_assert_uint_le(sk_state_next_deadline(w.state, group, topic), w.now_ms + 5);
    w.now_ms += 5;
    ck_assert_uint_eq(world_receive(&w, &how, leases, chosen), 1);
    ck_assert_uint_eq(chosen[0].queue, 1);
}
END_TEST

struct seen {
    size_t count, stop_after;
    uint64_t offsets[8];
};

static bool see(void *arg, const struct sk_lease *lease, const struct sk_lease_info *i)
{
    struct seen *seen = arg;
    ck_assert(i->auto_renew);
    ck_assert_uint_eq(lease->group, group);
    seen->offsets[seen->count++] = lease->offset;
    return seen->count != seen->stop_after;
}

static void each_renewed(uint64_t before_ms, uint64_t owner, struct seen *seen)
{
    struct sk_renewing_cursor at = {0};
    sk_state_each_auto_renewed(w.state, before_ms, owner, &at, see, seen);
}

START_TEST(auto_renewed_leases_are_found_by_time_and_by_owner)
{
    ck_assert_uint_eq(receive(2, true, 1), 2); /* offsets 0, 1 */
    struct sk_lease first = leases[0];
    ck_assert_uint_eq(receive(1, false, 1), 1); /* 2 */
    w.now_ms += 100;
    ck_assert_uint_eq(receive(2, true, 2), 2); /* 3, 4 */

    struct seen seen = {0};
    each_renewed(w.now_ms + 901, 0, &seen);
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_uint_eq(seen.offsets[0], 0);
    ck_assert_uint_eq(seen.offsets[1], 1);

    seen = (struct seen){0};
    each_renewed(0, 2, &seen);
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_uint_eq(seen.offsets[0], 3);

    seen = (struct seen){.stop_after = 3};
    each_renewed(UINT64_MAX, 0, &seen);
    ck_assert_uint_eq(seen.count, 3);

    world_ack(&w, &first, 1);
    world_release(&w, leases, 2);
    seen = (struct seen){0};
    each_renewed(UINT64_MAX, 0, &seen);
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_uint_eq(seen.offsets[0], 1);
}
END_TEST

/* --- a walk in parts ---------------------------------------------------------------------- */

enum { MANY_QUEUES = 5000, MANY_OFFSETS = 150000 };

static uint8_t told[2 * MANY_OFFSETS];

static uint8_t *told_of(const struct sk_lease *lease)
{
    return &told[2 * lease->offset + lease->queue];
}

static bool tell(void *arg, const struct sk_lease *lease, const struct sk_lease_info *i)
{
    size_t *count = arg;
    (void)i;
    *told_of(lease) = 1;
    ++*count;
    return true;
}

/* Leases of one message each in many queues, or of many messages in one. */
static size_t lease_many(uint32_t of, struct sk_lease *all)
{
    static struct sk_chosen some[SK_CHOOSE_MAX];
    struct world_receive how = {
        .group = group, .topic = of, .count = SK_CHOOSE_MAX, .auto_renew = true};
    size_t total = 0, got;
    while ((got = world_receive(&w, &how, all + total, some)) > 0) total += got;
    return total;
}

/* What comes and goes between two calls hides nothing that stays. */
static void walk_in_parts(struct sk_lease *all, size_t total, size_t least_calls)
{
    struct sk_renewing_cursor at = {0};
    size_t calls = 0, acked = 0;
    bool more = true;
    memset(told, 0, sizeof told);
    while (more) {
        size_t count = 0;
        more = sk_state_each_auto_renewed(w.state, UINT64_MAX, 0, &at, tell, &count);
        ck_assert_uint_le(count, 2048 * 64);
        calls++;
        world_ack(&w, all + acked, 200);
        acked += 200;
    }
    ck_assert_uint_ge(calls, least_calls);
    for (size_t i = acked; i < total; i++)
        ck_assert_msg(*told_of(&all[i]), "lease %zu was missed", i);
}

START_TEST(a_walk_over_many_windows_comes_in_parts)
{
    static struct sk_lease all[MANY_QUEUES];
    uint32_t wide = world_topic(&w, "wide", MANY_QUEUES);
    for (uint32_t q = 0; q < MANY_QUEUES; q++) world_send(&w, wide, q, 1, 0);
    ck_assert_uint_eq(lease_many(wide, all), MANY_QUEUES);
    walk_in_parts(all, MANY_QUEUES, 3);
}
END_TEST

/* The small one comes after it in the walk. */
START_TEST(a_walk_over_one_large_window_comes_in_parts)
{
    enum { SMALL = 500, DEEP = MANY_OFFSETS - SMALL };
    static struct sk_lease all[MANY_OFFSETS];
    uint32_t deep = world_topic(&w, "deep", 2);
    world_send(&w, deep, 0, SMALL, 0);
    world_send(&w, deep, 1, DEEP, 0);
    ck_assert_uint_eq(lease_many(deep, all), SMALL + DEEP);
    memmove(all, all + SMALL, (size_t)DEEP * sizeof *all); /* the small one's stay */
    walk_in_parts(all, DEEP, 2);
    for (uint64_t o = 0; o < SMALL; o++) ck_assert(told[2 * o]);
}
END_TEST

START_TEST(payloads_stay_small)
{
    ck_assert_uint_eq(receive(32, false, 1), 32);
    ck_assert_uint_le(w.facts[w.fact_count - 1].payload.len, 32);
    world_ack(&w, leases, 32);
    ck_assert_uint_le(w.facts[w.fact_count - 1].payload.len, 16);
    ck_assert_uint_eq(receive(32, false, 1), 32);
    for (int i = 0; i < 16; i++) leases[i] = leases[2 * i]; /* every second one */
    world_ack(&w, leases, 16);
    ck_assert_uint_le(w.facts[w.fact_count - 1].payload.len, 16 + 16 * 4);
}
END_TEST

static Suite *leases_suite(void)
{
    Suite *suite = suite_create("broker/state/leases");
    TCase *tc = tcase_create("leases");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_lease_tells_who_has_it_and_until_when);
    tcase_add_loop_test(tc, only_the_present_lease_is_good, 0, ROWS(wrong));
    tcase_add_test(tc, a_receipt_of_an_earlier_epoch_acknowledges_nothing);
    tcase_add_test(tc, an_acknowledged_message_never_comes_back);
    tcase_add_test(tc, a_late_ack_counts_until_someone_else_has_the_message);
    tcase_add_test(tc, change_gives_a_new_lease_and_ends_auto_renewal);
    tcase_add_test(tc, change_to_now_gives_it_back_at_once);
    tcase_add_test(tc, renew_keeps_the_lease_and_its_attempt);
    tcase_add_test(tc, released_messages_come_back_at_once_and_uncounted);
    tcase_add_test(tc, the_next_deadline_is_the_earliest_of_all_queues);
    tcase_add_test(tc, released_messages_are_due_now);
    tcase_add_test(tc, leases_in_hidden_queues_wake_nobody);
    tcase_add_test(tc, auto_renewed_leases_are_found_by_time_and_by_owner);
    tcase_add_test(tc, a_walk_over_many_windows_comes_in_parts);
    tcase_add_test(tc, a_walk_over_one_large_window_comes_in_parts);
    tcase_add_test(tc, payloads_stay_small);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(leases_suite)
