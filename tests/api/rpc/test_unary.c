/* test_unary.c - one request, one response: sizes, headers, deadlines, refusals. */
#include "echo.h"

#include "base/bytes.h"
#include "base/memory.h"

static struct echo e;

START_TEST(sizes_from_nothing_to_the_limit)
{
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, NULL, NULL);
    const size_t limit = 8u << 20;
    /* tag, length: a message of `limit` bytes carries a little less data */
    const size_t sizes[] = {0, 1, 23, 24, 511, 512, 513, 1024, 8191, 65536, 1 << 20, limit - 5};
    uint8_t *data = sk_alloc(limit + 1);
    for (size_t i = 0; i <= limit; i++) data[i] = (uint8_t)(i * 31 + (i >> 8));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int method = ECHO_SAY; method <= ECHO_RAW; method++) {
            struct sk_status s = echo_call(&e, method, &(struct rpc_options){.timeout_ms = 20000},
                                           sk_slice_of(data, sizes[i]));
            ck_assert_msg(sk_ok(s), "%zu bytes: %s", sizes[i], s.detail);
        }
    struct sk_status s = echo_call(&e, ECHO_SAY, NULL, sk_slice_of(data, limit + 1));
    ck_assert_int_eq(s.code, SK_FULL);
    ck_assert_ptr_nonnull(strstr(s.detail, "larger than max"));
    free(data);
    echo_stop(&e);
}
END_TEST

START_TEST(unknown_methods_are_unimplemented)
{
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, NULL, NULL);
    struct sk_status s = echo_call(&e, ECHO_MISSING, NULL, SK_EMPTY);
    ck_assert_int_eq(s.code, SK_UNIMPLEMENTED);
    ck_assert_ptr_nonnull(strstr(s.detail, "/skua.test.Echo/Missing"));

    struct rpc_method elsewhere = *ECHO_METHOD(ECHO_SAY);
    elsewhere.path = "/no.such.Service/Say";
    sk_arena *arena = sk_arena_new(0);
    const ProtobufCMessage *response;
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    for (int i = 0; i < 100; i++) { /* more than are posted */
        s = rpc_unary_wait(e.channel, &elsewhere, NULL, &request.base, arena, &response);
        ck_assert_int_eq(s.code, SK_UNIMPLEMENTED);
    }
    sk_arena_free(arena);
    echo_stop(&e);
}
END_TEST

/* LeakSanitizer looks at it. Names below 24 bytes are kept in place, and hid it. */
START_TEST(the_name_of_an_unknown_method_is_given_back)
{
    struct rpc_server_options options = echo_options(_i);
    struct rpc_method elsewhere = *ECHO_METHOD(ECHO_SAY);
    sk_arena *arena = sk_arena_new(0);
    const ProtobufCMessage *response;
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    elsewhere.path = "/no.such.service.of.a.long.name.Service/AndOfALongMethodInIt";
    echo_start(&e, &options, NULL, NULL);
    for (int i = 0; i < 100; i++) { /* slots are used again */
        struct sk_status s =
            rpc_unary_wait(e.channel, &elsewhere, NULL, &request.base, arena, &response);
        ck_assert_int_eq(s.code, SK_UNIMPLEMENTED);
    }
    sk_arena_free(arena);
    echo_stop(&e);
}
END_TEST

/* --- garbage ------------------------------------------------------------------ */

struct answer {
    struct tally done;
    enum rpc_code code;
    char detail[252];
};

static void keep_answer(void *arg, const struct rpc_outcome *outcome, struct sk_slice response)
{
    (void)response;
    struct answer *a = arg;
    a->code = outcome->code;
    snprintf(a->detail, sizeof a->detail, "%s", outcome->status.detail);
    tally_add(&a->done);
}

static void send_bytes(int method, struct sk_slice bytes, struct answer *a)
{
    tally_init(&a->done);
    rpc_unary_bytes(e.channel, ECHO_METHOD(method), &(struct rpc_options){.timeout_ms = 20000},
                    bytes, keep_answer, a);
    tally_wait(&a->done, 1);
    tally_done(&a->done);
}

