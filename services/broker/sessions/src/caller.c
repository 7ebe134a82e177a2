/* caller.c - who calls. */
#include "sessions/caller.h"

/* FNV-1a: it only has to spread, and to be the same after a restart. */
uint64_t sk_owner_of(struct sk_slice client_id)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < client_id.len; i++) {
        hash = (hash ^ client_id.data[i]) * 0x100000001b3u;
    }
    return hash ? hash : 1;
}

static bool is_grpcurl(const rpc_call *call)
{
    struct sk_slice agent = rpc_call_metadata(call, "user-agent");
    return agent.len >= 7 && memcmp(agent.data, "grpcurl", 7) == 0;
}

struct sk_verdict sk_caller_of(rpc_call *call, struct sk_caller *out)
{
    out->asker = sk_asker_of(call);
    if (out->asker.client_id.len == 0 && is_grpcurl(call)) {
        out->asker.client_id = sk_slice_of_text(
            sk_arena_printf(rpc_call_arena(call), "grpcurl-%s", rpc_call_peer(call)));
    }
    SK_GRANT(sk_client_check(&out->asker));
    out->owner = sk_owner_of(out->asker.client_id);
    return SK_GRANTED;
}

rmq_status sk_status_for(const struct sk_caller *caller, const struct sk_verdict *verdict)
{
    rmq_status status;
    rmq_status_init(&status);
    sk_fill_status(&status, sk_code_for(caller->asker.language, verdict->code), verdict->text);
    return status;
}

struct sk_verdict sk_topic_of(rpc_call *call, const struct sk_caller *caller,
                              const rmq_resource *topic, struct sk_slice *out)
{
    return sk_topic_key(topic, caller->asker.name_space, rpc_call_arena(call), out);
}

struct sk_verdict sk_group_of(rpc_call *call, const struct sk_caller *caller,
                              const rmq_resource *group, struct sk_slice *out)
{
    return sk_group_key(group, caller->asker.name_space, rpc_call_arena(call), out);
}
