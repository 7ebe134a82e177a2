/* bench_table.c - how long a page of the index' table holds the index' lock, with a million queues.
 * Not a test: build bench.table (release) and look. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "index.h"
#include "store/vfs.h"

enum { QUEUES = 1000000, EACH = 2, PAGE = 32 * 1024 };

static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t fill(sk_index *index)
{
    uint64_t position = 4096;
    for (uint64_t o = 0; o < EACH; o++)
        for (uint32_t q = 0; q < QUEUES; q++, position += 64) {
            struct sk_record r = {
                .queue = q, .offset = o, .span = {.begin = position, .end = position + 64}};
            if (!sk_index_add(index, &r, false)) abort();
        }
    return position;
}

static void measure(sk_index *index, uint64_t position)
{
    struct sk_buffer page = {0};
    double longest = 0, held = 0;
    size_t pages = 0, bytes = 0;
    bool more = true;
    sk_index_save_begin(index, position);
    for (; more; pages++, bytes += page.len) {
        page.len = 0;
        double began = thread_seconds();
        more = sk_index_save_page(index, &page, PAGE);
        double took = thread_seconds() - began;
        held += took;
        if (took > longest) longest = took;
    }
    sk_index_save_end(index);
    printf("%d queues: %zu pages, %.1f MiB, held %.3f s; a page %.3f ms on average, %.3f ms at "
           "most\n",
           QUEUES, pages, (double)bytes / (1 << 20), held, held * 1e3 / (double)pages,
           longest * 1e3);
    sk_buffer_done(&page);
}

int main(void)
{
    char dir[] = "/tmp/skua-table-XXXXXX";
    if (!mkdtemp(dir)) return 1;
    sk_index *index = sk_index_new(sk_vfs_real(), dir, 1, (uint64_t)1 << 30);
    uint64_t position = fill(index);
    for (int i = 0; i < 3; i++) measure(index, position);
    sk_index_free(index);
    return remove(dir) != 0;
}
