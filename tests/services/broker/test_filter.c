/* test_filter.c - TAG expressions: what they are taken for, and what they match. */
#include <string.h>

#include "message/filter.h"
#include "support/suite.h"

static sk_arena *arena;

static void setup(void)
{
    arena = sk_arena_new(0);
}

static void teardown(void)
{
    sk_arena_free(arena);
}

static const struct {
    const char *expression, *matches, *passes_over; /* tags, between blanks */
} rows[] = {
    {"", "red blue", NULL},
    {"*", "red blue", NULL},
    {"red", "red", "re redd Red blue"},
    {"red||blue", "red blue", "redblue"},
    {"  red  ||  blue  ", "red blue", "green"},
    {"red|blue", "red|blue", "red blue"},
    {"red||||blue", "red blue", "green"},
};

static bool matches(const struct sk_tag_filter *filter, const char *tag, size_t len)
{
    return sk_tag_filter_matches(filter, sk_slice_of((const uint8_t *)tag, len));
}

static void each_tag(const struct sk_tag_filter *filter, const char *tags, bool expected)
{
    for (const char *at = tags; at && *at;) {
        size_t len = strcspn(at, " ");
        ck_assert_msg(matches(filter, at, len) == expected, "%s: %.*s", rows[0].expression,
                      (int)len, at);
        at += len + (at[len] == ' ');
    }
}

START_TEST(an_expression_matches_its_tags)
{
    struct sk_tag_filter filter;
    const char *wrong = sk_tag_filter_parse(sk_slice_of_text(rows[_i].expression), arena, &filter);
    ck_assert_ptr_null(wrong);
    each_tag(&filter, rows[_i].matches, true);
    each_tag(&filter, rows[_i].passes_over, false);
    ck_assert(matches(&filter, "", 0) == filter.everything);
    for (size_t i = 1; i < filter.count; i++)
        ck_assert_uint_le(filter.hashes[i - 1], filter.hashes[i]);
}
END_TEST

START_TEST(bars_without_a_tag_are_refused)
{
    struct sk_tag_filter filter;
    ck_assert_ptr_nonnull(sk_tag_filter_parse(SK_SLICE("||"), arena, &filter));
    ck_assert_ptr_nonnull(sk_tag_filter_parse(SK_SLICE("||||"), arena, &filter));
}
END_TEST

/* The index keeps hashes only; who delivers compares the tags. */
START_TEST(tags_with_one_hash_are_two_tags)
{
    struct sk_tag_filter filter;
    struct sk_slice one = SK_SLICE("ccaoacux"), other = SK_SLICE("wcjifoae");
    ck_assert_uint_eq(sk_tag_hash(one), sk_tag_hash(other));
    ck_assert_ptr_null(sk_tag_filter_parse(one, arena, &filter));
    ck_assert(sk_tag_filter_matches(&filter, one));
    ck_assert(!sk_tag_filter_matches(&filter, other));
}
END_TEST

static Suite *filter_suite(void)
{
    Suite *suite = suite_create("services/broker/filter");
    TCase *tc = tcase_create("filter");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, an_expression_matches_its_tags, 0, ROWS(rows));
    tcase_add_test(tc, bars_without_a_tag_are_refused);
    tcase_add_test(tc, tags_with_one_hash_are_two_tags);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(filter_suite)
