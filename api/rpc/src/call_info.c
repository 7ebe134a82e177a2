/* call_info.c - what a handler may ask a call. */
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "src/call_inside.h"
#include "src/server_inside.h"

/* A small request is copied, so that a parked call does not pin the read chunk of 8 KiB or
 * more that its few bytes came in (performance.md 3.4.4). */
enum { COPIED_REQUEST = 512 };

const struct rpc_method *rpc_call_method(const rpc_call *call)
{
    return call->route->method;
}

struct sk_slice rpc_call_path(const rpc_call *call)
{
    const struct rpc_method *method = call->route->method;
    return method ? sk_slice_of_text(method->path) : rpc_slice_view(&call->details.method);
}

sk_arena *rpc_call_arena(rpc_call *call)
{
    if (!call->arena) call->arena = rpc_server_take_arena(call->server);
    return call->arena;
}

bool rpc_call_take_request(rpc_call *call)
{
    if (!call->payload) return false;
    size_t len = rpc_payload_len(call->payload);
    if (rpc_payload_is_flat(call->payload) && len > COPIED_REQUEST)
        return rpc_payload_flatten(call->payload, NULL, &call->request);

    if (!rpc_payload_copy_out(call->payload, rpc_call_arena(call), &call->request)) return false;
    grpc_byte_buffer_destroy(call->payload);
    call->payload = NULL;
    return true;
}

const ProtobufCMessage *rpc_call_decode_request(rpc_call *call)
{
    return rpc_payload_decode(call->route->method->request, call->request, rpc_call_arena(call));
}

struct sk_slice rpc_call_metadata(const rpc_call *call, const char *key)
{
    return rpc_metadata_find(&call->metadata, key);
}

int64_t rpc_call_remaining_ms(const rpc_call *call)
{
    gpr_timespec never = gpr_inf_future(call->deadline.clock_type);
    if (gpr_time_cmp(call->deadline, never) == 0) return INT64_MAX;
    gpr_timespec left = gpr_time_sub(call->deadline, gpr_now(call->deadline.clock_type));
    int64_t ms = left.tv_sec * 1000 + left.tv_nsec / 1000000;
    return ms > 0 ? ms : 0;
}

const char *rpc_call_peer(rpc_call *call)
{
    if (call->peer) return call->peer;
    char *peer = grpc_call_get_peer(call->core);
    call->peer = sk_arena_text(rpc_call_arena(call), sk_slice_of_text(peer));
    gpr_free(peer);
    return call->peer ? call->peer : "unknown";
}

static bool came_through_tls(grpc_call *core)
{
    grpc_auth_context *context = grpc_call_auth_context(core);
    if (!context) return false;
    grpc_auth_property_iterator it =
        grpc_auth_context_find_properties_by_name(context, "transport_security_type");
    const grpc_auth_property *kind = grpc_auth_property_iterator_next(&it);
    bool tls = kind && (strcmp(kind->value, "ssl") == 0 || strcmp(kind->value, "tls") == 0);
    grpc_auth_context_release(context);
    return tls;
}

bool rpc_call_is_tls(rpc_call *call)
{
    if (call->tls == TLS_UNASKED) call->tls = came_through_tls(call->core) ? TLS_YES : TLS_NO;
    return call->tls == TLS_YES;
}
