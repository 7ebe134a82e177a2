/* consume.c - a consumer: receive, acknowledge, again; and the way from a publish to a receive.
 *
 *     bench-consume --target HOST:PORT --receive FILE [--ack FILE] [--settings FILE]
 *                   [--method PATH]
 *                   [--in-flight 8] [--warmup-messages 0] --messages N
 *                   [--header KEY=VALUE]... [--server-pid PID]
 *     bench-consume … --send FILE --rate PER_SECOND [--warmup 1] [--seconds 5]
 *
 * The files are requests made by bench-make-request. The first form takes N messages off a backlog:
 * --in-flight lanes receive a batch, acknowledge it in one request (with --ack; each lane waits for
 * the answer, as a simple consumer does) and receive again. The clock runs from the end of the
 * warm-up messages to the N-th after it, so the backlog must be a few batches longer. The latency
 * is that of a receive from its begin to its end.
 *
 * The second form is an open loop: message n is due at begin + n/rate, says so in its body, and its
 * latency runs from there to the moment when a lane, which long-polls, has it; what a stall keeps
 * from being sent is late, not left out. Lanes receive again at once, beside their
 * acknowledgements, as a push consumer does. It ends when all that was sent has come.
 *
 * --settings opens the Telemetry stream first, without which RocketMQ's proxy gives nothing.
 * Prints one line of JSON. Refused and failed calls are errors. Messages are sent by a process of
 * their own: the C core has one set of descriptors to poll for all threads of a process, and two
 * that poll it take each other's events, which on two cores costs more than the calls. */
#include <getopt.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

#define SERVICE "/apache.rocketmq.v2.MessagingService/"

static const char MARK[8] = "bodymark"; /* and then when it was due: make_request.c leaves room */

static struct {
    const char *method;
    grpc_slice receive, ack, settings, send;
    bool acks, announces, sends;
    int in_flight;
    uint64_t messages, warmup_messages;
    double rate, warmup, seconds;
} want = {.method = SERVICE "ReceiveMessage",
          .in_flight = 8,
          .messages = 100000,
          .rate = 10000,
          .warmup = 1,
          .seconds = 5};

