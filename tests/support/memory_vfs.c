/* memory_vfs.c - the verbs of a disk in memory, and the journal of what they did. */
#include "support/memory_vfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "support/memory_inside.h"

static uint64_t used(const struct memory_vfs *m)
{
    uint64_t bytes = 0;
    for (int i = 0; i < m->inode_count; i++)
        if (m->inodes[i].links || m->inodes[i].fds) bytes += m->inodes[i].bytes;
    return bytes;
}

static bool fits(const struct memory_vfs *m, const struct memory_inode *n, uint64_t bytes)
{
    return m->limit == 0 || bytes <= n->bytes || used(m) + (bytes - n->bytes) <= m->limit;
}

/* --- the journal --------------------------------------------------------------------------- */

static void note(struct memory_vfs *m, struct memory_op op)
{
    if (m->silent) {
        free(op.path);
        free(op.to);
        free(op.data);
        return;
    }
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

static struct memory_inode *of_fd(struct memory_vfs *m, int fd)
{
    sk_assert(fd >= 0 && fd < MEMORY_FDS && m->fds[fd] > 0);
    return &m->inodes[m->fds[fd] - 1];
}

/* --- the verbs ----------------------------------------------------------------------------- */

static int m_open(struct sk_vfs *v, const char *path, unsigned flags)
{
    struct memory_vfs *m = enter(v);
    int i = memory_find(m, path), fd = 0;
    if (i < 0 && (m->dead || !(flags & SK_VFS_CREATE))) return leave(m, -ENOENT);
    if (i >= 0 && m->names[i].inode < 0) return leave(m, -EISDIR);
    while (fd < MEMORY_FDS && m->fds[fd]) fd++;
    if (fd == MEMORY_FDS) return leave(m, -EMFILE);
    if (i < 0) {
        memory_new_inode(m);
        memory_put_name(m, path, m->inode_count - 1);
        i = m->name_count - 1;
        note(m, (struct memory_op){
                    .kind = MEMORY_LINK, .path = sk_strdup(path), .inode = m->names[i].inode});
    }
    m->fds[fd] = m->names[i].inode + 1;
    m->inodes[m->names[i].inode].fds++;
    return leave(m, fd);
}

static int m_close(struct sk_vfs *v, int fd)
{
    struct memory_vfs *m = enter(v);
    struct memory_inode *n = of_fd(m, fd);
    if (n->lock_fd == fd) n->lock_fd = -1;
    n->fds--;
    m->fds[fd] = 0;
    return leave(m, 0);
}

static ssize_t m_pread(struct sk_vfs *v, int fd, void *out, size_t len, uint64_t at)
{
    struct memory_vfs *m = enter(v);
    struct memory_inode *n = of_fd(m, fd);
    uint64_t left = at < n->bytes ? n->bytes - at : 0;
    if (len > left) len = left;
    if (len) memcpy(out, n->blob->data + at, len);
    leave(m, 0);
    return (ssize_t)len;
}

static uint8_t *gather(const struct iovec *parts, int count, uint64_t *len)
{
    uint64_t all = 0, done = 0;
    for (int i = 0; i < count; i++) all += parts[i].iov_len;
    uint8_t *data = sk_alloc(all ? all : 1);
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len) memcpy(data + done, parts[i].iov_base, parts[i].iov_len);
        done += parts[i].iov_len;
    }
    *len = all;
    return data;
}

static ssize_t m_pwritev(struct sk_vfs *v, int fd, const struct iovec *parts, int count,
                         uint64_t at)
{
    struct memory_vfs *m = enter(v);
    struct memory_inode *n = of_fd(m, fd);
    uint64_t len;
    uint8_t *data = gather(parts, count, &len);
    if (m->dead) {
        free(data);
        leave(m, 0);
        return (ssize_t)len;
    }
    if (!fits(m, n, at + len)) {
        free(data);
        return leave(m, -ENOSPC);
    }
    if (at + len > n->bytes) memory_resize(n, at + len);
    memcpy(memory_own(n, n->bytes) + at, data, len);
    note(m, (struct memory_op){
                .kind = MEMORY_WRITE, .inode = m->fds[fd] - 1, .at = at, .len = len, .data = data});
    leave(m, 0);
    return (ssize_t)len;
}

static int m_sync(struct sk_vfs *v, int fd)
{
    struct memory_vfs *m = enter(v);
    of_fd(m, fd);
    if (m->dead) return leave(m, 0);
    size_t covers = m->op_count;
    memory_vfs_sync_fn *fn = m->on_sync;
    void *arg = m->on_sync_arg;
    leave(m, 0);
    if (fn) fn(arg);
    enter(v);
    note(m, (struct memory_op){.kind = MEMORY_SYNC, .inode = m->fds[fd] - 1, .at = covers});
    return leave(m, 0);
}

