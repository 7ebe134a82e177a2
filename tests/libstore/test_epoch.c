/* test_epoch.c - epochs, and whose word counts: the table of epochs is what the log says, also
 * after a restart; records of another node prove nothing about this disk; one store's id, one
 * format. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "header.h"
#include "store_impl.h"
#include "support/memory_vfs.h"
#include "support/suite.h"
#include "toy.h"

#define DIR "/d/store"

enum { SEGMENT = 16 * 1024 };

static struct sk_status open_as(struct toy_room *room, struct memory_vfs *disk, uint64_t id)
{
    struct sk_store_options o = toy_options(&room->state, DIR, memory_vfs_door(disk));
    memset(room, 0, sizeof *room);
    o.segment_bytes = SEGMENT;
    o.store_id = id;
    o.retention_bytes = SEGMENT;
    struct sk_status s = sk_store_open(&o, NULL, &room->store);
    for (uint32_t q = 0; sk_ok(s) && q < 64; q++)
        room->next[q] = sk_store_queue(room->store, q).max;
    return s;
}

static void open_it(struct toy_room *room, struct memory_vfs *disk)
{
    ck_ok(open_as(room, disk, 0));
}

/* The position of its record. */
static uint64_t begin(struct toy_room *room, uint32_t epoch)
{
    struct sk_span span;
    ck_ok(sk_store_begin_epoch(room->store, epoch, 1000 + room->state.records * 10, &span));
    sk_store_publish(room->store);
    return span.begin;
}

static uint32_t epoch_at(sk_store *store, uint64_t position)
{
    struct sk_pinned p;
    ck_ok(sk_store_read(store, position, &p));
    uint32_t epoch = p.record.epoch;
    sk_unpin(p.pin);
    return epoch;
}

/* The process dies; what it wrote is there (ALL), or what it synced. */
static struct memory_vfs *kill_it(struct toy_room *room, struct memory_vfs *disk,
                                  enum memory_crash how)
{
    struct memory_vfs *left = memory_vfs_crash(disk, memory_vfs_ops(disk), how, 0);
    sk_store_close(room->store);
    memory_vfs_free(disk);
    return left;
}

static void check_start(sk_store *store, uint32_t epoch, uint64_t want)
{
    uint64_t position = 0;
    ck_assert_msg(sk_store_epoch_start(store, epoch, &position), "epoch %u", epoch);
    ck_assert_uint_eq(position, want);
}

static void on_finding(void *arg, bool is_error, const char *file, uint64_t position,
                       const char *detail)
{
    (void)arg;
    ck_assert_msg(!is_error, "%s, %" PRIu64 ": %s", file, position, detail);
}

static struct sk_status verify(struct memory_vfs *disk, sk_verify_fn *report)
{
    struct sk_verify_result result;
    return sk_store_verify(DIR, memory_vfs_door(disk), report, NULL, &result);
}

/* --- epochs ------------------------------------------------------------------------------------
 */

START_TEST(records_carry_the_epoch_in_which_they_were_written)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    open_it(&room, disk);
    ck_assert_uint_eq(sk_store_epoch(room.store), 0);
    uint64_t none = toy_put(&room, 1, 100).begin;
    uint64_t third = begin(&room, 3), in_third = toy_put(&room, 1, 100).begin;
    if (_i == 1) ck_ok(sk_store_snapshot(room.store));
    uint64_t ninth = begin(&room, 9), in_ninth = toy_put(&room, 2, 100).begin;
    if (_i == 2) ck_ok(sk_store_snapshot(room.store));
    struct toy before = room.state;
    disk = kill_it(&room, disk, MEMORY_KEEP_ALL);
    ck_ok(verify(disk, on_finding));

    open_it(&room, disk);
    ck_assert(memcmp(&before, &room.state, sizeof before) == 0); /* the fold was told, live, too */
    ck_assert_uint_eq(sk_store_epoch(room.store), 9);
    ck_assert_uint_eq(epoch_at(room.store, none), 0);
    ck_assert_uint_eq(epoch_at(room.store, third), 3);
    ck_assert_uint_eq(epoch_at(room.store, in_third), 3);
    ck_assert_uint_eq(epoch_at(room.store, ninth), 9);
    ck_assert_uint_eq(epoch_at(room.store, in_ninth), 9);
    check_start(room.store, 3, third);
    check_start(room.store, 9, ninth);
    uint64_t unused;
    ck_assert(!sk_store_epoch_start(room.store, 4, &unused));
    begin(&room, 10);
    ck_assert_uint_eq(epoch_at(room.store, toy_put(&room, 2, 10).begin), 10);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

