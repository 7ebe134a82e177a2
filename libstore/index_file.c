/* index_file.c - INDEX FILE, version 2: a header page ("SKIX"), then extents of entries.
 *
 *      0  4096  header page (header.c); position = base of the log segment
 *   4096     .  units of 128 bytes = 8 entries (index_impl.h); an extent takes 1, 2, ... 128 units
 *               in a row; which queue it is of only the snapshot's table says
 *
 * An entry never changes once it is there and is written again only with the same bytes, so a
 * torn write can hurt only what no snapshot speaks of yet. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "disk.h"
#include "header.h"
#include "index_impl.h"

uint64_t sk_index_place(uint32_t unit)
{
    return SK_HEADER_BYTES + (uint64_t)unit * SK_EXTENT_LEAST * sizeof(struct entry);
}

void sk_index_file_unref(struct index_file *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1) return;
    sk_disk_close(f->vfs, f->fd);
    free(f);
}

/* --- opening -------------------------------------------------------------------------- */

static void file_path(const sk_index *index, uint32_t segment, char out[SK_DISK_PATH])
{
    sk_disk_name(out, index->dir, segment * index->segment_bytes, ".idx");
}

/* Open, or make, the file for writing. */
static struct sk_status make_file(sk_index *index, struct index_file *f)
{
    char path[SK_DISK_PATH];
    file_path(index, f->segment, path);
    int fd = -1;
    SK_TRY(sk_disk_open(index->vfs, path, SK_VFS_WRITE | SK_VFS_CREATE, &fd));
    uint8_t page[SK_HEADER_BYTES];
    sk_header_encode(&(struct sk_header){.magic = SK_MAGIC_INDEX,
                                         .store_id = index->store_id,
                                         .position = f->segment * index->segment_bytes},
                     page);
    struct sk_status s = sk_disk_write(index->vfs, fd, page, sizeof page, 0);
    if (!sk_ok(s)) {
        sk_disk_close(index->vfs, fd);
        return sk_while(s, "make '%s'", path);
    }
    index->new_names = true;
    sk_mutex_lock(&index->lock);
    f->fd = fd;
    sk_mutex_unlock(&index->lock);
    return SK_SUCCESS;
}

static struct sk_status open_file(sk_index *index, struct index_file *f)
{
    char path[SK_DISK_PATH];
    file_path(index, f->segment, path);
    int fd = -1;
    unsigned flags = index->read_only ? SK_VFS_READ : SK_VFS_WRITE;
    SK_TRY(sk_disk_open(index->vfs, path, flags, &fd));
    struct sk_header header;
    struct sk_status s = sk_header_read(index->vfs, fd, SK_MAGIC_INDEX, index->store_id,
                                        f->segment * index->segment_bytes, &header);
    struct sk_vfs_stat stat = {0};
    int err = index->vfs->stat(index->vfs, path, &stat);
    if (sk_ok(s) && (err < 0 || stat.bytes < SK_HEADER_BYTES))
        s = sk_error(SK_CORRUPT, "the file is too short");
    if (!sk_ok(s))
        sk_disk_close(index->vfs, fd);
    else
        f->fd = fd;
    return sk_while(s, "index file '%s'", path);
}

struct sk_status sk_index_open_files(sk_index *index, uint32_t first_kept)
{
    for (uint32_t i = 0; i < index->file_count; i++) {
        struct index_file *f = index->files[i];
        if (f->units == 0 || f->segment < first_kept) continue;
        struct sk_status s = open_file(index, f);
        if (!sk_ok(s)) return sk_error(SK_NOT_FOUND, "%s", sk_status_text(&s));
    }
    return SK_SUCCESS;
}

/* --- writing extents -------------------------------------------------------------------- */

struct job { /* part of one extent, copied out */
    uint32_t queue;
    uint64_t first;
    uint16_t from, to;
    uint32_t unit;
    struct index_file *file; /* held */
};

/* What of the extent at `first` is not in the file yet; false: nothing. */
static bool take_job(sk_index *index, uint32_t queue, uint64_t first, struct job *out)
{
    sk_mutex_lock(&index->lock);
    struct queue *q = sk_index_queue(index, queue);
    struct extent *e = q ? sk_index_extent(q, first) : NULL;
    struct index_file *file = e ? sk_index_file(index, e->segment) : NULL;
    bool work = file && e->hot && e->first == first;
    if (work) {
        *out = (struct job){.queue = queue,
                            .first = first,
                            .from = e->written,
                            .to = e->count,
                            .unit = e->unit,
                            .file = file};
        memcpy(index->batch, e->hot + e->written,
               (size_t)(e->count - e->written) * sizeof *index->batch);
        atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
    }
    sk_mutex_unlock(&index->lock);
    return work;
}

