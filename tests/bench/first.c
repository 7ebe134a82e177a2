/* first.c - starts a server and sends to it until it says yes: how long is that?
 *
 *     bench-first --target HOST:PORT --request FILE [--timeout 30] [--kill] [--header KEY=VALUE]...
 *                 -- COMMAND WORD...
 *
 * The clock runs from before fork() to the first OK of a SendMessage. A connection is tried every
 * 200 µs until the port takes one. The command's output goes to stderr. At the end it gets a
 * SIGTERM, or with
 * --kill a SIGKILL, and is waited for. Prints one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <grpc/grpc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

enum { TRY_US = 200 };

static pid_t start(char **command)
{
    pid_t child = fork();
    if (child < 0) abort();
    if (child > 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execvp(command[0], command);
    _exit(127);
}

static bool takes_connections(void)
{
    const char *colon = strrchr(tool.target, ':');
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(colon ? colon + 1 : "0")),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool fine = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return fine;
}

/* One SendMessage; true if it was answered OK. */
static bool send_once(grpc_channel *channel, grpc_completion_queue *queue, grpc_slice request)
{
    grpc_metadata_array initial, trailing;
    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    grpc_byte_buffer *sent = grpc_raw_byte_buffer_create(&request, 1), *response = NULL;
    grpc_status_code code;
    grpc_slice detail;
    grpc_slice name =
        grpc_slice_from_static_string("/apache.rocketmq.v2.MessagingService/SendMessage");
    grpc_call *call = grpc_channel_create_call(channel, NULL, 0, queue, name, NULL,
                                               gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_op ops[6] = {{0}};
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY;
    ops[0].data.send_initial_metadata.count = tool.header_count;
    ops[0].data.send_initial_metadata.metadata = tool.headers;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = sent;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &response;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &trailing;
    ops[5].data.recv_status_on_client.status = &code;
    ops[5].data.recv_status_on_client.status_details = &detail;
    if (grpc_call_start_batch(call, ops, 6, NULL, NULL) != GRPC_CALL_OK) abort();
    grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    unsigned answer;
    return code == GRPC_STATUS_OK && tool_is_ok(response, &answer); /* the rest goes with us */
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"request", 1, NULL, 'r'},
                                            {"timeout", 1, NULL, 't'},
                                            {"kill", 0, NULL, 'k'},
                                            TOOL_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    const char *request_path = NULL, *target = NULL;
    char *headers[TOOL_MAX_HEADERS];
    size_t header_count = 0;
    double timeout_s = 30;
    int sign = SIGTERM;
    tool.name = "first";
    for (int c; (c = getopt_long(argc, argv, "+", options, NULL)) != -1;) switch (c) {
        case 'r':
            request_path = optarg;
            break;
        case 't':
            timeout_s = atof(optarg);
            break;
        case 'k':
            sign = SIGKILL;
            break;
        case 1001:
            target = optarg;
            break;
        case 1002: /* needs gRPC, which must not begin before the fork */
            if (header_count < TOOL_MAX_HEADERS) headers[header_count++] = optarg;
            break;
        default:
            tool_option(c, optarg);
        }
    if (!target || !request_path || !argv[optind]) tool_usage("something is missing");
    tool.target = target;

    uint64_t begin_ns = tool_now_ns(), end_ns = begin_ns + (uint64_t)(timeout_s * 1e9);
    pid_t child = start(argv + optind);
    grpc_init(); /* beside the server's start */
    for (size_t i = 0; i < header_count; i++) tool_option(1002, headers[i]);
    grpc_slice request = tool_read_file(request_path);
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
    while (!takes_connections() && tool_now_ns() < end_ns) usleep(TRY_US);
    uint64_t listens_ns = tool_now_ns();
    grpc_channel *channel = tool_connect();
    bool fine = false;
    while (!(fine = listens_ns < end_ns && send_once(channel, queue, request)) &&
           tool_now_ns() < end_ns)
        usleep(TRY_US);
    uint64_t took_ns = tool_now_ns() - begin_ns;
    kill(child, sign);
    int status = 0;
    waitpid(child, &status, 0);
    printf("{\"fine\":%s,\"listens_ms\":%.2f,\"first_ack_ms\":%.2f}\n", fine ? "true" : "false",
           (double)(listens_ns - begin_ns) / 1e6, (double)took_ns / 1e6);
    fflush(stdout);
    _Exit(fine ? EXIT_SUCCESS : EXIT_FAILURE);
}
