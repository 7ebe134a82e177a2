/* report.c - copies a report into one block and sorts it for searching.
 *
 *   | struct report | addresses | topics | groups | all texts |
 *
 * One allocation, one free; topics and groups are found by binary search. */
#include "report.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static int slice_compare(struct sk_slice a, struct sk_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

int key_compare(const struct sk_route_key *a, const struct sk_route_key *b)
{
    int order = slice_compare(a->cluster, b->cluster);
    if (!order) order = slice_compare(a->name, b->name);
    return order ? order : (a->id > b->id) - (a->id < b->id);
}

static int topic_compare(const void *a, const void *b)
{
    const struct sk_route_topic *left = a, *right = b;
    return slice_compare(left->name, right->name);
}

static int group_compare(const void *a, const void *b)
{
    const struct sk_slice *left = a, *right = b;
    return slice_compare(*left, *right);
}

/* --- checks ------------------------------------------------------------------------------ */

static struct sk_status check_name(struct sk_slice name, const char *what, size_t most)
{
    if (name.len == 0) return sk_error(SK_INVALID, "%s is empty", what);
    if (name.len > most)
        return sk_error(SK_INVALID, "%s '%.*s…' has %zu bytes; at most %zu are allowed", what,
                        most < 40 ? (int)most : 40, (const char *)name.data, name.len, most);
    return SK_SUCCESS;
}

static struct sk_status check_endpoints(const struct sk_route_endpoints *e, const char *what,
                                        const struct sk_route_limits *limits)
{
    enum { MOST_ADDRESSES = 16 };
    if (e->count == 0) return SK_SUCCESS;
    if (e->count > MOST_ADDRESSES)
        return sk_error(SK_INVALID, "%s: %zu addresses; at most %d", what, e->count,
                        MOST_ADDRESSES);
    if (e->scheme < SK_ROUTE_IPV4 || e->scheme > SK_ROUTE_DOMAIN)
        return sk_error(SK_INVALID, "%s: the scheme must be IPv4, IPv6 or a domain name", what);
    if (e->scheme == SK_ROUTE_DOMAIN && e->count != 1)
        return sk_error(SK_INVALID, "%s: a domain name stands alone", what);
    for (size_t i = 0; i < e->count; i++) {
        SK_TRY(sk_while(check_name(e->addresses[i].host, "host", limits->name_bytes), "%s", what));
        if (e->addresses[i].port < 1 || e->addresses[i].port > 65535)
            return sk_error(SK_INVALID, "%s: port %d is not one of 1 to 65535", what,
                            e->addresses[i].port);
    }
    return SK_SUCCESS;
}

static struct sk_status check_counts(const struct sk_route_broker *b,
                                     const struct sk_route_limits *limits)
{
    if (b->topic_count > limits->topics)
        return sk_error(SK_FULL, "%zu topics in one report; this name server takes %zu",
                        b->topic_count, limits->topics);
    if (b->group_count > limits->groups)
        return sk_error(SK_FULL, "%zu ordered groups in one report; this name server takes %zu",
                        b->group_count, limits->groups);
    return SK_SUCCESS;
}

static struct sk_status check(const struct sk_route_broker *b, const struct sk_route_limits *limits)
{
    SK_TRY(check_name(b->key.cluster, "cluster", limits->name_bytes));
    SK_TRY(check_name(b->key.name, "broker name", limits->name_bytes));
    if (b->key.id < 0) return sk_error(SK_INVALID, "broker id %d is negative", b->key.id);
    if (b->incarnation == 0) return sk_error(SK_INVALID, "incarnation is 0");
    if (b->plain.count + b->tls.count == 0)
        return sk_error(SK_INVALID, "no endpoints: clients could not reach this broker");
    SK_TRY(check_endpoints(&b->plain, "endpoints", limits));
    SK_TRY(check_endpoints(&b->tls, "tls_endpoints", limits));
    SK_TRY(check_counts(b, limits));
    if (b->software.len > limits->name_bytes) return sk_error(SK_INVALID, "version text too long");
    for (size_t i = 0; i < b->topic_count; i++)
        SK_TRY(check_name(b->topics[i].name, "topic", limits->name_bytes));
    for (size_t i = 0; i < b->group_count; i++)
        SK_TRY(check_name(b->orderly_groups[i], "group", limits->name_bytes));
    return SK_SUCCESS;
}

/* --- copying -------------------------------------------------------------------------------- */

static size_t text_bytes(const struct sk_route_broker *b)
{
    size_t n = b->key.cluster.len + b->key.name.len + b->software.len;
    for (size_t i = 0; i < b->plain.count; i++) n += b->plain.addresses[i].host.len;
    for (size_t i = 0; i < b->tls.count; i++) n += b->tls.addresses[i].host.len;
    for (size_t i = 0; i < b->topic_count; i++) n += b->topics[i].name.len;
    for (size_t i = 0; i < b->group_count; i++) n += b->orderly_groups[i].len;
    return n;
}

