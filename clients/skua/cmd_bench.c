/* cmd_bench.c - skua bench send, receive, latency: the loops.
 *
 * Closed loop (the default): as many requests as --in-flight are always under
 * way; an answer begins the next. Open loop (--rate): message n belongs to the
 * time begin + n/rate; if the server stalls, the messages that should have been
 * sent meanwhile are late, and their lateness counts. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "bench.h"

enum {
    SHOW_US = 200 * 1000,
    OPEN_MAX = 100000,
    FILL = 100000,
    QUIET_MS = 2000,
    STAMP_BYTES = 16,
    PATIENCE = 5, /* times QUIET_MS without a message that must come */
};

/* --- closed loop ----------------------------------------------------------------------- */

struct lane {
    struct connection *connection;
    skua_message **messages;
    size_t count;
    uint64_t begun_us;
    bool measured;
};

static void lane_next(struct lane *lane);

static void on_lane(void *arg, const struct skua_status *status,
                    const struct skua_receipt *receipts, size_t count)
{
    struct lane *lane = arg;
    (void)receipts;
    (void)count;
    if (lane->measured || status->code != SKUA_OK)
        bench_record(lane->connection, lane->count, bench_now() - lane->begun_us, status);
    lane_next(lane);
}

/* Begin the lane's next request, or end the lane. */
static void lane_next(struct lane *lane)
{
    struct bench *b = lane->connection->bench;
    lane->count = (size_t)bench_claim(b, b->batch);
    if (lane->count == 0) {
        sk_mutex_lock(&b->lock);
        b->under_way--;
        sk_cond_broadcast(&b->changed);
        sk_mutex_unlock(&b->lock);
        return;
    }
    for (size_t i = 0; i < lane->count; i++) skua_message_set_id(lane->messages[i], "");
    lane->begun_us = bench_now();
    skua_producer_send_async(lane->connection->producer, lane->messages, lane->count, on_lane,
                             lane);
}

static struct lane *lane_new(struct bench *b, struct connection *c, bool measured)
{
    struct lane *lane = sk_zalloc(1, sizeof *lane);
    lane->connection = c;
    lane->measured = measured;
    lane->messages = sk_zalloc(b->batch, sizeof *lane->messages);
    for (size_t i = 0; i < b->batch; i++)
        lane->messages[i] = skua_message_new(b->topic, b->body, b->size);
    return lane;
}

static void lane_free(struct bench *b, struct lane *lane)
{
    for (size_t i = 0; i < b->batch; i++) skua_message_free(lane->messages[i]);
    free(lane->messages);
    free(lane);
}

/* Wait until nothing is under way, showing how far it is. */
static void wait_idle(struct bench *b, const char *word)
{
    struct progress progress = progress_begin(b->cli, word);
    sk_mutex_lock(&b->lock);
    while (b->under_way) {
        (void)sk_cond_wait_for(&b->changed, &b->lock, SHOW_US);
        uint64_t claimed = b->claimed;
        sk_mutex_unlock(&b->lock);
        progress_show(&progress, claimed, b->count == UINT64_MAX ? 0 : b->count);
        sk_mutex_lock(&b->lock);
    }
    sk_mutex_unlock(&b->lock);
    progress_end(&progress);
}

void bench_send_closed(struct bench *b, bool measured)
{
    size_t count = b->in_flight * b->connection_count;
    struct lane **lanes = sk_zalloc(count, sizeof *lanes);
    for (size_t i = 0; i < count; i++)
        lanes[i] = lane_new(b, &b->connections[i % b->connection_count], measured);
    sk_mutex_lock(&b->lock);
    b->under_way = count;
    sk_mutex_unlock(&b->lock);
    for (size_t i = 0; i < count; i++) lane_next(lanes[i]);
    wait_idle(b, measured ? "sent" : "filled");
    b->ended_us = bench_now();
    for (size_t i = 0; i < count; i++) lane_free(b, lanes[i]);
    free(lanes);
}

/* --- open loop ------------------------------------------------------------------------- */

