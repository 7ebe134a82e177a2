/* vfs.c - the real disk: each verb is one system call, its errno negated. */
#include "store/vfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int outcome(int result)
{
    return result < 0 ? -errno : result;
}

static int real_open(struct sk_vfs *vfs, const char *path, unsigned flags)
{
    (void)vfs;
    int how = O_CLOEXEC | (flags & SK_VFS_WRITE ? O_RDWR : O_RDONLY);
    if (flags & SK_VFS_CREATE) how |= O_CREAT;
    return outcome(open(path, how, 0640));
}

static int real_close(struct sk_vfs *vfs, int fd)
{
    (void)vfs;
    return outcome(close(fd));
}

static ssize_t real_pread(struct sk_vfs *vfs, int fd, void *out, size_t len, uint64_t at)
{
    (void)vfs;
    ssize_t n = pread(fd, out, len, (off_t)at);
    return n < 0 ? -errno : n;
}

static ssize_t real_pwritev(struct sk_vfs *vfs, int fd, const struct iovec *parts, int count,
                            uint64_t at)
{
    (void)vfs;
    ssize_t n = pwritev(fd, parts, count, (off_t)at);
    return n < 0 ? -errno : n;
}

static int real_fdatasync(struct sk_vfs *vfs, int fd)
{
    (void)vfs;
    return outcome(fdatasync(fd));
}

static int real_fsync(struct sk_vfs *vfs, int fd)
{
    (void)vfs;
    return outcome(fsync(fd));
}

static int real_truncate(struct sk_vfs *vfs, int fd, uint64_t bytes)
{
    (void)vfs;
    return outcome(ftruncate(fd, (off_t)bytes));
}

/* The plain system call, not posix_fallocate: that one writes the file out by hand where the
 * file system cannot reserve, which takes as long as the segment is large. */
static int real_allocate(struct sk_vfs *vfs, int fd, uint64_t bytes)
{
    int result = outcome(fallocate(fd, 0, 0, (off_t)bytes));
    return result == -EOPNOTSUPP ? real_truncate(vfs, fd, bytes) : result;
}

static int real_rename(struct sk_vfs *vfs, const char *from, const char *to)
{
    (void)vfs;
    return outcome(rename(from, to));
}

static int real_unlink(struct sk_vfs *vfs, const char *path)
{
    (void)vfs;
    return outcome(unlink(path));
}

static int real_mkdir(struct sk_vfs *vfs, const char *path)
{
    (void)vfs;
    return outcome(mkdir(path, 0750));
}

static int real_list(struct sk_vfs *vfs, const char *path, sk_vfs_name_fn *each, void *arg)
{
    (void)vfs;
    DIR *dir = opendir(path);
    if (!dir) return -errno;
    errno = 0;
    bool more = true;
    for (struct dirent *d; more && (d = readdir(dir)) != NULL; errno = 0) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
        more = each(arg, d->d_name);
    }
    int error = more ? errno : 0;
    closedir(dir);
    return -error;
}

static int real_sync_dir(struct sk_vfs *vfs, const char *path)
{
    (void)vfs;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int result = outcome(fsync(fd));
    close(fd);
    return result;
}

static int real_stat(struct sk_vfs *vfs, const char *path, struct sk_vfs_stat *out)
{
    (void)vfs;
    struct stat s;
    if (stat(path, &s) < 0) return -errno;
    *out = (struct sk_vfs_stat){.bytes = (uint64_t)s.st_size, .is_dir = S_ISDIR(s.st_mode)};
    return 0;
}

static int real_space(struct sk_vfs *vfs, const char *path, struct sk_vfs_space *out)
{
    (void)vfs;
    struct statvfs s;
    if (statvfs(path, &s) < 0) return -errno;
    /* As df counts: the root user's reserve is not ours, so it is not part of the whole. */
    uint64_t used = (uint64_t)(s.f_blocks - s.f_bfree) * s.f_frsize;
    uint64_t free = (uint64_t)s.f_bavail * s.f_frsize;
    *out = (struct sk_vfs_space){.total_bytes = used + free, .free_bytes = free};
    return 0;
}

static int real_map(struct sk_vfs *vfs, int fd, size_t len, const uint8_t **out)
{
    (void)vfs;
    void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return -errno;
    *out = map;
    return 0;
}

static void real_unmap(struct sk_vfs *vfs, const uint8_t *map, size_t len)
{
    (void)vfs;
    munmap((void *)(uintptr_t)map, len);
}

static int real_lock(struct sk_vfs *vfs, int fd)
{
    (void)vfs;
    return outcome(flock(fd, LOCK_EX | LOCK_NB));
}

static int64_t real_next_data(struct sk_vfs *vfs, int fd, uint64_t from)
{
    (void)vfs;
    off_t at = lseek(fd, (off_t)from, SEEK_DATA);
    if (at >= 0) return at;
    if (errno == ENXIO) { /* only a hole up to the end */
        struct stat s;
        return fstat(fd, &s) < 0 ? -errno : (int64_t)s.st_size;
    }
    return errno == EINVAL ? (int64_t)from : -errno;
}

/* The kernel keeps pages that somebody maps, so the map lets go of them first. */
static int real_drop_cache(struct sk_vfs *vfs, int fd, const uint8_t *map, uint64_t from,
                           uint64_t to)
{
    (void)vfs;
    if (map && to > from)
        madvise((void *)(uintptr_t)(map + from), (size_t)(to - from), MADV_DONTNEED);
    return -posix_fadvise(fd, (off_t)from, to ? (off_t)(to - from) : 0, POSIX_FADV_DONTNEED);
}

/* Without its flags that wait: those would take the news of a failed write from the next fdatasync.
 */
static int real_write_out(struct sk_vfs *vfs, int fd, uint64_t from, uint64_t to)
{
    (void)vfs;
    return outcome(sync_file_range(fd, (off_t)from, (off_t)(to - from), SYNC_FILE_RANGE_WRITE));
}

struct sk_vfs *sk_vfs_real(void)
{
    static struct sk_vfs disk = {
        .open = real_open,
        .close = real_close,
        .pread = real_pread,
        .pwritev = real_pwritev,
        .fdatasync = real_fdatasync,
        .fsync = real_fsync,
        .allocate = real_allocate,
        .truncate = real_truncate,
        .rename = real_rename,
        .unlink = real_unlink,
        .mkdir = real_mkdir,
        .list = real_list,
        .sync_dir = real_sync_dir,
        .stat = real_stat,
        .space = real_space,
        .map = real_map,
        .unmap = real_unmap,
        .lock = real_lock,
        .next_data = real_next_data,
        .drop_cache = real_drop_cache,
        .write_out = real_write_out,
    };
    return &disk;
}
