/* test_stream.c - server streams and bidi: order, pieces, backlog, endings. */
#include "echo.h"

#include "base/memory.h"

static struct echo e;

/* --- a client that keeps what it hears ---------------------------------------- */

struct heard {
    struct tally messages, closed;
    uint64_t bytes;
    uint32_t next_index;
    enum rpc_code code;
    char detail[252];
    unsigned cancel_after; /* messages; 0: never */
};

static void on_message(const void *typed, void *arg, rpc_stream *stream,
                       const ProtobufCMessage *message)
{
    (void)typed;
    struct heard *h = arg;
    const echo_response *r = (const echo_response *)message;
    ck_assert_uint_eq(r->index, h->next_index);
    h->next_index++;
    h->bytes += r->data.len;
    tally_add(&h->messages);
    if (h->cancel_after && h->next_index == h->cancel_after) rpc_stream_cancel(stream);
}

static void on_chat_message(const void *typed, void *arg, rpc_stream *stream,
                            const ProtobufCMessage *message)
{
    (void)typed;
    (void)stream;
    struct heard *h = arg;
    h->bytes += ((const echo_response *)message)->data.len;
    tally_add(&h->messages);
}

static void on_closed(const void *typed, void *arg, rpc_stream *stream,
                      const struct rpc_outcome *outcome)
{
    (void)typed;
    (void)stream;
    struct heard *h = arg;
    h->code = outcome->code;
    snprintf(h->detail, sizeof h->detail, "%s", outcome->status.detail);
    tally_add(&h->closed);
}

static const struct rpc_stream_handler list_handler = {on_message, on_closed};
static const struct rpc_stream_handler chat_handler = {on_chat_message, on_closed};

static void heard_init(struct heard *h)
{
    *h = (struct heard){0};
    tally_init(&h->messages);
    tally_init(&h->closed);
}

static void heard_done(struct heard *h)
{
    tally_done(&h->messages);
    tally_done(&h->closed);
}

/* Cancels by itself after `cancel_after` messages, if not 0. */
static rpc_stream *list_until(struct heard *h, uint32_t count, struct sk_slice data,
                              unsigned cancel_after)
{
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    request.count = count;
    request.data = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)data.data, .len = data.len};
    heard_init(h);
    h->cancel_after = cancel_after;
    return rpc_stream_open(e.channel, ECHO_METHOD(ECHO_LIST), NULL, &request.base, &list_handler,
                           NULL, h);
}

static rpc_stream *list(struct heard *h, uint32_t count, struct sk_slice data)
{
    return list_until(h, count, data, 0);
}

START_TEST(streams_of_every_length)
{
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, NULL, NULL);
    const uint32_t counts[] = {0, 1, 2, 3, 34, 1000};
    struct heard h;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        (void)list(&h, counts[i], SK_SLICE("some data for each"));
        tally_wait(&h.closed, 1);
        ck_assert_int_eq(h.code, RPC_OK);
        ck_assert_uint_eq(h.next_index, counts[i]);
        heard_done(&h);
    }
    echo_stop(&e);
}
END_TEST

/* --- pieces ------------------------------------------------------------------- */

static _Atomic unsigned carried, released;

static void release_piece(void *owner)
{
    ck_assert_ptr_eq(owner, &released);
    atomic_fetch_add(&released, 1);
}

static uint8_t mapped[4096]; /* stands for a segment of the log */

/* A message of pieces: copied header, carried data, copied index. */
static void write_in_pieces(rpc_call *call, uint32_t index)
{
    size_t len = index % 7 == 0 ? 0 : index % sizeof mapped;
    uint8_t head[4] = {0x0a, (uint8_t)(len | 0x80), (uint8_t)(len >> 7)};
    uint8_t tail[6] = {0x10, (uint8_t)(index | 0x80), (uint8_t)(index >> 7 | 0x80),
                       (uint8_t)(index >> 14)};
    struct rpc_piece pieces[] = {
        {.bytes = sk_slice_of(head, 3)},
        {.bytes = sk_slice_of(mapped, len / 2), .release = release_piece, .owner = &released},
        {.bytes = sk_slice_of(mapped, len - len / 2), .release = release_piece, .owner = &released},
        {.bytes = sk_slice_of(tail, 4)},
    };
    atomic_fetch_add(&carried, 2);
    rpc_call_write_pieces(call, pieces, 4);
}

