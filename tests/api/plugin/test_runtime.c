/* test_runtime.c - generated servers and clients over the real runtime: one call of each kind. */
#include <stdio.h>

#include "awkward/service.rpc.h"
#include "base/thread.h"
#include "support/suite.h"

static rpc_server *server;
static rpc_client *client;
static rpc_channel *channel;
static sk_arena *arena;

/* What came back: all texts in one line, and how the call ended. */
static struct {
    struct sk_mutex lock;
    struct sk_cond changed;
    char texts[256];    /* guarded by lock */
    bool ended;         /* guarded by lock */
    enum rpc_code code; /* guarded by lock */
} got;

static void add_text(const char *text)
{
    sk_mutex_lock(&got.lock);
    size_t len = strlen(got.texts);
    snprintf(got.texts + len, sizeof got.texts - len, "%s ", text);
    sk_mutex_unlock(&got.lock);
}

static void end(enum rpc_code code)
{
    sk_mutex_lock(&got.lock);
    ck_assert(!got.ended);
    got.ended = true;
    got.code = code;
    sk_cond_signal(&got.changed);
    sk_mutex_unlock(&got.lock);
}

static void await_end(enum rpc_code code, const char *texts)
{
    sk_mutex_lock(&got.lock);
    while (!got.ended) ck_assert(sk_cond_wait_for(&got.changed, &got.lock, 20 * 1000 * 1000));
    ck_assert_int_eq(got.code, code);
    ck_assert_str_eq(got.texts, texts);
    sk_mutex_unlock(&got.lock);
}

/* --- the server ----------------------------------------------------------------------------------
 */

static void ask(void *owner, rpc_call *call, const awk_ua *request)
{
    awk_dlq_item item = AWK_DLQ_ITEM_INIT;
    *(_Atomic int *)owner += 1;
    if (strcmp(request->hostname, "fail") == 0)
        rpc_call_fail(call, RPC_NOT_FOUND, "no such host");
    else
        awk_awkward_dlq_reply_ask(call, &item);
}

static void watch(void *owner, rpc_call *call, const awk_sql92_filter2 *request)
{
    (void)owner;
    static const char *const words[] = {"one", "two", ""};
    for (uint64_t i = 0; i < request->httpport; i++) {
        awk_choice choice = AWK_CHOICE_INIT;
        awk_choice_set_text(&choice, words[i]);
        awk_awkward_dlq_write_watch(call, &choice);
    }
    rpc_call_finish(call, RPC_OK, NULL);
}

static void heard(void *arg, rpc_call *call, const awk_choice *message)
{
    (void)arg;
    awk_presence answer = AWK_PRESENCE_INIT;
    awk_presence_set_text(&answer, awk_choice_get_text(message));
    awk_awkward_dlq_write_talk(call, &answer);
}

static void half_closed(void *arg, rpc_call *call)
{
    (void)arg;
    rpc_call_finish(call, RPC_OK, NULL);
}

static void talk(void *owner, rpc_call *call)
{
    static const struct awk_awkward_dlq_talk_events EVENTS = {heard, half_closed};
    awk_awkward_dlq_listen_talk(call, &EVENTS, owner);
}

static const struct awk_awkward_dlq_handlers HANDLERS = {.ask = ask, .watch = watch, .talk = talk};
static _Atomic int asked;

static void must(struct sk_status status)
{
    ck_assert_msg(sk_ok(status), "%s", status.detail);
}

static void setup(void)
{
    memset(&got, 0, sizeof got);
    sk_mutex_init(&got.lock);
    sk_cond_init(&got.changed);
    arena = sk_arena_new(0);
    asked = 0;
    must(rpc_server_new(&(struct rpc_server_options){0}, &server));
    awk_awkward_dlq_mount(server, &HANDLERS, &asked);
    int port = 0;
    must(rpc_server_listen(server, "127.0.0.1:0", &port));
    must(rpc_server_start(server));
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    must(rpc_client_new(&client));
    must(rpc_channel_open(client, target, &(struct rpc_channel_options){0}, &channel));
}

static void teardown(void)
{
    rpc_channel_close(channel);
    rpc_client_free(client);
    rpc_server_drain(server, 0);
    rpc_server_free(server);
    sk_arena_free(arena);
    sk_cond_done(&got.changed);
    sk_mutex_done(&got.lock);
}

/* --- the client
 * -------------------------------------------------------------------------------------- */

static const struct rpc_options PATIENT = {.timeout_ms = 20000, .wait_for_ready = true};

