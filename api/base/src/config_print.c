/* config_print.c - the table of settings for people: help, docs, values in force. */
#include <stdlib.h>
#include <string.h>

#include "config_value.h"

enum { HELP_COLUMN = 34, HELP_WIDTH = 98 };

static void option_of(const struct sk_setting *s, char out[72])
{
    size_t i = 0;
    out[i++] = '-';
    out[i++] = '-';
    for (const char *c = s->name; *c && i < 71; c++) out[i++] = *c == '_' ? '-' : *c;
    out[i] = 0;
}

/* Words wrapped into the right-hand column. */
static void put_wrapped(FILE *out, const char *text, int column)
{
    for (const char *word = text; *word;) {
        int len = (int)strcspn(word, " ");
        if (column + 1 + len > HELP_WIDTH) {
            fprintf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        column += fprintf(out, "%s%.*s", column > HELP_COLUMN ? " " : "", len, word);
        word += len;
        while (*word == ' ') word++;
    }
    fputc('\n', out);
}

static void put_option(FILE *out, const char *option, const char *word, const char *help)
{
    int column = fprintf(out, "  %s %s", option, word);
    if (column >= HELP_COLUMN) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", HELP_COLUMN - column, "");
    put_wrapped(out, help, HELP_COLUMN);
}

static void put_setting(FILE *out, const struct sk_setting *s)
{
    char option[72], help[512];
    option_of(s, option);
    const char *word = s->kind == SK_KIND_CHOICE ? s->limits : sk_kind_word(s->kind);
    bool ranged = s->limits[0] && s->kind != SK_KIND_CHOICE && s->kind != SK_KIND_TEXT;
    snprintf(help, sizeof help, "%s [%s%s%s]", s->help, s->fallback[0] ? s->fallback : "none",
             ranged ? "; " : "", ranged ? s->limits : "");
    put_option(out, option, word, help);
}

void sk_config_print_help(const struct sk_program *program, FILE *out)
{
    fprintf(out, "%s\n\nUsage: %s [--NAME VALUE …] [--set NAME=VALUE …] [--config FILE.yaml]\n",
            program->summary, program->name);
    for (size_t i = 0; i < program->count; i++) {
        const struct sk_setting *s = &program->settings[i];
        if (s->section)
            fprintf(out, "\n%s:\n", s->section);
        else
            put_setting(out, s);
    }
    fputs("\nGeneral:\n", out);
    put_option(out, "--config", "FILE.yaml", "Read settings from a file.");
    put_option(out, "--set", "NAME=VALUE", "Set any setting by its name.");
    put_option(out, "--check-config", "", "Say whether the settings are valid, and end.");
    put_option(out, "--print-config", "", "Show the values in force and where each came from.");
    put_option(out, "--print-config-docs", "", "Write the settings' reference as Markdown.");
    put_option(out, "--version", "", "Show the version.");
    put_option(out, "--help", "", "Show this page.");
    fputs("\nEvery setting can also come from the environment (SKUA_NAME) or from the file.\n"
          "A flag wins over the environment, the environment over the file.\n",
          out);
}

void sk_config_print(const sk_config *config, FILE *out)
{
    const struct sk_program *program = sk_config_program(config);
    for (size_t i = 0; i < program->count; i++) {
        const struct sk_setting *s = &program->settings[i];
        if (s->section) continue;
        char *origin = sk_config_origin(config, s->name);
        int column = fprintf(out, "%s: %s", s->name, sk_config_text(config, s->name));
        fprintf(out, "%*s# %s\n", column < 47 ? 48 - column : 1, "", origin);
        free(origin);
    }
}

/* A table cell: bars would end it. */
static void put_cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|') fputc('\\', out);
        fputc(*text, out);
    }
}

static void put_row(FILE *out, const struct sk_setting *s)
{
    bool choice = s->kind == SK_KIND_CHOICE;
    fprintf(out, "| `%s` | %s | ", s->name, sk_kind_word(s->kind));
    fprintf(out, s->fallback[0] ? "`%s` | " : "%s | ", s->fallback);
    put_cell(out, s->limits);
    if (s->kind == SK_KIND_TEXT && s->limits[0]) fputs(" characters", out);
    if (!choice && s->unit[0]) fprintf(out, " %s", s->unit);
    fprintf(out, " | %s | ", s->when == SK_WHEN_RELOAD ? "start, SIGHUP" : "start");
    put_cell(out, s->help);
    fputs(" |\n", out);
}

void sk_config_print_docs(const struct sk_program *program, FILE *out)
{
    fprintf(out, "## %s\n\n%s\n", program->name, program->summary);
    for (size_t i = 0; i < program->count; i++) {
        const struct sk_setting *s = &program->settings[i];
        if (s->section) {
            fprintf(out, "\n### %s\n\n", s->section);
            fputs("| setting | kind | default | limits | read at | meaning |\n", out);
            fputs("|---|---|---|---|---|---|\n", out);
        } else {
            put_row(out, s);
        }
    }
}
