/* toy.h - an owner for the store under test: its state is a running checksum and counters, so
 * that "the same state" is one comparison. */
#ifndef TOY_H
#define TOY_H

#include <check.h>

#include "base/crc32c.h"
#include "store/store.h"

struct toy {
    uint64_t records;
    uint64_t last_position; /* end of the last record applied */
    uint32_t sum;           /* over kind, queue, offset and payload of each record, in order */
};

struct toy_room { /* a store and its owner */
    struct toy state;
    sk_store *store;
    uint64_t next[64]; /* next offset of the queues 0..63 */
};

static inline void toy_apply(struct toy *t, const struct sk_record *r)
{
    t->records++;
    t->last_position = r->span.end;
    t->sum = sk_crc32c(t->sum, &r->kind, 1);
    t->sum = sk_crc32c(t->sum, &r->queue, sizeof r->queue);
    t->sum = sk_crc32c(t->sum, &r->offset, sizeof r->offset);
    t->sum = sk_crc32c(t->sum, r->payload.data, r->payload.len);
}

/* The store's own records come when the store likes; they are no part of the state. */
static inline struct sk_status toy_on_apply(void *owner, const struct sk_record *r)
{
    if (r->kind > SK_KIND_OWNER_MOST) return SK_SUCCESS;
    toy_apply(owner, r);
    return SK_SUCCESS;
}

static inline struct sk_status toy_on_load(void *owner, struct sk_slice snapshot)
{
    struct toy *t = owner;
    if (snapshot.len != sizeof *t)
        return sk_error(SK_INVALID, "toy snapshot of %zu bytes", snapshot.len);
    memcpy(t, snapshot.data, sizeof *t);
    return SK_SUCCESS;
}

/* In pages of eight bytes, as it was at the beginning. A snapshot is one thread's. */
static _Thread_local struct toy_saving {
    struct toy frozen;
    size_t at;
    bool active;
} toy_saving;

static inline void toy_on_save_begin(void *owner)
{
    ck_assert(!toy_saving.active);
    toy_saving = (struct toy_saving){.frozen = *(struct toy *)owner, .active = true};
}

static inline bool toy_on_save_page(void *owner, struct sk_buffer *out, size_t most)
{
    (void)owner;
    ck_assert(toy_saving.active && most >= 8);
    sk_buffer_put(out, (const uint8_t *)&toy_saving.frozen + toy_saving.at, 8);
    toy_saving.at += 8;
    return toy_saving.at < sizeof toy_saving.frozen;
}

static inline void toy_on_save_end(void *owner)
{
    (void)owner;
    ck_assert(toy_saving.active);
    toy_saving.active = false;
}

#define TOY_SAVE                                                                                   \
    .save_begin = toy_on_save_begin, .save_page = toy_on_save_page, .save_end = toy_on_save_end

static inline struct sk_store_options toy_options(struct toy *t, const char *dir,
                                                  struct sk_vfs *vfs)
{
    return (struct sk_store_options){
        .dir = dir,
        .segment_bytes = 64 * 1024,
        .disk_refuse_percent = 100,
        .disk_clean_percent = 100,
        .vfs = vfs,
        .fold = {.load = toy_on_load, .apply = toy_on_apply, TOY_SAVE, .owner = t},
        .manual = true,
    };
}

#define ck_ok(status)                                                                              \
    do {                                                                                           \
        struct sk_status ck_s_ = (status);                                                         \
        ck_assert_msg(sk_ok(ck_s_), "%s: %s", sk_code_name(ck_s_.code), sk_status_text(&ck_s_));   \
    } while (0)

static inline struct sk_recovery toy_open(struct toy_room *room, const char *dir,
                                          struct sk_vfs *vfs)
{
    struct sk_store_options options = toy_options(&room->state, dir, vfs);
    struct sk_recovery recovery;
    room->state = (struct toy){0};
    ck_ok(sk_store_open(&options, &recovery, &room->store));
    for (uint32_t q = 0; q < 64; q++) room->next[q] = sk_store_queue(room->store, q).max;
    return recovery;
}

