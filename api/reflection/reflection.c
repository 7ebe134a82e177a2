/* reflection.c - grpc.reflection.v1 and v1alpha: our .proto files, for grpcurl.
 *
 * Both versions have the same messages on the wire, so one handler serves both.
 * An answer holds the file and all that it imports. What is not there is an
 * error_response NOT_FOUND; the stream goes on. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/thread.h"
#include "google/protobuf/descriptor.alias.h"
#include "grpc/reflection/v1/reflection.alias.h"
#include "proto/message.h"
#include "reflection/reflection.h"
#include "rpc/call.h"

struct file {
    struct sk_slice bytes; /* a serialized FileDescriptorProto, in the descriptor set */
    const pb_file_descriptor_proto *content;
};

struct symbol {
    const char *name;
    size_t file;
};

struct reflection {
    const rpc_server *server;
    sk_arena *arena; /* holds the contents and the names */
    struct file *files;
    size_t file_count;
    struct symbol *symbols; /* sorted by name */
    size_t symbol_count, symbol_room;
};

/* --- the index, made once ----------------------------------------------------- */

static void add_symbol(struct reflection *r, size_t file, const char *name)
{
    if (r->symbol_count == r->symbol_room) {
        r->symbol_room = r->symbol_room ? r->symbol_room * 2 : 256;
        r->symbols = sk_realloc(r->symbols, r->symbol_room, sizeof *r->symbols);
    }
    r->symbols[r->symbol_count++] = (struct symbol){name, file};
}

/* Adds "scope.name", and returns it. */
static const char *add(struct reflection *r, size_t file, const char *scope, const char *name)
{
    const char *full = *scope ? sk_arena_printf(r->arena, "%s.%s", scope, name) : name;
    add_symbol(r, file, full);
    return full;
}

static void add_enum(struct reflection *r, size_t file, const char *scope,
                     const pb_enum_descriptor_proto *e)
{
    (void)add(r, file, scope, e->name);
    for (size_t i = 0; i < e->n_value; i++) /* values live beside their enum, as in C */
        (void)add(r, file, scope, e->value[i]->name);
}

static void add_message(struct reflection *r, size_t file, const char *scope,
                        const pb_descriptor_proto *m)
{
    const char *full = add(r, file, scope, m->name);
    for (size_t i = 0; i < m->n_field; i++) (void)add(r, file, full, m->field[i]->name);
    for (size_t i = 0; i < m->n_oneof_decl; i++) (void)add(r, file, full, m->oneof_decl[i]->name);
    for (size_t i = 0; i < m->n_enum_type; i++) add_enum(r, file, full, m->enum_type[i]);
    for (size_t i = 0; i < m->n_nested_type; i++) add_message(r, file, full, m->nested_type[i]);
}

static void add_file(struct reflection *r, size_t file)
{
    const pb_file_descriptor_proto *f = r->files[file].content;
    const char *package = f->package ? f->package : "";
    for (size_t i = 0; i < f->n_message_type; i++)
        add_message(r, file, package, f->message_type[i]);
    for (size_t i = 0; i < f->n_enum_type; i++) add_enum(r, file, package, f->enum_type[i]);
    for (size_t i = 0; i < f->n_service; i++) {
        const char *service = add(r, file, package, f->service[i]->name);
        for (size_t m = 0; m < f->service[i]->n_method; m++)
            (void)add(r, file, service, f->service[i]->method[m]->name);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct symbol *)a)->name, ((const struct symbol *)b)->name);
}

/* FileDescriptorSet is nothing but `repeated FileDescriptorProto file = 1`; its entries are
 * served as the bytes they are, so they are cut out rather than decoded and packed again. */
static bool next_entry(struct sk_slice *rest, struct sk_slice *out)
{
    size_t len = 0, at = 1;
    unsigned shift = 0;
    if (!rest->len) return false;
    sk_assert(rest->data[0] == 0x0a);
    do {
        sk_assert(at < rest->len && shift < 35);
        len |= (size_t)(rest->data[at] & 0x7f) << shift;
        shift += 7;
    } while (rest->data[at++] & 0x80);
    sk_assert(len <= rest->len - at);
    *out = sk_slice_of(rest->data + at, len);
    *rest = sk_slice_of(rest->data + at + len, rest->len - at - len);
    return true;
}

static void index_set(struct reflection *r, struct sk_slice set)
{
    ProtobufCAllocator allocator = sk_proto_allocator(r->arena);
    for (struct sk_slice bytes; next_entry(&set, &bytes); r->file_count++) {
        r->files = sk_realloc(r->files, r->file_count + 1, sizeof *r->files);
        const pb_file_descriptor_proto *content =
            pb_file_descriptor_proto_unpack(&allocator, bytes);
        sk_assert(content);
        r->files[r->file_count] = (struct file){bytes, content};
    }
    for (size_t i = 0; i < r->file_count; i++) add_file(r, i);
    qsort(r->symbols, r->symbol_count, sizeof *r->symbols, by_name);
}

