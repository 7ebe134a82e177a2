/* server.h - listeners, pollers, services: the gRPC C core behind one door.
 *
 *      rpc_server_new ─► mount services ─► listen, listen_tls ─► start
 *            ─► … ─► drain ─► free
 *
 * Threads: the server owns its pollers, named rpc-0, rpc-1, … (rpc_client_new_beside
 * shares the first). drain and free are synchronous: after them no handler runs. The C
 * core starts threads of its own, which inherit the signal mask of whoever makes the
 * first server or client: block what main waits for before that. */
#ifndef RPC_SERVER_H
#define RPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "rpc/call.h"
#include "rpc/service.h"

typedef struct rpc_server rpc_server;

struct rpc_server_options {
    unsigned pollers;              /* 0 means 1 (performance.md 3.3: one CQ, one thread) */
    size_t max_request_bytes;      /* a larger message ends its call RESOURCE_EXHAUSTED; 0: 8 MiB */
    size_t max_metadata_bytes;     /* 0: 16 KiB */
    size_t call_budget_bytes;      /* arena budget per call; 0: 64 MiB */
    unsigned prepost;              /* most calls kept posted per method; 0: 128 */
    unsigned handshake_timeout_ms; /* 0: 5000 */
    unsigned max_concurrent_streams; /* per connection; 0: 10000 (long polls hold one each) */
};

SK_CHECKED struct sk_status rpc_server_new(const struct rpc_server_options *options,
                                           rpc_server **out);

/* --- services, before start --------------------------------------------------- */

/* One entry per method, in the order of service->methods. Emitted by api/plugin as thunks
 * around a typed handler table; NULL entries answer UNIMPLEMENTED. */
struct rpc_binding {
    /* Unary and server streams: the request is decoded (undecodable bytes were already
     * answered INVALID_ARGUMENT). */
    void (*request)(const void *handlers, void *owner, rpc_call *call,
                    const ProtobufCMessage *request);
    /* Bidi: the stream was opened. */
    void (*open)(const void *handlers, void *owner, rpc_call *call);
};

/* `bindings`, `handlers` and `owner` must outlive the server. */
void rpc_server_mount(rpc_server *server, const struct rpc_service *service,
                      const struct rpc_binding *bindings, const void *handlers, void *owner);

/* Take one unary or server-stream method's bytes undecoded: for handlers that scan the
 * request in place. Wins over the method's entry in rpc_server_mount. */
typedef void rpc_raw_fn(void *owner, rpc_call *call, struct sk_slice request);
void rpc_server_mount_raw(rpc_server *server, const struct rpc_method *method, rpc_raw_fn *fn,
                          void *owner);

/* Decode the request of a raw handler after all, into the call's arena. NULL if the bytes
 * are not such a message (or exceed the budget): fail the call INVALID_ARGUMENT. */
const ProtobufCMessage *rpc_call_decode_request(rpc_call *call);

/* --- for services that are about the server (health, reflection) ---------------- */

/* The services mounted, in that order; NULL past the last. Fixed after start. */
const struct rpc_service *rpc_server_service(const rpc_server *server, size_t index);

/* What the owner of a service may hear of its server's life; members may be NULL. */
struct rpc_server_events {
    /* The drain begins: new calls are refused from now on, parked ones are told next. Once, on the
     * draining thread; also for a server that never started. */
    void (*draining)(void *owner);
    /* By rpc_server_free, when no handler runs any more: free what was made for the service. */
    void (*freed)(void *owner);
};
/* Before start. `events` and `owner` must live until `freed` has run. */
void rpc_server_watch(rpc_server *server, const struct rpc_server_events *events, void *owner);

/* Before start: new calls of this mounted service are answered even while the server drains. For
 * probes, and what else has no other server to go to. */
void rpc_server_answer_to_the_end(rpc_server *server, const struct rpc_service *service);

/* --- listeners ---------------------------------------------------------------- */

/* `address` is HOST:PORT, [v6]:PORT or :PORT; port 0 picks one; *port is the port bound.
 * An address in use is an error (SO_REUSEPORT is off). */
SK_CHECKED struct sk_status rpc_server_listen(rpc_server *server, const char *address, int *port);

struct rpc_tls_options {
    const char *cert_file; /* PEM chain */
    const char *key_file;  /* PEM */
    /* PEM: the CAs that vouch for clients. A client may show a certificate, and does not connect
     * with one that these do not vouch for; whether it must show one is the guard's to say
     * (rpc/guard.h). NULL: clients are not asked. */
    const char *client_ca_file;
};
SK_CHECKED struct sk_status rpc_server_listen_tls(rpc_server *server, const char *address,
                                                  const struct rpc_tls_options *tls, int *port);

SK_CHECKED struct sk_status rpc_server_start(rpc_server *server);

/* Refuse new calls (UNAVAILABLE), tell those who watch, give running calls grace_ms (parked ones
 * are told through on_cancel at once), send GOAWAY, cancel what is left, and stop the pollers. A
 * call that its owner never finishes is an assertion here. */
void rpc_server_drain(rpc_server *server, unsigned grace_ms);

/* NULL is fine. Drains with no grace if that was not done. */
void rpc_server_free(rpc_server *server);

/* For work that is better done once for many calls: on a poller thread, have fn(arg) called when
 * no more events are at hand, at the latest after a few dozen. One such work can be put off at a
 * time, again and again until it is called. False: this is no poller thread, or another work is
 * put off; do it yourself. */
typedef void rpc_dry_fn(void *arg);
bool rpc_when_dry(rpc_dry_fn *fn, void *arg);

/* A self-signed pair through OpenSSL, P-256, CA:FALSE, `names` (DNS names and IP addresses)
 * in subjectAltName, valid ten years. Key file mode 0600. Existing files are kept. */
SK_CHECKED struct sk_status rpc_tls_make_self_signed(const char *cert_file, const char *key_file,
                                                     const char *const *names, size_t count);

#endif
