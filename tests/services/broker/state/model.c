/* model.c - the state machine once more, naively. */
#include "model.h"

#include <string.h>

/* --- topics and groups ------------------------------------------------------------------- */

void model_topic(struct model *m, uint32_t topic, const struct sk_topic_change *is, uint64_t now_ms)
{
    struct model_topic *t = &m->topics[topic];
    if (t->id == 0) *t = (struct model_topic){.id = ++m->last_topic, .created_ms = now_ms};
    t->is = *is;
    while (t->queue_count < is->read_queues || t->queue_count < is->write_queues)
        t->store_queues[t->queue_count++] = m->last_queue++;
    m->config_version++;
}

void model_topic_deleted(struct model *m, uint32_t topic)
{
    m->topics[topic] = (struct model_topic){0};
    for (uint32_t g = 0; g < GROUPS; g++)
        memset(m->cursors[g][topic], 0, sizeof m->cursors[g][topic]);
    m->config_version++;
}

void model_group(struct model *m, uint32_t group, const struct sk_group_change *is, uint64_t now_ms)
{
    struct model_group *g = &m->groups[group];
    if (g->id == 0) *g = (struct model_group){.id = ++m->last_group, .created_ms = now_ms};
    g->is = *is;
    m->config_version++;
}

void model_group_deleted(struct model *m, uint32_t group)
{
    m->groups[group] = (struct model_group){0};
    memset(m->cursors[group], 0, sizeof m->cursors[group]);
    m->config_version++;
}

/* --- delivery ---------------------------------------------------------------------------- */

uint64_t model_committed(struct model_cursor *c)
{
    while (c->low < c->next && c->entries[c->low].status == CLOSED) c->low++;
    return c->low;
}

static bool is_due(const struct entry *e, uint64_t now_ms)
{
    return e->status == RETURNED || (e->status == LEASED && e->deadline_ms <= now_ms);
}

static bool wants(const struct world_receive *how, uint32_t tag)
{
    if (!how->tags) return true;
    for (size_t i = 0; i < how->tag_count; i++)
        if (how->tags[i] == tag) return true;
    return false;
}

static void consider(struct model_cursor *c, const struct world *w, const struct world_queue *q,
                     struct model_receipt *r, uint32_t queue, uint64_t offset)
{
    struct entry *e = &c->entries[offset];
    if (offset >= c->next) {
        *e = (struct entry){0};
        c->next = offset + 1;
    }
    if (!wants(&r->how, q->tags[offset])) {
        e->status = CLOSED;
        return;
    }
    *e = (struct entry){.lease = {.epoch = w->epoch, .position = w->position + 100},
                        .deadline_ms = w->now_ms + r->how.invisible_ms,
                        .given_ms = w->now_ms / 1000 * 1000,
                        .owner = r->how.owner,
                        .attempt = e->attempt + 1,
                        .status = LEASED,
                        .auto_renew = r->how.auto_renew};
    r->want[r->count++] =
        (struct sk_chosen){.queue = queue, .offset = offset, .attempt = e->attempt};
}

static void receive_from(struct model_cursor *c, const struct world *w, const struct world_queue *q,
                         struct model_receipt *r, uint32_t queue)
{
    if (c->touched) /* what retention took away is done */
        for (; c->next < q->min; c->next++) c->entries[c->next].status = CLOSED;
    else
        c->low = c->next = q->min;
    for (uint64_t o = 0; o < q->min && o < c->next; o++) c->entries[o].status = CLOSED;

    uint64_t old_next = c->next;
    for (uint64_t o = model_committed(c); o < old_next && r->count < r->how.count; o++)
        if (is_due(&c->entries[o], w->now_ms)) consider(c, w, q, r, queue, o);
    for (uint64_t o = c->next; o < q->visible && r->count < r->how.count; o++)
        consider(c, w, q, r, queue, o);
    if (c->next > q->min) c->touched = true;
}

void model_receive(struct model *m, const struct world *w, struct model_receipt *r)
{
    const struct model_topic *t = &m->topics[r->topic];
    uint32_t queues = t->is.read_queues;
    if (t->id == 0 || m->groups[r->group].id == 0) return;
    for (uint32_t i = 0; i < queues && r->count < r->how.count; i++) {
        uint32_t queue = (r->how.first_queue + i) % queues;
        struct model_cursor *c = &m->cursors[r->group][r->topic][queue];
        const struct world_queue *q = &w->queues[t->store_queues[queue]];
        /* A queue without anything to see is not looked at: retention is noticed later. */
        bool idle = c->touched ? model_committed(c) == c->next && c->next >= q->max : q->max == 0;
        if (!idle) receive_from(c, w, q, r, queue);
    }
}

/* --- leases ------------------------------------------------------------------------------ */

static struct entry *find(struct model *m, const struct sk_lease *lease)
{
    for (uint32_t g = 0; g < GROUPS; g++)
        for (uint32_t t = 0; t < TOPICS; t++) {
            if (m->groups[g].id != lease->group || m->topics[t].id != lease->topic) continue;
            struct model_cursor *c = &m->cursors[g][t][lease->queue];
            struct entry *e = &c->entries[lease->offset];
            bool held = e->status == LEASED && e->lease.position == lease->lease.position &&
                        e->lease.epoch == lease->lease.epoch && lease->offset < c->next;
            return held ? e : NULL;
        }
    return NULL;
}

const struct entry *model_entry(struct model *m, const struct sk_lease *lease)
{
    return find(m, lease);
}

void model_settle(struct model *m, enum sk_record_kind kind, const struct sk_lease *lease,
                  uint64_t deadline_ms, struct sk_lease_id new_lease)
{
    struct entry *e = find(m, lease);
    if (!e) return;
    switch (kind) {
    case SK_RECORD_ACK:
        e->status = CLOSED;
        break;
    case SK_RECORD_RELEASE:
        e->status = RETURNED;
        e->attempt--;
        break;
    case SK_RECORD_CHANGE:
        e->auto_renew = false;
        e->lease = new_lease;
        e->deadline_ms = deadline_ms;
        break;
    default:
        e->deadline_ms = deadline_ms;
    }
}

void model_seek(struct model *m, uint32_t group, uint32_t topic, uint32_t queue, uint64_t offset)
{
    struct model_cursor *c = &m->cursors[group][topic][queue];
    *c = (struct model_cursor){.touched = true, .low = offset, .next = offset};
}
