/* Every command, typed wrong in every way: exact exit code, message and hint. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int ran; /* the dev hook */
static int fake_dev(struct cli *cli)
{
    ran++;
    fprintf(cli->out, "%s %s", cli_text(cli, "listen"), cli_text(cli, "flush"));
    for (size_t i = 0; i < cli_all(cli, "set")->count; i++)
        fprintf(cli->out, " %s", cli_all(cli, "set")->items[i].text);
    return CLI_OK;
}

static const struct cli_hooks hooks = {.dev = fake_dev};

struct output {
    int code;
    char *out, *err;
};

/* Run a command line; words are split at blanks, '_' in a word stands for a blank. */
static struct output type(const char *line, const char *env)
{
    struct output o = {0};
    size_t out_len, err_len;
    char *copy = strdup(line), *save = NULL;
    const char *argv[32] = {"skua"};
    int argc = 1;
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        for (char *c = w; *c; c++)
            if (*c == '~') *c = ' ';
        argv[argc++] = strcmp(w, "''") == 0 ? "" : w;
    }
    FILE *out = open_memstream(&o.out, &out_len), *err = open_memstream(&o.err, &err_len);
    FILE *in = fopen("/dev/null", "r");
    o.code = cli_main(argc, argv, env, &hooks, in, out, err);
    fclose(in);
    fclose(out);
    fclose(err);
    free(copy);
    return o;
}

static void forget(struct output *o)
{
    free(o->out);
    free(o->err);
}