/* --- finding ------------------------------------------------------------------ */

enum { NOWHERE = -1 };

static int file_named(const struct reflection *r, const char *name)
{
    for (size_t i = 0; i < r->file_count; i++)
        if (strcmp(r->files[i].content->name, name) == 0) return (int)i;
    return NOWHERE;
}

static int file_of_symbol(const struct reflection *r, const char *name)
{
    const struct symbol key = {.name = name};
    const struct symbol *s = bsearch(&key, r->symbols, r->symbol_count, sizeof key, by_name);
    return s ? (int)s->file : NOWHERE;
}

/* --- answering ---------------------------------------------------------------- */

/* One answer in the making, in an arena of its own. */
struct answer {
    const struct reflection *r;
    sk_arena *arena;
    reflection_server_reflection_response response;
};

static void *zalloc(struct answer *a, size_t count, size_t size)
{
    void *p = sk_arena_zalloc(a->arena, count, size);
    sk_assert(p); /* the arena has no budget: what goes in is bounded by our own files */
    return p;
}

static void answer_error(struct answer *a, enum rpc_code code, const char *text)
{
    reflection_error_response *error = zalloc(a, 1, sizeof *error);
    reflection_error_response_init(error);
    error->error_code = (int32_t)code;
    error->error_message = (char *)(uintptr_t)text;
    reflection_server_reflection_response_set_error_response(&a->response, error);
}

static void add_with_imports(struct answer *a, int file, bool *seen,
                             reflection_file_descriptor_response *out)
{
    if (file == NOWHERE || seen[file]) return;
    seen[file] = true;
    const struct file *f = &a->r->files[file];
    out->file_descriptor_proto[out->n_file_descriptor_proto++] =
        (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)f->bytes.data, .len = f->bytes.len};
    for (size_t i = 0; i < f->content->n_dependency; i++)
        add_with_imports(a, file_named(a->r, f->content->dependency[i]), seen, out);
}

static void answer_file(struct answer *a, int file)
{
    if (file == NOWHERE) {
        answer_error(a, RPC_NOT_FOUND, "not found");
        return;
    }
    size_t n = a->r->file_count;
    reflection_file_descriptor_response *files = zalloc(a, 1, sizeof *files);
    reflection_file_descriptor_response_init(files);
    files->file_descriptor_proto = zalloc(a, n, sizeof *files->file_descriptor_proto);
    add_with_imports(a, file, zalloc(a, n, sizeof(bool)), files);
    reflection_server_reflection_response_set_file_descriptor_response(&a->response, files);
}

/* Skua's files extend nothing. */
static void answer_extensions(struct answer *a, const char *type)
{
    if (file_of_symbol(a->r, type) == NOWHERE) {
        answer_error(a, RPC_NOT_FOUND, "not found");
        return;
    }
    reflection_extension_number_response *none = zalloc(a, 1, sizeof *none);
    reflection_extension_number_response_init(none);
    none->base_type_name = (char *)(uintptr_t)type;
    reflection_server_reflection_response_set_all_extension_numbers_response(&a->response, none);
}

static void answer_services(struct answer *a)
{
    const rpc_server *server = a->r->server;
    size_t count = 0;
    while (rpc_server_service(server, count)) count++;
    reflection_list_service_response *services = zalloc(a, 1, sizeof *services);
    reflection_list_service_response_init(services);
    services->service = zalloc(a, count, sizeof *services->service);
    for (size_t i = 0; i < count; i++) {
        reflection_service_response *one = zalloc(a, 1, sizeof *one);
        reflection_service_response_init(one);
        one->name = (char *)(uintptr_t)rpc_server_service(server, i)->name;
        services->service[services->n_service++] = one;
    }
    reflection_server_reflection_response_set_list_services_response(&a->response, services);
}

static void answer(struct answer *a, const reflection_server_reflection_request *q)
{
    switch (q->message_request_case) {
    case REFLECTION_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_FILE_BY_FILENAME:
        answer_file(a, file_named(a->r, q->file_by_filename));
        return;
    case REFLECTION_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        answer_file(a, file_of_symbol(a->r, q->file_containing_symbol));
        return;
    case REFLECTION_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        answer_error(a, RPC_NOT_FOUND, "not found");
        return;
    case REFLECTION_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        answer_extensions(a, q->all_extension_numbers_of_type);
        return;
    case REFLECTION_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_LIST_SERVICES:
        answer_services(a);
        return;
    default:
        answer_error(a, RPC_INVALID_ARGUMENT, "unknown question");
    }
}