static int resize(struct sk_vfs *v, int fd, uint64_t bytes, bool may_shrink)
{
    struct memory_vfs *m = enter(v);
    struct memory_inode *n = of_fd(m, fd);
    if (m->dead || (bytes < n->bytes && !may_shrink)) return leave(m, 0);
    if (!fits(m, n, bytes)) return leave(m, -ENOSPC);
    memory_resize(n, bytes);
    note(m, (struct memory_op){.kind = MEMORY_RESIZE, .inode = m->fds[fd] - 1, .len = bytes});
    return leave(m, 0);
}

static int m_truncate(struct sk_vfs *v, int fd, uint64_t bytes)
{
    return resize(v, fd, bytes, true);
}

static int m_allocate(struct sk_vfs *v, int fd, uint64_t bytes)
{
    return resize(v, fd, bytes, false);
}

static int m_rename(struct sk_vfs *v, const char *from, const char *to)
{
    struct memory_vfs *m = enter(v);
    if (m->dead) return leave(m, 0);
    int i = memory_find(m, from);
    if (i < 0) return leave(m, -ENOENT);
    struct memory_op op = {.kind = MEMORY_RENAME,
                           .path = sk_strdup(from),
                           .to = sk_strdup(to),
                           .inode = m->names[i].inode};
    memory_apply_name(m, &op, op.inode);
    note(m, op);
    return leave(m, 0);
}

static int m_unlink(struct sk_vfs *v, const char *path)
{
    struct memory_vfs *m = enter(v);
    if (m->dead) return leave(m, 0);
    int i = memory_find(m, path);
    if (i < 0) return leave(m, -ENOENT);
    memory_drop_name(m, i);
    note(m, (struct memory_op){.kind = MEMORY_UNLINK, .path = sk_strdup(path), .inode = -1});
    return leave(m, 0);
}

static int m_mkdir(struct sk_vfs *v, const char *path)
{
    struct memory_vfs *m = enter(v);
    if (m->dead) return leave(m, 0);
    if (memory_find(m, path) >= 0) return leave(m, -EEXIST);
    memory_put_name(m, path, -1);
    note(m, (struct memory_op){.kind = MEMORY_MKDIR, .path = sk_strdup(path), .inode = -1});
    return leave(m, 0);
}

static int m_list(struct sk_vfs *v, const char *path, sk_vfs_name_fn *each, void *arg)
{
    struct memory_vfs *m = enter(v);
    int there = memory_find(m, path), count = m->name_count, found = 0;
    struct memory_path **names = sk_zalloc((size_t)count + 1, sizeof *names);
    for (int i = 0; i < count; i++) {
        if (!memory_is_in(m->names[i].path->text, path)) continue;
        names[found] = m->names[i].path;
        atomic_fetch_add(&names[found++]->refs, 1);
    }
    leave(m, 0);
    bool more = true;
    for (int i = 0; i < found; i++) {
        if (more) more = each(arg, strrchr(names[i]->text, '/') + 1);
        memory_unref_path(names[i]);
    }
    free(names);
    return there < 0 ? -ENOENT : 0;
}

static int m_sync_dir(struct sk_vfs *v, const char *path)
{
    struct memory_vfs *m = enter(v);
    if (m->dead) return leave(m, 0);
    note(m, (struct memory_op){.kind = MEMORY_SYNC_DIR, .path = sk_strdup(path)});
    return leave(m, 0);
}

static int m_stat(struct sk_vfs *v, const char *path, struct sk_vfs_stat *out)
{
    struct memory_vfs *m = enter(v);
    int i = memory_find(m, path);
    if (i < 0) return leave(m, -ENOENT);
    int inode = m->names[i].inode;
    *out =
        (struct sk_vfs_stat){.is_dir = inode < 0, .bytes = inode < 0 ? 0 : m->inodes[inode].bytes};
    return leave(m, 0);
}

static int m_space(struct sk_vfs *v, const char *path, struct sk_vfs_space *out)
{
    (void)path;
    struct memory_vfs *m = enter(v);
    uint64_t all = m->limit ? m->limit : 1 << 30, taken = m->limit ? used(m) : 0;
    *out = (struct sk_vfs_space){.total_bytes = all, .free_bytes = taken < all ? all - taken : 0};
    return leave(m, 0);
}

static int m_map(struct sk_vfs *v, int fd, size_t len, const uint8_t **out)
{
    struct memory_vfs *m = enter(v);
    struct memory_inode *n = of_fd(m, fd);
    if (n->bytes < len) return leave(m, -EINVAL);
    if (n->maps == 0) { /* its own, so that later writes find it in place */
        bool summed = n->blob && n->blob->summed;
        uint64_t sum = summed ? n->blob->sum : 0;
        memory_own(n, len);
        n->blob->summed = summed;
        n->blob->sum = sum;
    }
    n->maps++;
    *out = n->blob->data;
    return leave(m, 0);
}

static void m_unmap(struct sk_vfs *v, const uint8_t *map, size_t len)
{
    (void)len;
    struct memory_vfs *m = enter(v);
    for (int i = 0; i < m->inode_count; i++)
        if (m->inodes[i].blob && m->inodes[i].blob->data == map) m->inodes[i].maps--;
    leave(m, 0);
}