START_TEST(no_epoch_begins_twice)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    struct sk_span span;
    open_it(&room, disk);
    ck_assert_int_eq(sk_store_begin_epoch(room.store, 0, 1, &span).code, SK_INVALID);
    begin(&room, 5);
    uint64_t tail = sk_store_tail(room.store);
    for (uint32_t epoch = 4; epoch <= 5; epoch++) {
        struct sk_status s = sk_store_begin_epoch(room.store, epoch, 1, &span);
        ck_assert_int_eq(s.code, SK_INVALID);
        ck_assert_ptr_nonnull(strstr(s.detail, "is over"));
    }
    ck_assert_uint_eq(sk_store_tail(room.store), tail);
    sk_store_close(room.store);
    open_it(&room, disk);
    ck_assert_int_eq(sk_store_begin_epoch(room.store, 5, 1, &span).code, SK_INVALID);
    begin(&room, 6);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

/* A start after a power cut must not give the same number out once more. */
START_TEST(an_epoch_that_began_survives_a_power_cut)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    open_it(&room, disk);
    toy_put(&room, 1, 100);
    uint64_t position = begin(&room, 2);
    toy_put(&room, 1, 100);
    disk = kill_it(&room, disk, MEMORY_KEEP_SYNCED);
    open_it(&room, disk);
    ck_assert_uint_eq(sk_store_epoch(room.store), 2);
    check_start(room.store, 2, position);
    ck_assert_uint_eq(room.next[1], 1);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

START_TEST(what_closes_the_segment_before_is_of_the_old_epoch)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    open_it(&room, disk);
    begin(&room, 1);
    uint64_t pad = toy_put(&room, 1, SEGMENT - 4096 - 72 - 56 - 64).end; /* 64 bytes are left */
    ck_assert_uint_eq(pad % SEGMENT, SEGMENT - 64);
    ck_assert_uint_eq(begin(&room, 2), SEGMENT + 4096);
    struct sk_frame frame;
    const char *why;
    struct sk_segment *s = sk_commitlog_pin(&room.store->log, pad);
    ck_assert_int_eq(
        sk_record_parse(sk_segment_from(s, pad), room.store->store_id, pad, &frame, &why),
        SK_FRAME_VALID);
    ck_assert_uint_eq(frame.kind, SK_KIND_PAD);
    ck_assert_uint_eq(frame.epoch, 1);
    sk_segment_unref(s);
    disk = kill_it(&room, disk, MEMORY_KEEP_ALL);
    open_it(&room, disk);
    ck_assert_uint_eq(sk_store_epoch(room.store), 2);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

/* Of the epochs before the log's beginning only the one that it begins in is known. */
START_TEST(the_table_follows_retention_and_lives_in_snapshots)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    uint64_t start[20];
    open_it(&room, disk);
    for (uint32_t epoch = 1; epoch < 20; epoch++) {
        start[epoch] = begin(&room, epoch);
        for (int i = 0; i < 4; i++) toy_put(&room, 1, 1000);
        ck_ok(sk_store_snapshot(room.store));
        sk_store_retain(room.store);
    }
    for (int again = 0; again < 2; again++) {
        struct sk_epoch_start *list;
        uint64_t log_begin = sk_store_begin(room.store);
        size_t count = sk_store_epochs(room.store, &list);
        ck_assert_uint_gt(count, 1);
        ck_assert_uint_lt(count, 19);
        ck_assert_uint_le(list[0].position, log_begin);
        ck_assert_uint_gt(list[1].position, log_begin);
        for (size_t i = 0; i < count; i++) {
            ck_assert_uint_eq(list[i].epoch, 20 - count + i);
            ck_assert_uint_eq(list[i].position, start[list[i].epoch]);
        }
        uint64_t unused;
        ck_assert(!sk_store_epoch_start(room.store, list[0].epoch - 1, &unused));
        free(list);
        sk_store_close(room.store);
        ck_ok(verify(disk, on_finding));
        open_it(&room, disk);
    }
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

/* --- a log that cannot be --------------------------------------------------------------------- */

