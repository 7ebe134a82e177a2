/* stored_message.c - the only reader and writer of MESSAGE payloads, and the splice.
 *
 * PAYLOAD FORMAT, version 2. All integers little endian.
 *
 *   0   1  version (2)
 *   1   1  type: a MessageType
 *   2   1  body encoding as published: an Encoding
 *   3   1  flags: 1 the client gave no born_timestamp, 2 no born_host
 *   4   8  wall clock at arrival, ms
 *  12   4  length of the other fields (n)
 *  16   4  length of the system properties (m)
 *  20   4  body: where in the other fields
 *  24   4  body: length
 *  28   4  tag: where in the system properties
 *  32   2  tag: length
 *  34   1  length of the born host (h)
 *  35   1  length of what the state chooses by (e), 0 until such messages are built
 *  36   h  born host
 *   .   e  fields, each a tag byte and a varint: 1 hash of the message group, 2 priority,
 *          3 delivery time in ms, 4 hash of the lite topic; up to here it is the head
 *   .   n  other fields of the client's Message, verbatim and in order
 *   .   m  content of the client's system_properties, verbatim
 */
#include "message/stored_message.h"

#include "base/bytes.h"
#include "message/digest.h"
#include "message/wire.h"

enum { VERSION = 2, HEAD = SK_STORED_HEAD_LEAST, NO_BORN_TIME = 1, NO_BORN_HOST = 2 };

_Static_assert(HEAD + SK_STORED_HOST_MAX <= SK_STORED_HEAD_MAX, "the head fits its buffer");

static uint32_t body_place(const struct sk_scanned_message *m)
{
    if (m->body.len == 0) return 0;
    if (m->after.len && m->body.data >= m->after.data) {
        return (uint32_t)(m->before.len + (size_t)(m->body.data - m->after.data));
    }
    return (uint32_t)(m->body.data - m->before.data);
}

void sk_stored_encode(const struct sk_scanned_message *message, int type, uint64_t arrival_ms,
                      struct sk_slice born_host, uint8_t head[SK_STORED_HEAD_MAX],
                      struct sk_slice parts[SK_STORED_PARTS])
{
    unsigned flags =
        (message->has_born_time ? 0 : NO_BORN_TIME) | (message->has_born_host ? 0 : NO_BORN_HOST);
    size_t host = message->has_born_host ? 0 : born_host.len;
    if (host > SK_STORED_HOST_MAX) host = SK_STORED_HOST_MAX;
    size_t tag_at = message->tag.len ? (size_t)(message->tag.data - message->system.data) : 0;
    head[0] = VERSION;
    head[1] = (uint8_t)type;
    head[2] = (uint8_t)message->body_encoding;
    head[3] = (uint8_t)flags;
    sk_put_u64(head + 4, arrival_ms);
    sk_put_u32(head + 12, (uint32_t)(message->before.len + message->after.len));
    sk_put_u32(head + 16, (uint32_t)message->system.len);
    sk_put_u32(head + 20, body_place(message));
    sk_put_u32(head + 24, (uint32_t)message->body.len);
    sk_put_u32(head + 28, (uint32_t)tag_at);
    sk_put_u16(head + 32, (uint16_t)message->tag.len);
    head[SK_STORED_HEAD_HOST_AT] = (uint8_t)host;
    head[SK_STORED_HEAD_CHOICE_AT] = 0;
    if (host) memcpy(head + HEAD, born_host.data, host);
    parts[0] = sk_slice_of(head, HEAD + host);
    parts[1] = message->before;
    parts[2] = message->after;
    parts[3] = message->system;
}

/* A slice of `whole`, if it lies inside. */
static bool cut(struct sk_slice whole, size_t at, size_t len, struct sk_slice *out)
{
    if (at > whole.len || len > whole.len - at) return false;
    *out = sk_slice_of(whole.data + at, len);
    return true;
}

