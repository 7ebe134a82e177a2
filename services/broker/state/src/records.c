/* records.c - the payloads of the broker's records: their only writer and reader.
 *
 * Integers are little endian; `varint` is varint.h's. Every payload begins with
 * its version. RECORDS.md explains each record to people; the tables here are
 * what counts. A reader accepts exactly what the writer beside it can produce,
 * apart from the length of a varint. */
#include "records.h"

#include "base/assert.h"
#include "varint.h"

enum {
    RECORD_VERSION = 1,
    LEASES_VERSION = 2,
    FLAG_MIXED = 1,
    FLAG_ORDERLY = 1,
    FLAG_AUTO_RENEW = 1
};

static const char *const bad_version = "its version is unknown";
static const char *const bad_length = "it ends too early";
static const char *const bad_name = "its name is empty or too long";

const char *sk_record_kind_name(uint8_t kind)
{
    static const char *const names[] = {
        [SK_RECORD_TOPIC] = "TOPIC",     [SK_RECORD_TOPIC_DELETED] = "TOPIC_DELETED",
        [SK_RECORD_GROUP] = "GROUP",     [SK_RECORD_GROUP_DELETED] = "GROUP_DELETED",
        [SK_RECORD_MESSAGE] = "MESSAGE", [SK_RECORD_DELIVER] = "DELIVER",
        [SK_RECORD_ACK] = "ACK",         [SK_RECORD_CHANGE] = "CHANGE",
        [SK_RECORD_RENEW] = "RENEW",     [SK_RECORD_RELEASE] = "RELEASE",
        [SK_RECORD_SEEK] = "SEEK",
    };
    return kind < sizeof names / sizeof names[0] && names[kind] ? names[kind] : "unknown";
}

static uint64_t read_offset(struct sk_reader *r)
{
    uint64_t v = sk_read_varint(r);
    if (v >= SK_OFFSET_LIMIT) r->failed = true;
    return v;
}

static const char *read_rest_as_name(struct sk_reader *r, struct sk_slice *out)
{
    if (r->failed) return bad_length;
    size_t len = sk_reader_left(r);
    if (len == 0 || len > SK_NAME_MAX) return bad_name;
    *out = sk_read_bytes(r, len);
    return NULL;
}

/* TOPIC, version 1
 *
 *   0  1  version
 *   1  1  type: enum sk_topic_type
 *   2  1  flags: 1 mixed
 *   3  1  permission: SK_PERMIT_*
 *   4  4  read queues
 *   8  4  write queues
 *  12  .  name, to the end
 *
 * The ids are not in it: apply counts them, and so does every replica. */
void sk_state_encode_topic(const struct sk_topic_change *change, struct sk_buffer *out)
{
    sk_buffer_put_u8(out, RECORD_VERSION);
    sk_buffer_put_u8(out, (uint8_t)change->type);
    sk_buffer_put_u8(out, change->mixed ? FLAG_MIXED : 0);
    sk_buffer_put_u8(out, (uint8_t)change->permission);
    sk_buffer_put_u32(out, change->read_queues);
    sk_buffer_put_u32(out, change->write_queues);
    sk_buffer_put(out, change->name.data, change->name.len);
}

const char *sk_read_topic(struct sk_slice payload, struct sk_topic_change *out)
{
    struct sk_reader r = sk_reader_of(payload);
    if (sk_read_u8(&r) != RECORD_VERSION) return bad_version;
    uint8_t type = sk_read_u8(&r);
    uint8_t flags = sk_read_u8(&r);
    struct sk_topic_change change = {.type = (enum sk_topic_type)type, .mixed = flags & FLAG_MIXED};
    change.permission = sk_read_u8(&r);
    change.read_queues = sk_read_u32(&r);
    change.write_queues = sk_read_u32(&r);
    const char *wrong = read_rest_as_name(&r, &change.name);
    if (wrong) return wrong;
    if (type < SK_TOPIC_NORMAL || type > SK_TOPIC_TRANSACTION) return "its topic type is unknown";
    if (flags & ~FLAG_MIXED) return "it has unknown flags";
    if (change.permission & ~(unsigned)(SK_PERMIT_READ | SK_PERMIT_WRITE))
        return "its permission is unknown";
    if (change.read_queues > SK_QUEUES_MAX || change.write_queues > SK_QUEUES_MAX)
        return "it has too many queues";
    *out = change;
    return NULL;
}

