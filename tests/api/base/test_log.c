/* Log lines as they come out of stderr: their form, what peers cannot do to them, and
 * how many come from one place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "support/suite.h"

static char lines[65536];
static int saved, file;

static void setup(void)
{
    char path[] = "/tmp/skua-log-XXXXXX";
    file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    unlink(path);
    saved = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
}

static void teardown(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(file);
    sk_log_configure(SK_INFO, false);
}

static const char *read_lines(void)
{
    ssize_t n = pread(file, lines, sizeof lines - 1, 0);
    ck_assert_int_ge(n, 0);
    lines[n] = 0;
    return lines;
}

static int count_lines(void)
{
    int n = 0;
    for (const char *c = read_lines(); *c; c++) n += *c == '\n';
    return n;
}

/* What follows the time, which is of fixed width. */
static const char *after_time(size_t lead)
{
    read_lines();
    ck_assert_uint_gt(strlen(lines), lead + 24);
    ck_assert_int_eq(lines[lead + 10], 'T');
    ck_assert_int_eq(lines[lead + 23], 'Z');
    return lines + lead + 24;
}

START_TEST(text_lines_are_for_people)
{
    sk_log_configure(SK_INFO, false);
    sk_log(SK_DEBUG_LEVEL, "not shown");
    sk_log(SK_WARN, "flush is late", sk_u64("position", 4096), sk_i64("lag", -3),
           sk_text("disk", "/d"), sk_text("none", NULL));
    ck_assert_str_eq(after_time(0),
                     " WARN  flush is late position=4096 lag=-3 disk=\"/d\" none=\"\"\n");
}
END_TEST

START_TEST(json_lines_are_for_programs)
{
    sk_log_configure(SK_INFO, true);
    sk_log_status(SK_ERROR, "cannot go on", sk_error(SK_FULL, "disk 7"), sk_u64("n", 1));
    ck_assert_str_eq(after_time(strlen("{\"ts\":\"")),
                     "\",\"level\":\"error\",\"msg\":\"cannot go on\",\"code\":\"SK_FULL\","
                     "\"detail\":\"disk 7\",\"n\":1}\n");
}
END_TEST

START_TEST(a_peer_cannot_forge_a_line)
{
    sk_log_configure(SK_INFO, false);
    sk_log(SK_INFO, "topic", sk_bytes("name", SK_SLICE("a\n2026 \"ERROR\" \x1b[31m\\\xc3\xa4\0z")));
    ck_assert_str_eq(after_time(0), " INFO  topic name=\"a\\u000a2026 \\\"ERROR\\\" "
                                    "\\u001b[31m\\\\\\u00c3\\u00a4\\u0000z\"\n");
}
END_TEST

START_TEST(long_values_and_lines_are_cut_between_fields)
{
    char huge[1000];
    memset(huge, 'x', sizeof huge);
    sk_log_configure(SK_INFO, true);
    sk_log(SK_INFO, "one", sk_bytes("v", sk_slice_of(huge, sizeof huge)));
    read_lines();
    ck_assert_ptr_nonnull(strstr(lines, "xxx...\"}\n"));
    ck_assert_uint_lt(strlen(lines), 400);

    ck_assert_int_eq(ftruncate(file, 0), 0);
    lseek(file, 0, SEEK_SET);
    memset(huge, 1, sizeof huge); /* six characters each */
    struct sk_slice v = sk_slice_of(huge, sizeof huge);
    sk_log(SK_INFO, "two", sk_bytes("a", v), sk_bytes("b", v), sk_u64("c", 1));
    read_lines();
    ck_assert_ptr_nonnull(strstr(lines, "...\",\"cut\":true}\n"));
    ck_assert_ptr_null(strstr(lines, "\"b\""));
}
END_TEST

START_TEST(one_place_cannot_flood_the_log)
{
    sk_log_configure(SK_INFO, false);
    for (int i = 0; i < 1000; i++) sk_log(SK_INFO, "again", sk_i64("i", i));
    int n = count_lines(); /* the loop may touch two seconds, hardly three */
    ck_assert_int_ge(n, 20);
    ck_assert_int_le(n, 60);
    sk_log(SK_INFO, "elsewhere");
    ck_assert_int_eq(count_lines(), n + 1);
}
END_TEST

START_TEST(dropped_lines_are_counted_in_the_next)
{
    struct sk_log_site site = {0};
    for (int i = 0; i < 100; i++) sk_log_write(&site, SK_INFO, "again", NULL, 0);
    site.second--; /* as if a second had passed */
    sk_log_write(&site, SK_INFO, "later", NULL, 0);
    ck_assert_ptr_nonnull(strstr(read_lines(), "later lines_dropped="));
}
END_TEST

START_TEST(silence_is_silence)
{
    sk_log_configure(SK_SILENT, false);
    sk_log(SK_ERROR, "nothing");
    ck_assert_int_eq(count_lines(), 0);
}
END_TEST

static Suite *log_suite(void)
{
    Suite *suite = suite_create("base/log");
    TCase *tc = tcase_create("lines");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, text_lines_are_for_people);
    tcase_add_test(tc, json_lines_are_for_programs);
    tcase_add_test(tc, a_peer_cannot_forge_a_line);
    tcase_add_test(tc, long_values_and_lines_are_cut_between_fields);
    tcase_add_test(tc, one_place_cannot_flood_the_log);
    tcase_add_test(tc, dropped_lines_are_counted_in_the_next);
    tcase_add_test(tc, silence_is_silence);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(log_suite)
