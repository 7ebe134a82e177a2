/* test_requests.c - bad requests: each with the code and the words that it is answered with. The
 * broker stays up, and serves a good request after each of them. */
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#include <string.h>

#include "harness.h"
#include "support/suite.h"

static struct harness h;
static struct rpc_options options;

static void open_it(void)
{
    harness_open(&h, NULL);
    harness_topic(&h, "orders", 2);
    harness_group(&h, "billing");
    options = harness_options("tester");
}

static void close_it(void)
{
    harness_close(&h);
}

/* Text with `count` times the same character, in the arena of the harness. */
static char *many(char c, size_t count)
{
    char *text = sk_arena_alloc(h.arena, count + 1);
    memset(text, c, count);
    text[count] = '\0';
    return text;
}

static void check_status(const char *what, const rmq_status *status, int code, const char *words)
{
    ck_assert_msg(status != NULL, "%s: no status", what);
    ck_assert_msg((int)status->code == code, "%s: %d %s, expected %d", what, (int)status->code,
                  status->message, code);
    ck_assert_msg(strstr(status->message, words) != NULL, "%s: '%s' does not say '%s'", what,
                  status->message, words);
}

static void it_still_serves(void)
{
    ck_assert_int_eq(harness_send(&h, "orders", "after", NULL, "b", NULL), RMQ_CODE_OK);
}

/* --- SendMessage ----------------------------------------------------------------------------- */

struct sending {
    rmq_send_message_request request;
    rmq_message message, *messages[2];
    rmq_resource topic;
    rmq_system_properties system;
    rmq_message_user_properties_entry property, *properties[200];
    pb_timestamp time;
    pb_duration duration;
};

static void make_sending(struct sending *s)
{
    memset(s, 0, sizeof *s);
    rmq_send_message_request_init(&s->request);
    rmq_message_init(&s->message);
    rmq_resource_init(&s->topic);
    rmq_system_properties_init(&s->system);
    rmq_message_user_properties_entry_init(&s->property);
    pb_timestamp_init(&s->time);
    pb_duration_init(&s->duration);
    s->topic.name = many('o', 1);
    s->topic.name = sk_arena_printf(h.arena, "orders");
    s->message.topic = &s->topic;
    s->message.system_properties = &s->system;
    s->message.body = (ProtobufCBinaryData){4, (uint8_t *)sk_arena_printf(h.arena, "body")};
    s->system.message_id = sk_arena_printf(h.arena, "ID");
    for (int i = 0; i < 200; i++) s->properties[i] = &s->property;
    s->property.key = sk_arena_printf(h.arena, "k");
    s->property.value = sk_arena_printf(h.arena, "v");
    s->message.user_properties = s->properties;
    s->messages[0] = s->messages[1] = &s->message;
    s->request.messages = s->messages;
    s->request.n_messages = 1;
}

static void body_of(struct sending *s, size_t len)
{
    s->message.body = (ProtobufCBinaryData){len, (uint8_t *)many('b', len)};
}

