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

static struct sk_status check_pair(const struct rpc_tls_options *tls)
{
    SK_CLEANUP(ctx_free_p) SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) return sk_error(SK_NO_MEMORY, "TLS context");
    if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1)
        return openssl_error("read certificate", tls->cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, tls->key_file, SSL_FILETYPE_PEM) != 1)
        return openssl_error("read key", tls->key_file);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return openssl_error("match certificate and key", tls->key_file);
    return SK_SUCCESS;
}

struct sk_status rpc_tls_server_credentials(const struct rpc_tls_options *tls,
                                            grpc_server_credentials **out)
{
    SK_TRY(check_pair(tls));
    grpc_tls_certificate_provider *files = grpc_tls_certificate_provider_file_watcher_create(
        tls->key_file, tls->cert_file, NULL, RELOAD_SECONDS);
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    grpc_tls_credentials_options_set_certificate_provider(options, files);
    grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
    grpc_tls_credentials_options_set_cert_request_type(options,
                                                       GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
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

static grpc_channel_credentials *trust_anybody(void)
{
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
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
    if (options->insecure_skip_verify) {
        *out = trust_anybody();
        return SK_SUCCESS;
    }
    SK_CLEANUP(sk_free_p) char *roots = NULL;
    if (options->ca_file) SK_TRY(read_text(options->ca_file, &roots));
    *out = grpc_ssl_credentials_create(roots, NULL, NULL, NULL);
    return SK_SUCCESS;
}
