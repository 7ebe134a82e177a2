/* fixture.h - a name server and a client in this process, and inboxes in which a test
 * waits for what streams bring. */
#ifndef TESTS_NAMESRV_FIXTURE_H
#define TESTS_NAMESRV_FIXTURE_H

#include "base/thread.h"
#include "namesrv/namesrv.h"
#include "rpc/channel.h"
#include "skua/v1/namesrv.rpc.h"

/* --- name server and client ---------------------------------------------------------------- */

struct place {
    sk_route_table *table;
    sk_namesrv *namesrv;
    rpc_server *server;
    rpc_client *client;
    rpc_channel *channel, *tls_channel;
    sk_arena *arena; /* for answers */
    int port, tls_port;
    char dir[32];
};

/* options may be NULL; expiry_ms 0 is 120 s. Fails the test on any error. */
void place_open(struct place *p, const struct sk_namesrv_options *options, uint64_t expiry_ms);
void place_close(struct place *p);

/* With the header x-mq-client-id: test. */
extern const struct rpc_options as_client;

/* --- inboxes -----------------------------------------------------------------------------------
 */

struct inbox {
    struct sk_mutex lock;
    struct sk_cond changed;
    char text[16384]; /* what came, as the handlers noted it */
    bool closed;
    enum rpc_code code;
    char detail[252];
};

void inbox_init(struct inbox *inbox);
void inbox_done(struct inbox *inbox);
void inbox_note(struct inbox *inbox, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void inbox_close(struct inbox *inbox, const struct rpc_outcome *outcome);
/* Until `wanted` has come; fails the test after ten seconds. */
void inbox_await(struct inbox *inbox, const char *wanted);
void inbox_await_close(struct inbox *inbox, enum rpc_code code);

/* --- streams into inboxes ------------------------------------------------------------------------
 */

/* A broker's stream; notes "v<version> " for each answer. */
rpc_stream *open_register(struct place *p, struct inbox *inbox);
/* Broker `name` with topics orders (4 queues), bills (FIFO, 1), mix (mixed) and the ordered
 * group clerks. */
void send_report(rpc_stream *stream, const char *name, uint64_t incarnation, uint64_t version);
void send_heartbeat(rpc_stream *stream, uint64_t version);
void send_leaving(rpc_stream *stream);

/* Notes "[full" or "[", then "+name:version" and "-name", then "] ". */
rpc_stream *open_watch(struct place *p, struct inbox *inbox);

#endif
