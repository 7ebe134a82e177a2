/* echo.c - the bare echo: the ceiling of everything that is measured.
 *
 *     bench-echo [PORT]         prints {"port":N}, serves until SIGTERM
 *
 * The gRPC C core and nothing else: one completion queue, one thread, 64 calls of each method
 * posted. /bench.Echo/Call answers 64 bytes; /bench.Echo/Stream sends 32 messages of 1 KiB, hinted,
 * from memory that is not copied; in shape they are ReceiveMessageResponses, so that bench-consume
 * counts them. */
#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdlib.h>

#include "bare.h"

enum { POSTED = 64, ANSWER_BYTES = 64, MESSAGES = 32, MESSAGE_BYTES = 1024 };

struct call {
    void *method;
    grpc_call *core;
    grpc_metadata_array metadata;
    grpc_byte_buffer *request;
    gpr_timespec deadline;
    int cancelled;
    bool answering;
    int unsent; /* messages of a stream */
};

static grpc_server *server;
static grpc_completion_queue *queue;
static void *unary, *streaming;

static void post(struct call *c)
{
    c->answering = false;
    c->unsent = c->method == streaming ? MESSAGES : 0;
    grpc_metadata_array_init(&c->metadata);
    grpc_server_request_registered_call(server, c->method, &c->core, &c->deadline, &c->metadata,
                                        &c->request, queue, queue, c);
}

static void answer(struct call *c)
{
    grpc_slice slice = grpc_slice_malloc(ANSWER_BYTES);
    for (int i = 0; i < ANSWER_BYTES; i++) GRPC_SLICE_START_PTR(slice)[i] = (uint8_t)i;
    grpc_byte_buffer *response = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    grpc_op ops[4] = {{0}};
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = response;
    ops[2].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[3].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[3].data.recv_close_on_server.cancelled = &c->cancelled;
    c->answering = true;
    grpc_call_start_batch(c->core, ops, 4, c, NULL);
    grpc_byte_buffer_destroy(response);
}

static void still_mapped(void *memory)
{
    (void)memory;
}

/* One message of a stream, with the headers first and the status last. */
static void stream(struct call *c)
{
    /* message (2) of 1027 bytes, whose body (4) is the 1024 that are not copied. */
    static const uint8_t header[] = {0x12, 0x83, 0x08, 0x22, 0x80, 0x08};
    static uint8_t log_bytes[MESSAGE_BYTES];
    grpc_slice slices[2] = {
        grpc_slice_from_copied_buffer((const char *)header, sizeof header),
        grpc_slice_new_with_user_data(log_bytes, sizeof log_bytes, still_mapped, log_bytes)};
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(slices, 2);
    grpc_slice_unref(slices[0]);
    grpc_slice_unref(slices[1]);
    bool first = c->unsent == MESSAGES, last = --c->unsent == 0;
    grpc_op ops[4] = {{0}};
    size_t n = 0;
    if (first) ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[n].op = GRPC_OP_SEND_MESSAGE;
    ops[n].flags = first || last ? 0 : GRPC_WRITE_BUFFER_HINT;
    ops[n++].data.send_message.send_message = message;
    if (last) {
        ops[n++].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
        ops[n].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
        ops[n++].data.recv_close_on_server.cancelled = &c->cancelled;
        c->answering = true;
    }
    grpc_call_start_batch(c->core, ops, n, c, NULL);
    grpc_byte_buffer_destroy(message);
}

/* Answered: the slot waits for its next call. Arrived: others are posted, answer at once. */
static void handle(struct call *c)
{
    if (!c->answering) {
        if (c->method == streaming)
            stream(c);
        else
            answer(c);
        return;
    }
    if (c->request) grpc_byte_buffer_destroy(c->request);
    grpc_metadata_array_destroy(&c->metadata);
    grpc_call_unref(c->core);
    post(c);
}

int main(int argc, char **argv)
{
    int port;
    server = bare_listen(argc, argv, &queue, &port);
    unary = grpc_server_register_method(server, "/bench.Echo/Call", NULL,
                                        GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    streaming = grpc_server_register_method(server, "/bench.Echo/Stream", NULL,
                                            GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    grpc_server_start(server);
    static struct call calls[2 * POSTED];
    for (int i = 0; i < 2 * POSTED; i++) {
        calls[i].method = i < POSTED ? unary : streaming;
        post(&calls[i]);
    }
    bare_ready(port);
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (event.success) handle(event.tag);
    }
}
