/* cli.h - the command line as data.
 *
 *      commands.c: one table ──► parse.c   what was typed → struct cli, or what to type instead
 *                            ├─► help.c    --help at every level, docs/cli.md
 *                            └─► cmd_*.c   what each command does
 *
 * A command is a row: noun, verb, arguments, flags, examples, the JSON keys of
 * its output. Nothing about a command is written anywhere else, so its help,
 * its documentation and its parser cannot differ.
 *
 * Results go to `out`, everything else to `err`. Exit codes: see enum cli_exit.
 *
 * Threads: one; the commands block. */
#ifndef SKUA_CLI_H
#define SKUA_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "skua/client.h"

#define CLI_EXIT_CODES(X)                                                                          \
    X(CLI_OK, 0, "ok", "it worked")                                                                \
    X(CLI_FAILURE, 1, "failure", "it did not work; the message says why")                          \
    X(CLI_USAGE, 2, "usage", "the command was typed wrong; the message says what to type instead") \
    X(CLI_NOT_FOUND, 3, "not_found", "no such topic, group, queue, broker or directory")           \
    X(CLI_UNAVAILABLE, 4, "unavailable", "no name server or broker could be reached")              \
    X(CLI_TIMEOUT, 5, "timeout", "no answer in time; the outcome is unknown")

enum cli_exit {
#define X(name, number, word, text) name = number,
    CLI_EXIT_CODES(X)
#undef X
};

/* --- the table ------------------------------------------------------------------------- */

enum flag_kind {
    FLAG_SWITCH,  /* no value */
    FLAG_TEXT,    /* any text */
    FLAG_NAME,    /* a topic's or group's name: letters, digits, _ - % | */
    FLAG_NUMBER,  /* an integer in [min, max] */
    FLAG_SECONDS, /* 5, 0.25, 500ms, 2s, 1m; .number is milliseconds, min and max too */
    FLAG_SIZE,    /* 512, 64B, 4KiB, 1MiB; .number is bytes */
    FLAG_CHOICE,  /* one of `choices`; .number is its place */
    FLAG_PAIR,    /* NAME=VALUE */
    FLAG_SERVERS, /* HOST:PORT[,HOST:PORT…] */
    FLAG_ADDRESS, /* HOST:PORT; port 0 is allowed */
    FLAG_LISTEN,  /* an ADDRESS, or off */
    FLAG_OFFSET,  /* an offset, beginning, end, or a time: 2026-11-21T10:00:00Z, @SECONDS */
};

struct flag {
    const char *name; /* without the dashes */
    char letter;      /* the short form, or 0 */
    enum flag_kind kind;
    const char *value;    /* what help calls the value: "TEXT" */
    const char *help;     /* one line, no full stop */
    const char *fallback; /* the default, as it would be typed; NULL: none */
    int64_t min, max;     /* NUMBER, SECONDS, SIZE */
    const char *choices;  /* CHOICE: "table|json" */
    bool repeat;          /* may be given several times */
    bool required;
};

struct argument {
    const char *name; /* "TOPIC"; NULL ends the list */
    enum flag_kind kind;
    bool optional;
    const char *help;
};

struct json_key {
    const char *key; /* NULL ends the list */
    const char *help;
};

struct cli;
typedef int command_fn(struct cli *cli);

enum { CLI_ARGUMENTS = 2, CLI_FLAGS = 16, CLI_EXAMPLES = 5, CLI_KEYS = 24 };

struct command {
    const char *noun; /* "topic", or the whole command: "send" */
    const char *verb; /* "create", or NULL */
    const char *summary;
    const char *detail; /* paragraphs for help; may be NULL */
    bool connects;      /* takes the flags about the connection */
    struct argument arguments[CLI_ARGUMENTS + 1];
    struct flag flags[CLI_FLAGS];
    const char *examples[CLI_EXAMPLES];
    const char *json; /* what -o json prints: "one object per message (JSON Lines)" */
    struct json_key keys[CLI_KEYS];
    command_fn *run; /* NULL: struct cli_hooks has it */
};

extern const struct command cli_commands[];
extern const size_t cli_command_count;

