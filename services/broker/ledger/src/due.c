/* due.c - a binary heap of what is due; each member knows its place in it. */
#include "inside.h"

#include "base/memory.h"

static void put(struct sk_due_heap *heap, size_t place, struct sk_poll_due *due)
{
    heap->places[place] = due;
    due->slot = place + 1;
}

static size_t sift_up(struct sk_due_heap *heap, size_t place, uint64_t at_us)
{
    while (place > 0 && heap->places[(place - 1) / 2]->at_us > at_us) {
        put(heap, place, heap->places[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    return place;
}

static size_t sift_down(struct sk_due_heap *heap, size_t place, uint64_t at_us)
{
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= heap->len) return place;
        if (child + 1 < heap->len && heap->places[child + 1]->at_us < heap->places[child]->at_us)
            child++;
        if (heap->places[child]->at_us >= at_us) return place;
        put(heap, place, heap->places[child]);
        place = child;
    }
}

static void sift(struct sk_due_heap *heap, struct sk_poll_due *due)
{
    size_t place = sift_up(heap, due->slot - 1, due->at_us);
    put(heap, sift_down(heap, place, due->at_us), due);
}

void sk_due_set(struct sk_due_heap *heap, struct sk_poll_due *due, uint64_t at_us)
{
    due->at_us = at_us;
    if (due->slot == 0) {
        if (heap->len == heap->room) {
            heap->room = heap->room ? heap->room * 2 : 64;
            heap->places = sk_realloc(heap->places, heap->room, sizeof *heap->places);
        }
        put(heap, heap->len++, due);
    }
    sift(heap, due);
}

void sk_due_remove(struct sk_due_heap *heap, struct sk_poll_due *due)
{
    if (due->slot == 0) return;
    size_t place = due->slot - 1;
    struct sk_poll_due *last = heap->places[--heap->len];
    due->slot = 0;
    if (last == due) return;
    put(heap, place, last);
    sift(heap, last);
}
