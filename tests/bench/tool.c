/* tool.c - options, clocks, the connection and the wire of the load generators. */
#include "tool.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct tool tool;

_Noreturn void tool_usage(const char *why)
{
    fprintf(stderr, "bench-%s: %s; the comment in tests/bench/%s.c says how\n", tool.name, why,
            tool.name);
    exit(2);
}

static void add_header(char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || tool.header_count == TOOL_MAX_HEADERS)
        tool_usage("a header is KEY=VALUE, at most 16");
    *equals = '\0';
    tool.headers[tool.header_count++] =
        (grpc_metadata){.key = grpc_slice_from_copied_string(text),
                        .value = grpc_slice_from_copied_string(equals + 1)};
}

void tool_option(int option, char *value)
{
    if (option == 1001)
        tool.target = value;
    else if (option == 1002)
        add_header(value);
    else if (option == 1003)
        tool.server_pid = atoi(value);
    else
        tool_usage("unknown option");
}

uint64_t tool_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double tool_server_us(void)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", tool.server_pid);
    FILE *file = tool.server_pid ? fopen(path, "re") : NULL;
    if (!file) return 0;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    unsigned long user = 0, system = 0;
    const char *after_name = strrchr(text, ')');
    if (after_name)
        sscanf(after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system);
    return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

grpc_slice tool_read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file) tool_usage("cannot open the request file");
    fseek(file, 0, SEEK_END);
    size_t len = (size_t)ftell(file);
    rewind(file);
    grpc_slice slice = grpc_slice_malloc_large(len);
    if (fread(GRPC_SLICE_START_PTR(slice), 1, len, file) != len)
        tool_usage("cannot read the request file");
    fclose(file);
    return slice;
}

static grpc_arg argument(const char *key, int value)
{
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key, .value.integer = value};
}

/* The generator shares the machine with what it measures: it leaves out what costs it time and
 * makes no difference on the wire. */
grpc_channel *tool_connect(void)
{
    grpc_arg args[] = {
        argument(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        argument(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        argument(GRPC_ARG_ENABLE_RETRIES, 0),
        argument(GRPC_ARG_MINIMAL_STACK, 1),
    };
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(
        tool.target, plain, &(grpc_channel_args){sizeof args / sizeof *args, args});
    grpc_channel_credentials_release(plain);
    return channel;
}

/* --- the wire ------------------------------------------------------------------------------------
 */

static bool next_varint(struct tool_span *rest, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; rest->len && shift < 64; shift += 7) {
        uint8_t byte = *rest->data++;
        rest->len--;
        value |= (uint64_t)(byte & 127) << shift;
        *out = value;
        if (byte < 128) return true;
    }
    return false;
}

bool tool_next_field(struct tool_span *rest, struct tool_field *out)
{
    uint64_t tag, len = 0;
    if (!next_varint(rest, &tag)) return false;
    *out = (struct tool_field){.number = (unsigned)(tag >> 3)};
    switch (tag & 7) {
    case 0:
        return next_varint(rest, &out->integer);
    case 1:
        len = 8;
        break;
    case 2:
        if (!next_varint(rest, &len)) return false;
        break;
    case 5:
        len = 4;
        break;
    default:
        return false;
    }
    if (len > rest->len) return false;
    out->bytes = (struct tool_span){rest->data, (size_t)len};
    rest->data += len;
    rest->len -= (size_t)len;
    return true;
}

bool tool_is_ok(grpc_byte_buffer *response, unsigned *code)
{
    enum { OK = 20000 };
    *code = 0;
    grpc_byte_buffer_reader reader;
    if (!response || !grpc_byte_buffer_reader_init(&reader, response)) return false;
    grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    struct tool_span rest = {GRPC_SLICE_START_PTR(whole), GRPC_SLICE_LENGTH(whole)};
    struct tool_field status, field;
    if (tool_next_field(&rest, &status) && status.number == 1 &&
        tool_next_field(&status.bytes, &field) && field.number == 1)
        *code = (unsigned)field.integer;
    grpc_slice_unref(whole);
    return *code == OK;
}

void tool_print_latency(const histogram *h)
{
    static const struct {
        const char *name;
        double percent;
    } shown[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p999", 99.9}};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        printf("\"%s_us\":%.1f,", shown[i].name,
               (double)histogram_percentile(h, shown[i].percent) / 1000);
    printf("\"max_us\":%.1f,", (double)histogram_max(h) / 1000);
}
