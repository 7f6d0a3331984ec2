/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"

static const char *
clean(const char *bytes, size_t len)
{
    static char text[256];
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    dpc_text_clean(bytes, len, &out);
    snprintf(text, sizeof text, "%s", dpc_buf_text(&out));
    dpc_buf_done(&out);
    return text;
}

#define CLEAN(literal) clean(literal, sizeof(literal) - 1)
#define BROKEN         "\xEF\xBF\xBD"

static void
test_clean(void)
{
    CU_ASSERT_STRING_EQUAL(CLEAN("plain\ntext"), "plain\ntext");
    CU_ASSERT_STRING_EQUAL(CLEAN("z\xC3\xBC \xE2\x82\xAC \xF0\x9F\x98\x80"),
                           "z\xC3\xBC \xE2\x82\xAC \xF0\x9F\x98\x80");
    CU_ASSERT_STRING_EQUAL(CLEAN("a\x1B[2Jb\rc\x07\x7F"), "a[2Jbc");
    CU_ASSERT_STRING_EQUAL(CLEAN("a\0b"), "ab");
    CU_ASSERT_STRING_EQUAL(CLEAN("a\tb"), "a b");
    CU_ASSERT_STRING_EQUAL(CLEAN("\xC2\x9B"
                                 "31m"),
                           "31m"); /* C1: an escape of one character */
    CU_ASSERT_STRING_EQUAL(CLEAN("a\xE2\x80\xAE"
                                 "b\xE2\x81\xA9"),
                           "ab"); /* an override and the end of an isolate */
    CU_ASSERT_STRING_EQUAL(CLEAN("\xFF"), BROKEN);
    CU_ASSERT_STRING_EQUAL(CLEAN("\xC3"), BROKEN);
    CU_ASSERT_STRING_EQUAL(CLEAN("\xC0\xAF"), BROKEN BROKEN);            /* overlong */
    CU_ASSERT_STRING_EQUAL(CLEAN("\xED\xA0\x80"), BROKEN BROKEN BROKEN); /* a surrogate */
    CU_ASSERT_STRING_EQUAL(CLEAN("\xE2\x82x"), BROKEN BROKEN "x");
}

static void
test_cut(void)
{
    CU_ASSERT_EQUAL(dpc_text_cut("", 0), 0);
    CU_ASSERT_EQUAL(dpc_text_cut("abc", 3), 3);
    CU_ASSERT_EQUAL(dpc_text_cut("ab\xC3\xBC", 4), 4);
    CU_ASSERT_EQUAL(dpc_text_cut("ab\xC3\xBC", 3), 2);
    CU_ASSERT_EQUAL(dpc_text_cut("\xE2\x82\xAC", 2), 0);
    CU_ASSERT_EQUAL(dpc_text_cut("a\xF0\x9F\x98\x80", 4), 1);
    CU_ASSERT_EQUAL(dpc_text_cut("\x80\x80\x80\x80", 4), 4); /* no text at all */
}

static void
test_short_forms(void)
{
    char text[DPC_SHORT_TEXT_MAX];
    CU_ASSERT_STRING_EQUAL(dpc_text_bytes(0, text), "0 B");
    CU_ASSERT_STRING_EQUAL(dpc_text_bytes(1023, text), "1023 B");
    CU_ASSERT_STRING_EQUAL(dpc_text_bytes(1536, text), "1.5 KiB");
    CU_ASSERT_STRING_EQUAL(dpc_text_bytes(3.0 * (1 << 30), text), "3.0 GiB");
    CU_ASSERT_STRING_EQUAL(dpc_text_count(999, text), "999");
    CU_ASSERT_STRING_EQUAL(dpc_text_count(12345, text), "12.3k");
    CU_ASSERT_STRING_EQUAL(dpc_text_count(1e15, text), "1000.0T");
    CU_ASSERT_STRING_EQUAL(dpc_text_seconds(59, text), "0:59");
    CU_ASSERT_STRING_EQUAL(dpc_text_seconds(61, text), "1:01");
    CU_ASSERT_STRING_EQUAL(dpc_text_seconds(3661, text), "1:01:01");
    CU_ASSERT_STRING_EQUAL(dpc_text_seconds(NAN, text), "?");
    CU_ASSERT_STRING_EQUAL(dpc_text_seconds(-1, text), "?");
}

/* What `print` writes, in fresh memory of libc. */
static char *
printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    print(out);
    fclose(out);
    return text;
}

static void
print_table(FILE *out)
{
    static const char *const titles[] = {"name", ">count", "last"};
    struct dpc_table *table = dpc_table_create(titles, 3);
    dpc_table_add(table, "z\xC3\xBC");
    dpc_table_add(table, "%d", 7);
    dpc_table_add(table, "x");
    dpc_table_add(table, "evil\x1B[0m");
    dpc_table_add(table, "%d", 1234567);
    dpc_table_add(table, "longer than its title");
    dpc_table_print(table, out);
    dpc_table_destroy(table);
}

static void
test_table(void)
{
    char *text = printed(print_table);
    CU_ASSERT_STRING_EQUAL(text, "name       count  last\n"
                                 "z\xC3\xBC             7  x\n"
                                 "evil[0m  1234567  longer than its title\n");
    dpc_free(text);
}

static const char rows_json[] = "[{\"a\":\"w\",\"b\":1500,\"c\":true,\"d\":[\"x\",\"y\"],\"e\":"
                                "null,\"h\":\"0123456789abcdef\"},"
                                " {\"a\":\"\",\"b\":3,\"d\":[],\"e\":0.25}]";

static void
print_listing(FILE *out)
{
    static const struct dpc_column columns[] = {
        {"a", "a", DPC_CELL_TEXT}, {">b", "b", DPC_CELL_COUNT},  {"c", "c", DPC_CELL_YES},
        {"d", "d", DPC_CELL_LIST}, {">e", "e", DPC_CELL_NUMBER}, {"h", "h", DPC_CELL_HASH},
    };
    struct dpc_json *rows = NULL;
    if (dpc_json_parse(rows_json, sizeof rows_json - 1, &rows, NULL) == DPC_OK)
        dpc_listing_print(rows, columns, sizeof columns / sizeof *columns, out);
    dpc_json_destroy(rows);
}

static void
test_listing(void)
{
    char *text = printed(print_listing);
    CU_ASSERT_STRING_EQUAL(text, "a     b  c    d         e  h\n"
                                 "w  1.5k  yes  x y       -  0123456789ab\n"
                                 "-     3  no   -    0.2500  -\n");
    dpc_free(text);
}

static const struct dpc_test tests[] = {
    {"text is made safe for a terminal", test_clean}, {"text is cut between characters", test_cut},
    {"short forms of numbers", test_short_forms},     {"a table is aligned", test_table},
    {"a listing shows what is there", test_listing},
};
DPC_TEST_MAIN("cli/text", tests)
