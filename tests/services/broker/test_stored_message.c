/* test_stored_message.c - stored, spliced, and read by protobuf-c: field by field. */
#include <stdio.h>

#include "apache/rocketmq/v2/service.alias.h"
#include "base/bytes.h"
#include "message/digest.h"
#include "message/stored_message.h"
#include "support/suite.h"
#include "message/wire.h"

static const struct sk_delivery DELIVERY = {
    .store_host = {(const uint8_t *)"10.0.0.1:10911", 14},
    .store_ms = 1763700000123,
    .receipt_handle = {(const uint8_t *)"handle", 6},
    .queue = 0,
    .offset = 5000000000,
    .attempt = 3,
    .invisible_ms = 30000,
};

static sk_arena *arena;

static void make_arena(void)
{
    arena = sk_arena_new(0);
}

static void drop_arena(void)
{
    sk_arena_free(arena);
}

/* Through the log's form and the splice, and back by protobuf-c. */
static rmq_message *deliver(const rmq_message *sent, const struct sk_delivery *how)
{
    struct sk_slice bytes = sk_proto_pack(&sent->base, arena);
    struct sk_scanned_message scanned;
    ck_assert_int_eq(sk_scan_message(bytes, &scanned), SK_SCAN_OK);

    uint8_t head[SK_STORED_HEAD_MAX];
    struct sk_slice parts[SK_STORED_PARTS];
    sk_stored_encode(&scanned, 1, 1763700000000, SK_SLICE("192.168.0.7:4711"), head, parts);
    struct sk_buffer payload = {0};
    for (size_t i = 0; i < SK_STORED_PARTS; i++)
        sk_buffer_put(&payload, parts[i].data, parts[i].len);

    /* What the state is told of it live is what it is told in replay. */
    ck_assert(sk_slice_eq(sk_stored_head(parts[0]), parts[0]));
    ck_assert(sk_slice_eq(sk_stored_head(sk_buffer_slice(&payload)), parts[0]));

    struct sk_stored_message stored;
    ck_assert(sk_stored_parse(sk_buffer_slice(&payload), &stored));
    ck_assert(sk_slice_eq(stored.body, sk_proto_slice(sent->body)));
    struct sk_spliced spliced;
    ck_assert(sk_stored_splice(&stored, how, arena, &spliced));
    struct sk_buffer whole = {0};
    sk_buffer_put(&whole, spliced.head.data, spliced.head.len);
    sk_buffer_put(&whole, stored.others.data, stored.others.len);
    sk_buffer_put(&whole, spliced.tail.data, spliced.tail.len);

    /* Exactly one system_properties: the Node.js client keeps only the last one. */
    struct sk_wire_reader outer = sk_wire_reader_of(sk_buffer_slice(&whole));
    struct sk_wire_field f;
    ck_assert(sk_wire_next(&outer, &f) && f.number == 2 && outer.at == outer.end);
    struct sk_wire_reader inner = sk_wire_reader_of(f.bytes);
    int systems = 0;
    while (sk_wire_next(&inner, &f)) systems += f.number == 3;
    ck_assert(!inner.failed);
    ck_assert_int_eq(systems, 1);

    ProtobufCAllocator allocator = sk_proto_allocator(arena);
    rmq_receive_message_response *response =
        rmq_receive_message_response_unpack(&allocator, sk_buffer_slice(&whole));
    ck_assert_ptr_nonnull(response);
    sk_buffer_done(&whole);
    sk_buffer_done(&payload);
    rmq_message *message = rmq_receive_message_response_get_message(response);
    ck_assert_ptr_nonnull(message);
    return message;
}

static rmq_message *make_message(void)
{
    static uint8_t body[] = "body\0with zero";
    rmq_message *m = sk_arena_alloc(arena, sizeof *m);
    rmq_message_init(m);
    m->topic = sk_arena_alloc(arena, sizeof *m->topic);
    rmq_resource_init(m->topic);
    m->topic->name = sk_arena_printf(arena, "orders");
    m->system_properties = sk_arena_alloc(arena, sizeof *m->system_properties);
    rmq_system_properties_init(m->system_properties);
    m->system_properties->message_id = sk_arena_printf(arena, "01AB");
    m->body = (ProtobufCBinaryData){sizeof body - 1, body};
    return m;
}

