/* test_record.c - a frame is valid, absent or damaged, and nothing else. */
#include <stdlib.h>

#include "base/bytes.h"
#include "record.h"
#include "support/suite.h"

enum { LEN = SK_RECORD_HEADER + 16, ID = 77, PLACE = 4096 };

/* A frame with 13 bytes of payload, made anew for each row. */
static void good_frame(uint8_t out[LEN])
{
    struct sk_slice parts[] = {SK_SLICE("hello, "), SK_EMPTY, SK_SLICE("record")};
    struct sk_frame frame = {.kind = 5,
                             .queue = 3,
                             .tag_hash = 9,
                             .offset = 12,
                             .time_ms = 1700000000000,
                             .flushed = 4096,
                             .size = SK_RECORD_HEADER + 13};
    memset(out, 0, LEN);
    sk_record_encode(&frame, ID, PLACE, parts, 3, out);
    memcpy(out + SK_RECORD_HEADER, "hello, record", 13);
}

static const struct {
    const char *name;
    size_t keep;  /* bytes the reader is given */
    size_t at;    /* the byte to damage ... */
    uint8_t mask; /* ... by xor */
    uint64_t place;
    uint64_t id;
    enum sk_frame_verdict want;
} rows[] = {
    {"whole", LEN, 0, 0, PLACE, ID, SK_FRAME_VALID},
    {"header cut short", 40, 0, 0, PLACE, ID, SK_FRAME_DAMAGED},
    {"payload cut short", LEN - 8, 0, 0, PLACE, ID, SK_FRAME_DAMAGED},
    {"damaged checksum", LEN, 0, 1, PLACE, ID, SK_FRAME_DAMAGED},
    {"damaged magic", LEN, 4, 1, PLACE, ID, SK_FRAME_DAMAGED},
    {"size too small", LEN, 8, 0x40, PLACE, ID, SK_FRAME_DAMAGED},
    {"size too large", LEN, 10, 0x01, PLACE, ID, SK_FRAME_DAMAGED},
    {"damaged kind", LEN, 12, 0x10, PLACE, ID, SK_FRAME_DAMAGED},
    {"kind made a pad", LEN, 12, 0x85, PLACE, ID, SK_FRAME_DAMAGED},
    {"damaged flags", LEN, 13, 0x01, PLACE, ID, SK_FRAME_DAMAGED},
    {"damaged offset", LEN, 24, 0x80, PLACE, ID, SK_FRAME_DAMAGED},
    {"damaged payload", LEN, SK_RECORD_HEADER + 12, 0x20, PLACE, ID, SK_FRAME_DAMAGED},
    {"damaged filling", LEN, LEN - 1, 0x20, PLACE, ID, SK_FRAME_DAMAGED},
    {"another place's", LEN, 0, 0, PLACE + 8, ID, SK_FRAME_DAMAGED},
    {"another store's", LEN, 0, 0, PLACE, ID + 1, SK_FRAME_DAMAGED},
};

START_TEST(parse_tells_whole_from_damaged)
{
    uint8_t bytes[LEN];
    struct sk_frame frame;
    const char *why;
    good_frame(bytes);
    bytes[rows[_i].at] ^= rows[_i].mask;
    enum sk_frame_verdict v = sk_record_parse(sk_slice_of(bytes, rows[_i].keep), rows[_i].id,
                                              rows[_i].place, &frame, &why);
    ck_assert_msg(v == rows[_i].want, "%s: %s", rows[_i].name, why);
    if (v != SK_FRAME_VALID) return;
    ck_assert_uint_eq(frame.kind, 5);
    ck_assert_uint_eq(frame.queue, 3);
    ck_assert_uint_eq(frame.tag_hash, 9);
    ck_assert_uint_eq(frame.offset, 12);
    ck_assert_uint_eq(frame.time_ms, 1700000000000);
    ck_assert_uint_eq(frame.flushed, 4096);
    ck_assert(sk_slice_eq(frame.payload, SK_SLICE("hello, record")));
}
END_TEST

START_TEST(every_flipped_bit_shows)
{
    struct sk_frame frame;
    const char *why;
    for (size_t bit = 0; bit < 8 * LEN; bit++) {
        uint8_t bytes[LEN];
        good_frame(bytes);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_msg(sk_record_parse(sk_slice_of(bytes, LEN), ID, PLACE, &frame, &why) ==
                          SK_FRAME_DAMAGED,
                      "bit %zu", bit);
    }
}
END_TEST

START_TEST(zeros_are_absent_whatever_their_number)
{
    static const uint8_t zeros[256];
    struct sk_frame frame;
    const char *why;
    for (size_t len = 0; len <= sizeof zeros; len++)
        ck_assert_int_eq(sk_record_parse(sk_slice_of(zeros, len), ID, PLACE, &frame, &why),
                         SK_FRAME_ABSENT);
}
END_TEST

static Suite *record_suite(void)
{
    Suite *suite = suite_create("libstore/record");
    TCase *tc = tcase_create("parse");
    tcase_add_loop_test(tc, parse_tells_whole_from_damaged, 0, ROWS(rows));
    tcase_add_test(tc, every_flipped_bit_shows);
    tcase_add_test(tc, zeros_are_absent_whatever_their_number);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(record_suite)
