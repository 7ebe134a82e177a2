/* skua/client.h - libskua, the C client of Skua and Apache RocketMQ 5.
 *
 *      skua_client ──┬── skua_producer     send, send_async, send_batch
 *      (name servers,├── skua_consumer     receive, ack, change_invisible
 *       routes,      ├── skua_puller       offsets, pull, seek, commit
 *       connections) └── skua_admin_*      topics, groups, cluster
 *
 *      skua_client *client;
 *      skua_options *options = skua_options_new();
 *      skua_options_name_servers(options, "127.0.0.1:8081");
 *      struct skua_status s = skua_client_new(options, &client);
 *      skua_options_free(options);
 *
 * Errors. Every function that can fail returns a struct skua_status by value: it
 * owns nothing and needs no freeing. An `out` parameter is written only on success.
 *
 * Ownership. X_new gives an object to the caller, X_free takes it back; X_free(NULL)
 * is fine. Texts and bytes passed in are copied. Texts and bytes handed out are
 * borrowed from the object that was asked, and live as long as it does. Free
 * producers, consumers and pullers before their client.
 *
 * Threads. A client, producer, consumer and puller may be used by any number of
 * threads at once. Options, messages and lists belong to one thread at a time.
 * Callbacks run on the library's own thread: they must not block, and must not
 * call functions of this header that are marked "blocks".
 *
 * Names that begin with skua_ or SKUA_ are this library's. */
#ifndef SKUA_CLIENT_H
#define SKUA_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKUA_API __attribute__((visibility("default")))
#define SKUA_CHECKED __attribute__((warn_unused_result))

#define SKUA_VERSION "0.1.0"

/* ---- status --------------------------------------------------------------------------- */

/* What the caller should do about it. Numbers never change. */
enum skua_code {
    SKUA_OK = 0,
    SKUA_BUSY = 1,           /* too many requests: try again later */
    SKUA_NOT_FOUND = 2,      /* no such topic, group, queue, offset or message */
    SKUA_EXISTS = 3,         /* it is there already, and differs */
    SKUA_INVALID = 4,        /* the request breaks a rule: do not retry as is */
    SKUA_FULL = 5,           /* a disk or quota limit is reached */
    SKUA_DENIED = 6,         /* not allowed */
    SKUA_EXPIRED = 7,        /* the receipt handle is no longer valid: the message may come again */
    SKUA_TIMEOUT = 8,        /* no answer in time: the outcome is unknown */
    SKUA_UNAVAILABLE = 9,    /* nobody could be reached: the outcome is unknown */
    SKUA_UNIMPLEMENTED = 10, /* the server cannot do this */
    SKUA_CANCELLED = 11,     /* the object was freed meanwhile */
    SKUA_INTERNAL = 12,      /* a bug, here or there */
};

struct skua_status {
    enum skua_code code;
    int32_t reply;    /* the server's own code (40402 = TOPIC_NOT_FOUND …), 0 if it sent none */
    char detail[248]; /* for people; "" when the code says it all */
};

/* "SKUA_NOT_FOUND", and a sentence; never NULL. Any thread. */
SKUA_API const char *skua_code_name(enum skua_code code);
SKUA_API const char *skua_code_text(enum skua_code code);
/* The detail, or the code's sentence if there is none; borrowed from *status. */
SKUA_API const char *skua_status_text(const struct skua_status *status);
/* The library's version, "0.1.0". */
SKUA_API const char *skua_version(void);

/* ---- options and client --------------------------------------------------------------- */

typedef struct skua_options skua_options;
typedef struct skua_client skua_client;

/* All values have defaults; setters copy. Never NULL. */
SKUA_API skua_options *skua_options_new(void);
SKUA_API void skua_options_free(skua_options *options);
/* "HOST:PORT[,HOST:PORT…]", also separated by ';'. Default 127.0.0.1:8081. They are tried in
 * turn; the one that answered last is asked first. Checked by skua_client_new. */
SKUA_API void skua_options_name_servers(skua_options *options, const char *list);
/* Prefix of all topics and groups; default none. */
SKUA_API void skua_options_namespace(skua_options *options, const char *name);
/* Connect with TLS; default plaintext. */
SKUA_API void skua_options_tls(skua_options *options, bool on);
/* Certificates to trust (PEM) instead of the system's; implies TLS. */
SKUA_API void skua_options_ca_file(skua_options *options, const char *path);
/* Trust any certificate, as the official Java and Go clients do; implies TLS. */
SKUA_API void skua_options_insecure(skua_options *options, bool on);
/* Longest wait for one answer; default 3000. A send may take `attempts` times as long. */
SKUA_API void skua_options_request_timeout_ms(skua_options *options, uint32_t timeout_ms);
/* How often routes are asked for anew; default 30000. Errors do so at once. */
SKUA_API void skua_options_route_refresh_ms(skua_options *options, uint32_t interval_ms);
/* A send is tried so often in all, on another broker each time if there is one; default 3. */
SKUA_API void skua_options_max_attempts(skua_options *options, unsigned attempts);

