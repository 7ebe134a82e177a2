/* test_scan.c - the scan says of a request what protobuf-c says of it, or less. */
#include <stdio.h>
#include <stdlib.h>

#include "apache/rocketmq/v2/service.alias.h"
#include "base/arena.h"
#include "message/normalise.h"
#include "message/scan.h"
#include "support/suite.h"
#include "message/text.h"
#include "message/wire.h"

/* --- texts ----------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    size_t len;
    bool valid, blank, control;
} texts[] = {
    {"", 0, true, true, false},
    {" \t", 2, true, true, true},
    {"plain", 5, true, false, false},
    {"longer than eight bytes", 23, true, false, false},
    {"exactly8exactly\x7f", 16, true, false, true},
    {"a\0b", 3, true, false, true},
    {"\xe2\x80\xa8", 3, true, true, false},      /* U+2028 */
    {"\xc2\xa0", 2, true, false, false},         /* no-break space is not white */
    {"\xc2\x85", 2, true, false, true},          /* U+0085 */
    {"\xe3\x80\x80", 3, true, true, false},      /* ideographic space */
    {"\xf0\x9f\x98\x80", 4, true, false, false}, /* outside the BMP */
    {"\xc0\x80", 2, false, true, false},         /* overlong */
    {"\xed\xa0\x80", 3, false, true, false},     /* a surrogate */
    {"\xf4\x90\x80\x80", 4, false, true, false}, /* beyond U+10FFFF */
    {"\xe2\x80", 2, false, true, false},         /* cut */
    {"\x80", 1, false, true, false},             /* a continuation alone */
    {"\xff", 1, false, true, false},
};

START_TEST(texts_are_looked_at_as_java_does)
{
    struct sk_text_facts facts = sk_text_look(sk_slice_of(texts[_i].text, texts[_i].len));
    ck_assert_int_eq(facts.valid, texts[_i].valid);
    if (!facts.valid) return;
    ck_assert_int_eq(facts.blank, texts[_i].blank);
    ck_assert_int_eq(facts.control, texts[_i].control);
}
END_TEST

/* --- random messages ------------------------------------------------------------------------- */

static uint64_t seed;

static uint32_t below(uint32_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % limit;
}

static bool maybe(void)
{
    return below(2);
}

static char *any_text(sk_arena *arena)
{
    static const char *const some[] = {
        "",     " ",    "TagA", "a|b",
        "KEYS", "ключ", "x\ty", "a rather long text with more than eight bytes"};
    return sk_arena_printf(arena, "%s", some[below(8)]);
}

static rmq_system_properties *any_system(sk_arena *arena)
{
    rmq_system_properties *s = sk_arena_alloc(arena, sizeof *s);
    rmq_system_properties_init(s);
    if (maybe()) rmq_system_properties_set_tag(s, any_text(arena));
    s->n_keys = below(4);
    s->keys = sk_arena_zalloc(arena, s->n_keys + 1, sizeof *s->keys);
    for (size_t i = 0; i < s->n_keys; i++) s->keys[i] = any_text(arena);
    s->message_id = any_text(arena);
    s->body_encoding = (rmq_encoding)below(3);
    s->message_type = (rmq_message_type)below(7);
    s->queue_id = (int32_t)below(9) - 1;
    if (maybe()) {
        s->born_timestamp = sk_arena_alloc(arena, sizeof *s->born_timestamp);
        pb_timestamp_init(s->born_timestamp);
        s->born_timestamp->seconds = below(1u << 30);
    }
    if (maybe()) s->born_host = any_text(arena);
    if (below(4) == 0) rmq_system_properties_set_message_group(s, any_text(arena));
    if (below(4) == 0) rmq_system_properties_set_trace_context(s, any_text(arena));
    if (below(4) == 0) rmq_system_properties_set_lite_topic(s, any_text(arena));
    if (below(4) == 0) rmq_system_properties_set_priority(s, (int32_t)below(5) - 2);
    if (below(4) == 0) rmq_system_properties_set_delivery_attempt(s, 7);
    if (below(4) == 0) {
        pb_timestamp *t = sk_arena_alloc(arena, sizeof *t);
        pb_timestamp_init(t);
        t->seconds = below(100);
        rmq_system_properties_set_delivery_timestamp(s, t);
    }
    if (below(6) == 0) { /* only a server may set this: unusual */
        rmq_digest *digest = sk_arena_alloc(arena, sizeof *digest);
        rmq_digest_init(digest);
        s->body_digest = digest;
    }
    return s;
}

