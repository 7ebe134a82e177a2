/* telemetry.c - Telemetry streams.
 *
 * A stream's memory is its call's arena. It is finished exactly once: whoever sets
 * `finished` under the lock does it. */
#include "telemetry.h"

#include <stdlib.h>

#include <utlist.h>

#include "base/memory.h"
#include "base/thread.h"
#include "service/settings.h"

struct stream {
    sk_telemetry *telemetry;
    rpc_call *call;
    struct sk_caller caller;
    bool starting;   /* the runtime does not know all of us yet: do not finish now */
    bool end_wanted; /* guarded by the telemetry's lock, as all below */
    bool finished;
    uint64_t repeat_us;      /* when to send `repeat` again; 0: not */
    struct sk_buffer repeat; /* the last answer, serialized */
    struct stream *next, *prev;
};

struct sk_telemetry {
    struct sk_calls *calls;
    struct sk_mutex lock;
    struct stream *streams; /* guarded by lock */
    bool ended;             /* guarded by lock */
    struct sk_timer timer;  /* for the repeats */
};

/* --- ends ------------------------------------------------------------------------------------ */

/* Under the lock. */
static void finish(struct stream *stream, enum rpc_code code, const char *detail)
{
    if (stream->starting) stream->end_wanted = true;
    if (stream->finished || stream->starting) return;
    stream->finished = true;
    sk_buffer_done(&stream->repeat);
    DL_DELETE(stream->telemetry->streams, stream);
    rpc_call_finish(stream->call, code, detail);
}

static void finish_locked(struct stream *stream, enum rpc_code code, const char *detail)
{
    sk_telemetry *telemetry = stream->telemetry;
    sk_mutex_lock(&telemetry->lock);
    finish(stream, code, detail);
    sk_mutex_unlock(&telemetry->lock);
}

static void client_done(void *arg, rpc_call *call)
{
    (void)call;
    finish_locked(arg, RPC_OK, NULL);
}

static void client_gone(void *arg)
{
    finish_locked(arg, RPC_CANCELLED, NULL);
}

/* --- answers --------------------------------------------------------------------------------- */

static void write_command(struct stream *stream, const rmq_telemetry_command *command)
{
    sk_mutex_lock(&stream->telemetry->lock);
    if (!stream->finished) rmq_messaging_service_write_telemetry(stream->call, command);
    sk_mutex_unlock(&stream->telemetry->lock);
}

static void write_refusal(struct stream *stream, const struct sk_verdict *verdict)
{
    rmq_status status = sk_status_for(&stream->caller, verdict);
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    rmq_telemetry_command_set_status(&command, &status);
    write_command(stream, &command);
}

/* Node.js loses an answer that comes before it has loaded all routes, and then waits for ever:
 * it is told again (protocol.md 4.12). */
static void plan_repeat(struct stream *stream, const rmq_telemetry_command *command)
{
    sk_telemetry *telemetry = stream->telemetry;
    uint64_t after_ms = telemetry->calls->node->config->settings_repeat_ms;
    if (after_ms == 0 || !sk_slice_eq(stream->caller.asker.language, SK_SLICE("HTTP"))) return;
    sk_mutex_lock(&telemetry->lock);
    if (!stream->finished && !telemetry->ended) {
        size_t size = rmq_telemetry_command_packed_size(command);
        stream->repeat.len = 0;
        sk_buffer_reserve(&stream->repeat, size);
        stream->repeat.len = rmq_telemetry_command_pack(command, stream->repeat.data);
        stream->repeat_us = sk_mono_us(telemetry->calls->node->clock) + after_ms * 1000;
        sk_timer_set_after_ms(telemetry->calls->node->timers, &telemetry->timer, after_ms);
    }
    sk_mutex_unlock(&telemetry->lock);
}

static void repeat(void *arg)
{
    sk_telemetry *telemetry = arg;
    uint64_t next_us = UINT64_MAX;
    sk_mutex_lock(&telemetry->lock);
    uint64_t now_us = sk_mono_us(telemetry->calls->node->clock);
    struct stream *stream;
    DL_FOREACH(telemetry->streams, stream)
    {
        if (stream->repeat_us == 0) continue;
        if (stream->repeat_us > now_us) {
            if (stream->repeat_us < next_us) next_us = stream->repeat_us;
            continue;
        }
        stream->repeat_us = 0;
        struct rpc_piece piece = {.bytes = sk_buffer_slice(&stream->repeat)};
        rpc_call_write_pieces(stream->call, &piece, 1);
        sk_buffer_done(&stream->repeat);
        stream->repeat = (struct sk_buffer){0};
    }
    if (next_us != UINT64_MAX) sk_timer_set(telemetry->calls->node->timers, &telemetry->timer, next_us);
    sk_mutex_unlock(&telemetry->lock);
}

/* --- settings ----------------------------------------------------------------------------------
 */

