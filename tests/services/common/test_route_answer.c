/* QueryRoute and QueryAssignment over route tables made for the purpose: who is listed,
 * in which order, with which permissions, types and endpoints. */
#include "service/route_answer.h"

#include <stdio.h>
#include <string.h>

#include "support/suite.h"

static sk_route_table *table;
static sk_arena *arena;
static struct sk_asker asker = {.client_id = {(const uint8_t *)"c", 1}};

static void setup(void)
{
    table = sk_route_table_new(NULL, NULL);
    arena = sk_arena_new(0);
}

static void teardown(void)
{
    sk_arena_free(arena);
    sk_route_table_free(table);
}

static const struct sk_route_address plain = {{(const uint8_t *)"10.0.0.1", 8}, 1};
static const struct sk_route_address tls = {{(const uint8_t *)"b.example", 9}, 2};

/* A broker with one topic; which listeners it has is in `listeners`: "p", "t" or "pt". */
static uint64_t add(const char *name, int32_t id, const struct sk_route_topic *topic,
                    const char *listeners)
{
    static const struct sk_slice ordered[] = {{(const uint8_t *)"clerks", 6}};
    struct sk_route_broker b = {
        .key = {SK_SLICE("c"), sk_slice_of_text(name), id},
        .incarnation = 1,
        .version = 1,
        .plain = {SK_ROUTE_IPV4, &plain, strchr(listeners, 'p') != NULL},
        .tls = {SK_ROUTE_DOMAIN, &tls, strchr(listeners, 't') != NULL},
        .topics = topic,
        .topic_count = 1,
        .orderly_groups = ordered,
        .group_count = 1,
    };
    uint64_t session = sk_route_session_new(table);
    ck_assert(sk_ok(sk_route_table_report(table, session, &b)));
    return session;
}

static struct sk_route_topic topic_t(uint32_t reads, uint32_t writes, unsigned permission)
{
    return (struct sk_route_topic){.name = SK_SLICE("t"),
                                   .type = 1,
                                   .read_queues = reads,
                                   .write_queues = writes,
                                   .permission = permission};
}

static char answer[1024];

static void put(const rmq_message_queue *q)
{
    static const char *const permissions[] = {"?", "n", "r", "w", "rw"};
    size_t n = strlen(answer);
    snprintf(answer + n, sizeof answer - n, "%s%s%d:%s", n ? " " : "", q->broker->name, q->id,
             permissions[q->permission]);
}

/* "a0:rw a1:rw", or the code's name. */
static const char *route(const char *name)
{
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    rmq_query_route_response response;
    rmq_resource resource = RMQ_RESOURCE_INIT;
    resource.name = sk_proto_text(name);
    request.topic = &resource;
    sk_route_snapshot *now = sk_route_acquire(table);
    sk_answer_route(now, &asker, &request, arena, &response);
    answer[0] = 0;
    for (size_t i = 0; i < response.n_message_queues; i++) {
        put(response.message_queues[i]);
        ck_assert_ptr_eq(response.message_queues[i]->topic, &resource); /* echoed */
        ck_assert_uint_gt(response.message_queues[i]->n_accept_message_types, 0);
    }
    sk_route_unref(now);
    return response.n_message_queues ? answer : rmq_code_name((int)response.status->code);
}

static const char *assignment(const char *group_name)
{
    rmq_query_assignment_request request = RMQ_QUERY_ASSIGNMENT_REQUEST_INIT;
    rmq_query_assignment_response response;
    rmq_resource topic = RMQ_RESOURCE_INIT, group = RMQ_RESOURCE_INIT;
    static char t[] = "t";
    topic.name = t;
    group.name = sk_proto_text(group_name);
    request.topic = &topic;
    request.group = &group;
    sk_route_snapshot *now = sk_route_acquire(table);
    sk_answer_assignment(now, &asker, &request, arena, &response);
    answer[0] = 0;
    for (size_t i = 0; i < response.n_assignments; i++) put(response.assignments[i]->message_queue);
    sk_route_unref(now);
    return response.n_assignments ? answer : rmq_code_name((int)response.status->code);
}

/* --- permissions and counts ------------------------------------------------------------------- */

