/* open.c - open, create and close a store: the directory, its lock, its identity.
 *
 *   <dir>/lock            held (flock) by the process that has the store open
 *   <dir>/store           identity: a header page "SKST", sizes[0] = segment bytes
 *   <dir>/watermark       how far the log was durable (watermark.c)
 *   <dir>/log/            segments, "<base>.log"
 *   <dir>/index/          index files, "<base>.idx"
 *   <dir>/snapshot/       snapshots, "<position>.snap"
 *   <dir>/cut/            what cuts took away (truncate.c) */
#include "open.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "disk.h"
#include "store_impl.h"

#define GIB ((uint64_t)1 << 30)
#define MIB ((uint64_t)1 << 20)

/* --- paths --------------------------------------------------------------------------------- */

void sk_store_paths_init(struct sk_store_paths *p, const char *dir)
{
    *p = (struct sk_store_paths){
        .root = sk_strdup(dir),
        .log = sk_asprintf("%s/log", dir),
        .index = sk_asprintf("%s/index", dir),
        .snapshot = sk_asprintf("%s/snapshot", dir),
        .cut = sk_asprintf("%s/cut", dir),
        .lock = sk_asprintf("%s/lock", dir),
        .identity = sk_asprintf("%s/store", dir),
        .watermark = sk_asprintf("%s/watermark", dir),
    };
}

void sk_store_paths_done(struct sk_store_paths *p)
{
    free(p->root);
    free(p->log);
    free(p->index);
    free(p->snapshot);
    free(p->cut);
    free(p->lock);
    free(p->identity);
    free(p->watermark);
}

/* --- the directory ---------------------------------------------------------------------------- */

struct strangers {
    bool identity;  /* "store" is there */
    char name[256]; /* something that is not ours; "" if there is nothing */
};

static bool look_for_strangers(void *arg, const char *name)
{
    static const char *const ours[] = {"lock",  "store",    "store.tmp", "watermark", "log",
                                       "index", "snapshot", "cut",       "lost+found"};
    struct strangers *found = arg;
    if (strcmp(name, "store") == 0) found->identity = true;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(name, ours[i]) == 0) return true;
    strncpy(found->name, name, sizeof found->name - 1);
    return true;
}

static struct sk_status count_files(sk_store *store, const char *dir, const char *suffix,
                                    size_t *count)
{
    uint64_t *numbers = NULL;
    struct sk_status s = sk_disk_list(store->vfs, dir, suffix, false, &numbers, count);
    free(numbers);
    return s.code == SK_NOT_FOUND ? SK_SUCCESS : s;
}

/* A store that lost its identity, or more, is not a new one. */
static struct sk_status check_empty(sk_store *store)
{
    size_t segments = 0, snapshots = 0;
    SK_TRY(count_files(store, store->paths.log, ".log", &segments));
    SK_TRY(count_files(store, store->paths.snapshot, ".snap", &snapshots));
    if (segments || snapshots)
        return sk_error(SK_CORRUPT, "'%s' is missing but there %s: restore that file",
                        store->paths.identity, segments ? "is a log" : "are snapshots");
    return SK_SUCCESS;
}

/* A directory full of somebody's files is not the place for a new store. */
static struct sk_status check_strangers(sk_store *store)
{
    const char *dir = store->paths.root;
    struct strangers found = {0};
    int err = store->vfs->list(store->vfs, dir, look_for_strangers, &found);
    if (err < 0) return sk_errno(-err, "list '%s'", dir);
    if (found.identity || !found.name[0]) return SK_SUCCESS;
    SK_TRY(check_empty(store));
    return sk_error(SK_INVALID,
                    "'%s' is not empty and is not a Skua store (it holds '%s'): give another "
                    "directory",
                    dir, found.name);
}

