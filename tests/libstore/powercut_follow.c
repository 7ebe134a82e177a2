/* powercut_follow.c - a follower under power cuts: small random lives of a store that receives what
 * another one, whose power is never cut, appends, in slices of any size. It flushes, takes
 * snapshots, stops and is killed; it lets segments go when the source says so. What each image must
 * hold is said in powercut.c (I1 to I6), here of the source's records; then it begins an epoch and
 * writes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/memory.h"
#include "store/stream.h"
#include "store_impl.h"
#include "support/power_past.h"

#define DIR "/d/store"

enum { QUEUES = 4, MOST_BATCH = 5, MOST_BYTES = 1500, MOST_AHEAD = 64 };

struct owner { /* the state that the store's owner keeps, and saves in snapshots */
    uint64_t records;
    uint64_t last_position; /* end of the last record */
    uint64_t sum;           /* over all of each record, in order */
};

struct work {
    struct power_dice dice;
    uint64_t segment_bytes, retention_bytes;
    struct power_past past;
    struct owner *after; /* after[k]: the state after k records */
    size_t after_room;
    /* The present life. */
    struct memory_vfs *disk;
    sk_store *store;
    struct owner state;
    uint64_t next[QUEUES];
    bool write_ahead;
    bool append_in_sync;
    /* A follower's: where its records come from, and those that it has not got yet. */
    struct memory_vfs *source_disk;
    sk_store *source;
    struct owner source_state;
    struct power_put ahead[MOST_AHEAD];
    size_t ahead_count;
};

/* --- the owner ------------------------------------------------------------------------------ */

static uint64_t add(uint64_t sum, uint64_t x)
{
    sum = (sum ^ x) * 0x9fb21c651e98df25u;
    return sum ^ sum >> 29;
}

static struct sk_status on_apply(void *owner, const struct sk_record *r)
{
    struct owner *o = owner;
    if (r->kind > SK_KIND_OWNER_MOST) return SK_SUCCESS; /* they come when the store likes */
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

static struct owner frozen; /* the state that is being saved */

static void on_save_begin(void *owner)
{
    memcpy(&frozen, owner, sizeof frozen);
}

static bool on_save_page(void *owner, struct sk_buffer *out, size_t most)
{
    (void)owner, (void)most;
    sk_buffer_put(out, &frozen, sizeof frozen);
    return false;
}

static sk_store *open_store(struct work *w, struct memory_vfs *disk, struct owner *state,
                            struct sk_recovery *out)
{
    struct sk_store_options options = {
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
        .manual = true,
    };
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
        return (uint32_t)(1024 - (sk_store_tail(w->source) + header) % 512);
    uint64_t most = kind < 6 ? 200 : kind < 9 ? 700 : MOST_BYTES;
    return (uint32_t)power_below(&w->dice, most);
}

static void draw(struct work *w, struct power_put *p, struct sk_append *a, struct sk_slice *part,
                 uint8_t *bytes, uint64_t *next)
{
    uint32_t queue = (uint32_t)power_below(&w->dice, QUEUES + 1), len = some_length(w);
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
    power_past_add(&w->past, *p);
    if (w->past.count >= w->after_room) {
        w->after_room = 2 * w->past.count;
        w->after = sk_realloc(w->after, w->after_room, sizeof *w->after);
    }
    w->after[w->past.count] = w->state;
}

/* Whatever the disk can hold of it, in slices of any size. */
static void feed(struct work *w);

/* The source has them; the follower gets them now, or some time. */
static void put_ahead(struct work *w, const struct power_put *puts, const struct sk_span *spans,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        w->ahead[w->ahead_count] = puts[i];
        w->ahead[w->ahead_count++].span = spans[i];
    }
    if (power_below(&w->dice, 3)) feed(w);
}

