/* powercut_life.c - one random life of a ledger: what a broker's handlers do to it, without them.
 */
#include "powercut.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store_impl.h"

enum { NAMES = 3, MOST_BATCH = 4, MOST_RECEIVE = 4 };

static const sk_state *state_of(struct work *w)
{
    return sk_turn_state(&(struct sk_turn){.ledger = w->ledger}); /* this program has one thread */
}

/* --- opening -----------------------------------------------------------------------------------
 */

static void on_failed(void *owner, struct sk_status why)
{
    (void)owner;
    power_ok(why, "the ledger failed");
}

sk_ledger *powercut_open(struct work *w, struct memory_vfs *disk, struct sk_recovery *found)
{
    struct sk_ledger_options options = {
        .store = {.dir = DIR,
                  .segment_bytes = w->segment_bytes,
                  .retention_bytes = w->retention_bytes,
                  .disk_refuse_percent = 100,
                  .disk_clean_percent = 100,
                  .vfs = memory_vfs_door(disk),
                  .clock = &w->clock,
                  .manual = true},
        .flush = w->flush,
        .failed = on_failed,
        .owner = w,
    };
    sk_ledger *ledger = NULL;
    power_ok(sk_ledger_open(&options, found, &ledger), "open");
    return ledger;
}

void powercut_range(void *turn, uint32_t store_queue, uint64_t *min, uint64_t *visible)
{
    sk_turn_range(turn, store_queue, min, visible);
}

/* --- writing -----------------------------------------------------------------------------------
 */

static void promise(struct work *w)
{
    power_past_promise(&w->past, w->disk, sk_ledger_store(w->ledger));
}

static void remember(struct work *w, struct power_put put)
{
    power_past_add(&w->past, put);
    if (w->past.count >= w->hash_room) {
        w->hash_room = 2 * w->past.count;
        w->hashes = sk_realloc(w->hashes, w->hash_room, sizeof *w->hashes);
        w->times = sk_realloc(w->times, w->hash_room, sizeof *w->times);
    }
    w->hashes[w->past.count] = sk_state_hash(state_of(w));
    w->times[w->past.count] = w->now_ms;
}

/* One record of the state's; returns its position, 0 if there was nothing to write. */
static struct sk_lease_id put(struct work *w, enum sk_record_kind kind, struct sk_buffer *payload)
{
    struct sk_span span = {0};
    uint32_t len = (uint32_t)payload->len;
    power_past_submit(&w->past, w->disk, w->past.count + 1);
    struct sk_turn turn;
    sk_turn_begin(&turn, w->ledger);
    power_ok(sk_turn_write(&turn, kind, sk_buffer_slice(payload), &span), "write");
    struct sk_lease_id id = sk_turn_lease_id(&turn, &span);
    sk_turn_end(&turn);
    sk_buffer_done(payload);
    if (len)
        remember(w, (struct power_put){
                        .queue = SK_NO_QUEUE, .len = len, .span = span, .ends_batch = true});
    return id;
}

static void note(struct work *w, struct event e)
{
    if (w->event_count == w->event_room) {
        w->event_room = w->event_room ? 2 * w->event_room : 64;
        w->events = sk_realloc(w->events, w->event_room, sizeof *w->events);
    }
    e.record = w->past.count;
    w->events[w->event_count++] = e;
}

static void note_lease(struct work *w, enum event_kind kind, const struct sk_lease *l,
                       struct sk_lease_id lease, uint64_t deadline_ms)
{
    note(w, (struct event){.kind = kind,
                           .group = l->group,
                           .topic = l->topic,
                           .queue = l->queue,
                           .offset = l->offset,
                           .lease = lease,
                           .deadline_ms = deadline_ms});
}

/* --- steps: topics and groups --------------------------------------------------------------- */

static struct sk_slice topic_name(uint64_t i)
{
    static const char *const names[NAMES] = {"orders", "bills", "test%letters"};
    return sk_slice_of_text(names[i]);
}

static struct sk_slice group_name(uint64_t i)
{
    static const char *const names[NAMES] = {"readers", "writers", "test%others"};
    return sk_slice_of_text(names[i]);
}

static const struct sk_topic *some_topic(struct work *w)
{
    return sk_state_topic(state_of(w), topic_name(power_below(&w->dice, NAMES)));
}

static const struct sk_group *some_group(struct work *w)
{
    return sk_state_group(state_of(w), group_name(power_below(&w->dice, NAMES)));
}

