/* bench.c - connecting, counting, reporting. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "admin.h"
#include "base/clock.h"
#include "base/memory.h"

uint64_t bench_now(void)
{
    return sk_mono_us(sk_clock_real());
}

/* User and system time of a process, from /proc; 0 if it cannot be read. */
static uint64_t cpu_of(int64_t pid)
{
    char path[64], line[1024];
    unsigned long long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    char *read = fgets(line, sizeof line, f);
    fclose(f);
    char *after = read ? strrchr(line, ')') : NULL; /* the name may have spaces in it */
    if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                         &system) != 2)
        return 0;
    return (user + system) * (uint64_t)(1000000 / sysconf(_SC_CLK_TCK));
}

/* --- begin ----------------------------------------------------------------------------- */

static void ensure_group(struct bench *b, const char *broker)
{
    struct skua_group group = {.max_attempts = 17};
    bool created;
    snprintf(group.name, sizeof group.name, "%s", b->group);
    snprintf(group.broker, sizeof group.broker, "%s", broker);
    struct skua_status ignored =
        skua_admin_create_group(b->connections[0].client, &group, &created);
    (void)ignored; /* there already, or the receive will say what is wrong */
}

static bool ensure_topic(struct bench *b, int *exit)
{
    skua_client *client = b->connections[0].client;
    struct targets targets = {0};
    struct skua_topic topic = {.type = SKUA_NORMAL, .queues = 8};
    bool created, ok = true;
    if (!admin_targets(b->cli, client, false, false, &targets, exit)) return false;
    snprintf(topic.name, sizeof topic.name, "%s", b->topic);
    for (size_t i = 0; i < targets.count && ok; i++) {
        snprintf(topic.broker, sizeof topic.broker, "%s", targets.brokers[i].name);
        struct skua_status s = skua_admin_create_topic(client, &topic, &created);
        ok = s.code == SKUA_OK || s.code == SKUA_EXISTS;
        if (!ok) *exit = cli_fail(b->cli, s, NULL);
        if (ok && b->group) ensure_group(b, topic.broker);
    }
    if (ok) wait_until_routed(client, b->topic, targets.count);
    free(targets.brokers);
    return ok;
}

static bool open_connection(struct bench *b, struct connection *c, int *exit)
{
    c->bench = b;
    c->latency = histogram_new();
    sk_mutex_init(&c->lock);
    c->client = out_connect(b->cli, exit);
    if (!c->client) return false;
    struct skua_status s = skua_producer_new(c->client, &c->producer);
    if (s.code == SKUA_OK && b->group) s = skua_consumer_new(c->client, b->group, &c->consumer);
    if (s.code == SKUA_OK && b->group) s = skua_consumer_subscribe(c->consumer, b->topic, "*");
    if (s.code != SKUA_OK) *exit = cli_fail(b->cli, s, NULL);
    return s.code == SKUA_OK;
}

bool bench_begin(struct bench *b, struct cli *cli, const char *default_topic, bool consumes,
                 int *exit)
{
    *b = (struct bench){
        .cli = cli,
        .topic = cli->arguments[0] ? cli->arguments[0] : default_topic,
        .group = consumes ? cli_text(cli, "group") : NULL,
        .size = (size_t)cli_number(cli, "size"),
        .batch = 1,
        .in_flight = (size_t)cli_number(cli, "in-flight"),
        .connection_count = (size_t)cli_number(cli, "connections"),
        .count = cli_has(cli, "count") ? (uint64_t)cli_number(cli, "count") : UINT64_MAX,
        .duration_us = (uint64_t)cli_number(cli, "duration") * 1000,
    };
    sk_mutex_init(&b->lock);
    sk_cond_init(&b->changed);
    if (getrandom(&b->run, sizeof b->run, 0) != sizeof b->run) b->run = bench_now();
    b->body = sk_alloc(b->size);
    memset(b->body, 'x', b->size);
    b->connections = sk_zalloc(b->connection_count, sizeof *b->connections);
    bool ok = true;
    for (size_t i = 0; i < b->connection_count && ok; i++)
        ok = open_connection(b, &b->connections[i], exit);
    if (ok) ok = ensure_topic(b, exit);
    if (!ok) bench_done(b);
    return ok;
}

void bench_start(struct bench *b)
{
    int64_t pid = cli_number(b->cli, "server-pid");
    b->claimed = 0;
    b->cpu_us = pid ? cpu_of(pid) : 0;
    b->begun_us = bench_now();
    b->end_us = b->count == UINT64_MAX ? b->begun_us + b->duration_us : UINT64_MAX;
}

/* --- counting -------------------------------------------------------------------------- */

uint64_t bench_claim(struct bench *b, uint64_t want)
{
    uint64_t got = 0;
    sk_mutex_lock(&b->lock);
    if (bench_now() < b->end_us && b->claimed < b->count) {
        got = b->count - b->claimed < want ? b->count - b->claimed : want;
        b->claimed += got;
    }
    sk_mutex_unlock(&b->lock);
    return got;
}

void bench_record(struct connection *c, uint64_t messages, uint64_t latency_us,
                  const struct skua_status *status)
{
    sk_mutex_lock(&c->lock);
    if (status->code == SKUA_OK) {
        c->done += messages;
        histogram_record(c->latency, latency_us);
    } else {
        c->failed += messages;
        if (c->first.code == SKUA_OK) c->first = *status;
    }
    sk_mutex_unlock(&c->lock);
}

