/* telemetry.c - Telemetry streams.
 *
 * A stream's memory is its call's arena. Who touches its call has entered it (service/stream.h). */
#include "telemetry.h"

#include <stdlib.h>

#include "base/memory.h"
#include "service/settings.h"
#include "service/stream.h"

struct client {
    struct sk_stream stream;
    sk_telemetry *telemetry;
    struct sk_caller caller;
    struct sk_buffer repeat; /* the last answer, serialized; of who is inside */
    uint64_t repeat_us;      /* when to send it again; 0: not. Guarded by the streams' lock */
};

struct sk_telemetry {
    struct sk_calls *calls;
    struct sk_streams streams;
    atomic_bool ended;
    struct sk_timer timer; /* for the repeats */
};

/* --- ends ------------------------------------------------------------------------------------ */

/* Once per stream, by whoever ends it. */
static void stream_ended(struct sk_stream *stream)
{
    struct client *client = (struct client *)stream;
    sk_buffer_done(&client->repeat);
}

/* Every stream that opens before `ended` is set is visited after it, or looks at it on leaving. */
static void leave(struct client *client)
{
    while (sk_stream_leave(&client->stream)) {
        if (!atomic_load(&client->telemetry->ended)) continue;
        sk_stream_end(&client->stream, RPC_OK, NULL);
        return;
    }
}

static void client_done(void *arg, rpc_call *call)
{
    (void)call;
    struct client *client = arg;
    if (sk_stream_enter(&client->stream)) sk_stream_end(&client->stream, RPC_OK, NULL);
}

/* --- answers --------------------------------------------------------------------------------- */

static void write_refusal(struct client *client, const struct sk_verdict *verdict)
{
    rmq_status status = sk_status_for(&client->caller, verdict);
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    rmq_telemetry_command_set_status(&command, &status);
    rmq_messaging_service_write_telemetry(client->stream.call, &command);
}

static void set_repeat_us(struct client *client, uint64_t due_us)
{
    struct sk_streams *streams = &client->telemetry->streams;
    sk_mutex_lock(&streams->lock);
    client->repeat_us = due_us;
    sk_mutex_unlock(&streams->lock);
}

/* Node.js loses an answer that comes before it has loaded all routes, and then waits for ever:
 * it is told again (protocol.md 4.12). */
static void plan_repeat(struct client *client, const rmq_telemetry_command *command)
{
    const struct sk_node *node = client->telemetry->calls->node;
    uint64_t after_ms = node->config->settings_repeat_ms;
    if (after_ms == 0 || !sk_slice_eq(client->caller.asker.language, SK_SLICE("HTTP"))) return;
    size_t size = rmq_telemetry_command_packed_size(command);
    client->repeat.len = 0;
    sk_buffer_reserve(&client->repeat, size);
    client->repeat.len = rmq_telemetry_command_pack(command, client->repeat.data);
    set_repeat_us(client, sk_mono_us(node->clock) + after_ms * 1000);
    sk_timer_set_after_ms(node->timers, &client->telemetry->timer, after_ms);
}

static bool is_due(struct sk_stream *stream, void *arg)
{
    const struct client *client = (const struct client *)stream;
    return client->repeat_us != 0 && client->repeat_us <= *(const uint64_t *)arg;
}

static void send_again(struct sk_stream *stream, void *arg)
{
    (void)arg;
    struct client *client = (struct client *)stream;
    set_repeat_us(client, 0);
    struct rpc_piece piece = {.bytes = sk_buffer_slice(&client->repeat)};
    rpc_call_write_pieces(client->stream.call, &piece, 1);
    leave(client);
}

/* Looks only. */
static bool note_next(struct sk_stream *stream, void *arg)
{
    const struct client *client = (const struct client *)stream;
    uint64_t *next_us = arg;
    if (client->repeat_us != 0 && client->repeat_us < *next_us) *next_us = client->repeat_us;
    return false;
}

static void repeat(void *arg)
{
    enum { SOON_US = 10000 }; /* for one that was busy just now */
    sk_telemetry *telemetry = arg;
    uint64_t now_us = sk_mono_us(telemetry->calls->node->clock), next_us = UINT64_MAX;
    sk_streams_visit(&telemetry->streams, is_due, send_again, &now_us);
    sk_streams_visit(&telemetry->streams, note_next, send_again, &next_us);
    if (next_us == UINT64_MAX) return;
    if (next_us < now_us + SOON_US) next_us = now_us + SOON_US;
    sk_timer_set(telemetry->calls->node->timers, &telemetry->timer, next_us);
}

/* --- settings -------------------------------------------------------------------------------- */

