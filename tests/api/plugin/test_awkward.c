/* test_awkward.c - aliases and presence of protos/awkward. That this compiles shows that our
 * names and protoc-gen-c's agree. */
#include "awkward/names.alias.h"
#include "awkward/reserved.alias.h"
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

static awk_presence *presence_through_the_wire(const awk_presence *message)
{
    awk_presence *copy = awk_presence_unpack(&allocator, sk_proto_pack(&message->base, arena));
    ck_assert_ptr_nonnull(copy);
    return copy;
}

START_TEST(enum_constants_have_their_numbers)
{
    ck_assert_int_eq(AWK_DLQ_KIND_UNSPECIFIED, 0);
    ck_assert_int_eq(AWK_DLQ_KIND_FULL, 1);
    ck_assert_int_eq(AWK_DLQ_KIND_IPV4, 2);
    ck_assert_int_eq(AWK_DLQ_KIND_NEGATIVE, -5);
    ck_assert_int_eq(AWK_SOFT_CLASH_CLASH_NONE, 0);
    ck_assert_int_eq(AWK_SOFT_CLASH_NONE, 1);
    ck_assert_int_eq(AWK_CHOICE_INNER_DLQ_LEVEL2_HIGH, 1);
    ck_assert_str_eq(awk_dlq_kind_name(AWK_DLQ_KIND_IPV4), "iPv4");
    ck_assert_str_eq(awk_dlq_kind_name(AWK_DLQ_KIND_NEGATIVE), "NEGATIVE");
    ck_assert_str_eq(awk_dlq_kind_name(77), "UNRECOGNIZED");
}
END_TEST

START_TEST(init_gives_the_defaults)
{
    awk_presence here = AWK_PRESENCE_INIT;
    awk_presence there;
    awk_presence_init(&there);
    ck_assert_ptr_eq(here.plain, there.plain);
    ck_assert_str_eq(here.plain, "");
    ck_assert(!awk_presence_has_text(&here));
    ck_assert_uint_eq(awk_presence_packed_size(&here), 0);
    awk_ua ua = AWK_UA_INIT;
    ck_assert_str_eq(ua.hostname, "");
}
END_TEST

START_TEST(absent_fields_read_as_nothing)
{
    awk_presence *m = presence_through_the_wire(&(awk_presence)AWK_PRESENCE_INIT);
    ck_assert(!awk_presence_has_text(m));
    ck_assert(!awk_presence_has_raw(m));
    ck_assert(!awk_presence_has_small(m));
    ck_assert(!awk_presence_has_flag(m));
    ck_assert(!awk_presence_has_kind(m));
    ck_assert(!awk_presence_has_user(m));
    ck_assert_str_eq(awk_presence_get_text(m), "");
    ck_assert_uint_eq(awk_presence_get_raw(m).len, 0);
    ck_assert_int_eq(awk_presence_get_small(m), 0);
    ck_assert(awk_presence_get_real(m) == 0.0);
    ck_assert_int_eq(awk_presence_get_kind(m), AWK_DLQ_KIND_UNSPECIFIED);
    ck_assert_ptr_null(awk_presence_get_user(m));
    ck_assert_ptr_null(awk_presence_get_at(m));
}
END_TEST

START_TEST(explicit_zero_survives)
{
    awk_presence m = AWK_PRESENCE_INIT;
    awk_ua user = AWK_UA_INIT;
    pb_timestamp at = PB_TIMESTAMP_INIT;
    awk_presence_set_text(&m, "");
    awk_presence_set_raw(&m, SK_EMPTY);
    awk_presence_set_small(&m, 0);
    awk_presence_set_zigzag(&m, 0);
    awk_presence_set_fixed(&m, 0);
    awk_presence_set_real(&m, 0);
    awk_presence_set_half(&m, 0);
    awk_presence_set_flag(&m, false);
    awk_presence_set_kind(&m, AWK_DLQ_KIND_UNSPECIFIED);
    awk_presence_set_user(&m, &user);
    awk_presence_set_at(&m, &at);
    awk_presence_set_lite_topic(&m, "");
    awk_presence_set_register(&m, 0);

    awk_presence *got = presence_through_the_wire(&m);
    ck_assert(awk_presence_has_text(got));
    ck_assert(awk_presence_has_raw(got));
    ck_assert(awk_presence_has_small(got));
    ck_assert(awk_presence_has_zigzag(got));
    ck_assert(awk_presence_has_fixed(got));
    ck_assert(awk_presence_has_real(got));
    ck_assert(awk_presence_has_half(got));
    ck_assert(awk_presence_has_flag(got));
    ck_assert(awk_presence_has_kind(got));
    ck_assert(awk_presence_has_user(got));
    ck_assert(awk_presence_has_at(got));
    ck_assert(awk_presence_has_lite_topic(got));
    ck_assert(awk_presence_has_register(got));
    ck_assert_str_eq(awk_presence_get_text(got), "");
    /* and once more: what was unpacked packs the same */
    struct sk_slice first = sk_proto_pack(&m.base, arena);
    struct sk_slice second = sk_proto_pack(&got->base, arena);
    ck_assert(sk_slice_eq(first, second));
}
END_TEST

