/* What official clients ask of their access point: routes, assignments, settings, small
 * talk; and what it leaves to brokers. */
#include "apache/rocketmq/v2/service.rpc.h"
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "support/suite.h"

static struct place place;
static struct inbox broker, client;

static void setup(void)
{
    place_open(&place, &(struct sk_namesrv_options){.settings_repeat_ms = 50}, 0);
    inbox_init(&broker);
    inbox_init(&client);
    send_report(open_register(&place, &broker), "a", 1, 1);
    inbox_await(&broker, "v1 ");
}

static void teardown(void)
{
    place_close(&place);
    inbox_done(&broker);
    inbox_done(&client);
}

/* --- routes and assignments ------------------------------------------------------------------ */

START_TEST(a_route_echoes_the_resource_and_names_the_broker)
{
    static char ns[] = "ns", name[] = "mix";
    const rmq_query_route_response *response;
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    rmq_resource resource = RMQ_RESOURCE_INIT;
    resource.resource_namespace = ns;
    resource.name = name;
    request.topic = &resource;
    ck_assert(sk_ok(rmq_messaging_service_query_route_wait(place.channel, &as_client, &request,
                                                           place.arena, &response)));
    ck_assert_int_eq(response->status->code, RMQ_CODE_OK);
    ck_assert_str_eq(response->status->message, "OK");
    ck_assert_uint_eq(response->n_message_queues, 2);
    const rmq_message_queue *q = response->message_queues[0];
    ck_assert_str_eq(q->topic->resource_namespace, "ns");
    ck_assert_str_eq(q->topic->name, "mix");
    ck_assert_uint_eq(q->n_accept_message_types, 4);
    ck_assert_str_eq(q->broker->name, "a");
    ck_assert_str_eq(q->broker->endpoints->addresses[0]->host, "10.0.0.1");
    ck_assert_int_eq(q->broker->endpoints->addresses[0]->port, 10911);
}
END_TEST

START_TEST(who_came_over_tls_is_given_tls_endpoints)
{
    static char name[] = "orders";
    const rmq_query_route_response *response;
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    rmq_resource resource = RMQ_RESOURCE_INIT;
    resource.name = name;
    request.topic = &resource;
    struct sk_status s = rmq_messaging_service_query_route_wait(place.tls_channel, &as_client,
                                                                &request, place.arena, &response);
    ck_assert_msg(sk_ok(s), "%s", s.detail);
    ck_assert_uint_eq(response->n_message_queues, 4);
    const rmq_endpoints *e = response->message_queues[0]->broker->endpoints;
    ck_assert_str_eq(e->addresses[0]->host, "broker.example");
    ck_assert_int_eq(e->scheme, RMQ_ADDRESS_SCHEME_DOMAIN_NAME);
}
END_TEST

START_TEST(an_assignment_is_one_per_broker_or_one_per_queue_of_an_ordered_group)
{
    static char topic_name[] = "orders", any[] = "readers", ordered[] = "clerks";
    for (int orderly = 0; orderly < 2; orderly++) {
        const rmq_query_assignment_response *response;
        rmq_query_assignment_request request = RMQ_QUERY_ASSIGNMENT_REQUEST_INIT;
        rmq_resource topic = RMQ_RESOURCE_INIT, group = RMQ_RESOURCE_INIT;
        topic.name = topic_name;
        group.name = orderly ? ordered : any;
        request.topic = &topic;
        request.group = &group;
        ck_assert(sk_ok(rmq_messaging_service_query_assignment_wait(
            place.channel, &as_client, &request, place.arena, &response)));
        ck_assert_int_eq(response->status->code, RMQ_CODE_OK);
        ck_assert_uint_eq(response->n_assignments, orderly ? 4 : 1);
        ck_assert_int_eq(response->assignments[0]->message_queue->id, orderly ? 0 : -1);
    }
}
END_TEST

START_TEST(who_sends_no_client_id_is_told_so)
{
    const rmq_query_route_response *response;
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    struct rpc_options nobody = {.timeout_ms = 10000};
    ck_assert(sk_ok(rmq_messaging_service_query_route_wait(place.channel, &nobody, &request,
                                                           place.arena, &response)));
    ck_assert_int_eq(response->status->code, RMQ_CODE_CLIENT_ID_REQUIRED);
}
END_TEST

/* --- heartbeat and termination ------------------------------------------------------------------
 */

static const struct {
    rmq_client_type type;
    const char *group; /* NULL: none */
    rmq_code want;
} heartbeats[] = {
    {RMQ_CLIENT_TYPE_UNSPECIFIED, NULL, RMQ_CODE_OK},
    {RMQ_CLIENT_TYPE_PRODUCER, "", RMQ_CODE_OK},
    {RMQ_CLIENT_TYPE_PUSH_CONSUMER, "g", RMQ_CODE_OK},
    {RMQ_CLIENT_TYPE_PUSH_CONSUMER, NULL, RMQ_CODE_ILLEGAL_CONSUMER_GROUP},
    {RMQ_CLIENT_TYPE_SIMPLE_CONSUMER, "", RMQ_CODE_ILLEGAL_CONSUMER_GROUP},
    {RMQ_CLIENT_TYPE_SIMPLE_CONSUMER, "a b", RMQ_CODE_ILLEGAL_CONSUMER_GROUP},
};

