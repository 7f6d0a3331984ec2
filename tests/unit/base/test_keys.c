/* SPDX-License-Identifier: Apache-2.0 */
#include "base/keys.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/harness.h"

/* A small table with what the experiment's does not have: 64 bits, groups of groups, lists of two.
 */
struct shelf {
    char name[8];
    double weight;
};

struct house {
    char name[8];
    uint64_t big;
    uint32_t small;
    bool lit;
    struct shelf shelves[2];
    uint32_t shelves_count;
    double depth;
};

#define FIELD(type, member)                                                                        \
    .offset = (long)offsetof(type, member), .size = sizeof(((type *)NULL)->member)

static const struct dpc_key shelf_rows[] = {
    {.path = "name", .type = DPC_KEY_NAME, FIELD(struct shelf, name), .required = true, .doc = "N"},
    {.path = "load.weight",
     .type = DPC_KEY_REAL,
     FIELD(struct shelf, weight),
     .fallback = "2.5",
     .range = {.min = 0, .max = 10},
     .unit = "kg",
     .doc = "W"},
};
static const struct dpc_keys shelf_keys = {shelf_rows, 2};

static const struct dpc_key rows[] = {
    {.path = "name",
     .type = DPC_KEY_PATH,
     FIELD(struct house, name),
     .fallback = "home",
     .doc = "The name"},
    {.path = "number.big",
     .type = DPC_KEY_UINT,
     FIELD(struct house, big),
     .fallback = "5000000000",
     .range = {.min = 0, .max = 1e15},
     .doc = "A big one"},
    {.path = "number.inner.small",
     .type = DPC_KEY_UINT,
     FIELD(struct house, small),
     .fallback = "3",
     .range = {.min = 2, .max = 9},
     .unit = "cups",
     .doc = "A small one",
     .may_change = DPC_CHANGE_RUNNING},
    {.path = "number.inner.lit",
     .type = DPC_KEY_BOOL,
     FIELD(struct house, lit),
     .fallback = "true",
     .doc = "A light"},
    {.path = "depth",
     .type = DPC_KEY_REAL,
     FIELD(struct house, depth),
     .fallback = "0.5",
     .range = {.min = 0, .max = 1, .min_open = true, .max_open = true},
     .doc = "A depth"},
};
static const struct dpc_keys plain_keys = {rows, 4};

static const struct dpc_key list_rows[] = {
    {.path = "shelves",
     .type = DPC_KEY_LIST,
     FIELD(struct house, shelves),
     .required = true,
     .list = {&shelf_keys, sizeof(struct shelf), (long)offsetof(struct house, shelves_count), 2},
     .doc = "The shelves"},
};
static const struct dpc_keys list_keys = {list_rows, 1};

static int
read_text(const struct dpc_keys *keys, const char *text, struct house *house, struct dpc_error *err)
{
    struct dpc_yaml *yaml;
    memset(house, 0, sizeof *house);
    int code = dpc_yaml_parse("f", text, strlen(text), &yaml, err);
    if (code != DPC_OK)
        return code;
    code = dpc_keys_read(keys, yaml, house, err);
    dpc_yaml_destroy(yaml);
    return code;
}