struct shot {
    struct connection *connection;
    uint64_t intended_us;
    bool measured;
    size_t count;
};

static void on_shot(void *arg, const struct skua_status *status,
                    const struct skua_receipt *receipts, size_t count)
{
    struct shot *shot = arg;
    struct bench *b = shot->connection->bench;
    (void)receipts;
    (void)count;
    if (shot->measured || status->code != SKUA_OK)
        bench_record(shot->connection, shot->count, bench_now() - shot->intended_us, status);
    free(shot);
    sk_mutex_lock(&b->lock);
    b->under_way--;
    sk_cond_signal(&b->changed);
    sk_mutex_unlock(&b->lock);
}

static void shoot(struct bench *b, struct connection *c, uint64_t intended_us, size_t count,
                  bool stamped)
{
    struct shot *shot = sk_zalloc(1, sizeof *shot);
    skua_message *messages[1024];
    *shot = (struct shot){c, intended_us, !stamped, count};
    if (stamped) {
        sk_put_u64(b->body, b->run);
        sk_put_u64(b->body + 8, intended_us);
    }
    for (size_t i = 0; i < count; i++) messages[i] = skua_message_new(b->topic, b->body, b->size);
    sk_mutex_lock(&b->lock);
    while (b->under_way >= OPEN_MAX) sk_cond_wait(&b->changed, &b->lock);
    b->under_way++;
    sk_mutex_unlock(&b->lock);
    skua_producer_send_async(c->producer, messages, count, on_shot, shot);
    for (size_t i = 0; i < count; i++) skua_message_free(messages[i]);
}

static void sleep_until(uint64_t us)
{
    uint64_t now = bench_now();
    if (us <= now) return;
    uint64_t left = us - now;
    struct timespec t = {(time_t)(left / 1000000), (long)(left % 1000000) * 1000};
    nanosleep(&t, NULL);
}

void bench_send_open(struct bench *b, bool stamped)
{
    struct progress progress = progress_begin(b->cli, "sent");
    double gap_us = 1e6 * (double)b->batch / (double)b->rate;
    size_t count;
    for (uint64_t n = 0; (count = (size_t)bench_claim(b, b->batch)) > 0; n++) {
        uint64_t intended = b->begun_us + (uint64_t)((double)n * gap_us);
        sleep_until(intended);
        shoot(b, &b->connections[n % b->connection_count], intended, count, stamped);
        progress_show(&progress, b->claimed, b->count == UINT64_MAX ? 0 : b->count);
    }
    progress_end(&progress);
    wait_idle(b, "sent");
    sk_mutex_lock(&b->lock);
    b->ended_us = bench_now();
    sk_mutex_unlock(&b->lock);
}

/* --- send ------------------------------------------------------------------------------ */

int cmd_bench_send(struct cli *cli)
{
    struct bench b;
    int exit = CLI_OK;
    if (!bench_begin(&b, cli, "skua-bench", false, &exit)) return exit;
    b.batch = (size_t)cli_number(cli, "batch");
    b.rate = (uint64_t)cli_number(cli, "rate");
    bench_start(&b);
    if (b.rate)
        bench_send_open(&b, false);
    else
        bench_send_closed(&b, true);
    return bench_finish(&b, "sent");
}

/* --- receive --------------------------------------------------------------------------- */

static void *receive_loop(void *arg)
{
    struct connection *c = arg;
    struct bench *b = c->bench;
    while (bench_now() < b->end_us && bench_total(b) < b->count) {
        skua_messages *list = NULL;
        uint64_t begun = bench_now();
        struct skua_status s = skua_consumer_receive(c->consumer, b->batch, 60000, QUIET_MS, &list);
        size_t count = skua_messages_count(list);
        if (s.code == SKUA_OK && count) s = skua_consumer_ack_all(c->consumer, list);
        if (s.code != SKUA_OK || count) bench_record(c, count, bench_now() - begun, &s);
        skua_messages_free(list);
        if (s.code != SKUA_OK || count == 0) break; /* nothing for two seconds: that was all */
        sk_mutex_lock(&b->lock);
        b->ended_us = bench_now();
        sk_mutex_unlock(&b->lock);
    }
    return NULL;
}