static struct sk_status make_root(struct sk_vfs *vfs, const char *dir)
{
    SK_CLEANUP(sk_free_p) char *parent = sk_strdup(dir);
    size_t len = strlen(parent);
    while (len > 1 && parent[len - 1] == '/') parent[--len] = '\0';
    char *slash = strrchr(parent, '/');
    if (!slash)
        strcpy(parent, ".");
    else if (slash == parent)
        parent[1] = '\0';
    else
        *slash = '\0';
    return sk_disk_mkdir(vfs, dir, parent);
}

struct sk_status sk_store_lock_dir(struct sk_vfs *vfs, const struct sk_store_paths *paths,
                                   unsigned flags, int *out)
{
    int fd = -1;
    SK_TRY(sk_disk_open(vfs, paths->lock, flags, &fd));
    int err = vfs->lock(vfs, fd);
    if (err < 0) sk_disk_close(vfs, fd);
    if (err == -EWOULDBLOCK)
        return sk_error(SK_EXISTS, "the store in '%s' is in use by another process", paths->root);
    if (err < 0) return sk_errno(-err, "lock '%s'", paths->lock);
    *out = fd;
    return SK_SUCCESS;
}

/* --- identity --------------------------------------------------------------------------------- */

struct sk_status sk_store_read_identity(struct sk_vfs *vfs, const struct sk_store_paths *paths,
                                        struct sk_header *out)
{
    int fd = -1;
    SK_TRY(sk_disk_open(vfs, paths->identity, SK_VFS_READ, &fd));
    struct sk_status s = sk_header_read(vfs, fd, SK_MAGIC_STORE, 0, 0, out);
    sk_disk_close(vfs, fd);
    return sk_while(s, "'%s'", paths->identity);
}

static struct sk_status draw_id(uint64_t *out)
{
    uint64_t id = 0;
    while (id == 0)
        if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id)
            return sk_errno(errno, "draw a store id");
    *out = id;
    return SK_SUCCESS;
}

static struct sk_status write_identity(sk_store *store)
{
    struct sk_header h = {.magic = SK_MAGIC_STORE,
                          .store_id = store->options.store_id,
                          .sizes = {store->options.segment_bytes, 0}};
    if (!h.store_id) SK_TRY(draw_id(&h.store_id));
    uint8_t page[SK_HEADER_BYTES];
    sk_header_encode(&h, page);
    struct iovec part = {.iov_base = page, .iov_len = sizeof page};
    return sk_disk_replace(store->vfs, store->paths.root, store->paths.identity, &part, 1);
}

/* The directories and the watermark's file, without a sync; *made: something was not there. */
static struct sk_status make_names(sk_store *store, bool *made)
{
    const char *const dirs[] = {store->paths.log, store->paths.index, store->paths.snapshot};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        int err = store->vfs->mkdir(store->vfs, dirs[i]);
        if (err < 0 && err != -EEXIST) return sk_errno(-err, "make directory '%s'", dirs[i]);
        *made |= err == 0;
    }
    struct sk_vfs_stat stat;
    if (store->vfs->stat(store->vfs, store->paths.watermark, &stat) == 0) return SK_SUCCESS;
    int fd = -1;
    SK_TRY(sk_disk_open(store->vfs, store->paths.watermark, SK_VFS_WRITE | SK_VFS_CREATE, &fd));
    sk_disk_close(store->vfs, fd);
    *made = true;
    return SK_SUCCESS;
}

/* One sync of the directory makes all its names durable, so the identity comes last. */
static struct sk_status identify(sk_store *store)
{
    struct sk_vfs_stat stat;
    bool is_new = store->vfs->stat(store->vfs, store->paths.identity, &stat) == -ENOENT;
    if (is_new) SK_TRY(check_empty(store));
    bool made = false;
    SK_TRY(make_names(store, &made));
    if (is_new) SK_TRY(write_identity(store));
    int err = made && !is_new ? store->vfs->sync_dir(store->vfs, store->paths.root) : 0;
    if (err < 0) return sk_errno(-err, "sync directory '%s'", store->paths.root);
    struct sk_header h;
    SK_TRY(sk_store_read_identity(store->vfs, &store->paths, &h));
    uint64_t asked = store->options.store_id;
    if (asked && asked != h.store_id)
        return sk_error(SK_INVALID,
                        "'%s' holds the store %016" PRIx64 ", not %016" PRIx64
                        ": give that one's directory, or an empty one",
                        store->paths.root, h.store_id, asked);
    store->store_id = h.store_id;
    store->segment_bytes = h.sizes[0];
    return SK_SUCCESS;
}

