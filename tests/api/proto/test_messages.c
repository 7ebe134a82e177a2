/* test_messages.c - RocketMQ's own messages through the wire: presence, the empty-string trap,
 * unknown fields, the arena's budget. */
#include <stdlib.h>

#include "apache/rocketmq/v2/service.alias.h"
#include "support/suite.h"

static sk_arena *arena;
static ProtobufCAllocator allocator;

static void setup(void)
{
    arena = sk_arena_new(0);
    allocator = sk_proto_allocator(arena);
}

static void teardown(void)
{
    sk_arena_free(arena);
}

/* Field 14 with the value 0, as every official client that sets it writes it. */
START_TEST(explicit_zero_is_written)
{
    rmq_system_properties m = RMQ_SYSTEM_PROPERTIES_INIT;
    rmq_system_properties_set_queue_offset(&m, 0);
    struct sk_slice bytes = sk_proto_pack(&m.base, arena);
    ck_assert(sk_slice_eq(bytes, SK_SLICE("\x70\x00")));
    rmq_system_properties *got = rmq_system_properties_unpack(&allocator, bytes);
    ck_assert(rmq_system_properties_has_queue_offset(got));
    ck_assert(!rmq_system_properties_has_delivery_attempt(got));
}
END_TEST

START_TEST(empty_text_is_written)
{
    rmq_system_properties m = RMQ_SYSTEM_PROPERTIES_INIT;
    rmq_system_properties_set_tag(&m, "");
    struct sk_slice bytes = sk_proto_pack(&m.base, arena);
    ck_assert(sk_slice_eq(bytes, SK_SLICE("\x0a\x00")));
    rmq_system_properties *got = rmq_system_properties_unpack(&allocator, bytes);
    ck_assert(rmq_system_properties_has_tag(got));
    ck_assert_str_eq(rmq_system_properties_get_tag(got), "");
}
END_TEST

/* What the setters are for: protobuf-c drops its own empty string, though the case is set. If
 * this fails, protobuf-c has changed and sk_proto_text may go. */
START_TEST(default_text_in_a_oneof_is_dropped_by_protobuf_c)
{
    rmq_system_properties m = RMQ_SYSTEM_PROPERTIES_INIT;
    rmq_system_properties_set_tag(&m, "x");
    m.tag = sk_proto_default_text;
    ck_assert_uint_eq(rmq_system_properties_packed_size(&m), 0);
}
END_TEST

START_TEST(plain_text_begins_empty_and_unwritten)
{
    rmq_resource m = RMQ_RESOURCE_INIT;
    ck_assert_str_eq(m.name, "");
    ck_assert_uint_eq(rmq_resource_packed_size(&m), 0);
    rmq_resource other;
    rmq_resource_init(&other);
    ck_assert_ptr_eq(m.name, other.name);
}
END_TEST

/* A newer client's fields in a message that a relay unpacks and packs again. */
START_TEST(unknown_fields_are_kept)
{
    static const uint8_t NEWER[] = {0x0a, 0x02, 0x12, 0x00, /* topic {name: ""} */
                                    0xfa, 0x3f, 0x03, 'n',  'e', 'w'};
    rmq_query_route_request *m =
        rmq_query_route_request_unpack(&allocator, sk_slice_of(NEWER, sizeof NEWER));
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(m->base.n_unknown_fields, 1);
    uint8_t out[64];
    size_t size = rmq_query_route_request_pack(m, out);
    ck_assert(memmem(out, size, NEWER + 4, sizeof NEWER - 4) != NULL);
}
END_TEST

/* Enums are open: a code of the future is a number, not an error. */
START_TEST(unknown_enum_value_is_kept)
{
    static const uint8_t BYTES[] = {0x08, 0xff, 0xff, 0x03}; /* code 65535 */
    rmq_status *m = rmq_status_unpack(&allocator, sk_slice_of(BYTES, sizeof BYTES));
    ck_assert_int_eq((int)m->code, 65535);
    ck_assert_str_eq(rmq_code_name(65535), "UNRECOGNIZED");
    ck_assert(sk_slice_eq(sk_proto_pack(&m->base, arena), sk_slice_of(BYTES, sizeof BYTES)));
}
END_TEST

/* Repeated enums come packed from protobuf 3 and one by one from older writers. */
START_TEST(repeated_enums_are_read_in_both_forms)
{
    static const char *const forms[] = {"\x2a\x02\x01\x02", "\x28\x01\x28\x02"};
    for (int i = 0; i < ROWS(forms); i++) {
        rmq_message_queue *m = rmq_message_queue_unpack(&allocator, sk_slice_of_text(forms[i]));
        ck_assert_ptr_nonnull(m);
        ck_assert_uint_eq(m->n_accept_message_types, 2);
        ck_assert_int_eq(m->accept_message_types[0], RMQ_MESSAGE_TYPE_NORMAL);
        ck_assert_int_eq(m->accept_message_types[1], RMQ_MESSAGE_TYPE_FIFO);
    }
}
END_TEST

START_TEST(meaningful_zeros_have_names)
{
    ck_assert_str_eq(rmq_query_offset_policy_name(RMQ_QUERY_OFFSET_POLICY_BEGINNING), "BEGINNING");
    ck_assert_str_eq(rmq_offset_option_policy_name(RMQ_OFFSET_OPTION_POLICY_LAST), "LAST");
    ck_assert_int_eq(RMQ_CODE_OK, 20000);
    ck_assert_int_eq(RMQ_ADDRESS_SCHEME_IPV4, 1);
}
END_TEST

/* 4 MiB of empty sub-messages would become 300 MiB of memory: the budget says no. */
START_TEST(arena_budget_stops_amplification)
{
    size_t size = 4u << 20;
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i += 2) memcpy(bytes + i, "\x0a\x00", 2);
    sk_arena *small = sk_arena_new(16u << 20);
    ProtobufCAllocator tight = sk_proto_allocator(small);
    ck_assert_ptr_null(rmq_send_message_request_unpack(&tight, sk_slice_of(bytes, size)));
    ck_assert(sk_arena_is_exhausted(small));
    sk_arena_free(small);
    free(bytes);
}
END_TEST

START_TEST(broken_bytes_are_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"\x0a", 1},                 /* a tag and no length */
        {"\x0a\x05\x0a", 3},         /* longer than the rest */
        {"\x0a\x02\x08", 3},         /* cut in a sub-message */
        {"\x80\x80\x80\x80\x80", 5}, /* a tag without an end */
        {"\x0b", 1},                 /* a group */
    };
    for (int i = 0; i < ROWS(rows); i++)
        ck_assert_ptr_null(
            rmq_send_message_request_unpack(&allocator, sk_slice_of(rows[i].bytes, rows[i].len)));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("proto.messages");
    TCase *tc = tcase_create("messages");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, explicit_zero_is_written);
    tcase_add_test(tc, empty_text_is_written);
    tcase_add_test(tc, default_text_in_a_oneof_is_dropped_by_protobuf_c);
    tcase_add_test(tc, plain_text_begins_empty_and_unwritten);
    tcase_add_test(tc, unknown_fields_are_kept);
    tcase_add_test(tc, unknown_enum_value_is_kept);
    tcase_add_test(tc, repeated_enums_are_read_in_both_forms);
    tcase_add_test(tc, meaningful_zeros_have_names);
    tcase_add_test(tc, arena_budget_stops_amplification);
    tcase_add_test(tc, broken_bytes_are_refused);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(make_suite)
