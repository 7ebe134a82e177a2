/* fuzz_state_apply.c - any bytes as records: refused in words or applied, and then as good as any.
 *
 * The input is a row of records: kind, length of the payload, payload. A MESSAGE's payload is one
 * byte, its queue; its offset is the next one. Before them stand a topic of two queues with 80
 * messages each, and a group. After them the state must survive a snapshot and a few questions. */
#include <stdlib.h>

#include "base/assert.h"
#include "state/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t position;

static bool apply(sk_state *state, uint8_t kind, struct sk_slice payload)
{
    position += 50;
    struct sk_fact fact = {.kind = kind,
                           .epoch = 2,
                           .payload = payload,
                           .position = position,
                           .time_ms = position * 10};
    if (kind == SK_RECORD_MESSAGE) {
        fact.queue = payload.len ? payload.data[0] : 0;
        fact.offset = sk_state_next_offset(state, fact.queue);
    }
    struct sk_status s = sk_state_apply(state, &fact);
    sk_assert(sk_ok(s) || (s.code == SK_CORRUPT && s.detail[0]));
    return sk_ok(s);
}

static sk_state *prepared(void)
{
    sk_state *state = sk_state_new();
    struct sk_buffer b = {0};
    position = 0;
    struct sk_topic_change topic = {SK_SLICE("t"), SK_TOPIC_NORMAL, false, 2, 2, 3};
    sk_state_encode_topic(&topic, &b);
    sk_assert(apply(state, SK_RECORD_TOPIC, sk_buffer_slice(&b)));
    b.len = 0;
    sk_state_encode_group(&(struct sk_group_change){SK_SLICE("g"), 16, false}, &b);
    sk_assert(apply(state, SK_RECORD_GROUP, sk_buffer_slice(&b)));
    sk_buffer_done(&b);
    for (uint8_t queue = 0; queue < 2; queue++)
        for (int i = 0; i < 80; i++)
            sk_assert(apply(state, SK_RECORD_MESSAGE, sk_slice_of(&queue, 1)));
    return state;
}

/* Sixty thousand queues in one record are legal, and slow: topics here have at most 255. */
static struct sk_slice with_few_queues(struct sk_slice payload)
{
    static uint8_t copy[256];
    if (payload.len < 12) return payload;
    memcpy(copy, payload.data, payload.len);
    memset(copy + 5, 0, 3);
    memset(copy + 9, 0, 3);
    return sk_slice_of(copy, payload.len);
}

static bool apply_all(sk_state *state, const uint8_t *data, size_t size)
{
    for (const uint8_t *end = data + size; end - data >= 2;) {
        uint8_t kind = data[0];
        size_t len = data[1], left = (size_t)(end - data) - 2;
        if (len > left) len = left;
        struct sk_slice payload = sk_slice_of(data + 2, len);
        if (kind == SK_RECORD_TOPIC) payload = with_few_queues(payload);
        if (!apply(state, kind, payload)) return false;
        data += 2 + len;
    }
    return true;
}

static void range(void *owner, uint32_t store_queue, uint64_t *min, uint64_t *visible)
{
    *visible = sk_state_next_offset(owner, store_queue);
    *min = *visible / 8;
}

static size_t tags(void *owner, uint32_t store_queue, uint64_t offset, size_t count,
                   uint32_t *hashes)
{
    (void)owner;
    (void)store_queue;
    for (size_t i = 0; i < count; i++) hashes[i] = (uint32_t)(offset + i) % 3;
    return count;
}

/* What choose decides, apply must take; twice the same must not be leased. */
static void receive(sk_state *state, const uint32_t *wanted)
{
    static struct sk_chosen chosen[64];
    struct sk_buffer b = {0};
    struct sk_queue_view view = {range, tags, state};
    struct sk_choose how = {.group = 1,
                            .topic = 1,
                            .now_ms = 1,
                            .count = 64,
                            .deadline_ms = 1 << 20,
                            .tag_hashes = wanted,
                            .tag_hash_count = 1,
                            .owner = 3};
    size_t count = sk_state_choose(state, &how, &view, chosen, &b);
    if (b.len) sk_assert(apply(state, SK_RECORD_DELIVER, sk_buffer_slice(&b)));
    for (size_t i = 0; i < count; i++) {
        struct sk_lease lease = {1, 1, chosen[i].queue, chosen[i].offset, {2, position}};
        struct sk_lease_info info;
        sk_assert(sk_state_check_lease(state, &lease, 1, &info));
        sk_assert(info.attempt == chosen[i].attempt);
    }
    sk_buffer_done(&b);
}

static void reload(const sk_state *state)
{
    struct sk_buffer b = {0};
    sk_state *copy = sk_state_new();
    sk_state_save(state, &b);
    sk_assert(sk_ok(sk_state_load(copy, sk_buffer_slice(&b))));
    sk_assert(sk_state_hash(copy) == sk_state_hash(state));
    sk_state_free(copy);
    sk_buffer_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t wanted[] = {1};
    sk_state *state = prepared();
    if (apply_all(state, data, size)) {
        (void)sk_state_next_deadline(state, 1, 1);
        reload(state);
        receive(state, wanted);
        receive(state, NULL);
        reload(state);
    }
    sk_state_free(state);
    return 0;
}
