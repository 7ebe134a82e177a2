/* snapshot.c - an immutable array of brokers, and how it differs from an older one.
 *
 * Brokers are shared between snapshots, so that the same pointer means the same
 * report: the difference of two snapshots needs no look inside. */
#include <stdlib.h>

#include "base/memory.h"
#include "report.h"

struct sk_route_snapshot {
    _Atomic size_t refs;
    size_t count;
    struct member_view members[];
};

sk_route_snapshot *snapshot_new(size_t count)
{
    sk_route_snapshot *s = sk_zalloc(1, sizeof *s + count * sizeof s->members[0]);
    atomic_init(&s->refs, 1);
    s->count = count;
    return s;
}

struct member_view *snapshot_members(sk_route_snapshot *snapshot)
{
    return snapshot->members;
}

sk_route_snapshot *sk_route_ref(sk_route_snapshot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void sk_route_unref(sk_route_snapshot *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < s->count; i++) report_unref(s->members[i].report);
    free(s);
}

void sk_route_unref_p(sk_route_snapshot **snapshot)
{
    sk_route_unref(*snapshot);
}

size_t sk_route_count(const sk_route_snapshot *snapshot)
{
    return snapshot->count;
}

struct sk_route_member sk_route_at(const sk_route_snapshot *s, size_t i)
{
    return (struct sk_route_member){.broker = &s->members[i].report->broker,
                                    .suspect = s->members[i].suspect};
}

bool sk_route_next_place(const sk_route_snapshot *s, struct sk_slice topic, size_t *cursor,
                         struct sk_route_place *out)
{
    while (*cursor < s->count) {
        const struct member_view *m = &s->members[(*cursor)++];
        const struct sk_route_topic *t = sk_route_topic_of(&m->report->broker, topic);
        if (!t) continue;
        *out = (struct sk_route_place){
            .broker = &m->report->broker, .topic = t, .suspect = m->suspect};
        return true;
    }
    return false;
}

/* One broker as it was and as it is; either may be NULL. */
static void tell(const struct member_view *was, const struct member_view *is, sk_route_diff_fn *fn,
                 void *arg)
{
    bool served = was && !was->suspect, serves = is && !is->suspect;
    if (serves && !(served && was->report == is->report)) fn(arg, &is->report->broker, false);
    if (served && !serves) fn(arg, &was->report->broker, true);
}

void sk_route_diff(const sk_route_snapshot *before, const sk_route_snapshot *after,
                   sk_route_diff_fn *fn, void *arg)
{
    size_t i = 0, j = 0, befores = before ? before->count : 0;
    while (i < befores || j < after->count) {
        const struct member_view *was = i < befores ? &before->members[i] : NULL;
        const struct member_view *is = j < after->count ? &after->members[j] : NULL;
        int order = !was  ? 1
                    : !is ? -1
                          : key_compare(&was->report->broker.key, &is->report->broker.key);
        tell(order <= 0 ? was : NULL, order >= 0 ? is : NULL, fn, arg);
        i += order <= 0;
        j += order >= 0;
    }
}
