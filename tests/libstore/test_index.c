/* test_index.c - the queue index: equal to what the log says, through restarts, lost files and
 * rot; and small. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "index.h"
#include "support/memory_vfs.h"
#include "support/suite.h"
#include "toy.h"

#define DIR "/d/store"

static struct sk_recovery reopen(struct toy_room *room, struct memory_vfs *disk)
{
    struct sk_store_options o = toy_options(&room->state, DIR, memory_vfs_door(disk));
    struct sk_recovery r;
    o.segment_bytes = 128 * 1024;
    room->state = (struct toy){0};
    ck_ok(sk_store_open(&o, &r, &room->store));
    for (uint32_t q = 0; q < 64; q++) room->next[q] = sk_store_queue(room->store, q).max;
    return r;
}

/* Uneven: queue 0 busy, others ever quieter. */
static void fill(struct toy_room *room, int count)
{
    for (int i = 0; i < count; i++) {
        uint32_t q = 0;
        while (q < 63 && (i >> q) & 1) q++;
        toy_put(room, q, 40);
    }
}

START_TEST(entries_come_in_runs_of_any_length)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    static struct sk_index_entry entries[6000];
    reopen(&room, disk);
    fill(&room, 9000);
    for (int life = 0; life < 2; life++) {
        uint64_t max = sk_store_queue(room.store, 0).max;
        ck_assert_uint_eq(max, 4500);
        for (uint64_t from = 0; from <= max; from += 451) {
            size_t n = sk_store_lookup(room.store, 0, from, 6000, entries);
            ck_assert_uint_eq(n, max - from);
            for (size_t i = 1; i < n; i++)
                ck_assert_uint_gt(entries[i].position, entries[i - 1].position);
        }
        ck_assert_uint_eq(sk_store_lookup(room.store, 0, 100, 7, entries), 7);
        ck_assert_uint_eq(sk_store_lookup(room.store, 0, max, 1, entries), 0);
        ck_assert_uint_eq(sk_store_lookup(room.store, 60, 0, 1, entries), 0);
        ck_assert_uint_eq(sk_store_lookup(room.store, SK_NO_QUEUE - 1, 0, 1, entries), 0);
        sk_store_close(room.store);
        reopen(&room, disk);
    }
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

START_TEST(restarts_at_any_moment_find_the_same_queues)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    reopen(&room, disk);
    for (int round = 0; round < 12; round++) {
        fill(&room, 300 + round * 70);
        if (round % 3 == 1) ck_ok(sk_store_snapshot(room.store));
        fill(&room, 100);
        ck_ok(sk_store_flush(room.store));
        if (round % 4 == 3) { /* a stop */
            sk_store_close(room.store);
        } else { /* a kill */
            struct memory_vfs *after =
                memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_SYNCED, 0);
            sk_store_close(room.store);
            memory_vfs_free(disk);
            disk = after;
        }
        uint64_t records = room.state.records;
        reopen(&room, disk);
        ck_assert_uint_eq(room.state.records, records);
        toy_check_queues(&room);
    }
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

START_TEST(a_rotten_entry_is_found_in_the_log_and_repaired)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    struct sk_index_entry e[16];
    size_t len;
    reopen(&room, disk);
    for (int i = 0; i < 16; i++) toy_put(&room, 5, 40); /* two extents, both full and written */
    sk_store_close(room.store);
    reopen(&room, disk);
    uint8_t *idx = memory_vfs_bytes(disk, DIR "/index/00000000000000000000.idx", &len);
    for (size_t at = 4096; at < 4096 + 8 * 16; at++) {
        uint8_t right = idx[at];
        uint64_t hurt = (at - 4096) / 16;
        idx[at] ^= 0x10;
        /* A run ends before it, one that begins with it is repaired; no run is wrong. */
        if (hurt) ck_assert_uint_eq(sk_store_lookup(room.store, 5, 0, 16, e), hurt);
        ck_assert_uint_eq(idx[at], right ^ 0x10);
        ck_assert_uint_eq(sk_store_lookup(room.store, 5, hurt, 16, e), 1);
        ck_assert_uint_eq(idx[at], right);
        ck_assert_uint_eq(sk_store_lookup(room.store, 5, 0, 16, e), 16);
    }
    toy_check_queues(&room);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

