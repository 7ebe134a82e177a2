/* test_wake.c - nobody sleeps beside a message that can be seen. A poll, or a pull, is placed
 * between each two steps of append, flush and commit, as another thread would be between any two
 * instructions there, and must be answered when all is done. In the first Skua a poll that came
 * between append and commit was never told, with sync flush, which is the default: push consumers
 * got messages 8 to 20 s late. */
#include "room.h"

enum step {
    BEFORE_APPEND,
    AFTER_LEAVE,  /* appended; the turn has not ended */
    BEFORE_FLUSH, /* the turn has ended */
    DURING_SYNC,  /* the disk has it, the cursor does not know */
    AFTER_SYNC,   /* the cursor knows, the gate does not: while the watermark is written */
    AT_ANSWER,    /* committed; the sender is being answered, nobody else was told */
    AFTER_ALL,
    STEPS,
};

static const char *const names[STEPS] = {
    "before the append", "before the turn ends",         "before the flush", "during the sync",
    "before the gate",   "while the sender is answered", "after all"};

static enum step place;
static bool placed, send_answered;
static struct watcher w;
static ssize_t (*write_now)(struct sk_vfs *vfs, int fd, const struct iovec *parts, int count,
                            uint64_t at);
static bool watermark_comes;

static void at(enum step step)
{
    if (step != place || placed) return;
    placed = true;
    try_or_park(&w, orders, 1);
}

static void during_sync(void)
{
    at(DURING_SYNC);
    watermark_comes = true;
}

static ssize_t write_and_see(struct sk_vfs *vfs, int fd, const struct iovec *parts, int count,
                             uint64_t where)
{
    if (watermark_comes) at(AFTER_SYNC);
    watermark_comes = false;
    return write_now(vfs, fd, parts, count, where);
}

static void answer_sender(void *arg, struct sk_status status)
{
    (void)arg;
    ck_assert(sk_ok(status));
    send_answered = true;
    at(AT_ANSWER);
}

/* As the handler of SendMessage does it, and then the flusher. */
static void send_step_by_step(enum sk_flush_mode how)
{
    struct sk_turn turn;
    struct sk_span span;
    at(BEFORE_APPEND);
    sk_turn_begin(&turn, ledger);
    struct sk_append message = message_to(&turn, orders);
    ck_assert(sk_ok(sk_turn_commit(&turn, &message, 1, &span)));
    sk_turn_leave(&turn);
    struct sk_gate_waiter waiter = {.position = span.end, .fn = answer_sender};
    sk_promise_wait(sk_ledger_promise(ledger), &waiter);
    at(AFTER_LEAVE);
    sk_turn_end(&turn);
    at(BEFORE_FLUSH);
    if (how == SK_FLUSH_SYNC) ck_assert(!send_answered);
    meanwhile = during_sync;
    flush();
    ck_assert(send_answered);
    at(AFTER_ALL);
}

static void place_and_send(enum sk_flush_mode how, enum step step)
{
    place = step;
    placed = send_answered = watermark_comes = false;
    open_with(how);
    struct sk_vfs *door = memory_vfs_door(disk);
    write_now = door->pwritev;
    door->pwritev = write_and_see;
    send_step_by_step(how);
    ck_assert(placed);
    ck_assert_msg(w.answers == 1 && w.end == SK_POLL_HAS, "a poll that came %s sleeps on",
                  names[step]);
    close_it();
}

START_TEST(a_poll_between_any_two_steps_is_woken)
{
    as_pull = _i >= STEPS;
    place_and_send(SK_FLUSH_SYNC, (enum step)(_i % STEPS));
}
END_TEST

START_TEST(with_async_flush_too)
{
    as_pull = _i >= STEPS;
    place_and_send(SK_FLUSH_ASYNC, (enum step)(_i % STEPS));
}
END_TEST

/* --- many ------------------------------------------------------------------------------------- */

/* More polls than one turn looks at: the rest is looked at in the next, not at the next message. */
START_TEST(a_crowd_is_woken_in_turns)
{
    enum { CROWD = 100 };
    static struct watcher crowd[CROWD];
    open_sync();
    for (int i = 0; i < CROWD; i++) park(&crowd[i], orders, 1);
    send(orders, 1);
    flush();
    for (int i = 0; i < CROWD; i++) ck_assert_int_eq(crowd[i].answers, 1);
    close_it();
}
END_TEST

enum { TIMES = 12 };

static enum sk_poll_look unsure(struct sk_poll *poll, struct sk_turn *turn)
{
    (void)poll, (void)turn;
    return SK_POLL_UNSURE;
}

