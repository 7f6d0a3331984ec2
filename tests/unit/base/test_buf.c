/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/harness.h"

static void
integers_are_little_endian(void)
{
    static const uint8_t expected[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
                                       0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F};
    struct dpc_buf buf;
    dpc_buf_init(&buf, 0);
    dpc_buf_put_u8(&buf, 0x01);
    dpc_buf_put_u16(&buf, 0x0302);
    dpc_buf_put_u32(&buf, 0x07060504);
    dpc_buf_put_u64(&buf, 0x0F0E0D0C0B0A0908);
    CU_ASSERT_EQUAL_FATAL(buf.len, sizeof expected);
    CU_ASSERT_EQUAL(memcmp(buf.data, expected, sizeof expected), 0);
    dpc_buf_done(&buf);
}

/* One of everything. */
static void
put_all(struct dpc_buf *buf)
{
    dpc_buf_put_u8(buf, 200);
    dpc_buf_put_u16(buf, 60000);
    dpc_buf_put_u32(buf, 4000000000u);
    dpc_buf_put_u64(buf, UINT64_MAX - 1);
    dpc_buf_put_f64(buf, -1.0 / 3.0);
    dpc_buf_put_block(buf, "a\0b", 3);
    dpc_buf_put_block(buf, "text", 4);
    dpc_buf_put(buf, "raw", 3);
}

static void
what_was_put_is_read_again(void)
{
    struct dpc_buf buf;
    struct dpc_reader reader;
    size_t len;
    char text[8];
    dpc_buf_init(&buf, 0);
    put_all(&buf);
    dpc_reader_init(&reader, buf.data, buf.len);
    CU_ASSERT_EQUAL(dpc_reader_u8(&reader), 200);
    CU_ASSERT_EQUAL(dpc_reader_u16(&reader), 60000);
    CU_ASSERT_EQUAL(dpc_reader_u32(&reader), 4000000000u);
    CU_ASSERT_EQUAL(dpc_reader_u64(&reader), UINT64_MAX - 1);
    CU_ASSERT_EQUAL(dpc_reader_f64(&reader), -1.0 / 3.0);
    const uint8_t *block = dpc_reader_block(&reader, &len);
    CU_ASSERT(len == 3 && memcmp(block, "a\0b", 3) == 0);
    dpc_reader_text(&reader, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "text");
    CU_ASSERT_EQUAL(dpc_reader_finish(&reader), DPC_ECORRUPT); /* three bytes are left */
    CU_ASSERT_EQUAL(memcmp(dpc_reader_bytes(&reader, 3), "raw", 3), 0);
    CU_ASSERT_EQUAL(dpc_reader_finish(&reader), DPC_OK);
    dpc_buf_done(&buf);
}

/* Every cut of a record is seen, and no read passes the cut (the sanitizer watches the copy). */
static void
truncated_input_fails_at_every_length(void)
{
    struct dpc_buf buf;
    dpc_buf_init(&buf, 0);
    put_all(&buf);
    for (size_t cut = 0; cut < buf.len; cut++) {
        struct dpc_buf copy;
        struct dpc_reader reader;
        size_t len;
        char text[8];
        dpc_buf_init(&copy, 0);
        dpc_buf_put(&copy, buf.data, cut);
        dpc_reader_init(&reader, copy.data, copy.len);
        (void)dpc_reader_u8(&reader);
        (void)dpc_reader_u16(&reader);
        (void)dpc_reader_u32(&reader);
        (void)dpc_reader_u64(&reader);
        (void)dpc_reader_f64(&reader);
        (void)dpc_reader_block(&reader, &len);
        dpc_reader_text(&reader, text, sizeof text);
        (void)dpc_reader_bytes(&reader, 3);
        CU_ASSERT_TRUE(reader.failed);
        CU_ASSERT_EQUAL(dpc_reader_finish(&reader), DPC_ECORRUPT);
        dpc_buf_done(&copy);
    }
    dpc_buf_done(&buf);
}

static void
a_failed_reader_gives_zeros(void)
{
    struct dpc_reader reader;
    size_t len = 99;
    char text[4] = "abc";
    dpc_reader_init(&reader, "\xFF\xFF\xFF", 3);
    CU_ASSERT_EQUAL(dpc_reader_u32(&reader), 0);
    CU_ASSERT_EQUAL(dpc_reader_u8(&reader), 0); /* although three bytes are left */
    CU_ASSERT_PTR_NULL(dpc_reader_block(&reader, &len));
    CU_ASSERT_EQUAL(len, 0);
    dpc_reader_text(&reader, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "");
}

static void
a_length_beyond_the_input_fails(void)
{
    struct dpc_reader reader;
    size_t len;
    dpc_reader_init(&reader, "\xFF\xFF\xFF\xFFxyz", 7);
    CU_ASSERT_PTR_NULL(dpc_reader_block(&reader, &len));
    CU_ASSERT_TRUE(reader.failed);
}

