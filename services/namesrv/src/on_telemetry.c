/* on_telemetry.c - a client's Telemetry stream at the access point.
 *
 * Settings are answered with the merged Settings; the stream stays open until the
 * client closes it. Nothing is remembered of a client but the answer, and that
 * only for Node.js, which may miss the first one (protocol.md 4.12): it is sent
 * once more, settings_repeat later. */
#include <stdlib.h>

#include "apache/rocketmq/v2/service.rpc.h"
#include "base/memory.h"
#include "inside.h"
#include "service/names.h"

enum { SCRATCH_BYTES = 1 << 20 };

struct client {
    struct sk_stream stream;
    sk_namesrv *namesrv;
    struct sk_asker asker; /* its texts live as long as the call */
    /* The answer to repeat, packed; NULL when nothing waits. Touched by who is inside;
     * repeat_us (0: nothing waits) under the streams' lock. */
    uint8_t *repeat;
    size_t repeat_len;
    uint64_t repeat_us;
};

static void set_repeat_us(struct client *c, uint64_t due_us)
{
    sk_mutex_lock(&c->namesrv->clients.lock);
    c->repeat_us = due_us;
    sk_mutex_unlock(&c->namesrv->clients.lock);
}

/* --- answering ------------------------------------------------------------------------------ */

static void send_status(struct client *c, struct sk_verdict v)
{
    rmq_status status;
    sk_fill_status(&status, sk_code_for(c->asker.language, v.code), v.text);
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    rmq_telemetry_command_set_status(&command, &status);
    rmq_messaging_service_write_telemetry(c->stream.call, &command);
}

/* What the routes say about the group: brokers report the ordered ones. */
static struct sk_group_facts facts_of(struct client *c, const rmq_settings *settings,
                                      sk_arena *arena)
{
    struct sk_group_facts facts = {.max_attempts = c->namesrv->options.max_attempts};
    struct sk_slice key;
    if (!sk_settings_is_consumer(settings)) return facts;
    const rmq_resource *group = rmq_subscription_get_group(rmq_settings_get_subscription(settings));
    if (!sk_granted(sk_group_key(group, c->asker.name_space, arena, &key))) return facts;
    sk_route_snapshot *now = sk_route_acquire(c->namesrv->table);
    facts.orderly = sk_route_group_is_orderly(now, key);
    sk_route_unref(now);
    return facts;
}

static void remember(struct client *c, const rmq_telemetry_command *command)
{
    const struct sk_namesrv_options *o = &c->namesrv->options;
    if (o->never_repeat_settings) return;
    c->repeat_len = rmq_telemetry_command_packed_size(command);
    c->repeat = sk_realloc(c->repeat, c->repeat_len, 1);
    rmq_telemetry_command_pack(command, c->repeat);
    set_repeat_us(c, sk_mono_us(sk_clock_real()) + o->settings_repeat_ms * 1000);
    sk_timer_set_after_ms(c->namesrv->timers, &c->namesrv->repeat, o->settings_repeat_ms);
}

static struct sk_verdict answer_settings(struct client *c, const rmq_settings *settings)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(SCRATCH_BYTES);
    struct sk_group_facts facts;
    rmq_settings merged;
    rmq_status ok;
    SK_GRANT(sk_settings_check(settings));
    facts = facts_of(c, settings, arena);
    SK_GRANT(sk_settings_merge(settings, &c->namesrv->options.rules, &facts, arena, &merged));
    sk_fill_status(&ok, RMQ_CODE_OK, "OK");
    rmq_telemetry_command command = RMQ_TELEMETRY_COMMAND_INIT;
    rmq_telemetry_command_set_status(&command, &ok);
    rmq_telemetry_command_set_settings(&command, &merged);
    rmq_messaging_service_write_telemetry(c->stream.call, &command);
    bool node = settings->user_agent && settings->user_agent->language == RMQ_LANGUAGE_NODE_JS;
    if (node && !c->repeat) remember(c, &command);
    return SK_GRANTED;
}

/* --- repeating ---------------------------------------------------------------------------------
 */

static bool is_due(struct sk_stream *stream, void *arg)
{
    const struct client *c = (const struct client *)stream;
    return c->repeat_us != 0 && c->repeat_us <= *(const uint64_t *)arg;
}

static void send_again(struct sk_stream *stream, void *arg)
{
    struct client *c = (struct client *)stream;
    (void)arg;
    set_repeat_us(c, 0);
    struct rpc_piece piece = {.bytes = sk_slice_of(c->repeat, c->repeat_len)};
    rpc_call_write_pieces(stream->call, &piece, 1);
    while (sk_stream_leave(stream)) {
    }
}

static bool note_next(struct sk_stream *stream, void *arg)
{
    const struct client *c = (const struct client *)stream;
    uint64_t *next = arg;
    if (c->repeat_us != 0 && c->repeat_us < *next) *next = c->repeat_us;
    return false; /* look only */
}

void repeat_settings(void *owner)
{
    sk_namesrv *namesrv = owner;
    uint64_t now = sk_mono_us(sk_clock_real()), next = UINT64_MAX;
    sk_streams_visit(&namesrv->clients, is_due, send_again, &now);
    sk_streams_visit(&namesrv->clients, note_next, send_again, &next);
    if (next == UINT64_MAX) return;
    uint64_t soonest = now + 10000; /* for one that was busy just now */
    sk_timer_set(namesrv->timers, &namesrv->repeat, next > soonest ? next : soonest);
}

/* --- the stream
 * ------------------------------------------------------------------------------------ */

static void on_message(void *arg, rpc_call *call, const rmq_telemetry_command *command)
{
    struct client *c = arg;
    (void)call;
    if (!sk_stream_enter(&c->stream)) return;
    if (command->command_case == RMQ_TELEMETRY_COMMAND_COMMAND_SETTINGS) {
        struct sk_verdict v = answer_settings(c, command->settings);
        if (!sk_granted(v)) send_status(c, v);
    }
    while (sk_stream_leave(&c->stream)) {
    }
}

static void on_half_closed(void *arg, rpc_call *call)
{
    struct client *c = arg;
    (void)call;
    if (sk_stream_enter(&c->stream)) sk_stream_end(&c->stream, RPC_OK, NULL);
}

void telemetry_ended(struct sk_stream *stream)
{
    struct client *c = (struct client *)stream;
    free(c->repeat);
    c->repeat = NULL;
}

static const struct rmq_messaging_service_telemetry_events events = {
    .message = on_message,
    .half_closed = on_half_closed,
};

void on_telemetry(void *owner, rpc_call *call)
{
    sk_namesrv *namesrv = owner;
    struct client *c = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *c);
    if (!c || sk_streams_count(&namesrv->clients) >= namesrv->options.max_clients) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "too many clients (max_clients)");
        return;
    }
    c->namesrv = namesrv;
    c->asker = sk_asker_of(call);
    sk_stream_open(&namesrv->clients, &c->stream, call);
    rpc_call_send_headers(call);
    struct sk_verdict v = sk_client_check(&c->asker);
    if (!sk_granted(v)) {
        send_status(c, v);
        sk_stream_end(&c->stream, RPC_OK, NULL);
        return;
    }
    rmq_messaging_service_listen_telemetry(call, &events, c);
    (void)sk_stream_leave(&c->stream);
}
