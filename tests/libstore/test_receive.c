/* test_receive.c - the frames of another log: taken whole and in order, byte for byte; or refused,
 * and nothing is changed. */
#include <stdlib.h>

#include "pair.h"
#include "record.h"
#include "store_impl.h"
#include "support/faulty_vfs.h"
#include "support/suite.h"

enum { SEGMENT = 16 * 1024, HEADER = 4096 };

static struct pair pair;

static void setup(void)
{
    pair_open(&pair, SEGMENT);
}

static void teardown(void)
{
    pair_close(&pair);
}

static struct sk_slice source_bytes(uint64_t position, size_t len)
{
    return sk_slice_of(pair_segment(&pair, 0, position - position % SEGMENT) + position % SEGMENT,
                       len);
}

static struct sk_status receive(uint64_t position, const void *bytes, size_t len)
{
    struct sk_span span;
    return sk_store_receive(pair.follower.store, position, sk_slice_of(bytes, len), &span);
}

/* --- taking ----------------------------------------------------------------------------------- */

START_TEST(the_follower_is_the_source_again)
{
    for (int round = 1; round <= 12; round++) {
        pair_fill(&pair, (uint64_t)round * SEGMENT * 3 / 4);
        uint64_t limit = pair_below(&pair, 2) ? UINT64_MAX : sk_store_tail(pair.source.store);
        pair_feed(&pair, limit, 1 + pair_below(&pair, 5000));
        pair_check_equal(&pair);
        toy_check_queues(&pair.follower);
        if (round % 3 == 0) ck_ok(sk_store_snapshot(pair.follower.store));
    }
    struct toy state = pair.follower.state;
    sk_store_close(pair.follower.store);
    pair_open_follower(&pair, memory_vfs_door(pair.disks[1]));
    ck_assert_mem_eq(&state, &pair.follower.state, sizeof state);
    pair_fill(&pair, 12 * SEGMENT); /* and it goes on */
    pair_feed(&pair, UINT64_MAX, 0);
    pair_check_equal(&pair);
    toy_check_queues(&pair.follower);
}
END_TEST

START_TEST(a_log_that_receives_takes_nothing_of_its_own)
{
    struct sk_span span;
    ck_ok(toy_try_put(&pair.follower, 1, 10, &span)); /* before: it may be anything */
    sk_store_close(pair.follower.store);
    memory_vfs_free(pair.disks[1]);
    pair.disks[1] = memory_vfs_copy(pair.disks[0]);
    pair_open_follower(&pair, memory_vfs_door(pair.disks[1]));
    toy_put(&pair.source, 1, 10);
    pair_feed(&pair, UINT64_MAX, 0);
    pair.follower.next[1] = 1;
    struct sk_status s = toy_try_put(&pair.follower, 1, 10, &span);
    ck_assert_int_eq(s.code, SK_NOT_MASTER);
    ck_assert_msg(strstr(s.detail, "begin one ") != NULL, "%s", s.detail);
    pair_check_equal(&pair);
}
END_TEST

/* The roles change: who followed begins an epoch, writes, and is followed. */
START_TEST(a_follower_may_become_a_source)
{
    struct sk_span span;
    for (uint32_t epoch = 1; epoch <= 6; epoch++) {
        ck_ok(sk_store_begin_epoch(pair.source.store, epoch, epoch, &span));
        pair_fill(&pair, epoch * SEGMENT);
        ck_ok(sk_store_flush(pair.source.store));
        pair_feed(&pair, UINT64_MAX, 3000);
        pair_check_equal(&pair);
        struct toy_room room = pair.source; /* their owners' states are equal: exchange the rest */
        struct memory_vfs *disk = pair.disks[0];
        uint64_t next[64];
        memcpy(next, room.next, sizeof next);
        pair.source.store = pair.follower.store;
        pair.follower.store = room.store;
        pair.source.store->options.fold.owner = &pair.source.state;
        pair.follower.store->options.fold.owner = &pair.follower.state;
        pair.disks[0] = pair.disks[1];
        pair.disks[1] = disk;
        memcpy(pair.source.next, next, sizeof next);
    }
    toy_check_queues(&pair.source);
    toy_check_queues(&pair.follower);
}
END_TEST