static void make_topic(struct work *w)
{
    struct sk_slice name = topic_name(power_below(&w->dice, NAMES));
    const struct sk_topic *topic = sk_state_topic(state_of(w), name);
    uint32_t queues = 1 + (uint32_t)power_below(&w->dice, MOST_QUEUES);
    if (topic && topic->queue_count > queues) queues = topic->queue_count;
    struct sk_buffer payload = {0};
    sk_state_encode_topic(&(struct sk_topic_change){.name = name,
                                                    .type = SK_TOPIC_NORMAL,
                                                    .read_queues = queues,
                                                    .write_queues = queues,
                                                    .permission = SK_PERMIT_READ | SK_PERMIT_WRITE},
                          &payload);
    put(w, SK_RECORD_TOPIC, &payload);
    topic = sk_state_topic(state_of(w), name);
    for (uint32_t q = 0; q < topic->queue_count; q++)
        if (topic->queues[q] >= w->queues) w->queues = topic->queues[q] + 1;
}

static void make_group(struct work *w)
{
    struct sk_buffer payload = {0};
    sk_state_encode_group(
        &(struct sk_group_change){.name = group_name(power_below(&w->dice, NAMES)),
                                  .max_attempts = 3 + (uint32_t)power_below(&w->dice, 20)},
        &payload);
    put(w, SK_RECORD_GROUP, &payload);
}

static void delete_topic(struct work *w)
{
    const struct sk_topic *topic = some_topic(w);
    if (!topic) return;
    uint32_t id = topic->id;
    struct sk_buffer payload = {0};
    sk_state_encode_topic_deleted(topic->name, &payload);
    put(w, SK_RECORD_TOPIC_DELETED, &payload);
    note(w, (struct event){.kind = TOPIC_GONE, .topic = id});
}

static void delete_group(struct work *w)
{
    const struct sk_group *group = some_group(w);
    if (!group) return;
    uint32_t id = group->id;
    struct sk_buffer payload = {0};
    sk_state_encode_group_deleted(group->name, &payload);
    put(w, SK_RECORD_GROUP_DELETED, &payload);
    note(w, (struct event){.kind = GROUP_GONE, .group = id});
}

/* --- steps: messages ------------------------------------------------------------------------ */

static void send(struct work *w, size_t count)
{
    static uint8_t bytes[MOST_BATCH][POWER_PAYLOAD_MOST];
    struct sk_append appends[MOST_BATCH];
    struct power_put puts[MOST_BATCH];
    struct sk_slice parts[MOST_BATCH];
    struct sk_span spans[MOST_BATCH];
    const struct sk_topic *topic = some_topic(w);
    if (!topic) return;
    uint32_t queue = topic->queues[power_below(&w->dice, topic->queue_count)];
    uint64_t first = sk_state_next_offset(state_of(w), queue);
    for (size_t i = 0; i < count; i++) {
        uint32_t len = 1 + (uint32_t)power_below(&w->dice, power_below(&w->dice, 4) ? 150 : 700);
        puts[i] = (struct power_put){.queue = queue,
                                     .offset = first + i,
                                     .len = len,
                                     .tag_hash = (uint32_t)power_below(&w->dice, 3),
                                     .ends_batch = i + 1 == count};
        parts[i] = power_payload(queue, first + i, len, bytes[i]);
        appends[i] =
            (struct sk_append){.kind = SK_RECORD_MESSAGE,
                               .queue = queue,
                               .offset = first + i,
                               .tag_hash = puts[i].tag_hash,
                               .time_ms = sk_turn_now_ms(&(struct sk_turn){.ledger = w->ledger}),
                               .parts = &parts[i],
                               .part_count = 1};
    }
    power_past_submit(&w->past, w->disk, w->past.count + count);
    struct sk_turn turn;
    sk_turn_begin(&turn, w->ledger);
    power_ok(sk_turn_commit(&turn, appends, count, spans), "append");
    sk_turn_end(&turn);
    for (size_t i = 0; i < count; i++) {
        puts[i].span = spans[i];
        remember(w, puts[i]);
    }
}

