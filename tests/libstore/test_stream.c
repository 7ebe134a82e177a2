/* test_stream.c - whole frames in large slices, straight from the segments: which bytes they are,
 * where they end, where a stream may begin, and what holds retention back. */
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/thread.h"
#include "pair.h"
#include "record.h"
#include "support/suite.h"

enum { SEGMENT = 16 * 1024, HEADER = 4096 };

static struct pair pair;
static sk_log_stream *stream;
static struct sk_log_stream_slice slice;

static void setup(void)
{
    pair_open(&pair, SEGMENT);
}

static void teardown(void)
{
    sk_log_stream_close(stream);
    stream = NULL;
    pair_close(&pair);
}

static void open_at(uint64_t from, uint64_t slice_bytes, uint64_t hold_bytes)
{
    sk_log_stream_close(stream);
    stream = NULL;
    ck_ok(sk_log_stream_open(
        pair.source.store, from,
        &(struct sk_log_stream_options){.slice_bytes = slice_bytes, .hold_bytes = hold_bytes},
        &stream));
}

/* The next slice, held against the file and against what a slice has to be. */
static bool take(uint64_t limit)
{
    uint64_t from = sk_log_stream_position(stream);
    ck_ok(sk_log_stream_next(stream, limit, &slice));
    ck_assert_uint_eq(slice.span.begin, from);
    ck_assert_uint_eq(slice.span.end, sk_log_stream_position(stream));
    if (slice.bytes.len == 0) {
        ck_assert_ptr_null(slice.pin);
        ck_assert_uint_eq(slice.span.end, from);
        return false;
    }
    const uint8_t *file = pair_segment(&pair, 0, from - from % SEGMENT);
    ck_assert_mem_eq(slice.bytes.data, file + from % SEGMENT, slice.bytes.len);
    ck_assert_uint_le(from % SEGMENT + slice.bytes.len, SEGMENT);
    ck_assert_uint_le(from + slice.bytes.len, limit);
    return true;
}

/* Frames in a slice, the last of which ends a batch; whether that is a pad. */
static size_t count_frames(bool *pad)
{
    size_t count = 0;
    struct sk_frame f;
    const char *why;
    for (size_t at = 0; at < slice.bytes.len; count++) {
        struct sk_slice rest = sk_slice_of(slice.bytes.data + at, SEGMENT);
        ck_assert_int_eq(sk_record_read(rest, &f, &why), SK_FRAME_VALID);
        *pad = f.kind == SK_RECORD_PAD;
        at += *pad ? SK_RECORD_HEADER : sk_record_room(f.size);
        ck_assert(!*pad || at == slice.bytes.len);
    }
    ck_assert_uint_eq(f.flags & SK_RECORD_MORE, 0);
    return count;
}

START_TEST(slices_are_the_bytes_of_the_log)
{
    static const uint64_t sizes[] = {1, 700, 4000, 0, UINT64_MAX};
    pair_fill(&pair, 6 * SEGMENT);
    for (size_t i = 0; i < ROWS(sizes); i++) {
        size_t frames = 0, pads = 0;
        uint64_t next = sk_store_begin(pair.source.store);
        open_at(next, sizes[i], 0);
        while (take(sk_store_tail(pair.source.store))) {
            bool pad;
            ck_assert_uint_eq(slice.span.begin, next);
            frames += count_frames(&pad);
            pads += pad;
            next = slice.span.end;
            if (sizes[i] == 1) ck_assert_uint_le(slice.bytes.len, TOY_BATCH * (300 + 64));
            sk_unpin(slice.pin);
        }
        ck_assert_uint_eq(next, sk_store_tail(pair.source.store));
        ck_assert_uint_eq(frames - pads, pair.source.state.records);
        ck_assert_uint_ge(pads, 4);
    }
}
END_TEST

START_TEST(a_slice_is_of_one_epoch)
{
    struct sk_span begins[3];
    for (uint32_t epoch = 1; epoch <= 3; epoch++) {
        ck_ok(sk_store_begin_epoch(pair.source.store, epoch, epoch, &begins[epoch - 1]));
        for (int i = 0; i < 4; i++) toy_put(&pair.source, 1, 100);
    }
    open_at(sk_store_begin(pair.source.store), 0, 0);
    for (uint32_t epoch = 1; epoch <= 3; epoch++) {
        ck_assert(take(UINT64_MAX));
        ck_assert_uint_eq(slice.epoch, epoch);
        ck_assert_uint_eq(slice.span.begin, begins[epoch - 1].begin);
        sk_unpin(slice.pin);
    }
    ck_assert(!take(UINT64_MAX));
    pair_feed(&pair, UINT64_MAX, 0);
    pair_check_equal(&pair);
    uint64_t position;
    ck_assert_uint_eq(sk_store_epoch(pair.follower.store), 3);
    ck_assert(sk_store_epoch_start(pair.follower.store, 2, &position));
    ck_assert_uint_eq(position, begins[1].begin);
}
END_TEST

