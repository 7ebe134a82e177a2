/* descriptors.h - our .proto files, as data: what gRPC reflection serves. */
#ifndef SK_PROTO_DESCRIPTORS_H
#define SK_PROTO_DESCRIPTORS_H

#include "base/slice.h"

/* A serialized google.protobuf.FileDescriptorSet with every .proto file of Skua and all
 * their imports, each file after those that it imports. Lives for ever. */
extern const struct sk_slice skua_descriptor_set;

#endif
