/* The name rules of protocol.md 3.0 as a table, keys with namespaces, and the codes
 * that old clients know. */
#include "service/names.h"

#include <string.h>

#include "support/suite.h"

/* `length` other than 0: that many times the letter a, instead of the name. */
static const struct {
    const char *name;
    size_t length;
    rmq_code topic, group;
    const char *topic_text; /* NULL: not looked at */
} rows[] = {
    {"orders", 0, RMQ_CODE_OK, RMQ_CODE_OK, "OK"},
    {"a%|b-C_9", 0, RMQ_CODE_OK, RMQ_CODE_OK, NULL},
    {"", 0, RMQ_CODE_ILLEGAL_TOPIC, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, "topic name is blank"},
    {" \t", 0, RMQ_CODE_ILLEGAL_TOPIC, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, "topic name is blank"},
    {"a b", 0, RMQ_CODE_ILLEGAL_TOPIC, RMQ_CODE_ILLEGAL_CONSUMER_GROUP,
     "topic name has the character 0x20 at place 2; allowed are letters, digits and % | _ -"},
    {"a.b", 0, RMQ_CODE_ILLEGAL_TOPIC, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, NULL},
    {"\xc3\xa4", 0, RMQ_CODE_ILLEGAL_TOPIC, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, NULL},
    {"a\nb", 0, RMQ_CODE_ILLEGAL_TOPIC, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, NULL},
    {"", 120, RMQ_CODE_OK, RMQ_CODE_OK, NULL},
    {"", 121, RMQ_CODE_OK, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, NULL},
    {"", 127, RMQ_CODE_OK, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, NULL},
    {"", 128, RMQ_CODE_ILLEGAL_TOPIC, RMQ_CODE_ILLEGAL_CONSUMER_GROUP,
     "topic name has 128 characters; at most 127 are allowed"},
    {"%DLQ%", 250, RMQ_CODE_OK, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, NULL},
    {"%RETRY%", 248, RMQ_CODE_OK, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, NULL},
    {"%RETRY%", 249, RMQ_CODE_ILLEGAL_TOPIC, RMQ_CODE_ILLEGAL_CONSUMER_GROUP,
     "topic name has 256 characters; at most 255 are allowed"},
    {"TBW102", 0, RMQ_CODE_ILLEGAL_TOPIC, RMQ_CODE_OK, "topic 'TBW102' is reserved for the system"},
    {"SCHEDULE_TOPIC_XXXX", 0, RMQ_CODE_ILLEGAL_TOPIC, RMQ_CODE_OK, NULL},
    {"rmq_sys_x", 0, RMQ_CODE_ILLEGAL_TOPIC, RMQ_CODE_OK, NULL},
    {"CID_RMQ_SYS_x", 0, RMQ_CODE_OK, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, NULL},
};

START_TEST(names_are_judged_by_the_rules)
{
    char name[512] = "";
    strcpy(name, rows[_i].name);
    memset(name + strlen(name), 'a', rows[_i].length);
    struct sk_verdict topic = sk_topic_check(sk_slice_of_text(name));
    struct sk_verdict group = sk_group_check(sk_slice_of_text(name));
    ck_assert_msg(topic.code == rows[_i].topic, "topic %s: %s", name, topic.text);
    ck_assert_msg(group.code == rows[_i].group, "group %s: %s", name, group.text);
    if (rows[_i].topic_text) ck_assert_str_eq(topic.text, rows[_i].topic_text);
}
END_TEST

static const struct {
    const char *space, *name, *header;
    const char *want; /* NULL: refused */
} keys[] = {
    {"", "t", "", "t"},           {"ns", "t", "", "ns%t"},
    {"ns", "t", "other", "ns%t"}, {"", "t", "header", "header%t"},
    {"n s", "t", "", NULL},       {"", "", "ns", NULL},
};