START_TEST(a_queue_number_may_be_used_again)
{
    for (int i = 0; i < 5; i++) toy_put(&pair.source, 7, 20);
    sk_store_drop_queue(pair.source.store, 7);
    pair.source.next[7] = 0;
    for (int i = 0; i < 3; i++) toy_put(&pair.source, 7, 30);
    pair_feed(&pair, UINT64_MAX, 0);
    pair_check_equal(&pair);
    ck_assert_uint_eq(sk_store_queue(pair.follower.store, 7).max, 3);
    toy_check_queues(&pair.follower);
}
END_TEST

/* --- refusing --------------------------------------------------------------------------------- */

/* Nothing of the follower changed: disk, state, tail. */
static uint64_t disk_before;
static struct toy state_before;
static uint64_t tail_before;

static void remember(void)
{
    ck_ok(sk_store_flush(pair.follower.store));
    disk_before = memory_vfs_hash(pair.disks[1]);
    state_before = pair.follower.state;
    tail_before = sk_store_tail(pair.follower.store);
}

static void check_unchanged(const char *what)
{
    ck_assert_msg(memory_vfs_hash(pair.disks[1]) == disk_before, "%s: the disk changed", what);
    ck_assert_mem_eq(&state_before, &pair.follower.state, sizeof state_before);
    ck_assert_uint_eq(sk_store_tail(pair.follower.store), tail_before);
}