START_TEST(unary_waits)
{
    awk_ua ua = AWK_UA_INIT;
    const awk_dlq_item *item = NULL;
    must(awk_awkward_dlq_ask_wait(channel, &PATIENT, &ua, arena, &item));
    ck_assert_ptr_nonnull(item);
    ck_assert_ptr_eq(item->base.descriptor, &awk_dlq_item_descriptor);
    ck_assert_int_eq(asked, 1);

    ua.hostname = (char[]){"fail"};
    struct sk_status status = awk_awkward_dlq_ask_wait(channel, &PATIENT, &ua, arena, &item);
    ck_assert_int_eq(status.code, SK_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(status.detail, "no such host"));
}
END_TEST

START_TEST(missing_handler_is_unimplemented)
{
    awk_ua ua = AWK_UA_INIT;
    const awk_choice_inner_dlq *inner = NULL;
    struct sk_status status = awk_awkward_dlq_register_wait(channel, &PATIENT, &ua, arena, &inner);
    ck_assert_int_eq(status.code, SK_UNIMPLEMENTED);
    ck_assert_ptr_nonnull(strstr(status.detail, "awkward.v1Beta.AwkwardDLQ/Register"));
}
END_TEST

static void ask_done(void *arg, const struct rpc_outcome *outcome, const awk_dlq_item *response)
{
    ck_assert_ptr_eq(arg, &got);
    add_text(response ? "item" : "nothing");
    end(outcome->code);
}

START_TEST(unary_calls_back)
{
    awk_ua ua = AWK_UA_INIT;
    awk_awkward_dlq_ask(channel, &PATIENT, &ua, ask_done, &got);
    await_end(RPC_OK, "item ");
}
END_TEST

START_TEST(unary_failure_calls_back)
{
    awk_ua ua = AWK_UA_INIT;
    ua.hostname = (char[]){"fail"};
    awk_awkward_dlq_ask(channel, &PATIENT, &ua, ask_done, &got);
    await_end(RPC_NOT_FOUND, "nothing ");
}
END_TEST

static void choice_came(void *arg, rpc_stream *stream, const awk_choice *message)
{
    (void)stream;
    ck_assert_ptr_eq(arg, &got);
    ck_assert(awk_choice_has_text(message));
    add_text(awk_choice_get_text(message));
}

static void presence_came(void *arg, rpc_stream *stream, const awk_presence *message)
{
    (void)stream;
    ck_assert_ptr_eq(arg, &got);
    ck_assert(awk_presence_has_text(message));
    add_text(awk_presence_get_text(message));
}

static void closed(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome)
{
    (void)stream;
    ck_assert_ptr_eq(arg, &got);
    end(outcome->code);
}

START_TEST(server_stream_delivers)
{
    static const struct awk_awkward_dlq_watch_handler HANDLER = {choice_came, closed};
    awk_sql92_filter2 filter = AWK_SQL92_FILTER2_INIT;
    filter.httpport = 3;
    awk_awkward_dlq_watch(channel, &PATIENT, &filter, &HANDLER, &got);
    await_end(RPC_OK, "one two  ");
}
END_TEST

START_TEST(bidi_stream_talks)
{
    static const struct awk_awkward_dlq_talk_handler HANDLER = {presence_came, closed};
    rpc_stream *stream = awk_awkward_dlq_talk(channel, &PATIENT, &HANDLER, &got);
    awk_choice choice = AWK_CHOICE_INIT;
    awk_choice_set_text(&choice, "");
    awk_awkward_dlq_send_talk(stream, &choice);
    awk_choice_set_text(&choice, "word");
    awk_awkward_dlq_send_talk(stream, &choice);
    rpc_stream_half_close(stream);
    await_end(RPC_OK, " word ");
}
END_TEST

START_TEST(missing_bidi_handler_is_unimplemented)
{
    static const struct awk_awkward_dlq_switch_handler HANDLER = {.closed = closed};
    awk_awkward_dlq_switch(channel, &PATIENT, &HANDLER, &got);
    await_end(RPC_UNIMPLEMENTED, "");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("plugin.runtime");
    TCase *tc = tcase_create("runtime");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, unary_waits);
    tcase_add_test(tc, missing_handler_is_unimplemented);
    tcase_add_test(tc, unary_calls_back);
    tcase_add_test(tc, unary_failure_calls_back);
    tcase_add_test(tc, server_stream_delivers);
    tcase_add_test(tc, bidi_stream_talks);
    tcase_add_test(tc, missing_bidi_handler_is_unimplemented);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(make_suite)
