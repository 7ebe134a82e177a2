/* accept_report.c - what a name server takes of a broker's report. */
#include "inside.h"
#include "service/report.h"

/* More than any broker lets a topic have (its max_queues); each is a part of every answer. */
static struct sk_status check_queues(const skua_topic_config *t)
{
    enum { MOST_QUEUES = 65536 };
    int32_t least = t->read_queues < t->write_queues ? t->read_queues : t->write_queues;
    int32_t most = t->read_queues < t->write_queues ? t->write_queues : t->read_queues;
    if (least >= 0 && most <= MOST_QUEUES) return SK_SUCCESS;
    return sk_error(SK_INVALID,
                    "topic '%.127s' has %d read and %d write queues; at most %d are allowed",
                    t->name, t->read_queues, t->write_queues, MOST_QUEUES);
}

struct sk_status accept_report(const skua_broker_report *message, sk_arena *arena,
                               struct sk_route_broker *out)
{
    if (!message->broker)
        return sk_error(SK_INVALID, "the report does not say which broker it is of");
    for (size_t i = 0; i < message->n_topics; i++) SK_TRY(check_queues(message->topics[i]));
    if (sk_report_of_message(message, arena, out)) return SK_SUCCESS;
    return sk_error(SK_FULL, "the report needs too much memory");
}
