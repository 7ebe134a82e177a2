/* index.c - the queue index in memory: add, look up, forget. */
#include "index.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "disk.h"
#include "index_impl.h"

enum {
    LOOKUP_RUN = 64,   /* entries read at a time */
    READY_ENOUGH = 32, /* full extents that are worth waking the helper for */
};

sk_index *sk_index_new(struct sk_vfs *vfs, const char *dir, uint64_t store_id,
                       uint64_t segment_bytes)
{
    sk_index *index = sk_zalloc(1, sizeof *index);
    index->vfs = vfs;
    index->dir = sk_strdup(dir);
    index->store_id = store_id;
    index->segment_bytes = segment_bytes;
    sk_mutex_init(&index->lock);
    sk_mutex_init(&index->write_lock);
    return index;
}

void sk_index_free(sk_index *index)
{
    if (!index) return;
    for (uint32_t p = 0; p < index->page_count; p++) {
        for (uint32_t i = 0; index->pages[p] && i < SK_QUEUE_PAGE; i++)
            sk_index_forget(&index->pages[p][i]);
        free(index->pages[p]);
    }
    for (uint32_t i = 0; i < index->file_count; i++) sk_index_file_unref(index->files[i]);
    free(index->pages);
    free(index->files);
    free(index->hot);
    free(index->ready);
    sk_index_save_done(index);
    free(index->dir);
    sk_mutex_done(&index->lock);
    sk_mutex_done(&index->write_lock);
    free(index);
}

/* --- entries -------------------------------------------------------------------------- */

uint64_t sk_entry_place(uint32_t queue, uint64_t offset, const struct sk_index_entry *e)
{
    uint8_t bytes[28];
    sk_put_u32(bytes, queue);
    sk_put_u64(bytes + 4, offset);
    sk_put_u64(bytes + 12, e->position);
    sk_put_u32(bytes + 20, e->size);
    sk_put_u32(bytes + 24, e->tag_hash);
    return e->position | (uint64_t)sk_crc32c(0, bytes, sizeof bytes) << 48;
}

static bool decode(uint32_t queue, uint64_t offset, const struct entry *raw,
                   struct sk_index_entry *out)
{
    *out = (struct sk_index_entry){
        .position = raw->place & SK_POSITION_MASK,
        .size = raw->size,
        .tag_hash = raw->tag_hash,
    };
    return sk_entry_place(queue, offset, out) == raw->place;
}

/* --- queues --------------------------------------------------------------------------- */

struct queue *sk_index_queue(sk_index *index, uint32_t queue)
{
    uint32_t page = queue / SK_QUEUE_PAGE;
    if (page >= index->page_count || !index->pages[page]) return NULL;
    struct queue *q = &index->pages[page][queue % SK_QUEUE_PAGE];
    return q->known ? q : NULL;
}

struct queue *sk_index_make_queue(sk_index *index, uint32_t queue)
{
    if (queue >= SK_MAX_QUEUES) return NULL;
    uint32_t page = queue / SK_QUEUE_PAGE;
    if (page >= index->page_count) {
        uint32_t more = page + 1 > 2 * index->page_count ? page + 1 : 2 * index->page_count;
        index->pages = sk_realloc(index->pages, more, sizeof *index->pages);
        memset(index->pages + index->page_count, 0,
               (more - index->page_count) * sizeof *index->pages);
        index->page_count = more;
    }
    if (!index->pages[page])
        index->pages[page] = sk_zalloc(SK_QUEUE_PAGE, sizeof *index->pages[page]);
    struct queue *q = &index->pages[page][queue % SK_QUEUE_PAGE];
    q->known = true;
    return q;
}

void sk_index_forget(struct queue *q)
{
    for (uint32_t i = 0; i < q->count; i++) free(q->extents[i].hot);
    free(q->extents);
    *q = (struct queue){.listed = q->listed};
}

/* The last extent that begins at or below `offset`, if it reaches it. */
struct extent *sk_index_extent(struct queue *q, uint64_t offset)
{
    uint32_t low = 0, high = q->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (q->extents[middle].first <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0) return NULL;
    struct extent *e = &q->extents[low - 1];
    return offset - e->first < e->count ? e : NULL;
}