/* Connects lazily: an unreachable server is told by the first call that needs it.
 * SKUA_INVALID: the name-server list or a certificate cannot be read. `options` may be NULL and
 * may be freed at once. */
SKUA_API SKUA_CHECKED struct skua_status skua_client_new(const skua_options *options,
                                                         skua_client **out);
/* Blocks until the library's threads are gone; not from a callback. */
SKUA_API void skua_client_free(skua_client *client);

/* ---- messages ------------------------------------------------------------------------- */

typedef struct skua_message skua_message;
typedef struct skua_messages skua_messages; /* a list of received messages */

/* A message to send; the body is copied. Never NULL. */
SKUA_API skua_message *skua_message_new(const char *topic, const void *body, size_t body_len);
/* Only for messages from skua_message_new; received ones belong to their list. */
SKUA_API void skua_message_free(skua_message *message);
SKUA_API void skua_message_set_tag(skua_message *message, const char *tag);
SKUA_API void skua_message_add_key(skua_message *message, const char *key);
/* A name that was set before gets a second value: set each once. */
SKUA_API void skua_message_set_property(skua_message *message, const char *name, const char *value);
/* Default, and with "": a new id at the next send, which then stays. */
SKUA_API void skua_message_set_id(skua_message *message, const char *id);
/* Messages of one group stay in order (FIFO topics). */
SKUA_API void skua_message_set_group(skua_message *message, const char *group);
/* Deliver at this time, milliseconds since 1970 (delay topics). */
SKUA_API void skua_message_set_delivery_time_ms(skua_message *message, int64_t time_ms);

/* What a message has. Texts are "" and pointers NULL where it has none. */
SKUA_API const char *skua_message_id(const skua_message *message);
SKUA_API const char *skua_message_topic(const skua_message *message);
SKUA_API const void *skua_message_body(const skua_message *message, size_t *len);
SKUA_API const char *skua_message_tag(const skua_message *message);
SKUA_API size_t skua_message_key_count(const skua_message *message);
SKUA_API const char *skua_message_key(const skua_message *message, size_t index);
SKUA_API size_t skua_message_property_count(const skua_message *message);
SKUA_API void skua_message_property_at(const skua_message *message, size_t index, const char **name,
                                       const char **value);
/* NULL if there is no such property. */
SKUA_API const char *skua_message_property(const skua_message *message, const char *name);
SKUA_API const char *skua_message_group(const skua_message *message);

/* What the broker added; only received and pulled messages have it. */
SKUA_API const char *skua_message_broker(const skua_message *message);
SKUA_API int32_t skua_message_queue(const skua_message *message);
SKUA_API int64_t skua_message_offset(const skua_message *message);
SKUA_API int32_t skua_message_attempt(const skua_message *message); /* 1 the first time */
SKUA_API int64_t skua_message_born_ms(const skua_message *message);
SKUA_API int64_t skua_message_store_ms(const skua_message *message);
/* Changes with skua_consumer_change_invisible. */
SKUA_API const char *skua_message_receipt(const skua_message *message);

SKUA_API size_t skua_messages_count(const skua_messages *list); /* NULL: 0 */
/* Borrowed from the list. */
SKUA_API skua_message *skua_messages_at(const skua_messages *list, size_t index);
SKUA_API void skua_messages_free(skua_messages *list);

/* ---- producer ------------------------------------------------------------------------- */

typedef struct skua_producer skua_producer;

/* What became of one message. */
struct skua_receipt {
    enum skua_code code; /* in a batch each message has its own */
    int32_t reply;
    int64_t offset; /* in the queue that the broker chose */
    char broker[128];
    char message_id[128];
};

SKUA_API SKUA_CHECKED struct skua_status skua_producer_new(skua_client *client,
                                                           skua_producer **out);
/* Blocks until all its sends have ended (their callbacks have run). */
SKUA_API void skua_producer_free(skua_producer *producer);

/* Send and wait until it is stored as durably as the broker promises. Brokers and queues take
 * turns; after a failure that another broker may not have, the next attempt goes to another one.
 * A SKUA_TIMEOUT or SKUA_UNAVAILABLE leaves open whether the message is stored; sending the
 * same message object again keeps its id. `out` may be NULL. Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_producer_send(skua_producer *producer,
                                                            skua_message *message,
                                                            struct skua_receipt *out);

/* All messages of one topic in one request. `receipts` has room for `count`, or is NULL; it is
 * written whenever the broker answered. If some messages failed the status is that of the first
 * failed one. Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_producer_send_batch(skua_producer *producer,
                                                                  skua_message *const *messages,
                                                                  size_t count,
                                                                  struct skua_receipt *receipts);

/* Both borrowed for the call. `receipts` has as many entries as were sent. */
typedef void skua_sent_fn(void *arg, const struct skua_status *status,
                          const struct skua_receipt *receipts, size_t count);