static int m_lock(struct sk_vfs *v, int fd)
{
    struct memory_vfs *m = enter(v);
    struct memory_inode *n = of_fd(m, fd);
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

/* Advice; this disk has no cache, and loses at a power cut what was not synced. */
static int m_write_out(struct sk_vfs *v, int fd, uint64_t from, uint64_t to)
{
    (void)v;
    (void)fd;
    (void)from;
    (void)to;
    return 0;
}

static int m_drop_cache(struct sk_vfs *v, int fd, const uint8_t *map, uint64_t from, uint64_t to)
{
    (void)map;
    return m_write_out(v, fd, from, to);
}

/* --- life ---------------------------------------------------------------------------------- */

struct memory_vfs *memory_vfs_new(void)
{
    struct memory_vfs *m = sk_zalloc(1, sizeof *m);
    m->vfs = (struct sk_vfs){
        .open = m_open,
        .close = m_close,
        .pread = m_pread,
        .pwritev = m_pwritev,
        .fdatasync = m_sync,
        .fsync = m_sync,
        .allocate = m_allocate,
        .truncate = m_truncate,
        .rename = m_rename,
        .unlink = m_unlink,
        .mkdir = m_mkdir,
        .list = m_list,
        .sync_dir = m_sync_dir,
        .stat = m_stat,
        .space = m_space,
        .map = m_map,
        .unmap = m_unmap,
        .lock = m_lock,
        .next_data = m_next_data,
        .drop_cache = m_drop_cache,
        .write_out = m_write_out,
    };
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

void memory_vfs_free(struct memory_vfs *m)
{
    if (!m) return;
    for (int fd = 0; fd < MEMORY_FDS; fd++) sk_assert(m->fds[fd] == 0);
    for (int i = 0; i < m->inode_count; i++) memory_unref_blob(m->inodes[i].blob);
    for (int i = 0; i < m->name_count; i++) memory_unref_path(m->names[i].path);
    m->silent = true;
    for (size_t i = 0; i < m->op_count; i++) note(m, m->ops[i]);
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

struct memory_vfs *memory_vfs_copy(struct memory_vfs *m)
{
    struct memory_vfs *copy = memory_vfs_new();
    for (int i = 0; i < m->inode_count; i++) {
        struct memory_inode *from = &m->inodes[i], *to = memory_new_inode(copy);
        to->bytes = from->bytes;
        if (!from->blob || (!from->links && !from->fds)) {
            to->bytes = 0;       /* nobody can see it any more */
        } else if (from->maps) { /* it has to stay where it is when it is written to */
            to->blob = memory_new_blob(from, from->bytes);
        } else {
            to->blob = from->blob;
            atomic_fetch_add(&to->blob->refs, 1);
        }
    }
    for (int i = 0; i < m->name_count; i++) {
        atomic_fetch_add(&m->names[i].path->refs, 1);
        memory_add_name(copy, m->names[i].path, m->names[i].inode);
    }
    return copy;
}

void memory_vfs_rebase(struct memory_vfs *m)
{
    sk_assert(m->op_count == 0);
    memory_vfs_free(m->base);
    m->base = memory_vfs_copy(m);
}

void memory_vfs_forget(struct memory_vfs *m)
{
    m->silent = true;
}

void memory_vfs_kill(struct memory_vfs *m, bool dead)
{
    m->dead = dead;
}

void memory_vfs_limit(struct memory_vfs *m, uint64_t bytes)
{
    m->limit = bytes;
}

void memory_vfs_on_sync(struct memory_vfs *m, memory_vfs_sync_fn *fn, void *arg)
{
    m->on_sync = fn;
    m->on_sync_arg = arg;
}

/* --- looking ------------------------------------------------------------------------------- */

size_t memory_vfs_ops(struct memory_vfs *m)
{
    pthread_mutex_lock(&m->lock);
    size_t count = m->op_count;
    pthread_mutex_unlock(&m->lock);
    return count;
}

uint64_t memory_vfs_used(struct memory_vfs *m)
{
    return used(m);
}

uint8_t *memory_vfs_bytes(struct memory_vfs *m, const char *path, size_t *len)
{
    int i = memory_find(m, path);
    if (i < 0 || m->names[i].inode < 0) return NULL;
    struct memory_inode *n = &m->inodes[m->names[i].inode];
    *len = n->bytes;
    return memory_own(n, n->bytes);
}

void memory_vfs_each(struct memory_vfs *m, void (*fn)(void *arg, const char *path), void *arg)
{
    for (int i = 0; i < m->name_count; i++)
        if (m->names[i].inode >= 0) fn(arg, m->names[i].path->text);
}

uint64_t memory_vfs_hash(struct memory_vfs *m)
{
    uint64_t sum = 0;
    for (int i = 0; i < m->name_count; i++) {
        int inode = m->names[i].inode;
        uint64_t content = inode < 0 ? 0 : memory_inode_sum(&m->inodes[inode]);
        sum ^= memory_mix(m->names[i].path->hash ^ memory_mix(content));
    }
    return sum;
}
