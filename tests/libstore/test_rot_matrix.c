/* test_rot_matrix.c - larger damage than a flipped bit, to every file of a small store
 * (reliability.md 2.3): blocks of zeros and of ones, blocks that were copied to the wrong place,
 * files cut short, gone, swapped, put back from an older copy, taken from another store.
 *
 * After each, verify and the opening are asked. Either verify names the damaged file, or nothing is
 * lost at all. The opening refuses, changing nothing; or it reaches the same state, and then
 * each record is read as it was, or, if the damage lies in it, is told to be damaged. No record is
 * cut, none is taken for another, none is lost for the damage of its neighbour. */
#include <stdio.h>
#include <stdlib.h>

#include "rot.h"
#include "support/suite.h"

enum { BLOCK = 512, MOST_FILES = 32, MOST_BYTES = 32 * 1024, RECORDS = 60 };

struct file {
    char path[96];
    size_t len;
    uint8_t bytes[MOST_BYTES];
};

struct store { /* as it is when nothing is wrong with it */
    struct memory_vfs *disk;
    struct toy state;
    struct sk_span spans[RECORDS];
    struct file files[MOST_FILES];
    int count;
    struct memory_vfs *earlier;
};

struct matrix {
    const struct store *good;
    long cases, told, refused, reached, silent, unreadable;
};

/* What was done to a copy of the store. */
struct damage {
    const char *what;
    const struct file *file;
    size_t from, to; /* bytes of it that may differ */
    struct memory_vfs *disk;
    bool named; /* by verify */
    int findings;
};

static void take_file(void *arg, const char *path)
{
    struct store *s = arg;
    struct file *f = &s->files[s->count++];
    ck_assert_int_le(s->count, MOST_FILES);
    snprintf(f->path, sizeof f->path, "%s", path);
    uint8_t *bytes = memory_vfs_bytes(s->disk, path, &f->len);
    ck_assert_uint_le(f->len, MOST_BYTES);
    if (f->len) memcpy(f->bytes, bytes, f->len);
}

static struct store *store_of(bool stop)
{
    struct store *s = calloc(1, sizeof *s);
    s->disk = small_store_and(stop, &s->state, s->spans, &s->earlier);
    memory_vfs_each(s->disk, take_file, s);
    return s;
}

static void store_free(struct store *s)
{
    memory_vfs_free(s->disk);
    memory_vfs_free(s->earlier);
    free(s);
}

static const char *text_of(const struct damage *d)
{
    static char text[256];
    snprintf(text, sizeof text, "%s: %s [%zu, %zu)", d->what, d->file->path, d->from, d->to);
    return text;
}

/* --- what became of it -------------------------------------------------------------------------
 */

static void hear(void *arg, bool is_error, const char *file, uint64_t position, const char *detail)
{
    struct damage *d = arg;
    (void)is_error;
    (void)position;
    d->findings++;
    d->named |= strcmp(file, d->file->path) == 0 || strstr(detail, d->file->path) != NULL;
    /* Of a strange identity among our files nobody can say which of them is wrong. */
    d->named |= strcmp(d->file->path, DIR "/store") == 0 && strstr(detail, "another store");
}

static bool lies_in(const struct damage *d, const struct sk_span *span)
{
    if (!strstr(d->file->path, ".log")) return false;
    uint64_t base = strtoull(strrchr(d->file->path, '/') + 1, NULL, 10);
    return span->begin < base + d->to && span->end > base + d->from;
}

