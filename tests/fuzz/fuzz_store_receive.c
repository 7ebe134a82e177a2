/* fuzz_store_receive.c - a follower is given slices as the input says: it takes them whole, or is
 * as it was.
 *
 * A small source log lies ready. The input is a row of steps:
 *
 *      what u8 | at u16 | length u8 | so many bytes
 *
 * TRUE      the slice of the source that comes next, cut after `at` % 4 + 1 batches PATCH     the
 * same, with the bytes put over it at `at` MEND      the same, and every frame then gets the
 * checksum that fits it RAW       the bytes alone, with checksums that fit ELSEWHERE a true slice
 * that begins at another place, at that place or (odd length) at the next SAVE      flush and
 * snapshot REOPEN    stop in order, and open again
 *
 * What must hold:
 *   1. A refusal has words, and changes no byte of the disk, nor tail or state.
 *   2. What is accepted stands in the log byte for byte, and the tail is behind it.
 *   3. What is opened again has the same tail and state, and `verify` finds no fault. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "header.h"
#include "record.h"
#include "store/stream.h"
#include "support/memory_vfs.h"
#include "toy.h"

#define DIR "/d/store"
#define STORE_ID 0x5a5a5a5a5a5a5a5au

enum { SEGMENT = 8192, SLICES = 64, STEPS = 48, MOST = SEGMENT };
enum what { TRUE_SLICE, PATCH, MEND, RAW, ELSEWHERE, SAVE, REOPEN, WHATS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* The store's id comes from here: the same in each run. */
ssize_t getrandom(void *out, size_t len, unsigned flags)
{
    (void)flags;
    memset(out, 0x5a, len);
    return (ssize_t)len;
}

static struct {
    struct memory_vfs *empty; /* the follower's disk, before it has anything */
    struct batch {
        uint64_t position;
        struct sk_slice bytes;
    } batches[SLICES];
    size_t count;
} source;

struct follower {
    struct memory_vfs *disk;
    struct toy_room room;
};

static void open_follower(struct follower *f)
{
    struct sk_store_options o = toy_options(&f->room.state, DIR, memory_vfs_door(f->disk));
    o.segment_bytes = SEGMENT;
    f->room.state = (struct toy){0};
    struct sk_status s = sk_store_open(&o, NULL, &f->room.store);
    if (!sk_ok(s)) fprintf(stderr, "%s\n", sk_status_text(&s));
    sk_assert(sk_ok(s));
}

/* --- the source ------------------------------------------------------------------------------- */

static void keep_batch(const struct sk_log_stream_slice *slice)
{
    sk_assert(source.count < SLICES);
    uint8_t *copy = malloc(slice->bytes.len);
    memcpy(copy, slice->bytes.data, slice->bytes.len);
    source.batches[source.count++] =
        (struct batch){slice->span.begin, sk_slice_of(copy, slice->bytes.len)};
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    struct follower f = {.disk = memory_vfs_new()};
    open_follower(&f);
    source.empty = memory_vfs_copy(f.disk);
    for (int i = 0; i < 24; i++) {
        toy_put(&f.room, i % 5 == 4 ? SK_NO_QUEUE : (uint32_t)(i % 3), (size_t)(i * 37 % 500));
        if (i % 6 == 5) toy_put_batch(&f.room, 1, 3, 100);
    }
    sk_log_stream *stream = NULL;
    struct sk_log_stream_slice slice;
    sk_assert(
        sk_ok(sk_log_stream_open(f.room.store, sk_store_begin(f.room.store),
                                 &(struct sk_log_stream_options){.slice_bytes = 1}, &stream)));
    while (sk_ok(sk_log_stream_next(stream, UINT64_MAX, &slice)) && slice.bytes.len) {
        keep_batch(&slice);
        sk_unpin(slice.pin);
    }
    sk_log_stream_close(stream);
    sk_store_close(f.room.store);
    memory_vfs_free(f.disk);
    return 0;
}

/* --- slices to give --------------------------------------------------------------------------- */

struct given {
    uint64_t position;
    uint8_t bytes[2 * MOST];
    size_t len;
};

/* Some batches in a row, from the nth on, of one segment. */
static void take_batches(struct given *g, size_t n, size_t most)
{
    g->len = 0;
    g->position = source.batches[n].position;
    for (; n < source.count && most > 0; n++, most--) {
        const struct batch *b = &source.batches[n];
        if (b->position != g->position + g->len) return;
        memcpy(g->bytes + g->len, b->bytes.data, b->bytes.len);
        g->len += b->bytes.len;
    }
}

static bool take_next(struct given *g, uint64_t tail, size_t most)
{
    size_t n = 0;
    while (n < source.count && source.batches[n].position < tail) n++;
    if (n < source.count) take_batches(g, n, most);
    return n < source.count;
}

