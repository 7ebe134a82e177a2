/* main.c - protoc-gen-skua: a protoc plugin. See api/plugin/README.md.
 *
 * Options (protoc --skua_out=OPTION,OPTION,...:DIR)
 *     PACKAGE=PREFIX         names of that package begin with PREFIX_
 *     protoc-gen-c=PROGRAM   who makes the messages; else found on PATH
 *     descriptor-set=FILE    write only FILE, a C array with all descriptors */
#include <stdlib.h>
#include <string.h>

#include "generator.h"
#include "proto/message.h"

static void set_option(struct generator *gen, char *option)
{
    char *value = strchr(option, '=');
    if (!value) {
        names_fail(&gen->names, "option %s: want NAME=VALUE", option);
        return;
    }
    *value++ = '\0';
    if (strcmp(option, "protoc-gen-c") == 0)
        gen->protoc_gen_c = value;
    else if (strcmp(option, "descriptor-set") == 0)
        gen->descriptor_file = value;
    else
        names_add_package(&gen->names, option, value);
}

static void read_options(struct generator *gen)
{
    char *text = sk_arena_text(gen->arena, sk_slice_of_text(gen->request->parameter));
    char *rest = NULL;
    for (char *option = strtok_r(text, ",", &rest); option; option = strtok_r(NULL, ",", &rest))
        set_option(gen, option);
    for (size_t i = 0; i < gen->request->n_proto_file; i++) {
        const pb_file *file = gen->request->proto_file[i];
        if (file->package) names_add_package(&gen->names, file->package, NULL);
    }
}

static const pb_file *find_file(const pb_request *request, const char *name)
{
    for (size_t i = 0; i < request->n_proto_file; i++)
        if (strcmp(request->proto_file[i]->name, name) == 0) return request->proto_file[i];
    return NULL;
}

static void emit_file(struct generator *gen, const char *name)
{
    const pb_file *file = find_file(gen->request, name);
    if (!file || !file->package) {
        names_fail(&gen->names, "%s: a package is needed", name);
        return;
    }
    emit_alias_header(gen, file);
    emit_rpc_header(gen, file);
    emit_rpc_source(gen, file);
}

static void run(struct generator *gen)
{
    read_options(gen);
    if (gen->descriptor_file) {
        emit_descriptor_set(gen);
        return;
    }
    for (size_t i = 0; i < gen->request->n_file_to_generate && !gen->names.error; i++)
        emit_file(gen, gen->request->file_to_generate[i]);
    if (!gen->names.error) emit_messages(gen);
}

static bool answer(struct generator *gen)
{
    pb_response response = GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__INIT;
    response.has_supported_features = 1;
    response.supported_features =
        GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__FEATURE__FEATURE_PROTO3_OPTIONAL;
    if (gen->names.error) {
        response.error = sk_arena_text(gen->arena, sk_slice_of_text(gen->names.error));
    } else {
        response.n_file = gen->output_count;
        response.file = gen->outputs;
    }
    struct sk_slice bytes = sk_proto_pack(&response.base, gen->arena);
    return fwrite(bytes.data, 1, bytes.len, stdout) == bytes.len && fflush(stdout) == 0;
}

int main(void)
{
    sk_arena *arena = sk_arena_new(0);
    struct generator gen = {
        .arena = arena,
        .allocator = sk_proto_allocator(arena),
        .protoc_gen_c = "protoc-gen-c",
    };
    names_init(&gen.names, arena);
    struct sk_slice input = generator_read(&gen, stdin);
    gen.request = google__protobuf__compiler__code_generator_request__unpack(&gen.allocator,
                                                                             input.len, input.data);
    bool ok = gen.request != NULL;
    if (ok) {
        run(&gen);
        ok = answer(&gen);
    } else {
        fprintf(stderr, "protoc-gen-skua: standard input is not a request of protoc\n");
    }
    names_done(&gen.names);
    sk_arena_free(arena);
    return ok ? 0 : 1;
}
