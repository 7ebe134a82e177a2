/* send_check.c - what a message to be sent must be like: protocol.md 3.4, 8. */
#include "send_check.h"

enum { MESSAGE_ID_MAX = 255 };

static struct sk_verdict check_body(const struct sk_broker_config *config,
                                    const struct sk_scanned_message *message)
{
    if (message->body.len == 0) {
        return sk_refuse(RMQ_CODE_MESSAGE_BODY_EMPTY, "the message has no body");
    }
    if (message->body.len > config->max_body_bytes) {
        return sk_refuse(RMQ_CODE_MESSAGE_BODY_TOO_LARGE,
                         "the body has %zu bytes, the limit is %llu (max_body)", message->body.len,
                         (unsigned long long)config->max_body_bytes);
    }
    return SK_GRANTED;
}

static const char *fault_text(enum sk_text_fault fault)
{
    switch (fault) {
    case SK_TEXT_BLANK:
        return "is blank";
    case SK_TEXT_CONTROL:
        return "has a control character";
    case SK_TEXT_RESERVED:
        return "is reserved for the system";
    case SK_TEXT_BAR:
        return "has a '|'";
    default:
        return "is fine";
    }
}

static struct sk_verdict check_properties(const struct sk_broker_config *config,
                                          const struct sk_scanned_message *message)
{
    if (message->property_count > config->max_properties) {
        return sk_refuse(RMQ_CODE_MESSAGE_PROPERTIES_TOO_LARGE,
                         "the message has %u user properties, the limit is %lld (max_properties)",
                         message->property_count, (long long)config->max_properties);
    }
    if (message->property_fault == SK_TEXT_CONTROL) {
        return sk_refuse(RMQ_CODE_ILLEGAL_MESSAGE_PROPERTY_KEY,
                         "the key or the value of a user property has a control character");
    }
    if (message->property_fault) {
        return sk_refuse(RMQ_CODE_ILLEGAL_MESSAGE_PROPERTY_KEY, "the property key '%.*s' %s",
                         SK_SLICE_ARGS(message->property_key), fault_text(message->property_fault));
    }
    if (message->tag_fault) {
        return sk_refuse(RMQ_CODE_ILLEGAL_MESSAGE_TAG, "the tag %s",
                         fault_text(message->tag_fault));
    }
    if (message->key_fault) {
        return sk_refuse(RMQ_CODE_ILLEGAL_MESSAGE_KEY, "a message key %s",
                         fault_text(message->key_fault));
    }
    if (message->property_bytes > config->max_properties_size_bytes) {
        return sk_refuse(RMQ_CODE_MESSAGE_PROPERTIES_TOO_LARGE,
                         "user properties, tag and keys have %zu bytes, the limit is %llu "
                         "(max_properties_size)",
                         message->property_bytes,
                         (unsigned long long)config->max_properties_size_bytes);
    }
    if (message->trace_context.len > config->max_trace_context_bytes) {
        return sk_refuse(RMQ_CODE_MESSAGE_PROPERTIES_TOO_LARGE,
                         "the trace context has %zu bytes, the limit is %llu (max_trace_context)",
                         message->trace_context.len,
                         (unsigned long long)config->max_trace_context_bytes);
    }
    return SK_GRANTED;
}

static struct sk_verdict check_times_and_group(const struct sk_broker_config *config,
                                               const struct sk_scanned_message *message,
                                               uint64_t now_ms)
{
    bool transaction = message->message_type == RMQ_MESSAGE_TYPE_TRANSACTION;
    int64_t longest = (int64_t)(config->max_transaction_recovery_ms / 1000);
    if (transaction && message->recovery_seconds > longest) {
        return sk_refuse(RMQ_CODE_BAD_REQUEST,
                         "orphaned_transaction_recovery_duration is %lld s, the limit is %lld s",
                         (long long)message->recovery_seconds, (long long)longest);
    }
    int64_t latest = (int64_t)((now_ms + config->max_delay_ms) / 1000);
    if (message->has_delivery_time && message->delivery_seconds > latest) {
        return sk_refuse(RMQ_CODE_ILLEGAL_DELIVERY_TIME,
                         "the delivery time is further ahead than %llu s (max_delay)",
                         (unsigned long long)config->max_delay_ms / 1000);
    }
    if (message->group_fault) {
        return sk_refuse(RMQ_CODE_ILLEGAL_MESSAGE_GROUP, "the message group %s",
                         fault_text(message->group_fault));
    }
    if (message->message_group.len > (size_t)config->max_message_group) {
        return sk_refuse(RMQ_CODE_ILLEGAL_MESSAGE_GROUP,
                         "the message group has %zu bytes, the limit is %lld (max_message_group)",
                         message->message_group.len, (long long)config->max_message_group);
    }
    if (message->has_priority && message->priority < 0) {
        return sk_refuse(RMQ_CODE_BAD_REQUEST, "the priority is negative");
    }
    return SK_GRANTED;
}

static struct sk_verdict check_kind(const struct sk_scanned_message *message, size_t batch)
{
    int type = sk_effective_type(message);
    bool transaction = type == RMQ_MESSAGE_TYPE_TRANSACTION;
    if (transaction && message->has_delivery_time) {
        return sk_refuse(RMQ_CODE_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
                         "a TRANSACTION message may not have a delivery time");
    }
    if (batch > 1 && (transaction || type == RMQ_MESSAGE_TYPE_DELAY)) {
        return sk_refuse(RMQ_CODE_BAD_REQUEST, "%s messages cannot be sent in batches",
                         rmq_message_type_name(type));
    }
    return SK_GRANTED;
}

/* Nearly every message is plain: one look at the facts instead of the long way through them. */
static bool is_plain(const struct sk_broker_config *config,
                     const struct sk_scanned_message *message)
{
    bool faulty = message->property_fault || message->tag_fault || message->key_fault ||
                  message->group_fault || message->id_blank;
    bool special = message->has_delivery_time || message->has_priority ||
                   message->message_group.len || message->recovery_seconds ||
                   message->message_type == RMQ_MESSAGE_TYPE_TRANSACTION;
    bool small = message->body.len > 0 && message->body.len <= config->max_body_bytes &&
                 message->property_count <= config->max_properties &&
                 message->property_bytes <= config->max_properties_size_bytes &&
                 message->trace_context.len <= config->max_trace_context_bytes &&
                 message->message_id.len <= MESSAGE_ID_MAX;
    return small && !faulty && !special;
}

struct sk_verdict sk_check_message(const struct sk_broker_config *config,
                                   const struct sk_scanned_message *message, size_t batch,
                                   uint64_t now_ms)
{
    if (is_plain(config, message)) return SK_GRANTED;
    SK_GRANT(check_body(config, message));
    SK_GRANT(check_properties(config, message));
    if (message->id_blank) {
        return sk_refuse(RMQ_CODE_ILLEGAL_MESSAGE_ID, "the message has no id, or a blank one");
    }
    if (message->message_id.len > MESSAGE_ID_MAX) {
        return sk_refuse(RMQ_CODE_ILLEGAL_MESSAGE_ID,
                         "the message id has %zu bytes, the limit is %d", message->message_id.len,
                         MESSAGE_ID_MAX);
    }
    SK_GRANT(check_times_and_group(config, message, now_ms));
    return check_kind(message, batch);
}
