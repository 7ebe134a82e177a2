/* test_stubs.c - generated servers and clients, against a runtime that only records. */
#include "api/plugin/fake_runtime.h"
#include "awkward/service.rpc.h"
#include "support/suite.h"

static int owner_mark;
static int arg_mark;

/* What the typed functions below were called with. */
static struct {
    void *owner;
    rpc_call *call;
    rpc_stream *stream;
    const void *message;
    const struct rpc_outcome *outcome;
    int times;
} seen;

static void setup(void)
{
    memset(&fake, 0, sizeof fake);
    memset(&seen, 0, sizeof seen);
}

/* --- the server's side -------------------------------------------------------------------- */

static void ask(void *owner, rpc_call *call, const awk_ua *request)
{
    seen.owner = owner;
    seen.call = call;
    seen.message = request;
    seen.times++;
}

static void watch(void *owner, rpc_call *call, const awk_sql92_filter2 *request)
{
    seen.owner = owner;
    seen.call = call;
    seen.message = request;
    seen.times++;
}

static void talk(void *owner, rpc_call *call)
{
    seen.owner = owner;
    seen.call = call;
    seen.times++;
}

static const struct awk_awkward_dlq_handlers HANDLERS = {.ask = ask, .watch = watch, .talk = talk};
static const struct awk_awkward_dlq_handlers NO_HANDLERS = {0};

START_TEST(table_has_paths_kinds_and_types)
{
    static const struct {
        const char *path;
        const char *name;
        enum rpc_kind kind;
        const ProtobufCMessageDescriptor *request;
        const ProtobufCMessageDescriptor *response;
    } rows[] = {
        {"/awkward.v1Beta.AwkwardDLQ/Ask", "Ask", RPC_UNARY, &awk_ua_descriptor,
         &awk_dlq_item_descriptor},
        {"/awkward.v1Beta.AwkwardDLQ/Watch", "Watch", RPC_SERVER_STREAM,
         &awk_sql92_filter2_descriptor, &awk_choice_descriptor},
        {"/awkward.v1Beta.AwkwardDLQ/Talk", "Talk", RPC_BIDI, &awk_choice_descriptor,
         &awk_presence_descriptor},
        {"/awkward.v1Beta.AwkwardDLQ/Upload", "Upload", RPC_BIDI, &awk_ua_descriptor,
         &awk_snake_case_descriptor},
        {"/awkward.v1Beta.AwkwardDLQ/Register", "Register", RPC_UNARY, &awk_ua_descriptor,
         &awk_choice_inner_dlq_descriptor},
        {"/awkward.v1Beta.AwkwardDLQ/Switch", "Switch", RPC_BIDI, &awk_ua_descriptor,
         &awk_ua_descriptor},
    };
    ck_assert_str_eq(awk_awkward_dlq.name, "awkward.v1Beta.AwkwardDLQ");
    ck_assert_uint_eq(awk_awkward_dlq.method_count, AWK_AWKWARD_DLQ_METHOD_COUNT);
    ck_assert_int_eq(AWK_AWKWARD_DLQ_METHOD_COUNT, ROWS(rows));
    for (int i = 0; i < ROWS(rows); i++) {
        const struct rpc_method *method = &awk_awkward_dlq.methods[i];
        ck_assert_str_eq(method->path, rows[i].path);
        ck_assert_str_eq(method->name, rows[i].name);
        ck_assert_int_eq(method->kind, rows[i].kind);
        ck_assert_ptr_eq(method->request, rows[i].request);
        ck_assert_ptr_eq(method->response, rows[i].response);
    }
    ck_assert_uint_eq(awk_empty.method_count, 0);
}
END_TEST

static void assert_seen(const void *message)
{
    ck_assert_int_eq(seen.times, 1);
    ck_assert_ptr_eq(seen.owner, &owner_mark);
    ck_assert_ptr_eq(seen.call, FAKE_CALL);
    ck_assert_ptr_eq(seen.message, message);
    ck_assert_ptr_null(fake.last);
}

START_TEST(mounted_handlers_get_owner_call_and_request)
{
    awk_awkward_dlq_mount(FAKE_SERVER, &HANDLERS, &owner_mark);
    ck_assert_ptr_eq(fake.service, &awk_awkward_dlq);
    ck_assert_ptr_eq(fake.owner, &owner_mark);
    const struct rpc_binding *bindings = fake.bindings;
    fake.last = NULL;

    awk_ua ua = AWK_UA_INIT;
    bindings[AWK_AWKWARD_DLQ_ASK].request(fake.handlers, fake.owner, FAKE_CALL, &ua.base);
    assert_seen(&ua);
    seen.times = 0;
    awk_sql92_filter2 filter = AWK_SQL92_FILTER2_INIT;
    bindings[AWK_AWKWARD_DLQ_WATCH].request(fake.handlers, fake.owner, FAKE_CALL, &filter.base);
    assert_seen(&filter);
    seen.times = 0;
    seen.message = NULL;
    ck_assert(!bindings[AWK_AWKWARD_DLQ_TALK].request);
    bindings[AWK_AWKWARD_DLQ_TALK].open(fake.handlers, fake.owner, FAKE_CALL);
    assert_seen(NULL);
}
END_TEST