START_TEST(heartbeats_are_ok_unless_a_consumer_has_no_legal_group)
{
    const rmq_heartbeat_response *response;
    rmq_heartbeat_request request = RMQ_HEARTBEAT_REQUEST_INIT;
    rmq_resource group = RMQ_RESOURCE_INIT;
    request.client_type = heartbeats[_i].type;
    if (heartbeats[_i].group) {
        group.name = sk_proto_text(heartbeats[_i].group);
        rmq_heartbeat_request_set_group(&request, &group);
    }
    ck_assert(sk_ok(rmq_messaging_service_heartbeat_wait(place.channel, &as_client, &request,
                                                         place.arena, &response)));
    ck_assert_int_eq(response->status->code, heartbeats[_i].want);
}
END_TEST

START_TEST(termination_is_always_ok)
{
    const rmq_notify_client_termination_response *response;
    rmq_notify_client_termination_request request = RMQ_NOTIFY_CLIENT_TERMINATION_REQUEST_INIT;
    ck_assert(sk_ok(rmq_messaging_service_notify_client_termination_wait(
        place.channel, &as_client, &request, place.arena, &response)));
    ck_assert_int_eq(response->status->code, RMQ_CODE_OK);
}
END_TEST

/* --- telemetry
 * -------------------------------------------------------------------------------------- */

/* "OK{type:batch}" for settings, "CODE" for a status alone. */
static void on_command(void *arg, rpc_stream *stream, const rmq_telemetry_command *command)
{
    (void)stream;
    const rmq_status *status = rmq_telemetry_command_get_status(command);
    inbox_note(arg, "%s", status ? rmq_code_name((int)status->code) : "none");
    if (command->command_case == RMQ_TELEMETRY_COMMAND_COMMAND_SETTINGS) {
        const rmq_settings *s = command->settings;
        const rmq_retry_policy *retry = rmq_settings_get_backoff_policy(s);
        inbox_note(arg, "{%s %s}", rmq_client_type_name((int)rmq_settings_get_client_type(s)),
                   rmq_retry_policy_has_exponential_backoff(retry) ? "exponential" : "customized");
    }
    inbox_note(arg, ";");
}

static void on_closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    (void)stream;
    inbox_close(arg, outcome);
}

static rpc_stream *open_telemetry(const struct rpc_options *options)
{
    static const struct rmq_messaging_service_telemetry_handler handler = {on_command, on_closed};
    return rmq_messaging_service_telemetry(place.channel, options, &handler, &client);
}

static void send_settings(rpc_stream *stream, rmq_client_type type, rmq_language language,
                          const char *group_name)
{
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    rmq_settings settings = RMQ_SETTINGS_INIT;
    rmq_publishing publishing = RMQ_PUBLISHING_INIT;
    rmq_subscription subscription = RMQ_SUBSCRIPTION_INIT;
    rmq_resource group = RMQ_RESOURCE_INIT;
    rmq_ua agent = RMQ_UA_INIT;
    agent.language = language;
    settings.user_agent = &agent;
    rmq_settings_set_client_type(&settings, type);
    group.name = sk_proto_text(group_name);
    rmq_subscription_set_group(&subscription, &group);
    if (type == RMQ_CLIENT_TYPE_PRODUCER)
        rmq_settings_set_publishing(&settings, &publishing);
    else
        rmq_settings_set_subscription(&settings, &subscription);
    rmq_telemetry_command_set_settings(&command, &settings);
    rmq_messaging_service_send_telemetry(stream, &command);
}

START_TEST(settings_are_answered_and_the_stream_stays)
{
    struct rpc_options forever = as_client;
    forever.timeout_ms = 0;
    rpc_stream *stream = open_telemetry(&forever);
    send_settings(stream, RMQ_CLIENT_TYPE_PRODUCER, RMQ_LANGUAGE_JAVA, "");
    inbox_await(&client, "OK{PRODUCER exponential};");
    send_settings(stream, RMQ_CLIENT_TYPE_PUSH_CONSUMER, RMQ_LANGUAGE_PYTHON, "g");
    inbox_await(&client, "OK{PUSH_CONSUMER customized};");
    send_settings(stream, RMQ_CLIENT_TYPE_UNSPECIFIED, RMQ_LANGUAGE_JAVA, "g");
    inbox_await(&client, "UNRECOGNIZED_CLIENT_TYPE;");
    send_settings(stream, RMQ_CLIENT_TYPE_PUSH_CONSUMER, RMQ_LANGUAGE_JAVA, "");
    inbox_await(&client, "ILLEGAL_CONSUMER_GROUP;"); /* and still open */
    rpc_stream_half_close(stream);
    inbox_await_close(&client, RPC_OK);
}
END_TEST

