/* SPDX-License-Identifier: Apache-2.0 */
#include "base/processors.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/harness.h"

static void
bad_lists_are_refused(void)
{
    static const char *const lists[] = {"",   "a",    "-1",   "0-",          "1-0",
                                        "0,", "0 ,1", "1024", "0-9999999999"};
    uint32_t before = dpc_processors_count();
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct dpc_error err = {0};
        CU_ASSERT_EQUAL(dpc_processors_pin(lists[i], &err), DPC_EINVAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "0-3,8"));
    }
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(dpc_processors_pin("1023", &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "1023"));
    CU_ASSERT_EQUAL(dpc_processors_count(), before);
}

static uint32_t
in_set(void)
{
    cpu_set_t set;
    CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof set, &set), 0);
    return (uint32_t)CPU_COUNT(&set);
}

/* Every processor falls to somebody, and nobody has none. */
static void
shares_are_whole(void)
{
    uint32_t all_of_them = in_set(), count = dpc_processors_count();
    char list[8 * DPC_PROCESSORS_MAX], all[8 * DPC_PROCESSORS_MAX] = "";
    for (uint32_t share = 0; share < all_of_them; share++) {
        CU_ASSERT_EQUAL(dpc_processors_share(share, all_of_them, list, sizeof list), 1);
        CU_ASSERT_PTR_NULL(strchr(list, ','));
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", used ? "," : "", list);
    }
    CU_ASSERT_EQUAL(dpc_processors_share(0, 1, list, sizeof list), count);
    CU_ASSERT_STRING_EQUAL(list, all);
    CU_ASSERT_EQUAL(dpc_processors_each(1), count);
    CU_ASSERT_EQUAL(dpc_processors_each(count), 1);
    CU_ASSERT_EQUAL(dpc_processors_each(2 * count), 1);
    char first[16], again[16];
    dpc_processors_share(0, 2 * all_of_them, first, sizeof first);
    dpc_processors_share(all_of_them, 2 * all_of_them, again, sizeof again);
    CU_ASSERT_STRING_EQUAL(first, again);
}

/* Last: it keeps this process to one processor. */
static void
a_pinned_process_has_what_it_was_given(void)
{
    struct dpc_error err = {0};
    char one[16], now[16];
    dpc_processors_share(0, in_set(), one, sizeof one);
    CU_ASSERT_EQUAL(dpc_processors_pin(one, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_processors_count(), 1);
    dpc_processors_share(0, 1, now, sizeof now);
    CU_ASSERT_STRING_EQUAL(now, one);
}

static const struct dpc_test tests[] = {
    {"bad lists are refused", bad_lists_are_refused},
    {"shares are whole", shares_are_whole},
    {"a pinned process has what it was given", a_pinned_process_has_what_it_was_given},
};
DPC_TEST_MAIN("base/processors", tests)