static void append(struct work *w, size_t count)
{
    static uint8_t bytes[MOST_BATCH][POWER_PAYLOAD_MOST];
    struct power_put puts[MOST_BATCH];
    struct sk_append appends[MOST_BATCH];
    struct sk_slice parts[MOST_BATCH];
    struct sk_span spans[MOST_BATCH];
    uint64_t next[QUEUES];
    memcpy(next, w->next, sizeof next);
    uint64_t room = 0;
    for (size_t i = 0; i < count; i++) {
        draw(w, &puts[i], &appends[i], &parts[i], bytes[i], next);
        puts[i].ends_batch = i + 1 == count;
        room += 64 + puts[i].len;
        if (room > w->segment_bytes - 4096) return; /* would not fit */
    }
    if (w->ahead_count + count > MOST_AHEAD) return;
    power_ok(sk_store_append(w->source, appends, count, false, spans), "append to the source");
    memcpy(w->next, next, sizeof next);
    put_ahead(w, puts, spans, count);
}

static void remember_received(struct work *w, const struct power_put *p)
{
    static uint8_t bytes[POWER_PAYLOAD_MOST];
    struct owner state = w->after[w->past.count];
    struct sk_append a = {
        .kind = 1, .queue = p->queue, .offset = p->offset, .tag_hash = p->tag_hash};
    struct sk_slice payload = power_payload(p->queue, p->offset, p->len, bytes);
    struct owner whole = w->state;
    a.parts = &payload;
    w->state = state;
    struct power_put copy = *p;
    remember(w, &copy, &a, p->span);
    w->state = whole;
}

/* False: there is no room for it now. */
static bool take_slice(struct work *w, const struct sk_log_stream_slice *slice)
{
    struct sk_span span;
    size_t count = 0;
    while (count < w->ahead_count && w->ahead[count].span.end <= slice->span.end) count++;
    power_past_submit(&w->past, w->disk, w->past.count + count);
    struct sk_status s = sk_store_receive(w->store, slice->span.begin, slice->bytes, &span);
    if (s.code == SK_FULL) { /* the disk is; nothing happened */
        power_past_submit(&w->past, w->disk, w->past.count);
        return false;
    }
    power_ok(s, "receive");
    for (size_t i = 0; i < count; i++) remember_received(w, &w->ahead[i]);
    w->ahead_count -= count;
    memmove(w->ahead, w->ahead + count, w->ahead_count * sizeof *w->ahead);
    POWER_MUST(memcmp(&w->state, &w->after[w->past.count], sizeof w->state) == 0,
               "what was received folds to another state");
    sk_store_publish(w->store);
    return true;
}

static void feed(struct work *w)
{
    sk_log_stream *stream = NULL;
    struct sk_log_stream_slice slice;
    struct sk_log_stream_options options = {.slice_bytes = 1 + power_below(&w->dice, 6000)};
    power_ok(sk_log_stream_open(w->source, sk_store_tail(w->store), &options, &stream), "stream");
    bool more = true;
    while (more) {
        power_ok(sk_log_stream_next(stream, UINT64_MAX, &slice), "stream");
        more = slice.bytes.len > 0 && take_slice(w, &slice);
        sk_unpin(slice.pin);
    }
    sk_log_stream_close(stream);
}

/* A follower lets go of what its source says. */
static void retain(struct work *w)
{
    feed(w); /* before the source lets go of it */
    if (w->ahead_count) return;
    power_ok(sk_store_snapshot(w->source), "snapshot of the source");
    sk_store_retain(w->source);
    feed(w);
    sk_store_retain(w->store);
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
    struct sk_status s = sk_store_snapshot(w->store);
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
    for (uint32_t q = 0; q < QUEUES; q++) w->next[q] = sk_store_queue(w->source, q).max;
}

static void begin_epoch(sk_store *store)
{
    struct sk_span span;
    power_ok(sk_store_begin_epoch(store, sk_store_next_epoch(store), 1, &span), "begin an epoch");
}

/* Its disk is a copy of the follower's, so they have begun as one. */
static void start_source(struct work *w)
{
    w->source_disk = memory_vfs_copy(w->disk);
    memory_vfs_forget(w->source_disk);
    w->source = open_store(w, w->source_disk, &w->source_state, NULL);
    begin_epoch(w->source);
    w->ahead_count = 0;
}