/* --- one stream --------------------------------------------------------------- */

/* Lives in the arena of its call. A drain may want to end it while an answer is being written: then
 * the writer does it. */
struct session {
    const struct reflection *r;
    rpc_call *call;
    struct sk_mutex lock;
    bool writing, cancelled, finished; /* guarded by lock */
};

/* True: the call is the caller's to finish, now. */
static bool may_finish_locked(struct session *s)
{
    bool mine = !s->writing && !s->finished;
    if (mine) s->finished = true;
    return mine;
}

static void finish_cancelled(struct session *s)
{
    rpc_call_finish(s->call, RPC_UNAVAILABLE, "the server is shutting down");
}

static bool begin_writing(struct session *s)
{
    sk_mutex_lock(&s->lock);
    bool open = !s->finished;
    if (open) s->writing = true;
    sk_mutex_unlock(&s->lock);
    return open;
}

static void end_writing(struct session *s)
{
    sk_mutex_lock(&s->lock);
    s->writing = false;
    bool finish = s->cancelled && may_finish_locked(s);
    sk_mutex_unlock(&s->lock);
    if (finish) finish_cancelled(s);
}

static void send(struct session *s, const struct answer *a)
{
    if (!begin_writing(s)) return;
    rpc_call_write(s->call, &a->response.base);
    end_writing(s);
}

static void on_question(const void *typed, void *arg, rpc_call *call,
                        const ProtobufCMessage *message)
{
    (void)typed;
    (void)call;
    struct session *s = arg;
    const reflection_server_reflection_request *question =
        (const reflection_server_reflection_request *)message;
    struct answer a = {.r = s->r, .arena = sk_arena_new(0)};
    reflection_server_reflection_response_init(&a.response);
    a.response.valid_host = question->host;
    a.response.original_request = (reflection_server_reflection_request *)(uintptr_t)question;
    answer(&a, question);
    send(s, &a);
    sk_arena_free(a.arena);
}

static void on_no_more(const void *typed, void *arg, rpc_call *call)
{
    (void)typed;
    struct session *s = arg;
    sk_mutex_lock(&s->lock);
    bool finish = may_finish_locked(s);
    sk_mutex_unlock(&s->lock);
    if (finish) rpc_call_finish(call, RPC_OK, NULL);
}

static void on_cancel(void *arg)
{
    struct session *s = arg;
    sk_mutex_lock(&s->lock);
    s->cancelled = true;
    bool finish = may_finish_locked(s);
    sk_mutex_unlock(&s->lock);
    if (finish) finish_cancelled(s);
}

/* --- the two services ----------------------------------------------------------------------- */

static void open_stream(const void *handlers, void *owner, rpc_call *call)
{
    (void)handlers;
    static const struct rpc_stream_events events = {on_question, on_no_more};
    struct session *s = sk_arena_alloc(rpc_call_arena(call), sizeof *s);
    if (!s) {
        rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, NULL);
        return;
    }
    *s = (struct session){.r = owner, .call = call};
    sk_mutex_init(&s->lock);
    rpc_call_listen(call, &events, NULL, s);
    rpc_call_on_cancel(call, on_cancel, s);
}

#define SERVICE "grpc.reflection.v1.ServerReflection"
#define SERVICE_ALPHA "grpc.reflection.v1alpha.ServerReflection"
#define METHOD(of)                                                                                 \
    {                                                                                              \
        .path = "/" of "/ServerReflectionInfo", .name = "ServerReflectionInfo", .kind = RPC_BIDI,  \
        .request = &reflection_server_reflection_request_descriptor,                               \
        .response = &reflection_server_reflection_response_descriptor                              \
    }

static const struct rpc_method method = METHOD(SERVICE), method_alpha = METHOD(SERVICE_ALPHA);
static const struct rpc_service service = {SERVICE, &method, 1};
static const struct rpc_service service_alpha = {SERVICE_ALPHA, &method_alpha, 1};
static const struct rpc_binding binding = {.open = open_stream};

static void free_reflection(void *owner)
{
    struct reflection *r = owner;
    sk_arena_free(r->arena);
    free(r->files);
    free(r->symbols);
    free(r);
}

void sk_reflection_mount(rpc_server *server, struct sk_slice descriptor_set)
{
    static const struct rpc_server_events events = {.freed = free_reflection};
    struct reflection *r = sk_zalloc(1, sizeof *r);
    *r = (struct reflection){.server = server, .arena = sk_arena_new(0)};
    index_set(r, descriptor_set);
    rpc_server_mount(server, &service, &binding, NULL, r);
    rpc_server_mount(server, &service_alpha, &binding, NULL, r);
    rpc_server_watch(server, &events, r);
}
