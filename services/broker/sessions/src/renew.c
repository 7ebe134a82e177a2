/* renew.c - RENEW records, in batches. */
#include "sessions/renew.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"

enum { BATCH = 1024, GOODBYE_MS = 1000 };

struct sk_renewer {
    const struct sk_node *node;
    sk_sessions *sessions;
    struct sk_timer timer;
    struct sk_lease_id first_lease; /* earlier ones were given before this start */
};

struct batch {
    const sk_renewer *renewer;
    uint64_t now_ms;
    struct sk_lease_id first_lease;
    struct sk_lease leases[BATCH];
    size_t count;
};

static bool take_if_due(void *arg, const struct sk_lease *lease, const struct sk_lease_info *info)
{
    struct batch *batch = arg;
    if (info->deadline_ms <= batch->now_ms) return true; /* ended already */
    /* Given before this start: a broker that died in mid-delivery cannot know whether the messages
     * arrived. Renewing them for an owner that never got them would keep them from the group for
     * hours; so they end when their deadline says, and come again. */
    if (sk_lease_id_before(lease->lease, batch->first_lease)) return true;
    if (!sk_sessions_is_alive(batch->renewer->sessions, info->owner)) return true;
    uint64_t limit = batch->renewer->node->config->auto_renew_limit_ms;
    if (info->given_ms + limit <= batch->now_ms) return true;
    batch->leases[batch->count++] = *lease;
    return batch->count < BATCH;
}

static bool take_all(void *arg, const struct sk_lease *lease, const struct sk_lease_info *info)
{
    struct batch *batch = arg;
    if (info->deadline_ms <= batch->now_ms + GOODBYE_MS) return true;
    batch->leases[batch->count++] = *lease;
    return batch->count < BATCH;
}

/* Under the lock, a bounded number; false: they cannot be written. */
static bool write_batch(struct sk_turn *turn, struct batch *batch, uint64_t deadline_ms)
{
    if (batch->count == 0) return true;
    struct sk_buffer payload = {0};
    sk_state_encode_renew(batch->leases, batch->count, deadline_ms, &payload);
    struct sk_status status = sk_turn_write(turn, SK_RECORD_RENEW, sk_buffer_slice(&payload), NULL);
    sk_buffer_done(&payload);
    if (!sk_ok(status)) sk_log_status(SK_WARN, "leases cannot be renewed", status);
    return sk_ok(status);
}

void sk_renewer_run(sk_renewer *renewer)
{
    const struct sk_node *node = renewer->node;
    const struct sk_broker_config *config = node->config;
    uint64_t ahead_ms = 2 * config->auto_renew_interval_ms + 1000;
    if (ahead_ms > config->auto_renew_duration_ms / 2)
        ahead_ms = config->auto_renew_duration_ms / 2;
    struct sk_renewing_cursor at = {0};
    for (bool more = true; more;) {
        struct batch batch = {.renewer = renewer, .first_lease = renewer->first_lease};
        struct sk_turn turn;
        sk_turn_begin(&turn, node->ledger);
        batch.now_ms = sk_turn_now_ms(&turn);
        more = sk_state_each_auto_renewed(sk_turn_state(&turn), batch.now_ms + ahead_ms, 0, &at,
                                          take_if_due, &batch);
        more &= write_batch(&turn, &batch, batch.now_ms + config->auto_renew_duration_ms);
        sk_turn_end(&turn);
    }
}

void sk_renewer_release_owner(sk_renewer *renewer, uint64_t owner)
{
    const struct sk_node *node = renewer->node;
    struct sk_renewing_cursor at = {0};
    for (bool more = true; more;) {
        struct batch batch = {.renewer = renewer};
        struct sk_turn turn;
        sk_turn_begin(&turn, node->ledger);
        batch.now_ms = sk_turn_now_ms(&turn);
        more = sk_state_each_auto_renewed(sk_turn_state(&turn), UINT64_MAX, owner, &at, take_all,
                                          &batch);
        more &= write_batch(&turn, &batch, batch.now_ms + GOODBYE_MS);
        sk_turn_end(&turn);
    }
}

static void on_timer(void *arg)
{
    sk_renewer *renewer = arg;
    const struct sk_node *node = renewer->node;
    sk_sessions_expire(renewer->sessions, node->config->client_expiry_ms);
    sk_renewer_run(renewer);
    sk_timer_set_after_ms(node->timers, &renewer->timer, node->config->auto_renew_interval_ms);
}

sk_renewer *sk_renewer_new(const struct sk_node *node, sk_sessions *sessions)
{
    sk_renewer *renewer = sk_zalloc(1, sizeof *renewer);
    renewer->node = node;
    renewer->sessions = sessions;
    uint64_t tail = sk_store_tail(sk_ledger_store(node->ledger));
    renewer->first_lease = sk_turn_lease_id(&(struct sk_turn){.ledger = node->ledger},
                                            &(struct sk_span){.begin = tail});
    renewer->timer = (struct sk_timer){.fn = on_timer, .arg = renewer};
    sk_timer_set_after_ms(node->timers, &renewer->timer, node->config->auto_renew_interval_ms);
    return renewer;
}

void sk_renewer_free(sk_renewer *renewer)
{
    free(renewer);
}
