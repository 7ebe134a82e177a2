/* main.c - the program `skua`: the command line, and the one command that holds servers. */
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "dev.h"

int main(int argc, char **argv)
{
    static const struct cli_hooks hooks = {.dev = cmd_dev};
    /* Bodies are UTF-8: show them so, also where no language is set (containers, cron). */
    const char *locale = setlocale(LC_CTYPE, "");
    if (!locale || strcmp(locale, "C") == 0 || strcmp(locale, "POSIX") == 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    /* A reader that closes its pipe (head, less) ends us quietly. */
    signal(SIGPIPE, SIG_DFL);
    return cli_main(argc, (const char *const *)argv, getenv("NAMESRV_ADDR"), &hooks, stdin, stdout,
                    stderr);
}