/* Every record is read as it was, or is damaged, and told so. Returns how many are. */
static long check_served(const struct matrix *m, const struct damage *d, struct toy_room *room)
{
    static uint8_t want[1024];
    long unreadable = 0;
    for (int i = 0; i < RECORDS; i++) {
        uint32_t queue = (uint32_t)i % 3;
        uint64_t offset = (uint64_t)i / 3;
        struct sk_index_entry e = {0};
        struct sk_pinned p;
        bool found = sk_store_lookup(room->store, queue, offset, 1, &e) == 1;
        ck_assert_msg(!found || e.position == m->good->spans[i].begin, "%s: record %d is at %llu",
                      text_of(d), i, (unsigned long long)e.position);
        struct sk_status s =
            found ? sk_store_read(room->store, e.position, &p) : sk_error(SK_CORRUPT, "no entry");
        if (!sk_ok(s)) {
            ck_assert_msg(s.code == SK_CORRUPT && lies_in(d, &m->good->spans[i]),
                          "%s: record %d: %s", text_of(d), i, sk_status_text(&s));
            unreadable++;
            continue;
        }
        size_t len = toy_payload(queue, offset, (size_t)(i * 37 % 900), want);
        ck_assert_msg(p.record.queue == queue && p.record.offset == offset &&
                          p.record.payload.len == len &&
                          (len == 0 || memcmp(p.record.payload.data, want, len) == 0),
                      "%s: record %d is another one", text_of(d), i);
        sk_unpin(p.pin);
    }
    return unreadable;
}

static void check_refused(struct matrix *m, const struct damage *d, struct memory_vfs *copy,
                          const struct sk_status *s, uint64_t before)
{
    m->refused++;
    ck_assert_msg(s->code == SK_CORRUPT || s->code == SK_INVALID || s->code == SK_NOT_FOUND,
                  "%s: %s", text_of(d), sk_status_text(s));
    ck_assert_msg(strstr(s->detail, DIR) != NULL, "%s: no file is named: %s", text_of(d),
                  s->detail);
    ck_assert_msg(d->findings > 0, "%s: refused, but verify is content: %s", text_of(d), s->detail);
    ck_assert_msg(memory_vfs_hash(copy) == before, "%s: refused, but something was changed",
                  text_of(d));
}

/* Takes d->disk. */
static void check(struct matrix *m, struct damage *d)
{
    m->cases++;
    struct sk_verify_result result;
    struct sk_status s = sk_store_verify(DIR, memory_vfs_door(d->disk), hear, d, &result);
    ck_assert_msg(sk_ok(s) || d->findings > 0, "%s: %s", text_of(d), sk_status_text(&s));
    ck_assert_msg(d->findings == 0 || d->named, "%s: told, but the file is not named", text_of(d));
    m->told += d->findings > 0;

    uint64_t before = memory_vfs_hash(d->disk);
    struct toy_room room;
    s = try_open(&room, d->disk);
    if (sk_ok(s)) {
        ck_assert_msg(memcmp(&room.state, &m->good->state, sizeof room.state) == 0,
                      "%s: another state", text_of(d));
        long unreadable = check_served(m, d, &room);
        ck_assert_msg(unreadable == 0 || d->findings > 0, "%s: %ld records lost, nobody told",
                      text_of(d), unreadable);
        m->unreadable += unreadable;
        m->reached++;
        m->silent += d->findings == 0;
        sk_store_close(room.store);
    } else {
        check_refused(m, d, d->disk, &s, before);
    }
    memory_vfs_free(d->disk);
}

/* --- doing it --------------------------------------------------------------------------------- */

static void put_bytes(struct memory_vfs *disk, const char *path, const uint8_t *bytes, size_t len)
{
    struct sk_vfs *vfs = memory_vfs_door(disk);
    int fd = vfs->open(vfs, path, SK_VFS_WRITE | SK_VFS_CREATE);
    ck_assert_int_ge(fd, 0);
    struct iovec part = {(void *)(uintptr_t)bytes, len};
    vfs->truncate(vfs, fd, 0);
    if (len) vfs->pwritev(vfs, fd, &part, 1, 0);
    vfs->close(vfs, fd);
}

/* The file gets another content. */
static void replace(struct matrix *m, const char *what, const struct file *file,
                    const uint8_t *bytes, size_t len, size_t from, size_t to)
{
    if (len == file->len && memcmp(bytes, file->bytes, len) == 0) return;
    struct damage d = {what, file, from, to, memory_vfs_copy(m->good->disk), false, 0};
    put_bytes(d.disk, file->path, bytes, len);
    check(m, &d);
}

