/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/session/parting.h"

#include "base/limits.h"
#include "tests/unit/harness.h"

static void
as_much_as_there_is_time_for(void)
{
    static const struct {
        const char *words;
        struct dpc_parting_facts facts;
        enum dpc_parting want;
    } rows[] = {
        {"all in good time", {true, 5, 1000, 4000000, 8000000, 1e6, 26000}, DPC_PARTING_ALL},
        {"one millisecond short",
         {true, 5, 1000, 4000000, 8000000, 1e6, 25999},
         DPC_PARTING_DELTAS},
        {"deltas alone", {true, 5, 1000, 4000000, 8000000, 1e6, 10000}, DPC_PARTING_DELTAS},
        {"not even these", {true, 5, 1000, 4000000, 8000000, 1e6, 9999}, DPC_PARTING_NOTHING},
        {"the step alone is too long",
         {true, 5, 20000, 4000, 8000, 1e6, 25000},
         DPC_PARTING_NOTHING},
        {"nothing done yet", {true, 0, 1000, 4000, 8000, 1e6, 25000}, DPC_PARTING_NOTHING},
        {"no step since it was taken up",
         {true, 5, 0, 4000, 8000, 1e6, 25000},
         DPC_PARTING_NOTHING},
        {"strict", {false, 5, 1000, 4000, 8000, 1e6, 25000}, DPC_PARTING_NOTHING},
        {"no time at all", {true, 5, 1, 4000, 8000, 1e9, 0}, DPC_PARTING_NOTHING},
        {"a link that was never measured, all",
         {true, 5, 1000, DPC_SLOW_LINK_BYTES_S, 2 * DPC_SLOW_LINK_BYTES_S, 0, 8000},
         DPC_PARTING_ALL},
        {"a link that was never measured, deltas",
         {true, 5, 1000, DPC_SLOW_LINK_BYTES_S, 2 * DPC_SLOW_LINK_BYTES_S, 0, 7999},
         DPC_PARTING_DELTAS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (dpc_parting_choose(&rows[i].facts) != rows[i].want)
            CU_FAIL(rows[i].words);
        CU_ASSERT_EQUAL(dpc_parting_choose(&rows[i].facts), rows[i].want);
    }
}

static const struct dpc_test tests[] = {
    {"as much as there is time for", as_much_as_there_is_time_for},
};
DPC_TEST_MAIN("worker/parting", tests)
