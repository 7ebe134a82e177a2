/* bench_stream.c - what it costs to hand a log out and to take it in, of one thread each: 1 GiB in
 * records of 1 KiB, and of 64 bytes.
 *
 *     bench.stream [DIR]
 *
 * Figures, not a test: nothing here fails because of speed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/stream.h"

enum { QUEUES = 16, BATCH = 16 };

static const char *root;
static uint64_t next[QUEUES];

static void check(struct sk_status s)
{
    if (sk_ok(s)) return;
    fprintf(stderr, "%s: %s\n", sk_code_name(s.code), sk_status_text(&s));
    exit(1);
}

/* A command in the directory. */
static void run(const char *what)
{
    char command[512];
    snprintf(command, sizeof command, "mkdir -p '%s' && cd '%s' && %s", root, root, what);
    if (system(command) != 0) exit(1);
}

static sk_store *open_store(const char *name)
{
    char dir[256];
    sk_store *store = NULL;
    snprintf(dir, sizeof dir, "%s/%s", root, name);
    check(sk_store_open(&(struct sk_store_options){.dir = dir,
                                                   .disk_clean_percent = 100,
                                                   .disk_refuse_percent = 100},
                        NULL, &store));
    return store;
}

static void fill(sk_store *store, uint64_t bytes, size_t body)
{
    static uint8_t text[1024];
    struct sk_slice part = sk_slice_of(text, body);
    while (sk_store_tail(store) < bytes) {
        struct sk_append a[BATCH];
        struct sk_span spans[BATCH];
        for (int i = 0; i < BATCH; i++)
            a[i] = (struct sk_append){.kind = 1,
                                      .queue = (uint32_t)i % QUEUES,
                                      .offset = next[i % QUEUES]++,
                                      .time_ms = 1,
                                      .parts = &part,
                                      .part_count = 1};
        check(sk_store_append(store, a, BATCH, false, spans));
        sk_store_publish(store);
    }
    check(sk_store_flush(store));
}

static uint64_t now_us(void)
{
    return sk_mono_us(sk_clock_real());
}

static void report(const char *what, size_t body, uint64_t bytes, uint64_t us, uint64_t slices)
{
    printf("%-34s %5zu bytes each %9.0f MB/s, %" PRIu64 " slices\n", what, body,
           (double)bytes / (double)us, slices);
    fflush(stdout);
}

/* From the beginning to the end; into a follower, if there is one. */
static void follow(const char *what, size_t body, sk_store *source, sk_store *follower)
{
    sk_log_stream *stream = NULL;
    struct sk_log_stream_slice slice;
    struct sk_span span;
    uint64_t bytes = 0, slices = 0, begin = now_us();
    check(sk_log_stream_open(source, sk_store_begin(source), NULL, &stream));
    for (;; slices++) {
        check(sk_log_stream_next(stream, UINT64_MAX, &slice));
        if (slice.bytes.len == 0) break;
        if (follower) check(sk_store_receive(follower, slice.span.begin, slice.bytes, &span));
        bytes += slice.bytes.len;
        sk_unpin(slice.pin);
    }
    report(what, body, bytes, now_us() - begin, slices);
    sk_log_stream_close(stream);
}

static void bench(size_t body)
{
    memset(next, 0, sizeof next);
    run("rm -rf source follower");
    sk_store *source = open_store("source");
    fill(source, (uint64_t)1 << 30, body);
    sk_store_close(source);
    source = open_store("source");
    follow("hand out, mapped anew", body, source, NULL);
    follow("hand out again", body, source, NULL);
    run("mkdir follower && cp source/store follower/store"); /* one id */
    sk_store *follower = open_store("follower");
    follow("hand out and take in", body, source, follower);
    if (sk_store_tail(follower) != sk_store_tail(source)) exit(1);
    sk_store_close(follower);
    sk_store_close(source);
}

int main(int argc, char **argv)
{
    char dir[64] = "/tmp/skua-stream-XXXXXX";
    root = argc > 1 ? argv[1] : mkdtemp(dir);
    bench(1024 - 56);
    bench(64);
    run("rm -rf source follower");
    return 0;
}
