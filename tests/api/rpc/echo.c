/* echo.c - the service of the tests, and how to start and stop it. */
#include "echo.h"

#include "base/cleanup.h"
#include "base/memory.h"

#define METHOD(n, k)                                                                               \
    {                                                                                              \
        .path = "/skua.test.Echo/" n, .name = n, .kind = k,                                        \
        .request = &skua__test__echo_request__descriptor,                                          \
        .response = &skua__test__echo_response__descriptor                                         \
    }

static const struct rpc_method methods[ECHO_METHODS] = {
    [ECHO_SAY] = METHOD("Say", RPC_UNARY),         [ECHO_RAW] = METHOD("Raw", RPC_UNARY),
    [ECHO_PARK] = METHOD("Park", RPC_UNARY),       [ECHO_LIST] = METHOD("List", RPC_SERVER_STREAM),
    [ECHO_CHAT] = METHOD("Chat", RPC_BIDI),        [ECHO_COLLECT] = METHOD("Collect", RPC_BIDI),
    [ECHO_MISSING] = METHOD("Missing", RPC_UNARY),
};

const struct rpc_service echo_service = {"skua.test.Echo", methods, ECHO_METHODS};

/* --- what the methods do when the test does not say otherwise ----------------- */

static void say(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
    response.data = request->data;
    rpc_call_reply(call, &response.base);
}

static void raw(void *owner, rpc_call *call, struct sk_slice request)
{
    (void)owner;
    rpc_call_reply_bytes(call, request); /* field 1 is `data` in both messages */
}

static void list(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    for (uint32_t i = 0; i < request->count; i++) {
        echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
        response.data = request->data;
        response.index = i;
        rpc_call_write(call, &response.base);
    }
    rpc_call_finish(call, RPC_OK, NULL);
}

static void chat_message(const void *typed, void *arg, rpc_call *call,
                         const ProtobufCMessage *message)
{
    (void)typed;
    (void)arg;
    echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
    response.data = ((const echo_request *)message)->data;
    rpc_call_write(call, &response.base);
}

static void chat_half_closed(const void *typed, void *arg, rpc_call *call)
{
    (void)typed;
    (void)arg;
    rpc_call_finish(call, RPC_OK, NULL);
}

static void chat(void *owner, rpc_call *call)
{
    (void)owner;
    static const struct rpc_stream_events events = {chat_message, chat_half_closed};
    rpc_call_listen(call, &events, NULL, NULL);
}

static void collect_message(const void *typed, void *arg, rpc_call *call,
                            const ProtobufCMessage *message)
{
    (void)typed;
    (void)call;
    (void)message;
    ++*(uint32_t *)arg;
}

static void collect_half_closed(const void *typed, void *arg, rpc_call *call)
{
    (void)typed;
    echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
    response.index = *(const uint32_t *)arg;
    rpc_call_write(call, &response.base);
    rpc_call_finish(call, RPC_OK, NULL);
}

static void collect(void *owner, rpc_call *call)
{
    (void)owner;
    static const struct rpc_stream_events events = {collect_message, collect_half_closed};
    rpc_call_listen(call, &events, NULL,
                    sk_arena_zalloc(rpc_call_arena(call), 1, sizeof(uint32_t)));
}

static const struct echo_handlers defaults = {say, say, list, chat, collect};

/* --- thunks, as api/plugin emits them ----------------------------------------- */

#define THUNK(method)                                                                              \
    static void bind_##method(const void *handlers, void *owner, rpc_call *call,                   \
                              const ProtobufCMessage *request)                                     \
    {                                                                                              \
        const struct echo_handlers *h = handlers;                                                  \
        (h->method ? h->method : defaults.method)(owner, call, (const echo_request *)request);     \
    }
THUNK(say)
THUNK(park)
THUNK(list)

#define OPEN_THUNK(method)                                                                         \
    static void bind_##method(const void *handlers, void *owner, rpc_call *call)                   \
    {                                                                                              \
        const struct echo_handlers *h = handlers;                                                  \
        (h->method ? h->method : defaults.method)(owner, call);                                    \
    }
OPEN_THUNK(chat)
OPEN_THUNK(collect)

static const struct rpc_binding bindings[ECHO_METHODS] = {
    [ECHO_SAY] = {.request = bind_say},      [ECHO_PARK] = {.request = bind_park},
    [ECHO_LIST] = {.request = bind_list},    [ECHO_CHAT] = {.open = bind_chat},
    [ECHO_COLLECT] = {.open = bind_collect},
};

/* --- start and stop ----------------------------------------------------------- */

struct rpc_server_options echo_options(int loop_index)
{
    return (struct rpc_server_options){.pollers = loop_index == 0 ? 1 : 3};
}

void echo_mount(rpc_server *server, const struct echo_handlers *handlers, void *owner)
{
    static struct echo_handlers kept; /* one server at a time */
    kept = handlers ? *handlers : (struct echo_handlers){0};
    rpc_server_mount(server, &echo_service, bindings, &kept, owner);
    rpc_server_mount_raw(server, ECHO_METHOD(ECHO_RAW), raw, NULL);
}

void echo_start(struct echo *e, const struct rpc_server_options *options,
                const struct echo_handlers *handlers, void *owner)
{
    *e = (struct echo){0};
    ck_assert(sk_ok(rpc_server_new(options, &e->server)));
    echo_mount(e->server, handlers, owner);
    ck_assert(sk_ok(rpc_server_listen(e->server, "127.0.0.1:0", &e->port)));
    ck_assert(sk_ok(rpc_server_start(e->server)));
    snprintf(e->target, sizeof e->target, "127.0.0.1:%d", e->port);
    ck_assert(sk_ok(rpc_client_new(&e->client)));
    ck_assert(sk_ok(rpc_channel_open(e->client, e->target, NULL, &e->channel)));
}

void echo_stop(struct echo *e)
{
    rpc_channel_close(e->channel);
    rpc_client_free(e->client);
    rpc_server_free(e->server);
}

struct sk_status echo_call(struct echo *e, int method, const struct rpc_options *options,
                           struct sk_slice data)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(0);
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    request.data = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)data.data, .len = data.len};
    const ProtobufCMessage *message;
    SK_TRY(
        rpc_unary_wait(e->channel, ECHO_METHOD(method), options, &request.base, arena, &message));
    const echo_response *response = (const echo_response *)message;
    ck_assert(sk_slice_eq(sk_slice_of(response->data.data, response->data.len), data));
    return SK_SUCCESS;
}

/* --- tally -------------------------------------------------------------------- */

void tally_init(struct tally *t)
{
    sk_mutex_init(&t->lock);
    sk_cond_init(&t->changed);
    t->count = 0;
}

void tally_done(struct tally *t)
{
    sk_cond_done(&t->changed);
    sk_mutex_done(&t->lock);
}

void tally_add(struct tally *t)
{
    sk_mutex_lock(&t->lock);
    t->count++;
    sk_cond_broadcast(&t->changed);
    sk_mutex_unlock(&t->lock);
}

unsigned tally_get(struct tally *t)
{
    sk_mutex_lock(&t->lock);
    unsigned count = t->count;
    sk_mutex_unlock(&t->lock);
    return count;
}

void tally_wait(struct tally *t, unsigned count)
{
    bool in_time = true;
    sk_mutex_lock(&t->lock);
    while (t->count < count && in_time) in_time = sk_cond_wait_for(&t->changed, &t->lock, 20000000);
    unsigned reached = t->count;
    sk_mutex_unlock(&t->lock);
    ck_assert_uint_ge(reached, count);
}

int echo_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
