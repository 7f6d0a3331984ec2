/* SPDX-License-Identifier: Apache-2.0
 * An experiment whose model comes trained has no warm start: the core goes from the corpus to the
 * features at once, and paths begin with no optimizer state. */
#include "coordinator/core/core.h"

#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

#define YAML(dense)                                                                                \
    SMALL_2X2                                                                                      \
    "routing: {prefix: 8}\n"                                                                       \
    "inner: {steps: 4, batch: 2}\n"                                                                \
    "outer: {rounds: 3}\n"                                                                         \
    "early_stopping: true\n"                                                                       \
    "baseline: {dense: " dense "}\n"                                                               \
    "warm_start: {steps: 0, from: model}\n"

static const struct dpc_token no_token;

static void
featurizes_at_once(void)
{
    struct driver driver;
    driver_start(&driver, YAML("true"));
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_FEATURIZE);
    CU_ASSERT_EQUAL(dpc_core_warm_rounds(driver.core), 0);
    CU_ASSERT_TRUE(driver_finish(&driver, 3));
    const struct dpc_topology *topology = dpc_core_topology(driver.core);
    for (uint32_t path = 0; path < topology->paths_count; path++)
        CU_ASSERT_EQUAL(dpc_core_path(driver.core, path)->steps_done, 3 * 4);
    for (uint32_t module = 0; module < topology->modules_count; module++)
        CU_ASSERT_EQUAL(dpc_core_module(driver.core, module)->version, 3);
    driver_stop(&driver);
}

/* Without the baseline nothing ever trains the dense path: it stays what it came as. */
static void
the_dense_path_stays_what_it_came_as(void)
{
    struct driver driver;
    struct dpc_version_record dense, routed;
    struct dpc_error err;
    driver_start(&driver, YAML("false"));
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    const struct dpc_topology *topology = dpc_core_topology(driver.core);
    uint32_t path = dpc_topology_dense_path(topology);
    CU_ASSERT_EQUAL(dpc_core_path(driver.core, path)->steps_done, 0);
    for (uint32_t module = 0; module < topology->routed_modules; module++) {
        uint32_t level = dpc_topology_module_level(topology, module);
        uint32_t twin = dpc_topology_module(topology, path, level);
        CU_ASSERT_EQUAL(dpc_core_module(driver.core, twin)->version, 0);
        CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, twin, 0, &dense, &err), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(dpc_load_version(driver.kv, module, 0, &routed, &err), DPC_OK);
        CU_ASSERT_TRUE(dpc_hash_equal(&dense.master, &routed.master));
    }
    driver_stop(&driver);
}

/* The dense path may have trained its first round before documents are routed; its state is not
 * what the others begin with, since it is not that of the model that came. */
static void
routed_paths_begin_with_no_optimizer_state(void)
{
    struct driver driver;
    driver_start(&driver, YAML("true"));
    driver_hello(&driver, 0, no_token);
    uint32_t dense = dpc_topology_dense_path(dpc_core_topology(driver.core)), routed = 0;
    for (int i = 0; i < 200 && routed < 4; i++) {
        const struct dpc_msg *reply = driver_ask(&driver, 0);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        struct dpc_msg_lease lease = reply->lease;
        if (lease.kind == DPC_TASK_TRAIN && lease.path != dense && lease.round == 0) {
            CU_ASSERT_TRUE(dpc_hash_is_none(&lease.state.hash));
            CU_ASSERT_EQUAL(lease.state.bytes, 0);
            CU_ASSERT_EQUAL(lease.step_first, 0);
            routed++;
        }
        driver_submit(&driver, 0, &lease);
    }
    CU_ASSERT_EQUAL(routed, 4);
    driver_stop(&driver);
}

static void
a_crash_after_every_event_changes_nothing(void)
{
    static const char *const texts[] = {YAML("true"), YAML("false")};
    for (int i = 0; i < 2; i++) {
        struct driver driver;
        driver_start(&driver, texts[i]);
        CU_ASSERT_TRUE(driver_finish(&driver, 1));
        struct dpc_hash undisturbed = driver_outcome(&driver);
        driver_stop(&driver);
        driver_start(&driver, texts[i]);
        driver.crash_after_each = true;
        CU_ASSERT_TRUE(driver_finish(&driver, 3));
        struct dpc_hash outcome = driver_outcome(&driver);
        CU_ASSERT_TRUE(dpc_hash_equal(&outcome, &undisturbed));
        driver_stop(&driver);
    }
}

static const struct dpc_test tests[] = {
    {"featurizes at once", featurizes_at_once},
    {"the dense path stays what it came as", the_dense_path_stays_what_it_came_as},
    {"routed paths begin with no optimizer state", routed_paths_begin_with_no_optimizer_state},
    {"a crash after every event changes nothing", a_crash_after_every_event_changes_nothing},
};
DPC_TEST_MAIN("coordinator/imported", tests)
