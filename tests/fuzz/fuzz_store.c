/* fuzz_store.c - a small healthy store, harmed as the input says, must open or be refused in words.
 *
 * The input: one byte that says how the store was left (1: by a kill; 0: in an orderly way), then
 * edits of its files, each
 *
 *      what u8 | file u8 | at u16 | length u8 | so many bytes
 *
 * What must hold, whatever was done (FORMAT.md):
 *   1. Opening ends in success, or in an error with words; a refusal changes no byte of the log.
 *   2. No byte of the log before the first harmed batch changes, and if opening succeeds, each of
 * the records there can be read.
 *   3. `verify` agrees: what it finds no fault with opens, and what does not open it finds fault
 * with.
 *   4. What was opened and closed opens again, to the same state, with nothing left to cut; and
 * takes records. */
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
#include "support/memory_vfs.h"
#include "toy.h"

#define DIR "/d/store"

enum { SEGMENT = 8192, ALL = 16 * SEGMENT, FILES = 24, RECORDS = 64, EDITS = 12 };
enum { SLOT = 4096, SLOT_BYTES = 64 };
enum what { PATCH, PATCH_AND_MEND, RESIZE, DELETE, COPY, RENAME, ADD_RECORD, WHATS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* The store's id is drawn from here, and all its checksums begin with it: inputs that were found in
 * one run have to mean the same in the next. */
ssize_t getrandom(void *out, size_t len, unsigned flags)
{
    (void)flags;
    memset(out, 0x5a, len);
    return (ssize_t)len;
}

#define STORE_ID 0x5a5a5a5a5a5a5a5au

/* --- the healthy store ---------------------------------------------------------------------- */

static struct {
    struct memory_vfs *disks[2]; /* orderly, killed */
    char *files[FILES];
    size_t file_count;
    struct {
        struct sk_span span;
        uint64_t batch; /* where its batch begins */
    } records[RECORDS];
    size_t count;
} whole;

static struct sk_status open_it(struct toy_room *room, struct memory_vfs *disk,
                                struct sk_recovery *recovery)
{
    memset(room, 0, sizeof *room);
    struct sk_store_options o = toy_options(&room->state, DIR, memory_vfs_door(disk));
    o.segment_bytes = SEGMENT;
    struct sk_status s = sk_store_open(&o, recovery, &room->store);
    for (uint32_t q = 0; sk_ok(s) && q < 64; q++)
        room->next[q] = sk_store_queue(room->store, q).max;
    return s;
}

static void put(struct toy_room *room, uint32_t queue, size_t len)
{
    struct sk_span span;
    sk_assert(sk_ok(toy_try_put(room, queue, len, &span)));
    whole.records[whole.count].span = span;
    whole.records[whole.count++].batch = span.begin;
}

static void put_batch(struct toy_room *room, uint32_t queue)
{
    struct sk_slice parts[3];
    struct sk_append a[3];
    struct sk_span spans[3];
    static uint8_t bytes[3][100];
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t offset = room->next[queue]++;
        parts[i] = sk_slice_of(bytes[i], toy_payload(queue, offset, sizeof bytes[i], bytes[i]));
        a[i] = (struct sk_append){.kind = 1,
                                  .queue = queue,
                                  .offset = offset,
                                  .tag_hash = (uint32_t)offset * 7,
                                  .time_ms = 1,
                                  .parts = &parts[i],
                                  .part_count = 1};
    }
    sk_assert(sk_ok(sk_store_append(room->store, a, 3, false, spans)));
    for (uint32_t i = 0; i < 3; i++) {
        toy_apply(&room->state, &(struct sk_record){.kind = 1,
                                                    .queue = queue,
                                                    .offset = a[i].offset,
                                                    .span = spans[i],
                                                    .payload = parts[i]});
        whole.records[whole.count].span = spans[i];
        whole.records[whole.count++].batch = spans[0].begin;
    }
}

static void note_file(void *arg, const char *path)
{
    (void)arg;
    sk_assert(whole.file_count < FILES);
    whole.files[whole.file_count++] = strdup(path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    sk_assert(sk_ok(open_it(&room, disk, NULL)));
    for (int i = 0; i < 24; i++) {
        put(&room, i % 5 == 4 ? SK_NO_QUEUE : (uint32_t)(i % 3), (size_t)(i * 37 % 500));
        if (i % 6 == 5) put_batch(&room, 1);
        struct sk_span span;
        if (i == 2 || i == 13 || i == 20)
            sk_assert(sk_ok(sk_store_begin_epoch(room.store, (uint32_t)i / 4 + 1, 1000, &span)));
        if (i == 9) sk_assert(sk_ok(sk_store_snapshot(room.store)));
        if (i == 12 || i == 15) sk_assert(sk_ok(sk_store_flush(room.store)));
        if (i == 14) sk_assert(sk_ok(sk_store_snapshot(room.store)));
    }
    whole.disks[1] = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_ALL, 0);
    sk_store_close(room.store);
    whole.disks[0] = memory_vfs_copy(disk);
    memory_vfs_each(disk, note_file, NULL);
    memory_vfs_free(disk);
    return 0;
}

