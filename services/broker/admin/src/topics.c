/* topics.c - topics are records in the log, like all else. */
#include "inside.h"
#include "service/report.h"

/* The topic of this name. */
static struct sk_status find_topic(const struct sk_admin *admin, const struct sk_turn *turn,
                                   const char *name, const struct sk_topic **out)
{
    SK_TRY(sk_admin_check_name(name, sk_topic_check));
    *out = sk_state_topic(sk_turn_state(turn), sk_slice_of_text(name));
    if (*out) return SK_SUCCESS;
    return sk_error(SK_NOT_FOUND, "no topic '%s' on broker %s", name, admin->node->config->name);
}

static struct sk_status check_queues(const struct sk_admin *admin, int32_t count, const char *what)
{
    if (count >= 0 && count <= admin->node->config->max_queues) return SK_SUCCESS;
    return sk_error(SK_INVALID, "%s is %d; allowed are 1 to %lld (max_queues)", what, count,
                    (long long)admin->node->config->max_queues);
}

static struct sk_status change_of_topic(const struct sk_admin *admin,
                                        const skua_topic_config *config,
                                        struct sk_topic_change *out)
{
    if (!config) return sk_error(SK_INVALID, "the request has no topic");
    SK_TRY(sk_admin_check_name(config->name, sk_topic_check));
    SK_TRY(check_queues(admin, config->read_queues, "read_queues"));
    SK_TRY(check_queues(admin, config->write_queues, "write_queues"));
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
                                              : (int32_t)admin->node->config->default_queues;
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

static bool same_topic(const struct sk_topic *topic, const struct sk_topic_change *change)
{
    return topic->type == change->type && topic->mixed == change->mixed &&
           topic->read_queues == change->read_queues &&
           topic->write_queues == change->write_queues && topic->permission == change->permission;
}

/* How much of the topic is made in one hold of the lock: a millisecond's worth. */
enum { QUEUES_IN_A_TURN = 16384 };

static uint32_t at_most(uint32_t queues, uint32_t limit)
{
    return queues < limit ? queues : limit;
}

/* The topic as asked for, but of its queues only the first `limit`. */
static struct sk_status write_topic(struct sk_turn *turn, const struct sk_topic_change *change,
                                    uint32_t limit, uint64_t *position)
{
    struct sk_topic_change part = *change;
    struct sk_buffer payload = {0};
    part.read_queues = at_most(change->read_queues, limit);
    part.write_queues = at_most(change->write_queues, limit);
    sk_state_encode_topic(&part, &payload);
    return sk_admin_write(turn, SK_RECORD_TOPIC, &payload, position);
}

static struct sk_status create_topic(struct sk_admin *admin, struct sk_turn *turn,
                                     const struct sk_topic_change *change, bool *created,
                                     uint64_t *position)
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
    if (topic) return SK_SUCCESS;
    if (sk_state_topic_count(state) >= (size_t)admin->node->config->max_topics) {
        return sk_error(SK_FULL, "the broker has %lld topics already (max_topics)",
                        (long long)admin->node->config->max_topics);
    }
    *created = true;
    return write_topic(turn, change, QUEUES_IN_A_TURN, position);
}

/* The rest of a wide topic's queues, in turns of their own. */
static struct sk_status widen_topic(struct sk_admin *admin, const struct sk_topic_change *change,
                                    uint64_t *position)
{
    struct sk_status status = SK_SUCCESS;
    uint32_t queues =
        change->read_queues > change->write_queues ? change->read_queues : change->write_queues;
    for (uint32_t made = QUEUES_IN_A_TURN; sk_ok(status) && made < queues;) {
        struct sk_turn turn;
        sk_turn_begin(&turn, admin->node->ledger);
        made += QUEUES_IN_A_TURN;
        status = sk_state_topic(sk_turn_state(&turn), change->name)
                     ? write_topic(&turn, change, made, position)
                     : sk_error(SK_NOT_FOUND, "the topic was deleted while it was made");
        sk_turn_end(&turn);
    }
    return status;
}

static struct sk_status create_whole_topic(struct sk_admin *admin,
                                           const struct sk_topic_change *change, bool *created,
                                           uint64_t *position)
{
    struct sk_turn turn;
    sk_turn_begin(&turn, admin->node->ledger);
    struct sk_status status = create_topic(admin, &turn, change, created, position);
    sk_turn_end(&turn);
    return sk_ok(status) && *created ? widen_topic(admin, change, position) : status;
}

