/* on_register.c - a broker's stream: full report, heartbeats, goodbye.
 *
 * The stream is a session of the route table. As long as it lives, the broker is
 * alive; when it breaks without `leaving`, the broker is suspect at once. */
#include "base/log.h"
#include "inside.h"
#include "skua/v1/namesrv.rpc.h"

enum { SCRATCH_BYTES = 64 << 20 };

struct registration {
    struct sk_stream stream;
    sk_namesrv *namesrv;
    uint64_t session;
    bool named;              /* the first report came; key is set */
    struct sk_route_key key; /* its texts are in the call's arena */
};

static void answer_version(struct registration *r, uint64_t version)
{
    skua_register_response response = SKUA_REGISTER_RESPONSE_INIT;
    response.version = version;
    skua_name_server_write_register(r->stream.call, &response);
}

static bool same_key(const struct sk_route_key *a, const struct sk_route_key *b)
{
    return a->id == b->id && sk_slice_eq(a->name, b->name) && sk_slice_eq(a->cluster, b->cluster);
}

/* The first report says for whom this stream speaks; the later ones must agree. */
static struct sk_status settle_key(struct registration *r, const struct sk_route_key *key)
{
    sk_arena *arena = rpc_call_arena(r->stream.call);
    if (r->named)
        return same_key(&r->key, key)
                   ? SK_SUCCESS
                   : sk_error(SK_INVALID, "one stream speaks for one broker, '%.*s:%d'",
                              SK_SLICE_ARGS(r->key.name), r->key.id);
    const void *cluster = sk_arena_copy(arena, key->cluster.data, key->cluster.len);
    const void *name = sk_arena_copy(arena, key->name.data, key->name.len);
    if (!cluster || !name) return sk_error(SK_FULL, "the broker's name needs too much memory");
    r->key = (struct sk_route_key){.cluster = sk_slice_of(cluster, key->cluster.len),
                                   .name = sk_slice_of(name, key->name.len),
                                   .id = key->id};
    r->named = true;
    return SK_SUCCESS;
}

static struct sk_status take_report(struct registration *r, const skua_broker_report *message)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *scratch = sk_arena_new(SCRATCH_BYTES);
    struct sk_route_broker report;
    bool first = !r->named;
    SK_TRY(accept_report(message, scratch, &report));
    SK_TRY(settle_key(r, &report.key));
    SK_TRY(sk_route_table_report(r->namesrv->table, r->session, &report));
    if (first)
        sk_log(SK_INFO, "broker registered", sk_bytes("cluster", r->key.cluster),
               sk_bytes("broker", r->key.name), sk_i64("id", r->key.id),
               sk_u64("topics", report.topic_count),
               sk_text("peer", rpc_call_peer(r->stream.call)));
    answer_version(r, report.version);
    return SK_SUCCESS;
}

/* A broker that we do not know (any more) is asked for its report by version 0. */
static struct sk_status take_heartbeat(struct registration *r)
{
    uint64_t version = 0;
    struct sk_status s = {.code = SK_NOT_FOUND};
    if (r->named) s = sk_route_table_heartbeat(r->namesrv->table, r->session, &r->key, &version);
    if (!sk_ok(s) && s.code != SK_NOT_FOUND) return s;
    answer_version(r, version);
    return SK_SUCCESS;
}

static void refuse(struct registration *r, struct sk_status s)
{
    sk_log_status(SK_WARN, "broker refused", s, sk_text("peer", rpc_call_peer(r->stream.call)));
    sk_stream_end_status(&r->stream, s);
}

static void leave_politely(struct registration *r)
{
    if (r->named && sk_route_table_leave(r->namesrv->table, r->session, &r->key))
        sk_log(SK_INFO, "broker left", sk_bytes("broker", r->key.name), sk_i64("id", r->key.id));
    sk_stream_end(&r->stream, RPC_OK, NULL);
}

static void on_message(void *arg, rpc_call *call, const skua_register_request *message)
{
    struct registration *r = arg;
    struct sk_status s = SK_SUCCESS;
    (void)call;
    if (!sk_stream_enter(&r->stream)) return;
    switch (message->content_case) {
    case SKUA_REGISTER_REQUEST_CONTENT_REPORT:
        s = take_report(r, message->report);
        break;
    case SKUA_REGISTER_REQUEST_CONTENT_HEARTBEAT:
        s = take_heartbeat(r);
        break;
    case SKUA_REGISTER_REQUEST_CONTENT_LEAVING:
        leave_politely(r);
        return;
    default:
        s = sk_error(SK_INVALID, "a message without report, heartbeat or leaving");
    }
    if (!sk_ok(s))
        refuse(r, s);
    else
        (void)sk_stream_leave(&r->stream);
}

static void on_half_closed(void *arg, rpc_call *call)
{
    struct registration *r = arg;
    (void)call;
    if (sk_stream_enter(&r->stream)) sk_stream_end(&r->stream, RPC_OK, NULL);
}

void register_ended(struct sk_stream *stream)
{
    struct registration *r = (struct registration *)stream;
    bool stopping = stream->cancelled && !rpc_call_is_cancelled(stream->call); /* we are */
    if (stopping || !r->named || !sk_route_table_suspect(r->namesrv->table, r->session, &r->key))
        return;
    sk_log(SK_WARN, "a broker's stream broke; it gets no more writes until it is back",
           sk_bytes("broker", r->key.name), sk_i64("id", r->key.id));
}

static const struct skua_name_server_register_events events = {
    .message = on_message,
    .half_closed = on_half_closed,
};

void on_register(void *owner, rpc_call *call)
{
    sk_namesrv *namesrv = owner;
    struct registration *r = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *r);
    if (!r) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for a stream");
        return;
    }
    r->namesrv = namesrv;
    r->session = sk_route_session_new(namesrv->table);
    sk_stream_open(&namesrv->registrations, &r->stream, call);
    rpc_call_send_headers(call);
    skua_name_server_listen_register(call, &events, r);
    (void)sk_stream_leave(&r->stream);
}