/* --- the edits ---------------------------------------------------------------------------------
 */

struct harm {
    struct memory_vfs *disk;
    struct sk_vfs *vfs;
    uint64_t first;    /* position of the first harmed byte of the log */
    bool forged;       /* a snapshot was made to say something else */
    bool index, meant; /* the index was harmed; a record with a good checksum was made */
    bool mark;         /* the watermark was made to say something else: to cut the log, perhaps */
};

static bool is_kind(const char *path, const char *suffix)
{
    size_t len = strlen(path), n = strlen(suffix);
    return len > n && strcmp(path + len - n, suffix) == 0;
}

static uint64_t base_of(const char *path)
{
    return strtoull(strrchr(path, '/') + 1, NULL, 10);
}

static void mend_header(uint8_t *bytes, size_t len)
{
    if (len >= SK_HEADER_BYTES) sk_put_u32(bytes, sk_crc32c(0, bytes + 4, SK_HEADER_BYTES - 4));
}

static void mend_record(uint8_t *p, uint32_t covered, uint64_t position)
{
    uint8_t place[16];
    sk_put_u64(place, STORE_ID);
    sk_put_u64(place + 8, position);
    sk_put_u32(p, sk_crc32c(sk_crc32c(0, place, sizeof place), p + 4, covered - 4));
}

/* Every record that can be walked to gets the checksum that fits it; returns where that ends. */
static size_t mend_records(uint8_t *bytes, size_t len, uint64_t base)
{
    size_t at = SK_HEADER_BYTES;
    while (at + SK_RECORD_HEADER <= len && sk_get_u32(bytes + at + 4) == 0x32524b53u) {
        uint32_t size = sk_get_u32(bytes + at + 8);
        if (size < SK_RECORD_HEADER || sk_record_room(size) > len - at) break;
        uint32_t covered = bytes[at + 12] == SK_RECORD_PAD ? SK_RECORD_HEADER : size;
        mend_record(bytes + at, covered, base + at);
        at += sk_record_room(size);
    }
    return at;
}

static void mend_snapshot(uint8_t *bytes, size_t len, uint64_t position)
{
    uint64_t body = len >= SK_HEADER_BYTES ? sk_get_u64(bytes + 32) + sk_get_u64(bytes + 40) : 0;
    uint8_t place[16] = {0};
    if (body == 0 || body > 65536 || SK_HEADER_BYTES + body + 8 != len) return; /* one block */
    uint8_t *sums = bytes + SK_HEADER_BYTES + body;
    sk_put_u64(place, position);
    uint32_t crc = sk_crc32c(0, place, sizeof place);
    sk_put_u32(sums, sk_crc32c(crc, bytes + SK_HEADER_BYTES, (size_t)body));
    sk_put_u32(sums + 4, sk_crc32c(0, sums, 4));
}

static void mend(struct harm *h, const char *path)
{
    size_t len;
    uint8_t *bytes = memory_vfs_bytes(h->disk, path, &len);
    if (!bytes) return;
    if (is_kind(path, "/watermark")) {
        for (size_t at = 0; at + SLOT_BYTES <= len && at <= SLOT; at += SLOT)
            sk_put_u32(bytes + at, sk_crc32c(0, bytes + at + 4, SLOT_BYTES - 4));
        h->mark = h->forged = true;
        h->first = 0;
        return;
    }
    mend_header(bytes, len);
    if (is_kind(path, ".log")) {
        h->meant = true;
        mend_records(bytes, len, base_of(path));
    }
    if (is_kind(path, ".snap")) {
        h->forged = true;
        mend_snapshot(bytes, len, base_of(path));
    }
}

static void harmed(struct harm *h, const char *path, size_t at)
{
    if (is_kind(path, ".idx")) h->index = true;
    if (!is_kind(path, ".log")) return;
    uint64_t position = base_of(path) + at;
    if (position < h->first) h->first = position;
}

static void patch(struct harm *h, const char *path, size_t at, struct sk_slice with)
{
    size_t len;
    uint8_t *bytes = memory_vfs_bytes(h->disk, path, &len);
    if (!bytes || len == 0) return;
    at %= len;
    if (with.len > len - at) with.len = len - at;
    /* A patch of a header page may as well reach what it is about. */
    harmed(h, path, at < SK_HEADER_BYTES ? 0 : at);
    memcpy(bytes + at, with.data, with.len);
}

