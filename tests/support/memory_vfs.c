/* memory_vfs.c - inodes and names in arrays, and a journal of operations that can be replayed
 * with pieces left out. */
#include "support/memory_vfs.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

enum { MOST_FDS = 256, SECTOR = 512 };

struct inode {
    uint8_t *data;
    uint64_t bytes, room;
    int links, fds, maps;
    int lock_fd; /* -1: not locked */
};

struct name {
    char *path;
    int inode; /* -1: a directory */
};

enum op_kind { OP_MKDIR, OP_LINK, OP_RENAME, OP_UNLINK, OP_WRITE, OP_RESIZE, OP_SYNC, OP_SYNC_DIR };

struct op {
    enum op_kind kind;
    char *path, *to;
    int inode;
    uint64_t at, len; /* RESIZE: len is the size */
    uint8_t *data;
};

struct memory_vfs {
    struct sk_vfs vfs; /* first */
    pthread_mutex_t lock;
    struct inode *inodes;
    int inode_count;
    struct name *names;
    int name_count;
    int fds[MOST_FDS]; /* inode + 1; 0: free */
    struct op *ops;
    size_t op_count, op_room;
    bool silent;             /* being built: write nothing down */
    struct memory_vfs *base; /* what was there before the first op; NULL: nothing */
};

/* --- names ------------------------------------------------------------------------------- */

static int find_name(const struct memory_vfs *m, const char *path)
{
    for (int i = 0; i < m->name_count; i++)
        if (strcmp(m->names[i].path, path) == 0) return i;
    return -1;
}

static void add_name(struct memory_vfs *m, const char *path, int inode)
{
    m->names = sk_realloc(m->names, (size_t)m->name_count + 1, sizeof *m->names);
    m->names[m->name_count++] = (struct name){sk_strdup(path), inode};
    if (inode >= 0) m->inodes[inode].links++;
}

static void drop_name(struct memory_vfs *m, int i)
{
    if (m->names[i].inode >= 0) m->inodes[m->names[i].inode].links--;
    free(m->names[i].path);
    m->names[i] = m->names[--m->name_count];
}

static int new_inode(struct memory_vfs *m)
{
    m->inodes = sk_realloc(m->inodes, (size_t)m->inode_count + 1, sizeof *m->inodes);
    m->inodes[m->inode_count] = (struct inode){.lock_fd = -1};
    return m->inode_count++;
}

