/* follow.c - what follows from a fact, whoever caused it: a handler's commit, a replay, a primary's
 * log.
 *
 *   fact                       primary                            replica
 *   a message                  news: seen, and its polls woken,   news
 *                              when it is committed
 *   a lease with an end        polls of its group look again      -
 *   a lease given back, sought at once                            -
 *   topic created, changed     the configuration is reported      the same
 *   topic deleted              its polls are told; its queues     the same
 *                              leave the store, step by step
 *   group created, changed     the configuration is reported      the same
 *   group deleted              its polls are told                 the same
 *
 * During an opening nobody watches: there are no polls, everything that is left is committed, and
 * the store asks about its queues at the end (fold.keeps). */
#include "inside.h"

/* A replica has no leases of its own to watch, and answers nobody for them. */
static bool is_primary(const sk_ledger *ledger)
{
    return atomic_load_explicit(&ledger->role, memory_order_relaxed) == SK_PRIMARY;
}

static void on_message(void *owner, uint32_t topic, uint32_t queue, uint32_t store_queue,
                       uint64_t offset, const struct sk_fact *fact)
{
    (void)queue, (void)fact;
    sk_ledger *ledger = owner;
    struct sk_news message = {.end = ledger->applying_end,
                              .next_offset = offset + 1,
                              .store_queue = store_queue,
                              .topic = topic};
    sk_news_put(&ledger->news, &message);
}

static void on_lease_ends(void *owner, uint32_t group, uint32_t topic, uint64_t deadline_ms)
{
    sk_ledger *ledger = owner;
    if (is_primary(ledger)) sk_polls_lease_ends(ledger, group, topic, deadline_ms);
}

static void on_config(void *owner, uint32_t id)
{
    (void)id;
    sk_ledger *ledger = owner;
    atomic_store(&ledger->config_changed, true);
}

static void on_topic_deleted(void *owner, uint32_t topic)
{
    sk_polls_topic_gone(owner, topic);
    on_config(owner, topic);
}

static void on_queues_gone(void *owner, const uint32_t *store_queues, size_t count)
{
    sk_ledger *ledger = owner;
    for (size_t i = 0; i < count; i++) sk_store_drop_queue(ledger->store, store_queues[i]);
}

static void on_group_deleted(void *owner, uint32_t group)
{
    sk_polls_group_gone(owner, group);
    on_config(owner, group);
}

void sk_follow(sk_ledger *ledger)
{
    sk_state_watch(ledger->state, &(struct sk_state_watcher){.message = on_message,
                                                             .lease_ends = on_lease_ends,
                                                             .topic_changed = on_config,
                                                             .topic_deleted = on_topic_deleted,
                                                             .queues_gone = on_queues_gone,
                                                             .group_changed = on_config,
                                                             .group_deleted = on_group_deleted,
                                                             .owner = ledger});
}

void sk_follow_commit(sk_ledger *ledger)
{
    struct sk_news seen;
    uint64_t committed = sk_promise_position(ledger->promise);
    while (sk_news_take(&ledger->news, committed, &seen))
        sk_polls_topic_has_news(ledger, seen.topic);
}