START_TEST(garbage_is_an_invalid_argument)
{
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, NULL, NULL);
    struct answer a;
    send_bytes(ECHO_SAY, SK_SLICE("\x0a\x7f too short"), &a);
    ck_assert_int_eq(a.code, RPC_INVALID_ARGUMENT);
    send_bytes(ECHO_SAY, SK_SLICE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), &a);
    ck_assert_int_eq(a.code, RPC_INVALID_ARGUMENT);
    ck_assert(sk_ok(echo_call(&e, ECHO_SAY, NULL, SK_SLICE("still here"))));
    echo_stop(&e);
}
END_TEST

START_TEST(a_request_that_swells_hits_its_budget)
{
    struct rpc_server_options options = echo_options(_i);
    options.call_budget_bytes = 1 << 20;
    echo_start(&e, &options, NULL, NULL);
    struct sk_buffer bytes = {0};
    for (int i = 0; i < 200000; i++) sk_buffer_put(&bytes, "\x1a\x00", 2);
    struct answer a;
    for (size_t len = 2; len <= bytes.len; len += len < 2000 ? 2 : 39998) {
        send_bytes(ECHO_SAY, sk_slice_of(bytes.data, len), &a);
        ck_assert(a.code == RPC_OK || a.code == RPC_RESOURCE_EXHAUSTED);
    }
    ck_assert_int_eq(a.code, RPC_RESOURCE_EXHAUSTED);
    sk_buffer_done(&bytes);
    ck_assert(sk_ok(echo_call(&e, ECHO_SAY, NULL, SK_SLICE("still here"))));
    echo_stop(&e);
}
END_TEST

/* protobuf-c must bear an allocator that says no at any moment: every budget below the need
 * of a message with text, sub-messages and unknown fields is tried. */
START_TEST(every_budget_is_survived)
{
    struct sk_buffer bytes = {0};
    sk_buffer_put(&bytes,
                  "\x0a\x05"
                  "hello"
                  "\x10\x03",
                  9);
    for (int i = 0; i < 20; i++) /* an item with an unknown field in it, and an unknown field */
        sk_buffer_put(&bytes,
                      "\x1a\x05\x32\x03xyz"
                      "\x3a\x04more",
                      13);
    unsigned refused = 0, taken = 0;
    for (size_t budget = 16; budget < 6000; budget += 48) {
        struct rpc_server_options options = {.call_budget_bytes = budget};
        echo_start(&e, &options, NULL, NULL);
        struct answer a;
        send_bytes(ECHO_SAY, sk_buffer_slice(&bytes), &a);
        ck_assert_msg(a.code == RPC_OK || a.code == RPC_RESOURCE_EXHAUSTED, "%s", a.detail);
        if (a.code == RPC_OK)
            taken++;
        else
            refused++;
        echo_stop(&e);
    }
    ck_assert_uint_gt(refused, 50);
    ck_assert_uint_gt(taken, 0);
    sk_buffer_done(&bytes);
}
END_TEST

/* --- what a handler can ask --------------------------------------------------- */

static void tell_about(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    (void)request;
    struct sk_slice id = rpc_call_metadata(call, "x-mq-client-id");
    ck_assert_ptr_nonnull(strstr(rpc_call_peer(call), "127.0.0.1:"));
    ck_assert_ptr_eq(rpc_call_peer(call), rpc_call_peer(call));
    ck_assert_str_eq(rpc_call_method(call)->name, "Say");
    ck_assert(!rpc_call_is_tls(call));
    ck_assert_uint_eq(rpc_call_metadata(call, "x-mq-absent").len, 0);
    echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
    char *text = sk_arena_printf(rpc_call_arena(call), "%.*s %d", SK_SLICE_ARGS(id),
                                 rpc_call_remaining_ms(call) > 30000);
    response.data = (ProtobufCBinaryData){.data = (uint8_t *)text, .len = strlen(text)};
    rpc_call_reply(call, &response.base);
}

static void ask(const struct rpc_options *options, const char *expected)
{
    sk_arena *arena = sk_arena_new(0);
    const ProtobufCMessage *message;
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    ck_assert(sk_ok(
        rpc_unary_wait(e.channel, ECHO_METHOD(ECHO_SAY), options, &request.base, arena, &message)));
    const echo_response *r = (const echo_response *)message;
    ck_assert(sk_slice_eq(sk_slice_of(r->data.data, r->data.len), sk_slice_of_text(expected)));
    sk_arena_free(arena);
}

