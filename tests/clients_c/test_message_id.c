/* Message ids of version 1, against the example of protocol.md 5.1. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/internal.h"

START_TEST(the_example_is_rebuilt)
{
    const uint8_t mac[6] = {0x56, 0xF7, 0xE7, 0x1C, 0x36, 0x1B};
    char id[ID_TEXT];
    message_id_format(mac, 0x21BC, 0x024CCDBE, 0, id);
    ck_assert_str_eq(id, "0156F7E71C361B21BC024CCDBE00000000");
    message_id_format(mac, 0xFFFF, UINT32_MAX, UINT32_MAX, id);
    ck_assert_str_eq(id, "0156F7E71C361BFFFFFFFFFFFFFFFFFFFF");
}
END_TEST

START_TEST(ids_grow_and_carry_this_process)
{
    char first[ID_TEXT], second[ID_TEXT], pid[5];
    message_id_next(first);
    message_id_next(second);
    snprintf(pid, sizeof pid, "%04X", (unsigned)(uint16_t)getpid());
    ck_assert_uint_eq(strlen(first), 34);
    ck_assert_uint_eq(strspn(first, "0123456789ABCDEF"), 34);
    ck_assert_int_eq(strncmp(first, "01", 2), 0);
    ck_assert_int_eq(strncmp(first + 14, pid, 4), 0);
    ck_assert_int_eq(strncmp(first, second, 18), 0);
    ck_assert_int_lt(strcmp(first, second), 0);
}
END_TEST

START_TEST(a_message_keeps_its_id_until_it_is_taken_away)
{
    char first[ID_TEXT];
    sk_arena *arena = sk_arena_new(0);
    skua_message *m = skua_message_new("t", "x", 1);
    messages_pack("", &m, 1, arena);
    strcpy(first, skua_message_id(m));
    ck_assert_uint_eq(strlen(first), 34);
    messages_pack("", &m, 1, arena);
    ck_assert_str_eq(skua_message_id(m), first);
    skua_message_set_id(m, "");
    messages_pack("", &m, 1, arena);
    ck_assert_str_ne(skua_message_id(m), first);
    skua_message_set_id(m, "mine");
    messages_pack("", &m, 1, arena);
    ck_assert_str_eq(skua_message_id(m), "mine");
    skua_message_free(m);
    sk_arena_free(arena);
}
END_TEST

/* What is packed is what a server reads. */
START_TEST(a_packed_message_has_all_its_parts)
{
    sk_arena *arena = sk_arena_new(0);
    ProtobufCAllocator allocator = sk_proto_allocator(arena);
    const char body[] = "a\0b\xFF";
    skua_message *m = skua_message_new("orders", body, sizeof body);
    skua_message_set_tag(m, "new");
    skua_message_add_key(m, "k 1");
    skua_message_add_key(m, "k2");
    skua_message_set_property(m, "colour", "blue");
    skua_message_set_property(m, "empty", "");
    rmq_send_message_request *r =
        rmq_send_message_request_unpack(&allocator, messages_pack("space", &m, 1, arena));
    ck_assert_ptr_nonnull(r);
    const rmq_message *got = r->messages[0];
    const rmq_system_properties *s = got->system_properties;
    ck_assert_str_eq(got->topic->name, "orders");
    ck_assert_str_eq(got->topic->resource_namespace, "space");
    ck_assert_uint_eq(got->body.len, sizeof body);
    ck_assert_int_eq(memcmp(got->body.data, body, sizeof body), 0);
    ck_assert_str_eq(rmq_system_properties_get_tag(s), "new");
    ck_assert_uint_eq(s->n_keys, 2);
    ck_assert_str_eq(s->keys[0], "k 1");
    ck_assert_uint_eq(got->n_user_properties, 2);
    ck_assert_str_eq(got->user_properties[1]->key, "empty");
    ck_assert_int_eq(s->message_type, RMQ_MESSAGE_TYPE_NORMAL);
    ck_assert_int_eq(s->body_encoding, RMQ_ENCODING_IDENTITY);
    ck_assert_ptr_nonnull(s->born_timestamp);
    ck_assert(!rmq_system_properties_has_message_group(s));
    skua_message_free(m);
    sk_arena_free(arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clients/message_id");
    TCase *tc = tcase_create("message_id");
    tcase_add_test(tc, the_example_is_rebuilt);
    tcase_add_test(tc, ids_grow_and_carry_this_process);
    tcase_add_test(tc, a_message_keeps_its_id_until_it_is_taken_away);
    tcase_add_test(tc, a_packed_message_has_all_its_parts);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
