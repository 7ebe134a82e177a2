/* holds.c - how long the ledger's lock is held, and what that does to a send, beside the work that
 * is long by its nature: a million queues, a snapshot of them, a walk past ten million messages
 * that a filter does not want.
 *
 *      bench-holds DIR [--queues N] [--backlog N] [--seconds S]
 *
 * No RPC: a sender commits one message of 1 KiB in a turn, waits until it is promised (sync flush),
 * and goes on; that is one latency. A hold is the CPU time of its thread from begin to leave. Rows
 * are run one after the other on one ledger in DIR, which must not exist; it needs 3 GiB. */
#include <fcntl.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/thread.h"
#include "ledger/polls.h"
#include "tags.h"

enum { TOPIC_QUEUES = 10000, BATCH = 1000, KIB = 1024, SAMPLES_MOST = 4 << 20 };
enum { WIDE_QUEUES = 65536, WIDE_STEP = 16384, WIDE_MOST = 100, LEASES = 1000000 };

static sk_ledger *ledger;
static uint32_t *all_queues, queue_count; /* the store's numbers */
static uint32_t group, backlog_topic, backlog_queue;
static atomic_bool over;
static char plain_path[4096];

static uint64_t now_us(void)
{
    return sk_mono_us(sk_clock_real());
}

static void must(struct sk_status s)
{
    if (sk_ok(s)) return;
    fprintf(stderr, "%s\n", sk_status_text(&s));
    exit(1);
}

static void failed(void *owner, struct sk_status why)
{
    (void)owner;
    must(why);
}

/* --- what is there --------------------------------------------------------------------------- */

static void write_one(enum sk_record_kind kind, struct sk_buffer *payload)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    must(sk_turn_write(&turn, kind, sk_buffer_slice(payload), NULL));
    sk_turn_end(&turn);
    sk_buffer_done(payload);
}

static const struct sk_topic *topic_named(const struct sk_turn *turn, const char *name)
{
    return sk_state_topic(sk_turn_state(turn), sk_slice_of_text(name));
}

static uint32_t make_topic(const char *name, uint32_t queues)
{
    struct sk_buffer b = {0};
    sk_state_encode_topic(&(struct sk_topic_change){.name = sk_slice_of_text(name),
                                                    .type = SK_TOPIC_NORMAL,
                                                    .read_queues = queues,
                                                    .write_queues = queues,
                                                    .permission = SK_PERMIT_READ | SK_PERMIT_WRITE},
                          &b);
    write_one(SK_RECORD_TOPIC, &b);
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    const struct sk_topic *topic = topic_named(&turn, name);
    for (uint32_t i = 0; i < queues; i++) all_queues[queue_count++] = topic->queues[i];
    uint32_t id = topic->id;
    sk_turn_end(&turn);
    return id;
}

/* One turn: `count` messages of `len` bytes, spread over the queues from `first` on. */
static struct sk_span put(const uint32_t *queues, uint32_t count, size_t len)
{
    static _Thread_local struct sk_append records[BATCH];
    static _Thread_local struct sk_span spans[BATCH];
    static const uint8_t bytes[KIB];
    struct sk_slice body = {bytes, len};
    struct sk_turn turn;
    sk_turn_begin(&turn, ledger);
    for (uint32_t i = 0; i < count; i++) {
        bool same = i && queues[i] == queues[i - 1];
        records[i] = (struct sk_append){
            .kind = SK_RECORD_MESSAGE,
            .queue = queues[i],
            .offset = same ? records[i - 1].offset + 1
                           : sk_state_next_offset(sk_turn_state(&turn), queues[i]),
            .tag_hash = 1,
            .time_ms = sk_turn_now_ms(&turn),
            .parts = &body,
            .part_count = 1};
    }
    must(sk_turn_commit(&turn, records, count, spans));
    sk_turn_end(&turn);
    return spans[count - 1];
}

/* --- a sender -------------------------------------------------------------------------------- */

static uint32_t *samples;
static size_t sample_count;

struct answer {
    struct sk_mutex lock;
    struct sk_cond came;
    bool there;
};

