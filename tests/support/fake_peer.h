/* fake_peer.h - a name server or broker whose answers are written in advance.
 *
 * It is a real gRPC server in this process, on a port of the kernel's choice. What
 * is not scripted answers as a healthy broker would: OK.
 *
 *     fake_peer *broker = fake_peer_start(), *ns = fake_peer_start();
 *     fake_peer_route(ns, (struct fake_queue[]){{"broker-a", broker, 0}}, 1);
 *     fake_peer_answer(broker, FAKE_SEND, RMQ_CODE_TOO_MANY_REQUESTS, 0);   the next one
 *
 * Threads: any. */
#ifndef TESTS_SUPPORT_FAKE_PEER_H
#define TESTS_SUPPORT_FAKE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fake_peer fake_peer;

enum fake_method {
    FAKE_ROUTE,
    FAKE_SEND,
    FAKE_RECEIVE,
    FAKE_ACK,
    FAKE_CHANGE,
    FAKE_TELEMETRY,
    FAKE_HEARTBEAT,
    FAKE_GOODBYE,
    FAKE_PULL,
    FAKE_OFFSET,
    FAKE_METHODS
};

fake_peer *fake_peer_start(void);
/* As if it had died: its address refuses from now on. */
void fake_peer_kill(fake_peer *peer);
void fake_peer_free(fake_peer *peer); /* kills first */
const char *fake_peer_address(const fake_peer *peer);

/* The routes that QueryRoute answers, for every topic; count 0: TOPIC_NOT_FOUND (as at first). */
struct fake_queue {
    const char *broker;
    const fake_peer *peer;
    int id;
};
void fake_peer_route(fake_peer *peer, const struct fake_queue *queues, size_t count);

/* The next unscripted call of the method answers so: a RocketMQ code, or, if `rpc` is not 0, that
 * gRPC code. `times` calls; they queue up. */
void fake_peer_answer(fake_peer *peer, enum fake_method method, int code, int rpc);
void fake_peer_answer_times(fake_peer *peer, enum fake_method method, int code, int rpc,
                            size_t times);
/* Send: the next batch's entries get these codes (at most 8). */
void fake_peer_entries(fake_peer *peer, const int *codes, size_t count);

/* Receive and pull deliver so many messages, made here: body "m0", handle "h0", … A receive that
 * finds none is parked until it is cancelled. */
void fake_peer_deliver(fake_peer *peer, size_t messages);

/* From now on a receive is given everything, whatever its batch size. */
void fake_peer_be_generous(fake_peer *peer);

/* --- what it saw ----------------------------------------------------------------------- */

size_t fake_peer_calls(fake_peer *peer, enum fake_method method);
/* Wait (at most ten seconds) until it saw at least so many; false: it did not. */
bool fake_peer_wait_calls(fake_peer *peer, enum fake_method method, size_t calls);
/* Receives that are parked now, and those that were cancelled while parked. */
size_t fake_peer_parked(fake_peer *peer);
bool fake_peer_wait_parked(fake_peer *peer, size_t parked); /* as fake_peer_wait_calls */
size_t fake_peer_cancelled(fake_peer *peer);
/* The last call's: client id; message id or handles (joined by ','); settings as "TYPE topics". */
void fake_peer_last(fake_peer *peer, enum fake_method method, char *out, size_t room);
void fake_peer_client_id(fake_peer *peer, char *out, size_t room);

#endif
