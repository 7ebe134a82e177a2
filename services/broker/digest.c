/* digest.c - MD5 through OpenSSL. The one-shot function of the old interface is used: the new one
 * allocates and looks up the algorithm for every message. */
#define OPENSSL_API_COMPAT 0x10100000L
#include "digest.h"

#include <openssl/md5.h>

void sk_digest_md5(struct sk_slice body, char out[SK_DIGEST_TEXT])
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned char digest[MD5_DIGEST_LENGTH];
    MD5_CTX context;
    MD5_Init(&context);
    MD5_Update(&context, body.data, body.len);
    MD5_Final(digest, &context);
    for (size_t i = 0; i < sizeof digest; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
}