static struct sk_slice put_text(uint8_t **at, struct sk_slice text)
{
    struct sk_slice copy = sk_slice_of(*at, text.len);
    if (text.len) memcpy(*at, text.data, text.len);
    *at += text.len;
    return copy;
}

static void put_addresses(struct sk_route_endpoints *e, struct sk_route_address *to, uint8_t **text)
{
    for (size_t i = 0; i < e->count; i++)
        to[i] = (struct sk_route_address){.host = put_text(text, e->addresses[i].host),
                                          .port = e->addresses[i].port};
    e->addresses = to;
}

static struct report *copy(const struct sk_route_broker *source)
{
    size_t addresses = source->plain.count + source->tls.count;
    size_t fixed = sizeof(struct report) + addresses * sizeof(struct sk_route_address) +
                   source->topic_count * sizeof(struct sk_route_topic) +
                   source->group_count * sizeof(struct sk_slice);
    size_t bytes = fixed + text_bytes(source);
    struct report *r = sk_alloc(bytes);
    struct sk_route_address *address = (struct sk_route_address *)(r + 1);
    struct sk_route_topic *topics = (struct sk_route_topic *)(address + addresses);
    struct sk_slice *groups = (struct sk_slice *)(topics + source->topic_count);
    uint8_t *text = (uint8_t *)(groups + source->group_count);

    r->broker = *source;
    r->bytes = bytes;
    atomic_init(&r->refs, 1);
    r->broker.key.cluster = put_text(&text, source->key.cluster);
    r->broker.key.name = put_text(&text, source->key.name);
    r->broker.software = put_text(&text, source->software);
    put_addresses(&r->broker.plain, address, &text);
    put_addresses(&r->broker.tls, address + source->plain.count, &text);
    for (size_t i = 0; i < source->topic_count; i++) {
        topics[i] = source->topics[i];
        topics[i].name = put_text(&text, source->topics[i].name);
    }
    for (size_t i = 0; i < source->group_count; i++)
        groups[i] = put_text(&text, source->orderly_groups[i]);
    if (source->topic_count) qsort(topics, source->topic_count, sizeof *topics, topic_compare);
    if (source->group_count) qsort(groups, source->group_count, sizeof *groups, group_compare);
    r->broker.topics = topics;
    r->broker.orderly_groups = groups;
    return r;
}

struct sk_status report_new(const struct sk_route_broker *source,
                            const struct sk_route_limits *limits, struct report **out)
{
    SK_TRY(check(source, limits));
    struct report *r = copy(source);
    for (size_t i = 1; i < r->broker.topic_count; i++) {
        struct sk_slice name = r->broker.topics[i].name;
        if (!sk_slice_eq(name, r->broker.topics[i - 1].name)) continue;
        struct sk_status s =
            sk_error(SK_INVALID, "topic '%.*s' is reported twice", SK_SLICE_ARGS(name));
        report_unref(r);
        return s;
    }
    *out = r;
    return SK_SUCCESS;
}

struct report *report_ref(struct report *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void report_unref(struct report *r)
{
    if (r && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1) free(r);
}

static bool same_endpoints(const struct sk_route_endpoints *a, const struct sk_route_endpoints *b)
{
    if (a->count != b->count || (a->count && a->scheme != b->scheme)) return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->addresses[i].port != b->addresses[i].port ||
            !sk_slice_eq(a->addresses[i].host, b->addresses[i].host))
            return false;
    return true;
}

bool report_is_same(const struct report *held, const struct sk_route_broker *source)
{
    const struct sk_route_broker *h = &held->broker;
    return h->incarnation == source->incarnation && h->version == source->version &&
           h->topic_count == source->topic_count && h->group_count == source->group_count &&
           same_endpoints(&h->plain, &source->plain) && same_endpoints(&h->tls, &source->tls);
}

/* --- searching ------------------------------------------------------------------------------- */

const struct sk_route_topic *sk_route_topic_of(const struct sk_route_broker *broker,
                                               struct sk_slice topic)
{
    struct sk_route_topic wanted = {.name = topic};
    if (broker->topic_count == 0) return NULL;
    return bsearch(&wanted, broker->topics, broker->topic_count, sizeof wanted, topic_compare);
}

bool sk_route_group_is_orderly(const sk_route_snapshot *snapshot, struct sk_slice group)
{
    for (size_t i = 0; i < sk_route_count(snapshot); i++) {
        const struct sk_route_broker *b = sk_route_at(snapshot, i).broker;
        if (b->group_count &&
            bsearch(&group, b->orderly_groups, b->group_count, sizeof group, group_compare))
            return true;
    }
    return false;
}
