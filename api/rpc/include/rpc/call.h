/* call.h - one RPC on the server, from its first byte to its last.
 *
 *      request ─► handler ─► reply                         unary
 *      request ─► handler ─► write* ─► finish              server stream
 *      open ─► (message* ─► write*)… ─► half-close ─► finish     bidi
 *
 * Handlers never wait. A handler that has no answer yet keeps the call pointer
 * (it is parked) and returns; any thread may answer later.
 *
 * Rules
 *   1. Every call is finished exactly once: by rpc_call_reply*, rpc_call_fail or
 *      rpc_call_finish*. That holds for cancelled calls too: finishing one is
 *      cheap and harmless, not finishing it is a leak (asserted in debug builds).
 *   2. After finishing, the call pointer must not be used, except by the `done`
 *      function given to rpc_call_finish_done.
 *   3. The request, the arena and all slices into the request live until the
 *      call is finished; with rpc_call_finish_done until `done` has run.
 *   4. Cancellation (the client gave up, its deadline passed, its connection
 *      broke, or the server is draining) is only news: rpc_call_on_cancel's
 *      function is told, and still somebody has to finish the call. While a
 *      server drains an answer still arrives, so give one if there is one to
 *      give: rpc_call_is_cancelled says whether anybody is left to hear it.
 *
 * Threads: handlers run on poller threads and must not block. Every function
 * here may be called from any thread, but one thread at a time works on one
 * call, except that `on_cancel` may come at any moment until the call is
 * finished, even while another thread is just finishing it: its argument must
 * live in the call's arena (or longer), and who of the two finishes the call
 * must be decided under the owner's own lock. */
#ifndef RPC_CALL_H
#define RPC_CALL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"
#include "rpc/service.h"

typedef struct rpc_call rpc_call;

/* --- what came with the call -------------------------------------------------- */

/* These only look: they may be asked under any lock. All that follows may not, and debug builds
 * insist: nobody who holds a lock of his own parks, answers, writes, finishes or listens. */

/* NULL in a guard (rpc/guard.h) whose caller wants what nobody mounted. */
const struct rpc_method *rpc_call_method(const rpc_call *call);

/* "/package.Service/Method" as the client wrote it; lives as long as the call. */
struct sk_slice rpc_call_path(const rpc_call *call);

/* Memory for as long as the call lives; its budget is the server's call_budget_bytes. */
sk_arena *rpc_call_arena(rpc_call *call);

/* The first value of a metadata key (lower case), or an empty slice. */
struct sk_slice rpc_call_metadata(const rpc_call *call, const char *key);

/* Milliseconds until the client's deadline; 0 when passed, INT64_MAX without one. */
int64_t rpc_call_remaining_ms(const rpc_call *call);

/* "ipv4:127.0.0.1:4711"; lives as long as the call. */
const char *rpc_call_peer(rpc_call *call);

/* Did the client come in through the TLS listener? */
bool rpc_call_is_tls(rpc_call *call);

enum rpc_name_kind { RPC_NAME_DNS, RPC_NAME_URI, RPC_NAME_EMAIL, RPC_NAME_IP };

/* One of the certificate's subjectAltNames. It counts only together with its kind: a name in the
 * DNS may look like an address. */
struct rpc_name {
    enum rpc_name_kind kind;
    struct sk_slice text;
};

/* Who the client is, by the certificate that it showed, if the listener asks for one (struct
 * rpc_tls_options) and a CA of the listener's vouches for it. All of it is empty otherwise:
 * plaintext, a client that showed none, or a call whose memory is used up. Compare slices: a
 * certificate may have zero bytes in its texts. */
struct rpc_identity {
    struct sk_slice subject; /* "CN=billing,O=Skua" */
    struct sk_slice common_name;
    const struct rpc_name *names;
    size_t name_count;
};

/* Never NULL; lives as long as the call. */
const struct rpc_identity *rpc_call_identity(rpc_call *call);