/* Flags of every command, and those of commands that connect. The name NULL ends a list. */
extern const struct flag cli_common_flags[];
extern const struct flag cli_connection_flags[];

/* What the nouns are for, in the order of the overview. */
struct cli_noun {
    const char *name, *summary;
};
extern const struct cli_noun cli_nouns[];
extern const size_t cli_noun_count;

/* --- one invocation -------------------------------------------------------------------- */

/* What another room has to give: `skua dev` holds servers, and the client must not. */
struct cli_hooks {
    command_fn *dev;
};

struct cli_value {
    const char *text; /* as typed; borrowed from argv or the table */
    int64_t number;
};

struct cli_values {
    const struct flag *flag;
    struct cli_value *items;
    size_t count;
};

struct cli {
    const struct command *command;
    const char *arguments[CLI_ARGUMENTS];
    struct cli_values *values;
    size_t value_count;
    bool json;
    FILE *in, *out, *err;
    const struct cli_hooks *hooks;
};

/* Everything: parse, run, clean up. Returns the exit code. `env_servers` is NAMESRV_ADDR's
 * value or NULL. */
int cli_main(int argc, const char *const *argv, const char *env_servers,
             const struct cli_hooks *hooks, FILE *in, FILE *out, FILE *err);

/* Was the flag typed (or given by the environment)? */
bool cli_has(const struct cli *cli, const char *flag);
/* The (last) value, or the default, or NULL and 0. Asking for a flag that the command does not
 * have is a bug and aborts. */
const char *cli_text(const struct cli *cli, const char *flag);
int64_t cli_number(const struct cli *cli, const char *flag);
const struct cli_values *cli_all(const struct cli *cli, const char *flag);

/* --- saying what went wrong ------------------------------------------------------------ */

/* Print an error and its hint ("what to type next") on `err`, as text or JSON; return `code`.
 * `hint` may be NULL. */
int cli_error(struct cli *cli, enum cli_exit code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for a failed call; the hint comes from the code and the command, unless given. */
int cli_fail(struct cli *cli, struct skua_status status, const char *hint);

/* "skua topic create" */
const char *cli_command_name(const struct command *command, char *buffer, size_t room);

/* A note that is neither result nor error ("no message within 5 s"); only for people. */
void cli_note(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- parse.c --------------------------------------------------------------------------- */

/* 0..: go on with cli->command; CLI_HELP: help was printed. Errors were printed. */
enum { CLI_RUN = -1 };
int cli_parse(struct cli *cli, int argc, const char *const *argv, const char *env_servers);
void cli_done(struct cli *cli);

/* --- value.c --------------------------------------------------------------------------- */

/* Check and convert one value; false with a sentence in `why`. */
bool cli_convert(const struct flag *flag, const char *text, int64_t *number, char *why,
                 size_t room);

/* "12", "beginning", a time: what FLAG_OFFSET's .number means. */
enum offset_form { OFFSET_NUMBER, OFFSET_BEGINNING, OFFSET_END, OFFSET_TIME };
enum offset_form cli_offset_form(const char *text);

/* --- suggest.c ------------------------------------------------------------------------- */

/* The closest of the words, or NULL when none is close. */
const char *cli_did_you_mean(const char *typed, const char *const *words, size_t count);
/* The same, after what other tools call it: "ls" means list; may be two words: "topic list". */
const char *cli_suggest(const char *typed, const char *const *words, size_t count);

/* --- help.c ---------------------------------------------------------------------------- */

void cli_help_overview(FILE *out);
void cli_help_noun(FILE *out, const char *noun);
void cli_help_command(FILE *out, const struct command *command);
void cli_help_markdown(FILE *out);

/* --- the commands, one per row --------------------------------------------------------- */

command_fn cmd_topic_create, cmd_topic_list, cmd_topic_describe, cmd_topic_delete;
command_fn cmd_group_create, cmd_group_list, cmd_group_describe, cmd_group_delete;
command_fn cmd_send, cmd_receive, cmd_pull, cmd_route, cmd_cluster;
command_fn cmd_bench_send, cmd_bench_receive, cmd_bench_latency;
command_fn cmd_verify, cmd_dump, cmd_version;

#endif
