/* Timers under a clock that the test moves, and once under the real one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "base/timer.h"
#include "support/suite.h"

static uint64_t now_us;

static uint64_t fake_mono(const struct sk_clock *c)
{
    (void)c;
    return now_us;
}

static const struct sk_clock fake = {.mono_us = fake_mono, .wall_ms = fake_mono};

static sk_timers *timers;
static char fired[512];

static void setup(void)
{
    now_us = 1000;
    fired[0] = 0;
    ck_assert(sk_ok(sk_timers_new(&fake, &timers)));
}

static void teardown(void)
{
    sk_timers_free(timers);
}

static void note(void *arg)
{
    size_t n = strlen(fired);
    snprintf(fired + n, sizeof fired - n, "%s ", (const char *)arg);
}

static struct sk_timer timer(const char *name)
{
    return (struct sk_timer){.fn = note, .arg = (void *)(uintptr_t)name};
}

static const char *run_at(uint64_t us)
{
    now_us = us;
    fired[0] = 0;
    sk_timers_run(timers);
    return fired;
}

START_TEST(timers_fire_in_order_when_they_are_due)
{
    struct sk_timer a = timer("a"), b = timer("b"), c = timer("c");
    sk_timer_set(timers, &c, 3000);
    sk_timer_set(timers, &a, 1500);
    sk_timer_set_after_ms(timers, &b, 1); /* at 2000 */
    ck_assert_str_eq(run_at(1499), "");
    ck_assert_str_eq(run_at(1500), "a ");
    ck_assert_str_eq(run_at(9000), "b c ");
    ck_assert_str_eq(run_at(9999), "");
}
END_TEST

START_TEST(timers_can_be_moved_and_cancelled)
{
    struct sk_timer a = timer("a"), b = timer("b");
    sk_timer_set(timers, &a, 2000);
    sk_timer_set(timers, &b, 3000);
    sk_timer_set(timers, &a, 4000);
    ck_assert_str_eq(run_at(3500), "b ");
    ck_assert(sk_timer_cancel(timers, &a));
    ck_assert(!sk_timer_cancel(timers, &a));
    ck_assert(!sk_timer_cancel(timers, &b));
    ck_assert_str_eq(run_at(9999), "");
}
END_TEST

static int rounds;

static void again(void *arg)
{
    if (++rounds < 3) sk_timer_set(timers, arg, now_us); /* due at once: still this run */
}

START_TEST(a_timer_may_set_itself_anew)
{
    struct sk_timer t = {.fn = again};
    t.arg = &t;
    rounds = 0;
    sk_timer_set(timers, &t, 1000);
    ck_assert_uint_eq(sk_timers_run(timers), 3);
    ck_assert_int_eq(rounds, 3);
}
END_TEST

/* A thousand timers, a third moved, a third cancelled: the rest fires in order. */
static uint64_t last_due;
static int count;

static void expect_order(void *arg)
{
    const struct sk_timer *t = arg;
    ck_assert_uint_ge(t->due_us, last_due);
    last_due = t->due_us;
    count++;
}

START_TEST(many_timers_keep_their_order)
{
    enum { MANY = 999 };
    static struct sk_timer many[MANY];
    unsigned seed = 1;
    last_due = 0;
    count = 0;
    for (int i = 0; i < MANY; i++) {
        many[i] = (struct sk_timer){.fn = expect_order, .arg = &many[i]};
        sk_timer_set(timers, &many[i], 2000 + (uint64_t)(rand_r(&seed) % 500));
    }
    for (int i = 0; i < MANY; i++) {
        if (i % 3 == 0) ck_assert(sk_timer_cancel(timers, &many[i]));
        if (i % 3 == 1) sk_timer_set(timers, &many[i], 2000 + (uint64_t)(rand_r(&seed) % 500));
    }
    for (now_us = 2000; now_us < 2600; now_us += 7) sk_timers_run(timers);
    ck_assert_int_eq(count, MANY - MANY / 3);
}
END_TEST

/* --- the real clock ----------------------------------------------------------------------------
 */

static struct sk_mutex lock;
static struct sk_cond changed;
static bool rang;

static void ring(void *arg)
{
    (void)arg;
    sk_mutex_lock(&lock);
    rang = true;
    sk_cond_signal(&changed);
    sk_mutex_unlock(&lock);
}

START_TEST(the_thread_wakes_for_an_earlier_timer)
{
    sk_timers *real;
    struct sk_timer late = {.fn = ring}, soon = {.fn = ring};
    bool in_time = true;
    sk_mutex_init(&lock);
    sk_cond_init(&changed);
    ck_assert(sk_ok(sk_timers_new(NULL, &real)));
    sk_timer_set_after_ms(real, &late, 3600000);
    for (int round = 0; round < 100; round++) { /* at the first it may not sleep yet */
        rang = false;
        sk_timer_set_after_ms(real, &soon, 1);
        sk_mutex_lock(&lock);
        while (!rang && in_time) in_time = sk_cond_wait_for(&changed, &lock, 10 * 1000000);
        sk_mutex_unlock(&lock);
        ck_assert(rang);
    }
    sk_timers_free(real); /* `late` is dropped */
    sk_cond_done(&changed);
    sk_mutex_done(&lock);
}
END_TEST

static Suite *timer_suite(void)
{
    Suite *suite = suite_create("base/timer");
    TCase *tc = tcase_create("timers");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, timers_fire_in_order_when_they_are_due);
    tcase_add_test(tc, timers_can_be_moved_and_cancelled);
    tcase_add_test(tc, a_timer_may_set_itself_anew);
    tcase_add_test(tc, many_timers_keep_their_order);
    tcase_add_test(tc, the_thread_wakes_for_an_earlier_timer);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(timer_suite)
