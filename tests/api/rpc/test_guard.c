/* test_guard.c - the one door that every call passes before its request is looked at. */
#include "echo.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "base/memory.h"
#include "rpc/guard.h"

static struct echo e;

/* Every kind of call, and a method that nobody mounted. */
static const int kinds[] = {ECHO_SAY,  ECHO_RAW,     ECHO_PARK,   ECHO_LIST,
                            ECHO_CHAT, ECHO_COLLECT, ECHO_MISSING};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* --- a guard that remembers, and handlers that are counted --------------------------------- */

/* The test and the guard take turns: each looks at `asked` before it looks at the rest, which
 * orders them also for a sanitizer that cannot see inside the core. */
static struct {
    struct tally asked, handled;
    struct rpc_verdict verdict;
    /* of the last call */
    const struct rpc_method *method;
    char path[64], peer[64], token[64], subject[128], common_name[64], names[256];
    size_t name_count;
    bool tls;
} door;

static void put(char *to, size_t room, struct sk_slice text)
{
    snprintf(to, room, "%.*s", SK_SLICE_ARGS(text));
}

/* "dns:a uri:b", in the certificate's order within each kind. */
static void put_names(const struct rpc_identity *id)
{
    static const char *const words[] = {"dns", "uri", "email", "ip"};
    door.names[0] = 0;
    door.name_count = id->name_count;
    for (size_t i = 0; i < id->name_count; i++) {
        size_t at = strlen(door.names);
        snprintf(door.names + at, sizeof door.names - at, "%s%s:%.*s", i ? " " : "",
                 words[id->names[i].kind], SK_SLICE_ARGS(id->names[i].text));
    }
}

static struct rpc_verdict look(void *owner, rpc_call *call)
{
    ck_assert_ptr_eq(owner, &door);
    (void)tally_get(&door.asked);
    struct rpc_verdict verdict = door.verdict;
    const struct rpc_identity *id = rpc_call_identity(call);
    ck_assert_ptr_eq(id, rpc_call_identity(call));
    door.method = rpc_call_method(call);
    put(door.path, sizeof door.path, rpc_call_path(call));
    put(door.peer, sizeof door.peer, sk_slice_of_text(rpc_call_peer(call)));
    put(door.token, sizeof door.token, rpc_call_metadata(call, "authorization"));
    put(door.subject, sizeof door.subject, id->subject);
    put(door.common_name, sizeof door.common_name, id->common_name);
    put_names(id);
    door.tls = rpc_call_is_tls(call);
    tally_add(&door.asked); /* from here on it is the test's turn */
    return verdict;
}

static void counted_request(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    tally_add(&door.handled);
    echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
    response.data = request->data;
    rpc_call_reply(call, &response.base);
}

static void counted_raw(void *owner, rpc_call *call, struct sk_slice request)
{
    (void)owner;
    tally_add(&door.handled);
    rpc_call_reply_bytes(call, request);
}

static void counted_list(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    (void)request;
    tally_add(&door.handled);
    rpc_call_finish(call, RPC_OK, NULL);
}

static void on_message(const void *typed, void *arg, rpc_call *call,
                       const ProtobufCMessage *message)
{
    (void)typed, (void)arg, (void)call, (void)message;
}

static void on_no_more(const void *typed, void *arg, rpc_call *call)
{
    (void)typed, (void)arg;
    rpc_call_finish(call, RPC_OK, NULL);
}

static void counted_stream(void *owner, rpc_call *call)
{
    (void)owner;
    static const struct rpc_stream_events events = {on_message, on_no_more};
    tally_add(&door.handled);
    rpc_call_listen(call, &events, NULL, NULL);
}

/* --- a server with that guard, and one call of any kind ------------------------------------- */

static const struct echo_handlers counted = {counted_request, counted_request, counted_list,
                                             counted_stream, counted_stream};

static void new_server(int loop_index, const struct echo_handlers *handlers, rpc_guard_fn *guard)
{
    struct rpc_server_options options = echo_options(loop_index);
    e = (struct echo){0};
    memset(&door, 0, sizeof door);
    tally_init(&door.asked);
    tally_init(&door.handled);
    ck_assert(sk_ok(rpc_server_new(&options, &e.server)));
    echo_mount(e.server, handlers, NULL);
    rpc_server_mount_raw(e.server, ECHO_METHOD(ECHO_RAW), counted_raw, NULL);
    rpc_server_guard(e.server, guard, &door);
}