START_TEST(missing_handler_answers_unimplemented)
{
    awk_awkward_dlq_mount(FAKE_SERVER, &NO_HANDLERS, &owner_mark);
    awk_ua ua = AWK_UA_INIT;
    for (int i = 0; i < AWK_AWKWARD_DLQ_METHOD_COUNT; i++) {
        const struct rpc_binding *binding = &fake.bindings[i];
        ck_assert_int_eq(awk_awkward_dlq.methods[i].kind == RPC_BIDI, binding->open != NULL);
        ck_assert_int_eq(awk_awkward_dlq.methods[i].kind == RPC_BIDI, binding->request == NULL);
        fake.failed_with = RPC_OK;
        if (binding->open)
            binding->open(fake.handlers, fake.owner, FAKE_CALL);
        else
            binding->request(fake.handlers, fake.owner, FAKE_CALL, &ua.base);
        ck_assert_int_eq(fake.failed_with, RPC_UNIMPLEMENTED);
        ck_assert_ptr_eq(fake.call, FAKE_CALL);
        ck_assert_ptr_nonnull(strstr(fake.failure, awk_awkward_dlq.methods[i].path + 1));
    }
}
END_TEST

START_TEST(replies_and_writes_reach_the_runtime)
{
    awk_dlq_item item = AWK_DLQ_ITEM_INIT;
    awk_awkward_dlq_reply_ask(FAKE_CALL, &item);
    ck_assert_str_eq(fake.last, "rpc_call_reply");
    ck_assert_ptr_eq(fake.sent, &item.base);
    awk_choice choice = AWK_CHOICE_INIT;
    awk_awkward_dlq_write_watch(FAKE_CALL, &choice);
    ck_assert_str_eq(fake.last, "rpc_call_write");
    ck_assert_ptr_eq(fake.sent, &choice.base);
    awk_presence presence = AWK_PRESENCE_INIT;
    awk_awkward_dlq_write_talk(FAKE_CALL, &presence);
    ck_assert_ptr_eq(fake.sent, &presence.base);
}
END_TEST

static void heard(void *arg, rpc_call *call, const awk_choice *message)
{
    ck_assert_ptr_eq(arg, &arg_mark);
    seen.call = call;
    seen.message = message;
    seen.times++;
}

static void half_closed(void *arg, rpc_call *call)
{
    ck_assert_ptr_eq(arg, &arg_mark);
    ck_assert_ptr_eq(call, FAKE_CALL);
    seen.times += 10;
}

START_TEST(bidi_events_are_typed)
{
    static const struct awk_awkward_dlq_talk_events EVENTS = {heard, half_closed};
    awk_awkward_dlq_listen_talk(FAKE_CALL, &EVENTS, &arg_mark);
    ck_assert_str_eq(fake.last, "rpc_call_listen");
    awk_choice choice = AWK_CHOICE_INIT;
    fake.events->message(fake.typed, fake.arg, FAKE_CALL, &choice.base);
    ck_assert_int_eq(seen.times, 1);
    ck_assert_ptr_eq(seen.message, &choice);
    fake.events->half_closed(fake.typed, fake.arg, FAKE_CALL);
    ck_assert_int_eq(seen.times, 11);
}
END_TEST

/* --- the client's side ------------------------------------------------------------------------ */

static void asked(void *arg, const struct rpc_outcome *outcome, const awk_dlq_item *response)
{
    ck_assert_ptr_eq(arg, &arg_mark);
    seen.outcome = outcome;
    seen.message = response;
    seen.times++;
}

START_TEST(unary_call_comes_back_typed)
{
    struct rpc_options options = {.timeout_ms = 7};
    awk_ua ua = AWK_UA_INIT;
    awk_awkward_dlq_ask(FAKE_CHANNEL, &options, &ua, asked, &arg_mark);
    ck_assert_str_eq(fake.last, "rpc_unary");
    ck_assert_ptr_eq(fake.channel, FAKE_CHANNEL);
    ck_assert_ptr_eq(fake.method, &awk_awkward_dlq.methods[AWK_AWKWARD_DLQ_ASK]);
    ck_assert_ptr_eq(fake.options, &options);
    ck_assert_ptr_eq(fake.request, &ua.base);

    struct rpc_outcome outcome = {.code = RPC_OK};
    awk_dlq_item item = AWK_DLQ_ITEM_INIT;
    fake.done(fake.done_typed, fake.arg, &outcome, &item.base);
    ck_assert_ptr_eq(seen.message, &item);
    ck_assert_ptr_eq(seen.outcome, &outcome);
    outcome.code = RPC_UNAVAILABLE;
    fake.done(fake.done_typed, fake.arg, &outcome, NULL);
    ck_assert_ptr_null(seen.message);
    ck_assert_int_eq(seen.times, 2);
}
END_TEST

START_TEST(unary_call_without_callback_is_allowed)
{
    awk_ua ua = AWK_UA_INIT;
    struct rpc_outcome outcome = {.code = RPC_OK};
    awk_awkward_dlq_ask(FAKE_CHANNEL, NULL, &ua, NULL, NULL);
    fake.done(fake.done_typed, fake.arg, &outcome, NULL);
    ck_assert_int_eq(seen.times, 0);
}
END_TEST

