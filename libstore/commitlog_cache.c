/* commitlog_cache.c - how much of the log stays in the page cache.
 *
 *        let_go                  sent_out      tail
 *          v                        v            v
 *   -------+------------------------+------------+
 *   given  | clean or on its way    | dirty      |
 *   back   | to the disk            |            |
 *          |<---- keep_bytes, and what is not durable yet
 *
 * Left alone, a log takes all memory of the machine before the kernel reuses a page. In a container
 * it is charged for that, and on a virtual machine each new page may have to be fetched from the
 * host, which costs ten times what writing into it costs (docs/benchmarks.md): going round within
 * pages that it has already is what keeps an append cheap. Consumers that are further behind read
 * from the disk. */
#include "commitlog.h"
#include "store/vfs.h"

enum { PAGE = 4096 };

/* The chunk that begins at `at`, cut at the end of its segment. */
static uint64_t chunk_end(const struct sk_commitlog *log, uint64_t at)
{
    uint64_t end = sk_commitlog_base(log, at) + log->segment_bytes;
    return end - at < SK_CACHE_CHUNK ? end : at + SK_CACHE_CHUNK;
}

/* Only what is durable can be given back: what is dirty stays where it is and would be forgotten.
 */
static uint64_t let_go_goal(const struct sk_commitlog *log)
{
    uint64_t tail = sk_commitlog_tail(log), flushed = sk_commitlog_flushed(log);
    uint64_t goal = tail > log->keep_bytes ? tail - log->keep_bytes : 0;
    return goal < flushed ? goal : flushed;
}

static bool is_due(const struct sk_commitlog *log, uint64_t at, uint64_t goal)
{
    return chunk_end(log, at) <= goal;
}

/* With a sync flush, the flushes see to it that all is written. */
static bool sends_out(const struct sk_commitlog *log, uint64_t at)
{
    return !log->zero_ahead && is_due(log, at, sk_commitlog_tail(log));
}

void sk_commitlog_limit_cache(struct sk_commitlog *log, uint64_t keep_bytes)
{
    uint64_t tail = sk_commitlog_tail(log), page = tail - tail % PAGE;
    log->keep_bytes = keep_bytes;
    atomic_store(&log->sent_out, page);
    atomic_store(&log->let_go, page);
}

bool sk_commitlog_wants_trim(const struct sk_commitlog *log)
{
    if (log->keep_bytes == 0) return false;
    return sends_out(log, atomic_load_explicit(&log->sent_out, memory_order_relaxed)) ||
           is_due(log, atomic_load_explicit(&log->let_go, memory_order_relaxed), let_go_goal(log));
}

/* What is at `at` may be gone already: retention does not wait for us. */
static void send_out(struct sk_commitlog *log, uint64_t at)
{
    struct sk_segment *s = sk_commitlog_pin(log, at);
    uint64_t end = chunk_end(log, at);
    if (s && s->fd >= 0) log->vfs->write_out(log->vfs, s->fd, at - s->base, end - s->base);
    sk_segment_unref(s);
    atomic_store_explicit(&log->sent_out, end, memory_order_relaxed);
}

static void let_go(struct sk_commitlog *log, uint64_t at)
{
    struct sk_segment *s = sk_commitlog_pin(log, at);
    uint64_t end = chunk_end(log, at);
    if (s && s->fd >= 0) log->vfs->drop_cache(log->vfs, s->fd, s->map, at - s->base, end - s->base);
    sk_segment_unref(s);
    atomic_store_explicit(&log->let_go, end, memory_order_relaxed);
}

bool sk_commitlog_trim_cache(struct sk_commitlog *log)
{
    if (log->keep_bytes == 0) return false;
    uint64_t out = atomic_load_explicit(&log->sent_out, memory_order_relaxed);
    if (sends_out(log, out)) send_out(log, out);
    uint64_t gone = atomic_load_explicit(&log->let_go, memory_order_relaxed);
    if (is_due(log, gone, let_go_goal(log))) let_go(log, gone);
    return sk_commitlog_wants_trim(log);
}
