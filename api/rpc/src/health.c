/* health.c - grpc.health.v1. */
#include "src/server_inside.h"

void rpc_health_drain(struct rpc_health *health) { (void)health; }
void rpc_health_free(struct rpc_health *health) { (void)health; }
void rpc_reflection_free(struct rpc_reflection *reflection) { (void)reflection; }