static void
bad_texts_fail(void)
{
    struct dpc_buf buf;
    struct dpc_reader reader;
    char text[5];
    dpc_buf_init(&buf, 0);
    dpc_buf_put_block(&buf, "12345", 5); /* one byte too long */
    dpc_reader_init(&reader, buf.data, buf.len);
    dpc_reader_text(&reader, text, sizeof text);
    CU_ASSERT_TRUE(reader.failed);
    dpc_buf_reset(&buf);
    dpc_buf_put_block(&buf, "a\0b", 3);
    dpc_reader_init(&reader, buf.data, buf.len);
    dpc_reader_text(&reader, text, sizeof text);
    CU_ASSERT_TRUE(reader.failed);
    dpc_buf_reset(&buf);
    dpc_buf_put_block(&buf, "1234", 4); /* just fits */
    dpc_reader_init(&reader, buf.data, buf.len);
    dpc_reader_text(&reader, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "1234");
    CU_ASSERT_EQUAL(dpc_reader_finish(&reader), DPC_OK);
    dpc_buf_done(&buf);
}

static void
a_full_buffer_fails_and_stays_as_it_was(void)
{
    struct dpc_buf buf;
    dpc_buf_init(&buf, 6);
    dpc_buf_put(&buf, "1234", 4);
    CU_ASSERT_FALSE(buf.failed);
    dpc_buf_put_block(&buf, "x", 1); /* the length alone would fit no more either */
    CU_ASSERT_TRUE(buf.failed);
    CU_ASSERT_EQUAL(buf.len, 4);
    dpc_buf_put_u8(&buf, 1); /* would fit, but something before it is missing */
    CU_ASSERT_EQUAL(buf.len, 4);
    dpc_buf_reset(&buf);
    CU_ASSERT_FALSE(buf.failed);
    dpc_buf_put_u16(&buf, 1);
    dpc_buf_put_block(&buf, "x", 1); /* its length fits, its byte does not */
    CU_ASSERT_TRUE(buf.failed);
    CU_ASSERT_EQUAL(buf.len, 2);
    dpc_buf_reset(&buf);
    dpc_buf_put(&buf, "123456", 6);
    CU_ASSERT_FALSE(buf.failed);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&buf), "123456");
    dpc_buf_done(&buf);
}

static void
it_grows_and_formats(void)
{
    struct dpc_buf buf;
    dpc_buf_init(&buf, 0);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&buf), "");
    for (int i = 0; i < 10000; i++)
        dpc_buf_printf(&buf, "%d,", i % 10);
    CU_ASSERT_EQUAL(buf.len, 20000);
    CU_ASSERT_EQUAL(strncmp(dpc_buf_text(&buf) + 19990, "5,6,7,8,9,", 11), 0);
    dpc_buf_done(&buf);
    CU_ASSERT_EQUAL(buf.len, 0);
}

/* dpc_buf_text of an empty buffer made one of one byte, which then never grew. */
static void
it_grows_behind_an_empty_text(void)
{
    struct dpc_buf buf;
    dpc_buf_init(&buf, 0);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&buf), "");
    dpc_buf_put(&buf, "12345", 5);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&buf), "12345");
    dpc_buf_done(&buf);
}

static void
reals_are_short_and_exact(void)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {{0.1, "0.1"},
                {60, "60"},
                {1e-8, "1e-08"},
                {10000, "10000"},
                {-2.5, "-2.5"},
                {0, "0"},
                {1e300, "1e+300"},
                {0.0001, "0.0001"},
                {123456789, "123456789"},
                {1.0 / 3.0, "0.3333333333333333"},
                {0x1.fffffffffffffp1023, "1.7976931348623157e+308"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dpc_buf buf;
        dpc_buf_init(&buf, 0);
        dpc_buf_put_real(&buf, rows[i].value);
        CU_ASSERT_STRING_EQUAL(dpc_buf_text(&buf), rows[i].text);
        CU_ASSERT_EQUAL(strtod(dpc_buf_text(&buf), NULL), rows[i].value);
        dpc_buf_done(&buf);
    }
}

/* Clang's sanitizer stops where 0 is added to NULL. */
static void
nothing_is_read_of_nothing(void)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, NULL, 0);
    CU_ASSERT_EQUAL(dpc_reader_finish(&reader), DPC_OK);
    CU_ASSERT_EQUAL(dpc_reader_u8(&reader), 0);
    CU_ASSERT_TRUE(reader.failed);
}

static const struct dpc_test tests[] = {
    {"integers are little-endian", integers_are_little_endian},
    {"what was put is read again", what_was_put_is_read_again},
    {"truncated input fails at every length", truncated_input_fails_at_every_length},
    {"a failed reader gives zeros", a_failed_reader_gives_zeros},
    {"a length beyond the input fails", a_length_beyond_the_input_fails},
    {"nothing is read of nothing", nothing_is_read_of_nothing},
    {"bad texts fail", bad_texts_fail},
    {"a full buffer fails and stays as it was", a_full_buffer_fails_and_stays_as_it_was},
    {"it grows and formats", it_grows_and_formats},
    {"it grows behind an empty text", it_grows_behind_an_empty_text},
    {"reals are short and exact", reals_are_short_and_exact},
};
DPC_TEST_MAIN("base/buf", tests)