/* GROUP, version 1
 *
 *   0  1  version
 *   1  1  flags: 1 orderly
 *   2  4  max attempts
 *   6  .  name, to the end */
void sk_state_encode_group(const struct sk_group_change *change, struct sk_buffer *out)
{
    sk_buffer_put_u8(out, RECORD_VERSION);
    sk_buffer_put_u8(out, change->orderly ? FLAG_ORDERLY : 0);
    sk_buffer_put_u32(out, change->max_attempts);
    sk_buffer_put(out, change->name.data, change->name.len);
}

const char *sk_read_group(struct sk_slice payload, struct sk_group_change *out)
{
    struct sk_reader r = sk_reader_of(payload);
    if (sk_read_u8(&r) != RECORD_VERSION) return bad_version;
    uint8_t flags = sk_read_u8(&r);
    struct sk_group_change change = {.orderly = flags & FLAG_ORDERLY,
                                     .max_attempts = sk_read_u32(&r)};
    const char *wrong = read_rest_as_name(&r, &change.name);
    if (wrong) return wrong;
    if (flags & ~FLAG_ORDERLY) return "it has unknown flags";
    *out = change;
    return NULL;
}

/* TOPIC_DELETED and GROUP_DELETED, version 1
 *
 *   0  1  version
 *   1  .  name, to the end */
static void put_name(struct sk_slice name, struct sk_buffer *out)
{
    sk_buffer_put_u8(out, RECORD_VERSION);
    sk_buffer_put(out, name.data, name.len);
}

void sk_state_encode_topic_deleted(struct sk_slice name, struct sk_buffer *out)
{
    put_name(name, out);
}

void sk_state_encode_group_deleted(struct sk_slice name, struct sk_buffer *out)
{
    put_name(name, out);
}

const char *sk_read_name(struct sk_slice payload, struct sk_slice *out)
{
    struct sk_reader r = sk_reader_of(payload);
    if (sk_read_u8(&r) != RECORD_VERSION) return bad_version;
    return read_rest_as_name(&r, out);
}

/* DELIVER, version 1
 *
 *   0  1  version
 *   1  1  flags: 1 auto renew
 *   2  8  deadline_ms of the leases
 *  10  8  owner of the leases
 *  18  v  group id
 *   .  v  topic id
 *   .  .  queues, to the end:
 *            v  queue id * 2 + has_floor
 *            v  floor, if has_floor: offsets below it are done, and a new cursor begins here
 *            v  base offset: where the first run begins
 *            .  runs, each beginning where the one before ended:
 *                  v  length * 4 + kind: 0 gap (left as it is), 1 lease, 2 skip (done)
 *            1  zero: the end of the runs
 *
 * The lease id is the epoch and position of the record; an attempt is one more
 * than the one before. 32 messages in a row of one queue take some 28 bytes. */
static void deliver_header(struct sk_deliver_writer *w)
{
    const struct sk_deliver *h = w->header;
    sk_buffer_put_u8(w->out, RECORD_VERSION);
    sk_buffer_put_u8(w->out, h->auto_renew ? FLAG_AUTO_RENEW : 0);
    sk_buffer_put_u64(w->out, h->deadline_ms);
    sk_buffer_put_u64(w->out, h->owner);
    sk_put_varint(w->out, h->group);
    sk_put_varint(w->out, h->topic);
    w->begun = true;
}

static void flush_run(struct sk_deliver_writer *w)
{
    if (w->count) sk_put_varint(w->out, w->count << 2 | w->kind);
    w->count = 0;
}

void sk_deliver_queue(struct sk_deliver_writer *w, uint32_t queue, const uint64_t *floor,
                      uint64_t base)
{
    sk_assert(!w->in_queue);
    if (!w->begun) deliver_header(w);
    sk_put_varint(w->out, (uint64_t)queue << 1 | (floor != NULL));
    if (floor) sk_put_varint(w->out, *floor);
    sk_put_varint(w->out, base);
    w->in_queue = true;
    w->at = base;
    w->count = 0;
}

