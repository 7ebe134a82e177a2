/* scan.c - the one pass over a SendMessageRequest. */
#include "message/scan.h"

#include "apache/rocketmq/v2/service.alias.h"

#include "message/text.h"
#include "message/wire.h"

/* Field numbers of protocol.md 1.2. */
enum { MESSAGE_TOPIC = 1, MESSAGE_PROPERTY = 2, MESSAGE_SYSTEM = 3, MESSAGE_BODY = 4 };
enum { RESOURCE_NAMESPACE = 1, RESOURCE_NAME = 2 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 };
enum {
    SYSTEM_TAG = 1,
    SYSTEM_KEYS = 2,
    SYSTEM_MESSAGE_ID = 3,
    SYSTEM_BODY_DIGEST = 4,
    SYSTEM_BODY_ENCODING = 5,
    SYSTEM_MESSAGE_TYPE = 6,
    SYSTEM_BORN_TIMESTAMP = 7,
    SYSTEM_BORN_HOST = 8,
    SYSTEM_STORE_TIMESTAMP = 9,
    SYSTEM_STORE_HOST = 10,
    SYSTEM_DELIVERY_TIMESTAMP = 11,
    SYSTEM_RECEIPT_HANDLE = 12,
    SYSTEM_QUEUE_ID = 13,
    SYSTEM_QUEUE_OFFSET = 14,
    SYSTEM_INVISIBLE_DURATION = 15,
    SYSTEM_DELIVERY_ATTEMPT = 16,
    SYSTEM_MESSAGE_GROUP = 17,
    SYSTEM_TRACE_CONTEXT = 18,
    SYSTEM_RECOVERY_DURATION = 19,
    SYSTEM_DEAD_LETTER_QUEUE = 20,
    SYSTEM_LITE_TOPIC = 21,
    SYSTEM_PRIORITY = 22,
};

/* Names that mean something inside Apache's broker, and so may not come from users. */
bool sk_scan_is_reserved(struct sk_slice key)
{
    static const struct sk_slice reserved[] = {
#define R(text) {(const uint8_t *)text, sizeof text - 1}
        R("TRACE_ON"),
        R("MSG_REGION"),
        R("KEYS"),
        R("TAGS"),
        R("WAIT"),
        R("DELAY"),
        R("RETRY_TOPIC"),
        R("REAL_TOPIC"),
        R("REAL_QID"),
        R("TRAN_MSG"),
        R("PGROUP"),
        R("MIN_OFFSET"),
        R("MAX_OFFSET"),
        R("BUYER_ID"),
        R("ORIGIN_MESSAGE_ID"),
        R("TRANSFER_FLAG"),
        R("CORRECTION_FLAG"),
        R("MQ2_FLAG"),
        R("RECONSUME_TIME"),
        R("UNIQ_KEY"),
        R("MAX_RECONSUME_TIMES"),
        R("CONSUME_START_TIME"),
        R("POP_CK"),
        R("POP_CK_OFFSET"),
        R("1ST_POP_TIME"),
        R("TRAN_PREPARED_QUEUE_OFFSET"),
        R("DUP_INFO"),
        R("EXTEND_UNIQ_INFO"),
        R("INSTANCE_ID"),
        R("CORRELATION_ID"),
        R("REPLY_TO_CLIENT"),
        R("TTL"),
        R("ARRIVE_TIME"),
        R("PUSH_REPLY_TIME"),
        R("CLUSTER"),
        R("MSG_TYPE"),
        R("INNER_MULTI_QUEUE_OFFSET"),
        R("TIMER_DELAY_MS"),
        R("TIMER_DELAY_SEC"),
        R("TIMER_DELIVER_MS"),
        R("TIMER_ENQUEUE_MS"),
        R("TIMER_DEQUEUE_MS"),
        R("TIMER_ROLL_TIMES"),
        R("TIMER_OUT_MS"),
        R("TIMER_DEL_UNIQKEY"),
        R("TIMER_DELAY_LEVEL"),
        R("__BORNHOST"),
        R("BORN_TIMESTAMP"),
        R("DLQ_ORIGIN_TOPIC"),
        R("DLQ_ORIGIN_MESSAGE_ID"),
        R("__CRC32#"),
        R("__SHARDINGKEY"),
#undef R
    };
    /* They are in capitals; what users write rarely is. */
    if (key.len < 3 || (key.data[0] >= 'a' && key.data[0] <= 'z')) return false;
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (sk_slice_eq(key, reserved[i])) return true;
    }
    return false;
}

