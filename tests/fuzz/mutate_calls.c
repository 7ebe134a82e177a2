/* mutate_calls.c - the mutator of targets whose input is a row of calls (calls.h). */
#include <stdbool.h>
#include <string.h>

#include "mutate.h"

enum { HEAD = 4, ITEMS = 32, ROOM = 1 << 16 };

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

struct item {
    size_t at, len; /* with its head */
};

static size_t split(const uint8_t *data, size_t size, struct item *items)
{
    size_t count = 0;
    for (size_t at = 0; count < ITEMS && size - at >= HEAD;) {
        size_t len = HEAD + (data[at + 2] | (size_t)data[at + 3] << 8);
        if (len > size - at) len = size - at;
        items[count++] = (struct item){at, len};
        at += len;
    }
    return count;
}

static size_t append(uint8_t *out, size_t at, size_t room, const uint8_t *data, size_t len)
{
    if (len > room - at) return at;
    memcpy(out + at, data, len);
    return at + len;
}

/* The item with another message in it. */
static size_t append_changed(uint8_t *out, size_t at, size_t room, const uint8_t *item, size_t len,
                             uint32_t *state)
{
    static uint8_t copy[ROOM];
    size_t most = room - at < UINT16_MAX ? room - at : UINT16_MAX;
    memcpy(copy, item, len);
    if (len > most || most < HEAD) return at;
    size_t body = mutate_message(copy + HEAD, len - HEAD, most - HEAD, state);
    copy[2] = (uint8_t)body;
    copy[3] = (uint8_t)(body >> 8);
    return append(out, at, room, copy, HEAD + body);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static uint8_t out[ROOM];
    struct item items[ITEMS];
    uint32_t state = seed;
    if (max_size > ROOM) max_size = ROOM;
    unsigned how = mutate_random(&state) % 16;
    size_t count = size <= max_size ? split(data, size, items) : 0, len = 0;
    if (count == 0 || how == 0) return LLVMFuzzerMutate(data, size, max_size);

    size_t one = mutate_random(&state) % count, other = mutate_random(&state) % count;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *item = data + items[i].at;
        if (i == one && how == 1 && count > 1) continue;
        if (i == one && how == 2) len = append(out, len, max_size, item, items[i].len);
        if (i == one && how == 3)
            len = append(out, len, max_size, data + items[other].at, items[other].len);
        size_t began = len;
        if (i == one && how > 4)
            len = append_changed(out, len, max_size, item, items[i].len, &state);
        else
            len = append(out, len, max_size, item, items[i].len);
        if (i == one && how == 4 && len > began)
            out[began + mutate_random(&state) % 2] = (uint8_t)mutate_random(&state);
    }
    memcpy(data, out, len);
    return len;
}
