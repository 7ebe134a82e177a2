/* mutate.c - see mutate.h: a message is a row of fields; one of them is changed, dropped, doubled,
 * moved, or joined by a new one. */
#include "mutate.h"

#include <stdbool.h>
#include <string.h>

enum { FIELDS = 64, DEPTH = 8, ROOM = 1 << 16 };
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

struct field {
    const uint8_t *whole, *value;
    size_t whole_len, value_len; /* a varint's value is its bytes */
    uint64_t number;
    unsigned type;
};

uint32_t mutate_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static size_t get_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < 10 && p + i < end; i++) {
        *out |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (!(p[i] & 0x80)) return i + 1;
    }
    return 0;
}

static size_t put_varint(uint8_t *out, uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

static bool parse_field(const uint8_t *p, const uint8_t *end, struct field *f)
{
    uint64_t tag, len = 0;
    size_t n = get_varint(p, end, &tag), more = 0;
    if (n == 0 || tag >> 3 == 0) return false;
    *f = (struct field){.whole = p, .number = tag >> 3, .type = tag & 7};
    f->value = p + n;
    if (f->type == VARINT) {
        len = get_varint(f->value, end, &tag);
        if (len == 0) return false;
    } else if (f->type == BYTES) {
        more = get_varint(f->value, end, &len);
        if (more == 0) return false;
        f->value += more;
    } else if (f->type == FIXED64 || f->type == FIXED32) {
        len = f->type == FIXED64 ? 8 : 4;
    } else {
        return false;
    }
    if (len > (uint64_t)(end - f->value)) return false;
    f->value_len = (size_t)len;
    f->whole_len = (size_t)(f->value - p) + f->value_len;
    return true;
}

/* False if it is no message, or has too many fields. */
static bool parse(const uint8_t *data, size_t len, struct field *fields, size_t *count)
{
    const uint8_t *end = data + len;
    for (*count = 0; data < end; data += fields[(*count)++].whole_len)
        if (*count == FIELDS || !parse_field(data, end, &fields[*count])) return false;
    return true;
}

/* A buffer that stops taking when it is full; then the change is given up. */
struct out {
    uint8_t bytes[ROOM];
    size_t len, room;
    bool full;
};

static void put(struct out *o, const uint8_t *data, size_t len)
{
    if (len > o->room - o->len) {
        o->full = true;
        return;
    }
    if (len) memcpy(o->bytes + o->len, data, len);
    o->len += len;
}

static void put_field(struct out *o, uint64_t number, unsigned type, const uint8_t *value,
                      size_t len)
{
    uint8_t head[20];
    size_t n = put_varint(head, number << 3 | type);
    if (type == BYTES) n += put_varint(head + n, len);
    put(o, head, n);
    put(o, value, len);
}

static void put_new(struct out *o, uint32_t *state)
{
    static const uint64_t values[] = {0, 1, 2, 100, 0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX};
    static const char texts[][4] = {"", "t", "g", "H", "*", "a||", "\x08\x01", "\n\x01t"};
    uint8_t value[10];
    uint64_t number = 1 + mutate_random(state) % 24;
    if (mutate_random(state) % 2)
        put_field(
            o, number, VARINT, value,
            put_varint(value, values[mutate_random(state) % (sizeof values / sizeof *values)]));
    else
        put_field(o, number, BYTES, value, 0);
    if (mutate_random(state) % 2) {
        const char *text = texts[mutate_random(state) % (sizeof texts / sizeof *texts)];
        put_field(o, number, BYTES, (const uint8_t *)text, strlen(text));
    }
}

static size_t change(uint8_t *data, size_t len, size_t room, uint32_t *state, int depth);

/* The field with another value. */
static void put_changed(struct out *o, const struct field *f, uint32_t *state, int depth)
{
    static uint8_t copies[DEPTH + 1][ROOM];
    uint8_t *copy = copies[depth];
    if (f->type == VARINT) {
        uint64_t v;
        get_varint(f->value, f->value + f->value_len, &v);
        LLVMFuzzerMutate((uint8_t *)&v, 1 + mutate_random(state) % 8, 8);
        put_field(o, f->number, VARINT, copy, put_varint(copy, v));
        return;
    }
    size_t most = f->type == BYTES ? ROOM / 4 : f->value_len, len = f->value_len;
    if (len > most) len = most;
    if (len) memcpy(copy, f->value, len);
    if (f->type == BYTES && mutate_random(state) % 4)
        len = change(copy, len, most, state, depth + 1);
    else
        len = LLVMFuzzerMutate(copy, len, most);
    if (f->type != BYTES && len < f->value_len) memset(copy + len, 0, f->value_len - len);
    put_field(o, f->number, f->type, copy, f->type == BYTES ? len : f->value_len);
}

static void put_message(struct out *o, const struct field *fields, size_t count, uint32_t *state,
                        int depth)
{
    size_t one = mutate_random(state) % count, other = mutate_random(state) % count;
    unsigned how = mutate_random(state) % 16;
    for (size_t i = 0; i < count; i++) {
        const struct field *f = &fields[i];
        bool chosen = i == one;
        if (chosen && how == 0) continue;
        if (chosen && how == 1) put(o, f->whole, f->whole_len);
        if (chosen && how == 2) f = &fields[other];
        if (chosen && how == 3) put_new(o, state);
        if (chosen && how == 4)
            put_field(o, 1 + mutate_random(state) % 24, f->type, f->value, f->value_len);
        else if (chosen && how > 4)
            put_changed(o, f, state, depth);
        else
            put(o, f->whole, f->whole_len);
    }
}

static size_t change(uint8_t *data, size_t len, size_t room, uint32_t *state, int depth)
{
    static struct out outs[DEPTH + 1];
    struct field fields[FIELDS];
    size_t count;
    if (depth >= DEPTH || room > ROOM || !parse(data, len, fields, &count))
        return LLVMFuzzerMutate(data, len, room);
    struct out *o = &outs[depth];
    o->len = 0;
    o->room = room;
    o->full = false;
    if (count == 0)
        put_new(o, state);
    else
        put_message(o, fields, count, state, depth);
    if (o->full) return len;
    memcpy(data, o->bytes, o->len);
    return o->len;
}

size_t mutate_message(uint8_t *data, size_t len, size_t room, uint32_t *state)
{
    if (room > ROOM) room = ROOM;
    return len > room ? len : change(data, len, room, state, 0);
}
