/* powercut.c - the store under power cuts: small random lives of one store, and what each disk
 * image that a cut may leave must still hold (reliability.md 2.2):
 *
 *   I1  every record that was durable is there, byte for byte, at its offset and position
 *   I2  nothing is there that was not submitted; a batch is there whole or not at all
 *   I3  offsets have no gap and no repeat
 *   I4  the queue index, and the owner's state from snapshot + replay, are what the log yields
 *   I5  opening what a recovery left changes nothing
 *   I6  all that also when the recovery was cut (tests/support/power_proof.c does that)
 *
 * and the store must be of use: it takes a record, keeps it, stops in order and starts again.
 *
 * A life appends, in batches too, with sync and async flush, also while a sync runs; begins epochs;
 * receives for a while, and those records claim more than is durable here; rolls segments of one
 * page; works ahead as the helper thread would; writes index extents; takes snapshots; lets old
 * segments go; is refused on a full disk; stops and starts; is killed. Some lives end with a cut of
 * the log's tail: whatever is left of that leads to the same end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/memory.h"
#include "powercut_store.h"

/* --- the owner ------------------------------------------------------------------------------ */

static uint64_t add(uint64_t sum, uint64_t x)
{
    sum = (sum ^ x) * 0x9fb21c651e98df25u;
    return sum ^ sum >> 29;
}

static struct sk_status on_apply(void *owner, const struct sk_record *r)
{
    struct owner *o = owner;
    if (r->kind == SK_KIND_BEGIN) return SK_SUCCESS; /* it comes when the store likes */
    uint32_t crc = sk_crc32c(0, r->payload.data, r->payload.len);
    o->records++;
    o->last_position = r->span.end;
    o->sum = add(add(add(o->sum, r->kind), r->queue), r->offset);
    o->sum = add(add(add(o->sum, crc), r->span.begin), r->tag_hash);
    return SK_SUCCESS;
}

static struct sk_status on_load(void *owner, struct sk_slice snapshot)
{
    if (snapshot.len != sizeof(struct owner)) return sk_error(SK_CORRUPT, "a foreign snapshot");
    memcpy(owner, snapshot.data, snapshot.len);
    return SK_SUCCESS;
}

/* The state that is being saved, and how far: in pages of eight bytes, of the beginning. */
static struct owner frozen;
static size_t frozen_at;

static void on_save_begin(void *owner)
{
    memcpy(&frozen, owner, sizeof frozen);
    frozen_at = 0;
}

static bool on_save_page(void *owner, struct sk_buffer *out, size_t most)
{
    (void)owner, (void)most;
    sk_buffer_put(out, (const uint8_t *)&frozen + frozen_at, 8);
    frozen_at += 8;
    return frozen_at < sizeof frozen;
}

static void append(struct work *w, size_t count);

/* The snapshot lets go of the lock: others append. */
static void on_unlock(void *owner)
{
    struct work *w = (struct work *)(void *)((char *)owner - offsetof(struct work, state));
    if (w->saving && power_below(&w->dice, 2)) append(w, 1 + power_below(&w->dice, 3));
}

struct sk_store_options store_options(const struct work *w, struct memory_vfs *disk,
                                      struct owner *state)
{
    return (struct sk_store_options){
        .dir = DIR,
        .write_ahead = w->write_ahead,
        .segment_bytes = w->segment_bytes,
        .retention_bytes = w->retention_bytes,
        .disk_refuse_percent = 90,
        .disk_clean_percent = 100,
        .vfs = memory_vfs_door(disk),
        .fold = {.load = on_load,
                 .apply = on_apply,
                 .save_begin = on_save_begin,
                 .save_page = on_save_page,
                 .owner = state},
        .unlock = state == &w->state ? on_unlock : NULL,
        .manual = true,
    };
}

sk_store *open_store(struct work *w, struct memory_vfs *disk, struct owner *state,
                     struct sk_recovery *out)
{
    struct sk_store_options options = store_options(w, disk, state);
    sk_store *store = NULL;
    *state = (struct owner){0};
    power_ok(sk_store_open(&options, out, &store), "open");
    return store;
}

