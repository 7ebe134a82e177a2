/* crc32c.h - the Castagnoli checksum (RFC 3720), hardware-accelerated by ISA-L.
 *
 * Known answer: sk_crc32c(0, "123456789", 9) == 0xE3069283. The seed is a value
 * that an earlier call returned (0 to begin), so checksums can be continued
 * over several pieces: crc(crc(0, a), b) == crc(0, ab). */
#ifndef SK_BASE_CRC32C_H
#define SK_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t sk_crc32c(uint32_t seed, const void *data, size_t len);

#endif