START_TEST(what_was_sent_is_delivered)
{
    rmq_message *m = make_message();
    rmq_system_properties *s = m->system_properties;
    char *keys[] = {sk_arena_printf(arena, "a b"), sk_arena_printf(arena, "c")};
    s->keys = keys;
    s->n_keys = 2;
    rmq_system_properties_set_tag(s, "red");
    rmq_system_properties_set_trace_context(s, "trace");
    s->body_encoding = RMQ_ENCODING_GZIP;
    rmq_message_user_properties_entry entry = RMQ_MESSAGE_USER_PROPERTIES_ENTRY_INIT,
                                      *entries[] = {&entry};
    entry.key = sk_arena_printf(arena, "k");
    entry.value = sk_arena_printf(arena, "значение");
    m->user_properties = entries;
    m->n_user_properties = 1;

    rmq_message *got = deliver(m, &DELIVERY);
    rmq_system_properties *g = got->system_properties;
    ck_assert_str_eq(got->topic->name, "orders");
    ck_assert_uint_eq(got->n_user_properties, 1);
    ck_assert_str_eq(got->user_properties[0]->key, "k");
    ck_assert_str_eq(got->user_properties[0]->value, "значение");
    ck_assert(sk_slice_eq(sk_proto_slice(got->body), sk_proto_slice(m->body)));
    ck_assert_str_eq(rmq_system_properties_get_tag(g), "red");
    ck_assert_uint_eq(g->n_keys, 2);
    ck_assert_str_eq(g->keys[0], "a b"); /* Apache makes two of it */
    ck_assert_str_eq(g->message_id, "01AB");
    ck_assert_str_eq(rmq_system_properties_get_trace_context(g), "trace");
    ck_assert_int_eq(g->body_encoding, RMQ_ENCODING_GZIP);
}
END_TEST

START_TEST(the_server_says_what_only_it_may_say)
{
    rmq_message *m = make_message();
    rmq_message *got = deliver(m, &DELIVERY);
    rmq_system_properties *g = got->system_properties;
    struct sk_digest md5;
    sk_digest_of(sk_proto_slice(m->body), false, &md5);
    ck_assert_int_eq(g->body_digest->type, RMQ_DIGEST_TYPE_MD5);
    ck_assert(sk_slice_eq(sk_slice_of_text(g->body_digest->checksum), sk_slice_of(md5.text, 32)));
    ck_assert_int_eq(g->body_encoding, RMQ_ENCODING_IDENTITY); /* never UNSPECIFIED */
    ck_assert_int_eq(g->message_type, RMQ_MESSAGE_TYPE_NORMAL);
    ck_assert_int_eq(g->born_timestamp->seconds, 1763700000);
    ck_assert_str_eq(g->born_host, "192.168.0.7:4711");
    ck_assert_int_eq(rmq_system_properties_get_store_timestamp(g)->seconds, 1763700000);
    ck_assert_int_eq(rmq_system_properties_get_store_timestamp(g)->nanos, 123000000);
    ck_assert_str_eq(g->store_host, "10.0.0.1:10911");
    ck_assert_str_eq(rmq_system_properties_get_receipt_handle(g), "handle");
    ck_assert(rmq_system_properties_has_queue_offset(g));
    ck_assert_int_eq(rmq_system_properties_get_queue_offset(g), 5000000000);
    ck_assert_int_eq(g->queue_id, 0);
    ck_assert_int_eq(rmq_system_properties_get_delivery_attempt(g), 3);
    ck_assert_int_eq(rmq_system_properties_get_invisible_duration(g)->seconds, 30);
}
END_TEST

START_TEST(what_a_client_forged_does_not_show)
{
    rmq_message *m = make_message();
    rmq_system_properties *s = m->system_properties;
    s->queue_id = 77;
    s->store_host = sk_arena_printf(arena, "evil");
    rmq_system_properties_set_receipt_handle(s, "forged");
    rmq_system_properties_set_queue_offset(s, 99);
    rmq_system_properties_set_delivery_attempt(s, 2000000000);
    s->message_type = RMQ_MESSAGE_TYPE_DELAY;
    rmq_system_properties *g = deliver(m, &DELIVERY)->system_properties;
    ck_assert_int_eq(g->queue_id, 0);
    ck_assert_str_eq(g->store_host, "10.0.0.1:10911");
    ck_assert_str_eq(rmq_system_properties_get_receipt_handle(g), "handle");
    ck_assert_int_eq(rmq_system_properties_get_queue_offset(g), 5000000000);
    ck_assert_int_eq(rmq_system_properties_get_delivery_attempt(g), 3);
    ck_assert_int_eq(g->message_type, RMQ_MESSAGE_TYPE_NORMAL);
}
END_TEST

START_TEST(born_fields_of_the_client_are_kept)
{
    rmq_message *m = make_message();
    rmq_system_properties *s = m->system_properties;
    s->born_host = sk_arena_printf(arena, "laptop");
    pb_timestamp born = PB_TIMESTAMP_INIT;
    born.seconds = 42;
    s->born_timestamp = &born;
    rmq_system_properties *g = deliver(m, &DELIVERY)->system_properties;
    ck_assert_str_eq(g->born_host, "laptop");
    ck_assert_int_eq(g->born_timestamp->seconds, 42);
}
END_TEST

