/* queue.c - outgoing messages of one stream, first in, first out. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "src/call_inside.h"

enum { ROOM_AT_FIRST = 4, ROOM_KEPT = 64 };

static void grow(struct rpc_queue *q)
{
    size_t room = q->room ? q->room * 2 : ROOM_AT_FIRST;
    struct rpc_outgoing *slots = sk_zalloc(room, sizeof *slots);
    for (size_t i = 0; i < q->count; i++) slots[i] = q->slots[(q->first + i) % q->room];
    free(q->slots);
    *q = (struct rpc_queue){.slots = slots, .room = room, .count = q->count};
}

void rpc_queue_put(struct rpc_queue *q, struct rpc_outgoing message)
{
    if (q->count == q->room) grow(q);
    q->slots[(q->first + q->count++) % q->room] = message;
}

struct rpc_outgoing rpc_queue_take(struct rpc_queue *q)
{
    sk_assert(q->count > 0);
    struct rpc_outgoing message = q->slots[q->first];
    q->first = (q->first + 1) % q->room;
    q->count--;
    return message;
}

void rpc_queue_drop(struct rpc_queue *q)
{
    while (q->count) grpc_byte_buffer_destroy(rpc_queue_take(q).payload);
    if (q->room > ROOM_KEPT) rpc_queue_done(q);
}

void rpc_queue_done(struct rpc_queue *q)
{
    sk_assert(q->count == 0);
    free(q->slots);
    *q = (struct rpc_queue){0};
}
