/* message.c - messages: made by the user, packed for the wire, copied from it.
 *
 * All memory of a message is in one arena: its own, or that of the list that
 * it came with. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* --- made by the user ------------------------------------------------------------------ */

static char *text_in(sk_arena *arena, const char *text)
{
    return sk_arena_text(arena, sk_slice_of_text(text ? text : ""));
}

static skua_message *message_in(sk_arena *arena)
{
    skua_message *m = sk_arena_zalloc(arena, 1, sizeof *m);
    m->arena = arena;
    m->topic = m->id = m->tag = m->group = m->broker = m->receipt = "";
    m->last_property = &m->properties;
    m->offset = m->delivery_ms = -1;
    m->queue = -1;
    return m;
}

skua_message *skua_message_new(const char *topic, const void *body, size_t body_len)
{
    skua_message *m = message_in(sk_arena_new(0));
    m->topic = text_in(m->arena, topic);
    m->body = sk_arena_copy(m->arena, body_len ? body : "", body_len);
    m->body_len = body_len;
    return m;
}

void skua_message_free(skua_message *m)
{
    if (m) sk_arena_free(m->arena);
}

void skua_message_set_tag(skua_message *m, const char *tag)
{
    m->tag = text_in(m->arena, tag);
}
void skua_message_set_id(skua_message *m, const char *id)
{
    m->id = *id ? text_in(m->arena, id) : "";
}
void skua_message_set_group(skua_message *m, const char *g)
{
    m->group = text_in(m->arena, g);
}
void skua_message_set_delivery_time_ms(skua_message *m, int64_t ms)
{
    m->delivery_ms = ms;
}

void skua_message_add_key(skua_message *m, const char *key)
{
    const char **keys = sk_arena_alloc(m->arena, (m->key_count + 1) * sizeof *keys);
    if (m->key_count) memcpy(keys, m->keys, m->key_count * sizeof *keys);
    keys[m->key_count++] = text_in(m->arena, key);
    m->keys = keys;
}

void skua_message_set_property(skua_message *m, const char *name, const char *value)
{
    struct text_pair *p = sk_arena_zalloc(m->arena, 1, sizeof *p);
    p->name = text_in(m->arena, name);
    p->value = text_in(m->arena, value);
    *m->last_property = p;
    m->last_property = &p->next;
    m->property_count++;
}

/* --- asked by the user ----------------------------------------------------------------- */

const char *skua_message_id(const skua_message *m)
{
    return m->id;
}
const char *skua_message_topic(const skua_message *m)
{
    return m->topic;
}
const char *skua_message_tag(const skua_message *m)
{
    return m->tag;
}
const char *skua_message_group(const skua_message *m)
{
    return m->group;
}
const char *skua_message_broker(const skua_message *m)
{
    return m->broker;
}
const char *skua_message_receipt(const skua_message *m)
{
    return m->receipt;
}
size_t skua_message_key_count(const skua_message *m)
{
    return m->key_count;
}
size_t skua_message_property_count(const skua_message *m)
{
    return m->property_count;
}
int32_t skua_message_queue(const skua_message *m)
{
    return m->queue;
}
int64_t skua_message_offset(const skua_message *m)
{
    return m->offset;
}
int32_t skua_message_attempt(const skua_message *m)
{
    return m->attempt;
}
int64_t skua_message_born_ms(const skua_message *m)
{
    return m->born_ms;
}
int64_t skua_message_store_ms(const skua_message *m)
{
    return m->store_ms;
}

const void *skua_message_body(const skua_message *m, size_t *len)
{
    *len = m->body_len;
    return m->body;
}

const char *skua_message_key(const skua_message *m, size_t index)
{
    return index < m->key_count ? m->keys[index] : NULL;
}

void skua_message_property_at(const skua_message *m, size_t index, const char **name,
                              const char **value)
{
    const struct text_pair *p = m->properties;
    while (p && index--) p = p->next;
    *name = p ? p->name : NULL;
    *value = p ? p->value : NULL;
}

