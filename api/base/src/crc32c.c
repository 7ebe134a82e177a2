/* crc32c.c - ISA-L's iSCSI checksum wants the raw register; we keep the usual convention
 * (inverted in and out), so that seeds chain. */
#include "base/crc32c.h"

#include <isa-l/crc.h>

uint32_t sk_crc32c(uint32_t seed, const void *data, size_t len)
{
    /* The library's parameters are neither const nor size_t; it does not write. */
    unsigned char *bytes = (unsigned char *)(uintptr_t)data;
    uint32_t raw = ~seed;
    while (len > 0) {
        int piece = len > (1u << 30) ? 1 << 30 : (int)len;
        raw = crc32_iscsi(bytes, piece, raw);
        bytes += piece;
        len -= (size_t)piece;
    }
    return ~raw;
}