/* As services/broker/calls/src/receive_messages.c does it. */
static void receive(struct work *w)
{
    const struct sk_topic *topic = some_topic(w);
    const struct sk_group *group = some_group(w);
    if (!topic || !group) return;
    struct sk_chosen chosen[MOST_RECEIVE];
    struct sk_choose how = {.group = group->id,
                            .topic = topic->id,
                            .now_ms = sk_turn_now_ms(&(struct sk_turn){.ledger = w->ledger}),
                            .first_queue = (uint32_t)power_below(&w->dice, topic->read_queues),
                            .count = 1 + power_below(&w->dice, MOST_RECEIVE),
                            .deadline_ms = w->now_ms + 100 + power_below(&w->dice, 5000),
                            .auto_renew = power_below(&w->dice, 2),
                            .owner = 1 + power_below(&w->dice, 3)};
    struct sk_buffer payload = {0};
    struct sk_turn here = {.ledger = w->ledger};
    const struct sk_queue_view view = {powercut_range, NULL, &here};
    size_t count = sk_state_choose(state_of(w), &how, &view, chosen, &payload);
    struct sk_lease_id lease = put(w, SK_RECORD_DELIVER, &payload);
    for (size_t i = 0; i < count; i++) {
        struct sk_lease l = {.group = how.group,
                             .topic = how.topic,
                             .queue = chosen[i].queue,
                             .offset = chosen[i].offset,
                             .lease = lease};
        note_lease(w, LEASED, &l, lease, how.deadline_ms);
        if (w->held_count < MOST_HELD) w->held[w->held_count++] = l;
    }
}

/* Take a lease that is still good out of those held; false: none is. */
static bool take_lease(struct work *w, struct sk_lease *out)
{
    struct sk_lease_info info;
    while (w->held_count > 0) {
        size_t i = power_below(&w->dice, w->held_count);
        *out = w->held[i];
        w->held[i] = w->held[--w->held_count];
        if (sk_state_check_lease(state_of(w), out, w->now_ms, &info)) return true;
    }
    return false;
}

static void settle(struct work *w, enum sk_record_kind kind)
{
    struct sk_lease leases[3];
    size_t count = 0, most = kind == SK_RECORD_CHANGE ? 1 : 1 + power_below(&w->dice, 3);
    while (count < most && take_lease(w, &leases[count])) count++;
    if (count == 0) return;
    struct sk_buffer payload = {0};
    uint64_t deadline_ms = w->now_ms + power_below(&w->dice, 4000);
    if (kind == SK_RECORD_ACK) sk_state_encode_ack(leases, count, &payload);
    if (kind == SK_RECORD_CHANGE) sk_state_encode_change(leases, deadline_ms, &payload);
    if (kind == SK_RECORD_RENEW) sk_state_encode_renew(leases, count, deadline_ms, &payload);
    if (kind == SK_RECORD_RELEASE) sk_state_encode_release(leases, count, &payload);
    struct sk_lease_id id = put(w, kind, &payload);
    static const enum event_kind kinds[] = {[SK_RECORD_ACK] = ACKED,
                                            [SK_RECORD_CHANGE] = CHANGED,
                                            [SK_RECORD_RENEW] = RENEWED,
                                            [SK_RECORD_RELEASE] = RELEASED};
    for (size_t i = 0; i < count; i++) {
        note_lease(w, kinds[kind], &leases[i], kind == SK_RECORD_CHANGE ? id : leases[i].lease,
                   deadline_ms);
        if (kind == SK_RECORD_CHANGE) leases[i].lease = id;
        if (kind == SK_RECORD_CHANGE || kind == SK_RECORD_RENEW)
            w->held[w->held_count++] = leases[i];
    }
}

/* UpdateOffset. */
static void seek(struct work *w)
{
    const struct sk_topic *topic = some_topic(w);
    const struct sk_group *group = some_group(w);
    if (!topic || !group) return;
    uint32_t queue = (uint32_t)power_below(&w->dice, topic->queue_count);
    uint64_t end = sk_state_next_offset(state_of(w), topic->queues[queue]);
    struct event e = {.kind = SOUGHT,
                      .group = group->id,
                      .topic = topic->id,
                      .queue = queue,
                      .offset = power_below(&w->dice, end + 1)};
    struct sk_buffer payload = {0};
    sk_state_encode_seek(e.group, e.topic, e.queue, e.offset, &payload);
    put(w, SK_RECORD_SEEK, &payload);
    note(w, e);
}

/* --- steps: the log ------------------------------------------------------------------------- */

static void in_sync(void *arg)
{
    promise(arg);
}

static void flush(struct work *w)
{
    memory_vfs_on_sync(w->disk, in_sync, w);
    power_ok(sk_store_flush(sk_ledger_store(w->ledger)), "flush");
    memory_vfs_on_sync(w->disk, NULL, NULL);
}

