/* mutate_one.c - the mutator of targets whose input is one serialized message. */
#include "mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    uint32_t state = seed;
    if (mutate_random(&state) % 4 == 0) return LLVMFuzzerMutate(data, size, max_size);
    return mutate_message(data, size, max_size, &state);
}
