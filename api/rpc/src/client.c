/* client.c - the client's machinery: its thread, its channels, the calls under way. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "src/client_inside.h"
#include "src/code.h"
#include "src/enter.h"
#include "src/payload.h"
#include "src/server_inside.h"
#include "src/tls.h"

enum { MIB = 1024 * 1024, SCRATCH_BUDGET = 256 * MIB };

/* Takes the reference to the poller. */
static struct sk_status client_new(struct rpc_poller *poller, const char *name, rpc_client **out)
{
    rpc_client *client = sk_zalloc(1, sizeof *client);
    sk_mutex_init(&client->lock);
    sk_cond_init(&client->idle);
    client->scratch = sk_arena_new(SCRATCH_BUDGET);
    client->poller = poller;
    struct sk_status s = rpc_poller_start(poller, name);
    if (sk_ok(s))
        *out = client;
    else
        rpc_client_free(client);
    return s;
}

struct sk_status rpc_client_new(rpc_client **out)
{
    rpc_enter();
    rpc_core_start();
    return client_new(rpc_poller_new(), "rpc-client", out);
}

struct sk_status rpc_client_new_beside(rpc_server *server, rpc_client **out)
{
    rpc_enter();
    return client_new(rpc_poller_ref(server->pollers[0]), "rpc-0", out);
}

static void cancel_all(rpc_client *client)
{
    sk_mutex_lock(&client->lock);
    client->closing = true;
    for (struct rpc_client_call *call = client->calls; call; call = call->next)
        (void)grpc_call_cancel(call->core, NULL);
    while (client->calls) sk_cond_wait(&client->idle, &client->lock);
    sk_mutex_unlock(&client->lock);
}

void rpc_client_free(rpc_client *client)
{
    rpc_enter();
    if (!client) return;
    cancel_all(client);
    rpc_poller_unref(client->poller);
    sk_arena_free(client->scratch);
    sk_cond_done(&client->idle);
    sk_mutex_done(&client->lock);
    free(client);
}

/* --- channels ----------------------------------------------------------------- */

static grpc_channel *core_open(const char *target, grpc_channel_credentials *credentials)
{
    const struct {
        const char *key;
        int value;
    } knobs[] = {
        {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, 64 * MIB},
        /* find a broker again soon after it restarted */
        {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100},
        {GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 3000}, /* in truth: how long a connect may take */
        {GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000},
        /* one channel, one connection: two channels may be meant as two connections */
        {GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1},
        {GRPC_ARG_KEEPALIVE_TIME_MS, 30000},
        {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000},
        {GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1},
        /* brokers are not behind the proxies that browsers are told of */
        {GRPC_ARG_ENABLE_HTTP_PROXY, 0},
        {GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1},
        {GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, MIB},
        {GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 64 * 1024},
    };
    enum { N = sizeof knobs / sizeof knobs[0] };
    grpc_arg args[N];
    for (size_t i = 0; i < N; i++)
        args[i] = (grpc_arg){.type = GRPC_ARG_INTEGER,
                             .key = (char *)(uintptr_t)knobs[i].key,
                             .value.integer = knobs[i].value};
    return grpc_channel_create(target, credentials,
                               &(grpc_channel_args){.num_args = N, .args = args});
}

struct sk_status rpc_channel_open(rpc_client *client, const char *target,
                                  const struct rpc_channel_options *options, rpc_channel **out)
{
    rpc_enter();
    grpc_channel_credentials *credentials;
    SK_TRY(rpc_tls_channel_credentials(options, &credentials));
    rpc_channel *channel = sk_zalloc(1, sizeof *channel);
    channel->client = client;
    channel->target = sk_strdup(target);
    atomic_init(&channel->refs, 1);
    channel->core = core_open(target, credentials);
    grpc_channel_credentials_release(credentials);
    *out = channel;
    return SK_SUCCESS;
}

void rpc_channel_close(rpc_channel *channel)
{
    rpc_enter();
    if (!channel || atomic_fetch_sub_explicit(&channel->refs, 1, memory_order_acq_rel) != 1) return;
    grpc_channel_destroy(channel->core);
    free(channel->target);
    free(channel);
}

/* --- calls under way ---------------------------------------------------------- */

static gpr_timespec deadline_in(uint64_t timeout_ms)
{
    if (!timeout_ms) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (timeout_ms > INT32_MAX) timeout_ms = INT32_MAX;
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_millis((int64_t)timeout_ms, GPR_TIMESPAN));
}

void rpc_client_call_begin(struct rpc_client_call *call, rpc_channel *channel,
                           const struct rpc_method *method, uint64_t timeout_ms)
{
    rpc_client *client = channel->client;
    atomic_fetch_add_explicit(&channel->refs, 1, memory_order_relaxed);
    call->channel = channel;
    grpc_slice path = grpc_slice_from_static_string(method->path);
    call->core = grpc_channel_create_call(channel->core, NULL, 0, client->poller->queue, path, NULL,
                                          deadline_in(timeout_ms), NULL);
    sk_mutex_lock(&client->lock);
    call->prev = NULL;
    call->next = client->calls;
    if (client->calls) client->calls->prev = call;
    client->calls = call;
    if (client->closing) (void)grpc_call_cancel(call->core, NULL);
    sk_mutex_unlock(&client->lock);
}

void rpc_client_call_end(struct rpc_client_call *call)
{
    rpc_client *client = call->channel->client;
    sk_mutex_lock(&client->lock);
    if (call->prev)
        call->prev->next = call->next;
    else
        client->calls = call->next;
    if (call->next) call->next->prev = call->prev;
    if (!client->calls) sk_cond_broadcast(&client->idle);
    sk_mutex_unlock(&client->lock);
    grpc_call_unref(call->core);
    rpc_channel_close(call->channel);
}

static grpc_slice borrowed(const char *text)
{
    return grpc_slice_from_copied_string(text);
}

void rpc_client_headers(const struct rpc_options *options, grpc_metadata *out)
{
    sk_assert(!options || options->header_count <= RPC_MAX_HEADERS);
    for (size_t i = 0; options && i < options->header_count; i++)
        out[i] = (grpc_metadata){.key = borrowed(options->headers[i].key),
                                 .value = borrowed(options->headers[i].value)};
}

uint32_t rpc_client_header_flags(const struct rpc_options *options)
{
    return options && options->wait_for_ready
               ? GRPC_INITIAL_METADATA_WAIT_FOR_READY |
                     GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET
               : 0;
}

/* --- how a call ended --------------------------------------------------------- */

struct rpc_outcome rpc_client_outcome(const rpc_channel *channel, grpc_status_code code,
                                      grpc_slice detail)
{
    struct rpc_outcome outcome = {.code = (enum rpc_code)code, .status = SK_SUCCESS};
    struct sk_slice text = rpc_slice_view(&detail);
    if (code != GRPC_STATUS_OK)
        outcome.status = sk_error(rpc_code_meaning(outcome.code), "%s: %.*s", channel->target,
                                  SK_SLICE_ARGS(text));
    return outcome;
}

struct rpc_outcome rpc_client_rejected(const rpc_channel *channel, grpc_call_error why)
{
    return (struct rpc_outcome){
        .code = RPC_INVALID_ARGUMENT,
        .status = sk_error(SK_INVALID, "%s: %s", channel->target, grpc_call_error_to_string(why))};
}
