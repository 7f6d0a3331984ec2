/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include <string.h>

#include "tests/unit/harness.h"

static void
table(void)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        {"", true},
        {"plain", true},
        {"żółć – ü €", true},
        {"\xF0\x9F\x98\x80", true},
        {"\xED\x9F\xBF", true},
        {"\xF4\x8F\xBF\xBF", true},
        {"caf\xE9", false},          /* Latin-1 */
        {"\xC0\xAF", false},         /* overlong */
        {"\xE0\x80\xAF", false},     /* overlong */
        {"\xED\xA0\x80", false},     /* surrogate */
        {"\xF4\x90\x80\x80", false}, /* above the last */
        {"\xF0\x9F\x98", false},     /* cut off */
        {"\xC3", false},             /* cut off */
        {"\x80", false},             /* no first byte */
        {"\xE2\x82\x28", false},     /* third byte */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CU_ASSERT_EQUAL(dpc_utf8_valid((const uint8_t *)rows[i].text, strlen(rows[i].text)),
                        rows[i].valid);
}

static void
controls(void)
{
    static const struct {
        const char *text;
        bool control;
    } rows[] = {
        {"\x1B", true},
        {"\n", true},
        {"\x7F", true},
        {"\xC2\x80", true},
        {"\xC2\x9F", true},
        {"\xC2\xA0", false},
        {"\xC3\x80", false},
        {"\xE2\x80\xA9", false},
        {"\xE2\x80\xAA", true},
        {"\xE2\x80\xAE", true},
        {"\xE2\x80\xAF", false},
        {"\xE2\x81\xA5", false},
        {"\xE2\x81\xA6", true},
        {"\xE2\x81\xA9", true},
        {"\xE2\x81\xAA", false},
        {"\xE3\x80\xAE", false},
        {" ", false},
        {"\xF0\x9F\x98\x80", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CU_ASSERT_EQUAL(dpc_utf8_is_control((const uint8_t *)rows[i].text, strlen(rows[i].text)),
                        rows[i].control);
}

static void
mending(void)
{
    static const char broken[] = "a\0\t\x1B\xFF\xC3\xBC\xE2\x82";
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    dpc_utf8_mend(broken, sizeof broken - 1, &out);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&out),
                           "a" DPC_UTF8_REPLACEMENT "\t\x1B" DPC_UTF8_REPLACEMENT
                           "\xC3\xBC" DPC_UTF8_REPLACEMENT DPC_UTF8_REPLACEMENT);
    dpc_buf_done(&out);
}

static const struct dpc_test tests[] = {
    {"table", table}, {"controls", controls}, {"mending", mending}};
DPC_TEST_MAIN("base/utf8", tests)