static rmq_message *any_message(sk_arena *arena)
{
    rmq_message *m = sk_arena_alloc(arena, sizeof *m);
    rmq_message_init(m);
    if (below(8)) {
        m->topic = sk_arena_alloc(arena, sizeof *m->topic);
        rmq_resource_init(m->topic);
        m->topic->name = any_text(arena);
        if (maybe()) m->topic->resource_namespace = any_text(arena);
    }
    m->n_user_properties = below(4);
    m->user_properties = sk_arena_zalloc(arena, 5, sizeof *m->user_properties);
    for (size_t i = 0; i < m->n_user_properties; i++) {
        rmq_message_user_properties_entry *e = sk_arena_alloc(arena, sizeof *e);
        rmq_message_user_properties_entry_init(e);
        e->key = any_text(arena);
        e->value = any_text(arena);
        m->user_properties[i] = e;
    }
    if (below(8)) m->system_properties = any_system(arena);
    size_t len = below(300);
    m->body = (ProtobufCBinaryData){len, sk_arena_alloc(arena, len + 1)};
    for (size_t i = 0; i < len; i++) m->body.data[i] = (uint8_t)below(256);
    return m;
}

static bool is_text(struct sk_slice slice, const char *text)
{
    return sk_slice_eq(slice, sk_slice_of_text(text));
}

/* Everything that the scan says, held against the unpacked message. */
static void compare(const struct sk_scanned_message *scanned, const rmq_message *m)
{
    ck_assert(is_text(scanned->topic_name, m->topic ? m->topic->name : ""));
    ck_assert(is_text(scanned->topic_namespace, m->topic ? m->topic->resource_namespace : ""));
    ck_assert(sk_slice_eq(scanned->body, sk_proto_slice(m->body)));
    ck_assert_uint_eq(scanned->property_count, m->n_user_properties);
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_user_properties; i++) {
        bytes += strlen(m->user_properties[i]->key) + strlen(m->user_properties[i]->value);
    }
    const rmq_system_properties *s = m->system_properties;
    if (!s) {
        ck_assert_uint_eq(scanned->property_bytes, bytes);
        ck_assert_uint_eq(scanned->system.len, 0);
        return;
    }
    for (size_t i = 0; i < s->n_keys; i++) bytes += strlen(s->keys[i]);
    bytes += strlen(rmq_system_properties_get_tag(s));
    ck_assert_uint_eq(scanned->property_bytes, bytes);
    ck_assert(is_text(scanned->tag, rmq_system_properties_get_tag(s)));
    ck_assert(is_text(scanned->message_id, s->message_id));
    ck_assert(is_text(scanned->message_group, rmq_system_properties_get_message_group(s)));
    ck_assert(is_text(scanned->trace_context, rmq_system_properties_get_trace_context(s)));
    ck_assert_int_eq(scanned->message_type, (int)s->message_type);
    ck_assert_int_eq(scanned->body_encoding, (int)s->body_encoding);
    ck_assert_int_eq(scanned->has_born_time, s->born_timestamp != NULL);
    ck_assert_int_eq(scanned->has_born_host, s->born_host[0] != '\0');
    ck_assert_int_eq(scanned->has_priority, rmq_system_properties_has_priority(s));
    ck_assert_int_eq(scanned->priority, rmq_system_properties_get_priority(s));
    ck_assert_int_eq(scanned->has_lite_topic, rmq_system_properties_get_lite_topic(s)[0] != '\0');
    const pb_timestamp *delivery = rmq_system_properties_get_delivery_timestamp(s);
    ck_assert_int_eq(scanned->has_delivery_time, delivery != NULL);
    if (delivery) ck_assert_int_eq(scanned->delivery_seconds, delivery->seconds);
}

