/* output.c - tables, JSON, errors: how the command line speaks. */
#include "output.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"

/* --- errors ---------------------------------------------------------------------------- */

static const char *exit_word(enum cli_exit code)
{
    switch (code) {
#define X(name, number, word, text)                                                                \
    case name:                                                                                     \
        return word;
        CLI_EXIT_CODES(X)
#undef X
    }
    return "failure";
}

static int print_error(struct cli *cli, enum cli_exit code, int32_t reply, const char *message,
                       const char *hint)
{
    fflush(cli->out);
    if (cli->json) {
        json_t *e = json_pack("{s:i, s:s}", "exit", (int)code, "code", exit_word(code));
        if (reply) json_object_set_new(e, "reply", json_integer(reply));
        json_t *text = json_string(message);
        json_object_set_new(e, "message", text ? text : json_string("(not UTF-8)"));
        if (hint) json_object_set_new(e, "hint", json_string(hint));
        json_t *o = json_pack("{s:o}", "error", e);
        json_dumpf(o, cli->err, JSON_COMPACT);
        fputc('\n', cli->err);
        json_decref(o);
        return (int)code;
    }
    bool colour = isatty(fileno(cli->err)) == 1 && !getenv("NO_COLOR");
    fprintf(cli->err, "%sskua: %s%s\n", colour ? "\033[31m" : "", message, colour ? "\033[0m" : "");
    if (hint) fprintf(cli->err, "  %s\n", hint);
    return (int)code;
}

int cli_error(struct cli *cli, enum cli_exit code, const char *hint, const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return print_error(cli, code, 0, message, hint);
}

static enum cli_exit exit_of(enum skua_code code)
{
    switch (code) {
    case SKUA_OK:
        return CLI_OK;
    case SKUA_NOT_FOUND:
        return CLI_NOT_FOUND;
    case SKUA_UNAVAILABLE:
        return CLI_UNAVAILABLE;
    case SKUA_TIMEOUT:
        return CLI_TIMEOUT;
    default:
        return CLI_FAILURE;
    }
}

/* What to type next, from what went wrong and where. */
static const char *hint_for(struct cli *cli, struct skua_status s, char *buffer, size_t room)
{
    const char *name = cli->arguments[0] ? cli->arguments[0] : "";
    const char *noun = cli->command ? cli->command->noun : "";
    const char *verb = cli->command && cli->command->verb ? cli->command->verb : "";
    bool about_group = strcmp(noun, "group") == 0;
    const char *group = NULL;
    for (size_t i = 0; i < cli->value_count; i++)
        if (strcmp(cli->values[i].flag->name, "group") == 0) group = cli_text(cli, "group");

    switch (s.code) {
    case SKUA_UNAVAILABLE:
        snprintf(buffer, room,
                 "start a broker here: skua dev; or name yours: --namesrv HOST:PORT "
                 "(now %s)",
                 cli_text(cli, "namesrv"));
        return buffer;
    case SKUA_TIMEOUT:
        return "try again, or wait longer: --timeout SECONDS; skua cluster shows how the brokers "
               "are";
    case SKUA_NOT_FOUND:
        if (s.reply == 40403 || about_group)
            snprintf(buffer, room,
                     "skua group list shows the groups; make it: skua group create %s",
                     about_group ? name
                     : group     ? group
                                 : "GROUP");
        else
            snprintf(buffer, room,
                     "skua topic list shows the topics; make it: skua topic create %s", name);
        return buffer;
    case SKUA_EXISTS:
        snprintf(buffer, room, "skua %s describe %s shows it; skua %s delete %s removes it", noun,
                 name, noun, name);
        return buffer;
    case SKUA_UNIMPLEMENTED:
        return "is it a Skua server? this command needs one; skua version, skua cluster";
    case SKUA_FULL:
        return "make room on the broker's disk, or shorten its retention";
    case SKUA_BUSY:
        return "try again in a moment; skua cluster shows how the brokers are";
    default:
        snprintf(buffer, room, "see skua %s%s%s --help", noun, *verb ? " " : "", verb);
        return buffer;
    }
}

