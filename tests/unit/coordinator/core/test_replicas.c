/* SPDX-License-Identifier: Apache-2.0
 * The warm start on several paths: the dense one and its replicas. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

enum { REPLICAS = 3, STEPS = 4, WARM_STEPS = 10, WARM_ROUNDS = 3, ROUNDS = 2 };

static void
describe(char *yaml, size_t size, const char *mode, bool baseline)
{
    (void)snprintf(yaml, size,
                   SMALL_2X2 "mode: %s\n"
                             "routing: {prefix: 8}\n"
                             "inner: {steps: %d, batch: 2}\n"
                             "outer: {rounds: %d}\n"
                             "baseline: {dense: %s}\n"
                             "warm_start: {steps: %d, replicas: %d}\n",
                   mode, STEPS, ROUNDS, baseline ? "true" : "false", WARM_STEPS, REPLICAS);
}

static void
start(struct driver *driver, const char *mode, bool baseline)
{
    char yaml[1024];
    describe(yaml, sizeof yaml, mode, baseline);
    driver_start(driver, yaml);
}

struct walk {
    const struct dpc_topology *topology;
    uint32_t warm, alone;
};

static bool
check_entry(void *context, const struct dpc_ledger_record *record)
{
    struct walk *walk = context;
    if (!dpc_topology_module_is_dense(walk->topology, record->module))
        return true;
    bool warm = record->version <= WARM_ROUNDS;
    uint32_t count = warm ? REPLICAS : 1;
    walk->warm += warm;
    walk->alone += !warm;
    CU_ASSERT_EQUAL(record->rescale, 1); /* sqrt would stretch a mean of the like */
    CU_ASSERT_EQUAL_FATAL(record->entries_count, count);
    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_DOUBLE_EQUAL(record->entries[i].weight, 1.0 / count, 1e-12);
        CU_ASSERT_EQUAL(record->entries[i].path, dpc_topology_dense_path(walk->topology) + i);
    }
    return true;
}

static void
check_paths(const struct driver *driver, bool baseline)
{
    const struct dpc_topology *topology = dpc_core_topology(driver->core);
    uint32_t dense = dpc_topology_dense_path(topology);
    CU_ASSERT_EQUAL(topology->paths_count, dense + REPLICAS);
    for (uint32_t path = dense; path < topology->paths_count; path++) {
        const struct dpc_path_record *record = dpc_core_path(driver->core, path);
        bool goes_on = baseline && path == dense;
        CU_ASSERT_EQUAL(record->steps_done, WARM_STEPS + goes_on * ROUNDS * STEPS);
        CU_ASSERT_EQUAL(dpc_hash_is_none(&record->state), path != dense);
        CU_ASSERT_EQUAL(record->test_documents > 0, path == dense);
        CU_ASSERT_EQUAL(dpc_core_path_made(driver->core, path), WARM_ROUNDS + goes_on * ROUNDS);
        CU_ASSERT_EQUAL(dpc_core_path_owes(driver->core, path),
                        WARM_ROUNDS + (path == dense && baseline) * ROUNDS);
    }
    double sum = 0;
    for (uint32_t path = 0; path < dense + baseline; path++)
        sum += dpc_core_path_loss(driver->core, path);
    CU_ASSERT_DOUBLE_EQUAL(dpc_core_loss(driver->core), sum / (dense + baseline), 1e-9);
    for (uint32_t path = 0; path < dense; path++)
        CU_ASSERT_EQUAL(dpc_core_path(driver->core, path)->steps_done, WARM_STEPS + ROUNDS * STEPS);
}

static void
all_share_the_warm_start_and_one_goes_on(void)
{
    static const char *const modes[] = {"strict", "elastic"};
    for (int i = 0; i < 8; i++) {
        struct driver driver;
        struct dpc_error err;
        bool baseline = i / 2 % 2;
        uint64_t done, total;
        start(&driver, modes[i % 2], baseline);
        driver.crash_after_each = i >= 4;
        CU_ASSERT_TRUE(driver_finish(&driver, 3));
        struct walk walk = {.topology = dpc_core_topology(driver.core)};
        CU_ASSERT_EQUAL(dpc_scan_ledger(driver.kv, 0, check_entry, &walk, &err), DPC_OK);
        CU_ASSERT_EQUAL(walk.warm, 2 * WARM_ROUNDS);
        CU_ASSERT_EQUAL(walk.alone, baseline ? 2 * ROUNDS : 0);
        check_paths(&driver, baseline);
        dpc_core_progress(driver.core, &done, &total);
        CU_ASSERT_EQUAL(done, total);
        CU_ASSERT_EQUAL(total, REPLICAS * WARM_STEPS + (4 + baseline) * ROUNDS * STEPS);
        driver_stop(&driver);
    }
}

/* Three workers at once, and a fourth has nothing to do. */
static void
they_train_side_by_side(void)
{
    struct driver driver;
    uint32_t seen = 0;
    start(&driver, "strict", true);
    for (uint8_t worker = 0; worker < 4; worker++)
        (void)driver_hello(&driver, worker, (struct dpc_token){0});
    for (uint8_t worker = 0; worker < REPLICAS; worker++) {
        struct dpc_msg_lease lease = driver_lease(&driver, worker);
        CU_ASSERT_EQUAL(lease.kind, DPC_TASK_TRAIN);
        seen |= 1u << lease.path;
    }
    CU_ASSERT_EQUAL(seen, 0x70); /* paths 4, 5 and 6 */
    CU_ASSERT_EQUAL(driver_ask(&driver, 3)->type, DPC_MSG_WAIT);
    driver_stop(&driver);
}

static struct dpc_hash
outcome(uint8_t workers, bool crash)
{
    struct driver driver;
    start(&driver, "strict", true);
    driver.crash_after_each = crash;
    CU_ASSERT_TRUE(driver_finish(&driver, workers));
    struct dpc_hash hash = driver_outcome(&driver);
    driver_stop(&driver);
    return hash;
}

static void
versions_do_not_depend_on_who_trains(void)
{
    struct dpc_hash one = outcome(1, false), five = outcome(5, false), crashed = outcome(3, true);
    CU_ASSERT(dpc_hash_equal(&one, &five));
    CU_ASSERT(dpc_hash_equal(&one, &crashed));
}

/* Nothing to warm up: all there is of the replicas is over at once. */
static void
a_warm_start_of_no_steps_has_none_of_theirs(void)
{
    struct driver driver;
    driver_start(&driver, SMALL_2X2 "routing: {prefix: 8, features: ngrams}\n"
                                    "inner: {steps: 4, batch: 2}\n"
                                    "outer: {rounds: 2}\n"
                                    "warm_start: {steps: 0, replicas: 3}\n");
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    for (uint32_t path = 5; path < 7; path++)
        CU_ASSERT_EQUAL(dpc_core_path(driver.core, path)->steps_done, 0);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, 4)->steps_done, 8);
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"all share the warm start and one goes on", all_share_the_warm_start_and_one_goes_on},
    {"they train side by side", they_train_side_by_side},
    {"versions do not depend on who trains", versions_do_not_depend_on_who_trains},
    {"a warm start of no steps has none of theirs", a_warm_start_of_no_steps_has_none_of_theirs},
};
DPC_TEST_MAIN("coordinator/core/replicas", tests)
