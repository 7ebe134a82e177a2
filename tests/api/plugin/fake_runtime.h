/* fake_runtime.h - the runtime's doors with nothing behind them: every call is recorded, and
 * the test plays the runtime's part by calling what it recorded. */
#ifndef TESTS_PLUGIN_FAKE_RUNTIME_H
#define TESTS_PLUGIN_FAKE_RUNTIME_H

#include "rpc/call.h"
#include "rpc/channel.h"
#include "rpc/server.h"

struct fake {
    /* rpc_server_mount */
    const struct rpc_service *service;
    const struct rpc_binding *bindings;
    const void *handlers;
    void *owner;
    /* rpc_call_* */
    rpc_call *call;
    const ProtobufCMessage *sent; /* rpc_call_reply, rpc_call_write, rpc_stream_write */
    enum rpc_code failed_with;
    char failure[256];
    const struct rpc_stream_events *events;
    const void *typed;
    void *arg;
    /* rpc_unary*, rpc_stream_open */
    rpc_channel *channel;
    const struct rpc_method *method;
    const struct rpc_options *options;
    const ProtobufCMessage *request;
    rpc_unary_fn *done;
    rpc_any_fn *done_typed;
    const struct rpc_stream_handler *handler;
    /* what rpc_unary_wait answers */
    struct sk_status wait_status;
    const ProtobufCMessage *wait_response;
    const char *last; /* the function called last */
};

extern struct fake fake;

/* Any address serves as a handle. */
#define FAKE_SERVER ((rpc_server *)&fake.service)
#define FAKE_CALL ((rpc_call *)&fake.call)
#define FAKE_CHANNEL ((rpc_channel *)&fake.channel)
#define FAKE_STREAM ((rpc_stream *)&fake.handler)

#endif