/* The job is in the file; let go of the memory if nothing will be added any more. */
static void settle_job(sk_index *index, const struct job *job)
{
    sk_mutex_lock(&index->lock);
    struct queue *q = sk_index_queue(index, job->queue);
    struct extent *e = q ? sk_index_extent(q, job->first) : NULL;
    if (e && e->first == job->first && e->unit == job->unit && e->hot) {
        if (e->written < job->to) e->written = job->to;
        bool last = e == &q->extents[q->count - 1];
        bool newest = e->segment + 1 == index->first_segment + index->file_count;
        bool done = e->written == e->count && (e->count == e->room || !last || !newest);
        if (done && !sk_index_hold(index, job->queue, e)) {
            free(e->hot);
            e->hot = NULL;
        }
    }
    sk_mutex_unlock(&index->lock);
}

static struct sk_status write_extent(sk_index *index, uint32_t queue, uint64_t first)
{
    struct job job;
    if (!take_job(index, queue, first, &job)) return SK_SUCCESS;
    struct sk_status s = job.file->fd < 0 ? make_file(index, job.file) : SK_SUCCESS;
    if (sk_ok(s) && job.to > job.from) {
        s = sk_disk_write(index->vfs, job.file->fd, index->batch,
                          (size_t)(job.to - job.from) * sizeof *index->batch,
                          sk_index_place(job.unit) + job.from * sizeof *index->batch);
        job.file->dirty = true;
    }
    if (sk_ok(s)) settle_job(index, &job);
    sk_index_file_unref(job.file);
    return s;
}

static struct sk_status write_ready(sk_index *index)
{
    sk_mutex_lock(&index->lock);
    struct ready *list = index->ready;
    uint32_t count = index->ready_count;
    index->ready = NULL;
    index->ready_count = index->ready_room = 0;
    atomic_store_explicit(&index->ready_seen, 0, memory_order_relaxed);
    sk_mutex_unlock(&index->lock);

    struct sk_status s = SK_SUCCESS;
    uint32_t done = 0;
    while (done < count && sk_ok(s = write_extent(index, list[done].queue, list[done].first)))
        done++;
    sk_mutex_lock(&index->lock);
    for (; done < count; done++) sk_index_list_ready(index, list[done].queue, list[done].first);
    sk_mutex_unlock(&index->lock);
    free(list);
    return s;
}

void sk_index_repair(sk_index *index, uint32_t queue, uint64_t offset,
                     const struct sk_index_entry *entry)
{
    struct entry raw = {.place = sk_entry_place(queue, offset, entry),
                        .size = entry->size,
                        .tag_hash = entry->tag_hash};
    sk_mutex_lock(&index->write_lock);
    sk_mutex_lock(&index->lock);
    struct queue *q = sk_index_queue(index, queue);
    struct extent *e = q ? sk_index_extent(q, offset) : NULL;
    struct index_file *f = e && !e->hot ? sk_index_file(index, e->segment) : NULL;
    uint64_t at = f ? sk_index_place(e->unit) + (offset - e->first) * sizeof raw : 0;
    sk_mutex_unlock(&index->lock);
    /* Deleting files takes write_lock, so f stays. If the write fails the next reader tries. */
    if (f && f->fd >= 0 && sk_ok(sk_disk_write(index->vfs, f->fd, &raw, sizeof raw, at)))
        f->dirty = true;
    sk_mutex_unlock(&index->write_lock);
}

/* --- writing all -------------------------------------------------------------------------- */

/* The last extent of the queue below `before` that is in memory; false: none. */
static bool hot_extent(sk_index *index, uint32_t queue, uint64_t before, uint64_t *first)
{
    bool found = false;
    sk_mutex_lock(&index->lock);
    struct queue *q = sk_index_queue(index, queue);
    if (q) sk_index_trim(index, q);
    for (uint32_t i = q ? q->count : 0; !found && i-- > 0;) {
        if (q->extents[i].first >= before) continue;
        if (!q->extents[i].hot && i + 1 < q->count) break; /* older ones are in the file */
        found = q->extents[i].hot != NULL;
        *first = q->extents[i].first;
    }
    sk_mutex_unlock(&index->lock);
    return found;
}

static struct sk_status write_queue(sk_index *index, uint32_t queue)
{
    uint64_t first = UINT64_MAX;
    while (hot_extent(index, queue, first, &first)) SK_TRY(write_extent(index, queue, first));
    return SK_SUCCESS;
}

static uint32_t *copy_hot(sk_index *index, uint32_t *count)
{
    sk_mutex_lock(&index->lock);
    *count = index->hot_count;
    uint32_t *copy = sk_alloc((*count ? *count : 1) * sizeof *copy);
    if (*count) memcpy(copy, index->hot, *count * sizeof *copy);
    sk_mutex_unlock(&index->lock);
    return copy;
}

