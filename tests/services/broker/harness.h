/* harness.h - a broker in this process, on port 0, and a client of it.
 *
 * The broker is real but for its settings: short times, a data directory that is
 * removed, asynchronous flush unless a test asks for the other. */
#ifndef TESTS_BROKER_HARNESS_H
#define TESTS_BROKER_HARNESS_H

#include <check.h>
#include <stdbool.h>

#include "apache/rocketmq/v2/service.rpc.h"
#include "base/arena.h"
#include "broker/broker.h"
#include "skua/v1/admin.rpc.h"

struct harness {
    char dir[64];
    struct sk_broker_config config;
    sk_config *settings;
    sk_broker *broker;
    rpc_server *server;
    rpc_client *client;
    rpc_channel *channel;
    sk_arena *arena; /* responses of the *_wait functions */
    int port;
    struct sk_status failure; /* what the broker's `failed` was told */
    struct sk_vfs *vfs;       /* store/vfs.h; NULL: the machine's disk */
};

/* settings: "name=value" each, the last one NULL; may be NULL. */
void harness_open(struct harness *h, const char *const *settings);
void harness_close(struct harness *h);

/* The same, in `dir` (kept by the caller) on another disk. If it does not open there is nothing to
 * close. */
struct sk_status harness_try_open(struct harness *h, const char *dir, struct sk_vfs *vfs,
                                  const char *const *settings);

/* Stop and start the broker on the same directory (orderly). */
void harness_restart(struct harness *h);

/* Headers of a client with that id; NULL for none at all. */
struct rpc_options harness_options(const char *client_id);
/* --- requests in one line -------------------------------------------------------------------- */

void harness_topic(struct harness *h, const char *name, int queues);
void harness_group(struct harness *h, const char *name);

/* Send one message; the code of the reply's status. offset may be NULL. */
rmq_code harness_send(struct harness *h, const char *topic, const char *id, const char *tag,
                      const char *body, int64_t *offset);

/* The same, where the call may fail: *code and *offset are set if it did not. */
struct sk_status harness_try_send(struct harness *h, const char *topic, const char *id,
                                  const char *tag, struct sk_slice body, rmq_code *code,
                                  int64_t *offset);

/* `count` small messages with that tag, a thousand in a request. */
void harness_send_many(struct harness *h, const char *topic, const char *tag, int count);

/* What one receive brought. */
struct received {
    rmq_code code;
    char text[256];
    size_t count;
    struct {
        char id[64], body[64], tag[32], handle[256];
        int32_t queue, attempt;
        int64_t offset;
    } messages[64];
    bool timestamp;      /* delivery_timestamp came */
    bool in_order;       /* status, messages, timestamp; one member each */
    enum rpc_code ended; /* how the stream ended */
};

struct receive_how {
    const char *topic, *group, *filter, *client_id;
    int batch;            /* 0: 32 */
    int64_t invisible_ms; /* 0: 30000 */
    int64_t polling_ms;   /* 0: left out */
    uint64_t timeout_ms;  /* the call's deadline; 0: 3000 */
    bool auto_renew;
    size_t cancel_after; /* cancel in mid-delivery, after so many messages; 0: never */
};
void harness_receive(struct harness *h, const struct receive_how *how, struct received *out);

/* The same in two steps; *out lives until _end returned. */
typedef struct harness_pending harness_pending;
harness_pending *harness_receive_begin(struct harness *h, const struct receive_how *how,
                                       struct received *out);
void harness_receive_cancel(harness_pending *pending);
void harness_receive_end(harness_pending *pending); /* waits */

/* How many polls wait on the broker; waits until there are that many. */
void harness_wait_for_polls(struct harness *h, uint64_t count);

/* The code of the entry. */
struct sk_status harness_try_ack(struct harness *h, const char *topic, const char *group,
                                 const char *handle, rmq_code *code);
rmq_code harness_ack(struct harness *h, const char *topic, const char *group, const char *handle);

/* Change how long a message is invisible: the answer, which h->arena keeps. */
const rmq_change_invisible_duration_response *harness_change(struct harness *h, const char *topic,
                                                             const char *group, const char *handle,
                                                             int64_t seconds);

/* Wait until the broker says that its disk failed: what it was told. */
struct sk_status harness_await_failure(struct harness *h);

#endif