static const struct {
    const char *what;
    uint32_t epoch; /* of the record; the log is in epoch 5 */
    bool begins;
    uint32_t said; /* in its payload */
    size_t payload_bytes;
} impossible[] = {
    {"a record of epoch 4 follows one of epoch 5", 4, false, 0, 16},
    {"a record of epoch 0 follows one of epoch 5", 0, false, 0, 16},
    {"a record of epoch 4 follows one of epoch 5", 4, true, 4, 16},
    {"epoch 6 goes on without an EPOCH record", 6, false, 0, 16},
    {"epoch 5 begins once more", 5, true, 5, 16},
    {"this EPOCH record says epoch 7, its frame 6", 6, true, 7, 16},
    {"this EPOCH record cannot be read", 6, true, 6, 12},
};

/* Behind the last record of the first segment, with a good checksum. */
static void forge(struct memory_vfs *disk, uint64_t store_id, uint64_t position, int row)
{
    size_t len;
    uint8_t *bytes = memory_vfs_bytes(disk, DIR "/log/00000000000000000000.log", &len);
    uint8_t payload[SK_EPOCH_PAYLOAD];
    sk_epoch_encode(impossible[row].said, 1000, payload);
    struct sk_slice part = sk_slice_of(payload, impossible[row].payload_bytes);
    struct sk_frame frame = {.kind = impossible[row].begins ? SK_KIND_EPOCH : 1,
                             .queue = SK_NO_QUEUE,
                             .epoch = impossible[row].epoch,
                             .time_ms = 1000,
                             .size = (uint32_t)(SK_RECORD_HEADER + part.len)};
    sk_record_encode(&frame, store_id, position, &part, 1, bytes + position);
    memcpy(bytes + position + SK_RECORD_HEADER, part.data, part.len);
}

static void take_detail(void *arg, bool is_error, const char *file, uint64_t position,
                        const char *detail)
{
    (void)file;
    (void)position;
    if (is_error) snprintf(arg, 256, "%s", detail);
}

START_TEST(a_log_whose_epochs_go_wrong_is_refused)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    open_it(&room, disk);
    begin(&room, 5);
    uint64_t id = room.store->store_id, end = toy_put(&room, 1, 100).end;
    disk = kill_it(&room, disk, MEMORY_KEEP_ALL);
    forge(disk, id, end, _i);
    uint64_t hash = memory_vfs_hash(disk);
    char told[256] = "";
    struct sk_verify_result result;
    ck_assert_int_eq(sk_store_verify(DIR, memory_vfs_door(disk), take_detail, told, &result).code,
                     SK_CORRUPT);
    ck_assert_msg(strstr(told, impossible[_i].what), "%s", told);
    struct sk_status s = open_as(&room, disk, 0);
    ck_assert_int_eq(s.code, SK_CORRUPT);
    ck_assert_msg(strstr(s.detail, impossible[_i].what), "%s", s.detail);
    ck_assert_uint_eq(memory_vfs_hash(disk), hash);
    memory_vfs_free(disk);
}
END_TEST

/* --- local truth ------------------------------------------------------------------------------ */

/* A record as a primary would have written it, whose disk had all before it. */
static struct sk_span put_claiming(struct toy_room *room)
{
    struct sk_commitlog *log = &room->store->log;
    struct sk_slice part = SK_SLICE("written and synced by another node");
    struct sk_append a = {
        .kind = 1, .queue = SK_NO_QUEUE, .time_ms = 5000, .parts = &part, .part_count = 1};
    struct sk_span span;
    uint64_t flushed = sk_commitlog_flushed(log);
    atomic_store(&log->flushed, sk_commitlog_tail(log));
    ck_ok(sk_commitlog_append(log, &a, 1, &span));
    atomic_store(&log->flushed, flushed);
    return span;
}

enum stretch { OWN, RECEIVED, OWN_AGAIN, RECEIVED_AGAIN };

/* Two records, the second of which says that the first is durable, on a disk that lost the first
 * one in a power cut. */
static struct memory_vfs *torn(enum stretch stretch, uint64_t *tail)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    open_it(&room, disk);
    begin(&room, 1);
    toy_put(&room, 1, 100);
    ck_ok(sk_store_flush(room.store));
    if (stretch != OWN) ck_ok(sk_store_note_received(room.store));
    if (stretch >= OWN_AGAIN) begin(&room, 2);
    if (stretch == RECEIVED_AGAIN) ck_ok(sk_store_note_received(room.store));
    *tail = sk_store_tail(room.store);
    struct sk_span first = put_claiming(&room);
    put_claiming(&room);
    disk = kill_it(&room, disk, MEMORY_KEEP_ALL);
    size_t len;
    uint8_t *bytes = memory_vfs_bytes(disk, DIR "/log/00000000000000000000.log", &len);
    memset(bytes + first.begin, 0, (size_t)(first.end - first.begin));
    return disk;
}

