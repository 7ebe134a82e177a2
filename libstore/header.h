/* header.h - the page at the front of every file of the store: what it is and whose.
 * Private to libstore; the table is in header.c. */
#ifndef SK_STORE_HEADER_H
#define SK_STORE_HEADER_H

#include <stdint.h>

#include "base/status.h"

struct sk_vfs;

enum {
    SK_HEADER_BYTES = 4096,
    SK_FORMAT_VERSION = 2,
};

enum sk_header_magic {                                 /* four letters, little endian */
                       SK_MAGIC_STORE = 0x54534b53,    /* "SKST" identity */
                       SK_MAGIC_LOG = 0x474c4b53,      /* "SKLG" log segment */
                       SK_MAGIC_INDEX = 0x58494b53,    /* "SKIX" index file */
                       SK_MAGIC_SNAPSHOT = 0x4e534b53, /* "SKSN" snapshot */
};

struct sk_header {
    enum sk_header_magic magic;
    uint64_t store_id;
    uint64_t position; /* base of a segment, position of a snapshot, 0 */
    uint64_t sizes[2]; /* log, identity: segment bytes; snapshot: owner's and store's bytes */
    uint64_t reach;    /* snapshot: nothing in it speaks of anything at or above this position */
    uint64_t begin;    /* snapshot: the log's recorded beginning */
};

void sk_header_encode(const struct sk_header *header, uint8_t out[SK_HEADER_BYTES]);
/* SK_CORRUPT when the page is damaged or is another kind of file, SK_INVALID for another format
 * version. */
SK_CHECKED struct sk_status sk_header_parse(const uint8_t page[SK_HEADER_BYTES],
                                            enum sk_header_magic magic, struct sk_header *out);
/* Read it from the file's front, and check that it belongs here; store_id 0: any. */
SK_CHECKED struct sk_status sk_header_read(struct sk_vfs *vfs, int fd, enum sk_header_magic magic,
                                           uint64_t store_id, uint64_t position,
                                           struct sk_header *out);

#endif
