/* page.c - input and output: growing text, filled from templates. */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "generator.h"

void generator_add(struct generator *gen, const char *name, char *content)
{
    pb_output **grown = sk_arena_zalloc(gen->arena, gen->output_count + 1, sizeof(pb_output *));
    if (gen->output_count) memcpy(grown, gen->outputs, gen->output_count * sizeof *grown);
    pb_output *output = sk_arena_alloc(gen->arena, sizeof *output);
    google__protobuf__compiler__code_generator_response__file__init(output);
    output->name = sk_arena_text(gen->arena, sk_slice_of_text(name));
    output->content = content;
    grown[gen->output_count++] = output;
    gen->outputs = grown;
}

void page_open(struct page *page, struct generator *gen, const char *name)
{
    *page = (struct page){.gen = gen, .name = name};
    page->stream = open_memstream(&page->text, &page->size);
    if (!page->stream) abort();
}

void page_close(struct page *page)
{
    if (fclose(page->stream) != 0) abort();
    generator_add(page->gen, page->name,
                  sk_arena_text(page->gen->arena, sk_slice_of(page->text, page->size)));
    free(page->text);
}

struct sk_slice generator_read(struct generator *gen, FILE *file)
{
    char *text = NULL;
    size_t size = 0;
    FILE *copy = open_memstream(&text, &size);
    char chunk[65536];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;) fwrite(chunk, 1, n, copy);
    fclose(copy);
    struct sk_slice bytes = sk_slice_of(sk_arena_copy(gen->arena, text, size), size);
    free(text);
    return bytes;
}

const char *var_find(const struct var *vars, const char *key, size_t len)
{
    for (; vars->key; vars++)
        if (strlen(vars->key) == len && memcmp(vars->key, key, len) == 0) return vars->value;
    fprintf(stderr, "protoc-gen-skua: no ${%.*s} in a template\n", (int)len, key);
    abort();
}

void page_emit(struct page *page, const char *template, const struct var *vars)
{
    while (*template) {
        size_t plain = strcspn(template, "$");
        fwrite(template, 1, plain, page->stream);
        template += plain;
        if (!*template) break;
        size_t len = strcspn(template, "}"); /* "${key" */
        fputs(var_find(vars, template + 2, len - 2), page->stream);
        template += len + 1;
    }
}

void page_line(struct page *page, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(page->stream, fmt, args);
    va_end(args);
    fputc('\n', page->stream);
}

const char *generator_path(struct generator *gen, const pb_file *file, const char *ending)
{
    size_t len = strlen(file->name);
    if (len > 6 && strcmp(file->name + len - 6, ".proto") == 0) len -= 6;
    return names_text(&gen->names, "%.*s%s", (int)len, file->name, ending);
}

const char *generator_guard(struct generator *gen, const char *path)
{
    char *guard = sk_arena_text(gen->arena, sk_slice_of_text(path));
    for (char *p = guard; *p; p++)
        *p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
    return guard;
}
