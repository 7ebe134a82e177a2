/* state.c - the life of a state, and the one door through which it changes. */
#include "internal.h"

#include <stdlib.h>

sk_state *sk_state_new(void)
{
    sk_state *state = sk_zalloc(1, sizeof *state);
    state->pool.saver = &state->saver;
    return state;
}

void sk_state_free(sk_state *state)
{
    if (!state) return;
    sk_saver_done(&state->saver);                  /* nothing needs to be kept any more, */
    state->watcher = (struct sk_state_watcher){0}; /* and nobody is told */
    sk_catalogue_done(state);
    sk_pool_done(&state->pool);
    free(state->renewing);
    free(state);
}

void sk_state_watch(sk_state *state, const struct sk_state_watcher *watcher)
{
    state->watcher = watcher ? *watcher : (struct sk_state_watcher){0};
}

typedef const char *apply_fn(sk_state *state, const struct sk_fact *fact);

static apply_fn *const appliers[] = {
    [SK_RECORD_TOPIC] = sk_apply_topic,     [SK_RECORD_TOPIC_DELETED] = sk_apply_topic_deleted,
    [SK_RECORD_GROUP] = sk_apply_group,     [SK_RECORD_GROUP_DELETED] = sk_apply_group_deleted,
    [SK_RECORD_MESSAGE] = sk_apply_message, [SK_RECORD_DELIVER] = sk_apply_deliver,
    [SK_RECORD_ACK] = sk_apply_leases,      [SK_RECORD_CHANGE] = sk_apply_leases,
    [SK_RECORD_RENEW] = sk_apply_leases,    [SK_RECORD_RELEASE] = sk_apply_leases,
    [SK_RECORD_SEEK] = sk_apply_seek,
};

struct sk_status sk_state_apply(sk_state *state, const struct sk_fact *fact)
{
    bool known = fact->kind < sizeof appliers / sizeof appliers[0] && appliers[fact->kind];
    const char *wrong = known ? appliers[fact->kind](state, fact) : "its kind is unknown";
    sk_state_sweep(state);
    if (!wrong) return SK_SUCCESS;
    return sk_error(SK_CORRUPT, "%s record (kind %u) at position %llu: %s",
                    sk_record_kind_name(fact->kind), (unsigned)fact->kind,
                    (unsigned long long)fact->position, wrong);
}

bool sk_state_sweep(sk_state *state)
{
    if (!sk_has_buried(state)) return false;
    sk_sweep(state, SK_SWEEP);
    return sk_has_buried(state);
}

uint64_t sk_state_config_version(const sk_state *state)
{
    return state->config_version;
}