static const struct {
    const char *typed, *message, *hint;
} wrong[] = {
    /* clang-format off */
    /* no such command */
    {"tpoic", "there is no command 'tpoic'", "did you mean: skua topic?"},
    {"publish x", "there is no command 'publish'", "did you mean: skua send?"},
    {"topicList", "there is no command 'topicList'", "did you mean: skua topic list?"},
    {"consumerProgress", "there is no command 'consumerProgress'", "did you mean: skua group describe?"},
    {"zzzz", "there is no command 'zzzz'", "skua --help lists the commands"},
    {"--namesrv a:1 topic list", "'--namesrv' is not a command",
     "flags come after the command: skua topic list --namesrv HOST:PORT"},
    {"topic", "skua topic needs a verb", "type: skua topic create|list|describe|delete"},
    {"group", "skua group needs a verb", "type: skua group create|list|describe|delete"},
    {"bench", "skua bench needs a verb", "type: skua bench send|receive|latency"},
    {"topic ls", "there is no command 'topic ls'", "did you mean: skua topic list?"},
    {"topic rm x", "there is no command 'topic rm'", "did you mean: skua topic delete?"},
    {"group info x", "there is no command 'group info'", "did you mean: skua group describe?"},
    {"topic frobnicate", "there is no command 'topic frobnicate'",
     "type: skua topic create|list|describe|delete"},
    {"bench sent", "there is no command 'bench sent'", "did you mean: skua bench send?"},
    {"help tpoic", "there is no command 'tpoic'", "did you mean: skua topic?"},
    {"help topic ls", "there is no command 'topic ls'", "did you mean: skua topic list?"},
    /* missing arguments */
    {"topic create", "skua topic create needs TOPIC, the topic", "for example: skua topic create orders"},
    {"topic describe", "skua topic describe needs TOPIC, the topic",
     "for example: skua topic describe orders"},
    {"topic delete", "skua topic delete needs TOPIC, the topic", "for example: skua topic delete orders"},
    {"group create", "skua group create needs GROUP, the consumer group",
     "for example: skua group create billing"},
    {"group describe", "skua group describe needs GROUP, the consumer group",
     "for example: skua group describe billing"},
    {"group delete", "skua group delete needs GROUP, the consumer group",
     "for example: skua group delete billing --yes"},
    {"send", "skua send needs TOPIC, the topic",
     "for example: skua send orders --body hello --tag new --key order-17"},
    {"receive", "skua receive needs TOPIC, the topic",
     "for example: skua receive orders --group billing"},
    {"pull", "skua pull needs TOPIC, the topic",
     "for example: skua pull orders --queue 0 --offset beginning --count 10"},
    {"route", "skua route needs TOPIC, the topic", "for example: skua route orders"},
    {"verify", "skua verify needs DIR, the data directory",
     "for example: skua verify ~/.local/share/skua/dev"},
    {"dump", "skua dump needs DIR, the data directory",
     "for example: skua dump ~/.local/share/skua/dev --count 20"},
    /* missing flags */
    {"receive t", "skua receive needs --group GROUP", "for example: skua receive orders --group billing"},
    {"pull t", "skua pull needs --queue N",
     "for example: skua pull orders --queue 0 --offset beginning --count 10"},
    {"send t", "skua send needs --body TEXT or --file FILE", "for example: skua send orders --body hello"},
    {"send t --body a --file b", "--body and --file exclude each other",
     "for example: skua send orders --body hello"},
    /* too many words */
    {"topic list x", "skua topic list does not know what to do with 'x'",
     "quote values with spaces in them; see skua topic list --help"},
    {"topic create a b", "skua topic create does not know what to do with 'b'",
     "quote values with spaces in them; see skua topic create --help"},
    {"send t --body hello world", "skua send does not know what to do with 'world'",
     "quote values with spaces in them; see skua send --help"},
    {"version 2", "skua version does not know what to do with '2'",
     "quote values with spaces in them; see skua version --help"},
    {"cluster x", "skua cluster does not know what to do with 'x'",
     "quote values with spaces in them; see skua cluster --help"},
    /* unknown flags */
    {"send t --bodi x", "skua send has no flag --bodi", "did you mean --body?"},
    {"receive t --gruop g", "skua receive has no flag --gruop", "did you mean --group?"},
    {"topic create t --queue 3", "skua topic create has no flag --queue", "did you mean --queues?"},
    {"topic list -x", "skua topic list has no flag -x", "skua topic list --help lists its flags"},
    {"dump d --namsrv=a:1", "skua dump has no flag --namsrv", "did you mean --namesrv?"},
    {"version --tls", "skua version has no flag --tls", "skua version --help lists its flags"},
    {"dev --datadir d", "skua dev has no flag --datadir", "skua dev --help lists its flags"},
    /* flags without value, twice, with a value too many */
    {"send t --body", "--body needs a value", "--body TEXT: the body"},
    {"topic list --namesrv", "--namesrv needs a value",
     "--namesrv HOST:PORT[,...]: name servers, or the broker of skua dev; also from NAMESRV_ADDR"},
    {"send t --body a --body b", "--body was given twice", "give it once"},
    {"topic list -o table -o table", "--output was given twice", "give it once"},
    {"receive t --group g --no-ack=yes", "--no-ack takes no value", "leave out the = and what follows"},
    /* values of every kind */
    {"topic list --namesrv localhost", "--namesrv must be HOST:PORT, or several with commas between, "
                                       "not 'localhost'", "see skua topic list --help"},
    {"topic list --namesrv a:1,,b:2", "--namesrv must be HOST:PORT, or several with commas between, "
                                      "not 'a:1,,b:2'", "see skua topic list --help"},
    {"topic list --namesrv a:0", "--namesrv must be HOST:PORT, or several with commas between, "
                                 "not 'a:0'", "see skua topic list --help"},
    {"topic list --namesrv http://a:80", "--namesrv must be HOST:PORT, or several with commas between, "
                                         "not 'http://a:80'", "see skua topic list --help"},
    {"topic list --namesrv a:99999", "--namesrv must be HOST:PORT, or several with commas between, "
                                     "not 'a:99999'", "see skua topic list --help"},
    {"topic list -o yaml", "--output must be one of table|json, not 'yaml'",
     "see skua topic list --help"},
    {"topic create t --type weird",
     "--type must be one of normal|fifo|delay|transaction|mixed, not 'weird'",
     "see skua topic create --help"},
    {"topic create t --queues 0", "--queues must be between 1 and 65536, not '0'",
     "see skua topic create --help"},
    {"topic create t --queues four", "--queues must be a whole number, not 'four'",
     "see skua topic create --help"},
    {"topic create t --queues 4.5", "--queues must be a whole number, not '4.5'",
     "see skua topic create --help"},
    {"topic create t --queues 99999999999999999999", "--queues must be a whole number, not "
                                                     "'99999999999999999999'",
     "see skua topic create --help"},
    {"topic create a.b", "TOPIC must be 1 to 127 letters, digits or any of _ - % |, not 'a.b'",
     "see skua topic create --help"},
    {"topic create ''", "TOPIC must be 1 to 127 letters, digits or any of _ - % |, not ''",
     "see skua topic create --help"},
    {"topic describe a~b", "TOPIC must be 1 to 127 letters, digits or any of _ - % |, not 'a b'",
     "see skua topic describe --help"},
    {"receive t --group g/h", "--group must be 1 to 127 letters, digits or any of _ - % |, not 'g/h'",
     "see skua receive --help"},
    {"group create g --max-attempts 0", "--max-attempts must be between 1 and 1000, not '0'",
     "see skua group create --help"},
    {"send t --body ''", "--body must not be empty: a message needs at least one byte, not ''",
     "see skua send --help"},
    {"send t --body x --count 0", "--count must be between 1 and 1000000000, not '0'",
     "see skua send --help"},
    {"send t --body x --count -1", "--count must be between 1 and 1000000000, not '-1'",
     "see skua send --help"},
    {"send t --body x --property novalue", "--property must be NAME=VALUE, not 'novalue'",
     "see skua send --help"},
    {"send t --body x --property =v", "--property must be NAME=VALUE, not '=v'",
     "see skua send --help"},
    {"receive t --group g --wait soon",
     "--wait must be a time such as 5, 0.5, 500ms, 2s or 1m, not 'soon'", "see skua receive --help"},
    {"receive t --group g --wait -3", "--wait must be a time such as 5, 0.5, 500ms, 2s or 1m, not '-3'",
     "see skua receive --help"},
    {"receive t --group g --invisible 0", "--invisible must be between 0.001s and 43200s, not '0'",
     "see skua receive --help"},
    {"pull t --queue x", "--queue must be a whole number, not 'x'", "see skua pull --help"},
    {"pull t --queue -1", "--queue must be between 0 and 1000000, not '-1'", "see skua pull --help"},
    {"pull t --queue 0 --offset middle",
     "--offset must be a number, beginning, end, or a time such as 2026-11-21T10:00:00Z, not 'middle'",
     "see skua pull --help"},
    {"pull t --queue 0 --offset -5",
     "--offset must be a number, beginning, end, or a time such as 2026-11-21T10:00:00Z, not '-5'",
     "see skua pull --help"},
    {"bench send --size big", "--size must be a size such as 512, 4KiB or 1MiB, not 'big'",
     "see skua bench send --help"},
    {"bench send --size 5MiB", "--size must be between 1 and 4194304, not '5MiB'",
     "see skua bench send --help"},
    {"bench send --in-flight 0", "--in-flight must be between 1 and 100000, not '0'",
     "see skua bench send --help"},
    {"bench receive --batch 33", "--batch must be between 1 and 32, not '33'",
     "see skua bench receive --help"},
    {"bench latency --rate 0", "--rate must be between 1 and 100000000, not '0'",
     "see skua bench latency --help"},
    {"dump d --from -1", "--from must be 0 or more, not '-1'", "see skua dump --help"},
    {"dev --listen 8081", "--listen must be HOST:PORT (port 0 picks a free one), not '8081'",
     "see skua dev --help"},
    {"dev --listen-tls maybe", "--listen-tls must be HOST:PORT or off, not 'maybe'",
     "see skua dev --help"},
    {"dev --flush never", "--flush must be one of sync|async, not 'never'", "see skua dev --help"},
    {"dev --set novalue", "--set must be NAME=VALUE, not 'novalue'", "see skua dev --help"},
    {"cluster --timeout 0", "--timeout must be between 0.001s and 3600s, not '0'",
     "see skua cluster --help"},
    /* what cannot be undone */
    {"topic delete t", "deleting topic t cannot be undone, and there is no terminal to ask on",
     "add --yes if you are sure"},
    {"group delete g", "deleting group g cannot be undone, and there is no terminal to ask on",
     "add --yes if you are sure"},
    /* clang-format on */
};

