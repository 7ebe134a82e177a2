/* reflection.h - grpc.reflection.v1 and v1alpha: grpcurl and its like need no .proto files. */
#ifndef SK_REFLECTION_H
#define SK_REFLECTION_H

#include "base/slice.h"
#include "rpc/server.h"

/* Before start. `descriptor_set` is a serialized google.protobuf.FileDescriptorSet with all
 * imports, borrowed for the server's life; the services that are listed are those mounted. */
void sk_reflection_mount(rpc_server *server, struct sk_slice descriptor_set);

#endif
