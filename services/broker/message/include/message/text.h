/* text.h - questions about texts that peers sent: is it UTF-8, blank, printable?
 *
 * "White space" and "control" are Java's words (Character.isWhitespace and
 * isISOControl), because RocketMQ's rules are written with them: U+2028 is white
 * space, U+00A0 is not, U+0085 is a control character (protocol.md 8). */
#ifndef SK_BROKER_TEXT_H
#define SK_BROKER_TEXT_H

#include <stdbool.h>

#include "base/slice.h"

struct sk_text_facts {
    bool valid;   /* well-formed UTF-8: no surrogates, nothing overlong, at most U+10FFFF */
    bool blank;   /* empty, or white space only */
    bool control; /* has an ISO control character (U+0000 is one) */
};

/* One pass over the bytes. If not valid, the other two are about what came before. */
struct sk_text_facts sk_text_look(struct sk_slice text);

#endif