/* Every rest that a segment can end with: a pad of every size, or no room for one. */
START_TEST(a_segment_may_end_in_every_way)
{
    for (uint64_t rest = 0; rest <= 128; rest += 8) {
        uint64_t tail = sk_store_tail(pair.source.store), end = tail - tail % SEGMENT + SEGMENT;
        while (end - sk_store_tail(pair.source.store) > 4096 + rest) toy_put(&pair.source, 1, 900);
        uint64_t left = end - sk_store_tail(pair.source.store) - rest;
        toy_put(&pair.source, 2, (size_t)left - SK_RECORD_HEADER);
        ck_assert_uint_eq(sk_store_tail(pair.source.store), end - rest);
        pair_feed(&pair, rest % 16 ? UINT64_MAX : sk_store_tail(pair.source.store), 0);
        pair_check_equal(&pair);
        toy_put(&pair.source, 3, 100);
        pair_feed(&pair, UINT64_MAX, 0);
        pair_check_equal(&pair);
    }
}
END_TEST

static unsigned woken;

static void on_wake(void *arg, struct sk_status status)
{
    (void)arg;
    ck_ok(status);
    woken++;
}

START_TEST(at_the_limit_there_is_nothing_and_the_gate_tells_when)
{
    toy_put(&pair.source, 1, 100);
    ck_ok(sk_store_flush(pair.source.store));
    uint64_t flushed = sk_store_flushed(pair.source.store);
    struct sk_span batch = toy_put_batch(&pair.source, 1, 3, 100);
    open_at(sk_store_begin(pair.source.store), 0, 0);
    ck_assert(take(flushed));
    ck_assert_uint_eq(slice.span.end, flushed);
    sk_unpin(slice.pin);
    ck_assert(!take(flushed));
    ck_assert(!take(batch.end - 8)); /* not half a batch */

    struct sk_gate_waiter w = {.position = slice.span.begin + 1, .fn = on_wake};
    woken = 0;
    sk_gate_wait(sk_store_flushed_gate(pair.source.store), &w);
    ck_assert_uint_eq(woken, 0);
    ck_ok(sk_store_flush(pair.source.store));
    ck_assert_uint_eq(woken, 1);
    ck_assert(take(UINT64_MAX)); /* which means: up to the tail */
    ck_assert_uint_eq(slice.span.end, batch.end);
    sk_unpin(slice.pin);
}
END_TEST

START_TEST(it_begins_only_where_a_frame_does)
{
    struct sk_span first = toy_put(&pair.source, 1, 100);
    pair_fill(&pair, 3 * SEGMENT);
    sk_store *store = pair.source.store;
    uint64_t tail = sk_store_tail(store);
    const struct {
        uint64_t from;
        enum sk_code code;
        const char *word;
    } rows[] = {
        {first.begin, SK_OK, ""},
        {first.end, SK_OK, ""},
        {tail, SK_OK, ""},
        {SEGMENT, SK_OK, ""}, /* the end of a segment, so the first place of the next */
        {SEGMENT + HEADER, SK_OK, ""},
        {first.begin + 8, SK_INVALID, "no record begins here"},
        {first.begin + 1, SK_INVALID, "no frame begins there"},
        {SEGMENT + 8, SK_INVALID, "no frame begins there"},
        {SEGMENT + HEADER - 8, SK_INVALID, "no frame begins there"},
        {tail + 8, SK_NOT_FOUND, "above the log's tail"},
        {UINT64_MAX - 7, SK_NOT_FOUND, "above the log's tail"},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        sk_log_stream *s = NULL;
        struct sk_status status = sk_log_stream_open(store, rows[i].from, NULL, &s);
        ck_assert_msg(status.code == rows[i].code && strstr(status.detail, rows[i].word), "%zu: %s",
                      i, sk_status_text(&status));
        sk_log_stream_close(s);
    }
}
END_TEST

START_TEST(a_damaged_header_ends_it_after_what_is_whole)
{
    struct sk_span spans[3];
    for (int i = 0; i < 3; i++) spans[i] = toy_put(&pair.source, 1, 100);
    char path[64];
    size_t len;
    snprintf(path, sizeof path, PAIR_DIR "/log/%020d.log", 0);
    uint8_t *bytes = memory_vfs_bytes(pair.disks[0], path, &len);
    open_at(spans[0].begin, 0, 0);
    bytes[spans[2].begin + 4] ^= 1;
    ck_ok(sk_log_stream_next(stream, UINT64_MAX, &slice));
    ck_assert_uint_eq(slice.span.end, spans[2].begin);
    sk_unpin(slice.pin);
    struct sk_status s = sk_log_stream_next(stream, UINT64_MAX, &slice);
    ck_assert_int_eq(s.code, SK_CORRUPT);
    ck_assert_msg(strstr(s.detail, ".log'") != NULL, "%s", s.detail);
    bytes[spans[2].begin + 4] ^= 1;
    ck_ok(sk_log_stream_next(stream, UINT64_MAX, &slice));
    ck_assert_uint_eq(slice.span.end, spans[2].end);
    sk_unpin(slice.pin);
}
END_TEST

