/* faulty_vfs.c - each verb asks first whether it is its turn to fail. */
#include "support/faulty_vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { SECTOR = 512, MOST_PARTS = 1024 };

struct faulty_write { /* what was there before */
    struct faulty_write *next;
    uint64_t at;
    size_t len;
    uint8_t old[];
};

/* The errno to fail with, or 0. Under the lock. */
static int turn_locked(struct faulty_vfs *f, enum fault_verb verb)
{
    f->calls[FAULT_ANY]++;
    f->calls[verb]++;
    bool mine = f->verb == FAULT_ANY || f->verb == verb;
    if (!mine || f->left == 0 || --f->left > 0) return 0;
    f->fired = true;
    if (f->mode == FAULT_STICKY || f->mode == FAULT_LATE_STICKY) f->left = 1;
    return f->error;
}

static int turn(struct sk_vfs *vfs, enum fault_verb verb)
{
    struct faulty_vfs *f = (struct faulty_vfs *)vfs;
    pthread_mutex_lock(&f->lock);
    int error = turn_locked(f, verb);
    pthread_mutex_unlock(&f->lock);
    return error;
}

static struct sk_vfs *under(struct sk_vfs *vfs)
{
    return ((struct faulty_vfs *)vfs)->under;
}

/* --- what was not synced yet ------------------------------------------------------------------ */

static void forget(struct faulty_file *file)
{
    while (file->unsynced) {
        struct faulty_write *w = file->unsynced;
        file->unsynced = w->next;
        free(w);
    }
}

static struct faulty_file *file_of(struct faulty_vfs *f, int fd)
{
    return fd >= 0 && fd < FAULT_FDS ? &f->files[fd] : NULL;
}

static void note_write(struct faulty_vfs *f, int fd, size_t len, uint64_t at)
{
    struct faulty_file *file = file_of(f, fd);
    if (!file || (f->mode != FAULT_DROPPED && f->mode != FAULT_HALVED)) return;
    struct faulty_write *w = sk_zalloc(1, sizeof *w + len);
    w->at = at;
    w->len = len;
    f->under->pread(f->under, fd, w->old, len, at); /* behind the end: zeros */
    w->next = file->unsynced;
    file->unsynced = w;
}

/* Put back all of what `w` wrote, or every other sector of it. */
static void revert(struct faulty_vfs *f, int fd, const struct faulty_write *w)
{
    for (uint64_t from = w->at, end = w->at + w->len; from < end;) {
        uint64_t to = (from / SECTOR + 1) * SECTOR;
        if (to > end) to = end;
        struct iovec part = {(void *)(uintptr_t)(w->old + (from - w->at)), (size_t)(to - from)};
        if (f->mode == FAULT_DROPPED || from / SECTOR % 2)
            f->under->pwritev(f->under, fd, &part, 1, from);
        from = to;
    }
}

static int sync_file(struct sk_vfs *v, int fd, enum fault_verb verb)
{
    struct faulty_vfs *f = (struct faulty_vfs *)v;
    pthread_mutex_lock(&f->lock);
    struct faulty_file *file = file_of(f, fd);
    int error = turn_locked(f, verb);
    if (file && file->sync_failed) f->retried++;
    if (file && error) {
        file->sync_failed = true;
        for (struct faulty_write *w = file->unsynced; w; w = w->next) revert(f, fd, w);
    }
    int result = -error;
    if (!error)
        result =
            verb == FAULT_FSYNC ? f->under->fsync(f->under, fd) : f->under->fdatasync(f->under, fd);
    if (file) forget(file);
    pthread_mutex_unlock(&f->lock);
    return result;
}

static int f_fdatasync(struct sk_vfs *v, int fd)
{
    return sync_file(v, fd, FAULT_FDATASYNC);
}

static int f_fsync(struct sk_vfs *v, int fd)
{
    return sync_file(v, fd, FAULT_FSYNC);
}

/* --- reading and writing ---------------------------------------------------------------------- */

/* How many of `len` bytes a call in a SHORT mode gets done. */
static size_t shorter(enum fault_mode mode, size_t len)
{
    size_t n = mode == FAULT_SHORT_NONE  ? 0
               : mode == FAULT_SHORT_ONE ? 1
               : mode == FAULT_SHORT_TWO ? 2
               : mode == FAULT_SHORT     ? (len + 1) / 2
                                         : len - 1;
    return n < len ? n : len;
}

static bool is_short(enum fault_mode mode)
{
    return mode >= FAULT_SHORT && mode <= FAULT_SHORT_LESS;
}

