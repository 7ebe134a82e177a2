/* parse.c - from what was typed to a struct cli, or to what should have been typed.
 *
 *     skua topic create orders --queues 4 -o json
 *          noun  verb   argument flag...
 *
 * Every mistake ends in one sentence that says what is wrong, and one that says
 * what to type next; exit code 2. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "cli.h"

enum { WORD_MAX = 40 };

/* --- the flags of one command ---------------------------------------------------------- */

static size_t flag_lists(const struct command *command, const struct flag *lists[3])
{
    size_t n = 0;
    if (command) lists[n++] = command->flags;
    if (!command || command->connects) lists[n++] = cli_connection_flags;
    lists[n++] = cli_common_flags;
    return n;
}

static void allocate_values(struct cli *cli)
{
    const struct flag *lists[3];
    size_t list_count = flag_lists(cli->command, lists), total = 0;
    cli->values = sk_zalloc(CLI_FLAGS + 16, sizeof *cli->values);
    for (size_t i = 0; i < list_count; i++)
        for (size_t j = 0; lists[i][j].name && (lists[i] != cli->command->flags || j < CLI_FLAGS);
             j++)
            cli->values[total++].flag = &lists[i][j];
    cli->value_count = total;
}

static struct cli_values *find_values(const struct cli *cli, const char *name, size_t len)
{
    for (size_t i = 0; i < cli->value_count; i++)
        if (strlen(cli->values[i].flag->name) == len &&
            strncmp(cli->values[i].flag->name, name, len) == 0)
            return &cli->values[i];
    return NULL;
}

static struct cli_values *find_letter(const struct cli *cli, char letter)
{
    for (size_t i = 0; i < cli->value_count; i++)
        if (cli->values[i].flag->letter && cli->values[i].flag->letter == letter)
            return &cli->values[i];
    return NULL;
}

const struct cli_values *cli_all(const struct cli *cli, const char *flag)
{
    struct cli_values *v = find_values(cli, flag, strlen(flag));
    sk_assert(v != NULL);
    return v;
}

bool cli_has(const struct cli *cli, const char *flag)
{
    return cli_all(cli, flag)->count > 0;
}

const char *cli_text(const struct cli *cli, const char *flag)
{
    const struct cli_values *v = cli_all(cli, flag);
    return v->count ? v->items[v->count - 1].text : v->flag->fallback;
}

int64_t cli_number(const struct cli *cli, const char *flag)
{
    const struct cli_values *v = cli_all(cli, flag);
    if (v->count) return v->items[v->count - 1].number;
    int64_t number = 0;
    char why[8];
    if (v->flag->fallback) {
        bool ok = cli_convert(v->flag, v->flag->fallback, &number, why, sizeof why);
        sk_assert(ok);
    }
    return number;
}

static void add_value(struct cli_values *v, const char *text, int64_t number)
{
    v->items = sk_realloc(v->items, v->count + 1, sizeof *v->items);
    v->items[v->count++] = (struct cli_value){text, number};
}

static int wrong_value(struct cli *cli, const struct flag *flag, const char *prefix,
                       const char *text, const char *why)
{
    char name[64], hint[128];
    cli_command_name(cli->command, name, sizeof name);
    snprintf(hint, sizeof hint, "see %s --help", name);
    return cli_error(cli, CLI_USAGE, hint, "%s%s %s, not '%s'", prefix, flag->name, why, text);
}

static int set_value(struct cli *cli, struct cli_values *v, const char *text, const char *origin)
{
    char why[160];
    int64_t number;
    if (!cli_convert(v->flag, text, &number, why, sizeof why)) {
        if (origin)
            return cli_error(cli, CLI_USAGE, "correct the variable, or give --namesrv HOST:PORT",
                             "%s %s, not '%s'", origin, why, text);
        return wrong_value(cli, v->flag, "--", text, why);
    }
    if (v->count && !v->flag->repeat && !origin)
        return cli_error(cli, CLI_USAGE, "give it once", "--%s was given twice", v->flag->name);
    add_value(v, text, number);
    return CLI_RUN;
}