/* A NUL inside a text ends it for protobuf-c, and for nobody else: not compared. */
static bool has_nul_in_text(struct sk_slice bytes)
{
    return bytes.len && memchr(bytes.data, 0, bytes.len);
}

START_TEST(what_is_packed_is_scanned_as_it_was)
{
    sk_arena *arena = sk_arena_new(0);
    for (seed = (uint64_t)_i * 1000; seed < (uint64_t)_i * 1000 + 1; seed++) {
        for (int round = 0; round < 2000; round++) {
            sk_arena_reset(arena);
            rmq_message *m = any_message(arena);
            struct sk_slice bytes = sk_proto_pack(&m->base, arena);
            struct sk_scanned_message scanned;
            enum sk_scan_result result = sk_scan_message(bytes, &scanned);
            bool digest = m->system_properties && m->system_properties->body_digest;
            ck_assert_int_eq(result, digest ? SK_SCAN_UNUSUAL : SK_SCAN_OK);
            if (result == SK_SCAN_UNUSUAL) {
                bytes = sk_normalise_message(bytes, arena);
                ck_assert_int_eq(sk_scan_message(bytes, &scanned), SK_SCAN_OK);
            }
            compare(&scanned, m);
            ck_assert_uint_eq(
                scanned.before.len + scanned.after.len + scanned.system.len <= bytes.len, 1);
        }
        break;
    }
    sk_arena_free(arena);
}
END_TEST

/* Damage bytes: what the scan still accepts, protobuf-c accepts too, and sees the same in it. */
START_TEST(what_the_scan_accepts_is_what_protobuf_reads)
{
    sk_arena *arena = sk_arena_new(0);
    seed = (uint64_t)_i + 77;
    size_t accepted = 0, refused = 0;
    for (int round = 0; round < 4000; round++) {
        sk_arena_reset(arena);
        rmq_message *m = any_message(arena);
        struct sk_slice packed = sk_proto_pack(&m->base, arena);
        uint8_t *bytes = sk_arena_copy(arena, packed.data, packed.len);
        size_t len = packed.len;
        for (uint32_t i = 0; len && i < 1 + below(3); i++)
            bytes[below((uint32_t)len)] = (uint8_t)below(256);
        if (len && below(8) == 0) len = below((uint32_t)len);
        struct sk_slice damaged = sk_slice_of(bytes, len);
        struct sk_scanned_message scanned;
        enum sk_scan_result result = sk_scan_message(damaged, &scanned);
        if (result != SK_SCAN_OK) {
            refused++;
            continue;
        }
        ProtobufCAllocator allocator = sk_proto_allocator(arena);
        rmq_message *unpacked = rmq_message_unpack(&allocator, damaged);
        ck_assert_ptr_nonnull(unpacked);
        accepted++;
        if (!has_nul_in_text(scanned.system) && !has_nul_in_text(scanned.before)) {
            compare(&scanned, unpacked);
        }
    }
    ck_assert_uint_gt(accepted, 100);
    ck_assert_uint_gt(refused, 100);
    sk_arena_free(arena);
}
END_TEST

/* --- what is unusual, and what is bad -------------------------------------------------------- */

START_TEST(a_system_given_twice_is_merged)
{
    sk_arena *arena = sk_arena_new(0);
    /* message_id "a" in one, tag "t" in the other. */
    static const uint8_t twice[] = {0x1a, 3, 0x1a, 1, 'a', 0x1a, 3, 0x0a, 1, 't'};
    struct sk_scanned_message scanned;
    ck_assert_int_eq(sk_scan_message(sk_slice_of(twice, sizeof twice), &scanned), SK_SCAN_UNUSUAL);
    struct sk_slice usual = sk_normalise_message(sk_slice_of(twice, sizeof twice), arena);
    ck_assert_int_eq(sk_scan_message(usual, &scanned), SK_SCAN_OK);
    ck_assert(is_text(scanned.message_id, "a"));
    ck_assert(is_text(scanned.tag, "t"));
    sk_arena_free(arena);
}
END_TEST