void sk_deliver_run(struct sk_deliver_writer *w, enum sk_run_kind kind, uint64_t offset,
                    uint64_t count)
{
    sk_assert(w->in_queue && offset >= w->at);
    if (offset > w->at) {
        flush_run(w);
        sk_put_varint(w->out, (offset - w->at) << 2 | SK_RUN_GAP);
    } else if (kind != w->kind) {
        flush_run(w);
    }
    w->kind = kind;
    w->count += count;
    w->at = offset + count;
}

void sk_deliver_queue_done(struct sk_deliver_writer *w)
{
    if (!w->in_queue) return;
    flush_run(w);
    sk_buffer_put_u8(w->out, 0);
    w->in_queue = false;
}

const char *sk_read_deliver(struct sk_slice payload, struct sk_deliver *out, struct sk_reader *rest)
{
    struct sk_reader r = sk_reader_of(payload);
    if (sk_read_u8(&r) != RECORD_VERSION) return bad_version;
    uint8_t flags = sk_read_u8(&r);
    struct sk_deliver header = {.auto_renew = flags & FLAG_AUTO_RENEW};
    header.deadline_ms = sk_read_u64(&r);
    header.owner = sk_read_u64(&r);
    header.group = sk_read_small(&r);
    header.topic = sk_read_small(&r);
    if (r.failed) return bad_length;
    if (flags & ~FLAG_AUTO_RENEW) return "it has unknown flags";
    *out = header;
    *rest = r;
    return NULL;
}

bool sk_read_deliver_queue(struct sk_reader *rest, struct sk_deliver_queue *out)
{
    if (rest->failed || sk_reader_left(rest) == 0) return false;
    uint64_t head = sk_read_varint(rest);
    if (head >> 33) rest->failed = true;
    out->queue = (uint32_t)(head >> 1);
    out->has_floor = head & 1;
    out->floor = out->has_floor ? read_offset(rest) : 0;
    out->base = read_offset(rest);
    return !rest->failed;
}

bool sk_read_deliver_run(struct sk_reader *rest, struct sk_run *out)
{
    uint64_t run = sk_read_varint(rest);
    if (rest->failed || run == 0) return false;
    out->kind = (enum sk_run_kind)(run & 3);
    out->count = run >> 2;
    if (out->kind > SK_RUN_SKIP || out->count == 0 || out->count >= SK_OFFSET_LIMIT)
        rest->failed = true;
    return !rest->failed;
}

/* ACK, CHANGE, RENEW and RELEASE, version 2
 *
 *   0  1  version
 *   1  8  deadline_ms: CHANGE and RENEW only
 *   .  .  runs of leases, to the end:
 *            1  what differs from the run before: 1 group and topic, 2 queue, 4 lease
 *            v  group id, topic id   if 1
 *            v  queue id             if 2
 *            v  lease: epoch, v  position   if 4
 *            v  first offset
 *            v  how many offsets from there on, at least 1
 *
 * The first run differs in everything that is not 0. */
enum { RUN_SUBSCRIPTION = 1, RUN_QUEUE = 2, RUN_LEASE = 4 };

static void put_lease_run(struct sk_buffer *out, const struct sk_lease_run *before,
                          const struct sk_lease_run *run)
{
    bool subscription = run->group != before->group || run->topic != before->topic;
    bool queue = run->queue != before->queue;
    bool lease = !sk_lease_id_eq(run->lease, before->lease);

    sk_buffer_put_u8(out, (uint8_t)((subscription ? RUN_SUBSCRIPTION : 0) |
                                    (queue ? RUN_QUEUE : 0) | (lease ? RUN_LEASE : 0)));
    if (subscription) {
        sk_put_varint(out, run->group);
        sk_put_varint(out, run->topic);
    }
    if (queue) sk_put_varint(out, run->queue);
    if (lease) {
        sk_put_varint(out, run->lease.epoch);
        sk_put_varint(out, run->lease.position);
    }
    sk_put_varint(out, run->offset);
    sk_put_varint(out, run->count);
}