const char *skua_message_property(const skua_message *m, const char *name)
{
    for (const struct text_pair *p = m->properties; p; p = p->next)
        if (strcmp(p->name, name) == 0) return p->value;
    return NULL;
}

/* --- lists ----------------------------------------------------------------------------- */

skua_messages *messages_new(void)
{
    skua_messages *list = sk_zalloc(1, sizeof *list);
    list->arena = sk_arena_new(0);
    return list;
}

size_t skua_messages_count(const skua_messages *list)
{
    return list ? list->count : 0;
}
skua_message *skua_messages_at(const skua_messages *list, size_t index)
{
    return index < list->count ? list->items[index] : NULL;
}

void skua_messages_free(skua_messages *list)
{
    if (!list) return;
    sk_arena_free(list->arena);
    free(list->items);
    free(list);
}

static skua_message *append(skua_messages *list)
{
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 32;
        list->items = sk_realloc(list->items, list->room, sizeof *list->items);
    }
    return list->items[list->count++] = message_in(list->arena);
}

static int64_t time_ms(const Google__Protobuf__Timestamp *t)
{
    return t ? t->seconds * 1000 + t->nanos / 1000000 : 0;
}

static void copy_properties(skua_message *m, const rmq_message *from)
{
    for (size_t i = 0; i < from->n_user_properties; i++)
        skua_message_set_property(m, from->user_properties[i]->key,
                                  from->user_properties[i]->value);
}

static void copy_keys(skua_message *m, const rmq_system_properties *s)
{
    if (!s->n_keys) return;
    m->keys = sk_arena_alloc(m->arena, s->n_keys * sizeof *m->keys);
    for (size_t i = 0; i < s->n_keys; i++) m->keys[i] = text_in(m->arena, s->keys[i]);
    m->key_count = s->n_keys;
}

skua_message *messages_add(skua_messages *list, const rmq_message *from, const char *broker,
                           struct peer *peer)
{
    skua_message *m = append(list);
    m->peer = peer;
    m->broker = text_in(list->arena, broker);
    m->topic = text_in(list->arena, from->topic ? from->topic->name : "");
    m->body = sk_arena_copy(list->arena, from->body.len ? from->body.data : (const uint8_t *)"",
                            from->body.len);
    m->body_len = from->body.len;
    copy_properties(m, from);

    const rmq_system_properties *s = from->system_properties;
    if (!s) return m;
    copy_keys(m, s);
    m->id = text_in(list->arena, s->message_id);
    m->tag = text_in(list->arena, rmq_system_properties_get_tag(s));
    m->group = text_in(list->arena, rmq_system_properties_get_message_group(s));
    m->receipt = text_in(list->arena, rmq_system_properties_get_receipt_handle(s));
    m->queue = s->queue_id;
    m->offset = rmq_system_properties_get_queue_offset(s);
    m->attempt = rmq_system_properties_get_delivery_attempt(s);
    m->born_ms = time_ms(s->born_timestamp);
    m->store_ms = time_ms(rmq_system_properties_get_store_timestamp(s));
    return m;
}

void messages_copy(skua_messages *list, const skua_message *from)
{
    skua_message *m = append(list);
    sk_arena *arena = m->arena;
    *m = *from;
    m->arena = arena;
    m->next = NULL;
    m->topic = text_in(arena, from->topic);
    m->id = text_in(arena, from->id);
    m->tag = text_in(arena, from->tag);
    m->group = text_in(arena, from->group);
    m->broker = text_in(arena, from->broker);
    m->receipt = text_in(arena, from->receipt);
    m->body = sk_arena_copy(arena, from->body, from->body_len);
    m->keys = NULL;
    m->key_count = 0;
    for (size_t i = 0; i < from->key_count; i++) skua_message_add_key(m, from->keys[i]);
    m->properties = NULL;
    m->last_property = &m->properties;
    m->property_count = 0;
    for (const struct text_pair *p = from->properties; p; p = p->next)
        skua_message_set_property(m, p->name, p->value);
}

