/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "tests/unit/harness.h"

static void
assert_prints(const struct dpc_json *root, bool pretty, const char *expected)
{
    char *text = dpc_json_print(root, pretty);
    CU_ASSERT_STRING_EQUAL(text, expected);
    dpc_free(text);
}

static struct dpc_json *
parse(const char *text)
{
    struct dpc_json *root = NULL;
    CU_ASSERT_EQUAL_FATAL(dpc_json_parse(text, strlen(text), &root, NULL), DPC_OK);
    return root;
}

static void
prints_keys_in_order_and_numbers_short(void)
{
    struct dpc_json *root = dpc_json_object(), *list = dpc_json_array();
    dpc_json_set_text(root, "z", "one \"two\"\n\t\\");
    dpc_json_set_integer(root, "a", -9007199254740993);
    dpc_json_set_number(root, "ppl", 0.1);
    dpc_json_set_number(root, "steps", 60);
    dpc_json_set_bool(root, "on", true);
    dpc_json_append_text(list, "x");
    dpc_json_append_number(list, 1e-8);
    dpc_json_append(list, dpc_json_object());
    dpc_json_append(list, NULL);
    dpc_json_set(root, "list", list);
    assert_prints(root, false,
                  "{\"z\":\"one \\\"two\\\"\\n\\t\\\\\",\"a\":-9007199254740993,\"ppl\":0.1,"
                  "\"steps\":60.0,\"on\":true,\"list\":[\"x\",1e-08,{},null]}");
    dpc_json_destroy(root);
}

static void
prints_indented(void)
{
    struct dpc_json *root = parse("{\"a\":[1,{\"b\":[]}],\"c\":{}}");
    assert_prints(root, true,
                  "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": {}\n}");
    dpc_json_destroy(root);
}

static void
what_would_draw_on_a_terminal_is_escaped(void)
{
    struct dpc_json *root = dpc_json_array();
    dpc_json_append_text(root, "\r\x1B[2J\x7F");
    dpc_json_append_text(root, "\xC2\x9B"
                               "2J\xC2\xA0");
    dpc_json_append_text(root, "\xE2\x80\xAE\xE2\x82\xAC\xF0\x9F\x98\x80");
    assert_prints(root, false,
                  "[\"\\u000d\\u001b[2J\\u007f\",\"\\u009b2J\xC2\xA0\","
                  "\"\\u202e\xE2\x82\xAC\xF0\x9F\x98\x80\"]");
    dpc_json_destroy(root);
}

static void
numbers_that_are_not_finite_become_null(void)
{
    struct dpc_json *root = dpc_json_array();
    dpc_json_append_number(root, NAN);
    dpc_json_append_number(root, INFINITY);
    dpc_json_append_number(root, -INFINITY);
    assert_prints(root, false, "[null,null,null]");
    dpc_json_destroy(root);
}

static void
every_double_reads_back_the_same(void)
{
    static const double values[] = {0.1,
                                    1.0 / 3.0,
                                    7.0899999999999999,
                                    1e300,
                                    5e-324,
                                    123456789.125,
                                    1e15,
                                    1e16,
                                    -2.5,
                                    0.0,
                                    1e-5,
                                    314159.26535897931,
                                    1e22,
                                    123456789012345678.0,
                                    0.7};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct dpc_json *root = dpc_json_array();
        dpc_json_append_number(root, values[i]);
        char *text = dpc_json_print(root, false);
        struct dpc_json *again = parse(text);
        CU_ASSERT_EQUAL(dpc_json_number(dpc_json_at(again, 0), -1), values[i]);
        dpc_free(text);
        dpc_json_destroy(root);
        dpc_json_destroy(again);
    }
}