#define SPOIL(name) static void name(struct sending *s)
SPOIL(no_messages)
{
    s->request.n_messages = 0;
}
SPOIL(no_topic)
{
    s->message.topic = NULL;
}
SPOIL(blank_topic)
{
    s->topic.name = many(' ', 3);
}
SPOIL(odd_topic)
{
    s->topic.name = many('/', 3);
}
SPOIL(long_topic)
{
    s->topic.name = many('t', 128);
}
SPOIL(system_topic)
{
    s->topic.name = sk_arena_printf(h.arena, "TBW102");
}
SPOIL(unknown_topic)
{
    s->topic.name = sk_arena_printf(h.arena, "nothing");
}
SPOIL(unknown_dlq)
{
    s->topic.name = sk_arena_printf(h.arena, "%%DLQ%%nobody");
}
SPOIL(other_namespace)
{
    s->topic.resource_namespace = many('n', 2);
}
SPOIL(no_body)
{
    body_of(s, 0);
}
SPOIL(big_body)
{
    body_of(s, 4194305);
}
SPOIL(many_properties)
{
    s->message.n_user_properties = 129;
}
SPOIL(reserved_key)
{
    s->message.n_user_properties = 1;
    s->property.key = sk_arena_printf(h.arena, "UNIQ_KEY");
}
SPOIL(control_value)
{
    s->message.n_user_properties = 1;
    s->property.value = sk_arena_printf(h.arena, "a\x01");
}
SPOIL(control_key)
{
    s->message.n_user_properties = 1;
    s->property.key = sk_arena_printf(h.arena, "a\xc2\x85");
}
SPOIL(big_properties)
{
    s->message.n_user_properties = 1;
    s->property.value = many('v', 16384);
}
SPOIL(blank_tag)
{
    rmq_system_properties_set_tag(&s->system, many(' ', 2));
}
SPOIL(bar_tag)
{
    rmq_system_properties_set_tag(&s->system, sk_arena_printf(h.arena, "a|b"));
}
SPOIL(control_tag)
{
    rmq_system_properties_set_tag(&s->system, sk_arena_printf(h.arena, "a\t"));
}
SPOIL(blank_key)
{
    s->system.keys = sk_arena_zalloc(h.arena, 1, sizeof(char *));
    s->system.keys[0] = sk_arena_printf(h.arena, "\xe2\x80\xa8"); /* U+2028 */
    s->system.n_keys = 1;
}
SPOIL(big_trace)
{
    rmq_system_properties_set_trace_context(&s->system, many('t', 32769));
}
SPOIL(no_id)
{
    s->system.message_id = many(' ', 1);
}
SPOIL(no_system)
{
    s->message.system_properties = NULL;
}
SPOIL(long_group)
{
    rmq_system_properties_set_message_group(&s->system, many('g', 64));
}
SPOIL(blank_group)
{
    rmq_system_properties_set_message_group(&s->system, many(' ', 2));
}
SPOIL(far_delivery)
{
    s->time.seconds = 33000000000;
    rmq_system_properties_set_delivery_timestamp(&s->system, &s->time);
}
SPOIL(long_recovery)
{
    s->system.message_type = RMQ_MESSAGE_TYPE_TRANSACTION;
    s->duration.seconds = 3601;
    rmq_system_properties_set_orphaned_transaction_recovery_duration(&s->system, &s->duration);
}
SPOIL(negative_priority)
{
    rmq_system_properties_set_priority(&s->system, -1);
}
SPOIL(fifo_to_normal)
{
    rmq_system_properties_set_message_group(&s->system, many('g', 3));
}
SPOIL(delay_to_normal)
{
    s->time.seconds = 1;
    rmq_system_properties_set_delivery_timestamp(&s->system, &s->time);
}
SPOIL(transaction_to_normal)
{
    s->system.message_type = RMQ_MESSAGE_TYPE_TRANSACTION;
}
SPOIL(lite_to_normal)
{
    rmq_system_properties_set_lite_topic(&s->system, many('l', 3));
}
SPOIL(transaction_batch)
{
    transaction_to_normal(s);
    s->request.n_messages = 2;
}
SPOIL(delayed_transaction)
{
    transaction_to_normal(s);
    delay_to_normal(s);
}

