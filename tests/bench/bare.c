/* bare.c - what the echo and the relay have in common. */
#include "bare.h"

#include <grpc/grpc_security.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

grpc_server *bare_listen(int argc, char **argv, grpc_completion_queue **queue, int *port)
{
    grpc_init();
    grpc_arg args[] = {{.type = GRPC_ARG_INTEGER,
                        .key = (char *)(uintptr_t)GRPC_ARG_ALLOW_REUSEPORT,
                        .value.integer = 0}};
    grpc_server *server = grpc_server_create(&(grpc_channel_args){1, args}, NULL);
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%d", argc > 1 ? atoi(argv[1]) : 0);
    grpc_server_credentials *plain = grpc_insecure_server_credentials_create();
    *port = grpc_server_add_http2_port(server, address, plain);
    grpc_server_credentials_release(plain);
    if (!*port) exit(EXIT_FAILURE);
    *queue = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(server, *queue, NULL);
    return server;
}

void bare_ready(int port)
{
    printf("{\"port\":%d}\n", port);
    fflush(stdout);
}