START_TEST(only_what_this_node_wrote_proves_what_its_disk_had)
{
    bool received = _i == RECEIVED || _i == RECEIVED_AGAIN;
    uint64_t tail;
    struct memory_vfs *disk = torn((enum stretch)_i, &tail);
    struct toy_room room;
    ck_assert_int_eq(verify(disk, NULL).code, received ? SK_OK : SK_CORRUPT);
    struct sk_status s = open_as(&room, disk, 0);
    if (received) {
        ck_ok(s);
        ck_assert_uint_eq(sk_store_tail(room.store), tail);
        sk_store_close(room.store);
    } else {
        ck_assert_int_eq(s.code, SK_CORRUPT);
        ck_assert_ptr_nonnull(strstr(s.detail, "were durable"));
    }
    memory_vfs_free(disk);
}
END_TEST

/* What it cannot know, it does not cut. */
START_TEST(without_its_watermark_every_record_counts_as_own)
{
    uint64_t tail;
    struct memory_vfs *disk = torn(RECEIVED, &tail);
    struct toy_room room;
    size_t len;
    uint8_t *bytes = memory_vfs_bytes(disk, DIR "/watermark", &len);
    memset(bytes, _i ? 0xff : 0, len);
    ck_assert_int_eq(open_as(&room, disk, 0).code, SK_CORRUPT);
    memory_vfs_free(disk);
}
END_TEST

START_TEST(a_rotten_slot_of_the_watermark_changes_nobody_s_word)
{
    for (int stretch = OWN; stretch <= RECEIVED_AGAIN; stretch++) {
        uint64_t tail;
        struct memory_vfs *disk = torn((enum stretch)stretch, &tail);
        struct toy_room room;
        size_t len;
        uint8_t *bytes = memory_vfs_bytes(disk, DIR "/watermark", &len);
        bytes[_i * 4096 + 40] ^= 1;
        bool received = stretch == RECEIVED || stretch == RECEIVED_AGAIN;
        struct sk_status s = open_as(&room, disk, 0);
        ck_assert_int_eq(s.code, received ? SK_OK : SK_CORRUPT);
        if (received) sk_store_close(room.store);
        memory_vfs_free(disk);
    }
}
END_TEST

/* Before the first byte of the stretch: no cut may leave bytes whose writer is unknown. */
START_TEST(who_writes_is_durable_before_the_first_byte)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    open_it(&room, disk);
    begin(&room, 1);
    ck_ok(sk_store_note_received(room.store));
    struct memory_vfs *cut = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_SYNCED, 0);
    struct toy_room after;
    open_it(&after, cut);
    ck_assert_uint_eq(after.store->log.own_from, SK_OWN_NONE);
    sk_store_close(after.store);
    memory_vfs_free(cut);
    uint64_t position = begin(&room, 2);
    cut = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_SYNCED, 0);
    open_it(&after, cut);
    ck_assert_uint_eq(after.store->log.own_from, position);
    sk_store_close(after.store);
    memory_vfs_free(cut);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

/* What a power cut took of its tail could be written a second time, as something else. */
START_TEST(a_process_does_not_go_on_in_the_epoch_of_another)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    struct sk_span span;
    open_it(&room, disk);
    begin(&room, 1);
    toy_put(&room, 1, 10);
    sk_store_close(room.store);
    open_it(&room, disk);
    ck_assert_int_eq(toy_try_put(&room, 1, 10, &span).code, SK_NOT_MASTER);
    begin(&room, 2);
    toy_put(&room, 1, 10);
    ck_assert_uint_eq(room.next[1], 2);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

