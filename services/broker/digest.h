/* digest.h - the digest that clients verify bodies with. MD5, because its text is the same in
 * every client (protocol.md 3.5); it protects against accidents only. */
#ifndef SK_BROKER_DIGEST_H
#define SK_BROKER_DIGEST_H

#include "base/slice.h"

enum { SK_DIGEST_TEXT = 32 };

/* 32 upper-case hex digits, no terminating zero. */
void sk_digest_md5(struct sk_slice body, char out[SK_DIGEST_TEXT]);

#endif
