/* Status, bytes and checksum: the small values that everything is made of. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "base/utf8.h"
#include "support/suite.h"

/* --- status ---------------------------------------------------------------------------------- */

START_TEST(a_status_gains_context_and_keeps_its_code)
{
    struct sk_status s = sk_while(sk_error(SK_FULL, "disk %d", 7), "open segment");
    ck_assert_int_eq(s.code, SK_FULL);
    ck_assert_str_eq(s.detail, "open segment: disk 7");
    s = sk_while((struct sk_status){.code = SK_CLOSED}, "append");
    ck_assert_str_eq(s.detail, "append: the object is shutting down");
    ck_assert(sk_ok(sk_while(SK_SUCCESS, "anything")));
}
END_TEST

static const struct {
    int error;
    enum sk_code want;
} errors[] = {
    {ENOSPC, SK_FULL},   {EDQUOT, SK_FULL}, {ENOENT, SK_NOT_FOUND},
    {EEXIST, SK_EXISTS}, {EIO, SK_IO},      {EACCES, SK_IO},
};

START_TEST(system_errors_become_codes)
{
    struct sk_status s = sk_errno(errors[_i].error, "open '%s'", "x");
    ck_assert_int_eq(s.code, errors[_i].want);
    ck_assert(strncmp(s.detail, "open 'x': ", 10) == 0);
}
END_TEST

