/* sessions.c - the client registry. */
#include "sessions/sessions.h"

#include <uthash.h>

#include "base/memory.h"
#include "base/thread.h"

enum { DEFAULT_TIMEOUT_MS = 3000, TEXT_MOST = 255 };

struct session {
    char *id;
    uint64_t owner; /* hash of the id: the key of the second table */
    char *language, *version, *address, *group;
    rmq_client_type type;
    uint64_t request_timeout_ms;
    uint64_t seen_us;
    bool gone;
    UT_hash_handle hh, by_owner;
};

struct sk_sessions {
    struct sk_mutex lock;
    const struct sk_clock *clock;
    size_t most;
    struct session *by_id;    /* guarded by lock */
    struct session *by_owner; /* guarded by lock */
    size_t gone;              /* guarded by lock */
};

static char *keep(struct sk_slice text)
{
    if (text.len > TEXT_MOST) text.len = TEXT_MOST;
    return sk_strndup(text);
}

static void drop(sk_sessions *sessions, struct session *s)
{
    if (s->gone) sessions->gone--;
    HASH_DELETE(hh, sessions->by_id, s);
    HASH_DELETE(by_owner, sessions->by_owner, s);
    free(s->id);
    free(s->language);
    free(s->version);
    free(s->address);
    free(s->group);
    free(s);
}

static struct session *find(sk_sessions *sessions, struct sk_slice id)
{
    struct session *s = NULL;
    HASH_FIND(hh, sessions->by_id, id.data, id.len, s);
    return s;
}

/* When there are too many, the one that came first goes: losing a session costs its client
 * little. */
static struct session *find_or_add(sk_sessions *sessions, rpc_call *call,
                                   const struct sk_caller *caller)
{
    struct sk_slice id = caller->asker.client_id;
    if (id.len > TEXT_MOST) id.len = TEXT_MOST;
    struct session *s = find(sessions, id);
    if (!s) {
        if (HASH_COUNT(sessions->by_id) >= sessions->most) drop(sessions, sessions->by_id);
        s = sk_zalloc(1, sizeof *s);
        s->id = keep(id);
        s->owner = caller->owner;
        s->language = keep(caller->asker.language);
        s->version = keep(rpc_call_metadata(call, "x-mq-client-version"));
        s->address = keep(sk_slice_of_text(rpc_call_peer(call)));
        s->request_timeout_ms = DEFAULT_TIMEOUT_MS;
        HASH_ADD_KEYPTR(hh, sessions->by_id, s->id, id.len, s);
        HASH_ADD(by_owner, sessions->by_owner, owner, sizeof s->owner, s);
    }
    if (s->gone) sessions->gone--;
    s->gone = false;
    s->seen_us = sk_mono_us(sessions->clock);
    return s;
}

sk_sessions *sk_sessions_new(const struct sk_clock *clock, size_t most)
{
    sk_sessions *sessions = sk_zalloc(1, sizeof *sessions);
    sk_mutex_init(&sessions->lock);
    sessions->clock = clock;
    sessions->most = most;
    return sessions;
}

void sk_sessions_free(sk_sessions *sessions)
{
    if (!sessions) return;
    while (sessions->by_id) drop(sessions, sessions->by_id);
    sk_mutex_done(&sessions->lock);
    free(sessions);
}

void sk_sessions_seen(sk_sessions *sessions, rpc_call *call, const struct sk_caller *caller)
{
    sk_mutex_lock(&sessions->lock);
    find_or_add(sessions, call, caller);
    sk_mutex_unlock(&sessions->lock);
}

void sk_sessions_settings(sk_sessions *sessions, rpc_call *call, const struct sk_caller *caller,
                          const rmq_settings *settings, struct sk_slice group)
{
    const pb_duration *timeout = rmq_settings_get_request_timeout(settings);
    sk_mutex_lock(&sessions->lock);
    struct session *s = find_or_add(sessions, call, caller);
    s->type = rmq_settings_get_client_type(settings);
    free(s->group);
    s->group = keep(group);
    if (timeout && timeout->seconds >= 0 && timeout->seconds < 3600) {
        s->request_timeout_ms =
            (uint64_t)timeout->seconds * 1000 + (uint64_t)(timeout->nanos / 1000000);
    }
    sk_mutex_unlock(&sessions->lock);
}

void sk_sessions_forget(sk_sessions *sessions, rpc_call *call, const struct sk_caller *caller)
{
    sk_mutex_lock(&sessions->lock);
    struct session *s = find_or_add(sessions, call, caller);
    s->gone = true;
    s->type = RMQ_CLIENT_TYPE_UNSPECIFIED;
    sessions->gone++;
    sk_mutex_unlock(&sessions->lock);
}

size_t sk_sessions_expire(sk_sessions *sessions, uint64_t silent_ms)
{
    size_t count = 0;
    sk_mutex_lock(&sessions->lock);
    uint64_t now_us = sk_mono_us(sessions->clock);
    struct session *s, *next;
    HASH_ITER(hh, sessions->by_id, s, next)
    {
        if (now_us - s->seen_us <= silent_ms * 1000) continue;
        drop(sessions, s);
        count++;
    }
    sk_mutex_unlock(&sessions->lock);
    return count;
}

rmq_client_type sk_sessions_type(sk_sessions *sessions, const struct sk_caller *caller)
{
    sk_mutex_lock(&sessions->lock);
    struct session *s = find(sessions, caller->asker.client_id);
    rmq_client_type type = s ? s->type : RMQ_CLIENT_TYPE_UNSPECIFIED;
    sk_mutex_unlock(&sessions->lock);
    return type;
}

uint64_t sk_sessions_request_timeout_ms(sk_sessions *sessions, const struct sk_caller *caller)
{
    sk_mutex_lock(&sessions->lock);
    struct session *s = find(sessions, caller->asker.client_id);
    uint64_t ms = s ? s->request_timeout_ms : DEFAULT_TIMEOUT_MS;
    sk_mutex_unlock(&sessions->lock);
    return ms;
}

bool sk_sessions_is_alive(sk_sessions *sessions, uint64_t owner)
{
    sk_mutex_lock(&sessions->lock);
    struct session *s = NULL;
    HASH_FIND(by_owner, sessions->by_owner, &owner, sizeof owner, s);
    bool alive = s && !s->gone;
    sk_mutex_unlock(&sessions->lock);
    return alive;
}

size_t sk_sessions_count(sk_sessions *sessions)
{
    sk_mutex_lock(&sessions->lock);
    size_t count = HASH_COUNT(sessions->by_id) - sessions->gone;
    sk_mutex_unlock(&sessions->lock);
    return count;
}

void sk_sessions_each_of_group(sk_sessions *sessions, struct sk_slice group,
                               void (*fn)(void *arg, const struct sk_session_view *view), void *arg)
{
    sk_mutex_lock(&sessions->lock);
    for (struct session *s = sessions->by_id; s; s = s->hh.next) {
        if (s->gone || !s->group || !sk_slice_eq(group, sk_slice_of_text(s->group))) continue;
        struct sk_session_view view = {s->id, s->language, s->version, s->address, s->type};
        fn(arg, &view);
    }
    sk_mutex_unlock(&sessions->lock);
}