static void parse(int argc, char **argv)
{
    static const struct option options[] = {{"receive", 1, NULL, 'r'},
                                            {"method", 1, NULL, 'M'},
                                            {"ack", 1, NULL, 'a'},
                                            {"settings", 1, NULL, 't'},
                                            {"in-flight", 1, NULL, 'n'},
                                            {"messages", 1, NULL, 'm'},
                                            {"warmup-messages", 1, NULL, 'W'},
                                            {"send", 1, NULL, 'S'},
                                            {"rate", 1, NULL, 'R'},
                                            {"warmup", 1, NULL, 'w'},
                                            {"seconds", 1, NULL, 's'},
                                            TOOL_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    tool.name = "consume";
    bool receives = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (c) {
        case 'r':
            want.receive = tool_read_file(optarg);
            receives = true;
            break;
        case 'M':
            want.method = optarg;
            break;
        case 'a':
            want.ack = tool_read_file(optarg);
            want.acks = true;
            break;
        case 't':
            want.settings = tool_read_file(optarg);
            want.announces = true;
            break;
        case 'S':
            want.send = tool_read_file(optarg);
            want.sends = true;
            break;
        case 'n':
            want.in_flight = atoi(optarg);
            break;
        case 'm':
            want.messages = (uint64_t)atoll(optarg);
            break;
        case 'W':
            want.warmup_messages = (uint64_t)atoll(optarg);
            break;
        case 'R':
            want.rate = atof(optarg);
            break;
        case 'w':
            want.warmup = atof(optarg);
            break;
        case 's':
            want.seconds = atof(optarg);
            break;
        default:
            tool_option(c, optarg);
        }
    if (!tool.target || !receives) tool_usage("--target and --receive are needed");
    if (want.in_flight < 1 || want.rate <= 0) tool_usage("--in-flight or --rate is 0");
}

/* --- calls ---------------------------------------------------------------------------------------
 */

struct call;
typedef void done_fn(struct call *call);

/* One tag for every batch of a call; `done` says what comes next. */
struct call {
    done_fn *done;
    struct lane *lane;
    grpc_call *core;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *request, *response;
    grpc_status_code code;
    grpc_slice detail;
};

/* What receives, acknowledges, receives … */
struct lane {
    struct call call;
    uint64_t begun_ns;
    size_t got;
    uint8_t *entries; /* of the AckMessageRequest that is growing */
    size_t len, room;
};

static grpc_completion_queue *queue;
static grpc_channel *channel;
static struct {
    void *receive, *ack, *settings, *send;
} method;
static histogram *latency;
static uint64_t received, counted, due_count, under_way;
static uint64_t from_ns, to_ns;
static double cpu_us;
static bool over;

/* What the process that receives and the one that sends tell each other. */
static struct shared {
    atomic_uint_fast64_t begin_ns; /* of sending; 0: not yet known */
    atomic_uint_fast64_t errors;
    char first_error[160]; /* of whoever made the first one */
} *shared;

static void note_error(const char *what, const struct call *call, unsigned answer)
{
    if (atomic_fetch_add(&shared->errors, 1) > 0) return;
    snprintf(shared->first_error, sizeof shared->first_error, "%s: %d %u %.*s", what,
             (int)call->code, answer, (int)GRPC_SLICE_LENGTH(call->detail),
             (const char *)GRPC_SLICE_START_PTR(call->detail));
    for (char *c = shared->first_error; *c; c++)
        if (*c == '"' || *c == '\\' || *c < ' ') *c = '\'';
}

static void start_batch(struct call *call, const grpc_op *ops, size_t count)
{
    if (grpc_call_start_batch(call->core, ops, count, call, NULL) != GRPC_CALL_OK) abort();
}

static grpc_op receive_op(struct call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    call->response = NULL;
    op.data.recv_message.recv_message = &call->response;
    return op;
}

static grpc_op status_op(struct call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    op.data.recv_status_on_client.trailing_metadata = &call->trailing;
    op.data.recv_status_on_client.status = &call->code;
    op.data.recv_status_on_client.status_details = &call->detail;
    return op;
}

enum shape { UNARY, STREAM, OPEN };

/* UNARY asks for the whole answer; STREAM for the first message; OPEN does not end the request. */
static void begin(struct call *call, void *registered, grpc_slice request, enum shape shape,
                  done_fn *done)
{
    call->done = done;
    call->code = GRPC_STATUS_OK;
    call->detail = grpc_empty_slice();
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    call->request = grpc_raw_byte_buffer_create(&request, 1);
    /* RocketMQ's proxy wants a receive to have a deadline, and later than its long poll. */
    gpr_timespec deadline = shape == STREAM ? gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                                           gpr_time_from_seconds(30, GPR_TIMESPAN))
                                            : gpr_inf_future(GPR_CLOCK_MONOTONIC);
    call->core =
        grpc_channel_create_registered_call(channel, NULL, 0, queue, registered, deadline, NULL);
    grpc_op ops[6] = {{0}};
    size_t n = 0;
    ops[n].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[n].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY;
    ops[n].data.send_initial_metadata.count = tool.header_count;
    ops[n++].data.send_initial_metadata.metadata = tool.headers;
    ops[n].op = GRPC_OP_SEND_MESSAGE;
    ops[n++].data.send_message.send_message = call->request;
    if (shape != OPEN) ops[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[n].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[n++].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
    ops[n++] = receive_op(call);
    if (shape == UNARY) ops[n++] = status_op(call);
    start_batch(call, ops, n);
}

static void end(struct call *call)
{
    grpc_byte_buffer_destroy(call->request);
    if (call->response) grpc_byte_buffer_destroy(call->response);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_slice_unref(call->detail);
    grpc_call_unref(call->core);
}

/* Take `count` completions, or what comes before `until_ns`. */
static void handle_until(uint64_t until_ns)
{
    while (!over && tool_now_ns() < until_ns) {
        grpc_event event = grpc_completion_queue_next(
            queue,
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(100, GPR_TIMESPAN)),
            NULL);
        if (event.type != GRPC_OP_COMPLETE) continue;
        struct call *call = event.tag;
        call->done(call);
    }
}

/* --- messages ------------------------------------------------------------------------------------
 */

