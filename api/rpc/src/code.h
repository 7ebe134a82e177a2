/* code.h - the one table between our codes and those on the wire. */
#ifndef RPC_CODE_H
#define RPC_CODE_H

#include "base/status.h"
#include "rpc/service.h"

enum rpc_code rpc_code_of(enum sk_code code);
enum sk_code rpc_code_meaning(enum rpc_code code);

#endif