static const struct {
    const char *what;
    void (*spoil)(struct sending *s);
    int code;
    const char *words;
} sends[] = {
    {"no messages", no_messages, RMQ_CODE_MESSAGE_CORRUPTED, "no messages"},
    {"no topic", no_topic, RMQ_CODE_ILLEGAL_TOPIC, "blank"},
    {"blank topic", blank_topic, RMQ_CODE_ILLEGAL_TOPIC, "blank"},
    {"odd topic", odd_topic, RMQ_CODE_ILLEGAL_TOPIC, "0x2f"},
    {"long topic", long_topic, RMQ_CODE_ILLEGAL_TOPIC, "127"},
    {"system topic", system_topic, RMQ_CODE_ILLEGAL_TOPIC, "reserved"},
    {"unknown topic", unknown_topic, RMQ_CODE_TOPIC_NOT_FOUND, "nothing"},
    {"unknown dead-letter topic", unknown_dlq, RMQ_CODE_TOPIC_NOT_FOUND, "%DLQ%nobody"},
    {"other namespace", other_namespace, RMQ_CODE_TOPIC_NOT_FOUND, "nn%orders"},
    {"no body", no_body, RMQ_CODE_MESSAGE_BODY_EMPTY, "no body"},
    {"big body", big_body, RMQ_CODE_MESSAGE_BODY_TOO_LARGE, "4194305"},
    {"many properties", many_properties, RMQ_CODE_MESSAGE_PROPERTIES_TOO_LARGE, "128"},
    {"reserved key", reserved_key, RMQ_CODE_ILLEGAL_MESSAGE_PROPERTY_KEY, "UNIQ_KEY"},
    {"control in value", control_value, RMQ_CODE_ILLEGAL_MESSAGE_PROPERTY_KEY, "control"},
    {"control in key", control_key, RMQ_CODE_ILLEGAL_MESSAGE_PROPERTY_KEY, "control"},
    {"big properties", big_properties, RMQ_CODE_MESSAGE_PROPERTIES_TOO_LARGE, "16384"},
    {"blank tag", blank_tag, RMQ_CODE_ILLEGAL_MESSAGE_TAG, "blank"},
    {"bar in tag", bar_tag, RMQ_CODE_ILLEGAL_MESSAGE_TAG, "'|'"},
    {"control in tag", control_tag, RMQ_CODE_ILLEGAL_MESSAGE_TAG, "control"},
    {"blank key", blank_key, RMQ_CODE_ILLEGAL_MESSAGE_KEY, "blank"},
    {"big trace context", big_trace, RMQ_CODE_MESSAGE_PROPERTIES_TOO_LARGE, "32768"},
    {"no id", no_id, RMQ_CODE_ILLEGAL_MESSAGE_ID, "id"},
    {"no system properties", no_system, RMQ_CODE_ILLEGAL_MESSAGE_ID, "id"},
    {"long group", long_group, RMQ_CODE_ILLEGAL_MESSAGE_GROUP, "63"},
    {"blank group", blank_group, RMQ_CODE_ILLEGAL_MESSAGE_GROUP, "blank"},
    {"far delivery time", far_delivery, RMQ_CODE_ILLEGAL_DELIVERY_TIME, "max_delay"},
    {"long recovery", long_recovery, RMQ_CODE_BAD_REQUEST, "3600"},
    {"negative priority", negative_priority, RMQ_CODE_BAD_REQUEST, "negative"},
    {"FIFO to NORMAL", fifo_to_normal, RMQ_CODE_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, "FIFO"},
    {"DELAY to NORMAL", delay_to_normal, RMQ_CODE_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, "DELAY"},
    {"TRANSACTION to NORMAL", transaction_to_normal, RMQ_CODE_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
     "TRANSACTION"},
    {"LITE to NORMAL", lite_to_normal, RMQ_CODE_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, "LITE"},
    {"TRANSACTION batch", transaction_batch, RMQ_CODE_BAD_REQUEST, "batches"},
    {"delayed TRANSACTION", delayed_transaction, RMQ_CODE_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
     "delivery time"},
};

static const rmq_send_message_response *send_it(const struct sending *s)
{
    const rmq_send_message_response *response;
    struct sk_status status = rmq_messaging_service_send_message_wait(
        h.channel, &options, &s->request, h.arena, &response);
    ck_assert_msg(sk_ok(status), "%s", sk_status_text(&status));
    return response;
}

START_TEST(bad_sends_are_refused)
{
    for (int i = 0; i < ROWS(sends); i++) {
        struct sending s;
        make_sending(&s);
        sends[i].spoil(&s);
        const rmq_send_message_response *response = send_it(&s);
        check_status(sends[i].what, response->status, sends[i].code, sends[i].words);
        ck_assert_uint_eq(response->n_entries, s.request.n_messages);
        for (size_t e = 0; e < response->n_entries; e++) {
            ck_assert_int_eq((int)response->entries[e]->status->code, sends[i].code);
        }
    }
    struct received r; /* nothing of it was stored */
    struct receive_how how = {.topic = "orders", .group = "billing", .polling_ms = 10};
    harness_receive(&h, &how, &r);
    ck_assert_int_eq(r.code, RMQ_CODE_MESSAGE_NOT_FOUND);
    it_still_serves();
}
END_TEST