static void count_received(size_t count)
{
    uint64_t before = received;
    received += count;
    if (want.sends) return;
    if (before < want.warmup_messages && received >= want.warmup_messages) {
        from_ns = tool_now_ns();
        cpu_us = tool_server_us();
        counted = received;
    }
    if (received >= counted + want.messages && from_ns) {
        to_ns = tool_now_ns();
        cpu_us = tool_server_us() - cpu_us;
        counted = received - counted;
        over = true;
    }
}

static uint8_t *put_varint(uint8_t *out, uint64_t value)
{
    for (; value > 127; value >>= 7) *out++ = (uint8_t)(value | 128);
    *out++ = (uint8_t)value;
    return out;
}

static uint8_t *put_bytes(uint8_t *out, unsigned number, struct tool_span bytes)
{
    *out++ = (uint8_t)(number << 3 | 2);
    out = put_varint(out, bytes.len);
    memcpy(out, bytes.data, bytes.len);
    return out + bytes.len;
}

/* AckMessageRequest.entries (3): AckMessageEntry { message_id = 1, receipt_handle = 2 }. */
static void add_entry(struct lane *lane, struct tool_span id, struct tool_span handle)
{
    uint8_t entry[1024];
    if (id.len + handle.len + 16 > sizeof entry) abort();
    if (lane->len + sizeof entry + 8 > lane->room) {
        lane->room = lane->room ? lane->room * 2 : 16384;
        lane->entries = realloc(lane->entries, lane->room);
        if (!lane->entries) abort();
    }
    uint8_t *p = put_bytes(put_bytes(entry, 1, id), 2, handle);
    p = put_bytes(lane->entries + lane->len, 3, (struct tool_span){entry, (size_t)(p - entry)});
    lane->len = (size_t)(p - lane->entries);
}

/* When the body says when it was due: how late is it? */
static void note_arrival(struct tool_span body)
{
    uint64_t due;
    if (body.len < 16 || memcmp(body.data, MARK, sizeof MARK) != 0) return;
    memcpy(&due, body.data + 8, sizeof due);
    uint64_t now = tool_now_ns();
    if (due < from_ns) return; /* the warm-up's */
    histogram_record(latency, now > due ? now - due : 0);
    counted++;
}

/* Message { system_properties = 3 { message_id = 3, receipt_handle = 12 }, body = 4 }; the last
 * occurrence of a field counts. */
static void take_message(struct lane *lane, struct tool_span message)
{
    struct tool_span id = {0}, handle = {0}, body = {0};
    struct tool_field field, inner;
    while (tool_next_field(&message, &field)) {
        if (field.number == 4) body = field.bytes;
        if (field.number != 3) continue;
        while (tool_next_field(&field.bytes, &inner)) {
            if (inner.number == 3) id = inner.bytes;
            if (inner.number == 12) handle = inner.bytes;
        }
    }
    if (want.acks) add_entry(lane, id, handle);
    if (want.sends) note_arrival(body);
    lane->got++;
}

/* A receive that was refused is an error; one that found nothing is none. */
static void check_status(struct lane *lane, struct tool_span status)
{
    enum { OK = 20000, MESSAGE_NOT_FOUND = 40404 };
    struct tool_field code;
    if (!tool_next_field(&status, &code) || code.integer == OK || code.integer == MESSAGE_NOT_FOUND)
        return;
    note_error("receive", &lane->call, (unsigned)code.integer);
}

/* ReceiveMessageResponse { status = 1, message = 2, delivery_timestamp = 3 } */
static void take_response(struct lane *lane)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, lane->call.response)) abort();
    grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    struct tool_span rest = {GRPC_SLICE_START_PTR(whole), GRPC_SLICE_LENGTH(whole)};
    struct tool_field field;
    while (tool_next_field(&rest, &field)) {
        if (field.number == 1) check_status(lane, field.bytes);
        if (field.number == 2) take_message(lane, field.bytes);
    }
    grpc_slice_unref(whole);
}

/* --- lanes ---------------------------------------------------------------------------------------
 */

static void on_receive(struct call *call);

static void receive_again(struct lane *lane)
{
    lane->got = 0;
    lane->len = 0;
    lane->begun_ns = tool_now_ns();
    begin(&lane->call, method.receive, want.receive, STREAM, on_receive);
}

