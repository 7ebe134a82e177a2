/* fuzz_client.c - any bytes as a server's answers to `skua`: the library and the command line on
 * it.
 *
 * The input is a row of answers, as calls.h has calls: method u8, how u8, length u16, bytes. A call
 * is given the first one left of its method (how 1: and the next ones, if it is a stream); when
 * there is none, it is told of a route to this server, or ends without an answer. The first `how`
 * says, in its upper half, which command is typed. What must hold: the command ends, with one of
 * its exit codes, says why, and what it prints is JSON. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apache/rocketmq/v2/service.rpc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/thread.h"
#include "cli.h"
#include "proto/message.h"
#include "rpc/server.h"
#include "skua/v1/admin.rpc.h"
#include "skua/v1/namesrv.rpc.h"

enum { HEAD = 4, MORE = 1, ANSWERS = 16, WORDS = 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* --- the server ----------------------------------------------------------------------------------
 */

struct answer {
    const struct rpc_method *method;
    struct sk_slice bytes;
    bool more, used;
};

static struct {
    rpc_server *server;
    char address[32];
    int port;
    struct sk_mutex lock;
    struct answer answers[ANSWERS]; /* guarded by lock, as count */
    size_t count;
} peer;

static const struct rpc_service *const services[] = {&rmq_messaging_service, &skua_broker_admin,
                                                     &skua_name_server};
enum { SERVICES = sizeof services / sizeof services[0] };

static const struct rpc_method *method_of(unsigned number)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < SERVICES; i++) total += services[i]->method_count;
    size_t left = number % total;
    for (; left >= services[at]->method_count; at++) left -= services[at]->method_count;
    return &services[at]->methods[left];
}

static void reply_route(rpc_call *call)
{
    static char name[] = "b", topic_name[] = "t", host[] = "127.0.0.1";
    rmq_message_type types[] = {RMQ_MESSAGE_TYPE_NORMAL};
    rmq_address address = RMQ_ADDRESS_INIT, *addresses[] = {&address};
    rmq_endpoints endpoints = RMQ_ENDPOINTS_INIT;
    rmq_broker broker = RMQ_BROKER_INIT;
    rmq_resource topic = RMQ_RESOURCE_INIT;
    rmq_message_queue queue = RMQ_MESSAGE_QUEUE_INIT, *queues[] = {&queue};
    rmq_status status = RMQ_STATUS_INIT;
    rmq_query_route_response response = RMQ_QUERY_ROUTE_RESPONSE_INIT;
    address.host = host;
    address.port = peer.port;
    endpoints.scheme = RMQ_ADDRESS_SCHEME_IPV4;
    endpoints.addresses = addresses;
    endpoints.n_addresses = 1;
    broker.name = name;
    broker.endpoints = &endpoints;
    topic.name = topic_name;
    queue.topic = &topic;
    queue.permission = RMQ_PERMISSION_READ_WRITE;
    queue.broker = &broker;
    queue.accept_message_types = types;
    queue.n_accept_message_types = 1;
    status.code = RMQ_CODE_OK;
    response.status = &status;
    response.message_queues = queues;
    response.n_message_queues = 1;
    rpc_call_reply(call, &response.base);
}

/* The next answer that is meant for this call, in the call's memory: the bytes are the input's, and
 * nobody answers under a lock. */
static bool take_answer(rpc_call *call, struct sk_slice *out, bool *more)
{
    struct answer *found = NULL;
    sk_mutex_lock(&peer.lock);
    for (size_t i = 0; i < peer.count && !found; i++)
        if (!peer.answers[i].used && peer.answers[i].method == rpc_call_method(call))
            found = &peer.answers[i];
    if (found) {
        const void *bytes =
            sk_arena_copy(rpc_call_arena(call), found->bytes.data, found->bytes.len);
        *out = sk_slice_of(bytes, found->bytes.len);
        *more = found->more;
        found->used = true;
    }
    sk_mutex_unlock(&peer.lock);
    return found != NULL;
}

/* All that is meant for this call. */
static void answer_stream(rpc_call *call)
{
    struct rpc_piece piece = {0};
    for (bool more = true; more && take_answer(call, &piece.bytes, &more);)
        rpc_call_write_pieces(call, &piece, 1);
}

static void on_request(void *owner, rpc_call *call, struct sk_slice request)
{
    const struct rpc_method *method = rpc_call_method(call);
    struct sk_slice bytes;
    bool more;
    (void)owner;
    (void)request;
    if (method->kind == RPC_SERVER_STREAM) {
        answer_stream(call);
        rpc_call_finish(call, RPC_OK, NULL);
    } else if (take_answer(call, &bytes, &more)) {
        rpc_call_reply_bytes(call, bytes);
    } else if (strcmp(method->name, "QueryRoute") == 0) {
        reply_route(call);
    } else {
        rpc_call_fail(call, RPC_UNIMPLEMENTED, "nothing");
    }
}

static void on_message(const void *typed, void *arg, rpc_call *call, const ProtobufCMessage *m)
{
    (void)typed, (void)arg, (void)m;
    answer_stream(call);
}

