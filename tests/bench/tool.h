/* tool.h - what the load generators share. They stand on the bare C core: what they measure is
 * measured against nothing of ours but the histogram.
 *
 * A program parses its options with tool_option() as the default case, so all of them know
 *
 *     --target HOST:PORT   --header KEY=VALUE (up to 16)   --server-pid PID
 *
 * Errors of use end the program with 2. Threads: one, but for tool_now_ns. */
#ifndef SKUA_BENCH_TOOL_H
#define SKUA_BENCH_TOOL_H

#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"

enum { TOOL_MAX_HEADERS = 16 };

extern struct tool {
    const char *name, *target;
    grpc_metadata headers[TOOL_MAX_HEADERS];
    size_t header_count;
    int server_pid;
} tool;

#define TOOL_OPTIONS                                                                               \
    {"target", 1, NULL, 1001}, {"header", 1, NULL, 1002},                                          \
    {                                                                                              \
        "server-pid", 1, NULL, 1003                                                                \
    }

void tool_option(int option, char *value);
_Noreturn void tool_usage(const char *why);

uint64_t tool_now_ns(void); /* CLOCK_MONOTONIC */

/* User and system time of the process --server-pid so far; 0 without one. */
double tool_server_us(void);

grpc_slice tool_read_file(const char *path);

/* A connection of its own to the target, not shared with other channels. */
grpc_channel *tool_connect(void);

/* --- the wire: just enough of protobuf to look into answers --------------------------------------
 */

struct tool_span {
    const uint8_t *data;
    size_t len;
};

struct tool_field {
    unsigned number;
    uint64_t integer;       /* of a varint */
    struct tool_span bytes; /* of a length-delimited field */
};

/* Take the next field off `rest`; false at its end, or when it is no protobuf. */
bool tool_next_field(struct tool_span *rest, struct tool_field *out);

/* A response of apache.rocketmq.v2 begins with its Status (field 1): is that OK (20000)?
 * `code` gets what it is. */
bool tool_is_ok(grpc_byte_buffer *response, unsigned *code);

/* `"p50_us":…,` and so on, of nanoseconds. */
void tool_print_latency(const histogram *h);

#endif