/* What kind of field each number of SystemProperties is. */
enum shape { UNKNOWN, TEXT, INT, SUB, SERVERS_SUB };

static enum shape shape_of(uint32_t number)
{
    static const uint8_t shapes[] = {
        [SYSTEM_TAG] = TEXT,
        [SYSTEM_KEYS] = TEXT,
        [SYSTEM_MESSAGE_ID] = TEXT,
        [SYSTEM_BODY_DIGEST] = SERVERS_SUB,
        [SYSTEM_BODY_ENCODING] = INT,
        [SYSTEM_MESSAGE_TYPE] = INT,
        [SYSTEM_BORN_TIMESTAMP] = SUB,
        [SYSTEM_BORN_HOST] = TEXT,
        [SYSTEM_STORE_TIMESTAMP] = SERVERS_SUB,
        [SYSTEM_STORE_HOST] = TEXT,
        [SYSTEM_DELIVERY_TIMESTAMP] = SUB,
        [SYSTEM_RECEIPT_HANDLE] = TEXT,
        [SYSTEM_QUEUE_ID] = INT,
        [SYSTEM_QUEUE_OFFSET] = INT,
        [SYSTEM_INVISIBLE_DURATION] = SERVERS_SUB,
        [SYSTEM_DELIVERY_ATTEMPT] = INT,
        [SYSTEM_MESSAGE_GROUP] = TEXT,
        [SYSTEM_TRACE_CONTEXT] = TEXT,
        [SYSTEM_RECOVERY_DURATION] = SUB,
        [SYSTEM_DEAD_LETTER_QUEUE] = SERVERS_SUB,
        [SYSTEM_LITE_TOPIC] = TEXT,
        [SYSTEM_PRIORITY] = INT,
    };
    return number < sizeof shapes ? (enum shape)shapes[number] : UNKNOWN;
}

/* The worse of two results. */
static enum sk_scan_result worse(enum sk_scan_result a, enum sk_scan_result b)
{
    return a > b ? a : b;
}

/* For tag, key and group: empty means absent, white space alone does not. */
static enum sk_text_fault fault_of(struct sk_slice text, struct sk_text_facts facts)
{
    if (text.len == 0) return SK_TEXT_FINE;
    if (facts.control) return SK_TEXT_CONTROL;
    return facts.blank ? SK_TEXT_BLANK : SK_TEXT_FINE;
}

/* Texts that other requests have as C strings may have no NUL: their rest would be lost there. */
static bool is_c_text(struct sk_slice text, struct sk_text_facts facts)
{
    if (!facts.valid) return false;
    return !facts.control || text.len == 0 || !memchr(text.data, 0, text.len);
}

static enum sk_scan_result scan_resource(struct sk_slice bytes, struct sk_scanned_message *out)
{
    struct sk_wire_reader r = sk_wire_reader_of(bytes);
    struct sk_wire_field f;
    while (sk_wire_next(&r, &f)) {
        if (f.number != RESOURCE_NAMESPACE && f.number != RESOURCE_NAME) continue;
        if (f.type != SK_WIRE_BYTES) return SK_SCAN_UNUSUAL;
        if (!is_c_text(f.bytes, sk_text_look(f.bytes))) return SK_SCAN_BAD;
        if (f.number == RESOURCE_NAME) {
            out->topic_name = f.bytes;
        } else {
            out->topic_namespace = f.bytes;
        }
    }
    return r.failed ? SK_SCAN_BAD : SK_SCAN_OK;
}

static enum sk_scan_result scan_property(struct sk_slice bytes, struct sk_scanned_message *out)
{
    struct sk_wire_reader r = sk_wire_reader_of(bytes);
    struct sk_wire_field f;
    struct sk_slice texts[3] = {SK_EMPTY, SK_EMPTY, SK_EMPTY};
    bool control = false;
    while (sk_wire_next(&r, &f)) {
        if (f.number > ENTRY_VALUE) continue;
        if (f.type != SK_WIRE_BYTES || texts[f.number].data) return SK_SCAN_UNUSUAL;
        struct sk_text_facts facts = sk_text_look(f.bytes);
        if (!facts.valid) return SK_SCAN_BAD;
        control = control || facts.control;
        texts[f.number] = f.bytes;
    }
    if (r.failed) return SK_SCAN_BAD;

