/* segment.c - make, open, share and release one file of the log. */
#include "segment.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "disk.h"

static struct sk_status fill(struct sk_vfs *vfs, int fd, uint64_t store_id, uint64_t base,
                             uint64_t bytes, uint64_t zero_bytes)
{
    uint8_t page[SK_HEADER_BYTES];
    sk_header_encode(
        &(struct sk_header){
            .magic = SK_MAGIC_LOG, .store_id = store_id, .position = base, .sizes = {bytes, 0}},
        page);
    int err = vfs->truncate(vfs, fd, 0); /* a leftover of a crash may be in the way */
    if (err < 0) return sk_errno(-err, "truncate");
    if ((err = vfs->allocate(vfs, fd, bytes)) < 0) return sk_errno(-err, "reserve room");
    SK_TRY(sk_disk_write(vfs, fd, page, sizeof page, 0));
    SK_TRY(sk_disk_zero(vfs, fd, sizeof page, zero_bytes));
    if ((err = vfs->fsync(vfs, fd)) < 0) return sk_errno(-err, "fsync");
    return SK_SUCCESS;
}

/* Map an open file; it is the segment's from here on, also on failure. */
static struct sk_status adopt(struct sk_vfs *vfs, int fd, uint64_t base, uint64_t bytes,
                              struct sk_segment **out)
{
    const uint8_t *map = NULL;
    int err = vfs->map(vfs, fd, (size_t)bytes, &map);
    if (err < 0) {
        sk_disk_close(vfs, fd);
        return sk_errno(-err, "map");
    }
    struct sk_segment *s = sk_zalloc(1, sizeof *s);
    *s = (struct sk_segment){.base = base, .bytes = bytes, .fd = fd, .map = map, .vfs = vfs};
    atomic_init(&s->refs, 1);
    *out = s;
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

struct sk_status sk_segment_create(struct sk_vfs *vfs, const char *dir, uint64_t store_id,
                                   uint64_t base, uint64_t bytes, uint64_t zero_bytes,
                                   struct sk_segment **out)
{
    char path[SK_DISK_PATH], tmp[SK_DISK_PATH];
    sk_disk_name(path, dir, base, ".log");
    sk_disk_name(tmp, dir, base, ".log.tmp");

    int fd = -1;
    SK_TRY(sk_disk_open(vfs, tmp, SK_VFS_WRITE | SK_VFS_CREATE, &fd));
    struct sk_status s = fill(vfs, fd, store_id, base, bytes, zero_bytes);
    if (sk_ok(s)) s = place(vfs, dir, tmp, path);
    if (!sk_ok(s)) {
        sk_disk_close(vfs, fd);
        vfs->unlink(vfs, tmp);
        vfs->unlink(vfs, path);
        return sk_while(s, "make segment '%s'", path);
    }
    return sk_while(adopt(vfs, fd, base, bytes, out), "segment '%s'", path);
}

static struct sk_status check(struct sk_vfs *vfs, const char *path, int fd, uint64_t store_id,
                              uint64_t base, uint64_t bytes)
{
    struct sk_header header;
    SK_TRY(sk_header_read(vfs, fd, SK_MAGIC_LOG, store_id, base, &header));
    struct sk_vfs_stat stat;
    int err = vfs->stat(vfs, path, &stat);
    if (err < 0) return sk_errno(-err, "stat");
    if (header.sizes[0] != bytes || stat.bytes != bytes)
        return sk_error(SK_CORRUPT, "the file has %llu bytes, a segment %llu",
                        (unsigned long long)stat.bytes, (unsigned long long)bytes);
    return SK_SUCCESS;
}

struct sk_status sk_segment_open(struct sk_vfs *vfs, const char *dir, uint64_t store_id,
                                 uint64_t base, uint64_t bytes, bool writable,
                                 struct sk_segment **out)
{
    char path[SK_DISK_PATH];
    sk_disk_name(path, dir, base, ".log");
    int fd = -1;
    SK_TRY(sk_disk_open(vfs, path, writable ? SK_VFS_WRITE : SK_VFS_READ, &fd));
    struct sk_status s = check(vfs, path, fd, store_id, base, bytes);
    if (!sk_ok(s)) {
        sk_disk_close(vfs, fd);
        return sk_while(s, "segment '%s'", path);
    }
    return sk_while(adopt(vfs, fd, base, bytes, out), "segment '%s'", path);
}

/* A reference may be handed over to a thread of the C core, which orders that with locks of its
 * own; it is not instrumented, so the thread sanitizer has to be told. */
#ifdef __SANITIZE_THREAD__
void __tsan_release(void *object);
void __tsan_acquire(void *object);
#define HAND_OUT(segment) __tsan_release(segment)
#define TAKE_BACK(segment) __tsan_acquire(segment)
#else
#define HAND_OUT(segment) (void)(segment)
#define TAKE_BACK(segment) (void)(segment)
#endif

struct sk_segment *sk_segment_ref(struct sk_segment *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    HAND_OUT(s);
    return s;
}

void sk_segment_unref(struct sk_segment *s)
{
    if (!s) return;
    TAKE_BACK(s);
    /* Release our last reads of the map, and see those of the others before unmapping. */
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
    s->vfs->unmap(s->vfs, s->map, (size_t)s->bytes);
    sk_disk_close(s->vfs, s->fd);
    free(s);
}

uint8_t *sk_segment_data_pages(struct sk_vfs *vfs, const struct sk_segment *s, uint64_t from)
{
    uint8_t *pages = sk_zalloc(s->bytes / SK_SEGMENT_PAGE / 8 + 1, 1);
    uint64_t at = from - from % SK_SEGMENT_PAGE;
    while (at < s->bytes) {
        int64_t data = vfs->next_data(vfs, s->fd, at);
        if (data < 0) data = (int64_t)at;
        if ((uint64_t)data >= s->bytes) break;
        uint64_t page = (uint64_t)data / SK_SEGMENT_PAGE;
        pages[page / 8] |= (uint8_t)(1u << (page % 8));
        at = (page + 1) * SK_SEGMENT_PAGE;
    }
    return pages;
}
