/* cleanup.h - release at scope end, on every path, in reverse order.
 *
 *     SK_CLEANUP(sk_segment_close_p) sk_segment *seg = NULL;
 *     ...
 *     *out = SK_STEAL(seg);            ownership leaves the scope
 *
 * Cleanup attributes, __typeof__ and statement expressions are the only
 * compiler extensions that Skua uses (gcc and clang both have them), but for one
 * instruction in crc32c.c. */
#ifndef SK_BASE_CLEANUP_H
#define SK_BASE_CLEANUP_H

#include <stddef.h>

#define SK_CLEANUP(fn) __attribute__((cleanup(fn)))

#define SK_STEAL(ptr)                                                                              \
    __extension__({                                                                                \
        __typeof__(ptr) sk_stolen_ = (ptr);                                                        \
        (ptr) = NULL;                                                                              \
        sk_stolen_;                                                                                \
    })

/* For SK_CLEANUP on memory from malloc. `pp` is the address of the pointer variable. */
void sk_free_p(void *pp);

/* For SK_CLEANUP on a file descriptor; -1 is skipped. */
void sk_close_p(int *fd);

#endif