void sk_index_push_extent(struct queue *q, struct extent extent)
{
    if ((q->count & (q->count - 1)) == 0) /* none, or a power of two: full */
        q->extents =
            sk_realloc(q->extents, q->count ? 2 * (size_t)q->count : 1, sizeof *q->extents);
    q->extents[q->count++] = extent;
}

void sk_index_trim(sk_index *index, struct queue *q)
{
    uint32_t gone = 0;
    while (gone < q->count && q->extents[gone].segment < index->first_segment)
        free(q->extents[gone++].hot);
    if (gone == 0) return;
    q->count -= gone;
    memmove(q->extents, q->extents + gone, q->count * sizeof *q->extents);
    if (q->count == 0) {
        free(q->extents);
        q->extents = NULL;
    }
}

/* --- files ---------------------------------------------------------------------------- */

struct index_file *sk_index_file(sk_index *index, uint32_t segment)
{
    if (segment < index->first_segment) return NULL;
    uint32_t i = segment - index->first_segment;
    return i < index->file_count ? index->files[i] : NULL;
}

struct index_file *sk_index_make_file(sk_index *index, uint32_t segment)
{
    if (index->file_count == 0) index->first_segment = segment;
    sk_assert(segment >= index->first_segment);
    while (index->first_segment + index->file_count <= segment) {
        struct index_file *f = sk_zalloc(1, sizeof *f);
        f->vfs = index->vfs;
        f->segment = index->first_segment + index->file_count;
        f->fd = -1;
        atomic_init(&f->refs, 1);
        index->files = sk_realloc(index->files, index->file_count + 1, sizeof *index->files);
        index->files[index->file_count++] = f;
    }
    return sk_index_file(index, segment);
}

/* --- writing -------------------------------------------------------------------------- */

/* Under the lock. */
static bool claim_one(sk_index *index, const struct sk_append *r, uint64_t *expected)
{
    struct queue *q = sk_index_queue(index, r->queue);
    *expected = q ? q->next + q->pending : 0;
    if (r->offset != *expected) return false;
    if (!q) q = sk_index_make_queue(index, r->queue);
    if (!q) return false;
    q->pending++;
    return true;
}

/* Under the lock. */
static void unclaim(sk_index *index, const struct sk_append *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct queue *q =
            records[i].queue == SK_NO_QUEUE ? NULL : sk_index_queue(index, records[i].queue);
        if (q && q->pending) q->pending--;
    }
}

bool sk_index_claim(sk_index *index, const struct sk_append *records, size_t count, size_t *bad,
                    uint64_t *expected)
{
    sk_mutex_lock(&index->lock);
    size_t i = 0;
    while (i < count &&
           (records[i].queue == SK_NO_QUEUE || claim_one(index, &records[i], expected)))
        i++;
    if (i < count) unclaim(index, records, i);
    sk_mutex_unlock(&index->lock);
    *bad = i;
    return i == count;
}

void sk_index_unclaim(sk_index *index, const struct sk_append *records, size_t count)
{
    sk_mutex_lock(&index->lock);
    unclaim(index, records, count);
    sk_mutex_unlock(&index->lock);
}

/* An extent for the next entries of `q`, twice the last one if that is of this segment too. */
static struct extent *grow(sk_index *index, struct queue *q, uint32_t segment)
{
    struct extent *last = q->count ? &q->extents[q->count - 1] : NULL;
    uint16_t room = SK_EXTENT_LEAST;
    if (last && last->segment == segment && last->count == last->room)
        room = last->room < SK_EXTENT_MOST ? (uint16_t)(last->room * 2) : SK_EXTENT_MOST;
    struct index_file *file = sk_index_make_file(index, segment);
    sk_index_push_extent(
        q,
        (struct extent){.first = q->next, .segment = segment, .unit = file->units, .room = room});
    file->units += room / SK_EXTENT_LEAST;
    return &q->extents[q->count - 1];
}

