/* config.c - who set which setting, and who wins.
 *
 * Beside the program's struct of values, each setting has a slot: its text, where
 * the text came from, and the memory behind the value. */
#include "base/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "config_value.h"

struct slot {
    char *text;
    char **hosts; /* behind a HOSTS value */
    enum sk_origin origin;
    char *place;  /* of a value from a file: "skua.yaml:3" */
    bool in_file; /* the file has set it: a second time is an error */
};

struct sk_config {
    const struct sk_program *program;
    char *values;
    struct slot *slots; /* one per row of the table */
    char *file;
};

const struct sk_program *sk_config_program(const sk_config *config)
{
    return config->program;
}

/* --- names ------------------------------------------------------------------------------- */

void sk_setting_normalise(const char *name, char out[64])
{
    size_t i = 0;
    for (; name[i] && i < 63; i++) {
        char c = name[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        out[i] = c == '-' || c == '.' ? '_' : c;
    }
    out[i] = 0;
}

const struct sk_setting *sk_setting_find(const struct sk_program *program, const char *name)
{
    char plain[64];
    sk_setting_normalise(name, plain);
    for (size_t i = 0; i < program->count; i++) {
        const struct sk_setting *s = &program->settings[i];
        if (s->name && strcmp(s->name, plain) == 0) return s;
    }
    return NULL;
}

bool sk_config_knows(const struct sk_program *program, const char *name)
{
    return sk_setting_find(program, name) != NULL;
}

/* How many letters must be put in, left out or changed (Levenshtein), with two rows. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], len = strlen(b);
    for (size_t j = 0; j <= len; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[len];
}

const char *sk_setting_nearest(const struct sk_program *program, const char *name)
{
    char plain[64];
    sk_setting_normalise(name, plain);
    const char *nearest = NULL;
    size_t best = strlen(plain) / 3 + 1;
    for (size_t i = 0; i < program->count; i++) {
        const char *candidate = program->settings[i].name;
        if (!candidate) continue;
        sk_assert(strlen(candidate) < sizeof plain);
        size_t d = distance(plain, candidate);
        if (d > best || (d == best && nearest)) continue;
        best = d;
        nearest = candidate;
    }
    return nearest;
}

struct sk_status sk_config_unknown(const struct sk_program *program, const char *place,
                                   const char *name)
{
    const char *nearest = sk_setting_nearest(program, name);
    if (nearest)
        return sk_error(SK_INVALID, "%s: unknown setting '%.64s'; did you mean '%s'?", place, name,
                        nearest);
    return sk_error(SK_INVALID, "%s: unknown setting '%.64s'; %s --help lists them", place, name,
                    program->name);
}

/* --- values -------------------------------------------------------------------------------- */

static void store(sk_config *config, const struct sk_setting *s, struct slot *slot,
                  const struct sk_value *v)
{
    void *field = config->values + s->offset;
    switch (s->kind) {
    case SK_KIND_BOOL:
        *(bool *)field = v->flag;
        break;
    case SK_KIND_INT:
        *(int64_t *)field = v->number;
        break;
    case SK_KIND_SIZE:
    case SK_KIND_DURATION:
        *(uint64_t *)field = v->amount;
        break;
    case SK_KIND_CHOICE:
        *(int *)field = (int)v->number;
        break;
    case SK_KIND_TEXT:
    case SK_KIND_ADDRESS:
        *(const char **)field = slot->text;
        break;
    case SK_KIND_HOSTS:
        *(struct sk_hosts *)field =
            (struct sk_hosts){.items = (const char *const *)v->hosts, .count = v->host_count};
        break;
    }
}

static void slot_done(struct slot *slot)
{
    free(slot->text);
    free(slot->place);
    sk_hosts_free(slot->hosts);
}

static void replace(sk_config *config, const struct sk_setting *s, const char *text,
                    const struct sk_value *v, enum sk_origin origin, const char *place)
{
    struct slot *slot = &config->slots[s - config->program->settings];
    slot_done(slot);
    *slot = (struct slot){
        .text = sk_strdup(text), .hosts = v->hosts, .origin = origin, .place = sk_strdup(place)};
    store(config, s, slot, v);
}

/* "flag --listen", for errors and for --print-config. */
static char *origin_text(const struct sk_setting *s, enum sk_origin origin, const char *place)
{
    char name[64] = "";
    size_t i = 0;
    for (; s->name[i]; i++) {
        char c = s->name[i];
        if (origin == SK_FROM_FLAG)
            name[i] = c == '_' ? '-' : c;
        else
            name[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    switch (origin) {
    case SK_FROM_DEFAULT:
        return sk_strdup("default");
    case SK_FROM_FILE:
        return sk_asprintf("file %s", place ? place : "");
    case SK_FROM_ENVIRONMENT:
        return sk_asprintf("environment SKUA_%s", name);
    case SK_FROM_FLAG:
        return sk_asprintf("flag --%s", name);
    }
    return NULL;
}

struct sk_status sk_config_put(sk_config *config, const char *name, const char *value,
                               enum sk_origin origin, const char *place)
{
    static const char *const places[] = {"default", "file", "environment", "flag"};
    const struct sk_setting *s = sk_setting_find(config->program, name);
    if (!s) return sk_config_unknown(config->program, place ? place : places[origin], name);
    struct sk_value v;
    struct sk_status status = sk_value_parse(s, value, &v);
    if (!sk_ok(status)) {
        char *where = origin_text(s, origin, place);
        status = sk_while(status, "%s: %s", where, s->name);
        free(where);
        return status;
    }
    struct slot *slot = &config->slots[s - config->program->settings];
    if (origin == SK_FROM_FILE && slot->in_file) {
        sk_hosts_free(v.hosts);
        return sk_error(SK_INVALID, "file %s: %s is set a second time; the first was at %s",
                        place ? place : "", s->name, slot->place ? slot->place : "another line");
    }
    if (origin < slot->origin)
        sk_hosts_free(v.hosts);
    else
        replace(config, s, value, &v, origin, place);
    if (origin == SK_FROM_FILE) slot->in_file = true;
    return SK_SUCCESS;
}

struct sk_status sk_config_set(sk_config *config, const char *name, const char *value,
                               enum sk_origin origin)
{
    return sk_config_put(config, name, value, origin, NULL);
}

/* --- life ------------------------------------------------------------------------------------ */

sk_config *sk_config_new(const struct sk_program *program, void *values)
{
    sk_config *config = sk_zalloc(1, sizeof *config);
    *config = (sk_config){.program = program,
                          .values = values,
                          .slots = sk_zalloc(program->count, sizeof(struct slot))};
    for (size_t i = 0; i < program->count; i++) {
        const struct sk_setting *s = &program->settings[i];
        struct sk_value v;
        if (s->section) continue;
        struct sk_status status = sk_value_parse(s, s->fallback, &v);
        sk_assert(sk_ok(status) && strlen(s->name) < 64);
        replace(config, s, s->fallback, &v, SK_FROM_DEFAULT, NULL);
    }
    return config;
}

void sk_config_free(sk_config *config)
{
    if (!config) return;
    for (size_t i = 0; i < config->program->count; i++) slot_done(&config->slots[i]);
    free(config->slots);
    free(config->file);
    free(config);
}

void sk_config_free_p(sk_config **config)
{
    sk_config_free(*config);
}

const char *sk_config_file(const sk_config *config)
{
    return config->file;
}

static const struct slot *find_slot(const sk_config *config, const char *name)
{
    const struct sk_setting *s = sk_setting_find(config->program, name);
    return s ? &config->slots[s - config->program->settings] : NULL;
}

const char *sk_config_text(const sk_config *config, const char *name)
{
    const struct slot *slot = find_slot(config, name);
    return slot ? slot->text : NULL;
}

char *sk_config_origin(const sk_config *config, const char *name)
{
    const struct slot *slot = find_slot(config, name);
    if (!slot) return NULL;
    return origin_text(sk_setting_find(config->program, name), slot->origin, slot->place);
}

void sk_config_keep_file(sk_config *config, const char *file)
{
    free(config->file);
    config->file = sk_strdup(file);
}

struct sk_status sk_config_check(const sk_config *config)
{
    const struct sk_program *program = config->program;
    return program->check ? program->check(config->values) : SK_SUCCESS;
}

/* --- reading again --------------------------------------------------------------------------- */

void sk_config_adopt(sk_config *config, const sk_config *fresh, sk_config_changed_fn *changed,
                     void *arg)
{
    for (size_t i = 0; i < config->program->count; i++) {
        const struct sk_setting *s = &config->program->settings[i];
        const struct slot *now = &fresh->slots[i];
        if (s->section || strcmp(config->slots[i].text, now->text) == 0) continue;
        bool applies = s->when == SK_WHEN_RELOAD;
        struct sk_value v;
        if (applies && sk_ok(sk_value_parse(s, now->text, &v)))
            replace(config, s, now->text, &v, now->origin, now->place);
        if (changed) changed(arg, s->name, applies);
    }
}

struct sk_status sk_config_keep_strong(const sk_config *config, sk_config *fresh)
{
    for (size_t i = 0; i < config->program->count; i++) {
        const struct slot *slot = &config->slots[i];
        if (slot->origin >= SK_FROM_ENVIRONMENT)
            SK_TRY(
                sk_config_set(fresh, config->program->settings[i].name, slot->text, slot->origin));
    }
    return SK_SUCCESS;
}