/* Begin to send; `done` runs exactly once, on the library's thread, never inside this call. The
 * messages may be freed or changed as soon as this returns. There is no limit on how many are
 * under way: count them. */
SKUA_API void skua_producer_send_async(skua_producer *producer, skua_message *const *messages,
                                       size_t count, skua_sent_fn *done, void *arg);

/* ---- simple consumer ------------------------------------------------------------------ */

typedef struct skua_consumer skua_consumer;

/* A member of `group`. Several consumers of a group share its messages. */
SKUA_API SKUA_CHECKED struct skua_status skua_consumer_new(skua_client *client, const char *group,
                                                           skua_consumer **out);
/* Gives back at once what was delivered and not handed out. Blocks until receives under way in
 * other threads have returned (SKUA_CANCELLED). */
SKUA_API void skua_consumer_free(skua_consumer *consumer);

/* Receive from this topic too. `tags`: "*", "A" or "A||B"; NULL means "*". */
SKUA_API SKUA_CHECKED struct skua_status skua_consumer_subscribe(skua_consumer *consumer,
                                                                 const char *topic,
                                                                 const char *tags);

/* Up to `max` messages from any broker of the subscribed topics. Waits up to `wait_ms` for the
 * first; SKUA_OK with an empty list says that none came. What it returns is hidden from the rest
 * of the group for `invisible_ms` (brokers ask for 10 s at least, unless configured otherwise);
 * then, unless acknowledged, it is delivered again. The caller frees the list. Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_consumer_receive(skua_consumer *consumer, size_t max,
                                                               uint64_t invisible_ms,
                                                               uint64_t wait_ms,
                                                               skua_messages **out);

/* The message is done with. SKUA_EXPIRED: it was too late. Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_consumer_ack(skua_consumer *consumer,
                                                           const skua_message *message);
/* All of the list, with one request per broker. The status is the first failure. Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_consumer_ack_all(skua_consumer *consumer,
                                                               const skua_messages *list);
/* Ask for more (or, with 0, no more) time: the message stays hidden so long from now on. Gives the
 * message a new receipt handle. Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_consumer_change_invisible(skua_consumer *consumer,
                                                                        skua_message *message,
                                                                        uint64_t invisible_ms);

/* ---- pull consumer -------------------------------------------------------------------- */

typedef struct skua_puller skua_puller;

struct skua_queue {
    char topic[256];
    char broker[128];
    int32_t id;
};

/* `group` may be NULL: then nothing can be committed. */
SKUA_API SKUA_CHECKED struct skua_status skua_puller_new(skua_client *client, const char *group,
                                                         skua_puller **out);
SKUA_API void skua_puller_free(skua_puller *puller);

/* The readable queues of a topic, all brokers; free(*out) gives them back. Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_puller_queues(skua_puller *puller, const char *topic,
                                                            struct skua_queue **out, size_t *count);

enum skua_offset { SKUA_OFFSET_BEGINNING = 0, SKUA_OFFSET_END = 1, SKUA_OFFSET_TIMESTAMP = 2 };

/* The first offset kept, the next to be written, or the first stored at or after time_ms
 * (milliseconds since 1970, ignored otherwise). Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_puller_query_offset(skua_puller *puller,
                                                                  const struct skua_queue *queue,
                                                                  enum skua_offset what,
                                                                  int64_t time_ms, int64_t *out);

/* Read up to `max` messages at `offset`; *next is where to go on. At the end waits up to
 * `wait_ms` for more; SKUA_OK with an empty list says that none came. SKUA_INVALID: the offset
 * is outside of what the queue has. Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_puller_pull(skua_puller *puller,
                                                          const struct skua_queue *queue,
                                                          int64_t offset, size_t max,
                                                          uint64_t wait_ms, skua_messages **out,
                                                          int64_t *next);

/* This puller's own place in a queue: seek sets it, poll reads on from it (from the committed
 * offset, else the beginning, if it was never set). seek does not block; poll does. */
SKUA_API void skua_puller_seek(skua_puller *puller, const struct skua_queue *queue, int64_t offset);
SKUA_API SKUA_CHECKED struct skua_status skua_puller_poll(skua_puller *puller,
                                                          const struct skua_queue *queue,
                                                          size_t max, uint64_t wait_ms,
                                                          skua_messages **out);