/* --- open
 * ------------------------------------------------------------------------------------------ */

static struct sk_status check_options(const struct sk_store_options *o)
{
    if (!o->dir || !*o->dir) return sk_error(SK_INVALID, "a store needs a directory");
    if (o->segment_bytes % SK_HEADER_BYTES || o->segment_bytes < 2 * SK_HEADER_BYTES ||
        o->segment_bytes > 2 * GIB)
        return sk_error(SK_INVALID, "segment_bytes must be a multiple of 4096, from 8192 to 2 GiB");
    if (o->disk_clean_percent > 100 || o->disk_refuse_percent > 100)
        return sk_error(SK_INVALID, "disk marks are percentages, 1..100");
    return SK_SUCCESS;
}

static struct sk_store_options with_defaults(struct sk_store_options o)
{
    if (!o.segment_bytes) o.segment_bytes = GIB;
    if (!o.snapshot_bytes) o.snapshot_bytes = 64 * MIB;
    if (!o.append_most) o.append_most = 8 * MIB;
    if (!o.flush_interval_ms) o.flush_interval_ms = 500;
    if (!o.disk_refuse_percent) o.disk_refuse_percent = 95;
    if (!o.disk_clean_percent) o.disk_clean_percent = 90;
    if (!o.vfs) o.vfs = sk_vfs_real();
    if (!o.clock) o.clock = sk_clock_real();
    return o;
}

static void init_sleeper(struct sk_sleeper *s)
{
    sk_mutex_init(&s->lock);
    sk_cond_init(&s->wake);
}

static sk_store *new_store(struct sk_store_options options)
{
    sk_store *store = sk_zalloc(1, sizeof *store);
    store->options = options;
    store->vfs = options.vfs;
    store->clock = options.clock;
    store->lock_fd = -1;
    sk_store_paths_init(&store->paths, options.dir);
    store->options.dir = store->paths.root;
    sk_mutex_init(&store->fail_lock);
    atomic_init(&store->flush_time, 8 * 20 * SK_QUICK_FLUSH_US); /* show first that you are quick */
    sk_turnstile_init(&store->housekeeping);
    sk_epochs_init(&store->epochs);
    sk_log_streams_init(&store->streams);
    atomic_init(&store->begin.place, SK_HEADER_BYTES);
    init_sleeper(&store->flusher);
    init_sleeper(&store->helper);
    init_sleeper(&store->janitor);
    return store;
}

static void done_sleeper(struct sk_sleeper *s)
{
    sk_cond_done(&s->wake);
    sk_mutex_done(&s->lock);
}

void sk_store_leave(sk_store *store) /* whoever still holds a pin keeps its segment */
{
    sk_gate_free(store->tail_gate);
    sk_gate_free(store->flushed_gate);
    sk_index_free(store->index);
    sk_epochs_done(&store->epochs);
    if (store->watermark_open) sk_watermark_done(&store->watermark);
    if (store->log_open) sk_commitlog_done(&store->log);
    sk_disk_close(store->vfs, store->lock_fd);
    done_sleeper(&store->flusher);
    done_sleeper(&store->helper);
    done_sleeper(&store->janitor);
    sk_mutex_done(&store->fail_lock);
    sk_turnstile_done(&store->housekeeping);
    sk_log_streams_done(&store->streams);
    sk_store_paths_done(&store->paths);
    free(store);
}

