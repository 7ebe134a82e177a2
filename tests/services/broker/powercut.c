/* powercut.c - the broker's log and state under power cuts: small random lives of a ledger (state
 * machine over the store, no gRPC), and what each disk image that a cut may leave must still hold.
 * On top of what tests/libstore/powercut.c asks of the store (reliability.md 2.2, I1..I6):
 *
 *   state   its hash is the one that the live broker had after as many records: from snapshot +
 *           replay, from the first record alone, and after a cut within the recovery
 *   I8      a message that was acknowledged is not delivered again; a lease that was given lives on
 *           under its id until its deadline, and nobody else gets the message before; all else can
 *           be received
 *   queues  of deleted topics are gone, those of the others are dense and hold the bytes sent
 *
 * The second of these is held against a model of its own, not against the state machine.
 *
 * A life creates, widens and deletes topics and groups; sends, alone and in batches; receives,
 * acknowledges, changes and renews leases, gives back, seeks; lets time pass; flushes, takes
 * snapshots while leases live, lets old segments go; stops, starts, is killed. */
#include "powercut.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/memory.h"

static uint64_t clock_mono(const struct sk_clock *clock)
{
    const struct work *w = (const void *)((const char *)clock - offsetof(struct work, clock));
    return w->now_ms * 1000;
}

static uint64_t clock_wall(const struct sk_clock *clock)
{
    return clock_mono(clock) / 1000;
}

static void *begin(uint64_t seed)
{
    struct work *w = sk_zalloc(1, sizeof *w);
    w->dice.state = seed * 0x9e3779b97f4a7c15u;
    w->clock = (struct sk_clock){clock_mono, clock_wall};
    w->now_ms = 1000000;
    w->segment_bytes = 8192 + 4096 * power_below(&w->dice, 2);
    w->retention_bytes = power_below(&w->dice, 2) * 8192;
    w->hashes = sk_zalloc(1, sizeof *w->hashes);
    w->times = sk_zalloc(1, sizeof *w->times);
    w->hash_room = 1;
    sk_state *empty = sk_state_new();
    w->epochs = sk_zalloc(1, sizeof *w->epochs);
    w->hashes[0] = sk_state_hash(empty);
    sk_state_free(empty);
    return w;
}

static void judge(void *work, size_t ops, uint64_t records)
{
    struct work *w = work;
    power_past_judge(&w->past, ops, records);
}

static void end(void *work)
{
    struct work *w = work;
    power_past_done(&w->past);
    free(w->hashes);
    free(w->times);
    free(w->events);
    free(w->epochs);
    free(w);
}

int main(int argc, char **argv)
{
    static const struct power_subject subject = {
        "broker", 3, begin, powercut_live, powercut_recover, judge, end,
    };
    return power_main(argc, argv, &subject);
}
