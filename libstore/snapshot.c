/* snapshot.c - SNAPSHOT FILE, version 2: "<position>.snap"
 *
 *      0  4096  header page (header.c), "SKSN": position, owner's bytes, store's bytes, reach
 *   4096     .  the owner's bytes, then the store's: table of epochs (epochs.c), index' table
 *               (index_file.c)
 *      .     .  a crc32c per 64 KiB of that, begun with the checksum of (position u64, block u64)
 *      .     4  crc32c of these checksums */
#include "snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/memory.h"
#include "header.h"

enum { BLOCK = 64 * 1024, WRITE_OUT = 16 * BLOCK };

static uint32_t block_sum(uint64_t position, struct sk_slice body, uint64_t block)
{
    uint8_t place[16];
    sk_put_u64(place, position);
    sk_put_u64(place + 8, block);
    uint64_t at = block * BLOCK;
    uint64_t len = body.len - at < BLOCK ? body.len - at : BLOCK;
    return sk_crc32c(sk_crc32c(0, place, sizeof place), body.data + at, (size_t)len);
}

/* --- write ---------------------------------------------------------------------------------- */

struct sk_status sk_snapshot_begin(struct sk_snapshot_writer *w, struct sk_vfs *vfs,
                                   const char *dir, uint64_t position)
{
    *w = (struct sk_snapshot_writer){.vfs = vfs, .dir = dir, .position = position, .fd = -1};
    sk_disk_name(w->path, dir, position, ".snap");
    snprintf(w->tmp, sizeof w->tmp, "%s.tmp", w->path);
    struct sk_status s = sk_disk_open(vfs, w->tmp, SK_VFS_WRITE | SK_VFS_CREATE, &w->fd);
    int err;
    /* A leftover of an earlier try may be longer. */
    if (sk_ok(s) && (err = vfs->truncate(vfs, w->fd, 0)) < 0) s = sk_errno(-err, "truncate");
    if (!sk_ok(s)) sk_snapshot_abandon(w);
    return sk_while(s, "snapshot '%s'", w->tmp);
}

static void begin_block(struct sk_snapshot_writer *w)
{
    uint8_t place[16];
    sk_put_u64(place, w->position);
    sk_put_u64(place + 8, w->bytes / BLOCK);
    w->sum = sk_crc32c(0, place, sizeof place);
}

/* The blocks of the body, as it comes. */
static void add_to_sums(struct sk_snapshot_writer *w, struct sk_slice bytes)
{
    while (bytes.len) {
        size_t room = BLOCK - (size_t)(w->bytes % BLOCK);
        size_t len = bytes.len < room ? bytes.len : room;
        if (room == BLOCK) begin_block(w);
        w->sum = sk_crc32c(w->sum, bytes.data, len);
        w->bytes += len;
        bytes = sk_slice_of(bytes.data + len, bytes.len - len);
        if (w->bytes % BLOCK == 0) sk_buffer_put_u32(&w->sums, w->sum);
    }
}

/* The disk gets it as it comes: what waits for the fsync at the end holds up every fdatasync of the
 * log meanwhile, tens of milliseconds with a million queues. */
static void write_out(struct sk_snapshot_writer *w)
{
    uint64_t end = (SK_HEADER_BYTES + w->bytes) / WRITE_OUT * WRITE_OUT;
    if (end <= w->written_out) return;
    w->vfs->write_out(w->vfs, w->fd, w->written_out, end);
    w->written_out = end;
}

struct sk_status sk_snapshot_put(struct sk_snapshot_writer *w, struct sk_slice bytes)
{
    struct sk_status s =
        sk_disk_write(w->vfs, w->fd, bytes.data, bytes.len, SK_HEADER_BYTES + w->bytes);
    if (sk_ok(s)) add_to_sums(w, bytes);
    if (sk_ok(s)) write_out(w);
    return sk_while(s, "snapshot '%s'", w->tmp);
}

static struct sk_status finish(struct sk_snapshot_writer *w, uint64_t store_id,
                               uint64_t owner_bytes, uint64_t begin)
{
    uint8_t page[SK_HEADER_BYTES];
    sk_header_encode(&(struct sk_header){.magic = SK_MAGIC_SNAPSHOT,
                                         .store_id = store_id,
                                         .position = w->position,
                                         .sizes = {owner_bytes, w->bytes - owner_bytes},
                                         .reach = w->position,
                                         .begin = begin},
                     page);
    if (w->bytes % BLOCK) sk_buffer_put_u32(&w->sums, w->sum);
    sk_buffer_put_u32(&w->sums, sk_crc32c(0, w->sums.data, w->sums.len));
    SK_TRY(sk_disk_write(w->vfs, w->fd, w->sums.data, w->sums.len, SK_HEADER_BYTES + w->bytes));
    SK_TRY(sk_disk_write(w->vfs, w->fd, page, sizeof page, 0));
    int err = w->vfs->fsync(w->vfs, w->fd);
    if (err < 0) return sk_errno(-err, "fsync");
    err = w->vfs->close(w->vfs, w->fd);
    w->fd = -1;
    if (err < 0) return sk_errno(-err, "close");
    err = w->vfs->rename(w->vfs, w->tmp, w->path);
    return err < 0 ? sk_errno(-err, "rename to '%s'", w->path) : SK_SUCCESS;
}

