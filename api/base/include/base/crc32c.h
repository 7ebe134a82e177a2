/* crc32c.h - the Castagnoli checksum (RFC 3720), hardware-accelerated by ISA-L, and the one of
 * zlib and Ethernet for those who ask for that.
 *
 * Known answers: sk_crc32c(0, "123456789", 9) == 0xE3069283, sk_crc32 of it 0xCBF43926. The seed
 * is a value that an earlier call returned (0 to begin), so checksums can be continued
 * over several pieces: crc(crc(0, a), b) == crc(0, ab). */
#ifndef SK_BASE_CRC32C_H
#define SK_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t sk_crc32c(uint32_t seed, const void *data, size_t len);
uint32_t sk_crc32(uint32_t seed, const void *data, size_t len);

#endif
