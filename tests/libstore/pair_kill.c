/* pair_kill.c - two stores on one machine, one streaming into the other, while both are killed -9
 * at random moments, round after round.
 *
 *     pair_kill [ROUNDS [SEED]]
 *
 * Each round two processes start: the source begins an epoch, appends, flushes, takes snapshots,
 * lets old segments go, and writes slices to a socket; the follower receives them and does the
 * like. After both are dead:
 *
 *   - the follower's log is a prefix of the source's, byte for byte, and longer than before;
 *   - the fold of all records up to there (the store's own, too) is the follower's state;
 *   - every fifth round the follower is cut back to where an epoch began, and streams anew.
 *
 * At the end it gets all there is, and the two are equal. kill -9 keeps the page cache: this proves
 * the process' part, powercut.c the disk's. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/thread.h"
#include "record.h"
#include "store/stream.h"

enum { SEGMENT = 64 * 1024, QUEUES = 8, STORE_ID = 7, SLICE = 20000 };

#define MUST(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, " (%s:%d; %s)\n", __FILE__, __LINE__, root);                           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static char root[64] = "/tmp/skua-pair-XXXXXX";
static uint64_t dice;

static uint64_t below(uint64_t end)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (dice >> 33) % end;
}

static void ok(struct sk_status s, const char *what)
{
    MUST(sk_ok(s), "%s: %s: %s", what, sk_code_name(s.code), sk_status_text(&s));
}

/* --- the owner -------------------------------------------------------------------------------- */

struct state { /* its fold: everything of each record, in order */
    uint64_t records;
    uint32_t sum, zero;
};

struct node {
    struct state state;
    struct state frozen; /* guarded by lock */
    sk_store *store;
    struct sk_mutex lock;
    uint64_t need; /* the follower has all below */
    uint64_t next[QUEUES];
};

static struct sk_status on_apply(void *owner, const struct sk_record *r)
{
    struct state *s = owner;
    uint64_t words[] = {r->kind, r->queue, r->offset, r->tag_hash, r->epoch, r->span.begin};
    s->records++;
    s->sum = sk_crc32c(sk_crc32c(s->sum, words, sizeof words), r->payload.data, r->payload.len);
    return SK_SUCCESS;
}

static struct sk_status on_load(void *owner, struct sk_slice snapshot)
{
    if (snapshot.len != sizeof(struct state)) return sk_error(SK_CORRUPT, "a foreign snapshot");
    memcpy(owner, snapshot.data, snapshot.len);
    return SK_SUCCESS;
}

/* The state as it was when the snapshot began; one page. */
static void on_save_begin(void *owner)
{
    struct node *n = owner;
    n->frozen = n->state;
}

static bool on_save_page(void *owner, struct sk_buffer *out, size_t most)
{
    (void)most;
    sk_buffer_put(out, &((struct node *)owner)->frozen, sizeof(struct state));
    return false;
}

/* The lock is held from one callback to the other, which the analysis cannot follow. */
static void lock_node(void *owner) SK_NO_THREAD_ANALYSIS
{
    sk_mutex_lock(&((struct node *)owner)->lock);
}
static void unlock_node(void *owner) SK_NO_THREAD_ANALYSIS
{
    sk_mutex_unlock(&((struct node *)owner)->lock);
}

static uint64_t needs(void *owner)
{
    return ((struct node *)owner)->need;
}

static struct sk_store_options options_of(struct node *n, const char *name, char dir[96])
{
    snprintf(dir, 96, "%s/%s", root, name);
    return (struct sk_store_options){
        .dir = dir,
        .store_id = STORE_ID,
        .segment_bytes = SEGMENT,
        .snapshot_bytes = 40000,
        .retention_bytes = 2 * SEGMENT,
        .flush_interval_ms = 5,
        .disk_refuse_percent = 100,
        .disk_clean_percent = 100,
        .fold = {.load = on_load,
                 .apply = on_apply,
                 .save_begin = on_save_begin,
                 .save_page = on_save_page,
                 .owner = n},
        .lock = lock_node,
        .unlock = unlock_node,
        .needs = needs,
    };
}