static void work_ahead(struct work *w)
{
    sk_store *store = sk_ledger_store(w->ledger);
    bool more = true;
    while (more) power_ok(sk_commitlog_prepare(&store->log, &more), "prepare");
    power_ok(sk_index_write(store->index, false), "write the index");
}

size_t powercut_records(const struct work *w, sk_ledger *ledger, const struct sk_recovery *found)
{
    struct sk_epoch_start *list;
    size_t count = sk_store_epochs(sk_ledger_store(ledger), &list), i = 0;
    while (i < count && list[i].epoch <= w->epoch && w->epochs[list[i].epoch] == list[i].position)
        i++;
    uint64_t end = found->tail;
    if (i < count && list[i].position < end) end = list[i].position;
    free(list);
    return power_past_below(&w->past, end);
}

static void note_epoch(struct work *w)
{
    sk_store *store = sk_ledger_store(w->ledger);
    w->epoch = sk_store_epoch(store);
    w->epochs = sk_realloc(w->epochs, w->epoch + 1, sizeof *w->epochs);
    POWER_MUST(sk_store_epoch_start(store, w->epoch, &w->epochs[w->epoch]), "no epoch has begun");
}

static size_t start(struct work *w)
{
    struct sk_recovery found;
    w->flush = power_below(&w->dice, 4) ? SK_FLUSH_SYNC : SK_FLUSH_ASYNC;
    w->ledger = powercut_open(w, w->disk, &found);
    size_t records = powercut_records(w, w->ledger, &found);
    note_epoch(w);
    return records;
}

static void stop(struct work *w)
{
    flush(w);
    promise(w);
    sk_ledger_close(w->ledger);
}

static void restart(struct work *w, bool by_kill)
{
    if (by_kill) {
        memory_vfs_kill(w->disk, true);
        sk_ledger_close(w->ledger);
        memory_vfs_kill(w->disk, false);
    } else {
        stop(w);
    }
    size_t records = start(w);
    POWER_MUST(records == w->past.count, "%zu of %zu records after a restart", records,
               w->past.count);
    POWER_MUST(sk_state_hash(state_of(w)) == w->hashes[records], "another state after a restart");
}

static void step(struct work *w)
{
    uint64_t what = power_below(&w->dice, 100);
    if (what < 5)
        make_topic(w);
    else if (what < 9)
        make_group(w);
    else if (what < 11)
        delete_topic(w);
    else if (what < 12)
        delete_group(w);
    else if (what < 28)
        send(w, 1);
    else if (what < 34)
        send(w, 2 + power_below(&w->dice, MOST_BATCH - 1));
    else if (what < 48)
        receive(w);
    else if (what < 59)
        settle(w, SK_RECORD_ACK);
    else if (what < 62)
        settle(w, SK_RECORD_CHANGE);
    else if (what < 64)
        settle(w, SK_RECORD_RENEW);
    else if (what < 66)
        settle(w, SK_RECORD_RELEASE);
    else if (what < 68)
        seek(w);
    else if (what < 82)
        flush(w);
    else if (what < 87)
        power_ok(sk_store_snapshot(sk_ledger_store(w->ledger)), "snapshot");
    else if (what < 90)
        sk_store_retain(sk_ledger_store(w->ledger));
    else if (what < 93)
        work_ahead(w);
    else if (what < 98)
        w->now_ms += power_below(&w->dice, 3000);
    else
        restart(w, what == 98);
    promise(w);
}

/* --- a life ------------------------------------------------------------------------------- */

static void forget_after(struct work *w, size_t records)
{
    while (w->event_count && w->events[w->event_count - 1].record > records) w->event_count--;
    w->held_count = 0;
    w->queues = 0;
    for (size_t i = 0; i < records; i++)
        if (w->past.puts[i].queue != SK_NO_QUEUE && w->past.puts[i].queue >= w->queues)
            w->queues = w->past.puts[i].queue + 1;
}

void powercut_live(void *work, struct memory_vfs *disk, int life)
{
    struct work *w = work;
    w->disk = disk;
    size_t records = start(w);
    power_past_begin(&w->past, records);
    forget_after(w, records);
    if (life == 0) {
        make_topic(w);
        make_group(w);
    }
    for (uint64_t left = 15 + power_below(&w->dice, 35); left > 0; left--) step(w);
    stop(w);
    w->ledger = NULL;
}