static void list_hot(sk_index *index, struct queue *q, uint32_t queue)
{
    if (q->listed) return;
    q->listed = true;
    if (index->hot_count == index->hot_room) {
        index->hot_room = index->hot_room ? index->hot_room * 2 : 64;
        index->hot = sk_realloc(index->hot, index->hot_room, sizeof *index->hot);
    }
    index->hot[index->hot_count++] = queue;
}

void sk_index_list_ready(sk_index *index, uint32_t queue, uint64_t first)
{
    if (index->ready_count == index->ready_room) {
        index->ready_room = index->ready_room ? index->ready_room * 2 : 64;
        index->ready = sk_realloc(index->ready, index->ready_room, sizeof *index->ready);
    }
    index->ready[index->ready_count++] = (struct ready){.queue = queue, .first = first};
    atomic_store_explicit(&index->ready_seen, index->ready_count, memory_order_relaxed);
}

static void put(sk_index *index, struct queue *q, const struct sk_record *r)
{
    uint32_t segment = (uint32_t)(r->span.begin / index->segment_bytes);
    struct extent *e = q->count ? &q->extents[q->count - 1] : NULL;
    if (e && e->hot && e->count < e->room && e->segment != segment)
        sk_index_list_ready(index, r->queue, e->first); /* it will not be filled any more */
    if (!e || !e->hot || e->count == e->room || e->segment != segment) e = grow(index, q, segment);
    if (e->count == 0 || (e->count >= 2 && (e->count & (e->count - 1)) == 0))
        e->hot = sk_realloc(e->hot, e->count ? 2u * e->count : 2, sizeof *e->hot);
    struct sk_index_entry entry = {
        .position = r->span.begin,
        .size = (uint32_t)(r->span.end - r->span.begin),
        .tag_hash = r->tag_hash,
    };
    e->hot[e->count++] = (struct entry){
        .place = sk_entry_place(r->queue, r->offset, &entry),
        .size = entry.size,
        .tag_hash = entry.tag_hash,
    };
    q->next++;
    list_hot(index, q, r->queue);
    if (e->count == e->room) sk_index_list_ready(index, r->queue, e->first);
}

/* Under the lock. */
static bool add(sk_index *index, const struct sk_record *r, bool first)
{
    struct queue *q = sk_index_make_queue(index, r->queue);
    if (!q) return false;
    if (r->offset == 0 && q->next > 0) { /* the number is used again */
        sk_index_forget(q);
        q->known = true;
    }
    if (first && q->count == 0) q->next = r->offset;
    if (q->pending) q->pending--;
    if (r->offset != q->next) return false;
    put(index, q, r);
    return true;
}

bool sk_index_add(sk_index *index, const struct sk_record *r, bool first)
{
    sk_mutex_lock(&index->lock);
    bool fits = add(index, r, first);
    sk_mutex_unlock(&index->lock);
    return fits;
}

void sk_index_add_batch(sk_index *index, const struct sk_append *records,
                        const struct sk_span *spans, size_t count)
{
    sk_mutex_lock(&index->lock);
    for (size_t i = 0; i < count; i++) {
        if (records[i].queue == SK_NO_QUEUE) continue;
        bool fits = add(index,
                        &(struct sk_record){.queue = records[i].queue,
                                            .offset = records[i].offset,
                                            .tag_hash = records[i].tag_hash,
                                            .span = spans[i]},
                        false);
        sk_assert(fits); /* it was claimed */
    }
    sk_mutex_unlock(&index->lock);
}

void sk_index_drop(sk_index *index, uint32_t queue)
{
    sk_mutex_lock(&index->lock);
    struct queue *q = sk_index_queue(index, queue);
    if (q && !sk_index_drop_later(index, queue)) sk_index_forget(q);
    sk_mutex_unlock(&index->lock);
}

