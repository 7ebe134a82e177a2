/* The arena: alignment, budget, reset, and that pieces never overlap. */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "support/suite.h"

START_TEST(pieces_are_aligned_and_apart)
{
    enum { PIECES = 2000 };
    static uint8_t *pieces[PIECES];
    sk_arena *a = sk_arena_new(0);
    for (size_t i = 0; i < PIECES; i++) {
        size_t size = i * 7919 % 6000; /* small ones, and some larger than a block */
        pieces[i] = sk_arena_alloc(a, size);
        ck_assert_ptr_nonnull(pieces[i]);
        ck_assert_uint_eq((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        memset(pieces[i], (int)i, size);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t j = 0; j < i * 7919 % 6000; j += 97) ck_assert_int_eq(pieces[i][j], (uint8_t)i);
    ck_assert(!sk_arena_is_exhausted(a));
    sk_arena_free(a);
}
END_TEST

START_TEST(a_budget_is_kept_and_remembered)
{
    sk_arena *a = sk_arena_new(1000);
    ck_assert_ptr_nonnull(sk_arena_alloc(a, 900));
    ck_assert(!sk_arena_is_exhausted(a));
    ck_assert_ptr_null(sk_arena_alloc(a, 200));
    ck_assert(sk_arena_is_exhausted(a));
    ck_assert_ptr_nonnull(sk_arena_alloc(a, 10)); /* what fits is still given ... */
    ck_assert(sk_arena_is_exhausted(a));          /* ... and the refusal not forgotten */
    ck_assert_uint_le(sk_arena_used(a), 1000);
    sk_arena_reset(a);
    ck_assert(!sk_arena_is_exhausted(a));
    ck_assert_uint_eq(sk_arena_used(a), 0);
    ck_assert_ptr_nonnull(sk_arena_alloc(a, 1000 / 16 * 16));
    sk_arena_free(a);
}
END_TEST

START_TEST(sizes_that_overflow_are_refused)
{
    sk_arena *a = sk_arena_new(0);
    ck_assert_ptr_null(sk_arena_alloc(a, SIZE_MAX));
    ck_assert_ptr_null(sk_arena_zalloc(a, SIZE_MAX / 2, 3));
    ck_assert(sk_arena_is_exhausted(a));
    sk_arena_free(a);
    a = sk_arena_new(64);
    ck_assert_ptr_null(sk_arena_alloc(a, SIZE_MAX - 7));
    sk_arena_free(a);
}
END_TEST

START_TEST(copies_and_texts)
{
    sk_arena *a = sk_arena_new(0);
    ck_assert_str_eq(sk_arena_text(a, SK_SLICE("hello")), "hello");
    ck_assert_str_eq(sk_arena_text(a, SK_EMPTY), "");
    ck_assert_mem_eq(sk_arena_copy(a, "abc", 3), "abc", 3);
    ck_assert_ptr_nonnull(sk_arena_copy(a, NULL, 0));
    ck_assert_ptr_nonnull(sk_arena_alloc(a, 0));
    ck_assert_str_eq(sk_arena_printf(a, "%s-%d", "x", 12), "x-12");
    const uint8_t *zeros = sk_arena_zalloc(a, 100, 3);
    for (int i = 0; i < 300; i++) ck_assert_int_eq(zeros[i], 0);
    sk_arena_free(a);
}
END_TEST

START_TEST(a_reset_arena_serves_again)
{
    sk_arena *a = sk_arena_new(0);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 100; i++) memset(sk_arena_alloc(a, 3000), round, 3000);
        memset(sk_arena_alloc(a, 100000), round, 100000);
        sk_arena_reset(a);
    }
    sk_arena_free(a);
    sk_arena_free(NULL);
}
END_TEST

static Suite *arena_suite(void)
{
    Suite *suite = suite_create("base/arena");
    TCase *tc = tcase_create("arena");
    tcase_add_test(tc, pieces_are_aligned_and_apart);
    tcase_add_test(tc, a_budget_is_kept_and_remembered);
    tcase_add_test(tc, sizes_that_overflow_are_refused);
    tcase_add_test(tc, copies_and_texts);
    tcase_add_test(tc, a_reset_arena_serves_again);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(arena_suite)