static void resize(struct harm *h, const char *path, size_t at)
{
    int fd = h->vfs->open(h->vfs, path, SK_VFS_WRITE);
    if (fd < 0) return;
    harmed(h, path, 0);
    h->vfs->truncate(h->vfs, fd, at);
    h->vfs->close(h->vfs, fd);
}

/* A stretch of another file, as a disk does that mistakes the place. */
static void copy(struct harm *h, const char *path, size_t at, struct sk_slice how)
{
    size_t len;
    if (how.len < 4) return;
    const char *from = whole.files[how.data[0] % whole.file_count];
    const uint8_t *bytes = memory_vfs_bytes(h->disk, from, &len);
    size_t begin = sk_get_u16(how.data + 1), count = how.data[3] * 8u;
    if (!bytes || begin >= len) return;
    uint8_t stretch[2048];
    if (count > len - begin) count = len - begin;
    memcpy(stretch, bytes + begin, count);
    patch(h, path, at, sk_slice_of(stretch, count));
}

static void rename_to(struct harm *h, const char *path, size_t at)
{
    char to[256];
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    if (dot)
        snprintf(to, sizeof to, "%.*s/%020zu%s", (int)(slash - path), path, at % 16 * (SEGMENT / 2),
                 dot);
    else
        snprintf(to, sizeof to, "%s", whole.files[at % whole.file_count]);
    if (strcmp(path, to) == 0) return;
    harmed(h, path, 0);
    harmed(h, to, 0);
    if (is_kind(path, ".snap")) h->forged = true;
    h->vfs->rename(h->vfs, path, to);
}

/* kind u8, epoch and flags u8, queue u8, offset u16, flushed u16: behind the last record of the
 * segment. */
static void add_record(struct harm *h, const char *path, struct sk_slice how)
{
    size_t len;
    uint8_t *bytes = memory_vfs_bytes(h->disk, path, &len);
    if (how.len < 7 || !bytes || !is_kind(path, ".log")) return;
    size_t at = mend_records(bytes, len, base_of(path));
    struct sk_slice payload = sk_slice_of(how.data + 7, how.len - 7);
    struct sk_frame frame = {.kind = how.data[0],
                             .flags = how.data[1] & 15,
                             .epoch = how.data[1] >> 4,
                             .queue = how.data[2] == 255 ? SK_NO_QUEUE : how.data[2],
                             .offset = sk_get_u16(how.data + 3),
                             .flushed = sk_get_u16(how.data + 5) * 8u,
                             .size = (uint32_t)(SK_RECORD_HEADER + payload.len)};
    if (at + sk_record_room(frame.size) > len) return;
    harmed(h, path, at);
    h->meant = true;
    sk_record_encode(&frame, STORE_ID, base_of(path) + at, &payload, 1, bytes + at);
    memcpy(bytes + at + SK_RECORD_HEADER, payload.data, payload.len);
}

static void edit(struct harm *h, unsigned what, const char *path, size_t at, struct sk_slice bytes)
{
    switch ((enum what)(what % WHATS)) {
    case PATCH:
        patch(h, path, at, bytes);
        break;
    case PATCH_AND_MEND:
        patch(h, path, at, bytes);
        mend(h, path);
        break;
    case RESIZE:
        resize(h, path, at);
        break;
    case DELETE:
        harmed(h, path, 0);
        h->vfs->unlink(h->vfs, path);
        break;
    case COPY:
        copy(h, path, at, bytes);
        break;
    case RENAME:
        rename_to(h, path, at);
        break;
    default:
        add_record(h, path, bytes);
    }
}

static struct harm harm(const uint8_t *data, size_t size)
{
    struct harm h = {.disk = memory_vfs_copy(whole.disks[size ? data[0] & 1 : 0]),
                     .first = UINT64_MAX};
    h.vfs = memory_vfs_door(h.disk);
    const uint8_t *p = data + 1, *end = data + size;
    for (int i = 0; size && i < EDITS && end - p >= 5; i++) {
        size_t len = p[4], left = (size_t)(end - p) - 5;
        if (len > left) len = left;
        edit(&h, p[0], whole.files[p[1] % whole.file_count], sk_get_u16(p + 2),
             sk_slice_of(p + 5, len));
        p += 5 + len;
    }
    return h;
}

/* --- what must hold ----------------------------------------------------------------------------
 */

static void on_finding(void *arg, bool is_error, const char *file, uint64_t position,
                       const char *detail)
{
    (void)position;
    sk_assert(strstr(file, DIR) != NULL && detail[0]);
    *(size_t *)arg += is_error;
}

static uint64_t verify(struct harm *h)
{
    size_t told = 0;
    struct sk_verify_result result = {0};
    struct sk_status s = sk_store_verify(DIR, h->vfs, on_finding, &told, &result);
    sk_assert(told == result.errors);
    sk_assert(sk_ok(s) == (result.errors == 0) || !sk_ok(s));
    sk_assert(sk_ok(s) || s.detail[0]);
    return sk_ok(s) ? 0 : result.errors + 1;
}