/* A call that may stop half-way: how far it comes, or a negative errno. Under the lock. */
static ssize_t reach(struct faulty_vfs *f, enum fault_verb verb, size_t len)
{
    if (!is_short(f->mode)) {
        int error = turn_locked(f, verb);
        return error ? -error : (ssize_t)len;
    }
    if (f->tearing && (f->verb == FAULT_ANY || f->verb == verb)) {
        f->tearing = false;
        if (f->error) return -f->error;
    }
    bool before = f->fired;
    turn_locked(f, verb);
    if (f->fired == before) return (ssize_t)len;
    f->tearing = true;
    return (ssize_t)shorter(f->mode, len);
}

static ssize_t f_pread(struct sk_vfs *v, int fd, void *out, size_t len, uint64_t at)
{
    struct faulty_vfs *f = (struct faulty_vfs *)v;
    pthread_mutex_lock(&f->lock);
    ssize_t most = reach(f, FAULT_PREAD, len);
    pthread_mutex_unlock(&f->lock);
    return most < 0 ? most : under(v)->pread(under(v), fd, out, (size_t)most, at);
}

static size_t total(const struct iovec *parts, int count)
{
    size_t len = 0;
    for (int i = 0; i < count; i++) len += parts[i].iov_len;
    return len;
}

static ssize_t write_some(struct faulty_vfs *f, int fd, const struct iovec *parts, int count,
                          uint64_t at, size_t most)
{
    struct iovec some[MOST_PARTS];
    int n = 0;
    size_t left = most;
    for (; n < count && n < MOST_PARTS && left > 0; n++) {
        some[n] = parts[n];
        if (some[n].iov_len > left) some[n].iov_len = left;
        left -= some[n].iov_len;
    }
    note_write(f, fd, most, at);
    return n ? f->under->pwritev(f->under, fd, some, n, at) : 0;
}

static ssize_t f_pwritev(struct sk_vfs *v, int fd, const struct iovec *parts, int count,
                         uint64_t at)
{
    struct faulty_vfs *f = (struct faulty_vfs *)v;
    size_t len = total(parts, count);
    pthread_mutex_lock(&f->lock);
    bool late = !f->fired && (f->mode == FAULT_LATE || f->mode == FAULT_LATE_STICKY);
    ssize_t result = reach(f, FAULT_PWRITEV, len);
    if (result >= 0)
        result = write_some(f, fd, parts, count, at, (size_t)result);
    else if (late)
        write_some(f, fd, parts, count, at, len);
    pthread_mutex_unlock(&f->lock);
    return result;
}

/* --- the other verbs -------------------------------------------------------------------------- */

static int f_open(struct sk_vfs *v, const char *path, unsigned flags)
{
    int error = turn(v, FAULT_OPEN);
    return error ? -error : under(v)->open(under(v), path, flags);
}

/* A close that fails has closed all the same. */
static int f_close(struct sk_vfs *v, int fd)
{
    struct faulty_vfs *f = (struct faulty_vfs *)v;
    pthread_mutex_lock(&f->lock);
    int error = turn_locked(f, FAULT_CLOSE);
    struct faulty_file *file = file_of(f, fd);
    if (file) {
        forget(file);
        file->sync_failed = false;
    }
    int result = f->under->close(f->under, fd);
    pthread_mutex_unlock(&f->lock);
    return error ? -error : result;
}

static int f_allocate(struct sk_vfs *v, int fd, uint64_t bytes)
{
    int error = turn(v, FAULT_ALLOCATE);
    return error ? -error : under(v)->allocate(under(v), fd, bytes);
}

static int f_truncate(struct sk_vfs *v, int fd, uint64_t bytes)
{
    int error = turn(v, FAULT_TRUNCATE);
    return error ? -error : under(v)->truncate(under(v), fd, bytes);
}

static int f_rename(struct sk_vfs *v, const char *from, const char *to)
{
    int error = turn(v, FAULT_RENAME);
    return error ? -error : under(v)->rename(under(v), from, to);
}

static int f_unlink(struct sk_vfs *v, const char *path)
{
    int error = turn(v, FAULT_UNLINK);
    return error ? -error : under(v)->unlink(under(v), path);
}

static int f_mkdir(struct sk_vfs *v, const char *path)
{
    int error = turn(v, FAULT_MKDIR);
    return error ? -error : under(v)->mkdir(under(v), path);
}

static int f_list(struct sk_vfs *v, const char *path, sk_vfs_name_fn *each, void *arg)
{
    int error = turn(v, FAULT_LIST);
    return error ? -error : under(v)->list(under(v), path, each, arg);
}

static int f_sync_dir(struct sk_vfs *v, const char *path)
{
    int error = turn(v, FAULT_SYNC_DIR);
    return error ? -error : under(v)->sync_dir(under(v), path);
}

static int f_stat(struct sk_vfs *v, const char *path, struct sk_vfs_stat *out)
{
    int error = turn(v, FAULT_STAT);
    return error ? -error : under(v)->stat(under(v), path, out);
}