static void start_with(int loop_index, const struct echo_handlers *handlers, rpc_guard_fn *guard)
{
    new_server(loop_index, handlers, guard);
    ck_assert(sk_ok(rpc_server_listen(e.server, "127.0.0.1:0", &e.port)));
    ck_assert(sk_ok(rpc_server_start(e.server)));
    snprintf(e.target, sizeof e.target, "127.0.0.1:%d", e.port);
    ck_assert(sk_ok(rpc_client_new(&e.client)));
    ck_assert(sk_ok(rpc_channel_open(e.client, e.target, NULL, &e.channel)));
}

static void start(int loop_index, struct rpc_verdict verdict)
{
    start_with(loop_index, &counted, look);
    door.verdict = verdict; /* nobody has called yet */
}

static void stop(void)
{
    echo_stop(&e);
    tally_done(&door.asked);
    tally_done(&door.handled);
}

struct heard {
    struct tally closed;
    enum rpc_code code;
    char detail[252];
};

static void ignore(const void *typed, void *arg, rpc_stream *stream,
                   const ProtobufCMessage *message)
{
    (void)typed, (void)arg, (void)stream, (void)message;
}

static void on_closed(const void *typed, void *arg, rpc_stream *stream,
                      const struct rpc_outcome *outcome)
{
    (void)typed, (void)stream;
    struct heard *h = arg;
    h->code = outcome->code;
    snprintf(h->detail, sizeof h->detail, "%s", outcome->status.detail);
    tally_add(&h->closed);
}

/* One request, then no more: on the wire all kinds of call begin like this. */
static struct heard call_with(rpc_channel *channel, int method, const struct rpc_options *options,
                              const echo_request *request)
{
    static const struct rpc_stream_handler handler = {ignore, on_closed};
    struct heard h = {0};
    tally_init(&h.closed);
    (void)tally_get(&door.asked);
    (void)rpc_stream_open(channel, ECHO_METHOD(method), options, &request->base, &handler, NULL,
                          &h);
    tally_wait(&h.closed, 1);
    tally_done(&h.closed);
    (void)tally_get(&door.asked);
    return h;
}

static struct heard call(int method)
{
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    return call_with(e.channel, method, NULL, &request);
}

/* An item that cannot be one. */
static struct heard call_with_garbage(int method)
{
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    ProtobufCMessageUnknownField field = {.tag = 3,
                                          .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                          .len = 3,
                                          .data = (uint8_t *)(uintptr_t) "\x02\xff\xff"};
    request.base.unknown_fields = &field;
    request.base.n_unknown_fields = 1;
    return call_with(e.channel, method, NULL, &request);
}

/* --- verdicts ------------------------------------------------------------------------------ */

static const struct rpc_verdict refusal = {RPC_UNAUTHENTICATED, "say who you are"};

START_TEST(a_refused_call_of_any_kind_reaches_no_handler)
{
    start(_i, refusal);
    for (size_t i = 0; i < KINDS; i++) {
        struct heard h = call(kinds[i]);
        ck_assert_int_eq(h.code, RPC_UNAUTHENTICATED);
        ck_assert_ptr_nonnull(strstr(h.detail, "say who you are"));
        ck_assert_uint_eq(tally_get(&door.asked), i + 1);
    }
    rpc_server_drain(e.server, 10000); /* whatever was handled has been counted */
    ck_assert_uint_eq(tally_get(&door.asked), KINDS);
    ck_assert_uint_eq(tally_get(&door.handled), 0);
    stop();
}
END_TEST

START_TEST(a_call_that_passes_is_asked_once_and_handled_once)
{
    start(_i, RPC_PASS);
    for (unsigned round = 1; round <= 50; round++)
        for (size_t i = 0; i < KINDS; i++) {
            struct heard h = call(kinds[i]);
            ck_assert_int_eq(h.code, kinds[i] == ECHO_MISSING ? RPC_UNIMPLEMENTED : RPC_OK);
        }
    rpc_server_drain(e.server, 10000);
    ck_assert_uint_eq(tally_get(&door.asked), 50 * KINDS);
    ck_assert_uint_eq(tally_get(&door.handled), 50 * (KINDS - 1));
    stop();
}
END_TEST

