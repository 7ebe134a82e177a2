/* Topics, groups, queue numbers; and records that no live broker can have written. */
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"
#include "world.h"

static struct world w;

static void setup(void)
{
    world_init(&w);
}
static void teardown(void)
{
    world_done(&w);
}

static const struct sk_topic *topic_named(const char *name)
{
    return sk_state_topic(w.state, sk_slice_of_text(name));
}

START_TEST(a_topic_is_found_by_name_and_by_id)
{
    w.now_ms = 77;
    uint32_t id = world_topic(&w, "ns%orders", 3);
    const struct sk_topic *t = topic_named("ns%orders");
    ck_assert_ptr_nonnull(t);
    ck_assert_ptr_eq(sk_state_topic_by_id(w.state, id), t);
    ck_assert(sk_slice_eq(t->name, SK_SLICE("ns%orders")));
    ck_assert_uint_eq(t->created_ms, 77);
    ck_assert_uint_eq(t->read_queues, 3);
    ck_assert_uint_eq(t->write_queues, 3);
    ck_assert_uint_eq(t->queue_count, 3);
    ck_assert_ptr_null(topic_named("orders"));
    ck_assert_ptr_null(topic_named(""));
    ck_assert_ptr_null(sk_state_topic_by_id(w.state, id + 1));
}
END_TEST

START_TEST(queue_numbers_are_dense_and_never_used_again)
{
    world_topic(&w, "a", 2);
    world_topic(&w, "b", 2);
    world_topic(&w, "a", 4);
    const struct sk_topic *a = topic_named("a");
    static const uint32_t want[] = {0, 1, 4, 5};
    for (uint32_t i = 0; i < 4; i++) ck_assert_uint_eq(a->queues[i], want[i]);

    uint32_t queue = 9;
    ck_assert_ptr_eq(sk_state_topic_of_queue(w.state, 4, &queue), a);
    ck_assert_uint_eq(queue, 2);
    world_delete_topic(&w, "a");
    ck_assert_ptr_null(sk_state_topic_of_queue(w.state, 4, &queue));
    ck_assert_ptr_null(sk_state_topic_of_queue(w.state, UINT32_MAX, &queue));
    world_topic(&w, "a", 1);
    ck_assert_uint_eq(topic_named("a")->queues[0], 6);
    ck_assert_uint_eq(topic_named("a")->id, 3);
}
END_TEST

START_TEST(messages_move_the_next_offset_of_their_queue)
{
    uint32_t id = world_topic(&w, "a", 2);
    world_send(&w, id, 1, 5, 0);
    ck_assert_uint_eq(sk_state_next_offset(w.state, 0), 0);
    ck_assert_uint_eq(sk_state_next_offset(w.state, 1), 5);
    ck_assert_uint_eq(sk_state_next_offset(w.state, 12345), 0);
}
END_TEST

START_TEST(a_change_replaces_all_but_name_id_and_queues)
{
    uint32_t id = world_topic(&w, "a", 4);
    uint64_t created = topic_named("a")->created_ms;
    struct sk_buffer b = {0};
    struct sk_topic_change change = {SK_SLICE("a"), SK_TOPIC_FIFO, true, 2, 1, SK_PERMIT_READ};
    sk_state_encode_topic(&change, &b);
    w.now_ms += 5;
    world_write(&w, SK_RECORD_TOPIC, &b);
    sk_buffer_done(&b);
    const struct sk_topic *t = topic_named("a");
    ck_assert_uint_eq(t->id, id);
    ck_assert_uint_eq(t->created_ms, created);
    ck_assert_int_eq(t->type, SK_TOPIC_FIFO);
    ck_assert(t->mixed);
    ck_assert_uint_eq(t->read_queues, 2);
    ck_assert_uint_eq(t->write_queues, 1);
    ck_assert_uint_eq(t->permission, SK_PERMIT_READ);
    ck_assert_uint_eq(t->queue_count, 4);
}
END_TEST

START_TEST(topics_and_groups_are_walked_in_order_of_name)
{
    static const char *const names[] = {"m", "b", "z", "a", "ab", "B"};
    static const char *const want[] = {"B", "a", "ab", "b", "z"};
    for (int i = 0; i < ROWS(names); i++) {
        world_topic(&w, names[i], 1);
        world_group(&w, names[i]);
    }
    world_delete_topic(&w, "m");
    world_delete_group(&w, "m");
    ck_assert_uint_eq(sk_state_topic_count(w.state), 5);
    ck_assert_uint_eq(sk_state_group_count(w.state), 5);
    size_t topics = 0, groups = 0;
    for (int i = 0; i < ROWS(want); i++) {
        struct sk_slice name = sk_slice_of_text(want[i]);
        ck_assert(sk_slice_eq(sk_state_next_topic(w.state, &topics)->name, name));
        ck_assert(sk_slice_eq(sk_state_next_group(w.state, &groups)->name, name));
    }
    ck_assert_ptr_null(sk_state_next_topic(w.state, &topics));
    ck_assert_ptr_null(sk_state_next_group(w.state, &groups));
}
END_TEST