/* --- parking ------------------------------------------------------------------ */

typedef void rpc_cancel_fn(void *arg);

/* Be told when the call is cancelled. At most once per call, before finishing. If
 * it is cancelled already, fn runs at once on this thread. Costs one more event; calls that
 * are answered within milliseconds do without. A bidi call listens first. */
void rpc_call_on_cancel(rpc_call *call, rpc_cancel_fn *fn, void *arg);

/* Nothing that is sent now can arrive. False while the server merely drains, and false
 * always for a unary call that has not asked to be told (rpc_call_on_cancel). */
bool rpc_call_is_cancelled(const rpc_call *call);

/* --- answering ---------------------------------------------------------------- */

/* One piece of a message made of several. If `release` is set, the bytes are not
 * copied: they must stay until the runtime calls release(owner), from any thread,
 * exactly once, whatever becomes of the call. Without it they are copied now. `release` may
 * run inside any function of this room, also on the thread that writes: it takes no lock
 * that is ever held while calling in here. */
struct rpc_piece {
    struct sk_slice bytes;
    void (*release)(void *owner);
    void *owner;
};

/* Unary: send the response with status OK. Packs at once; `response` may die. */
void rpc_call_reply(rpc_call *call, const ProtobufCMessage *response);
void rpc_call_reply_bytes(rpc_call *call, struct sk_slice serialized);

/* Any kind: end with a gRPC error. `detail` is copied; may be NULL. */
void rpc_call_fail(rpc_call *call, enum rpc_code code, const char *detail);
/* The same from a status, through the one table that maps sk_code to rpc_code. */
void rpc_call_fail_status(rpc_call *call, struct sk_status status);

/* Streams: queue one message; the runtime keeps one write under way and hints the
 * transport to gather (performance.md 3.4.5). After cancellation writes are dropped. */
void rpc_call_write(rpc_call *call, const ProtobufCMessage *message);
/* One thread at a time: what is copied goes into memory that the call's messages share. */
void rpc_call_write_pieces(rpc_call *call, const struct rpc_piece *pieces, size_t count);

/* Streams: send response headers now (the Rust client waits for them on Telemetry). */
void rpc_call_send_headers(rpc_call *call);

/* Bytes queued by rpc_call_write* and not yet taken by the transport. */
size_t rpc_call_backlog_bytes(const rpc_call *call);

/* Streams: after all queued messages, end with `code`. */
void rpc_call_finish(rpc_call *call, enum rpc_code code, const char *detail);

/* As rpc_call_finish, and `done` is told whether everything, the final status too,
 * was handed to a live connection. Only true says that the client can have it all.
 * Runs exactly once, asynchronously; the call's arena is still there. */
typedef void rpc_done_fn(void *arg, bool delivered);
void rpc_call_finish_done(rpc_call *call, enum rpc_code code, const char *detail, rpc_done_fn *done,
                          void *arg);

/* --- bidi: incoming messages -------------------------------------------------- */

/* `typed` is the stub's: the table of typed functions behind these thunks. */
struct rpc_stream_events {
    /* `message` lives until this function returns. Its unpacked form is in an arena of
     * its own. May finish the call. */
    void (*message)(const void *typed, void *arg, rpc_call *call, const ProtobufCMessage *message);
    /* The client will send no more (or broke: then on_cancel was told as well). The
     * owner finishes the call, now or later. */
    void (*half_closed)(const void *typed, void *arg, rpc_call *call);
};

/* Begin to read. `events`, `typed` and `arg` must live until half_closed ran or the call is
 * finished; a function that has begun may still run while another thread finishes the
 * call, so `arg` is best in the call's arena. Messages come one at a time. A message that
 * cannot be decoded ends the reading: half_closed is told, and whatever code the owner then
 * finishes with, the client sees INVALID_ARGUMENT. */
void rpc_call_listen(rpc_call *call, const struct rpc_stream_events *events, const void *typed,
                     void *arg);

#endif
