/* index_table.c - INDEX TABLE, version 2: the last part of a snapshot. Little endian.
 *
 *   u32 version (2)
 *   pieces of queues, in ascending order:
 *       u8 1, u32 queue, u64 next offset, u32 extents in this piece (+ 2^31: another one follows)
 *       per extent: u64 first offset, u32 segment, u32 unit, u16 entries, u16 room
 *   u8 0, u32 first segment, u32 files, per file: u32 units in use
 *
 * It speaks of the entries below the snapshot's position only, though it is written while others
 * are added: those entries are the last ones of their queues, they lie in the last segments, and in
 * the one that both kinds share a full extent stays in memory until the table is written, so that
 * its entries can be told apart. The units in use may be more than the table's: a gap in a file. */
#include <stdlib.h>

#include "base/memory.h"
#include "index_impl.h"

enum { TABLE_VERSION = 2, PIECE_END = 0, PIECE_QUEUE = 1, VISIT = 8 };
enum { PIECE_BYTES = 17, EXTENT_BYTES = 20 };

#define MORE_PIECES ((uint32_t)1 << 31)

/* --- what must wait until the end ------------------------------------------------------------- */

bool sk_index_hold(sk_index *index, uint32_t queue, const struct extent *e)
{
    struct sk_index_save *save = &index->save;
    uint64_t last = e->count ? e->hot[e->count - 1].place & SK_POSITION_MASK : 0;
    if (!save->active || last < save->position) return false;
    if (save->held_count == save->held_room) {
        save->held_room = save->held_room ? save->held_room * 2 : 64;
        save->held = sk_realloc(save->held, save->held_room, sizeof *save->held);
    }
    save->held[save->held_count++] = (struct ready){.queue = queue, .first = e->first};
    return true;
}

bool sk_index_drop_later(sk_index *index, uint32_t queue)
{
    struct sk_index_save *save = &index->save;
    if (!save->active) return false;
    if (save->dropped_count == save->dropped_room) {
        save->dropped_room = save->dropped_room ? save->dropped_room * 2 : 64;
        save->dropped = sk_realloc(save->dropped, save->dropped_room, sizeof *save->dropped);
    }
    save->dropped[save->dropped_count++] = queue;
    return true;
}

void sk_index_save_done(sk_index *index)
{
    free(index->save.held);
    free(index->save.dropped);
    index->save = (struct sk_index_save){0};
}

/* --- save ----------------------------------------------------------------------------------- */

void sk_index_save_begin(sk_index *index, uint64_t position)
{
    sk_mutex_lock(&index->lock);
    index->save = (struct sk_index_save){.active = true, .position = position};
    sk_mutex_unlock(&index->lock);
}

/* How many of its entries lie below the table's position. */
static uint16_t below(const sk_index *index, const struct extent *e)
{
    uint64_t position = index->save.position;
    uint64_t base = e->segment * index->segment_bytes;
    if (base >= position) return 0;
    if (base + index->segment_bytes <= position || !e->hot) return e->count;
    uint16_t low = 0, high = e->count;
    while (low < high) {
        uint16_t middle = (uint16_t)(low + (high - low) / 2);
        if ((e->hot[middle].place & SK_POSITION_MASK) < position)
            low = (uint16_t)(middle + 1);
        else
            high = middle;
    }
    return low;
}

/* The queue as it was then: so many extents, and its next offset. */
static uint32_t extents_then(const sk_index *index, const struct queue *q, uint64_t *next)
{
    uint32_t count = q->count;
    *next = q->next;
    while (count > 0) {
        const struct extent *e = &q->extents[count - 1];
        uint16_t entries = below(index, e);
        if (entries < e->count) *next = e->first + entries;
        if (entries > 0) break;
        count--;
    }
    return count;
}

static void put_extent(const sk_index *index, const struct extent *e, struct sk_buffer *out)
{
    sk_buffer_put_u64(out, e->first);
    sk_buffer_put_u32(out, e->segment);
    sk_buffer_put_u32(out, e->unit);
    sk_buffer_put_u16(out, below(index, e));
    sk_buffer_put_u16(out, e->room);
}

/* What fits of the queue; true: that was all that is left of it. */
static bool put_queue(sk_index *index, uint32_t number, struct queue *q, struct sk_buffer *out,
                      size_t end)
{
    struct sk_index_save *save = &index->save;
    uint64_t next;
    if (save->extent == 0) sk_index_trim(index, q);
    uint32_t count = extents_then(index, q, &next), left = count - save->extent;
    if (count == 0 && next == 0) return true; /* it is younger */
    size_t room = end > out->len + PIECE_BYTES ? (end - out->len - PIECE_BYTES) / EXTENT_BYTES : 0;
    uint32_t now = left <= room ? left : room ? (uint32_t)room : 1;
    sk_buffer_put_u8(out, PIECE_QUEUE);
    sk_buffer_put_u32(out, number);
    sk_buffer_put_u64(out, next);
    sk_buffer_put_u32(out, now | (now < left ? MORE_PIECES : 0));
    for (uint32_t i = 0; i < now; i++) put_extent(index, &q->extents[save->extent + i], out);
    save->extent += now;
    return now == left;
}

/* Files of later segments are as the replay makes them. */
static void put_files(const sk_index *index, struct sk_buffer *out)
{
    uint64_t last = index->save.position / index->segment_bytes;
    uint32_t count = 0;
    while (count < index->file_count && index->first_segment + count <= last) count++;
    sk_buffer_put_u8(out, PIECE_END);
    sk_buffer_put_u32(out, index->first_segment);
    sk_buffer_put_u32(out, count);
    for (uint32_t i = 0; i < count; i++) sk_buffer_put_u32(out, index->files[i]->units);
}

