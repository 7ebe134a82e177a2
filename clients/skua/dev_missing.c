/* dev_missing.c - stands in for dev.c while the broker's room is not there. */
#include "dev.h"

int cmd_dev(struct cli *cli)
{
    return cli_error(cli, CLI_FAILURE, "build it with services/broker", "there is no broker in this build");
}