static void park_unsure(struct watcher *crowd, int count,
                        void (*answer)(struct sk_poll *poll, enum sk_poll_end end))
{
    for (int i = 0; i < count; i++) {
        struct sk_turn turn;
        watch_for(&crowd[i], orders, 1);
        crowd[i].poll.look = unsure;
        crowd[i].poll.answer = answer;
        sk_turn_begin(&turn, ledger);
        ck_assert(sk_poll_park(&turn, &crowd[i].poll));
        sk_turn_end(&turn);
    }
}

static void park_again(struct sk_poll *poll, enum sk_poll_end end)
{
    struct watcher *self = (struct watcher *)(void *)poll;
    self->answers++;
    if (end == SK_POLL_TRY && self->answers < TIMES) {
        struct sk_turn turn;
        sk_turn_begin(&turn, ledger);
        ck_assert(sk_poll_park(&turn, poll));
        send_in(&turn, orders); /* there is something new for all others, too */
        sk_turn_end(&turn);
    }
}

/* Whoever is woken may wake others, who wake others: not one frame of the stack inside the other.
 */
START_TEST(polls_that_wake_one_another_come_to_an_end)
{
    enum { RING = 40 };
    static struct watcher ring[RING];
    open_with(SK_FLUSH_ASYNC);
    park_unsure(ring, RING, park_again);
    send(orders, 1);
    for (int i = 0; i < RING; i++) ck_assert_int_eq(ring[i].answers, TIMES);
    close_it();
}
END_TEST

static void park_once_more(struct sk_poll *poll, enum sk_poll_end end)
{
    struct watcher *self = (struct watcher *)(void *)poll;
    self->answers++;
    ck_assert_int_lt(self->answers, TIMES); /* or it would go on for ever */
    if (end != SK_POLL_TRY) return;
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    ck_assert(sk_poll_park(&turn, poll));
    sk_turn_end(&turn);
}

/* More than 32 polls with a filter, and a message that none of them wants: each was taken off,
 * tried by itself, parked at the end of the list that was being walked, and was looked at again,
 * until their time was over and with nobody else being served. */
START_TEST(a_crowd_that_wants_none_of_it_is_asked_once)
{
    enum { CROWD = 100 };
    static struct watcher crowd[CROWD];
    open_with(_i ? SK_FLUSH_ASYNC : SK_FLUSH_SYNC);
    park_unsure(crowd, CROWD, park_once_more);
    for (int n = 1; n < 4; n++) {
        send(orders, 1);
        if (_i == 0) flush();
        for (int i = 0; i < CROWD; i++) ck_assert_int_eq(crowd[i].answers, n);
    }
    close_it();
}
END_TEST

static struct watcher walkers[100];

/* There is news again whenever the first of them is looked at. */
static enum sk_poll_look look_and_send(struct sk_poll *poll, struct sk_turn *turn)
{
    struct watcher *self = (struct watcher *)(void *)poll;
    self->looks++;
    if (self == walkers && self->looks < 50) send_in(turn, orders);
    if (self != &walkers[ROWS(walkers) - 1]) return SK_POLL_MISMATCH;
    if (self->wants == 0) self->wants = (uint64_t)walkers[0].looks; /* when it was reached */
    return SK_POLL_MISMATCH;
}

START_TEST(the_last_of_a_crowd_is_reached_though_there_is_always_news)
{
    open_with(SK_FLUSH_ASYNC);
    for (int i = 0; i < ROWS(walkers); i++) {
        park(&walkers[i], orders, 0);
        walkers[i].poll.look = look_and_send;
    }
    send(orders, 1);
    ck_assert_uint_gt(walkers[ROWS(walkers) - 1].wants, 0);
    ck_assert_uint_le(walkers[ROWS(walkers) - 1].wants, 2);
    close_it();
}
END_TEST

static Suite *wake_suite(void)
{
    Suite *suite = suite_create("services/broker/ledger/wake");
    TCase *tc = tcase_create("wake");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_poll_between_any_two_steps_is_woken, 0, 2 * STEPS);
    tcase_add_loop_test(tc, with_async_flush_too, 0, 2 * STEPS);
    tcase_add_test(tc, a_crowd_is_woken_in_turns);
    tcase_add_test(tc, polls_that_wake_one_another_come_to_an_end);
    tcase_add_loop_test(tc, a_crowd_that_wants_none_of_it_is_asked_once, 0, 2);
    tcase_add_test(tc, the_last_of_a_crowd_is_reached_though_there_is_always_news);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(wake_suite)