START_TEST(node_js_is_told_twice)
{
    rpc_stream *stream = open_telemetry(&as_client);
    send_settings(stream, RMQ_CLIENT_TYPE_PUSH_CONSUMER, RMQ_LANGUAGE_NODE_JS, "g");
    inbox_await(&client, "OK{PUSH_CONSUMER exponential};OK{PUSH_CONSUMER exponential};");
    rpc_stream_cancel(stream);
    inbox_await_close(&client, RPC_CANCELLED);
}
END_TEST

START_TEST(telemetry_without_client_id_is_told_and_ended)
{
    open_telemetry(&(struct rpc_options){.timeout_ms = 10000});
    inbox_await_close(&client, RPC_OK);
    ck_assert_str_eq(client.text, "CLIENT_ID_REQUIRED;");
}
END_TEST

/* --- what brokers do
 * ------------------------------------------------------------------------------ */

/* Every method with an empty request; the status is field 1 of every response. */
static const enum rmq_messaging_service_method unary[] = {
    RMQ_MESSAGING_SERVICE_SEND_MESSAGE,
    RMQ_MESSAGING_SERVICE_ACK_MESSAGE,
    RMQ_MESSAGING_SERVICE_FORWARD_MESSAGE_TO_DEAD_LETTER_QUEUE,
    RMQ_MESSAGING_SERVICE_UPDATE_OFFSET,
    RMQ_MESSAGING_SERVICE_GET_OFFSET,
    RMQ_MESSAGING_SERVICE_QUERY_OFFSET,
    RMQ_MESSAGING_SERVICE_END_TRANSACTION,
    RMQ_MESSAGING_SERVICE_CHANGE_INVISIBLE_DURATION,
    RMQ_MESSAGING_SERVICE_RECALL_MESSAGE,
    RMQ_MESSAGING_SERVICE_SYNC_LITE_SUBSCRIPTION,
};

START_TEST(what_carries_messages_is_for_brokers)
{
    const struct rpc_method *method = &rmq_messaging_service.methods[unary[_i]];
    const ProtobufCMessage *response;
    rmq_heartbeat_request empty = RMQ_HEARTBEAT_REQUEST_INIT; /* any empty message will do */
    char want[64];
    ck_assert(sk_ok(
        rpc_unary_wait(place.channel, method, &as_client, &empty.base, place.arena, &response)));
    /* protobuf-c lays out the status right behind the base. */
    const rmq_status *status = ((const rmq_heartbeat_response *)response)->status;
    ck_assert_int_eq(status->code, RMQ_CODE_NOT_IMPLEMENTED);
    snprintf(want, sizeof want, "name server; %s is served by the brokers", method->name);
    ck_assert_ptr_nonnull(strstr(status->message, want));
}
END_TEST

static void on_received(void *arg, rpc_stream *stream, const rmq_receive_message_response *message)
{
    (void)stream;
    const rmq_status *status = rmq_receive_message_response_get_status(message);
    inbox_note(arg, "%s", status ? rmq_code_name((int)status->code) : "no status");
}

START_TEST(receiving_is_for_brokers_too)
{
    static const struct rmq_messaging_service_receive_message_handler handler = {on_received,
                                                                                 on_closed};
    rmq_receive_message_request request = RMQ_RECEIVE_MESSAGE_REQUEST_INIT;
    rmq_messaging_service_receive_message(place.channel, &as_client, &request, &handler, &client);
    inbox_await_close(&client, RPC_OK);
    ck_assert_str_eq(client.text, "NOT_IMPLEMENTED");
}
END_TEST

static Suite *access_point_suite(void)
{
    Suite *suite = suite_create("namesrv/access_point");
    TCase *tc = tcase_create("clients");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_route_echoes_the_resource_and_names_the_broker);
    tcase_add_test(tc, who_came_over_tls_is_given_tls_endpoints);
    tcase_add_test(tc, an_assignment_is_one_per_broker_or_one_per_queue_of_an_ordered_group);
    tcase_add_test(tc, who_sends_no_client_id_is_told_so);
    tcase_add_loop_test(tc, heartbeats_are_ok_unless_a_consumer_has_no_legal_group, 0,
                        ROWS(heartbeats));
    tcase_add_test(tc, termination_is_always_ok);
    tcase_add_test(tc, settings_are_answered_and_the_stream_stays);
    tcase_add_test(tc, node_js_is_told_twice);
    tcase_add_test(tc, telemetry_without_client_id_is_told_and_ended);
    tcase_add_loop_test(tc, what_carries_messages_is_for_brokers, 0, ROWS(unary));
    tcase_add_test(tc, receiving_is_for_brokers_too);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(access_point_suite)
