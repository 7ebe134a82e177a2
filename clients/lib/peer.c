/* peer.c - one channel for each address that this client speaks to. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct peer *peer_new(skua_client *client, const char *target)
{
    struct rpc_channel_options options = {
        .tls = client->options.tls,
        .ca_file = client->options.ca_file,
        .insecure_skip_verify = client->options.insecure,
    };
    struct peer *p = sk_zalloc(1, sizeof *p);
    struct sk_status s = rpc_channel_open(client->rpc, target, &options, &p->channel);
    if (!sk_ok(s)) {
        free(p);
        return NULL;
    }
    p->target = sk_strdup(target);
    return p;
}

static void peer_free(struct peer *p)
{
    free(p->target);
    free(p);
}

/* Under the client's lock. */
static struct peer *find(skua_client *client, const char *target)
{
    struct peer *p;
    HASH_FIND_STR(client->peers, target, p);
    return p;
}

/* Two threads may open a channel to one address: the second is not needed. */
static struct peer *add_or_find(skua_client *client, struct peer *fresh)
{
    sk_mutex_lock(&client->lock);
    struct peer *p = find(client, fresh->target);
    if (!p) {
        p = fresh;
        HASH_ADD_KEYPTR(hh, client->peers, p->target, strlen(p->target), p);
    }
    sk_mutex_unlock(&client->lock);
    return p;
}

struct peer *client_peer(skua_client *client, const char *target)
{
    sk_mutex_lock(&client->lock);
    struct peer *known = find(client, target);
    sk_mutex_unlock(&client->lock);
    if (known) return known;

    struct peer *fresh = peer_new(client, target);
    if (!fresh) return NULL;
    struct peer *p = add_or_find(client, fresh);
    if (p != fresh) {
        rpc_channel_close(fresh->channel);
        peer_free(fresh);
    }
    return p;
}

void peer_isolate(skua_client *client, struct peer *p)
{
    atomic_store(&p->isolated_us, sk_mono_us(client->clock));
    atomic_store(&p->isolated, true);
}

bool endpoints_target(const rmq_endpoints *e, char *out, size_t room)
{
    if (!e || e->n_addresses == 0 || !e->addresses[0]->host[0]) return false;
    const rmq_address *a = e->addresses[0];
    bool v6 = strchr(a->host, ':') && a->host[0] != '[';
    int n = snprintf(out, room, v6 ? "[%s]:%d" : "%s:%d", a->host, a->port);
    return n > 0 && (size_t)n < room;
}

void peers_close(skua_client *client)
{
    for (struct peer *p = client->peers; p; p = p->hh.next) rpc_channel_close(p->channel);
}

void peers_done(skua_client *client)
{
    struct peer *p, *next;
    HASH_ITER(hh, client->peers, p, next)
    {
        HASH_DEL(client->peers, p);
        peer_free(p);
    }
}
