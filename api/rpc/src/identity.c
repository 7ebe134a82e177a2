/* identity.c - what the core knows of a client's certificate, in our words.
 *
 *      property of the core     ours
 *      x509_subject             subject
 *      x509_common_name         common_name
 *      peer_dns, peer_uri,      names, each with its kind, in this order
 *      peer_email, peer_ip
 *
 * The core has them only from certificates that it has verified, because our listeners ask for no
 * other ones (tls.c). */
#include <grpc/grpc_security.h>

#include "src/call_inside.h"

static const struct {
    const char *property;
    enum rpc_name_kind kind;
} kinds[] = {
    {GRPC_PEER_DNS_PROPERTY_NAME, RPC_NAME_DNS},
    {GRPC_PEER_URI_PROPERTY_NAME, RPC_NAME_URI},
    {GRPC_PEER_EMAIL_PROPERTY_NAME, RPC_NAME_EMAIL},
    {GRPC_PEER_IP_PROPERTY_NAME, RPC_NAME_IP},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const struct rpc_identity nobody;

/* Copied: false when the call's memory does not suffice. */
static bool copy(sk_arena *arena, const grpc_auth_property *from, struct sk_slice *out)
{
    const char *text = sk_arena_text(arena, sk_slice_of(from->value, from->value_length));
    *out = sk_slice_of(text, from->value_length);
    return text != NULL;
}

/* The first property of that name; without one *out stays empty. */
static bool copy_first(sk_arena *arena, const grpc_auth_context *context, const char *property,
                       struct sk_slice *out)
{
    grpc_auth_property_iterator it = grpc_auth_context_find_properties_by_name(context, property);
    const grpc_auth_property *p = grpc_auth_property_iterator_next(&it);
    return !p || copy(arena, p, out);
}

static size_t count_names(const grpc_auth_context *context)
{
    size_t n = 0;
    for (size_t k = 0; k < KINDS; k++) {
        grpc_auth_property_iterator it =
            grpc_auth_context_find_properties_by_name(context, kinds[k].property);
        while (grpc_auth_property_iterator_next(&it)) n++;
    }
    return n;
}

static bool copy_names(sk_arena *arena, const grpc_auth_context *context, struct rpc_identity *out)
{
    struct rpc_name *names = sk_arena_zalloc(arena, count_names(context), sizeof *names);
    if (!names) return false;
    out->names = names;
    for (size_t k = 0; k < KINDS; k++) {
        grpc_auth_property_iterator it =
            grpc_auth_context_find_properties_by_name(context, kinds[k].property);
        for (const grpc_auth_property *p; (p = grpc_auth_property_iterator_next(&it));) {
            struct rpc_name *name = &names[out->name_count++];
            name->kind = kinds[k].kind;
            if (!copy(arena, p, &name->text)) return false;
        }
    }
    return true;
}

static const struct rpc_identity *read_identity(sk_arena *arena, const grpc_auth_context *context)
{
    if (!grpc_auth_context_peer_is_authenticated(context)) return &nobody;
    struct rpc_identity *id = sk_arena_zalloc(arena, 1, sizeof *id);
    bool whole = id && copy_first(arena, context, GRPC_X509_SUBJECT_PROPERTY_NAME, &id->subject) &&
                 copy_first(arena, context, GRPC_X509_CN_PROPERTY_NAME, &id->common_name) &&
                 copy_names(arena, context, id);
    return whole ? id : &nobody;
}

const struct rpc_identity *rpc_call_identity(rpc_call *call)
{
    if (call->identity) return call->identity;
    grpc_auth_context *context = grpc_call_auth_context(call->core);
    call->identity = context ? read_identity(rpc_call_arena(call), context) : &nobody;
    grpc_auth_context_release(context);
    return call->identity;
}