START_TEST(values_survive)
{
    awk_presence m = AWK_PRESENCE_INIT;
    awk_ua user = AWK_UA_INIT;
    user.hostname = (char[]){"host"};
    awk_presence_set_text(&m, "text");
    awk_presence_set_raw(&m, SK_SLICE("a\0b"));
    awk_presence_set_small(&m, INT32_MIN);
    awk_presence_set_zigzag(&m, INT64_MIN);
    awk_presence_set_fixed(&m, UINT32_MAX);
    awk_presence_set_real(&m, -0.5);
    awk_presence_set_flag(&m, true);
    awk_presence_set_kind(&m, AWK_DLQ_KIND_NEGATIVE);
    awk_presence_set_user(&m, &user);

    awk_presence *got = presence_through_the_wire(&m);
    ck_assert_str_eq(awk_presence_get_text(got), "text");
    ck_assert(sk_slice_eq(awk_presence_get_raw(got), SK_SLICE("a\0b")));
    ck_assert_int_eq(awk_presence_get_small(got), INT32_MIN);
    ck_assert(awk_presence_get_zigzag(got) == INT64_MIN);
    ck_assert_uint_eq(awk_presence_get_fixed(got), UINT32_MAX);
    ck_assert(awk_presence_get_real(got) == -0.5);
    ck_assert(awk_presence_get_flag(got));
    ck_assert_int_eq(awk_presence_get_kind(got), AWK_DLQ_KIND_NEGATIVE);
    ck_assert_str_eq(awk_presence_get_user(got)->hostname, "host");
}
END_TEST

START_TEST(clear_and_null_unset)
{
    awk_presence m = AWK_PRESENCE_INIT;
    awk_presence_set_small(&m, 7);
    awk_presence_clear_small(&m);
    awk_presence_set_text(&m, "text");
    awk_presence_set_text(&m, NULL);
    awk_presence_set_user(&m, &(awk_ua)AWK_UA_INIT);
    awk_presence_set_user(&m, NULL);
    ck_assert(!awk_presence_has_small(&m));
    ck_assert(!awk_presence_has_text(&m));
    ck_assert(!awk_presence_has_user(&m));
    ck_assert_uint_eq(awk_presence_packed_size(&m), 0);
}
END_TEST

START_TEST(oneof_members_exclude_each_other)
{
    awk_choice m = AWK_CHOICE_INIT;
    ck_assert_int_eq(m.pub_sub_case, AWK_CHOICE_PUB_SUB_NOT_SET);
    awk_choice_set_text(&m, "");
    ck_assert_int_eq(m.pub_sub_case, AWK_CHOICE_PUB_SUB_TEXT);
    awk_choice_set_int(&m, SK_SLICE("raw"));
    ck_assert(!awk_choice_has_text(&m));
    ck_assert_str_eq(awk_choice_get_text(&m), "");
    awk_choice_clear_text(&m); /* not it: nothing happens */
    ck_assert(sk_slice_eq(awk_choice_get_int(&m), SK_SLICE("raw")));
    awk_choice_set_level(&m, AWK_CHOICE_INNER_DLQ_LEVEL2_HIGH);
    awk_choice_set_yes(&m, true);
    awk_choice *got = awk_choice_unpack(&allocator, sk_proto_pack(&m.base, arena));
    ck_assert_int_eq(got->pub_sub_case, AWK_CHOICE_PUB_SUB_LEVEL);
    ck_assert_int_eq(got->other_one_case, AWK_CHOICE_OTHER_ONE_YES);
    ck_assert_int_eq(awk_choice_get_level(got), AWK_CHOICE_INNER_DLQ_LEVEL2_HIGH);
    ck_assert_ptr_null(awk_choice_get_inner(got));
}
END_TEST

