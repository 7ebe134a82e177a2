/* mutate.h - changes to serialized messages that leave them messages, for libFuzzer.
 *
 * Random bytes seldom get past the lengths of nested messages; these changes mend the lengths of
 * all that is around them. Only in the preset `fuzz`. */
#ifndef TESTS_FUZZ_MUTATE_H
#define TESTS_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* A small generator, seeded by libFuzzer. */
uint32_t mutate_random(uint32_t *state);

/* Change one thing in the message data[0 .. len); returns its new length, at most `room`. */
size_t mutate_message(uint8_t *data, size_t len, size_t room, uint32_t *state);

#endif
