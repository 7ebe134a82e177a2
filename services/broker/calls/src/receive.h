/* receive.h - one ReceiveMessage: receive.c has its way, receive_messages.c what it chooses and
 * delivers. */
#ifndef SK_CALLS_RECEIVE_H
#define SK_CALLS_RECEIVE_H

#include "deliver.h"
#include "tags.h"

struct receive {
    struct sk_poll poll;
    struct sk_calls *calls;
    rpc_call *call;
    struct sk_caller caller;
    const rmq_receive_message_request *request;
    struct sk_tag_filter filter;
    struct sk_slice topic_name, group_name;
    uint64_t invisible_ms;
    uint32_t first_queue;
    size_t want;
    bool crc32; /* the client can verify one */

    struct sk_timer later;    /* to go on with a long walk past what the filter does not want */
    bool was_told;            /* that its topic or group was deleted */
    bool cancelled;           /* guarded by the ledger's lock */
    struct sk_status problem; /* why `look` could not write a lease */
    struct sk_chosen *chosen;
    size_t chosen_count;
    struct sk_lease *leases;  /* of those that go back or are not wanted; see room_for_leases */
    struct sk_lease_id lease; /* of the DELIVER record */
};

void sk_receive_write_status(struct receive *r, const struct sk_verdict *verdict);

/* Choose messages and commit their leases; they are in r->chosen. A choice may do no more than move
 * the floor, which retention moved, or pass over what the filter does not want: then the next one
 * may find something. SK_POLL_UNSURE: tags are missing, or there is more to pass over. */
enum sk_poll_look sk_receive_choose(struct receive *r, struct sk_turn *turn, struct sk_tags *tags);

/* Write what can be read and is wanted, and keep only that in r->chosen. OK goes first, but not
 * before there is a message to follow it. What cannot be read stays leased, and is tried again
 * when the lease ends. */
void sk_receive_deliver(struct receive *r);

/* The stream has ended: the client got all of it, or never (all of) the messages. */
void sk_receive_delivered(void *receive, bool all);

#endif