/* However long the text before it, a detail never ends inside "€" (three bytes). */
START_TEST(a_cut_detail_ends_between_characters)
{
    char text[300];
    for (size_t lead = 244; lead < 254; lead++) {
        memset(text, 'x', lead);
        strcpy(text + lead, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac");
        const struct sk_status all[] = {sk_error(SK_IO, "%s", text),
                                        sk_while(sk_error(SK_IO, "%s", text + 3), "y")};
        for (int i = 0; i < ROWS(all); i++) {
            const char *detail = all[i].detail;
            size_t len = strlen(detail);
            ck_assert_uint_lt(len, sizeof all[i].detail);
            const char *x = strrchr(detail, 'x');
            ck_assert_uint_eq((len - (size_t)(x + 1 - detail)) % 3, 0);
        }
    }
}
END_TEST

START_TEST(every_code_has_a_name_and_a_sentence)
{
    for (int code = SK_OK; code <= SK_INTERNAL; code++) {
        ck_assert(strncmp(sk_code_name((enum sk_code)code), "SK_", 3) == 0);
        ck_assert_str_ne(sk_code_text((enum sk_code)code), "");
    }
    ck_assert_ptr_nonnull(sk_code_name((enum sk_code)999));
    ck_assert_ptr_nonnull(sk_code_text((enum sk_code)999));
}
END_TEST

/* --- bytes --------------------------------------------------------------------------------------
 */

START_TEST(text_is_utf8_without_a_nul)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool text;
    } table[] = {
        {"", 0, true},
        {"plain, and longer than eight", 28, true},
        {"1234567\0", 8, false},
        {"a\0b", 3, false},
        {"caf\xc3\xa9", 5, true},
        {"1234567\xc3\xa9", 9, true},
        {"\xf0\x9f\xa6\x89", 4, true},
        {"\xf4\x8f\xbf\xbf", 4, true},      /* U+10FFFF */
        {"\xf4\x90\x80\x80", 4, false},     /* one more */
        {"\xed\x9f\xbf", 3, true},          /* U+D7FF */
        {"\xed\xa0\x80", 3, false},         /* a surrogate */
        {"\xc0\x80", 2, false},             /* NUL, overlong */
        {"\xc1\xbf\xe0\x9f\xbf", 5, false}, /* overlong */
        {"\x80", 1, false},                 /* no lead */
        {"caf\xc3", 4, false},              /* cut */
        {"\xe2\x82", 2, false},
        {"\xff\xfe", 2, false},
        {"\xc3(", 2, false},
        {"\xc3\xa9"
         "12345678",
         10, true}, /* the last eight are ASCII, what is before them counts */
        {"\xe2\x82"
         "12345678",
         10, false},
        {"a\0b"
         "12345678",
         11, false},
        {"123"
         "12345\xc3\xa9"
         "7",
         11, true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        ck_assert_msg(sk_utf8_is_text(sk_slice_of(table[i].bytes, table[i].len)) == table[i].text,
                      "row %zu", i);
}
END_TEST

START_TEST(what_is_put_is_read_back)
{
    struct sk_buffer b = {0};
    sk_buffer_put_u8(&b, 0xfe);
    sk_buffer_put_u16(&b, 0xfedc);
    sk_buffer_put_u32(&b, 0xfedcba98);
    sk_buffer_put_u64(&b, 0xfedcba9876543210);
    sk_buffer_put_block(&b, SK_SLICE("hello"));
    sk_buffer_put_block(&b, SK_EMPTY);
    ck_assert_mem_eq(b.data + 1, "\xdc\xfe", 2); /* little endian */

    struct sk_reader r = sk_reader_of(sk_buffer_slice(&b));
    ck_assert_uint_eq(sk_read_u8(&r), 0xfe);
    ck_assert_uint_eq(sk_read_u16(&r), 0xfedc);
    ck_assert_uint_eq(sk_read_u32(&r), 0xfedcba98);
    ck_assert_uint_eq(sk_read_u64(&r), 0xfedcba9876543210);
    ck_assert(sk_slice_eq(sk_read_block(&r), SK_SLICE("hello")));
    ck_assert(sk_slice_eq(sk_read_block(&r), SK_EMPTY));
    ck_assert(!r.failed);
    ck_assert_uint_eq(sk_reader_left(&r), 0);
    sk_buffer_done(&b);
}
END_TEST

/* Cut after every byte: the reader fails, stays failed, and never leaves its bytes. */
START_TEST(a_reader_never_runs_past_its_end)
{
    static const uint8_t whole[] = {7, 3, 0, 0, 0, 'a', 'b', 'c', 9, 0};
    for (size_t keep = 0; keep <= sizeof whole; keep++) {
        uint8_t *bytes = malloc(keep ? keep : 1); /* so that the sanitizer sees an overrun */
        ck_assert_ptr_nonnull(bytes);
        memcpy(bytes, whole, keep);
        struct sk_reader r = sk_reader_of(sk_slice_of(bytes, keep));
        sk_read_u8(&r);
        struct sk_slice block = sk_read_block(&r);
        uint16_t last = sk_read_u16(&r);
        ck_assert_int_eq(r.failed, keep < sizeof whole);
        ck_assert_uint_eq(last, r.failed ? 0 : 9);
        ck_assert_uint_eq(block.len, keep >= 8 ? 3 : 0);
        if (r.failed) ck_assert_uint_eq(sk_read_bytes(&r, 1).len, 0);
        free(bytes);
    }
    struct sk_reader empty = sk_reader_of(SK_EMPTY);
    ck_assert_uint_eq(sk_read_u64(&empty), 0);
    ck_assert(empty.failed);
}
END_TEST

START_TEST(a_block_that_claims_too_much_is_refused)
{
    struct sk_reader r = sk_reader_of(sk_slice_of("\xff\xff\xff\xff"
                                                  "abc",
                                                  7));
    ck_assert_uint_eq(sk_read_block(&r).len, 0);
    ck_assert(r.failed);
}
END_TEST

/* --- checksum
 * --------------------------------------------------------------------------------------- */

/* RFC 3720 B.4, and the check value of the catalogue of CRCs. */
START_TEST(crc32c_gives_the_known_answers)
{
    uint8_t block[32];
    ck_assert_uint_eq(sk_crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(sk_crc32c(0, "", 0), 0);
    ck_assert_uint_eq(sk_crc32(0, "123456789", 9), 0xcbf43926);
    ck_assert_uint_eq(sk_crc32(sk_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
    memset(block, 0, sizeof block);
    ck_assert_uint_eq(sk_crc32c(0, block, 32), 0x8a9136aa);
    memset(block, 0xff, sizeof block);
    ck_assert_uint_eq(sk_crc32c(0, block, 32), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++) block[i] = i;
    ck_assert_uint_eq(sk_crc32c(0, block, 32), 0x46dd794e);
}
END_TEST

START_TEST(crc32c_can_be_continued_anywhere)
{
    uint8_t bytes[257];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37);
    uint32_t whole = sk_crc32c(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++)
        ck_assert_uint_eq(sk_crc32c(sk_crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut),
                          whole);
}
END_TEST

static Suite *values_suite(void)
{
    Suite *suite = suite_create("base/values");
    TCase *tc = tcase_create("values");
    tcase_add_test(tc, a_status_gains_context_and_keeps_its_code);
    tcase_add_loop_test(tc, system_errors_become_codes, 0, ROWS(errors));
    tcase_add_test(tc, a_cut_detail_ends_between_characters);
    tcase_add_test(tc, every_code_has_a_name_and_a_sentence);
    tcase_add_test(tc, text_is_utf8_without_a_nul);
    tcase_add_test(tc, what_is_put_is_read_back);
    tcase_add_test(tc, a_reader_never_runs_past_its_end);
    tcase_add_test(tc, a_block_that_claims_too_much_is_refused);
    tcase_add_test(tc, crc32c_gives_the_known_answers);
    tcase_add_test(tc, crc32c_can_be_continued_anywhere);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(values_suite)