static void list_in_pieces(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    for (uint32_t i = 0; i < request->count; i++) write_in_pieces(call, i);
    rpc_call_finish(call, RPC_OK, NULL);
}

START_TEST(ten_thousand_messages_in_pieces)
{
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, &(struct echo_handlers){.list = list_in_pieces}, NULL);
    struct heard h;
    (void)list(&h, 10000, SK_EMPTY);
    tally_wait(&h.closed, 1);
    ck_assert_int_eq(h.code, RPC_OK);
    ck_assert_uint_eq(h.next_index, 10000);
    heard_done(&h);

    (void)list_until(&h, 10000, SK_EMPTY, 100); /* and when nobody wants them any more */
    tally_wait(&h.closed, 1);
    ck_assert_int_eq(h.code, RPC_CANCELLED);
    heard_done(&h);
    echo_stop(&e);
    ck_assert_uint_eq(atomic_load(&released), atomic_load(&carried));
}
END_TEST

/* Pieces that nobody wants back, and too many bytes for the memory that small messages share. */
static void list_in_large_copies(void *owner, rpc_call *call, const echo_request *request)
{
    static const uint8_t data[5000];
    static const uint8_t head[] = {0x0a, 5000 % 128 | 0x80, 5000 / 128};
    (void)owner;
    for (uint32_t i = 0; i < request->count; i++) {
        uint8_t tail[] = {0x10, (uint8_t)i};
        struct rpc_piece pieces[] = {{.bytes = sk_slice_of(head, sizeof head)},
                                     {.bytes = sk_slice_of(data, sizeof data)},
                                     {.bytes = sk_slice_of(tail, sizeof tail)}};
        rpc_call_write_pieces(call, pieces, 3);
    }
    rpc_call_finish(call, RPC_OK, NULL);
}

START_TEST(large_copies_have_memory_of_their_own)
{
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, &(struct echo_handlers){.list = list_in_large_copies}, NULL);
    struct heard h;
    (void)list(&h, 20, SK_EMPTY);
    tally_wait(&h.closed, 1);
    ck_assert_int_eq(h.code, RPC_OK);
    ck_assert_uint_eq(h.next_index, 20);
    heard_done(&h);
    echo_stop(&e);
}
END_TEST

/* --- was it delivered? -------------------------------------------------------- */

struct delivery {
    struct tally done;
    _Atomic bool delivered;
    rpc_call *call; /* kept by list_and_keep */
    struct tally opened, cancelled;
};

static void on_done(void *arg, bool delivered)
{
    struct delivery *d = arg;
    d->delivered = delivered;
    tally_add(&d->done);
}

static void list_and_report(void *owner, rpc_call *call, const echo_request *request)
{
    for (uint32_t i = 0; i < request->count; i++) {
        echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
        response.data = request->data;
        response.index = i;
        rpc_call_write(call, &response.base);
    }
    rpc_call_finish_done(call, RPC_OK, NULL, on_done, owner);
}

static void delivery_init(struct delivery *d)
{
    *d = (struct delivery){0};
    tally_init(&d->done);
    tally_init(&d->opened);
    tally_init(&d->cancelled);
}

static void delivery_done(struct delivery *d)
{
    tally_done(&d->done);
    tally_done(&d->opened);
    tally_done(&d->cancelled);
}

START_TEST(done_says_whether_it_was_delivered)
{
    struct rpc_server_options options = echo_options(_i);
    struct delivery d;
    delivery_init(&d);
    echo_start(&e, &options, &(struct echo_handlers){.list = list_and_report}, &d);
    struct heard h;
    (void)list(&h, 50, SK_SLICE("data"));
    tally_wait(&d.done, 1);
    ck_assert(d.delivered);
    tally_wait(&h.closed, 1);
    heard_done(&h);

    /* more than the windows hold: it cannot be done before the client cancels */
    uint8_t *big = sk_zalloc(1, 1 << 20);
    (void)list_until(&h, 64, sk_slice_of(big, 1 << 20), 3);
    tally_wait(&d.done, 2);
    ck_assert(!d.delivered);
    tally_wait(&h.closed, 1);
    heard_done(&h);
    free(big);
    delivery_done(&d);
    echo_stop(&e);
}
END_TEST

