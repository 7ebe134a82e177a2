/* main.c - the program `skua`: the command line, and the one command that holds servers. */
#include <signal.h>
#include <stdlib.h>

#include "cli.h"
#include "dev.h"

int main(int argc, char **argv)
{
    static const struct cli_hooks hooks = {.dev = cmd_dev};
    /* A reader that closes its pipe (head, less) ends us quietly. */
    signal(SIGPIPE, SIG_DFL);
    return cli_main(argc, (const char *const *)argv, getenv("NAMESRV_ADDR"), &hooks, stdin, stdout,
                    stderr);
}