int cli_fail(struct cli *cli, struct skua_status status, const char *hint)
{
    char buffer[320];
    if (!hint) hint = hint_for(cli, status, buffer, sizeof buffer);
    return print_error(cli, exit_of(status.code), status.reply, skua_status_text(&status), hint);
}

void cli_note(struct cli *cli, const char *format, ...)
{
    if (cli->json) return;
    fflush(cli->out);
    va_list args;
    va_start(args, format);
    vfprintf(cli->err, format, args);
    va_end(args);
    fputc('\n', cli->err);
}

int cli_main(int argc, const char *const *argv, const char *env_servers,
             const struct cli_hooks *hooks, FILE *in, FILE *out, FILE *err)
{
    struct cli cli = {.hooks = hooks, .in = in, .out = out, .err = err};
    int code = cli_parse(&cli, argc, argv, env_servers);
    if (code == CLI_RUN) {
        cli.json = cli_number(&cli, "output") == 1;
        command_fn *run = cli.command->run ? cli.command->run : hooks->dev;
        code = run(&cli);
    }
    cli_done(&cli);
    if (fflush(out) != 0 && code == CLI_OK) code = CLI_FAILURE;
    return code;
}

/* --- JSON ------------------------------------------------------------------------------ */

void out_json(struct cli *cli, json_t *value_take)
{
    json_dumpf(value_take, cli->out, JSON_COMPACT | JSON_ENSURE_ASCII * 0);
    fputc('\n', cli->out);
    json_decref(value_take);
}

static char *base64(const uint8_t *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = sk_alloc((len + 2) / 3 * 4 + 1), *at = text;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t group = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                         (left > 2 ? data[i + 2] : 0);
        *at++ = digits[group >> 18];
        *at++ = digits[group >> 12 & 63];
        *at++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[group & 63] : '=';
    }
    *at = 0;
    return text;
}

void out_json_body(json_t *object, const char *text_key, const char *base64_key, const void *data,
                   size_t len)
{
    json_t *text = text_key ? json_stringn(len ? data : "", len) : NULL;
    if (text) {
        json_object_set_new(object, text_key, text);
        return;
    }
    char *encoded = base64(data, len);
    json_object_set_new(object, base64_key, json_string(encoded));
    free(encoded);
}

static void set_text(json_t *object, const char *key, const char *text)
{
    json_t *value = json_string(text);
    if (!value)
        out_json_body(object, NULL, key, text, strlen(text));
    else
        json_object_set_new(object, key, value);
}

json_t *out_message_json(const skua_message *m, bool delivered)
{
    char time[40];
    size_t len;
    const void *body = skua_message_body(m, &len);
    json_t *o = json_object(), *keys = json_array(), *properties = json_object();

    set_text(o, "message_id", skua_message_id(m));
    set_text(o, "topic", skua_message_topic(m));
    set_text(o, "broker", skua_message_broker(m));
    json_object_set_new(o, "queue", json_integer(skua_message_queue(m)));
    json_object_set_new(o, "offset", json_integer(skua_message_offset(m)));
    out_json_body(o, "body", "body_base64", body, len);
    if (*skua_message_tag(m)) set_text(o, "tag", skua_message_tag(m));
    for (size_t i = 0; i < skua_message_key_count(m); i++)
        json_array_append_new(keys, json_string(skua_message_key(m, i)));
    json_object_set_new(o, "keys", keys);
    for (size_t i = 0; i < skua_message_property_count(m); i++) {
        const char *name, *value;
        skua_message_property_at(m, i, &name, &value);
        set_text(properties, name, value);
    }
    json_object_set_new(o, "properties", properties);
    set_text(o, "born_timestamp", out_time(skua_message_born_ms(m), time, sizeof time));
    set_text(o, "store_timestamp", out_time(skua_message_store_ms(m), time, sizeof time));
    if (delivered) {
        json_object_set_new(o, "delivery_attempt", json_integer(skua_message_attempt(m)));
        set_text(o, "receipt_handle", skua_message_receipt(m));
    }
    return o;
}