/* --- for the wire ---------------------------------------------------------------------- */

rmq_resource resource_of(const char *name_space, const char *name)
{
    rmq_resource r = RMQ_RESOURCE_INIT;
    if (name_space && *name_space) r.resource_namespace = sk_proto_text(name_space);
    r.name = sk_proto_text(name);
    return r;
}

static rmq_message_type type_of(const skua_message *m)
{
    if (m->delivery_ms >= 0) return RMQ_MESSAGE_TYPE_DELAY;
    return m->group[0] ? RMQ_MESSAGE_TYPE_FIFO : RMQ_MESSAGE_TYPE_NORMAL;
}

static Google__Protobuf__Timestamp *timestamp_in(sk_arena *arena, int64_t ms)
{
    Google__Protobuf__Timestamp *t = sk_arena_alloc(arena, sizeof *t);
    google__protobuf__timestamp__init(t);
    t->seconds = ms / 1000;
    t->nanos = (int32_t)(ms % 1000) * 1000000;
    return t;
}

/* The generated types have no const: what they point to here is only read. */
static void *unconst(const void *p)
{
    return (void *)(uintptr_t)p;
}

static void fill_system(rmq_system_properties *s, const skua_message *m, sk_arena *arena)
{
    rmq_system_properties_init(s);
    if (m->tag[0]) rmq_system_properties_set_tag(s, m->tag);
    if (m->group[0]) rmq_system_properties_set_message_group(s, m->group);
    s->n_keys = m->key_count;
    s->keys = unconst(m->keys);
    s->message_id = unconst(m->id);
    s->body_encoding = RMQ_ENCODING_IDENTITY;
    s->message_type = type_of(m);
    s->born_timestamp = timestamp_in(arena, (int64_t)sk_wall_ms(sk_clock_real()));
    if (m->delivery_ms >= 0)
        rmq_system_properties_set_delivery_timestamp(s, timestamp_in(arena, m->delivery_ms));
}

static void fill_properties(rmq_message *out, const skua_message *m, sk_arena *arena)
{
    if (!m->property_count) return;
    out->user_properties = sk_arena_zalloc(arena, m->property_count, sizeof *out->user_properties);
    for (const struct text_pair *p = m->properties; p; p = p->next) {
        rmq_message_user_properties_entry *e = sk_arena_alloc(arena, sizeof *e);
        rmq_message_user_properties_entry_init(e);
        e->key = sk_proto_text(p->name);
        e->value = sk_proto_text(p->value);
        out->user_properties[out->n_user_properties++] = e;
    }
}

struct sk_slice messages_pack(const char *name_space, skua_message *const *messages, size_t count,
                              sk_arena *arena)
{
    rmq_send_message_request request = RMQ_SEND_MESSAGE_REQUEST_INIT;
    request.messages = sk_arena_zalloc(arena, count, sizeof *request.messages);
    for (size_t i = 0; i < count; i++) {
        skua_message *m = messages[i];
        if (!m->id[0]) {
            message_id_next(m->made_id);
            m->id = m->made_id;
        }
        rmq_message *out = sk_arena_alloc(arena, sizeof *out);
        rmq_resource *topic = sk_arena_alloc(arena, sizeof *topic);
        rmq_system_properties *system = sk_arena_alloc(arena, sizeof *system);
        rmq_message_init(out);
        *topic = resource_of(name_space, m->topic);
        fill_system(system, m, arena);
        fill_properties(out, m, arena);
        out->topic = topic;
        out->system_properties = system;
        out->body = sk_proto_bytes(sk_slice_of(m->body, m->body_len));
        request.messages[request.n_messages++] = out;
    }
    return sk_proto_pack(&request.base, arena);
}