static struct sk_verdict group_facts(struct client *client, const rmq_settings *settings,
                                     sk_arena *arena, struct sk_slice *name,
                                     struct sk_group_facts *facts)
{
    *name = SK_EMPTY;
    *facts = (struct sk_group_facts){0};
    if (!sk_settings_is_consumer(settings)) return SK_GRANTED;
    const rmq_subscription *subscription = rmq_settings_get_subscription(settings);
    const rmq_resource *group = rmq_subscription_get_group(subscription);
    SK_GRANT(sk_group_key(group, client->caller.asker.name_space, arena, name));
    struct sk_calls *calls = client->telemetry->calls;
    const struct sk_group *found;
    struct sk_turn turn;
    sk_turn_begin(&turn, calls->node->ledger);
    struct sk_verdict verdict = sk_find_group(calls->placing, &turn, *name, &found);
    if (sk_granted(verdict)) {
        *facts = (struct sk_group_facts){.orderly = found->orderly,
                                         .max_attempts = (int32_t)found->max_attempts};
    }
    sk_turn_end(&turn);
    return verdict;
}

static struct sk_verdict negotiate(struct client *client, const rmq_settings *settings,
                                   sk_arena *arena)
{
    const struct sk_broker_config *config = client->telemetry->calls->node->config;
    struct sk_settings_rules rules = SK_SETTINGS_RULES(config);
    struct sk_slice group;
    struct sk_group_facts facts;
    rmq_settings merged;
    SK_GRANT(sk_settings_check(settings));
    SK_GRANT(group_facts(client, settings, arena, &group, &facts));
    SK_GRANT(sk_settings_merge(settings, &rules, &facts, arena, &merged));
    sk_sessions_settings(client->telemetry->calls->sessions, client->stream.call, &client->caller,
                         settings, group);

    struct sk_verdict ok = SK_GRANTED;
    rmq_status status = sk_status_for(&client->caller, &ok);
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    rmq_telemetry_command_set_status(&command, &status);
    rmq_telemetry_command_set_settings(&command, &merged);
    rmq_messaging_service_write_telemetry(client->stream.call, &command);
    plan_repeat(client, &command);
    return SK_GRANTED;
}

/* Results of commands need nothing from us; whatever comes shows that the client lives. */
static void told(void *arg, rpc_call *call, const rmq_telemetry_command *message)
{
    struct client *client = arg;
    if (!sk_stream_enter(&client->stream)) return;
    sk_sessions_seen(client->telemetry->calls->sessions, call, &client->caller);
    const rmq_settings *settings = rmq_telemetry_command_get_settings(message);
    struct sk_verdict verdict = SK_GRANTED;
    if (settings) {
        sk_arena *arena = sk_arena_new(4u << 20);
        verdict = negotiate(client, settings, arena);
        sk_arena_free(arena);
    }
    if (!sk_granted(verdict)) write_refusal(client, &verdict);
    if (verdict.code == RMQ_CODE_CONSUMER_GROUP_NOT_FOUND)
        sk_stream_end(&client->stream, RPC_INVALID_ARGUMENT, verdict.text);
    else
        leave(client);
}

/* --- life ------------------------------------------------------------------------------------ */

static const struct rmq_messaging_service_telemetry_events EVENTS = {told, client_done};

void sk_handle_telemetry(void *owner, rpc_call *call)
{
    struct sk_calls *calls = owner;
    sk_telemetry *telemetry = calls->telemetry;
    struct client *client = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *client);
    if (!client) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the stream");
        return;
    }
    client->telemetry = telemetry;
    struct sk_verdict verdict = sk_caller_of(call, &client->caller);
    sk_stream_open(&telemetry->streams, &client->stream, call);
    if (atomic_load(&telemetry->ended)) {
        sk_stream_end(&client->stream, RPC_UNAVAILABLE, "the broker is stopping");
        return;
    }
    if (!sk_granted(verdict)) {
        write_refusal(client, &verdict);
        sk_stream_end(&client->stream, RPC_OK, NULL);
        return;
    }
    rpc_call_send_headers(call); /* the Rust client waits for them */
    rmq_messaging_service_listen_telemetry(call, &EVENTS, client);
    leave(client);
}

sk_telemetry *sk_telemetry_new(struct sk_calls *calls)
{
    sk_telemetry *telemetry = sk_zalloc(1, sizeof *telemetry);
    sk_streams_init(&telemetry->streams, stream_ended);
    telemetry->calls = calls;
    telemetry->timer = (struct sk_timer){.fn = repeat, .arg = telemetry};
    return telemetry;
}

static void end_one(struct sk_stream *stream, void *arg)
{
    (void)arg;
    sk_stream_end(stream, RPC_OK, NULL);
}

void sk_telemetry_end(sk_telemetry *telemetry)
{
    atomic_store(&telemetry->ended, true);
    sk_streams_visit(&telemetry->streams, NULL, end_one, NULL);
}

void sk_telemetry_free(sk_telemetry *telemetry)
{
    if (!telemetry) return;
    sk_streams_done(&telemetry->streams);
    free(telemetry);
}
