/* admin.c - skua.v1.BrokerAdmin: topics, the broker itself, and the table of all handlers. Topics
 * and groups are records in the log, like all else.
 *
 * Errors are gRPC statuses whose message says what was wrong, which limit, and what to do. A
 * change is answered when it is as durable as the broker promises. */
#include "admin_inside.h"
#include "report.h"
#include "routes.h"
#include "skua/v1/admin.rpc.h"

/* --- names and values ------------------------------------------------------------------------ */

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

/* The topic of this name. */
static struct sk_status find_topic(const sk_broker *broker, const struct sk_turn *turn,
                                   const char *name, const struct sk_topic **out)
{
    SK_TRY(sk_admin_check_name(name, sk_topic_check));
    *out = sk_state_topic(sk_turn_state(turn), sk_slice_of_text(name));
    if (*out) return SK_SUCCESS;
    return sk_error(SK_NOT_FOUND, "no topic '%s' on broker %s", name, broker->config->name);
}

static struct sk_status check_queues(const sk_broker *broker, int32_t count, const char *what)
{
    if (count >= 0 && count <= broker->config->max_queues) return SK_SUCCESS;
    return sk_error(SK_INVALID, "%s is %d; allowed are 1 to %lld (max_queues)", what, count,
                    (long long)broker->config->max_queues);
}

static struct sk_status change_of_topic(const sk_broker *broker, const skua_topic_config *config,
                                        struct sk_topic_change *out)
{
    if (!config) return sk_error(SK_INVALID, "the request has no topic");
    SK_TRY(sk_admin_check_name(config->name, sk_topic_check));
    SK_TRY(check_queues(broker, config->read_queues, "read_queues"));
    SK_TRY(check_queues(broker, config->write_queues, "write_queues"));
    int type = config->type ? (int)config->type : RMQ_MESSAGE_TYPE_NORMAL;
    if (type > RMQ_MESSAGE_TYPE_PRIORITY || type < 0) {
        return sk_error(SK_INVALID, "unknown topic type %d", type);
    }
    if (type > RMQ_MESSAGE_TYPE_TRANSACTION) {
        return sk_error(SK_INVALID, "topics of type %s come in a later version of Skua",
                        rmq_message_type_name(type));
    }
    if (config->mixed && type != RMQ_MESSAGE_TYPE_NORMAL) {
        return sk_error(SK_INVALID, "a mixed topic has the type NORMAL, not %s",
                        rmq_message_type_name(type));
    }
    int32_t fallback = config->read_queues    ? config->read_queues
                       : config->write_queues ? config->write_queues
                                              : (int32_t)broker->config->default_queues;
    static const unsigned permissions[] = {SK_PERMIT_READ | SK_PERMIT_WRITE, 0, SK_PERMIT_READ,
                                           SK_PERMIT_WRITE, SK_PERMIT_READ | SK_PERMIT_WRITE};
    if ((unsigned)config->permission >= sizeof permissions / sizeof permissions[0]) {
        return sk_error(SK_INVALID,
                        "unknown permission %d; there are NONE, READ, WRITE and READ_WRITE",
                        (int)config->permission);
    }
    *out = (struct sk_topic_change){
        .name = sk_slice_of_text(config->name),
        .type = (enum sk_topic_type)type,
        .mixed = config->mixed,
        .read_queues = (uint32_t)(config->read_queues ? config->read_queues : fallback),
        .write_queues = (uint32_t)(config->write_queues ? config->write_queues : fallback),
        .permission = permissions[config->permission],
    };
    return SK_SUCCESS;
}