static bool continues(const struct sk_lease_run *run, const struct sk_lease *lease)
{
    return run->offset + run->count == lease->offset && sk_lease_id_eq(run->lease, lease->lease) &&
           run->queue == lease->queue && run->topic == lease->topic && run->group == lease->group;
}

static void put_leases(const struct sk_lease *leases, size_t count, struct sk_buffer *out)
{
    struct sk_lease_run before = {0};
    for (size_t i = 0; i < count;) {
        const struct sk_lease *first = &leases[i];
        struct sk_lease_run run = {.group = first->group,
                                   .topic = first->topic,
                                   .queue = first->queue,
                                   .lease = first->lease,
                                   .offset = first->offset,
                                   .count = 1};
        for (i++; i < count && continues(&run, &leases[i]); i++) run.count++;
        put_lease_run(out, &before, &run);
        before = run;
    }
}

void sk_state_encode_ack(const struct sk_lease *leases, size_t count, struct sk_buffer *out)
{
    sk_buffer_put_u8(out, LEASES_VERSION);
    put_leases(leases, count, out);
}

void sk_state_encode_release(const struct sk_lease *leases, size_t count, struct sk_buffer *out)
{
    sk_state_encode_ack(leases, count, out);
}

void sk_state_encode_renew(const struct sk_lease *leases, size_t count, uint64_t deadline_ms,
                           struct sk_buffer *out)
{
    sk_buffer_put_u8(out, LEASES_VERSION);
    sk_buffer_put_u64(out, deadline_ms);
    put_leases(leases, count, out);
}

void sk_state_encode_change(const struct sk_lease *lease, uint64_t deadline_ms,
                            struct sk_buffer *out)
{
    sk_state_encode_renew(lease, 1, deadline_ms, out);
}

const char *sk_read_leases(struct sk_slice payload, bool with_deadline, uint64_t *deadline_ms,
                           struct sk_reader *rest)
{
    struct sk_reader r = sk_reader_of(payload);
    if (sk_read_u8(&r) != LEASES_VERSION) return bad_version;
    *deadline_ms = with_deadline ? sk_read_u64(&r) : 0;
    if (r.failed) return bad_length;
    *rest = r;
    return NULL;
}

bool sk_read_lease_run(struct sk_reader *rest, struct sk_lease_run *run)
{
    if (rest->failed || sk_reader_left(rest) == 0) return false;
    uint8_t what = sk_read_u8(rest);
    if (what & ~(RUN_SUBSCRIPTION | RUN_QUEUE | RUN_LEASE)) rest->failed = true;
    if (what & RUN_SUBSCRIPTION) {
        run->group = sk_read_small(rest);
        run->topic = sk_read_small(rest);
    }
    if (what & RUN_QUEUE) run->queue = sk_read_small(rest);
    if (what & RUN_LEASE) {
        run->lease.epoch = sk_read_small(rest);
        run->lease.position = sk_read_varint(rest);
    }
    run->offset = read_offset(rest);
    run->count = read_offset(rest);
    if (run->count == 0) rest->failed = true;
    return !rest->failed;
}

/* SEEK, version 1
 *
 *   0  1  version
 *   1  v  group id
 *   .  v  topic id
 *   .  v  queue id
 *   .  v  offset */
void sk_state_encode_seek(uint32_t group, uint32_t topic, uint32_t queue, uint64_t offset,
                          struct sk_buffer *out)
{
    sk_buffer_put_u8(out, RECORD_VERSION);
    sk_put_varint(out, group);
    sk_put_varint(out, topic);
    sk_put_varint(out, queue);
    sk_put_varint(out, offset);
}

const char *sk_read_seek(struct sk_slice payload, struct sk_seek *out)
{
    struct sk_reader r = sk_reader_of(payload);
    if (sk_read_u8(&r) != RECORD_VERSION) return bad_version;
    struct sk_seek seek = {.group = sk_read_small(&r)};
    seek.topic = sk_read_small(&r);
    seek.queue = sk_read_small(&r);
    seek.offset = read_offset(&r);
    if (r.failed) return "it ends too early, or a number in it is too large";
    if (sk_reader_left(&r)) return "it has bytes too many";
    *out = seek;
    return NULL;
}