START_TEST(a_wrong_line_says_what_to_type)
{
    char want[1024];
    struct output o = type(wrong[_i].typed, NULL);
    snprintf(want, sizeof want, "skua: %s\n  %s\n", wrong[_i].message, wrong[_i].hint);
    ck_assert_msg(o.code == CLI_USAGE, "'%s': exit code %d: %s", wrong[_i].typed, o.code, o.err);
    ck_assert_msg(strcmp(o.err, want) == 0, "'%s' said\n%s\nnot\n%s", wrong[_i].typed, o.err, want);
    ck_assert_msg(o.out[0] == 0, "'%s' printed a result: %s", wrong[_i].typed, o.out);
    forget(&o);
}
END_TEST

START_TEST(an_error_in_json_is_json)
{
    struct output o = type("topic create t --queues 0 -o json", NULL);
    ck_assert_int_eq(o.code, CLI_USAGE);
    ck_assert_str_eq(
        o.err, "{\"error\":{\"exit\":2,\"code\":\"usage\",\"message\":\"--queues must be between "
               "1 and 65536, not '0'\",\"hint\":\"see skua topic create --help\"}}\n");
    forget(&o);
}
END_TEST

static const struct {
    const char *typed, *has;
} helps[] = {
    {"--help", "Begin with:"},
    {"-h", "Exit codes:"},
    {"help", "Commands:"},
    {"help help", "Commands:"},
    {"help topic", "skua topic VERB"},
    {"topic --help", "skua topic VERB"},
    {"help topic create", "skua topic create TOPIC [flags]"},
    {"topic create --help", "skua topic create orders"},
    {"topic create -h", "With -o json"},
    {"send t --help", "echo hello | skua send orders --file -"},
    {"send --body x --help", "skua send TOPIC [flags]"},
    {"bench latency --help", "coordinated omission"},
    {"dev --help", "one port above --listen"},
};