static void stop_source(struct work *w)
{
    sk_store_close(w->source);
    memory_vfs_free(w->source_disk);
    w->source = NULL;
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
    else if (what < 79)
        snapshot(w);
    else if (what < 85)
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

static void live(void *work, struct memory_vfs *disk, int life)
{
    struct work *w = work;
    (void)life;
    w->disk = disk;
    start_source(w);
    start(w);
    power_past_begin(&w->past, w->state.records);
    for (uint64_t left = 8 + power_below(&w->dice, 24); left > 0; left--) step(w);
    stop(w);
    w->store = NULL;
    stop_source(w);
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

/* --- what an image must hold ------------------------------------------------------------------ */

/* All that does not depend on when the power went. */
static void check(struct work *w, sk_store *store, const struct owner *state)
{
    uint64_t count = state->records;
    POWER_MUST(count <= w->past.count, "%" PRIu64 " records came back, only %zu were submitted",
               count, w->past.count);
    POWER_MUST(!count || w->past.puts[count - 1].ends_batch,
               "%" PRIu64 " records came back: half a batch", count);
    POWER_MUST(memcmp(state, &w->after[count], sizeof *state) == 0,
               "the state after %" PRIu64 " records is another one", count);
    for (uint32_t q = 0; q < QUEUES; q++) power_past_check_queue(&w->past, count, store, q);
}

/* Open `disk`, hold it against what came back before, close. */
static void check_again(struct work *w, struct memory_vfs *disk, uint64_t records, uint64_t hash,
                        const char *what)
{
    struct owner state;
    struct sk_recovery found;
    memory_vfs_forget(disk);
    sk_store *store = open_store(w, disk, &state, &found);
    power_recovered();
    POWER_MUST(state.records == records, "%s: %" PRIu64 " records, not %" PRIu64, what,
               state.records, records);
    POWER_MUST(!hash || memory_vfs_hash(disk) == hash, "%s: changes the disk", what);
    check(w, store, &state);
    sk_store_close(store);
}

static void on_finding(void *arg, bool is_error, const char *file, uint64_t position,
                       const char *detail)
{
    (void)position;
    POWER_MUST(!is_error, "verify %s: %s: %s", (const char *)arg, file, detail);
}

/* A power cut is no damage, and `skua verify` says so. */
static void check_verify(struct memory_vfs *disk, const char *when)
{
    struct memory_vfs *copy = memory_vfs_copy(disk);
    memory_vfs_forget(copy);
    struct sk_verify_result result;
    struct sk_status s =
        sk_store_verify(DIR, memory_vfs_door(copy), on_finding, (void *)(uintptr_t)when, &result);
    /* A store that was only just being made is none yet. */
    if (s.code != SK_NOT_FOUND) power_ok(s, when);
    memory_vfs_free(copy);
}

/* It is of use: one more record is taken. */
static void check_use(sk_store *store)
{
    struct sk_span span;
    struct sk_slice part = SK_SLICE("after the cut");
    struct sk_append a = {.kind = 2,
                          .queue = 0,
                          .offset = sk_store_queue(store, 0).max,
                          .time_ms = UINT32_MAX,
                          .parts = &part,
                          .part_count = 1};
    begin_epoch(store); /* from now on it is nobody's follower */
    power_ok(sk_store_append(store, &a, 1, false, &span), "append after a cut");
    power_ok(sk_store_flush(store), "flush after a cut");
    sk_store_close(store);
}

static uint64_t recover(void *work, struct memory_vfs *image, bool thorough, size_t *steps)
{
    struct work *w = work;
    struct owner state;
    struct sk_recovery found;
    sk_store *store = open_store(w, image, &state, &found);
    power_recovered();
    *steps = memory_vfs_ops(image);
    check(w, store, &state);
    uint64_t records = state.records, hash = memory_vfs_hash(image);
    struct memory_vfs *again = memory_vfs_copy(image);
    if (thorough) check_verify(again, "after recovery");
    check_use(store);
    check_again(w, again, records, hash, "recovered once more");
    memory_vfs_free(again);
    return records;
}

int main(int argc, char **argv)
{
    static const struct power_subject subject = {
        "follow", 3, begin, live, recover, judge, end,
    };
    return power_main(argc, argv, &subject);
}
