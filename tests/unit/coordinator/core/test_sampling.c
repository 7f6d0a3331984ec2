/* SPDX-License-Identifier: Apache-2.0
 * Path sampling: only the paths that a round's draw names train in it. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/harness.h"

enum { SIDE = 3, PATHS = SIDE * SIDE, ROUNDS = 6, STEPS = 4 };

static void
start(struct driver *driver, const char *mode, const char *sample)
{
    char yaml[1024];
    (void)snprintf(yaml, sizeof yaml,
                   "experiment: test\n"
                   "mode: %s\n"
                   "data: {corpus: corpus}\n"
                   "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n"
                   "levels:\n"
                   "  - {name: lower, parts: [embedding, {blocks: 1}], modules: %d}\n"
                   "  - {name: upper, parts: [{blocks: 1}, head], modules: %d}\n"
                   "routing: {prefix: 8}\n"
                   "inner: {steps: %d, batch: 2}\n"
                   "outer: {rounds: %d, weight: uniform, sample: %s}\n"
                   "baseline: {dense: false}\n"
                   "warm_start: {steps: 4}\n",
                   mode, SIDE, SIDE, STEPS, ROUNDS, sample);
    driver_start(driver, yaml);
}

static uint32_t
planned_through(const struct driver *driver, uint32_t module, uint32_t round)
{
    const struct dpc_topology *topology = dpc_core_topology(driver->core);
    uint32_t count = 0;
    for (uint32_t path = 0; path < PATHS; path++)
        count +=
            dpc_topology_uses(topology, path, module) && dpc_core_plans(driver->core, path, round);
    return count;
}

struct walk {
    const struct driver *driver;
    uint32_t idle; /* outer steps that nobody contributed to */
    uint64_t merged;
};

static bool
check_entry(void *context, const struct dpc_ledger_record *record)
{
    struct walk *walk = context;
    if (dpc_topology_module_is_dense(dpc_core_topology(walk->driver->core), record->module))
        return true;
    CU_ASSERT_EQUAL(record->entries_count,
                    planned_through(walk->driver, record->module, record->version - 1));
    for (uint32_t i = 0; i < record->entries_count; i++)
        CU_ASSERT_DOUBLE_EQUAL(record->entries[i].weight, 1.0 / record->entries_count, 1e-12);
    walk->idle += record->entries_count == 0;
    walk->merged += record->entries_count;
    return true;
}

/* Each module merges exactly the planned paths of each round; with none of them its bytes stay. */
static void
a_round_trains_the_paths_that_were_drawn(void)
{
    static const char *const modes[] = {"strict", "elastic"};
    for (int i = 0; i < 2; i++) {
        struct driver driver;
        struct dpc_error err;
        struct walk walk = {.driver = &driver};
        uint64_t planned = 0, steps = 0;
        start(&driver, modes[i], "0.4");
        driver.crash_after_each = true;
        CU_ASSERT_TRUE(driver_finish(&driver, 3));
        for (uint32_t path = 0; path < PATHS; path++) {
            for (uint32_t round = 0; round < ROUNDS; round++)
                planned += dpc_core_plans(driver.core, path, round);
            steps += dpc_core_path(driver.core, path)->steps_done - 4;
        }
        CU_ASSERT(planned > PATHS * ROUNDS / 4 && planned < PATHS * ROUNDS / 2);
        CU_ASSERT_EQUAL(steps, planned * STEPS);
        CU_ASSERT_EQUAL(dpc_scan_ledger(driver.kv, 0, check_entry, &walk, &err), DPC_OK);
        CU_ASSERT_EQUAL(walk.merged, 2 * planned);
        CU_ASSERT(walk.idle > 0);
        driver_stop(&driver);
    }
}

/* The draw of a round is another one each time, and the same for everybody. */
static void
each_round_draws_anew(void)
{
    struct driver driver, again;
    uint32_t changes = 0;
    start(&driver, "strict", "0.5");
    start(&again, "strict", "0.5");
    for (uint32_t path = 0; path < PATHS; path++) {
        for (uint32_t round = 0; round < ROUNDS; round++) {
            bool plans = dpc_core_plans(driver.core, path, round);
            CU_ASSERT_EQUAL(plans, dpc_core_plans(again.core, path, round));
            changes += round > 0 && plans != dpc_core_plans(driver.core, path, round - 1);
        }
    }
    CU_ASSERT(changes > PATHS);
    driver_stop(&driver);
    driver_stop(&again);
}

static const struct dpc_test tests[] = {
    {"a round trains the paths that were drawn", a_round_trains_the_paths_that_were_drawn},
    {"each round draws anew", each_round_draws_anew},
};
DPC_TEST_MAIN("coordinator/core/sampling", tests)