static bool even_only(void *owner, uint32_t queue)
{
    (void)owner;
    return queue % 2 == 0;
}

START_TEST(dropped_queues_are_forgotten)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    struct sk_index_entry e;
    reopen(&room, disk);
    fill(&room, 200);
    sk_store_drop_queue(room.store, 2);
    ck_assert_uint_eq(sk_store_queue(room.store, 2).max, 0);
    ck_assert_uint_eq(sk_store_lookup(room.store, 2, 0, 1, &e), 0);
    sk_store_close(room.store);

    struct sk_store_options o = toy_options(&room.state, DIR, memory_vfs_door(disk));
    o.fold.keeps = even_only;
    ck_ok(sk_store_open(&o, NULL, &room.store));
    ck_assert_uint_eq(sk_store_queue(room.store, 1).max, 0);
    ck_assert_uint_eq(sk_store_queue(room.store, 2).max, 0);
    ck_assert_uint_gt(sk_store_queue(room.store, 0).max, 0);
    struct sk_append again = {.kind = 1, .queue = 1, .offset = 0, .time_ms = 1};
    struct sk_span span;
    ck_ok(sk_store_append(room.store, &again, 1, false, &span)); /* its number begins anew */
    ck_assert_uint_eq(sk_store_queue(room.store, 1).max, 1);
    sk_store_close(room.store);

    o.fold.keeps = NULL; /* replay meets both lives of queue 1 */
    ck_ok(sk_store_open(&o, NULL, &room.store));
    ck_assert_uint_eq(sk_store_queue(room.store, 1).max, 1);
    ck_assert_uint_eq(sk_store_lookup(room.store, 1, 0, 1, &e), 1);
    ck_assert_uint_eq(e.position, span.begin);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

#ifdef SK_SANITIZER_HEAP
size_t __sanitizer_get_current_allocated_bytes(void); /* of the sanitizers' runtime */
#endif

/* What the allocator has handed out; the sanitizers bring an allocator of their own. */
static size_t in_use(void)
{
#ifdef SK_SANITIZER_HEAP
    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks;
#endif
}

START_TEST(a_hundred_thousand_quiet_queues_are_cheap)
{
    enum { QUEUES = 100000, EACH = 2 };
    struct memory_vfs *disk = memory_vfs_new();
    struct sk_vfs *vfs = memory_vfs_door(disk);
    ck_assert_int_eq(vfs->mkdir(vfs, DIR), 0);
    sk_index *index = sk_index_new(vfs, DIR, 1, 1 << 30);
    size_t before = in_use();
    uint64_t position = 4096;
    for (uint64_t o = 0; o < EACH; o++) {
        for (uint32_t q = 0; q < QUEUES; q++, position += 64) {
            struct sk_record r = {
                .queue = q, .offset = o, .span = {.begin = position, .end = position + 64}};
            ck_assert(sk_index_add(index, &r, false));
        }
    }
    size_t each = (in_use() - before) / QUEUES;
    printf("%zu bytes for each of %d queues with %d messages\n", each, QUEUES, EACH);
    ck_assert_uint_ge(each, EACH * 16); /* or it was not measured at all */
    ck_assert_uint_le(each, 160);
    ck_ok(sk_index_write(index, true));

    struct sk_buffer table = {0};
    sk_index_save_begin(index, position);
    while (sk_index_save_page(index, &table, 4096)) {
    }
    sk_index_save_end(index);
    sk_index_free(index);
    index = sk_index_new(vfs, DIR, 1, 1 << 30);
    ck_ok(sk_index_load(index, sk_buffer_slice(&table), position, 0));
    sk_buffer_done(&table);
    for (uint32_t q = 0; q < QUEUES; q += 7) {
        struct sk_index_entry e[EACH + 1];
        ck_assert_uint_eq(sk_index_lookup(index, q, 0, EACH + 1, e), EACH);
        ck_assert_uint_eq(e[1].position, 4096 + 64 * ((uint64_t)QUEUES + q));
    }
    sk_index_free(index);
    memory_vfs_free(disk);
}
END_TEST

