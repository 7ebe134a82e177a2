/* route_answer.h - QueryRoute and QueryAssignment, answered from a route snapshot.
 *
 * Name server and broker answer with the same code, so that a client gets the same
 * bytes for the same broker from any of them (protocol.md 2.5, 3.1, 3.2, 8):
 *
 *   - masters only (id 0); the request's Resource is echoed;
 *   - a client of the TLS listener is given TLS endpoints, any other one the
 *     plaintext ones; brokers without such a listener are left out;
 *   - queues 0 … min(read, write)-1 are READ_WRITE, so that queue 0 is; what one of the
 *     two has more follows as READ or WRITE;
 *   - a suspect broker is left out; if no other has the topic its queues are READ;
 *   - brokers take turns, a0 b0 a1 b1: Python retries a send on the next queue;
 *   - accept_message_types is never empty: NORMAL for untyped topics, four for MIXED;
 *   - an assignment of a group without order is one entry per broker, id -1; of an
 *     ordered group one per readable queue.
 *
 * The answers borrow from the snapshot, the request and `arena`; pack them before any
 * of the three dies. Every field that can be refused has its status set; the status
 * message is in `arena`.
 *
 * Threads: pure functions. */
#ifndef SK_SERVICE_ROUTE_ANSWER_H
#define SK_SERVICE_ROUTE_ANSWER_H

#include "apache/rocketmq/v2/service.alias.h"
#include "route/table.h"
#include "service/names.h"

void sk_answer_route(const sk_route_snapshot *snapshot, const struct sk_asker *asker,
                     const rmq_query_route_request *request, sk_arena *arena,
                     rmq_query_route_response *out);

void sk_answer_assignment(const sk_route_snapshot *snapshot, const struct sk_asker *asker,
                          const rmq_query_assignment_request *request, sk_arena *arena,
                          rmq_query_assignment_response *out);

/* Endpoints as the wire has them, in `arena`; NULL without memory or for no addresses. */
rmq_endpoints *sk_endpoints_message(const struct sk_route_endpoints *endpoints, sk_arena *arena);

/* And back: borrowed from `message` and `arena`; count 0 for NULL or no memory. */
struct sk_route_endpoints sk_endpoints_of_message(const rmq_endpoints *message, sk_arena *arena);

#endif
