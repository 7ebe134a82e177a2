/* memory.h - allocation for sizes that we chose ourselves.
 *
 * These end the process with a clear line when there is no memory: a broker
 * that cannot get a few hundred bytes cannot do better than restart. Sizes that
 * a peer chose are checked against a limit first and come from an arena. */
#ifndef SK_BASE_MEMORY_H
#define SK_BASE_MEMORY_H

#include <stddef.h>

#include "base/slice.h"

void *sk_alloc(size_t size);                          /* not zeroed */
void *sk_zalloc(size_t count, size_t size);           /* zeroed; overflow checked */
void *sk_realloc(void *old, size_t count, size_t size);
char *sk_strdup(const char *text);                    /* NULL gives NULL */
char *sk_strndup(struct sk_slice bytes);
char *sk_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
