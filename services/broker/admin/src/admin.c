/* admin.c - the table of handlers, and what they share.
 *
 * Errors are gRPC statuses whose message says what was wrong, which limit, and what to do. A
 * change is answered when it is as durable as the broker promises. */
#include "admin/admin.h"

#include <stdlib.h>

#include "base/memory.h"
#include "inside.h"

/* --- names ----------------------------------------------------------------------------------- */

/* A full name: "namespace%name", or "name"; the part after the last '%' that is not at its
 * beginning is checked as a name. */
struct sk_status sk_admin_check_name(const char *text, struct sk_verdict (*check)(struct sk_slice))
{
    struct sk_slice name = sk_slice_of_text(text);
    struct sk_verdict verdict = check(name);
    if (sk_granted(verdict)) return SK_SUCCESS;
    /* With a namespace in front a name may be longer than alone. */
    const char *percent = name.len && text[0] != '%' ? strchr(text, '%') : NULL;
    if (percent && percent[1]) {
        struct sk_verdict space = check(sk_slice_of(name.data, (size_t)(percent - text)));
        if (sk_granted(space) && sk_granted(check(sk_slice_of_text(percent + 1)))) {
            return SK_SUCCESS;
        }
    }
    return sk_error(SK_INVALID, "%s", verdict.text);
}

/* --- changes: answered when they are durable ------------------------------------------------- */

struct change {
    rpc_call *call;
    const ProtobufCMessage *response;
    struct sk_gate_waiter waiter;
};

static void promised(void *arg, struct sk_status status)
{
    struct change *change = arg;
    if (sk_ok(status)) {
        rpc_call_reply(change->call, change->response);
    } else {
        rpc_call_fail_status(change->call, status);
    }
}

/* `response` lies in the call's arena. */
void sk_admin_reply(struct sk_admin *admin, rpc_call *call, const ProtobufCMessage *response,
                    uint64_t position)
{
    struct change *change = sk_arena_zalloc(rpc_call_arena(call), 1, sizeof *change);
    if (!change || !response) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the answer");
        return;
    }
    change->call = call;
    change->response = response;
    change->waiter = (struct sk_gate_waiter){.position = position, .fn = promised, .arg = change};
    sk_promise_wait(sk_ledger_promise(admin->node->ledger), &change->waiter);
}

struct sk_status sk_admin_write(struct sk_turn *turn, enum sk_record_kind kind,
                                struct sk_buffer *payload, uint64_t *position)
{
    struct sk_span span = {0};
    struct sk_status status = sk_turn_write(turn, kind, sk_buffer_slice(payload), &span);
    sk_buffer_done(payload);
    *position = span.end;
    return status;
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct skua_broker_admin_handlers HANDLERS = {
    .create_topic = sk_admin_create_topic,
    .delete_topic = sk_admin_delete_topic,
    .list_topics = sk_admin_list_topics,
    .describe_topic = sk_admin_describe_topic,
    .create_group = sk_admin_create_group,
    .delete_group = sk_admin_delete_group,
    .list_groups = sk_admin_list_groups,
    .describe_group = sk_admin_describe_group,
    .describe_broker = sk_admin_describe_broker,
};

sk_admin *sk_admin_new(const struct sk_admin_options *options)
{
    sk_admin *admin = sk_zalloc(1, sizeof *admin);
    admin->node = options->node;
    admin->sessions = options->sessions;
    admin->routes = options->routes;
    return admin;
}

void sk_admin_mount(sk_admin *admin, rpc_server *server)
{
    skua_broker_admin_mount(server, &HANDLERS, admin);
}

void sk_admin_free(sk_admin *admin)
{
    free(admin);
}
