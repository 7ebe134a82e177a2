/* rpc_header.c - NAME.rpc.h: typed tables, replies and client calls of each service. */
#include <string.h>

#include "rpc.h"

void rpc_vars(struct generator *gen, const pb_file *file, const pb_service *service,
              const pb_method *method, struct var vars[METHOD_VARS])
{
    static const char *const KINDS[] = {"RPC_UNARY", "RPC_SERVER_STREAM", "RPC_BIDI"};
    struct names *names = &gen->names;
    const char *full = names_text(names, "%s.%s", file->package, service->name);
    size_t n = 0;
    vars[n++] = (struct var){"service", names_alias(names, full)};
    vars[n++] = (struct var){"SERVICE", names_upper(names, names_alias(names, full))};
    vars[n++] = (struct var){"Service", full};
    if (method) {
        const char *word = names_word(names, method->name);
        vars[n++] = (struct var){"method", word};
        vars[n++] = (struct var){"METHOD", names_upper(names, word)};
        vars[n++] = (struct var){"member", names_c_member(names, word)};
        vars[n++] = (struct var){"Method", method->name};
        vars[n++] = (struct var){"request", names_alias(names, type_full_name(method->input_type))};
        vars[n++] =
            (struct var){"response", names_alias(names, type_full_name(method->output_type))};
        vars[n++] = (struct var){"kind", KINDS[method_kind(method)]};
    }
    vars[n] = (struct var){NULL, NULL};
}

/* --- what each kind of method gets -------------------------------------------------------- */

static const char MEMBER_REQUEST[] =
    "    void (*${member})(void *owner, rpc_call *call, const ${request} *request);\n";
static const char MEMBER_BIDI[] = "    void (*${member})(void *owner, rpc_call *call);\n";

static const char UNARY[] =
    "\n/* ${Service}/${Method}: unary. */\n"
    "static inline void ${service}_reply_${method}(rpc_call *call, const ${response} *response)\n"
    "{\n"
    "    rpc_call_reply(call, &response->base);\n"
    "}\n"
    "typedef void ${service}_${method}_fn(void *arg, const struct rpc_outcome *outcome,\n"
    "                                     const ${response} *response);\n"
    "void ${service}_${method}(rpc_channel *channel, const struct rpc_options *options,\n"
    "                          const ${request} *request, ${service}_${method}_fn *done,\n"
    "                          void *arg);\n"
    "SK_CHECKED struct sk_status ${service}_${method}_wait(\n"
    "    rpc_channel *channel, const struct rpc_options *options, const ${request} *request,\n"
    "    sk_arena *arena, const ${response} **response);\n";

static const char WRITE[] =
    "static inline void ${service}_write_${method}(rpc_call *call, const ${response} *message)\n"
    "{\n"
    "    rpc_call_write(call, &message->base);\n"
    "}\n"
    "struct ${service}_${method}_handler {\n"
    "    void (*message)(void *arg, rpc_stream *stream, const ${response} *message);\n"
    "    void (*closed)(void *arg, rpc_stream *stream, const struct rpc_outcome *outcome);\n"
    "};\n";

static const char SERVER_STREAM[] =
    "rpc_stream *${service}_${method}(rpc_channel *channel, const struct rpc_options *options,\n"
    "                                 const ${request} *request,\n"
    "                                 const struct ${service}_${method}_handler *handler,\n"
    "                                 void *arg);\n";

static const char BIDI[] =
    "rpc_stream *${service}_${method}(rpc_channel *channel, const struct rpc_options *options,\n"
    "                                 const struct ${service}_${method}_handler *handler,\n"
    "                                 void *arg);\n"
    "static inline void ${service}_send_${method}(rpc_stream *stream,\n"
    "                                             const ${request} *message)\n"
    "{\n"
    "    rpc_stream_write(stream, &message->base);\n"
    "}\n"
    "struct ${service}_${method}_events {\n"
    "    void (*message)(void *arg, rpc_call *call, const ${request} *message);\n"
    "    void (*half_closed)(void *arg, rpc_call *call);\n"
    "};\n"
    "void ${service}_listen_${method}(rpc_call *call,\n"
    "                                 const struct ${service}_${method}_events *events,\n"
    "                                 void *arg);\n";

