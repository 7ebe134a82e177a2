/* names.c - from names in .proto files to names in C. */
#include "names.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct names_claim {
    const char *identifier;
    const char *owner;
    UT_hash_handle hh;
};

/* Members whose name is one of these get an underscore from protoc-gen-c (it lists the
 * words of C++). Sorted. */
static const char *const RESERVED[] = {
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "class",
    "compl",
    "const",
    "const_cast",
    "continue",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "explicit",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "mutable",
    "namespace",
    "new",
    "not",
    "not_eq",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_cast",
    "struct",
    "switch",
    "template",
    "this",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
};

void names_init(struct names *names, sk_arena *arena)
{
    *names = (struct names){.arena = arena};
}

void names_done(struct names *names)
{
    HASH_CLEAR(hh, names->claims); /* the entries are in the arena */
}

const char *names_text(struct names *names, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0) abort();
    const char *copy = sk_arena_text(names->arena, sk_slice_of(text, (size_t)len));
    free(text);
    return copy;
}

void names_fail(struct names *names, const char *fmt, ...)
{
    if (names->error) return;
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    names->error = names_text(names, "%s", text);
}

/* --- packages and claims ---------------------------------------------------------------- */

void names_add_package(struct names *names, const char *package, const char *prefix)
{
    for (unsigned i = 0; i < names->package_count; i++) {
        if (strcmp(names->packages[i].package, package) != 0) continue;
        if (prefix) names->packages[i].prefix = prefix;
        return;
    }
    size_t count = names->package_count;
    struct names_package *grown = sk_arena_zalloc(names->arena, count + 1, sizeof *grown);
    if (count) memcpy(grown, names->packages, count * sizeof *grown);
    grown[count] = (struct names_package){.package = package, .prefix = prefix};
    names->packages = grown;
    names->package_count++;
}

const char *names_claim(struct names *names, const char *identifier, const char *owner)
{
    struct names_claim *claim = NULL;
    HASH_FIND_STR(names->claims, identifier, claim);
    if (claim) {
        names_fail(names, "%s would be the C name of both %s and %s", identifier, claim->owner,
                   owner);
        return identifier;
    }
    claim = sk_arena_zalloc(names->arena, 1, sizeof *claim);
    claim->identifier = identifier;
    claim->owner = owner;
    HASH_ADD_KEYPTR(hh, names->claims, claim->identifier, strlen(claim->identifier), claim);
    return identifier;
}

/* --- protoc-gen-c's names ------------------------------------------------------------------ */

/* An underscore before every capital that follows something else; `map` sets the case. */
static const char *split_words(struct names *names, const char *name, int (*map)(int))
{
    char *out = sk_arena_alloc(names->arena, 2 * strlen(name) + 1);
    size_t n = 0;
    bool was_upper = true;
    for (const char *p = name; *p; p++) {
        bool upper = isupper((unsigned char)*p);
        if (upper && !was_upper) out[n++] = '_';
        out[n++] = (char)map((unsigned char)*p);
        was_upper = upper;
    }
    out[n] = '\0';
    return out;
}

const char *names_c_word(struct names *names, const char *name)
{
    return split_words(names, name, tolower);
}

const char *names_c_WORD(struct names *names, const char *name)
{
    return split_words(names, name, toupper);
}

static const char *camel(struct names *names, const char *name)
{
    char *out = sk_arena_alloc(names->arena, strlen(name) + 1);
    size_t n = 0;
    bool raise = true;
    for (const char *p = name; *p; p++) {
        if (*p == '_') {
            raise = true;
            continue;
        }
        out[n++] = raise ? (char)toupper((unsigned char)*p) : *p;
        raise = false;
    }
    out[n] = '\0';
    return out;
}

typedef const char *part_fn(struct names *names, const char *part);

/* Apply `fn` to the parts of a dotted name and join them. */
static const char *each_part(struct names *names, const char *full, part_fn *fn, const char *glue)
{
    const char *out = "";
    while (*full) {
        size_t len = strcspn(full, ".");
        const char *part = fn(names, sk_arena_text(names->arena, sk_slice_of(full, len)));
        out = names_text(names, "%s%s%s", out, *out ? glue : "", part);
        full += len + (full[len] == '.');
    }
    return out;
}

const char *names_c_type(struct names *names, const char *full)
{
    return each_part(names, full, camel, "__");
}

const char *names_c_lower(struct names *names, const char *full)
{
    return each_part(names, full, names_c_word, "__");
}

const char *names_c_upper(struct names *names, const char *full)
{
    return each_part(names, full, names_c_WORD, "__");
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *names_c_member(struct names *names, const char *name)
{
    char *lower = sk_arena_text(names->arena, sk_slice_of_text(name));
    for (char *p = lower; *p; p++) *p = (char)tolower((unsigned char)*p);
    const char *key = lower;
    bool reserved = bsearch(&key, RESERVED, sizeof RESERVED / sizeof *RESERVED, sizeof *RESERVED,
                            compare_words) != NULL;
    return reserved ? names_text(names, "%s_", lower) : lower;
}

/* --- our names ---------------------------------------------------------------------------------
 */

const char *names_word(struct names *names, const char *name)
{
    char *out = sk_arena_alloc(names->arena, 2 * strlen(name) + 1);
    size_t n = 0;
    for (size_t i = 0; name[i]; i++) {
        bool upper = isupper((unsigned char)name[i]);
        bool after_word = i > 0 && name[i - 1] != '_' && !isupper((unsigned char)name[i - 1]);
        bool ends_run =
            i > 0 && isupper((unsigned char)name[i - 1]) && islower((unsigned char)name[i + 1]);
        if (upper && (after_word || ends_run)) out[n++] = '_';
        out[n++] = (char)tolower((unsigned char)name[i]);
    }
    out[n] = '\0';
    return out;
}

const char *names_upper(struct names *names, const char *lower)
{
    char *out = sk_arena_text(names->arena, sk_slice_of_text(lower));
    for (char *p = out; *p; p++) *p = (char)toupper((unsigned char)*p);
    return out;
}

const char *names_alias(struct names *names, const char *full)
{
    const struct names_package *best = NULL;
    for (unsigned i = 0; i < names->package_count; i++) {
        const struct names_package *it = &names->packages[i];
        size_t len = strlen(it->package);
        if (strncmp(full, it->package, len) != 0 || full[len] != '.') continue;
        if (!best || len > strlen(best->package)) best = it;
    }
    if (!best || !best->prefix) {
        names_fail(names, "%s: its package has no prefix; pass it as PACKAGE=PREFIX", full);
        return full;
    }
    const char *rest = full + strlen(best->package) + 1;
    return names_text(names, "%s_%s", best->prefix, each_part(names, rest, names_word, "_"));
}

/* How many characters the end of `head` and the start of `tail` share, in whole words. */
static size_t overlap(const char *head, const char *tail)
{
    for (const char *p = strchr(head, '_'); p; p = strchr(p + 1, '_')) {
        size_t len = strlen(p + 1);
        if (len && strncmp(p + 1, tail, len) == 0 && tail[len] == '_') return len + 1;
    }
    return 0;
}

const char *names_constant(struct names *names, const char *alias, const char *value, bool join)
{
    const char *head = names_upper(names, alias);
    const char *tail = names_upper(names, value);
    if (join) tail += overlap(head, tail);
    return names_text(names, "%s_%s", head, tail);
}
