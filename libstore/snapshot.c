/* snapshot.c - SNAPSHOT FILE, version 2: "<position>.snap"
 *
 *      0  4096  header page (header.c), "SKSN": position, owner's bytes, store's bytes, reach
 *   4096     .  the owner's bytes, then the store's: table of epochs (epochs.c), index' table
 *               (index_file.c)
 *      .     .  a crc32c per 64 KiB of that, begun with the checksum of (position u64, block u64)
 *      .     4  crc32c of these checksums */
#include "snapshot.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/memory.h"
#include "disk.h"
#include "header.h"

enum { BLOCK = 64 * 1024 };

static uint32_t block_sum(uint64_t position, struct sk_slice body, uint64_t block)
{
    uint8_t place[16];
    sk_put_u64(place, position);
    sk_put_u64(place + 8, block);
    uint64_t at = block * BLOCK;
    uint64_t len = body.len - at < BLOCK ? body.len - at : BLOCK;
    return sk_crc32c(sk_crc32c(0, place, sizeof place), body.data + at, (size_t)len);
}

static void put_sums(struct sk_buffer *out, uint64_t position, struct sk_slice body)
{
    for (uint64_t b = 0; b * BLOCK < body.len; b++)
        sk_buffer_put_u32(out, block_sum(position, body, b));
    sk_buffer_put_u32(out, sk_crc32c(0, out->data, out->len));
}

struct sk_status sk_snapshot_write(struct sk_vfs *vfs, const char *dir, uint64_t store_id,
                                   uint64_t position, struct sk_slice body, uint64_t owner_bytes,
                                   uint64_t begin)
{
    uint8_t page[SK_HEADER_BYTES];
    sk_header_encode(&(struct sk_header){.magic = SK_MAGIC_SNAPSHOT,
                                         .store_id = store_id,
                                         .position = position,
                                         .sizes = {owner_bytes, body.len - owner_bytes},
                                         .reach = position,
                                         .begin = begin},
                     page);
    struct sk_buffer sums = {0};
    put_sums(&sums, position, body);
    struct iovec parts[] = {
        {.iov_base = page, .iov_len = sizeof page},
        {.iov_base = (void *)(uintptr_t)body.data, .iov_len = body.len},
        {.iov_base = sums.data, .iov_len = sums.len},
    };
    char path[SK_DISK_PATH];
    sk_disk_name(path, dir, position, ".snap");
    struct sk_status s = sk_disk_replace(vfs, dir, path, parts, 3);
    sk_buffer_done(&sums);
    return sk_while(s, "snapshot");
}

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
