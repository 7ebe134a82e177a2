/* power_proof.c - lives, cuts, recoveries, verdicts, and how often each. */
#include "support/power_proof.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "support/memory_cuts.h"

/* Store ids are drawn from here, so that the same seed makes the same bytes. */
ssize_t getrandom(void *out, size_t len, unsigned flags)
{
    (void)flags;
    memset(out, 0x5b, len);
    return (ssize_t)len;
}

/* --- dice -------------------------------------------------------------------------------- */

uint64_t power_roll(struct power_dice *dice)
{
    uint64_t x = dice->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t power_below(struct power_dice *dice, uint64_t end)
{
    return power_roll(dice) % end;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    struct power_dice dice = {a ^ b * 0x9fb21c651e98df25u};
    return power_roll(&dice);
}

/* --- images seen ----------------------------------------------------------------------------- */

enum { SLOTS = 1 << 22 };

struct seen { /* hash 0: free */
    uint64_t hash;
    uint32_t life;    /* in which it was recovered last, counted over all seeds */
    uint32_t records; /* what came back then */
};

struct counts {
    uint64_t seeds, lives, cuts, images, distinct, second, recoveries;
};

struct where {
    uint64_t seed;
    int life;
    bool at_cut, second;
    struct memory_cut cut, second_cut;
};

/* Shared with the parent process, which adds it all up. */
struct worker {
    pid_t process;
    struct where at;
    struct counts counts;
    struct seen seen[SLOTS];
};

static struct seen *slot_of(struct worker *w, uint64_t hash)
{
    if (hash == 0) hash = 1;
    uint64_t i = hash % SLOTS;
    while (w->seen[i].hash && w->seen[i].hash != hash) i = (i + 1) % SLOTS;
    if (!w->seen[i].hash) {
        sk_assert(++w->counts.distinct < SLOTS / 4 * 3);
        w->seen[i].hash = hash;
    }
    return &w->seen[i];
}

/* --- where we are ---------------------------------------------------------------------------- */

static struct {
    const char *program;
    const struct power_subject *subject;
    struct worker *worker; /* of this process */
    bool deep;
    bool only; /* this image: */
    uint64_t only_seed, only_life, only_ops, only_choice;
} now;

static void tell_where(const struct where *at)
{
    fprintf(stderr, "%s: seed %" PRIu64 ", life %d", now.subject->name, at->seed, at->life);
    if (at->at_cut)
        fprintf(stderr, ", cut after %zu operations, image %" PRIu64 " of %u parts", at->cut.ops,
                at->cut.choice, at->cut.parts);
    if (at->second)
        fprintf(stderr, ", its recovery cut after %zu operations, image %" PRIu64,
                at->second_cut.ops, at->second_cut.choice);
    fprintf(stderr, "\nagain: %s%s --only %" PRIu64 " %d %zu %" PRIu64 "\n", now.program,
            now.deep ? " --deep" : "", at->seed, at->life, at->cut.ops, at->cut.choice);
}

/* The parent process says where, also for those who die in other ways. */
void power_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n");
    fflush(stderr);
    _exit(1);
}

void power_ok(struct sk_status status, const char *what)
{
    POWER_MUST(sk_ok(status), "%s: %s: %s", what, sk_code_name(status.code),
               sk_status_text(&status));
}

void power_recovered(void)
{
    now.worker->counts.recoveries++;
}

/* --- one life ----------------------------------------------------------------------------------
 */

static bool wanted(const struct memory_cut *cut)
{
    return !now.only ||
           (now.only_seed == now.worker->at.seed && (int)now.only_life == now.worker->at.life &&
            now.only_ops == cut->ops && now.only_choice == cut->choice);
}