static void check_ack(struct call *call)
{
    unsigned answer = 0;
    if (call->code != GRPC_STATUS_OK || !tool_is_ok(call->response, &answer))
        note_error("ack", call, answer);
}

static void on_lane_ack(struct call *call)
{
    struct lane *lane = call->lane;
    check_ack(call);
    end(call);
    count_received(lane->got);
    if (!over) receive_again(lane);
}

static void on_side_ack(struct call *call)
{
    check_ack(call);
    end(call);
    free(call);
}

static grpc_slice ack_request(const struct lane *lane)
{
    size_t head = GRPC_SLICE_LENGTH(want.ack);
    grpc_slice request = grpc_slice_malloc_large(head + lane->len);
    memcpy(GRPC_SLICE_START_PTR(request), GRPC_SLICE_START_PTR(want.ack), head);
    memcpy(GRPC_SLICE_START_PTR(request) + head, lane->entries, lane->len);
    return request;
}

static void acknowledge(struct lane *lane)
{
    grpc_slice request = ack_request(lane);
    struct call *call = &lane->call;
    if (want.sends) {
        call = calloc(1, sizeof *call);
        if (!call) abort();
    }
    begin(call, method.ack, request, UNARY, want.sends ? on_side_ack : on_lane_ack);
    grpc_slice_unref(request);
}

static void on_received_all(struct call *call)
{
    struct lane *lane = call->lane;
    if (call->code != GRPC_STATUS_OK) note_error("receive", call, 0);
    end(call);
    if (from_ns && !want.sends) histogram_record(latency, tool_now_ns() - lane->begun_ns);
    bool acks = want.acks && lane->got > 0;
    if (acks) acknowledge(lane);
    if (acks && !want.sends) return; /* first its answer */
    count_received(lane->got);
    if (!over) receive_again(lane);
}

static void on_receive(struct call *call)
{
    if (!call->response) {
        call->done = on_received_all;
        grpc_op op = status_op(call);
        start_batch(call, &op, 1);
        return;
    }
    take_response(call->lane);
    grpc_byte_buffer_destroy(call->response);
    grpc_op op = receive_op(call);
    start_batch(call, &op, 1);
}

/* --- the settings --------------------------------------------------------------------------------
 */

static bool announced;

static void on_settings(struct call *call)
{
    announced = call->response != NULL; /* and the stream stays open */
}

static void announce(void)
{
    static struct call call;
    begin(&call, method.settings, want.settings, OPEN, on_settings);
    for (uint64_t end_ns = tool_now_ns() + 5000000000u; !announced && tool_now_ns() < end_ns;)
        handle_until(tool_now_ns() + 10000000u);
    if (!announced) tool_usage("the server does not answer the settings");
}

/* --- the sender ----------------------------------------------------------------------------------
 */

static void on_sent(struct call *call)
{
    unsigned answer = 0;
    if (call->code != GRPC_STATUS_OK || !tool_is_ok(call->response, &answer))
        note_error("send", call, answer);
    end(call);
    free(call);
    under_way--;
}

static void send_one(uint64_t due_ns)
{
    size_t len = GRPC_SLICE_LENGTH(want.send);
    grpc_slice request = grpc_slice_malloc_large(len);
    memcpy(GRPC_SLICE_START_PTR(request), GRPC_SLICE_START_PTR(want.send), len);
    uint8_t *mark = memmem(GRPC_SLICE_START_PTR(request), len, MARK, sizeof MARK);
    if (!mark) tool_usage("the message to send has no room for the time");
    memcpy(mark + sizeof MARK, &due_ns, sizeof due_ns);
    struct call *call = calloc(1, sizeof *call);
    if (!call) abort();
    under_way++;
    begin(call, method.send, request, UNARY, on_sent);
    grpc_slice_unref(request);
}

static void take_answers(gpr_timespec until)
{
    for (;;) {
        grpc_event event = grpc_completion_queue_next(queue, until, NULL);
        if (event.type != GRPC_OP_COMPLETE) return;
        struct call *call = event.tag;
        call->done(call);
    }
}

