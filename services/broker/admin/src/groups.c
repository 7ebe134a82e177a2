/* groups.c - consumer groups, and where they stand. */
#include "inside.h"

/* The group of this name. */
static struct sk_status find_group(const struct sk_admin *admin, const struct sk_turn *turn,
                                   const char *name, const struct sk_group **out)
{
    SK_TRY(sk_admin_check_name(name, sk_group_check));
    *out = sk_state_group(sk_turn_state(turn), sk_slice_of_text(name));
    if (*out) return SK_SUCCESS;
    return sk_error(SK_NOT_FOUND, "no consumer group '%s' on broker %s", name,
                    admin->node->config->name);
}

static skua_group_config *group_message(const struct sk_group *group, sk_arena *arena)
{
    skua_group_config *message = sk_arena_alloc(arena, sizeof *message);
    char *name = sk_arena_text(arena, group->name);
    if (!message || !name) return NULL;
    skua_group_config_init(message);
    message->name = name;
    message->max_attempts = (int32_t)group->max_attempts;
    message->orderly = group->orderly;
    return message;
}

/* --- groups ---------------------------------------------------------------------------------- */

static struct sk_status change_of_group(const struct sk_admin *admin,
                                        const skua_group_config *config,
                                        struct sk_group_change *out)
{
    enum { MOST_ATTEMPTS = 1000 };
    if (!config) return sk_error(SK_INVALID, "the request has no group");
    SK_TRY(sk_admin_check_name(config->name, sk_group_check));
    if (config->max_attempts < 0 || config->max_attempts > MOST_ATTEMPTS) {
        return sk_error(SK_INVALID, "max_attempts is %d; allowed are 1 to %d, or 0 for the default",
                        config->max_attempts, MOST_ATTEMPTS);
    }
    int64_t attempts =
        config->max_attempts ? config->max_attempts : admin->node->config->max_attempts;
    *out = (struct sk_group_change){.name = sk_slice_of_text(config->name),
                                    .max_attempts = (uint32_t)attempts,
                                    .orderly = config->orderly};
    return SK_SUCCESS;
}

static struct sk_status create_group(struct sk_admin *admin, struct sk_turn *turn,
                                     const struct sk_group_change *change, sk_arena *arena,
                                     skua_create_group_response *out, uint64_t *position)
{
    const sk_state *state = sk_turn_state(turn);
    const struct sk_group *group = sk_state_group(state, change->name);
    if (group &&
        (group->max_attempts != change->max_attempts || group->orderly != change->orderly)) {
        return sk_error(SK_EXISTS,
                        "consumer group '%.*s' exists with other settings: max_attempts %u, %s",
                        SK_SLICE_ARGS(change->name), group->max_attempts,
                        group->orderly ? "orderly" : "not orderly");
    }
    out->created = !group;
    if (!group) {
        if (sk_state_group_count(state) >= (size_t)admin->node->config->max_groups) {
            return sk_error(SK_FULL, "the broker has %lld consumer groups already (max_groups)",
                            (long long)admin->node->config->max_groups);
        }
        struct sk_buffer payload = {0};
        sk_state_encode_group(change, &payload);
        SK_TRY(sk_admin_write(turn, SK_RECORD_GROUP, &payload, position));
        group = sk_state_group(state, change->name);
    }
    out->group = group_message(group, arena);
    return out->group ? SK_SUCCESS : sk_error(SK_FULL, "no memory for the answer");
}

void sk_admin_create_group(void *owner, rpc_call *call, const skua_create_group_request *request)
{
    struct sk_admin *admin = owner;
    sk_arena *arena = rpc_call_arena(call);
    struct sk_group_change change;
    uint64_t position = 0;
    skua_create_group_response *response = sk_arena_alloc(arena, sizeof *response);
    struct sk_status status = change_of_group(admin, request->group, &change);
    if (sk_ok(status) && response) {
        skua_create_group_response_init(response);
        struct sk_turn turn;
        sk_turn_begin(&turn, admin->node->ledger);
        status = create_group(admin, &turn, &change, arena, response, &position);
        sk_turn_end(&turn);
    }
    if (!sk_ok(status)) {
        rpc_call_fail_status(call, status);
        return;
    }
    sk_admin_reply(admin, call, response ? &response->base : NULL, position);
}

