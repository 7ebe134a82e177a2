/* calls.h - an input as a row of calls to a running server, and what must hold of each.
 *
 * Each item of the input is
 *
 *      method u8 | how u8 | length u16 | the bytes of one message
 *
 * how: 1 the next item is a further message of the same call; 2 no client id; 4 another client.
 * A text field that says just "H" gets the newest receipt handle that an answer brought: inputs
 * cannot know them.
 *
 * What must hold:
 *   1. Every call ends with one status; a unary one by itself, without a deadline.
 *   2. What is no message of its method is refused as such, and nothing else is; no call ends in
 *      INTERNAL, UNKNOWN or DATA_LOSS.
 *   3. Every answer is a valid message of its type, with valid texts, and has its status filled in.
 */
#ifndef TESTS_FUZZ_CALLS_H
#define TESTS_FUZZ_CALLS_H

#include <stdint.h>

#include "raw_client.h"
#include "rpc/service.h"

struct calls {
    raw_client *client;
    const struct rpc_service *const *services;
    size_t service_count;
    char handle[256]; /* the newest receipt handle; "" at first */
};

/* Make the calls of one input, one after the other. */
void calls_run(struct calls *calls, const uint8_t *data, size_t size);

#endif
