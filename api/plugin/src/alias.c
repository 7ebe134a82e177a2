/* alias.c - NAME.alias.h: short names for messages, enums and their constants, and
 * helpers for presence. */
#include <string.h>

#include "generator.h"

static const struct var NO_VARS[] = {{NULL, NULL}};

/* --- enums ------------------------------------------------------------------------------- */

/* Would leaving out the shared words make two constants of this enum one? */
static bool can_join(struct names *names, const char *alias, const pb_enum *it)
{
    for (size_t i = 0; i < it->n_value; i++) {
        const char *one = names_constant(names, alias, it->value[i]->name, true);
        for (size_t j = 0; j < i; j++)
            if (strcmp(one, names_constant(names, alias, it->value[j]->name, true)) == 0)
                return false;
    }
    return true;
}

static void emit_enum(struct page *page, const char *full, const pb_enum *it)
{
    struct names *names = &page->gen->names;
    const char *alias = names_claim(names, names_alias(names, full), full);
    const struct var vars[] = {
        {"alias", alias},
        {"type", names_c_type(names, full)},
        {"lower", names_c_lower(names, full)},
        {NULL, NULL},
    };
    page_emit(page,
              "\n"
              "typedef ${type} ${alias};\n"
              "#define ${alias}_descriptor ${lower}__descriptor\n"
              "static inline const char *${alias}_name(int value)\n"
              "{\n"
              "    return sk_proto_enum_name(&${alias}_descriptor, value);\n"
              "}\n",
              vars);
    bool join = can_join(names, alias, it);
    for (size_t i = 0; i < it->n_value; i++) {
        const char *value = it->value[i]->name;
        const char *constant = names_constant(names, alias, value, join);
        names_claim(names, constant, names_text(names, "%s.%s", full, value));
        page_line(page, "#define %s %s__%s", constant, names_c_upper(names, full), value);
    }
}

/* --- messages ------------------------------------------------------------------------------ */

#define TYPE(name) GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_##name
#define REPEATED GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED

/* In proto3 everything begins as zero but plain text, which begins as protobuf-c's own empty
 * string. Its ready initializer says so with a cast that drops a const: a warning at every use. */
static void emit_initializer(struct page *page, const char *full, const pb_message *message)
{
    struct names *names = &page->gen->names;
    const char *alias = names_alias(names, full);
    const char *upper = names_upper(names, alias);
    if (!page->proto3) {
        page_line(page, "#define %s_INIT %s__INIT", upper, names_c_upper(names, full));
        return;
    }
    page_line(page, "#define %s_INIT                                     \\", upper);
    page_line(page, "    {                                               \\");
    page_line(page, "        .base = PROTOBUF_C_MESSAGE_INIT(&%s_descriptor), \\", alias);
    for (size_t i = 0; i < message->n_field; i++) {
        const pb_field *field = message->field[i];
        if (field->type != TYPE(STRING) || field->label == REPEATED || field->has_oneof_index)
            continue;
        page_line(page, "        .%s = sk_proto_default_text, \\",
                  names_c_member(names, field->name));
    }
    page_line(page, "    }");
}

static void emit_message(struct page *page, const char *full, const pb_message *message)
{
    struct names *names = &page->gen->names;
    const char *alias = names_claim(names, names_alias(names, full), full);
    static const char *const MADE[] = {"init", "unpack", "free", "packed_size", "pack"};
    for (size_t i = 0; i < sizeof MADE / sizeof *MADE; i++)
        names_claim(names, names_text(names, "%s_%s", alias, MADE[i]), full);
    const struct var vars[] = {
        {"alias", alias},
        {"type", names_c_type(names, full)},
        {"lower", names_c_lower(names, full)},
        {NULL, NULL},
    };
    page_emit(page,
              "\n"
              "typedef ${type} ${alias};\n"
              "#define ${alias}_descriptor ${lower}__descriptor\n",
              vars);
    emit_initializer(page, full, message);
    page_emit(page,
              "static inline void ${alias}_init(${alias} *message)\n"
              "{\n"
              "    ${lower}__init(message);\n"
              "}\n"
              "static inline ${alias} *${alias}_unpack(ProtobufCAllocator *allocator,\n"
              "                                        struct sk_slice bytes)\n"
              "{\n"
              "    return (${alias} *)protobuf_c_message_unpack(&${alias}_descriptor, allocator,\n"
              "                                                 bytes.len, bytes.data);\n"
              "}\n"
              "static inline void ${alias}_free(${alias} *message, ProtobufCAllocator *allocator)\n"
              "{\n"
              "    if (message) protobuf_c_message_free_unpacked(&message->base, allocator);\n"
              "}\n"
              "static inline size_t ${alias}_packed_size(const ${alias} *message)\n"
              "{\n"
              "    return protobuf_c_message_get_packed_size(&message->base);\n"
              "}\n"
              "static inline size_t ${alias}_pack(const ${alias} *message, uint8_t *out)\n"
              "{\n"
              "    return protobuf_c_message_pack(&message->base, out);\n"
              "}\n",
              vars);
}

