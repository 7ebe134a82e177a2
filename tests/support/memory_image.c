/* memory_image.c - the image that a state of each part makes. */
#include <stdlib.h>
#include <string.h>

#include "support/memory_parts.h"

static uint32_t state_of(const struct memory_cuts *c, uint32_t part)
{
    return part == MEMORY_NO_PART ? 0 : c->parts[part].state;
}

static void write_sectors(struct memory_cuts *c, struct memory_file *f,
                          const struct memory_event *e, uint64_t frozen)
{
    const struct memory_op *op = &c->disk->ops[e->op];
    const uint32_t *tag = &c->tags[e->tags];
    uint64_t end = op->at + op->len;
    for (uint64_t from = op->at; from < end; from = memory_piece(from, end), tag++) {
        if (from >= frozen) return;
        if (*tag <= state_of(c, c->tags[f->sector_parts + from / MEMORY_SECTOR]))
            memcpy(f->bytes + from, op->data + (from - op->at), memory_piece(from, end) - from);
    }
}

/* Play the file's events as far as the states let them. */
static void play(struct memory_cuts *c, struct memory_file *f)
{
    const struct memory_inode *n = &c->durable->inodes[f->inode];
    uint64_t room = f->sectors * MEMORY_SECTOR, frozen = UINT64_MAX;
    uint32_t sizes = state_of(c, f->size_part);
    if (n->bytes) memcpy(f->bytes, n->blob->data, n->bytes);
    memset(f->bytes + n->bytes, 0, room - n->bytes);
    f->size = n->bytes;
    for (size_t i = 0; i < f->event_count; i++) {
        const struct memory_event *e = &c->events[f->first_event + i];
        const struct memory_op *op = &c->disk->ops[e->op];
        uint64_t bytes = op->kind == MEMORY_RESIZE ? op->len : op->at + op->len;
        bool resizes = e->size_index && e->size_index <= sizes;
        /* A truncation that was lost: what was written behind it since had other blocks. */
        if (e->shrinks && !resizes && bytes < frozen) frozen = bytes;
        if (e->shrinks && resizes) memset(f->bytes + bytes, 0, room - bytes);
        if (resizes) f->size = bytes;
        if (op->kind == MEMORY_WRITE) write_sectors(c, f, e, frozen);
    }
    memset(f->bytes + f->size, 0, room - f->size);
}

static uint64_t content_sum(const struct memory_cuts *c, const struct memory_file *f)
{
    const struct memory_inode *n = &c->durable->inodes[f->inode];
    uint64_t sum = f->durable_sum;
    for (uint64_t s = 0; s < f->sectors; s++) {
        if (!f->shrinks && c->tags[f->sector_parts + s] == MEMORY_NO_PART) continue;
        uint64_t at = s * MEMORY_SECTOR;
        if (at < n->bytes) sum ^= memory_sector_sum(s, n->blob->data + at);
        sum ^= memory_sector_sum(s, f->bytes + at);
    }
    return sum;
}

/* Bring the file to the present states, unless it is there already. */
static void make_file(struct memory_cuts *c, uint32_t file)
{
    struct memory_file *f = &c->files[file];
    uint64_t states = 0;
    for (uint32_t i = c->name_parts; i < c->part_count; i++)
        if (c->parts[i].file == file) states = memory_mix(states ^ c->parts[i].state);
    if (f->made && f->made_for == states) return;
    play(c, f);
    f->sum = content_sum(c, f);
    f->made = true;
    f->made_for = states;
}

static void drop_below(struct memory_vfs *image, const char *dir)
{
    size_t len = strlen(dir);
    for (int i = image->name_count; i-- > 0;) {
        const char *path = image->names[i].path->text;
        if (strncmp(path, dir, len) == 0 && path[len] == '/') memory_drop_name(image, i);
    }
}

static void choose_names(struct memory_cuts *c, struct memory_vfs *image)
{
    uint32_t part = 0;
    for (size_t i = 0; i < c->pending_count; i++) {
        const struct memory_op *op = &c->disk->ops[c->pending[i]];
        if (memory_is_name_change(op) && c->parts[part++].state)
            memory_apply_name(image, op, op->inode);
    }
    for (size_t i = 0; i < c->pending_count; i++) {
        const struct memory_op *op = &c->disk->ops[c->pending[i]];
        if (op->kind == MEMORY_MKDIR && memory_find(image, op->path) < 0)
            drop_below(image, op->path);
    }
}

struct memory_vfs *memory_cuts_image(struct memory_cuts *c)
{
    for (uint32_t i = 0; i < c->file_count; i++) make_file(c, i);
    /* Names first: memory_vfs_copy leaves out the bytes of files without one. */
    struct memory_vfs *image = memory_vfs_copy(c->durable);
    choose_names(c, image);
    for (int i = 0; i < image->inode_count; i++) {
        struct memory_inode *from = &c->durable->inodes[i], *to = &image->inodes[i];
        if (to->blob || !to->links || !from->blob) continue;
        to->blob = from->blob;
        atomic_fetch_add(&to->blob->refs, 1);
        to->bytes = from->bytes;
    }
    for (uint32_t i = 0; i < c->file_count; i++) {
        struct memory_inode *n = &image->inodes[c->files[i].inode];
        memory_resize(n, c->files[i].size);
        if (n->bytes) memcpy(n->blob->data, c->files[i].bytes, n->bytes);
        n->blob->sum = c->files[i].sum;
        n->blob->summed = true;
    }
    return image;
}

uint64_t memory_cuts_hash(struct memory_cuts *c)
{
    if (c->name_parts) {
        struct memory_vfs *image = memory_cuts_image(c);
        uint64_t hash = memory_vfs_hash(image);
        memory_vfs_free(image);
        return hash;
    }
    uint64_t hash = c->unchanged_sum;
    for (uint32_t f = 0; f < c->file_count; f++) {
        make_file(c, f);
        for (int i = 0; i < c->durable->name_count; i++)
            if (c->durable->names[i].inode == c->files[f].inode)
                hash ^= memory_name_sum(&c->durable->names[i],
                                        c->files[f].sum ^ memory_mix(c->files[f].size));
    }
    return hash;
}