START_TEST(waiting_call_sets_the_response_only_on_success)
{
    awk_ua ua = AWK_UA_INIT;
    awk_choice_inner_dlq inner = AWK_CHOICE_INNER_DLQ_INIT;
    const awk_choice_inner_dlq *response = NULL;
    fake.wait_response = &inner.base;
    fake.wait_status = sk_error(SK_TIMEOUT, "late");
    struct sk_status status =
        awk_awkward_dlq_register_wait(FAKE_CHANNEL, NULL, &ua, NULL, &response);
    ck_assert_int_eq(status.code, SK_TIMEOUT);
    ck_assert_str_eq(status.detail, "late");
    ck_assert_ptr_null(response);

    fake.wait_status = SK_SUCCESS;
    status = awk_awkward_dlq_register_wait(FAKE_CHANNEL, NULL, &ua, NULL, &response);
    ck_assert(sk_ok(status));
    ck_assert_ptr_eq(response, &inner);
    ck_assert_ptr_eq(fake.method, &awk_awkward_dlq.methods[AWK_AWKWARD_DLQ_REGISTER]);
}
END_TEST

static void choice_came(void *arg, rpc_stream *stream, const awk_choice *message)
{
    ck_assert_ptr_eq(arg, &arg_mark);
    seen.stream = stream;
    seen.message = message;
    seen.times++;
}

static void presence_came(void *arg, rpc_stream *stream, const awk_presence *message)
{
    ck_assert_ptr_eq(arg, &arg_mark);
    seen.stream = stream;
    seen.message = message;
    seen.times++;
}

static void closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    ck_assert_ptr_eq(arg, &arg_mark);
    seen.stream = stream;
    seen.outcome = outcome;
    seen.times += 10;
}

static void assert_stream(rpc_stream *stream, const ProtobufCMessage *message)
{
    struct rpc_outcome outcome = {.code = RPC_CANCELLED};
    ck_assert_ptr_eq(stream, FAKE_STREAM);
    fake.handler->message(fake.typed, fake.arg, stream, message);
    ck_assert_ptr_eq(seen.message, message);
    ck_assert_ptr_eq(seen.stream, stream);
    fake.handler->closed(fake.typed, fake.arg, stream, &outcome);
    ck_assert_ptr_eq(seen.outcome, &outcome);
    ck_assert_int_eq(seen.times, 11);
}

START_TEST(server_stream_is_typed)
{
    static const struct awk_awkward_dlq_watch_handler HANDLER = {choice_came, closed};
    awk_sql92_filter2 filter = AWK_SQL92_FILTER2_INIT;
    rpc_stream *stream = awk_awkward_dlq_watch(FAKE_CHANNEL, NULL, &filter, &HANDLER, &arg_mark);
    ck_assert_ptr_eq(fake.request, &filter.base);
    ck_assert_ptr_eq(fake.method, &awk_awkward_dlq.methods[AWK_AWKWARD_DLQ_WATCH]);
    awk_choice choice = AWK_CHOICE_INIT;
    assert_stream(stream, &choice.base);
}
END_TEST

START_TEST(bidi_stream_is_typed)
{
    static const struct awk_awkward_dlq_talk_handler HANDLER = {presence_came, closed};
    rpc_stream *stream = awk_awkward_dlq_talk(FAKE_CHANNEL, NULL, &HANDLER, &arg_mark);
    ck_assert_ptr_null(fake.request);
    ck_assert_ptr_eq(fake.method, &awk_awkward_dlq.methods[AWK_AWKWARD_DLQ_TALK]);
    awk_presence presence = AWK_PRESENCE_INIT;
    assert_stream(stream, &presence.base);
    awk_choice choice = AWK_CHOICE_INIT;
    awk_awkward_dlq_send_talk(stream, &choice);
    ck_assert_str_eq(fake.last, "rpc_stream_write");
    ck_assert_ptr_eq(fake.sent, &choice.base);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("plugin.stubs");
    TCase *server = tcase_create("server");
    tcase_add_checked_fixture(server, setup, NULL);
    tcase_add_test(server, table_has_paths_kinds_and_types);
    tcase_add_test(server, mounted_handlers_get_owner_call_and_request);
    tcase_add_test(server, missing_handler_answers_unimplemented);
    tcase_add_test(server, replies_and_writes_reach_the_runtime);
    tcase_add_test(server, bidi_events_are_typed);
    suite_add_tcase(suite, server);
    TCase *client = tcase_create("client");
    tcase_add_checked_fixture(client, setup, NULL);
    tcase_add_test(client, unary_call_comes_back_typed);
    tcase_add_test(client, unary_call_without_callback_is_allowed);
    tcase_add_test(client, waiting_call_sets_the_response_only_on_success);
    tcase_add_test(client, server_stream_is_typed);
    tcase_add_test(client, bidi_stream_is_typed);
    suite_add_tcase(suite, client);
    return suite;
}

SUITE_MAIN(make_suite)
