/* digest.c - CRC32 by ISA-L, MD5 through OpenSSL. The one-shot function of its old interface is
 * used: the new one allocates and looks up the algorithm for every message. */
#define OPENSSL_API_COMPAT 0x10100000L
#include "message/digest.h"

#include <openssl/md5.h>

#include "base/crc32c.h"

static void put_hex(struct sk_digest *out, unsigned type, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    out->type = type;
    out->len = 2 * len;
    for (size_t i = 0; i < len; i++) {
        out->text[2 * i] = digits[bytes[i] >> 4];
        out->text[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static void put_md5(struct sk_slice body, struct sk_digest *out)
{
    unsigned char digest[MD5_DIGEST_LENGTH];
    MD5_CTX context;
    MD5_Init(&context);
    MD5_Update(&context, body.data, body.len);
    MD5_Final(digest, &context);
    put_hex(out, SK_DIGEST_MD5, digest, sizeof digest);
}

bool sk_digest_knows_crc32(struct sk_slice language)
{
    static const char *const names[] = {"JAVA", "GO", "PYTHON", "CPP", "DOTNET", "C"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (sk_slice_eq(language, sk_slice_of_text(names[i]))) return true;
    return false;
}

void sk_digest_of(struct sk_slice body, bool crc32, struct sk_digest *out)
{
    uint32_t crc = crc32 ? sk_crc32(0, body.data, body.len) : 0;
    if (crc >> 28 == 0) { /* not asked for, or its text begins with a zero */
        put_md5(body, out);
        return;
    }
    const uint8_t bytes[] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
                             (uint8_t)crc};
    put_hex(out, SK_DIGEST_CRC32, bytes, sizeof bytes);
}
