/* broker.h - a broker that a program can mount: skua-broker alone, or `skua dev` beside a name
 * server, in one process and behind one listener.
 *
 *      sk_broker_open ─► sk_broker_mount ─► (server listens, starts) ─► sk_broker_start
 *            ─► … ─► sk_broker_stop ─► (server drains) ─► sk_broker_close
 *
 * It serves apache.rocketmq.v2.MessagingService and skua.v1.BrokerAdmin.
 *
 * Threads: these functions from one thread at a time. */
#ifndef SK_BROKER_BROKER_H
#define SK_BROKER_BROKER_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/status.h"
#include "broker/config.h"
#include "rpc/server.h"

struct sk_vfs;
typedef struct sk_broker sk_broker;

/* The table behind it, with its rules between settings: name "skua-broker". */
extern const struct sk_program sk_broker_program;

struct sk_broker_options {
    const struct sk_broker_config *config; /* must outlive the broker */
    const struct sk_clock *clock;          /* NULL: the machine's */
    struct sk_vfs *vfs;                    /* store/vfs.h; NULL: the machine's disk */
    /* The disk failed for good: acknowledge nothing more, stop, end with an error. Called once,
     * from any thread, with no lock held; must not block. NULL: the process ends itself. */
    void (*failed)(void *owner, struct sk_status why);
    void *owner;
};

/* Open the log and recover (one line in the log says what was found). */
SK_CHECKED struct sk_status sk_broker_open(const struct sk_broker_options *options,
                                           sk_broker **out);

/* Before the server starts. */
void sk_broker_mount(sk_broker *broker, rpc_server *server);

/* Once the server has started: "HOST:PORT" that clients are told; tls may be NULL. Begins the
 * timers and the registration with every name server of the configuration. */
SK_CHECKED struct sk_status sk_broker_start(sk_broker *broker, const char *plain, const char *tls);

/* Say goodbye to the name servers, answer all waiting polls, end the Telemetry streams. Calls
 * under way may go on: drain the server next. */
void sk_broker_stop(sk_broker *broker);

/* After the server was drained (or freed). NULL is fine. */
void sk_broker_close(sk_broker *broker);

#endif