START_TEST(maps_and_repeated_enums_survive)
{
    awk_choice_words_entry entry = AWK_CHOICE_WORDS_ENTRY_INIT;
    entry.key = (char[]){"k"};
    entry.value = (char[]){"v"};
    awk_choice_words_entry *words[] = {&entry};
    awk_dlq_kind kinds[] = {AWK_DLQ_KIND_FULL, AWK_DLQ_KIND_NEGATIVE, AWK_DLQ_KIND_UNSPECIFIED};
    awk_choice m = AWK_CHOICE_INIT;
    m.n_words = 1;
    m.words = words;
    m.n_kinds = 3;
    m.kinds = kinds;
    awk_choice *got = awk_choice_unpack(&allocator, sk_proto_pack(&m.base, arena));
    ck_assert_uint_eq(got->n_words, 1);
    ck_assert_str_eq(got->words[0]->value, "v");
    ck_assert_uint_eq(got->n_kinds, 3);
    ck_assert_int_eq(got->kinds[1], AWK_DLQ_KIND_NEGATIVE);
}
END_TEST

START_TEST(unknown_fields_survive)
{
    /* As if a newer peer had written field 99 (varint 300) and 100 (bytes) into a UA. */
    static const uint8_t NEWER[] = {0x0a, 1, 'h', 0x98, 0x06, 0xac, 0x02, 0xa2, 0x06, 2, 'x', 'y'};
    awk_ua *m = awk_ua_unpack(&allocator, sk_slice_of(NEWER, sizeof NEWER));
    ck_assert_ptr_nonnull(m);
    ck_assert_str_eq(m->hostname, "h");
    ck_assert(sk_slice_eq(sk_proto_pack(&m->base, arena), sk_slice_of(NEWER, sizeof NEWER)));
}
END_TEST

START_TEST(unknown_enum_number_survives)
{
    static const uint8_t BYTES[] = {0x48, 0x63};
    awk_presence *m = awk_presence_unpack(&allocator, sk_slice_of(BYTES, sizeof BYTES));
    ck_assert_ptr_nonnull(m);
    ck_assert_int_eq((int)awk_presence_get_kind(m), 99);
    ck_assert(sk_slice_eq(sk_proto_pack(&m->base, arena), sk_slice_of(BYTES, sizeof BYTES)));
}
END_TEST

START_TEST(reserved_words_are_usable)
{
    awk_reserved m = AWK_RESERVED_INIT;
    awk_reserved_set_register(&m, 1);
    awk_reserved_set_void(&m, 2);
    awk_reserved_set_message(&m, 3);
    awk_reserved_set_value(&m, 4);
    ck_assert_int_eq(m.register_, 1);
    ck_assert_int_eq(m.void_, 2);
    ck_assert_int_eq(awk_reserved_get_message(&m), 3);
    ck_assert_int_eq(awk_reserved_get_value(&m), 4);
    ck_assert_str_eq(m.volatile9, "");
}
END_TEST

START_TEST(malloc_serves_without_an_arena)
{
    awk_presence m = AWK_PRESENCE_INIT;
    awk_presence_set_text(&m, "text");
    awk_presence *got = awk_presence_unpack(NULL, sk_proto_pack(&m.base, arena));
    ck_assert_str_eq(awk_presence_get_text(got), "text");
    awk_presence_free(got, NULL);
    awk_presence_free(NULL, NULL);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("plugin.awkward");
    TCase *tc = tcase_create("awkward");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, enum_constants_have_their_numbers);
    tcase_add_test(tc, init_gives_the_defaults);
    tcase_add_test(tc, absent_fields_read_as_nothing);
    tcase_add_test(tc, explicit_zero_survives);
    tcase_add_test(tc, values_survive);
    tcase_add_test(tc, clear_and_null_unset);
    tcase_add_test(tc, oneof_members_exclude_each_other);
    tcase_add_test(tc, maps_and_repeated_enums_survive);
    tcase_add_test(tc, unknown_fields_survive);
    tcase_add_test(tc, unknown_enum_number_survives);
    tcase_add_test(tc, reserved_words_are_usable);
    tcase_add_test(tc, malloc_serves_without_an_arena);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(make_suite)
