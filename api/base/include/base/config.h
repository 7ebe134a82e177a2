/* config.h - every setting of a program, from one table.
 *
 *      config.def ──► struct fields, parser, --help, --print-config,
 *                     docs/configuration.md, environment names
 *
 * A program writes its settings once, in a config.def:
 *
 *     SK_SECTION("Registration")
 *     SK_SETTING(heartbeat_interval, DURATION, "30s", "1s..10m", "", STARTUP, "How often …")
 *
 * and takes from it a struct and a table:
 *
 *     struct broker_config {
 *     #define SK_SECTION(title)
 *     #define SK_SETTING(...) SK_CONFIG_FIELD(__VA_ARGS__)
 *     #include "broker/config.def"
 *     };
 *     static const struct sk_setting settings[] = {
 *     #define SK_SECTION(title) SK_CONFIG_SECTION(title)
 *     #define SK_SETTING(...) SK_CONFIG_ROW(struct broker_config, __VA_ARGS__)
 *     #include "broker/config.def"
 *     };
 *
 * (config.def undefines both macros at its end.) Columns: name, kind, default, limits,
 * unit (of INT, for people), STARTUP or RELOAD, one sentence of help.
 *
 *     kind      field                     limits               a value looks like
 *     BOOL      bool NAME                 ""                   true, false, on, off, yes, no
 *     INT       int64_t NAME              "1..100"             17
 *     SIZE      uint64_t NAME_bytes       "1MiB..4GiB"         64KiB, 1GiB, 512 (bytes)
 *     DURATION  uint64_t NAME_ms          "100ms..1h"          500ms, 10s, 2m, 12h, 3d
 *     TEXT      const char *NAME          "1..127" characters  anything
 *     CHOICE    int NAME                  "sync|async"         its place in the list, from 0
 *     ADDRESS   const char *NAME          ""                   HOST:PORT, [v6]:PORT, :PORT; ""
 *     HOSTS     struct sk_hosts NAME      ""                   HOST:PORT[,HOST:PORT…]; ""
 *
 * A value may come from four places; the first of these wins: a flag (--NAME VALUE,
 * --NAME=VALUE, --set NAME=VALUE; bools also --NAME and --no-NAME), the environment
 * (SKUA_NAME), the file (--config FILE.yaml; nested keys are joined by "_", so that
 * `heartbeat: {interval: 30s}` is heartbeat_interval), the default. "-" and "." in a
 * name count as "_". Every error says what was wrong, where, and what would be right.
 *
 * Threads: one at a time. */
#ifndef SK_BASE_CONFIG_H
#define SK_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

enum sk_setting_kind {
    SK_KIND_BOOL,
    SK_KIND_INT,
    SK_KIND_SIZE,
    SK_KIND_DURATION,
    SK_KIND_TEXT,
    SK_KIND_CHOICE,
    SK_KIND_ADDRESS,
    SK_KIND_HOSTS,
};

/* When a change takes effect: at the next start, or also on SIGHUP. */
enum sk_setting_when { SK_WHEN_STARTUP, SK_WHEN_RELOAD };

struct sk_hosts {
    const char *const *items; /* "HOST:PORT" each, borrowed from the sk_config */
    size_t count;
};

struct sk_setting {
    const char *section; /* a heading; all else is unset then */
    const char *name;
    enum sk_setting_kind kind;
    const char *fallback; /* the default, as a person would write it */
    const char *limits;
    const char *unit;
    enum sk_setting_when when;
    const char *help;
    size_t offset; /* of the field */
};

struct sk_program {
    const char *name;    /* "skua-namesrv" */
    const char *summary; /* one sentence for --help */
    const struct sk_setting *settings;
    size_t count;
    size_t values_bytes; /* sizeof the struct */
    /* Rules between settings; may be NULL. Called once all values are in. */
    struct sk_status (*check)(const void *values);
};

typedef struct sk_config sk_config;

/* Put every default into *values, a struct whose fields the table describes. Texts in
 * it live as long as the sk_config. A default that its own limits refuse is a bug
 * in the table (asserted). */
sk_config *sk_config_new(const struct sk_program *program, void *values);
void sk_config_free(sk_config *config); /* NULL is fine */
void sk_config_free_p(sk_config **config);

/* Where a value came from; a later one in this list wins over an earlier one. */
enum sk_origin { SK_FROM_DEFAULT, SK_FROM_FILE, SK_FROM_ENVIRONMENT, SK_FROM_FLAG };

bool sk_config_knows(const struct sk_program *program, const char *name);