static void
defaults_and_values_of_all_widths(void)
{
    struct house house;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(read_text(&plain_keys, "{}", &house, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(house.name, "home");
    CU_ASSERT(house.big == 5000000000 && house.small == 3 && house.lit);
    CU_ASSERT_EQUAL_FATAL(read_text(&plain_keys,
                                    "number:\n  inner: {small: 9, lit: false}\n  big: 7000000000",
                                    &house, &err),
                          DPC_OK);
    CU_ASSERT(house.big == 7000000000 && house.small == 9 && !house.lit);
}

static void
errors_name_the_deepest_key_and_its_line(void)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"number:\n  inner:\n    small: 1",
         "f:3: \"number.inner.small\" is 1: needed is a whole number from 2 to 9 (cups)"},
        {"number:\n  inner:\n    smal: 3", "f:3: \"number.inner.smal\" is unknown: did you mean "
                                           "\"number.inner.small\"?"},
        {"number:\n  iner: {}", "f:2: \"number.iner\" is unknown: did you mean \"number.inner\"?"},
        {"number: {inner: {zzzzzzzz: 1}}", "the keys here are small, lit"},
        {"number: {zzzzzzzz: 1}", "the keys here are big, inner"},
        {"zzzzzzzz: 1", "the keys here are name, number"},
        {"number: {big: 1}\nname: x\nnumber: {}", "f:3: \"number\" stands twice: first in line 1"},
        {"name: muchtoolong", "at most 7 bytes"},
        {"name: \"a\\tb\"", "\"name\" is \"a?b\""},
        {"name: ''", "\"name\" is empty"},
        {"[1]", "f:1: a map of keys is needed here"},
        {"", "f: the file is empty"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct house house;
        struct dpc_error err = {0};
        CU_ASSERT_NOT_EQUAL(read_text(&plain_keys, bad[i].text, &house, &err), DPC_OK);
        if (!strstr(err.text, bad[i].message))
            fprintf(stderr, "\n%s\n  gives: %s\n", bad[i].text, err.text);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, bad[i].message));
    }
}

static void
open_ends_do_not_belong_to_a_range(void)
{
    static const struct dpc_keys depth = {&rows[4], 1};
    struct house house;
    struct dpc_error err;
    CU_ASSERT_EQUAL(read_text(&depth, "depth: 0", &house, &err), DPC_ERANGE);
    CU_ASSERT_EQUAL(read_text(&depth, "depth: 1", &house, &err), DPC_ERANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "a number above 0 to below 1"));
    CU_ASSERT_EQUAL(read_text(&depth, "depth: 1e-300", &house, &err), DPC_OK);
}

static void
lists_have_items_with_keys_of_their_own(void)
{
    struct house house;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(
        read_text(&list_keys, "shelves: [{name: a}, {name: b, load: {weight: 9}}]", &house, &err),
        DPC_OK);
    CU_ASSERT_EQUAL(house.shelves_count, 2);
    CU_ASSERT_STRING_EQUAL(house.shelves[1].name, "b");
    CU_ASSERT(house.shelves[0].weight == 2.5 && house.shelves[1].weight == 9);
    CU_ASSERT_EQUAL(
        read_text(&list_keys, "shelves: [{name: a}, {name: b, load: {weight: 99}}]", &house, &err),
        DPC_ERANGE);
    CU_ASSERT_STRING_EQUAL(
        err.text, "f:1: \"shelves[1].load.weight\" is 99: needed is a number from 0 to 10 (kg)");
    CU_ASSERT_EQUAL(read_text(&list_keys, "shelves: [{name: a}, {nam: b}]", &house, &err),
                    DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "did you mean \"shelves[1].name\"?"));
    CU_ASSERT_EQUAL(
        read_text(&list_keys, "shelves: [{name: a}, {name: b}, {name: c}]", &house, &err),
        DPC_ERANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "has 3 items: allowed are 1 to 2"));
}