/* --- a table that is saved while records are added ---------------------------------------------
 */

enum { TABLE_QUEUES = 40, TABLE_SEGMENT = 64 * 1024, TABLE_RECORDS = 8000 };

struct growing {
    sk_index *index;
    uint64_t position;
    uint64_t next[TABLE_QUEUES];
    struct sk_record all[TABLE_RECORDS];
    size_t count;
};

static void grow_by(struct growing *g, size_t records)
{
    for (; records > 0; records--) {
        uint32_t queue = (uint32_t)(g->count * g->count % 97 % TABLE_QUEUES);
        if (g->count % 3) queue = 5; /* a busy one, of many extents */
        struct sk_record r = {.queue = queue,
                              .offset = g->next[queue]++,
                              .tag_hash = (uint32_t)g->count,
                              .span = {.begin = g->position, .end = g->position + 72}};
        ck_assert_uint_lt(g->count, TABLE_RECORDS);
        ck_assert(sk_index_add(g->index, &r, false));
        g->all[g->count++] = r;
        g->position += 72;
    }
}

/* What lay below `count` records is there, entry by entry; then what came after fits on. */
static void check_table(const struct growing *g, size_t count, sk_index *index)
{
    uint64_t next[TABLE_QUEUES] = {0};
    for (size_t i = 0; i < count; i++) next[g->all[i].queue]++;
    for (uint32_t q = 0; q < TABLE_QUEUES; q++) {
        ck_assert_uint_eq(sk_index_range(index, q).max, next[q]);
        ck_assert_uint_eq(sk_index_range(index, q).min, 0);
    }
    for (size_t i = 0; i < g->count; i++) {
        struct sk_index_entry e;
        const struct sk_record *r = &g->all[i];
        if (i >= count) ck_assert(sk_index_add(index, r, false));
        ck_assert_uint_eq(sk_index_lookup(index, r->queue, r->offset, 1, &e), 1);
        ck_assert_uint_eq(e.position, r->span.begin);
        ck_assert_uint_eq(e.tag_hash, r->tag_hash);
    }
}

/* Adds, writes of the helper and a dropped queue come between the pages, in any mixture. */
START_TEST(a_table_speaks_of_what_was_there_when_it_was_begun)
{
    static struct growing g;
    struct memory_vfs *disk = memory_vfs_new();
    struct sk_vfs *vfs = memory_vfs_door(disk);
    ck_assert_int_eq(vfs->mkdir(vfs, DIR), 0);
    g = (struct growing){.index = sk_index_new(vfs, DIR, 1, TABLE_SEGMENT), .position = 4096};
    grow_by(&g, 1500 + 37 * (size_t)_i);
    if (_i % 2) ck_ok(sk_index_write(g.index, true)); /* extents of then are partly in files */

    size_t then = g.count, pages = 0;
    struct sk_buffer table = {0};
    uint64_t then_position = g.position;
    sk_index_save_begin(g.index, then_position);
    bool more = true;
    while (more) {
        grow_by(&g, _i % 3 == 0 ? 1 : 23);
        if (pages % 4 == 1) ck_ok(sk_index_write(g.index, pages % 8 == 1));
        if (pages == 3) sk_index_drop(g.index, 7);
        size_t before = table.len;
        more = sk_index_save_page(g.index, &table, 200);
        if (more) ck_assert_uint_le(table.len - before, 200 + 37);
        pages++;
    }
    ck_assert_uint_gt(pages, 10);
    sk_index_save_end(g.index);
    ck_assert_uint_eq(sk_index_range(g.index, 7).max, 0); /* dropped by now */
    ck_ok(sk_index_write(g.index, true));
    sk_index_free(g.index);

    sk_index *loaded = sk_index_new(vfs, DIR, 1, TABLE_SEGMENT);
    ck_ok(sk_index_load(loaded, sk_buffer_slice(&table), then_position, 0));
    check_table(&g, then, loaded);
    sk_index_free(loaded);
    sk_buffer_done(&table);
    memory_vfs_free(disk);
}
END_TEST

