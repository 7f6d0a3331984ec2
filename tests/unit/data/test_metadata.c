/* SPDX-License-Identifier: Apache-2.0 */
#include "data/metadata.h"

#include "data/tokens.h"
#include "tests/unit/data/temp.h"

static int
load(const char *text, const char *field, struct dpc_metadata **ret_metadata, struct dpc_error *err)
{
    struct temp temp;
    temp_make(&temp);
    temp_write(&temp, DPC_METADATA_FILE, text, strlen(text));
    int code = dpc_metadata_load(temp.folder, field, 4, ret_metadata, err);
    temp_remove(&temp);
    return code;
}

static void
values_are_numbered_as_they_appear(void)
{
    struct dpc_metadata *metadata;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(load("id\tkind\tlanguage\n2\tman\tpl\n0\tman\tde\n3\tweb\tpl\tmore\n",
                               "language", &metadata, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL(dpc_metadata_values(metadata), 2);
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 2), 0);
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 3), 0);
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 0), 1);
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 1), DPC_METADATA_MISSING);
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 4), DPC_METADATA_MISSING);
    dpc_metadata_destroy(metadata);
}

/* As spreadsheets save it. The last column was not found, by a name that looks like its own. */
static void
a_mark_and_carriage_returns_are_no_text(void)
{
    struct dpc_metadata *metadata;
    struct dpc_error err = {0};
    int code = load("\xEF\xBB\xBF"
                    "id\tlanguage\r\n0\tde\r\n1\tpl\r\n2\t\r\n3\tde",
                    "language", &metadata, &err);
    CU_ASSERT_STRING_EQUAL(err.text, "");
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
    CU_ASSERT_EQUAL(dpc_metadata_values(metadata), 2);
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 0), 0);
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 1), 1);
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 2), DPC_METADATA_MISSING);
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 3), 0);
    dpc_metadata_destroy(metadata);
}

static void
what_is_wrong_is_named(void)
{
    static const struct {
        const char *text;
        int code;
        const char *words;
    } cases[] = {
        {"", DPC_ENOTFOUND, "no column \"language\""},
        {"id\tkind\n0\tman\n", DPC_ENOTFOUND, "no column \"language\""},
        {"language\tid\nde\t0\n", DPC_ENOTFOUND, "first line must be id"},
        {"id\tlanguage\n0\tde\n9\tde\n", DPC_EPARSE, "line 3, begins with no number"},
        {"id\tlanguage\nzero\tde\n", DPC_EPARSE, "line 2, begins with no number"},
        {"id\tlanguage\n0x\tde\n", DPC_EPARSE, "line 2, begins with no number"},
        {"id\tlanguage\n-0\tde\n", DPC_EPARSE, "line 2, begins with no number"},
        {"id\tlanguage\n-18446744073709551615\tde\n", DPC_EPARSE, "begins with no number"},
        {"id\tlanguage\n\t1\n", DPC_EPARSE, "line 2, begins with no number"},
        {"id\tlanguage\n1\tde\n1\tde\n1\tpl\n", DPC_EPARSE,
         "line 4, gives document 1 another \"language\""},
    };
    struct dpc_metadata *metadata;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dpc_error err = {0};
        CU_ASSERT_EQUAL(load(cases[i].text, "language", &metadata, &err), cases[i].code);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, cases[i].words));
    }
}

static void
a_file_with_a_zero_byte_is_refused(void)
{
    static const char text[] = "id\tlanguage\n0\tde\n\0\n1\ten\n";
    struct temp temp;
    struct dpc_metadata *metadata;
    struct dpc_error err = {0};
    temp_make(&temp);
    temp_write(&temp, DPC_METADATA_FILE, text, sizeof text - 1);
    CU_ASSERT_EQUAL(dpc_metadata_load(temp.folder, "language", 2, &metadata, &err), DPC_EPARSE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "zero byte"));
    temp_remove(&temp);
}

static void
the_file_is_found_beside_the_token_file(void)
{
    struct temp temp;
    struct dpc_metadata *metadata;
    struct dpc_error err = {0};
    temp_make(&temp);
    CU_ASSERT_EQUAL(dpc_metadata_load(temp.folder, "language", 1, &metadata, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "which routing.init: metadata needs"));
    temp_write(&temp, DPC_METADATA_FILE, "id\tlanguage\n0\tde", 16);
    CU_ASSERT_EQUAL_FATAL(
        dpc_metadata_load(temp_path(&temp, DPC_TOKENS_FILE), "language", 1, &metadata, &err),
        DPC_OK);
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 0), 0);
    dpc_metadata_destroy(metadata);
    temp_remove(&temp);
    CU_ASSERT_EQUAL(dpc_metadata_load(DPC_TOKENS_FILE, "language", 1, &metadata, &err),
                    DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "\"./" DPC_METADATA_FILE "\""));
}

static const struct dpc_test tests[] = {
    {"values are numbered as they appear", values_are_numbered_as_they_appear},
    {"a mark and carriage returns are no text", a_mark_and_carriage_returns_are_no_text},
    {"what is wrong is named", what_is_wrong_is_named},
    {"a file with a zero byte is refused", a_file_with_a_zero_byte_is_refused},
    {"the file is found beside the token file", the_file_is_found_beside_the_token_file},
};
DPC_TEST_MAIN("data/metadata", tests)