static int unknown_flag(struct cli *cli, const char *typed)
{
    const char *words[CLI_FLAGS + 16];
    char bare[WORD_MAX], name[64], hint[160];
    size_t len = strcspn(typed, "=");
    snprintf(bare, sizeof bare, "%.*s", (int)(len < WORD_MAX ? len : WORD_MAX - 1), typed);
    const char *dashless = bare + strspn(bare, "-");
    for (size_t i = 0; i < cli->value_count; i++) words[i] = cli->values[i].flag->name;

    const char *meant = cli_did_you_mean(dashless, words, cli->value_count);
    cli_command_name(cli->command, name, sizeof name);
    if (meant)
        snprintf(hint, sizeof hint, "did you mean --%s?", meant);
    else
        snprintf(hint, sizeof hint, "%s --help lists its flags", name);
    return cli_error(cli, CLI_USAGE, hint, "%s has no flag %s", name, bare);
}

/* argv[*at] begins with a dash. */
static int parse_flag(struct cli *cli, int argc, const char *const *argv, int *at)
{
    const char *typed = argv[*at];
    const char *equals = strchr(typed, '=');
    struct cli_values *v = NULL;

    if (typed[1] == '-')
        v = find_values(cli, typed + 2, equals ? (size_t)(equals - typed - 2) : strlen(typed + 2));
    else if (typed[1] && (typed[2] == 0 || typed[2] == '='))
        v = find_letter(cli, typed[1]);
    if (!v) return unknown_flag(cli, typed);

    if (v->flag->kind == FLAG_SWITCH) {
        if (equals)
            return cli_error(cli, CLI_USAGE, "leave out the = and what follows",
                             "--%s takes no value", v->flag->name);
        add_value(v, "", 1);
        return CLI_RUN;
    }
    if (equals) return set_value(cli, v, equals + 1, NULL);
    if (*at + 1 >= argc) {
        char hint[160];
        snprintf(hint, sizeof hint, "--%s %s: %s", v->flag->name, v->flag->value, v->flag->help);
        return cli_error(cli, CLI_USAGE, hint, "--%s needs a value", v->flag->name);
    }
    return set_value(cli, v, argv[++*at], NULL);
}

/* --- arguments ------------------------------------------------------------------------- */

static int add_argument(struct cli *cli, size_t *count, const char *text)
{
    const struct argument *a = &cli->command->arguments[*count];
    char name[64], hint[160], why[160];
    cli_command_name(cli->command, name, sizeof name);
    if (!a->name) {
        snprintf(hint, sizeof hint, "quote values with spaces in them; see %s --help", name);
        return cli_error(cli, CLI_USAGE, hint, "%s does not know what to do with '%s'", name, text);
    }
    struct flag as_flag = {.name = a->name, .kind = a->kind};
    int64_t number;
    if (!cli_convert(&as_flag, text, &number, why, sizeof why))
        return wrong_value(cli, &as_flag, "", text, why);
    cli->arguments[(*count)++] = text;
    return CLI_RUN;
}

static int check_complete(struct cli *cli, size_t arguments)
{
    char name[64], hint[256];
    const struct command *c = cli->command;
    cli_command_name(c, name, sizeof name);
    const struct argument *missing = &c->arguments[arguments];
    if (missing->name && !missing->optional) {
        snprintf(hint, sizeof hint, "for example: %s", c->examples[0]);
        return cli_error(cli, CLI_USAGE, hint, "%s needs %s, %s", name, missing->name,
                         missing->help);
    }
    for (size_t i = 0; i < cli->value_count; i++) {
        const struct flag *f = cli->values[i].flag;
        if (!f->required || cli->values[i].count) continue;
        snprintf(hint, sizeof hint, "for example: %s", c->examples[0]);
        return cli_error(cli, CLI_USAGE, hint, "%s needs --%s %s", name, f->name, f->value);
    }
    return CLI_RUN;
}

/* --- which command --------------------------------------------------------------------- */

static bool noun_has_verbs(const char *noun)
{
    for (size_t i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i].noun, noun) == 0 && cli_commands[i].verb) return true;
    return false;
}

static const struct command *find_command(const char *noun, const char *verb)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct command *c = &cli_commands[i];
        if (strcmp(c->noun, noun) != 0) continue;
        if (!c->verb || (verb && strcmp(c->verb, verb) == 0)) return c;
    }
    return NULL;
}

static int unknown_noun(struct cli *cli, const char *typed)
{
    const char *words[32];
    size_t count = 0;
    for (size_t i = 0; i < cli_noun_count; i++) words[count++] = cli_nouns[i].name;
    const char *meant = cli_suggest(typed, words, count);
    char hint[128] = "skua --help lists the commands";
    if (meant) snprintf(hint, sizeof hint, "did you mean: skua %s?", meant);
    return cli_error(cli, CLI_USAGE, hint, "there is no command '%s'", typed);
}