START_TEST(a_receiver_takes_no_writes_until_it_begins_an_epoch)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    struct sk_span span;
    open_it(&room, disk);
    begin(&room, 1);
    ck_ok(sk_store_note_received(room.store));
    ck_ok(sk_store_note_received(room.store));
    ck_assert_int_eq(toy_try_put(&room, 1, 10, &span).code, SK_NOT_MASTER);
    sk_store_close(room.store);
    open_it(&room, disk);
    struct sk_status s = toy_try_put(&room, 1, 10, &span);
    ck_assert_int_eq(s.code, SK_NOT_MASTER);
    ck_assert_ptr_nonnull(strstr(s.detail, "begin one before you write"));
    begin(&room, 2);
    toy_put(&room, 1, 10);
    ck_assert_uint_eq(room.next[1], 1); /* what was refused took no offset */
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

/* --- identity and version -----------------------------------------------------------------------
 */

START_TEST(a_store_has_the_id_that_it_was_given)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    ck_ok(open_as(&room, disk, 0x1234567890abcdef));
    ck_assert_uint_eq(room.store->store_id, 0x1234567890abcdef);
    toy_put(&room, 1, 10);
    sk_store_close(room.store);
    ck_ok(open_as(&room, disk, 0x1234567890abcdef));
    sk_store_close(room.store);
    open_it(&room, disk); /* whatever it has */
    sk_store_close(room.store);
    uint64_t hash = memory_vfs_hash(disk);
    struct sk_status s = open_as(&room, disk, 0xfedc);
    ck_assert_int_eq(s.code, SK_INVALID);
    ck_assert_ptr_nonnull(strstr(s.detail, "1234567890abcdef"));
    ck_assert_ptr_nonnull(strstr(s.detail, "000000000000fedc"));
    ck_assert_uint_eq(memory_vfs_hash(disk), hash);
    memory_vfs_free(disk);
}
END_TEST

static const struct {
    uint32_t version;
    const char *advice;
} versions[] = {{1, "export the data with the program that wrote it and start with an empty"},
                {3, "a newer program wrote it"}};

START_TEST(another_format_version_is_refused_with_what_to_do)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    open_it(&room, disk);
    sk_store_close(room.store);
    size_t len;
    uint8_t *page = memory_vfs_bytes(disk, DIR "/store", &len);
    sk_put_u32(page + 8, versions[_i].version);
    sk_put_u32(page, sk_crc32c(0, page + 4, SK_HEADER_BYTES - 4));
    uint64_t hash = memory_vfs_hash(disk);
    struct sk_status s = open_as(&room, disk, 0);
    ck_assert_int_eq(s.code, SK_INVALID);
    char said[64];
    snprintf(said, sizeof said, "format version %u; this program reads version 2",
             versions[_i].version);
    ck_assert_msg(strstr(s.detail, said) && strstr(s.detail, versions[_i].advice), "%s", s.detail);
    ck_assert_uint_eq(memory_vfs_hash(disk), hash);
    memory_vfs_free(disk);
}
END_TEST

static Suite *epoch_suite(void)
{
    Suite *suite = suite_create("libstore/epoch");
    TCase *tc = tcase_create("epochs");
    tcase_add_loop_test(tc, records_carry_the_epoch_in_which_they_were_written, 0, 3);
    tcase_add_test(tc, no_epoch_begins_twice);
    tcase_add_test(tc, an_epoch_that_began_survives_a_power_cut);
    tcase_add_test(tc, what_closes_the_segment_before_is_of_the_old_epoch);
    tcase_add_test(tc, the_table_follows_retention_and_lives_in_snapshots);
    tcase_add_loop_test(tc, a_log_whose_epochs_go_wrong_is_refused, 0, ROWS(impossible));
    suite_add_tcase(suite, tc);
    tc = tcase_create("local truth");
    tcase_add_loop_test(tc, only_what_this_node_wrote_proves_what_its_disk_had, OWN,
                        RECEIVED_AGAIN + 1);
    tcase_add_loop_test(tc, without_its_watermark_every_record_counts_as_own, 0, 2);
    tcase_add_loop_test(tc, a_rotten_slot_of_the_watermark_changes_nobody_s_word, 0, 2);
    tcase_add_test(tc, who_writes_is_durable_before_the_first_byte);
    tcase_add_test(tc, a_process_does_not_go_on_in_the_epoch_of_another);
    tcase_add_test(tc, a_receiver_takes_no_writes_until_it_begins_an_epoch);
    suite_add_tcase(suite, tc);
    tc = tcase_create("identity");
    tcase_add_test(tc, a_store_has_the_id_that_it_was_given);
    tcase_add_loop_test(tc, another_format_version_is_refused_with_what_to_do, 0, ROWS(versions));
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(epoch_suite)
