/* load.c - a load generator: unary or server-stream calls, on the bare C core.
 *
 *     bench-load --target HOST:PORT [--method /bench.Echo/Call] [--bytes 1024 | --request FILE]
 *                [--in-flight 64 | --rate PER_SECOND] [--connections 1] [--warmup 1]
 *                [--seconds 5 | --calls N]
 *                [--topics N] [--check] [--header KEY=VALUE]... [--server-pid PID] [--stream]
 *
 * Closed loop: N calls are in flight at any time; each answer starts the next call. Open loop
 * (--rate): call n belongs to the time begin + n/rate, and its latency counts from there: calls
 * that a stalled server kept from being sent are late, not left out. Prints one line of JSON:
 * rate, latencies in microseconds, errors and, given the server's pid, its CPU time per call.
 *
 * --topics gives each request another topic: the digits of "topic-00000" in it count up to N.
 * --check takes answers whose Status is not OK for errors. With --stream every call is read to its
 * end, and the messages are counted too. Completions are handled on one thread (an open loop
 * starts calls on a second): for comparisons, pin it and the server (taskset) to cores of their
 * own. */
#include <getopt.h>
#include <grpc/grpc.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "tool.h"

/* --- what is asked for ---------------------------------------------------------------------------
 */

static struct {
    const char *method;
    grpc_slice request;
    int in_flight, connections, topics;
    double rate, seconds, warmup;
    uint64_t calls; /* 0: for as long as `seconds` says */
    bool stream, check;
} want = {
    .method = "/bench.Echo/Call", .in_flight = 64, .connections = 1, .seconds = 5, .warmup = 1};

static grpc_slice request_of_bytes(size_t bytes)
{
    grpc_slice slice = grpc_slice_malloc_large(bytes);
    memset(GRPC_SLICE_START_PTR(slice), 'x', bytes);
    return slice;
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {{"method", 1, NULL, 'm'},
                                            {"bytes", 1, NULL, 'b'},
                                            {"request", 1, NULL, 'r'},
                                            {"in-flight", 1, NULL, 'n'},
                                            {"connections", 1, NULL, 'c'},
                                            {"seconds", 1, NULL, 's'},
                                            {"warmup", 1, NULL, 'w'},
                                            {"rate", 1, NULL, 'R'},
                                            {"topics", 1, NULL, 't'},
                                            {"stream", 0, NULL, 'S'},
                                            {"check", 0, NULL, 'C'},
                                            {"calls", 1, NULL, 'N'},
                                            TOOL_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    tool.name = "load";
    want.request = request_of_bytes(1024);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (c) {
        case 'm':
            want.method = optarg;
            break;
        case 'b':
            want.request = request_of_bytes((size_t)atoll(optarg));
            break;
        case 'r':
            want.request = tool_read_file(optarg);
            break;
        case 'n':
            want.in_flight = atoi(optarg);
            break;
        case 'c':
            want.connections = atoi(optarg);
            break;
        case 's':
            want.seconds = atof(optarg);
            break;
        case 'w':
            want.warmup = atof(optarg);
            break;
        case 'R':
            want.rate = atof(optarg);
            break;
        case 't':
            want.topics = atoi(optarg);
            break;
        case 'N':
            want.calls = (uint64_t)atoll(optarg);
            want.seconds = 3600;
            break;
        case 'S':
            want.stream = true;
            break;
        case 'C':
            want.check = true;
            break;
        default:
            tool_option(c, optarg);
        }
    if (!tool.target) tool_usage("--target is missing");
    if (want.in_flight < 1 || want.connections < 1) tool_usage("at least one of each");
    if (want.rate > 0 && want.stream) tool_usage("--rate is for unary calls");
}

/* --- one call ------------------------------------------------------------------------------------
 */

struct connection {
    grpc_channel *channel;
    void *method;
};

struct flight {
    struct connection *connection;
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *request, *response;
    grpc_status_code code;
    grpc_slice detail;
    uint64_t begun_ns; /* or when it should have begun */
    bool ending;       /* a stream that waits for its status */
};

static grpc_completion_queue *queue;
static struct connection *connections;
static histogram *latency;
static uint64_t calls, errors, messages, message_bytes, started;
static char first_error[128];
static bool measuring, stopping;
static atomic_uint_fast64_t under_way; /* of the open loop */
static atomic_bool schedule_over;

enum { MOST_ERRORS = 10000 }; /* then it makes no sense to go on */

static void start_batch(struct flight *f, const grpc_op *ops, size_t count)
{
    if (grpc_call_start_batch(f->call, ops, count, f, NULL) != GRPC_CALL_OK) abort();
}

/* The request as it is, or a copy of it with the digits of its topic counted up. */
static grpc_slice next_request(void)
{
    static const char mark[] = "topic-00000";
    enum { DIGITS = 5, BEFORE = sizeof mark - 1 - DIGITS };
    if (!want.topics) return grpc_slice_ref(want.request);
    size_t len = GRPC_SLICE_LENGTH(want.request);
    grpc_slice copy = grpc_slice_malloc_large(len);
    uint8_t *at = GRPC_SLICE_START_PTR(copy), *end = at + len;
    memcpy(at, GRPC_SLICE_START_PTR(want.request), len);
    char digits[16];
    snprintf(digits, sizeof digits, "%05u", (unsigned)(started++ % (unsigned)want.topics));
    while ((at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1))) {
        memcpy(at + BEFORE, digits, DIGITS);
        at += BEFORE + DIGITS;
    }
    return copy;
}

