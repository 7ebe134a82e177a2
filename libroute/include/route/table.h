/* table.h - who serves which topic: the route table of a name server.
 *
 *      report, heartbeat,           table (one lock, writers only)
 *      suspect, leave, expire ──►   members sorted by (cluster, name, id)
 *                                      │ publish, when something changed
 *                                      ▼
 *      sk_route_acquire() ◄──────  snapshot: [broker][broker][broker]…
 *      (no lock)                             each immutable, shared between snapshots
 *
 * A broker is registered by the report of one session (its Register stream). What
 * it reported is copied into one immutable block; a snapshot is an array of
 * pointers to such blocks. So a changed broker costs its own report and one
 * array, a heartbeat that changes nothing costs no snapshot, and there is no
 * index that could disagree with the reports: a topic is where some broker has
 * it, and when its last broker is gone, so is it, its set and its cluster.
 *
 * Rules
 *   1. A newer incarnation of a broker replaces an older one; never the reverse.
 *   2. Within an incarnation the newest session speaks; what comes from an older
 *      one is refused (SK_EXISTS).
 *   3. A suspect broker (its stream broke) is out of the write routes from that
 *      moment, and readable until it is heard again or expires.
 *   4. A broker that was not heard for longer than the expiry is removed by the
 *      next sk_route_table_expire.
 *
 * Memory: bounded by sk_route_limits. Threads: all functions from any thread. */
#ifndef SK_ROUTE_TABLE_H
#define SK_ROUTE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/slice.h"
#include "base/status.h"

typedef struct sk_route_table sk_route_table;
typedef struct sk_route_snapshot sk_route_snapshot;

/* --- what a broker reports --------------------------------------------------------------- */

struct sk_route_key {
    struct sk_slice cluster;
    struct sk_slice name; /* of the broker set */
    int32_t id;           /* 0 is the primary */
};

struct sk_route_address {
    struct sk_slice host;
    int32_t port;
};

enum sk_route_scheme { SK_ROUTE_IPV4 = 1, SK_ROUTE_IPV6 = 2, SK_ROUTE_DOMAIN = 3 };

struct sk_route_endpoints {
    enum sk_route_scheme scheme;
    const struct sk_route_address *addresses; /* the order is part of the identity */
    size_t count;                             /* 0: there is no such listener */
};

enum { SK_ROUTE_READ = 1, SK_ROUTE_WRITE = 2 };

struct sk_route_topic {
    struct sk_slice name; /* "namespace%name", or "name" */
    int32_t type;         /* a number of MessageType; 0 counts as NORMAL */
    bool mixed;
    uint32_t read_queues, write_queues;
    unsigned permission; /* SK_ROUTE_READ | SK_ROUTE_WRITE */
};

/* A report, going in (borrowed during the call) and, as part of a snapshot, coming out
 * (immutable; topics and groups sorted by name). */
struct sk_route_broker {
    struct sk_route_key key;
    uint64_t incarnation; /* chosen anew, and larger, at every start */
    uint64_t version;     /* grows with every change of what follows */
    struct sk_slice software;
    struct sk_route_endpoints plain, tls;
    const struct sk_route_topic *topics;
    size_t topic_count;
    const struct sk_slice *orderly_groups;
    size_t group_count;
};

/* --- the table ----------------------------------------------------------------------------- */

struct sk_route_limits {
    size_t brokers;        /* 0: 1024 */
    size_t topics;         /* of one report; 0: 100000 */
    size_t groups;         /* of one report; 0: 100000 */
    size_t name_bytes;     /* of any name or host; 0: 255 */
    size_t table_bytes;    /* of all reports together; 0: 512 MiB */
    uint64_t expiry_ms;    /* 0: 120 s */
};

/* `limits` may be NULL. `clock` outlives the table; NULL is the machine's. */
sk_route_table *sk_route_table_new(const struct sk_route_limits *limits,
                                   const struct sk_clock *clock);