static struct sk_verdict group_facts(struct stream *stream, const rmq_settings *settings,
                                     sk_arena *arena, struct sk_slice *name,
                                     struct sk_group_facts *facts)
{
    *name = SK_EMPTY;
    *facts = (struct sk_group_facts){0};
    if (!sk_settings_is_consumer(settings)) return SK_GRANTED;
    const rmq_subscription *subscription = rmq_settings_get_subscription(settings);
    const rmq_resource *group = rmq_subscription_get_group(subscription);
    SK_GRANT(sk_group_key(group, stream->caller.asker.name_space, arena, name));
    struct sk_calls *calls = stream->telemetry->calls;
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

static struct sk_verdict negotiate(struct stream *stream, const rmq_settings *settings,
                                   sk_arena *arena)
{
    const struct sk_broker_config *config = stream->telemetry->calls->node->config;
    struct sk_settings_rules rules = SK_SETTINGS_RULES(config);
    struct sk_slice group;
    struct sk_group_facts facts;
    rmq_settings merged;
    SK_GRANT(sk_settings_check(settings));
    SK_GRANT(group_facts(stream, settings, arena, &group, &facts));
    SK_GRANT(sk_settings_merge(settings, &rules, &facts, arena, &merged));
    sk_sessions_settings(stream->telemetry->calls->sessions, stream->call, &stream->caller,
                         settings, group);

    struct sk_verdict ok = SK_GRANTED;
    rmq_status status = sk_status_for(&stream->caller, &ok);
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    rmq_telemetry_command_set_status(&command, &status);
    rmq_telemetry_command_set_settings(&command, &merged);
    write_command(stream, &command);
    plan_repeat(stream, &command);
    return SK_GRANTED;
}

/* Results of commands need nothing from us; whatever comes shows that the client lives. */
static void told(void *arg, rpc_call *call, const rmq_telemetry_command *message)
{
    struct stream *stream = arg;
    sk_sessions_seen(stream->telemetry->calls->sessions, call, &stream->caller);
    const rmq_settings *settings = rmq_telemetry_command_get_settings(message);
    if (!settings) return;
    sk_arena *arena = sk_arena_new(4u << 20);
    struct sk_verdict verdict = negotiate(stream, settings, arena);
    if (!sk_granted(verdict)) write_refusal(stream, &verdict);
    if (verdict.code == RMQ_CODE_CONSUMER_GROUP_NOT_FOUND) {
        finish_locked(stream, RPC_INVALID_ARGUMENT, verdict.text);
    }
    sk_arena_free(arena);
}

/* --- life ------------------------------------------------------------------------------------ */

static const struct rmq_messaging_service_telemetry_events EVENTS = {told, client_done};

void sk_handle_telemetry(void *owner, rpc_call *call)
{
    struct sk_calls *calls = owner;
    sk_telemetry *telemetry = calls->telemetry;
    struct stream *stream = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *stream);
    if (!stream) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the stream");
        return;
    }
    stream->telemetry = telemetry;
    stream->call = call;
    struct sk_verdict verdict = sk_caller_of(call, &stream->caller);
    sk_mutex_lock(&telemetry->lock);
    bool ended = telemetry->ended;
    stream->starting = sk_granted(verdict);
    if (!ended) DL_APPEND(telemetry->streams, stream);
    sk_mutex_unlock(&telemetry->lock);
    if (ended) {
        rpc_call_finish(call, RPC_UNAVAILABLE, "the broker is stopping");
        return;
    }
    if (!sk_granted(verdict)) {
        write_refusal(stream, &verdict);
        finish_locked(stream, RPC_OK, NULL);
        return;
    }
    rpc_call_send_headers(call); /* the Rust client waits for them */
    rpc_call_on_cancel(call, client_gone, stream);
    rmq_messaging_service_listen_telemetry(call, &EVENTS, stream);
    sk_mutex_lock(&telemetry->lock);
    stream->starting = false;
    if (stream->end_wanted) finish(stream, RPC_OK, NULL);
    sk_mutex_unlock(&telemetry->lock);
}

sk_telemetry *sk_telemetry_new(struct sk_calls *calls)
{
    sk_telemetry *telemetry = sk_zalloc(1, sizeof *telemetry);
    sk_mutex_init(&telemetry->lock);
    telemetry->calls = calls;
    telemetry->timer = (struct sk_timer){.fn = repeat, .arg = telemetry};
    return telemetry;
}

void sk_telemetry_end(sk_telemetry *telemetry)
{
    sk_mutex_lock(&telemetry->lock);
    telemetry->ended = true;
    while (telemetry->streams) finish(telemetry->streams, RPC_OK, NULL);
    sk_mutex_unlock(&telemetry->lock);
}

void sk_telemetry_free(sk_telemetry *telemetry)
{
    if (!telemetry) return;
    sk_mutex_done(&telemetry->lock);
    free(telemetry);
}
