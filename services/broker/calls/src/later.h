/* later.h - handlers of RPCs that are not built yet. */
#ifndef SK_BROKER_LATER_H
#define SK_BROKER_LATER_H

#include "apache/rocketmq/v2/service.rpc.h"

void sk_handle_dead_letter(void *owner, rpc_call *call,
                           const rmq_forward_message_to_dead_letter_queue_request *request);
void sk_handle_end_transaction(void *owner, rpc_call *call,
                               const rmq_end_transaction_request *request);
void sk_handle_recall(void *owner, rpc_call *call, const rmq_recall_message_request *request);
void sk_handle_sync_lite(void *owner, rpc_call *call,
                         const rmq_sync_lite_subscription_request *request);

#endif