START_TEST(what_is_at_the_limit_is_taken)
{
    struct sending s;
    make_sending(&s);
    body_of(&s, 4194304);
    check_status("4 MiB", send_it(&s)->status, RMQ_CODE_OK, "OK");
    make_sending(&s);
    s.message.n_user_properties = 128;
    check_status("128 properties", send_it(&s)->status, RMQ_CODE_OK, "OK");
    make_sending(&s);
    s.message.n_user_properties = 1;
    s.property.value = many('v', 16383);
    check_status("16 KiB of properties", send_it(&s)->status, RMQ_CODE_OK, "OK");
    make_sending(&s); /* empty means absent */
    rmq_system_properties_set_tag(&s.system, "");
    rmq_system_properties_set_message_group(&s.system, "");
    check_status("empty tag and group", send_it(&s)->status, RMQ_CODE_OK, "OK");
    make_sending(&s); /* what only a server may set is taken off */
    s.system.body_digest = sk_arena_alloc(h.arena, sizeof *s.system.body_digest);
    rmq_digest_init(s.system.body_digest);
    check_status("a digest", send_it(&s)->status, RMQ_CODE_OK, "OK");
}
END_TEST

START_TEST(a_batch_is_stored_whole_or_not_at_all)
{
    struct sending s;
    make_sending(&s);
    rmq_message second = s.message;
    rmq_system_properties system = s.system;
    system.message_id = sk_arena_printf(h.arena, "SECOND");
    second.system_properties = &system;
    s.messages[1] = &second;
    s.request.n_messages = 2;
    const rmq_send_message_response *response = send_it(&s);
    check_status("a batch", response->status, RMQ_CODE_OK, "OK");
    ck_assert_uint_eq(response->n_entries, 2);
    ck_assert_str_eq(response->entries[0]->message_id, "ID");
    ck_assert_str_eq(response->entries[1]->message_id, "SECOND");
    ck_assert_int_eq(response->entries[1]->offset, response->entries[0]->offset + 1);
    ck_assert_str_eq(response->entries[0]->transaction_id, "");
    ck_assert_str_eq(response->entries[0]->recall_handle, "");

    second.body.len = 0;
    check_status("one bad", send_it(&s)->status, RMQ_CODE_MESSAGE_BODY_EMPTY, "body");
    rmq_resource other = s.topic;
    other.name = sk_arena_printf(h.arena, "others");
    second.body.len = 4;
    second.topic = &other;
    check_status("two topics", send_it(&s)->status, RMQ_CODE_MESSAGE_CORRUPTED, "one topic");
    struct received r;
    struct receive_how how = {.topic = "orders", .group = "billing", .polling_ms = 10};
    harness_receive(&h, &how, &r);
    ck_assert_uint_eq(r.count, 2);
}
END_TEST

struct bytes_outcome {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool over;
    enum rpc_code code;
};

static void on_bytes(void *arg, const struct rpc_outcome *outcome, struct sk_slice response)
{
    (void)response;
    struct bytes_outcome *o = arg;
    pthread_mutex_lock(&o->lock);
    o->code = outcome->code;
    o->over = true;
    pthread_cond_signal(&o->ended);
    pthread_mutex_unlock(&o->lock);
}

static enum rpc_code send_bytes(int method, struct sk_slice bytes)
{
    struct bytes_outcome o = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, RPC_OK};
    rpc_unary_bytes(h.channel, &rmq_messaging_service.methods[method], &options, bytes, on_bytes,
                    &o);
    pthread_mutex_lock(&o.lock);
    while (!o.over) pthread_cond_wait(&o.ended, &o.lock);
    pthread_mutex_unlock(&o.lock);
    return o.code;
}

