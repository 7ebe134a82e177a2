/* test_descriptors.c - the embedded descriptor set: whole, in order, and without a message type
 * that can contain itself (protobuf-c has no limit on depth: reliability.md 0.9). */
#include "google/protobuf/descriptor.alias.h"
#include "proto/descriptors.h"
#include "support/suite.h"

static sk_arena *arena;
static pb_file_descriptor_set *set;

static void setup(void)
{
    arena = sk_arena_new(0);
    ProtobufCAllocator allocator = sk_proto_allocator(arena);
    set = pb_file_descriptor_set_unpack(&allocator, skua_descriptor_set);
    ck_assert_ptr_nonnull(set);
}

static void teardown(void)
{
    sk_arena_free(arena);
}

/* Index of the file, or -1. */
static int find_file(const char *name)
{
    for (size_t i = 0; i < set->n_file; i++)
        if (strcmp(set->file[i]->name, name) == 0) return (int)i;
    return -1;
}

START_TEST(all_files_are_there)
{
    static const char *const names[] = {
        "apache/rocketmq/v2/definition.proto",
        "apache/rocketmq/v2/service.proto",
        "apache/rocketmq/v2/admin.proto",
        "skua/v1/namesrv.proto",
        "skua/v1/admin.proto",
        "grpc/health/v1/health.proto",
        "grpc/reflection/v1/reflection.proto",
        "grpc/reflection/v1alpha/reflection.proto",
        "google/protobuf/timestamp.proto",
        "google/protobuf/duration.proto",
    };
    for (int i = 0; i < ROWS(names); i++)
        ck_assert_msg(find_file(names[i]) >= 0, "%s is missing", names[i]);
}
END_TEST

START_TEST(imports_come_before_their_importers)
{
    for (size_t i = 0; i < set->n_file; i++) {
        for (size_t j = 0; j < set->file[i]->n_dependency; j++) {
            int at = find_file(set->file[i]->dependency[j]);
            ck_assert_msg(at >= 0 && at < (int)i, "%s imports %s", set->file[i]->name,
                          set->file[i]->dependency[j]);
        }
    }
}
END_TEST

/* protoc-gen-c is given the request without these flags; reflection must still show them. */
START_TEST(optional_is_kept)
{
    const pb_file_descriptor_proto *file =
        set->file[find_file("apache/rocketmq/v2/definition.proto")];
    size_t optional = 0;
    for (size_t i = 0; i < file->n_message_type; i++)
        for (size_t j = 0; j < file->message_type[i]->n_field; j++)
            if (file->message_type[i]->field[j]->proto3_optional) optional++;
    ck_assert_uint_eq(optional, 24);
}
END_TEST

/* --- no recursion --------------------------------------------------------------------------------
 */

#define MAX_TYPES 1024

struct type {
    const char *name; /* ".pkg.Message" */
    const pb_descriptor_proto *message;
    enum { UNSEEN, OPEN, CLOSED } mark;
};

static struct type types[MAX_TYPES];
static size_t type_count;

static void collect(const char *scope, const pb_descriptor_proto *message)
{
    const char *name = sk_arena_printf(arena, "%s.%s", scope, message->name);
    ck_assert_uint_lt(type_count, MAX_TYPES);
    types[type_count++] = (struct type){.name = name, .message = message};
    for (size_t i = 0; i < message->n_nested_type; i++) collect(name, message->nested_type[i]);
}

static struct type *find_type(const char *name)
{
    for (size_t i = 0; i < type_count; i++)
        if (strcmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}

/* The name of a type below `type` that can contain itself, or NULL. */
static const char *find_recursion(struct type *type)
{
    if (type->mark == OPEN) return type->name;
    if (type->mark == CLOSED) return NULL;
    type->mark = OPEN;
    const char *found = NULL;
    for (size_t i = 0; i < type->message->n_field && !found; i++) {
        const pb_field_descriptor_proto *field = type->message->field[i];
        if (field->type != PB_FIELD_DESCRIPTOR_PROTO_TYPE_MESSAGE) continue;
        struct type *below = find_type(field->type_name);
        ck_assert_msg(below != NULL, "%s is not in the set", field->type_name);
        found = find_recursion(below);
    }
    type->mark = CLOSED;
    return found;
}

START_TEST(no_message_contains_itself)
{
    type_count = 0;
    for (size_t i = 0; i < set->n_file; i++)
        for (size_t j = 0; j < set->file[i]->n_message_type; j++)
            collect(sk_arena_printf(arena, ".%s", set->file[i]->package),
                    set->file[i]->message_type[j]);
    ck_assert_uint_gt(type_count, 150);
    for (size_t i = 0; i < type_count; i++) {
        const char *found = find_recursion(&types[i]);
        ck_assert_msg(found == NULL, "%s can contain itself", found);
    }
}
END_TEST

START_TEST(recursion_would_be_found)
{
    pb_field_descriptor_proto field = PB_FIELD_DESCRIPTOR_PROTO_INIT;
    pb_field_descriptor_proto *fields[] = {&field};
    pb_descriptor_proto outer = PB_DESCRIPTOR_PROTO_INIT;
    pb_descriptor_proto inner = PB_DESCRIPTOR_PROTO_INIT;
    field.type = PB_FIELD_DESCRIPTOR_PROTO_TYPE_MESSAGE;
    field.type_name = (char[]){".p.Inner"};
    outer.n_field = inner.n_field = 1;
    outer.field = inner.field = fields;
    types[0] = (struct type){.name = ".p.Outer", .message = &outer};
    types[1] = (struct type){.name = ".p.Inner", .message = &inner};
    type_count = 2;
    ck_assert_str_eq(find_recursion(&types[0]), ".p.Inner");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("proto.descriptors");
    TCase *tc = tcase_create("descriptors");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, all_files_are_there);
    tcase_add_test(tc, imports_come_before_their_importers);
    tcase_add_test(tc, optional_is_kept);
    tcase_add_test(tc, no_message_contains_itself);
    tcase_add_test(tc, recursion_would_be_found);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(make_suite)
