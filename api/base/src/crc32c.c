/* crc32c.c - ISA-L's iSCSI checksum wants the raw register; we keep the usual convention
 * (inverted in and out), so that seeds chain. */
#include "base/crc32c.h"

#include <isa-l/crc.h>

/* ISA-L 2.30 returns from its AVX-512 code with the upper halves of the vector registers in use.
 * Whatever SSE code runs next, ours and the C core's, then pays for each switch between the two
 * until somebody clears them: 205 ns instead of 56 ns around the checksum of one small record. */
#ifdef __x86_64__
__attribute__((target("avx"))) static void clear_upper_halves(void)
{
    __builtin_ia32_vzeroupper();
}

static void leave_vector_code(void)
{
    if (__builtin_cpu_supports("avx")) clear_upper_halves();
}
#else
static void leave_vector_code(void) {}
#endif

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
    leave_vector_code();
    return ~raw;
}

uint32_t sk_crc32(uint32_t seed, const void *data, size_t len)
{
    uint32_t crc = crc32_gzip_refl(seed, data, len);
    leave_vector_code();
    return crc;
}