START_TEST(garbage_bytes_are_refused)
{
    static const int methods[] = {
        RMQ_MESSAGING_SERVICE_SEND_MESSAGE,  RMQ_MESSAGING_SERVICE_QUERY_ROUTE,
        RMQ_MESSAGING_SERVICE_ACK_MESSAGE,   RMQ_MESSAGING_SERVICE_HEARTBEAT,
        RMQ_MESSAGING_SERVICE_UPDATE_OFFSET, RMQ_MESSAGING_SERVICE_QUERY_ASSIGNMENT,
        RMQ_MESSAGING_SERVICE_QUERY_OFFSET,  RMQ_MESSAGING_SERVICE_CHANGE_INVISIBLE_DURATION,
        RMQ_MESSAGING_SERVICE_GET_OFFSET,
    };
    for (int m = 0; m < ROWS(methods); m++) {
        ck_assert_int_eq(send_bytes(methods[m], SK_SLICE("\x0a\xff garbage")),
                         RPC_INVALID_ARGUMENT);
    }
    /* A tag that is not UTF-8. */
    ck_assert_int_eq(send_bytes(methods[0], SK_SLICE("\x0a\x05\x1a\x03\x0a\x01\xff")),
                     RPC_INVALID_ARGUMENT);
    it_still_serves();
}
END_TEST

/* --- ReceiveMessage -------------------------------------------------------------------------- */

static const struct {
    const char *what;
    struct receive_how how;
    int code;
    const char *words;
} receives[] = {
    {"unknown topic", {.topic = "none", .group = "billing"}, RMQ_CODE_TOPIC_NOT_FOUND, "none"},
    {"no topic", {.topic = "", .group = "billing"}, RMQ_CODE_ILLEGAL_TOPIC, "blank"},
    {"unknown group",
     {.topic = "orders", .group = "none"},
     RMQ_CODE_CONSUMER_GROUP_NOT_FOUND,
     "none"},
    {"no group", {.topic = "orders", .group = ""}, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, "blank"},
    {"system group",
     {.topic = "orders", .group = "CID_RMQ_SYS_x"},
     RMQ_CODE_ILLEGAL_CONSUMER_GROUP,
     "reserved"},
    {"negative batch",
     {.topic = "orders", .group = "billing", .batch = -1},
     RMQ_CODE_BAD_REQUEST,
     "batch_size"},
    {"bars",
     {.topic = "orders", .group = "billing", .filter = "||"},
     RMQ_CODE_ILLEGAL_FILTER_EXPRESSION,
     "bars"},
    {"short lease",
     {.topic = "orders", .group = "billing", .invisible_ms = 9999},
     RMQ_CODE_ILLEGAL_INVISIBLE_TIME,
     "10000"},
    {"long lease",
     {.topic = "orders", .group = "billing", .invisible_ms = 43200001},
     RMQ_CODE_ILLEGAL_INVISIBLE_TIME,
     "43200000"},
    {"negative lease",
     {.topic = "orders", .group = "billing", .invisible_ms = -5000},
     RMQ_CODE_ILLEGAL_INVISIBLE_TIME,
     "-5000"},
    {"negative polling",
     {.topic = "orders", .group = "billing", .polling_ms = -1000},
     RMQ_CODE_ILLEGAL_POLLING_TIME,
     "negative"},
};

START_TEST(bad_receives_are_refused)
{
    for (int i = 0; i < ROWS(receives); i++) {
        struct received r;
        harness_receive(&h, &receives[i].how, &r);
        ck_assert_msg((int)r.code == receives[i].code, "%s: %d %s", receives[i].what, (int)r.code,
                      r.text);
        ck_assert_msg(strstr(r.text, receives[i].words) != NULL, "%s: '%s'", receives[i].what,
                      r.text);
        ck_assert(r.in_order && r.timestamp && r.count == 0);
        ck_assert_int_eq(r.ended, RPC_OK);
    }
    it_still_serves();
}
END_TEST

