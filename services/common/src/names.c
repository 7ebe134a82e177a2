/* names.c - the name rules, each with the sentence that explains a refusal. */
#include "service/names.h"

#include <string.h>

enum { TOPIC_LIMIT = 127, LONG_TOPIC_LIMIT = 255, GROUP_LIMIT = 120, NAMESPACE_LIMIT = 127 };

static bool begins_with(struct sk_slice s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && memcmp(s.data, prefix, n) == 0;
}

static bool is_blank(struct sk_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] != ' ' && (s.data[i] < '\t' || s.data[i] > '\r')) return false;
    return true;
}

static bool is_name_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '%' ||
           c == '|' || c == '_' || c == '-';
}

/* The part that topics, groups and namespaces share; `what` begins the sentence. */
static struct sk_verdict check(struct sk_slice name, const char *what, size_t limit, rmq_code code)
{
    if (is_blank(name)) return sk_refuse(code, "%s is blank", what);
    if (name.len > limit)
        return sk_refuse(code, "%s has %zu characters; at most %zu are allowed", what, name.len,
                         limit);
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_char(name.data[i]))
            return sk_refuse(code,
                             "%s has the character 0x%02x at place %zu; allowed are letters, "
                             "digits and %% | _ -",
                             what, name.data[i], i + 1);
    return SK_GRANTED;
}

static bool is_system_topic(struct sk_slice name)
{
    static const char *const reserved[] = {
        "TBW102",
        "SCHEDULE_TOPIC_XXXX",
        "BenchmarkTest",
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "RMQ_SYS_TRACE_TOPIC",
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
        "CHECKPOINT_TOPIC",
    };
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (sk_slice_eq(name, sk_slice_of_text(reserved[i]))) return true;
    return begins_with(name, "rmq_sys_");
}

struct sk_verdict sk_topic_check(struct sk_slice name)
{
    bool is_long = begins_with(name, "%RETRY%") || begins_with(name, "%DLQ%");
    SK_GRANT(check(name, "topic name", is_long ? LONG_TOPIC_LIMIT : TOPIC_LIMIT,
                   RMQ_CODE_ILLEGAL_TOPIC));
    if (is_system_topic(name))
        return sk_refuse(RMQ_CODE_ILLEGAL_TOPIC, "topic '%.*s' is reserved for the system",
                         SK_SLICE_ARGS(name));
    return SK_GRANTED;
}

struct sk_verdict sk_group_check(struct sk_slice name)
{
    SK_GRANT(check(name, "consumer group name", GROUP_LIMIT, RMQ_CODE_ILLEGAL_CONSUMER_GROUP));
    if (begins_with(name, "CID_RMQ_SYS_"))
        return sk_refuse(RMQ_CODE_ILLEGAL_CONSUMER_GROUP,
                         "consumer group '%.*s' is reserved for the system", SK_SLICE_ARGS(name));
    return SK_GRANTED;
}

static struct sk_verdict join(struct sk_slice space, struct sk_slice name, rmq_code code,
                              sk_arena *arena, struct sk_slice *out)
{
    if (space.len == 0) {
        *out = name;
        return SK_GRANTED;
    }
    SK_GRANT(check(space, "namespace", NAMESPACE_LIMIT, code));
    uint8_t *key = sk_arena_alloc(arena, space.len + 1 + name.len);
    if (!key) return sk_refuse(RMQ_CODE_TOO_MANY_REQUESTS, "the call's memory is used up");
    memcpy(key, space.data, space.len);
    key[space.len] = '%';
    if (name.len) memcpy(key + space.len + 1, name.data, name.len);
    *out = sk_slice_of(key, space.len + 1 + name.len);
    return SK_GRANTED;
}

static struct sk_verdict key_of(const rmq_resource *r, struct sk_slice header, rmq_code code,
                                sk_arena *arena, struct sk_slice *out)
{
    struct sk_slice space = sk_slice_of_text(r->resource_namespace);
    return join(space.len ? space : header, sk_slice_of_text(r->name), code, arena, out);
}

struct sk_verdict sk_topic_key(const rmq_resource *topic, struct sk_slice header, sk_arena *arena,
                               struct sk_slice *out)
{
    SK_GRANT(sk_topic_check(sk_slice_of_text(topic ? topic->name : "")));
    return key_of(topic, header, RMQ_CODE_ILLEGAL_TOPIC, arena, out);
}

struct sk_verdict sk_group_key(const rmq_resource *group, struct sk_slice header, sk_arena *arena,
                               struct sk_slice *out)
{
    SK_GRANT(sk_group_check(sk_slice_of_text(group ? group->name : "")));
    return key_of(group, header, RMQ_CODE_ILLEGAL_CONSUMER_GROUP, arena, out);
}

struct sk_asker sk_asker_of(rpc_call *call)
{
    return (struct sk_asker){
        .client_id = rpc_call_metadata(call, "x-mq-client-id"),
        .name_space = rpc_call_metadata(call, "x-mq-namespace"),
        .language = rpc_call_metadata(call, "x-mq-language"),
        .tls = rpc_call_is_tls(call),
    };
}

struct sk_verdict sk_client_check(const struct sk_asker *asker)
{
    if (!is_blank(asker->client_id)) return SK_GRANTED;
    return sk_refuse(RMQ_CODE_CLIENT_ID_REQUIRED,
                     "the header x-mq-client-id is missing or blank; every client must send one");
}