static int f_space(struct sk_vfs *v, const char *path, struct sk_vfs_space *out)
{
    struct faulty_vfs *f = (struct faulty_vfs *)v;
    int error = turn(v, FAULT_SPACE);
    if (error) return -error;
    if (!f->full_percent) return under(v)->space(under(v), path, out);
    *out = (struct sk_vfs_space){.total_bytes = 100, .free_bytes = 100 - f->full_percent};
    return 0;
}

static int f_map(struct sk_vfs *v, int fd, size_t len, const uint8_t **out)
{
    int error = turn(v, FAULT_MAP);
    return error ? -error : under(v)->map(under(v), fd, len, out);
}

static void f_unmap(struct sk_vfs *v, const uint8_t *map, size_t len)
{
    under(v)->unmap(under(v), map, len);
}

static int f_lock(struct sk_vfs *v, int fd)
{
    int error = turn(v, FAULT_LOCK);
    return error ? -error : under(v)->lock(under(v), fd);
}

static int64_t f_next_data(struct sk_vfs *v, int fd, uint64_t from)
{
    int error = turn(v, FAULT_NEXT_DATA);
    return error ? -error : under(v)->next_data(under(v), fd, from);
}

static int f_drop_cache(struct sk_vfs *v, int fd, const uint8_t *map, uint64_t from, uint64_t to)
{
    int error = turn(v, FAULT_DROP_CACHE);
    return error ? -error : under(v)->drop_cache(under(v), fd, map, from, to);
}

static int f_write_out(struct sk_vfs *v, int fd, uint64_t from, uint64_t to)
{
    int error = turn(v, FAULT_WRITE_OUT);
    return error ? -error : under(v)->write_out(under(v), fd, from, to);
}

/* --- what can go wrong ------------------------------------------------------------------------ */

/* Per verb the errors that its system call can return; each once and for ever. EINTR comes once:
 * who loops over it would else loop for ever, and rightly. */
static const struct {
    enum fault_verb verb;
    int errors[9]; /* 0-terminated */
} plain[] = {
    {FAULT_OPEN, {EIO, ENOSPC, EDQUOT, EMFILE, ENFILE, EACCES, EROFS, EINTR}},
    {FAULT_CLOSE, {EIO, ENOSPC, EDQUOT, EINTR}},
    {FAULT_PREAD, {EIO, EINTR}},
    {FAULT_PWRITEV, {EIO, ENOSPC, EDQUOT, EFBIG, EINTR}},
    {FAULT_FDATASYNC, {EIO, ENOSPC, EDQUOT, EINTR}},
    {FAULT_FSYNC, {EIO, ENOSPC, EDQUOT, EINTR}},
    {FAULT_ALLOCATE, {EIO, ENOSPC, EDQUOT, EFBIG, EINTR}},
    {FAULT_TRUNCATE, {EIO, ENOSPC, EINTR}},
    {FAULT_RENAME, {EIO, ENOSPC, EDQUOT, EROFS}},
    {FAULT_UNLINK, {EIO, EROFS, EBUSY}},
    {FAULT_MKDIR, {EIO, ENOSPC, EDQUOT, EROFS}},
    {FAULT_LIST, {EIO, EMFILE, ENFILE}},
    {FAULT_SYNC_DIR, {EIO, ENOSPC, EMFILE}},
    {FAULT_STAT, {EIO, EACCES}},
    {FAULT_SPACE, {EIO}},
    {FAULT_MAP, {ENOMEM, EAGAIN, ENFILE}},
    {FAULT_LOCK, {ENOLCK, EINTR}},
    {FAULT_NEXT_DATA, {EIO}},
    {FAULT_DROP_CACHE, {EIO}},
    {FAULT_WRITE_OUT, {EIO, ENOSPC}},
};

