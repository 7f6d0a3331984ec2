/* SPDX-License-Identifier: Apache-2.0
 * What the core makes of findings about workers that belong to anybody. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

static const char yaml[] = TINY_2X2 "routing: {prefix: 4}\n"
                                    "inner: {steps: 4, batch: 2}\n"
                                    "outer: {rounds: 3}\n"
                                    "trust: open\n"
                                    "warm_start: {steps: 10}\n";

static const struct dpc_token no_token;

static void
start_open_training(struct driver *driver)
{
    driver_start(driver, yaml);
    driver_hello(driver, 0, no_token);
    while (driver_phase(driver) != DPC_PHASE_TRAIN) {
        struct dpc_msg_lease lease = driver_lease(driver, 0);
        driver_submit(driver, 0, &lease);
    }
}

static bool
count_scales(void *context, const struct dpc_ledger_record *record)
{
    uint32_t *counts = context; /* of 0, 0.25 and 1 */
    for (uint32_t i = 0; i < record->entries_count; i++)
        counts[(int)ceil(record->entries[i].scale * 1.5)]++;
    return true;
}

static void
what_the_gates_found_stands_in_the_ledger_and_in_conduct(void)
{
    struct driver driver;
    struct dpc_error err;
    uint32_t counts[3] = {0};
    start_open_training(&driver);
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    CU_ASSERT_EQUAL(dpc_scan_ledger(driver.kv, 0, count_scales, counts, &err), DPC_OK);
    CU_ASSERT(counts[0] > 0);
    CU_ASSERT(counts[1] > 0);
    driver_crash(&driver);
    uint64_t opposed = 0, clipped = 0, others = 0;
    for (uint32_t i = 0; i < dpc_core_workers_count(driver.core); i++) {
        const struct dpc_conduct_record *conduct = dpc_core_conduct_at(driver.core, i);
        opposed += conduct->opposed;
        clipped += conduct->clipped;
        others += conduct->copies + conduct->idle + conduct->stale;
    }
    CU_ASSERT_EQUAL(opposed, counts[0]);
    CU_ASSERT_EQUAL(clipped, counts[1]);
    CU_ASSERT_EQUAL(others, 0);
    driver_stop(&driver);
}

static void
a_delta_that_was_handed_in_before_is_refused(void)
{
    struct driver driver;
    struct dpc_msg_submit submit;
    struct dpc_submission_check check = {0};
    start_open_training(&driver);
    struct dpc_msg_lease lease = driver_lease(&driver, 0);
    driver_fill_submission(&driver, &lease, &submit);
    struct dpc_blob_ref delta = submit.parts[1].delta;
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    /* The same submission again is the same answer, not an old delta. */
    CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    lease = driver_lease(&driver, 0);
    driver_fill_submission(&driver, &lease, &submit);
    submit.parts[1].delta = delta;
    driver_crash(&driver); /* what came before is known by its records */
    const struct dpc_msg *reply = driver_submit_message(&driver, 0, &submit, &check);
    CU_ASSERT_EQUAL(reply->verdict.verdict, DPC_VERDICT_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->verdict.text, "handed in before"));
    CU_ASSERT_PTR_NOT_NULL(strstr(driver.actions.alarm, "is barred"));
    CU_ASSERT_EQUAL(dpc_core_conduct_at(driver.core, 0)->stale, 1);
    CU_ASSERT_EQUAL(driver_ask(&driver, 0)->type, DPC_MSG_ERROR);
    /* Somebody else gets the task. */
    driver_hello(&driver, 1, no_token);
    lease = driver_lease(&driver, 1);
    CU_ASSERT_EQUAL(driver_submit(&driver, 1, &lease)->verdict.verdict, DPC_VERDICT_ACCEPTED);
    driver_stop(&driver);
}

/* Four workers on 2x2 paths: whoever has one gets the opposite one next, which shares no module. */
static void
workers_are_kept_apart_on_modules(void)
{
    struct driver driver;
    bool mine[5] = {false}, kept = false;
    start_open_training(&driver);
    driver_hello(&driver, 1, no_token);
    for (int i = 0; i < 2; i++) {
        struct dpc_msg_lease lease = driver_lease(&driver, 1);
        if (lease.path == 4) { /* the dense one shares none */
            i--;
            driver_submit(&driver, 1, &lease);
            continue;
        }
        mine[lease.path] = true;
        driver_submit(&driver, 1, &lease);
    }
    kept = (mine[0] && mine[3]) || (mine[1] && mine[2]);
    CU_ASSERT_TRUE(kept);
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"what the gates found stands in the ledger and in conduct",
     what_the_gates_found_stands_in_the_ledger_and_in_conduct},
    {"a delta that was handed in before is refused", a_delta_that_was_handed_in_before_is_refused},
    {"workers are kept apart on modules", workers_are_kept_apart_on_modules},
};
DPC_TEST_MAIN("coordinator/trust", tests)
