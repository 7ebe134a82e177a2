/* internal.h - what the parts of libskua share.
 *
 *      skua_client ── routes (one per topic) ── peers (one channel per address)
 *          │                      ▲
 *          └── members ── sessions┘     a member is a producer or consumer: its own
 *              (client id, settings)    client id; a session is its Telemetry stream
 *                                       to one broker
 *
 * One timer, `tick`, once a second, does all that is periodic: heartbeats,
 * Telemetry that broke, settings, routes that grew old.
 *
 * Files see downwards only: producer, consumer, puller, admin ─► client ─► member ─► route
 * ─► peer; and all of them message, status, waiter.
 *
 * Locks: client->lock guards peers, routes, members and sessions. Nothing is called with it
 * held that goes into the runtime (rpc_*), which debug builds insist on, nor a callback of
 * the user's: what is to be done is noted under it, and done after it. */
#ifndef SKUA_INTERNAL_H
#define SKUA_INTERNAL_H

#include <stdatomic.h>
#include <uthash.h>

#include "apache/rocketmq/v2/service.rpc.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/thread.h"
#include "base/timer.h"
#include "rpc/channel.h"
#include "skua/client.h"

/* --- status.c -------------------------------------------------------------------------- */

#define OK_STATUS ((struct skua_status){.code = SKUA_OK})