static skua_topic_config *topic_message(const struct sk_topic *topic, sk_arena *arena)
{
    struct sk_route_topic route = {
        .name = topic->name,
        .type = (int32_t)topic->type,
        .mixed = topic->mixed,
        .read_queues = topic->read_queues,
        .write_queues = topic->write_queues,
        .permission = (topic->permission & SK_PERMIT_READ ? SK_ROUTE_READ : 0u) |
                      (topic->permission & SK_PERMIT_WRITE ? SK_ROUTE_WRITE : 0u),
    };
    return sk_topic_config_message(&route, arena);
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
void sk_admin_reply(sk_broker *broker, rpc_call *call, const ProtobufCMessage *response,
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
    sk_promise_wait(sk_ledger_promise(broker->ledger), &change->waiter);
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

/* --- topics ---------------------------------------------------------------------------------- */

static bool same_topic(const struct sk_topic *topic, const struct sk_topic_change *change)
{
    return topic->type == change->type && topic->mixed == change->mixed &&
           topic->read_queues == change->read_queues &&
           topic->write_queues == change->write_queues && topic->permission == change->permission;
}

static struct sk_status create_topic(sk_broker *broker, struct sk_turn *turn,
                                     const struct sk_topic_change *change, sk_arena *arena,
                                     skua_create_topic_response *out, uint64_t *position)
{
    const sk_state *state = sk_turn_state(turn);
    const struct sk_topic *topic = sk_state_topic(state, change->name);
    if (topic && !same_topic(topic, change)) {
        return sk_error(SK_EXISTS,
                        "topic '%.*s' exists with other settings: %s, %u read and %u write queues",
                        SK_SLICE_ARGS(change->name),
                        topic->mixed ? "MIXED" : rmq_message_type_name((int)topic->type),
                        topic->read_queues, topic->write_queues);
    }
    out->created = !topic;
    if (!topic) {
        if (sk_state_topic_count(state) >= (size_t)broker->config->max_topics) {
            return sk_error(SK_FULL, "the broker has %lld topics already (max_topics)",
                            (long long)broker->config->max_topics);
        }
        struct sk_buffer payload = {0};
        sk_state_encode_topic(change, &payload);
        SK_TRY(sk_admin_write(turn, SK_RECORD_TOPIC, &payload, position));
        topic = sk_state_topic(state, change->name);
    }
    out->topic = topic_message(topic, arena);
    return out->topic ? SK_SUCCESS : sk_error(SK_FULL, "no memory for the answer");
}

static void on_create_topic(void *owner, rpc_call *call, const skua_create_topic_request *request)
{
    sk_broker *broker = owner;
    sk_arena *arena = rpc_call_arena(call);
    struct sk_topic_change change;
    uint64_t position = 0;
    skua_create_topic_response *response = sk_arena_alloc(arena, sizeof *response);
    struct sk_status status = change_of_topic(broker, request->topic, &change);
    if (sk_ok(status) && response) {
        skua_create_topic_response_init(response);
        struct sk_turn turn;
        sk_turn_begin(&turn, broker->ledger);
        status = create_topic(broker, &turn, &change, arena, response, &position);
        sk_turn_end(&turn);
    }
    if (!sk_ok(status)) {
        rpc_call_fail_status(call, status);
        return;
    }
    sk_admin_reply(broker, call, response ? &response->base : NULL, position);
}

static void on_delete_topic(void *owner, rpc_call *call, const skua_delete_topic_request *request)
{
    sk_broker *broker = owner;
    uint64_t position = 0;
    struct sk_slice name = sk_slice_of_text(request->name);
    const struct sk_topic *topic;
    struct sk_turn turn;
    sk_turn_begin(&turn, broker->ledger);
    struct sk_status status = find_topic(broker, &turn, request->name, &topic);
    if (sk_ok(status)) {
        struct sk_buffer payload = {0};
        sk_state_encode_topic_deleted(name, &payload);
        status = sk_admin_write(&turn, SK_RECORD_TOPIC_DELETED, &payload, &position);
    }
    sk_turn_end(&turn);
    if (!sk_ok(status)) {
        rpc_call_fail_status(call, status);
        return;
    }
    static skua_delete_topic_response response = SKUA_DELETE_TOPIC_RESPONSE_INIT;
    sk_admin_reply(broker, call, &response.base, position);
}

/* The topics after the last one of `out`, at most a page. False: no memory. */
static bool list_page(const struct sk_turn *turn, sk_arena *arena,
                      skua_list_broker_topics_response *out, bool *more)
{
    size_t n = out->n_topics;
    struct sk_slice last = n ? sk_slice_of_text(out->topics[n - 1]->name) : SK_EMPTY;
    skua_topic_config **list = sk_arena_alloc(arena, (n + SK_ADMIN_PAGE) * sizeof *list);
    if (!list) return false;
    if (n) memcpy(list, out->topics, n * sizeof *list);
    out->topics = list;
    size_t cursor = sk_state_topics_after(sk_turn_state(turn), last);
    const struct sk_topic *topic = NULL;
    for (size_t i = 0; i < SK_ADMIN_PAGE; i++) {
        topic = sk_state_next_topic(sk_turn_state(turn), &cursor);
        if (!topic) break;
        if (!(list[out->n_topics] = topic_message(topic, arena))) return false;
        out->n_topics++;
    }
    *more = topic != NULL;
    return true;
}

static void on_list_topics(void *owner, rpc_call *call,
                           const skua_list_broker_topics_request *request)
{
    (void)request;
    sk_broker *broker = owner;
    skua_list_broker_topics_response response = SKUA_LIST_BROKER_TOPICS_RESPONSE_INIT;
    bool fits = true, more = true;
    while (fits && more) {
        struct sk_turn turn;
        sk_turn_begin(&turn, broker->ledger);
        fits = list_page(&turn, rpc_call_arena(call), &response, &more);
        sk_turn_end(&turn);
    }
    if (fits) {
        skua_broker_admin_reply_list_topics(call, &response);
    } else {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "too many topics for one answer");
    }
}

static bool describe_queues(sk_broker *broker, const struct sk_topic *topic, sk_arena *arena,
                            skua_describe_topic_response *out)
{
    size_t count = topic->queue_count;
    skua_queue_status *queues = sk_arena_zalloc(arena, count, sizeof *queues);
    out->queues = sk_arena_zalloc(arena, count, sizeof *out->queues);
    out->topic = topic_message(topic, arena);
    if (!queues || !out->queues || !out->topic) return false;
    for (size_t i = 0; i < count; i++) {
        struct sk_queue_range range =
            sk_store_queue(sk_ledger_store(broker->ledger), topic->queues[i]);
        skua_queue_status_init(&queues[i]);
        queues[i].id = (int32_t)i;
        queues[i].broker = (char *)(uintptr_t)broker->config->name;
        queues[i].min_offset = (int64_t)range.min;
        queues[i].max_offset = (int64_t)range.max;
        out->queues[out->n_queues++] = &queues[i];
    }
    return true;
}

static void on_describe_topic(void *owner, rpc_call *call,
                              const skua_describe_topic_request *request)
{
    sk_broker *broker = owner;
    skua_describe_topic_response response = SKUA_DESCRIBE_TOPIC_RESPONSE_INIT;
    const struct sk_topic *topic;
    struct sk_turn turn;
    sk_turn_begin(&turn, broker->ledger);
    struct sk_status status = find_topic(broker, &turn, request->name, &topic);
    if (sk_ok(status) && !describe_queues(broker, topic, rpc_call_arena(call), &response)) {
        status = sk_error(SK_FULL, "no memory for the answer");
    }
    sk_turn_end(&turn);
    if (sk_ok(status)) {
        skua_broker_admin_reply_describe_topic(call, &response);
    } else {
        rpc_call_fail_status(call, status);
    }
}

/* --- the broker ------------------------------------------------------------------------------ */

static bool add_name_servers(sk_broker *broker, sk_arena *arena, skua_describe_broker_response *out)
{
    size_t count = sk_routes_name_servers(broker->routes);
    skua_name_server_status *list = sk_arena_zalloc(arena, count, sizeof *list);
    out->name_servers = sk_arena_zalloc(arena, count, sizeof *out->name_servers);
    if (!list || !out->name_servers) return false;
    for (size_t i = 0; i < count; i++) {
        skua_name_server_status_init(&list[i]);
        list[i].address = (char *)(uintptr_t)broker->config->namesrv.items[i];
        list[i].connected = sk_routes_is_connected(broker->routes, i);
        out->name_servers[out->n_name_servers++] = &list[i];
    }
    return true;
}

static void on_describe_broker(void *owner, rpc_call *call,
                               const skua_describe_broker_request *request)
{
    (void)request;
    sk_broker *broker = owner;
    sk_arena *arena = rpc_call_arena(call);
    skua_describe_broker_response response = SKUA_DESCRIBE_BROKER_RESPONSE_INIT;
    struct sk_route_broker own = {
        .key = {.cluster = sk_slice_of_text(broker->config->cluster), .name = broker->name},
        .incarnation = broker->incarnation,
        .software = SK_SLICE(SKUA_VERSION),
        .plain = broker->plain,
        .tls = broker->tls,
    };
    sk_store *store = sk_ledger_store(broker->ledger);
    struct sk_store_stats stats = sk_store_stats(store);
    response.broker = sk_identity_message(&own, arena);
    response.flush =
        broker->config->flush ? (char *)(uintptr_t) "async" : (char *)(uintptr_t) "sync";
    response.uptime_ms = (sk_mono_us(broker->clock) - broker->started_us) / 1000;
    response.log_begin = sk_store_begin(store);
    response.log_tail = sk_store_tail(store);
    response.log_flushed = stats.flushed;
    response.log_bytes = response.log_tail - response.log_begin;
    response.snapshot_position = stats.snapshot_position;
    response.disk_used_percent = stats.disk_used_percent;
    response.clients = sk_sessions_count(broker->sessions);
    struct sk_turn turn;
    sk_turn_begin(&turn, broker->ledger);
    response.topics = sk_state_topic_count(sk_turn_state(&turn));
    response.groups = sk_state_group_count(sk_turn_state(&turn));
    response.waiting_receives = sk_polls_count(&turn);
    sk_turn_end(&turn);
    if (response.broker && add_name_servers(broker, arena, &response)) {
        skua_broker_admin_reply_describe_broker(call, &response);
    } else {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the answer");
    }
}

static const struct skua_broker_admin_handlers HANDLERS = {
    .create_topic = on_create_topic,
    .delete_topic = on_delete_topic,
    .list_topics = on_list_topics,
    .describe_topic = on_describe_topic,
    .create_group = sk_admin_create_group,
    .delete_group = sk_admin_delete_group,
    .list_groups = sk_admin_list_groups,
    .describe_group = sk_admin_describe_group,
    .describe_broker = on_describe_broker,
};

void sk_mount_admin(sk_broker *broker, rpc_server *server)
{
    skua_broker_admin_mount(server, &HANDLERS, broker);
}
