/* test_reflection.c - what grpcurl asks, in both versions of the protocol. */
#include "echo.h"

#include "google/protobuf/descriptor.alias.h"
#include "grpc/reflection/v1/reflection.alias.h"
#include "health/health.h"
#include "proto/descriptors.h"
#include "reflection/reflection.h"

static struct echo e;

#define METHOD(of)                                                                                 \
    {                                                                                              \
        "/" of "/ServerReflectionInfo", "ServerReflectionInfo", RPC_BIDI,                          \
            &reflection_server_reflection_request_descriptor,                                      \
            &reflection_server_reflection_response_descriptor                                      \
    }
static const struct rpc_method versions[] = {METHOD("grpc.reflection.v1.ServerReflection"),
                                             METHOD("grpc.reflection.v1alpha.ServerReflection")};

/* What an answer said, in one line: "files a.proto b.proto", "services x y", "error 5". */
struct heard {
    struct tally answers, closed;
    char text[2048]; /* guarded by answers.lock */
    enum rpc_code code;
};

static void append(char *text, size_t room, const char *word)
{
    size_t at = strlen(text);
    snprintf(text + at, room - at, " %s", word);
}

static void describe(const reflection_server_reflection_response *r, char *out, size_t room)
{
    if (reflection_server_reflection_response_has_error_response(r)) {
        snprintf(out, room, "error %d", r->error_response->error_code);
    } else if (reflection_server_reflection_response_has_list_services_response(r)) {
        snprintf(out, room, "services");
        for (size_t i = 0; i < r->list_services_response->n_service; i++)
            append(out, room, r->list_services_response->service[i]->name);
    } else if (reflection_server_reflection_response_has_all_extension_numbers_response(r)) {
        snprintf(out, room, "extensions of %s: %zu",
                 r->all_extension_numbers_response->base_type_name,
                 r->all_extension_numbers_response->n_extension_number);
    } else {
        snprintf(out, room, "files");
        const reflection_file_descriptor_response *files = r->file_descriptor_response;
        for (size_t i = 0; i < files->n_file_descriptor_proto; i++) {
            ProtobufCBinaryData b = files->file_descriptor_proto[i];
            pb_file_descriptor_proto *f =
                pb_file_descriptor_proto_unpack(NULL, sk_slice_of(b.data, b.len));
            ck_assert_ptr_nonnull(f);
            append(out, room, f->name);
            pb_file_descriptor_proto_free(f, NULL);
        }
    }
}

static void on_answer(const void *typed, void *arg, rpc_stream *stream,
                      const ProtobufCMessage *message)
{
    (void)typed;
    (void)stream;
    struct heard *h = arg;
    sk_mutex_lock(&h->answers.lock);
    describe((const reflection_server_reflection_response *)message, h->text, sizeof h->text);
    sk_mutex_unlock(&h->answers.lock);
    tally_add(&h->answers);
}

static void on_closed(const void *typed, void *arg, rpc_stream *stream,
                      const struct rpc_outcome *outcome)
{
    (void)typed;
    (void)stream;
    struct heard *h = arg;
    h->code = outcome->code;
    tally_add(&h->closed);
}

static const struct rpc_stream_handler handler = {on_answer, on_closed};

static rpc_stream *open_stream(struct heard *h, int version)
{
    *h = (struct heard){0};
    tally_init(&h->answers);
    tally_init(&h->closed);
    return rpc_stream_open(e.channel, &versions[version], NULL, NULL, &handler, NULL, h);
}

static void ask(struct heard *h, rpc_stream *stream,
                const reflection_server_reflection_request *question, const char *expected)
{
    unsigned before = tally_get(&h->answers);
    rpc_stream_write(stream, &question->base);
    tally_wait(&h->answers, before + 1);
    sk_mutex_lock(&h->answers.lock);
    ck_assert_msg(strstr(h->text, expected) == h->text, "got '%s', expected '%s'", h->text,
                  expected);
    sk_mutex_unlock(&h->answers.lock);
}