/* Remember the group's place on the broker, and ask for it. SKUA_NOT_FOUND: never committed.
 * Both block. */
SKUA_API SKUA_CHECKED struct skua_status skua_puller_commit(skua_puller *puller,
                                                            const struct skua_queue *queue,
                                                            int64_t offset);
SKUA_API SKUA_CHECKED struct skua_status skua_puller_committed(skua_puller *puller,
                                                               const struct skua_queue *queue,
                                                               int64_t *out);

/* ---- routes --------------------------------------------------------------------------- */

enum { SKUA_READ = 1, SKUA_WRITE = 2 };
enum skua_message_type {
    SKUA_NORMAL = 1,
    SKUA_FIFO = 2,
    SKUA_DELAY = 3,
    SKUA_TRANSACTION = 4,
    SKUA_MIXED = 100, /* a topic's only: takes the four above */
};

struct skua_route_queue {
    char broker[128];
    char address[264]; /* HOST:PORT that clients connect to */
    int32_t broker_id; /* 0 is the primary */
    int32_t id;
    unsigned permission; /* SKUA_READ | SKUA_WRITE */
    unsigned types;      /* 1u << SKUA_NORMAL | … */
};

/* Ask the name servers, not the cache. free(*out) gives the array back. Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_client_route(skua_client *client, const char *topic,
                                                           struct skua_route_queue **out,
                                                           size_t *count);

/* ---- administration (Skua's own services, not in Apache RocketMQ) --------------------- */

struct skua_broker {
    char cluster[128], name[128];
    int32_t id;
    char address[264], tls_address[264]; /* "": there is none */
    char version[64];
    bool suspect;       /* its registration broke; it gets no new messages */
    uint64_t silent_ms; /* since the name server last heard from it */
    int32_t topics;
    /* From the broker itself; `reached` says whether it answered. */
    bool reached;
    char flush[16];
    uint64_t uptime_ms, log_bytes, log_tail, log_flushed, groups, clients, waiting_receives;
    uint32_t disk_used_percent;
};

/* All brokers, every one asked how it is. free(*out) gives them back. Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_admin_brokers(skua_client *client,
                                                            struct skua_broker **out,
                                                            size_t *count);

struct skua_topic {
    char name[256];
    enum skua_message_type type;
    int32_t queues;
    unsigned permission;
    char broker[128]; /* one entry for each broker that has the topic */
};
struct skua_group {
    char name[256];
    int32_t max_attempts; /* 0: the default, 17 */
    bool orderly;
    char broker[128];
};

/* On one broker (a name from skua_admin_brokers). *created tells a new one from one that was
 * there with the same settings; SKUA_EXISTS: it is there with other settings. All block. */
SKUA_API SKUA_CHECKED struct skua_status skua_admin_create_topic(skua_client *client,
                                                                 const struct skua_topic *topic,
                                                                 bool *created);
SKUA_API SKUA_CHECKED struct skua_status skua_admin_delete_topic(skua_client *client,
                                                                 const char *broker,
                                                                 const char *name);
SKUA_API SKUA_CHECKED struct skua_status skua_admin_create_group(skua_client *client,
                                                                 const struct skua_group *group,
                                                                 bool *created);
SKUA_API SKUA_CHECKED struct skua_status skua_admin_delete_group(skua_client *client,
                                                                 const char *broker,
                                                                 const char *name);

/* All topics that the name server knows, of all clusters ("" or NULL) or one; sorted by name and
 * broker. Groups of one broker. free(*out) gives them back. Both block. */
SKUA_API SKUA_CHECKED struct skua_status skua_admin_topics(skua_client *client, const char *cluster,
                                                           struct skua_topic **out, size_t *count);
SKUA_API SKUA_CHECKED struct skua_status skua_admin_groups(skua_client *client, const char *broker,
                                                           struct skua_group **out, size_t *count);

struct skua_queue_range {
    int32_t id;
    int64_t min_offset, max_offset;
};
/* A topic on one broker. free(*queues). Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_admin_describe_topic(
    skua_client *client, const char *broker, const char *name, struct skua_topic *topic,
    struct skua_queue_range **queues, size_t *count);

struct skua_group_queue {
    char topic[256];
    int32_t id;
    int64_t min_offset, max_offset, committed_offset, inflight, lag;
};
struct skua_group_client {
    char client_id[256], language[32], version[64], address[264];
};
/* A group on one broker. free(*queues), free(*clients). Blocks. */
SKUA_API SKUA_CHECKED struct skua_status skua_admin_describe_group(
    skua_client *client, const char *broker, const char *name, struct skua_group *group,
    struct skua_group_queue **queues, size_t *queue_count, struct skua_group_client **clients,
    size_t *client_count);

#ifdef __cplusplus
}
#endif

#endif
