/* rpc_source.c - NAME.rpc.c: method tables, and thunks between the runtime's functions
 * and the typed ones. A thunk casts the table or function back to its true type. */
#include "rpc.h"

/* --- the server's side ---------------------------------------------------------------------- */

static const char REQUEST_THUNK[] =
    "\nstatic void ${service}_${method}_serve(const void *handlers, void *owner, rpc_call *call,\n"
    "                                       const ProtobufCMessage *request)\n"
    "{\n"
    "    const struct ${service}_handlers *typed = handlers;\n"
    "    if (typed->${member})\n"
    "        typed->${member}(owner, call, (const ${request} *)request);\n"
    "    else\n"
    "        rpc_call_fail(call, RPC_UNIMPLEMENTED, \"${Service}/${Method} is not implemented\");\n"
    "}\n";

static const char BIDI_THUNKS[] =
    "\nstatic void ${service}_${method}_serve(const void *handlers, void *owner, rpc_call *call)\n"
    "{\n"
    "    const struct ${service}_handlers *typed = handlers;\n"
    "    if (typed->${member})\n"
    "        typed->${member}(owner, call);\n"
    "    else\n"
    "        rpc_call_fail(call, RPC_UNIMPLEMENTED, \"${Service}/${Method} is not implemented\");\n"
    "}\n"
    "static void ${service}_${method}_heard(const void *events, void *arg, rpc_call *call,\n"
    "                                       const ProtobufCMessage *message)\n"
    "{\n"
    "    const struct ${service}_${method}_events *typed = events;\n"
    "    typed->message(arg, call, (const ${request} *)message);\n"
    "}\n"
    "static void ${service}_${method}_half_closed(const void *events, void *arg, rpc_call *call)\n"
    "{\n"
    "    const struct ${service}_${method}_events *typed = events;\n"
    "    typed->half_closed(arg, call);\n"
    "}\n"
    "void ${service}_listen_${method}(rpc_call *call,\n"
    "                                 const struct ${service}_${method}_events *events,\n"
    "                                 void *arg)\n"
    "{\n"
    "    static const struct rpc_stream_events THUNKS = {\n"
    "        .message = ${service}_${method}_heard,\n"
    "        .half_closed = ${service}_${method}_half_closed,\n"
    "    };\n"
    "    rpc_call_listen(call, &THUNKS, events, arg);\n"
    "}\n";

/* --- the client's side ------------------------------------------------------------------------ */

static const char UNARY_CLIENT[] =
    "static void ${service}_${method}_done(rpc_any_fn *done, void *arg,\n"
    "                                      const struct rpc_outcome *outcome,\n"
    "                                      const ProtobufCMessage *response)\n"
    "{\n"
    "    ${service}_${method}_fn *typed = (${service}_${method}_fn *)done;\n"
    "    if (typed) typed(arg, outcome, (const ${response} *)response);\n"
    "}\n"
    "void ${service}_${method}(rpc_channel *channel, const struct rpc_options *options,\n"
    "                          const ${request} *request, ${service}_${method}_fn *done,\n"
    "                          void *arg)\n"
    "{\n"
    "    rpc_unary(channel, &${service}_methods[${SERVICE}_${METHOD}], options, &request->base,\n"
    "              ${service}_${method}_done, (rpc_any_fn *)done, arg);\n"
    "}\n"
    "struct sk_status ${service}_${method}_wait(\n"
    "    rpc_channel *channel, const struct rpc_options *options, const ${request} *request,\n"
    "    sk_arena *arena, const ${response} **response)\n"
    "{\n"
    "    const ProtobufCMessage *message = NULL;\n"
    "    struct sk_status status =\n"
    "        rpc_unary_wait(channel, &${service}_methods[${SERVICE}_${METHOD}], options,\n"
    "                       &request->base, arena, &message);\n"
    "    if (sk_ok(status)) *response = (const ${response} *)message;\n"
    "    return status;\n"
    "}\n";

static const char STREAM_THUNKS[] =
    "static void ${service}_${method}_message(const void *handler, void *arg, rpc_stream *stream,\n"
    "                                         const ProtobufCMessage *message)\n"
    "{\n"
    "    const struct ${service}_${method}_handler *typed = handler;\n"
    "    typed->message(arg, stream, (const ${response} *)message);\n"
    "}\n"
    "static void ${service}_${method}_closed(const void *handler, void *arg, rpc_stream *stream,\n"
    "                                        const struct rpc_outcome *outcome)\n"
    "{\n"
    "    const struct ${service}_${method}_handler *typed = handler;\n"
    "    typed->closed(arg, stream, outcome);\n"
    "}\n"
    "static const struct rpc_stream_handler ${service}_${method}_thunks = {\n"
    "    .message = ${service}_${method}_message,\n"
    "    .closed = ${service}_${method}_closed,\n"
    "};\n";

