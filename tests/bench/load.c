/* load.c - a load generator: closed loop, unary or server-stream calls, on the bare C core.
 *
 *     bench-load --target HOST:PORT [--method /bench.Echo/Call] [--bytes 1024 | --request FILE]
 *                [--in-flight 64] [--connections 1] [--seconds 5] [--warmup 1]
 *                [--header KEY=VALUE]... [--server-pid PID] [--stream]
 *
 * N calls are in flight at any time; each answer starts the next call. Prints one
 * line of JSON: rate, latencies in microseconds, errors and, given the server's
 * pid, its CPU time per call. With --stream every call is read to its end, and the
 * messages are counted too. One thread: for comparisons, pin it and the server
 * (taskset) to cores of their own. */
#include <getopt.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- a histogram whose buckets grow with their values: 64 for each power of two --- */

enum { SUB_BITS = 6, SUBS = 1 << SUB_BITS, BUCKETS = (64 - SUB_BITS) * SUBS };

static uint64_t histogram[BUCKETS], slowest_ns;

static unsigned bucket_of(uint64_t v)
{
    if (v < SUBS) return (unsigned)v;
    unsigned shift = 63u - (unsigned)__builtin_clzll(v) - SUB_BITS;
    return (shift << SUB_BITS) + (unsigned)(v >> shift);
}

/* The middle of a bucket. */
static double value_of(unsigned bucket)
{
    if (bucket < 2 * SUBS) return bucket;
    unsigned shift = (bucket >> SUB_BITS) - 1;
    uint64_t low = (uint64_t)(SUBS + (bucket & (SUBS - 1))) << shift;
    return (double)low + (double)(1ull << shift) / 2;
}

static double quantile_us(double q, uint64_t total)
{
    uint64_t wanted = (uint64_t)((double)total * q), seen = 0;
    for (unsigned b = 0; b < BUCKETS; b++) {
        seen += histogram[b];
        if (histogram[b] && seen >= wanted) return value_of(b) / 1000;
    }
    return (double)slowest_ns / 1000;
}

/* --- what is asked for -------------------------------------------------------- */

enum { MAX_HEADERS = 16 };

static struct {
    const char *target, *method;
    grpc_slice request;
    int in_flight, connections, server_pid;
    double seconds, warmup;
    bool stream;
    grpc_metadata headers[MAX_HEADERS];
    size_t header_count;
} want = {
    .method = "/bench.Echo/Call", .in_flight = 64, .connections = 1, .seconds = 5, .warmup = 1};

static _Noreturn void usage(const char *why)
{
    fprintf(stderr, "bench-load: %s; the comment in tests/bench/load.c says how\n", why);
    exit(2);
}

static grpc_slice request_of_bytes(size_t bytes)
{
    grpc_slice slice = grpc_slice_malloc_large(bytes);
    memset(GRPC_SLICE_START_PTR(slice), 'x', bytes);
    return slice;
}

static grpc_slice request_of_file(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file) usage("cannot open the request file");
    fseek(file, 0, SEEK_END);
    size_t len = (size_t)ftell(file);
    rewind(file);
    grpc_slice slice = grpc_slice_malloc_large(len);
    if (fread(GRPC_SLICE_START_PTR(slice), 1, len, file) != len) usage("cannot read the request");
    fclose(file);
    return slice;
}

static void add_header(char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || want.header_count == MAX_HEADERS) usage("a header is KEY=VALUE, at most 16");
    *equals = '\0';
    want.headers[want.header_count++] =
        (grpc_metadata){.key = grpc_slice_from_copied_string(text),
                        .value = grpc_slice_from_copied_string(equals + 1)};
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"target", 1, NULL, 't'},     {"method", 1, NULL, 'm'},    {"bytes", 1, NULL, 'b'},
        {"request", 1, NULL, 'r'},    {"in-flight", 1, NULL, 'n'}, {"connections", 1, NULL, 'c'},
        {"seconds", 1, NULL, 's'},    {"warmup", 1, NULL, 'w'},    {"header", 1, NULL, 'h'},
        {"server-pid", 1, NULL, 'p'}, {"stream", 0, NULL, 'S'},    {NULL, 0, NULL, 0}};
    want.request = request_of_bytes(1024);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (c) {
        case 't':
            want.target = optarg;
            break;
        case 'm':
            want.method = optarg;
            break;
        case 'b':
            want.request = request_of_bytes((size_t)atoll(optarg));
            break;
        case 'r':
            want.request = request_of_file(optarg);
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
        case 'h':
            add_header(optarg);
            break;
        case 'p':
            want.server_pid = atoi(optarg);
            break;
        case 'S':
            want.stream = true;
            break;
        default:
            usage("unknown option");
        }
    if (!want.target) usage("--target is missing");
    if (want.in_flight < 1 || want.connections < 1) usage("at least one of each");
}

/* --- the loop
 * ------------------------------------------------------------------------------------- */

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
    uint64_t started_ns;
    bool ending; /* a stream that waits for its status */
};

static grpc_completion_queue *queue;
static uint64_t calls, errors, messages, message_bytes;
static char first_error[128];
static bool measuring, stopping;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void start_batch(struct flight *f, const grpc_op *ops, size_t count)
{
    if (grpc_call_start_batch(f->call, ops, count, f, NULL) != GRPC_CALL_OK) abort();
}

