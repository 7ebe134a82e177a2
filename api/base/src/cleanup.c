/* cleanup.c - see base/cleanup.h. */
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void sk_free_p(void *pp)
{
    void *p;
    memcpy(&p, pp, sizeof p);
    free(p);
}

void sk_close_p(int *fd)
{
    if (*fd >= 0) close(*fd);
}
