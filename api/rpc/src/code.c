/* code.c - sk_code to gRPC code and back. */
#include "src/code.h"

enum rpc_code rpc_code_of(enum sk_code code)
{
    switch (code) {
    case SK_OK: return RPC_OK;
    case SK_RETRY: return RPC_UNAVAILABLE;
    case SK_NOT_FOUND: return RPC_NOT_FOUND;
    case SK_EXISTS: return RPC_ALREADY_EXISTS;
    case SK_INVALID: return RPC_INVALID_ARGUMENT;
    case SK_FULL: return RPC_RESOURCE_EXHAUSTED;
    case SK_NOT_MASTER: return RPC_FAILED_PRECONDITION;
    case SK_CORRUPT: return RPC_DATA_LOSS;
    case SK_IO: return RPC_INTERNAL;
    case SK_NO_MEMORY: return RPC_RESOURCE_EXHAUSTED;
    case SK_TIMEOUT: return RPC_DEADLINE_EXCEEDED;
    case SK_CANCELLED: return RPC_CANCELLED;
    case SK_UNAVAILABLE: return RPC_UNAVAILABLE;
    case SK_UNIMPLEMENTED: return RPC_UNIMPLEMENTED;
    case SK_CLOSED: return RPC_UNAVAILABLE;
    case SK_INTERNAL: return RPC_INTERNAL;
    }
    return RPC_INTERNAL;
}

enum sk_code rpc_code_meaning(enum rpc_code code)
{
    switch (code) {
    case RPC_OK: return SK_OK;
    case RPC_UNAVAILABLE: return SK_UNAVAILABLE;
    case RPC_DEADLINE_EXCEEDED: return SK_TIMEOUT;
    case RPC_CANCELLED: return SK_CANCELLED;
    case RPC_UNIMPLEMENTED: return SK_UNIMPLEMENTED;
    case RPC_RESOURCE_EXHAUSTED: return SK_FULL;
    case RPC_NOT_FOUND: return SK_NOT_FOUND;
    case RPC_ALREADY_EXISTS: return SK_EXISTS;
    case RPC_INVALID_ARGUMENT:
    case RPC_OUT_OF_RANGE:
    case RPC_FAILED_PRECONDITION: return SK_INVALID;
    case RPC_DATA_LOSS: return SK_CORRUPT;
    case RPC_UNKNOWN:
    case RPC_PERMISSION_DENIED:
    case RPC_ABORTED:
    case RPC_INTERNAL:
    case RPC_UNAUTHENTICATED: break;
    }
    return SK_INTERNAL;
}