static void promise(struct work *w)
{
    power_past_promise(&w->past, w->disk, w->store);
}

/* --- steps of a life ------------------------------------------------------------------------ */

static uint32_t some_length(struct work *w)
{
    uint64_t kind = power_below(&w->dice, 14);
    uint64_t header = 56;
    if (kind >= 10) /* up to a sector's border: what comes next is torn apart from it */
        return (uint32_t)(1024 - (sk_store_tail(w->store) + header) % 512);
    uint64_t most = kind < 6 ? 200 : kind < 9 ? 700 : MOST_BYTES;
    return (uint32_t)power_below(&w->dice, most);
}

/* Often the length of the record that a former life had here: what the cut left of that one must
 * not follow on this one. */
static uint32_t length_at(struct work *w, size_t index)
{
    bool again = index < w->past.room && w->past.puts[index].span.end && power_below(&w->dice, 2);
    return again ? w->past.puts[index].len : some_length(w);
}

static void draw(struct work *w, size_t index, struct power_put *p, struct sk_append *a,
                 struct sk_slice *part, uint8_t *bytes, uint64_t *next)
{
    uint32_t queue = (uint32_t)power_below(&w->dice, QUEUES + 1), len = length_at(w, index);
    if (queue == QUEUES) queue = SK_NO_QUEUE;
    uint64_t offset = queue == SK_NO_QUEUE ? 0 : next[queue]++;
    *p = (struct power_put){
        .queue = queue, .offset = offset, .len = len, .tag_hash = (uint32_t)offset * 7};
    *part = power_payload(queue, offset, len, bytes);
    *a = (struct sk_append){.kind = 1,
                            .queue = queue,
                            .offset = offset,
                            .tag_hash = p->tag_hash,
                            .time_ms = 1000 + w->past.count,
                            .parts = part,
                            .part_count = 1};
}

static void add_past(struct work *w, const struct power_put *p)
{
    power_past_add(&w->past, *p);
    if (w->past.count >= w->after_room) {
        w->after_room = 2 * w->past.count;
        w->after = sk_realloc(w->after, w->after_room, sizeof *w->after);
    }
    w->after[w->past.count] = w->state;
}

static void remember(struct work *w, struct power_put *p, const struct sk_append *a,
                     struct sk_span span)
{
    struct sk_record r = {.kind = a->kind,
                          .queue = a->queue,
                          .offset = a->offset,
                          .tag_hash = a->tag_hash,
                          .span = span,
                          .payload = a->parts[0]};
    power_ok(on_apply(&w->state, &r), "apply");
    p->span = span;
    add_past(w, p);
}

/* A record of another node's log, as it would be written down here: its `flushed` field says that
 * all before it is durable, on a disk that is not this one. */
static void receive(struct work *w)
{
    static uint8_t bytes[POWER_PAYLOAD_MOST];
    struct sk_commitlog *log = &w->store->log;
    struct sk_slice part = power_payload(SK_NO_QUEUE, 0, some_length(w), bytes);
    struct power_put put = {.queue = SK_NO_QUEUE, .ends_batch = true};
    struct sk_append a = {.kind = 1,
                          .queue = SK_NO_QUEUE,
                          .time_ms = 1000 + w->past.count,
                          .parts = &part,
                          .part_count = 1};
    struct sk_span span;
    power_past_submit(&w->past, w->disk, w->past.count + 1);
    uint64_t flushed = sk_commitlog_flushed(log);
    atomic_store(&log->flushed, sk_commitlog_tail(log));
    struct sk_status s = sk_commitlog_append(log, &a, 1, &span);
    atomic_store(&log->flushed, flushed);
    if (sk_ok(s))
        remember(w, &put, &a, span);
    else
        power_past_submit(&w->past, w->disk, w->past.count);
}

static bool is_receiver(const struct work *w)
{
    return w->store->log.own_from == SK_OWN_NONE;
}

