/* generator.h - one run of the plugin: what protoc asked, what we answer.
 *
 *      stdin: CodeGeneratorRequest ─► options ─► per file: alias.c, rpc_header.c, rpc_source.c
 *                                  └─► messages.c (protoc-gen-c does the messages)
 *      stdout: CodeGeneratorResponse ◄─ all files
 */
#ifndef SK_PLUGIN_GENERATOR_H
#define SK_PLUGIN_GENERATOR_H

#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"
#include "google/protobuf/compiler/plugin.pb-c.h"
#include "names.h"
#include "proto/message.h"

/* The long names of protobuf-c, once. */
typedef Google__Protobuf__Compiler__CodeGeneratorRequest pb_request;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse pb_response;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse__File pb_output;
typedef Google__Protobuf__FileDescriptorProto pb_file;
typedef Google__Protobuf__DescriptorProto pb_message;
typedef Google__Protobuf__FieldDescriptorProto pb_field;
typedef Google__Protobuf__EnumDescriptorProto pb_enum;
typedef Google__Protobuf__OneofDescriptorProto pb_oneof;
typedef Google__Protobuf__ServiceDescriptorProto pb_service;
typedef Google__Protobuf__MethodDescriptorProto pb_method;

struct generator {
    sk_arena *arena;
    ProtobufCAllocator allocator; /* on the arena */
    pb_request *request;
    struct names names;
    const char *protoc_gen_c;    /* the program that makes the messages */
    const char *descriptor_file; /* emit only this: the descriptor set as C */
    pb_output **outputs;
    size_t output_count;
};

/* `content` is kept, not copied. */
void generator_add(struct generator *gen, const char *name, char *content);

/* Everything up to the end of the file. */
struct sk_slice generator_read(struct generator *gen, FILE *file);

/* A growing text that becomes an output file. */
struct page {
    struct generator *gen;
    const char *name;
    bool proto3; /* what the file is about */
    FILE *stream;
    char *text;
    size_t size;
};
void page_open(struct page *page, struct generator *gen, const char *name);
void page_close(struct page *page);

/* Templates: ${key} is replaced. The list ends with a NULL key. */
struct var {
    const char *key;
    const char *value;
};
/* Ends the process if there is none: a template is wrong. */
const char *var_find(const struct var *vars, const char *key, size_t len);
void page_emit(struct page *page, const char *template, const struct var *vars);
void page_line(struct page *page, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "a/b.proto" with another ending: "a/b.alias.h". */
const char *generator_path(struct generator *gen, const pb_file *file, const char *ending);
/* "A_B_ALIAS_H" */
const char *generator_guard(struct generator *gen, const char *path);
/* ".pkg.Type" without the dot */
static inline const char *type_full_name(const char *type_name)
{
    return type_name + 1;
}

/* The steps. Each reports errors through gen->names. */
void emit_alias_header(struct generator *gen, const pb_file *file);
void emit_rpc_header(struct generator *gen, const pb_file *file);
void emit_rpc_source(struct generator *gen, const pb_file *file);
void emit_descriptor_set(struct generator *gen);
/* Takes from the request what protoc-gen-c cannot do and has it answer: call it last. */
void emit_messages(struct generator *gen);

#endif
