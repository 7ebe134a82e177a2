/* The gate: who is woken when, with what, in which order; and that nobody is woken
 * twice or forgotten when waiters, leavers and the cursor race. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/gate.h"
#include "support/suite.h"

static char woken[256];

struct sleeper {
    struct sk_gate_waiter waiter;
    char name;
};

static void note(void *arg, struct sk_status status)
{
    const struct sleeper *s = arg;
    size_t n = strlen(woken);
    snprintf(woken + n, sizeof woken - n, "%c%s ", s->name, sk_ok(status) ? "" : "!");
}

static void sleep_until(sk_gate *gate, struct sleeper *s, char name, uint64_t position)
{
    *s = (struct sleeper){.waiter = {.position = position, .fn = note, .arg = s}, .name = name};
    sk_gate_wait(gate, &s->waiter);
}

START_TEST(waiters_are_woken_in_order_of_position)
{
    struct sleeper s[5];
    sk_gate *gate = sk_gate_new(10);
    woken[0] = 0;
    sleep_until(gate, &s[0], 'c', 30);
    sleep_until(gate, &s[1], 'a', 11);
    sleep_until(gate, &s[2], 'b', 20);
    sleep_until(gate, &s[3], 'd', 40);
    sleep_until(gate, &s[4], 'n', 10); /* passed already: at once */
    ck_assert_str_eq(woken, "n ");
    sk_gate_advance(gate, 10);
    sk_gate_advance(gate, 5); /* never back */
    ck_assert_uint_eq(sk_gate_cursor(gate), 10);
    sk_gate_advance(gate, 30);
    ck_assert_str_eq(woken, "n a b c ");
    ck_assert(sk_gate_leave(gate, &s[3].waiter));
    ck_assert(!sk_gate_leave(gate, &s[3].waiter));
    ck_assert(!sk_gate_leave(gate, &s[0].waiter));
    sk_gate_advance(gate, 100);
    ck_assert_str_eq(woken, "n a b c ");
    sk_gate_free(gate);
}
END_TEST

START_TEST(closing_tells_everybody_why)
{
    struct sleeper s[3];
    sk_gate *gate = sk_gate_new(0);
    woken[0] = 0;
    sleep_until(gate, &s[0], 'a', 1);
    sleep_until(gate, &s[1], 'b', 2);
    sk_gate_close(gate, sk_error(SK_CLOSED, "test"));
    ck_assert_str_eq(woken, "a! b! ");
    sleep_until(gate, &s[2], 'c', 3);
    ck_assert_str_eq(woken, "a! b! c! ");
    sk_gate_free(gate);
}
END_TEST

static uint64_t demanded;

static void demand(void *arg, uint64_t position)
{
    (void)arg;
    demanded = position;
}

START_TEST(only_who_really_waits_demands)
{
    struct sleeper s[2];
    sk_gate *gate = sk_gate_new(5);
    sk_gate_on_wait(gate, demand, NULL);
    sleep_until(gate, &s[0], 'a', 5);
    ck_assert_uint_eq(demanded, 0);
    sleep_until(gate, &s[1], 'b', 9);
    ck_assert_uint_eq(demanded, 9);
    sk_gate_advance(gate, 9);
    sk_gate_free(gate);
}
END_TEST

/* --- threads ------------------------------------------------------------------------------------
 */

enum { THREADS = 4, WAITS = 5000 };

struct worker {
    pthread_t thread;
    sk_gate *gate;
    unsigned seed;
    struct sk_gate_waiter waiters[WAITS];
    _Atomic int wakes[WAITS];
    int left[WAITS]; /* leave said: never */
};

static void count_wake(void *arg, struct sk_status status)
{
    (void)status;
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static void *wait_and_leave(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < WAITS; i++) {
        w->waiters[i] = (struct sk_gate_waiter){.position = sk_gate_cursor(w->gate) +
                                                            (uint64_t)(rand_r(&w->seed) % 50),
                                                .fn = count_wake,
                                                .arg = &w->wakes[i]};
        sk_gate_wait(w->gate, &w->waiters[i]);
        if (i % 3 == 0) w->left[i] = sk_gate_leave(w->gate, &w->waiters[i]);
    }
    return NULL;
}

START_TEST(everybody_is_woken_once_or_has_left)
{
    static struct worker workers[THREADS];
    sk_gate *gate = sk_gate_new(0);
    for (int i = 0; i < THREADS; i++) {
        workers[i].gate = gate;
        workers[i].seed = (unsigned)i;
        pthread_create(&workers[i].thread, NULL, wait_and_leave, &workers[i]);
    }
    for (uint64_t cursor = 1; cursor < 20000; cursor++) sk_gate_advance(gate, cursor);
    for (int i = 0; i < THREADS; i++) pthread_join(workers[i].thread, NULL);
    sk_gate_close(gate, sk_error(SK_CLOSED, "end"));
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < WAITS; j++)
            ck_assert_int_eq(atomic_load(&workers[i].wakes[j]) + workers[i].left[j], 1);
    sk_gate_free(gate);
}
END_TEST

static Suite *gate_suite(void)
{
    Suite *suite = suite_create("base/gate");
    TCase *tc = tcase_create("gate");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, waiters_are_woken_in_order_of_position);
    tcase_add_test(tc, closing_tells_everybody_why);
    tcase_add_test(tc, only_who_really_waits_demands);
    tcase_add_test(tc, everybody_is_woken_once_or_has_left);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(gate_suite)
