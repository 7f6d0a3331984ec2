/* SPDX-License-Identifier: Apache-2.0
 * Tasks that end with a value that is not finite, on every worker that tries them: they used to be
 * leased again for ever. Path 2 fails throughout, at the one kind of task that a test says. */
#include <string.h>

#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

enum { PATH = 2 };

static const char yaml[] = SMALL_2X2 "early_stopping: true\n"
                                     "routing: {prefix: 8}\n"
                                     "inner: {steps: 4, batch: 2}\n"
                                     "outer: {rounds: 3}\n"
                                     "warm_start: {steps: 10}\n";

static const struct dpc_token no_token;

static void
start(struct driver *driver)
{
    driver_start(driver, yaml);
    driver_hello(driver, 0, no_token);
}

static void
give_back(struct driver *driver, uint8_t worker, const struct dpc_msg_lease *lease)
{
    struct dpc_msg_give_back message = {
        .token = lease->token, .reason = "step 3: not finite", .not_finite = true};
    struct dpc_event event = {.type = DPC_EVENT_GIVE_BACK};
    memset(event.worker, worker + 1, sizeof event.worker);
    event.give_back.message = &message;
    driver_step(driver, &event);
}

/* Of what is measured while paths train. */
static bool
is_rating(const struct driver *driver, const struct dpc_msg_lease *lease)
{
    return lease->kind == DPC_TASK_EVALUATE && driver_phase(driver) == DPC_PHASE_TRAIN;
}

/* The first of the path's; the others go well. */
static bool
is_chunk(const struct driver *driver, const struct dpc_msg_lease *lease)
{
    return lease->kind == DPC_TASK_EVALUATE && driver_phase(driver) == DPC_PHASE_EVALUATE &&
           lease->from == 0;
}

static bool
is_training(const struct driver *driver, const struct dpc_msg_lease *lease)
{
    (void)driver;
    return lease->kind == DPC_TASK_TRAIN;
}

typedef bool sort_fn(const struct driver *driver, const struct dpc_msg_lease *lease);

/* Works until it gets a task of the path and of this sort, and gives that back; false when there is
 * no more work without one. */
static bool
fails_once(struct driver *driver, uint8_t worker, sort_fn *is_of_sort)
{
    const struct dpc_msg *reply;
    while ((reply = driver_ask(driver, worker))->type == DPC_MSG_LEASE) {
        struct dpc_msg_lease lease = reply->lease;
        if (lease.path == PATH && is_of_sort(driver, &lease)) {
            give_back(driver, worker, &lease);
            return true;
        }
        CU_ASSERT_EQUAL(driver_submit(driver, worker, &lease)->verdict.verdict,
                        DPC_VERDICT_ACCEPTED);
    }
    return false;
}

static bool
is_let_alone(const struct driver *driver)
{
    uint32_t path, tries;
    const char *failure = dpc_core_failure(driver->core, &path, &tries);
    if (!failure)
        return false;
    CU_ASSERT_STRING_EQUAL(failure, "step 3: not finite");
    CU_ASSERT_EQUAL(path, PATH);
    CU_ASSERT(tries >= 3);
    return true;
}

static void
check_let_alone(sort_fn *is_of_sort, enum dpc_phase phase)
{
    struct driver driver;
    start(&driver);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_FALSE(is_let_alone(&driver));
        CU_ASSERT_TRUE(fails_once(&driver, 0, is_of_sort));
    }
    CU_ASSERT_TRUE(is_let_alone(&driver));
    CU_ASSERT_FALSE(fails_once(&driver, 0, is_of_sort));
    CU_ASSERT_EQUAL(driver_phase(&driver), phase);
    /* Another worker has not tried it yet: perhaps the first one's machine is at fault. */
    driver_hello(&driver, 1, no_token);
    CU_ASSERT_FALSE(is_let_alone(&driver));
    CU_ASSERT_TRUE(fails_once(&driver, 1, is_of_sort));
    CU_ASSERT_TRUE(is_let_alone(&driver));
    CU_ASSERT_FALSE(fails_once(&driver, 1, is_of_sort));
    CU_ASSERT_FALSE(fails_once(&driver, 0, is_of_sort));
    CU_ASSERT_EQUAL(driver_phase(&driver), phase);
    driver_crash(&driver);
    CU_ASSERT_FALSE(is_let_alone(&driver));
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    driver_stop(&driver);
}

