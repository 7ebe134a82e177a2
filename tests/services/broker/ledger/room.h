/* room.h - a ledger on a disk in memory, with a clock that stands still. The store has no threads
 * (manual), so each step of a commit is where the test puts it. Static: one program, one room. */
#ifndef TESTS_LEDGER_ROOM_H
#define TESTS_LEDGER_ROOM_H

#include <stdlib.h>
#include <string.h>

#include "ledger/polls.h"
#include "support/memory_vfs.h"
#include "support/suite.h"

#define ROOM_UNUSED __attribute__((unused))

static struct memory_vfs *disk;
static int (*sync_now)(struct sk_vfs *vfs, int fd); /* the disk's own */
static void (*meanwhile)(void);                     /* happens once, during the next sync */
static sk_ledger *ledger;
static sk_timers *timers;
static uint64_t now_us;
static uint32_t orders, bills, group; /* ids */
static unsigned config_changes;
static bool as_pull; /* polls of no group, which take no leases */

static uint64_t mono(const struct sk_clock *c)
{
    (void)c;
    return now_us;
}

static uint64_t wall(const struct sk_clock *c)
{
    (void)c;
    return now_us / 1000;
}

static const struct sk_clock fake = {.mono_us = mono, .wall_ms = wall};

/* What is written while the disk works is not covered by that sync. */
static int sync_slowly(struct sk_vfs *vfs, int fd)
{
    void (*fn)(void) = meanwhile;
    meanwhile = NULL;
    int result = sync_now(vfs, fd);
    if (fn) fn();
    return result;
}

static void failed(void *owner, struct sk_status why)
{
    (void)owner;
    ck_abort_msg("%s", sk_status_text(&why));
}

static void config_changed(void *owner)
{
    (void)owner;
    config_changes++;
}

static void write_in(struct sk_turn *turn, enum sk_record_kind kind, struct sk_buffer *payload)
{
    struct sk_status s = sk_turn_write(turn, kind, sk_buffer_slice(payload), NULL);
    ck_assert_msg(sk_ok(s), "%s", sk_status_text(&s));
    sk_buffer_done(payload);
}

ROOM_UNUSED static void write_record(enum sk_record_kind kind, struct sk_buffer *payload)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    write_in(&turn, kind, payload);
    sk_turn_end(&turn);
}

static struct sk_topic_change topic_named(const char *name, uint32_t queues)
{
    return (struct sk_topic_change){.name = sk_slice_of_text(name),
                                    .type = SK_TOPIC_NORMAL,
                                    .read_queues = queues,
                                    .write_queues = queues,
                                    .permission = SK_PERMIT_READ | SK_PERMIT_WRITE};
}

static uint32_t make_topic(const char *name)
{
    struct sk_turn turn;
    struct sk_buffer b = {0};
    struct sk_topic_change change = topic_named(name, 1);
    sk_state_encode_topic(&change, &b);
    sk_turn_begin(&turn, ledger);
    write_in(&turn, SK_RECORD_TOPIC, &b);
    uint32_t id = sk_state_topic(sk_turn_state(&turn), change.name)->id;
    sk_turn_end(&turn);
    return id;
}

static uint32_t make_group(const char *name)
{
    struct sk_turn turn;
    struct sk_buffer b = {0};
    struct sk_group_change change = {.name = sk_slice_of_text(name), .max_attempts = 3};
    sk_state_encode_group(&change, &b);
    sk_turn_begin(&turn, ledger);
    write_in(&turn, SK_RECORD_GROUP, &b);
    uint32_t id = sk_state_group(sk_turn_state(&turn), change.name)->id;
    sk_turn_end(&turn);
    return id;
}

static void flush(void)
{
    ck_assert(sk_ok(sk_store_flush(sk_ledger_store(ledger))));
}

static void open_with(enum sk_flush_mode how)
{
    disk = memory_vfs_new();
    struct sk_vfs *door = memory_vfs_door(disk);
    sync_now = door->fdatasync;
    door->fdatasync = sync_slowly;
    now_us = 1000000000;
    config_changes = 0;
    ck_assert(sk_ok(sk_timers_new(&fake, &timers)));
    struct sk_ledger_options options = {.store = {.dir = "/d/store",
                                                  .vfs = door,
                                                  .clock = &fake,
                                                  .segment_bytes = 1 << 20,
                                                  .disk_refuse_percent = 100,
                                                  .disk_clean_percent = 100,
                                                  .manual = true},
                                        .flush = how,
                                        .timers = timers,
                                        .most_polls = 100,
                                        .most_polls_per_group = 100,
                                        .failed = failed,
                                        .config_changed = config_changed};
    ck_assert(sk_ok(sk_ledger_open(&options, NULL, &ledger)));
    orders = make_topic("orders");
    bills = make_topic("bills");
    group = make_group("clerks");
    flush();
}

