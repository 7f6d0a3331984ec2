/* SPDX-License-Identifier: Apache-2.0
 * What becomes of a path's state between two leases, on one path of one module a level: its rounds
 * follow one another, whoever trains them. */
#include <stdio.h>

#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/harness.h"

static const struct dpc_token no_token;

static void
start(struct driver *driver, const char *mode, const char *path_state)
{
    char yaml[1024];
    (void)snprintf(yaml, sizeof yaml,
                   "experiment: test\n"
                   "mode: %s\n"
                   "data: {corpus: corpus}\n"
                   "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n"
                   "levels:\n"
                   "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 1}\n"
                   "  - {name: upper, parts: [{blocks: 1}, head], modules: 1}\n"
                   "routing: {prefix: 8}\n"
                   "inner: {steps: 4, batch: 2}\n"
                   "outer: {rounds: 5}\n"
                   "transfer: {path_state: %s}\n"
                   "baseline: {dense: false}\n"
                   "warm_start: {steps: 4}\n",
                   mode, path_state);
    driver_start(driver, yaml);
    driver_hello(driver, 0, no_token);
    driver_hello(driver, 1, no_token);
}

static struct dpc_msg_lease
next_lease(struct driver *driver, uint8_t worker)
{
    const struct dpc_msg *reply = driver_ask(driver, worker);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
    return reply->lease;
}

/* The first lease of the train phase, for worker 0. */
static struct dpc_msg_lease
first_lease(struct driver *driver)
{
    for (int i = 0; i < 100; i++) {
        struct dpc_msg_lease lease = next_lease(driver, 0);
        if (driver_phase(driver) == DPC_PHASE_TRAIN)
            return lease;
        driver_submit(driver, 0, &lease);
    }
    CU_FAIL_FATAL("training does not begin");
    return (struct dpc_msg_lease){.kind = DPC_TASK_TRAIN};
}

static void
a_kept_state_is_for_its_keeper(void)
{
    struct driver driver;
    struct dpc_msg_submit submit;
    start(&driver, "elastic", "local");
    struct dpc_msg_lease lease = first_lease(&driver);
    CU_ASSERT(dpc_hash_is_none(&lease.kept.hash));
    driver_fill_submission(&driver, &lease, &submit);
    driver_submit(&driver, 0, &lease);
    driver_crash(&driver);
    driver_hello(&driver, 0, no_token);
    driver_hello(&driver, 1, no_token);
    lease = next_lease(&driver, 0);
    CU_ASSERT(dpc_hash_is_none(&lease.state.hash));
    CU_ASSERT(dpc_hash_equal(&lease.kept.hash, &submit.kept.hash));
    CU_ASSERT_EQUAL(lease.kept.bytes, 64);
    driver_submit(&driver, 0, &lease);
    lease = next_lease(&driver, 1); /* it never had one */
    CU_ASSERT(dpc_hash_is_none(&lease.state.hash));
    CU_ASSERT(dpc_hash_is_none(&lease.kept.hash));
    driver_submit(&driver, 1, &lease);
    lease = next_lease(&driver, 0); /* whose own is out of date */
    CU_ASSERT(dpc_hash_is_none(&lease.kept.hash));
    driver_stop(&driver);
}

static void
a_shipped_state_is_for_all(void)
{
    struct driver driver;
    struct dpc_msg_submit submit;
    start(&driver, "strict", "ship");
    struct dpc_msg_lease lease = first_lease(&driver);
    driver_fill_submission(&driver, &lease, &submit);
    driver_submit(&driver, 0, &lease);
    lease = next_lease(&driver, 1);
    CU_ASSERT(dpc_hash_equal(&lease.state.hash, &submit.state.hash));
    CU_ASSERT(dpc_hash_is_none(&lease.kept.hash));
    driver_stop(&driver);
}

static void
a_state_is_reset(void)
{
    struct driver driver;
    struct dpc_msg_submit submit;
    struct dpc_submission_check fine = {0};
    start(&driver, "strict", "reset");
    struct dpc_msg_lease lease = first_lease(&driver);
    CU_ASSERT(dpc_hash_is_none(&lease.state.hash));
    driver_fill_submission(&driver, &lease, &submit);
    submit.state = (struct dpc_blob_ref){submit.parts[0].delta.hash, 64};
    const struct dpc_msg *reply = driver_submit_message(&driver, 0, &submit, &fine);
    CU_ASSERT_EQUAL(reply->verdict.verdict, DPC_VERDICT_REFUSED);
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    CU_ASSERT(dpc_hash_is_none(&dpc_core_path(driver.core, 0)->state));
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"a kept state is for its keeper", a_kept_state_is_for_its_keeper},
    {"a shipped state is for all", a_shipped_state_is_for_all},
    {"a state is reset", a_state_is_reset},
};
DPC_TEST_MAIN("coordinator/core/path_state", tests)
