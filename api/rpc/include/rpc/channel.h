/* channel.h - the client side: channels, unary calls, streams.
 *
 * An rpc_client is the machinery (one completion queue, one poller thread); a
 * channel is one peer, connected lazily and reconnected with back-off by the C
 * core. All callbacks run on the client's poller thread, never inside the call
 * that started them, and must not block.
 *
 * Threads: any, for all functions. rpc_client_free is synchronous: calls still
 * under way are cancelled and their callbacks have run when it returns. */
#ifndef RPC_CHANNEL_H
#define RPC_CHANNEL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "rpc/server.h"
#include "rpc/service.h"

typedef struct rpc_client rpc_client;
typedef struct rpc_channel rpc_channel;
typedef struct rpc_stream rpc_stream;

SK_CHECKED struct sk_status rpc_client_new(rpc_client **out);
/* For a process whose business is to serve, and that calls others now and then: callbacks run on
 * the server's first poller thread. A thread of its own would take turns with the server's at all
 * sockets of the process, and the core would hand work from one to the other: a tenth of the
 * server's CPU even if it looks for events only 100 times a second (measured). The server may be
 * freed first. */
SK_CHECKED struct sk_status rpc_client_new_beside(rpc_server *server, rpc_client **out);
void rpc_client_free(rpc_client *client); /* NULL is fine; close its channels first */

struct rpc_channel_options {
    bool tls;
    const char *ca_file;       /* NULL: the system's roots */
    bool insecure_skip_verify; /* trust any certificate (the broker's own self-signed one) */
    /* Who we are, for servers that ask; both or none. */
    const char *cert_file; /* PEM chain */
    const char *key_file;  /* PEM */
};

/* target: HOST:PORT. Never fails for an unreachable peer: calls do. */
SK_CHECKED struct sk_status rpc_channel_open(rpc_client *client, const char *target,
                                             const struct rpc_channel_options *options,
                                             rpc_channel **out);
/* Calls under way keep going. */
void rpc_channel_close(rpc_channel *channel);

struct rpc_header {
    const char *key;   /* lower case */
    const char *value; /* printable ASCII */
};

struct rpc_options {
    uint64_t timeout_ms; /* 0: none (streams), or 3000 (unary) */
    bool wait_for_ready; /* queue until connected instead of failing at once */
    const struct rpc_header *headers;
    size_t header_count;
    bool keep_stream; /* what rpc_stream_open returns is a reference: rpc_stream_unref */
};

/* How a call ended. gRPC errors become a status (UNAVAILABLE→SK_UNAVAILABLE,
 * DEADLINE_EXCEEDED→SK_TIMEOUT, CANCELLED→SK_CANCELLED, UNIMPLEMENTED→SK_UNIMPLEMENTED,
 * RESOURCE_EXHAUSTED→SK_FULL, NOT_FOUND, ALREADY_EXISTS→SK_EXISTS, INVALID_ARGUMENT and
 * FAILED_PRECONDITION→SK_INVALID, others SK_INTERNAL) with "peer: message" as its detail;
 * `code` is the number on the wire. */
struct rpc_outcome {
    enum rpc_code code;
    struct sk_status status;
};

/* response: NULL unless the outcome is OK; lives until the function returns. `typed` is what
 * the stub gave to rpc_unary; NULL where no stub is in between. */
typedef void rpc_unary_fn(rpc_any_fn *typed, void *arg, const struct rpc_outcome *outcome,
                          const ProtobufCMessage *response);

/* `request` is packed at once. */
void rpc_unary(rpc_channel *channel, const struct rpc_method *method,
               const struct rpc_options *options, const ProtobufCMessage *request,
               rpc_unary_fn *done, rpc_any_fn *typed, void *arg);

/* The same with serialized bytes both ways, for load generators: `done` gets no message. */
typedef void rpc_bytes_fn(void *arg, const struct rpc_outcome *outcome, struct sk_slice response);
void rpc_unary_bytes(rpc_channel *channel, const struct rpc_method *method,
                     const struct rpc_options *options, struct sk_slice request, rpc_bytes_fn *done,
                     void *arg);

/* Blocking: not on a poller thread. *response is unpacked into `arena`. */
SK_CHECKED struct sk_status rpc_unary_wait(rpc_channel *channel, const struct rpc_method *method,
                                           const struct rpc_options *options,
                                           const ProtobufCMessage *request, sk_arena *arena,
                                           const ProtobufCMessage **response);

/* `typed` is the stub's: the table of typed functions behind these thunks. */
struct rpc_stream_handler {
    /* One message; lives until this returns. */
    void (*message)(const void *typed, void *arg, rpc_stream *stream,
                    const ProtobufCMessage *message);
    /* The end, exactly once; the stream pointer is dead after it returns. */
    void (*closed)(const void *typed, void *arg, rpc_stream *stream,
                   const struct rpc_outcome *outcome);
};

/* Server stream (request given) or bidi (request NULL). `handler`, `typed` and `arg` must
 * live until closed() has run. */
rpc_stream *rpc_stream_open(rpc_channel *channel, const struct rpc_method *method,
                            const struct rpc_options *options, const ProtobufCMessage *request,
                            const struct rpc_stream_handler *handler, const void *typed, void *arg);
/* Bidi: queue a message. Dropped after the end. Only before closed() returned. */
void rpc_stream_write(rpc_stream *stream, const ProtobufCMessage *message);
void rpc_stream_half_close(rpc_stream *stream);
/* closed() will come, with CANCELLED if nothing else came first. */
void rpc_stream_cancel(rpc_stream *stream);

/* A stream may end at any moment, even before rpc_stream_open returns, and nobody may hold a lock
 * of his own while he writes to it. So who writes or cancels from outside of its callbacks keeps a
 * reference (options.keep_stream), takes another one under his lock, and uses it without: what
 * comes after the end is dropped. rpc_client_free waits for all of them. */
rpc_stream *rpc_stream_ref(rpc_stream *stream);
void rpc_stream_unref(rpc_stream *stream); /* NULL is fine */

#endif