static const struct fault_row shapes[] = {
    {FAULT_PWRITEV, FAULT_SHORT, 0},
    {FAULT_PWRITEV, FAULT_SHORT_ONE, 0},
    {FAULT_PWRITEV, FAULT_SHORT_TWO, 0},
    {FAULT_PWRITEV, FAULT_SHORT_LESS, 0},
    {FAULT_PWRITEV, FAULT_SHORT_NONE, EIO},
    {FAULT_PWRITEV, FAULT_SHORT, EIO},
    {FAULT_PWRITEV, FAULT_SHORT_ONE, EIO},
    {FAULT_PWRITEV, FAULT_SHORT_TWO, EIO},
    {FAULT_PWRITEV, FAULT_SHORT_LESS, EIO},
    {FAULT_PWRITEV, FAULT_SHORT_NONE, ENOSPC},
    {FAULT_PWRITEV, FAULT_SHORT, ENOSPC},
    {FAULT_PWRITEV, FAULT_SHORT_ONE, ENOSPC},
    {FAULT_PWRITEV, FAULT_SHORT_TWO, ENOSPC},
    {FAULT_PWRITEV, FAULT_SHORT_LESS, ENOSPC},
    {FAULT_PWRITEV, FAULT_LATE, EIO},
    {FAULT_PWRITEV, FAULT_LATE_STICKY, EIO},
    {FAULT_PREAD, FAULT_SHORT, 0},
    {FAULT_PREAD, FAULT_SHORT_ONE, 0},
    {FAULT_PREAD, FAULT_SHORT_LESS, 0},
    {FAULT_PREAD, FAULT_SHORT, EIO},
    {FAULT_FDATASYNC, FAULT_DROPPED, EIO},
    {FAULT_FDATASYNC, FAULT_HALVED, EIO},
    {FAULT_FDATASYNC, FAULT_DROPPED, ENOSPC},
    {FAULT_FDATASYNC, FAULT_HALVED, ENOSPC},
    {FAULT_FSYNC, FAULT_DROPPED, EIO},
    {FAULT_FSYNC, FAULT_HALVED, EIO},
    {FAULT_FSYNC, FAULT_DROPPED, ENOSPC},
    {FAULT_FSYNC, FAULT_HALVED, ENOSPC},
};

bool fault_row(int i, struct fault_row *out)
{
    for (size_t v = 0; v < sizeof plain / sizeof plain[0]; v++) {
        for (const int *error = plain[v].errors; *error; error++) {
            int ways = *error == EINTR ? 1 : 2;
            if (i < ways) {
                *out = (struct fault_row){plain[v].verb, i ? FAULT_STICKY : FAULT_ONCE, *error};
                return true;
            }
            i -= ways;
        }
    }
    if ((size_t)i >= sizeof shapes / sizeof shapes[0]) return false;
    *out = shapes[i];
    return true;
}

const char *fault_row_name(const struct fault_row *row)
{
    static const char *const modes[] = {
        [FAULT_ONCE] = "once",
        [FAULT_STICKY] = "for ever",
        [FAULT_SHORT] = "after half of the bytes",
        [FAULT_SHORT_NONE] = "after no bytes",
        [FAULT_SHORT_ONE] = "after one byte",
        [FAULT_SHORT_TWO] = "after two bytes",
        [FAULT_SHORT_LESS] = "after all bytes but one",
        [FAULT_LATE] = "once, but all was written",
        [FAULT_LATE_STICKY] = "for ever, but the first was written",
        [FAULT_DROPPED] = "with the bytes dropped",
        [FAULT_HALVED] = "with half of the sectors written",
    };
    static char name[128];
    snprintf(name, sizeof name, "%s %s %s", fault_verb_name(row->verb),
             row->error ? strerrorname_np(row->error) : "short", modes[row->mode]);
    return name;
}

/* --- life ------------------------------------------------------------------------------------- */

struct faulty_vfs faulty_vfs_over(struct sk_vfs *disk)
{
    return (struct faulty_vfs){
        .vfs = {f_open,     f_close,  f_pread,  f_pwritev, f_fdatasync, f_fsync,      f_allocate,
                f_truncate, f_rename, f_unlink, f_mkdir,   f_list,      f_sync_dir,   f_stat,
                f_space,    f_map,    f_unmap,  f_lock,    f_next_data, f_drop_cache, f_write_out},
        .under = disk,
        .lock = PTHREAD_MUTEX_INITIALIZER,
    };
}

void faulty_vfs_done(struct faulty_vfs *f)
{
    for (int fd = 0; fd < FAULT_FDS; fd++) forget(&f->files[fd]);
}

void faulty_vfs_arm(struct faulty_vfs *f, enum fault_verb verb, long nth, int error,
                    enum fault_mode mode)
{
    pthread_mutex_lock(&f->lock);
    f->verb = verb;
    f->left = nth;
    f->error = error;
    f->mode = mode;
    f->fired = false;
    f->tearing = false;
    pthread_mutex_unlock(&f->lock);
}

void faulty_vfs_arm_row(struct faulty_vfs *f, const struct fault_row *row, long nth)
{
    faulty_vfs_arm(f, row->verb, nth, row->error, row->mode);
}

void faulty_vfs_disarm(struct faulty_vfs *f)
{
    faulty_vfs_arm(f, FAULT_ANY, 0, 0, FAULT_ONCE);
}

const char *fault_verb_name(enum fault_verb verb)
{
    static const char *const names[FAULT_VERBS] = {
        "any",      "open",     "close",  "pread",  "pwritev",   "fdatasync",  "fsync",
        "allocate", "truncate", "rename", "unlink", "mkdir",     "list",       "sync_dir",
        "stat",     "space",    "map",    "lock",   "next_data", "drop_cache", "write_out"};
    return names[verb];
}