START_TEST(a_group_keeps_its_id_when_it_changes)
{
    uint32_t id = world_group(&w, "g");
    struct sk_buffer b = {0};
    sk_state_encode_group(&(struct sk_group_change){SK_SLICE("g"), 3, true}, &b);
    world_write(&w, SK_RECORD_GROUP, &b);
    sk_buffer_done(&b);
    const struct sk_group *g = sk_state_group_by_id(w.state, id);
    ck_assert_ptr_eq(sk_state_group(w.state, SK_SLICE("g")), g);
    ck_assert_uint_eq(g->max_attempts, 3);
    ck_assert(g->orderly);
    world_delete_group(&w, "g");
    ck_assert_uint_eq(world_group(&w, "g"), id + 1);
}
END_TEST

START_TEST(the_config_version_moves_with_topics_and_groups_only)
{
    uint64_t v = sk_state_config_version(w.state);
    uint32_t topic = world_topic(&w, "t", 1), group = world_group(&w, "g");
    ck_assert_uint_gt(sk_state_config_version(w.state), v + 1);
    v = sk_state_config_version(w.state);
    world_send(&w, topic, 0, 1, 0);
    world_seek(&w, group, topic, 0, 0);
    ck_assert_uint_eq(sk_state_config_version(w.state), v);
    world_delete_group(&w, "g");
    world_delete_topic(&w, "t");
    ck_assert_uint_gt(sk_state_config_version(w.state), v + 1);
}
END_TEST

/* --- records that cannot be -------------------------------------------------------------- */

/* Topic 1 "t" has two queues and three messages in queue 0; group 1 "g" has leased the first two
 * and acknowledged the first. Group 2 and topic 2 are deleted. */
#define BYTES(literal)                                                                             \
    {                                                                                              \
        (const uint8_t *)("" literal), sizeof(literal) - 1                                         \
    }
#define DELIVER "\1\0DDDDDDDDOOOOOOOO"

