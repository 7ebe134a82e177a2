/* bench.c - what the state costs per call. Not a test: build test.bench.broker.state and look.
 *
 * Each row is the best of several rounds, so that a busy machine does not count. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "world.h"

enum { BATCH = 32, BATCHES = 2000, ROUNDS = 15 };

static struct sk_lease leases[BATCHES * BATCH];
static struct sk_chosen chosen[BATCH];
static uint64_t visible;

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void range(void *owner, uint32_t store_queue, uint64_t *min, uint64_t *end)
{
    (void)owner;
    (void)store_queue;
    *min = 0;
    *end = visible;
}

static size_t tags(void *owner, uint32_t store_queue, uint64_t offset, size_t count,
                   uint32_t *hashes)
{
    (void)owner;
    (void)store_queue;
    for (size_t i = 0; i < count; i++) hashes[i] = (uint32_t)(offset + i) & 1;
    return count;
}

static void apply(sk_state *state, enum sk_record_kind kind, struct sk_slice payload,
                  uint64_t position)
{
    struct sk_fact fact = {.kind = (uint8_t)kind, .payload = payload, .position = position};
    if (!sk_ok(sk_state_apply(state, &fact))) abort();
}

struct row {
    double choose, deliver, check, encode, ack, message;
    size_t deliver_bytes, ack_bytes;
};

static sk_state *fresh(uint32_t queues, uint64_t messages, struct row *row)
{
    sk_state *state = sk_state_new();
    struct sk_buffer b = {0};
    sk_state_encode_topic(&(struct sk_topic_change){SK_SLICE("t"), SK_TOPIC_NORMAL, false, queues,
                                                    queues, SK_PERMIT_READ},
                          &b);
    apply(state, SK_RECORD_TOPIC, sk_buffer_slice(&b), 0);
    b.len = 0;
    sk_state_encode_group(&(struct sk_group_change){SK_SLICE("g"), 16, false}, &b);
    apply(state, SK_RECORD_GROUP, sk_buffer_slice(&b), 1);
    sk_buffer_done(&b);
    double start = now_us();
    for (uint64_t i = 0; i < messages; i++) {
        struct sk_fact fact = {.kind = SK_RECORD_MESSAGE,
                               .queue = (uint32_t)(i % queues),
                               .offset = i / queues,
                               .position = 2 + i};
        if (!sk_ok(sk_state_apply(state, &fact))) abort();
    }
    double took = (now_us() - start) / (double)messages;
    if (took < row->message) row->message = took;
    return state;
}

static void best(double *row, double took)
{
    took /= BATCHES;
    if (took < *row) *row = took;
}

/* `held` batches are in flight while the oldest is acknowledged. */
static void run(uint32_t queues, bool filtered, size_t held, struct row *row)
{
    static const uint32_t wanted[] = {1};
    struct sk_queue_view view = {.range = range, .tags = tags};
    struct sk_buffer b = {0};
    uint64_t total = (uint64_t)BATCHES * BATCH * (filtered ? 2 : 1);
    double choose_us = 0, deliver_us = 0, check_us = 0, encode_us = 0, ack_us = 0;
    visible = total / queues;
    sk_state *state = fresh(queues, total, row);
    uint64_t position = 1 << 30;
    struct sk_lease_info info;

    for (size_t i = 0; i < BATCHES + held; i++) {
        if (i < BATCHES) {
            struct sk_choose how = {.group = 1,
                                    .topic = 1,
                                    .now_ms = 1,
                                    .count = BATCH,
                                    .first_queue = (uint32_t)i,
                                    .deadline_ms = 60000,
                                    .owner = 9,
                                    .tag_hashes = filtered ? wanted : NULL,
                                    .tag_hash_count = 1};
            double t0 = now_us();
            if (sk_state_choose(state, &how, &view, chosen, &b) != BATCH) abort();
            double t1 = now_us();
            apply(state, SK_RECORD_DELIVER, sk_buffer_slice(&b), ++position);
            double t2 = now_us();
            choose_us += t1 - t0;
            deliver_us += t2 - t1;
            row->deliver_bytes = b.len;
            for (size_t k = 0; k < BATCH; k++)
                leases[i * BATCH + k] =
                    (struct sk_lease){1, 1, chosen[k].queue, chosen[k].offset, {0, position}};
        }
        if (i < held) continue;
        const struct sk_lease *batch = &leases[(i - held) * BATCH];
        double t0 = now_us();
        for (size_t k = 0; k < BATCH; k++)
            if (!sk_state_check_lease(state, &batch[k], 2, &info)) abort();
        double t1 = now_us();
        b.len = 0;
        sk_state_encode_ack(batch, BATCH, &b);
        double t2 = now_us();
        apply(state, SK_RECORD_ACK, sk_buffer_slice(&b), ++position);
        double t3 = now_us();
        check_us += t1 - t0;
        encode_us += t2 - t1;
        ack_us += t3 - t2;
        row->ack_bytes = b.len;
    }
    best(&row->choose, choose_us);
    best(&row->deliver, deliver_us);
    best(&row->check, check_us);
    best(&row->encode, encode_us);
    best(&row->ack, ack_us);
    sk_buffer_done(&b);
    sk_state_free(state);
}

