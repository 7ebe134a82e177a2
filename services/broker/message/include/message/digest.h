/* digest.h - the digest that clients verify bodies with; it protects against accidents only.
 *
 * CRC32 where that is known to be understood: it costs a thirtieth of MD5. What clients compare it
 * with is its text, and they do not agree: upper-case hex without leading zeros in Java, Go and
 * C#, with eight digits in Python and C++, decimal in Node.js (protocol.md 3.5). So a checksum
 * that has eight digits by itself, as fifteen of sixteen have, is given to all but Node.js and
 * strangers; MD5, whose text is the same everywhere, to everybody else. */
#ifndef SK_BROKER_DIGEST_H
#define SK_BROKER_DIGEST_H

#include <stdbool.h>

#include "base/slice.h"

enum { SK_DIGEST_CRC32 = 1, SK_DIGEST_MD5 = 2, SK_DIGEST_TEXT = 32 }; /* enum DigestType */

struct sk_digest {
    unsigned type;
    size_t len;
    char text[SK_DIGEST_TEXT]; /* upper-case hex digits, no terminating zero */
};

/* Does the client that names this language in x-mq-language compare a CRC32 with upper-case hex? */
bool sk_digest_knows_crc32(struct sk_slice language);

void sk_digest_of(struct sk_slice body, bool crc32, struct sk_digest *out);

#endif