    out->property_count++;
    out->property_bytes += texts[ENTRY_KEY].len + texts[ENTRY_VALUE].len;
    if (out->property_fault == SK_TEXT_FINE) {
        out->property_fault = control                                 ? SK_TEXT_CONTROL
                              : sk_scan_is_reserved(texts[ENTRY_KEY]) ? SK_TEXT_RESERVED
                                                                      : SK_TEXT_FINE;
        if (out->property_fault) out->property_key = texts[ENTRY_KEY];
    }
    return SK_SCAN_OK;
}

static enum sk_scan_result take_text(const struct sk_wire_field *f, struct sk_scanned_message *out)
{
    struct sk_text_facts facts = sk_text_look(f->bytes);
    if (!facts.valid) return SK_SCAN_BAD;
    switch (f->number) {
    case SYSTEM_TAG:
        out->property_bytes += f->bytes.len - out->tag.len; /* the last one counts */
        out->tag = f->bytes;
        out->tag_fault = fault_of(f->bytes, facts);
        if (!out->tag_fault && f->bytes.len && memchr(f->bytes.data, '|', f->bytes.len)) {
            out->tag_fault = SK_TEXT_BAR;
        }
        break;
    case SYSTEM_KEYS:
        out->property_bytes += f->bytes.len;
        if (!out->key_fault) out->key_fault = fault_of(f->bytes, facts);
        break;
    case SYSTEM_MESSAGE_ID:
        if (!is_c_text(f->bytes, facts)) return SK_SCAN_BAD;
        out->message_id = f->bytes;
        out->id_blank = facts.blank;
        break;
    case SYSTEM_MESSAGE_GROUP:
        out->message_group = f->bytes;
        out->group_fault = fault_of(f->bytes, facts);
        break;
    case SYSTEM_BORN_HOST:
        out->has_born_host = f->bytes.len > 0;
        break;
    case SYSTEM_TRACE_CONTEXT:
        out->trace_context = f->bytes;
        break;
    case SYSTEM_LITE_TOPIC:
        out->has_lite_topic = f->bytes.len > 0;
        break;
    default:
        break;
    }
    return SK_SCAN_OK;
}

static void take_int(const struct sk_wire_field *f, struct sk_scanned_message *out)
{
    switch (f->number) {
    case SYSTEM_BODY_ENCODING:
        out->body_encoding = (int32_t)f->value;
        break;
    case SYSTEM_MESSAGE_TYPE:
        out->message_type = (int32_t)f->value;
        break;
    case SYSTEM_PRIORITY:
        out->has_priority = true;
        out->priority = (int32_t)f->value;
        break;
    default:
        break;
    }
}

/* A Timestamp or Duration. */
static enum sk_scan_result take_time(const struct sk_wire_field *f, struct sk_scanned_message *out)
{
    struct sk_wire_reader r = sk_wire_reader_of(f->bytes);
    struct sk_wire_field part;
    int64_t seconds = 0;
    while (sk_wire_next(&r, &part)) {
        if (part.number <= 2 && part.type != SK_WIRE_VARINT) return SK_SCAN_UNUSUAL;
        if (part.number == 1) seconds = (int64_t)part.value;
    }
    if (r.failed) return SK_SCAN_BAD;
    switch (f->number) {
    case SYSTEM_BORN_TIMESTAMP:
        out->has_born_time = true;
        break;
    case SYSTEM_DELIVERY_TIMESTAMP:
        out->has_delivery_time = true;
        out->delivery_seconds = seconds;
        break;
    case SYSTEM_RECOVERY_DURATION:
        out->recovery_seconds = seconds;
        break;
    default:
        break;
    }
    return SK_SCAN_OK;
}