/* --- presence ---------------------------------------------------------------------------------
 * A field of a oneof, and so every proto3 `optional` field: protobuf-c has a case number
 * beside a union. */

enum shape { SHAPE_SCALAR, SHAPE_TEXT, SHAPE_BYTES, SHAPE_MESSAGE };

struct kind {
    enum shape shape;
    const char *type; /* of the value in our helpers */
};

static struct kind field_kind(struct names *names, const pb_field *field)
{
    switch (field->type) {
    case TYPE(DOUBLE):
        return (struct kind){SHAPE_SCALAR, "double "};
    case TYPE(FLOAT):
        return (struct kind){SHAPE_SCALAR, "float "};
    case TYPE(INT64):
    case TYPE(SINT64):
    case TYPE(SFIXED64):
        return (struct kind){SHAPE_SCALAR, "int64_t "};
    case TYPE(UINT64):
    case TYPE(FIXED64):
        return (struct kind){SHAPE_SCALAR, "uint64_t "};
    case TYPE(INT32):
    case TYPE(SINT32):
    case TYPE(SFIXED32):
        return (struct kind){SHAPE_SCALAR, "int32_t "};
    case TYPE(UINT32):
    case TYPE(FIXED32):
        return (struct kind){SHAPE_SCALAR, "uint32_t "};
    case TYPE(BOOL):
        return (struct kind){SHAPE_SCALAR, "bool "};
    case TYPE(STRING):
        return (struct kind){SHAPE_TEXT, "const char *"};
    case TYPE(BYTES):
        return (struct kind){SHAPE_BYTES, "struct sk_slice "};
    default:
        break;
    }
    const char *alias = names_alias(names, type_full_name(field->type_name));
    if (field->type == TYPE(ENUM))
        return (struct kind){SHAPE_SCALAR, names_text(names, "%s ", alias)};
    return (struct kind){SHAPE_MESSAGE, names_text(names, "%s *", alias)};
}

#define GUARD_NULL                                                                                 \
    "    if (!value) {\n"                                                                          \
    "        ${clear}(message);\n"                                                                 \
    "        return;\n"                                                                            \
    "    }\n"

/* How a helper reads, writes and empties the member, by shape. */
static const struct {
    const char *has;   /* beyond the case being right */
    const char *get;   /* the member as our type */
    const char *none;  /* what an absent field reads as */
    const char *set;   /* our `value` as the member */
    const char *guard; /* before setting */
} SHAPES[] = {
    [SHAPE_SCALAR] = {"", "message->${member}", "(${type})0", "value", ""},
    [SHAPE_TEXT] = {" && message->${member}", "message->${member}", "\"\"", "sk_proto_text(value)",
                    GUARD_NULL},
    [SHAPE_BYTES] = {"", "sk_proto_slice(message->${member})", "SK_EMPTY", "sk_proto_bytes(value)",
                     ""},
    [SHAPE_MESSAGE] = {" && message->${member}", "message->${member}", "NULL", "value", GUARD_NULL},
};

static void emit_presence(struct page *page, const char *full, const pb_field *field,
                          const char *oneof)
{
    struct names *names = &page->gen->names;
    const char *alias = names_alias(names, full);
    const char *word = names_word(names, field->name);
    const char *owner = names_text(names, "%s.%s", full, field->name);
    static const char *const MADE[] = {"has", "get", "clear", "set"};
    const char *made[4];
    for (size_t i = 0; i < 4; i++)
        made[i] = names_claim(names, names_text(names, "%s_%s_%s", alias, MADE[i], word), owner);
    struct kind kind = field_kind(names, field);
    const char *upper = names_c_upper(names, full);
    const struct var vars[] = {
        {"alias", alias},
        {"type", kind.type},
        {"has", made[0]},
        {"get", made[1]},
        {"clear", made[2]},
        {"set", made[3]},
        {"member", names_c_member(names, field->name)},
        {"case", names_text(names, "%s_case", names_c_word(names, oneof))},
        {"this", names_text(names, "%s__%s_%s", upper, names_c_WORD(names, oneof),
                            names_c_WORD(names, field->name))},
        {"none", names_text(names, "%s__%s__NOT_SET", upper, names_c_WORD(names, oneof))},
        {NULL, NULL},
    };
    page_emit(page,
              "static inline bool ${has}(const ${alias} *message)\n"
              "{\n"
              "    return message->${case} == ${this}",
              vars);
    page_emit(page, SHAPES[kind.shape].has, vars);
    page_emit(page, ";\n}\nstatic inline ${type}${get}(const ${alias} *message)\n{\n", vars);
    page_emit(page, "    return ${has}(message) ? ", vars);
    page_emit(page, SHAPES[kind.shape].get, vars);
    page_emit(page, " : ", vars);
    page_emit(page, SHAPES[kind.shape].none, vars);
    page_emit(page,
              ";\n}\nstatic inline void ${clear}(${alias} *message)\n"
              "{\n"
              "    if (message->${case} == ${this}) message->${case} = ${none};\n"
              "}\n"
              "static inline void ${set}(${alias} *message, ${type}value)\n"
              "{\n",
              vars);
    page_emit(page, SHAPES[kind.shape].guard, vars);
    page_emit(page, "    message->${case} = ${this};\n    message->${member} = ", vars);
    page_emit(page, SHAPES[kind.shape].set, vars);
    page_emit(page, ";\n}\n", NO_VARS);
}