uint64_t bench_total(struct bench *b)
{
    uint64_t total = 0;
    for (size_t i = 0; i < b->connection_count; i++) {
        sk_mutex_lock(&b->connections[i].lock);
        total += b->connections[i].done;
        sk_mutex_unlock(&b->connections[i].lock);
    }
    return total;
}

void bench_threads(struct bench *b, void *(*body)(void *))
{
    size_t count = b->in_flight * b->connection_count, started = 0;
    pthread_t *threads = sk_zalloc(count, sizeof *threads);
    while (started < count &&
           sk_ok(sk_thread_start("bench", body, &b->connections[started % b->connection_count],
                                 &threads[started])))
        started++;
    for (size_t i = 0; i < started; i++) sk_thread_join(threads[i]);
    free(threads);
}

/* --- reporting ------------------------------------------------------------------------- */

static const struct {
    const char *key;
    double percent;
} percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99_9", 99.9}, {"p99_99", 99.99}};

struct result {
    histogram *latency;
    uint64_t done, failed;
    struct skua_status first;
    double seconds, cpu_us_per_message;
};

static struct result sum_up(struct bench *b)
{
    struct result r = {.latency = histogram_new()};
    int64_t pid = cli_number(b->cli, "server-pid");
    for (size_t i = 0; i < b->connection_count; i++) {
        const struct connection *c = &b->connections[i];
        histogram_add(r.latency, c->latency);
        r.done += c->done;
        r.failed += c->failed;
        if (r.first.code == SKUA_OK) r.first = c->first;
    }
    r.seconds = (double)(b->ended_us - b->begun_us) / 1e6;
    if (pid && r.done) r.cpu_us_per_message = (double)b->cpu_us / (double)r.done;
    return r;
}

static void print_json(struct bench *b, const struct result *r)
{
    json_t *latency = json_pack("{s:I, s:f}", "min", (json_int_t)histogram_min(r->latency), "mean",
                                histogram_mean(r->latency));
    for (size_t i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++)
        json_object_set_new(
            latency, percentiles[i].key,
            json_integer((json_int_t)histogram_percentile(r->latency, percentiles[i].percent)));
    json_object_set_new(latency, "max", json_integer((json_int_t)histogram_max(r->latency)));
    json_t *o = json_pack("{s:I, s:I, s:f, s:f, s:f, s:o, s:I, s:I, s:I}", "messages",
                          (json_int_t)r->done, "errors", (json_int_t)r->failed, "seconds",
                          r->seconds, "messages_per_second", (double)r->done / r->seconds,
                          "bytes_per_second", (double)r->done * (double)b->size / r->seconds,
                          "latency_us", latency, "size", (json_int_t)b->size, "in_flight",
                          (json_int_t)b->in_flight, "connections", (json_int_t)b->connection_count);
    if (b->batch) json_object_set_new(o, "batch", json_integer((json_int_t)b->batch));
    if (b->rate) json_object_set_new(o, "rate", json_integer((json_int_t)b->rate));
    if (r->cpu_us_per_message > 0)
        json_object_set_new(o, "server_cpu_us_per_message", json_real(r->cpu_us_per_message));
    out_json(b->cli, o);
}

static void print_text(struct bench *b, const struct result *r, const char *word)
{
    FILE *out = b->cli->out;
    char rate[32];
    double per_second = (double)r->done / r->seconds;
    fprintf(out, "%s %llu messages of %zu bytes in %.2f s: %.0f messages/s, %s/s\n", word,
            (unsigned long long)r->done, b->size, r->seconds, per_second,
            out_bytes((uint64_t)(per_second * (double)b->size), rate, sizeof rate));
    fprintf(out, "latency in us: min %llu, mean %.1f",
            (unsigned long long)histogram_min(r->latency), histogram_mean(r->latency));
    for (size_t i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++)
        fprintf(out, ", p%g %llu", percentiles[i].percent,
                (unsigned long long)histogram_percentile(r->latency, percentiles[i].percent));
    fprintf(out, ", max %llu\n", (unsigned long long)histogram_max(r->latency));
    if (r->cpu_us_per_message > 0)
        fprintf(out, "server: %.2f us of CPU per message\n", r->cpu_us_per_message);
}

int bench_finish(struct bench *b, const char *word)
{
    int64_t pid = cli_number(b->cli, "server-pid");
    int exit = CLI_OK;
    if (!b->ended_us) b->ended_us = bench_now();
    if (b->ended_us == b->begun_us) b->ended_us++;
    if (pid) b->cpu_us = cpu_of(pid) - b->cpu_us;
    struct result r = sum_up(b);
    if (b->cli->json)
        print_json(b, &r);
    else
        print_text(b, &r, word);
    if (r.failed) {
        cli_note(b->cli, "%llu messages failed", (unsigned long long)r.failed);
        exit = cli_fail(b->cli, r.first, NULL);
    } else if (r.done == 0) {
        exit = cli_error(b->cli, CLI_FAILURE, "skua cluster shows how the brokers are",
                         "no message went through");
    }
    histogram_free(r.latency);
    bench_done(b);
    return exit;
}

void bench_done(struct bench *b)
{
    for (size_t i = 0; i < b->connection_count; i++) {
        struct connection *c = &b->connections[i];
        if (!c->bench) continue;
        skua_producer_free(c->producer);
        skua_consumer_free(c->consumer);
        skua_client_free(c->client);
        histogram_free(c->latency);
        sk_mutex_done(&c->lock);
    }
    free(b->connections);
    free(b->body);
    sk_cond_done(&b->changed);
    sk_mutex_done(&b->lock);
}
