/* shrink.c - run, and if that fails, find out how little of it is needed. */
#include "shrink.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIES = 500 };

/* What the run's process leaves behind. */
static struct note {
    uint64_t step;
    char text[512];
} * note;

/* --- inside a run ------------------------------------------------------------------------ */

void trial_at(const struct trial *trial, uint64_t step)
{
    (void)trial;
    note->step = step;
}

void trial_must_equal(const struct trial *trial, uint64_t got, uint64_t want, const char *what)
{
    if (got == want) return;
    snprintf(note->text, sizeof note->text, "%s is %" PRIu64 ", the model says %" PRIu64, what, got,
             want);
    trial_tell(trial, "%s", note->text);
    _exit(1);
}

void trial_tell(const struct trial *trial, const char *fmt, ...)
{
    if (!trial->tells) return;
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "  step %" PRIu64 ": ", note->step);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

/* --- outside ----------------------------------------------------------------------------- */

/* True if it fails. */
static bool try(trial_fn *perform, const struct trial *trial, bool loud)
{
    memset(note, 0, sizeof *note);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int nowhere = loud ? -1 : open("/dev/null", O_WRONLY);
        if (nowhere >= 0) dup2(nowhere, STDERR_FILENO);
        perform(trial);
        exit(0); /* not _exit: leaks are looked for at the end */
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) abort();
    if (status == 0) return false;
    if (!note->text[0])
        snprintf(note->text, sizeof note->text, "%s %d", WIFSIGNALED(status) ? "signal" : "exit",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return true;
}

/* What fails after n steps is taken to fail after more, too. */
static uint64_t shortest(trial_fn *perform, struct trial t)
{
    uint64_t good = 0, bad = t.steps;
    while (bad - good > 1) {
        t.steps = good + (bad - good) / 2;
        if (try(perform, &t, false))
            bad = t.steps;
        else
            good = t.steps;
    }
    return bad;
}

/* Leave out halves, quarters, ... and at last single steps, as long as it fails without them. */
static void leave_out(trial_fn *perform, const struct trial *t, bool *without)
{
    int tries = 0;
    bool *before = calloc(t->steps + 1, sizeof *before);
    for (uint64_t size = t->steps / 2; size > 0; size /= 2) {
        for (uint64_t at = 0; at < t->steps && tries < TRIES; at += size) {
            uint64_t n = t->steps - at < size ? t->steps - at : size;
            if (memchr(without + at, false, n) == NULL) continue;
            memcpy(before, without + at, n);
            memset(without + at, true, n);
            tries++;
            if (!try(perform, t, false)) memcpy(without + at, before, n);
        }
    }
    free(before);
}

bool trial_fails(trial_fn *perform, uint64_t seed, uint64_t steps, char *why, size_t room)
{
    if (!note)
        note = mmap(NULL, sizeof *note, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct trial t = {.seed = seed, .steps = steps};
    if (!try(perform, &t, true)) return false;
    int len =
        snprintf(why, room, "seed %" PRIu64 ", step %" PRIu64 ": %s", seed, note->step, note->text);
    t.steps = note->step + 1 < steps ? note->step + 1 : steps;
    t.steps = shortest(perform, t);
    bool *without = calloc(t.steps + 1, sizeof *without);
    t.without = without;
    if (try(perform, &t, false)) leave_out(perform, &t, without);
    fprintf(stderr, "seed %" PRIu64 " needs only this:\n", seed);
    t.tells = true;
    bool still = try(perform, &t, true);
    uint64_t left = 0;
    for (uint64_t n = 0; n < t.steps; n++) left += !without[n];
    if (len > 0 && (size_t)len < room)
        snprintf(why + len, room - (size_t)len,
                 "; of its first %" PRIu64 " steps %" PRIu64 " are enough: %s", t.steps, left,
                 still ? note->text : "not every time!");
    free(without);
    return true;
}