static void begin_epoch(struct work *w)
{
    struct power_put put = {.queue = SK_NO_QUEUE, .ends_batch = true};
    memory_vfs_limit(w->disk, 0); /* a full disk is no news here */
    power_past_submit(&w->past, w->disk, w->past.count + 1);
    power_ok(sk_store_begin_epoch(w->store, sk_store_next_epoch(w->store), 1000 + w->past.count,
                                  &put.span),
             "begin an epoch");
    add_past(w, &put); /* the fold was told */
    sk_store_publish(w->store);
}

/* Retention first appends a record of the log's new beginning, of which it tells the fold. */
static void retain(struct work *w)
{
    power_past_submit(&w->past, w->disk, w->past.count + 1);
    sk_store_retain(w->store);
    if (w->state.records > w->past.count) {
        struct power_put put = {.queue = SK_NO_QUEUE,
                                .span = {w->state.last_position - 8, w->state.last_position},
                                .ends_batch = true};
        add_past(w, &put);
        sk_store_publish(w->store);
    }
    power_past_submit(&w->past, w->disk, w->past.count);
}

static void change_sides(struct work *w)
{
    if (is_receiver(w) || power_below(&w->dice, 2)) {
        begin_epoch(w);
        return;
    }
    memory_vfs_limit(w->disk, 0);
    power_ok(sk_store_note_received(w->store), "note that it receives");
    for (uint64_t left = 1 + power_below(&w->dice, 3); left > 0; left--) receive(w);
}

static void append(struct work *w, size_t count)
{
    if (is_receiver(w)) {
        receive(w);
        return;
    }
    if (!w->store->writes) begin_epoch(w);

    static uint8_t bytes[MOST_BATCH][POWER_PAYLOAD_MOST];
    struct power_put puts[MOST_BATCH];
    struct sk_append appends[MOST_BATCH];
    struct sk_slice parts[MOST_BATCH];
    struct sk_span spans[MOST_BATCH];
    uint64_t next[QUEUES];
    memcpy(next, w->next, sizeof next);
    uint64_t room = 0;
    for (size_t i = 0; i < count; i++) {
        draw(w, w->past.count + i, &puts[i], &appends[i], &parts[i], bytes[i], next);
        puts[i].ends_batch = i + 1 == count;
        room += 64 + puts[i].len;
        if (room > w->segment_bytes - 4096) return; /* would not fit */
    }
    power_past_submit(&w->past, w->disk, w->past.count + count);
    struct sk_status s =
        sk_store_append(w->store, appends, count, power_below(&w->dice, 4) == 0, spans);
    if (s.code == SK_FULL) { /* the disk is; nothing happened */
        power_past_submit(&w->past, w->disk, w->past.count);
        return;
    }
    power_ok(s, "append");
    memcpy(w->next, next, sizeof next);
    for (size_t i = 0; i < count; i++) remember(w, &puts[i], &appends[i], spans[i]);
    sk_store_publish(w->store);
}

/* A sync is under way: what is appended now, it does not cover. */
static void in_sync(void *arg)
{
    struct work *w = arg;
    promise(w);
    if (!w->append_in_sync) return;
    w->append_in_sync = false;
    append(w, 1 + power_below(&w->dice, 2));
    promise(w);
}

static void flush(struct work *w, bool append_meanwhile)
{
    w->append_in_sync = append_meanwhile;
    memory_vfs_on_sync(w->disk, in_sync, w);
    power_ok(sk_store_flush(w->store), "flush");
    memory_vfs_on_sync(w->disk, NULL, NULL);
    w->append_in_sync = false;
}

static void snapshot(struct work *w)
{
    w->saving = power_below(&w->dice, 4) != 0;
    struct sk_status s = sk_store_snapshot(w->store);
    w->saving = false;
    if (s.code != SK_FULL) power_ok(s, "snapshot");
}

/* What the helper thread does. */
static void work_ahead(struct work *w)
{
    bool more = true;
    while (more) power_ok(sk_commitlog_prepare(&w->store->log, &more), "prepare");
    struct sk_status s = sk_index_write(w->store->index, false);
    if (s.code != SK_FULL) power_ok(s, "write the index");
}