static void mend_frame(uint8_t *p, uint32_t covered, uint64_t position)
{
    uint8_t place[16];
    sk_put_u64(place, STORE_ID);
    sk_put_u64(place + 8, position);
    sk_put_u32(p, sk_crc32c(sk_crc32c(0, place, sizeof place), p + 4, covered - 4));
}

static void mend(struct given *g)
{
    for (size_t at = 0; at + SK_RECORD_HEADER <= g->len;) {
        uint8_t *p = g->bytes + at;
        uint32_t size = sk_get_u32(p + 8);
        bool pad = p[12] == SK_RECORD_PAD;
        if (size < SK_RECORD_HEADER || (!pad && size > g->len - at)) return;
        mend_frame(p, pad ? SK_RECORD_HEADER : size, g->position + at);
        at += pad ? SK_RECORD_HEADER : (size_t)sk_record_room(size);
    }
}

/* False: there is nothing to give. */
static bool make_slice(struct given *g, enum what what, uint64_t tail, size_t at,
                       struct sk_slice bytes)
{
    if (what == ELSEWHERE) {
        take_batches(g, at % source.count, 1 + bytes.len / 2);
        if (bytes.len % 2) g->position = tail;
        return true;
    }
    if (what == RAW) {
        *g = (struct given){.position = tail, .len = bytes.len};
        memcpy(g->bytes, bytes.data, bytes.len);
    } else {
        if (!take_next(g, tail, at % 4 + 1)) return false;
        at %= g->len;
        if (bytes.len > g->len - at) bytes.len = g->len - at;
        if (what != TRUE_SLICE) memcpy(g->bytes + at, bytes.data, bytes.len);
    }
    if (what == MEND || what == RAW) mend(g);
    return true;
}

/* --- what must hold --------------------------------------------------------------------------- */

static void check_taken(struct follower *f, const struct given *g, struct sk_span span)
{
    char path[64];
    size_t len;
    uint64_t base = span.begin - span.begin % SEGMENT;
    snprintf(path, sizeof path, DIR "/log/%020" PRIu64 ".log", base);
    const uint8_t *file = memory_vfs_bytes(f->disk, path, &len);
    sk_assert(file && len == SEGMENT);
    sk_assert(memcmp(file + (span.begin - base), g->bytes, g->len) == 0);
    uint64_t tail = sk_store_tail(f->room.store);
    sk_assert(tail == span.end);
    sk_assert(tail == span.begin + g->len || tail == base + SEGMENT + SK_HEADER_BYTES);
}

static void give(struct follower *f, const struct given *g)
{
    uint64_t hash = memory_vfs_hash(f->disk), tail = sk_store_tail(f->room.store);
    struct toy state = f->room.state;
    struct sk_span span;
    /* On the heap, so that a look behind the slice is seen. */
    uint8_t *bytes = malloc(g->len ? g->len : 1);
    memcpy(bytes, g->bytes, g->len);
    struct sk_status s =
        sk_store_receive(f->room.store, g->position, sk_slice_of(bytes, g->len), &span);
    free(bytes);
    if (sk_ok(s)) {
        check_taken(f, g, span);
        return;
    }
    sk_assert(s.detail[0] && (s.code == SK_CORRUPT || s.code == SK_INVALID));
    sk_assert(memory_vfs_hash(f->disk) == hash);
    sk_assert(sk_store_tail(f->room.store) == tail);
    sk_assert(memcmp(&state, &f->room.state, sizeof state) == 0);
}

static void reopen(struct follower *f)
{
    struct toy state = f->room.state;
    uint64_t tail = sk_store_tail(f->room.store);
    sk_store_close(f->room.store);
    struct sk_verify_result result;
    sk_assert(sk_ok(sk_store_verify(DIR, memory_vfs_door(f->disk), NULL, NULL, &result)));
    open_follower(f);
    sk_assert(sk_store_tail(f->room.store) == tail);
    sk_assert(memcmp(&state, &f->room.state, sizeof state) == 0);
}

static void step(struct follower *f, enum what what, size_t at, struct sk_slice bytes)
{
    static struct given g;
    if (what == REOPEN) {
        reopen(f);
    } else if (what == SAVE) {
        sk_assert(sk_ok(sk_store_snapshot(f->room.store)));
        sk_store_retain(f->room.store);
    } else if (make_slice(&g, what, sk_store_tail(f->room.store), at, bytes)) {
        give(f, &g);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct follower f = {.disk = memory_vfs_copy(source.empty)};
    memory_vfs_forget(f.disk);
    open_follower(&f);
    const uint8_t *p = data, *end = data + size;
    for (int i = 0; i < STEPS && end - p >= 4; i++) {
        size_t len = p[3], left = (size_t)(end - p) - 4;
        if (len > left) len = left;
        step(&f, (enum what)(p[0] % WHATS), sk_get_u16(p + 1), sk_slice_of(p + 4, len));
        p += 4 + len;
    }
    reopen(&f);
    sk_store_close(f.room.store);
    memory_vfs_free(f.disk);
    return 0;
}