bool sk_stored_parse(struct sk_slice payload, struct sk_stored_message *out)
{
    if (payload.len < HEAD || payload.data[0] != VERSION) return false;
    const uint8_t *p = payload.data;
    if (p[SK_STORED_HEAD_CHOICE_AT] != 0) return false;
    size_t host = p[SK_STORED_HEAD_HOST_AT], others = sk_get_u32(p + 12), system = sk_get_u32(p + 16);
    if (payload.len != HEAD + host + others + system) return false;
    struct sk_stored_message m = {
        .type = p[1],
        .encoding = p[2],
        .add_born_time = p[3] & NO_BORN_TIME,
        .add_born_host = p[3] & NO_BORN_HOST,
        .arrival_ms = sk_get_u64(p + 4),
        .born_host = sk_slice_of(p + HEAD, host),
        .others = sk_slice_of(p + HEAD + host, others),
        .system = sk_slice_of(p + HEAD + host + others, system),
    };
    if (!cut(m.others, sk_get_u32(p + 20), sk_get_u32(p + 24), &m.body)) return false;
    if (!cut(m.system, sk_get_u32(p + 28), sk_get_u16(p + 32), &m.tag)) return false;
    *out = m;
    return true;
}

/* --- the splice ------------------------------------------------------------------------------ */

enum { RESPONSE_MESSAGE = 2, MESSAGE_SYSTEM = 3 };
enum { IDENTITY = 1 };
enum { SCALAR_MAX = 2 + 10, TEXT_HEAD_MAX = 2 + 5 };

static size_t suffix_room(const struct sk_stored_message *m, const struct sk_delivery *d)
{
    return (2 + 2 + 2 + SK_DIGEST_TEXT)   /* body_digest */
           + 6 * SCALAR_MAX               /* encoding, type, queue, offset, attempt */
           + 3 * (size_t)SK_WIRE_TIME_MAX /* born, store and invisible times */
           + 3 * TEXT_HEAD_MAX + d->store_host.len + d->receipt_handle.len + m->born_host.len;
}

static uint8_t *put_digest(uint8_t *out, struct sk_slice body, bool crc32)
{
    struct sk_digest digest;
    sk_digest_of(body, crc32, &digest);
    out = sk_wire_put_head(out, 4, 2 + 2 + digest.len);
    out = sk_wire_put_int(out, 1, digest.type);
    return sk_wire_put_bytes(out, 2, sk_slice_of(digest.text, digest.len));
}

/* Zero values are written too: each has to win over what the client may have put there. */
static uint8_t *put_suffix(uint8_t *out, const struct sk_stored_message *m,
                           const struct sk_delivery *d)
{
    out = put_digest(out, m->body, d->crc32);
    out = sk_wire_put_int(out, 5, m->encoding ? (unsigned)m->encoding : IDENTITY);
    out = sk_wire_put_int(out, 6, (unsigned)m->type);
    if (m->add_born_time) out = sk_wire_put_time(out, 7, m->arrival_ms);
    if (m->add_born_host) out = sk_wire_put_bytes(out, 8, m->born_host);
    out = sk_wire_put_time(out, 9, d->store_ms);
    out = sk_wire_put_bytes(out, 10, d->store_host);
    out = sk_wire_put_bytes(out, 12, d->receipt_handle);
    out = sk_wire_put_int(out, 13, d->queue);
    out = sk_wire_put_int(out, 14, d->offset);
    if (d->invisible_ms) out = sk_wire_put_time(out, 15, d->invisible_ms);
    return sk_wire_put_int(out, 16, d->attempt);
}

bool sk_stored_splice(const struct sk_stored_message *message, const struct sk_delivery *delivery,
                      sk_arena *arena, struct sk_spliced *out)
{
    size_t room = suffix_room(message, delivery);
    size_t before = TEXT_HEAD_MAX + message->system.len; /* its length is known after the suffix */
    uint8_t *memory = sk_arena_alloc(arena, TEXT_HEAD_MAX + before + room);
    if (!memory) return false;

    uint8_t *suffix = memory + TEXT_HEAD_MAX + before;
    size_t suffix_len = (size_t)(put_suffix(suffix, message, delivery) - suffix);
    size_t content = message->system.len + suffix_len;
    uint8_t *tail = suffix - message->system.len - 1 - sk_wire_varint_size(content);
    sk_wire_put_raw(sk_wire_put_head(tail, MESSAGE_SYSTEM, content), message->system);
    out->tail = sk_slice_of(tail, (size_t)(suffix + suffix_len - tail));

    uint8_t *end = sk_wire_put_head(memory, RESPONSE_MESSAGE, message->others.len + out->tail.len);
    out->head = sk_slice_of(memory, (size_t)(end - memory));
    return true;
}