static const char SERVER_STREAM_CLIENT[] =
    "rpc_stream *${service}_${method}(rpc_channel *channel, const struct rpc_options *options,\n"
    "                                 const ${request} *request,\n"
    "                                 const struct ${service}_${method}_handler *handler,\n"
    "                                 void *arg)\n"
    "{\n"
    "    return rpc_stream_open(channel, &${service}_methods[${SERVICE}_${METHOD}], options,\n"
    "                           &request->base, &${service}_${method}_thunks, handler, arg);\n"
    "}\n";

static const char BIDI_CLIENT[] =
    "rpc_stream *${service}_${method}(rpc_channel *channel, const struct rpc_options *options,\n"
    "                                 const struct ${service}_${method}_handler *handler,\n"
    "                                 void *arg)\n"
    "{\n"
    "    return rpc_stream_open(channel, &${service}_methods[${SERVICE}_${METHOD}], options,\n"
    "                           NULL, &${service}_${method}_thunks, handler, arg);\n"
    "}\n";

/* --- tables ------------------------------------------------------------------------------------
 */

static const char METHOD_ROW[] = "    [${SERVICE}_${METHOD}] = {\n"
                                 "        .path = \"/${Service}/${Method}\",\n"
                                 "        .name = \"${Method}\",\n"
                                 "        .kind = ${kind},\n"
                                 "        .request = &${request}_descriptor,\n"
                                 "        .response = &${response}_descriptor,\n"
                                 "    },\n";

static void emit_methods(struct page *page, const pb_file *file, const pb_service *service)
{
    struct var vars[METHOD_VARS];
    rpc_vars(page->gen, file, service, NULL, vars);
    if (service->n_method == 0) {
        page_emit(page, "\nconst struct rpc_service ${service} = {.name = \"${Service}\"};\n",
                  vars);
        return;
    }
    page_emit(page, "\nstatic const struct rpc_method ${service}_methods[] = {\n", vars);
    for (size_t i = 0; i < service->n_method; i++) {
        rpc_vars(page->gen, file, service, service->method[i], vars);
        page_emit(page, METHOD_ROW, vars);
    }
    page_emit(page,
              "};\n\n"
              "const struct rpc_service ${service} = {\n"
              "    .name = \"${Service}\",\n"
              "    .methods = ${service}_methods,\n"
              "    .method_count = ${SERVICE}_METHOD_COUNT,\n"
              "};\n",
              vars);
}

static void emit_stubs(struct page *page, const pb_method *method, const struct var *vars)
{
    switch (method_kind(method)) {
    case METHOD_UNARY:
        page_emit(page, REQUEST_THUNK, vars);
        page_emit(page, UNARY_CLIENT, vars);
        break;
    case METHOD_SERVER_STREAM:
        page_emit(page, REQUEST_THUNK, vars);
        page_emit(page, STREAM_THUNKS, vars);
        page_emit(page, SERVER_STREAM_CLIENT, vars);
        break;
    case METHOD_BIDI:
        page_emit(page, BIDI_THUNKS, vars);
        page_emit(page, STREAM_THUNKS, vars);
        page_emit(page, BIDI_CLIENT, vars);
        break;
    }
}

static void emit_mount(struct page *page, const pb_file *file, const pb_service *service)
{
    struct var vars[METHOD_VARS];
    rpc_vars(page->gen, file, service, NULL, vars);
    page_emit(page,
              "\nvoid ${service}_mount(rpc_server *server, const struct ${service}_handlers "
              "*handlers,\n"
              "                      void *owner)\n"
              "{\n"
              "    static const struct rpc_binding BINDINGS[] = {\n",
              vars);
    for (size_t i = 0; i < service->n_method; i++) {
        rpc_vars(page->gen, file, service, service->method[i], vars);
        page_emit(page, "        [${SERVICE}_${METHOD}] = ", vars);
        page_emit(page,
                  method_kind(service->method[i]) == METHOD_BIDI
                      ? "{.open = ${service}_${method}_serve},\n"
                      : "{.request = ${service}_${method}_serve},\n",
                  vars);
    }
    page_emit(page,
              "    };\n"
              "    rpc_server_mount(server, &${service}, BINDINGS, handlers, owner);\n"
              "}\n",
              vars);
}

void emit_rpc_source(struct generator *gen, const pb_file *file)
{
    struct page page;
    page_open(&page, gen, generator_path(gen, file, ".rpc.c"));
    page_line(&page, "/* Tables and stubs of %s. Made by protoc-gen-skua. */", file->name);
    page_line(&page, "#include \"%s\"", generator_path(gen, file, ".rpc.h"));
    for (size_t i = 0; i < file->n_service; i++) {
        const pb_service *service = file->service[i];
        emit_methods(&page, file, service);
        for (size_t j = 0; j < service->n_method; j++) {
            struct var vars[METHOD_VARS];
            rpc_vars(gen, file, service, service->method[j], vars);
            emit_stubs(&page, service->method[j], vars);
        }
        if (service->n_method > 0) emit_mount(&page, file, service);
    }
    page_close(&page);
}