static void on_cancel(void *arg)
{
    struct delivery *d = arg;
    tally_add(&d->cancelled);
}

static void list_and_keep(void *owner, rpc_call *call, const echo_request *request)
{
    (void)request;
    struct delivery *d = owner;
    d->call = call;
    rpc_call_on_cancel(call, on_cancel, d);
    tally_add(&d->opened);
}

START_TEST(a_client_that_vanished_gets_nothing)
{
    struct rpc_server_options options = echo_options(_i);
    struct delivery d;
    delivery_init(&d);
    echo_start(&e, &options, &(struct echo_handlers){.list = list_and_keep}, &d);
    struct heard h;
    rpc_stream *stream = list(&h, 1, SK_EMPTY);
    tally_wait(&d.opened, 1);
    ck_assert(!rpc_call_is_cancelled(d.call));
    rpc_stream_cancel(stream);
    tally_wait(&d.cancelled, 1);
    ck_assert(rpc_call_is_cancelled(d.call));
    write_in_pieces(d.call, 100);
    ck_assert_uint_eq(rpc_call_backlog_bytes(d.call), 0);
    ck_assert_uint_eq(atomic_load(&released), atomic_load(&carried));
    rpc_call_finish_done(d.call, RPC_OK, NULL, on_done, &d);
    tally_wait(&d.done, 1);
    ck_assert(!d.delivered);
    tally_wait(&h.closed, 1);
    ck_assert_int_eq(h.code, RPC_CANCELLED);
    heard_done(&h);
    delivery_done(&d);
    echo_stop(&e);
}
END_TEST

START_TEST(a_closed_connection_is_a_cancellation)
{
    struct rpc_server_options options = echo_options(_i);
    struct delivery d;
    delivery_init(&d);
    echo_start(&e, &options, &(struct echo_handlers){.list = list_and_keep}, &d);
    struct heard h;
    (void)list(&h, 1, SK_EMPTY);
    tally_wait(&d.opened, 1);
    rpc_channel_close(e.channel);
    rpc_client_free(e.client);
    tally_wait(&d.cancelled, 1);
    rpc_call_finish_done(d.call, RPC_OK, NULL, on_done, &d);
    tally_wait(&d.done, 1);
    ck_assert(!d.delivered);
    ck_assert_uint_eq(tally_get(&h.closed), 1);
    heard_done(&h);
    delivery_done(&d);
    rpc_server_free(e.server);
}
END_TEST

/* --- a reader that is slow
 * ------------------------------------------------------------------------ */

static struct tally may_read; /* nothing is read before the test says so */

static void slow_message(const void *typed, void *arg, rpc_stream *stream,
                         const ProtobufCMessage *message)
{
    tally_wait(&may_read, 1);
    on_message(typed, arg, stream, message);
}

START_TEST(a_backlog_can_be_seen)
{
    static const struct rpc_stream_handler slow = {slow_message, on_closed};
    struct rpc_server_options options = echo_options(_i);
    struct delivery d;
    delivery_init(&d);
    echo_start(&e, &options, &(struct echo_handlers){.list = list_and_keep}, &d);
    struct heard h;
    heard_init(&h);
    tally_init(&may_read);
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    (void)rpc_stream_open(e.channel, ECHO_METHOD(ECHO_LIST), NULL, &request.base, &slow, NULL, &h);
    tally_wait(&d.opened, 1);

    enum { BLOCK = 1 << 20, MOST = 200 };
    uint8_t *block = sk_zalloc(1, BLOCK);
    uint32_t written = 0;
    while (rpc_call_backlog_bytes(d.call) < 16 * BLOCK && written < MOST) {
        echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
        response.data = (ProtobufCBinaryData){.data = block, .len = BLOCK};
        response.index = written++;
        rpc_call_write(d.call, &response.base);
    }
    ck_assert_uint_ge(rpc_call_backlog_bytes(d.call), 16 * BLOCK);
    tally_add(&may_read);
    rpc_call_finish_done(d.call, RPC_OK, NULL, on_done, &d);
    tally_wait(&d.done, 1);
    ck_assert(d.delivered);
    tally_wait(&h.closed, 1);
    ck_assert_uint_eq(h.next_index, written);
    heard_done(&h);
    tally_done(&may_read);
    delivery_done(&d);
    free(block);
    echo_stop(&e);
}
END_TEST

