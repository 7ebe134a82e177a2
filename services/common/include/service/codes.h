/* codes.h - the answer's code: where Skua's statuses and RocketMQ's codes meet.
 *
 * A verdict is what a check of a request says: a RocketMQ code and one sentence
 * for the person behind the client. By value, owns nothing. */
#ifndef SK_SERVICE_CODES_H
#define SK_SERVICE_CODES_H

#include <stdbool.h>

#include "apache/rocketmq/v2/definition.alias.h"
#include "base/arena.h"
#include "base/status.h"

struct sk_verdict {
    rmq_code code;
    char text[252];
};

#define SK_GRANTED ((struct sk_verdict){.code = RMQ_CODE_OK, .text = "OK"})

static inline bool sk_granted(struct sk_verdict v) { return v.code == RMQ_CODE_OK; }

SK_CHECKED struct sk_verdict sk_refuse(rmq_code code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The one table from sk_code to RocketMQ's code; the status' text becomes the verdict's. */
SK_CHECKED struct sk_verdict sk_verdict_of(struct sk_status status);

/* Hand a refusal to our own caller. */
#define SK_GRANT(expr)                                                                             \
    do {                                                                                           \
        struct sk_verdict sk_grant_ = (expr);                                                      \
        if (!sk_granted(sk_grant_)) return sk_grant_;                                              \
    } while (0)

/* Fill a status message; `text` is borrowed. NULL: "OK", or the code's name. */
void sk_fill_status(rmq_status *out, rmq_code code, const char *text);

/* The verdict as a message in `arena`. Never NULL: a fixed status stands in when the
 * arena's budget is exceeded. */
rmq_status *sk_verdict_message(struct sk_verdict verdict, sk_arena *arena);

/* The Rust client panics on codes that are younger than it (protocol.md 8.1): for
 * x-mq-language RUST an older code that says nearly the same, else `code` itself. */
rmq_code sk_code_for(struct sk_slice language, rmq_code code);

#endif
