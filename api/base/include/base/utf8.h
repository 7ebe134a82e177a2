/* utf8.h - is it text? */
#ifndef SK_BASE_UTF8_H
#define SK_BASE_UTF8_H

#include <stdbool.h>

#include "base/slice.h"

/* UTF-8 as RFC 3629 has it (no surrogates, nothing overlong, at most U+10FFFF), and no NUL,
 * which would end a C string before its end. */
bool sk_utf8_is_text(struct sk_slice bytes);

/* A text that was cut must not end inside a sequence: JSON writers and clients would refuse it.
 * Shortens it in place to its last whole character. */
void sk_utf8_trim(char *text);

#endif
