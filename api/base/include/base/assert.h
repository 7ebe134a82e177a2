/* assert.h - two words for what must be true.
 *
 * sk_assert(x): a proven invariant. Always compiled; prints the expression and
 *     the place, and aborts.
 * sk_expect(x): believed. Aborts in debug, sanitizer and fuzz builds; in a
 *     release it yields the truth value, so that `if (!sk_expect(x)) return ...`
 *     still guards.
 *
 * Bytes from disk, network or configuration are never asserted: they are parsed
 * to a status. */
#ifndef SK_BASE_ASSERT_H
#define SK_BASE_ASSERT_H

#include <stdbool.h>

_Noreturn void sk_assert_failed(const char *expression, const char *file, int line);

#define sk_assert(x) ((x) ? (void)0 : sk_assert_failed(#x, __FILE__, __LINE__))

#ifdef SK_DEBUG
#define sk_expect(x) ((x) ? true : (sk_assert_failed(#x, __FILE__, __LINE__), false))
#else
#define sk_expect(x) (x)
#endif

#endif