void sk_index_clear(sk_index *index)
{
    sk_mutex_lock(&index->lock);
    for (uint32_t p = 0; p < index->page_count; p++) {
        for (uint32_t i = 0; index->pages[p] && i < SK_QUEUE_PAGE; i++) {
            struct queue *q = &index->pages[p][i];
            struct queue kept = {.next = q->next, .known = q->known};
            q->listed = false;
            sk_index_forget(q);
            *q = kept;
        }
    }
    index->hot_count = index->ready_count = 0;
    for (uint32_t i = 0; i < index->file_count; i++) sk_index_file_unref(index->files[i]);
    index->file_count = 0;
    index->first_segment = 0;
    sk_mutex_unlock(&index->lock);
}

bool sk_index_wants_write(const sk_index *index)
{
    return atomic_load_explicit(&index->ready_seen, memory_order_relaxed) >= READY_ENOUGH;
}

/* --- reading -------------------------------------------------------------------------- */

struct sk_queue_range sk_index_range(sk_index *index, uint32_t queue)
{
    struct sk_queue_range range = {0};
    sk_mutex_lock(&index->lock);
    struct queue *q = sk_index_queue(index, queue);
    if (q) {
        sk_index_trim(index, q);
        range.max = q->next;
        range.min = q->count ? q->extents[0].first : q->next;
    }
    sk_mutex_unlock(&index->lock);
    return range;
}

struct run { /* entries side by side, in memory already or still in a file */
    struct entry raw[LOOKUP_RUN];
    size_t count;
    struct index_file *file; /* held; NULL: raw is filled */
    uint64_t at;
};

static void find_run(sk_index *index, uint32_t queue, uint64_t offset, size_t most, struct run *out)
{
    out->count = 0;
    out->file = NULL;
    sk_mutex_lock(&index->lock);
    struct queue *q = sk_index_queue(index, queue);
    if (q) sk_index_trim(index, q);
    struct extent *e = q ? sk_index_extent(q, offset) : NULL;
    struct index_file *file = e ? sk_index_file(index, e->segment) : NULL;
    if (file && (e->hot || file->fd >= 0)) {
        uint64_t skip = offset - e->first;
        size_t n = (size_t)(e->count - skip);
        if (n > most) n = most;
        if (n > LOOKUP_RUN) n = LOOKUP_RUN;
        out->count = n;
        if (e->hot) {
            memcpy(out->raw, e->hot + skip, n * sizeof *out->raw);
        } else {
            atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
            out->file = file;
            out->at = sk_index_place(e->unit) + skip * sizeof(struct entry);
        }
    }
    sk_mutex_unlock(&index->lock);
}

size_t sk_index_lookup(sk_index *index, uint32_t queue, uint64_t offset, size_t count,
                       struct sk_index_entry *out)
{
    size_t done = 0;
    while (done < count) {
        struct run run;
        find_run(index, queue, offset + done, count - done, &run);
        if (run.file) {
            struct sk_status s = sk_disk_read(index->vfs, run.file->fd, run.raw,
                                              run.count * sizeof *run.raw, run.at);
            sk_index_file_unref(run.file);
            if (!sk_ok(s)) break;
        }
        if (run.count == 0) break;
        for (size_t i = 0; i < run.count; i++, done++)
            if (!decode(queue, offset + done, &run.raw[i], &out[done])) return done;
    }
    return done;
}

bool sk_index_segment(sk_index *index, uint32_t queue, uint64_t offset, uint64_t *base)
{
    sk_mutex_lock(&index->lock);
    struct queue *q = sk_index_queue(index, queue);
    if (q) sk_index_trim(index, q);
    struct extent *e = q ? sk_index_extent(q, offset) : NULL;
    if (e) *base = e->segment * index->segment_bytes;
    sk_mutex_unlock(&index->lock);
    return e != NULL;
}

bool sk_index_next_queue(sk_index *index, uint32_t *queue)
{
    sk_mutex_lock(&index->lock);
    uint32_t n = *queue;
    uint64_t end = (uint64_t)index->page_count * SK_QUEUE_PAGE;
    while (n < end && !sk_index_queue(index, n))
        n = index->pages[n / SK_QUEUE_PAGE] ? n + 1 : (n / SK_QUEUE_PAGE + 1) * SK_QUEUE_PAGE;
    *queue = n;
    sk_mutex_unlock(&index->lock);
    return n < end;
}
