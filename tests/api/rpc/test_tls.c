/* test_tls.c - listeners with certificates, and the certificate we make ourselves. */
#include "echo.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static struct echo e;
static char folder[] = "/tmp/skua-tls-XXXXXX";
static char *cert_file, *key_file, *other_cert, *other_key;

static const char *const names[] = {"localhost", "broker-0.skua", "127.0.0.1", "::1"};

static void make_folder(void)
{
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    cert_file = sk_asprintf("%s/cert.pem", folder);
    key_file = sk_asprintf("%s/key.pem", folder);
    other_cert = sk_asprintf("%s/other-cert.pem", folder);
    other_key = sk_asprintf("%s/other-key.pem", folder);
    ck_assert(sk_ok(rpc_tls_make_self_signed(cert_file, key_file, names, 4)));
    ck_assert(sk_ok(rpc_tls_make_self_signed(other_cert, other_key, names, 4)));
}

static void remove_folder(void)
{
    char *files[] = {cert_file, key_file, other_cert, other_key};
    for (size_t i = 0; i < 4; i++) {
        unlink(files[i]);
        free(files[i]);
    }
    ck_assert_int_eq(rmdir(folder), 0); /* and nothing else is left in it */
}

/* --- the certificate ---------------------------------------------------------- */

static X509 *read_cert(const char *path)
{
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    ck_assert_ptr_nonnull(cert);
    return cert;
}