/* As the change says: a topic that was there already is the same, or it was refused. */
static skua_topic_config *message_of_change(const struct sk_topic_change *change, sk_arena *arena)
{
    struct sk_topic topic = {.name = change->name,
                             .type = change->type,
                             .mixed = change->mixed,
                             .read_queues = change->read_queues,
                             .write_queues = change->write_queues,
                             .permission = change->permission};
    return topic_message(&topic, arena);
}

void sk_admin_create_topic(void *owner, rpc_call *call, const skua_create_topic_request *request)
{
    struct sk_admin *admin = owner;
    sk_arena *arena = rpc_call_arena(call);
    struct sk_topic_change change;
    bool created = false;
    uint64_t position = 0;
    skua_create_topic_response *response = sk_arena_alloc(arena, sizeof *response);
    struct sk_status status = change_of_topic(admin, request->topic, &change);
    skua_topic_config *topic = sk_ok(status) ? message_of_change(&change, arena) : NULL;
    if (sk_ok(status) && !(response && topic))
        status = sk_error(SK_FULL, "no memory for the answer");
    if (sk_ok(status)) status = create_whole_topic(admin, &change, &created, &position);
    if (!sk_ok(status)) {
        rpc_call_fail_status(call, status);
        return;
    }
    skua_create_topic_response_init(response);
    response->topic = topic;
    response->created = created;
    sk_admin_reply(admin, call, &response->base, position);
}

void sk_admin_delete_topic(void *owner, rpc_call *call, const skua_delete_topic_request *request)
{
    struct sk_admin *admin = owner;
    uint64_t position = 0;
    struct sk_slice name = sk_slice_of_text(request->name);
    const struct sk_topic *topic;
    struct sk_turn turn;
    sk_turn_begin(&turn, admin->node->ledger);
    struct sk_status status = find_topic(admin, &turn, request->name, &topic);
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
    sk_admin_reply(admin, call, &response.base, position);
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

void sk_admin_list_topics(void *owner, rpc_call *call,
                          const skua_list_broker_topics_request *request)
{
    (void)request;
    struct sk_admin *admin = owner;
    skua_list_broker_topics_response response = SKUA_LIST_BROKER_TOPICS_RESPONSE_INIT;
    bool fits = true, more = true;
    while (fits && more) {
        struct sk_turn turn;
        sk_turn_begin(&turn, admin->node->ledger);
        fits = list_page(&turn, rpc_call_arena(call), &response, &more);
        sk_turn_end(&turn);
    }
    if (fits) {
        skua_broker_admin_reply_list_topics(call, &response);
    } else {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "too many topics for one answer");
    }
}

static bool describe_queues(struct sk_admin *admin, const struct sk_topic *topic, sk_arena *arena,
                            skua_describe_topic_response *out)
{
    size_t count = topic->queue_count;
    skua_queue_status *queues = sk_arena_zalloc(arena, count, sizeof *queues);
    out->queues = sk_arena_zalloc(arena, count, sizeof *out->queues);
    out->topic = topic_message(topic, arena);
    if (!queues || !out->queues || !out->topic) return false;
    for (size_t i = 0; i < count; i++) {
        struct sk_queue_range range =
            sk_store_queue(sk_ledger_store(admin->node->ledger), topic->queues[i]);
        skua_queue_status_init(&queues[i]);
        queues[i].id = (int32_t)i;
        queues[i].broker = (char *)(uintptr_t)admin->node->config->name;
        queues[i].min_offset = (int64_t)range.min;
        queues[i].max_offset = (int64_t)range.max;
        out->queues[out->n_queues++] = &queues[i];
    }
    return true;
}

void sk_admin_describe_topic(void *owner, rpc_call *call,
                             const skua_describe_topic_request *request)
{
    struct sk_admin *admin = owner;
    skua_describe_topic_response response = SKUA_DESCRIBE_TOPIC_RESPONSE_INIT;
    const struct sk_topic *topic;
    struct sk_turn turn;
    sk_turn_begin(&turn, admin->node->ledger);
    struct sk_status status = find_topic(admin, &turn, request->name, &topic);
    if (sk_ok(status) && !describe_queues(admin, topic, rpc_call_arena(call), &response)) {
        status = sk_error(SK_FULL, "no memory for the answer");
    }
    sk_turn_end(&turn);
    if (sk_ok(status)) {
        skua_broker_admin_reply_describe_topic(call, &response);
    } else {
        rpc_call_fail_status(call, status);
    }
}