static const struct {
    const char *name;
    int kind;
    struct sk_slice payload;
    const char *why; /* NULL: it is good */
} records[] = {
    {"kind 0", 0, BYTES(""), "its kind is unknown"},
    {"kind 12", 12, BYTES(""), "its kind is unknown"},
    {"kind 255", 255, BYTES(""), "its kind is unknown"},
    {"empty topic", SK_RECORD_TOPIC, BYTES(""), "version"},
    {"topic, version 2", SK_RECORD_TOPIC, BYTES("\2\1\0\3\1\0\0\0\1\0\0\0x"), "version"},
    {"topic", SK_RECORD_TOPIC, BYTES("\1\1\0\3\1\0\0\0\1\0\0\0x"), NULL},
    {"topic cut short", SK_RECORD_TOPIC, BYTES("\1\1\0\3\1\0\0"), "ends too early"},
    {"topic without a name", SK_RECORD_TOPIC, BYTES("\1\1\0\3\1\0\0\0\1\0\0\0"), "name"},
    {"topic of type 9", SK_RECORD_TOPIC, BYTES("\1\11\0\3\1\0\0\0\1\0\0\0x"), "type"},
    {"topic with a flag", SK_RECORD_TOPIC, BYTES("\1\1\2\3\1\0\0\0\1\0\0\0x"), "flags"},
    {"topic, permission 4", SK_RECORD_TOPIC, BYTES("\1\1\0\4\1\0\0\0\1\0\0\0x"), "permission"},
    {"topic, 2^24 queues", SK_RECORD_TOPIC, BYTES("\1\1\0\3\0\0\0\1\1\0\0\0x"), "queues"},
    {"group", SK_RECORD_GROUP, BYTES("\1\0\1\0\0\0x"), NULL},
    {"group cut short", SK_RECORD_GROUP, BYTES("\1\0\1\0"), "ends too early"},
    {"group with a flag", SK_RECORD_GROUP, BYTES("\1\2\1\0\0\0x"), "flags"},
    {"deletes no topic", SK_RECORD_TOPIC_DELETED, BYTES("\1nix"), "no such topic"},
    {"deletes no group", SK_RECORD_GROUP_DELETED, BYTES("\1nix"), "no such group"},
    {"deletes the empty name", SK_RECORD_GROUP_DELETED, BYTES("\1"), "name"},

    {"deliver, header only", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1"), NULL},
    {"deliver cut short", SK_RECORD_DELIVER, BYTES("\1\0DDDD"), "ends too early"},
    {"deliver with a flag", SK_RECORD_DELIVER, BYTES("\1\2DDDDDDDDOOOOOOOO\1\1"), "flags"},
    {"deliver to group 9", SK_RECORD_DELIVER, BYTES(DELIVER "\11\1"), "group never was"},
    {"deliver of topic 9", SK_RECORD_DELIVER, BYTES(DELIVER "\1\11"), "topic never was"},
    {"deliver to group 2", SK_RECORD_DELIVER, BYTES(DELIVER "\2\1\0\2\6\0"), NULL},
    {"deliver of topic 2", SK_RECORD_DELIVER, BYTES(DELIVER "\1\2\0\2\6\0"), NULL},
    {"leases what is open, and on", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1\0\1\11\0"), NULL},
    {"leases what is done", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1\0\0\5\0"), "acknowledged"},
    {"goes over what is done", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1\0\0\4\5\0"), NULL},
    {"base above next", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1\0\3\5\0"), "hole"},
    {"gap above next", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1\0\2\4\5\0"), "hole"},
    {"queue 2 of 2", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1\5\0\0\5\0"), "no such queue"},
    {"queue 1 from nowhere", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1\2\0\5\0"), "does not exist"},
    {"queue 1 from 5 on", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1\3\5\5\5\0"), NULL},
    {"run of kind 3", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1\0\2\7\0"), "cut short or too large"},
    {"run of length 0", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1\0\2\1\0"), "cut short or too large"},
    {"runs without an end", SK_RECORD_DELIVER, BYTES(DELIVER "\1\1\0\2\5"),
     "cut short or too large"},
    {"leases 2^40 at once", SK_RECORD_DELIVER,
     BYTES(DELIVER "\1\1\0\2\x81\x80\x80\x80\x80\x80\x01\0"), "leases too many"},
    {"skips 2^40 at once", SK_RECORD_DELIVER,
     BYTES(DELIVER "\1\1\0\2\x82\x80\x80\x80\x80\x80\x01\0"), NULL},
    {"skips 2^61 twice", SK_RECORD_DELIVER,
     BYTES(DELIVER "\1\1\0\2\x82\x80\x80\x80\x80\x80\x80\x80\x80\x01"
                   "\x82\x80\x80\x80\x80\x80\x80\x80\x80\x01\0"),
     "too long"},
    {"a varint of 11 bytes", SK_RECORD_DELIVER,
     BYTES(DELIVER "\1\1\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\1\5\0"),
     "cut short or too large"},

    {"empty ack", SK_RECORD_ACK, BYTES(""), "version"},
    {"ack without epochs", SK_RECORD_ACK, BYTES("\1\7\1\1\0\0\0\1"), "version is unknown"},
    {"ack of nothing", SK_RECORD_ACK, BYTES("\2"), NULL},
    {"ack of nothing known", SK_RECORD_ACK, BYTES("\2\7\11\11\11\11\11\11\11"), NULL},
    {"ack of no offset", SK_RECORD_ACK, BYTES("\2\7\1\1\0\0\0\0\0"), "cut short or too large"},
    {"ack with an unknown bit", SK_RECORD_ACK, BYTES("\2\17\1\1\0\0\0\0\1"), "cut short"},
    {"ack cut short", SK_RECORD_ACK, BYTES("\2\7\1\1\0\0\0"), "cut short"},
    {"ack of group 2^40", SK_RECORD_ACK, BYTES("\2\7\x80\x80\x80\x80\x80\x80\1\1\0\0\0\0\1"),
     "cut short or too large"},
    {"ack of a huge range", SK_RECORD_ACK,
     BYTES("\2\7\1\1\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x3f"), NULL},
    {"release of a huge range", SK_RECORD_RELEASE,
     BYTES("\2\7\1\1\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x3f"), NULL},
    {"renew without a deadline", SK_RECORD_RENEW, BYTES("\2\0\0\0"), "ends too early"},
    {"change", SK_RECORD_CHANGE, BYTES("\2DDDDDDDD\7\1\1\0\0\0\0\1"), NULL},

    {"seek", SK_RECORD_SEEK, BYTES("\1\1\1\1\144"), NULL},
    {"seek cut short", SK_RECORD_SEEK, BYTES("\1\1\1\1"), "ends too early"},
    {"seek with more", SK_RECORD_SEEK, BYTES("\1\1\1\1\1\1"), "too many"},
    {"seek of group 9", SK_RECORD_SEEK, BYTES("\1\11\1\1\1"), "group never was"},
    {"seek of topic 0", SK_RECORD_SEEK, BYTES("\1\1\0\1\1"), "topic never was"},
    {"seek of topic 2", SK_RECORD_SEEK, BYTES("\1\1\2\7\1"), NULL},
    {"seek of queue 2", SK_RECORD_SEEK, BYTES("\1\1\1\2\1"), "no such queue"},
    {"seek to 2^62", SK_RECORD_SEEK, BYTES("\1\1\1\1\x80\x80\x80\x80\x80\x80\x80\x80\x40"),
     "too large"},
};

static void prepare(void)
{
    struct sk_lease leases[2];
    struct sk_chosen chosen[2];
    uint32_t topic = world_topic(&w, "t", 2), group = world_group(&w, "g");
    world_topic(&w, "t2", 1);
    world_group(&w, "g2");
    world_delete_topic(&w, "t2");
    world_delete_group(&w, "g2");
    world_send(&w, topic, 0, 3, 0);
    struct world_receive how = {.group = group, .topic = topic, .count = 2};
    ck_assert_uint_eq(world_receive(&w, &how, leases, chosen), 2);
    world_ack(&w, leases, 1);
}

START_TEST(a_record_that_cannot_be_is_refused_in_words)
{
    prepare();
    /* Its own memory, of exactly its size: a sanitizer sees the byte behind. */
    struct sk_slice bytes = records[_i].payload;
    uint8_t *copy = memcpy(malloc(bytes.len + !bytes.len), bytes.data, bytes.len);
    struct sk_status s =
        world_try(&w, (enum sk_record_kind)records[_i].kind, sk_slice_of(copy, bytes.len));
    free(copy);
    if (records[_i].why)
        ck_assert_msg(s.code == SK_CORRUPT && strstr(s.detail, records[_i].why), "%s: got %s '%s'",
                      records[_i].name, sk_code_name(s.code), s.detail);
    else
        ck_assert_msg(sk_ok(s), "%s: %s", records[_i].name, s.detail);
}
END_TEST

static const struct {
    const char *name;
    uint32_t queue;
    uint64_t offset;
    bool good;
} messages[] = {
    {"the next one", 0, 3, true},
    {"a repeat", 0, 2, false},
    {"a gap", 0, 4, false},
    {"a deleted topic's queue", 2, 0, false},
    {"a queue that never was", 3, 0, false},
    {"no queue", UINT32_MAX, 0, false},
};

START_TEST(a_message_must_be_the_next_of_its_queue)
{
    prepare();
    struct sk_fact fact = {.kind = SK_RECORD_MESSAGE,
                           .queue = messages[_i].queue,
                           .offset = messages[_i].offset,
                           .position = 99999};
    struct sk_status s = sk_state_apply(w.state, &fact);
    ck_assert_msg(s.code == (messages[_i].good ? SK_OK : SK_CORRUPT), "%s: %s", messages[_i].name,
                  s.detail);
    if (!messages[_i].good) ck_assert_ptr_nonnull(strstr(s.detail, "MESSAGE"));
    if (!messages[_i].good) ck_assert_ptr_nonnull(strstr(s.detail, "99999"));
}
END_TEST

static Suite *catalogue_suite(void)
{
    Suite *suite = suite_create("broker/state/catalogue");
    TCase *tc = tcase_create("catalogue");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_topic_is_found_by_name_and_by_id);
    tcase_add_test(tc, queue_numbers_are_dense_and_never_used_again);
    tcase_add_test(tc, messages_move_the_next_offset_of_their_queue);
    tcase_add_test(tc, a_change_replaces_all_but_name_id_and_queues);
    tcase_add_test(tc, topics_and_groups_are_walked_in_order_of_name);
    tcase_add_test(tc, a_group_keeps_its_id_when_it_changes);
    tcase_add_test(tc, the_config_version_moves_with_topics_and_groups_only);
    suite_add_tcase(suite, tc);

    tc = tcase_create("records");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_record_that_cannot_be_is_refused_in_words, 0, ROWS(records));
    tcase_add_loop_test(tc, a_message_must_be_the_next_of_its_queue, 0, ROWS(messages));
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(catalogue_suite)
