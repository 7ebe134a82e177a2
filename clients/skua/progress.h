/* progress.h - "how far is it?" on stderr, only for a person at a terminal.
 *
 * Nothing is shown in the first second, with -o json, without a terminal on
 * stderr, when results go to that terminal too, or with TERM=dumb. */
#ifndef SKUA_PROGRESS_H
#define SKUA_PROGRESS_H

#include "cli.h"

struct progress {
    FILE *err;
    const char *word; /* "sent" */
    uint64_t begun_us, shown_us;
    bool on, dirty;
};

struct progress progress_begin(struct cli *cli, const char *word);
/* total 0: unknown. */
void progress_show(struct progress *p, uint64_t done, uint64_t total);
/* Take the line away. */
void progress_end(struct progress *p);

#endif
