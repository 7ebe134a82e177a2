/* rows.c - the rows of a snapshot, written; load.c reads them. */
#include "rows.h"

#include "varint.h"

static void put_name(struct sk_slice name, struct sk_buffer *out)
{
    sk_put_varint(out, name.len);
    sk_buffer_put(out, name.data, name.len);
}

void sk_put_header_row(const struct sk_row_header *header, struct sk_buffer *out)
{
    sk_buffer_put_u8(out, SK_ROW_HEADER);
    sk_buffer_put_u32(out, SK_ROW_MAGIC);
    sk_buffer_put_u32(out, SK_ROW_VERSION);
    sk_put_varint(out, header->config_version);
    sk_buffer_put_u32(out, header->next_topic);
    sk_buffer_put_u32(out, header->next_group);
    sk_buffer_put_u32(out, header->next_queue);
}

void sk_put_topic_row(const struct sk_topic *topic, struct sk_buffer *out)
{
    sk_buffer_put_u8(out, SK_ROW_TOPIC);
    sk_put_varint(out, topic->id);
    sk_buffer_put_u8(out, (uint8_t)topic->type);
    sk_buffer_put_u8(out, topic->mixed ? SK_ROW_MIXED : 0);
    sk_buffer_put_u8(out, (uint8_t)topic->permission);
    sk_put_varint(out, topic->read_queues);
    sk_put_varint(out, topic->write_queues);
    sk_put_varint(out, topic->queue_count);
    sk_put_varint(out, topic->created_ms);
    put_name(topic->name, out);
}

void sk_put_queue_row(uint32_t topic, uint32_t queue, uint32_t store_queue, uint64_t next_offset,
                      struct sk_buffer *out)
{
    sk_buffer_put_u8(out, SK_ROW_QUEUE);
    sk_put_varint(out, topic);
    sk_put_varint(out, queue);
    sk_put_varint(out, store_queue);
    sk_put_varint(out, next_offset);
}

void sk_put_group_row(const struct sk_group *group, struct sk_buffer *out)
{
    sk_buffer_put_u8(out, SK_ROW_GROUP);
    sk_put_varint(out, group->id);
    sk_buffer_put_u8(out, group->orderly ? SK_ROW_ORDERLY : 0);
    sk_put_varint(out, group->max_attempts);
    sk_put_varint(out, group->created_ms);
    put_name(group->name, out);
}

static void put_place(enum sk_row_kind kind, struct sk_row_place place, struct sk_buffer *out)
{
    sk_buffer_put_u8(out, (uint8_t)kind);
    sk_put_varint(out, place.group);
    sk_put_varint(out, place.topic);
    sk_put_varint(out, place.queue);
}

void sk_put_track_row(struct sk_row_place place, uint64_t next, struct sk_buffer *out)
{
    put_place(SK_ROW_TRACK, place, out);
    sk_put_varint(out, next);
}

void sk_put_block_row(struct sk_row_place place, uint64_t index, const struct sk_block *b,
                      struct sk_buffer *out)
{
    put_place(SK_ROW_BLOCK, place, out);
    sk_put_varint(out, index);
    sk_buffer_put_u64(out, b->leased);
    sk_buffer_put_u64(out, b->returned);
    sk_buffer_put_u64(out, b->renewing);
    for (uint64_t open = b->leased | b->returned; open; open &= open - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(open);
        const struct sk_slot *slot = &b->slots[bit];
        sk_put_varint(out, slot->attempt);
        if (!(b->leased >> bit & 1)) continue;
        sk_put_varint(out, slot->epoch);
        sk_put_varint(out, slot->position);
        sk_put_varint(out, slot->deadline_ms);
        sk_buffer_put_u64(out, slot->owner);
        sk_buffer_put_u32(out, slot->given_s);
    }
}

/* --- hash -------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h) /* the end of splitmix64: each bit depends on each */
{
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9;
    h = (h ^ h >> 27) * 0x94d049bb133111eb;
    return h ^ h >> 31;
}

uint64_t sk_row_hash(const uint8_t *row, size_t len)
{
    uint64_t h = (uint64_t)len * 0x9e3779b97f4a7c15;
    for (; len >= 8; row += 8, len -= 8) h = mix(h + 0x9e3779b97f4a7c15 + sk_get_u64(row));
    uint8_t last[8] = {0};
    if (len) memcpy(last, row, len);
    return mix(h + 0x9e3779b97f4a7c15 + sk_get_u64(last));
}

void sk_tally_row(struct sk_row_tally *tally, const struct sk_buffer *out, size_t from)
{
    tally->rows++;
    tally->sum += sk_row_hash(out->data + from, out->len - from);
}

void sk_put_end_row(const struct sk_row_tally *tally, struct sk_buffer *out)
{
    sk_buffer_put_u8(out, SK_ROW_END);
    sk_put_varint(out, tally->rows);
    sk_buffer_put_u64(out, tally->sum);
}