static enum sk_scan_result scan_system(struct sk_slice bytes, struct sk_scanned_message *out)
{
    struct sk_wire_reader r = sk_wire_reader_of(bytes);
    struct sk_wire_field f;
    enum sk_scan_result result = SK_SCAN_OK;
    uint32_t seen = 0;
    while (result != SK_SCAN_BAD && sk_wire_next(&r, &f)) {
        switch (shape_of(f.number)) {
        case TEXT:
            result = worse(result, f.type == SK_WIRE_BYTES ? take_text(&f, out) : SK_SCAN_UNUSUAL);
            break;
        case INT:
            if (f.type == SK_WIRE_VARINT) {
                take_int(&f, out);
            } else {
                result = worse(result, SK_SCAN_UNUSUAL);
            }
            break;
        case SUB:
            if (f.type != SK_WIRE_BYTES || seen & 1u << f.number) {
                result = worse(result, SK_SCAN_UNUSUAL);
            } else {
                result = worse(result, take_time(&f, out));
            }
            seen |= 1u << f.number;
            break;
        case SERVERS_SUB:
            result = worse(result, SK_SCAN_UNUSUAL);
            break;
        case UNKNOWN:
            break;
        }
    }
    /* How long a half message may be orphaned is the server's to know, not the consumer's. */
    if (seen & 1u << SYSTEM_RECOVERY_DURATION && out->message_type != 4) {
        result = worse(result, SK_SCAN_UNUSUAL);
    }
    return r.failed ? SK_SCAN_BAD : result;
}

enum sk_scan_result sk_scan_message(struct sk_slice message, struct sk_scanned_message *out)
{
    *out = (struct sk_scanned_message){.before = message, .id_blank = true};
    struct sk_wire_reader r = sk_wire_reader_of(message);
    struct sk_wire_field f;
    enum sk_scan_result result = SK_SCAN_OK;
    uint32_t seen = 0;
    while (result != SK_SCAN_BAD && sk_wire_next(&r, &f)) {
        if (f.number > MESSAGE_BODY) continue;
        if (f.type != SK_WIRE_BYTES) {
            result = worse(result, SK_SCAN_UNUSUAL);
            continue;
        }
        bool again = seen & 1u << f.number;
        seen |= 1u << f.number;
        switch (f.number) {
        case MESSAGE_TOPIC:
            if (again) result = worse(result, SK_SCAN_UNUSUAL);
            out->topic = f.bytes;
            result = worse(result, scan_resource(f.bytes, out));
            break;
        case MESSAGE_PROPERTY:
            result = worse(result, scan_property(f.bytes, out));
            break;
        case MESSAGE_SYSTEM:
            if (again) result = worse(result, SK_SCAN_UNUSUAL);
            out->before = sk_slice_of(message.data, (size_t)(f.whole.data - message.data));
            out->system = f.bytes;
            out->after = sk_slice_of(r.at, (size_t)(r.end - r.at));
            result = worse(result, scan_system(f.bytes, out));
            break;
        default:
            out->body = f.bytes;
            break;
        }
    }
    return r.failed ? SK_SCAN_BAD : result;
}

size_t sk_scan_count(struct sk_slice request)
{
    struct sk_wire_reader r = sk_wire_reader_of(request);
    struct sk_wire_field f;
    size_t count = 0;
    while (sk_wire_next(&r, &f)) {
        if (f.number == 1 && f.type != SK_WIRE_BYTES) return SIZE_MAX;
        count += f.number == 1;
    }
    return r.failed ? SIZE_MAX : count;
}

enum sk_scan_result sk_scan_request(struct sk_slice request, struct sk_scanned_message *out,
                                    size_t count)
{
    struct sk_wire_reader r = sk_wire_reader_of(request);
    struct sk_wire_field f;
    enum sk_scan_result result = SK_SCAN_OK;
    for (size_t i = 0; i < count && result != SK_SCAN_BAD && sk_wire_next(&r, &f);) {
        if (f.number == 1) result = worse(result, sk_scan_message(f.bytes, &out[i++]));
    }
    return result;
}

int sk_effective_type(const struct sk_scanned_message *message)
{
    if (message->message_type == RMQ_MESSAGE_TYPE_TRANSACTION) return RMQ_MESSAGE_TYPE_TRANSACTION;
    if (message->has_delivery_time) return RMQ_MESSAGE_TYPE_DELAY;
    if (message->message_group.len) return RMQ_MESSAGE_TYPE_FIFO;
    if (message->has_lite_topic) return RMQ_MESSAGE_TYPE_LITE;
    return message->has_priority ? RMQ_MESSAGE_TYPE_PRIORITY : RMQ_MESSAGE_TYPE_NORMAL;
}
