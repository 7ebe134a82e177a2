/* bench_pages.c - how long a page of a snapshot holds the lock, and what the whole costs. Not a
 * test: build bench.broker.state.pages (release) and look.
 *
 * A page is timed by its thread's CPU time (what a hold costs) and by the clock. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "world.h"

enum { PAGE = 32 * 1024, TOPICS = 16, QUEUES = 62500, OPEN_QUEUES = 100, OPEN_EACH = 100000 };

static uint64_t position = 1;

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void apply(sk_state *state, enum sk_record_kind kind, struct sk_buffer *payload)
{
    struct sk_fact fact = {.kind = (uint8_t)kind,
                           .epoch = 1,
                           .time_ms = 1000000,
                           .payload = sk_buffer_slice(payload),
                           .position = position += 100};
    if (!sk_ok(sk_state_apply(state, &fact))) abort();
    payload->len = 0;
}

static void add_topic(sk_state *state, unsigned number, uint32_t queues)
{
    char name[32];
    struct sk_buffer b = {0};
    int len = snprintf(name, sizeof name, "topic-%u", number);
    sk_state_encode_topic(&(struct sk_topic_change){sk_slice_of(name, (size_t)len), SK_TOPIC_NORMAL,
                                                    false, queues, queues, 3},
                          &b);
    apply(state, SK_RECORD_TOPIC, &b);
    sk_buffer_done(&b);
}

static void add_group(sk_state *state)
{
    struct sk_buffer b = {0};
    sk_state_encode_group(&(struct sk_group_change){SK_SLICE("g"), 16, false}, &b);
    apply(state, SK_RECORD_GROUP, &b);
    sk_buffer_done(&b);
}

static void send(sk_state *state, uint32_t store_queue, uint64_t count)
{
    for (uint64_t o = 0; o < count; o++) {
        struct sk_fact fact = {.kind = SK_RECORD_MESSAGE,
                               .queue = store_queue,
                               .offset = o,
                               .position = position += 100};
        if (!sk_ok(sk_state_apply(state, &fact))) abort();
    }
}

/* A million queues with a message each, and a group that has read all of them. */
static sk_state *many_queues(void)
{
    sk_state *state = sk_state_new();
    struct sk_buffer b = {0};
    add_group(state);
    for (unsigned t = 0; t < TOPICS; t++) add_topic(state, t, QUEUES);
    for (uint32_t q = 0; q < TOPICS * QUEUES; q++) send(state, q, 1);
    for (uint32_t t = 1; t <= TOPICS; t++)
        for (uint32_t q = 0; q < QUEUES; q++) {
            sk_state_encode_seek(1, t, q, 1, &b);
            apply(state, SK_RECORD_SEEK, &b);
        }
    sk_buffer_done(&b);
    return state;
}

static void range(void *owner, uint32_t store_queue, uint64_t *min, uint64_t *visible)
{
    (void)store_queue;
    *min = 0;
    *visible = *(uint64_t *)owner;
}

/* Ten million messages that are all leased. */
static sk_state *many_open(void)
{
    static struct sk_chosen chosen[SK_CHOOSE_MAX];
    uint64_t visible = OPEN_EACH;
    sk_state *state = sk_state_new();
    struct sk_buffer b = {0};
    struct sk_queue_view view = {.range = range, .owner = &visible};
    add_group(state);
    add_topic(state, 1, OPEN_QUEUES);
    for (uint32_t q = 0; q < OPEN_QUEUES; q++) send(state, q, OPEN_EACH);
    struct sk_choose how = {.group = 1,
                            .topic = 1,
                            .now_ms = 1000000,
                            .count = SK_CHOOSE_MAX,
                            .deadline_ms = 1060000,
                            .owner = 0x123456789abcdef};
    for (;; how.first_queue++) {
        if (!sk_state_choose(state, &how, &view, chosen, &b)) break;
        apply(state, SK_RECORD_DELIVER, &b);
    }
    sk_buffer_done(&b);
    return state;
}

/* What comes between two pages, if anything: seeks, which put a cursor aside and all that is open
 * in its queue. */
static void disturb(sk_state *state, uint32_t queues, uint32_t *at)
{
    struct sk_buffer b = {0};
    for (int i = 0; i < 8; i++) {
        *at = (*at * 1664525u + 1013904223u);
        sk_state_encode_seek(1, 1, *at % queues, 1, &b);
        apply(state, SK_RECORD_SEEK, &b);
    }
    sk_buffer_done(&b);
}

static void measure(const char *name, sk_state *state, uint32_t queues, bool busy)
{
    struct sk_buffer page = {0};
    double longest_cpu = 0, longest = 0, held = 0, begin = seconds(CLOCK_MONOTONIC);
    size_t pages = 0, bytes = 0;
    uint32_t at = 7;
    bool more = true;
    sk_state_save_begin(state);
    while (more) {
        page.len = 0;
        double cpu = seconds(CLOCK_THREAD_CPUTIME_ID), clock = seconds(CLOCK_MONOTONIC);
        more = sk_state_save_page(state, &page, PAGE);
        cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
        clock = seconds(CLOCK_MONOTONIC) - clock;
        if (cpu > longest_cpu) longest_cpu = cpu;
        if (clock > longest) longest = clock;
        held += cpu;
        bytes += page.len;
        pages++;
        if (busy) disturb(state, queues, &at);
    }
    double end = seconds(CLOCK_THREAD_CPUTIME_ID);
    sk_state_save_end(state);
    end = seconds(CLOCK_THREAD_CPUTIME_ID) - end;
    printf("%-34s %6zu pages, %6.1f MiB in %5.2f s, held %5.2f s; a page %.3f ms on average, %.3f "
           "ms at most (by the clock %.3f); end %.3f ms\n",
           name, pages, (double)bytes / (1 << 20), seconds(CLOCK_MONOTONIC) - begin, held,
           held * 1e3 / (double)pages, longest_cpu * 1e3, longest * 1e3, end * 1e3);
    sk_buffer_done(&page);
}

int main(void)
{
    mallopt(M_TRIM_THRESHOLD, 1 << 30); /* giving memory back is not what is timed here */
    sk_state *state = many_queues();
    measure("1,000,000 queues and cursors", state, QUEUES, false);
    measure("the same, 8 seeks after each page", state, QUEUES, true);
    sk_state_free(state);
    state = many_open();
    measure("10,000,000 open messages", state, OPEN_QUEUES, false);
    measure("the same, 8 seeks after each page", state, OPEN_QUEUES, true);
    sk_state_free(state);
    return 0;
}
