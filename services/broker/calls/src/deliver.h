/* deliver.h - messages out of the log, onto a stream. ReceiveMessage and PullMessage share it:
 * in both responses `message` is field 2. */
#ifndef SK_BROKER_DELIVER_H
#define SK_BROKER_DELIVER_H

#include "message/filter.h"
#include "inside.h"
#include "message/stored_message.h"

enum sk_deliver_result {
    SK_DELIVER_READY,
    SK_DELIVER_MISMATCH, /* the filter does not want it after all (its tag's hash collided) */
    SK_DELIVER_FAILED,   /* it cannot be read: gone, or rotten (then logged) */
};

/* A message in the log's own memory, and what goes around it. */
struct sk_ready_message {
    struct sk_stored_message stored;
    struct sk_spliced spliced;
    void *pin;
};

/* Read the message at an entry of a store queue's index. `about` is filled in but for store_host
 * and store_ms. What is READY has to be written. */
enum sk_deliver_result sk_deliver_read(struct sk_calls *calls, rpc_call *call, uint32_t store_queue,
                                       const struct sk_index_entry *entry,
                                       const struct sk_tag_filter *filter,
                                       struct sk_delivery *about, struct sk_ready_message *out);

/* Write it to the stream; the pin is given back when the bytes have gone. */
void sk_deliver_write(rpc_call *call, const struct sk_ready_message *message);

#endif