/* Names for the cases of a oneof that its author wrote (not of an `optional` field). */
static void emit_cases(struct page *page, const char *full, const pb_message *message, size_t index)
{
    struct names *names = &page->gen->names;
    const char *oneof = message->oneof_decl[index]->name;
    const char *c_case =
        names_text(names, "%s__%s", names_c_upper(names, full), names_c_WORD(names, oneof));
    const char *ours = names_text(names, "%s_%s", names_upper(names, names_alias(names, full)),
                                  names_upper(names, names_word(names, oneof)));
    const char *owner = names_text(names, "oneof %s.%s", full, oneof);
    page_line(page, "#define %s %s__NOT_SET",
              names_claim(names, names_text(names, "%s_NOT_SET", ours), owner), c_case);
    for (size_t i = 0; i < message->n_field; i++) {
        const pb_field *field = message->field[i];
        if (!field->has_oneof_index || (size_t)field->oneof_index != index) continue;
        const char *constant =
            names_text(names, "%s_%s", ours, names_upper(names, names_word(names, field->name)));
        page_line(page, "#define %s %s_%s", names_claim(names, constant, owner), c_case,
                  names_c_WORD(names, field->name));
    }
}

static void emit_oneofs(struct page *page, const char *full, const pb_message *message)
{
    size_t synthetic = 0;
    for (size_t i = 0; i < message->n_field; i++)
        if (message->field[i]->proto3_optional) synthetic++;
    for (size_t i = 0; i + synthetic < message->n_oneof_decl; i++)
        emit_cases(page, full, message, i);
    for (size_t i = 0; i < message->n_field; i++) {
        const pb_field *field = message->field[i];
        if (!field->has_oneof_index) continue;
        emit_presence(page, full, field, message->oneof_decl[field->oneof_index]->name);
    }
}

/* --- the file ------------------------------------------------------------------------------ */

/* Types first, helpers after all types: a helper may speak of a later message. */
enum pass { PASS_ENUMS, PASS_MESSAGES, PASS_HELPERS };

static void walk(struct page *page, const char *scope, const pb_message *message, enum pass pass)
{
    struct names *names = &page->gen->names;
    const char *full = names_text(names, "%s.%s", scope, message->name);
    if (pass == PASS_MESSAGES) emit_message(page, full, message);
    if (pass == PASS_HELPERS) emit_oneofs(page, full, message);
    for (size_t i = 0; pass == PASS_ENUMS && i < message->n_enum_type; i++)
        emit_enum(page, names_text(names, "%s.%s", full, message->enum_type[i]->name),
                  message->enum_type[i]);
    for (size_t i = 0; i < message->n_nested_type; i++)
        walk(page, full, message->nested_type[i], pass);
}

void emit_alias_header(struct generator *gen, const pb_file *file)
{
    struct names *names = &gen->names;
    struct page page;
    const char *path = generator_path(gen, file, ".alias.h");
    page_open(&page, gen, path);
    page.proto3 = file->syntax && strcmp(file->syntax, "proto3") == 0;
    page_line(&page, "/* Short names for the messages of %s. Made by protoc-gen-skua. */",
              file->name);
    const char *guard = generator_guard(gen, path);
    page_line(&page, "#ifndef %s\n#define %s\n", guard, guard);
    page_line(&page, "#include \"%s\"", generator_path(gen, file, ".pb-c.h"));
    for (size_t i = 0; i < file->n_dependency; i++) {
        pb_file imported = {.name = file->dependency[i]};
        page_line(&page, "#include \"%s\"", generator_path(gen, &imported, ".alias.h"));
    }
    page_line(&page, "#include \"proto/message.h\"");
    for (size_t i = 0; i < file->n_enum_type; i++)
        emit_enum(&page, names_text(names, "%s.%s", file->package, file->enum_type[i]->name),
                  file->enum_type[i]);
    for (enum pass pass = PASS_ENUMS; pass <= PASS_HELPERS; pass++) {
        page_line(&page, "%s", "");
        for (size_t i = 0; i < file->n_message_type; i++)
            walk(&page, file->package, file->message_type[i], pass);
    }
    page_line(&page, "\n#endif");
    page_close(&page);
}