/* Send what is going to be received, in batches, not measured. */
static void fill(struct bench *b)
{
    size_t batch = b->batch, in_flight = b->in_flight;
    uint64_t count = b->count;
    b->batch = b->size > 4096 ? 1 : 64;
    b->in_flight = 8;
    b->count = count == UINT64_MAX ? FILL : count;
    bench_start(b);
    b->end_us = UINT64_MAX;
    bench_send_closed(b, false);
    b->batch = batch;
    b->in_flight = in_flight;
    b->count = count;
    b->ended_us = 0;
}

int cmd_bench_receive(struct cli *cli)
{
    struct bench b;
    int exit = CLI_OK;
    if (!bench_begin(&b, cli, "skua-bench-receive", true, &exit)) return exit;
    b.batch = (size_t)cli_number(cli, "batch");
    if (!cli_has(cli, "no-fill")) fill(&b);
    bench_start(&b);
    bench_threads(&b, receive_loop);
    return bench_finish(&b, "received and acknowledged");
}

/* --- latency --------------------------------------------------------------------------- */

/* Record the messages of this run; others, left by an earlier one, are only taken away. */
static void record_arrivals(struct connection *c, const skua_messages *list, uint64_t now)
{
    const struct skua_status ok = {.code = SKUA_OK};
    for (size_t i = 0; i < skua_messages_count(list); i++) {
        size_t len;
        const uint8_t *body = skua_message_body(skua_messages_at(list, i), &len);
        if (len < STAMP_BYTES || sk_get_u64(body) != c->bench->run) continue;
        uint64_t intended = sk_get_u64(body + 8);
        bench_record(c, 1, now > intended ? now - intended : 0, &ok);
    }
}

static void *arrival_loop(void *arg)
{
    struct connection *c = arg;
    struct bench *b = c->bench;
    int silent = 0;
    for (;;) {
        skua_messages *list = NULL;
        struct skua_status s = skua_consumer_receive(c->consumer, 32, 60000, QUIET_MS, &list);
        uint64_t now = bench_now();
        silent = skua_messages_count(list) ? 0 : silent + 1;
        if (!silent) {
            record_arrivals(c, list, now);
            s = skua_consumer_ack_all(c->consumer, list);
        }
        skua_messages_free(list);
        if (s.code != SKUA_OK && s.code != SKUA_EXPIRED) {
            bench_record(c, 1, 0, &s);
            return NULL;
        }
        sk_mutex_lock(&b->lock);
        bool over = b->ended_us != 0;
        uint64_t sent = b->claimed;
        sk_mutex_unlock(&b->lock);
        if (over && (silent >= PATIENCE || bench_total(b) >= sent)) return NULL;
    }
}

static void *latency_sender(void *arg)
{
    bench_send_open(arg, true);
    return NULL;
}

int cmd_bench_latency(struct cli *cli)
{
    struct bench b;
    int exit = CLI_OK;
    pthread_t sender;
    if (!bench_begin(&b, cli, "skua-bench-latency", true, &exit)) return exit;
    b.rate = (uint64_t)cli_number(cli, "rate");
    if (b.size < STAMP_BYTES) {
        bench_done(&b);
        return cli_error(cli, CLI_USAGE, "give --size 16 or more",
                         "a body for latency has at least 16 bytes");
    }
    bench_start(&b);
    struct sk_status s = sk_thread_start("bench-send", latency_sender, &b, &sender);
    if (!sk_ok(s)) {
        bench_done(&b);
        return cli_error(cli, CLI_FAILURE, NULL, "%s", sk_status_text(&s));
    }
    bench_threads(&b, arrival_loop);
    sk_thread_join(sender);
    uint64_t arrived = bench_total(&b);
    const struct skua_status missing = {.code = SKUA_TIMEOUT,
                                        .detail = "some messages did not arrive"};
    if (arrived < b.claimed) bench_record(&b.connections[0], b.claimed - arrived, 0, &missing);
    return bench_finish(&b, "received");
}
