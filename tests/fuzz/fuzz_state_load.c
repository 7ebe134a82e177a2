/* fuzz_state_load.c - any bytes as a snapshot: refused in words, or a state that can be saved. */
#include <stdlib.h>

#include "base/assert.h"
#include "state/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    }
    sk_buffer_done(&b);
    sk_state_free(state);
    sk_state_free(copy);
    return 0;
}