START_TEST(a_message_without_a_follower_is_not_held_back)
{
    struct rpc_server_options options = echo_options(_i);
    struct delivery d;
    delivery_init(&d);
    echo_start(&e, &options, &(struct echo_handlers){.list = list_and_keep}, &d);
    struct heard h;
    (void)list(&h, 1, SK_EMPTY);
    tally_wait(&d.opened, 1);
    rpc_call_send_headers(d.call);
    for (unsigned i = 0; i < 5; i++) {
        echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
        response.index = i;
        rpc_call_write(d.call, &response.base);
        tally_wait(&h.messages, i + 1);
    }
    rpc_call_finish_done(d.call, RPC_OK, NULL, on_done, &d);
    tally_wait(&h.closed, 1);
    heard_done(&h);
    tally_wait(&d.done, 1);
    delivery_done(&d);
    echo_stop(&e);
}
END_TEST

/* --- bidi
 * ---------------------------------------------------------------------------------------------- */

static void say(rpc_stream *stream, struct sk_slice text)
{
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    request.data = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)text.data, .len = text.len};
    rpc_stream_write(stream, &request.base);
}

static rpc_stream *chat(struct heard *h)
{
    heard_init(h);
    return rpc_stream_open(e.channel, ECHO_METHOD(ECHO_CHAT), NULL, NULL, &chat_handler, NULL, h);
}

START_TEST(a_conversation)
{
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, NULL, NULL);
    struct heard h;
    rpc_stream *stream = chat(&h);
    for (unsigned i = 1; i <= 100; i++) { /* ping, pong */
        say(stream, SK_SLICE("ping"));
        tally_wait(&h.messages, i);
    }
    for (unsigned i = 0; i < 5000; i++) /* a burst */
        say(stream, SK_SLICE("0123456789012345678901234567890123456789"));
    rpc_stream_half_close(stream);
    tally_wait(&h.closed, 1);
    ck_assert_int_eq(h.code, RPC_OK);
    ck_assert_uint_eq(h.bytes, 400 + 5000 * 40);
    heard_done(&h);
    echo_stop(&e);
}
END_TEST

static void greet(void *owner, rpc_call *call)
{
    (void)owner;
    rpc_call_send_headers(call);
    rpc_call_finish(call, RPC_FAILED_PRECONDITION, "not today");
}

START_TEST(a_server_may_end_the_conversation)
{
    echo_start(&e, NULL, &(struct echo_handlers){.chat = greet}, NULL);
    struct heard h;
    rpc_stream *stream = chat(&h);
    say(stream, SK_SLICE("hello"));
    tally_wait(&h.closed, 1);
    ck_assert_int_eq(h.code, RPC_FAILED_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(h.detail, "not today"));
    heard_done(&h);
    echo_stop(&e);
}
END_TEST

/* A client that sends what is no message: through a method of the same path whose request
 * type serializes differently (a bytes field with the number of a varint field). */
START_TEST(an_undecodable_message_ends_the_conversation)
{
    static const struct rpc_stream_handler deaf = {on_chat_message, on_closed};
    echo_start(&e, NULL, NULL, NULL);
    struct heard h;
    heard_init(&h);
    rpc_stream *stream =
        rpc_stream_open(e.channel, ECHO_METHOD(ECHO_CHAT), NULL, NULL, &deaf, NULL, &h);
    say(stream, SK_SLICE("fine"));
    tally_wait(&h.messages, 1);
    echo_request broken = SKUA__TEST__ECHO_REQUEST__INIT;
    ProtobufCMessageUnknownField field = {.tag = 3,
                                          .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                          .len = 3,
                                          .data = (uint8_t *)(uintptr_t) "\x02\xff\xff"};
    broken.base.unknown_fields = &field;
    broken.base.n_unknown_fields = 1;
    rpc_stream_write(stream, &broken.base);
    tally_wait(&h.closed, 1);
    ck_assert_int_eq(h.code, RPC_INVALID_ARGUMENT);
    heard_done(&h);
    ck_assert(sk_ok(echo_call(&e, ECHO_SAY, NULL, SK_SLICE("still here"))));
    echo_stop(&e);
}
END_TEST