/* --- retention ------------------------------------------------------------------------------ */

static void let_go_of_all(void)
{
    ck_ok(sk_store_snapshot(pair.source.store));
    toy_put(&pair.source, 3, 10);
    ck_ok(sk_store_snapshot(pair.source.store));
    sk_store_retain(pair.source.store);
}

static void reopen_with_retention(void)
{
    sk_store_close(pair.source.store);
    pair.options.retention_bytes = 1;
    pair.source.state = (struct toy){0};
    ck_ok(sk_store_open(&pair.options, NULL, &pair.source.store));
}

START_TEST(what_a_stream_holds_stays)
{
    pair_fill(&pair, 6 * SEGMENT);
    reopen_with_retention();
    open_at(2 * SEGMENT + HEADER, 0, 100 * SEGMENT);
    let_go_of_all();
    ck_assert_uint_eq(sk_store_begin(pair.source.store), 2 * SEGMENT + HEADER);
    ck_assert(take(UINT64_MAX)); /* to the end of that segment */
    let_go_of_all();
    ck_assert_uint_eq(sk_store_begin(pair.source.store), 3 * SEGMENT + HEADER);
    ck_assert_ptr_null(pair_segment(&pair, 0, 2 * SEGMENT));
    bool pad; /* the slice is ours while we hold it */
    ck_assert_uint_gt(count_frames(&pad), 3);
    sk_unpin(slice.pin);
    sk_log_stream_close(stream);
    stream = NULL;
    let_go_of_all();
    ck_assert_uint_gt(sk_store_begin(pair.source.store), 5 * SEGMENT);
    ck_assert_uint_eq(sk_store_stats(pair.source.store).streams_lost, 0);
}
END_TEST

START_TEST(beyond_its_limit_retention_wins_and_says_what_is_lost)
{
    pair_fill(&pair, 6 * SEGMENT);
    reopen_with_retention();
    open_at(2 * SEGMENT + HEADER, 0, 2 * SEGMENT);
    let_go_of_all();
    ck_assert_uint_gt(sk_store_begin(pair.source.store), 5 * SEGMENT);
    ck_assert_uint_eq(sk_store_stats(pair.source.store).streams_lost, 1);
    for (int again = 0; again < 2; again++) {
        struct sk_status s = sk_log_stream_next(stream, UINT64_MAX, &slice);
        char want[64];
        ck_assert_int_eq(s.code, SK_NOT_FOUND);
        snprintf(want, sizeof want, "positions %d to %llu are gone", 2 * SEGMENT + HEADER,
                 (unsigned long long)sk_store_begin(pair.source.store));
        ck_assert_msg(strstr(s.detail, want) != NULL, "%s", s.detail);
    }
    sk_log_stream *late = NULL;
    ck_assert_int_eq(sk_log_stream_open(pair.source.store, 3 * SEGMENT + HEADER, NULL, &late).code,
                     SK_NOT_FOUND);
    ck_ok(sk_log_stream_open(pair.source.store, sk_store_begin(pair.source.store), NULL, &late));
    sk_log_stream_close(late);
}
END_TEST

/* --- beside a writer -------------------------------------------------------------------------- */

static _Atomic bool written;

static void *write_on(void *arg)
{
    struct pair *p = arg;
    pair_fill(p, 40 * SEGMENT);
    atomic_store(&written, true);
    return NULL;
}

START_TEST(it_follows_a_writer)
{
    pthread_t writer;
    struct sk_span span;
    atomic_store(&written, false);
    open_at(sk_store_begin(pair.source.store), 3000, 0);
    ck_ok(sk_thread_start("writer", write_on, &pair, &writer));
    for (bool last = false;;) {
        ck_ok(sk_log_stream_next(stream, UINT64_MAX, &slice));
        if (slice.bytes.len == 0 && last) break;
        if (slice.bytes.len == 0) {
            last = atomic_load(&written);
            sched_yield();
            continue;
        }
        ck_ok(sk_store_receive(pair.follower.store, slice.span.begin, slice.bytes, &span));
        sk_unpin(slice.pin);
    }
    sk_thread_join(writer);
    pair_check_equal(&pair);
}
END_TEST

static Suite *stream_suite(void)
{
    Suite *suite = suite_create("libstore/stream");
    TCase *tc = tcase_create("stream");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, slices_are_the_bytes_of_the_log);
    tcase_add_test(tc, a_slice_is_of_one_epoch);
    tcase_add_test(tc, a_segment_may_end_in_every_way);
    tcase_add_test(tc, at_the_limit_there_is_nothing_and_the_gate_tells_when);
    tcase_add_test(tc, it_begins_only_where_a_frame_does);
    tcase_add_test(tc, a_damaged_header_ends_it_after_what_is_whole);
    tcase_add_test(tc, what_a_stream_holds_stays);
    tcase_add_test(tc, beyond_its_limit_retention_wins_and_says_what_is_lost);
    tcase_add_test(tc, it_follows_a_writer);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(stream_suite)
