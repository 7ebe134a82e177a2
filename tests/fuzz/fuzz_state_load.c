/* fuzz_state_load.c - any bytes as a snapshot: refused in words, or a state that can be saved. */
#include <stdlib.h>

#include "base/assert.h"
#include "state/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was loaded must be able to go on. */
static void create(sk_state *state)
{
    struct sk_buffer b = {0};
    struct sk_fact fact = {.kind = SK_RECORD_TOPIC};
    sk_state_encode_topic(
        &(struct sk_topic_change){SK_SLICE("\1"), SK_TOPIC_NORMAL, false, 2, 2, 3}, &b);
    fact.payload = sk_buffer_slice(&b);
    struct sk_status s = sk_state_apply(state, &fact);
    sk_assert(sk_ok(s) || s.code == SK_CORRUPT);
    b.len = 0;
    sk_state_encode_group(&(struct sk_group_change){SK_SLICE("\1"), 2, false}, &b);
    fact.kind = SK_RECORD_GROUP;
    fact.payload = sk_buffer_slice(&b);
    s = sk_state_apply(state, &fact);
    sk_assert(sk_ok(s) || s.code == SK_CORRUPT);
    sk_buffer_done(&b);
}

static void save_in_pages(sk_state *state)
{
    struct sk_buffer b = {0};
    sk_state *copy = sk_state_new();
    sk_state_save_begin(state);
    while (sk_state_save_page(state, &b, 64)) {
    }
    sk_state_save_end(state);
    sk_assert(sk_ok(sk_state_load(copy, sk_buffer_slice(&b))));
    sk_assert(sk_state_hash(copy) == sk_state_hash(state));
    sk_state_free(copy);
    sk_buffer_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sk_buffer b = {0};
    sk_state *state = sk_state_new(), *copy = sk_state_new();
    struct sk_status s = sk_state_load(state, sk_slice_of(data, size));
    sk_assert(sk_ok(s) || (s.code == SK_CORRUPT && s.detail[0]));
    if (sk_ok(s)) {
        sk_state_save(state, &b);
        sk_assert(sk_ok(sk_state_load(copy, sk_buffer_slice(&b))));
        sk_assert(sk_state_hash(copy) == sk_state_hash(state));
        save_in_pages(state);
        create(state);
    }
    sk_buffer_done(&b);
    sk_state_free(state);
    sk_state_free(copy);
    return 0;
}