START_TEST(a_message_without_system_properties_can_be_told)
{
    static const uint8_t only_body[] = {0x22, 1, 'b'};
    struct sk_scanned_message scanned;
    ck_assert_int_eq(sk_scan_message(sk_slice_of(only_body, 3), &scanned), SK_SCAN_OK);
    uint8_t head[SK_STORED_HEAD_MAX];
    struct sk_slice parts[SK_STORED_PARTS];
    sk_stored_encode(&scanned, 1, 1, SK_EMPTY, head, parts);
    ck_assert_uint_eq(parts[3].len, 0);
}
END_TEST

START_TEST(damaged_payloads_are_no_messages)
{
    rmq_message *m = make_message();
    struct sk_slice bytes = sk_proto_pack(&m->base, arena);
    struct sk_scanned_message scanned;
    ck_assert_int_eq(sk_scan_message(bytes, &scanned), SK_SCAN_OK);
    uint8_t head[SK_STORED_HEAD_MAX];
    struct sk_slice parts[SK_STORED_PARTS];
    sk_stored_encode(&scanned, 1, 1, SK_SLICE("h"), head, parts);
    struct sk_buffer payload = {0};
    for (size_t i = 0; i < SK_STORED_PARTS; i++)
        sk_buffer_put(&payload, parts[i].data, parts[i].len);
    struct sk_stored_message stored;
    for (size_t len = 0; len < payload.len; len++) {
        uint8_t *exact = sk_arena_copy(arena, payload.data, len);
        ck_assert(!sk_stored_parse(sk_slice_of(exact, len), &stored));
    }
    for (size_t at = 0; at < 36; at++) { /* any value of the head: parsed inside or refused */
        for (int value = 0; value < 256; value += 5) {
            uint8_t *exact = sk_arena_copy(arena, payload.data, payload.len);
            exact[at] = (uint8_t)value;
            if (!sk_stored_parse(sk_slice_of(exact, payload.len), &stored)) continue;
            ck_assert(stored.others.data >= exact);
            ck_assert(stored.system.data + stored.system.len <= exact + payload.len);
            ck_assert(stored.body.data + stored.body.len <= exact + payload.len);
            ck_assert(stored.tag.data + stored.tag.len <= exact + payload.len);
        }
    }
    sk_buffer_done(&payload);
}
END_TEST

static void check_digest(const char *body, bool crc32, unsigned type, const char *text)
{
    struct sk_digest digest;
    sk_digest_of(sk_slice_of_text(body), crc32, &digest);
    ck_assert_uint_eq(digest.type, type);
    ck_assert(sk_slice_eq(sk_slice_of(digest.text, digest.len), sk_slice_of_text(text)));
}

START_TEST(digests_are_those_of_the_standards)
{
    check_digest("abc", false, RMQ_DIGEST_TYPE_MD5, "900150983CD24FB0D6963F7D28E17F72");
    check_digest("123456789", true, RMQ_DIGEST_TYPE_CRC32, "CBF43926");
}
END_TEST

/* Java, Go and C# would leave its zero away, Python and C++ not: 0A2F70ED. */
START_TEST(a_crc32_that_clients_write_differently_is_not_given)
{
    check_digest("m-30", true, RMQ_DIGEST_TYPE_MD5, "5B5EF32F23508263405FA1A7486B1638");
    check_digest("", true, RMQ_DIGEST_TYPE_MD5, "D41D8CD98F00B204E9800998ECF8427E");
}
END_TEST

START_TEST(only_clients_that_compare_hex_get_a_crc32)
{
    static const char *const yes[] = {"JAVA", "GO", "PYTHON", "CPP", "DOTNET", "C"};
    static const char *const no[] = {"HTTP", "NODE_JS", "RUST", "java", "PHP", "", "JAVA "};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        ck_assert_msg(sk_digest_knows_crc32(sk_slice_of_text(yes[i])), "%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        ck_assert_msg(!sk_digest_knows_crc32(sk_slice_of_text(no[i])), "%s", no[i]);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("services.broker.stored_message");
    TCase *c = tcase_create("splice");
    tcase_add_checked_fixture(c, make_arena, drop_arena);
    tcase_add_test(c, what_was_sent_is_delivered);
    tcase_add_test(c, the_server_says_what_only_it_may_say);
    tcase_add_test(c, what_a_client_forged_does_not_show);
    tcase_add_test(c, born_fields_of_the_client_are_kept);
    tcase_add_test(c, a_message_without_system_properties_can_be_told);
    tcase_add_test(c, damaged_payloads_are_no_messages);
    tcase_add_test(c, digests_are_those_of_the_standards);
    tcase_add_test(c, a_crc32_that_clients_write_differently_is_not_given);
    tcase_add_test(c, only_clients_that_compare_hex_get_a_crc32);
    suite_add_tcase(suite, c);
    return suite;
}

SUITE_MAIN(make_suite)