/* The disk is nearly full, or is not any more. */
static void squeeze(struct work *w)
{
    memory_vfs_limit(w->disk, w->disk && power_below(&w->dice, 2)
                                  ? memory_vfs_used(w->disk) + power_below(&w->dice, 12000)
                                  : 0);
}

static void start(struct work *w)
{
    w->write_ahead = power_below(&w->dice, 4) != 0;
    w->store = open_store(w, w->disk, &w->state, NULL);
    for (uint32_t q = 0; q < QUEUES; q++) w->next[q] = sk_store_queue(w->store, q).max;
}

static void stop(struct work *w)
{
    memory_vfs_limit(w->disk, 0);
    power_ok(sk_store_flush(w->store), "flush");
    promise(w);
    sk_store_close(w->store);
}

/* kill -9, and a new process: the page cache lives on, so all that was appended is there. */
static void kill_and_start(struct work *w)
{
    memory_vfs_limit(w->disk, 0);
    memory_vfs_kill(w->disk, true);
    sk_store_close(w->store);
    memory_vfs_kill(w->disk, false);
    start(w);
    POWER_MUST(w->state.records == w->past.count, "%" PRIu64 " records survived a kill, not %zu",
               w->state.records, w->past.count);
}

static void step(struct work *w)
{
    uint64_t what = power_below(&w->dice, 100);
    if (what < 44)
        append(w, 1);
    else if (what < 56)
        append(w, 2 + power_below(&w->dice, MOST_BATCH - 1));
    else if (what < 74)
        flush(w, what < 60);
    else if (what < 78)
        snapshot(w);
    else if (what < 82)
        change_sides(w);
    else if (what < 86)
        retain(w);
    else if (what < 93)
        work_ahead(w);
    else if (what < 97)
        squeeze(w);
    else if (what < 98)
        kill_and_start(w);
    else {
        stop(w);
        start(w);
    }
    promise(w);
}

/* --- lives ----------------------------------------------------------------------------------- */

static void *begin(uint64_t seed)
{
    struct work *w = sk_zalloc(1, sizeof *w);
    w->dice.state = seed * 0x9e3779b97f4a7c15u;
    w->segment_bytes = 8192 + 4096 * power_below(&w->dice, 3);
    w->retention_bytes = power_below(&w->dice, 3) * 8192;
    w->after = sk_zalloc(1, sizeof *w->after);
    w->after_room = 1;
    return w;
}

/* The log ends at some batch of before; unless there would be nothing to tell the state from. */
static void cut(struct work *w)
{
    size_t k = w->past.count - power_below(&w->dice, w->past.count < 12 ? w->past.count : 12);
    while (k > 0 && !w->past.puts[k - 1].ends_batch) k--;
    if (k == 0) return;
    struct owner unused;
    struct sk_store_options options = store_options(w, w->disk, &unused);
    struct sk_truncation done;
    uint64_t position = w->past.puts[k - 1].span.end;
    power_past_cut(&w->past, w->disk, k);
    struct sk_status s = sk_store_truncate(&options, position, &done);
    if (s.code == SK_INVALID) {
        power_past_cut(&w->past, NULL, 0);
        return;
    }
    power_ok(s, "cut the tail");
    power_past_cut_done(&w->past, w->disk);
    w->cut = position;
}

static void live(void *work, struct memory_vfs *disk, int life)
{
    struct work *w = work;
    (void)life;
    w->disk = disk;
    w->cut = 0;
    start(w);
    power_past_begin(&w->past, w->state.records);
    for (uint64_t left = 8 + power_below(&w->dice, 24); left > 0; left--) step(w);
    stop(w);
    w->store = NULL;
    if (power_below(&w->dice, 3) == 0) cut(w);
}

static void judge(void *work, size_t ops, uint64_t records)
{
    struct work *w = work;
    power_past_judge(&w->past, ops, records);
}

static void end(void *work)
{
    struct work *w = work;
    power_past_done(&w->past);
    free(w->after);
    free(w);
}

int main(int argc, char **argv)
{
    static const struct power_subject subject = {
        "store", 3, begin, live, recover, judge, end,
    };
    return power_main(argc, argv, &subject);
}
