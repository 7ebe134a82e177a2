/* calls.c - see calls.h. */
#include "calls.h"

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <string.h>

#include "apache/rocketmq/v2/definition.alias.h"
#include "base/arena.h"
#include "base/assert.h"
#include "proto/message.h"

enum { HEAD = 4, MORE = 1, NO_CLIENT = 2, OTHER_CLIENT = 4 };
enum { CALLS = 12, MESSAGES = 6, STREAM_MS = 40, ARENA = 64 << 20 };

struct answer {
    struct calls *calls;
    const struct rpc_method *method;
    sk_arena *arena;
};

static ProtobufCMessage *decode(const ProtobufCMessageDescriptor *type, struct sk_slice bytes,
                                sk_arena *arena)
{
    ProtobufCAllocator allocator = sk_proto_allocator(arena);
    if (!sk_proto_texts_are_fine(type, bytes)) return NULL;
    return protobuf_c_message_unpack(type, &allocator, bytes.len, bytes.data);
}

/* --- walking a message ---------------------------------------------------------------------- */

typedef void text_fn(void *arg, const char *name, char **text);

static void each_text(ProtobufCMessage *m, text_fn *fn, void *arg);

static void each_of(const ProtobufCFieldDescriptor *f, void *value, text_fn *fn, void *arg)
{
    if (f->type == PROTOBUF_C_TYPE_STRING && *(char **)value) fn(arg, f->name, value);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && *(ProtobufCMessage **)value)
        each_text(*(ProtobufCMessage **)value, fn, arg);
}

static void each_text(ProtobufCMessage *m, text_fn *fn, void *arg)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        uint8_t *member = (uint8_t *)m + f->offset;
        bool is_one_of = f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
        uint32_t chosen =
            is_one_of ? *(uint32_t *)(void *)((uint8_t *)m + f->quantifier_offset) : 0;
        if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE) continue;
        if (is_one_of && chosen != f->id) continue;
        if (f->label != PROTOBUF_C_LABEL_REPEATED) {
            each_of(f, member, fn, arg);
            continue;
        }
        size_t n = *(size_t *)(void *)((uint8_t *)m + f->quantifier_offset);
        for (size_t k = 0; k < n; k++) each_of(f, *(void ***)(void *)member + k, fn, arg);
    }
}

/* --- requests ------------------------------------------------------------------------------------
 */

struct filling {
    const char *handle;
    bool filled;
};

static void fill_in(void *arg, const char *name, char **text)
{
    struct filling *f = arg;
    (void)name;
    if (strcmp(*text, "H") != 0) return;
    *text = (char *)(uintptr_t)f->handle;
    f->filled = true;
}

static struct sk_slice with_handle(struct calls *calls, const struct rpc_method *method,
                                   struct sk_slice bytes, sk_arena *arena)
{
    struct filling filling = {.handle = calls->handle};
    if (!calls->handle[0] || !memchr(bytes.data, 'H', bytes.len)) return bytes;
    ProtobufCMessage *m = decode(method->request, bytes, arena);
    if (m) each_text(m, fill_in, &filling);
    return filling.filled ? sk_proto_pack(m, arena) : bytes;
}

/* --- answers -------------------------------------------------------------------------------------
 */

static void keep_handle(void *arg, const char *name, char **text)
{
    struct calls *calls = arg;
    if (strcmp(name, "receipt_handle") == 0 && (*text)[0])
        snprintf(calls->handle, sizeof calls->handle, "%s", *text);
}

