/* powercut_check.c - what each disk image that a cut may leave must still hold (powercut.c). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "powercut_store.h"

/* All that does not depend on when the power went. */
static void check(struct work *w, sk_store *store, const struct owner *state)
{
    uint64_t count = state->records;
    POWER_MUST(count <= w->past.count, "%" PRIu64 " records came back, only %zu were submitted",
               count, w->past.count);
    POWER_MUST(!count || w->past.puts[count - 1].ends_batch,
               "%" PRIu64 " records came back: half a batch", count);
    POWER_MUST(memcmp(state, &w->after[count], sizeof *state) == 0,
               "the state after %" PRIu64 " records is another one", count);
    for (uint32_t q = 0; q < QUEUES; q++) power_past_check_queue(&w->past, count, store, q);
}

/* Open `disk`, hold it against what came back before, close. */
static struct sk_recovery check_again(struct work *w, struct memory_vfs *disk, uint64_t records,
                                      uint64_t hash, const char *what)
{
    struct owner state;
    struct sk_recovery found;
    memory_vfs_forget(disk);
    sk_store *store = open_store(w, disk, &state, &found);
    power_recovered();
    POWER_MUST(state.records == records, "%s: %" PRIu64 " records, not %" PRIu64, what,
               state.records, records);
    POWER_MUST(!hash || memory_vfs_hash(disk) == hash, "%s: changes the disk", what);
    check(w, store, &state);
    sk_store_close(store);
    return found;
}

static bool take_name(void *arg, const char *name)
{
    char *out = arg;
    snprintf(out, 64, "%s", name);
    return false;
}

static void empty_dir(struct memory_vfs *disk, const char *dir)
{
    struct sk_vfs *vfs = memory_vfs_door(disk);
    for (;;) {
        char name[64] = "", path[256];
        vfs->list(vfs, dir, take_name, name);
        if (!name[0]) return;
        snprintf(path, sizeof path, "%s/%s", dir, name);
        vfs->unlink(vfs, path);
    }
}

/* I4: the log alone yields the same index, and, from its first record, the same state. */
static void check_from_log(struct work *w, struct memory_vfs *disk, bool whole_log,
                           uint64_t records)
{
    empty_dir(disk, DIR "/index");
    if (whole_log) empty_dir(disk, DIR "/snapshot");
    check_again(w, disk, records, 0, "from the log alone");
}

static void on_finding(void *arg, bool is_error, const char *file, uint64_t position,
                       const char *detail)
{
    (void)position;
    POWER_MUST(!is_error, "verify %s: %s: %s", (const char *)arg, file, detail);
}

/* All names that a new store makes before its first record. */
static bool is_made(struct memory_vfs *disk)
{
    static const char *const names[] = {DIR "/store", DIR "/log", DIR "/index", DIR "/snapshot"};
    struct sk_vfs *vfs = memory_vfs_door(disk);
    struct sk_vfs_stat stat;
    bool made = true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        made &= vfs->stat(vfs, names[i], &stat) == 0;
    return made;
}

/* A power cut is no damage, and `skua verify` says so; once there is a store. */
static void check_verify(struct memory_vfs *disk, const char *when)
{
    if (!is_made(disk)) return;
    struct memory_vfs *copy = memory_vfs_copy(disk);
    memory_vfs_forget(copy);
    struct sk_verify_result result;
    struct sk_status s =
        sk_store_verify(DIR, memory_vfs_door(copy), on_finding, (void *)(uintptr_t)when, &result);
    /* A store that was only just being made is none yet. */
    if (s.code != SK_NOT_FOUND) power_ok(s, when);
    memory_vfs_free(copy);
}

/* One more record is taken, kept, and there after an orderly stop. */
static void check_use(struct work *w, struct memory_vfs *image, sk_store *store, bool restart)
{
    struct sk_span span;
    if (!store->writes)
        power_ok(sk_store_begin_epoch(store, sk_store_next_epoch(store), UINT32_MAX, &span),
                 "begin an epoch after a cut");
    struct sk_slice part = SK_SLICE("after the cut");
    struct sk_append a = {.kind = 2,
                          .queue = 0,
                          .offset = sk_store_queue(store, 0).max,
                          .time_ms = UINT32_MAX,
                          .parts = &part,
                          .part_count = 1};
    power_ok(sk_store_append(store, &a, 1, false, &span), "append after a cut");
    power_ok(sk_store_flush(store), "flush after a cut");
    sk_store_close(store);
    if (!restart) return;
    struct owner state;
    struct sk_recovery found;
    store = open_store(w, image, &state, &found);
    POWER_MUST(found.clean, "an orderly stop after a cut passes for another one");
    struct sk_index_entry entry;
    POWER_MUST(sk_store_lookup(store, 0, a.offset, 1, &entry) == 1 && entry.position == span.begin,
               "the record that was appended after the cut is not in its queue");
    sk_store_close(store);
}

/* A life that ended with a cut: told to cut once more, each image comes to its end; `records` is
 * what it has when it is only opened. */
static void check_cut_again(struct work *w, struct memory_vfs *disk, uint64_t records)
{
    struct owner state;
    struct sk_recovery found;
    struct sk_truncation done;
    struct sk_store_options options = store_options(w, disk, &state);
    uint64_t most = power_past_below(&w->past, w->cut);
    power_ok(sk_store_truncate(&options, w->cut, &done), "cut once more");
    check_verify(disk, "after the cut");
    sk_store *store = open_store(w, disk, &state, &found);
    POWER_MUST(state.records == (records < most ? records : most),
               "cut once more: %" PRIu64 " records, not %" PRIu64, state.records,
               records < most ? records : most);
    check(w, store, &state);
    sk_store_close(store);
}

uint64_t recover(void *work, struct memory_vfs *image, bool thorough, size_t *steps)
{
    struct work *w = work;
    struct owner state;
    struct sk_recovery found;
    if (thorough) check_verify(image, "before recovery");
    struct memory_vfs *uncut = thorough && w->cut && is_made(image) ? memory_vfs_copy(image) : NULL;
    sk_store *store = open_store(w, image, &state, &found);
    power_recovered();
    *steps = memory_vfs_ops(image);
    check(w, store, &state);
    uint64_t records = state.records, hash = memory_vfs_hash(image);
    if (uncut) check_cut_again(w, uncut, records);
    memory_vfs_free(uncut);
    struct memory_vfs *again = memory_vfs_copy(image), *bare = NULL;
    if (thorough) {
        check_verify(again, "after recovery");
        bare = memory_vfs_copy(image);
    }
    bool whole_log = sk_store_begin(store) < w->segment_bytes;
    check_use(w, image, store, thorough);
    check_again(w, again, records, hash, "recovered once more");
    memory_vfs_free(again);
    if (bare) check_from_log(w, bare, whole_log, records);
    memory_vfs_free(bare);
    return records;
}
