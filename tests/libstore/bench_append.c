/* bench_append.c - what an append costs: 1 KiB records, singly and in batches of 64, async, and
 * sync with 1 and 64 waiting; recovery and delivery of what was written.
 *
 *     test.libstore.bench_append [DIR [SECONDS]]
 *
 * Figures, not a test: nothing here fails because of speed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "store/store.h"

enum { BODY = 1024, QUEUES = 16 };

struct bench {
    const char *dir;
    uint64_t duration_us;
    sk_store *store;
    struct sk_mutex lock;
    uint64_t next[QUEUES];
    uint64_t sent;
    uint64_t until_us;
    int batch;
};

static uint8_t body[BODY];

static void fail(struct sk_status s)
{
    fprintf(stderr, "%s: %s\n", sk_code_name(s.code), sk_status_text(&s));
    exit(1);
}

static uint64_t now_us(void)
{
    return sk_mono_us(sk_clock_real());
}

static void open_store(struct bench *b, bool write_ahead, struct sk_recovery *r)
{
    struct sk_store_options o = {.dir = b->dir,
                                 .write_ahead = write_ahead,
                                 .disk_clean_percent = 100,
                                 .disk_refuse_percent = 100};
    struct sk_status s = sk_store_open(&o, r, &b->store);
    if (!sk_ok(s)) fail(s);
    for (uint32_t q = 0; q < QUEUES; q++) b->next[q] = sk_store_queue(b->store, q).max;
}

/* One batch, under the lock; returns its end. */
static uint64_t put(struct bench *b, int count)
{
    struct sk_append a[64];
    struct sk_span spans[64];
    struct sk_slice part = sk_slice_of(body, BODY);
    sk_mutex_lock(&b->lock);
    for (int i = 0; i < count; i++) {
        uint32_t q = (uint32_t)(b->sent++ % QUEUES);
        a[i] = (struct sk_append){.kind = 1,
                                  .queue = q,
                                  .offset = b->next[q]++,
                                  .time_ms = 1,
                                  .parts = &part,
                                  .part_count = 1};
    }
    struct sk_status s = sk_store_append(b->store, a, (size_t)count, false, spans);
    sk_mutex_unlock(&b->lock);
    if (!sk_ok(s)) fail(s);
    sk_store_publish(b->store);
    return spans[count - 1].end;
}

/* CPU of the whole process: on a busy machine it says more than the clock. */
static uint64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t cpu_before;

static void report(const char *name, uint64_t count, uint64_t us, uint64_t flushes)
{
    printf("%-34s %9.0f records/s %8.3f us each, %8.3f us CPU %8" PRIu64 " syncs\n", name,
           (double)count * 1e6 / (double)us, (double)us / (double)count,
           (double)(cpu_us() - cpu_before) / (double)count, flushes);
    fflush(stdout);
}

static void bench_plain(struct bench *b, const char *name, int batch)
{
    struct sk_recovery r;
    open_store(b, false, &r);
    for (int i = 0; i < 2000; i++) put(b, batch == 1 ? 1 : 8); /* warm */
    uint64_t start = now_us(), first = b->sent;
    cpu_before = cpu_us();
    while (now_us() - start < b->duration_us)
        for (int i = 0; i < 64; i++) put(b, batch);
    report(name, b->sent - first, now_us() - start, sk_store_stats(b->store).flushes);
    sk_store_close(b->store);
}

/* --- sync ---------------------------------------------------------------------------------- */

struct waiter {
    struct bench *bench;
    struct sk_mutex lock;
    struct sk_cond wake;
    bool passed;
    uint64_t count;
    pthread_t thread;
};

static void on_passed(void *arg, struct sk_status s)
{
    struct waiter *w = arg;
    if (!sk_ok(s)) fail(s);
    sk_mutex_lock(&w->lock);
    w->passed = true;
    sk_cond_signal(&w->wake);
    sk_mutex_unlock(&w->lock);
}