START_TEST(help_is_a_result)
{
    struct output o = type(helps[_i].typed, NULL);
    ck_assert_msg(o.code == CLI_OK, "'%s': exit code %d: %s", helps[_i].typed, o.code, o.err);
    ck_assert_msg(strstr(o.out, helps[_i].has), "'%s': no '%s' in\n%s", helps[_i].typed,
                  helps[_i].has, o.out);
    ck_assert_str_eq(o.err, "");
    forget(&o);
}
END_TEST

START_TEST(no_words_at_all_show_the_overview_as_an_error)
{
    struct output o = type("", NULL);
    ck_assert_int_eq(o.code, CLI_USAGE);
    ck_assert_ptr_nonnull(strstr(o.err, "Begin with:"));
    forget(&o);
}
END_TEST

/* Each row of the table has what help needs, and its examples are of itself. */
START_TEST(every_command_is_documented)
{
    const struct command *c = &cli_commands[_i];
    char name[64];
    cli_command_name(c, name, sizeof name);
    ck_assert_msg(c->summary && c->examples[0] && c->json && c->keys[0].key, "%s", name);
    for (size_t i = 0; i < CLI_EXAMPLES && c->examples[i]; i++)
        ck_assert_msg(strstr(c->examples[i], name), "%s: %s", name, c->examples[i]);
    for (size_t i = 0; i < CLI_FLAGS && c->flags[i].name; i++) {
        const struct flag *f = &c->flags[i];
        char why[160] = "";
        int64_t number;
        ck_assert_msg(f->help && (f->kind == FLAG_SWITCH || f->value), "%s --%s", name, f->name);
        ck_assert_msg(!f->fallback || cli_convert(f, f->fallback, &number, why, sizeof why),
                      "%s --%s: its default %s %s", name, f->name, f->fallback, why);
    }
}
END_TEST

static const struct {
    enum flag_kind kind;
    const char *text;
    int64_t number;
} values[] = {
    {FLAG_SECONDS, "5", 5000},
    {FLAG_SECONDS, "0.25", 250},
    {FLAG_SECONDS, "500ms", 500},
    {FLAG_SECONDS, "2m", 120000},
    {FLAG_SECONDS, "1h", 3600000},
    {FLAG_SIZE, "512", 512},
    {FLAG_SIZE, "4KiB", 4096},
    {FLAG_SIZE, "1.5MiB", 1572864},
    {FLAG_SIZE, "64B", 64},
    {FLAG_NUMBER, "17", 17},
    {FLAG_NUMBER, "-3", -3},
    {FLAG_OFFSET, "4711", 4711},
    {FLAG_OFFSET, "beginning", 0},
    {FLAG_OFFSET, "@5", 5000},
    {FLAG_OFFSET, "1970-01-02", 86400000},
    {FLAG_OFFSET, "2021-01-01T00:00:00Z", INT64_C(1609459200000)},
};

START_TEST(a_value_means_this_number)
{
    struct flag flag = {.name = "x", .kind = values[_i].kind, .min = -100, .max = INT64_MAX};
    int64_t number = -1;
    char why[160] = "";
    ck_assert_msg(cli_convert(&flag, values[_i].text, &number, why, sizeof why), "%s: %s",
                  values[_i].text, why);
    ck_assert_int_eq(number, values[_i].number);
}
END_TEST

