/* status.h - what went wrong, and what the caller may do about it.
 *
 * A status is returned by value and owns nothing: no free, no thread-local, no
 * errno to lose, so it survives the hop to another thread that every call makes.
 * `code` is for the program and answers one question, "what should the caller
 * do?", so the list is short and closed. `detail` is for the operator: which
 * file, topic or peer it was, which limit, what to do.
 *
 * Context is added on the way up with sk_while(); the code stays. A failure is
 * logged once, where it is handled; library rooms never log it. */
#ifndef SK_BASE_STATUS_H
#define SK_BASE_STATUS_H

#include <stdbool.h>

#define SK_STATUS_CODES(X)                                                                         \
    X(SK_OK, "ok")                                                                                 \
    X(SK_RETRY, "busy or not yet ready; try again later")                                          \
    X(SK_NOT_FOUND, "no such thing")                                                               \
    X(SK_EXISTS, "it is there already")                                                            \
    X(SK_INVALID, "the request breaks a rule; do not retry as is")                                 \
    X(SK_FULL, "a disk or quota limit is reached")                                                 \
    X(SK_NOT_MASTER, "this replica does not take writes")                                          \
    X(SK_CORRUPT, "stored bytes fail their checksum")                                              \
    X(SK_IO, "the operating system refused a call")                                                \
    X(SK_NO_MEMORY, "allocation failed")                                                           \
    X(SK_TIMEOUT, "the deadline passed first")                                                     \
    X(SK_CANCELLED, "the caller gave up")                                                          \
    X(SK_UNAVAILABLE, "the peer cannot be reached; the outcome is unknown")                        \
    X(SK_UNIMPLEMENTED, "this is not built yet")                                                   \
    X(SK_CLOSED, "the object is shutting down")                                                    \
    X(SK_INTERNAL, "a bug: please report it")

enum sk_code {
#define X(code, text) code,
    SK_STATUS_CODES(X)
#undef X
};

struct sk_status {
    enum sk_code code;
    char detail[252]; /* "" when the code says it all; cut at the end, never split in UTF-8 */
};

/* Ignoring a status is a compile-time warning, and warnings are errors. */
#define SK_CHECKED __attribute__((warn_unused_result))

#define SK_SUCCESS ((struct sk_status){.code = SK_OK})

static inline bool sk_ok(struct sk_status s) { return s.code == SK_OK; }

SK_CHECKED struct sk_status sk_error(enum sk_code code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Prefix the detail with what the caller was doing: "open segment 0000: ...".
 * An OK status is returned unchanged. */
SK_CHECKED struct sk_status sk_while(struct sk_status s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A failed system call as a status: errno becomes SK_FULL (ENOSPC, EDQUOT),
 * SK_NOT_FOUND (ENOENT), SK_EXISTS (EEXIST) or SK_IO, and its text is appended. */
SK_CHECKED struct sk_status sk_errno(int error, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The sentence of the table above; never NULL. */
const char *sk_code_text(enum sk_code code);

/* "SK_FULL"; never NULL. */
const char *sk_code_name(enum sk_code code);

/* The text to show a person: the detail, or the code's own sentence if there is none.
 * Borrowed from *s. */
const char *sk_status_text(const struct sk_status *s);

/* Hand a failure to our own caller. The only control-flow macro in Skua. */
#define SK_TRY(expr)                                                                               \
    do {                                                                                           \
        struct sk_status sk_try_ = (expr);                                                         \
        if (!sk_ok(sk_try_)) return sk_try_;                                                       \
    } while (0)

#endif
