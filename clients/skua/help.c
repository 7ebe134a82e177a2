/* help.c - the command table as text for people, and as docs/cli.md. */
#include "cli.h"

#include <string.h>

const char *cli_command_name(const struct command *c, char *buffer, size_t room)
{
    if (c)
        snprintf(buffer, room, "skua %s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "");
    else
        snprintf(buffer, room, "skua");
    return buffer;
}

static void usage_line(FILE *out, const struct command *c)
{
    char name[64];
    fprintf(out, "%s", cli_command_name(c, name, sizeof name));
    for (const struct argument *a = c->arguments; a->name; a++)
        fprintf(out, a->optional ? " [%s]" : " %s", a->name);
    for (size_t i = 0; i < CLI_FLAGS && c->flags[i].name; i++)
        if (c->flags[i].required) fprintf(out, " --%s %s", c->flags[i].name, c->flags[i].value);
    fprintf(out, " [flags]\n");
}

static void flag_label(const struct flag *f, char *buffer, size_t room)
{
    char letter[8] = "    ";
    if (f->letter) snprintf(letter, sizeof letter, "-%c, ", f->letter);
    snprintf(buffer, room, "%s--%s%s%s", letter, f->name, f->value ? " " : "",
             f->value ? f->value : "");
}

static void flag_lines(FILE *out, const char *title, const struct flag *flags, size_t count)
{
    if (!flags[0].name) return;
    fprintf(out, "\n%s:\n", title);
    for (size_t i = 0; i < count && flags[i].name; i++) {
        char label[64];
        flag_label(&flags[i], label, sizeof label);
        fprintf(out, "  %-30s %s", label, flags[i].help);
        if (flags[i].fallback) fprintf(out, " (default %s)", flags[i].fallback);
        if (flags[i].repeat) fprintf(out, "; may be given again");
        if (flags[i].required) fprintf(out, "; required");
        fputc('\n', out);
    }
}

static void indented(FILE *out, const char *text, const char *indent)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        if (len)
            fprintf(out, "%s%.*s\n", indent, (int)len, text);
        else
            fputc('\n', out);
        text += len + (text[len] == '\n');
    }
}

void cli_help_command(FILE *out, const struct command *c)
{
    char name[64];
    fprintf(out, "%s: %s\n\nUsage:\n  ", cli_command_name(c, name, sizeof name), c->summary);
    usage_line(out, c);
    if (c->detail) {
        fputc('\n', out);
        indented(out, c->detail, "");
    }
    if (c->arguments[0].name) fprintf(out, "\nArguments:\n");
    for (const struct argument *a = c->arguments; a->name; a++)
        fprintf(out, "  %-30s %s\n", a->name, a->help);
    flag_lines(out, "Flags", c->flags, CLI_FLAGS);
    if (c->connects) flag_lines(out, "Connection", cli_connection_flags, SIZE_MAX);
    flag_lines(out, "Common flags", cli_common_flags, SIZE_MAX);
    if (c->json) {
        fprintf(out, "\nWith -o json, %s:\n", c->json);
        for (const struct json_key *k = c->keys; k->key; k++)
            fprintf(out, "  %-30s %s\n", k->key, k->help);
    }
    fprintf(out, "\nExamples:\n");
    for (size_t i = 0; i < CLI_EXAMPLES && c->examples[i]; i++)
        fprintf(out, "  %s\n", c->examples[i]);
}

void cli_help_noun(FILE *out, const char *noun)
{
    fprintf(out, "Usage:\n  skua %s VERB [flags]\n\nVerbs:\n", noun);
    for (size_t i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i].noun, noun) == 0)
            fprintf(out, "  %-10s %s\n", cli_commands[i].verb, cli_commands[i].summary);
    fprintf(out, "\nExamples:\n");
    for (size_t i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i].noun, noun) == 0)
            fprintf(out, "  %s\n", cli_commands[i].examples[0]);
    fprintf(out, "\nskua %s VERB --help has the flags of one verb.\n", noun);
}

static void exit_codes(FILE *out, bool markdown)
{
#define X(name, number, word, text)                                                                \
    if (markdown)                                                                                  \
        fprintf(out, "| %d | `%s` | %s |\n", number, word, text);                                  \
    else                                                                                           \
        fprintf(out, "  %d  %-12s %s\n", number, word, text);
    CLI_EXIT_CODES(X)
#undef X
}