/* Cut the recovery of `image`, which took `steps` operations: each must end as it did. */
static void cut_recovery(void *work, uint32_t life, struct memory_vfs *image, size_t steps,
                         uint64_t records)
{
    struct memory_cuts_plan plan = {
        .last = steps, .all_up_to = now.deep ? 64 : 16, .pairs = 4, .randoms = 8};
    struct memory_cuts *cuts = memory_cuts_new(image, &plan);
    now.worker->at.second = true;
    while (memory_cuts_next(cuts, &now.worker->at.second_cut)) {
        now.worker->counts.second++;
        struct seen *s = slot_of(now.worker, now.worker->at.second_cut.hash);
        if (s->life != life) {
            struct memory_vfs *second = memory_cuts_image(cuts);
            memory_vfs_forget(second);
            size_t unused;
            s->records = (uint32_t)now.subject->recover(work, second, false, &unused);
            s->life = life;
            memory_vfs_free(second);
        }
        POWER_MUST(s->records == records, "%" PRIu32 " records, without this cut %" PRIu64,
                   s->records, records);
    }
    now.worker->at.second = false;
    memory_cuts_free(cuts);
}

static uint32_t recover(void *work, uint32_t life, struct memory_vfs *image)
{
    uint64_t pick = mix(now.worker->at.cut.hash, 1);
    bool cut_again = pick % (now.deep ? 64 : 256) == 0;
    if (cut_again)
        memory_vfs_rebase(image);
    else
        memory_vfs_forget(image);
    size_t steps = 0;
    uint64_t records = now.subject->recover(work, image, pick % 8 == 0 || now.only, &steps);
    if (cut_again || now.only) cut_recovery(work, life, image, steps, records);
    return (uint32_t)records;
}

/* Recover and judge every image of the life on `disk`. Returns one of them, by lot. */
static struct memory_vfs *cut_life(void *work, struct memory_vfs *disk, uint32_t life)
{
    struct memory_cuts_plan plan = {
        .last = SIZE_MAX, .pairs = 16, .randoms = 16, .seed = now.worker->at.seed, .all_up_to = 32};
    if (now.deep) plan.all_up_to = 4096, plan.pairs = plan.randoms = 200;
    struct memory_cuts *cuts = memory_cuts_new(disk, &plan);
    struct memory_vfs *next = NULL;
    uint64_t lot = UINT64_MAX;
    size_t last = SIZE_MAX;
    now.worker->at.at_cut = true;
    while (memory_cuts_next(cuts, &now.worker->at.cut)) {
        now.worker->counts.images++;
        now.worker->counts.cuts += now.worker->at.cut.ops != last;
        last = now.worker->at.cut.ops;
        struct seen *s = slot_of(now.worker, now.worker->at.cut.hash);
        if (mix(now.worker->at.cut.hash, now.worker->at.seed) < lot) {
            lot = mix(now.worker->at.cut.hash, now.worker->at.seed);
            memory_vfs_free(next);
            next = memory_cuts_image(cuts);
        }
        if (!wanted(&now.worker->at.cut)) continue;
        if (s->life != life || now.only) {
            struct memory_vfs *image = memory_cuts_image(cuts);
            s->records = recover(work, life, image);
            s->life = life;
            memory_vfs_free(image);
        }
        now.subject->judge(work, now.worker->at.cut.ops, s->records);
    }
    now.worker->at.at_cut = false;
    memory_cuts_free(cuts);
    return next;
}

static void prove_seed(uint64_t seed)
{
    static uint32_t lives;
    now.worker->at.seed = seed;
    void *work = now.subject->begin(seed);
    struct memory_vfs *disk = memory_vfs_new();
    for (now.worker->at.life = 0; now.worker->at.life < now.subject->lives; now.worker->at.life++) {
        now.subject->live(work, disk, now.worker->at.life);
        struct memory_vfs *next = cut_life(work, disk, ++lives);
        memory_vfs_free(disk);
        disk = next;
        memory_vfs_rebase(disk);
        now.worker->counts.lives++;
    }
    memory_vfs_free(disk);
    now.subject->end(work);
    now.worker->counts.seeds++;
}

/* --- all of them -------------------------------------------------------------------------------
 */

static void *share(size_t bytes)
{
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    sk_assert(map != MAP_FAILED);
    return map;
}

struct arguments {
    uint64_t first, seeds, jobs, least;
};

