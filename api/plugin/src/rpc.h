/* rpc.h - what the header and the source of a service have in common. */
#ifndef SK_PLUGIN_RPC_H
#define SK_PLUGIN_RPC_H

#include "generator.h"

enum method_kind { METHOD_UNARY, METHOD_SERVER_STREAM, METHOD_BIDI };

/* A client stream is carried as a bidi stream whose server answers once. */
static inline enum method_kind method_kind(const pb_method *method)
{
    if (method->client_streaming) return METHOD_BIDI;
    return method->server_streaming ? METHOD_SERVER_STREAM : METHOD_UNARY;
}

#define METHOD_VARS 16

/* ${service} rmq_messaging_service   ${SERVICE} in capitals   ${Service} its full name
 * ${method} send_message             ${METHOD} in capitals    ${Method} as written
 * ${member} send_message, or with an underscore if that is a reserved word
 * ${request}, ${response} aliases    ${kind} RPC_UNARY …
 * `method` may be NULL: then only the first three. */
void rpc_vars(struct generator *gen, const pb_file *file, const pb_service *service,
              const pb_method *method, struct var vars[METHOD_VARS]);

#endif