static const struct {
    uint32_t reads, writes;
    unsigned permission;
    const char *route, *assigned, *ordered;
} shapes[] = {
    {2, 2, 3, "a0:rw a1:rw", "a-1:rw", "a0:rw a1:rw"},
    {3, 1, 3, "a0:rw a1:r a2:r", "a-1:rw", "a0:rw a1:r a2:r"},
    {1, 3, 3, "a0:rw a1:w a2:w", "a-1:rw", "a0:rw"},
    {2, 3, SK_ROUTE_READ, "a0:r a1:r", "a-1:r", "a0:r a1:r"},
    {2, 3, SK_ROUTE_WRITE, "a0:w a1:w a2:w", "FORBIDDEN", "FORBIDDEN"},
    {2, 1, 0, "a0:n a1:n", "FORBIDDEN", "FORBIDDEN"},
    {0, 0, 0, "a0:n", "FORBIDDEN", "FORBIDDEN"},
    {0, 2, 3, "a0:w a1:w", "FORBIDDEN", "FORBIDDEN"},
    {0, 0, 3, "TOPIC_NOT_FOUND", "FORBIDDEN", "FORBIDDEN"},
};

START_TEST(queues_follow_counts_and_permission)
{
    struct sk_route_topic t = topic_t(shapes[_i].reads, shapes[_i].writes, shapes[_i].permission);
    add("a", 0, &t, "p");
    ck_assert_str_eq(route("t"), shapes[_i].route);
    ck_assert_str_eq(assignment("g"), shapes[_i].assigned);
    ck_assert_str_eq(assignment("clerks"), shapes[_i].ordered);
}
END_TEST

static void suspect(uint64_t session, const char *name)
{
    sk_route_table_suspect(table, session,
                           &(struct sk_route_key){SK_SLICE("c"), sk_slice_of_text(name), 0});
}

START_TEST(brokers_take_turns)
{
    struct sk_route_topic two = topic_t(2, 2, 3), three = topic_t(3, 3, 3);
    add("a", 0, &two, "p");
    add("b", 0, &three, "p");
    ck_assert_str_eq(route("t"), "a0:rw b0:rw a1:rw b1:rw b2:rw");
}
END_TEST

START_TEST(a_suspect_broker_is_left_out_unless_it_is_the_last)
{
    struct sk_route_topic t = topic_t(2, 2, 3);
    uint64_t a = add("a", 0, &t, "p"), b = add("b", 0, &t, "p");
    suspect(a, "a");
    ck_assert_str_eq(route("t"), "b0:rw b1:rw");
    ck_assert_str_eq(assignment("g"), "b-1:rw");
    suspect(b, "b");
    ck_assert_str_eq(route("t"), "a0:r b0:r a1:r b1:r");
    ck_assert_str_eq(assignment("g"), "a-1:r b-1:r");
}
END_TEST

START_TEST(replicas_are_not_listed)
{
    struct sk_route_topic t = topic_t(1, 1, 3);
    add("a", 1, &t, "p");
    ck_assert_str_eq(route("t"), "TOPIC_NOT_FOUND");
    add("a", 0, &t, "p");
    ck_assert_str_eq(route("t"), "a0:rw");
}
END_TEST

/* --- types
 * ---------------------------------------------------------------------------------------- */

static const struct {
    int32_t type;
    bool mixed;
    size_t count;
    rmq_message_type first;
} types[] = {
    {0, false, 1, RMQ_MESSAGE_TYPE_NORMAL},      {1, false, 1, RMQ_MESSAGE_TYPE_NORMAL},
    {2, false, 1, RMQ_MESSAGE_TYPE_FIFO},        {3, false, 1, RMQ_MESSAGE_TYPE_DELAY},
    {4, false, 1, RMQ_MESSAGE_TYPE_TRANSACTION}, {6, false, 1, RMQ_MESSAGE_TYPE_PRIORITY},
    {99, false, 1, RMQ_MESSAGE_TYPE_NORMAL},     {1, true, 4, RMQ_MESSAGE_TYPE_NORMAL},
};

START_TEST(types_are_never_empty)
{
    struct sk_route_topic t = topic_t(1, 1, 3);
    t.type = types[_i].type;
    t.mixed = types[_i].mixed;
    add("a", 0, &t, "p");
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    rmq_query_route_response response;
    rmq_resource resource = RMQ_RESOURCE_INIT;
    static char name[] = "t";
    resource.name = name;
    request.topic = &resource;
    sk_route_snapshot *now = sk_route_acquire(table);
    sk_answer_route(now, &asker, &request, arena, &response);
    const rmq_message_queue *q = response.message_queues[0];
    ck_assert_uint_eq(q->n_accept_message_types, types[_i].count);
    ck_assert_int_eq(q->accept_message_types[0], types[_i].first);
    sk_route_unref(now);
}
END_TEST

