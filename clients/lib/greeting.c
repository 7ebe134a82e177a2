/* greeting.c - the first contact with a peer: calls wait for it, so that they start in order. */
#include "internal.h"

#include <stdlib.h>

struct knock {
    void (*fn)(void *arg);
    void *arg;
    struct knock *next;
};

struct greeting {
    skua_client *client;
    struct peer *peer;
};

/* Those who waited, and those who came meanwhile, in order; then nobody has to wait any more. */
static void on_greeted(void *arg, const struct rpc_outcome *outcome,
                       const rmq_heartbeat_response *response)
{
    struct greeting g = *(struct greeting *)arg;
    (void)outcome, (void)response;
    free(arg);
    sk_mutex_lock(&g.client->lock);
    while (g.peer->knocks) {
        struct knock *k = g.peer->knocks;
        g.peer->knocks = k->next;
        sk_mutex_unlock(&g.client->lock);
        k->fn(k->arg);
        free(k);
        sk_mutex_lock(&g.client->lock);
    }
    atomic_store(&g.peer->greeted, true);
    sk_mutex_unlock(&g.client->lock);
}

static void greet(struct member *m, struct peer *peer)
{
    struct greeting *g = sk_alloc(sizeof *g);
    *g = (struct greeting){m->client, peer};
    rmq_heartbeat_request request = RMQ_HEARTBEAT_REQUEST_INIT;
    request.client_type = m->type;
    struct rpc_options options = member_options(m, m->client->options.request_timeout_ms);
    rmq_messaging_service_heartbeat(peer->channel, &options, &request, on_greeted, g);
}

void peer_when_greeted(struct member *m, struct peer *peer, void (*fn)(void *arg), void *arg)
{
    skua_client *client = m->client;
    struct knock *k = NULL;
    bool first = false;
    if (!atomic_load_explicit(&peer->greeted, memory_order_acquire)) {
        sk_mutex_lock(&client->lock);
        if (!atomic_load(&peer->greeted)) {
            k = sk_alloc(sizeof *k);
            *k = (struct knock){.fn = fn, .arg = arg};
            *(peer->knocks ? &peer->last_knock->next : &peer->knocks) = k;
            peer->last_knock = k;
            first = !peer->greeting;
            peer->greeting = true;
        }
        sk_mutex_unlock(&client->lock);
    }
    if (!k)
        fn(arg);
    else if (first)
        greet(m, peer);
}
