/* power_proof.h - the main() of a proof by power cuts.
 *
 * A *subject* is what keeps promises: a store, a broker. It lives a small random life on a disk
 * in memory; the power is cut after each operation of that life in every way that the sync
 * contract allows (memory_cuts.h), each image is recovered and judged, some of the recoveries are
 * cut as well, and one image is where the next life begins: what one life left behind must not
 * disturb the next.
 *
 *      life 0 ──cuts──► images ──recover──► how many records came back ──judge──► as promised?
 *                          │                   └── some: cut again ──recover──► the same number
 *                          └── one of them ──► life 1 ──cuts──► …
 *
 * An image that was seen before in the same life is judged again, not recovered again.
 *
 *     PROGRAM [--first SEED] [--seeds N] [--deep] [--jobs N] [--least N]
 *     PROGRAM [--deep] --only SEED LIFE OPS CHOICE
 *
 *     SKUA_POWERCUT_SEEDS=n     not more than so many seeds, whatever --seeds and --least say
 *
 * --deep takes more combinations at each cut; with --least fewer distinct images than so many are
 * a failure, too. Ends 0 if all held; the last line says what was counted. Otherwise it names the
 * image, and how to see that one again. */
#ifndef TESTS_SUPPORT_POWER_PROOF_H
#define TESTS_SUPPORT_POWER_PROOF_H

#include "base/status.h"
#include "support/memory_vfs.h"

struct power_subject {
    const char *name;
    int lives; /* of each seed */
    void *(*begin)(uint64_t seed);
    /* Open what is on the disk, work, and close it. `life` counts from 0, on an empty disk. */
    void (*live)(void *work, struct memory_vfs *disk, int life);
    /* Recover an image of the last life, and hold what came back against what was done: the
     * invariants that need no knowledge of when the power went. Returns how many records came
     * back; *steps: the operations on the disk that this took. `thorough`: look at all of it;
     * else at what every image must hold. */
    uint64_t (*recover)(void *work, struct memory_vfs *image, bool thorough, size_t *steps);
    /* May so many records be what a cut after `ops` operations leaves? */
    void (*judge)(void *work, size_t ops, uint64_t records);
    void (*end)(void *work);
};

int power_main(int argc, char **argv, const struct power_subject *subject);

/* For subjects: end the proof; seed, life, cut and choice are told, too. */
_Noreturn void power_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define POWER_MUST(condition, ...)                                                                 \
    do {                                                                                           \
        if (!(condition)) power_fail(__VA_ARGS__);                                                 \
    } while (0)
void power_ok(struct sk_status status, const char *what);
/* Count one opening of a store after a cut. */
void power_recovered(void);

/* Random numbers that follow from the seed alone. */
struct power_dice {
    uint64_t state;
};
uint64_t power_roll(struct power_dice *dice);
uint64_t power_below(struct power_dice *dice, uint64_t end); /* 0 .. end - 1 */

#endif
