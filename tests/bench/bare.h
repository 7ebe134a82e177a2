/* bare.h - the beginning of a server that is the gRPC C core and nothing else. */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <grpc/grpc.h>

/* Start the core and a server on 127.0.0.1, on the port that argv[1] names or any; ends the program
 * if that is not to be had. The one queue is registered; methods and grpc_server_start are the
 * caller's. */
grpc_server *bare_listen(int argc, char **argv, grpc_completion_queue **queue, int *port);

/* Serving: say on which port. */
void bare_ready(int port);

#endif