/* The log as it is on the disk, up to `end`. */
static uint32_t log_sum(struct harm *h, uint64_t end)
{
    uint32_t sum = 0;
    for (uint64_t base = 0; base < end; base += SEGMENT) {
        char path[64];
        size_t len;
        snprintf(path, sizeof path, DIR "/log/%020" PRIu64 ".log", base);
        const uint8_t *bytes = memory_vfs_bytes(h->disk, path, &len);
        if (!bytes) continue;
        if (len > end - base) len = (size_t)(end - base);
        sum = sk_crc32c(sum ^ (uint32_t)base, bytes, len);
    }
    return sum;
}

/* Everything up to here was left alone and must stay. */
static uint64_t healthy(const struct harm *h, size_t *records)
{
    uint64_t end = SK_HEADER_BYTES;
    *records = 0;
    for (size_t i = 0; i < whole.count && whole.records[i].span.end <= h->first; i++) {
        bool last = i + 1 == whole.count || whole.records[i + 1].batch != whole.records[i].batch;
        if (!last) continue;
        end = whole.records[i].span.end;
        *records = i + 1;
    }
    return end <= h->first ? end : 0;
}

static void read_healthy(struct toy_room *room, size_t records)
{
    for (size_t i = 0; i < records; i++) {
        struct sk_pinned p;
        sk_assert(sk_ok(sk_store_read(room->store, whole.records[i].span.begin, &p)));
        sk_assert(p.record.span.end == whole.records[i].span.end);
        sk_unpin(p.pin);
    }
}

static void read_queues(struct toy_room *room, const struct harm *h)
{
    for (uint32_t q = 0; q < 64; q++) {
        struct sk_queue_range range = sk_store_queue(room->store, q);
        if (range.max - range.min > 100) range.min = range.max - 100; /* forged tables say so */
        (void)sk_store_offset_by_time(room->store, q, 1100);
        for (uint64_t o = range.min; o < range.max; o++) {
            struct sk_index_entry e;
            struct sk_pinned p;
            size_t found = sk_store_lookup(room->store, q, o, 1, &e);
            sk_assert(found == 1 || h->index || h->forged || h->first != UINT64_MAX);
            if (!found || !sk_ok(sk_store_read(room->store, e.position, &p))) continue;
            sk_assert(h->forged || h->meant || (p.record.queue == q && p.record.offset == o));
            sk_unpin(p.pin);
        }
    }
}

/* Close, open, append, close, open: nothing is lost any more. */
static void goes_on(struct toy_room *room, struct harm *h)
{
    struct toy before = room->state;
    struct sk_recovery recovery;
    struct sk_span span;
    sk_store_close(room->store);
    sk_assert(sk_ok(open_it(room, h->disk, &recovery)));
    sk_assert(recovery.clean && recovery.cut_bytes == 0);
    sk_assert(memcmp(&room->state, &before, sizeof before) == 0);
    if (room->next[2] < UINT64_MAX / 2) {
        uint32_t epoch = sk_store_next_epoch(room->store);
        if (epoch > 1) sk_assert(sk_ok(sk_store_begin_epoch(room->store, epoch, 2000, &span)));
        if (epoch > 0) sk_assert(sk_ok(toy_try_put(room, 2, 50, &span)));
        before = room->state;
    }
    sk_store_close(room->store);
    sk_assert(sk_ok(open_it(room, h->disk, &recovery)));
    sk_assert(memcmp(&room->state, &before, sizeof before) == 0);
    sk_store_close(room->store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct harm h = harm(data, size);
    struct toy_room room;
    size_t records;
    uint64_t end = healthy(&h, &records);
    uint32_t all = log_sum(&h, ALL), front = log_sum(&h, end);
    uint64_t faults = verify(&h);
    sk_assert(log_sum(&h, ALL) == all);

    struct sk_recovery recovery;
    struct sk_status s = open_it(&room, h.disk, &recovery);
    sk_assert(h.mark || log_sum(&h, end) == front);
    if (sk_ok(s)) {
        sk_assert(h.forged || room.state.records >= records);
        read_healthy(&room, records);
        read_queues(&room, &h);
        goes_on(&room, &h);
        sk_assert(faults || !verify(&h));
    } else {
        sk_assert(s.detail[0] && (s.code == SK_CORRUPT || s.code == SK_INVALID));
        sk_assert(h.mark || log_sum(&h, ALL) == all);
        sk_assert(faults || h.forged); /* a forged snapshot is the owner's word against the log's */
    }
    memory_vfs_free(h.disk);
    return 0;
}
