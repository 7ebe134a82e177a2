/* config_load.c - where settings are read from, in which order, at the start and again later. */
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/memory.h"
#include "config_value.h"

/* --- environment ----------------------------------------------------------------------------- */

struct sk_status sk_config_read_environment(sk_config *config, const char *const *environment)
{
    for (const char *const *e = environment; e && *e; e++) {
        const char *equals = strchr(*e, '=');
        if (strncmp(*e, "SKUA_", 5) != 0 || !equals || equals - *e > 5 + 63) continue;
        char name[64] = "";
        memcpy(name, *e + 5, (size_t)(equals - *e) - 5);
        if (sk_config_knows(sk_config_program(config), name))
            SK_TRY(sk_config_set(config, name, equals + 1, SK_FROM_ENVIRONMENT));
    }
    return SK_SUCCESS;
}

/* --- command line ---------------------------------------------------------------------------- */

struct arguments {
    int argc;
    const char *const *argv;
    int at;
};

static struct sk_status next_value(struct arguments *a, const char *option, const char **out)
{
    if (a->at + 1 >= a->argc) return sk_error(SK_INVALID, "%.80s needs a value", option);
    *out = a->argv[++a->at];
    return SK_SUCCESS;
}

static struct sk_status set_pair(sk_config *config, const char *pair)
{
    const char *equals = strchr(pair, '=');
    char name[64] = "";
    if (!equals || equals == pair || equals - pair > 63)
        return sk_error(SK_INVALID, "--set %.80s: write --set NAME=VALUE", pair);
    memcpy(name, pair, (size_t)(equals - pair));
    if (!sk_config_knows(sk_config_program(config), name))
        return sk_config_unknown(sk_config_program(config), "--set", name);
    return sk_config_set(config, name, equals + 1, SK_FROM_FLAG);
}

static bool is_bool_word(const char *text)
{
    struct sk_value v;
    return text && sk_ok(sk_value_parse(&(struct sk_setting){.kind = SK_KIND_BOOL}, text, &v));
}

/* --NAME VALUE, --NAME=VALUE; --NAME and --no-NAME of a bool. */
static struct sk_status set_option(sk_config *config, struct arguments *a)
{
    const char *option = a->argv[a->at], *equals = strchr(option, '='), *value = NULL;
    char name[64] = "";
    size_t len = equals ? (size_t)(equals - option) - 2 : strlen(option) - 2;
    if (len > 63) return sk_error(SK_INVALID, "unknown option %.80s", option);
    memcpy(name, option + 2, len);
    const struct sk_setting *s = sk_setting_find(sk_config_program(config), name);
    if (!s && !equals && strncmp(name, "no-", 3) == 0) {
        s = sk_setting_find(sk_config_program(config), name + 3);
        if (s && s->kind == SK_KIND_BOOL)
            return sk_config_set(config, s->name, "false", SK_FROM_FLAG);
        s = NULL;
    }
    if (!s) return sk_config_unknown(sk_config_program(config), "command line", name);
    if (equals) return sk_config_set(config, s->name, equals + 1, SK_FROM_FLAG);
    if (s->kind == SK_KIND_BOOL && !(a->at + 1 < a->argc && is_bool_word(a->argv[a->at + 1])))
        return sk_config_set(config, s->name, "true", SK_FROM_FLAG);
    SK_TRY(next_value(a, option, &value));
    return sk_config_set(config, s->name, value, SK_FROM_FLAG);
}

static bool request_of(const char *option, enum sk_config_request *request)
{
    static const struct {
        const char *option;
        enum sk_config_request request;
    } rows[] = {
        {"--help", SK_CONFIG_HELP},          {"-h", SK_CONFIG_HELP},
        {"--version", SK_CONFIG_VERSION},    {"--check-config", SK_CONFIG_CHECK},
        {"--print-config", SK_CONFIG_PRINT}, {"--print-config-docs", SK_CONFIG_DOCS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(option, rows[i].option) != 0) continue;
        *request = rows[i].request;
        return true;
    }
    return false;
}

static struct sk_status read_arguments(sk_config *config, struct arguments *a,
                                       enum sk_config_request *request, const char **file)
{
    for (; a->at < a->argc; a->at++) {
        const char *option = a->argv[a->at], *pair = NULL;
        if (request_of(option, request)) continue;
        if (strcmp(option, "--config") == 0) {
            SK_TRY(next_value(a, option, file));
        } else if (strncmp(option, "--config=", 9) == 0) {
            *file = option + 9;
        } else if (strcmp(option, "--set") == 0) {
            SK_TRY(next_value(a, option, &pair));
            SK_TRY(set_pair(config, pair));
        } else if (strncmp(option, "--", 2) == 0 && option[2]) {
            SK_TRY(set_option(config, a));
        } else {
            return sk_error(SK_INVALID, "unexpected argument '%.80s'; %s --help shows the options",
                            option, sk_config_program(config)->name);
        }
    }
    return SK_SUCCESS;
}

/* --- all of them ----------------------------------------------------------------------------- */

static const char *file_in_environment(const char *const *environment)
{
    for (const char *const *e = environment; e && *e; e++)
        if (strncmp(*e, "SKUA_CONFIG=", 12) == 0 && (*e)[12]) return *e + 12;
    return NULL;
}

struct sk_status sk_config_load(sk_config *config, int argc, const char *const *argv,
                                const char *const *environment, enum sk_config_request *request)
{
    const char *file = file_in_environment(environment);
    struct arguments a = {.argc = argc, .argv = argv, .at = 1};
    *request = SK_CONFIG_RUN;
    SK_TRY(read_arguments(config, &a, request, &file));
    if (*request == SK_CONFIG_HELP || *request == SK_CONFIG_VERSION || *request == SK_CONFIG_DOCS)
        return SK_SUCCESS;
    if (file) {
        sk_config_keep_file(config, file);
        SK_TRY(sk_config_read_file(config, file));
    }
    SK_TRY(sk_config_read_environment(config, environment));
    return sk_config_check(config);
}

struct sk_status sk_config_reread(sk_config *config, sk_config_changed_fn *changed, void *arg)
{
    const struct sk_program *program = sk_config_program(config);
    const char *file = sk_config_file(config);
    void *values = sk_zalloc(1, program->values_bytes);
    sk_config *fresh = sk_config_new(program, values);
    struct sk_status s = sk_config_keep_strong(config, fresh);
    if (sk_ok(s) && file) s = sk_config_read_file(fresh, file);
    if (sk_ok(s)) s = sk_config_check(fresh);
    if (sk_ok(s)) sk_config_adopt(config, fresh, changed, arg);
    sk_config_free(fresh);
    free(values);
    return s;
}
