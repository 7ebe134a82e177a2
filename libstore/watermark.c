/* watermark.c - WATERMARK FILE, version 2. Two slots, at bytes 0 and 4096, written in turn so
 * that a torn write spares the other. Little endian.
 *
 *   0   4  crc32c of bytes [4, 64)
 *   4   4  magic "SKWM"
 *   8   4  format version (2)
 *  12   4  1 = clean: nothing follows the flushed position
 *  16   8  store id
 *  24   8  sequence: the slot with the higher one counts; slot = sequence % 2
 *  32   8  flushed position
 *  40   8  own from: records at or above it are this node's own; all ones: it receives
 *  48   8  cut: a cut to this position is under way; 0: none
 *  56   4  gone: the highest epoch that a cut took away
 *  60   4  zero */
#include "watermark.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "disk.h"

enum { SLOT_BYTES = 64, SLOT_STRIDE = 4096, MAGIC = 0x4d574b53, VERSION = 2 };

static bool parse(const uint8_t *p, uint64_t store_id)
{
    return sk_get_u32(p + 4) == MAGIC && sk_get_u32(p + 8) == VERSION &&
           sk_get_u64(p + 16) == store_id && sk_get_u32(p) == sk_crc32c(0, p + 4, SLOT_BYTES - 4);
}

struct sk_status sk_watermark_read(struct sk_vfs *vfs, int fd, uint64_t store_id,
                                   struct sk_watermark_slots *out)
{
    struct sk_watermark_slots slots = {0};
    for (int i = 0; i < 2; i++) {
        uint8_t p[SLOT_BYTES] = {0}, zeros[SLOT_BYTES] = {0};
        ssize_t n = vfs->pread(vfs, fd, p, sizeof p, (uint64_t)i * SLOT_STRIDE);
        if (n < 0) return sk_errno((int)-n, "read the watermark");
        slots.blank[i] = memcmp(p, zeros, sizeof p) == 0;
        slots.valid[i] = parse(p, store_id);
        uint64_t sequence = sk_get_u64(p + 24);
        if (!slots.valid[i] || sequence < slots.sequence) continue;
        slots.sequence = sequence;
        slots.flushed = sk_get_u64(p + 32);
        slots.own_from = sk_get_u64(p + 40);
        slots.cut = sk_get_u64(p + 48);
        slots.gone = sk_get_u32(p + 56);
        slots.clean = sk_get_u32(p + 12) == 1;
    }
    *out = slots;
    return SK_SUCCESS;
}

struct sk_status sk_watermark_open(struct sk_watermark *w, struct sk_vfs *vfs, const char *path,
                                   uint64_t store_id)
{
    int fd = -1;
    SK_TRY(sk_disk_open(vfs, path, SK_VFS_WRITE | SK_VFS_CREATE, &fd));
    struct sk_watermark_slots slots;
    struct sk_status s = sk_watermark_read(vfs, fd, store_id, &slots);
    if (!sk_ok(s)) {
        sk_disk_close(vfs, fd);
        return s;
    }
    *w = (struct sk_watermark){
        .vfs = vfs,
        .fd = fd,
        .store_id = store_id,
        .sequence = slots.sequence,
        .flushed = slots.flushed,
        .own_from = slots.own_from,
        .cut = slots.cut,
        .gone = slots.gone,
        .clean = slots.clean,
    };
    sk_mutex_init(&w->lock);
    return SK_SUCCESS;
}

void sk_watermark_done(struct sk_watermark *w)
{
    sk_disk_close(w->vfs, w->fd);
    sk_mutex_done(&w->lock);
}

static struct sk_status put(struct sk_watermark *w, uint64_t flushed, bool clean)
    SK_REQUIRES(w->lock)
{
    uint8_t p[SLOT_BYTES] = {0};
    w->sequence++;
    w->flushed = flushed;
    w->clean = clean;
    sk_put_u32(p + 4, MAGIC);
    sk_put_u32(p + 8, VERSION);
    sk_put_u32(p + 12, clean);
    sk_put_u64(p + 16, w->store_id);
    sk_put_u64(p + 24, w->sequence);
    sk_put_u64(p + 32, flushed);
    sk_put_u64(p + 40, w->own_from);
    sk_put_u64(p + 48, w->cut);
    sk_put_u32(p + 56, w->gone);
    sk_put_u32(p, sk_crc32c(0, p + 4, SLOT_BYTES - 4));
    return sk_disk_write(w->vfs, w->fd, p, sizeof p, w->sequence % 2 * SLOT_STRIDE);
}

void sk_watermark_advance(struct sk_watermark *w, uint64_t flushed)
{
    sk_mutex_lock(&w->lock);
    if (flushed > w->flushed) {
        struct sk_status ignored = put(w, flushed, false);
        (void)ignored;
    }
    sk_mutex_unlock(&w->lock);
}

static struct sk_status sync_file(struct sk_watermark *w)
{
    int err = w->vfs->fsync(w->vfs, w->fd);
    return err < 0 ? sk_errno(-err, "fsync of the watermark") : SK_SUCCESS;
}

static struct sk_status put_durably(struct sk_watermark *w, uint64_t flushed, bool clean)
{
    sk_mutex_lock(&w->lock);
    struct sk_status s = put(w, flushed, clean);
    sk_mutex_unlock(&w->lock);
    SK_TRY(s);
    return sync_file(w);
}

/* What the mark says by now, into one slot and then into the other. */
static struct sk_status put_in_both(struct sk_watermark *w)
{
    for (int i = 0; i < 2; i++) {
        sk_mutex_lock(&w->lock);
        struct sk_status s = put(w, w->flushed, false);
        sk_mutex_unlock(&w->lock);
        SK_TRY(s);
        SK_TRY(sync_file(w));
    }
    return SK_SUCCESS;
}

struct sk_status sk_watermark_own(struct sk_watermark *w, uint64_t flushed, uint64_t own_from)
{
    sk_mutex_lock(&w->lock);
    w->own_from = own_from;
    if (w->flushed < flushed) w->flushed = flushed;
    sk_mutex_unlock(&w->lock);
    return put_in_both(w);
}

struct sk_status sk_watermark_cut(struct sk_watermark *w, uint64_t position, uint32_t epoch)
{
    sk_mutex_lock(&w->lock);
    w->cut = position;
    if (w->gone < epoch) w->gone = epoch;
    if (w->own_from != SK_OWN_NONE && w->own_from > position) w->own_from = position;
    if (w->flushed > position) w->flushed = position;
    sk_mutex_unlock(&w->lock);
    return put_in_both(w);
}

struct sk_status sk_watermark_cut_done(struct sk_watermark *w)
{
    sk_mutex_lock(&w->lock);
    w->cut = 0;
    sk_mutex_unlock(&w->lock);
    return put_in_both(w);
}

struct sk_status sk_watermark_begin(struct sk_watermark *w, uint64_t flushed)
{
    if (w->clean) return put_durably(w, flushed, false);
    sk_watermark_advance(w, flushed);
    return SK_SUCCESS;
}

struct sk_status sk_watermark_end(struct sk_watermark *w, uint64_t flushed)
{
    return put_durably(w, flushed, true);
}