static void *send_and_wait(void *arg)
{
    struct waiter *w = arg;
    while (now_us() < w->bench->until_us) {
        uint64_t end = put(w->bench, w->bench->batch);
        struct sk_gate_waiter g = {.position = end, .fn = on_passed, .arg = w};
        w->passed = false;
        sk_gate_wait(sk_store_flushed_gate(w->bench->store), &g);
        sk_mutex_lock(&w->lock);
        while (!w->passed) sk_cond_wait(&w->wake, &w->lock);
        sk_mutex_unlock(&w->lock);
        w->count += (uint64_t)w->bench->batch;
    }
    return NULL;
}

static void bench_sync(struct bench *b, const char *name, int threads, int batch)
{
    struct sk_recovery r;
    struct waiter *w = calloc((size_t)threads, sizeof *w);
    open_store(b, true, &r);
    b->batch = batch;
    uint64_t start = now_us(), total = 0;
    cpu_before = cpu_us();
    b->until_us = start + b->duration_us;
    for (int i = 0; i < threads; i++) {
        w[i].bench = b;
        sk_mutex_init(&w[i].lock);
        sk_cond_init(&w[i].wake);
        struct sk_status s = sk_thread_start("bench", send_and_wait, &w[i], &w[i].thread);
        if (!sk_ok(s)) fail(s);
    }
    for (int i = 0; i < threads; i++) sk_thread_join(w[i].thread);
    for (int i = 0; i < threads; i++) total += w[i].count;
    report(name, total, now_us() - start, sk_store_stats(b->store).flushes);
    sk_store_close(b->store);
    free(w);
}

/* --- reading -------------------------------------------------------------------------------- */

static void bench_read(struct bench *b)
{
    struct sk_recovery r;
    struct sk_index_entry entries[32];
    uint64_t start = now_us(), count = 0;
    open_store(b, false, &r);
    printf("%-34s %9.3f ms, replayed %" PRIu64 " records of %" PRIu64 " MiB\n", "open again",
           (double)(now_us() - start) / 1e3, r.replayed_records, r.tail >> 20);
    start = now_us();
    cpu_before = cpu_us();
    for (uint32_t q = 0; q < QUEUES; q++) {
        struct sk_queue_range range = sk_store_queue(b->store, q);
        for (uint64_t o = range.min; o < range.max && count < 1000000;) {
            size_t n = sk_store_lookup(b->store, q, o, 32, entries);
            for (size_t i = 0; i < n; i++, o++, count++) {
                struct sk_pinned p;
                struct sk_status s = sk_store_read(b->store, entries[i].position, &p);
                if (!sk_ok(s)) fail(s);
                sk_unpin(p.pin);
            }
            if (n == 0) break;
        }
    }
    report("look up 32 and read (verified)", count, now_us() - start, 0);
    sk_store_close(b->store);
}

static void wipe(const char *dir)
{
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0) exit(1);
}

int main(int argc, char **argv)
{
    char dir[64] = "/tmp/skua-bench-XXXXXX";
    struct bench b = {.dir = argc > 1 ? argv[1] : mkdtemp(dir)};
    b.duration_us = (argc > 2 ? strtoull(argv[2], NULL, 10) : 2) * 1000000;
    sk_mutex_init(&b.lock);
    memset(body, 'x', sizeof body);

    wipe(b.dir);
    uint64_t start = now_us();
    struct sk_recovery r;
    open_store(&b, true, &r);
    uint64_t end = put(&b, 1);
    (void)end;
    struct sk_status s = sk_store_flush(b.store);
    if (!sk_ok(s)) fail(s);
    printf("%-34s %9.3f ms\n", "empty directory to first durable",
           (double)(now_us() - start) / 1e3);
    sk_store_close(b.store);

    bench_plain(&b, "async, single", 1);
    bench_plain(&b, "async, batches of 64", 64);
    bench_read(&b);
    wipe(b.dir);
    bench_sync(&b, "sync, 1 in flight", 1, 1);
    bench_sync(&b, "sync, 64 in flight", 64, 1);
    bench_sync(&b, "sync, 8 in flight, batches of 64", 8, 64);
    wipe(b.dir);
    return 0;
}