static void open_node(struct node *n, const char *name, bool manual)
{
    char dir[96];
    *n = (struct node){.need = UINT64_MAX};
    sk_mutex_init(&n->lock);
    struct sk_store_options o = options_of(n, name, dir);
    o.manual = manual;
    ok(sk_store_open(&o, NULL, &n->store), name);
    for (uint32_t q = 0; q < QUEUES; q++) n->next[q] = sk_store_queue(n->store, q).max;
}

static void close_node(struct node *n)
{
    sk_store_close(n->store);
    sk_mutex_done(&n->lock);
}

/* --- the two processes ------------------------------------------------------------------------ */

static bool move(int fd, void *bytes, size_t len, ssize_t (*call)(int, void *, size_t))
{
    for (size_t done = 0; done < len;) {
        ssize_t n = call(fd, (uint8_t *)bytes + done, len - done);
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static ssize_t write_some(int fd, void *bytes, size_t len)
{
    return write(fd, bytes, len);
}

static void append(struct node *n)
{
    static uint8_t bytes[3000];
    struct sk_slice parts[3];
    struct sk_append batch[3];
    struct sk_span spans[3];
    size_t count = 1 + below(3);
    sk_mutex_lock(&n->lock);
    for (size_t i = 0; i < count; i++) {
        uint32_t queue = (uint32_t)(below(QUEUES / 3) * 3 + i) % QUEUES;
        parts[i] = sk_slice_of(bytes, below(sizeof bytes));
        batch[i] = (struct sk_append){.kind = 1,
                                      .queue = queue,
                                      .offset = n->next[queue]++,
                                      .time_ms = 1,
                                      .parts = &parts[i],
                                      .part_count = 1};
    }
    ok(sk_store_append(n->store, batch, count, false, spans), "append");
    for (size_t i = 0; i < count; i++)
        ok(on_apply(n, &(struct sk_record){.kind = 1,
                                           .queue = batch[i].queue,
                                           .offset = batch[i].offset,
                                           .epoch = sk_store_epoch(n->store),
                                           .span = spans[i],
                                           .payload = parts[i]}),
           "apply");
    sk_mutex_unlock(&n->lock);
    sk_store_publish(n->store);
}

/* What every node does now and then. */
static void housekeeping(struct node *n)
{
    uint64_t what = below(40);
    if (what < 4) ok(sk_store_flush(n->store), "flush");
    if (what == 4) ok(sk_store_snapshot(n->store), "snapshot");
    if (what == 5) sk_store_retain(n->store);
}

/* A few slices; false: the follower is gone. */
static bool send_slices(struct node *n, sk_log_stream *stream, int fd)
{
    for (uint64_t left = below(6); left > 0; left--) {
        struct sk_log_stream_slice slice;
        ok(sk_log_stream_next(stream, sk_store_flushed(n->store), &slice), "stream");
        if (slice.bytes.len == 0) return true;
        uint64_t head[2] = {slice.span.begin, slice.bytes.len};
        bool sent = move(fd, head, sizeof head, write_some) &&
                    move(fd, (void *)(uintptr_t)slice.bytes.data, slice.bytes.len, write_some);
        sk_unpin(slice.pin);
        if (!sent) return false;
    }
    return true;
}

static void be_source(int fd)
{
    static struct node n;
    struct sk_span span;
    sk_log_stream *stream = NULL;
    uint64_t from = 0;
    open_node(&n, "source", false);
    n.need = 0; /* nothing goes before the follower has told what it has */
    sk_mutex_lock(&n.lock);
    ok(sk_store_begin_epoch(n.store, sk_store_next_epoch(n.store), 1, &span), "begin an epoch");
    sk_mutex_unlock(&n.lock);
    sk_store_publish(n.store);
    bool follows = move(fd, &from, sizeof from, read);
    struct sk_log_stream_options o = {.slice_bytes = SLICE, .hold_bytes = UINT64_MAX};
    if (follows) ok(sk_log_stream_open(n.store, from, &o, &stream), "stream");
    sk_mutex_lock(&n.lock);
    if (follows) n.need = from;
    sk_mutex_unlock(&n.lock);
    for (;;) {
        append(&n);
        housekeeping(&n);
        if (follows) follows = send_slices(&n, stream, fd);
    }
}

static void be_follower(int fd)
{
    static struct node n;
    static uint8_t bytes[2 * SEGMENT];
    open_node(&n, "follower", false);
    uint64_t tail = sk_store_tail(n.store), head[2];
    bool goes_on = move(fd, &tail, sizeof tail, write_some);
    while (goes_on) {
        struct sk_span span;
        goes_on = move(fd, head, sizeof head, read) && head[1] <= sizeof bytes &&
                  move(fd, bytes, (size_t)head[1], read);
        if (!goes_on) break;
        sk_mutex_lock(&n.lock);
        ok(sk_store_receive(n.store, head[0], sk_slice_of(bytes, (size_t)head[1]), &span),
           "receive");
        sk_mutex_unlock(&n.lock);
        sk_store_publish(n.store);
        housekeeping(&n);
    }
    for (;;) pause();
}

static pid_t start(void (*be)(int fd), int fd, int other, uint64_t seed)
{
    pid_t pid = fork();
    MUST(pid >= 0, "fork");
    if (pid > 0) return pid;
    close(other);
    signal(SIGPIPE, SIG_IGN);
    dice = seed;
    be(fd);
    _exit(1);
}

static void end(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    MUST(waitpid(pid, &status, 0) == pid, "waitpid");
    MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a process ended by itself");
}

static void run_both(void)
{
    int fds[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "socketpair");
    pid_t pids[2] = {start(be_source, fds[0], fds[1], below(1u << 30)),
                     start(be_follower, fds[1], fds[0], below(1u << 30))};
    close(fds[0]);
    close(fds[1]);
    uint64_t first = below(2);
    usleep((useconds_t)(20000 + below(280000)));
    end(pids[first]);
    if (below(2)) usleep((useconds_t)below(100000));
    end(pids[1 - first]);
}

/* --- checking --------------------------------------------------------------------------------- */

static struct {
    struct state state; /* of all records up to `position`, by the source */
    uint64_t position;
    uint64_t until;
    uint64_t taken, cuts, begins;
} truth;

static bool fold_truth(void *arg, const struct sk_record *r)
{
    (void)arg;
    if (r->span.begin >= truth.until) return false;
    ok(on_apply(&truth.state, r), "apply");
    truth.position = r->span.end;
    return true;
}

static void read_segment(const char *name, uint64_t base, uint8_t *out)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s/log/%020" PRIu64 ".log", root, name, base);
    FILE *file = fopen(path, "rb");
    MUST(file && fread(out, 1, SEGMENT, file) == SEGMENT, "read %s", path);
    fclose(file);
}

static void compare_logs(uint64_t begin, uint64_t tail)
{
    static uint8_t a[SEGMENT], b[SEGMENT];
    for (uint64_t base = begin - begin % SEGMENT; base < tail; base += SEGMENT) {
        read_segment("source", base, a);
        read_segment("follower", base, b);
        size_t len = (size_t)(tail - base < SEGMENT ? tail - base : SEGMENT);
        MUST(memcmp(a, b, len) == 0, "the segment at %" PRIu64 " differs", base);
    }
}

struct ends {
    uint64_t begin, tail;
    struct state state;
};

static struct ends look_at(const char *name)
{
    struct node n;
    open_node(&n, name, true);
    struct ends e = {sk_store_begin(n.store), sk_store_tail(n.store), n.state};
    close_node(&n);
    return e;
}

static void check(void)
{
    struct ends source = look_at("source"), follower = look_at("follower");
    MUST(follower.tail <= source.tail, "the follower is ahead: %" PRIu64, follower.tail);
    MUST(follower.tail >= truth.position, "the follower lost what it had");
    compare_logs(source.begin > follower.begin ? source.begin : follower.begin, follower.tail);
    char dir[96];
    snprintf(dir, sizeof dir, "%s/source", root);
    truth.until = follower.tail;
    uint64_t before = truth.position;
    if (follower.tail > truth.position)
        ok(sk_store_dump(dir, NULL, truth.position, fold_truth, NULL), "dump");
    MUST(memcmp(&truth.state, &follower.state, sizeof truth.state) == 0,
         "the follower's state at %" PRIu64 " is another one: %" PRIu64 " records, not %" PRIu64,
         follower.tail, follower.state.records, truth.state.records);
    truth.taken += follower.tail > before;
    truth.begins = source.begin;
}

/* Back to where the last epoch began that it can be cut to; what it had, it gets again. */
static void cut_back(void)
{
    struct node n;
    struct sk_epoch_start *epochs = NULL;
    open_node(&n, "follower", true);
    size_t count = sk_store_epochs(n.store, &epochs);
    uint64_t tail = sk_store_tail(n.store);
    close_node(&n);
    struct sk_truncation cut = {0};
    char dir[96];
    struct sk_store_options o = options_of(&n, "follower", dir);
    struct sk_status s = SK_SUCCESS;
    if (count > 1) s = sk_store_truncate(&o, epochs[count - 1].position, &cut);
    free(epochs);
    if (s.code == SK_INVALID) return; /* there is no snapshot left that is as old as that */
    ok(s, "cut");
    truth.cuts += count > 1 && cut.position < tail;
}

/* All there is, in one process. */
static void catch_up(void)
{
    struct node source, follower;
    sk_log_stream *stream = NULL;
    struct sk_log_stream_slice slice;
    struct sk_span span;
    open_node(&source, "source", true);
    open_node(&follower, "follower", true);
    ok(sk_log_stream_open(source.store, sk_store_tail(follower.store), NULL, &stream), "stream");
    for (;;) {
        ok(sk_log_stream_next(stream, UINT64_MAX, &slice), "stream");
        if (slice.bytes.len == 0) break;
        ok(sk_store_receive(follower.store, slice.span.begin, slice.bytes, &span), "receive");
        sk_unpin(slice.pin);
    }
    sk_log_stream_close(stream);
    MUST(sk_store_tail(source.store) == sk_store_tail(follower.store), "not all was taken");
    MUST(memcmp(&source.state, &follower.state, sizeof source.state) == 0, "states differ");
    close_node(&source);
    close_node(&follower);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 6;
    dice = argc > 2 ? strtoull(argv[2], NULL, 10) : 20261129;
    MUST(mkdtemp(root) != NULL, "make a directory");
    truth.position = 4096;
    for (int round = 1; round <= rounds; round++) {
        run_both();
        check();
        if (round % 5 == 0) {
            cut_back();
            catch_up();
            check();
        }
    }
    catch_up();
    check();
    MUST(truth.taken >= (uint64_t)rounds / 2, "only %" PRIu64 " rounds took anything", truth.taken);
    MUST(rounds < 20 || (truth.begins > SEGMENT && truth.cuts > 0), "nothing was let go, or cut");
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    MUST(system(command) == 0, "clean up");
    printf("%d rounds of two killed stores: %" PRIu64 " took something, %" PRIu64 " cuts, %" PRIu64
           " records, %" PRIu64 " MiB; a prefix each time\n",
           rounds, truth.taken, truth.cuts, truth.state.records, truth.position >> 20);
    return 0;
}
