/* test_rot.c - bytes that change by themselves: told by verify or without effect, and never a
 * reason to cut away what was durable. */
#include <stdio.h>
#include <stdlib.h>

#include "rot.h"
#include "support/suite.h"

struct flips {
    struct memory_vfs *disk;
    const struct toy *state;
    bool every_bit; /* else one of each byte's */
    size_t flipped, told, harmless, refused;
};

static void check_silent(struct flips *f, const char *path, size_t at)
{
    struct memory_vfs *copy = memory_vfs_copy(f->disk);
    struct toy_room room;
    struct sk_status s = try_open(&room, copy);
    ck_assert_msg(sk_ok(s), "%s byte %zu: not told by verify, but refused: %s", path, at,
                  sk_status_text(&s));
    ck_assert_msg(memcmp(&room.state, f->state, sizeof room.state) == 0,
                  "%s byte %zu: not told by verify, but the state differs", path, at);
    toy_check_queues(&room);
    sk_store_close(room.store);
    memory_vfs_free(copy);
}

/* Told by verify: opening must refuse, or still reach the same state. */
static void check_told(struct flips *f, const char *path, size_t at)
{
    struct memory_vfs *copy = memory_vfs_copy(f->disk);
    struct toy_room room;
    struct sk_status s = try_open(&room, copy);
    if (!sk_ok(s)) {
        f->refused++;
        ck_assert_msg(s.code == SK_CORRUPT || s.code == SK_INVALID, "%s byte %zu: %s", path, at,
                      sk_status_text(&s));
    } else {
        ck_assert_msg(memcmp(&room.state, f->state, sizeof room.state) == 0,
                      "%s byte %zu: another state", path, at);
        sk_store_close(room.store);
    }
    memory_vfs_free(copy);
}

