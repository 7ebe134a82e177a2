/* news.c - a ring of what was appended and is not committed, and for each queue in it the first
 * offset that cannot be seen yet. A queue that is not in the ring can be seen to its end. */
#include "inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { PAGE_QUEUES = 1024, FIRST_ROOM = 256 };

struct unseen {
    uint64_t offset; /* while count > 0 */
    uint32_t count;  /* of the ring's places that are this queue's */
};

struct sk_unseen_page {
    struct unseen queues[PAGE_QUEUES];
};

static struct unseen *unseen_of(const struct sk_newsroom *news, uint32_t store_queue)
{
    size_t page = store_queue / PAGE_QUEUES;
    if (page >= news->page_count || !news->pages[page]) return NULL;
    return &news->pages[page]->queues[store_queue % PAGE_QUEUES];
}

static struct unseen *make_unseen(struct sk_newsroom *news, uint32_t store_queue)
{
    size_t page = store_queue / PAGE_QUEUES;
    if (page >= news->page_count) {
        size_t count = news->page_count ? news->page_count * 2 : 16;
        while (count <= page) count *= 2;
        news->pages = sk_realloc(news->pages, count, sizeof *news->pages);
        memset(news->pages + news->page_count, 0, (count - news->page_count) * sizeof *news->pages);
        news->page_count = count;
    }
    if (!news->pages[page]) news->pages[page] = sk_zalloc(1, sizeof *news->pages[page]);
    return unseen_of(news, store_queue);
}

static struct sk_news *place(const struct sk_newsroom *news, size_t i)
{
    return &news->ring[(news->head + i) & (news->room - 1)];
}

static void grow(struct sk_newsroom *news)
{
    size_t room = news->room ? news->room * 2 : FIRST_ROOM;
    struct sk_news *ring = sk_alloc(room * sizeof *ring);
    for (size_t i = 0; i < news->count; i++) ring[i] = *place(news, i);
    free(news->ring);
    news->ring = ring;
    news->head = 0;
    news->room = room;
}

static void note_first(struct sk_newsroom *news)
{
    atomic_store(&news->first_end, news->count ? place(news, 0)->end : UINT64_MAX);
}

void sk_news_begin_batch(struct sk_newsroom *news)
{
    news->joinable = false;
}

/* Of messages that follow one another in a batch, one place is enough. Not across batches: a queue
 * that is written to all the time would have one place that is never committed whole. */
static bool join(struct sk_newsroom *news, const struct sk_news *message)
{
    struct sk_news *last = news->joinable && news->count ? place(news, news->count - 1) : NULL;
    news->joinable = true;
    if (!last || last->store_queue != message->store_queue) return false;
    last->end = message->end;
    last->next_offset = message->next_offset;
    return true;
}

void sk_news_put(struct sk_newsroom *news, const struct sk_news *message)
{
    if (!join(news, message)) {
        if (news->count == news->room) grow(news);
        *place(news, news->count++) = *message;
        struct unseen *u = make_unseen(news, message->store_queue);
        if (u->count++ == 0) u->offset = message->next_offset - 1;
    }
    if (news->count == 1) note_first(news);
}

bool sk_news_take(struct sk_newsroom *news, uint64_t committed, struct sk_news *out)
{
    if (news->count == 0 || place(news, 0)->end > committed) return false;
    *out = *place(news, 0);
    news->head = (news->head + 1) & (news->room - 1);
    news->count--;
    struct unseen *u = unseen_of(news, out->store_queue);
    u->count--;
    u->offset = out->next_offset;
    note_first(news);
    return true;
}

uint64_t sk_news_visible(const struct sk_newsroom *news, uint32_t store_queue, uint64_t next_offset)
{
    const struct unseen *u = unseen_of(news, store_queue);
    return u && u->count ? u->offset : next_offset;
}

void sk_news_done(struct sk_newsroom *news)
{
    for (size_t i = 0; i < news->page_count; i++) free(news->pages[i]);
    free(news->pages);
    free(news->ring);
}