static void answered(void *arg, struct sk_status status)
{
    struct answer *a = arg;
    must(status);
    sk_mutex_lock(&a->lock);
    a->there = true;
    sk_cond_signal(&a->came);
    sk_mutex_unlock(&a->lock);
}

static void *send_on(void *arg)
{
    (void)arg;
    struct answer a = {.there = false};
    sk_mutex_init(&a.lock);
    sk_cond_init(&a.came);
    for (uint32_t i = 0; !atomic_load(&over); i += 7919) {
        uint64_t began = now_us();
        struct sk_span span = put(&all_queues[i % queue_count], 1, KIB);
        struct sk_gate_waiter w = {.position = span.end, .fn = answered, .arg = &a};
        a.there = false;
        sk_promise_wait(sk_ledger_promise(ledger), &w);
        sk_mutex_lock(&a.lock);
        while (!a.there) sk_cond_wait(&a.came, &a.lock);
        sk_mutex_unlock(&a.lock);
        if (sample_count < SAMPLES_MOST) samples[sample_count++] = (uint32_t)(now_us() - began);
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    return (*(const uint32_t *)a > *(const uint32_t *)b) -
           (*(const uint32_t *)a < *(const uint32_t *)b);
}

static void report(const char *name, uint64_t beside)
{
    struct sk_hold_times h = sk_ledger_hold_times(ledger);
    qsort(samples, sample_count, sizeof *samples, by_value);
    printf(
        "%-44s %8zu sends  p50 %6.2f  p99 %6.2f  p99.9 %6.2f ms   holds %9llu  longest %6.2f ms  "
        ">= 2 ms %llu   beside %llu\n",
        name, sample_count, samples[sample_count / 2] / 1e3, samples[sample_count * 99 / 100] / 1e3,
        samples[sample_count * 999 / 1000] / 1e3, (unsigned long long)h.holds,
        (double)h.longest_ns / 1e6, (unsigned long long)h.over_us[11], (unsigned long long)beside);
    fflush(stdout);
}

/* Send for so long, and do `beside` over and over meanwhile. */
static void row(const char *name, double seconds, uint64_t (*beside)(void))
{
    pthread_t sender;
    uint64_t times = 0, end = now_us() + (uint64_t)(seconds * 1e6);
    atomic_store(&over, false);
    sample_count = 0;
    sk_ledger_time_holds(ledger, true);
    must(sk_thread_start("sender", send_on, NULL, &sender));
    while (now_us() < end) {
        if (beside)
            times += beside();
        else
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    atomic_store(&over, true);
    sk_thread_join(sender);
    report(name, times);
    sk_ledger_time_holds(ledger, false);
}

/* --- what goes on beside --------------------------------------------------------------------- */

static uint64_t snapshot(void)
{
    must(sk_store_snapshot(sk_ledger_store(ledger)));
    return 1;
}

static uint64_t longest_piece_ns;

static uint64_t thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What a machine without us does to a send: both cores busy, and no lock but the sender's. And what
 * the clock of holds says of work that takes 10 us: it counts what a host takes away meanwhile. */
static uint64_t spin(void)
{
    enum { PIECES = 100, PIECE_NS = 10000 };
    for (int i = 0; i < PIECES; i++) {
        uint64_t began = thread_ns(), took = 0;
        while (took < PIECE_NS) took = thread_ns() - began;
        if (took > longest_piece_ns) longest_piece_ns = took;
    }
    return PIECES;
}

/* And with a disk that somebody else writes to: as many bytes as a snapshot of a million queues. */
static uint64_t write_plain_file(void)
{
    enum { MIB = 1 << 20, SNAPSHOT_MIB = 50 };
    static char mib[MIB];
    int fd = open(plain_path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    bool written = fd >= 0;
    for (int i = 0; i < SNAPSHOT_MIB && written; i++) {
        memset(mib, i, sizeof mib);
        written = write(fd, mib, sizeof mib) == (ssize_t)sizeof mib;
    }
    if (!written || fsync(fd) != 0 || close(fd) != 0 || unlink(plain_path) != 0)
        must(sk_error(SK_IO, "cannot write '%s'", plain_path));
    return 1;
}

struct sight {
    const struct sk_turn *turn;
    struct sk_tags *tags;
};

static void see_range(void *owner, uint32_t store_queue, uint64_t *min, uint64_t *visible)
{
    sk_turn_range(((const struct sight *)owner)->turn, store_queue, min, visible);
}

static size_t see_tags(void *owner, uint32_t store_queue, uint64_t offset, size_t count,
                       uint32_t *hashes)
{
    return sk_tags_see(((const struct sight *)owner)->tags, store_queue, offset, count, hashes);
}

/* One window of tags further, as calls/src/receive.c does it; from the beginning again at the end.
 */
static uint64_t walk(void)
{
    static struct sk_tags *tags;
    static const uint32_t wanted[] = {2}; /* all have 1 */
    struct sk_chosen chosen[32];
    struct sk_buffer payload = {0};
    struct sk_turn turn;
    if (!tags) tags = sk_tags_new(sk_ledger_store(ledger), 2);
    sk_turn_begin(&turn, ledger);
    struct sight sight = {&turn, tags};
    const struct sk_queue_view view = {see_range, see_tags, &sight};
    struct sk_choose how = {.group = group,
                            .topic = backlog_topic,
                            .now_ms = sk_turn_now_ms(&turn),
                            .count = 32,
                            .tag_hashes = wanted,
                            .tag_hash_count = 1,
                            .deadline_ms = sk_turn_now_ms(&turn) + 30000,
                            .owner = 1};
    size_t count = sk_state_choose(sk_turn_state(&turn), &how, &view, chosen, &payload);
    must(sk_turn_write(&turn, SK_RECORD_DELIVER, sk_buffer_slice(&payload), NULL));
    if (payload.len == 0 && !tags->missing) {
        payload.len = 0;
        sk_state_encode_seek(group, backlog_topic, 0, 0, &payload);
        must(sk_turn_write(&turn, SK_RECORD_SEEK, sk_buffer_slice(&payload), NULL));
    }
    sk_turn_end(&turn);
    sk_buffer_done(&payload);
    if (tags->missing) sk_tags_fetch(tags);
    return count ? 0 : SK_TAGS_WINDOW;
}

/* --- what is large is made and goes ---------------------------------------------------------- */

static uint64_t make_and_delete_wide_topic(void)
{
    static uint32_t times;
    struct sk_buffer b = {0};
    uint32_t before = queue_count;
    if (times++ >= WIDE_MOST) return 0; /* the store's numbers of queues are used once */
    for (uint32_t made = WIDE_STEP; made <= WIDE_QUEUES; made += WIDE_STEP) {
        make_topic("wide", made); /* in turns, as admin/src/topics.c does it */
        queue_count = before;
    }
    sk_state_encode_topic_deleted(SK_SLICE("wide"), &b);
    write_one(SK_RECORD_TOPIC_DELETED, &b);
    return 1;
}

static uint32_t make_group(const char *name)
{
    struct sk_buffer b = {0};
    struct sk_turn turn;
    sk_state_encode_group(
        &(struct sk_group_change){.name = sk_slice_of_text(name), .max_attempts = 9}, &b);
    write_one(SK_RECORD_GROUP, &b);
    sk_turn_begin(&turn, ledger);
    uint32_t id = sk_state_group(sk_turn_state(&turn), sk_slice_of_text(name))->id;
    sk_turn_end(&turn);
    return id;
}

/* So many messages of the backlog are leased to the group, 32 in a turn. */
static void lease_many(uint32_t leaser, uint64_t count)
{
    for (uint64_t n = 0; n < count; n += 32) {
        struct sk_chosen chosen[32];
        struct sk_buffer payload = {0};
        struct sk_turn turn;
        sk_turn_begin(&turn, ledger);
        struct sight sight = {&turn, NULL};
        const struct sk_queue_view view = {see_range, NULL, &sight};
        struct sk_choose how = {.group = leaser,
                                .topic = backlog_topic,
                                .now_ms = sk_turn_now_ms(&turn),
                                .count = 32,
                                .deadline_ms = sk_turn_now_ms(&turn) + 3600000,
                                .owner = 1};
        sk_state_choose(sk_turn_state(&turn), &how, &view, chosen, &payload);
        must(sk_turn_write(&turn, SK_RECORD_DELIVER, sk_buffer_slice(&payload), NULL));
        sk_turn_end(&turn);
        sk_buffer_done(&payload);
    }
}

static uint64_t delete_group_with_leases(void)
{
    struct sk_buffer b = {0};
    lease_many(make_group("leaser"), LEASES);
    sk_state_encode_group_deleted(SK_SLICE("leaser"), &b);
    write_one(SK_RECORD_GROUP_DELETED, &b);
    return 1;
}

static uint64_t seek_past_leases(void)
{
    struct sk_buffer b = {0};
    uint32_t leaser = make_group("seeker");
    lease_many(leaser, LEASES);
    sk_state_encode_seek(leaser, backlog_topic, 0, 0, &b);
    write_one(SK_RECORD_SEEK, &b);
    return 1;
}

/* --- all of it ---------------------------------------------------------------------------------
 */

static void fill_backlog(uint64_t backlog)
{
    uint32_t queues[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) queues[i] = backlog_queue;
    for (uint64_t n = 0; n < backlog; n += BATCH) put(queues, BATCH, 64);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"queues", 1, NULL, 'q'},
                                            {"backlog", 1, NULL, 'b'},
                                            {"seconds", 1, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    uint32_t queues = 1000000;
    uint64_t backlog = 10000000;
    double seconds = 10;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'q') queues = (uint32_t)strtoul(optarg, NULL, 10);
        if (c == 'b') backlog = strtoull(optarg, NULL, 10);
        if (c == 's') seconds = strtod(optarg, NULL);
        if (c == '?') return 2;
    }
    if (optind + 1 != argc) return fprintf(stderr, "usage: bench-holds DIR [options]\n"), 2;

    sk_timers *timers;
    must(sk_timers_new(sk_clock_real(), &timers));
    must(sk_ledger_open(&(struct sk_ledger_options){.store = {.dir = argv[optind],
                                                              .segment_bytes = 256 << 20,
                                                              .snapshot_bytes = (uint64_t)1 << 40,
                                                              .disk_refuse_percent = 100,
                                                              .disk_clean_percent = 100},
                                                    .timers = timers,
                                                    .most_polls = 100,
                                                    .most_polls_per_group = 100,
                                                    .failed = failed},
                        NULL, &ledger));
    snprintf(plain_path, sizeof plain_path, "%s/plain", argv[optind]);
    samples = sk_alloc(SAMPLES_MOST * sizeof *samples);
    all_queues = sk_alloc((queues + 8 + WIDE_QUEUES) * sizeof *all_queues);

    make_topic("few", 8);
    row("8 queues", seconds, NULL);
    row("8 queues, a core busy beside", seconds, spin);
    printf("    (the longest of the busy loop's own pieces of 10 us, by the same clock: %.2f ms)\n",
           (double)longest_piece_ns / 1e6);
    row("8 queues, files of 50 MiB written beside", seconds, write_plain_file);
    row("8 queues, snapshots all the time", seconds, snapshot);
    for (uint32_t i = 0; queue_count < queues; i++) {
        char name[16];
        snprintf(name, sizeof name, "many-%u", i);
        make_topic(name, queues - queue_count < TOPIC_QUEUES ? queues - queue_count : TOPIC_QUEUES);
    }
    for (uint32_t i = 0; i + BATCH <= queue_count; i += BATCH) put(&all_queues[i], BATCH, 64);
    row("1,000,000 queues", seconds, NULL);
    row("1,000,000 queues, snapshots all the time", seconds * 2, snapshot);

    row("a topic of 65,536 queues made and deleted", seconds, make_and_delete_wide_topic);

    group = make_group("g");
    uint32_t before = queue_count;
    backlog_topic = make_topic("backlog", 1);
    backlog_queue = all_queues[before];
    queue_count = before;
    fill_backlog(backlog);
    row("10,000,000 behind a filter that wants none", seconds, walk);
    row("a group with 1,000,000 leases deleted", seconds, delete_group_with_leases);
    row("1,000,000 leases made void by a seek", seconds, seek_past_leases);

    sk_ledger_quiet(ledger);
    sk_timers_free(timers);
    sk_ledger_close(ledger);
    return 0;
}