static void flip_file(void *arg, const char *path)
{
    struct flips *f = arg;
    size_t len;
    uint8_t *bytes = memory_vfs_bytes(f->disk, path, &len);
    for (size_t at = 0; at < len; at++) {
        int findings;
        if (!f->every_bit && bytes[at] == 0 && at % 61) continue; /* of the many zeros a few */
        for (size_t bit = 0; bit < 8; bit++) {
            if (!f->every_bit && bit != at % 8) continue;
            bytes[at] ^= (uint8_t)(1u << bit);
            f->flipped++;
            if (is_told(f->disk, &findings)) {
                f->told++;
                if (at % 13 == 0) check_told(f, path, at);
            } else {
                f->harmless++;
                check_silent(f, path, at);
            }
            bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
}

START_TEST(every_flipped_byte_is_told_or_harmless)
{
    struct toy state;
    struct sk_span spans[60];
    struct memory_vfs *disk = small_store(true, &state, spans);
    int findings;
    ck_assert(!is_told(disk, &findings)); /* whole, it passes */
    struct flips f = {.disk = disk, .state = &state, .every_bit = getenv("SKUA_PROVE") != NULL};
    memory_vfs_each(disk, flip_file, &f);
    printf("%zu flipped: %zu told, %zu without effect\n", f.flipped, f.told, f.harmless);
    ck_assert_uint_gt(f.flipped, 20000);
    ck_assert_uint_gt(f.told, f.flipped * 9 / 10);
    ck_assert_uint_gt(f.refused, 0);
    memory_vfs_free(disk);
}
END_TEST

START_TEST(rot_below_the_durable_mark_is_never_cut)
{
    struct toy state;
    struct sk_span spans[60];
    struct memory_vfs *disk = small_store(false, &state, spans);
    for (int i = 21; i < 60; i++) { /* behind the snapshot, so that recovery meets it */
        char path[64];
        size_t len;
        uint64_t base = spans[i].begin - spans[i].begin % (16 * 1024);
        snprintf(path, sizeof path, DIR "/log/%020llu.log", (unsigned long long)base);
        uint8_t *bytes = memory_vfs_bytes(disk, path, &len);
        bytes[spans[i].begin - base + 20] ^= 4;
        uint8_t *before = malloc(len);
        memcpy(before, bytes, len);

        struct toy_room room;
        struct sk_status s = try_open(&room, disk);
        ck_assert_msg(s.code == SK_CORRUPT, "record %d: %s", i, sk_status_text(&s));
        ck_assert_msg(strstr(s.detail, path) != NULL, "record %d: %s", i, s.detail);
        char byte[32];
        snprintf(byte, sizeof byte, "byte %llu", (unsigned long long)(spans[i].begin - base));
        ck_assert_msg(strstr(s.detail, byte) != NULL, "record %d: %s", i, s.detail);
        ck_assert_mem_eq(before, bytes, len);
        free(before);
        bytes[spans[i].begin - base + 20] ^= 4;
    }
    struct toy_room room;
    ck_ok(try_open(&room, disk));
    ck_assert_mem_eq(&room.state, &state, sizeof state);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

START_TEST(a_lost_watermark_is_proved_by_the_records)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct toy_room room;
    struct sk_span spans[12];
    size_t len;
    ck_ok(try_open(&room, disk));
    for (int i = 0; i < 12; i++) {
        spans[i] = toy_put(&room, 1, 300);
        ck_ok(sk_store_flush(room.store)); /* each record says that the one before was durable */
    }
    struct memory_vfs *image = memory_vfs_crash(disk, memory_vfs_ops(disk), MEMORY_KEEP_ALL, 0);
    sk_store_close(room.store);
    memory_vfs_free(disk);
    memset(memory_vfs_bytes(image, DIR "/watermark", &len), 0, 4096 + 64);
    uint8_t *log = memory_vfs_bytes(image, DIR "/log/00000000000000000000.log", &len);

    log[spans[5].begin + 60] ^= 1; /* in the middle: those behind speak for it */
    ck_assert_int_eq(try_open(&room, image).code, SK_CORRUPT);
    log[spans[5].begin + 60] ^= 1;
    log[spans[11].begin + 60] ^= 1; /* the last: nobody knows better than that it tore */
    struct sk_store_options o = toy_options(&room.state, DIR, memory_vfs_door(image));
    struct sk_recovery r;
    room.state = (struct toy){0};
    ck_ok(sk_store_open(&o, &r, &room.store));
    ck_assert_uint_eq(room.state.records, 11);
    ck_assert_uint_gt(r.cut_bytes, 300);
    ck_assert_uint_le(r.cut_bytes, spans[11].end - spans[11].begin);
    sk_store_close(room.store);
    memory_vfs_free(image);
}
END_TEST

START_TEST(a_damaged_snapshot_gives_way_to_the_older_one)
{
    struct toy state;
    struct sk_span spans[60];
    struct memory_vfs *disk = small_store(true, &state, spans);
    char path[64];
    size_t len;
    snprintf(path, sizeof path, DIR "/snapshot/%020llu.snap", (unsigned long long)spans[59].end);
    memory_vfs_bytes(disk, path, &len)[4100] ^= 1;
    struct toy_room room;
    ck_ok(try_open(&room, disk));
    ck_assert_mem_eq(&room.state, &state, sizeof state);
    toy_check_queues(&room);
    sk_store_close(room.store);

    /* Both damaged: the log still begins at 0 and tells everything. */
    ck_ok(try_open(&room, disk));
    sk_store_close(room.store);
    snprintf(path, sizeof path, DIR "/snapshot/%020llu.snap", (unsigned long long)spans[20].end);
    memory_vfs_bytes(disk, path, &len)[4100] ^= 1;
    snprintf(path, sizeof path, DIR "/snapshot/%020llu.snap", (unsigned long long)spans[59].end);
    memory_vfs_bytes(disk, path, &len)[4100] ^= 1;
    ck_ok(try_open(&room, disk));
    ck_assert_mem_eq(&room.state, &state, sizeof state);
    toy_check_queues(&room);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

START_TEST(missing_pieces_are_named)
{
    static const struct {
        const char *file;
        enum sk_code want;
        const char *says;
    } rows[] = {
        {DIR "/log/00000000000000016384.log", SK_CORRUPT, "00000000000000016384.log' is missing"},
        {DIR "/store", SK_CORRUPT, "restore that file"},
        {DIR "/index/00000000000000016384.idx", SK_OK, ""},
        {DIR "/watermark", SK_OK, ""},
        {DIR "/lock", SK_OK, ""},
    };
    for (int i = 0; i < ROWS(rows); i++) {
        struct toy state;
        struct sk_span spans[60];
        struct memory_vfs *disk = small_store(true, &state, spans);
        struct sk_vfs *vfs = memory_vfs_door(disk);
        ck_assert_int_eq(vfs->unlink(vfs, rows[i].file), 0);
        struct toy_room room;
        struct sk_status s = try_open(&room, disk);
        ck_assert_msg(s.code == rows[i].want, "%s: %s", rows[i].file, sk_status_text(&s));
        ck_assert_msg(strstr(s.detail, rows[i].says) != NULL, "%s: %s", rows[i].file, s.detail);
        if (sk_ok(s)) {
            ck_assert_mem_eq(&room.state, &state, sizeof state);
            toy_check_queues(&room);
            sk_store_close(room.store);
        }
        memory_vfs_free(disk);
    }
}
END_TEST

/* Was an assertion, and once a cut of whole segments. */
START_TEST(a_snapshot_outside_the_log_is_refused)
{
    static const struct {
        const char *gone[3];
        const char *missing;
    } rows[] = {
        /* the last segment, in which the last snapshot lies */
        {{DIR "/log/00000000000000032768.log"}, "00000000000000032768.log' is missing"},
        /* the first one, with the older snapshot, when nothing else tells of what is behind it */
        {{DIR "/log/00000000000000000000.log", DIR "/watermark"},
         "00000000000000000000.log' is missing"},
    };
    for (int i = 0; i < ROWS(rows); i++) {
        struct toy state;
        struct sk_span spans[60];
        struct memory_vfs *disk = small_store(i == 0, &state, spans);
        struct sk_vfs *vfs = memory_vfs_door(disk);
        ck_assert_uint_gt(spans[59].end, 32768 + 4096);
        ck_assert_uint_lt(spans[20].end, 16384);
        for (int k = 0; k < 3 && rows[i].gone[k]; k++)
            ck_assert_int_eq(vfs->unlink(vfs, rows[i].gone[k]), 0);
        int findings;
        ck_assert(is_told(disk, &findings));
        size_t len;
        uint8_t *bytes = memory_vfs_bytes(disk, DIR "/log/00000000000000016384.log", &len);
        uint32_t sum = sk_crc32c(0, bytes, len);

        struct toy_room room;
        struct sk_status s = try_open(&room, disk);
        ck_assert_msg(s.code == SK_CORRUPT && strstr(s.detail, rows[i].missing), "%s",
                      sk_status_text(&s));
        bytes = memory_vfs_bytes(disk, DIR "/log/00000000000000016384.log", &len);
        ck_assert(bytes != NULL && sk_crc32c(0, bytes, len) == sum);
        memory_vfs_free(disk);
    }
}
END_TEST

static bool count_records(void *arg, const struct sk_record *record)
{
    struct toy *t = arg;
    toy_apply(t, record);
    return t->records < 50;
}

START_TEST(dump_shows_records_from_any_place)
{
    struct toy state, seen = {0};
    struct sk_span spans[60];
    struct memory_vfs *disk = small_store(true, &state, spans);
    ck_ok(sk_store_dump(DIR, memory_vfs_door(disk), 0, count_records, &seen));
    ck_assert_uint_eq(seen.records, 50); /* it was stopped there */
    seen = (struct toy){0};
    ck_ok(sk_store_dump(DIR, memory_vfs_door(disk), spans[40].begin, count_records, &seen));
    ck_assert_uint_eq(seen.records, 21); /* an epoch begins there, too */
    seen = (struct toy){0};
    ck_ok(sk_store_dump(DIR, memory_vfs_door(disk), spans[40].begin + 1, count_records, &seen));
    ck_assert_uint_eq(seen.records, 20);
    memory_vfs_free(disk);

    disk = memory_vfs_new();
    ck_assert_int_eq(sk_store_dump(DIR, memory_vfs_door(disk), 0, count_records, &seen).code,
                     SK_NOT_FOUND);
    struct toy_room room;
    ck_ok(try_open(&room, disk));
    ck_assert_int_eq(sk_store_verify(DIR, memory_vfs_door(disk), NULL, NULL, NULL).code, SK_EXISTS);
    sk_store_close(room.store);
    memory_vfs_free(disk);
}
END_TEST

static Suite *rot_suite(void)
{
    Suite *suite = suite_create("libstore/rot");
    TCase *tc = tcase_create("rot");
    tcase_set_timeout(tc, 1200);
    tcase_add_test(tc, every_flipped_byte_is_told_or_harmless);
    tcase_add_test(tc, rot_below_the_durable_mark_is_never_cut);
    tcase_add_test(tc, a_lost_watermark_is_proved_by_the_records);
    tcase_add_test(tc, a_damaged_snapshot_gives_way_to_the_older_one);
    tcase_add_test(tc, missing_pieces_are_named);
    tcase_add_test(tc, a_snapshot_outside_the_log_is_refused);
    tcase_add_test(tc, dump_shows_records_from_any_place);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(rot_suite)