static void start(struct flight *f, uint64_t begun_ns)
{
    grpc_metadata_array_init(&f->initial);
    grpc_metadata_array_init(&f->trailing);
    f->response = NULL;
    f->begun_ns = begun_ns;
    grpc_slice request = next_request();
    f->request = grpc_raw_byte_buffer_create(&request, 1);
    grpc_slice_unref(request);
    f->call = grpc_channel_create_registered_call(f->connection->channel, NULL, 0, queue,
                                                  f->connection->method,
                                                  gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_op ops[6] = {{0}};
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY;
    ops[0].data.send_initial_metadata.count = tool.header_count;
    ops[0].data.send_initial_metadata.metadata = tool.headers;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = f->request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &f->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &f->response;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &f->trailing;
    ops[5].data.recv_status_on_client.status = &f->code;
    ops[5].data.recv_status_on_client.status_details = &f->detail;
    f->ending = false;
    start_batch(f, ops, want.stream ? 5 : 6);
}

/* A message of a stream is there, or none more: ask for the next, or for the status. */
static void read_on(struct flight *f)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &f->response;
    f->ending = !f->response;
    if (f->ending) {
        op = (grpc_op){.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
        op.data.recv_status_on_client.trailing_metadata = &f->trailing;
        op.data.recv_status_on_client.status = &f->code;
        op.data.recv_status_on_client.status_details = &f->detail;
    } else {
        if (measuring) messages++;
        if (measuring) message_bytes += f->response->data.raw.slice_buffer.length;
        grpc_byte_buffer_destroy(f->response);
        f->response = NULL;
    }
    start_batch(f, &op, 1);
}

static void note_error(const struct flight *f, unsigned answer)
{
    errors++;
    if (*first_error) return;
    snprintf(first_error, sizeof first_error, "%d %u %.*s", (int)f->code, answer,
             (int)GRPC_SLICE_LENGTH(f->detail), (const char *)GRPC_SLICE_START_PTR(f->detail));
    for (char *c = first_error; *c; c++)
        if (*c == '"' || *c == '\\' || *c < ' ') *c = '\'';
}

static void finish(struct flight *f)
{
    uint64_t now = tool_now_ns();
    unsigned answer = 0;
    bool fine = f->code == GRPC_STATUS_OK && (!want.check || tool_is_ok(f->response, &answer));
    if (measuring && fine) {
        calls++;
        histogram_record(latency, now > f->begun_ns ? now - f->begun_ns : 0);
    } else if (!fine && !stopping) {
        note_error(f, answer);
    }
    grpc_byte_buffer_destroy(f->request);
    if (f->response) grpc_byte_buffer_destroy(f->response);
    grpc_metadata_array_destroy(&f->initial);
    grpc_metadata_array_destroy(&f->trailing);
    grpc_slice_unref(f->detail);
    grpc_call_unref(f->call);
}

/* --- the loops -----------------------------------------------------------------------------------
 */

/* What is done when a call has ended: begin another (closed loop), or be gone (open loop). */
static void after(struct flight *f)
{
    if (want.rate > 0) {
        free(f);
        atomic_fetch_sub(&under_way, 1);
    } else if (stopping) {
        atomic_fetch_sub(&under_way, 1);
    } else {
        start(f, tool_now_ns());
    }
}

/* Handle answers until `until_ns` or, once stopping, until no call is under way. */
static void run_until(uint64_t until_ns)
{
    while (stopping ? atomic_load(&under_way) > 0 || (want.rate > 0 && !schedule_over)
                    : tool_now_ns() < until_ns && errors < MOST_ERRORS &&
                          !(want.calls && calls >= want.calls)) {
        grpc_event event = grpc_completion_queue_next(
            queue,
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(100, GPR_TIMESPAN)),
            NULL);
        if (event.type != GRPC_OP_COMPLETE) continue;
        struct flight *f = event.tag;
        if (want.stream && !f->ending) {
            read_on(f);
            continue;
        }
        finish(f);
        after(f);
    }
}

