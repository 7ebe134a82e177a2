/* tls.c - credentials out of PEM files.
 *
 * The server's pair is watched: a renewed certificate is used for new
 * connections within a minute, without a restart. The core would report a bad
 * file only as failing handshakes, so the pair is checked here first. */
#include "src/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/memory.h"

enum { RELOAD_SECONDS = 60 };

static struct sk_status openssl_error(const char *what, const char *file)
{
    char text[160];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    return sk_error(SK_INVALID, "%s '%s': %s", what, file, text);
}

static void ctx_free_p(SSL_CTX **ctx)
{
    SSL_CTX_free(*ctx);
}

static struct sk_status check_pair(const char *cert_file, const char *key_file,
                                   const SSL_METHOD *side)
{
    SK_CLEANUP(ctx_free_p) SSL_CTX *ctx = SSL_CTX_new(side);
    if (!ctx) return sk_error(SK_NO_MEMORY, "TLS context");
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        return openssl_error("read certificate", cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
        return openssl_error("read key", key_file);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return openssl_error("match certificate and key", key_file);
    return SK_SUCCESS;
}

static struct sk_status check_client_ca(const char *file)
{
    SK_CLEANUP(ctx_free_p) SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) return sk_error(SK_NO_MEMORY, "TLS context");
    if (SSL_CTX_load_verify_locations(ctx, file, NULL) != 1)
        return openssl_error("read certificates that vouch for clients", file);
    return SK_SUCCESS;
}

/* A certificate that nobody verified never gets as far as rpc_call_identity. */
static void ask_clients(grpc_tls_credentials_options *options, const char *client_ca_file)
{
    if (client_ca_file) grpc_tls_credentials_options_watch_root_certs(options);
    grpc_tls_credentials_options_set_cert_request_type(
        options, client_ca_file ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                                : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
}

struct sk_status rpc_tls_server_credentials(const struct rpc_tls_options *tls,
                                            grpc_server_credentials **out)
{
    SK_TRY(check_pair(tls->cert_file, tls->key_file, TLS_server_method()));
    if (tls->client_ca_file) SK_TRY(check_client_ca(tls->client_ca_file));
    grpc_tls_certificate_provider *files = grpc_tls_certificate_provider_file_watcher_create(
        tls->key_file, tls->cert_file, tls->client_ca_file, RELOAD_SECONDS);
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    grpc_tls_credentials_options_set_certificate_provider(options, files);
    grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
    ask_clients(options, tls->client_ca_file);
    *out = grpc_tls_server_credentials_create(options); /* takes the options */
    grpc_tls_certificate_provider_release(files);
    return SK_SUCCESS;
}

static void fclose_p(FILE **file)
{
    if (*file) fclose(*file);
}

static struct sk_status read_text(const char *path, char **out)
{
    SK_CLEANUP(fclose_p) FILE *file = fopen(path, "re");
    if (!file) return sk_errno(errno, "open '%s'", path);
    struct sk_buffer text = {0};
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;) sk_buffer_put(&text, chunk, n);
    sk_buffer_put_u8(&text, 0);
    if (ferror(file)) {
        sk_buffer_done(&text);
        return sk_errno(EIO, "read '%s'", path);
    }
    *out = (char *)text.data;
    return SK_SUCCESS;
}

/* Who we are, for a server that asks. */
struct pair {
    char *cert, *key; /* PEM texts; NULL: we do not say */
};

static void pair_done(struct pair *pair)
{
    free(pair->cert);
    free(pair->key);
}

static struct sk_status read_pair(const struct rpc_channel_options *options, struct pair *out)
{
    if (!options->cert_file && !options->key_file) return SK_SUCCESS;
    if (!options->cert_file || !options->key_file)
        return sk_error(SK_INVALID, "a client certificate needs both cert_file and key_file");
    SK_TRY(check_pair(options->cert_file, options->key_file, TLS_client_method()));
    SK_TRY(read_text(options->cert_file, &out->cert));
    return read_text(options->key_file, &out->key);
}

static void show_pair(grpc_tls_credentials_options *options, const struct pair *pair)
{
    if (!pair->cert) return;
    grpc_tls_identity_pairs *pairs = grpc_tls_identity_pairs_create();
    grpc_tls_identity_pairs_add_pair(pairs, pair->key, pair->cert);
    grpc_tls_certificate_provider *fixed =
        grpc_tls_certificate_provider_static_data_create(NULL, pairs); /* takes the pairs */
    grpc_tls_credentials_options_set_certificate_provider(options, fixed);
    grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
    grpc_tls_certificate_provider_release(fixed);
}

static grpc_channel_credentials *trust_anybody(const struct pair *pair)
{
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    show_pair(options, pair);
    grpc_tls_certificate_verifier *nobody = grpc_tls_certificate_verifier_no_op_create();
    grpc_tls_credentials_options_set_certificate_verifier(options, nobody);
    grpc_tls_credentials_options_set_verify_server_cert(options, 0);
    grpc_tls_credentials_options_set_check_call_host(options, 0);
    grpc_tls_certificate_verifier_release(nobody);
    return grpc_tls_credentials_create(options);
}

struct sk_status rpc_tls_channel_credentials(const struct rpc_channel_options *options,
                                             grpc_channel_credentials **out)
{
    if (!options || !options->tls) {
        *out = grpc_insecure_credentials_create();
        return SK_SUCCESS;
    }
    SK_CLEANUP(pair_done) struct pair pair = {0};
    SK_TRY(read_pair(options, &pair));
    if (options->insecure_skip_verify) {
        *out = trust_anybody(&pair);
        return SK_SUCCESS;
    }
    SK_CLEANUP(sk_free_p) char *roots = NULL;
    if (options->ca_file) SK_TRY(read_text(options->ca_file, &roots));
    grpc_ssl_pem_key_cert_pair shown = {.private_key = pair.key, .cert_chain = pair.cert};
    *out = grpc_ssl_credentials_create(roots, pair.cert ? &shown : NULL, NULL, NULL);
    return SK_SUCCESS;
}