/* The first that fails is told about, and ends the others. */
static bool wait_for(uint64_t jobs, struct worker **workers)
{
    bool held = true;
    for (uint64_t i = 0; i < jobs; i++) {
        int status = 0;
        pid_t ended = wait(&status);
        bool first = held && status != 0;
        held &= status == 0;
        for (uint64_t job = 0; job < jobs; job++) {
            pid_t *process = &workers[job]->process;
            if (first && *process == ended) tell_where(&workers[job]->at);
            if (first && *process > 0 && *process != ended) kill(*process, SIGKILL);
            if (*process == ended) *process = 0;
        }
    }
    return held;
}

static bool run(const struct arguments *a, struct worker **workers)
{
    for (uint64_t job = 0; job < a->jobs; job++) {
        pid_t child = fork();
        sk_assert(child >= 0);
        if (child > 0) {
            workers[job]->process = child;
            continue;
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        now.worker = workers[job];
        for (uint64_t i = job; i < a->seeds; i += a->jobs) prove_seed(a->first + i);
        exit(0);
    }
    return wait_for(a->jobs, workers);
}

static struct counts add_up(const struct arguments *a, struct worker **workers)
{
    struct counts sum = workers[0]->counts;
    for (uint64_t job = 1; job < a->jobs; job++) {
        const struct counts *c = &workers[job]->counts;
        for (uint32_t i = 0; i < SLOTS; i++)
            if (workers[job]->seen[i].hash) slot_of(workers[0], workers[job]->seen[i].hash);
        sum.seeds += c->seeds, sum.lives += c->lives, sum.cuts += c->cuts;
        sum.images += c->images, sum.second += c->second, sum.recoveries += c->recoveries;
    }
    sum.distinct = workers[0]->counts.distinct;
    return sum;
}

static bool parse(int argc, char **argv, struct arguments *a)
{
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--deep") == 0) {
            now.deep = true;
        } else if (strcmp(argv[i], "--only") == 0 && i + 4 < argc) {
            now.only = true;
            now.only_seed = a->first = strtoull(argv[i + 1], NULL, 10);
            now.only_life = strtoull(argv[i + 2], NULL, 10);
            now.only_ops = strtoull(argv[i + 3], NULL, 10);
            now.only_choice = strtoull(argv[i + 4], NULL, 10);
            a->seeds = a->jobs = 1;
            i += 4;
        } else if (strcmp(argv[i], "--first") == 0 && more) {
            a->first = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seeds") == 0 && more) {
            a->seeds = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--least") == 0 && more) {
            a->least = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--jobs") == 0 && more) {
            a->jobs = strtoull(argv[++i], NULL, 10);
        } else {
            return false;
        }
    }
    return a->jobs > 0 && a->jobs <= 64;
}

/* The short form that scripts/test.sh --quick asks for. */
static void shorten(struct arguments *a)
{
    const char *text = getenv("SKUA_POWERCUT_SEEDS");
    uint64_t seeds = text ? strtoull(text, NULL, 10) : 0;
    if (seeds == 0 || seeds >= a->seeds) return;
    a->seeds = seeds;
    a->least = 0;
}

int power_main(int argc, char **argv, const struct power_subject *subject)
{
    struct arguments a = {.first = 1, .seeds = 1, .jobs = 1};
    now.program = argv[0];
    now.subject = subject;
    if (!parse(argc, argv, &a)) {
        fprintf(stderr,
                "usage: %s [--first SEED] [--seeds N] [--deep] [--jobs N] [--least N]\n"
                "       %s [--deep] --only SEED LIFE OPS CHOICE\n",
                argv[0], argv[0]);
        return 2;
    }
    shorten(&a);
    struct worker *workers[64];
    for (uint64_t job = 0; job < a.jobs; job++) workers[job] = share(sizeof *workers[job]);
    if (!run(&a, workers)) return 1;
    struct counts c = add_up(&a, workers);
    printf("%s: %" PRIu64 " workloads of %d lives, cut at %" PRIu64 " points: %" PRIu64
           " images, %" PRIu64 " distinct; %" PRIu64 " second-level images; %" PRIu64
           " recoveries\n",
           subject->name, c.seeds, subject->lives, c.cuts, c.images, c.distinct, c.second,
           c.recoveries);
    if (c.distinct >= a.least) return 0;
    fprintf(stderr, "%s: fewer than %" PRIu64 " distinct images\n", subject->name, a.least);
    return 1;
}