/* --- AckMessage and ChangeInvisibleDuration -------------------------------------------------- */

static const struct {
    const char *what, *topic, *group, *handle;
    int code;
} acks[] = {
    {"garbage", "orders", "billing", "garbage", RMQ_CODE_INVALID_RECEIPT_HANDLE},
    {"empty handle", "orders", "billing", "", RMQ_CODE_INVALID_RECEIPT_HANDLE},
    {"not UTF-8 free text", "orders", "billing", "\xd1\x84 \xe2\x82\xac",
     RMQ_CODE_INVALID_RECEIPT_HANDLE},
    {"unknown topic", "none", "billing", "x", RMQ_CODE_TOPIC_NOT_FOUND},
    {"unknown group", "orders", "none", "x", RMQ_CODE_INVALID_RECEIPT_HANDLE},
    {"blank topic", " ", "billing", "x", RMQ_CODE_ILLEGAL_TOPIC},
    {"bad group", "orders", "a/b", "x", RMQ_CODE_ILLEGAL_CONSUMER_GROUP},
};

START_TEST(bad_acks_and_changes_are_refused)
{
    for (int i = 0; i < ROWS(acks); i++) {
        rmq_code code = harness_ack(&h, acks[i].topic, acks[i].group, acks[i].handle);
        ck_assert_msg((int)code == acks[i].code, "%s: %d", acks[i].what, (int)code);
        const rmq_change_invisible_duration_response *changed =
            harness_change(&h, acks[i].topic, acks[i].group, acks[i].handle, 1);
        ck_assert_msg((int)changed->status->code == acks[i].code, "%s: change %d", acks[i].what,
                      (int)changed->status->code);
        ck_assert_str_eq(changed->receipt_handle, acks[i].handle); /* told on errors, too */
    }
    check_status("too long", harness_change(&h, "orders", "billing", "x", 43201)->status,
                 RMQ_CODE_ILLEGAL_INVISIBLE_TIME, "43200000");
    check_status("negative", harness_change(&h, "orders", "billing", "x", -1)->status,
                 RMQ_CODE_ILLEGAL_INVISIBLE_TIME, "-1000");
    it_still_serves();
}
END_TEST

START_TEST(an_ack_of_another_group_is_refused)
{
    harness_group(&h, "audit");
    it_still_serves();
    struct received r;
    struct receive_how how = {.topic = "orders", .group = "billing", .polling_ms = 100};
    harness_receive(&h, &how, &r);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_int_eq(harness_ack(&h, "orders", "audit", r.messages[0].handle),
                     RMQ_CODE_INVALID_RECEIPT_HANDLE);
    ck_assert_int_eq(harness_ack(&h, "orders", "billing", r.messages[0].handle), RMQ_CODE_OK);
}
END_TEST

START_TEST(an_ack_without_entries_is_refused)
{
    rmq_resource topic = RMQ_RESOURCE_INIT, group = RMQ_RESOURCE_INIT;
    topic.name = sk_arena_printf(h.arena, "orders");
    group.name = sk_arena_printf(h.arena, "billing");
    rmq_ack_message_request request = RMQ_ACK_MESSAGE_REQUEST_INIT;
    request.topic = &topic;
    request.group = &group;
    const rmq_ack_message_response *response;
    ck_assert(sk_ok(
        rmq_messaging_service_ack_message_wait(h.channel, &options, &request, h.arena, &response)));
    check_status("no entries", response->status, RMQ_CODE_BAD_REQUEST, "no entries");
}
END_TEST

/* --- without a client id --------------------------------------------------------------------- */