/* Every identifier that the templates above declare for the method: before and after its name. */
static void claim_method(struct generator *gen, const struct var *vars, enum method_kind kind)
{
    static const char *const FORMS[][7][2] = {
        [METHOD_UNARY] = {{"", ""}, {"reply_", ""}, {"", "_fn"}, {"", "_wait"}},
        [METHOD_SERVER_STREAM] = {{"", ""}, {"write_", ""}, {"", "_handler"}},
        [METHOD_BIDI] = {{"", ""},
                         {"write_", ""},
                         {"", "_handler"},
                         {"send_", ""},
                         {"", "_events"},
                         {"listen_", ""}},
    };
    struct names *names = &gen->names;
    const char *service = var_find(vars, "service", strlen("service"));
    const char *method = var_find(vars, "method", strlen("method"));
    const char *owner = names_text(names, "%s/%s", var_find(vars, "Service", strlen("Service")),
                                   var_find(vars, "Method", strlen("Method")));
    for (size_t i = 0; FORMS[kind][i][0]; i++) {
        const char *const *form = FORMS[kind][i];
        names_claim(names, names_text(names, "%s_%s%s%s", service, form[0], method, form[1]),
                    owner);
    }
}

static void emit_method(struct page *page, const pb_method *method, const struct var *vars)
{
    enum method_kind kind = method_kind(method);
    claim_method(page->gen, vars, kind);
    if (kind == METHOD_UNARY) {
        page_emit(page, UNARY, vars);
        return;
    }
    page_emit(page,
              kind == METHOD_BIDI ? "\n/* ${Service}/${Method}: both ways. */\n"
                                  : "\n/* ${Service}/${Method}: a stream of answers. */\n",
              vars);
    page_emit(page, WRITE, vars);
    page_emit(page, kind == METHOD_BIDI ? BIDI : SERVER_STREAM, vars);
}

static void emit_handlers(struct page *page, const pb_file *file, const pb_service *service)
{
    struct generator *gen = page->gen;
    struct var vars[METHOD_VARS];
    rpc_vars(gen, file, service, NULL, vars);
    names_claim(&gen->names, names_text(&gen->names, "%s_mount", vars[0].value), vars[2].value);
    page_emit(page,
              "\n/* The server's side. A NULL member answers UNIMPLEMENTED. */\n"
              "struct ${service}_handlers {\n",
              vars);
    for (size_t i = 0; i < service->n_method; i++) {
        rpc_vars(gen, file, service, service->method[i], vars);
        bool bidi = method_kind(service->method[i]) == METHOD_BIDI;
        page_emit(page, bidi ? MEMBER_BIDI : MEMBER_REQUEST, vars);
    }
    page_emit(page,
              "};\n"
              "void ${service}_mount(rpc_server *server, const struct ${service}_handlers "
              "*handlers,\n"
              "                      void *owner);\n",
              vars);
}

static void emit_service(struct page *page, const pb_file *file, const pb_service *service)
{
    struct generator *gen = page->gen;
    struct var vars[METHOD_VARS];
    rpc_vars(gen, file, service, NULL, vars);
    names_claim(&gen->names, vars[0].value, vars[2].value);
    page_emit(page,
              "\n/* --- ${Service} --- */\n\n"
              "extern const struct rpc_service ${service};\n"
              "\n/* Indexes into ${service}.methods. */\n"
              "enum ${service}_method {\n",
              vars);
    for (size_t i = 0; i < service->n_method; i++) {
        rpc_vars(gen, file, service, service->method[i], vars);
        page_emit(page, "    ${SERVICE}_${METHOD},\n", vars);
    }
    page_emit(page, "    ${SERVICE}_METHOD_COUNT\n};\n", vars);
    if (service->n_method > 0) emit_handlers(page, file, service);
    for (size_t i = 0; i < service->n_method; i++) {
        rpc_vars(gen, file, service, service->method[i], vars);
        emit_method(page, service->method[i], vars);
    }
}

void emit_rpc_header(struct generator *gen, const pb_file *file)
{
    struct page page;
    const char *path = generator_path(gen, file, ".rpc.h");
    const char *guard = generator_guard(gen, path);
    page_open(&page, gen, path);
    page_line(&page, "/* Servers and clients of %s. Made by protoc-gen-skua. */", file->name);
    page_line(&page, "#ifndef %s\n#define %s\n", guard, guard);
    page_line(&page, "#include \"%s\"", generator_path(gen, file, ".alias.h"));
    page_line(&page, "#include \"rpc/call.h\"\n#include \"rpc/channel.h\"");
    page_line(&page, "#include \"rpc/server.h\"\n#include \"rpc/service.h\"");
    for (size_t i = 0; i < file->n_service; i++) emit_service(&page, file, file->service[i]);
    page_line(&page, "\n#endif");
    page_close(&page);
}
