/* assert.c - last words. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void sk_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "skua: assertion failed: %s (%s:%d). This is a bug; please report it.\n",
            expression, file, line);
    abort();
}
