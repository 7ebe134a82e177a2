/* memory_files.c - names and bytes of the disk in memory, and their sums. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "support/memory_inside.h"

/* --- names ------------------------------------------------------------------------------- */

static uint64_t text_hash(const char *text)
{
    uint64_t h = 1469598103934665603u;
    for (; *text; text++) h = (h ^ (uint8_t)*text) * 1099511628211u;
    return memory_mix(h);
}

static struct memory_path *new_path(const char *text)
{
    size_t len = strlen(text) + 1;
    struct memory_path *p = sk_alloc(sizeof *p + len);
    atomic_init(&p->refs, 1);
    p->hash = text_hash(text);
    memcpy(p->text, text, len);
    return p;
}

void memory_unref_path(struct memory_path *p)
{
    if (atomic_fetch_sub(&p->refs, 1) == 1) free(p);
}

int memory_find(const struct memory_vfs *m, const char *path)
{
    uint64_t hash = text_hash(path);
    for (int i = 0; i < m->name_count; i++)
        if (m->names[i].path->hash == hash && strcmp(m->names[i].path->text, path) == 0) return i;
    return -1;
}

void memory_add_name(struct memory_vfs *m, struct memory_path *path, int inode)
{
    if (m->name_count % 16 == 0)
        m->names = sk_realloc(m->names, (size_t)m->name_count + 16, sizeof *m->names);
    m->names[m->name_count++] = (struct memory_name){path, inode};
    if (inode >= 0) m->inodes[inode].links++;
}

void memory_put_name(struct memory_vfs *m, const char *path, int inode)
{
    memory_add_name(m, new_path(path), inode);
}

void memory_drop_name(struct memory_vfs *m, int i)
{
    if (m->names[i].inode >= 0) m->inodes[m->names[i].inode].links--;
    memory_unref_path(m->names[i].path);
    m->names[i] = m->names[--m->name_count];
}

bool memory_is_in(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && path[len] == '/' && !strchr(path + len + 1, '/');
}

static void drop_path(struct memory_vfs *m, const char *path)
{
    int i = memory_find(m, path);
    if (i >= 0) memory_drop_name(m, i);
}

void memory_apply_name(struct memory_vfs *m, const struct memory_op *op, int inode)
{
    if (op->kind == MEMORY_RENAME || op->kind == MEMORY_UNLINK) drop_path(m, op->path);
    if (op->kind == MEMORY_UNLINK) return;
    const char *path = op->kind == MEMORY_RENAME ? op->to : op->path;
    drop_path(m, path);
    memory_put_name(m, path, inode);
}

/* --- bytes ----------------------------------------------------------------------------------- */

struct memory_inode *memory_new_inode(struct memory_vfs *m)
{
    if (m->inode_count % 16 == 0)
        m->inodes = sk_realloc(m->inodes, (size_t)m->inode_count + 16, sizeof *m->inodes);
    m->inodes[m->inode_count] = (struct memory_inode){.lock_fd = -1};
    return &m->inodes[m->inode_count++];
}

void memory_unref_blob(struct memory_blob *b)
{
    if (b && atomic_fetch_sub(&b->refs, 1) == 1) free(b);
}

struct memory_blob *memory_new_blob(const struct memory_inode *n, uint64_t room)
{
    room = (room + MEMORY_SECTOR - 1) / MEMORY_SECTOR * MEMORY_SECTOR;
    struct memory_blob *b = sk_alloc(sizeof *b + room);
    atomic_init(&b->refs, 1);
    b->summed = false;
    b->room = room;
    if (n->bytes) memcpy(b->data, n->blob->data, n->bytes);
    memset(b->data + n->bytes, 0, room - n->bytes);
    return b;
}

uint8_t *memory_own(struct memory_inode *n, uint64_t room)
{
    struct memory_blob *b = n->blob;
    bool fits = b && b->room >= room;
    if (!fits || atomic_load(&b->refs) > 1) {
        sk_assert(n->maps == 0); /* a map must not move */
        if (b && !fits && room < 2 * b->room) room = 2 * b->room;
        n->blob = memory_new_blob(n, fits ? b->room : room);
        memory_unref_blob(b);
    }
    n->blob->summed = false;
    return n->blob->data;
}

void memory_resize(struct memory_inode *n, uint64_t bytes)
{
    uint8_t *data = memory_own(n, bytes);
    if (bytes < n->bytes) memset(data + bytes, 0, n->bytes - bytes);
    n->bytes = bytes;
}

uint64_t memory_sector_sum(uint64_t sector, const uint8_t *bytes)
{
    uint64_t h = 0, any = 0;
    for (int i = 0; i < MEMORY_SECTOR; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        any |= word;
        h = (h ^ word) * 0x9fb21c651e98df25u;
        h ^= h >> 32;
    }
    return any ? memory_mix(h ^ memory_mix(sector)) : 0;
}

uint64_t memory_inode_sum(struct memory_inode *n)
{
    struct memory_blob *b = n->blob;
    if (!b) return memory_mix(0);
    if (!b->summed) {
        b->sum = 0;
        for (uint64_t at = 0; at < n->bytes; at += MEMORY_SECTOR)
            b->sum ^= memory_sector_sum(at / MEMORY_SECTOR, b->data + at);
        b->summed = true;
    }
    return b->sum ^ memory_mix(n->bytes);
}