/* Take the queues that have nothing in memory any more off the list. */
static void prune_hot(sk_index *index)
{
    sk_mutex_lock(&index->lock);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < index->hot_count; i++) {
        uint32_t n = index->hot[i];
        struct queue *q = &index->pages[n / SK_QUEUE_PAGE][n % SK_QUEUE_PAGE];
        q->listed = q->count && q->extents[q->count - 1].hot;
        if (q->listed) index->hot[kept++] = n;
    }
    index->hot_count = kept;
    sk_mutex_unlock(&index->lock);
}

static struct sk_status write_all(sk_index *index)
{
    uint32_t count = 0;
    uint32_t *queues = copy_hot(index, &count);
    struct sk_status s = SK_SUCCESS;
    for (uint32_t i = 0; sk_ok(s) && i < count; i++) s = write_queue(index, queues[i]);
    free(queues);
    if (sk_ok(s)) prune_hot(index);
    return s;
}

static struct index_file *hold_file(sk_index *index, uint32_t i)
{
    sk_mutex_lock(&index->lock);
    struct index_file *f = i < index->file_count ? index->files[i] : NULL;
    if (f) atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    sk_mutex_unlock(&index->lock);
    return f;
}

static struct sk_status sync_all(sk_index *index)
{
    int err = 0;
    struct index_file *f;
    for (uint32_t i = 0; err == 0 && (f = hold_file(index, i)) != NULL; i++) {
        if (f->dirty) err = index->vfs->fsync(index->vfs, f->fd);
        if (err == 0) f->dirty = false;
        sk_index_file_unref(f);
    }
    if (err == 0 && index->new_names) err = index->vfs->sync_dir(index->vfs, index->dir);
    if (err == 0) {
        index->new_names = false;
        return SK_SUCCESS;
    }
    atomic_store(&index->broken, true);
    return sk_errno(-err, "sync the index in '%s'", index->dir);
}

bool sk_index_is_broken(const sk_index *index)
{
    return atomic_load(&index->broken);
}

struct sk_status sk_index_write(sk_index *index, bool all)
{
    if (sk_index_is_broken(index)) return sk_error(SK_IO, "an earlier fsync of the index failed");
    sk_mutex_lock(&index->write_lock);
    struct sk_status s = write_ready(index);
    if (sk_ok(s) && all) s = write_all(index);
    if (sk_ok(s) && all) s = sync_all(index);
    sk_mutex_unlock(&index->write_lock);
    return s;
}

/* --- deleting ----------------------------------------------------------------------------- */

/* One page of queues; false: there is no such page. */
static bool trim_page(sk_index *index, uint32_t page)
{
    sk_mutex_lock(&index->lock);
    bool there = page < index->page_count;
    for (uint32_t i = 0; there && index->pages[page] && i < SK_QUEUE_PAGE; i++)
        sk_index_trim(index, &index->pages[page][i]);
    sk_mutex_unlock(&index->lock);
    return there;
}

static struct index_file *take_oldest(sk_index *index, uint32_t below)
{
    struct index_file *f = NULL;
    sk_mutex_lock(&index->lock);
    if (index->file_count && index->first_segment < below) {
        f = index->files[0];
        index->file_count--;
        memmove(index->files, index->files + 1, index->file_count * sizeof *index->files);
    }
    if (index->first_segment < below) index->first_segment = f ? f->segment + 1 : below;
    sk_mutex_unlock(&index->lock);
    return f;
}

struct sk_status sk_index_drop_below(sk_index *index, uint64_t position)
{
    uint32_t below = (uint32_t)(position / index->segment_bytes);
    int err = 0;
    bool removed = false;
    sk_mutex_lock(&index->write_lock);
    for (struct index_file *f; (f = take_oldest(index, below)) != NULL;) {
        char path[SK_DISK_PATH];
        file_path(index, f->segment, path);
        err = index->vfs->unlink(index->vfs, path);
        removed |= err == 0;
        sk_index_file_unref(f);
    }
    sk_mutex_unlock(&index->write_lock);
    for (uint32_t p = 0; trim_page(index, p); p++) {
    }
    if (removed) err = index->vfs->sync_dir(index->vfs, index->dir);
    return err < 0 && err != -ENOENT ? sk_errno(-err, "delete old index files") : SK_SUCCESS;
}

uint64_t sk_index_bytes(sk_index *index)
{
    uint64_t bytes = 0;
    sk_mutex_lock(&index->lock);
    for (uint32_t i = 0; i < index->file_count; i++)
        bytes += sk_index_place(index->files[i]->units);
    sk_mutex_unlock(&index->lock);
    return bytes;
}