static void open_sync(void)
{
    open_with(SK_FLUSH_SYNC);
}

static void close_it(void)
{
    sk_ledger_quiet(ledger);
    sk_timers_free(timers);
    sk_ledger_close(ledger);
    memory_vfs_free(disk);
}

static uint32_t queue_in(const struct sk_turn *turn, uint32_t topic)
{
    return sk_state_topic_by_id(sk_turn_state(turn), topic)->queues[0];
}

ROOM_UNUSED static uint32_t queue_of(uint32_t topic)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    uint32_t queue = queue_in(&turn, topic);
    sk_turn_end(&turn);
    return queue;
}

static struct sk_append message_to(const struct sk_turn *turn, uint32_t topic)
{
    static const struct sk_slice body = {(const uint8_t *)"body", 4};
    uint32_t queue = queue_in(turn, topic);
    return (struct sk_append){.kind = SK_RECORD_MESSAGE,
                              .queue = queue,
                              .offset = sk_state_next_offset(sk_turn_state(turn), queue),
                              .time_ms = sk_turn_now_ms(turn),
                              .parts = &body,
                              .part_count = 1};
}

static void send_in(struct sk_turn *turn, uint32_t topic)
{
    struct sk_span span;
    struct sk_append record = message_to(turn, topic);
    ck_assert(sk_ok(sk_turn_commit(turn, &record, 1, &span)));
}

ROOM_UNUSED static void send(uint32_t topic, size_t count)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    for (size_t i = 0; i < count; i++) send_in(&turn, topic);
    sk_turn_end(&turn);
}

ROOM_UNUSED static uint64_t visible(uint32_t topic)
{
    uint64_t min, end;
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    sk_turn_range(&turn, queue_in(&turn, topic), &min, &end);
    sk_turn_end(&turn);
    return end;
}

static void see_range(void *turn, uint32_t store_queue, uint64_t *min, uint64_t *end)
{
    sk_turn_range(turn, store_queue, min, end);
}

/* A lease of one message, for ten seconds; false: there is none to be had. */
ROOM_UNUSED static bool lease_one(void)
{
    struct sk_chosen chosen;
    struct sk_buffer b = {0};
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    const struct sk_queue_view view = {see_range, NULL, &turn};
    uint64_t now_ms = sk_turn_now_ms(&turn);
    struct sk_choose how = {.group = group,
                            .topic = orders,
                            .now_ms = now_ms,
                            .count = 1,
                            .deadline_ms = now_ms + 10000,
                            .owner = 7};
    size_t count = sk_state_choose(sk_turn_state(&turn), &how, &view, &chosen, &b);
    if (b.len) write_in(&turn, SK_RECORD_DELIVER, &b);
    sk_buffer_done(&b);
    sk_turn_end(&turn);
    return count == 1;
}

/* A poll that wants so many messages to be visible; UINT64_MAX: an ended lease. */
struct watcher {
    struct sk_poll poll;
    uint64_t wants;
    int looks, answers;
    enum sk_poll_end end;
};

static enum sk_poll_look watcher_look(struct sk_poll *poll, struct sk_turn *turn)
{
    struct watcher *w = (struct watcher *)(void *)poll;
    uint64_t min, end;
    w->looks++;
    sk_turn_range(turn, queue_in(turn, poll->topic), &min, &end);
    return end >= w->wants ? SK_POLL_FOUND : SK_POLL_NOTHING;
}

static void watcher_answer(struct sk_poll *poll, enum sk_poll_end end)
{
    struct watcher *w = (struct watcher *)(void *)poll;
    w->answers++;
    w->end = end;
}

static void watch_for(struct watcher *w, uint32_t topic, uint64_t wants)
{
    *w = (struct watcher){.wants = wants,
                          .poll = {.topic = topic,
                                   .group = as_pull ? 0 : group,
                                   .end_us = now_us + 60000000,
                                   .look = watcher_look,
                                   .answer = watcher_answer}};
}

ROOM_UNUSED static void park(struct watcher *w, uint32_t topic, uint64_t wants)
{
    struct sk_turn turn;
    watch_for(w, topic, wants);
    sk_turn_begin(&turn, ledger);
    ck_assert(sk_poll_park(&turn, &w->poll));
    sk_turn_end(&turn);
}

/* As a handler does it: look, and park only if there is nothing. */
ROOM_UNUSED static void try_or_park(struct watcher *w, uint32_t topic, uint64_t wants)
{
    struct sk_turn turn;
    watch_for(w, topic, wants);
    sk_turn_begin(&turn, ledger);
    bool found = watcher_look(&w->poll, &turn) == SK_POLL_FOUND;
    if (!found) ck_assert(sk_poll_park(&turn, &w->poll));
    sk_turn_leave(&turn);
    if (found) watcher_answer(&w->poll, SK_POLL_HAS);
    sk_turn_end(&turn);
}

#endif
