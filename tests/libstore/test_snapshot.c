/* test_snapshot.c - the file of a snapshot: written piece by piece, read back whole. */
#include <errno.h>

#include "base/bytes.h"
#include "snapshot.h"
#include "support/faulty_vfs.h"
#include "support/memory_vfs.h"
#include "support/suite.h"
#include "toy.h"

#define DIR "/d"

enum { MIB = 1 << 20, PIECE = 32 * 1024, STORE = 7, POSITION = 4096 };

static uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at * 2654435761u >> 16);
}

/* A body of `len` bytes in pieces of uneven length; the writes that the disk was told of. */
static long write_snapshot(struct faulty_vfs *f, uint64_t len)
{
    static uint8_t piece[PIECE + 100];
    struct sk_snapshot_writer w;
    long before = f->calls[FAULT_WRITE_OUT];
    ck_ok(sk_snapshot_begin(&w, &f->vfs, DIR, POSITION));
    for (uint64_t at = 0; at < len;) {
        size_t n = at + PIECE + at % 100 < len ? PIECE + at % 100 : (size_t)(len - at);
        for (size_t i = 0; i < n; i++) piece[i] = byte_at(at + i);
        ck_ok(sk_snapshot_put(&w, sk_slice_of(piece, n)));
        at += n;
    }
    ck_ok(sk_snapshot_finish(&w, STORE, len / 2, POSITION));
    return f->calls[FAULT_WRITE_OUT] - before;
}

static void check_snapshot(struct faulty_vfs *f, uint64_t len)
{
    struct sk_buffer body = {0};
    uint64_t owner_bytes, begin;
    ck_ok(sk_snapshot_read(&f->vfs, DIR, STORE, POSITION, &body, &owner_bytes, &begin));
    ck_assert_uint_eq(body.len, len);
    ck_assert_uint_eq(owner_bytes, len / 2);
    for (uint64_t at = 0; at < len; at++)
        if (body.data[at] != byte_at(at)) ck_abort_msg("byte %llu", (unsigned long long)at);
    sk_buffer_done(&body);
}

/* Fifty MiB that waited for the fsync at the end held up sends for 33 ms. */
START_TEST(the_disk_gets_it_as_it_comes)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct faulty_vfs f = faulty_vfs_over(memory_vfs_door(disk));
    ck_assert_int_eq(f.vfs.mkdir(&f.vfs, DIR), 0);
    ck_assert_int_eq(write_snapshot(&f, MIB / 2), 0);
    check_snapshot(&f, MIB / 2);
    ck_assert_int_eq(write_snapshot(&f, 5 * MIB + 1), 5);
    check_snapshot(&f, 5 * MIB + 1);
    faulty_vfs_done(&f);
    memory_vfs_free(disk);
}
END_TEST

/* It is advice: what went wrong shows in the sync. */
START_TEST(a_disk_that_will_not_begin_is_no_failure)
{
    struct memory_vfs *disk = memory_vfs_new();
    struct faulty_vfs f = faulty_vfs_over(memory_vfs_door(disk));
    ck_assert_int_eq(f.vfs.mkdir(&f.vfs, DIR), 0);
    faulty_vfs_arm(&f, FAULT_WRITE_OUT, 2, EIO, FAULT_STICKY);
    ck_assert_int_eq(write_snapshot(&f, 4 * MIB), 4);
    ck_assert(f.fired);
    faulty_vfs_disarm(&f);
    check_snapshot(&f, 4 * MIB);
    faulty_vfs_done(&f);
    memory_vfs_free(disk);
}
END_TEST

static Suite *snapshot_suite(void)
{
    Suite *suite = suite_create("libstore/snapshot");
    TCase *tc = tcase_create("snapshot");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_disk_gets_it_as_it_comes);
    tcase_add_test(tc, a_disk_that_will_not_begin_is_no_failure);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(snapshot_suite)
