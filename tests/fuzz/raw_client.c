/* raw_client.c - see raw_client.h. Three things are under way for a call: one send, one read, and
 * the status; it is over when all three are. */
#include "raw_client.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

struct raw_client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
};

enum tag { SENT = 1, READ, ENDED };
/* Counted in ticks that we saw pass: machines have been seen to stand still for a minute. */
enum { TICK_MS = 100, PATIENCE = 300 };

struct flight {
    const struct raw_call *call;
    struct raw_ending *out;
    grpc_call *core;
    size_t sent; /* messages, and one more for the half-close */
    bool sending, reading, ended;
    grpc_metadata header;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *incoming;
    grpc_status_code code;
    grpc_slice detail;
};

raw_client *raw_client_open(int port)
{
    char target[32];
    grpc_init();
    raw_client *c = sk_zalloc(1, sizeof *c);
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    static char own[] = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, proxy[] = GRPC_ARG_ENABLE_HTTP_PROXY,
                any_size[] = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH;
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER, .key = own, .value.integer = 1},
        {.type = GRPC_ARG_INTEGER, .key = proxy, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = any_size, .value.integer = -1},
    };
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    c->channel = grpc_channel_create(target, plain, &(grpc_channel_args){3, args});
    grpc_channel_credentials_release(plain);
    c->queue = grpc_completion_queue_create_for_next(NULL);
    return c;
}

void raw_client_close(raw_client *c)
{
    if (!c) return;
    grpc_channel_destroy(c->channel);
    grpc_completion_queue_shutdown(c->queue);
    while (grpc_completion_queue_next(c->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(c->queue);
    free(c);
}

static gpr_timespec in_ms(unsigned ms)
{
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

static void start(struct flight *f, const grpc_op *ops, size_t count, enum tag tag)
{
    void *as_pointer = (void *)(uintptr_t)tag;
    sk_assert(grpc_call_start_batch(f->core, ops, count, as_pointer, NULL) == GRPC_CALL_OK);
}

static void send_next(struct flight *f)
{
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    grpc_byte_buffer *payload = NULL;
    f->sending = f->sent <= f->call->count;
    if (!f->sending) return;
    if (f->sent < f->call->count) {
        struct sk_slice m = f->call->messages[f->sent];
        grpc_slice slice = grpc_slice_from_copied_buffer((const char *)m.data, m.len);
        payload = grpc_raw_byte_buffer_create(&slice, 1);
        grpc_slice_unref(slice);
        op = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = payload};
    }
    f->sent++;
    start(f, &op, 1, SENT);
    if (payload) grpc_byte_buffer_destroy(payload);
}

/* The headers come with the first message, or with the end. */
static void read_next(struct flight *f, bool first)
{
    grpc_op ops[2] = {{.op = GRPC_OP_RECV_MESSAGE}, {.op = GRPC_OP_RECV_INITIAL_METADATA}};
    ops[0].data.recv_message.recv_message = &f->incoming;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &f->initial;
    f->reading = true;
    start(f, ops, first ? 2 : 1, READ);
}

static void on_read(struct flight *f)
{
    f->reading = false;
    if (!f->incoming) return;
    grpc_byte_buffer_reader reader;
    sk_assert(grpc_byte_buffer_reader_init(&reader, f->incoming));
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    f->out->messages++;
    if (f->call->message)
        f->call->message(f->call->arg,
                         sk_slice_of(GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all)));
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(f->incoming);
    f->incoming = NULL;
    read_next(f, false);
}

static void begin(struct flight *f)
{
    grpc_op headers = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    headers.flags =
        GRPC_INITIAL_METADATA_WAIT_FOR_READY | GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
    if (f->call->client_id) {
        f->header.key = grpc_slice_from_static_string("x-mq-client-id");
        f->header.value = grpc_slice_from_static_string(f->call->client_id);
        headers.data.send_initial_metadata.count = 1;
        headers.data.send_initial_metadata.metadata = &f->header;
    }
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    status.data.recv_status_on_client.trailing_metadata = &f->trailing;
    status.data.recv_status_on_client.status = &f->code;
    status.data.recv_status_on_client.status_details = &f->detail;
    f->sending = true;
    start(f, &status, 1, ENDED);
    start(f, &headers, 1, SENT);
    read_next(f, true);
}

static void run(raw_client *client, struct flight *f)
{
    unsigned ticks = PATIENCE + f->call->timeout_ms / TICK_MS;
    while (f->sending || f->reading || !f->ended) {
        grpc_event e = grpc_completion_queue_next(client->queue, in_ms(TICK_MS), NULL);
        if (e.type == GRPC_QUEUE_TIMEOUT) {
            if (ticks == 1) fprintf(stderr, "%s does not end\n", f->call->path);
            sk_assert(--ticks > 0);
            continue;
        }
        switch ((enum tag)(uintptr_t)e.tag) {
        case SENT:
            if (e.success)
                send_next(f);
            else
                f->sending = false;
            break;
        case READ:
            on_read(f);
            break;
        case ENDED:
            f->ended = true;
        }
    }
}

void raw_client_call(raw_client *client, const struct raw_call *call, struct raw_ending *out)
{
    struct flight f = {.call = call, .out = out};
    gpr_timespec deadline =
        call->timeout_ms ? in_ms(call->timeout_ms) : gpr_inf_future(GPR_CLOCK_MONOTONIC);
    *out = (struct raw_ending){0};
    f.detail = grpc_empty_slice();
    grpc_metadata_array_init(&f.initial);
    grpc_metadata_array_init(&f.trailing);
    f.core =
        grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->queue,
                                 grpc_slice_from_static_string(call->path), NULL, deadline, NULL);
    begin(&f);
    run(client, &f);
    out->code = (enum rpc_code)f.code;
    snprintf(out->detail, sizeof out->detail, "%.*s", (int)GRPC_SLICE_LENGTH(f.detail),
             (const char *)GRPC_SLICE_START_PTR(f.detail));
    grpc_slice_unref(f.detail);
    grpc_metadata_array_destroy(&f.initial);
    grpc_metadata_array_destroy(&f.trailing);
    grpc_call_unref(f.core);
}