/* A byte model may generate any bytes; the report must stay JSON. */
static void
text_that_is_no_utf8_is_mended(void)
{
    static const struct {
        const char *text, *printed;
    } rows[] = {
        {"gr\xC3\xBC\xC3\x9F"
         "e",
         "\"gr\xC3\xBC\xC3\x9F"
         "e\""},
        {"a\xFF"
         "b",
         "\"a\xEF\xBF\xBD"
         "b\""},
        {"cut \xC3", "\"cut \xEF\xBF\xBD\""},
        {"\xC0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\xF0\x9F\x98\x80 \xE2\x82", "\"\xF0\x9F\x98\x80 \xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dpc_json *root = dpc_json_array();
        dpc_json_append_text(root, rows[i].text);
        char *text = dpc_json_print(root, false);
        char *expected = dpc_format("[%s]", rows[i].printed);
        CU_ASSERT_STRING_EQUAL(text, expected);
        dpc_json_destroy(parse(text));
        dpc_free(text);
        dpc_free(expected);
        dpc_json_destroy(root);
    }
}

static void
reads_values_by_type_with_a_fallback(void)
{
    struct dpc_json *root =
        parse("{\"t\":\"x\",\"i\":7,\"r\":1.5,\"b\":true,\"n\":null,\"l\":[4,5]}");
    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(root, "t"), "-"), "x");
    CU_ASSERT_EQUAL(dpc_json_integer(dpc_json_get(root, "i"), -1), 7);
    CU_ASSERT_EQUAL(dpc_json_number(dpc_json_get(root, "i"), -1), 7.0);
    CU_ASSERT_EQUAL(dpc_json_number(dpc_json_get(root, "r"), -1), 1.5);
    CU_ASSERT_TRUE(dpc_json_bool(dpc_json_get(root, "b"), false));
    CU_ASSERT_EQUAL(dpc_json_count(dpc_json_get(root, "l")), 2);
    CU_ASSERT_EQUAL(dpc_json_integer(dpc_json_at(dpc_json_get(root, "l"), 1), -1), 5);

    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(root, "i"), "-"), "-");
    CU_ASSERT_EQUAL(dpc_json_integer(dpc_json_get(root, "r"), -1), -1);
    CU_ASSERT_EQUAL(dpc_json_number(dpc_json_get(root, "t"), -1), -1);
    CU_ASSERT_TRUE(dpc_json_bool(dpc_json_get(root, "n"), true));
    CU_ASSERT_PTR_NULL(dpc_json_at(dpc_json_get(root, "l"), 2));
    CU_ASSERT_PTR_NULL(dpc_json_get(dpc_json_get(root, "missing"), "deeper"));
    CU_ASSERT_EQUAL(dpc_json_count(NULL), 0);
    CU_ASSERT_EQUAL(dpc_json_integer(NULL, 3), 3);
    CU_ASSERT_STRING_EQUAL(dpc_json_text(NULL, "none"), "none");
    dpc_json_destroy(root);
}

struct order {
    const char *const *keys;
    int64_t found;
};

static bool
check_key(void *context, const char *key, const struct dpc_json *value)
{
    struct order *order = context;
    CU_ASSERT_STRING_EQUAL(key, order->keys[order->found++]);
    CU_ASSERT_EQUAL(dpc_json_integer(value, -1), order->found);
    return order->found < 2;
}

static void
keys_come_in_order(void)
{
    struct dpc_json *root = parse("{\"z\":1,\"a\":2,\"m\":3}");
    static const char *const keys[] = {"z", "a"};
    struct order order = {.keys = keys};
    dpc_json_each(root, check_key, &order);
    CU_ASSERT_EQUAL(order.found, 2); /* no further than it was asked for */
    dpc_json_destroy(root);
}

static void
text_may_hold_zero_bytes(void)
{
    struct dpc_json *root = parse("[\"a\\u0000b\"]");
    size_t len;
    const char *text = dpc_json_text_bytes(dpc_json_at(root, 0), &len);
    CU_ASSERT_EQUAL_FATAL(len, 3);
    CU_ASSERT_EQUAL(memcmp(text, "a\0b", 3), 0);
    assert_prints(root, false, "[\"a\\u0000b\"]");
    CU_ASSERT_PTR_NULL(dpc_json_text_bytes(root, &len));
    CU_ASSERT_EQUAL(len, 0);
    dpc_json_destroy(root);
}

static void
bad_input_is_an_error_with_its_place(void)
{
    static const char *const rows[] = {"", "{", "{\"a\":}", "[1,]", "[1] 2", "\"\xFF\"", "[1e999]"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dpc_json *root = NULL;
        struct dpc_error err = {0};
        CU_ASSERT_EQUAL(dpc_json_parse(rows[i], strlen(rows[i]), &root, &err), DPC_EPARSE);
        CU_ASSERT_PTR_NULL(root);
    }
    struct dpc_json *root;
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_json_parse("{\n\"a\": 1,\n}", 11, &root, &err), DPC_EPARSE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "line 3, column 1"));
}

static void
integers_of_any_size_are_reals_where_asked(void)
{
    static const char text[] = "[18446744073709551615, -99999999999999999999, 7]";
    struct dpc_json *root;
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_json_parse(text, sizeof text - 1, &root, &err), DPC_EPARSE);
    CU_ASSERT_EQUAL_FATAL(dpc_json_parse_reals(text, sizeof text - 1, &root, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_json_number(dpc_json_at(root, 0), 0), 18446744073709551615.0);
    CU_ASSERT_EQUAL(dpc_json_number(dpc_json_at(root, 1), 0), -99999999999999999999.0);
    CU_ASSERT_EQUAL(dpc_json_number(dpc_json_at(root, 2), 0), 7.0);
    dpc_json_destroy(root);
}

