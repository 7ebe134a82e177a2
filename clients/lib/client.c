/* client.c - options, the client and its clock.
 *
 * A client owns the runtime's client machine, one timer thread, one peer per
 * address and the route cache. Producers and consumers are members of it. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TICK_MS = 1000 };
static const char default_servers[] = "127.0.0.1:8081";

/* --- options --------------------------------------------------------------------------- */

skua_options *skua_options_new(void)
{
    skua_options *o = sk_zalloc(1, sizeof *o);
    o->name_servers = sk_strdup(default_servers);
    o->request_timeout_ms = 3000;
    o->route_refresh_ms = 30000;
    o->max_attempts = 3;
    return o;
}

static void options_done(skua_options *o)
{
    free(o->name_servers);
    free(o->name_space);
    free(o->ca_file);
}

void skua_options_free(skua_options *o)
{
    if (!o) return;
    options_done(o);
    free(o);
}

static void replace(char **text, const char *with)
{
    char *copy = sk_strdup(with);
    free(*text);
    *text = copy;
}

void skua_options_name_servers(skua_options *o, const char *list)
{
    replace(&o->name_servers, list);
}
void skua_options_namespace(skua_options *o, const char *name)
{
    replace(&o->name_space, name);
}
void skua_options_tls(skua_options *o, bool on)
{
    o->tls = on;
}
void skua_options_request_timeout_ms(skua_options *o, uint32_t ms)
{
    o->request_timeout_ms = ms;
}
void skua_options_route_refresh_ms(skua_options *o, uint32_t ms)
{
    o->route_refresh_ms = ms;
}
void skua_options_max_attempts(skua_options *o, unsigned n)
{
    o->max_attempts = n ? n : 1;
}

void skua_options_ca_file(skua_options *o, const char *path)
{
    replace(&o->ca_file, path);
    if (path) o->tls = true;
}

void skua_options_insecure(skua_options *o, bool on)
{
    o->insecure = on;
    if (on) o->tls = true;
}

/* --- the list of name servers ---------------------------------------------------------- */

static struct skua_status add_name_server(skua_client *client, const char *text, size_t len)
{
    char target[264];
    const char *colon = memrchr(text, ':', len);
    if (len >= sizeof target || !colon || colon == text || colon + 1 == text + len)
        return status_make(SKUA_INVALID, 0, "name server '%.*s' is not HOST:PORT", (int)len, text);
    snprintf(target, sizeof target, "%.*s", (int)len, text);
    struct peer *p = client_peer(client, target);
    if (!p)
        return status_make(SKUA_INVALID, 0, "cannot open a channel to '%s'%s%s", target,
                           client->options.ca_file ? " with certificates of " : "",
                           client->options.ca_file ? client->options.ca_file : "");
    client->name_servers =
        sk_realloc(client->name_servers, client->name_server_count + 1, sizeof(struct peer *));
    client->name_servers[client->name_server_count++] = p;
    return OK_STATUS;
}

static struct skua_status add_name_servers(skua_client *client)
{
    for (const char *at = client->options.name_servers; *at;) {
        size_t len = strcspn(at, ",;");
        const char *begin = at + strspn(at, " ");
        size_t trimmed = begin < at + len ? (size_t)(at + len - begin) : 0;
        while (trimmed && begin[trimmed - 1] == ' ') trimmed--;
        if (trimmed) {
            struct skua_status s = add_name_server(client, begin, trimmed);
            if (s.code != SKUA_OK) return s;
        }
        at += len;
        if (*at) at++;
    }
    return client->name_server_count ? OK_STATUS
                                     : status_make(SKUA_INVALID, 0, "no name server is given");
}

/* --- the client ------------------------------------------------------------------------ */

static void tick(void *arg)
{
    skua_client *client = arg;
    uint64_t now = sk_mono_us(client->clock);
    members_tick(client, now);
    routes_tick(client, now);
    sk_timer_set_after_ms(client->timers, &client->tick, TICK_MS);
}

static void copy_options(struct skua_options *to, const skua_options *from)
{
    *to = *from;
    to->name_servers = sk_strdup(from->name_servers ? from->name_servers : default_servers);
    to->name_space = sk_strdup(from->name_space ? from->name_space : "");
    to->ca_file = sk_strdup(from->ca_file);
}

static struct sk_status start_machines(skua_client *client)
{
    SK_TRY(rpc_client_new(&client->rpc));
    SK_TRY(sk_timers_new(client->clock, &client->timers));
    client->tick = (struct sk_timer){.fn = tick, .arg = client};
    sk_timer_set_after_ms(client->timers, &client->tick, TICK_MS);
    return SK_SUCCESS;
}

struct skua_status skua_client_new(const skua_options *options, skua_client **out)
{
    skua_client *client = sk_zalloc(1, sizeof *client);
    skua_options *defaults = options ? NULL : skua_options_new();
    copy_options(&client->options, options ? options : defaults);
    skua_options_free(defaults);
    client->clock = sk_clock_real();
    sk_mutex_init(&client->lock);
    sk_cond_init(&client->changed);
    member_init(&client->self, client, RMQ_CLIENT_TYPE_UNSPECIFIED, NULL);

    struct skua_status s = status_from_base(start_machines(client));
    if (s.code == SKUA_OK) s = add_name_servers(client);
    if (s.code != SKUA_OK) {
        skua_client_free(client);
        return s;
    }
    *out = client;
    return OK_STATUS;
}

void skua_client_free(skua_client *client)
{
    if (!client) return;
    sk_mutex_lock(&client->lock);
    client->closing = true;
    sk_mutex_unlock(&client->lock);

    sk_timers_free(client->timers);
    member_done(&client->self);
    peers_close(client);
    rpc_client_free(client->rpc); /* every callback has run */
    routes_done(client);
    peers_done(client);
    free(client->name_servers);
    options_done(&client->options);
    sk_cond_done(&client->changed);
    sk_mutex_done(&client->lock);
    free(client);
}
