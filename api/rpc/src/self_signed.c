/* self_signed.c - the certificate of a server that was given none.
 *
 * Java, Go, C++ and C# clients take any certificate; Node.js, Python and Rust
 * check it against roots that the user names, and want every address in
 * subjectAltName and CA:FALSE (protocol.md 8.1). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/memory.h"
#include "rpc/server.h"

enum { VALID_SECONDS = 10 * 365 * 24 * 3600, CLOCK_SKEW_SECONDS = 24 * 3600 };

static void key_free_p(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}
static void cert_free_p(X509 **cert)
{
    X509_free(*cert);
}
static void bio_free_p(BIO **bio)
{
    BIO_free(*bio);
}

/* --- making it ---------------------------------------------------------------- */

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool is_address(const char *name)
{
    unsigned char any[16];
    return inet_pton(AF_INET, name, any) == 1 || inet_pton(AF_INET6, name, any) == 1;
}

/* "DNS:broker,IP:127.0.0.1"; a name with a comma could smuggle in another, so none may. */
static bool add_names(X509 *cert, const char *const *names, size_t count)
{
    struct sk_buffer list = {0};
    bool ok = count > 0;
    for (size_t i = 0; i < count && ok; i++) {
        ok = !strpbrk(names[i], ", \n");
        const char *kind = is_address(names[i]) ? "IP:" : "DNS:";
        if (i) sk_buffer_put_u8(&list, ',');
        sk_buffer_put(&list, kind, strlen(kind));
        sk_buffer_put(&list, names[i], strlen(names[i]));
    }
    sk_buffer_put_u8(&list, 0);
    ok = ok && add_extension(cert, NID_subject_alt_name, (const char *)list.data);
    sk_buffer_done(&list);
    return ok;
}

static bool set_serial(X509 *cert)
{
    uint64_t serial;
    if (RAND_bytes((unsigned char *)&serial, sizeof serial) != 1) return false;
    return ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1;
}

static bool set_subject(X509 *cert)
{
    X509_NAME *name = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Skua", -1,
                                      -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                      (const unsigned char *)"skua self-signed", -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1;
}

static bool fill(X509 *cert, EVP_PKEY *key, const char *const *names, size_t count)
{
    return X509_set_version(cert, 2) == 1 && set_serial(cert) && set_subject(cert) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -CLOCK_SKEW_SECONDS) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), VALID_SECONDS) &&
           X509_set_pubkey(cert, key) == 1 &&
           add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
           add_extension(cert, NID_ext_key_usage, "serverAuth") &&
           add_extension(cert, NID_subject_key_identifier, "hash") &&
           add_names(cert, names, count) && X509_sign(cert, key, EVP_sha256()) > 0;
}

/* --- storing it --------------------------------------------------------------- */

static struct sk_status sync_folder(const char *path)
{
    SK_CLEANUP(sk_free_p) char *copy = sk_strdup(path);
    SK_CLEANUP(sk_close_p) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd)) return sk_errno(errno, "sync the folder of '%s'", path);
    return SK_SUCCESS;
}

static struct sk_status write_all(int fd, const char *path, struct sk_slice bytes)
{
    for (size_t at = 0; at < bytes.len;) {
        ssize_t n = write(fd, bytes.data + at, bytes.len - at);
        if (n < 0 && errno != EINTR) return sk_errno(errno, "write '%s'", path);
        if (n > 0) at += (size_t)n;
    }
    if (fsync(fd)) return sk_errno(errno, "sync '%s'", path);
    return SK_SUCCESS;
}

/* Whole or not at all: a temporary file, then a rename. */
static struct sk_status store(const char *path, mode_t mode, struct sk_slice bytes)
{
    SK_CLEANUP(sk_free_p) char *tmp = sk_asprintf("%s.tmp", path);
    (void)unlink(tmp);
    SK_CLEANUP(sk_close_p) int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return sk_errno(errno, "create '%s'", tmp);
    SK_TRY(write_all(fd, tmp, bytes));
    if (rename(tmp, path)) return sk_errno(errno, "rename '%s'", tmp);
    return sync_folder(path);
}

static struct sk_slice bytes_of(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    return sk_slice_of(data, (size_t)len);
}

static struct sk_status store_pair(EVP_PKEY *key, X509 *cert, const char *key_file,
                                   const char *cert_file)
{
    SK_CLEANUP(bio_free_p) BIO *key_pem = BIO_new(BIO_s_mem());
    SK_CLEANUP(bio_free_p) BIO *cert_pem = BIO_new(BIO_s_mem());
    if (!key_pem || !cert_pem ||
        PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(cert_pem, cert) != 1)
        return sk_error(SK_INTERNAL, "encode the self-signed certificate");
    SK_TRY(store(key_file, 0600, bytes_of(key_pem)));
    return store(cert_file, 0644, bytes_of(cert_pem));
}

struct sk_status rpc_tls_make_self_signed(const char *cert_file, const char *key_file,
                                          const char *const *names, size_t count)
{
    bool have_cert = access(cert_file, F_OK) == 0, have_key = access(key_file, F_OK) == 0;
    if (have_cert && have_key) return SK_SUCCESS;
    if (have_cert) /* the operator's own; we must not make it useless */
        return sk_error(SK_NOT_FOUND, "certificate '%s' has no key '%s'", cert_file, key_file);

    SK_CLEANUP(key_free_p) EVP_PKEY *key = EVP_EC_gen("P-256");
    SK_CLEANUP(cert_free_p) X509 *cert = X509_new();
    if (!key || !cert || !fill(cert, key, names, count)) {
        ERR_clear_error();
        return sk_error(SK_INVALID, "make a self-signed certificate: check its names");
    }
    return sk_while(store_pair(key, cert, key_file, cert_file), "self-signed certificate");
}