/* The payload that record `offset` of `queue` must have. */
static inline size_t toy_payload(uint32_t queue, uint64_t offset, size_t len, uint8_t *out)
{
    uint32_t x = (uint32_t)(queue * 2654435761u + offset * 40503u + 1);
    for (size_t i = 0; i < len; i++) out[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    return len;
}

/* Append one record and fold it as recovery will. */
static inline struct sk_status toy_try_put(struct toy_room *room, uint32_t queue, size_t len,
                                           struct sk_span *span)
{
    static uint8_t bytes[1 << 20];
    struct sk_slice parts[2];
    uint64_t offset = queue == SK_NO_QUEUE ? 0 : room->next[queue];
    toy_payload(queue, offset, len, bytes);
    parts[0] = sk_slice_of(bytes, len / 3);
    parts[1] = sk_slice_of(bytes + len / 3, len - len / 3);
    struct sk_append a = {.kind = 1,
                          .queue = queue,
                          .offset = offset,
                          .tag_hash = (uint32_t)offset * 7,
                          .time_ms = 1000 + room->state.records * 10,
                          .parts = parts,
                          .part_count = 2};
    struct sk_status s = sk_store_append(room->store, &a, 1, false, span);
    if (!sk_ok(s)) return s;
    if (queue != SK_NO_QUEUE) room->next[queue]++;
    toy_apply(&room->state, &(struct sk_record){.kind = 1,
                                                .queue = queue,
                                                .offset = offset,
                                                .span = *span,
                                                .payload = sk_slice_of(bytes, len)});
    return s;
}

static inline struct sk_span toy_put(struct toy_room *room, uint32_t queue, size_t len)
{
    struct sk_span span;
    ck_ok(toy_try_put(room, queue, len, &span));
    sk_store_publish(room->store);
    return span;
}

enum { TOY_BATCH = 8, TOY_BATCH_BYTES = 4096 };

/* A batch of `count` records of `len` bytes, in the queues from `queue` on. */
static inline struct sk_span toy_put_batch(struct toy_room *room, uint32_t queue, size_t count,
                                           size_t len)
{
    static uint8_t bytes[TOY_BATCH][TOY_BATCH_BYTES];
    struct sk_slice parts[TOY_BATCH];
    struct sk_append batch[TOY_BATCH];
    struct sk_span spans[TOY_BATCH];
    for (size_t i = 0; i < count; i++) {
        uint32_t q = (queue + (uint32_t)i) % 64;
        uint64_t offset = room->next[q]++;
        parts[i] = sk_slice_of(bytes[i], toy_payload(q, offset, len, bytes[i]));
        batch[i] = (struct sk_append){.kind = 1,
                                      .queue = q,
                                      .offset = offset,
                                      .tag_hash = (uint32_t)offset * 7,
                                      .time_ms = 1000 + room->state.records * 10,
                                      .parts = &parts[i],
                                      .part_count = 1};
    }
    ck_ok(sk_store_append(room->store, batch, count, false, spans));
    for (size_t i = 0; i < count; i++)
        toy_apply(&room->state, &(struct sk_record){.kind = 1,
                                                    .queue = batch[i].queue,
                                                    .offset = batch[i].offset,
                                                    .span = spans[i],
                                                    .payload = parts[i]});
    sk_store_publish(room->store);
    return (struct sk_span){spans[0].begin, spans[count - 1].end};
}

/* Every record of every queue can be found and has the right bytes. */
static inline void toy_check_queues(struct toy_room *room)
{
    static uint8_t want[1 << 20];
    for (uint32_t q = 0; q < 64; q++) {
        struct sk_queue_range range = sk_store_queue(room->store, q);
        for (uint64_t o = range.min; o < range.max; o++) {
            struct sk_index_entry e;
            struct sk_pinned p;
            ck_assert_msg(sk_store_lookup(room->store, q, o, 1, &e) == 1, "queue %u offset %llu", q,
                          (unsigned long long)o);
            ck_ok(sk_store_read(room->store, e.position, &p));
            ck_assert_uint_eq(p.record.queue, q);
            ck_assert_uint_eq(p.record.offset, o);
            ck_assert_uint_eq(e.tag_hash, (uint32_t)o * 7);
            ck_assert_uint_eq(e.size, p.record.span.end - p.record.span.begin);
            toy_payload(q, o, p.record.payload.len, want);
            ck_assert(memcmp(want, p.record.payload.data, p.record.payload.len) == 0);
            sk_unpin(p.pin);
        }
    }
}

#endif