static void damage_block(struct matrix *m, const struct file *file, size_t at)
{
    static uint8_t bytes[MOST_BYTES];
    size_t len = file->len - at < BLOCK ? file->len - at : BLOCK;
    memcpy(bytes, file->bytes, file->len);
    memset(bytes + at, 0, len);
    replace(m, "a block of zeros", file, bytes, file->len, at, at + len);
    memset(bytes + at, 0xff, len);
    replace(m, "a block of ones", file, bytes, file->len, at, at + len);
    for (size_t from = 0; from + len <= file->len; from += BLOCK) {
        memcpy(bytes + at, file->bytes + from, len);
        replace(m, "a block of the same file", file, bytes, file->len, at, at + len);
    }
    for (int k = 0; k < m->good->count; k++) {
        const struct file *other = &m->good->files[k];
        if (other == file || at + len > other->len) continue;
        memcpy(bytes + at, other->bytes + at, len);
        replace(m, "the same block of another file", file, bytes, file->len, at, at + len);
    }
    replace(m, "cut short", file, file->bytes, at, at, file->len);
    replace(m, "cut shorter", file, file->bytes, at + len - 1, at + len - 1, file->len);
}

static void remove_it(struct matrix *m, const struct file *file)
{
    struct damage d = {"gone", file, 0, file->len, memory_vfs_copy(m->good->disk), false, 0};
    struct sk_vfs *vfs = memory_vfs_door(d.disk);
    ck_assert_int_eq(vfs->unlink(vfs, file->path), 0);
    check(m, &d);
}

static void print(const char *what, const struct matrix *m)
{
    printf("%s: %ld cases; verify told %ld; %ld refused to open, %ld opened with all of the state "
           "(%ld records told to be damaged), %ld of them without a word, as nothing was lost\n",
           what, m->cases, m->told, m->refused, m->reached, m->unreadable, m->silent);
}

START_TEST(damaged_blocks_are_named_or_harmless)
{
    struct store *good = store_of(_i);
    struct matrix m = {.good = good};
    for (int i = 0; i < good->count; i++) {
        for (size_t at = 0; at < good->files[i].len; at += BLOCK)
            damage_block(&m, &good->files[i], at);
    }
    print(_i ? "blocks, stopped in order" : "blocks, killed", &m);
    ck_assert_int_gt(m.cases, 2000);
    store_free(good);
}
END_TEST

/* Whole files, and those of an earlier day and of another store. */
START_TEST(wrong_files_are_named_or_harmless)
{
    struct store *good = store_of(_i), *other = store_of(_i);
    struct matrix m = {.good = good};
    for (int i = 0; i < good->count; i++) {
        const struct file *file = &good->files[i];
        remove_it(&m, file);
        for (int k = 0; k < good->count; k++) /* another file of this store under its name */
            replace(&m, "another file", file, good->files[k].bytes, good->files[k].len, 0,
                    file->len);
        size_t len;
        const uint8_t *old = memory_vfs_bytes(good->earlier, file->path, &len);
        if (old) replace(&m, "of an earlier day", file, old, len, 0, file->len);
        for (int k = 0; k < other->count; k++)
            if (strcmp(other->files[k].path, file->path) == 0)
                replace(&m, "of another store", file, other->files[k].bytes, other->files[k].len, 0,
                        file->len);
    }
    print(_i ? "files, stopped in order" : "files, killed", &m);
    ck_assert_int_gt(m.cases, 50);
    store_free(good);
    store_free(other);
}
END_TEST

/* --- snapshots that are too old --------------------------------------------------------------- */

struct sweep {
    struct memory_vfs *disk;
    const char *in, *but;
};

static void sweep_one(void *arg, const char *path)
{
    struct sweep *s = arg;
    struct sk_vfs *vfs = memory_vfs_door(s->disk);
    if (strstr(path, s->in) && !(s->but && strstr(path, s->but))) vfs->unlink(vfs, path);
}