struct sk_status sk_snapshot_finish(struct sk_snapshot_writer *w, uint64_t store_id,
                                    uint64_t owner_bytes, uint64_t begin)
{
    struct sk_status s = finish(w, store_id, owner_bytes, begin);
    if (!sk_ok(s)) {
        sk_snapshot_abandon(w);
        return sk_while(s, "snapshot '%s'", w->tmp);
    }
    sk_buffer_done(&w->sums);
    int err = w->vfs->sync_dir(w->vfs, w->dir);
    return err < 0 ? sk_errno(-err, "sync directory '%s'", w->dir) : SK_SUCCESS;
}

void sk_snapshot_abandon(struct sk_snapshot_writer *w)
{
    if (w->fd >= 0) sk_disk_close(w->vfs, w->fd);
    w->fd = -1;
    w->vfs->unlink(w->vfs, w->tmp); /* best effort: the next opening sweeps it too */
    sk_buffer_done(&w->sums);
}

/* --- read ----------------------------------------------------------------------------------- */

static struct sk_status check(struct sk_slice body, const uint8_t *sums, size_t sum_count,
                              uint64_t position)
{
    if (sk_get_u32(sums + 4 * sum_count) != sk_crc32c(0, sums, 4 * sum_count))
        return sk_error(SK_CORRUPT, "byte %zu: the checksums' checksum differs",
                        SK_HEADER_BYTES + body.len + 4 * sum_count);
    for (size_t b = 0; b < sum_count; b++)
        if (sk_get_u32(sums + 4 * b) != block_sum(position, body, b))
            return sk_error(SK_CORRUPT, "byte %zu: the checksum of this block differs",
                            SK_HEADER_BYTES + b * BLOCK);
    return SK_SUCCESS;
}

static struct sk_status read_body(struct sk_vfs *vfs, int fd, uint64_t file_bytes,
                                  uint64_t store_id, uint64_t position, struct sk_buffer *out,
                                  uint64_t *owner_bytes, uint64_t *begin)
{
    struct sk_header h;
    SK_TRY(sk_header_read(vfs, fd, SK_MAGIC_SNAPSHOT, store_id, position, &h));
    uint64_t len = h.sizes[0] + h.sizes[1];
    uint64_t sum_count = (len + BLOCK - 1) / BLOCK;
    if (h.sizes[0] > file_bytes || h.sizes[1] > file_bytes ||
        SK_HEADER_BYTES + len + 4 * sum_count + 4 != file_bytes)
        return sk_error(SK_CORRUPT, "the file has %" PRIu64 " bytes, its header says otherwise",
                        file_bytes);
    size_t all = (size_t)(file_bytes - SK_HEADER_BYTES);
    sk_buffer_reserve(out, all);
    uint8_t *at = out->data + out->len;
    SK_TRY(sk_disk_read(vfs, fd, at, all, SK_HEADER_BYTES));
    SK_TRY(check(sk_slice_of(at, (size_t)len), at + len, (size_t)sum_count, position));
    out->len += (size_t)len;
    *owner_bytes = h.sizes[0];
    *begin = h.begin;
    return SK_SUCCESS;
}

struct sk_status sk_snapshot_read(struct sk_vfs *vfs, const char *dir, uint64_t store_id,
                                  uint64_t position, struct sk_buffer *body, uint64_t *owner_bytes,
                                  uint64_t *begin)
{
    char path[SK_DISK_PATH];
    sk_disk_name(path, dir, position, ".snap");
    struct sk_vfs_stat stat;
    int fd = -1, err = vfs->stat(vfs, path, &stat);
    if (err < 0) return sk_errno(-err, "stat '%s'", path);
    SK_TRY(sk_disk_open(vfs, path, SK_VFS_READ, &fd));
    struct sk_status s =
        read_body(vfs, fd, stat.bytes, store_id, position, body, owner_bytes, begin);
    sk_disk_close(vfs, fd);
    return sk_while(s, "snapshot '%s'", path);
}

struct sk_status sk_snapshot_reach(struct sk_vfs *vfs, const char *dir, uint64_t store_id,
                                   uint64_t position, uint64_t *reach)
{
    char path[SK_DISK_PATH];
    sk_disk_name(path, dir, position, ".snap");
    int fd = -1;
    SK_TRY(sk_disk_open(vfs, path, SK_VFS_READ, &fd));
    struct sk_header h;
    struct sk_status s = sk_header_read(vfs, fd, SK_MAGIC_SNAPSHOT, store_id, position, &h);
    sk_disk_close(vfs, fd);
    if (sk_ok(s)) *reach = h.reach;
    return sk_while(s, "snapshot '%s'", path);
}