START_TEST(a_request_that_is_no_message_gets_the_guards_answer_first)
{
    start(_i, refusal);
    for (size_t i = 0; i < KINDS; i++)
        ck_assert_int_eq(call_with_garbage(kinds[i]).code, RPC_UNAUTHENTICATED);
    door.verdict = RPC_PASS;
    for (size_t i = 0; i < KINDS; i++) {
        bool undecoded = kinds[i] == ECHO_RAW || kinds[i] == ECHO_MISSING;
        enum rpc_code code = call_with_garbage(kinds[i]).code;
        if (!undecoded) ck_assert_int_eq(code, RPC_INVALID_ARGUMENT);
    }
    ck_assert_uint_eq(tally_get(&door.asked), 2 * KINDS);
    stop();
}
END_TEST

START_TEST(a_refusal_may_come_without_words)
{
    start(_i, (struct rpc_verdict){.code = RPC_RESOURCE_EXHAUSTED});
    ck_assert_int_eq(call(ECHO_SAY).code, RPC_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(call(ECHO_CHAT).code, RPC_RESOURCE_EXHAUSTED);
    stop();
}
END_TEST

/* A text of the call's own is sent before the call is forgotten. */
static struct rpc_verdict refuse_by_name(void *owner, rpc_call *call)
{
    (void)owner;
    return (struct rpc_verdict){
        RPC_PERMISSION_DENIED,
        sk_arena_printf(rpc_call_arena(call), "not you, %.*s",
                        SK_SLICE_ARGS(rpc_call_metadata(call, "authorization")))};
}

START_TEST(a_refusal_may_be_in_the_calls_memory)
{
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    const struct rpc_header header = {"authorization", "mallory"};
    const struct rpc_options options = {.headers = &header, .header_count = 1};
    start_with(_i, &counted, refuse_by_name);
    struct heard h = call_with(e.channel, ECHO_LIST, &options, &request);
    ck_assert_int_eq(h.code, RPC_PERMISSION_DENIED);
    ck_assert_ptr_nonnull(strstr(h.detail, "not you, mallory"));
    stop();
}
END_TEST

static rpc_call *_Atomic parked;

static void park(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner, (void)request;
    atomic_store(&parked, call);
    tally_add(&door.handled);
}

static void *drain(void *arg)
{
    rpc_server_drain(arg, 20000);
    return NULL;
}

static void on_answer(void *arg, const struct rpc_outcome *outcome, struct sk_slice response)
{
    (void)response;
    ck_assert_int_eq(outcome->code, RPC_OK);
    tally_add(arg);
}

START_TEST(a_draining_server_does_not_ask)
{
    struct tally answered;
    pthread_t thread;
    tally_init(&answered);
    start_with(_i, &(struct echo_handlers){.park = park}, look);
    rpc_unary_bytes(e.channel, ECHO_METHOD(ECHO_PARK), &(struct rpc_options){.timeout_ms = 20000},
                    SK_EMPTY, on_answer, &answered);
    tally_wait(&door.handled, 1);

    ck_assert(sk_ok(sk_thread_start("drain", drain, e.server, &thread)));
    unsigned asked;
    struct heard h;
    do { /* until it has begun to drain */
        asked = tally_get(&door.asked);
        h = call(ECHO_MISSING);
    } while (h.code == RPC_UNIMPLEMENTED);
    ck_assert_int_eq(h.code, RPC_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(h.detail, "shutting down"));
    ck_assert_uint_eq(tally_get(&door.asked), asked);
    rpc_call_reply_bytes(atomic_load(&parked), SK_EMPTY);
    tally_wait(&answered, 1);
    sk_thread_join(thread);
    tally_done(&answered);
    stop();
}
END_TEST

/* --- what it sees -------------------------------------------------------------------------- */

START_TEST(it_sees_method_peer_and_metadata)
{
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    const struct rpc_header headers[] = {{"x-other", "1"}, {"authorization", "Bearer of news"}};
    const struct rpc_options options = {.headers = headers, .header_count = 2};
    start(_i, RPC_PASS);
    for (size_t i = 0; i < KINDS; i++) {
        const struct rpc_method *method = ECHO_METHOD(kinds[i]);
        (void)call_with(e.channel, kinds[i], &options, &request);
        ck_assert_str_eq(door.path, method->path);
        if (kinds[i] == ECHO_MISSING)
            ck_assert_ptr_null(door.method);
        else
            ck_assert_ptr_eq(door.method, method);
        ck_assert_str_eq(door.token, "Bearer of news");
        ck_assert_ptr_eq(strstr(door.peer, "ipv4:127.0.0.1:"), door.peer);
        ck_assert(!door.tls);
        ck_assert_str_eq(door.subject, "");
        ck_assert_str_eq(door.common_name, "");
        ck_assert_uint_eq(door.name_count, 0);
    }
    (void)call(ECHO_SAY);
    ck_assert_str_eq(door.token, ""); /* of this call, not of the slot's last one */
    stop();
}
END_TEST

/* --- certificates -------------------------------------------------------------------------- */

static char folder[] = "/tmp/skua-guard-XXXXXX";
static char *cert_file, *key_file, *client_cert, *client_key, *other_cert, *other_key;
static int tls_port, asking_port;

static void write_pair(const char *cert_path, const char *key_path, X509 *cert, EVP_PKEY *key)
{
    FILE *file = fopen(cert_path, "we");
    ck_assert(file && PEM_write_X509(file, cert) == 1);
    fclose(file);
    file = fopen(key_path, "we");
    ck_assert(file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(file);
}

static void add_text(X509 *cert, const char *field, const char *text)
{
    ck_assert_int_eq(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), field, MBSTRING_ASC,
                                                (const unsigned char *)text, -1, -1, 0),
                     1);
}

