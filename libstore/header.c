/* header.c - HEADER PAGE, version 2. 4096 bytes, little endian.
 *
 *   0   4  crc32c of bytes [4, 4096)
 *   4   4  magic: "SKST" identity, "SKLG" log segment, "SKIX" index file, "SKSN" snapshot
 *   8   4  format version (2)
 *  12   4  zero
 *  16   8  store id, drawn when the directory was made
 *  24   8  position: the segment's base, or what the snapshot covers
 *  32  16  two sizes: segment bytes and 0; or the owner's and the store's bytes of a snapshot
 *  48   8  reach: a snapshot speaks of nothing at or above this position; 0 in other files
 *  56   8  where the log begins, as recorded; 0 in other files
 *  64   .  zero */
#include "header.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "disk.h"

void sk_header_encode(const struct sk_header *h, uint8_t out[SK_HEADER_BYTES])
{
    memset(out, 0, SK_HEADER_BYTES);
    sk_put_u32(out + 4, h->magic);
    sk_put_u32(out + 8, SK_FORMAT_VERSION);
    sk_put_u64(out + 16, h->store_id);
    sk_put_u64(out + 24, h->position);
    sk_put_u64(out + 32, h->sizes[0]);
    sk_put_u64(out + 40, h->sizes[1]);
    sk_put_u64(out + 48, h->reach);
    sk_put_u64(out + 56, h->begin);
    sk_put_u32(out, sk_crc32c(0, out + 4, SK_HEADER_BYTES - 4));
}

static struct sk_status check_version(uint32_t version)
{
    if (version == SK_FORMAT_VERSION) return SK_SUCCESS;
    const char *advice = version < SK_FORMAT_VERSION
                             ? "export the data with the program that wrote it and start with an "
                               "empty directory"
                             : "a newer program wrote it: use that one";
    return sk_error(SK_INVALID, "format version %u; this program reads version %d only: %s",
                    version, SK_FORMAT_VERSION, advice);
}

struct sk_status sk_header_parse(const uint8_t page[SK_HEADER_BYTES], enum sk_header_magic magic,
                                 struct sk_header *out)
{
    if (sk_get_u32(page + 4) != (uint32_t)magic)
        return sk_error(SK_CORRUPT, "byte 4: this is not a file of this kind of a Skua store");
    if (sk_crc32c(0, page + 4, SK_HEADER_BYTES - 4) != sk_get_u32(page))
        return sk_error(SK_CORRUPT, "byte 0: the header's checksum differs");
    SK_TRY(check_version(sk_get_u32(page + 8)));
    *out = (struct sk_header){
        .magic = magic,
        .store_id = sk_get_u64(page + 16),
        .position = sk_get_u64(page + 24),
        .sizes = {sk_get_u64(page + 32), sk_get_u64(page + 40)},
        .reach = sk_get_u64(page + 48),
        .begin = sk_get_u64(page + 56),
    };
    return SK_SUCCESS;
}

struct sk_status sk_header_read(struct sk_vfs *vfs, int fd, enum sk_header_magic magic,
                                uint64_t store_id, uint64_t position, struct sk_header *out)
{
    uint8_t page[SK_HEADER_BYTES];
    SK_TRY(sk_disk_read(vfs, fd, page, sizeof page, 0));
    struct sk_header h;
    SK_TRY(sk_header_parse(page, magic, &h));
    if (store_id && h.store_id != store_id)
        return sk_error(SK_CORRUPT,
                        "the file belongs to another store (id %016" PRIx64 ", not %016" PRIx64 ")",
                        h.store_id, store_id);
    if (h.position != position)
        return sk_error(SK_CORRUPT, "the file says position %" PRIu64 ", its name %" PRIu64,
                        h.position, position);
    *out = h;
    return SK_SUCCESS;
}