/* An answer with a field `status` says in it how it went. */
static void check_status(const ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(m->descriptor, "status");
    if (!f || f->label == PROTOBUF_C_LABEL_REPEATED || f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return;
    if (f->type != PROTOBUF_C_TYPE_MESSAGE || f->descriptor != &rmq_status_descriptor) return;
    const rmq_status *status = *(rmq_status *const *)(const void *)((const uint8_t *)m + f->offset);
    sk_assert(status && status->code != RMQ_CODE_UNSPECIFIED);
}

static void on_answer(void *arg, struct sk_slice bytes)
{
    struct answer *a = arg;
    ProtobufCMessage *m = decode(a->method->response, bytes, a->arena);
    sk_assert(m != NULL || sk_arena_is_exhausted(a->arena));
    if (!m) return;
    each_text(m, keep_handle, a->calls);
    if (a->method->kind == RPC_UNARY) check_status(m);
}

static void check_ending(const struct rpc_method *method, const struct raw_call *call,
                         const struct raw_ending *e, bool readable)
{
    sk_assert(e->code != RPC_INTERNAL && e->code != RPC_UNKNOWN && e->code != RPC_DATA_LOSS);
    if (method->kind == RPC_BIDI) return;
    /* Where SendMessage, which has a parser of its own, differs from protobuf-c is for
     * fuzz_broker_scan to say. */
    bool own_parser = strcmp(method->name, "SendMessage") == 0;
    static const char words[] = "the request is no valid ";
    bool refused =
        e->code == RPC_INVALID_ARGUMENT && strncmp(e->detail, words, sizeof words - 1) == 0;
    if (method->kind == RPC_UNARY && e->code == RPC_OK) sk_assert(e->messages == 1);
    if (call->count != 1 || e->code == RPC_UNIMPLEMENTED || e->code == RPC_RESOURCE_EXHAUSTED)
        return;
    if (e->code == RPC_DEADLINE_EXCEEDED) return; /* of a stream, before its answer came */
    sk_assert(own_parser || refused == !readable);
}

/* --- the row -------------------------------------------------------------------------------------
 */

static const struct rpc_method *method_of(const struct calls *calls, unsigned number)
{
    size_t total = 0;
    for (size_t i = 0; i < calls->service_count; i++) total += calls->services[i]->method_count;
    size_t left = number % total;
    const struct rpc_service *const *at = calls->services;
    for (; left >= (*at)->method_count; at++) left -= (*at)->method_count;
    return &(*at)->methods[left];
}

static void make(struct calls *calls, const struct rpc_method *method, unsigned how,
                 struct sk_slice *messages, size_t count, sk_arena *arena)
{
    struct answer answer = {calls, method, arena};
    struct raw_ending ending;
    struct raw_call call = {
        .path = method->path,
        .client_id = how & NO_CLIENT      ? NULL
                     : how & OTHER_CLIENT ? "other"
                                          : "tester",
        .messages = messages,
        .count = count,
        .timeout_ms = STREAM_MS,
        .message = on_answer,
        .arg = &answer,
    };
    /* Has to end by itself. (A unary method that is sent nothing waits for it.) */
    if (method->kind == RPC_UNARY && count == 1) call.timeout_ms = 0;
    for (size_t i = 0; i < count; i++) messages[i] = with_handle(calls, method, messages[i], arena);
    bool readable = count == 1 && decode(method->request, messages[0], arena);
    raw_client_call(calls->client, &call, &ending);
    if (!sk_arena_is_exhausted(arena)) check_ending(method, &call, &ending, readable);
}

void calls_run(struct calls *calls, const uint8_t *data, size_t size)
{
    struct sk_slice messages[MESSAGES];
    const uint8_t *end = data + size;
    size_t count = 0;
    for (int made = 0; made < CALLS && end - data >= HEAD;) {
        size_t len = data[2] | (size_t)data[3] << 8, left = (size_t)(end - data) - HEAD;
        if (len > left) len = left;
        messages[count++] = sk_slice_of(data + HEAD, len);
        if (!(data[1] & MORE) || count == MESSAGES) {
            sk_arena *arena = sk_arena_new(ARENA);
            make(calls, method_of(calls, data[0]), data[1], messages, count, arena);
            sk_arena_free(arena);
            count = 0;
            made++;
        }
        data += HEAD + len;
    }
}
