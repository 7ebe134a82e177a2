/* The settings engine on a table that has every kind: values, limits, origins, and
 * the exact words of each error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "support/suite.h"

struct toy_config {
#define SK_SECTION(title)
#define SK_SETTING(...) SK_CONFIG_FIELD(__VA_ARGS__)
#include "toy.def"
};

static const struct sk_setting toy_settings[] = {
#define SK_SECTION(title) SK_CONFIG_SECTION(title)
#define SK_SETTING(...) SK_CONFIG_ROW(struct toy_config, __VA_ARGS__)
#include "toy.def"
};

static struct sk_status toy_check(const void *values)
{
    const struct toy_config *c = values;
    if (c->patience_ms <= 3600000) return SK_SUCCESS;
    return sk_error(SK_INVALID, "patience is too long for a toy");
}

static const struct sk_program toy = {
    .name = "toy",
    .summary = "A toy.",
    .settings = toy_settings,
    .count = sizeof toy_settings / sizeof toy_settings[0],
    .values_bytes = sizeof(struct toy_config),
    .check = toy_check,
};

static struct toy_config values;
static sk_config *config;

static void setup(void)
{
    config = sk_config_new(&toy, &values);
}

static void teardown(void)
{
    sk_config_free(config);
}

/* Write `text` into a new file, whose name is put into path. */
static void write_file(char path[32], const char *text)
{
    strcpy(path, "/tmp/skua-config-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static struct sk_status read_text(const char *text, char path[32])
{
    write_file(path, text);
    struct sk_status s = sk_config_read_file(config, path);
    unlink(path);
    return s;
}

static void expect_ok(struct sk_status s)
{
    ck_assert_msg(sk_ok(s), "%s", s.detail);
}

START_TEST(defaults_fill_the_struct)
{
    ck_assert(!values.noisy);
    ck_assert_int_eq(values.legs, 4);
    ck_assert_uint_eq(values.belly_bytes, 65536);
    ck_assert_uint_eq(values.patience_ms, 10000);
    ck_assert_str_eq(values.title, "bear");
    ck_assert_int_eq(values.fur, 1);
    ck_assert_str_eq(values.bed, ":8081");
    ck_assert_uint_eq(values.friends.count, 0);
}
END_TEST

static const struct {
    const char *name, *value;
    uint64_t want;
} good[] = {
    {"patience", "0", 0},
    {"patience", "500ms", 500},
    {"patience", "12h", 43200000},
    {"patience", "3d", 259200000},
    {"belly", "512", 512},
    {"belly", "64KiB", 65536},
    {"belly", "1Gi", 1u << 30},
    {"belly", "4194304B", 4194304},
    {"legs", "100", 100},
    {"legs", "-1", (uint64_t)-1},
    {"noisy", "on", 1},
    {"noisy", "0", 0},
    {"fur", "short", 0},
    {"fur", "none", 2},
    {"friends", "a:1,[::1]:2", 2},
    {"friends", "a:1;b:65535", 2},
    {"FRIENDS", "", 0},
    {"pa-tience", "1s", 0},
};

START_TEST(values_of_every_kind_are_read)
{
    const char *name = good[_i].name;
    struct sk_status s = sk_config_set(config, name, good[_i].value, SK_FROM_FLAG);
    if (strcmp(name, "pa-tience") == 0) {
        ck_assert(!sk_ok(s)); /* pa_tience is no name */
        return;
    }
    expect_ok(s);
    uint64_t got = 0;
    if (strcmp(name, "patience") == 0)
        got = values.patience_ms;
    else if (strcmp(name, "belly") == 0)
        got = values.belly_bytes;
    else if (strcmp(name, "legs") == 0)
        got = (uint64_t)values.legs;
    else if (strcmp(name, "noisy") == 0)
        got = values.noisy;
    else if (strcmp(name, "fur") == 0)
        got = (uint64_t)values.fur;
    else
        got = values.friends.count;
    ck_assert_uint_eq(got, good[_i].want);
}
END_TEST

static const struct {
    const char *name, *value, *want;
} bad[] = {
    {"noisy", "maybe", "flag --noisy: noisy: 'maybe' is neither true nor false"},
    {"legs", "six", "flag --legs: legs: 'six' is not a whole number; write digits, like 4"},
    {"legs", "", "flag --legs: legs: '' is not a whole number; write digits, like 4"},
    {"legs", "101", "flag --legs: legs: 101 is outside -1 to 100 legs"},
    {"legs", "99999999999999999999",
     "flag --legs: legs: '99999999999999999999' is not a whole "
     "number; write digits, like 4"},
    {"belly", "64KB",
     "flag --belly: belly: '64KB' is not a size; write a number with a unit, "
     "like 64KiB, 4MiB, 1GiB"},
    {"belly", "99999999999TiB",
     "flag --belly: belly: '99999999999TiB' is not a size; write a "
     "number with a unit, like 64KiB, 4MiB, 1GiB"},
    {"belly", "2TiB", "flag --belly: belly: 2TiB is above the most of 1TiB; choose 1 to 1TiB"},
    {"belly", "0", "flag --belly: belly: 0 is below the least of 1; choose 1 to 1TiB"},
    {"patience", "10",
     "flag --patience: patience: '10' is not a duration; write a number with a "
     "unit, like 500ms, 10s, 2m, 12h"},
    {"patience", "-1s",
     "flag --patience: patience: '-1s' is not a duration; write a number with "
     "a unit, like 500ms, 10s, 2m, 12h"},
    {"title", "", "flag --title: title: it must not be empty"},
    {"title", "123456789", "flag --title: title: it has 9 characters; 1 to 8 are allowed"},
    {"fur", "long", "flag --fur: fur: 'long' is not one of short|curly|none"},
    {"fur", "shor", "flag --fur: fur: 'shor' is not one of short|curly|none"},
    {"bed", "8081",
     "flag --bed: bed: '8081' is not an address; write HOST:PORT, like "
     "127.0.0.1:8081 or [::1]:8081"},
    {"bed", "h:65536",
     "flag --bed: bed: 'h:65536' is not an address; write HOST:PORT, like "
     "127.0.0.1:8081 or [::1]:8081"},
    {"bed", "::1:80",
     "flag --bed: bed: '::1:80' is not an address; write HOST:PORT, like "
     "127.0.0.1:8081 or [::1]:8081"},
    {"friends", "a:1,:2",
     "flag --friends: friends: ':2' is not an address; write HOST:PORT[,HOST:PORT…]"},
    {"friends", "a:0",
     "flag --friends: friends: 'a:0' is not an address; write HOST:PORT[,HOST:PORT…]"},
    {"patiense", "1s", "flag: unknown setting 'patiense'; did you mean 'patience'?"},
    {"xyzzy", "1s", "flag: unknown setting 'xyzzy'; toy --help lists them"},
};

START_TEST(errors_say_what_would_be_right)
{
    struct sk_status s = sk_config_set(config, bad[_i].name, bad[_i].value, SK_FROM_FLAG);
    ck_assert_int_eq(s.code, SK_INVALID);
    ck_assert_str_eq(s.detail, bad[_i].want);
}
END_TEST

/* Files: `%s` in `want` is the file's name. */
static const struct {
    const char *text, *want;
} bad_files[] = {
    {"legs: 3\npatiense: 1s\n", "%s:2: unknown setting 'patiense'; did you mean 'patience'?"},
    {"legs: 3\n\nlegs: 4\n", "file %s:3: legs: unreachable"},
    {"a: [1, {b: 2}]\n", "%s:1: unknown setting 'a'; toy --help lists them"},
    {"friends: [a:1, [b]]\n", "file %s:1: a list may hold plain values only"},
    {"friends:\n  - a\n", "file %s:2: friends: 'a' is not an address; write "
                          "HOST:PORT[,HOST:PORT…]"},
    {"- 1\n", "file %s:1: expected `name: value` lines"},
    {"legs: three\n", "file %s:1: legs: 'three' is not a whole number; write digits, like 4"},
    {"title: \"a\\0b\"\n", "file %s:1: the value has a zero byte inside"},
    {"a: &x {b: *x}\n", "file %s:1: nested more than 8 deep"},
    {"legs: [\n", "file %s:2: not YAML: did not find expected node content"},
};

START_TEST(file_errors_name_the_line)
{
    char path[32], want[256];
    struct sk_status s = read_text(bad_files[_i].text, path);
    ck_assert(!sk_ok(s));
    if (strstr(bad_files[_i].want, "unreachable")) {
        snprintf(want, sizeof want, "file %s:3: legs is set a second time; the first was at %s:1",
                 path, path);
    } else {
        const char *tail = strstr(bad_files[_i].want, "%s") + 2;
        snprintf(want, sizeof want, "%.*s%s%s", (int)(tail - 2 - bad_files[_i].want),
                 bad_files[_i].want, path, tail);
    }
    ck_assert_str_eq(s.detail, want);
}
END_TEST

START_TEST(nested_flat_and_listed_keys_are_the_same)
{
    char path[32];
    expect_ok(read_text("nap:\n  time:\n    of-day: 3h\nfriends:\n- a:1\n- b:2\n", path));
    ck_assert_uint_eq(values.nap_time_of_day_ms, 3 * 3600000);
    ck_assert_uint_eq(values.friends.count, 2);
    ck_assert_str_eq(values.friends.items[1], "b:2");
}
END_TEST

START_TEST(an_absent_file_is_told)
{
    struct sk_status s = sk_config_read_file(config, "/nonexistent/x.yaml");
    ck_assert_int_eq(s.code, SK_NOT_FOUND);
    ck_assert(strstr(s.detail, "/nonexistent/x.yaml") != NULL);
}
END_TEST

START_TEST(flag_beats_environment_beats_file_beats_default)
{
    char path[32], option[64];
    write_file(path, "legs: 1\nfur: none\nbelly: 1MiB\n");
    snprintf(option, sizeof option, "--config=%s", path);
    const char *argv[] = {"toy", "--legs", "3", option, "--noisy", "--set", "title=cat", NULL};
    const char *const environment[] = {"SKUA_LEGS=2", "SKUA_FUR=short", "SKUA_UNKNOWN=1",
                                       "SKUA_PORT",   "PATH=/bin",      NULL};
    enum sk_config_request request;
    expect_ok(sk_config_load(config, 7, argv, environment, &request));
    unlink(path);
    ck_assert_int_eq(request, SK_CONFIG_RUN);
    ck_assert_int_eq(values.legs, 3);
    ck_assert_int_eq(values.fur, 0);
    ck_assert_uint_eq(values.belly_bytes, 1048576);
    ck_assert_str_eq(values.title, "cat");
    ck_assert(values.noisy);

    static const char *const origins[][2] = {
        {"legs", "flag --legs"},
        {"fur", "environment SKUA_FUR"},
        {"patience", "default"},
        {"nap_time_of_day", "default"},
    };
    for (int i = 0; i < ROWS(origins); i++) {
        char *origin = sk_config_origin(config, origins[i][0]);
        ck_assert_str_eq(origin, origins[i][1]);
        free(origin);
    }
    char *origin = sk_config_origin(config, "belly"), want[64];
    snprintf(want, sizeof want, "file %s:3", path);
    ck_assert_str_eq(origin, want);
    free(origin);
}
END_TEST

static const struct {
    const char *argv[4];
    const char *want; /* NULL: all is well */
} lines[] = {
    {{"--legs=7"}, NULL},
    {{"--no-noisy"}, NULL},
    {{"--noisy", "false"}, NULL},
    {{"--set", "legs=7"}, NULL},
    {{"--legs"}, "--legs needs a value"},
    {{"--legz", "1"}, "command line: unknown setting 'legz'; did you mean 'legs'?"},
    {{"--no-legs"}, "command line: unknown setting 'no-legs'; did you mean 'legs'?"},
    {{"--set", "legs"}, "--set legs: write --set NAME=VALUE"},
    {{"--set", "leggs=1"}, "--set: unknown setting 'leggs'; did you mean 'legs'?"},
    {{"--set"}, "--set needs a value"},
    {{"start"}, "unexpected argument 'start'; toy --help shows the options"},
    {{"--patience", "2h"}, "patience is too long for a toy"},
};

START_TEST(command_lines_are_read_or_explained)
{
    const char *argv[6] = {"toy"};
    int argc = 1;
    for (; argc < 5 && lines[_i].argv[argc - 1]; argc++) argv[argc] = lines[_i].argv[argc - 1];
    enum sk_config_request request;
    struct sk_status s = sk_config_load(config, argc, argv, NULL, &request);
    if (lines[_i].want)
        ck_assert_str_eq(s.detail, lines[_i].want);
    else
        expect_ok(s);
    if (_i == 0 || _i == 3) ck_assert_int_eq(values.legs, 7);
    ck_assert(!values.noisy);
}
END_TEST

static void rewrite(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    fputs(text, out);
    fclose(out);
}

static void note_change(void *arg, const char *name, bool applied)
{
    char *notes = arg;
    snprintf(notes + strlen(notes), 60 - strlen(notes), "%c%s ", applied ? '+' : '-', name);
}

START_TEST(rereading_applies_what_it_may)
{
    char path[32], notes[64] = "";
    write_file(path, "legs: 1\ntitle: cat\nfur: none\n");
    const char *argv[] = {"toy", "--fur", "short", "--config", path};
    enum sk_config_request request;
    expect_ok(sk_config_load(config, 5, argv, NULL, &request));
    rewrite(path, "legs: 2\ntitle: dog\nfur: curly\n");
    expect_ok(sk_config_reread(config, note_change, notes));
    ck_assert_str_eq(notes, "-legs +title ");
    ck_assert_int_eq(values.legs, 1); /* waits for a restart */
    ck_assert_str_eq(values.title, "dog");
    ck_assert_int_eq(values.fur, 0); /* the flag still wins */
    rewrite(path, "title: tiger-shark\n");
    ck_assert(!sk_ok(sk_config_reread(config, note_change, notes)));
    ck_assert_str_eq(values.title, "dog");
    unlink(path);
}
END_TEST

static char *printed(void (*print)(FILE *))
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    print(out);
    fclose(out);
    return text;
}

static void print_all(FILE *out)
{
    sk_config_print_help(&toy, out);
    sk_config_print_docs(&toy, out);
    sk_config_print(config, out);
}

START_TEST(every_setting_is_in_help_docs_and_print)
{
    char *text = printed(print_all);
    static const char *const parts[] = {
        "  --nap-time-of-day duration",
        "  --fur short|curly|none",
        "[10s; 0..3d]",
        "| `fur` | choice | `curly` | short\\|curly\\|none | ",
        "\npatience: 10s",
        "# default\n",
        "### Habits\n",
        "| `title` | text | `bear` | 1..8 characters | start, SIGHUP |",
    };
    for (int i = 0; i < ROWS(parts); i++)
        ck_assert_msg(strstr(text, parts[i]) != NULL, "no '%s' in:\n%s", parts[i], text);
    free(text);
}
END_TEST

static Suite *config_suite(void)
{
    Suite *suite = suite_create("base/config");
    TCase *tc = tcase_create("settings");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, defaults_fill_the_struct);
    tcase_add_loop_test(tc, values_of_every_kind_are_read, 0, ROWS(good));
    tcase_add_loop_test(tc, errors_say_what_would_be_right, 0, ROWS(bad));
    tcase_add_loop_test(tc, file_errors_name_the_line, 0, ROWS(bad_files));
    tcase_add_test(tc, nested_flat_and_listed_keys_are_the_same);
    tcase_add_test(tc, an_absent_file_is_told);
    tcase_add_test(tc, flag_beats_environment_beats_file_beats_default);
    tcase_add_loop_test(tc, command_lines_are_read_or_explained, 0, ROWS(lines));
    tcase_add_test(tc, rereading_applies_what_it_may);
    tcase_add_test(tc, every_setting_is_in_help_docs_and_print);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(config_suite)
