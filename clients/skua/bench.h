/* bench.h - what the three measurements share.
 *
 * A run has `connections` connections, each a client of its own with a
 * histogram of its own. Time is counted in microseconds of the monotonic clock. */
#ifndef SKUA_BENCH_H
#define SKUA_BENCH_H

#include "base/thread.h"
#include "histogram.h"
#include "output.h"
#include "progress.h"

struct bench;

struct connection {
    struct bench *bench;
    skua_client *client;
    skua_producer *producer;
    skua_consumer *consumer;
    struct sk_mutex lock;
    histogram *latency;       /* us; guarded by lock */
    uint64_t done, failed;    /* messages; guarded by lock */
    struct skua_status first; /* failure; guarded by lock */
};

struct bench {
    struct cli *cli;
    const char *topic, *group;
    size_t size, batch, in_flight, connection_count;
    uint64_t count; /* messages; UINT64_MAX: until end_us */
    uint64_t rate;  /* messages a second; 0: as fast as it goes */
    uint64_t duration_us, begun_us, end_us, ended_us;
    uint64_t cpu_us; /* of --server-pid, at the begin, then during the run */
    struct connection *connections;
    struct sk_mutex lock;
    struct sk_cond changed;
    uint64_t claimed, under_way; /* guarded by lock */
    unsigned char *body;
    uint64_t run; /* this run's number, in latency bodies */
};

uint64_t bench_now(void);

/* Read the flags, connect, make the topic (and group, if not NULL). False: the error was printed.
 */
bool bench_begin(struct bench *b, struct cli *cli, const char *default_topic, bool consumes,
                 int *exit);
/* Begin to measure. */
void bench_start(struct bench *b);
/* Print the results; free everything. Returns the exit code. */
int bench_finish(struct bench *b, const char *word);
/* Free everything after a failure. */
void bench_done(struct bench *b);

/* How many of the messages left may be sent now, at most `want`; 0: the run is over. */
uint64_t bench_claim(struct bench *b, uint64_t want);
void bench_record(struct connection *c, uint64_t messages, uint64_t latency_us,
                  const struct skua_status *status);
uint64_t bench_total(struct bench *b);

/* Send `count` messages, or until the end, in a closed loop; waits for all. Used to measure and to
 * fill. `measured`: record into the histograms. */
void bench_send_closed(struct bench *b, bool measured);
/* The same on schedule (b->rate); latency is counted from the intended time. */
void bench_send_open(struct bench *b, bool stamped);

/* The flags --in-flight times --connections as threads. */
void bench_threads(struct bench *b, void *(*body)(void *connection));

#endif