START_TEST(a_handler_sees_headers_peer_and_deadline)
{
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, &(struct echo_handlers){.say = tell_about}, NULL);
    const struct rpc_header header = {"x-mq-client-id", "client@7"};
    const struct rpc_header longer = {"x-mq-client-id", "a client id that is not a short one"};
    ask(&(struct rpc_options){.headers = &header, .header_count = 1}, "client@7 0");
    ask(&(struct rpc_options){.headers = &longer, .header_count = 1, .timeout_ms = 60000},
        "a client id that is not a short one 1");
    echo_stop(&e);
}
END_TEST

START_TEST(an_illegal_header_fails_its_call_only)
{
    echo_start(&e, NULL, NULL, NULL);
    const struct rpc_header bad = {"Upper Case", "x"};
    struct rpc_options options = {.headers = &bad, .header_count = 1};
    ck_assert_int_eq(echo_call(&e, ECHO_SAY, &options, SK_EMPTY).code, SK_INVALID);
    ck_assert(sk_ok(echo_call(&e, ECHO_SAY, NULL, SK_SLICE("fine"))));
    echo_stop(&e);
}
END_TEST

/* --- failing ------------------------------------------------------------------ */

static void fail_with_status(void *owner, rpc_call *call, const echo_request *request)
{
    (void)request;
    rpc_call_fail_status(call, *(struct sk_status *)owner);
}

START_TEST(a_status_crosses_the_wire)
{
    struct sk_status s;
    echo_start(&e, NULL, &(struct echo_handlers){.say = fail_with_status}, &s);
    static const enum sk_code same[] = {SK_NOT_FOUND, SK_EXISTS,   SK_INVALID,
                                        SK_FULL,      SK_TIMEOUT,  SK_UNAVAILABLE,
                                        SK_CORRUPT,   SK_INTERNAL, SK_UNIMPLEMENTED};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        s = sk_error(same[i], "topic 'a b' – 100%%");
        struct sk_status got = echo_call(&e, ECHO_SAY, NULL, SK_EMPTY);
        ck_assert_int_eq(got.code, same[i]);
        ck_assert_ptr_nonnull(strstr(got.detail, "topic 'a b' – 100%"));
    }
    echo_stop(&e);
}
END_TEST

START_TEST(nobody_listens)
{
    echo_start(&e, NULL, NULL, NULL);
    rpc_channel *channel;
    ck_assert(sk_ok(rpc_channel_open(e.client, "127.0.0.1:1", NULL, &channel)));
    rpc_channel *mine = e.channel;
    e.channel = channel;
    ck_assert_int_eq(echo_call(&e, ECHO_SAY, NULL, SK_EMPTY).code, SK_UNAVAILABLE);
    ck_assert_int_eq(echo_call(&e, ECHO_SAY,
                               &(struct rpc_options){.timeout_ms = 50, .wait_for_ready = true},
                               SK_EMPTY)
                         .code,
                     SK_TIMEOUT);
    e.channel = mine;
    rpc_channel_close(channel);
    echo_stop(&e);
}
END_TEST

START_TEST(an_address_in_use_is_an_error)
{
    echo_start(&e, NULL, NULL, NULL);
    rpc_server *second;
    ck_assert(sk_ok(rpc_server_new(NULL, &second)));
    struct sk_status s = rpc_server_listen(second, e.target, NULL);
    ck_assert_int_eq(s.code, SK_IO);
    ck_assert_ptr_nonnull(strstr(s.detail, "in use"));
    ck_assert_int_eq(rpc_server_listen(second, "no port", NULL).code, SK_INVALID);
    ck_assert_int_eq(rpc_server_listen(second, "127.0.0.1:", NULL).code, SK_INVALID);
    s = rpc_server_listen(second, "[2001:db8::1]:1",
                          NULL); /* an address of nobody's, for documents */
    ck_assert_int_eq(s.code, SK_IO);
    rpc_server_free(second);
    rpc_server_free(NULL);
    rpc_client_free(NULL);
    echo_stop(&e);
}
END_TEST