void sk_admin_delete_group(void *owner, rpc_call *call, const skua_delete_group_request *request)
{
    struct sk_admin *admin = owner;
    uint64_t position = 0;
    struct sk_slice name = sk_slice_of_text(request->name);
    const struct sk_group *group;
    struct sk_turn turn;
    sk_turn_begin(&turn, admin->node->ledger);
    struct sk_status status = find_group(admin, &turn, request->name, &group);
    if (sk_ok(status)) {
        struct sk_buffer payload = {0};
        sk_state_encode_group_deleted(name, &payload);
        status = sk_admin_write(&turn, SK_RECORD_GROUP_DELETED, &payload, &position);
    }
    sk_turn_end(&turn);
    if (!sk_ok(status)) {
        rpc_call_fail_status(call, status);
        return;
    }
    static skua_delete_group_response response = SKUA_DELETE_GROUP_RESPONSE_INIT;
    sk_admin_reply(admin, call, &response.base, position);
}

/* The groups after the last one of `out`, at most a page. False: no memory. */
static bool list_page(const struct sk_turn *turn, sk_arena *arena, skua_list_groups_response *out,
                      bool *more)
{
    size_t n = out->n_groups;
    struct sk_slice last = n ? sk_slice_of_text(out->groups[n - 1]->name) : SK_EMPTY;
    skua_group_config **list = sk_arena_alloc(arena, (n + SK_ADMIN_PAGE) * sizeof *list);
    if (!list) return false;
    if (n) memcpy(list, out->groups, n * sizeof *list);
    out->groups = list;
    size_t cursor = sk_state_groups_after(sk_turn_state(turn), last);
    const struct sk_group *group = NULL;
    for (size_t i = 0; i < SK_ADMIN_PAGE; i++) {
        group = sk_state_next_group(sk_turn_state(turn), &cursor);
        if (!group) break;
        if (!(list[out->n_groups] = group_message(group, arena))) return false;
        out->n_groups++;
    }
    *more = group != NULL;
    return true;
}

void sk_admin_list_groups(void *owner, rpc_call *call, const skua_list_groups_request *request)
{
    (void)request;
    struct sk_admin *admin = owner;
    skua_list_groups_response response = SKUA_LIST_GROUPS_RESPONSE_INIT;
    bool fits = true, more = true;
    while (fits && more) {
        struct sk_turn turn;
        sk_turn_begin(&turn, admin->node->ledger);
        fits = list_page(&turn, rpc_call_arena(call), &response, &more);
        sk_turn_end(&turn);
    }
    if (fits) {
        skua_broker_admin_reply_list_groups(call, &response);
    } else {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "too many consumer groups for one answer");
    }
}

/* --- where a group stands -------------------------------------------------------------------- */

struct description {
    struct sk_slice last; /* name of the last topic that was looked at */
    sk_arena *arena;
    skua_describe_group_response response;
    size_t room_queues, room_clients;
    bool failed;
};

/* Make room for one more pointer in a list that lives in the arena. */
static void *grow(struct description *d, void *list, size_t count, size_t *room)
{
    if (count < *room) return list;
    size_t more = *room ? *room * 2 : 16;
    void **bigger = sk_arena_zalloc(d->arena, more, sizeof *bigger);
    if (!bigger) return NULL;
    if (count) memcpy(bigger, list, count * sizeof *bigger);
    *room = more;
    return bigger;
}

static void add_queue(struct sk_admin *admin, struct description *d, const struct sk_topic *topic,
                      uint32_t queue, const struct sk_cursor *cursor)
{
    skua_describe_group_response *r = &d->response;
    skua_group_queue_status *status = sk_arena_alloc(d->arena, sizeof *status);
    void *list = grow(d, r->queues, r->n_queues, &d->room_queues);
    if (!status || !list) {
        d->failed = true;
        return;
    }
    struct sk_queue_range range =
        sk_store_queue(sk_ledger_store(admin->node->ledger), topic->queues[queue]);
    uint64_t committed = cursor->committed > range.min ? cursor->committed : range.min;
    skua_group_queue_status_init(status);
    status->topic = sk_arena_text(d->arena, topic->name);
    status->queue = (int32_t)queue;
    status->broker = (char *)(uintptr_t)admin->node->config->name;
    status->min_offset = (int64_t)range.min;
    status->max_offset = (int64_t)range.max;
    status->committed_offset = (int64_t)cursor->committed;
    status->inflight = (int64_t)cursor->inflight;
    status->lag = (int64_t)(range.max > committed ? range.max - committed : 0);
    d->failed = d->failed || !status->topic;
    r->queues = list;
    r->queues[r->n_queues++] = status;
}