static void on_half_closed(const void *typed, void *arg, rpc_call *call)
{
    (void)typed, (void)arg;
    rpc_call_finish(call, RPC_OK, NULL);
}

static void on_open(const void *handlers, void *owner, rpc_call *call)
{
    static const struct rpc_stream_events events = {on_message, on_half_closed};
    (void)handlers, (void)owner;
    rpc_call_listen(call, &events, NULL, NULL);
}

static void close_it(void)
{
    rpc_server_free(peer.server);
    sk_mutex_done(&peer.lock);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static struct rpc_binding bindings[SERVICES][32];
    (void)argc, (void)argv;
    sk_log_configure(SK_SILENT, false);
    sk_mutex_init(&peer.lock);
    sk_assert(sk_ok(rpc_server_new(&(struct rpc_server_options){.prepost = 4}, &peer.server)));
    for (size_t i = 0; i < SERVICES; i++) {
        for (size_t k = 0; k < services[i]->method_count; k++)
            if (services[i]->methods[k].kind == RPC_BIDI) bindings[i][k].open = on_open;
        rpc_server_mount(peer.server, services[i], bindings[i], NULL, NULL);
        for (size_t k = 0; k < services[i]->method_count; k++)
            if (services[i]->methods[k].kind != RPC_BIDI)
                rpc_server_mount_raw(peer.server, &services[i]->methods[k], on_request, NULL);
    }
    sk_assert(sk_ok(rpc_server_listen(peer.server, "127.0.0.1:0", &peer.port)));
    sk_assert(sk_ok(rpc_server_start(peer.server)));
    snprintf(peer.address, sizeof peer.address, "127.0.0.1:%d", peer.port);
    atexit(close_it);
    return 0;
}

/* --- the command
 * ---------------------------------------------------------------------------------- */

static const char *const lines[] = {
    "send t --body hello --tag a --key k",
    "receive t --group g --count 3 --wait 50ms",
    "receive t --group g --count 2 --wait 20ms --no-ack --filter a||b",
    "pull t --queue 0 --count 4",
    "pull t --queue 0 --offset end --wait 20ms",
    "route t",
    "cluster",
    "topic list",
    "topic describe t",
    "topic create n --queues 2",
    "topic delete n --yes",
    "group list",
    "group describe g",
    "group create g",
    "group delete g --yes",
    "pull t --queue 0 --offset @1763700000",
};

static void set_answers(const uint8_t *data, size_t size)
{
    sk_mutex_lock(&peer.lock);
    peer.count = 0;
    while (peer.count < ANSWERS && size >= HEAD) {
        size_t len = data[2] | (size_t)data[3] << 8, left = size - HEAD;
        if (len > left) len = left;
        peer.answers[peer.count++] = (struct answer){.method = method_of(data[0]),
                                                     .bytes = sk_slice_of(data + HEAD, len),
                                                     .more = data[1] & MORE};
        data += HEAD + len;
        size -= HEAD + len;
    }
    sk_mutex_unlock(&peer.lock);
}

/* One JSON text, or one on each line. A body may hold a NUL, which Jansson takes only when told. */
static void check_json(const char *text, size_t len)
{
    json_error_t error;
    json_t *json = json_loadb(text, len, JSON_ALLOW_NUL, &error);
    json_decref(json);
    for (const char *end = text + len; !json && text < end;) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        sk_assert(next != NULL);
        json_t *line = json_loadb(text, (size_t)(next - text), JSON_ALLOW_NUL, &error);
        if (!line)
            fprintf(stderr, "not JSON: %s, column %d: %.*s\n", error.text, error.column,
                    (int)(next - text), text);
        sk_assert(line != NULL);
        json_decref(line);
        text = next + 1;
    }
}

static int type(const char *line, bool json, char **out, size_t *out_len, char **err,
                size_t *err_len)
{
    static const struct cli_hooks hooks = {0};
    char copy[128], *save = NULL;
    const char *argv[WORDS] = {"skua"};
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) argv[argc++] = w;
    argv[argc++] = "--timeout";
    argv[argc++] = "150ms";
    if (json) argv[argc++] = "-o=json";
    FILE *in = fopen("/dev/null", "r"), *o = open_memstream(out, out_len),
         *e = open_memstream(err, err_len);
    sk_assert(in && o && e);
    int code = cli_main(argc, argv, peer.address, &hooks, in, o, e);
    fclose(in);
    fclose(o);
    fclose(e);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *out = NULL, *err = NULL;
    size_t out_len, err_len;
    unsigned which = size > 1 ? data[1] >> 4 : 0;
    bool json = !(size > 1 && data[1] & 8);
    set_answers(data, size);
    int code = type(lines[which], json, &out, &out_len, &err, &err_len);
    set_answers(NULL, 0);
    sk_assert(code >= CLI_OK && code <= CLI_TIMEOUT && code != CLI_USAGE);
    sk_assert(code == CLI_OK || err_len > 0);
    if (json) check_json(out, out_len);
    if (json && code != CLI_OK) check_json(err, err_len);
    free(out);
    free(err);
    return 0;
}
