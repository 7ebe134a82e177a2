/* power_past.c - records and marks in arrays. */
#include "support/power_past.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static void mark(struct power_marks *m, size_t ops, uint64_t records)
{
    if (m->count == m->room) {
        m->room = m->room ? 2 * m->room : 64;
        m->list = sk_realloc(m->list, m->room, sizeof *m->list);
    }
    m->list[m->count++] = (struct power_mark){ops, records};
}

static uint64_t most_marked(const struct power_marks *m, size_t ops)
{
    uint64_t most = 0;
    for (size_t i = 0; i < m->count && m->list[i].ops <= ops; i++)
        if (m->list[i].records > most) most = m->list[i].records;
    return most;
}

void power_past_done(struct power_past *p)
{
    free(p->puts);
    free(p->promised.list);
    free(p->submitted.list);
}

void power_past_begin(struct power_past *p, uint64_t records)
{
    POWER_MUST(records <= p->count, "%" PRIu64 " records came back of %zu", records, p->count);
    p->count = records;
    p->promised.count = p->submitted.count = 0;
    p->cut = (struct power_mark){0};
    p->cut_done = 0;
    mark(&p->promised, 0, records);
    mark(&p->submitted, 0, records);
}

void power_past_submit(struct power_past *p, struct memory_vfs *disk, size_t records)
{
    mark(&p->submitted, memory_vfs_ops(disk), records);
}

void power_past_add(struct power_past *p, struct power_put put)
{
    if (p->count == p->room) {
        size_t more = p->room ? p->room : 64;
        p->puts = sk_realloc(p->puts, p->room + more, sizeof *p->puts);
        memset(p->puts + p->room, 0, more * sizeof *p->puts);
        p->room += more;
    }
    p->puts[p->count++] = put;
}

size_t power_past_below(const struct power_past *p, uint64_t position)
{
    size_t records = p->count;
    while (records > 0 && p->puts[records - 1].span.end > position) records--;
    return records;
}

void power_past_promise(struct power_past *p, struct memory_vfs *disk, sk_store *store)
{
    uint64_t durable = sk_store_flushed(store), told = sk_gate_cursor(sk_store_flushed_gate(store));
    if (told > durable) durable = told;
    mark(&p->promised, memory_vfs_ops(disk), power_past_below(p, durable));
}

void power_past_cut(struct power_past *p, struct memory_vfs *disk, size_t records)
{
    p->cut = disk ? (struct power_mark){memory_vfs_ops(disk), records} : (struct power_mark){0};
}

void power_past_cut_done(struct power_past *p, struct memory_vfs *disk)
{
    p->cut_done = memory_vfs_ops(disk);
}

void power_past_judge(const struct power_past *p, size_t ops, uint64_t records)
{
    uint64_t least = most_marked(&p->promised, ops);
    /* An append is submitted just before its first operation. */
    uint64_t most = ops > 0 ? most_marked(&p->submitted, ops - 1) : least;
    if (p->cut.records && ops >= p->cut.ops && least > p->cut.records) least = p->cut.records;
    if (p->cut_done && ops >= p->cut_done && most > p->cut.records) most = p->cut.records;
    POWER_MUST(records >= least, "%" PRIu64 " records came back; %" PRIu64 " were promised",
               records, least);
    POWER_MUST(records <= most, "%" PRIu64 " records came back; only %" PRIu64 " were submitted",
               records, most);
}

struct sk_slice power_payload(uint32_t queue, uint64_t offset, uint32_t len, uint8_t *out)
{
    struct power_dice dice = {queue * 1000003u + offset * 40503u + len * 69069u};
    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t x = power_roll(&dice);
        memcpy(out + i, &x, len - i < 8 ? len - i : 8);
    }
    return sk_slice_of(out, len);
}

static void check_record(sk_store *store, const struct power_put *p, const struct sk_index_entry *e)
{
    static uint8_t want[POWER_PAYLOAD_MOST];
    struct sk_pinned pinned;
    POWER_MUST(e->position == p->span.begin && e->size == p->span.end - p->span.begin &&
                   e->tag_hash == p->tag_hash,
               "queue %u offset %" PRIu64 ": the index says position %" PRIu64 ", it is %" PRIu64,
               p->queue, p->offset, e->position, p->span.begin);
    power_ok(sk_store_read(store, e->position, &pinned), "read");
    const struct sk_record *r = &pinned.record;
    power_payload(p->queue, p->offset, p->len, want);
    POWER_MUST(r->queue == p->queue && r->offset == p->offset && r->payload.len == p->len &&
                   memcmp(r->payload.data, want, p->len) == 0,
               "queue %u offset %" PRIu64 " is another record", p->queue, p->offset);
    sk_unpin(pinned.pin);
}

void power_past_check_queue(const struct power_past *past, uint64_t records, sk_store *store,
                            uint32_t queue)
{
    struct sk_index_entry entries[64];
    struct sk_queue_range range = sk_store_queue(store, queue);
    uint64_t begin = sk_store_begin(store), max = 0, min = 0, have = 0, at = 0;
    for (size_t i = 0; i < records; i++) {
        const struct power_put *p = &past->puts[i];
        if (p->queue != queue) continue;
        max = p->offset + 1;
        if (p->span.begin < begin) {
            min = max;
            continue;
        }
        if (at == have) {
            at = 0;
            have = sk_store_lookup(store, queue, p->offset, 64, entries);
            POWER_MUST(have > 0, "queue %u offset %" PRIu64 " is not found", queue, p->offset);
        }
        check_record(store, p, &entries[at++]);
    }
    POWER_MUST(range.min == min && range.max == max && at == have,
               "queue %u has offsets %" PRIu64 "..%" PRIu64 ", should have %" PRIu64 "..%" PRIu64,
               queue, range.min, range.max, min, max);
}
