/* echo.h - a server, a client and a channel between them, for each test of api/rpc.
 *
 *   Say    answers with its data          Raw   the same, undecoded
 *   Park   keeps the call for the test    List  `count` responses, then OK
 *   Chat   answers each message; ends when the client is done
 *   Collect answers how many messages came, when the client is done
 *   Missing is in the table, but not mounted */
#ifndef TEST_RPC_ECHO_H
#define TEST_RPC_ECHO_H

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/thread.h"
#include "echo.pb-c.h"
#include "rpc/call.h"
#include "rpc/channel.h"
#include "rpc/server.h"

typedef Skua__Test__EchoRequest echo_request;
typedef Skua__Test__EchoResponse echo_response;

enum {
    ECHO_SAY,
    ECHO_RAW,
    ECHO_PARK,
    ECHO_LIST,
    ECHO_CHAT,
    ECHO_COLLECT,
    ECHO_MISSING,
    ECHO_METHODS
};
extern const struct rpc_service echo_service;
#define ECHO_METHOD(i) (&echo_service.methods[i])

/* What a test may put in the place of a method; NULL keeps the behaviour above. */
struct echo_handlers {
    void (*say)(void *owner, rpc_call *call, const echo_request *request);
    void (*park)(void *owner, rpc_call *call, const echo_request *request);
    void (*list)(void *owner, rpc_call *call, const echo_request *request);
    void (*chat)(void *owner, rpc_call *call);
    void (*collect)(void *owner, rpc_call *call);
};

struct echo {
    rpc_server *server;
    rpc_client *client;
    rpc_channel *channel;
    int port;
    char target[32];
};

/* Tests run with one poller and with three: the loop index of Check chooses. */
struct rpc_server_options echo_options(int loop_index);
enum { ECHO_LOOPS = 2 };

/* For a server that a test puts together itself. `handlers` is copied. */
void echo_mount(rpc_server *server, const struct echo_handlers *handlers, void *owner);

void echo_start(struct echo *e, const struct rpc_server_options *options,
                const struct echo_handlers *handlers, void *owner);
void echo_stop(struct echo *e);

/* A blocking Say-like call; the response's bytes must equal the request's. */
struct sk_status echo_call(struct echo *e, int method, const struct rpc_options *options,
                           struct sk_slice data);

/* --- waiting for what other threads do ---------------------------------------- */

/* Counts events; a test waits for a number of them (ten seconds, then it fails). */
struct tally {
    struct sk_mutex lock;
    struct sk_cond changed;
    unsigned count;
};
void tally_init(struct tally *t);
void tally_done(struct tally *t);
void tally_add(struct tally *t);
unsigned tally_get(struct tally *t);
void tally_wait(struct tally *t, unsigned count);

/* The usual main. */
int echo_run(Suite *suite);

#endif