/* Under the lock. */
static bool put_page(sk_index *index, struct sk_buffer *out, size_t most)
{
    struct sk_index_save *save = &index->save;
    size_t end = out->len + most, visited = 0;
    if (!save->begun) sk_buffer_put_u32(out, TABLE_VERSION);
    save->begun = true;
    uint64_t queues = (uint64_t)index->page_count * SK_QUEUE_PAGE;
    while (save->queue < queues) {
        if (out->len + visited++ * VISIT >= end) return true;
        struct queue *page = index->pages[save->queue / SK_QUEUE_PAGE];
        struct queue *q = page ? &page[save->queue % SK_QUEUE_PAGE] : NULL;
        if (q && q->known && !put_queue(index, save->queue, q, out, end)) return true;
        save->extent = 0;
        save->queue = page ? save->queue + 1 : (save->queue | (SK_QUEUE_PAGE - 1)) + 1;
    }
    put_files(index, out);
    return false;
}

bool sk_index_save_page(sk_index *index, struct sk_buffer *out, size_t most)
{
    sk_mutex_lock(&index->lock);
    bool more = put_page(index, out, most);
    sk_mutex_unlock(&index->lock);
    return more;
}

void sk_index_save_end(sk_index *index)
{
    sk_mutex_lock(&index->lock);
    struct sk_index_save *save = &index->save;
    for (uint32_t i = 0; i < save->held_count; i++)
        sk_index_list_ready(index, save->held[i].queue, save->held[i].first);
    for (uint32_t i = 0; i < save->dropped_count; i++) {
        struct queue *q = sk_index_queue(index, save->dropped[i]);
        if (q) sk_index_forget(q);
    }
    sk_index_save_done(index);
    sk_mutex_unlock(&index->lock);
}

/* --- load ----------------------------------------------------------------------------------- */

/* What it says together with the one before it: a later save counts on it. */
static bool can_follow(const struct extent *last, const struct extent *e)
{
    return !last || (e->first == last->first + last->count && e->segment >= last->segment);
}

static bool load_extents(struct sk_reader *r, struct queue *q, uint32_t count, uint64_t *past)
{
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct extent e = {.first = sk_read_u64(r)};
        e.segment = sk_read_u32(r);
        e.unit = sk_read_u32(r);
        e.count = e.written = sk_read_u16(r);
        e.room = sk_read_u16(r);
        const struct extent *last = q->count ? &q->extents[q->count - 1] : NULL;
        if (r->failed || !can_follow(last, &e) || e.count == 0 || e.count > e.room ||
            e.room > SK_EXTENT_MOST)
            return false;
        if (e.segment >= *past) *past = (uint64_t)e.segment + 1;
        sk_index_push_extent(q, e);
    }
    return !r->failed;
}

struct load {
    uint32_t queue; /* of the piece before; UINT32_MAX: none */
    bool open;      /* more pieces of it must come */
    uint64_t past;  /* the last segment that an extent lies in */
};

static bool load_piece(sk_index *index, struct sk_reader *r, struct load *load)
{
    uint32_t number = sk_read_u32(r);
    uint64_t next = sk_read_u64(r);
    uint32_t extents = sk_read_u32(r);
    bool next_one = load->queue == UINT32_MAX || number > load->queue;
    if (r->failed || (load->open ? number != load->queue : !next_one)) return false;
    struct queue *q = sk_index_make_queue(index, number);
    if (!q) return false;
    q->next = next;
    load->queue = number;
    load->open = extents & MORE_PIECES;
    if (!load_extents(r, q, extents & ~MORE_PIECES, &load->past)) return false;
    const struct extent *e = q->count ? &q->extents[q->count - 1] : NULL;
    return load->open || !e || e->first + e->count == next;
}

static bool load_files(sk_index *index, struct sk_reader *r, const struct load *load,
                       uint64_t position)
{
    uint32_t first = sk_read_u32(r), files = sk_read_u32(r);
    uint64_t end = (uint64_t)first + files;
    if (r->failed || files > sk_reader_left(r) / sizeof(uint32_t)) return false;
    if (load->past > end || end > position / index->segment_bytes + 1) return false;
    index->first_segment = first;
    for (uint32_t i = 0; i < files; i++)
        sk_index_make_file(index, first + i)->units = sk_read_u32(r);
    return sk_reader_left(r) == 0;
}

static bool load_table(sk_index *index, struct sk_reader *r, uint64_t position)
{
    if (sk_read_u32(r) != TABLE_VERSION) return false;
    struct load load = {.queue = UINT32_MAX};
    uint8_t piece;
    while ((piece = sk_read_u8(r)) == PIECE_QUEUE && !r->failed)
        if (!load_piece(index, r, &load)) return false;
    return !r->failed && piece == PIECE_END && !load.open && load_files(index, r, &load, position);
}

void sk_index_set_read_only(sk_index *index)
{
    index->read_only = true;
}

struct sk_status sk_index_load(sk_index *index, struct sk_slice table, uint64_t position,
                               uint64_t begin)
{
    struct sk_reader r = sk_reader_of(table);
    sk_mutex_lock(&index->lock);
    bool read = load_table(index, &r, position);
    sk_mutex_unlock(&index->lock);
    if (!read) return sk_error(SK_CORRUPT, "the table of the queue index cannot be read");
    return sk_index_open_files(index, (uint32_t)(begin / index->segment_bytes));
}
