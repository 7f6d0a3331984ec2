/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml.h"

#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "tests/unit/harness.h"

static void
a_tree_has_kinds_texts_and_lines(void)
{
    static const char text[] = "a: 1\nb:\n  - x\n  - 'y'\n  - {c: }\n";
    struct dpc_yaml *yaml;
    CU_ASSERT_EQUAL_FATAL(dpc_yaml_parse("f", text, strlen(text), &yaml, NULL), DPC_OK);
    const struct dpc_yaml_node *root = dpc_yaml_root(yaml);
    CU_ASSERT_EQUAL(dpc_yaml_kind(root), DPC_YAML_MAP);
    CU_ASSERT_EQUAL(dpc_yaml_count(root), 2);
    CU_ASSERT_PTR_NULL(dpc_yaml_text(root));
    CU_ASSERT_STRING_EQUAL(dpc_yaml_text(dpc_yaml_key_at(yaml, root, 1)), "b");
    CU_ASSERT_STRING_EQUAL(dpc_yaml_text(dpc_yaml_at(yaml, root, 0)), "1");
    const struct dpc_yaml_node *list = dpc_yaml_at(yaml, root, 1);
    CU_ASSERT_EQUAL(dpc_yaml_kind(list), DPC_YAML_LIST);
    CU_ASSERT_EQUAL_FATAL(dpc_yaml_count(list), 3);
    CU_ASSERT_EQUAL(dpc_yaml_line(dpc_yaml_at(yaml, list, 1)), 4);
    CU_ASSERT_TRUE(dpc_yaml_is_plain(dpc_yaml_at(yaml, list, 0)));
    CU_ASSERT_FALSE(dpc_yaml_is_plain(dpc_yaml_at(yaml, list, 1)));
    const struct dpc_yaml_node *map = dpc_yaml_at(yaml, list, 2);
    CU_ASSERT_STRING_EQUAL(dpc_yaml_text(dpc_yaml_at(yaml, map, 0)), "");
    CU_ASSERT_EQUAL(dpc_yaml_count(dpc_yaml_at(yaml, map, 0)), 0);
    dpc_yaml_destroy(yaml);
}

static void
nothing_is_an_empty_document(void)
{
    static const char *const rows[] = {"", "\n", "# only a comment\n"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dpc_yaml *yaml;
        CU_ASSERT_EQUAL_FATAL(dpc_yaml_parse("f", rows[i], strlen(rows[i]), &yaml, NULL), DPC_OK);
        CU_ASSERT_PTR_NULL(dpc_yaml_root(yaml));
        dpc_yaml_destroy(yaml);
    }
}

static void
bad_documents_are_refused_with_their_line(void)
{
    static const struct {
        const char *text;
        int code;
        const char *message;
    } rows[] = {
        {"a: 1\nb: [1,\n", DPC_EPARSE, "f:3: not YAML at column 1"},
        {"a: 1\n\tb: 2\n", DPC_EPARSE, "f:2: not YAML"},
        {"a: \"open\n", DPC_EPARSE, "not YAML"},
        {"a: b: c\n", DPC_EPARSE, "f:1: not YAML at column 5: mapping values are not allowed"},
        {"a: \xFF\n", DPC_EPARSE, "f: not text in UTF-8 at byte 3"},
        {"a: 1\n---\nb: 2\n", DPC_EPARSE, "f:2: a second document begins"},
        {"a: \"x\\0y\"\n", DPC_EPARSE, "f:1: a zero byte"},
        {"a: &x 1\n", DPC_EUNSUPPORTED, "f:1: anchors, aliases and tags"},
        {"a: &x [1]\nb: *x\n", DPC_EUNSUPPORTED, "f:1: anchors"},
        {"&x a: 1\n", DPC_EUNSUPPORTED, "f:1: anchors"},
        {"a: &x [*x]\n", DPC_EUNSUPPORTED, "f:1: anchors"},
        {"a: *nobody\n", DPC_EUNSUPPORTED, "f:1: anchors"},
        {"a:\n  !!str 5\n", DPC_EUNSUPPORTED, "f:2: anchors, aliases and tags"},
        {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n", DPC_ELIMIT, "f:1: nested more than 16 deep"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dpc_yaml *yaml = NULL;
        struct dpc_error err = {0};
        int code = dpc_yaml_parse("f", rows[i].text, strlen(rows[i].text), &yaml, &err);
        if (!strstr(err.text, rows[i].message))
            fprintf(stderr, "\n%s  gives %d: %s\n", rows[i].text, code, err.text);
        CU_ASSERT_EQUAL(code, rows[i].code);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].message));
        CU_ASSERT_PTR_NULL(yaml);
    }
}

static void
sixteen_deep_is_allowed(void)
{
    static const char text[] = "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n";
    struct dpc_yaml *yaml;
    CU_ASSERT_EQUAL_FATAL(dpc_yaml_parse("f", text, strlen(text), &yaml, NULL), DPC_OK);
    dpc_yaml_destroy(yaml);
}

static void
a_huge_file_is_refused(void)
{
    struct dpc_yaml *yaml;
    struct dpc_error err;
    char *text = dpc_alloc(DPC_CONFIG_BYTES_MAX + 1, 1);
    memset(text, '#', DPC_CONFIG_BYTES_MAX + 1);
    CU_ASSERT_EQUAL(dpc_yaml_parse("f", text, DPC_CONFIG_BYTES_MAX + 1, &yaml, &err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "larger than 1048576 bytes"));
    memset(text, '[', DPC_CONFIG_BYTES_MAX);
    CU_ASSERT_EQUAL(dpc_yaml_parse("f", text, DPC_CONFIG_BYTES_MAX, &yaml, &err), DPC_ELIMIT);
    dpc_free(text);
}

static const struct dpc_test tests[] = {
    {"a tree has kinds, texts and lines", a_tree_has_kinds_texts_and_lines},
    {"nothing is an empty document", nothing_is_an_empty_document},
    {"bad documents are refused with their line", bad_documents_are_refused_with_their_line},
    {"sixteen deep is allowed", sixteen_deep_is_allowed},
    {"a huge file is refused", a_huge_file_is_refused},
};
DPC_TEST_MAIN("base/yaml", tests)