START_TEST(every_wrong_bit_is_refused)
{
    pair_fill(&pair, HEADER + 3000);
    pair_feed(&pair, UINT64_MAX, 0);
    struct sk_span a = toy_put_batch(&pair.source, 3, 2, 37), b = toy_put(&pair.source, 4, 5);
    size_t len = (size_t)(b.end - a.begin);
    uint8_t *bytes = malloc(len);
    memcpy(bytes, source_bytes(a.begin, len).data, len);
    remember();
    for (size_t bit = 0; bit < 8 * len; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct sk_status s = receive(a.begin, bytes, len);
        ck_assert_msg(s.code == SK_CORRUPT && s.detail[0], "bit %zu: %s", bit, sk_status_text(&s));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    check_unchanged("a wrong bit");
    for (size_t cut = 0; cut < len; cut++) /* every wrong length, but at the border of the batch */
        if (cut != a.end - a.begin) ck_assert(!sk_ok(receive(a.begin, bytes, cut)));
    check_unchanged("a wrong length");
    ck_ok(receive(a.begin, bytes, len));
    free(bytes);
    pair_check_equal(&pair);
}
END_TEST

START_TEST(a_pad_is_checked_as_well)
{
    while (sk_store_tail(pair.source.store) < SEGMENT) toy_put(&pair.source, 1, 700);
    sk_log_stream *stream = NULL;
    struct sk_log_stream_slice slice;
    ck_ok(sk_log_stream_open(pair.source.store, HEADER, NULL, &stream));
    ck_ok(sk_log_stream_next(stream, UINT64_MAX, &slice));
    size_t len = slice.bytes.len, pad = len - SK_RECORD_HEADER;
    uint8_t *bytes = malloc(len);
    memcpy(bytes, slice.bytes.data, len);
    ck_assert_uint_eq(bytes[pad + 12], SK_RECORD_PAD);
    remember();
    for (size_t bit = 8 * pad; bit < 8 * len; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert(!sk_ok(receive(HEADER, bytes, len)));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    check_unchanged("a wrong pad");
    ck_ok(receive(HEADER, bytes, pad)); /* the pad on its own */
    ck_ok(receive(HEADER + pad, bytes + pad, len - pad));
    ck_assert_uint_eq(sk_store_tail(pair.follower.store), SEGMENT + HEADER);
    free(bytes);
    sk_unpin(slice.pin);
    sk_log_stream_close(stream);
}
END_TEST

START_TEST(only_what_comes_next_is_taken)
{
    struct sk_span one = toy_put(&pair.source, 1, 100), two = toy_put(&pair.source, 1, 100);
    size_t len = (size_t)(one.end - one.begin);
    remember();
    struct sk_status s = receive(two.begin, source_bytes(two.begin, len).data, len);
    ck_assert_int_eq(s.code, SK_INVALID);
    ck_assert_msg(strstr(s.detail, "a gap") != NULL, "%s", s.detail);
    check_unchanged("a gap");
    ck_ok(receive(one.begin, source_bytes(one.begin, len).data, len));
    remember();
    s = receive(one.begin, source_bytes(one.begin, len).data, len);
    ck_assert_int_eq(s.code, SK_INVALID);
    ck_assert_msg(strstr(s.detail, "it is there already") != NULL, "%s", s.detail);
    /* Right place, wrong bytes: those of another place. */
    s = receive(two.begin, source_bytes(one.begin, len).data, len);
    ck_assert_int_eq(s.code, SK_CORRUPT);
    check_unchanged("a repeat");
    pair_feed(&pair, UINT64_MAX, 0);
    pair_check_equal(&pair);
}
END_TEST

START_TEST(another_stores_frames_are_refused)
{
    struct toy_room other = {.store = NULL};
    struct memory_vfs *disk = memory_vfs_new();
    toy_open(&other, PAIR_DIR, memory_vfs_door(disk));
    struct sk_span span = toy_put(&other, 1, 100);
    struct sk_pinned pinned;
    ck_ok(sk_store_read(other.store, span.begin, &pinned));
    remember();
    struct sk_status s = receive(span.begin, pinned.record.payload.data - SK_RECORD_HEADER,
                                 (size_t)(span.end - span.begin));
    ck_assert_int_eq(s.code, SK_CORRUPT);
    check_unchanged("a foreign frame");
    sk_unpin(pinned.pin);
    sk_store_close(other.store);
    memory_vfs_free(disk);
}
END_TEST

/* Frames whose checksums are right, and which no log of ours would have. */
struct forged {
    const char *what;
    struct sk_frame frame;
    const char *word;
};

START_TEST(what_no_log_would_have_is_refused)
{
    static const uint8_t zeros[64];
    uint8_t begin[16] = {1};
    sk_put_u64(begin + 8, SEGMENT + HEADER);
    struct sk_slice none = sk_slice_of(zeros, 0), some = sk_slice_of(begin, sizeof begin);
    enum { PLAIN = SK_RECORD_HEADER, WITH = SK_RECORD_HEADER + 16 };
    const struct forged rows[] = {
        {"kind 0", {.kind = 0, .queue = SK_NO_QUEUE, .size = PLAIN}, "unknown kind"},
        {"kind 200", {.kind = 200, .queue = SK_NO_QUEUE, .size = PLAIN}, "unknown kind"},
        {"flag 2", {.kind = 1, .flags = 2, .queue = SK_NO_QUEUE, .size = PLAIN}, "flag"},
        {"half a batch",
         {.kind = 1, .flags = SK_RECORD_MORE, .queue = SK_NO_QUEUE, .size = PLAIN},
         "not complete"},
        {"a gap in a queue", {.kind = 1, .queue = 1, .offset = 2, .size = PLAIN}, "goes on with"},
        {"a repeat", {.kind = 1, .queue = 2, .offset = 1, .size = PLAIN}, "goes on with"},
        {"a huge queue", {.kind = 1, .queue = SK_MAX_QUEUES, .size = PLAIN}, "too large"},
        {"a future flush",
         {.kind = 1, .queue = SK_NO_QUEUE, .flushed = SEGMENT * 9, .size = PLAIN},
         "durable"},
        {"an epoch without its record",
         {.kind = 1, .queue = SK_NO_QUEUE, .epoch = 1u << 30, .size = PLAIN},
         "without an EPOCH record"},
        {"a pad too short",
         {.kind = SK_RECORD_PAD, .queue = SK_NO_QUEUE, .size = PLAIN},
         "does not end its segment"},
        {"a beginning in a queue",
         {.kind = SK_KIND_BEGIN, .queue = 1, .size = WITH, .payload = some},
         "in a queue"},
        {"a beginning ahead",
         {.kind = SK_KIND_BEGIN, .queue = SK_NO_QUEUE, .size = WITH, .payload = some},
         "cannot be"},
        {"a beginning without a place",
         {.kind = SK_KIND_BEGIN, .queue = SK_NO_QUEUE, .size = PLAIN, .payload = none},
         "cannot be"},
    };
    toy_put(&pair.source, 1, 10);
    for (int i = 0; i < 3; i++) toy_put(&pair.source, 2, 10);
    pair_feed(&pair, UINT64_MAX, 0);
    remember();
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint8_t bytes[WITH] = {0};
        size_t len = rows[i].frame.size;
        struct sk_slice part = sk_slice_of(begin, len - SK_RECORD_HEADER);
        sk_record_encode(&rows[i].frame, pair.follower.store->store_id, tail_before, &part, 1,
                         bytes);
        memcpy(bytes + SK_RECORD_HEADER, begin, part.len);
        struct sk_status s = receive(tail_before, bytes, len);
        ck_assert_msg(s.code == SK_INVALID && strstr(s.detail, rows[i].word), "%s: %s: %s",
                      rows[i].what, sk_code_name(s.code), sk_status_text(&s));
        check_unchanged(rows[i].what);
    }
    pair_fill(&pair, SEGMENT);
    pair_feed(&pair, UINT64_MAX, 0);
    pair_check_equal(&pair);
}
END_TEST

/* --- when the disk or the owner says no ------------------------------------------------------- */

START_TEST(a_full_disk_refuses_and_later_takes_it)
{
    uint64_t from = toy_put(&pair.source, 1, 700).end;
    pair_feed(&pair, UINT64_MAX, 0);
    memory_vfs_limit(pair.disks[1], memory_vfs_used(pair.disks[1]));
    while (sk_store_tail(pair.source.store) < SEGMENT) toy_put(&pair.source, 1, 700);
    sk_log_stream *stream = NULL;
    struct sk_log_stream_slice slice;
    ck_ok(sk_log_stream_open(pair.source.store, from, NULL, &stream));
    ck_ok(sk_log_stream_next(stream, UINT64_MAX, &slice));
    remember();
    struct sk_status s = receive(from, slice.bytes.data, slice.bytes.len);
    ck_assert_msg(s.code == SK_FULL, "%s", sk_status_text(&s)); /* for what follows the pad */
    check_unchanged("a full disk");
    memory_vfs_limit(pair.disks[1], 0);
    ck_ok(receive(from, slice.bytes.data, slice.bytes.len));
    sk_unpin(slice.pin);
    sk_log_stream_close(stream);
    pair_feed(&pair, UINT64_MAX, 0);
    pair_check_equal(&pair);
}
END_TEST

static struct sk_status deny(void *owner, const struct sk_record *r)
{
    (void)owner, (void)r;
    return sk_error(SK_INVALID, "not this one");
}

START_TEST(what_the_owner_cannot_fold_stops_the_store)
{
    struct sk_span first = toy_put(&pair.source, 1, 10);
    size_t len = (size_t)(first.end - first.begin);
    pair.follower.store->options.fold.apply = deny;
    struct sk_status s = receive(first.begin, source_bytes(first.begin, len).data, len);
    ck_assert_int_eq(s.code, SK_INVALID);
    ck_assert_msg(strstr(s.detail, "not this one") != NULL, "%s", s.detail);
    ck_assert_int_eq(receive(first.end, "", 0).code, SK_IO);
    ck_assert_int_eq(sk_store_flush(pair.follower.store).code, SK_IO);
}
END_TEST

static Suite *receive_suite(void)
{
    Suite *suite = suite_create("libstore/receive");
    TCase *tc = tcase_create("receive");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_follower_is_the_source_again);
    tcase_add_test(tc, a_log_that_receives_takes_nothing_of_its_own);
    tcase_add_test(tc, a_follower_may_become_a_source);
    tcase_add_test(tc, a_queue_number_may_be_used_again);
    tcase_add_test(tc, every_wrong_bit_is_refused);
    tcase_add_test(tc, a_pad_is_checked_as_well);
    tcase_add_test(tc, only_what_comes_next_is_taken);
    tcase_add_test(tc, another_stores_frames_are_refused);
    tcase_add_test(tc, what_no_log_would_have_is_refused);
    tcase_add_test(tc, a_full_disk_refuses_and_later_takes_it);
    tcase_add_test(tc, what_the_owner_cannot_fold_stops_the_store);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(receive_suite)