void cli_help_overview(FILE *out)
{
    fprintf(out, "skua: send, receive and look after messages\n\n"
                 "Usage:\n  skua COMMAND [flags]\n\nCommands:\n");
    for (size_t i = 0; i < cli_noun_count; i++)
        fprintf(out, "  %-10s %s\n", cli_nouns[i].name, cli_nouns[i].summary);
    fprintf(out, "\nBegin with:\n"
                 "  skua dev                                    (in one terminal)\n"
                 "  skua send hello --body world                (in another)\n"
                 "  skua receive hello --group readers\n");
    fprintf(out, "\nEvery command takes --namesrv HOST:PORT[,...] (or NAMESRV_ADDR; default "
                 "127.0.0.1:8081)\n"
                 "and -o table|json. skua COMMAND --help has flags and examples.\n\nExit codes:\n");
    exit_codes(out, false);
}

/* --- docs/cli.md ----------------------------------------------------------------------- */

static void markdown_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|') fputc('\\', out);
        fputc(*text, out);
    }
}

static void markdown_flags(FILE *out, const char *title, const struct flag *flags, size_t count)
{
    if (!flags[0].name) return;
    fprintf(out, "\n| %s | meaning | default |\n|---|---|---|\n", title);
    for (size_t i = 0; i < count && flags[i].name; i++) {
        const struct flag *f = &flags[i];
        char label[64];
        flag_label(f, label, sizeof label);
        fprintf(out, "| `");
        markdown_text(out, label + strspn(label, " "));
        fprintf(out, "` | ");
        markdown_text(out, f->help);
        fprintf(out, "%s%s | ", f->repeat ? "; may be given again" : "",
                f->required ? "; required" : "");
        if (f->fallback) fprintf(out, "`%s`", f->fallback);
        fprintf(out, " |\n");
    }
}

static void markdown_command(FILE *out, const struct command *c)
{
    char name[64];
    fprintf(out, "\n## %s\n\n", cli_command_name(c, name, sizeof name));
    markdown_text(out, c->summary);
    fprintf(out, ".\n\n    ");
    usage_line(out, c);
    if (c->detail) {
        fputc('\n', out);
        indented(out, c->detail, "");
    }
    for (const struct argument *a = c->arguments; a->name; a++)
        fprintf(out, "%s`%s`: %s.\n", a == c->arguments ? "\n" : "", a->name, a->help);
    markdown_flags(out, "flag", c->flags, CLI_FLAGS);
    if (c->json) {
        fprintf(out, "\nWith `-o json`, %s:\n\n| key | |\n|---|---|\n", c->json);
        for (const struct json_key *k = c->keys; k->key; k++) {
            fprintf(out, "| `%s` | ", k->key);
            markdown_text(out, k->help);
            fprintf(out, " |\n");
        }
    }
    fprintf(out, "\nExamples:\n\n");
    for (size_t i = 0; i < CLI_EXAMPLES && c->examples[i]; i++)
        fprintf(out, "    %s\n", c->examples[i]);
}

void cli_help_markdown(FILE *out)
{
    fprintf(
        out,
        "# skua: the command line\n\n"
        "Made from the command table by `skua help --markdown`; a test compares the two.\n\n"
        "    skua COMMAND [VERB] [ARGUMENT] [flags]\n\n"
        "Results go to stdout; errors, each with a hint what to type next, to stderr. With `-o "
        "json`\n"
        "errors are JSON too: `{\"error\":{\"exit\":3,\"code\":\"not_found\",\"reply\":40402,"
        "\"message\":…,\"hint\":…}}`.\n"
        "JSON keys are never renamed or removed; new ones may come. Progress is shown only on a\n"
        "terminal; `NO_COLOR` is obeyed.\n\n| exit code | | |\n|---|---|---|\n");
    exit_codes(out, true);
    markdown_flags(out, "flag of every command", cli_common_flags, SIZE_MAX);
    markdown_flags(out, "flag of commands that connect", cli_connection_flags, SIZE_MAX);
    for (size_t i = 0; i < cli_command_count; i++) markdown_command(out, &cli_commands[i]);
}