static struct memory_vfs *without(struct memory_vfs *disk, const char *in, const char *but)
{
    struct memory_vfs *copy = memory_vfs_copy(disk);
    struct sweep s = {copy, in, but};
    memory_vfs_each(disk, sweep_one, &s);
    return copy;
}

static void check_all_refused(struct memory_vfs *disk, const char *what)
{
    struct toy_room room;
    uint64_t before = memory_vfs_hash(disk);
    struct sk_status s = sk_store_verify(DIR, memory_vfs_door(disk), NULL, NULL, NULL);
    ck_assert_msg(!sk_ok(s), "%s: verify: %s", what, sk_status_text(&s));
    s = try_open(&room, disk);
    ck_assert_msg(s.code == SK_CORRUPT, "%s: %s", what, sk_status_text(&s));
    ck_assert_msg(strstr(s.detail, DIR) != NULL, "%s: %s", what, s.detail);
    ck_assert_msg(memory_vfs_hash(disk) == before, "%s: refused, but something was changed", what);
    memory_vfs_free(disk);
}

START_TEST(a_snapshot_older_than_the_log_is_no_start)
{
    enum { SEGMENT = 16 * 1024 };
    struct memory_vfs *disk = memory_vfs_new(), *early = NULL;
    struct toy_room room = {0};
    struct sk_store_options o = toy_options(&room.state, DIR, memory_vfs_door(disk));
    o.segment_bytes = SEGMENT;
    o.retention_bytes = SEGMENT;
    ck_ok(sk_store_open(&o, NULL, &room.store));
    for (int i = 0; i < 200; i++) {
        toy_put(&room, 1, 400);
        if (i % 10 != 9) continue;
        ck_ok(sk_store_snapshot(room.store));
        if (i == 9) early = memory_vfs_copy(disk);
        sk_store_retain(room.store);
    }
    ck_assert_uint_gt(sk_store_begin(room.store), 2 * SEGMENT);
    struct toy state = room.state;
    sk_store_close(room.store);
    struct file *ancient = calloc(1, sizeof *ancient);
    struct store old = {.disk = early};
    memory_vfs_each(early, take_file, &old);
    for (int i = 0; i < old.count; i++)
        if (strstr(old.files[i].path, ".snap")) *ancient = old.files[i];
    put_bytes(disk, ancient->path, ancient->bytes, ancient->len);

    /* Beside the others it does no harm. */
    struct memory_vfs *copy = memory_vfs_copy(disk);
    ck_ok(try_open(&room, copy));
    ck_assert_mem_eq(&room.state, &state, sizeof state);
    toy_check_queues(&room);
    sk_store_close(room.store);
    memory_vfs_free(copy);
    /* Alone it leads nowhere, and what leads nowhere must not be taken for the end of the log. */
    copy = without(disk, ".snap", ancient->path);
    struct memory_vfs *unmarked = memory_vfs_copy(copy);
    put_bytes(unmarked, DIR "/watermark", NULL, 0);
    check_all_refused(unmarked, "an ancient snapshot, and no watermark");
    check_all_refused(copy, "an ancient snapshot");
    check_all_refused(without(disk, ".snap", NULL), "no snapshot");
    check_all_refused(without(disk, ".log", NULL), "no log");
    copy = without(disk, DIR "/store", NULL);
    check_all_refused(without(copy, ".log", NULL), "no identity and no log, but snapshots");
    check_all_refused(copy, "no identity");
    memory_vfs_free(disk);
    memory_vfs_free(early);
    free(ancient);
}
END_TEST

static Suite *rot_suite(void)
{
    Suite *suite = suite_create("libstore/rot_matrix");
    TCase *tc = tcase_create("matrix");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, damaged_blocks_are_named_or_harmless, 0, 2);
    tcase_add_loop_test(tc, wrong_files_are_named_or_harmless, 0, 2);
    tcase_add_test(tc, a_snapshot_older_than_the_log_is_no_start);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(rot_suite)
