/* SPDX-License-Identifier: Apache-2.0
 * How many jobs an executor takes, and that each comes back or is dropped. */
#include "coordinator/executor.h"

#include "base/limits.h"
#include "tests/unit/harness.h"

static void
do_nothing(void *job)
{
    (void)job;
}

static void
count_drop(void *job)
{
    ++*(unsigned *)job;
}

/* With as many modules as there may be, beside checks of submissions and a sweep. */
static void
an_outer_step_of_every_module_finds_a_place(void)
{
    enum { JOBS = DPC_MODULES_MAX + DPC_CHECKS_MAX + 1 };
    unsigned job = 0, refused = 0;
    struct dpc_executor *executor = dpc_executor_create(1, do_nothing, count_drop);
    for (int i = 0; i < JOBS; i++)
        refused += dpc_executor_put(executor, &job) != DPC_OK;
    CU_ASSERT_EQUAL(refused, 0);
    CU_ASSERT_FALSE(dpc_executor_is_idle(executor));
    dpc_executor_destroy(executor);
    CU_ASSERT_EQUAL(job, JOBS - refused);
}

static void
a_full_one_refuses_until_something_is_taken(void)
{
    unsigned job = 0;
    struct dpc_executor *executor = dpc_executor_create(1, do_nothing, count_drop);
    while (dpc_executor_put(executor, &job) == DPC_OK)
        ;
    CU_ASSERT_EQUAL(dpc_executor_put(executor, &job), DPC_EBUSY);
    while (!dpc_executor_take(executor))
        ;
    CU_ASSERT_EQUAL(dpc_executor_put(executor, &job), DPC_OK);
    CU_ASSERT_EQUAL(dpc_executor_put(executor, &job), DPC_EBUSY);
    dpc_executor_destroy(executor);
}

static const struct dpc_test tests[] = {
    {"an outer step of every module finds a place", an_outer_step_of_every_module_finds_a_place},
    {"a full one refuses until something is taken", a_full_one_refuses_until_something_is_taken},
};

DPC_TEST_MAIN("coordinator/executor", tests)
