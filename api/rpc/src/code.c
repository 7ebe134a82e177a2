/* code.c - sk_code to gRPC code and back: two tables. */
#include "src/code.h"

static const enum rpc_code on_the_wire[] = {
    [SK_OK] = RPC_OK,
    [SK_RETRY] = RPC_UNAVAILABLE,
    [SK_NOT_FOUND] = RPC_NOT_FOUND,
    [SK_EXISTS] = RPC_ALREADY_EXISTS,
    [SK_INVALID] = RPC_INVALID_ARGUMENT,
    [SK_FULL] = RPC_RESOURCE_EXHAUSTED,
    [SK_NOT_MASTER] = RPC_FAILED_PRECONDITION,
    [SK_CORRUPT] = RPC_DATA_LOSS,
    [SK_IO] = RPC_INTERNAL,
    [SK_NO_MEMORY] = RPC_RESOURCE_EXHAUSTED,
    [SK_TIMEOUT] = RPC_DEADLINE_EXCEEDED,
    [SK_CANCELLED] = RPC_CANCELLED,
    [SK_UNAVAILABLE] = RPC_UNAVAILABLE,
    [SK_UNIMPLEMENTED] = RPC_UNIMPLEMENTED,
    [SK_CLOSED] = RPC_UNAVAILABLE,
    [SK_INTERNAL] = RPC_INTERNAL,
};

/* Codes that are not named here are SK_INTERNAL; a peer may send any number. */
static const struct {
    enum rpc_code code;
    enum sk_code meaning;
} meanings[] = {
    {RPC_OK, SK_OK},
    {RPC_UNAVAILABLE, SK_UNAVAILABLE},
    {RPC_DEADLINE_EXCEEDED, SK_TIMEOUT},
    {RPC_CANCELLED, SK_CANCELLED},
    {RPC_UNIMPLEMENTED, SK_UNIMPLEMENTED},
    {RPC_RESOURCE_EXHAUSTED, SK_FULL},
    {RPC_NOT_FOUND, SK_NOT_FOUND},
    {RPC_ALREADY_EXISTS, SK_EXISTS},
    {RPC_INVALID_ARGUMENT, SK_INVALID},
    {RPC_OUT_OF_RANGE, SK_INVALID},
    {RPC_FAILED_PRECONDITION, SK_INVALID},
    {RPC_DATA_LOSS, SK_CORRUPT},
};

enum rpc_code rpc_code_of(enum sk_code code)
{
    return on_the_wire[code];
}

enum sk_code rpc_code_meaning(enum rpc_code code)
{
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (meanings[i].code == code) return meanings[i].meaning;
    return SK_INTERNAL;
}