/* Set one value. It is checked even if a stronger origin has set it already, and then
 * dropped. */
SK_CHECKED struct sk_status sk_config_set(sk_config *config, const char *name, const char *value,
                                          enum sk_origin origin);

/* Read a YAML file (at most 1 MiB). Errors name file and line. */
SK_CHECKED struct sk_status sk_config_read_file(sk_config *config, const char *path);

/* Take SKUA_NAME of every setting out of environ-like "NAME=VALUE" strings. Others are
 * not looked at (Kubernetes sets some that begin with SKUA_ too). */
SK_CHECKED struct sk_status sk_config_read_environment(sk_config *config,
                                                       const char *const *environment);

/* What the command line asked for. */
enum sk_config_request {
    SK_CONFIG_RUN,
    SK_CONFIG_HELP,     /* --help, -h */
    SK_CONFIG_VERSION,  /* --version */
    SK_CONFIG_CHECK,    /* --check-config: say whether all is well and end */
    SK_CONFIG_PRINT,    /* --print-config */
    SK_CONFIG_DOCS,     /* --print-config-docs */
};

/* Everything in one: command line, then the file it names (or SKUA_CONFIG), environment,
 * and the program's check. `environment` may be NULL for none. */
SK_CHECKED struct sk_status sk_config_load(sk_config *config, int argc, const char *const *argv,
                                           const char *const *environment,
                                           enum sk_config_request *request);

/* The file that was read, or NULL. */
const char *sk_config_file(const sk_config *config);

/* The value in force as it was written (borrowed until it is set anew), and its origin:
 * "default", "file skua.yaml:3", "environment SKUA_LISTEN", "flag --listen" (the caller
 * frees it). NULL for an unknown name. */
const char *sk_config_text(const sk_config *config, const char *name);
char *sk_config_origin(const sk_config *config, const char *name);

/* Read the file again, and take over what changed in settings marked RELOAD; flags and
 * environment still win. Calls changed(arg, name, applied) for each setting whose value in
 * the file now differs; applied is false for those that wait for a restart. On an error
 * nothing changed. */
typedef void sk_config_changed_fn(void *arg, const char *name, bool applied);
SK_CHECKED struct sk_status sk_config_reread(sk_config *config, sk_config_changed_fn *changed,
                                             void *arg);

void sk_config_print_help(const struct sk_program *program, FILE *out);
/* One line each: name = value, and its origin. */
void sk_config_print(const sk_config *config, FILE *out);
/* The program's part of docs/configuration.md. */
void sk_config_print_docs(const struct sk_program *program, FILE *out);

/* --- the macros that turn a config.def into a struct and a table ---------------------- */

#define SK_CONFIG_FIELD(name, kind, ...) SK_CONFIG_FIELD_##kind(name);
#define SK_CONFIG_SECTION(title_) {.section = (title_)},
#define SK_CONFIG_ROW(type_, name_, kind_, fallback_, limits_, unit_, when_, help_)                \
    {.name = #name_,                                                                               \
     .kind = SK_KIND_##kind_,                                                                      \
     .fallback = (fallback_),                                                                      \
     .limits = (limits_),                                                                          \
     .unit = (unit_),                                                                              \
     .when = SK_WHEN_##when_,                                                                      \
     .help = (help_),                                                                              \
     .offset = offsetof(type_, SK_CONFIG_NAME_##kind_(name_))},

#define SK_CONFIG_FIELD_BOOL(name) bool name
#define SK_CONFIG_FIELD_INT(name) int64_t name
#define SK_CONFIG_FIELD_SIZE(name) uint64_t name##_bytes
#define SK_CONFIG_FIELD_DURATION(name) uint64_t name##_ms
#define SK_CONFIG_FIELD_TEXT(name) const char *name
#define SK_CONFIG_FIELD_CHOICE(name) int name
#define SK_CONFIG_FIELD_ADDRESS(name) const char *name
#define SK_CONFIG_FIELD_HOSTS(name) struct sk_hosts name

#define SK_CONFIG_NAME_BOOL(name) name
#define SK_CONFIG_NAME_INT(name) name
#define SK_CONFIG_NAME_SIZE(name) name##_bytes
#define SK_CONFIG_NAME_DURATION(name) name##_ms
#define SK_CONFIG_NAME_TEXT(name) name
#define SK_CONFIG_NAME_CHOICE(name) name
#define SK_CONFIG_NAME_ADDRESS(name) name
#define SK_CONFIG_NAME_HOSTS(name) name

#endif
