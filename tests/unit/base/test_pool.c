/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "tests/unit/harness.h"

enum { UNITS = 1000, THREADS = 4 };

struct loop {
    atomic_int calls[UNITS];
    atomic_int inside[THREADS]; /* calls under way with this thread's number */
    atomic_bool shared;         /* a number was given to two at once */
    _Atomic uint32_t highest;
};

static void
count_unit(void *context, size_t unit, uint32_t thread)
{
    struct loop *loop = context;
    if (atomic_fetch_add(&loop->inside[thread], 1) != 0)
        loop->shared = true;
    atomic_fetch_add(&loop->calls[unit], 1);
    if (thread > loop->highest)
        loop->highest = thread;
    atomic_fetch_sub(&loop->inside[thread], 1);
}

static void
every_unit_is_run_once(void)
{
    for (uint32_t threads = 1; threads <= THREADS; threads++) {
        struct dpc_pool *pool = dpc_pool_create(threads);
        struct loop loop = {0};
        CU_ASSERT_EQUAL(dpc_pool_threads(pool), threads);
        /* Short loops one after another: who wakes late must not enter the next one's with this
         * one's units. */
        for (size_t turn = 0; turn < 2000; turn++)
            dpc_pool_run(pool, count_unit, &loop, turn % 7);
        dpc_pool_run(pool, count_unit, &loop, UNITS);
        for (size_t unit = 0; unit < UNITS; unit++) {
            int want = 1;
            for (size_t turn = 0; turn < 2000; turn++)
                want += unit < turn % 7;
            CU_ASSERT_EQUAL(loop.calls[unit], want);
        }
        CU_ASSERT(!loop.shared);
        CU_ASSERT(loop.highest < threads);
        CU_ASSERT_PTR_NULL(dpc_pool_destroy(pool));
    }
}

/* Two units that wait for each other: they end only when two threads run them. */
static void
meet(void *context, size_t unit, uint32_t thread)
{
    atomic_int *arrived = context;
    (void)unit;
    (void)thread;
    atomic_fetch_add(arrived, 1);
    while (*arrived < 2) {
    }
}

static void
units_run_beside_each_other(void)
{
    struct dpc_pool *pool = dpc_pool_create(2);
    atomic_int arrived = 0;
    dpc_pool_run(pool, meet, &arrived, 2);
    CU_ASSERT_EQUAL(arrived, 2);
    dpc_pool_destroy(pool);
}

static void
no_pool_is_one_thread(void)
{
    struct loop loop = {0};
    CU_ASSERT_EQUAL(dpc_pool_threads(NULL), 1);
    dpc_pool_run(NULL, count_unit, &loop, UNITS);
    CU_ASSERT_EQUAL(loop.calls[UNITS - 1], 1);
    dpc_pool_run(NULL, count_unit, &loop, 0);
    CU_ASSERT_PTR_NULL(dpc_pool_destroy(NULL));
}

static void
loops_are_counted(void)
{
    for (uint32_t threads = 1; threads <= 2; threads++) {
        struct loop loop = {0};
        struct dpc_pool *pool = dpc_pool_create(threads);
        CU_ASSERT_EQUAL(dpc_pool_loops(pool), 0);
        dpc_pool_run(pool, count_unit, &loop, UNITS);
        dpc_pool_run(pool, count_unit, &loop, 1);
        CU_ASSERT_EQUAL(dpc_pool_loops(pool), 2);
        dpc_pool_destroy(pool);
    }
}

static const struct dpc_test tests[] = {
    {"every unit is run once", every_unit_is_run_once},
    {"units run beside each other", units_run_beside_each_other},
    {"no pool is one thread", no_pool_is_one_thread},
    {"loops are counted", loops_are_counted},
};
DPC_TEST_MAIN("base/pool", tests)
