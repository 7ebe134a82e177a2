/* admin.h - what the administrative commands share. */
#ifndef SKUA_CLI_ADMIN_H
#define SKUA_CLI_ADMIN_H

#include "output.h"

struct targets {
    struct skua_broker *brokers; /* free() */
    size_t count;
};

/* The primaries that --broker and --cluster (as far as the command has them) leave. False: the
 * error was printed and *exit set. */
bool admin_targets(struct cli *cli, skua_client *client, bool by_broker, bool by_cluster,
                   struct targets *out, int *exit);

/* One broker's turn. */
typedef struct skua_status on_broker_fn(void *arg, skua_client *client, const char *broker);

enum {
    BY_BROKER = 1,  /* the command has --broker */
    BY_CLUSTER = 2, /* and --cluster */
    ON_ALL = 4,     /* NOT_FOUND of one broker is an error, too; else only that of all */
};

/* Call `fn` for each broker that the flags leave, until one fails. What failed was printed; the
 * command's exit status. */
int admin_on_each(struct cli *cli, skua_client *client, unsigned flags, on_broker_fn *fn,
                  void *arg);

/* Did the user say --yes, or yes on the terminal? */
bool confirmed(struct cli *cli, const char *kind, int *exit);

typedef struct skua_status delete_fn(skua_client *client, const char *broker, const char *name);
int delete_everywhere(struct cli *cli, const char *kind, delete_fn *fn);

/* Add a broker, and whether the object is new there, to what print_created prints. */
void note_created(json_t *brokers, const char *broker, bool created);

/* "topic x created on broker-a" per broker, or the object with its brokers. */
void print_created(struct cli *cli, const char *kind, json_t *object_take, json_t *brokers);

/* Until so many brokers have the topic in its route; gives up silently after some seconds. */
void wait_until_routed(skua_client *client, const char *topic, size_t brokers);

const char *type_name(enum skua_message_type type);

#endif
