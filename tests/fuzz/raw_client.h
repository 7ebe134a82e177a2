/* raw_client.h - a gRPC client that sends whatever bytes it is given as messages.
 *
 * Stands on the bare C core: libskua's own runtime would not let such bytes pass. One call at a
 * time, on the thread that asks. */
#ifndef TESTS_FUZZ_RAW_CLIENT_H
#define TESTS_FUZZ_RAW_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "rpc/service.h"

typedef struct raw_client raw_client;

raw_client *raw_client_open(int port);
void raw_client_close(raw_client *client);

/* One message that came; `bytes` lives until this returns. */
typedef void raw_message_fn(void *arg, struct sk_slice bytes);

struct raw_call {
    const char *path;
    const char *client_id; /* header x-mq-client-id; NULL: none */
    const struct sk_slice *messages;
    size_t count;
    unsigned timeout_ms; /* 0: none */
    raw_message_fn *message;
    void *arg;
};

struct raw_ending {
    enum rpc_code code;
    char detail[256];
    size_t messages;
};

/* Send all messages, half-close, read to the end. A call that does not end, with whatever status,
 * half a minute after its deadline is an assertion. */
void raw_client_call(raw_client *client, const struct raw_call *call, struct raw_ending *out);

#endif