static void add_extension(X509 *cert, int what, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, what, value);
    ck_assert(extension && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* A certificate for a client, which vouches for itself. */
static void make_client(const char *cert_path, const char *key_path, const char *name,
                        const char *alternatives)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    ck_assert(key && cert && X509_set_version(cert, 2) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    add_text(cert, "O", "Skua Tests");
    add_text(cert, "CN", name);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, key);
    add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(cert, NID_ext_key_usage, "clientAuth");
    if (alternatives) add_extension(cert, NID_subject_alt_name, alternatives);
    ck_assert_int_gt(X509_sign(cert, key, EVP_sha256()), 0);
    write_pair(cert_path, key_path, cert, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void make_folder(void)
{
    static const char *const names[] = {"localhost", "127.0.0.1"};
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    cert_file = sk_asprintf("%s/cert.pem", folder);
    key_file = sk_asprintf("%s/key.pem", folder);
    client_cert = sk_asprintf("%s/client.pem", folder);
    client_key = sk_asprintf("%s/client-key.pem", folder);
    other_cert = sk_asprintf("%s/other.pem", folder);
    other_key = sk_asprintf("%s/other-key.pem", folder);
    ck_assert(sk_ok(rpc_tls_make_self_signed(cert_file, key_file, names, 2)));
    make_client(client_cert, client_key, "billing",
                "URI:spiffe://skua/billing,DNS:billing.skua,DNS:b2.skua,email:b@skua.example,"
                "IP:10.1.2.3");
    make_client(other_cert, other_key, "billing", "URI:spiffe://skua/billing");
}

static void remove_folder(void)
{
    char *files[] = {cert_file, key_file, client_cert, client_key, other_cert, other_key};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        unlink(files[i]);
        free(files[i]);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

/* One listener as brokers have it, and one that asks clients for a certificate. */
static void start_tls(void)
{
    const struct rpc_tls_options tls = {.cert_file = cert_file, .key_file = key_file};
    const struct rpc_tls_options asking = {cert_file, key_file, .client_ca_file = client_cert};
    new_server(0, &counted, look);
    ck_assert(sk_ok(rpc_server_listen_tls(e.server, "127.0.0.1:0", &tls, &tls_port)));
    ck_assert(sk_ok(rpc_server_listen_tls(e.server, "127.0.0.1:0", &asking, &asking_port)));
    ck_assert(sk_ok(rpc_server_start(e.server)));
    ck_assert(sk_ok(rpc_client_new(&e.client)));
}

static struct heard call_tls(int port, const char *cert, const char *key, bool careless)
{
    struct rpc_channel_options options = {.tls = true,
                                          .ca_file = careless ? NULL : cert_file,
                                          .insecure_skip_verify = careless,
                                          .cert_file = cert,
                                          .key_file = key};
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    rpc_channel *channel;
    ck_assert(sk_ok(rpc_channel_open(e.client, target, &options, &channel)));
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    struct heard h =
        call_with(channel, ECHO_SAY, &(struct rpc_options){.timeout_ms = 20000}, &request);
    rpc_channel_close(channel);
    return h;
}

static void expect_nobody(void)
{
    ck_assert(door.tls);
    ck_assert_str_eq(door.subject, "");
    ck_assert_str_eq(door.common_name, "");
    ck_assert_uint_eq(door.name_count, 0);
}

START_TEST(it_sees_the_certificate_that_was_verified)
{
    start_tls();
    for (int i = 0; i < 40; i++) { /* in two ways to make a channel, and in turn with nobody */
        struct heard h = call_tls(asking_port, client_cert, client_key, i % 2);
        ck_assert_msg(h.code == RPC_OK, "%s", h.detail);
        ck_assert(door.tls);
        ck_assert_str_eq(door.subject, "CN=billing,O=Skua Tests");
        ck_assert_str_eq(door.common_name, "billing");
        ck_assert_str_eq(door.names, "dns:billing.skua dns:b2.skua uri:spiffe://skua/billing "
                                     "email:b@skua.example ip:10.1.2.3");
        ck_assert_int_eq(call_tls(asking_port, NULL, NULL, i % 2).code, RPC_OK);
        expect_nobody();
    }
    unsigned asked = tally_get(&door.asked);
    /* the same words, but nobody vouches for them */
    ck_assert_int_eq(call_tls(asking_port, other_cert, other_key, false).code, RPC_UNAVAILABLE);
    ck_assert_uint_eq(tally_get(&door.asked), asked);

    /* where clients are not asked, what they would show is not looked at */
    ck_assert_int_eq(call_tls(tls_port, client_cert, client_key, false).code, RPC_OK);
    expect_nobody();
    ck_assert_int_eq(call_tls(tls_port, other_cert, other_key, false).code, RPC_OK);
    expect_nobody();

    rpc_client_free(e.client);
    rpc_server_free(e.server);
    tally_done(&door.asked);
    tally_done(&door.handled);
}
END_TEST

START_TEST(bad_files_of_certificates_are_named)
{
    rpc_server *server;
    rpc_client *client;
    rpc_channel *channel;
    ck_assert(sk_ok(rpc_server_new(NULL, &server)));
    struct rpc_tls_options tls = {cert_file, key_file, .client_ca_file = "/no/such/ca.pem"};
    struct sk_status s = rpc_server_listen_tls(server, "127.0.0.1:0", &tls, NULL);
    ck_assert_int_eq(s.code, SK_INVALID);
    ck_assert_ptr_nonnull(strstr(s.detail, "/no/such/ca.pem"));
    rpc_server_free(server);

    ck_assert(sk_ok(rpc_client_new(&client)));
    struct rpc_channel_options half = {.tls = true, .cert_file = client_cert};
    ck_assert_int_eq(rpc_channel_open(client, "127.0.0.1:1", &half, &channel).code, SK_INVALID);
    struct rpc_channel_options crossed = {
        .tls = true, .cert_file = client_cert, .key_file = other_key};
    s = rpc_channel_open(client, "127.0.0.1:1", &crossed, &channel);
    ck_assert_int_eq(s.code, SK_INVALID);
    ck_assert_ptr_nonnull(strstr(s.detail, other_key));
    rpc_client_free(client);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api.rpc.guard");
    TCase *t = tcase_create("guard");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_refused_call_of_any_kind_reaches_no_handler, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_call_that_passes_is_asked_once_and_handled_once, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_request_that_is_no_message_gets_the_guards_answer_first, 0,
                        ECHO_LOOPS);
    tcase_add_loop_test(t, a_refusal_may_come_without_words, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_refusal_may_be_in_the_calls_memory, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, a_draining_server_does_not_ask, 0, ECHO_LOOPS);
    tcase_add_loop_test(t, it_sees_method_peer_and_metadata, 0, ECHO_LOOPS);
    suite_add_tcase(s, t);
    t = tcase_create("certificates");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, make_folder, remove_folder);
    tcase_add_test(t, it_sees_the_certificate_that_was_verified);
    tcase_add_test(t, bad_files_of_certificates_are_named);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return echo_run(suite());
}
