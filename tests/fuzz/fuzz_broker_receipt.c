/* fuzz_broker_receipt.c - any text as a receipt handle: what is accepted is what we wrote, and
 * writes the same text again; and any text as a filter. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "message/filter.h"
#include "message/receipt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t room[SK_RECEIPT_TEXT_MAX];
    char text[SK_RECEIPT_TEXT_MAX];
    struct sk_receipt receipt;
    if (sk_receipt_decode(sk_slice_of(data, size), room, &receipt)) {
        size_t len = sk_receipt_encode(&receipt, text);
        if (len != size || memcmp(text, data, size) != 0) abort();
    }
    sk_arena *arena = sk_arena_new(1u << 20);
    struct sk_tag_filter filter;
    if (!sk_tag_filter_parse(sk_slice_of(data, size), arena, &filter)) {
        for (size_t i = 0; i < filter.count; i++) {
            if (!sk_tag_filter_matches(&filter, filter.tags[i])) abort();
        }
    }
    sk_arena_free(arena);
    return 0;
}