/* Two extents of one queue in a table of their own: in segments 0 and 1 of 64 KiB. */
static void put_table(struct sk_buffer *out, uint32_t first_segment, uint32_t second_segment)
{
    sk_buffer_put_u32(out, 2);
    sk_buffer_put_u8(out, 1);
    sk_buffer_put_u32(out, 0);  /* queue */
    sk_buffer_put_u64(out, 16); /* next offset */
    sk_buffer_put_u32(out, 2);
    for (uint32_t i = 0; i < 2; i++) {
        sk_buffer_put_u64(out, i * 8);
        sk_buffer_put_u32(out, i ? second_segment : first_segment);
        sk_buffer_put_u32(out, 0);
        sk_buffer_put_u16(out, 8);
        sk_buffer_put_u16(out, 8);
    }
    sk_buffer_put_u8(out, 0);
    sk_buffer_put_u32(out, 0); /* the first of so many files, */
    sk_buffer_put_u32(out, 2);
    sk_buffer_put_u32(out, 1); /* a unit in each */
    sk_buffer_put_u32(out, 1);
}

/* Fuzzing forged a segment with a good checksum: it was loaded, and the next snapshot, whose table
 * then made no sense, was written and refused. */
START_TEST(a_table_that_no_save_can_have_written_is_not_loaded)
{
    static const struct {
        uint32_t first, second;
        enum sk_code code;
    } rows[] = {
        {0, 1, SK_NOT_FOUND}, /* makes sense; the files are not there */
        {1, 1, SK_NOT_FOUND}, {1, 0, SK_CORRUPT},
        {9, 1, SK_CORRUPT},   {0, 2, SK_CORRUPT}, /* a file that it does not name */
    };
    struct memory_vfs *disk = memory_vfs_new();
    ck_assert_int_eq(memory_vfs_door(disk)->mkdir(memory_vfs_door(disk), DIR), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sk_buffer table = {0};
        put_table(&table, rows[i].first, rows[i].second);
        sk_index *index = sk_index_new(memory_vfs_door(disk), DIR, 1, TABLE_SEGMENT);
        struct sk_status s = sk_index_load(index, sk_buffer_slice(&table), 2 * TABLE_SEGMENT, 0);
        ck_assert_msg(s.code == rows[i].code, "row %zu: %s", i, sk_status_text(&s));
        sk_index_free(index);
        sk_buffer_done(&table);
    }
    memory_vfs_free(disk);
}
END_TEST

static Suite *index_suite(void)
{
    Suite *suite = suite_create("libstore/index");
    TCase *tc = tcase_create("index");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, entries_come_in_runs_of_any_length);
    tcase_add_test(tc, restarts_at_any_moment_find_the_same_queues);
    tcase_add_test(tc, a_rotten_entry_is_found_in_the_log_and_repaired);
    tcase_add_test(tc, dropped_queues_are_forgotten);
    tcase_add_loop_test(tc, a_table_speaks_of_what_was_there_when_it_was_begun, 0, 12);
    tcase_add_test(tc, a_table_that_no_save_can_have_written_is_not_loaded);
    tcase_add_test(tc, a_hundred_thousand_quiet_queues_are_cheap);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(index_suite)
