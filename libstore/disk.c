/* disk.c - loops and sentences around the verbs of the vfs. */
#include "disk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"

enum { DIGITS = 20, ZERO_CHUNK = 256 * 1024 };

void sk_disk_name(char out[SK_DISK_PATH], const char *dir, uint64_t number, const char *suffix)
{
    snprintf(out, SK_DISK_PATH, "%s/%0*" PRIu64 "%s", dir, DIGITS, number, suffix);
}

uint64_t sk_disk_number(const char *name, const char *suffix)
{
    uint64_t number = 0;
    for (int i = 0; i < DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9') return UINT64_MAX;
        number = number * 10 + (uint64_t)(name[i] - '0');
    }
    return strcmp(name + DIGITS, suffix) == 0 ? number : UINT64_MAX;
}

void sk_disk_path(char out[SK_DISK_PATH], const char *dir, const char *name)
{
    snprintf(out, SK_DISK_PATH, "%s/%s", dir, name);
}

struct sk_status sk_disk_open(struct sk_vfs *vfs, const char *path, unsigned flags, int *out)
{
    int fd = vfs->open(vfs, path, flags);
    if (fd < 0) return sk_errno(-fd, "open '%s'", path);
    *out = fd;
    return SK_SUCCESS;
}

void sk_disk_close(struct sk_vfs *vfs, int fd)
{
    if (fd >= 0) vfs->close(vfs, fd);
}

/* Drop `n` written bytes from the front of the parts. */
static void advance(struct iovec **parts, int *count, size_t n)
{
    while (*count > 0 && n >= (*parts)->iov_len) {
        n -= (*parts)->iov_len;
        (*parts)++;
        (*count)--;
    }
    if (*count > 0) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + n;
        (*parts)->iov_len -= n;
    }
}

struct sk_status sk_disk_writev(struct sk_vfs *vfs, int fd, struct iovec *parts, int count,
                                uint64_t at, size_t *written)
{
    size_t done = 0;
    struct sk_status status = SK_SUCCESS;
    advance(&parts, &count, 0); /* empty parts in front would look like a write of nothing */
    while (count > 0) {
        ssize_t n = vfs->pwritev(vfs, fd, parts, count, at + done);
        if (n == -EINTR) continue;
        if (n <= 0) {
            status = sk_errno(n == 0 ? EIO : (int)-n, "write at byte %" PRIu64, at + done);
            break;
        }
        done += (size_t)n;
        advance(&parts, &count, (size_t)n);
    }
    if (written) *written = done;
    return status;
}

struct sk_status sk_disk_write(struct sk_vfs *vfs, int fd, const void *data, size_t len,
                               uint64_t at)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    return sk_disk_writev(vfs, fd, &part, 1, at, NULL);
}

struct sk_status sk_disk_zero(struct sk_vfs *vfs, int fd, uint64_t at, uint64_t end)
{
    static const uint8_t zeros[ZERO_CHUNK];
    while (at < end) {
        size_t n = end - at < ZERO_CHUNK ? (size_t)(end - at) : ZERO_CHUNK;
        SK_TRY(sk_disk_write(vfs, fd, zeros, n, at));
        at += n;
    }
    return SK_SUCCESS;
}

struct sk_status sk_disk_read(struct sk_vfs *vfs, int fd, void *out, size_t len, uint64_t at)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = vfs->pread(vfs, fd, (uint8_t *)out + done, len - done, at + done);
        if (n == -EINTR) continue;
        if (n < 0) return sk_errno((int)-n, "read at byte %" PRIu64, at + done);
        if (n == 0) return sk_error(SK_CORRUPT, "the file ends at byte %" PRIu64, at + done);
        done += (size_t)n;
    }
    return SK_SUCCESS;
}

static struct sk_status write_and_sync(struct sk_vfs *vfs, const char *path, struct iovec *parts,
                                       int count)
{
    int fd = -1;
    SK_TRY(sk_disk_open(vfs, path, SK_VFS_WRITE | SK_VFS_CREATE, &fd));
    int err = vfs->truncate(vfs, fd, 0); /* a leftover of an earlier try may be longer */
    struct sk_status s = err < 0 ? sk_errno(-err, "truncate") : SK_SUCCESS;
    if (sk_ok(s)) s = sk_disk_writev(vfs, fd, parts, count, 0, NULL);
    if (sk_ok(s) && (err = vfs->fsync(vfs, fd)) < 0) s = sk_errno(-err, "fsync");
    if ((err = vfs->close(vfs, fd)) < 0 && sk_ok(s)) s = sk_errno(-err, "close");
    return sk_while(s, "file '%s'", path);
}

struct sk_status sk_disk_replace(struct sk_vfs *vfs, const char *dir, const char *path,
                                 struct iovec *parts, int count)
{
    char tmp[SK_DISK_PATH];
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    struct sk_status s = write_and_sync(vfs, tmp, parts, count);
    int err;
    if (sk_ok(s) && (err = vfs->rename(vfs, tmp, path)) < 0)
        s = sk_errno(-err, "rename to '%s'", path);
    if (!sk_ok(s)) {
        vfs->unlink(vfs, tmp); /* best effort: the next opening sweeps it too */
        return s;
    }
    if ((err = vfs->sync_dir(vfs, dir)) < 0) return sk_errno(-err, "sync directory '%s'", dir);
    return SK_SUCCESS;
}

struct sk_status sk_disk_mkdir(struct sk_vfs *vfs, const char *path, const char *parent)
{
    int err = vfs->mkdir(vfs, path);
    if (err == -EEXIST) return SK_SUCCESS;
    if (err < 0) return sk_errno(-err, "make directory '%s'", path);
    if ((err = vfs->sync_dir(vfs, parent)) < 0)
        return sk_errno(-err, "sync directory '%s'", parent);
    return SK_SUCCESS;
}

/* --- listing -------------------------------------------------------------------------- */

struct listing {
    const char *suffix;
    uint64_t *numbers;
    size_t count;
    char **leftovers;
    size_t leftover_count;
};

static bool collect(void *arg, const char *name)
{
    struct listing *l = arg;
    size_t len = strlen(name);
    if (len > 4 && strcmp(name + len - 4, ".tmp") == 0) {
        l->leftovers = sk_realloc(l->leftovers, l->leftover_count + 1, sizeof *l->leftovers);
        l->leftovers[l->leftover_count++] = sk_strdup(name);
    }
    uint64_t number = sk_disk_number(name, l->suffix);
    if (number == UINT64_MAX) return true;
    l->numbers = sk_realloc(l->numbers, l->count + 1, sizeof *l->numbers);
    l->numbers[l->count++] = number;
    return true;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

struct sk_status sk_disk_list(struct sk_vfs *vfs, const char *dir, const char *suffix, bool sweep,
                              uint64_t **out, size_t *count)
{
    struct listing l = {.suffix = suffix};
    int err = vfs->list(vfs, dir, collect, &l);
    for (size_t i = 0; i < l.leftover_count; i++) {
        char path[SK_DISK_PATH];
        sk_disk_path(path, dir, l.leftovers[i]);
        if (sweep) vfs->unlink(vfs, path);
        free(l.leftovers[i]);
    }
    free(l.leftovers);
    if (err < 0) {
        free(l.numbers);
        return sk_errno(-err, "list '%s'", dir);
    }
    if (l.count) qsort(l.numbers, l.count, sizeof *l.numbers, ascending);
    *out = l.numbers;
    *count = l.count;
    return SK_SUCCESS;
}
