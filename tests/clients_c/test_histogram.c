/* The histogram against sorted values. */
#include <check.h>
#include <stdlib.h>

#include "histogram.h"

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t next(uint64_t *state) /* xorshift: the same numbers in every run */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

START_TEST(percentiles_have_three_digits)
{
    enum { N = 20000 };
    static uint64_t values[N];
    uint64_t state = 88172645463325252u + (uint64_t)_i;
    histogram *h = histogram_new();
    double sum = 0;
    for (int i = 0; i < N; i++) {
        values[i] = next(&state) >> (12 + next(&state) % 50); /* every magnitude */
        histogram_record(h, values[i]);
        sum += (double)values[i];
    }
    qsort(values, N, sizeof values[0], ascending);
    static const double percents[] = {0.01, 1, 25, 50, 90, 99, 99.9, 99.99, 100};
    for (size_t p = 0; p < sizeof percents / sizeof percents[0]; p++) {
        uint64_t exact = values[(size_t)(percents[p] / 100 * N + 0.999999) - 1];
        uint64_t got = histogram_percentile(h, percents[p]);
        ck_assert_msg(got >= exact && (double)got <= (double)exact * 1.001 + 1,
                      "p%g: %llu, not %llu", percents[p], (unsigned long long)got,
                      (unsigned long long)exact);
    }
    ck_assert_uint_eq(histogram_min(h), values[0]);
    ck_assert_uint_eq(histogram_max(h), values[N - 1]);
    ck_assert_uint_eq(histogram_count(h), N);
    ck_assert_double_eq_tol(histogram_mean(h) / (sum / N), 1.0, 1e-9);
    histogram_free(h);
}
END_TEST

START_TEST(small_values_are_exact)
{
    histogram *h = histogram_new();
    for (uint64_t v = 0; v < 2048; v++) histogram_record(h, v);
    ck_assert_uint_eq(histogram_percentile(h, 50), 1023);
    ck_assert_uint_eq(histogram_percentile(h, 100), 2047);
    ck_assert_uint_eq(histogram_percentile(h, 0.0001), 0);
    histogram_free(h);
}
END_TEST

START_TEST(borders_of_steps_are_kept)
{
    for (unsigned bits = 11; bits < 52; bits++) {
        for (int64_t d = -1; d <= 1; d++) {
            uint64_t v = (UINT64_C(1) << bits) + (uint64_t)d;
            histogram *h = histogram_new();
            histogram_record(h, v);
            ck_assert_uint_eq(histogram_percentile(h, 50), v); /* the maximum bounds it */
            histogram_record(h, UINT64_C(1) << 52);
            uint64_t got = histogram_percentile(h, 50);
            ck_assert_msg(got >= v && got - v <= v / 1024, "%llu gave %llu", (unsigned long long)v,
                          (unsigned long long)got);
            histogram_free(h);
        }
    }
}
END_TEST

START_TEST(adding_up_is_recording_all)
{
    histogram *a = histogram_new(), *b = histogram_new(), *all = histogram_new();
    for (uint64_t v = 1; v < 5000; v += 3) {
        histogram_record(v % 2 ? a : b, v * v);
        histogram_record(all, v * v);
    }
    histogram_add(a, b);
    ck_assert_uint_eq(histogram_count(a), histogram_count(all));
    ck_assert_uint_eq(histogram_percentile(a, 99), histogram_percentile(all, 99));
    ck_assert_uint_eq(histogram_min(a), histogram_min(all));
    ck_assert_double_eq(histogram_mean(a), histogram_mean(all));
    histogram_free(a);
    histogram_free(b);
    histogram_free(all);
}
END_TEST

START_TEST(nothing_is_zero)
{
    histogram *h = histogram_new();
    ck_assert_uint_eq(histogram_percentile(h, 99), 0);
    ck_assert_uint_eq(histogram_min(h), 0);
    ck_assert_double_eq(histogram_mean(h), 0);
    histogram_record(h, UINT64_MAX); /* larger than it can tell apart */
    ck_assert_uint_eq(histogram_max(h), UINT64_MAX);
    histogram_free(h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clients/histogram");
    TCase *tc = tcase_create("histogram");
    tcase_add_loop_test(tc, percentiles_have_three_digits, 0, 4);
    tcase_add_test(tc, small_values_are_exact);
    tcase_add_test(tc, borders_of_steps_are_kept);
    tcase_add_test(tc, adding_up_is_recording_all);
    tcase_add_test(tc, nothing_is_zero);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