START_TEST(unknown_fields_are_kept)
{
    static const uint8_t bytes[] = {0x22, 1, 'b', 0x9a, 0x06, 2, 'x', 'y', 0x1a, 3, 0xf8, 0x01, 5};
    struct sk_scanned_message scanned;
    ck_assert_int_eq(sk_scan_message(sk_slice_of(bytes, sizeof bytes), &scanned), SK_SCAN_OK);
    ck_assert_uint_eq(scanned.before.len, 8);
    ck_assert_uint_eq(scanned.after.len, 0);
}
END_TEST

static const struct {
    const char *what;
    uint8_t bytes[12];
    size_t len;
} bad[] = {
    {"a group", {0x0b, 0x0c}, 2},
    {"a length beyond the end", {0x22, 9, 'x'}, 3},
    {"a cut tag", {0x80}, 1},
    {"field number zero", {0x02, 0}, 2},
    {"a varint without end", {0x28, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, 12},
    {"a tag that is not UTF-8", {0x1a, 3, 0x0a, 1, 0xff}, 5},
    {"a topic that is not UTF-8", {0x0a, 3, 0x12, 1, 0xc0}, 5},
    {"a property that is not UTF-8", {0x12, 3, 0x0a, 1, 0xfe}, 5},
};

START_TEST(bad_bytes_are_refused)
{
    struct sk_scanned_message scanned;
    ck_assert_msg(sk_scan_message(sk_slice_of(bad[_i].bytes, bad[_i].len), &scanned) == SK_SCAN_BAD,
                  "%s", bad[_i].what);
}
END_TEST

START_TEST(requests_are_counted_and_taken_apart)
{
    static const uint8_t request[] = {0x0a, 3, 0x22, 1, 'a', 0x12, 1, 'x', 0x0a, 3, 0x22, 1, 'b'};
    struct sk_slice bytes = sk_slice_of(request, sizeof request);
    struct sk_scanned_message messages[2];
    ck_assert_uint_eq(sk_scan_count(bytes), 2);
    ck_assert_int_eq(sk_scan_request(bytes, messages, 2), SK_SCAN_OK);
    ck_assert(is_text(messages[0].body, "a"));
    ck_assert(is_text(messages[1].body, "b"));
    ck_assert_uint_eq(sk_scan_count(sk_slice_of(request, 4)), SIZE_MAX);
    ck_assert_uint_eq(sk_scan_count(SK_EMPTY), 0);
    static const uint8_t number[] = {0x08, 1}; /* messages, as a number */
    ck_assert_uint_eq(sk_scan_count(sk_slice_of(number, 2)), SIZE_MAX);
}
END_TEST

START_TEST(reserved_keys_are_known)
{
    ck_assert(sk_scan_is_reserved(SK_SLICE("KEYS")));
    ck_assert(sk_scan_is_reserved(SK_SLICE("1ST_POP_TIME")));
    ck_assert(sk_scan_is_reserved(SK_SLICE("__SHARDINGKEY")));
    ck_assert(sk_scan_is_reserved(SK_SLICE("__CRC32#")));
    ck_assert(!sk_scan_is_reserved(SK_SLICE("keys")));
    ck_assert(!sk_scan_is_reserved(SK_SLICE("KEY")));
    ck_assert(!sk_scan_is_reserved(SK_SLICE("TRACE_CONTEXT")));
    ck_assert(!sk_scan_is_reserved(SK_EMPTY));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("services.broker.scan");
    TCase *c = tcase_create("scan");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, texts_are_looked_at_as_java_does, 0, ROWS(texts));
    tcase_add_loop_test(c, what_is_packed_is_scanned_as_it_was, 0, 5);
    tcase_add_loop_test(c, what_the_scan_accepts_is_what_protobuf_reads, 0, 10);
    tcase_add_test(c, a_system_given_twice_is_merged);
    tcase_add_test(c, unknown_fields_are_kept);
    tcase_add_loop_test(c, bad_bytes_are_refused, 0, ROWS(bad));
    tcase_add_test(c, requests_are_counted_and_taken_apart);
    tcase_add_test(c, reserved_keys_are_known);
    suite_add_tcase(suite, c);
    return suite;
}

SUITE_MAIN(make_suite)