static void start(struct flight *f)
{
    grpc_metadata_array_init(&f->initial);
    grpc_metadata_array_init(&f->trailing);
    f->response = NULL;
    f->request = grpc_raw_byte_buffer_create(&want.request, 1);
    f->call = grpc_channel_create_registered_call(f->connection->channel, NULL, 0, queue,
                                                  f->connection->method,
                                                  gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_op ops[6] = {{0}};
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY;
    ops[0].data.send_initial_metadata.count = want.header_count;
    ops[0].data.send_initial_metadata.metadata = want.headers;
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
    f->started_ns = now_ns();
    f->ending = false;
    start_batch(f, ops, want.stream ? 5 : 6);
}

/* A stream's message came, or none: ask for the next, or for the status. */
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

static void note_error(const struct flight *f)
{
    errors++;
    if (*first_error) return;
    snprintf(first_error, sizeof first_error, "%d %.*s", (int)f->code,
             (int)GRPC_SLICE_LENGTH(f->detail), (const char *)GRPC_SLICE_START_PTR(f->detail));
    for (char *c = first_error; *c; c++)
        if (*c == '"' || *c == '\\' || *c < ' ') *c = '\'';
}

static void finish(struct flight *f)
{
    uint64_t took_ns = now_ns() - f->started_ns;
    if (measuring && f->code == GRPC_STATUS_OK) {
        calls++;
        histogram[bucket_of(took_ns)]++;
        if (took_ns > slowest_ns) slowest_ns = took_ns;
    } else if (measuring) {
        note_error(f);
    }
    grpc_byte_buffer_destroy(f->request);
    if (f->response) grpc_byte_buffer_destroy(f->response);
    grpc_metadata_array_destroy(&f->initial);
    grpc_metadata_array_destroy(&f->trailing);
    grpc_slice_unref(f->detail);
    grpc_call_unref(f->call);
}

/* Handle answers until `until_ns`; true while calls are in flight. */
static void run_until(uint64_t until_ns, int *flying)
{
    while (*flying && (stopping || now_ns() < until_ns)) {
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
        if (stopping)
            (*flying)--;
        else
            start(f);
    }
}

/* User and system time of a process in microseconds, from /proc/PID/stat. */
static double cpu_us(int pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    unsigned long user = 0, system = 0;
    const char *after_name = strrchr(text, ')');
    if (after_name)
        sscanf(after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system);
    return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static void report(double seconds, double server_us)
{
    printf("{\"method\":\"%s\",\"bytes\":%zu,\"in_flight\":%d,\"connections\":%d,"
           "\"seconds\":%.2f,\"calls\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"rate\":%.0f,"
           "\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f",
           want.method, GRPC_SLICE_LENGTH(want.request), want.in_flight, want.connections, seconds,
           calls, errors, (double)calls / seconds, quantile_us(0.5, calls), quantile_us(0.9, calls),
           quantile_us(0.99, calls), quantile_us(0.999, calls), (double)slowest_ns / 1000);
    if (want.server_pid && calls)
        printf(",\"server_cpu_us_per_call\":%.2f", server_us / (double)calls);
    if (want.stream)
        printf(",\"messages\":%" PRIu64 ",\"message_rate\":%.0f,\"megabytes_per_s\":%.1f", messages,
               (double)messages / seconds, (double)message_bytes / 1e6 / seconds);
    if (want.stream && want.server_pid && messages)
        printf(",\"server_cpu_us_per_message\":%.2f", server_us / (double)messages);
    if (*first_error) printf(",\"first_error\":\"%s\"", first_error);
    printf("}\n");
}

static struct connection *connect_all(void)
{
    struct connection *all = calloc((size_t)want.connections, sizeof *all);
    if (!all) abort();
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    for (int i = 0; i < want.connections; i++) {
        grpc_arg args[] = {{.type = GRPC_ARG_INTEGER,
                            .key = (char *)(uintptr_t)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
                            .value.integer = 1},
                           {.type = GRPC_ARG_INTEGER,
                            .key = (char *)(uintptr_t)GRPC_ARG_ENABLE_HTTP_PROXY,
                            .value.integer = 0}};
        all[i].channel = grpc_channel_create(want.target, plain, &(grpc_channel_args){2, args});
        all[i].method = grpc_channel_register_call(all[i].channel, want.method, NULL, NULL);
    }
    grpc_channel_credentials_release(plain);
    return all;
}

int main(int argc, char **argv)
{
    grpc_init();
    parse(argc, argv);
    queue = grpc_completion_queue_create_for_next(NULL);
    struct connection *connections = connect_all();
    struct flight *flights = calloc((size_t)want.in_flight, sizeof *flights);
    if (!flights) abort();
    int flying = want.in_flight;
    for (int i = 0; i < flying; i++) {
        flights[i].connection = &connections[i % want.connections];
        start(&flights[i]);
    }
    run_until(now_ns() + (uint64_t)(want.warmup * 1e9), &flying);
    measuring = true;
    double cpu_before = cpu_us(want.server_pid);
    uint64_t from = now_ns();
    run_until(from + (uint64_t)(want.seconds * 1e9), &flying);
    double seconds = (double)(now_ns() - from) / 1e9, cpu = cpu_us(want.server_pid) - cpu_before;
    measuring = false;
    stopping = true;
    run_until(0, &flying);
    report(seconds, cpu);
    return errors && !calls ? EXIT_FAILURE : EXIT_SUCCESS;
}
