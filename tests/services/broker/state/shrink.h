/* shrink.h - a random run in a process of its own; if it fails, the few steps that it takes.
 *
 *     static void perform(const struct trial *trial)
 *     {
 *         for (n = 0; n < trial->steps; n++) {
 *             if (trial->without && trial->without[n]) continue;
 *             trial_at(trial, n);
 *             ... a step that draws from (trial->seed, n) alone ...
 *             trial_must_equal(trial, got, want, "what it is");
 *         }
 *     }
 *     if (trial_fails(perform, seed, steps, why, sizeof why)) ck_abort_msg("%s", why);
 *
 * A crash, an assertion and a sanitizer's report are failures, too. */
#ifndef TESTS_STATE_SHRINK_H
#define TESTS_STATE_SHRINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trial {
    uint64_t seed, steps;
    const bool *without; /* steps to be left out; NULL: none */
    bool tells;          /* each step is to be printed */
};

typedef void trial_fn(const struct trial *trial);

/* Runs it; on failure finds the shortest beginning that fails, leaves out of that what does not
 * matter, prints the steps that are left, and says in `why` what fails there. */
bool trial_fails(trial_fn *perform, uint64_t seed, uint64_t steps, char *why, size_t room);

/* From inside a run. */
void trial_at(const struct trial *trial, uint64_t step);
void trial_must_equal(const struct trial *trial, uint64_t got, uint64_t want, const char *what);
__attribute__((format(printf, 2, 3))) void trial_tell(const struct trial *trial, const char *fmt,
                                                      ...);

#endif
