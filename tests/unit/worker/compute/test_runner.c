/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/compute/runner.h"

#include <poll.h>
#include <sched.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/unit/worker/compute/task_rig.h"

enum { DEADLINE_MS = 300000 }; /* a played processor takes some hundred times as long */

static struct dpc_job_result *
await(struct dpc_runner *runner)
{
    struct pollfd item = {.fd = dpc_runner_fd(runner), .events = POLLIN};
    CU_ASSERT_EQUAL_FATAL(poll(&item, 1, DEADLINE_MS), 1);
    struct dpc_job_result *result = dpc_runner_result(runner);
    CU_ASSERT_PTR_NOT_NULL_FATAL(result);
    return result;
}

static void
jobs_run_in_order_and_name_their_lease(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, NULL, 2, 0);
    CU_ASSERT(dpc_runner_is_idle(runner));
    CU_ASSERT_PTR_NULL(dpc_runner_result(runner));
    for (uint64_t serial = 1; serial <= 3; serial++) {
        rig.lease.token.serial = serial;
        CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    }
    struct dpc_hash first = dpc_hash_none;
    for (uint64_t serial = 1; serial <= 3; serial++) {
        struct dpc_job_result *result = await(runner);
        CU_ASSERT_EQUAL(result->code, DPC_OK);
        CU_ASSERT_EQUAL(result->token.serial, serial);
        CU_ASSERT_EQUAL(result->submit.token.serial, serial);
        CU_ASSERT(result->tokens_per_s > 0);
        if (serial == 1)
            first = result->submit.state.hash;
        CU_ASSERT(dpc_hash_equal(&first, &result->submit.state.hash));
        dpc_free(result);
    }
    CU_ASSERT(dpc_runner_is_idle(runner));
    CU_ASSERT_EQUAL(dpc_runner_steps_done(runner), 0);
    dpc_runner_stop(runner);
    rig_end(&rig);
}

static void
another_experiment_gets_another_engine(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, NULL, 2, 0);
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    rig.experiment.inner.batch = 5;
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    struct dpc_job_result *one = await(runner), *other = await(runner);
    CU_ASSERT_EQUAL(one->code, DPC_OK);
    CU_ASSERT_EQUAL(other->code, DPC_OK);
    CU_ASSERT(!dpc_hash_equal(&one->submit.state.hash, &other->submit.state.hash));
    dpc_free(one);
    dpc_free(other);
    dpc_runner_stop(runner);
    rig_end(&rig);
}

static void
a_job_that_fails_says_why_and_the_next_one_runs(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_EVALUATE);
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, NULL, 2, 0);
    struct dpc_msg_lease bad = rig.lease;
    bad.kind = (enum dpc_task_kind)77;
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &bad), DPC_OK);
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    struct dpc_job_result *result = await(runner);
    CU_ASSERT_EQUAL(result->code, DPC_EPROTO);
    CU_ASSERT_PTR_NOT_NULL(strstr(result->text, "77"));
    dpc_free(result);
    result = await(runner);
    CU_ASSERT_EQUAL(result->code, DPC_OK);
    dpc_free(result);
    dpc_runner_stop(runner);
    rig_end(&rig);
}

static void
cancelling_ends_all_jobs_so_far_and_none_after(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, NULL, 2, 0);
    uint32_t steps = rig.lease.steps_count;
    rig.lease.steps_count = DPC_STEPS_MAX; /* would run for hours */
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    dpc_runner_cancel(runner);
    rig.lease.steps_count = steps;
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    for (int i = 0; i < 3; i++) {
        struct dpc_job_result *result = await(runner);
        CU_ASSERT_EQUAL(result->code, i < 2 ? DPC_ECANCELLED : DPC_OK);
        dpc_free(result);
    }
    /* And one that runs when the runner is stopped does not hold it up. */
    rig.lease.steps_count = DPC_STEPS_MAX;
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    CU_ASSERT(!dpc_runner_is_idle(runner));
    dpc_runner_stop(runner);
    rig_end(&rig);
}

static void
too_many_jobs_are_refused(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, NULL, 2, 0);
    rig.lease.steps_count = DPC_STEPS_MAX;
    int code = DPC_OK;
    for (int i = 0; i < DPC_RUNNER_JOBS_MAX + 2 && code == DPC_OK; i++)
        code = dpc_runner_run(runner, &rig.experiment, &rig.lease);
    CU_ASSERT_EQUAL(code, DPC_EBUSY);
    dpc_runner_stop(runner);
    rig_end(&rig);
}

static void
wait_until_held(struct dpc_runner *runner)
{
    int64_t end_ns = dpc_clock_ns() + (int64_t)DEADLINE_MS * 1000000;
    while (!dpc_runner_is_held(runner) && dpc_clock_ns() < end_ns)
        sched_yield();
    CU_ASSERT_FATAL(dpc_runner_is_held(runner));
}