static void start_closed_loop(void)
{
    struct flight *flights = calloc((size_t)want.in_flight, sizeof *flights);
    if (!flights) abort();
    atomic_store(&under_way, (unsigned)want.in_flight);
    for (int i = 0; i < want.in_flight; i++) {
        flights[i].connection = &connections[i % want.connections];
        start(&flights[i], tool_now_ns());
    }
}

/* Calls by the clock, whatever became of those before. */
static void *schedule(void *arg)
{
    prctl(PR_SET_TIMERSLACK, 1000ul); /* ns: the kernel may wake us 50 µs late else */
    uint64_t begin = *(const uint64_t *)arg;
    uint64_t count = (uint64_t)((want.warmup + want.seconds) * want.rate);
    for (uint64_t n = 0; n < count; n++) {
        uint64_t at = begin + (uint64_t)((double)n * 1e9 / want.rate);
        struct timespec t = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        struct flight *f = calloc(1, sizeof *f);
        if (!f) abort();
        f->connection = &connections[n % (unsigned)want.connections];
        atomic_fetch_add(&under_way, 1);
        start(f, at);
    }
    schedule_over = true;
    return NULL;
}

static void report(double seconds, double server_us)
{
    printf("{\"method\":\"%s\",\"bytes\":%zu,\"in_flight\":%d,\"connections\":%d,"
           "\"seconds\":%.2f,\"calls\":%" PRIu64 ",\"errors\":%" PRIu64 ",",
           want.method, GRPC_SLICE_LENGTH(want.request), want.rate > 0 ? 0 : want.in_flight,
           want.connections, seconds, calls, errors);
    tool_print_latency(latency);
    if (want.rate > 0) printf("\"asked_rate\":%.0f,", want.rate);
    if (tool.server_pid && calls)
        printf("\"server_cpu_us_per_call\":%.3f,", server_us / (double)calls);
    if (want.stream)
        printf("\"messages\":%" PRIu64 ",\"message_rate\":%.0f,\"megabytes_per_s\":%.1f,", messages,
               (double)messages / seconds, (double)message_bytes / 1e6 / seconds);
    if (want.stream && tool.server_pid && messages)
        printf("\"server_cpu_us_per_message\":%.3f,", server_us / (double)messages);
    if (*first_error) printf("\"first_error\":\"%s\",", first_error);
    printf("\"rate\":%.0f}\n", (double)calls / seconds);
}

int main(int argc, char **argv)
{
    grpc_init();
    parse(argc, argv);
    queue = grpc_completion_queue_create_for_next(NULL);
    latency = histogram_new();
    connections = calloc((size_t)want.connections, sizeof *connections);
    if (!connections) abort();
    for (int i = 0; i < want.connections; i++) {
        connections[i].channel = tool_connect();
        connections[i].method =
            grpc_channel_register_call(connections[i].channel, want.method, NULL, NULL);
    }
    uint64_t begin = tool_now_ns();
    pthread_t scheduler;
    if (want.rate <= 0)
        start_closed_loop();
    else if (pthread_create(&scheduler, NULL, schedule, &begin) != 0)
        abort();
    run_until(begin + (uint64_t)(want.warmup * 1e9));
    measuring = true;
    double cpu_before = tool_server_us();
    uint64_t from = tool_now_ns();
    run_until(from + (uint64_t)(want.seconds * 1e9));
    double seconds = (double)(tool_now_ns() - from) / 1e9, cpu = tool_server_us() - cpu_before;
    measuring = want.rate > 0; /* what was to be sent in time counts, however late */
    stopping = true;
    run_until(0);
    if (want.rate > 0) pthread_join(scheduler, NULL);
    report(seconds, cpu);
    return errors && !calls ? EXIT_FAILURE : EXIT_SUCCESS;
}
