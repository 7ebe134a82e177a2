/* dev.h - skua dev: name server and broker in this process. The only door from the client's
 * room to the servers'. */
#ifndef SKUA_DEV_H
#define SKUA_DEV_H

#include "cli.h"

command_fn cmd_dev;

#endif