/* What a map of another document says; what it leaves out stays. */
static void
maps_are_read_over_a_struct(void)
{
    static const char over[] =
        "here: {number: {inner: {small: 7}}}\nthere: {shelves: [{name: c}]}\n"
        "odd: {number: {inner: {smal: 7}}}";
    struct house house;
    struct dpc_error err;
    struct dpc_yaml *yaml;
    CU_ASSERT_EQUAL_FATAL(read_text(&plain_keys, "{name: mine, number: {big: 12}}", &house, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_yaml_parse("over", over, strlen(over), &yaml, NULL), DPC_OK);
    const struct dpc_yaml_node *root = dpc_yaml_root(yaml);
    CU_ASSERT_EQUAL(
        dpc_keys_read_over(&plain_keys, yaml, dpc_yaml_at(yaml, root, 0), "here.", &house, &err),
        DPC_OK);
    CU_ASSERT(house.small == 7 && house.big == 12 && strcmp(house.name, "mine") == 0);
    CU_ASSERT_EQUAL(
        dpc_keys_read_over(&plain_keys, yaml, dpc_yaml_at(yaml, root, 2), "odd.", &house, &err),
        DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "over:3: \"odd.number.inner.smal\" is unknown: did you "
                                            "mean \"odd.number.inner.small\"?"));
    CU_ASSERT_EQUAL_FATAL(
        read_text(&list_keys, "shelves: [{name: a, load: {weight: 9}}, {name: b}]", &house, &err),
        DPC_OK);
    CU_ASSERT_EQUAL(
        dpc_keys_read_over(&list_keys, yaml, dpc_yaml_at(yaml, root, 1), "there.", &house, &err),
        DPC_OK);
    CU_ASSERT(house.shelves_count == 1 && strcmp(house.shelves[0].name, "c") == 0 &&
              house.shelves[0].weight == 2.5 && house.shelves[1].name[0] == 0);
    dpc_yaml_destroy(yaml);
}

static void
rules_find_the_line_of_a_path(void)
{
    static const char text[] = "a:\n  b:\n    - {c: 1}\n    - c: 2\n      d: 3\n";
    static const struct {
        const char *path, *message;
    } found[] = {
        {"a.b[1].d", "f:5: \"a.b[1].d\" is bad"}, {"a.b[0]", "f:3: \"a.b[0]\" is bad"},
        {"a.b[2].c", "f: \"a.b[2].c\" is bad"},   {"a.x", "f: \"a.x\" is bad"},
        {"a.b.c", "f: \"a.b.c\" is bad"},         {"a.b[1].d.e", "f: \"a.b[1].d.e\" is bad"},
    };
    struct dpc_yaml *yaml;
    CU_ASSERT_EQUAL_FATAL(dpc_yaml_parse("f", text, strlen(text), &yaml, NULL), DPC_OK);
    for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
        struct dpc_error err;
        CU_ASSERT_EQUAL(dpc_keys_error(yaml, found[i].path, &err, DPC_EINVAL, "is %s", "bad"),
                        DPC_EINVAL);
        CU_ASSERT_STRING_EQUAL(err.text, found[i].message);
    }
    dpc_yaml_destroy(yaml);
}

static void
nested_groups_are_printed_and_read_again(void)
{
    struct house house, again;
    struct dpc_error err;
    struct dpc_buf out;
    CU_ASSERT_EQUAL_FATAL(read_text(&plain_keys, "name: \"- a:\"", &house, &err), DPC_OK);
    dpc_buf_init(&out, 0);
    dpc_keys_print(&plain_keys, &house, NULL, &out);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&out), "name: \"- a:\"\nnumber:\n  big: 5000000000\n"
                                               "  inner:\n    small: 3\n    lit: true\n");
    CU_ASSERT_EQUAL_FATAL(read_text(&plain_keys, dpc_buf_text(&out), &again, &err), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(&house, &again, sizeof house), 0);
    dpc_buf_done(&out);
}

static const struct dpc_test tests[] = {
    {"defaults and values of all widths", defaults_and_values_of_all_widths},
    {"errors name the deepest key and its line", errors_name_the_deepest_key_and_its_line},
    {"open ends do not belong to a range", open_ends_do_not_belong_to_a_range},
    {"lists have items with keys of their own", lists_have_items_with_keys_of_their_own},
    {"maps are read over a struct", maps_are_read_over_a_struct},
    {"rules find the line of a path", rules_find_the_line_of_a_path},
    {"nested groups are printed and read again", nested_groups_are_printed_and_read_again},
};
DPC_TEST_MAIN("base/keys", tests)
