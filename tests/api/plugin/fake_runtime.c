/* fake_runtime.c - the runtime's doors with nothing behind them. */
#include "api/plugin/fake_runtime.h"

#include <stdio.h>

struct fake fake;

void rpc_server_mount(rpc_server *server, const struct rpc_service *service,
                      const struct rpc_binding *bindings, const void *handlers, void *owner)
{
    (void)server;
    fake.last = __func__;
    fake.service = service;
    fake.bindings = bindings;
    fake.handlers = handlers;
    fake.owner = owner;
}

void rpc_call_reply(rpc_call *call, const ProtobufCMessage *response)
{
    fake.last = __func__;
    fake.call = call;
    fake.sent = response;
}

void rpc_call_write(rpc_call *call, const ProtobufCMessage *message)
{
    fake.last = __func__;
    fake.call = call;
    fake.sent = message;
}

void rpc_call_fail(rpc_call *call, enum rpc_code code, const char *detail)
{
    fake.last = __func__;
    fake.call = call;
    fake.failed_with = code;
    snprintf(fake.failure, sizeof fake.failure, "%s", detail);
}

void rpc_call_listen(rpc_call *call, const struct rpc_stream_events *events, const void *typed,
                     void *arg)
{
    fake.last = __func__;
    fake.call = call;
    fake.events = events;
    fake.typed = typed;
    fake.arg = arg;
}

void rpc_unary(rpc_channel *channel, const struct rpc_method *method,
               const struct rpc_options *options, const ProtobufCMessage *request,
               rpc_unary_fn *done, rpc_any_fn *typed, void *arg)
{
    fake.last = __func__;
    fake.channel = channel;
    fake.method = method;
    fake.options = options;
    fake.request = request;
    fake.done = done;
    fake.done_typed = typed;
    fake.arg = arg;
}

struct sk_status rpc_unary_wait(rpc_channel *channel, const struct rpc_method *method,
                                const struct rpc_options *options, const ProtobufCMessage *request,
                                sk_arena *arena, const ProtobufCMessage **response)
{
    (void)arena;
    fake.last = __func__;
    fake.channel = channel;
    fake.method = method;
    fake.options = options;
    fake.request = request;
    if (sk_ok(fake.wait_status)) *response = fake.wait_response;
    return fake.wait_status;
}

rpc_stream *rpc_stream_open(rpc_channel *channel, const struct rpc_method *method,
                            const struct rpc_options *options, const ProtobufCMessage *request,
                            const struct rpc_stream_handler *handler, const void *typed, void *arg)
{
    fake.last = __func__;
    fake.channel = channel;
    fake.method = method;
    fake.options = options;
    fake.request = request;
    fake.handler = handler;
    fake.typed = typed;
    fake.arg = arg;
    return FAKE_STREAM;
}

void rpc_stream_write(rpc_stream *stream, const ProtobufCMessage *message)
{
    (void)stream;
    fake.last = __func__;
    fake.sent = message;
}
