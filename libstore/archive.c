/* archive.c - "<epoch>-<position>.log", 10 and 20 digits: byte n of the file is byte position + n
 * of the log, header pages included. */
#include "archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "disk.h"

/* --- writing -------------------------------------------------------------------------------- */

static void name_of(char out[SK_DISK_PATH], const char *dir, uint32_t epoch, uint64_t position,
                    const char *suffix)
{
    snprintf(out, SK_DISK_PATH, "%s/%010" PRIu32 "-%020" PRIu64 "%s", dir, epoch, position, suffix);
}

static struct sk_status copy(struct sk_commitlog *log, int fd, uint64_t from, uint64_t to)
{
    struct sk_status status = SK_SUCCESS;
    for (uint64_t at = from; sk_ok(status) && at < to;) {
        struct sk_segment *s = sk_commitlog_pin(log, at);
        if (!s) return sk_error(SK_CORRUPT, "the log has no position %" PRIu64, at);
        struct sk_slice bytes = sk_segment_from(s, at);
        if (bytes.len > to - at) bytes.len = (size_t)(to - at);
        status = sk_disk_write(log->vfs, fd, bytes.data, bytes.len, at - from);
        sk_segment_unref(s);
        at += bytes.len;
    }
    return status;
}

static struct sk_status fill(struct sk_commitlog *log, int fd, uint64_t from, uint64_t to)
{
    int err = log->vfs->truncate(log->vfs, fd, 0); /* a leftover of an earlier try may be longer */
    if (err < 0) return sk_errno(-err, "truncate");
    SK_TRY(copy(log, fd, from, to));
    if ((err = log->vfs->fsync(log->vfs, fd)) < 0) return sk_errno(-err, "fsync");
    return SK_SUCCESS;
}

static struct sk_status place(struct sk_vfs *vfs, const char *dir, const char *tmp,
                              const char *path)
{
    int err = vfs->rename(vfs, tmp, path);
    if (err < 0) return sk_errno(-err, "rename");
    if ((err = vfs->sync_dir(vfs, dir)) < 0) return sk_errno(-err, "sync its directory");
    return SK_SUCCESS;
}

struct sk_status sk_archive(struct sk_commitlog *log, const char *parent, const char *dir,
                            uint32_t epoch, uint64_t from, uint64_t to)
{
    char path[SK_DISK_PATH], tmp[SK_DISK_PATH];
    name_of(path, dir, epoch, from, ".log");
    name_of(tmp, dir, epoch, from, ".log.tmp");
    SK_TRY(sk_disk_mkdir(log->vfs, dir, parent));
    int fd = -1;
    SK_TRY(sk_disk_open(log->vfs, tmp, SK_VFS_WRITE | SK_VFS_CREATE, &fd));
    struct sk_status s = fill(log, fd, from, to);
    int err = log->vfs->close(log->vfs, fd);
    if (sk_ok(s) && err < 0) s = sk_errno(-err, "close");
    if (sk_ok(s)) s = place(log->vfs, dir, tmp, path);
    if (!sk_ok(s)) log->vfs->unlink(log->vfs, tmp);
    return sk_while(s, "copy what is cut to '%s'", path);
}

/* --- pruning -------------------------------------------------------------------------------- */

struct kept {
    uint32_t epoch;
    uint64_t position, bytes;
};

struct listing {
    struct kept *files;
    size_t count;
};

static bool take(void *arg, const char *name)
{
    struct listing *l = arg;
    char *end;
    uint64_t epoch = strtoull(name, &end, 10);
    if (end != name + 10 || *end != '-' || epoch > UINT32_MAX) return true;
    uint64_t position = sk_disk_number(name + 11, ".log");
    if (position == UINT64_MAX) return true;
    l->files = sk_realloc(l->files, l->count + 1, sizeof *l->files);
    l->files[l->count++] = (struct kept){.epoch = (uint32_t)epoch, .position = position};
    return true;
}

/* Epochs rise with time; of one epoch's tail a second cut lies below the first. */
static int oldest_first(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    if (x->epoch != y->epoch) return x->epoch < y->epoch ? -1 : 1;
    return (x->position < y->position) - (x->position > y->position);
}

static uint64_t measure(struct sk_vfs *vfs, const char *dir, struct listing *l)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < l->count; i++) {
        char path[SK_DISK_PATH];
        struct sk_vfs_stat stat;
        name_of(path, dir, l->files[i].epoch, l->files[i].position, ".log");
        if (vfs->stat(vfs, path, &stat) == 0) l->files[i].bytes = stat.bytes;
        bytes += l->files[i].bytes;
    }
    return bytes;
}

void sk_archive_prune(struct sk_vfs *vfs, const char *dir, uint32_t epoch, uint64_t from)
{
    struct listing l = {0};
    if (vfs->list(vfs, dir, take, &l) < 0) l.count = 0;
    if (l.count) qsort(l.files, l.count, sizeof *l.files, oldest_first);
    uint64_t bytes = measure(vfs, dir, &l);
    size_t left = l.count;
    for (size_t i = 0; i < l.count && (left > SK_ARCHIVE_FILES || bytes > SK_ARCHIVE_BYTES); i++) {
        const struct kept *k = &l.files[i];
        if (k->epoch == epoch && k->position == from) continue;
        char path[SK_DISK_PATH];
        name_of(path, dir, k->epoch, k->position, ".log");
        if (vfs->unlink(vfs, path) < 0) continue;
        left--;
        bytes -= k->bytes;
    }
    free(l.files);
}