static void add_client(void *arg, const struct sk_session_view *view)
{
    struct description *d = arg;
    skua_describe_group_response *r = &d->response;
    skua_client_status *status = sk_arena_alloc(d->arena, sizeof *status);
    void *list = grow(d, r->clients, r->n_clients, &d->room_clients);
    if (!status || !list) {
        d->failed = true;
        return;
    }
    skua_client_status_init(status);
    status->client_id = sk_arena_text(d->arena, sk_slice_of_text(view->client_id));
    status->language = sk_arena_text(d->arena, sk_slice_of_text(view->language));
    status->version = sk_arena_text(d->arena, sk_slice_of_text(view->version));
    status->address = sk_arena_text(d->arena, sk_slice_of_text(view->address));
    status->type = view->type;
    d->failed = d->failed || !status->client_id || !status->language || !status->version ||
                !status->address;
    r->clients = list;
    r->clients[r->n_clients++] = status;
}

static void describe_in_topic(struct sk_admin *admin, const sk_state *state, uint32_t group,
                              const struct sk_topic *topic, struct description *d)
{
    for (uint32_t i = 0; i < topic->queue_count; i++) {
        struct sk_cursor cursor;
        if (sk_state_cursor(state, group, topic->id, i, &cursor))
            add_queue(admin, d, topic, i, &cursor);
    }
}

/* Where the group stands in the topics after d->last, at most a page. False: that was all. */
static bool describe_page(struct sk_admin *admin, const struct sk_turn *turn, uint32_t group,
                          struct description *d)
{
    const sk_state *state = sk_turn_state(turn);
    const struct sk_topic *topic = NULL;
    size_t cursor = sk_state_topics_after(state, d->last);
    for (size_t i = 0; !d->failed && i < SK_ADMIN_PAGE; i++) {
        topic = sk_state_next_topic(state, &cursor);
        if (!topic) return false;
        describe_in_topic(admin, state, group, topic, d);
        if (i + 1 < SK_ADMIN_PAGE) continue;
        d->last = (struct sk_slice){sk_arena_copy(d->arena, topic->name.data, topic->name.len),
                                    topic->name.len};
        d->failed |= d->last.data == NULL;
    }
    return !d->failed;
}

/* Names and memory are the call's, so the pages fit together although the state may change between
 * them. */
static struct sk_status describe_group(struct sk_admin *admin, struct sk_slice name,
                                       struct description *d)
{
    const struct sk_group *group;
    for (bool more = true, first = true; more; first = false) {
        struct sk_turn turn;
        sk_turn_begin(&turn, admin->node->ledger);
        struct sk_status status = find_group(admin, &turn, (const char *)name.data, &group);
        if (sk_ok(status) && first) {
            d->response.group = group_message(group, d->arena);
            d->failed = d->response.group == NULL;
        }
        more = sk_ok(status) && !d->failed && describe_page(admin, &turn, group->id, d);
        sk_turn_end(&turn);
        SK_TRY(status);
    }
    if (!d->failed) sk_sessions_each_of_group(admin->sessions, name, add_client, d);
    return SK_SUCCESS;
}

void sk_admin_describe_group(void *owner, rpc_call *call,
                             const skua_describe_group_request *request)
{
    struct sk_admin *admin = owner;
    struct description d = {.arena = rpc_call_arena(call),
                            .response = SKUA_DESCRIBE_GROUP_RESPONSE_INIT};
    struct sk_status status = describe_group(admin, sk_slice_of_text(request->name), &d);
    if (!sk_ok(status)) {
        rpc_call_fail_status(call, status);
    } else if (d.failed) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "too much for one answer");
    } else {
        skua_broker_admin_reply_describe_group(call, &d.response);
    }
}
