/* fuzz_arguments.c - any words as a command line of skua, skua-broker and skua-namesrv.
 *
 * The input: which program u8, then words that end with a NUL; those that begin with SKUA_ stand in
 * the environment. Nothing is run. What must hold: a wrong line is refused with a sentence (as
 * JSON, if that is wanted), and what is taken has values that would be taken again. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/config.h"
#include "broker/broker.h"
#include "cli.h"
#include "service/settings.h"

enum { WORDS = 24, ROOM = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct namesrv_config {
#define SK_SECTION(title)
#define SK_SETTING(...) SK_CONFIG_FIELD(__VA_ARGS__)
#include "namesrv/config.def"
};

static const struct sk_setting settings[] = {
#define SK_SECTION(title) SK_CONFIG_SECTION(title)
#define SK_SETTING(...) SK_CONFIG_ROW(struct namesrv_config, __VA_ARGS__)
#include "namesrv/config.def"
};

static const struct sk_program namesrv = {
    .name = "skua-namesrv",
    .summary = "A name server.",
    .settings = settings,
    .count = sizeof settings / sizeof settings[0],
    .values_bytes = sizeof(struct namesrv_config),
};

struct line {
    char text[ROOM];
    const char *words[WORDS + 2], *environment[WORDS + 2];
    int count;
};

static void split(const uint8_t *data, size_t size, const char *program, struct line *line)
{
    size_t set = 0;
    if (size > ROOM - 1) size = ROOM - 1;
    if (size) memcpy(line->text, data, size);
    line->text[size] = '\0';
    line->words[0] = program;
    line->count = 1;
    for (size_t at = 0; at < size && line->count <= WORDS && set < WORDS;
         at += strlen(line->text + at) + 1) {
        const char *word = line->text + at;
        if (strncmp(word, "SKUA_", 5) == 0)
            line->environment[set++] = word;
        else
            line->words[line->count++] = word;
    }
    line->words[line->count] = line->environment[set] = NULL;
}

/* --- skua ------------------------------------------------------------------------------------- */

static void check_values(const struct cli *cli)
{
    for (size_t i = 0; i < cli->value_count; i++) {
        const struct cli_values *v = &cli->values[i];
        (void)cli_text(cli, v->flag->name);
        (void)cli_number(cli, v->flag->name);
        sk_assert(v->count <= 1 || v->flag->repeat || v->flag->kind == FLAG_SWITCH);
        sk_assert(v->count > 0 || !v->flag->required);
        for (size_t k = 0; k < v->count && v->flag->kind != FLAG_SWITCH; k++) {
            int64_t number = 0;
            char why[160];
            sk_assert(cli_convert(v->flag, v->items[k].text, &number, why, sizeof why));
        }
    }
}

static void check_refusal(const struct cli *cli, const char *said)
{
    sk_assert(said[0]);
    if (!cli->json || said[0] == 'U') return; /* help, which has no JSON */
    json_error_t error;
    json_t *json = json_loads(said, 0, &error);
    sk_assert(json != NULL);
    json_decref(json);
}

static void command_line(const struct line *line)
{
    char *out = NULL, *err = NULL;
    size_t out_len, err_len;
    struct cli cli = {.out = open_memstream(&out, &out_len), .err = open_memstream(&err, &err_len)};
    const char *servers = line->environment[0] ? line->environment[0] + 5 : NULL;
    int result = cli_parse(&cli, line->count, line->words, servers);
    fflush(cli.err);
    fflush(cli.out);
    if (result == CLI_RUN)
        check_values(&cli);
    else if (result == CLI_OK)
        sk_assert(out_len > 0);
    else
        sk_assert(result == CLI_USAGE);
    if (result == CLI_USAGE && line->count > 1) check_refusal(&cli, err);
    cli_done(&cli);
    fclose(cli.out);
    fclose(cli.err);
    free(out);
    free(err);
}

/* --- the servers -------------------------------------------------------------------------------
 */

static void check_config(const struct sk_program *program, const sk_config *config)
{
    void *again = calloc(1, program->values_bytes);
    sk_config *copy = sk_config_new(program, again);
    for (size_t i = 0; i < program->count; i++) {
        const char *name = program->settings[i].name;
        if (!name) continue;
        struct sk_status s = sk_config_set(copy, name, sk_config_text(config, name), SK_FROM_FLAG);
        sk_assert(sk_ok(s));
    }
    sk_config_free(copy);
    free(again);
}

static void server_line(const struct sk_program *program, const struct line *line)
{
    void *values = calloc(1, program->values_bytes);
    sk_config *config = sk_config_new(program, values);
    enum sk_config_request request = SK_CONFIG_RUN;
    struct sk_status s =
        sk_config_load(config, line->count, line->words, line->environment, &request);
    sk_assert(sk_ok(s) || s.detail[0]);
    if (sk_ok(s)) check_config(program, config);
    sk_config_free(config);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct line line;
    unsigned which = size ? data[0] % 4 : 0;
    static const char *const names[] = {"skua", "skua", "skua-broker", "skua-namesrv"};
    split(data + (size > 0), size - (size > 0), names[which], &line);
    if (which < 2)
        command_line(&line);
    else
        server_line(which == 2 ? &sk_broker_program : &namesrv, &line);
    return 0;
}