START_TEST(a_self_signed_certificate_is_what_strict_clients_want)
{
    X509 *cert = read_cert(cert_file);
    ck_assert_int_eq(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
    ck_assert_int_eq(X509_check_host(cert, "broker-0.skua", 0, 0, NULL), 1);
    ck_assert_int_ne(X509_check_host(cert, "elsewhere", 0, 0, NULL), 1);
    ck_assert_int_eq(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    ck_assert_int_eq(X509_check_ip_asc(cert, "::1", 0), 1);
    ck_assert_int_eq(X509_check_ca(cert), 0);
    ck_assert_int_eq(X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0), 1);
    ck_assert_int_eq(X509_cmp_current_time(X509_get0_notBefore(cert)), -1);
    time_t in_nine_years = time(NULL) + 9L * 365 * 24 * 3600;
    ck_assert_int_eq(X509_cmp_time(X509_get0_notAfter(cert), &in_nine_years), 1);
    ck_assert_int_eq(EVP_PKEY_get_bits(X509_get0_pubkey(cert)), 256);
    X509_free(cert);

    struct stat st;
    ck_assert_int_eq(stat(key_file, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
}
END_TEST

START_TEST(existing_files_are_kept)
{
    struct stat before, after;
    ck_assert_int_eq(stat(cert_file, &before), 0);
    ck_assert(sk_ok(rpc_tls_make_self_signed(cert_file, key_file, names, 1)));
    ck_assert_int_eq(stat(cert_file, &after), 0);
    ck_assert_int_eq((long)before.st_ino, (long)after.st_ino);

    char *no_key = sk_asprintf("%s/no-key.pem", folder);
    ck_assert_int_eq(rpc_tls_make_self_signed(cert_file, no_key, names, 4).code, SK_NOT_FOUND);
    const char *const forged[] = {"a,DNS:bank.example"};
    char *no_cert = sk_asprintf("%s/no-cert.pem", folder);
    ck_assert_int_eq(rpc_tls_make_self_signed(no_cert, no_key, forged, 1).code, SK_INVALID);
    ck_assert_int_eq(rpc_tls_make_self_signed(no_cert, no_key, names, 0).code, SK_INVALID);
    ck_assert_int_ne(access(no_cert, F_OK), 0);
    free(no_key);
    free(no_cert);
}
END_TEST

/* --- the listener ------------------------------------------------------------- */

static void tell_tls(void *owner, rpc_call *call, const echo_request *request)
{
    (void)owner;
    (void)request;
    echo_response response = SKUA__TEST__ECHO_RESPONSE__INIT;
    response.index = rpc_call_is_tls(call) ? 1 : 2;
    rpc_call_reply(call, &response.base);
}

static int tls_port;

static void start(void)
{
    e = (struct echo){0};
    ck_assert(sk_ok(rpc_server_new(NULL, &e.server)));
    echo_mount(e.server, &(struct echo_handlers){.say = tell_tls}, NULL);
    struct rpc_tls_options tls = {cert_file, key_file};
    ck_assert(sk_ok(rpc_server_listen(e.server, "127.0.0.1:0", &e.port)));
    ck_assert(sk_ok(rpc_server_listen_tls(e.server, "127.0.0.1:0", &tls, &tls_port)));
    ck_assert(sk_ok(rpc_server_start(e.server)));
    ck_assert(sk_ok(rpc_client_new(&e.client)));
}

static struct sk_status call_tls(int port, const struct rpc_channel_options *options,
                                 uint32_t *index)
{
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    rpc_channel *channel;
    ck_assert(sk_ok(rpc_channel_open(e.client, target, options, &channel)));
    sk_arena *arena = sk_arena_new(0);
    const ProtobufCMessage *response;
    echo_request request = SKUA__TEST__ECHO_REQUEST__INIT;
    struct sk_status s =
        rpc_unary_wait(channel, ECHO_METHOD(ECHO_SAY), NULL, &request.base, arena, &response);
    if (sk_ok(s)) *index = ((const echo_response *)response)->index;
    sk_arena_free(arena);
    rpc_channel_close(channel);
    return s;
}

START_TEST(only_who_trusts_the_certificate_connects)
{
    start();
    uint32_t index = 0;
    struct rpc_channel_options trusting = {.tls = true, .ca_file = cert_file};
    struct sk_status s = call_tls(tls_port, &trusting, &index);
    ck_assert_msg(sk_ok(s), "%s", s.detail);
    ck_assert_uint_eq(index, 1);
    struct rpc_channel_options careless = {.tls = true, .insecure_skip_verify = true};
    s = call_tls(tls_port, &careless, &index);
    ck_assert_msg(sk_ok(s), "%s", s.detail);
    ck_assert_uint_eq(index, 1);
    ck_assert(sk_ok(call_tls(e.port, NULL, &index)));
    ck_assert_uint_eq(index, 2);

    struct rpc_channel_options stranger = {.tls = true, .ca_file = other_cert};
    ck_assert_int_eq(call_tls(tls_port, &stranger, &index).code, SK_UNAVAILABLE);
    ck_assert_int_eq(call_tls(e.port, &trusting, &index).code, SK_UNAVAILABLE);
    s = call_tls(tls_port, NULL, &index); /* plaintext to a TLS port */
    ck_assert(s.code == SK_UNAVAILABLE || s.code == SK_TIMEOUT);

    rpc_client_free(e.client);
    rpc_server_free(e.server);
}
END_TEST

START_TEST(bad_files_are_named)
{
    rpc_server *server;
    rpc_client *client;
    rpc_channel *channel;
    ck_assert(sk_ok(rpc_server_new(NULL, &server)));
    struct rpc_tls_options absent = {"/no/such/cert.pem", key_file};
    struct rpc_tls_options crossed = {cert_file, other_key};
    struct rpc_tls_options swapped = {key_file, cert_file};
    struct sk_status s = rpc_server_listen_tls(server, "127.0.0.1:0", &absent, NULL);
    ck_assert_int_eq(s.code, SK_INVALID);
    ck_assert_ptr_nonnull(strstr(s.detail, "/no/such/cert.pem"));
    ck_assert_int_eq(rpc_server_listen_tls(server, "127.0.0.1:0", &crossed, NULL).code, SK_INVALID);
    ck_assert_int_eq(rpc_server_listen_tls(server, "127.0.0.1:0", &swapped, NULL).code, SK_INVALID);
    rpc_server_free(server);

    ck_assert(sk_ok(rpc_client_new(&client)));
    struct rpc_channel_options options = {.tls = true, .ca_file = "/no/such/ca.pem"};
    ck_assert_int_eq(rpc_channel_open(client, "127.0.0.1:1", &options, &channel).code,
                     SK_NOT_FOUND);
    options.ca_file = "/"; /* opens, and cannot be read */
    s = rpc_channel_open(client, "127.0.0.1:1", &options, &channel);
    ck_assert_int_eq(s.code, SK_IO);
    ck_assert_ptr_nonnull(strstr(s.detail, "read '/'"));
    rpc_client_free(client);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("api.rpc.tls");
    TCase *t = tcase_create("tls");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, make_folder, remove_folder);
    tcase_add_test(t, a_self_signed_certificate_is_what_strict_clients_want);
    tcase_add_test(t, existing_files_are_kept);
    tcase_add_test(t, only_who_trusts_the_certificate_connects);
    tcase_add_test(t, bad_files_are_named);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return echo_run(suite());
}
