/* placing.c - the life of the room's one object. */
#include <stdlib.h>

#include "base/memory.h"
#include "inside.h"

sk_placing *sk_placing_new(const struct sk_node *node)
{
    sk_placing *placing = sk_zalloc(1, sizeof *placing);
    placing->node = node;
    placing->room = sk_alloc(sizeof *placing->room);
    return placing;
}

void sk_placing_free(sk_placing *placing)
{
    if (!placing) return;
    free(placing->room);
    free(placing);
}

uint32_t sk_rotate(sk_placing *placing, uint32_t topic)
{
    return placing->rotations[topic % SK_ROTATIONS]++;
}