struct skua_status status_make(enum skua_code code, int32_t reply, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct skua_status status_from_base(struct sk_status s);
/* A server's own answer: OK for 20000. */
struct skua_status status_from_reply(const rmq_status *reply, const char *doing);
/* How a call ended, and what it answered (NULL: nothing). */
struct skua_status status_from_call(const struct rpc_outcome *outcome, const rmq_status *reply,
                                    const char *doing);
/* May another broker, or the same one later, succeed? */
bool status_is_retriable(const struct skua_status *s);

/* --- identity -------------------------------------------------------------------------- */

enum { ID_TEXT = 35, HEADERS = 7 };

/* A v1 message id: 34 upper-case hex digits and a zero. message_id.c */
void message_id_next(char out[ID_TEXT]);
void message_id_format(const uint8_t mac[6], uint16_t pid, uint32_t seconds, uint32_t sequence,
                       char out[ID_TEXT]);

/* --- peers ----------------------------------------------------------------------------- */

/* One address. Lives as long as the client. */
struct peer {
    char *target; /* HOST:PORT */
    rpc_channel *channel;
    _Atomic bool isolated;        /* failed a call; back when a heartbeat succeeds */
    _Atomic uint64_t isolated_us; /* since when */
    _Atomic bool greeted;         /* has had its first answer, or failed to give one */
    bool greeting;                /* guarded by the client's lock, as the two below */
    struct knock *knocks, *last_knock;
    UT_hash_handle hh;
};

/* --- routes ---------------------------------------------------------------------------- */

struct route_queue {
    struct peer *peer;
    char *broker;
    int32_t broker_id, id;
    unsigned permission, types;
};

/* An immutable answer of a name server. `queues` takes turns over brokers: a/0, b/0, a/1, … */
struct route {
    _Atomic unsigned refs;
    struct route_queue *queues;
    size_t count;
};

struct route *route_ref(struct route *r);
void route_unref(struct route *r);

/* Told once: a reference to the route, or why there is none. Any thread; no lock held. */
typedef void route_fn(void *arg, const struct skua_status *status, struct route *route_take);

struct route_waiter {
    route_fn *fn;
    void *arg;
    struct route_waiter *next;
};

struct route_entry {
    char *topic;
    struct route *route; /* NULL: never known, or gone */
    uint64_t asked_us;
    bool asking;
    size_t asked_first, asked_count; /* name servers asked in this round */
    struct skua_status why;          /* the worst of this round */
    struct route_waiter *waiters;
    bool telling; /* waiters are being told: who asks now is told after them */
    skua_client *client;
    struct route_entry *next_due; /* of the ticking thread */
    UT_hash_handle hh;
};

/* --- members --------------------------------------------------------------------------- */

struct member;

/* A member's Telemetry to one peer. One thread at a time is busy with it: opens it and writes to
 * it, without the lock; what changes meanwhile it writes before it leaves. */
struct session {
    struct member *member;
    struct peer *peer;
    rpc_stream *stream; /* a reference; NULL: not open, or broken: the next tick opens it */
    bool busy;
    bool stale; /* the broker does not have our newest settings */
    bool opening, closed_early;
    bool beat_due; /* of the thread that is busy */
    uint64_t settings_us, heartbeat_us;
    bool heartbeat_under_way;
    struct session *next, *todo; /* todo: of the thread that is busy */
};

struct member {
    skua_client *client;
    rmq_client_type type;
    char id[192];
    struct rpc_header headers[HEADERS];
    size_t header_count;
    char *group;              /* consumers */
    char **topics, **filters; /* published, or subscribed to; guarded by the client's lock */
    size_t topic_count;
    struct session *sessions; /* guarded by the client's lock */
    unsigned streams; /* open Telemetry streams, heartbeats under way, busy threads; same lock */
    bool closing;
    struct member *next;
};

/* `type` RMQ_CLIENT_TYPE_UNSPECIFIED: the client itself, which has no Telemetry. */
void member_init(struct member *m, skua_client *client, rmq_client_type type, const char *group);
/* Say goodbye to every broker, close the streams. Blocks. */
void member_done(struct member *m);
/* Remember a topic of this member's settings; true if it is new. Sessions are told. */
bool member_add_topic(struct member *m, const char *topic, const char *filter);
/* Make sure that this member has a session with the peer. Client's lock not held. */
void member_meet(struct member *m, struct peer *peer);
/* Run fn(arg): at once if the peer was greeted before, else in the order of these calls as soon as
 * it was, from the rpc poller. The C core starts calls that had to wait for their connection in
 * reverse order; a first answer means that there is one (or that calls will fail anyway). */
void peer_when_greeted(struct member *m, struct peer *peer, void (*fn)(void *arg), void *arg);
/* Options for a call of this member. */
struct rpc_options member_options(const struct member *m, uint64_t timeout_ms);
void members_tick(skua_client *client, uint64_t now_us);

/* --- the client ------------------------------------------------------------------------ */

struct skua_options {
    char *name_servers, *name_space, *ca_file;
    bool tls, insecure;
    uint32_t request_timeout_ms, route_refresh_ms;
    unsigned max_attempts;
};

struct skua_client {
    struct skua_options options;
    const struct sk_clock *clock;
    rpc_client *rpc;
    sk_timers *timers;
    struct sk_timer tick;
    struct member self; /* for calls that are nobody's: routes, administration */

    struct peer **name_servers; /* set once */
    size_t name_server_count;
    _Atomic size_t name_server; /* the one that answered last */

    struct sk_mutex lock;
    struct sk_cond changed;     /* a member's stream ended, a route round ended */
    struct peer *peers;         /* guarded by lock */
    struct route_entry *routes; /* guarded by lock */
    struct member *members;     /* guarded by lock */
    unsigned rounds;            /* route rounds under way; guarded by lock */
    bool closing;               /* guarded by lock */
};

/* peer.c. The peer for HOST:PORT, made if need be. NULL: the address is no address. */
struct peer *client_peer(skua_client *client, const char *target);
void peers_close(skua_client *client); /* their channels: no new calls */
void peers_done(skua_client *client);
void peer_isolate(skua_client *client, struct peer *peer);

/* The first address of `endpoints` as HOST:PORT or [V6]:PORT; false if there is none. */
bool endpoints_target(const rmq_endpoints *endpoints, char *out, size_t room);

/* Get the route from the cache, or from a name server. */
void route_get(skua_client *client, const char *topic, route_fn *fn, void *arg);
struct skua_status route_wait(skua_client *client, const char *topic, struct route **out);
/* The route proved wrong: ask anew now; until an answer comes the old one stays. */
void route_refresh(skua_client *client, const char *topic);
/* Nobody knows the topic any more: forget the route. */
void route_forget(skua_client *client, const char *topic);
void routes_tick(skua_client *client, uint64_t now_us);
void routes_done(skua_client *client);
/* The client's lock is not held. */
struct route *route_from_response(skua_client *client, const rmq_query_route_response *response);

/* --- messages -------------------------------------------------------------------------- */

struct text_pair {
    char *name, *value;
    struct text_pair *next;
};

struct skua_message {
    sk_arena *arena; /* its own, or its list's */
    const char *topic, *id, *tag, *group, *broker, *receipt;
    char made_id[36]; /* where an id that we made lies */
    const void *body;
    size_t body_len;
    const char **keys;
    size_t key_count;
    struct text_pair *properties, **last_property;
    size_t property_count;
    int64_t delivery_ms, offset, born_ms, store_ms;
    int32_t queue, attempt;
    uint64_t lease_end_us; /* received: our guess of when the lease ends */
    struct peer *peer;     /* received: who delivered it */
    struct skua_message *next;
};

struct skua_messages {
    sk_arena *arena;
    skua_message **items;
    size_t count, room;
};

skua_messages *messages_new(void);
/* Copy a delivered message to the end of the list. */
skua_message *messages_add(skua_messages *list, const rmq_message *message, const char *broker,
                           struct peer *peer);
/* Move an entry of one list to the end of another: its memory is copied. */
void messages_copy(skua_messages *list, const skua_message *message);
/* Serialize a SendMessageRequest; gives ids to messages that have none. */
struct sk_slice messages_pack(const char *name_space, skua_message *const *messages, size_t count,
                              sk_arena *arena);

/* A Resource on the stack. */
rmq_resource resource_of(const char *name_space, const char *name);

/* --- waiting for a callback ------------------------------------------------------------ */

struct waiter {
    struct sk_mutex lock;
    struct sk_cond done;
    bool is_done;
    struct skua_status status;
};
void waiter_init(struct waiter *w);
void waiter_done(struct waiter *w);
void waiter_tell(struct waiter *w, const struct skua_status *status);
struct skua_status waiter_wait(struct waiter *w);

#endif