/* The same from the server; what comes after it is not handed over either. */
static void answer_nonsense(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    (void)request;
    ProtobufCMessageUnknownField field = {.tag = 1,
                                          .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                          .len = 1,
                                          .data = (uint8_t *)(uintptr_t) "\x7f"};
    echo_response fine = SKUA__TEST__ECHO_RESPONSE__INIT;
    echo_response broken = SKUA__TEST__ECHO_RESPONSE__INIT;
    broken.base.unknown_fields = &field;
    broken.base.n_unknown_fields = 1;
    rpc_call_write(call, &fine.base);
    rpc_call_write(call, &broken.base);
    rpc_call_write(call, &broken.base);
    rpc_call_finish(call, RPC_OK, NULL);
}

START_TEST(an_undecodable_answer_ends_the_stream)
{
    echo_start(&e, NULL, &(struct echo_handlers){.list = answer_nonsense}, NULL);
    struct heard h;
    list(&h, 1, SK_EMPTY);
    tally_wait(&h.closed, 1);
    ck_assert_int_eq(h.code, RPC_INTERNAL);
    ck_assert_ptr_nonnull(strstr(h.detail, "could not be decoded"));
    ck_assert_uint_eq(h.next_index, 1);
    heard_done(&h);
    ck_assert(sk_ok(echo_call(&e, ECHO_SAY, NULL, SK_SLICE("still here"))));
    echo_stop(&e);
}
END_TEST

START_TEST(an_illegal_header_fails_its_stream_only)
{
    echo_start(&e, NULL, NULL, NULL);
    const struct rpc_header bad = {"Upper Case", "x"};
    struct rpc_options options = {.headers = &bad, .header_count = 1};
    struct heard h;
    heard_init(&h);
    rpc_stream *stream =
        rpc_stream_open(e.channel, ECHO_METHOD(ECHO_CHAT), &options, NULL, &chat_handler, NULL, &h);
    ck_assert_ptr_nonnull(stream);
    tally_wait(&h.closed, 1);
    ck_assert_int_eq(h.code, RPC_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(h.detail, "METADATA"));
    heard_done(&h);
    ck_assert(sk_ok(echo_call(&e, ECHO_SAY, NULL, SK_SLICE("fine"))));
    echo_stop(&e);
}
END_TEST

START_TEST(a_client_freed_with_streams_open)
{
    struct rpc_server_options options = echo_options(_i);
    echo_start(&e, &options, NULL, NULL);
    enum { STREAMS = 20 };
    struct heard h[STREAMS];
    for (int i = 0; i < STREAMS; i++) say(chat(&h[i]), SK_SLICE("hello"));
    for (int i = 0; i < STREAMS; i++) tally_wait(&h[i].messages, 1);
    rpc_channel_close(e.channel);
    rpc_client_free(e.client);
    for (int i = 0; i < STREAMS; i++) {
        ck_assert_uint_eq(tally_get(&h[i].closed), 1);
        ck_assert_int_eq(h[i].code, RPC_CANCELLED);
        heard_done(&h[i]);
    }
    rpc_server_free(e.server);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api.rpc.stream");
    TCase *t = tcase_create("stream");
    tcase_set_timeout(t, 100);
    tcase_add_loop_test(t, streams_of_every_length, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, ten_thousand_messages_in_pieces, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, large_copies_have_memory_of_their_own, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, done_says_whether_it_was_delivered, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_client_that_vanished_gets_nothing, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_closed_connection_is_a_cancellation, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_backlog_can_be_seen, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_message_without_a_follower_is_not_held_back, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_conversation, 0, ECHO_LOOPS);
    tcase_add_test(t, a_server_may_end_the_conversation);
    tcase_add_test(t, an_undecodable_message_ends_the_conversation);
    tcase_add_test(t, an_undecodable_answer_ends_the_stream);
    tcase_add_test(t, an_illegal_header_fails_its_stream_only);
    tcase_add_loop_test(t, a_client_freed_with_streams_open, 0, ECHO_LOOPS);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return echo_run(suite());
}
