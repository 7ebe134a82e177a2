/* descriptor_set.c - all .proto files as a serialized FileDescriptorSet in a C array.
 * protoc hands them over with their imports, each after those that it imports. */
#include "generator.h"

static void emit_bytes(struct page *page, struct sk_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        fprintf(page->stream, "%s%u,", i % 24 ? "" : "\n    ", bytes.data[i]);
}

void emit_descriptor_set(struct generator *gen)
{
    for (size_t i = 0; i < gen->request->n_proto_file; i++)
        gen->request->proto_file[i]->source_code_info = NULL; /* comments: nobody asks */
    Google__Protobuf__FileDescriptorSet set = GOOGLE__PROTOBUF__FILE_DESCRIPTOR_SET__INIT;
    set.n_file = gen->request->n_proto_file;
    set.file = gen->request->proto_file;
    struct page page;
    page_open(&page, gen, gen->descriptor_file);
    page_line(&page, "/* The descriptors of all .proto files. Made by protoc-gen-skua. */");
    page_line(&page, "#include \"proto/descriptors.h\"\n");
    fputs("static const uint8_t BYTES[] = {", page.stream);
    emit_bytes(&page, sk_proto_pack(&set.base, gen->arena));
    page_line(&page, "\n};\n");
    page_line(&page, "const struct sk_slice skua_descriptor_set = {BYTES, sizeof BYTES};");
    page_close(&page);
}
