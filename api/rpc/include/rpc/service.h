/* service.h - what a gRPC service looks like to the runtime.
 *
 * The tables are emitted by api/plugin, one per service of a .proto file; the
 * runtime walks them and knows no service by name. */
#ifndef RPC_SERVICE_H
#define RPC_SERVICE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

enum rpc_kind {
    RPC_UNARY,         /* one request, one response */
    RPC_SERVER_STREAM, /* one request, many responses */
    RPC_BIDI,          /* many of both, in any order (a client stream is treated so too) */
};

struct rpc_method {
    const char *path; /* "/apache.rocketmq.v2.MessagingService/SendMessage" */
    const char *name; /* "SendMessage" */
    enum rpc_kind kind;
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
};

struct rpc_service {
    const char *name; /* "apache.rocketmq.v2.MessagingService" */
    const struct rpc_method *methods;
    size_t method_count;
};

/* Any function. Generated stubs hand the caller's typed function through the runtime in
 * this disguise, and a thunk of theirs casts it back to its true type before the call:
 * so no function is ever called through a pointer of another type. */
typedef void rpc_any_fn(void);

/* The gRPC status codes, with their numbers on the wire. */
enum rpc_code {
    RPC_OK = 0,
    RPC_CANCELLED = 1,
    RPC_UNKNOWN = 2,
    RPC_INVALID_ARGUMENT = 3,
    RPC_DEADLINE_EXCEEDED = 4,
    RPC_NOT_FOUND = 5,
    RPC_ALREADY_EXISTS = 6,
    RPC_PERMISSION_DENIED = 7,
    RPC_RESOURCE_EXHAUSTED = 8,
    RPC_FAILED_PRECONDITION = 9,
    RPC_ABORTED = 10,
    RPC_OUT_OF_RANGE = 11,
    RPC_UNIMPLEMENTED = 12,
    RPC_INTERNAL = 13,
    RPC_UNAVAILABLE = 14,
    RPC_DATA_LOSS = 15,
    RPC_UNAUTHENTICATED = 16,
};

#endif
