/* config_file.c - settings from a YAML file.
 *
 * libyaml makes a tree of it; we walk the tree, join nested keys by "_", and set
 * each scalar (or list of scalars, joined by commas) that we come to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "config_value.h"

enum { FILE_LIMIT = 1024 * 1024, DEPTH_LIMIT = 8, NAME_LIMIT = 63 };

struct walk {
    sk_config *config;
    yaml_document_t *document;
    const char *path;
};

static struct sk_status set_node(struct walk *w, const char *name, const yaml_node_t *node,
                                 int depth);

static char *place_of(const struct walk *w, const yaml_node_t *node)
{
    return sk_asprintf("%s:%zu", w->path, node->start_mark.line + 1);
}

static struct sk_status refuse(const struct walk *w, const yaml_node_t *node, const char *why)
{
    return sk_error(SK_INVALID, "file %s:%zu: %s", w->path, node->start_mark.line + 1, why);
}

static const char *text_of(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

/* A scalar without a zero byte inside: then its C string is all of it. */
static bool is_plain(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE &&
           strlen(text_of(node)) == node->data.scalar.length;
}

static struct sk_status set_value(struct walk *w, const char *name, const char *value,
                                  const yaml_node_t *node)
{
    char *place = place_of(w, node);
    struct sk_status s = sk_config_put(w->config, name, value, SK_FROM_FILE, place);
    free(place);
    return s;
}

static struct sk_status set_list(struct walk *w, const char *name, const yaml_node_t *node)
{
    struct sk_buffer joined = {0};
    struct sk_status s = SK_SUCCESS;
    for (yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top && sk_ok(s); i++) {
        const yaml_node_t *item = yaml_document_get_node(w->document, *i);
        if (!is_plain(item))
            s = refuse(w, node, "a list may hold plain values only");
        else if (joined.len)
            sk_buffer_put(&joined, ",", 1);
        if (sk_ok(s)) sk_buffer_put(&joined, text_of(item), strlen(text_of(item)));
    }
    sk_buffer_put_u8(&joined, 0);
    if (sk_ok(s)) s = set_value(w, name, (const char *)joined.data, node);
    sk_buffer_done(&joined);
    return s;
}

static struct sk_status set_pair(struct walk *w, const char *above, const yaml_node_pair_t *pair,
                                 int depth)
{
    const yaml_node_t *key = yaml_document_get_node(w->document, pair->key);
    const yaml_node_t *value = yaml_document_get_node(w->document, pair->value);
    char name[NAME_LIMIT + 1];
    sk_assert(key && value);
    if (!is_plain(key)) return refuse(w, key, "a key must be plain text");
    int len = snprintf(name, sizeof name, "%s%s%s", above, above[0] ? "_" : "", text_of(key));
    if (len > NAME_LIMIT) return refuse(w, key, "this key is longer than any setting's name");
    /* The key's line: that is where a reader looks. */
    if (value->type != YAML_MAPPING_NODE && !sk_config_knows(sk_config_program(w->config), name)) {
        char *place = place_of(w, key);
        struct sk_status s = sk_config_unknown(sk_config_program(w->config), place, name);
        free(place);
        return s;
    }
    return set_node(w, name, value, depth);
}

static struct sk_status set_node(struct walk *w, const char *name, const yaml_node_t *node,
                                 int depth)
{
    if (depth > DEPTH_LIMIT) return refuse(w, node, "nested more than 8 deep");
    if (node->type == YAML_MAPPING_NODE) {
        for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
             p++)
            SK_TRY(set_pair(w, name, p, depth + 1));
        return SK_SUCCESS;
    }
    if (!name[0]) return refuse(w, node, "expected `name: value` lines");
    if (node->type == YAML_SEQUENCE_NODE) return set_list(w, name, node);
    if (!is_plain(node)) return refuse(w, node, "the value has a zero byte inside");
    return set_value(w, name, text_of(node), node);
}

static struct sk_status parse(sk_config *config, const char *path, FILE *file)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (!yaml_parser_initialize(&parser)) return sk_error(SK_NO_MEMORY, "file %s", path);
    yaml_parser_set_input_file(&parser, file);
    struct sk_status s = SK_SUCCESS;
    if (!yaml_parser_load(&parser, &document)) {
        s = sk_error(SK_INVALID, "file %s:%zu: not YAML: %s", path, parser.problem_mark.line + 1,
                     parser.problem ? parser.problem : "unreadable");
    } else {
        struct walk w = {.config = config, .document = &document, .path = path};
        const yaml_node_t *root = yaml_document_get_root_node(&document);
        if (root) s = set_node(&w, "", root, 0);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return s;
}

struct sk_status sk_config_read_file(sk_config *config, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file) return sk_errno(errno, "configuration file %s", path);
    struct sk_status s = SK_SUCCESS;
    if (fseek(file, 0, SEEK_END) == 0 && ftell(file) > FILE_LIMIT)
        s = sk_error(SK_INVALID, "file %s is larger than 1 MiB: is it the right one?", path);
    rewind(file);
    if (sk_ok(s)) s = parse(config, path, file);
    fclose(file);
    return s;
}