START_TEST(keys_carry_the_effective_namespace)
{
    sk_arena *arena = sk_arena_new(0);
    rmq_resource resource = RMQ_RESOURCE_INIT;
    struct sk_slice key;
    resource.resource_namespace = sk_proto_text(keys[_i].space);
    resource.name = sk_proto_text(keys[_i].name);
    struct sk_verdict v = sk_topic_key(&resource, sk_slice_of_text(keys[_i].header), arena, &key);
    ck_assert_int_eq(v.code, keys[_i].want ? RMQ_CODE_OK : RMQ_CODE_ILLEGAL_TOPIC);
    if (keys[_i].want) ck_assert(sk_slice_eq(key, sk_slice_of_text(keys[_i].want)));
    ck_assert_int_eq(sk_group_key(NULL, SK_EMPTY, arena, &key).code,
                     RMQ_CODE_ILLEGAL_CONSUMER_GROUP);
    sk_arena_free(arena);
}
END_TEST

START_TEST(a_client_id_of_blanks_is_none)
{
    struct sk_asker asker = {.client_id = SK_SLICE(" ")};
    ck_assert_int_eq(sk_client_check(&asker).code, RMQ_CODE_CLIENT_ID_REQUIRED);
    asker.client_id = SK_SLICE("host@1@2");
    ck_assert(sk_granted(sk_client_check(&asker)));
}
END_TEST

START_TEST(rust_is_spared_the_codes_it_does_not_know)
{
    static const rmq_code unknown[] = {
        RMQ_CODE_ILLEGAL_OFFSET,
        RMQ_CODE_ILLEGAL_LITE_TOPIC,
        RMQ_CODE_OFFSET_NOT_FOUND,
        RMQ_CODE_INVALID_CLIENT_PROPERTIES,
        RMQ_CODE_MESSAGE_BODY_EMPTY,
        RMQ_CODE_LITE_TOPIC_QUOTA_EXCEEDED,
        RMQ_CODE_LITE_SUBSCRIPTION_QUOTA_EXCEEDED,
    };
    for (int i = 0; i < ROWS(unknown); i++) {
        rmq_code code = sk_code_for(SK_SLICE("RUST"), unknown[i]);
        for (int j = 0; j < ROWS(unknown); j++) ck_assert_int_ne(code, unknown[j]);
        ck_assert_int_ne(code, RMQ_CODE_OK);
        ck_assert_int_eq(sk_code_for(SK_SLICE("JAVA"), unknown[i]), unknown[i]);
    }
    ck_assert_int_eq(sk_code_for(SK_SLICE("RUST"), RMQ_CODE_TOPIC_NOT_FOUND),
                     RMQ_CODE_TOPIC_NOT_FOUND);
}
END_TEST

START_TEST(every_status_has_a_code_that_is_not_ok)
{
    for (int code = SK_RETRY; code <= SK_INTERNAL; code++) {
        struct sk_verdict v = sk_verdict_of((struct sk_status){.code = (enum sk_code)code});
        ck_assert_msg(v.code >= RMQ_CODE_BAD_REQUEST, "%s", sk_code_name((enum sk_code)code));
        ck_assert_str_ne(v.text, "");
    }
    ck_assert(sk_granted(sk_verdict_of(SK_SUCCESS)));
}
END_TEST

START_TEST(a_verdict_without_memory_is_still_a_status)
{
    sk_arena *arena = sk_arena_new(1);
    rmq_status *status = sk_verdict_message(SK_GRANTED, arena);
    ck_assert_int_eq(status->code, RMQ_CODE_TOO_MANY_REQUESTS);
    sk_arena_free(arena);
}
END_TEST

static Suite *names_suite(void)
{
    Suite *suite = suite_create("service/names");
    TCase *tc = tcase_create("names");
    tcase_add_loop_test(tc, names_are_judged_by_the_rules, 0, ROWS(rows));
    tcase_add_loop_test(tc, keys_carry_the_effective_namespace, 0, ROWS(keys));
    tcase_add_test(tc, a_client_id_of_blanks_is_none);
    tcase_add_test(tc, rust_is_spared_the_codes_it_does_not_know);
    tcase_add_test(tc, every_status_has_a_code_that_is_not_ok);
    tcase_add_test(tc, a_verdict_without_memory_is_still_a_status);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(names_suite)