static void start(void)
{
    e = (struct echo){0};
    ck_assert(sk_ok(rpc_server_new(NULL, &e.server)));
    (void)sk_health_mount(e.server);
    sk_reflection_mount(e.server, skua_descriptor_set);
    ck_assert(sk_ok(rpc_server_listen(e.server, "127.0.0.1:0", &e.port)));
    ck_assert(sk_ok(rpc_server_start(e.server)));
    snprintf(e.target, sizeof e.target, "127.0.0.1:%d", e.port);
    ck_assert(sk_ok(rpc_client_new(&e.client)));
    ck_assert(sk_ok(rpc_channel_open(e.client, e.target, NULL, &e.channel)));
}

#define QUESTION(kind, value)                                                                      \
    __extension__({                                                                                \
        reflection_server_reflection_request q_ = REFLECTION_SERVER_REFLECTION_REQUEST_INIT;       \
        reflection_server_reflection_request_set_##kind(&q_, value);                               \
        q_;                                                                                        \
    })

START_TEST(every_question_has_its_answer)
{
    start();
    struct heard h;
    rpc_stream *s = open_stream(&h, _i);
    reflection_server_reflection_request q = QUESTION(list_services, "*");
    ask(&h, s, &q,
        "services grpc.health.v1.Health grpc.reflection.v1.ServerReflection "
        "grpc.reflection.v1alpha.ServerReflection");
    q = QUESTION(list_services, "");
    ask(&h, s, &q, "services grpc.health.v1.Health");
    q = QUESTION(file_by_filename, "grpc/health/v1/health.proto");
    ask(&h, s, &q, "files grpc/health/v1/health.proto");

    static const char *const symbols[] = {
        "apache.rocketmq.v2.MessagingService",
        "apache.rocketmq.v2.MessagingService.SendMessage",
        "apache.rocketmq.v2.SendMessageRequest",
        "apache.rocketmq.v2.SendMessageRequest.messages",
    };
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        q = QUESTION(file_containing_symbol, symbols[i]);
        ask(&h, s, &q,
            "files apache/rocketmq/v2/service.proto google/protobuf/timestamp.proto "
            "google/protobuf/duration.proto apache/rocketmq/v2/definition.proto");
    }
    q = QUESTION(file_containing_symbol, "apache.rocketmq.v2.Code");
    ask(&h, s, &q, "files apache/rocketmq/v2/definition.proto");
    q = QUESTION(file_containing_symbol, "apache.rocketmq.v2.BAD_REQUEST");
    ask(&h, s, &q, "files apache/rocketmq/v2/definition.proto");
    q = QUESTION(file_containing_symbol, "grpc.health.v1.HealthCheckResponse.ServingStatus");
    ask(&h, s, &q, "files grpc/health/v1/health.proto");

    q = QUESTION(file_containing_symbol, "apache.rocketmq.v2.Nothing");
    ask(&h, s, &q, "error 5");
    q = QUESTION(file_by_filename, "no.proto");
    ask(&h, s, &q, "error 5");
    q = QUESTION(all_extension_numbers_of_type, "apache.rocketmq.v2.Message");
    ask(&h, s, &q, "extensions of apache.rocketmq.v2.Message: 0");
    q = QUESTION(all_extension_numbers_of_type, "no.Such");
    ask(&h, s, &q, "error 5");
    reflection_extension_request extension = REFLECTION_EXTENSION_REQUEST_INIT;
    q = QUESTION(file_containing_extension, &extension);
    ask(&h, s, &q, "error 5");
    q = (reflection_server_reflection_request)REFLECTION_SERVER_REFLECTION_REQUEST_INIT;
    ask(&h, s, &q, "error 3");

    rpc_stream_half_close(s);
    tally_wait(&h.closed, 1);
    ck_assert_int_eq(h.code, RPC_OK);

    struct heard idle; /* as a UI that stays connected */
    s = open_stream(&idle, _i);
    q = QUESTION(list_services, "*");
    ask(&idle, s, &q, "services");
    rpc_server_drain(e.server, 10000);
    tally_wait(&idle.closed, 1);
    ck_assert_int_eq(idle.code, RPC_UNAVAILABLE);
    echo_stop(&e);
    tally_done(&h.answers);
    tally_done(&h.closed);
    tally_done(&idle.answers);
    tally_done(&idle.closed);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api.reflection");
    TCase *t = tcase_create("reflection");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, every_question_has_its_answer, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return echo_run(suite());
}