/* --- listeners
 * --------------------------------------------------------------------------------------- */

/* Pack the route of "t" twice; the bytes of one broker must never differ. */
static size_t packed(uint8_t bytes[4096])
{
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    rmq_query_route_response response;
    rmq_resource resource = RMQ_RESOURCE_INIT;
    static char name[] = "t";
    resource.name = name;
    request.topic = &resource;
    sk_route_snapshot *now = sk_route_acquire(table);
    sk_answer_route(now, &asker, &request, arena, &response);
    sk_route_unref(now);
    ck_assert_uint_lt(rmq_query_route_response_packed_size(&response), 4096);
    return rmq_query_route_response_pack(&response, bytes);
}

START_TEST(endpoints_are_of_the_askers_kind_and_stable)
{
    uint8_t first[4096], second[4096];
    struct sk_route_topic t = topic_t(2, 2, 3);
    add("a", 0, &t, "pt");
    size_t n = packed(first);
    ck_assert_ptr_nonnull(memmem(first, n, "10.0.0.1", 8));
    ck_assert_ptr_null(memmem(first, n, "b.example", 9));
    asker.tls = true;
    n = packed(second);
    asker.tls = false;
    ck_assert_ptr_nonnull(memmem(second, n, "b.example", 9));
    ck_assert_ptr_null(memmem(second, n, "10.0.0.1", 8));
    ck_assert_uint_eq(packed(second), packed(first));
    ck_assert_mem_eq(first, second, packed(first));
}
END_TEST

START_TEST(brokers_that_cannot_be_reached_are_left_out)
{
    struct sk_route_topic t = topic_t(1, 1, 3);
    add("a", 0, &t, "t");
    ck_assert_str_eq(route("t"), "ILLEGAL_ACCESS_POINT");
    ck_assert_str_eq(assignment("g"), "ILLEGAL_ACCESS_POINT");
    add("b", 0, &t, "p");
    ck_assert_str_eq(route("t"), "b0:rw");
    asker.tls = true;
    ck_assert_str_eq(route("t"), "a0:rw");
    asker.tls = false;
}
END_TEST

START_TEST(bad_questions_get_the_right_code)
{
    struct sk_route_topic t = topic_t(1, 1, 3);
    add("a", 0, &t, "p");
    ck_assert_str_eq(route(""), "ILLEGAL_TOPIC");
    ck_assert_str_eq(route("a b"), "ILLEGAL_TOPIC");
    ck_assert_str_eq(route("other"), "TOPIC_NOT_FOUND");
    ck_assert_str_eq(assignment(""), "ILLEGAL_CONSUMER_GROUP");
    struct sk_asker nobody = {.client_id = SK_EMPTY};
    rmq_query_route_request empty = RMQ_QUERY_ROUTE_REQUEST_INIT;
    rmq_query_route_response response;
    sk_route_snapshot *now = sk_route_acquire(table);
    sk_answer_route(now, &nobody, &empty, arena, &response);
    ck_assert_int_eq(response.status->code, RMQ_CODE_CLIENT_ID_REQUIRED);
    sk_answer_route(now, &asker, &empty, arena, &response);
    ck_assert_int_eq(response.status->code, RMQ_CODE_ILLEGAL_TOPIC);
    sk_route_unref(now);
}
END_TEST

START_TEST(without_memory_the_answer_is_a_status)
{
    struct sk_route_topic t = topic_t(1000, 1000, 3);
    add("a", 0, &t, "p");
    sk_arena_free(arena);
    arena = sk_arena_new(4096);
    ck_assert_str_eq(route("t"), "TOO_MANY_REQUESTS");
}
END_TEST

static Suite *route_answer_suite(void)
{
    Suite *suite = suite_create("service/route_answer");
    TCase *tc = tcase_create("answers");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, queues_follow_counts_and_permission, 0, ROWS(shapes));
    tcase_add_test(tc, brokers_take_turns);
    tcase_add_test(tc, a_suspect_broker_is_left_out_unless_it_is_the_last);
    tcase_add_test(tc, replicas_are_not_listed);
    tcase_add_loop_test(tc, types_are_never_empty, 0, ROWS(types));
    tcase_add_test(tc, endpoints_are_of_the_askers_kind_and_stable);
    tcase_add_test(tc, brokers_that_cannot_be_reached_are_left_out);
    tcase_add_test(tc, bad_questions_get_the_right_code);
    tcase_add_test(tc, without_memory_the_answer_is_a_status);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(route_answer_suite)