static void parent_of(const char *path, char out[4096])
{
    snprintf(out, 4096, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
    else
        strcpy(out, ".");
}

/* --- changes, as they are done and as they are replayed ------------------------------------- */

static void resize(struct inode *n, uint64_t bytes)
{
    if (bytes > n->room) {
        sk_assert(n->maps == 0); /* a map must not move */
        uint64_t room = bytes > 2 * n->room ? bytes : 2 * n->room;
        n->data = sk_realloc(n->data, room, 1);
        memset(n->data + n->room, 0, room - n->room);
        n->room = room;
    }
    if (bytes < n->bytes) memset(n->data + bytes, 0, n->bytes - bytes);
    n->bytes = bytes;
}

static void put(struct inode *n, uint64_t at, const uint8_t *data, uint64_t len)
{
    if (at + len > n->bytes) resize(n, at + len);
    memcpy(n->data + at, data, len);
}

static void move_name(struct memory_vfs *m, const char *from, const char *to)
{
    int i = find_name(m, from), j = find_name(m, to);
    if (i < 0) return;
    int inode = m->names[i].inode;
    if (j >= 0) drop_name(m, j);
    i = find_name(m, from);
    drop_name(m, i);
    add_name(m, to, inode);
}

static void note(struct memory_vfs *m, struct op op)
{
    if (m->silent) return;
    if (m->op_count == m->op_room) {
        m->op_room = m->op_room ? 2 * m->op_room : 256;
        m->ops = sk_realloc(m->ops, m->op_room, sizeof *m->ops);
    }
    m->ops[m->op_count++] = op;
}

static struct memory_vfs *enter(struct sk_vfs *vfs)
{
    struct memory_vfs *m = (struct memory_vfs *)vfs;
    pthread_mutex_lock(&m->lock);
    return m;
}

static int leave(struct memory_vfs *m, int result)
{
    pthread_mutex_unlock(&m->lock);
    return result;
}

static struct inode *of_fd(struct memory_vfs *m, int fd)
{
    sk_assert(fd >= 0 && fd < MOST_FDS && m->fds[fd] > 0);
    return &m->inodes[m->fds[fd] - 1];
}

/* --- the verbs ---------------------------------------------------------------------------------
 */

static int m_open(struct sk_vfs *v, const char *path, unsigned flags)
{
    struct memory_vfs *m = enter(v);
    int i = find_name(m, path);
    if (i < 0 && !(flags & SK_VFS_CREATE)) return leave(m, -ENOENT);
    if (i >= 0 && m->names[i].inode < 0) return leave(m, -EISDIR);
    if (i < 0) {
        add_name(m, path, new_inode(m));
        i = m->name_count - 1;
        note(m, (struct op){.kind = OP_LINK, .path = sk_strdup(path), .inode = m->names[i].inode});
    }
    for (int fd = 0; fd < MOST_FDS; fd++) {
        if (m->fds[fd]) continue;
        m->fds[fd] = m->names[i].inode + 1;
        m->inodes[m->names[i].inode].fds++;
        return leave(m, fd);
    }
    return leave(m, -EMFILE);
}

static int m_close(struct sk_vfs *v, int fd)
{
    struct memory_vfs *m = enter(v);
    struct inode *n = of_fd(m, fd);
    if (n->lock_fd == fd) n->lock_fd = -1;
    n->fds--;
    m->fds[fd] = 0;
    return leave(m, 0);
}

static ssize_t m_pread(struct sk_vfs *v, int fd, void *out, size_t len, uint64_t at)
{
    struct memory_vfs *m = enter(v);
    struct inode *n = of_fd(m, fd);
    uint64_t left = at < n->bytes ? n->bytes - at : 0;
    if (len > left) len = left;
    if (len) memcpy(out, n->data + at, len);
    leave(m, 0);
    return (ssize_t)len;
}

static ssize_t m_pwritev(struct sk_vfs *v, int fd, const struct iovec *parts, int count,
                         uint64_t at)
{
    struct memory_vfs *m = enter(v);
    uint64_t len = 0;
    for (int i = 0; i < count; i++) len += parts[i].iov_len;
    uint8_t *data = sk_alloc(len ? len : 1);
    uint64_t done = 0;
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len) memcpy(data + done, parts[i].iov_base, parts[i].iov_len);
        done += parts[i].iov_len;
    }
    put(of_fd(m, fd), at, data, len);
    note(m, (struct op){
                .kind = OP_WRITE, .inode = m->fds[fd] - 1, .at = at, .len = len, .data = data});
    if (m->silent) free(data);
    leave(m, 0);
    return (ssize_t)len;
}

static int m_sync(struct sk_vfs *v, int fd)
{
    struct memory_vfs *m = enter(v);
    of_fd(m, fd);
    note(m, (struct op){.kind = OP_SYNC, .inode = m->fds[fd] - 1});
    return leave(m, 0);
}

static int m_truncate(struct sk_vfs *v, int fd, uint64_t bytes)
{
    struct memory_vfs *m = enter(v);
    resize(of_fd(m, fd), bytes);
    note(m, (struct op){.kind = OP_RESIZE, .inode = m->fds[fd] - 1, .len = bytes});
    return leave(m, 0);
}

static int m_rename(struct sk_vfs *v, const char *from, const char *to)
{
    struct memory_vfs *m = enter(v);
    if (find_name(m, from) < 0) return leave(m, -ENOENT);
    move_name(m, from, to);
    note(m, (struct op){.kind = OP_RENAME, .path = sk_strdup(from), .to = sk_strdup(to)});
    return leave(m, 0);
}

static int m_unlink(struct sk_vfs *v, const char *path)
{
    struct memory_vfs *m = enter(v);
    int i = find_name(m, path);
    if (i < 0) return leave(m, -ENOENT);
    drop_name(m, i);
    note(m, (struct op){.kind = OP_UNLINK, .path = sk_strdup(path)});
    return leave(m, 0);
}

static int m_mkdir(struct sk_vfs *v, const char *path)
{
    struct memory_vfs *m = enter(v);
    if (find_name(m, path) >= 0) return leave(m, -EEXIST);
    add_name(m, path, -1);
    note(m, (struct op){.kind = OP_MKDIR, .path = sk_strdup(path)});
    return leave(m, 0);
}

static int m_list(struct sk_vfs *v, const char *path, sk_vfs_name_fn *each, void *arg)
{
    struct memory_vfs *m = enter(v);
    int there = find_name(m, path);
    int count = m->name_count;
    char **names = sk_zalloc((size_t)count + 1, sizeof *names);
    int found = 0;
    for (int i = 0; i < count; i++) {
        char parent[4096];
        parent_of(m->names[i].path, parent);
        if (strcmp(parent, path) == 0)
            names[found++] = sk_strdup(strrchr(m->names[i].path, '/') + 1);
    }
    leave(m, 0);
    bool more = true;
    for (int i = 0; i < found; i++) {
        if (more) more = each(arg, names[i]);
        free(names[i]);
    }
    free(names);
    return there < 0 ? -ENOENT : 0;
}