START_TEST(a_client_must_say_who_it_is)
{
    struct rpc_options none = harness_options(NULL);
    rmq_heartbeat_request heartbeat = RMQ_HEARTBEAT_REQUEST_INIT;
    const rmq_heartbeat_response *beaten;
    ck_assert(sk_ok(
        rmq_messaging_service_heartbeat_wait(h.channel, &none, &heartbeat, h.arena, &beaten)));
    check_status("heartbeat", beaten->status, RMQ_CODE_CLIENT_ID_REQUIRED, "x-mq-client-id");
    struct sending s;
    make_sending(&s);
    const rmq_send_message_response *sent;
    ck_assert(sk_ok(
        rmq_messaging_service_send_message_wait(h.channel, &none, &s.request, h.arena, &sent)));
    check_status("send", sent->status, RMQ_CODE_CLIENT_ID_REQUIRED, "x-mq-client-id");
    rmq_query_route_request route = RMQ_QUERY_ROUTE_REQUEST_INIT;
    const rmq_query_route_response *routed;
    ck_assert(
        sk_ok(rmq_messaging_service_query_route_wait(h.channel, &none, &route, h.arena, &routed)));
    check_status("route", routed->status, RMQ_CODE_CLIENT_ID_REQUIRED, "x-mq-client-id");
}
END_TEST

/* --- heartbeats, terminations, routes -------------------------------------------------------- */

static const struct {
    const char *what;
    int type;
    const char *group; /* NULL: none */
    int code;
} heartbeats[] = {
    {"producer", RMQ_CLIENT_TYPE_PRODUCER, NULL, RMQ_CODE_OK},
    {"producer with an empty group", RMQ_CLIENT_TYPE_PRODUCER, "", RMQ_CODE_OK},
    {"nobody in particular", RMQ_CLIENT_TYPE_UNSPECIFIED, NULL, RMQ_CODE_OK},
    {"consumer", RMQ_CLIENT_TYPE_PUSH_CONSUMER, "billing", RMQ_CODE_OK},
    {"consumer without group", RMQ_CLIENT_TYPE_SIMPLE_CONSUMER, NULL,
     RMQ_CODE_ILLEGAL_CONSUMER_GROUP},
    {"consumer of an odd group", RMQ_CLIENT_TYPE_SIMPLE_CONSUMER, "a b",
     RMQ_CODE_ILLEGAL_CONSUMER_GROUP},
    {"consumer of an unknown group", RMQ_CLIENT_TYPE_PUSH_CONSUMER, "none",
     RMQ_CODE_CONSUMER_GROUP_NOT_FOUND},
    {"unknown type", 99, NULL, RMQ_CODE_UNRECOGNIZED_CLIENT_TYPE},
};

START_TEST(heartbeats_are_judged)
{
    for (int i = 0; i < ROWS(heartbeats); i++) {
        rmq_resource group = RMQ_RESOURCE_INIT;
        rmq_heartbeat_request request = RMQ_HEARTBEAT_REQUEST_INIT;
        request.client_type = (rmq_client_type)heartbeats[i].type;
        if (heartbeats[i].group) {
            group.name = (char *)(uintptr_t)heartbeats[i].group;
            rmq_heartbeat_request_set_group(&request, &group);
        }
        const rmq_heartbeat_response *response;
        ck_assert(sk_ok(rmq_messaging_service_heartbeat_wait(h.channel, &options, &request, h.arena,
                                                             &response)));
        check_status(heartbeats[i].what, response->status, heartbeats[i].code, "");
    }
}
END_TEST

START_TEST(unknown_clients_may_leave)
{
    rmq_notify_client_termination_request request = RMQ_NOTIFY_CLIENT_TERMINATION_REQUEST_INIT;
    for (int i = 0; i < 2; i++) {
        const rmq_notify_client_termination_response *response;
        ck_assert(sk_ok(rmq_messaging_service_notify_client_termination_wait(
            h.channel, &options, &request, h.arena, &response)));
        check_status("goodbye", response->status, RMQ_CODE_OK, "OK");
    }
}
END_TEST