static void memory(uint32_t topics, uint32_t queues)
{
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    sk_state *state = sk_state_new();
    struct sk_buffer b = {0};
    char name[32];
    double start = now_us();
    for (uint32_t i = 0; i < topics; i++) {
        int len = snprintf(name, sizeof name, "topic-%u", i * 7919u);
        b.len = 0;
        sk_state_encode_topic(&(struct sk_topic_change){sk_slice_of(name, (size_t)len),
                                                        SK_TOPIC_NORMAL, false, queues, queues, 3},
                              &b);
        apply(state, SK_RECORD_TOPIC, sk_buffer_slice(&b), i);
    }
    double made = now_us();
    b.len = 0;
    sk_state_save(state, &b);
    double saved = now_us();
    sk_state *copy = sk_state_new();
    if (!sk_ok(sk_state_load(copy, sk_buffer_slice(&b)))) abort();
    double loaded = now_us();
    size_t bytes = mallinfo2().uordblks + mallinfo2().hblkhd - before - b.room;
    printf(
        "%u topics of %u queues: %.1f MiB, made in %.0f ms; snapshot %.1f MiB, saved in %.0f ms, "
        "loaded in %.0f ms\n",
        topics, queues, (double)bytes / 2 / (1 << 20), (made - start) / 1e3,
        (double)b.len / (1 << 20), (saved - made) / 1e3, (loaded - saved) / 1e3);
    sk_buffer_done(&b);
    sk_state_free(state);
    sk_state_free(copy);
}

int main(void)
{
    static const struct {
        const char *name;
        uint32_t queues;
        bool filtered;
        size_t held;
    } cases[] = {
        {"1 queue, acked at once", 1, false, 0},
        {"1 queue, 100 batches in flight", 1, false, 100},
        {"1 queue, 1900 batches in flight", 1, false, 1900},
        {"8 queues, 100 batches in flight", 8, false, 100},
        {"8 queues, every 2nd filtered out, 100", 8, true, 100},
        {"1000 queues, 1000 batches in flight", 1000, false, 1000},
    };
    printf("%-38s %7s %7s %7s %7s %7s %7s  %s\n", "us per batch of 32", "choose", "apply", "check",
           "encode", "ack", "message", "bytes: deliver, ack");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct row row = {1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 0, 0};
        for (int k = 0; k < ROUNDS; k++)
            run(cases[i].queues, cases[i].filtered, cases[i].held, &row);
        printf("%-38s %7.2f %7.2f %7.2f %7.2f %7.2f %7.3f  %zu, %zu\n", cases[i].name, row.choose,
               row.deliver, row.check, row.encode, row.ack, row.message, row.deliver_bytes,
               row.ack_bytes);
    }
    memory(10000, 100);
    return 0;
}