/* Snapshots that are still held stay valid. NULL is fine. */
void sk_route_table_free(sk_route_table *table);

/* A number for a new Register stream, larger than all before. */
uint64_t sk_route_session_new(sk_route_table *table);

/* Take a full report; the broker is fit for reads and writes again. Refuses with
 * SK_INVALID (a rule of the report itself), SK_FULL (a limit) or SK_EXISTS (rules 1, 2). */
SK_CHECKED struct sk_status sk_route_table_report(sk_route_table *table, uint64_t session,
                                                  const struct sk_route_broker *report);

/* The broker is alive. *version is what the table holds: the broker sends a full report
 * if it has another one. SK_NOT_FOUND: it is not in the table (expired): report anew. */
SK_CHECKED struct sk_status sk_route_table_heartbeat(sk_route_table *table, uint64_t session,
                                                     const struct sk_route_key *key,
                                                     uint64_t *version);

/* The session ended without goodbye. False, and no effect, if another session speaks for the
 * broker, or it is suspect already. */
bool sk_route_table_suspect(sk_route_table *table, uint64_t session,
                            const struct sk_route_key *key);

/* The broker said goodbye: it is removed at once. False, and no effect, if another session
 * speaks for it. */
bool sk_route_table_leave(sk_route_table *table, uint64_t session, const struct sk_route_key *key);

/* Remove whoever was silent for longer than the expiry; returns how many. */
size_t sk_route_table_expire(sk_route_table *table);

/* Milliseconds since the broker was heard last; 0 for an unknown one. */
uint64_t sk_route_table_silent_ms(sk_route_table *table, const struct sk_route_key *key);

/* Be told after every published change, on the thread that made it, with no lock held;
 * two calls may overlap. Take a snapshot to see what there is, and sk_route_diff to see
 * what is new. Only before the table is used by other threads, at most four listeners. */
typedef void sk_route_changed_fn(void *arg);
void sk_route_table_listen(sk_route_table *table, sk_route_changed_fn *fn, void *arg);

/* --- snapshots -------------------------------------------------------------------------------- */

/* What is true now. Never NULL; takes no lock. Give it back with _unref. */
sk_route_snapshot *sk_route_acquire(sk_route_table *table);
sk_route_snapshot *sk_route_ref(sk_route_snapshot *snapshot); /* returns its argument */
void sk_route_unref(sk_route_snapshot *snapshot);             /* NULL is fine */
void sk_route_unref_p(sk_route_snapshot **snapshot);          /* for SK_CLEANUP */

struct sk_route_member {
    const struct sk_route_broker *broker; /* lives as long as the snapshot */
    bool suspect;
};

/* All brokers, sorted by cluster, name and id. */
size_t sk_route_count(const sk_route_snapshot *snapshot);
struct sk_route_member sk_route_at(const sk_route_snapshot *snapshot, size_t i);

/* NULL when this broker has no such topic. */
const struct sk_route_topic *sk_route_topic_of(const struct sk_route_broker *broker,
                                               struct sk_slice topic);

/* The brokers that have a topic, in order; *cursor begins at 0. False at the end. */
struct sk_route_place {
    const struct sk_route_broker *broker;
    const struct sk_route_topic *topic;
    bool suspect;
};
bool sk_route_next_place(const sk_route_snapshot *snapshot, struct sk_slice topic, size_t *cursor,
                         struct sk_route_place *out);

/* Does any broker report this consumer group as one with ordered consumption? */
bool sk_route_group_is_orderly(const sk_route_snapshot *snapshot, struct sk_slice group);

/* What a watcher that has seen `before` (NULL: nothing) must be told to know `after`:
 * `gone` is false for a broker that is new, changed or back; true for one that left or
 * became suspect. */
typedef void sk_route_diff_fn(void *arg, const struct sk_route_broker *broker, bool gone);
void sk_route_diff(const sk_route_snapshot *before, const sk_route_snapshot *after,
                   sk_route_diff_fn *fn, void *arg);

#endif
