/* report.h - a broker's report as one immutable, ref-counted block. Private. */
#ifndef SK_ROUTE_REPORT_H
#define SK_ROUTE_REPORT_H

#include <stdatomic.h>

#include "route/table.h"

struct report {
    struct sk_route_broker broker; /* first: snapshots hand out its address */
    size_t bytes;
    _Atomic size_t refs;
};

int key_compare(const struct sk_route_key *a, const struct sk_route_key *b);

/* Check against the limits (all set) and copy. */
SK_CHECKED struct sk_status report_new(const struct sk_route_broker *source,
                                       const struct sk_route_limits *limits, struct report **out);
struct report *report_ref(struct report *report);
void report_unref(struct report *report);

/* Is it, by its numbers and addresses, what is held already? */
bool report_is_same(const struct report *held, const struct sk_route_broker *source);

/* A new snapshot with one reference and room for `count` members (each unset). */
struct member_view {
    struct report *report; /* owns one reference */
    bool suspect;
};
sk_route_snapshot *snapshot_new(size_t count);
struct member_view *snapshot_members(sk_route_snapshot *snapshot);

#endif