static struct sk_status open_rooms(sk_store *store)
{
    struct sk_store_paths *p = &store->paths;
    SK_TRY(make_root(store->vfs, p->root));
    SK_TRY(check_strangers(store));
    SK_TRY(sk_store_lock_dir(store->vfs, p, SK_VFS_WRITE | SK_VFS_CREATE, &store->lock_fd));
    SK_TRY(identify(store));
    SK_TRY(sk_watermark_open(&store->watermark, store->vfs, p->watermark, store->store_id));
    store->watermark_open = true;
    SK_TRY(sk_commitlog_open(&store->log, store->vfs, p->log, store->store_id, store->segment_bytes,
                             true));
    store->log_open = true;
    store->log.zero_ahead = store->options.write_ahead;
    store->index = sk_index_new(store->vfs, p->index, store->store_id, store->segment_bytes);
    return sk_store_end_cut(store);
}

struct sk_status sk_store_must_exist(const struct sk_store_options *options)
{
    struct sk_vfs *vfs = options->vfs ? options->vfs : sk_vfs_real();
    struct sk_store_paths paths;
    sk_store_paths_init(&paths, options->dir ? options->dir : "");
    struct sk_vfs_stat stat;
    int err = vfs->stat(vfs, paths.identity, &stat);
    struct sk_status s = SK_SUCCESS;
    if (err == -ENOENT) s = sk_error(SK_NOT_FOUND, "'%s' is not a Skua store", paths.root);
    if (err < 0 && err != -ENOENT) s = sk_errno(-err, "stat '%s'", paths.identity);
    sk_store_paths_done(&paths);
    return s;
}

struct sk_status sk_store_enter(const struct sk_store_options *options, sk_store **out)
{
    struct sk_store_options filled = with_defaults(*options);
    SK_TRY(check_options(&filled));
    sk_store *store = new_store(filled);
    struct sk_status s = open_rooms(store);
    if (sk_ok(s))
        *out = store;
    else
        sk_store_leave(store);
    return s;
}

static struct sk_status bring_up(sk_store *store, struct sk_recovery *recovery)
{
    SK_TRY(sk_store_recover(store, recovery));
    /* Before the first append: the mark of an orderly stop must not outlive what follows. */
    SK_TRY(sk_watermark_begin(&store->watermark, recovery->tail));
    sk_commitlog_limit_cache(&store->log, store->options.cache_bytes);
    store->tail_gate = sk_gate_new(recovery->tail);
    store->flushed_gate = sk_gate_new(recovery->tail);
    sk_gate_on_wait(store->flushed_gate, sk_store_demand, store);
    sk_store_look_at_disk(store);
    return store->options.manual ? SK_SUCCESS : sk_store_start_threads(store);
}

struct sk_status sk_store_open(const struct sk_store_options *options, struct sk_recovery *recovery,
                               sk_store **out)
{
    sk_store *store = NULL;
    struct sk_recovery found = {0};
    struct sk_status s = sk_store_enter(options, &store);
    if (!sk_ok(s)) return sk_while(s, "open the store");
    s = bring_up(store, &found);
    if (!sk_ok(s)) {
        sk_store_stop_threads(store);
        sk_store_leave(store);
        return sk_while(s, "open the store");
    }
    if (recovery) *recovery = found;
    *out = store;
    return SK_SUCCESS;
}

void sk_store_close(sk_store *store)
{
    if (!store) return;
    sk_store_stop_threads(store);
    struct sk_status s = sk_store_flush(store);
    if (sk_ok(s) && atomic_load(&store->snapshot_position) != sk_commitlog_tail(&store->log))
        s = sk_store_snapshot(store);
    if (sk_ok(s)) s = sk_watermark_end(&store->watermark, sk_store_tail(store));
    sk_gate_close(store->tail_gate, sk_error(SK_CLOSED, "the store is closed"));
    sk_gate_close(store->flushed_gate, sk_error(SK_CLOSED, "the store is closed"));
    sk_store_leave(store);
}
