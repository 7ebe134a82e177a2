/* place.c - may a topic take these messages, and where do they go? */
#include "place.h"

#include "inside.h"
#include "message/filter.h"

static struct sk_verdict check_type(const struct sk_topic *topic,
                                    const struct sk_scanned_message *message)
{
    int type = sk_effective_type(message);
    bool fits = topic->mixed ? type <= RMQ_MESSAGE_TYPE_TRANSACTION : type == (int)topic->type;
    if (!fits) {
        return sk_refuse(RMQ_CODE_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
                         "the message is of type %s, the topic '%.*s' takes %s",
                         rmq_message_type_name(type), SK_SLICE_ARGS(topic->name),
                         topic->mixed ? "NORMAL, FIFO, DELAY and TRANSACTION"
                                      : rmq_message_type_name((int)topic->type));
    }
    if (type != RMQ_MESSAGE_TYPE_NORMAL) {
        return sk_refuse(RMQ_CODE_NOT_IMPLEMENTED, "%s messages come in a later version of Skua",
                         rmq_message_type_name(type));
    }
    return SK_GRANTED;
}

struct sk_verdict sk_place_check(const struct sk_topic *topic, const struct sk_send *send)
{
    for (size_t i = 0; i < send->count; i++) SK_GRANT(check_type(topic, &send->messages[i]));
    if (!(topic->permission & SK_PERMIT_WRITE) || topic->write_queues == 0) {
        return sk_refuse(RMQ_CODE_FORBIDDEN, "the topic '%.*s' has no writable queue",
                         SK_SLICE_ARGS(topic->name));
    }
    return SK_GRANTED;
}

/* "1.2.3.4:567" out of "ipv4:1.2.3.4:567". */
static struct sk_slice peer_host(rpc_call *call)
{
    const char *peer = rpc_call_peer(call);
    const char *colon = peer ? strchr(peer, ':') : NULL;
    return sk_slice_of_text(colon ? colon + 1 : peer);
}

/* The queue's next offset when those from `first` up to `send` are stored. */
static uint64_t next_offset(const sk_state *state, const struct sk_send *first,
                            const struct sk_send *send)
{
    uint64_t offset = sk_state_next_offset(state, send->queue);
    for (const struct sk_send *s = first; s != send; s = s->next)
        if (s->queue == send->queue) offset = s->first_offset + s->count;
    return offset;
}

void sk_place(sk_placing *placing, const struct sk_turn *turn, const struct sk_topic *topic,
              const struct sk_send *first, struct sk_send *send)
{
    uint64_t now_ms = sk_turn_now_ms(turn);
    send->queue = topic->queues[sk_rotate(placing, topic->id) % topic->write_queues];
    send->first_offset = next_offset(sk_turn_state(turn), first, send);
    for (size_t i = 0; i < send->count; i++) {
        const struct sk_scanned_message *message = &send->messages[i];
        struct sk_slice host = message->has_born_host ? SK_EMPTY : peer_host(send->call);
        sk_stored_encode(message, sk_effective_type(message), now_ms, host, send->heads[i],
                         send->parts[i]);
        send->records[i] = (struct sk_append){
            .kind = SK_RECORD_MESSAGE,
            .queue = send->queue,
            .offset = send->first_offset + i,
            .tag_hash = sk_tag_hash(message->tag),
            .time_ms = now_ms,
            .parts = send->parts[i],
            .part_count = SK_STORED_PARTS,
        };
    }
}