/* Begins a lease of so many steps and holds it in the middle; how many it has done then. */
static uint32_t
hold_in_the_middle(struct dpc_runner *runner, struct task_rig *rig, uint32_t steps)
{
    rig->lease.steps_count = steps;
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig->experiment, &rig->lease), DPC_OK);
    while (dpc_runner_steps_done(runner) == 0)
        sched_yield();
    dpc_runner_hold(runner, true);
    wait_until_held(runner);
    return dpc_runner_steps_done(runner);
}

/* The same lease twice: held after some steps, and not. */
static void
a_job_that_is_held_goes_on_to_the_same_bits(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, NULL, 2, 0);
    uint32_t steps = hold_in_the_middle(runner, &rig, 6000);
    CU_ASSERT(steps > 0 && steps < 6000);
    struct pollfd item = {.fd = dpc_runner_fd(runner), .events = POLLIN};
    CU_ASSERT_EQUAL(poll(&item, 1, 50), 0);
    CU_ASSERT_EQUAL(dpc_runner_steps_done(runner), steps);
    dpc_runner_hold(runner, false);
    struct dpc_job_result *held = await(runner);
    CU_ASSERT_FALSE(dpc_runner_is_held(runner));
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    struct dpc_job_result *calm = await(runner);
    CU_ASSERT_EQUAL(held->code, DPC_OK);
    CU_ASSERT(dpc_hash_equal(&held->submit.state.hash, &calm->submit.state.hash));
    CU_ASSERT(dpc_hash_equal(&held->submit.parts[0].delta.hash, &calm->submit.parts[0].delta.hash));
    dpc_free(held);
    dpc_free(calm);
    dpc_runner_stop(runner);
    rig_end(&rig);
}

static void
no_job_begins_while_held_and_a_cancel_ends_the_waiting(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, NULL, 2, 0);
    dpc_runner_hold(runner, true);
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    wait_until_held(runner);
    CU_ASSERT_EQUAL(dpc_runner_steps_done(runner), 0);
    dpc_runner_cancel(runner);
    struct dpc_job_result *result = await(runner);
    CU_ASSERT_EQUAL(result->code, DPC_ECANCELLED);
    dpc_free(result);
    /* And the end of the process does. */
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    wait_until_held(runner);
    dpc_runner_stop(runner);
    rig_end(&rig);
}

static void
a_cut_ends_the_waiting_with_what_there_is(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, NULL, 2, 0);
    uint32_t steps = hold_in_the_middle(runner, &rig, 100000);
    dpc_runner_cut(runner);
    struct dpc_job_result *result = await(runner);
    CU_ASSERT_EQUAL(result->code, DPC_OK);
    CU_ASSERT_EQUAL(result->submit.steps_count, steps);
    dpc_free(result);
    dpc_runner_stop(runner);
    rig_end(&rig);
}

/* While it is held no time of computing passes: the coordinator reckons with it. */
static void
waiting_is_no_computing(void)
{
    struct dpc_progress progress = {.waited_ns = (int64_t)60 * 1000000000};
    double seconds = dpc_progress_seconds(&progress, dpc_clock_ns() - (int64_t)90 * 1000000000);
    CU_ASSERT(seconds >= 30 && seconds < 40);
}

/* It waits behind the last step of one that was dropped. */
static void
a_cut_reaches_a_job_that_has_not_begun(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, NULL, 2, 0);
    (void)hold_in_the_middle(runner, &rig, 100000);
    dpc_runner_cancel(runner);
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    dpc_runner_cut(runner);
    dpc_runner_hold(runner, false);
    struct dpc_job_result *dropped = await(runner), *cut = await(runner);
    CU_ASSERT_EQUAL(dropped->code, DPC_ECANCELLED);
    CU_ASSERT_EQUAL(cut->code, DPC_OK);
    CU_ASSERT(cut->submit.steps_count < 100000);
    dpc_free(dropped);
    dpc_free(cut);
    dpc_runner_stop(runner);
    rig_end(&rig);
}

static const struct dpc_test tests[] = {
    {"a cut reaches a job that has not begun", a_cut_reaches_a_job_that_has_not_begun},
    {"jobs run in order and name their lease", jobs_run_in_order_and_name_their_lease},
    {"another experiment gets another engine", another_experiment_gets_another_engine},
    {"a job that fails says why and the next one runs",
     a_job_that_fails_says_why_and_the_next_one_runs},
    {"cancelling ends all jobs so far and none after",
     cancelling_ends_all_jobs_so_far_and_none_after},
    {"too many jobs are refused", too_many_jobs_are_refused},
    {"a job that is held goes on to the same bits", a_job_that_is_held_goes_on_to_the_same_bits},
    {"no job begins while held and a cancel ends the waiting",
     no_job_begins_while_held_and_a_cancel_ends_the_waiting},
    {"a cut ends the waiting with what there is", a_cut_ends_the_waiting_with_what_there_is},
    {"waiting is no computing", waiting_is_no_computing},
};
DPC_TEST_MAIN("worker/runner", tests)