/* Sleeps by the clock and not in the queue, whose time-outs are whole milliseconds. */
static void sleep_until(uint64_t at_ns)
{
    struct timespec t = {(time_t)(at_ns / 1000000000u), (long)(at_ns % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void send_by_the_clock(void)
{
    uint64_t first_ns = atomic_load(&shared->begin_ns);
    uint64_t count = (uint64_t)((want.warmup + want.seconds) * want.rate);
    for (uint64_t n = 0; n < count; n++) {
        uint64_t at = first_ns + (uint64_t)((double)n * 1e9 / want.rate);
        sleep_until(at);
        send_one(at);
        take_answers(gpr_time_0(GPR_CLOCK_MONOTONIC));
    }
    for (int patience = 0; patience < 100 && under_way; patience++)
        take_answers(
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(100, GPR_TIMESPAN)));
}

static void connect_to_server(void)
{
    grpc_init();
    queue = grpc_completion_queue_create_for_next(NULL);
    channel = tool_connect();
    method.receive = grpc_channel_register_call(channel, want.method, NULL, NULL);
    method.ack = grpc_channel_register_call(channel, SERVICE "AckMessage", NULL, NULL);
    method.settings = grpc_channel_register_call(channel, SERVICE "Telemetry", NULL, NULL);
    method.send = grpc_channel_register_call(channel, SERVICE "SendMessage", NULL, NULL);
}

/* Forked before the core starts its threads, which a child does not get. */
static pid_t start_sender(void)
{
    pid_t sender = fork();
    if (sender < 0) abort();
    if (sender > 0) return sender;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1000ul); /* ns: the kernel may wake us 50 µs late else */
    connect_to_server();
    while (atomic_load(&shared->begin_ns) == 0) sleep_until(tool_now_ns() + 1000000u);
    send_by_the_clock();
    _Exit(under_way ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* --- the two forms -------------------------------------------------------------------------------
 */

static void open_loop(pid_t sender)
{
    uint64_t begin_ns = tool_now_ns() + 100000000u; /* until the polls are parked */
    from_ns = begin_ns + (uint64_t)(want.warmup * 1e9);
    to_ns = from_ns + (uint64_t)(want.seconds * 1e9);
    due_count = (uint64_t)(want.seconds * want.rate);
    atomic_store(&shared->begin_ns, begin_ns);
    handle_until(from_ns);
    cpu_us = tool_server_us();
    handle_until(to_ns);
    cpu_us = tool_server_us() - cpu_us;
    uint64_t patience_ns = to_ns + 10000000000u;
    while (tool_now_ns() < patience_ns && counted < due_count)
        handle_until(tool_now_ns() + 20000000u);
    int status = 0;
    waitpid(sender, &status, 0);
    if (counted < due_count || status != 0) {
        atomic_fetch_add(&shared->errors, due_count - counted + 1);
        snprintf(shared->first_error, sizeof shared->first_error,
                 "%" PRIu64 " messages did not come, the sender ended with %d", due_count - counted,
                 status);
    }
}

static void report(void)
{
    double seconds = (double)(to_ns - from_ns) / 1e9;
    printf("{\"seconds\":%.3f,\"messages\":%" PRIu64 ",\"errors\":%" PRIu64 ",", seconds, counted,
           (uint64_t)shared->errors);
    tool_print_latency(latency);
    if (tool.server_pid && counted)
        printf("\"server_cpu_us_per_message\":%.3f,", cpu_us / (double)counted);
    if (*shared->first_error) printf("\"first_error\":\"%s\",", shared->first_error);
    printf("\"rate\":%.0f}\n", seconds > 0 ? (double)counted / seconds : 0);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) abort();
    pid_t sender = want.sends ? start_sender() : 0;
    connect_to_server();
    latency = histogram_new();
    if (want.announces) announce();
    struct lane *lanes = calloc((size_t)want.in_flight, sizeof *lanes);
    if (!lanes) abort();
    if (!want.sends && !want.warmup_messages) {
        from_ns = tool_now_ns();
        cpu_us = tool_server_us();
    }
    for (int i = 0; i < want.in_flight; i++) {
        lanes[i].call.lane = &lanes[i];
        receive_again(&lanes[i]);
    }
    if (want.sends)
        open_loop(sender);
    else
        handle_until(tool_now_ns() + 60000000000u);
    if (!to_ns) tool_usage("the messages did not come within a minute");
    report();
    _Exit(shared->errors ? EXIT_FAILURE : EXIT_SUCCESS); /* polls are still open */
}
