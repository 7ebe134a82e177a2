/* later.c - what clients may ask for and Skua does not do yet: it says so. */
#include "inside.h"
#include "later.h"

static struct sk_verdict refusal(rpc_call *call, struct sk_caller *caller, const char *what)
{
    SK_GRANT(sk_caller_of(call, caller));
    return sk_refuse(RMQ_CODE_NOT_IMPLEMENTED, "%s in a later version of Skua", what);
}

void sk_handle_dead_letter(void *owner, rpc_call *call,
                           const rmq_forward_message_to_dead_letter_queue_request *request)
{
    (void)owner, (void)request;
    struct sk_caller caller;
    struct sk_verdict verdict = refusal(call, &caller, "dead letter queues come");
    rmq_status status = sk_status_for(&caller, &verdict);
    rmq_forward_message_to_dead_letter_queue_response response =
        RMQ_FORWARD_MESSAGE_TO_DEAD_LETTER_QUEUE_RESPONSE_INIT;
    response.status = &status;
    rmq_messaging_service_reply_forward_message_to_dead_letter_queue(call, &response);
}

void sk_handle_end_transaction(void *owner, rpc_call *call,
                               const rmq_end_transaction_request *request)
{
    (void)owner, (void)request;
    struct sk_caller caller;
    struct sk_verdict verdict = refusal(call, &caller, "transactions come");
    rmq_status status = sk_status_for(&caller, &verdict);
    rmq_end_transaction_response response = RMQ_END_TRANSACTION_RESPONSE_INIT;
    response.status = &status;
    rmq_messaging_service_reply_end_transaction(call, &response);
}

void sk_handle_recall(void *owner, rpc_call *call, const rmq_recall_message_request *request)
{
    (void)owner, (void)request;
    struct sk_caller caller;
    struct sk_verdict verdict = refusal(call, &caller, "recalling delayed messages comes");
    rmq_status status = sk_status_for(&caller, &verdict);
    rmq_recall_message_response response = RMQ_RECALL_MESSAGE_RESPONSE_INIT;
    response.status = &status;
    rmq_messaging_service_reply_recall_message(call, &response);
}

void sk_handle_sync_lite(void *owner, rpc_call *call,
                         const rmq_sync_lite_subscription_request *request)
{
    (void)owner, (void)request;
    struct sk_caller caller;
    struct sk_verdict verdict = refusal(call, &caller, "lite topics come");
    rmq_status status = sk_status_for(&caller, &verdict);
    rmq_sync_lite_subscription_response response = RMQ_SYNC_LITE_SUBSCRIPTION_RESPONSE_INIT;
    response.status = &status;
    rmq_messaging_service_reply_sync_lite_subscription(call, &response);
}