/* --- many at a time ----------------------------------------------------------- */

static void count_ok(void *arg, const struct rpc_outcome *outcome, struct sk_slice response)
{
    ck_assert_msg(outcome->code == RPC_OK, "%s", outcome->status.detail);
    ck_assert(sk_slice_eq(response, SK_SLICE("\x0a\x02hi")));
    tally_add(arg);
}

START_TEST(a_thousand_in_flight)
{
    struct rpc_server_options options = echo_options(_i);
    options.prepost = 16; /* far fewer than the calls that come */
    echo_start(&e, &options, NULL, NULL);
    struct tally done;
    tally_init(&done);
    struct rpc_options patient = {.timeout_ms = 60000};
    for (unsigned round = 1; round <= 5; round++) {
        for (int i = 0; i < 1000; i++)
            rpc_unary_bytes(e.channel, ECHO_METHOD(i % 2 ? ECHO_SAY : ECHO_RAW), &patient,
                            SK_SLICE("\x0a\x02hi"), count_ok, &done);
        tally_wait(&done, round * 1000);
    }
    tally_done(&done);
    echo_stop(&e);
}
END_TEST

/* --- put off until the queue is dry ------------------------------------------- */

static struct {
    struct sk_mutex lock;
    rpc_call *calls[1000];
    size_t count;
    unsigned runs;
} put_off;

static void answer_all(void *arg)
{
    (void)arg;
    rpc_call *calls[1000];
    sk_mutex_lock(&put_off.lock);
    put_off.runs++;
    size_t count = put_off.count;
    memcpy(calls, put_off.calls, count * sizeof *calls);
    put_off.count = 0;
    sk_mutex_unlock(&put_off.lock);
    while (count) rpc_call_reply_bytes(calls[--count], SK_SLICE("\x0a\x02hi"));
}

static void answer_later(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner, (void)request;
    sk_mutex_lock(&put_off.lock);
    put_off.calls[put_off.count++] = call;
    sk_mutex_unlock(&put_off.lock);
    ck_assert(rpc_when_dry(answer_all, &put_off));
    ck_assert(!rpc_when_dry(answer_all, NULL)); /* one at a time */
}

/* One alone is answered although nothing comes after it; many are answered together. */
START_TEST(what_is_put_off_is_done)
{
    struct rpc_server_options options = echo_options(_i);
    struct echo_handlers handlers = {.say = answer_later};
    echo_start(&e, &options, &handlers, NULL);
    struct tally done;
    tally_init(&done);
    sk_mutex_init(&put_off.lock);
    put_off.runs = 0;
    struct rpc_options patient = {.timeout_ms = 60000};
    for (unsigned i = 0; i < 1001; i++) {
        rpc_unary_bytes(e.channel, ECHO_METHOD(ECHO_SAY), &patient, SK_EMPTY, count_ok, &done);
        if (i == 0) tally_wait(&done, 1);
    }
    tally_wait(&done, 1001);
    echo_stop(&e);
    ck_assert_uint_ge(put_off.runs, 2);
    ck_assert(!rpc_when_dry(answer_all, &put_off)); /* no poller thread */
    sk_mutex_done(&put_off.lock);
    tally_done(&done);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api.rpc.unary");
    TCase *t = tcase_create("unary");
    tcase_set_timeout(t, 100);
    tcase_add_loop_test(t, sizes_from_nothing_to_the_limit, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, unknown_methods_are_unimplemented, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, the_name_of_an_unknown_method_is_given_back, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, garbage_is_an_invalid_argument, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_request_that_swells_hits_its_budget, 0, ECHO_LOOPS);
    tcase_add_test(t, every_budget_is_survived);
    tcase_add_loop_test(t, a_handler_sees_headers_peer_and_deadline, 0, ECHO_LOOPS);
    tcase_add_test(t, an_illegal_header_fails_its_call_only);
    tcase_add_test(t, a_status_crosses_the_wire);
    tcase_add_test(t, nobody_listens);
    tcase_add_test(t, an_address_in_use_is_an_error);
    tcase_add_loop_test(t, a_thousand_in_flight, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, what_is_put_off_is_done, 0, ECHO_LOOPS);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return echo_run(suite());
}
