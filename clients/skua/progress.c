/* progress.c - one line on stderr that is written over. */
#include "progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { FIRST_US = 1000 * 1000, AGAIN_US = 200 * 1000 };

static bool is_terminal(FILE *f)
{
    return fileno(f) >= 0 && isatty(fileno(f)) == 1;
}

struct progress progress_begin(struct cli *cli, const char *word)
{
    const char *term = getenv("TERM");
    bool dumb = !term || strcmp(term, "dumb") == 0;
    return (struct progress){
        .err = cli->err,
        .word = word,
        .begun_us = sk_mono_us(sk_clock_real()),
        .on = is_terminal(cli->err) && !is_terminal(cli->out) && !cli->json && !dumb,
    };
}

void progress_show(struct progress *p, uint64_t done, uint64_t total)
{
    if (!p->on) return;
    uint64_t now = sk_mono_us(sk_clock_real());
    if (now - p->begun_us < FIRST_US || now - p->shown_us < AGAIN_US) return;
    double rate = (double)done * 1e6 / (double)(now - p->begun_us);
    if (total)
        fprintf(p->err, "\r\033[K%llu of %llu %s (%.0f %%), %.0f/s", (unsigned long long)done,
                (unsigned long long)total, p->word, 100.0 * (double)done / (double)total, rate);
    else
        fprintf(p->err, "\r\033[K%llu %s, %.0f/s", (unsigned long long)done, p->word, rate);
    fflush(p->err);
    p->shown_us = now;
    p->dirty = true;
}

void progress_end(struct progress *p)
{
    if (p->dirty) fprintf(p->err, "\r\033[K");
    p->dirty = false;
}
