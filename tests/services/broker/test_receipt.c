/* test_receipt.c - handles come back as they were given, and garbage does not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message/filter.h"
#include "message/receipt.h"
#include "support/suite.h"

static struct sk_receipt make(const char *broker)
{
    return (struct sk_receipt){.broker = sk_slice_of_text(broker),
                               .group = 7,
                               .topic = 4000000000u,
                               .queue = 3,
                               .offset = UINT64_MAX - 1,
                               .epoch = 3000000000u,
                               .position = 0x123456789abcdef0u};
}

static const char *const names[] = {"b", "br", "bro", "broker-a", "скуа"};

START_TEST(a_handle_comes_back)
{
    char text[SK_RECEIPT_TEXT_MAX];
    uint8_t room[SK_RECEIPT_TEXT_MAX];
    struct sk_receipt receipt = make(names[_i]), back;
    size_t len = sk_receipt_encode(&receipt, text);
    ck_assert(sk_receipt_decode(sk_slice_of(text, len), room, &back));
    ck_assert(sk_slice_eq(back.broker, receipt.broker));
    ck_assert_uint_eq(back.group, 7);
    ck_assert_uint_eq(back.topic, 4000000000u);
    ck_assert_uint_eq(back.queue, 3);
    ck_assert_uint_eq(back.offset, UINT64_MAX - 1);
    ck_assert_uint_eq(back.epoch, 3000000000u);
    ck_assert_uint_eq(back.position, 0x123456789abcdef0u);
}
END_TEST

START_TEST(the_longest_name_fits)
{
    char name[SK_RECEIPT_BROKER_MAX + 1], text[SK_RECEIPT_TEXT_MAX];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    uint8_t room[SK_RECEIPT_TEXT_MAX];
    struct sk_receipt receipt = make(name), back;
    ck_assert(sk_receipt_decode(sk_slice_of(text, sk_receipt_encode(&receipt, text)), room, &back));
    ck_assert_uint_eq(back.broker.len, SK_RECEIPT_BROKER_MAX);
}
END_TEST

/* Every single change of a character, every cut and every addition is found. */
START_TEST(altered_handles_are_refused)
{
    char text[SK_RECEIPT_TEXT_MAX + 1];
    uint8_t room[SK_RECEIPT_TEXT_MAX];
    struct sk_receipt receipt = make("broker-a"), back;
    size_t len = sk_receipt_encode(&receipt, text);
    for (size_t i = 0; i < len; i++) {
        char was = text[i];
        for (int c = 0; c < 256; c++) {
            if ((char)c == was) continue;
            text[i] = (char)c;
            ck_assert(!sk_receipt_decode(sk_slice_of(text, len), room, &back));
        }
        text[i] = was;
        ck_assert(!sk_receipt_decode(sk_slice_of(text, i), room, &back));
    }
    text[len] = 'A';
    ck_assert(!sk_receipt_decode(sk_slice_of(text, len + 1), room, &back));
}
END_TEST

START_TEST(garbage_is_refused)
{
    uint8_t room[SK_RECEIPT_TEXT_MAX];
    struct sk_receipt back;
    char garbage[4096];
    srand(1);
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)rand() % sizeof garbage;
        if (round % 2) len %= SK_RECEIPT_TEXT_MAX + 2;
        for (size_t i = 0; i < len; i++) garbage[i] = (char)rand();
        ck_assert(!sk_receipt_decode(sk_slice_of(garbage, len), room, &back));
    }
    ck_assert(!sk_receipt_decode(SK_EMPTY, room, &back));
}
END_TEST

/* --- tag filters ----------------------------------------------------------------------------- */

static const struct {
    const char *expression, *tag;
    bool matches;
} matches[] = {
    {"", "a", true},        {"", "", true},        {"*", "a", true},     {"*", "", true},
    {"a", "a", true},       {"a", "A", false},     {"a", "", false},     {"a || b", "b", true},
    {" a||b ", "a", true},  {"a||", "a", true},    {"||a", "a", true},   {"a || *", "*", true},
    {"a || *", "x", false}, {"a|b", "a", false},   {" ", "", false},     {" ", " ", false},
    {"| |", "", false},     {"|| ||", "a", false}, {"a b", "a b", true},
};

START_TEST(filters_match_tags)
{
    sk_arena *arena = sk_arena_new(0);
    struct sk_tag_filter filter;
    ck_assert_ptr_null(
        sk_tag_filter_parse(sk_slice_of_text(matches[_i].expression), arena, &filter));
    ck_assert_int_eq(sk_tag_filter_matches(&filter, sk_slice_of_text(matches[_i].tag)),
                     matches[_i].matches);
    for (size_t i = 1; i < filter.count; i++) {
        ck_assert_uint_le(filter.hashes[i - 1], filter.hashes[i]);
    }
    if (!filter.everything) ck_assert_ptr_nonnull(filter.hashes);
    sk_arena_free(arena);
}
END_TEST

START_TEST(bars_alone_are_no_filter)
{
    sk_arena *arena = sk_arena_new(0);
    struct sk_tag_filter filter;
    ck_assert_ptr_nonnull(sk_tag_filter_parse(SK_SLICE("||"), arena, &filter));
    ck_assert_ptr_nonnull(sk_tag_filter_parse(SK_SLICE("||||"), arena, &filter));
    char *longest = malloc(9000);
    memset(longest, 'a', 9000);
    ck_assert_ptr_nonnull(sk_tag_filter_parse(sk_slice_of(longest, 9000), arena, &filter));
    free(longest);
    sk_arena_free(arena);
}
END_TEST

START_TEST(only_no_tag_has_hash_zero)
{
    ck_assert_uint_eq(sk_tag_hash(SK_EMPTY), 0);
    ck_assert_uint_ne(sk_tag_hash(SK_SLICE("a")), 0);
    ck_assert_uint_ne(sk_tag_hash(SK_SLICE("a")), sk_tag_hash(SK_SLICE("b")));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("services.broker.receipt");
    TCase *c = tcase_create("receipt");
    tcase_add_loop_test(c, a_handle_comes_back, 0, ROWS(names));
    tcase_add_test(c, the_longest_name_fits);
    tcase_add_test(c, altered_handles_are_refused);
    tcase_add_test(c, garbage_is_refused);
    tcase_add_loop_test(c, filters_match_tags, 0, ROWS(matches));
    tcase_add_test(c, bars_alone_are_no_filter);
    tcase_add_test(c, only_no_tag_has_hash_zero);
    suite_add_tcase(suite, c);
    return suite;
}

SUITE_MAIN(make_suite)
