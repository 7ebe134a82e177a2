/* relay.c - the bare relay: the ceiling of publish to receive.
 *
 *     bench-relay [PORT]        prints {"port":N}, serves until SIGTERM
 *
 * The gRPC C core and nothing else, as in echo.c, behind the three methods that a message passes on
 * its way: what a SendMessage brings goes to the ReceiveMessage that has waited longest, or waits
 * for one. Nothing is stored, checked, leased or counted, an AckMessage is answered OK, and a
 * receive takes all that waits, 32 at most. Requests carry one message; a message is passed on as
 * it came, for field 1 of SendMessageRequest and field 2 of ReceiveMessageResponse are the same
 * Message. */
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdlib.h>

#include "bare.h"

#define SERVICE "/apache.rocketmq.v2.MessagingService/"
enum { SEND, RECEIVE, ACK, METHODS, POSTED = 64, BATCH = 32 };

struct call {
    int method;
    grpc_call *core;
    grpc_metadata_array metadata;
    grpc_byte_buffer *request;
    gpr_timespec deadline;
    int cancelled;
    bool arrived, ending;
    int sent;
    struct call *next;
};

struct message {
    grpc_byte_buffer *bytes;
    struct message *next;
};

static grpc_server *server;
static grpc_completion_queue *queue;
static void *registered[METHODS];
static struct call *parked, **last_parked = &parked;
static struct message *messages, **last_message = &messages;

static void post(struct call *c)
{
    *c = (struct call){.method = c->method};
    grpc_metadata_array_init(&c->metadata);
    grpc_server_request_registered_call(server, registered[c->method], &c->core, &c->deadline,
                                        &c->metadata, &c->request, queue, queue, c);
}

/* One batch of an answer; `end`: with the status. */
static void put(struct call *c, grpc_byte_buffer *message, bool end)
{
    grpc_op ops[4] = {{0}};
    size_t n = 0;
    bool first = c->sent++ == 0;
    if (first) ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[n].op = GRPC_OP_SEND_MESSAGE;
    ops[n++].data.send_message.send_message = message;
    if (end) {
        ops[n++].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
        ops[n].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
        ops[n++].data.recv_close_on_server.cancelled = &c->cancelled;
    }
    c->ending = end;
    grpc_call_start_batch(c->core, ops, n, c, NULL);
    grpc_byte_buffer_destroy(message);
}

/* --- messages --------------------------------------------------------------------------- */

static void keep(grpc_byte_buffer *request)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, request)) abort();
    grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    GRPC_SLICE_START_PTR(whole)[0] = 2 << 3 | 2;
    struct message *m = calloc(1, sizeof *m);
    if (!m) abort();
    m->bytes = grpc_raw_byte_buffer_create(&whole, 1);
    grpc_slice_unref(whole);
    *last_message = m;
    last_message = &m->next;
}

static void give_next(struct call *receive)
{
    struct message *m = messages;
    messages = m->next;
    if (!messages) last_message = &messages;
    put(receive, m->bytes, !messages || receive->sent == BATCH - 1);
    free(m);
}

static void park(struct call *receive)
{
    *last_parked = receive;
    last_parked = &receive->next;
}

static void match(void)
{
    while (messages && parked) {
        struct call *receive = parked;
        parked = receive->next;
        if (!parked) last_parked = &parked;
        give_next(receive);
    }
}

/* Status{code OK} as field 1. */
static void answer_ok(struct call *c)
{
    static const char status[] = {0x0a, 4, 0x08, (char)0xa0, (char)0x9c, 1};
    grpc_slice slice = grpc_slice_from_static_buffer(status, sizeof status);
    put(c, grpc_raw_byte_buffer_create(&slice, 1), true);
}

/* --- events ----------------------------------------------------------------------------- */

static void arrived(struct call *c)
{
    c->arrived = true;
    if (c->method == RECEIVE) {
        park(c);
    } else {
        if (c->method == SEND) keep(c->request);
        answer_ok(c);
    }
    match();
}

static void handle(struct call *c)
{
    if (!c->arrived) {
        arrived(c);
    } else if (!c->ending) {
        if (messages)
            give_next(c);
        else
            park(c); /* the others were faster: what is left comes in the next batch */
    } else {
        if (c->request) grpc_byte_buffer_destroy(c->request);
        grpc_metadata_array_destroy(&c->metadata);
        grpc_call_unref(c->core);
        post(c);
    }
}

int main(int argc, char **argv)
{
    static const char *const paths[METHODS] = {SERVICE "SendMessage", SERVICE "ReceiveMessage",
                                               SERVICE "AckMessage"};
    static struct call calls[METHODS][POSTED];
    int port;
    server = bare_listen(argc, argv, &queue, &port);
    for (int m = 0; m < METHODS; m++)
        registered[m] = grpc_server_register_method(server, paths[m], NULL,
                                                    GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    grpc_server_start(server);
    for (int m = 0; m < METHODS; m++)
        for (int i = 0; i < POSTED; i++) {
            calls[m][i].method = m;
            post(&calls[m][i]);
        }
    bare_ready(port);
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (event.success) handle(event.tag);
    }
}