static void
a_key_that_stands_twice_is_refused_where_asked(void)
{
    static const char text[] = "{\"a\": {\"b\": 1, \"b\": 2}}";
    struct dpc_json *root;
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_json_parse_unique(text, sizeof text - 1, &root, &err), DPC_EPARSE);
    CU_ASSERT_EQUAL_FATAL(dpc_json_parse(text, sizeof text - 1, &root, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_json_integer(dpc_json_get(dpc_json_get(root, "a"), "b"), 0), 2);
    dpc_json_destroy(root);
}

/* Stops at the second. */
static bool
visit(void *context, const char *key, const struct dpc_json *value)
{
    struct dpc_buf *seen = context;
    dpc_buf_printf(seen, "%s%lld", key, (long long)dpc_json_integer(value, 0));
    return strcmp(key, "a") != 0;
}

static void
each_key_is_visited_in_order_until_told_to_stop(void)
{
    struct dpc_json *root = parse("{\"z\":1,\"a\":2,\"m\":3}");
    struct dpc_buf seen;
    dpc_buf_init(&seen, 0);
    dpc_json_each(root, visit, &seen);
    dpc_json_each(NULL, visit, &seen);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&seen), "z1a2");
    dpc_buf_done(&seen);
    dpc_json_destroy(root);
}

static void
kinds_are_told_apart(void)
{
    struct dpc_json *root = parse("[{}, [], null, 7]");
    CU_ASSERT_TRUE(dpc_json_is_array(root));
    CU_ASSERT_TRUE(dpc_json_is_object(dpc_json_at(root, 0)));
    CU_ASSERT_TRUE(dpc_json_is_array(dpc_json_at(root, 1)));
    CU_ASSERT_TRUE(dpc_json_is_null(dpc_json_at(root, 2)));
    CU_ASSERT_FALSE(dpc_json_is_object(dpc_json_at(root, 3)));
    CU_ASSERT_FALSE(dpc_json_is_array(NULL) || dpc_json_is_object(NULL) || dpc_json_is_null(NULL));
    dpc_json_destroy(root);
}

static void
deep_nesting_is_refused(void)
{
    enum { DEPTH = 100000 };
    char *text = dpc_alloc(DEPTH, 1);
    struct dpc_json *root;
    memset(text, '[', DEPTH);
    CU_ASSERT_EQUAL(dpc_json_parse(text, DEPTH, &root, NULL), DPC_EPARSE);
    dpc_free(text);
}

static void
a_copy_is_a_tree_of_its_own(void)
{
    struct dpc_json *root = dpc_json_array(), *object = dpc_json_object();
    dpc_json_set_integer(object, "n", 7);
    dpc_json_append(root, object);
    struct dpc_json *copy = dpc_json_copy(dpc_json_at(root, 0));
    dpc_json_destroy(root);
    CU_ASSERT_EQUAL(dpc_json_integer(dpc_json_get(copy, "n"), 0), 7);
    dpc_json_destroy(copy);
}

static const struct dpc_test tests[] = {
    {"a copy is a tree of its own", a_copy_is_a_tree_of_its_own},
    {"integers of any size are reals where asked", integers_of_any_size_are_reals_where_asked},
    {"a key that stands twice is refused where asked",
     a_key_that_stands_twice_is_refused_where_asked},
    {"each key is visited in order until told to stop",
     each_key_is_visited_in_order_until_told_to_stop},
    {"kinds are told apart", kinds_are_told_apart},
    {"prints keys in order and numbers short", prints_keys_in_order_and_numbers_short},
    {"prints indented", prints_indented},
    {"what would draw on a terminal is escaped", what_would_draw_on_a_terminal_is_escaped},
    {"numbers that are not finite become null", numbers_that_are_not_finite_become_null},
    {"every double reads back the same", every_double_reads_back_the_same},
    {"text that is no UTF-8 is mended", text_that_is_no_utf8_is_mended},
    {"reads values by type with a fallback", reads_values_by_type_with_a_fallback},
    {"keys come in order", keys_come_in_order},
    {"text may hold zero bytes", text_may_hold_zero_bytes},
    {"bad input is an error with its place", bad_input_is_an_error_with_its_place},
    {"deep nesting is refused", deep_nesting_is_refused},
};
DPC_TEST_MAIN("base/json", tests)
