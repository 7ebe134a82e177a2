/* on_watch.c - WatchRoutes: everything, then every change.
 *
 * A watcher holds the snapshot that it was told last; news are the difference to
 * the snapshot in force. Changes that come while a watcher is being told are
 * told together in its next message, so that nothing queues up here; a watcher
 * that does not read is sent away when its connection's backlog is too long. */
#include "inside.h"
#include "service/report.h"
#include "skua/v1/namesrv.rpc.h"

enum { TOPICS_PER_MESSAGE = 20000, SCRATCH_BYTES = 256 << 20 };

struct watcher {
    struct sk_stream stream;
    sk_namesrv *namesrv;
    sk_route_snapshot *seen; /* NULL until the first message */
};

/* One message under construction; it is sent when it has enough topics. */
struct news {
    rpc_call *call;
    sk_arena *arena;
    skua_watch_routes_response response;
    size_t room; /* brokers that either list can hold */
    size_t topics;
    bool failed;
};

static void begin(struct news *n, bool full)
{
    n->response = (skua_watch_routes_response)SKUA_WATCH_ROUTES_RESPONSE_INIT;
    n->response.full = full;
    n->response.changed = sk_arena_zalloc(n->arena, n->room, sizeof(void *));
    n->response.removed = sk_arena_zalloc(n->arena, n->room, sizeof(void *));
    n->topics = 0;
    n->failed |= !n->response.changed || !n->response.removed;
}

static void send(struct news *n)
{
    if (!n->failed) skua_name_server_write_watch_routes(n->call, &n->response);
    sk_arena_reset(n->arena);
}

static void add(void *arg, const struct sk_route_broker *broker, bool gone)
{
    struct news *n = arg;
    if (n->failed) return;
    if (n->topics && n->topics + broker->topic_count > TOPICS_PER_MESSAGE) {
        send(n);
        begin(n, false);
        if (n->failed) return;
    }
    skua_watch_routes_response *r = &n->response;
    if (gone)
        n->failed |= !(r->removed[r->n_removed++] = sk_identity_message(broker, n->arena));
    else
        n->failed |= !(r->changed[r->n_changed++] = sk_report_message(broker, n->arena));
    n->topics += gone ? 0 : broker->topic_count;
}

static size_t count_of(const sk_route_snapshot *s)
{
    return s ? sk_route_count(s) : 0;
}

/* Tell this watcher what it does not know yet. False: no memory for it. */
static bool tell(struct watcher *w)
{
    SK_CLEANUP(sk_arena_free_p) sk_arena *arena = sk_arena_new(SCRATCH_BYTES);
    sk_route_snapshot *now = sk_route_acquire(w->namesrv->table);
    struct news n = {
        .call = w->stream.call, .arena = arena, .room = count_of(w->seen) + count_of(now) + 1};
    bool first = !w->seen;
    begin(&n, first);
    if (!n.failed) sk_route_diff(w->seen, now, add, &n);
    if (first || n.response.n_changed + n.response.n_removed > 0) send(&n);
    sk_route_unref(w->seen);
    w->seen = now;
    return !n.failed;
}

static void tell_until_quiet(struct sk_stream *stream, void *arg)
{
    struct watcher *w = (struct watcher *)stream;
    (void)arg;
    do {
        if (rpc_call_backlog_bytes(stream->call) > w->namesrv->options.max_watch_backlog_bytes) {
            sk_stream_end(stream, RPC_RESOURCE_EXHAUSTED,
                          "this watcher reads too slowly (max_watch_backlog); open it again");
            return;
        }
        if (!tell(w)) {
            sk_stream_end(stream, RPC_RESOURCE_EXHAUSTED, "the routes need too much memory");
            return;
        }
    } while (sk_stream_leave(stream));
}

void tell_watchers(void *owner)
{
    sk_namesrv *namesrv = owner;
    sk_streams_visit(&namesrv->watchers, NULL, tell_until_quiet, NULL);
}

void watch_ended(struct sk_stream *stream)
{
    struct watcher *w = (struct watcher *)stream;
    sk_route_unref(w->seen);
    w->seen = NULL;
}

void on_watch(void *owner, rpc_call *call, const skua_watch_routes_request *request)
{
    sk_namesrv *namesrv = owner;
    struct watcher *w = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *w);
    (void)request;
    if (!w || sk_streams_count(&namesrv->watchers) >= namesrv->options.max_watchers) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "too many watchers (max_watchers)");
        return;
    }
    w->namesrv = namesrv;
    sk_stream_open(&namesrv->watchers, &w->stream, call);
    tell_until_quiet(&w->stream, NULL);
}