static int unknown_verb(struct cli *cli, const char *noun, const char *typed)
{
    const char *words[32];
    size_t count = 0;
    char hint[160] = "", list[96] = "";
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strcmp(cli_commands[i].noun, noun) != 0) continue;
        words[count++] = cli_commands[i].verb;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", *list ? "|" : "",
                 cli_commands[i].verb);
    }
    if (!typed) {
        snprintf(hint, sizeof hint, "type: skua %s %s", noun, list);
        return cli_error(cli, CLI_USAGE, hint, "skua %s needs a verb", noun);
    }
    const char *meant = cli_suggest(typed, words, count);
    if (meant && !strchr(meant, ' '))
        snprintf(hint, sizeof hint, "did you mean: skua %s %s?", noun, meant);
    else
        snprintf(hint, sizeof hint, "type: skua %s %s", noun, list);
    return cli_error(cli, CLI_USAGE, hint, "there is no command '%s %s'", noun, typed);
}

static bool is_help(const char *text)
{
    return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0;
}

/* skua help [NOUN [VERB]], and --markdown, from which docs/cli.md is made. */
static int help(struct cli *cli, int argc, const char *const *argv)
{
    if (argc > 0 && strcmp(argv[0], "--markdown") == 0) {
        cli_help_markdown(cli->out);
        return CLI_OK;
    }
    if (argc == 0 || strcmp(argv[0], "help") == 0 || is_help(argv[0])) {
        cli_help_overview(cli->out);
        return CLI_OK;
    }
    const struct command *c = find_command(argv[0], argc > 1 ? argv[1] : NULL);
    if (c)
        cli_help_command(cli->out, c);
    else if (!noun_has_verbs(argv[0]))
        return unknown_noun(cli, argv[0]);
    else if (argc > 1)
        return unknown_verb(cli, argv[0], argv[1]);
    else
        cli_help_noun(cli->out, argv[0]);
    return CLI_OK;
}

/* Errors in JSON are wanted even if what comes before -o is wrong. */
static bool wants_json(int argc, const char *const *argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "-o=json") == 0 || strcmp(argv[i], "--output=json") == 0) return true;
        if ((strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "--output") == 0) &&
            strcmp(next, "json") == 0)
            return true;
    }
    return false;
}

static int parse_words(struct cli *cli, int argc, const char *const *argv, int at)
{
    size_t arguments = 0;
    bool only_arguments = false;
    for (; at < argc; at++) {
        int result;
        if (!only_arguments && strcmp(argv[at], "--") == 0) {
            only_arguments = true;
            continue;
        }
        if (!only_arguments && argv[at][0] == '-' && argv[at][1])
            result = parse_flag(cli, argc, argv, &at);
        else
            result = add_argument(cli, &arguments, argv[at]);
        if (result != CLI_RUN) return result;
    }
    if (cli_has(cli, "help")) {
        cli_help_command(cli->out, cli->command);
        return CLI_OK;
    }
    return check_complete(cli, arguments);
}

int cli_parse(struct cli *cli, int argc, const char *const *argv, const char *env_servers)
{
    cli->json = wants_json(argc, argv);
    if (argc < 2) {
        cli_help_overview(cli->err);
        return CLI_USAGE;
    }
    const char *noun = argv[1], *verb = argc > 2 ? argv[2] : NULL;
    if (is_help(noun) || strcmp(noun, "help") == 0) return help(cli, argc - 2, argv + 2);
    if (strcmp(noun, "--version") == 0) noun = "version";
    if (noun[0] == '-')
        return cli_error(cli, CLI_USAGE,
                         "flags come after the command: skua topic list --namesrv HOST:PORT",
                         "'%s' is not a command", noun);
    if (verb && is_help(verb)) return help(cli, 1, argv + 1);

    cli->command = find_command(noun, verb);
    if (!cli->command)
        return noun_has_verbs(noun) ? unknown_verb(cli, noun, verb) : unknown_noun(cli, noun);

    allocate_values(cli);
    int result = parse_words(cli, argc, argv, cli->command->verb ? 3 : 2);
    struct cli_values *servers = find_values(cli, "namesrv", strlen("namesrv"));
    if (result == CLI_RUN && servers->count == 0 && env_servers && *env_servers)
        result = set_value(cli, servers, env_servers, "NAMESRV_ADDR");
    return result;
}

void cli_done(struct cli *cli)
{
    for (size_t i = 0; i < cli->value_count; i++) free(cli->values[i].items);
    free(cli->values);
    cli->values = NULL;
    cli->value_count = 0;
}
