/* save.c - a snapshot, taken while the log goes on.
 *
 *      lock                lock     lock                            (no lock of the owner)
 *      position = tail ──► page ──► page ──► … ──► end of pages ──► index pages ──► flush, rename
 *      save_begin           │        │
 *      index: cut here      └─ file ─┘    appends go on in between
 *
 * All of it speaks of what lies below `position` and of nothing else: the owner keeps what changes
 * before its page came, and the index leaves out what was added since. It counts once it has its
 * name, and gets that when all it speaks of is durable: log, index, snapshot. */
#include <inttypes.h>
#include <stdlib.h>

#include "disk.h"
#include "snapshot.h"
#include "store_impl.h"

/* A page should be held for 0.2 ms at most: so long take 32 KiB of rows. */
enum { PAGE = 32 * 1024 };

static void lock_owner(const sk_store *store)
{
    const struct sk_store_options *o = &store->options;
    if (o->lock) o->lock(o->fold.owner);
}

static void unlock_owner(const sk_store *store)
{
    const struct sk_store_options *o = &store->options;
    if (o->unlock) o->unlock(o->fold.owner);
}

/* What holds at one moment: what is small of it is taken at once. */
struct moment {
    uint64_t position;       /* the tail */
    uint64_t begin;          /* of the log, as recorded */
    struct sk_buffer epochs; /* their table */
};

static void begin(sk_store *store, struct moment *now)
{
    const struct sk_fold *fold = &store->options.fold;
    lock_owner(store);
    *now = (struct moment){.position = sk_commitlog_tail(&store->log),
                           .begin = atomic_load(&store->begin.place)};
    if (fold->save_begin) fold->save_begin(fold->owner);
    sk_epochs_save(&store->epochs, &now->epochs);
    sk_index_save_begin(store->index, now->position);
    unlock_owner(store);
}

/* One more page; *more: whether there is another after it. */
static struct sk_status owner_page(sk_store *store, struct sk_snapshot_writer *w,
                                   struct sk_buffer *page, bool *more)
{
    const struct sk_fold *fold = &store->options.fold;
    page->len = 0;
    lock_owner(store);
    *more = fold->save_page && fold->save_page(fold->owner, page, PAGE);
    unlock_owner(store);
    return sk_snapshot_put(w, sk_buffer_slice(page));
}

static struct sk_status owner_pages(sk_store *store, struct sk_snapshot_writer *w,
                                    struct sk_buffer *page)
{
    const struct sk_fold *fold = &store->options.fold;
    struct sk_status s = SK_SUCCESS;
    for (bool more = true; sk_ok(s) && more;) s = owner_page(store, w, page, &more);
    lock_owner(store);
    if (fold->save_end) fold->save_end(fold->owner);
    unlock_owner(store);
    return s;
}

static struct sk_status index_pages(sk_store *store, struct sk_snapshot_writer *w,
                                    struct sk_buffer *page)
{
    for (bool more = true; more;) {
        page->len = 0;
        more = sk_index_save_page(store->index, page, PAGE);
        SK_TRY(sk_snapshot_put(w, sk_buffer_slice(page)));
    }
    return SK_SUCCESS;
}

static struct sk_status write_body(sk_store *store, struct sk_snapshot_writer *w,
                                   const struct sk_buffer *epochs, uint64_t *owner_bytes)
{
    struct sk_buffer page = {0};
    struct sk_status s = owner_pages(store, w, &page);
    *owner_bytes = w->bytes;
    if (sk_ok(s)) s = sk_snapshot_put(w, sk_buffer_slice(epochs));
    if (sk_ok(s)) s = index_pages(store, w, &page);
    sk_buffer_done(&page);
    return s;
}

/* Order: log, index, snapshot. A snapshot never speaks of what is not durable. */
static struct sk_status make_durable(sk_store *store)
{
    SK_TRY(sk_store_flush(store));
    return sk_index_write(store->index, true);
}

/* What was begun is ended, whatever happens. */
static struct sk_status write_snapshot(sk_store *store, const struct moment *then)
{
    const struct sk_fold *fold = &store->options.fold;
    struct sk_snapshot_writer w;
    uint64_t owner_bytes = 0;
    struct sk_status s = sk_snapshot_begin(&w, store->vfs, store->paths.snapshot, then->position);
    if (!sk_ok(s)) {
        lock_owner(store);
        if (fold->save_end) fold->save_end(fold->owner);
        unlock_owner(store);
        sk_index_save_end(store->index);
        return s;
    }
    s = write_body(store, &w, &then->epochs, &owner_bytes);
    sk_index_save_end(store->index);
    if (sk_ok(s)) s = make_durable(store);
    if (sk_ok(s)) return sk_snapshot_finish(&w, store->store_id, owner_bytes, then->begin);
    sk_snapshot_abandon(&w);
    return s;
}

/* The two newest stay: if the newest is damaged, the other still leads to the same state. */
static void remove_older(sk_store *store, uint64_t keep_from)
{
    uint64_t *positions = NULL;
    size_t count = 0;
    struct sk_status s =
        sk_disk_list(store->vfs, store->paths.snapshot, ".snap", false, &positions, &count);
    for (size_t i = 0; sk_ok(s) && i < count && positions[i] < keep_from; i++) {
        char path[SK_DISK_PATH];
        sk_disk_name(path, store->paths.snapshot, positions[i], ".snap");
        store->vfs->unlink(store->vfs, path);
    }
    if (sk_ok(s)) free(positions);
}

static void note_success(sk_store *store, uint64_t position)
{
    uint64_t before = atomic_load(&store->snapshot_position);
    if (before != position) store->older_position = before;
    atomic_store(&store->snapshot_position, position);
    atomic_store(&store->snapshot_not_before_us, 0);
    atomic_fetch_add(&store->snapshots, 1);
    if (store->older_position) remove_older(store, store->older_position);
}

struct sk_status sk_store_snapshot(sk_store *store)
{
    enum { RETRY_AFTER_US = 10 * 1000000 };
    sk_turnstile_enter(&store->housekeeping);
    struct moment then;
    begin(store, &then);
    struct sk_status s = write_snapshot(store, &then);
    sk_buffer_done(&then.epochs);
    if (sk_ok(s)) {
        note_success(store, then.position);
    } else {
        atomic_fetch_add(&store->snapshot_failures, 1);
        atomic_store(&store->snapshot_not_before_us, sk_mono_us(store->clock) + RETRY_AFTER_US);
        if (sk_index_is_broken(store->index)) sk_store_mark_failed(store, s);
    }
    sk_turnstile_leave(&store->housekeeping);
    return s;
}