START_TEST(flags_reach_the_command)
{
    ran = 0;
    struct output o =
        type("dev --listen=127.0.0.1:0 --flush async --set a=1 --set b=2 --listen-tls off", NULL);
    ck_assert_int_eq(o.code, CLI_OK);
    ck_assert_int_eq(ran, 1);
    ck_assert_str_eq(o.out, "127.0.0.1:0 async a=1 b=2");
    forget(&o);
    o = type("dev", NULL);
    ck_assert_str_eq(o.out, "127.0.0.1:8081 sync");
    forget(&o);
}
END_TEST

START_TEST(a_broken_variable_is_named)
{
    struct output o = type("topic list", "nonsense");
    ck_assert_int_eq(o.code, CLI_USAGE);
    ck_assert_str_eq(o.err,
                     "skua: NAMESRV_ADDR must be HOST:PORT, or several with commas between, not "
                     "'nonsense'\n  correct the variable, or give --namesrv HOST:PORT\n");
    forget(&o);
}
END_TEST

START_TEST(a_typed_name_server_wins_over_the_variable)
{
    /* Port 1 refuses: which address was tried is in the message. */
    struct output o = type("topic list --namesrv 127.0.0.1:1", "nonsense");
    ck_assert_int_eq(o.code, CLI_UNAVAILABLE);
    ck_assert_msg(strstr(o.err, "127.0.0.1:1"), "%s", o.err);
    forget(&o);
    o = type("topic list", "127.0.0.1:1;127.0.0.1:2");
    ck_assert_int_eq(o.code, CLI_UNAVAILABLE);
    ck_assert_msg(strstr(o.err, "start a broker here: skua dev"), "%s", o.err);
    forget(&o);
}
END_TEST

START_TEST(what_follows_two_dashes_is_no_flag)
{
    struct output o = type("topic create -- --queues", NULL);
    ck_assert_int_eq(o.code, CLI_UNAVAILABLE); /* a legal name: it went on to connect */
    forget(&o);
}
END_TEST

START_TEST(version_is_said)
{
    struct output o = type("version -o json", NULL);
    ck_assert_int_eq(o.code, CLI_OK);
    ck_assert_str_eq(o.out,
                     "{\"version\":\"" SKUA_VERSION "\",\"protocol\":\"apache.rocketmq.v2\"}\n");
    forget(&o);
    o = type("--version", NULL);
    ck_assert_str_eq(o.out, "skua " SKUA_VERSION ", speaks apache.rocketmq.v2\n");
    forget(&o);
}
END_TEST

/* docs/cli.md is what the table says; to renew it: skua help --markdown >docs/cli.md */
START_TEST(the_documentation_is_the_table)
{
    struct output o = type("help --markdown", NULL);
    FILE *f = fopen(SKUA_SOURCE_DIR "/docs/cli.md", "r");
    ck_assert_ptr_nonnull(f);
    size_t len = strlen(o.out);
    char *kept = calloc(1, len + 2);
    size_t n = fread(kept, 1, len + 1, f);
    fclose(f);
    ck_assert_msg(n == len && strcmp(kept, o.out) == 0,
                  "docs/cli.md is out of date: skua help --markdown >docs/cli.md");
    free(kept);
    forget(&o);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clients/parse");
    TCase *tc = tcase_create("parse");
    tcase_add_loop_test(tc, a_wrong_line_says_what_to_type, 0, sizeof wrong / sizeof wrong[0]);
    tcase_add_loop_test(tc, help_is_a_result, 0, sizeof helps / sizeof helps[0]);
    tcase_add_loop_test(tc, every_command_is_documented, 0, (int)cli_command_count);
    tcase_add_loop_test(tc, a_value_means_this_number, 0, sizeof values / sizeof values[0]);
    tcase_add_test(tc, an_error_in_json_is_json);
    tcase_add_test(tc, no_words_at_all_show_the_overview_as_an_error);
    tcase_add_test(tc, flags_reach_the_command);
    tcase_add_test(tc, a_broken_variable_is_named);
    tcase_add_test(tc, a_typed_name_server_wins_over_the_variable);
    tcase_add_test(tc, what_follows_two_dashes_is_no_flag);
    tcase_add_test(tc, version_is_said);
    tcase_add_test(tc, the_documentation_is_the_table);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
