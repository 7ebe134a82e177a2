/* tls.h - credentials out of PEM files. Private to this room. */
#ifndef RPC_TLS_H
#define RPC_TLS_H

#include <grpc/grpc_security.h>

#include "base/status.h"
#include "rpc/channel.h"
#include "rpc/server.h"

/* *out is the caller's: grpc_server_credentials_release. The pair is checked: readable,
 * a certificate and its key. */
SK_CHECKED struct sk_status rpc_tls_server_credentials(const struct rpc_tls_options *tls,
                                                       grpc_server_credentials **out);

/* *out is the caller's: grpc_channel_credentials_release. */
SK_CHECKED struct sk_status rpc_tls_channel_credentials(const struct rpc_channel_options *options,
                                                        grpc_channel_credentials **out);

#endif
