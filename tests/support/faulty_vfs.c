/* faulty_vfs.c - each verb asks first whether it is its turn to fail. */
#include "support/faulty_vfs.h"

#include <errno.h>

/* The errno to fail with, or 0. */
static int turn(struct sk_vfs *vfs, enum fault_verb verb)
{
    struct faulty_vfs *f = (struct faulty_vfs *)vfs;
    pthread_mutex_lock(&f->lock);
    f->calls[FAULT_ANY]++;
    f->calls[verb]++;
    int error = 0;
    bool mine = f->verb == FAULT_ANY || f->verb == verb;
    if (mine && f->left > 0 && --f->left == 0) {
        f->fired = true;
        error = f->error;
        if (f->mode == FAULT_STICKY || f->mode == FAULT_LATE_STICKY) f->left = 1;
    }
    pthread_mutex_unlock(&f->lock);
    return error;
}

static struct sk_vfs *under(struct sk_vfs *vfs)
{
    return ((struct faulty_vfs *)vfs)->under;
}

static int f_open(struct sk_vfs *v, const char *path, unsigned flags)
{
    int error = turn(v, FAULT_OPEN);
    return error ? -error : under(v)->open(under(v), path, flags);
}

/* A close that fails has closed all the same. */
static int f_close(struct sk_vfs *v, int fd)
{
    int error = turn(v, FAULT_CLOSE);
    int result = under(v)->close(under(v), fd);
    return error ? -error : result;
}

static ssize_t f_pread(struct sk_vfs *v, int fd, void *out, size_t len, uint64_t at)
{
    int error = turn(v, FAULT_PREAD);
    return error ? -error : under(v)->pread(under(v), fd, out, len, at);
}

static ssize_t write_half(struct sk_vfs *v, int fd, const struct iovec *parts, uint64_t at)
{
    struct iovec half = {.iov_base = parts->iov_base, .iov_len = (parts->iov_len + 1) / 2};
    return under(v)->pwritev(under(v), fd, &half, 1, at);
}

static ssize_t f_pwritev(struct sk_vfs *v, int fd, const struct iovec *parts, int count,
                         uint64_t at)
{
    struct faulty_vfs *f = (struct faulty_vfs *)v;
    int error = turn(v, FAULT_PWRITEV);
    if (error && f->mode == FAULT_SHORT) {
        f->tearing = true;
        return write_half(v, fd, parts, at);
    }
    if (f->tearing && f->mode == FAULT_SHORT) {
        f->tearing = false;
        return -f->error;
    }
    if (error && f->mode >= FAULT_LATE && !f->tearing) {
        f->tearing = true;
        under(v)->pwritev(under(v), fd, parts, count, at);
    }
    return error ? -error : under(v)->pwritev(under(v), fd, parts, count, at);
}

static int f_fdatasync(struct sk_vfs *v, int fd)
{
    int error = turn(v, FAULT_FDATASYNC);
    return error ? -error : under(v)->fdatasync(under(v), fd);
}

static int f_fsync(struct sk_vfs *v, int fd)
{
    int error = turn(v, FAULT_FSYNC);
    return error ? -error : under(v)->fsync(under(v), fd);
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

static int f_drop_cache(struct sk_vfs *v, int fd, uint64_t from)
{
    return under(v)->drop_cache(under(v), fd, from);
}

struct faulty_vfs faulty_vfs_over(struct sk_vfs *disk)
{
    return (struct faulty_vfs){
        .vfs = {f_open,     f_close,  f_pread,  f_pwritev, f_fdatasync, f_fsync,     f_allocate,
                f_truncate, f_rename, f_unlink, f_mkdir,   f_list,      f_sync_dir,  f_stat,
                f_space,    f_map,    f_unmap,  f_lock,    f_next_data, f_drop_cache},
        .under = disk,
        .lock = PTHREAD_MUTEX_INITIALIZER,
    };
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

void faulty_vfs_disarm(struct faulty_vfs *f)
{
    faulty_vfs_arm(f, FAULT_ANY, 0, 0, FAULT_ONCE);
}

const char *fault_verb_name(enum fault_verb verb)
{
    static const char *const names[FAULT_VERBS] = {
        "any",   "open",     "close",    "pread",  "pwritev", "fdatasync",
        "fsync", "allocate", "truncate", "rename", "unlink",  "mkdir",
        "list",  "sync_dir", "stat",     "map",    "lock",    "next_data"};
    return names[verb];
}
