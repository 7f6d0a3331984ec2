/* SPDX-License-Identifier: Apache-2.0 */
#include "base/nearest.h"

#include <string.h>

#include "tests/unit/harness.h"

static size_t
distance(const char *a, const char *b)
{
    return dpc_nearest_distance(a, strlen(a), b, strlen(b));
}

static void
test_distance(void)
{
    CU_ASSERT_EQUAL(distance("", ""), 0);
    CU_ASSERT_EQUAL(distance("", "abc"), 3);
    CU_ASSERT_EQUAL(distance("abc", ""), 3);
    CU_ASSERT_EQUAL(distance("kitten", "sitting"), 3);
    CU_ASSERT_EQUAL(distance("status", "statsu"), 1); /* neighbours swapped */
    CU_ASSERT_EQUAL(distance("ca", "abc"), 3);
}

static void
test_names_longer_than_the_table_are_cut(void)
{
    char a[200], b[200];
    memset(a, 'x', sizeof a - 1);
    memset(b, 'x', sizeof b - 1);
    a[199] = b[199] = '\0';
    b[0] = 'y';
    CU_ASSERT_EQUAL(distance(a, b), 1);
}

static const char *
nearest_of(const char *wanted)
{
    static const char *const names[] = {"run", "plan", "generate", "eval", "version", "workers"};
    struct dpc_nearest nearest = {.wanted = wanted};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        dpc_nearest_offer(&nearest, names[i]);
    return nearest.best;
}

static void
test_offers(void)
{
    CU_ASSERT_STRING_EQUAL(nearest_of("rnu"), "run");
    CU_ASSERT_STRING_EQUAL(nearest_of("genrate"), "generate");
    CU_ASSERT_STRING_EQUAL(nearest_of("gen"), "generate"); /* a beginning */
    CU_ASSERT_STRING_EQUAL(nearest_of("wrokers"), "workers");
    CU_ASSERT_PTR_NULL(nearest_of("frobnicate"));
    CU_ASSERT_PTR_NULL(nearest_of("x"));
}

static const struct dpc_test tests[] = {
    {"edits between names", test_distance},
    {"long names are cut", test_names_longer_than_the_table_are_cut},
    {"only near names are offered", test_offers},
};
DPC_TEST_MAIN("base/nearest", tests)