static void
a_round_is_let_alone_until_a_restart(void)
{
    check_let_alone(is_training, DPC_PHASE_TRAIN);
}

/* Training ends, and what follows waits: which round is the best is not known. */
static void
an_early_evaluation_is_let_alone_until_a_restart(void)
{
    check_let_alone(is_rating, DPC_PHASE_TRAIN);
}

static void
an_evaluation_is_let_alone_until_a_restart(void)
{
    check_let_alone(is_chunk, DPC_PHASE_EVALUATE);
}

/* A machine that computes wrong now and then stops nothing. */
static void
what_succeeds_has_not_failed(void)
{
    static sort_fn *const sorts[] = {is_training, is_rating, is_chunk};
    for (size_t i = 0; i < sizeof sorts / sizeof *sorts; i++) {
        struct driver driver;
        start(&driver);
        for (int k = 0; k < 2; k++)
            CU_ASSERT_TRUE(fails_once(&driver, 0, sorts[i]));
        struct dpc_msg_lease lease;
        do {
            const struct dpc_msg *reply = driver_ask(&driver, 0);
            CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
            lease = reply->lease;
            CU_ASSERT_EQUAL(driver_submit(&driver, 0, &lease)->verdict.verdict,
                            DPC_VERDICT_ACCEPTED);
        } while (lease.path != PATH);
        for (int k = 0; k < 2 && sorts[i] != is_chunk; k++) {
            CU_ASSERT_TRUE(fails_once(&driver, 0, sorts[i]));
            CU_ASSERT_FALSE(is_let_alone(&driver));
        }
        CU_ASSERT_TRUE(driver_finish(&driver, 1));
        driver_stop(&driver);
    }
}

/* For so long that all others are taken for gone. */
static void
leave_alone(struct driver *driver, uint8_t worker)
{
    struct dpc_event tick = {.type = DPC_EVENT_TICK};
    for (int second = 0; second < 32; second++) {
        driver->now_ms += 1000;
        driver_heartbeat(driver, worker, no_token);
        driver_step(driver, &tick);
    }
}

/* One that lost its power has said nothing, and is not there to try. */
static void
a_worker_that_was_killed_is_not_waited_for(void)
{
    struct driver driver;
    uint32_t path, tries;
    start(&driver);
    driver_hello(&driver, 1, no_token);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_TRUE(fails_once(&driver, 0, is_training));
    CU_ASSERT_PTR_NULL(dpc_core_failure(driver.core, &path, &tries)); /* the other may do better */
    leave_alone(&driver, 0);
    CU_ASSERT_PTR_NOT_NULL(dpc_core_failure(driver.core, &path, &tries));
    CU_ASSERT_EQUAL(path, PATH);
    driver_stop(&driver);
}

/* The one that is left has not tried. */
static void
who_has_not_tried_gets_what_one_that_is_gone_could_not(void)
{
    struct driver driver;
    uint32_t path, tries;
    start(&driver);
    driver_hello(&driver, 1, no_token);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_TRUE(fails_once(&driver, 0, is_training));
    leave_alone(&driver, 1);
    CU_ASSERT_PTR_NULL(dpc_core_failure(driver.core, &path, &tries));
    CU_ASSERT_TRUE(fails_once(&driver, 1, is_training));
    CU_ASSERT_PTR_NOT_NULL(dpc_core_failure(driver.core, &path, &tries));
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"a worker that was killed is not waited for", a_worker_that_was_killed_is_not_waited_for},
    {"who has not tried gets what one that is gone could not",
     who_has_not_tried_gets_what_one_that_is_gone_could_not},
    {"a round is let alone until a restart", a_round_is_let_alone_until_a_restart},
    {"an early evaluation is let alone until a restart",
     an_early_evaluation_is_let_alone_until_a_restart},
    {"an evaluation is let alone until a restart", an_evaluation_is_let_alone_until_a_restart},
    {"what succeeds has not failed", what_succeeds_has_not_failed},
};
DPC_TEST_MAIN("coordinator/core/failures", tests)