static int m_sync_dir(struct sk_vfs *v, const char *path)
{
    struct memory_vfs *m = enter(v);
    note(m, (struct op){.kind = OP_SYNC_DIR, .path = sk_strdup(path)});
    return leave(m, 0);
}

static int m_stat(struct sk_vfs *v, const char *path, struct sk_vfs_stat *out)
{
    struct memory_vfs *m = enter(v);
    int i = find_name(m, path);
    if (i < 0) return leave(m, -ENOENT);
    bool dir = m->names[i].inode < 0;
    *out =
        (struct sk_vfs_stat){.is_dir = dir, .bytes = dir ? 0 : m->inodes[m->names[i].inode].bytes};
    return leave(m, 0);
}

static int m_space(struct sk_vfs *v, const char *path, struct sk_vfs_space *out)
{
    (void)v;
    (void)path;
    *out = (struct sk_vfs_space){.total_bytes = 1 << 30, .free_bytes = 1 << 30};
    return 0;
}

static int m_map(struct sk_vfs *v, int fd, size_t len, const uint8_t **out)
{
    struct memory_vfs *m = enter(v);
    struct inode *n = of_fd(m, fd);
    if (n->bytes < len) return leave(m, -EINVAL);
    n->maps++;
    *out = n->data;
    return leave(m, 0);
}

static void m_unmap(struct sk_vfs *v, const uint8_t *map, size_t len)
{
    (void)len;
    struct memory_vfs *m = enter(v);
    for (int i = 0; i < m->inode_count; i++)
        if (m->inodes[i].data == map) m->inodes[i].maps--;
    leave(m, 0);
}

static int m_lock(struct sk_vfs *v, int fd)
{
    struct memory_vfs *m = enter(v);
    struct inode *n = of_fd(m, fd);
    if (n->lock_fd >= 0 && n->lock_fd != fd) return leave(m, -EWOULDBLOCK);
    n->lock_fd = fd;
    return leave(m, 0);
}

static int64_t m_next_data(struct sk_vfs *v, int fd, uint64_t from)
{
    (void)v;
    (void)fd;
    return (int64_t)from;
}

static int m_drop_cache(struct sk_vfs *v, int fd, uint64_t from)
{
    (void)v;
    (void)fd;
    (void)from;
    return 0;
}

/* --- life
 * ------------------------------------------------------------------------------------------ */