START_TEST(routes_are_answered)
{
    rmq_resource topic = RMQ_RESOURCE_INIT;
    rmq_query_route_request request = RMQ_QUERY_ROUTE_REQUEST_INIT;
    request.topic = &topic;
    topic.name = sk_arena_printf(h.arena, "orders");
    const rmq_query_route_response *response;
    ck_assert(sk_ok(
        rmq_messaging_service_query_route_wait(h.channel, &options, &request, h.arena, &response)));
    check_status("route", response->status, RMQ_CODE_OK, "OK");
    ck_assert_uint_eq(response->n_message_queues, 2);
    const rmq_message_queue *queue = response->message_queues[0];
    ck_assert_int_eq(queue->id, 0);
    ck_assert_int_eq(queue->permission, RMQ_PERMISSION_READ_WRITE);
    ck_assert_str_eq(queue->broker->name, "broker-a");
    ck_assert_int_eq(queue->broker->endpoints->addresses[0]->port, h.port);
    ck_assert_uint_eq(queue->n_accept_message_types, 1);

    topic.name = sk_arena_printf(h.arena, "none");
    ck_assert(sk_ok(
        rmq_messaging_service_query_route_wait(h.channel, &options, &request, h.arena, &response)));
    check_status("unknown topic", response->status, RMQ_CODE_TOPIC_NOT_FOUND, "none");
    topic.name = many(' ', 1);
    ck_assert(sk_ok(
        rmq_messaging_service_query_route_wait(h.channel, &options, &request, h.arena, &response)));
    check_status("blank topic", response->status, RMQ_CODE_ILLEGAL_TOPIC, "blank");
}
END_TEST

START_TEST(assignments_are_answered)
{
    rmq_resource topic = RMQ_RESOURCE_INIT, group = RMQ_RESOURCE_INIT;
    rmq_query_assignment_request request = RMQ_QUERY_ASSIGNMENT_REQUEST_INIT;
    request.topic = &topic;
    request.group = &group;
    topic.name = sk_arena_printf(h.arena, "orders");
    group.name = sk_arena_printf(h.arena, "any");
    const rmq_query_assignment_response *response;
    ck_assert(sk_ok(rmq_messaging_service_query_assignment_wait(h.channel, &options, &request,
                                                                h.arena, &response)));
    check_status("assignment", response->status, RMQ_CODE_OK, "OK");
    ck_assert_uint_eq(response->n_assignments, 1);
    ck_assert_int_eq(response->assignments[0]->message_queue->id, -1);
}
END_TEST

/* --- later ----------------------------------------------------------------------------------- */

START_TEST(what_is_not_built_says_so)
{
    rmq_end_transaction_request end = RMQ_END_TRANSACTION_REQUEST_INIT;
    const rmq_end_transaction_response *ended;
    ck_assert(sk_ok(
        rmq_messaging_service_end_transaction_wait(h.channel, &options, &end, h.arena, &ended)));
    check_status("end", ended->status, RMQ_CODE_NOT_IMPLEMENTED, "later");
    rmq_recall_message_request recall = RMQ_RECALL_MESSAGE_REQUEST_INIT;
    const rmq_recall_message_response *recalled;
    ck_assert(sk_ok(rmq_messaging_service_recall_message_wait(h.channel, &options, &recall, h.arena,
                                                              &recalled)));
    check_status("recall", recalled->status, RMQ_CODE_NOT_IMPLEMENTED, "later");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("services.broker.requests");
    TCase *c = tcase_create("requests");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, open_it, close_it);
    tcase_add_test(c, bad_sends_are_refused);
    tcase_add_test(c, what_is_at_the_limit_is_taken);
    tcase_add_test(c, a_batch_is_stored_whole_or_not_at_all);
    tcase_add_test(c, garbage_bytes_are_refused);
    tcase_add_test(c, bad_receives_are_refused);
    tcase_add_test(c, bad_acks_and_changes_are_refused);
    tcase_add_test(c, an_ack_of_another_group_is_refused);
    tcase_add_test(c, an_ack_without_entries_is_refused);
    tcase_add_test(c, a_client_must_say_who_it_is);
    tcase_add_test(c, heartbeats_are_judged);
    tcase_add_test(c, unknown_clients_may_leave);
    tcase_add_test(c, routes_are_answered);
    tcase_add_test(c, assignments_are_answered);
    tcase_add_test(c, what_is_not_built_says_so);
    suite_add_tcase(suite, c);
    return suite;
}

SUITE_MAIN(make_suite)