/* --- tables ---------------------------------------------------------------------------- */

void out_table_begin(struct out_table *t, struct cli *cli, const char *const *titles, size_t count)
{
    *t = (struct out_table){.table = scols_new_table(), .columns = count};
    sk_assert(t->table != NULL);
    scols_table_set_stream(t->table, cli->out);
    if (isatty(fileno(cli->out)) != 1) scols_table_enable_maxout(t->table, 0);
    for (size_t i = 0; i < count; i++) {
        bool right = titles[i][0] == '>';
        int flags = right ? SCOLS_FL_RIGHT : i + 1 == count ? SCOLS_FL_TRUNC : 0;
        scols_table_new_column(t->table, titles[i] + right, 0,
                               isatty(fileno(cli->out)) == 1 ? flags : flags & SCOLS_FL_RIGHT);
    }
}

void out_row(struct out_table *t)
{
    t->line = scols_table_new_line(t->table, NULL);
    sk_assert(t->line != NULL);
    t->column = 0;
}

void out_cell(struct out_table *t, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sk_assert(t->column < t->columns);
    scols_line_set_data(t->line, t->column++, *text ? text : "-");
}

void out_table_end(struct out_table *t, struct cli *cli, bool headings)
{
    scols_table_enable_noheadings(t->table, !headings);
    scols_print_table(t->table);
    if (scols_table_is_empty(t->table) && headings) cli_note(cli, "(none)");
    scols_unref_table(t->table);
    t->table = NULL;
}

const char *out_time(int64_t ms, char *buffer, size_t room)
{
    buffer[0] = 0;
    if (ms <= 0) return buffer;
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(buffer, room, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buffer + n, room - n, ".%03dZ", (int)(ms % 1000));
    return buffer;
}

const char *out_bytes(uint64_t bytes, char *buffer, size_t room)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(buffer, room, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return buffer;
}

void out_messages_table(struct cli *cli, const skua_messages *list, size_t count, bool headings)
{
    static const char *const titles[] = {"MESSAGE ID", "BROKER", ">QUEUE",
                                         ">OFFSET",    "TAG",    "BODY"};
    struct out_table t;
    out_table_begin(&t, cli, titles, 6);
    for (size_t i = 0; i < count; i++) {
        const skua_message *m = skua_messages_at(list, i);
        size_t len;
        const char *body = skua_message_body(m, &len);
        out_row(&t);
        out_cell(&t, "%s", skua_message_id(m));
        out_cell(&t, "%s", skua_message_broker(m));
        out_cell(&t, "%d", skua_message_queue(m));
        out_cell(&t, "%lld", (long long)skua_message_offset(m));
        out_cell(&t, "%s", skua_message_tag(m));
        out_cell(&t, "%.*s%s", (int)(len > 200 ? 200 : len), body, len > 200 ? "…" : "");
    }
    out_table_end(&t, cli, headings);
}

/* --- connecting ------------------------------------------------------------------------ */

skua_client *out_connect(struct cli *cli, int *exit)
{
    skua_client *client = NULL;
    skua_options *options = skua_options_new();
    skua_options_name_servers(options, cli_text(cli, "namesrv"));
    skua_options_request_timeout_ms(options, (uint32_t)cli_number(cli, "timeout"));
    if (cli_has(cli, "tls")) skua_options_tls(options, true);
    if (cli_text(cli, "ca-file")) skua_options_ca_file(options, cli_text(cli, "ca-file"));
    if (cli_has(cli, "insecure")) skua_options_insecure(options, true);

    struct skua_status s = skua_client_new(options, &client);
    skua_options_free(options);
    if (s.code != SKUA_OK) *exit = cli_fail(cli, s, "check --namesrv, --ca-file");
    return client;
}