struct memory_vfs *memory_vfs_new(void)
{
    struct memory_vfs *m = sk_zalloc(1, sizeof *m);
    m->vfs = (struct sk_vfs){m_open,  m_close,    m_pread,    m_pwritev,   m_sync,
                             m_sync,  m_truncate, m_truncate, m_rename,    m_unlink,
                             m_mkdir, m_list,     m_sync_dir, m_stat,      m_space,
                             m_map,   m_unmap,    m_lock,     m_next_data, m_drop_cache};
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

void memory_vfs_free(struct memory_vfs *m)
{
    if (!m) return;
    for (int fd = 0; fd < MOST_FDS; fd++) sk_assert(m->fds[fd] == 0);
    for (int i = 0; i < m->inode_count; i++) free(m->inodes[i].data);
    for (int i = 0; i < m->name_count; i++) free(m->names[i].path);
    for (size_t i = 0; i < m->op_count; i++) {
        free(m->ops[i].path);
        free(m->ops[i].to);
        free(m->ops[i].data);
    }
    free(m->inodes);
    free(m->names);
    free(m->ops);
    memory_vfs_free(m->base);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

struct sk_vfs *memory_vfs_door(struct memory_vfs *m)
{
    return &m->vfs;
}

size_t memory_vfs_ops(struct memory_vfs *m)
{
    pthread_mutex_lock(&m->lock);
    size_t count = m->op_count;
    pthread_mutex_unlock(&m->lock);
    return count;
}

uint8_t *memory_vfs_bytes(struct memory_vfs *m, const char *path, size_t *len)
{
    int i = find_name(m, path);
    if (i < 0 || m->names[i].inode < 0) return NULL;
    *len = m->inodes[m->names[i].inode].bytes;
    return m->inodes[m->names[i].inode].data;
}

void memory_vfs_each(struct memory_vfs *m, void (*fn)(void *arg, const char *path), void *arg)
{
    for (int i = 0; i < m->name_count; i++)
        if (m->names[i].inode >= 0) fn(arg, m->names[i].path);
}

struct memory_vfs *memory_vfs_copy(struct memory_vfs *m)
{
    struct memory_vfs *copy = memory_vfs_new();
    for (int i = 0; i < m->inode_count; i++) {
        new_inode(copy);
        resize(&copy->inodes[i], m->inodes[i].bytes);
        if (m->inodes[i].bytes) memcpy(copy->inodes[i].data, m->inodes[i].data, m->inodes[i].bytes);
    }
    for (int i = 0; i < m->name_count; i++) add_name(copy, m->names[i].path, m->names[i].inode);
    return copy;
}

void memory_vfs_rebase(struct memory_vfs *m)
{
    sk_assert(m->op_count == 0);
    memory_vfs_free(m->base);
    m->base = memory_vfs_copy(m);
}

/* --- crashing
 * ------------------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static bool is_name_change(const struct op *op)
{
    return op->kind == OP_MKDIR || op->kind == OP_LINK || op->kind == OP_RENAME ||
           op->kind == OP_UNLINK;
}

/* Was what op i did made durable by one of the ops up to `end`? */
static bool is_synced(const struct memory_vfs *m, size_t i, size_t end)
{
    const struct op *op = &m->ops[i];
    char parent[4096] = "";
    if (is_name_change(op)) parent_of(op->path, parent);
    for (size_t k = i + 1; k < end; k++) {
        const struct op *later = &m->ops[k];
        if (later->kind == OP_SYNC && !is_name_change(op) && later->inode == op->inode) return true;
        if (later->kind == OP_SYNC_DIR && is_name_change(op) && strcmp(later->path, parent) == 0)
            return true;
    }
    return false;
}

struct crash {
    size_t end;
    enum memory_crash how;
    uint64_t seed;
    size_t names_kept_to; /* KEEP_SOME: changes of names that were not synced survive below */
    bool synced;          /* the op being replayed is */
};

static bool survives(const struct memory_vfs *m, const struct crash *c, size_t i, uint64_t sector)
{
    if (c->synced) return true;
    if (c->how == MEMORY_KEEP_SYNCED) return false;
    if (c->how == MEMORY_TEAR_LAST)
        return i + 1 < c->end || m->ops[i].kind != OP_WRITE ||
               sector < mix(c->seed) % (m->ops[i].len / SECTOR + 2);
    if (is_name_change(&m->ops[i])) return i < c->names_kept_to;
    return mix(c->seed ^ mix(i * 65537 + sector)) & 1;
}

static void replay_write(struct memory_vfs *image, const struct memory_vfs *m,
                         const struct crash *c, size_t i)
{
    const struct op *op = &m->ops[i];
    for (uint64_t from = op->at, end = op->at + op->len; from < end;) {
        uint64_t to = (from / SECTOR + 1) * SECTOR;
        if (to > end) to = end;
        if (survives(m, c, i, (from - op->at) / SECTOR))
            put(&image->inodes[op->inode], from, op->data + (from - op->at), to - from);
        from = to;
    }
}

static void replay_name(struct memory_vfs *image, const struct op *op)
{
    int i = find_name(image, op->path);
    if (op->kind == OP_MKDIR && i < 0) add_name(image, op->path, -1);
    if (op->kind == OP_LINK && i < 0) add_name(image, op->path, op->inode);
    if (op->kind == OP_UNLINK && i >= 0) drop_name(image, i);
    if (op->kind == OP_RENAME) move_name(image, op->path, op->to);
}

struct memory_vfs *memory_vfs_crash(struct memory_vfs *m, size_t ops, enum memory_crash how,
                                    uint64_t seed)
{
    struct memory_vfs *image = m->base ? memory_vfs_copy(m->base) : memory_vfs_new();
    image->silent = true;
    while (image->inode_count < m->inode_count) new_inode(image);
    struct crash c = {ops, how, seed, ops ? mix(seed ^ 77) % (ops + 1) : 0, false};
    for (size_t i = 0; i < ops; i++) {
        const struct op *op = &m->ops[i];
        if (op->kind == OP_SYNC || op->kind == OP_SYNC_DIR) continue;
        c.synced = how == MEMORY_KEEP_ALL || is_synced(m, i, ops);
        if (op->kind == OP_WRITE)
            replay_write(image, m, &c, i);
        else if (op->kind == OP_RESIZE && survives(m, &c, i, 0))
            resize(&image->inodes[op->inode], op->len);
        else if (is_name_change(op) && survives(m, &c, i, 0))
            replay_name(image, op);
    }
    image->silent = false;
    memory_vfs_rebase(image);
    return image;
}
