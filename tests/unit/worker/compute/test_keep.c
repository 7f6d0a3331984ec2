/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/compute/keep.h"

#include "tests/unit/worker/compute/task_rig.h"
#include "worker/compute/train.h"

static void
make_spill(struct task_rig *rig)
{
    rig->task.spill = dpc_spill_destroy(rig->task.spill);
    CU_ASSERT_EQUAL_FATAL(
        dpc_spill_create(&dpc_vfs_posix, rig->folder, &rig->task.spill, &rig->err), DPC_OK);
    dpc_spill_set_class(rig->task.spill, "test");
    dpc_spill_begin_lease(rig->task.spill);
}

static void
begin(struct task_rig *rig)
{
    rig_begin(rig, DPC_TASK_TRAIN);
    make_spill(rig);
}

static void
end(struct task_rig *rig)
{
    dpc_spill_destroy(rig->task.spill);
    rig_end(rig);
}

/* Ends the process, as far as the task can tell, after so many steps of the lease. */
struct end_after {
    struct task_rig *rig;
    uint32_t steps;
    bool suspend;
};

static void
end_in_time(void *context)
{
    struct end_after *after = context;
    struct dpc_progress *progress = &after->rig->progress;
    if (progress->steps_done + 1 == after->steps)
        progress->keep = !after->suspend; /* written behind the next step */
    if (progress->steps_done < after->steps)
        return;
    progress->suspended = after->suspend;
    progress->cancelled = true;
}

static void
end_after(struct task_rig *rig, uint32_t steps, bool suspend)
{
    struct end_after after = {rig, steps, suspend};
    struct dpc_msg_submit submit;
    rig->progress.between = end_in_time;
    rig->progress.context = &after;
    rig->progress.keep = steps == 1 && !suspend;
    CU_ASSERT_EQUAL(dpc_train_run(rig->engine, &rig->task, &submit, &rig->err), DPC_ECANCELLED);
    memset(&rig->progress, 0, sizeof rig->progress);
}

/* Another process: another engine, full of other numbers. */
static void
restart(struct task_rig *rig)
{
    dpc_engine_destroy(rig->engine);
    CU_ASSERT_EQUAL_FATAL(
        dpc_engine_create(&rig->experiment, &(struct dpc_engine_limits){0}, &rig->engine, NULL),
        DPC_OK);
    make_spill(rig);
}

static void
must_run(struct task_rig *rig, struct dpc_msg_submit *ret_submit)
{
    int code = dpc_train_run(rig->engine, &rig->task, ret_submit, &rig->err);
    if (code != DPC_OK)
        CU_FAIL(rig->err.text);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
}

static void
assert_same(const struct dpc_msg_submit *a, const struct dpc_msg_submit *b)
{
    CU_ASSERT(dpc_hash_equal(&a->state.hash, &b->state.hash));
    for (uint32_t level = 0; level < 2; level++) {
        CU_ASSERT(dpc_hash_equal(&a->parts[level].delta.hash, &b->parts[level].delta.hash));
        CU_ASSERT_EQUAL(a->parts[level].norm, b->parts[level].norm);
    }
    CU_ASSERT_EQUAL(a->steps_count, b->steps_count);
    CU_ASSERT_EQUAL(a->tokens, b->tokens);
    CU_ASSERT_EQUAL(a->loss, b->loss);
    CU_ASSERT_EQUAL(a->loss_last, b->loss_last);
}

static void
killed_and_taken_up_gives_the_bits_of_the_whole(void)
{
    for (uint32_t steps = 1; steps < RIG_STEPS; steps++) {
        struct task_rig rig;
        struct dpc_msg_submit whole, rest;
        begin(&rig);
        must_run(&rig, &whole);
        end_after(&rig, steps, steps % 2 == 0);
        restart(&rig);
        must_run(&rig, &rest);
        CU_ASSERT_EQUAL(rig.progress.steps_before, steps);
        assert_same(&whole, &rest);
        end(&rig);
    }
}

static void
twice_killed_goes_on_twice(void)
{
    struct task_rig rig;
    struct dpc_msg_submit whole, rest;
    begin(&rig);
    must_run(&rig, &whole);
    end_after(&rig, 2, true);
    restart(&rig);
    end_after(&rig, 4, true);
    restart(&rig);
    must_run(&rig, &rest);
    CU_ASSERT_EQUAL(rig.progress.steps_before, 4);
    assert_same(&whole, &rest);
    end(&rig);
}

static void
another_lease_or_experiment_begins_anew(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    begin(&rig);
    end_after(&rig, 3, true);
    rig.lease.token.serial++;
    must_run(&rig, &submit);
    CU_ASSERT_EQUAL(rig.progress.steps_before, 0);
    rig.lease.token.serial--;
    rig.experiment.inner.lr *= 2;
    restart(&rig);
    must_run(&rig, &submit);
    CU_ASSERT_EQUAL(rig.progress.steps_before, 0);
    end(&rig);
}

static void
a_cancelled_lease_leaves_nothing_behind(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    struct dpc_spill_record record;
    begin(&rig);
    rig.progress.cancelled = true;
    CU_ASSERT_EQUAL(dpc_train_run(rig.engine, &rig.task, &submit, &rig.err), DPC_ECANCELLED);
    CU_ASSERT_EQUAL(dpc_spill_load(rig.task.spill, &record, &rig.err), DPC_ENOTFOUND);
    end(&rig);
}

static void
what_cannot_be_written_does_not_stop_training(void)
{
    struct task_rig rig;
    struct dpc_msg_submit whole, submit;
    begin(&rig);
    must_run(&rig, &whole);
    dpc_spill_destroy(rig.task.spill);
    CU_ASSERT_EQUAL_FATAL(
        dpc_spill_create(&dpc_vfs_posix, "/nowhere/at/all", &rig.task.spill, &rig.err), DPC_OK);
    rig.progress.keep = true;
    must_run(&rig, &submit);
    CU_ASSERT(rig.engine->keep_failed);
    assert_same(&whole, &submit);
    end(&rig);
}

static void
a_result_is_kept(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    struct dpc_spill_record record;
    begin(&rig);
    must_run(&rig, &submit);
    submit.token = rig.lease.token;
    dpc_spill_begin_lease(rig.task.spill);
    dpc_keep_result(rig.engine, &rig.task, &submit);
    CU_ASSERT_EQUAL_FATAL(dpc_spill_load(rig.task.spill, &record, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL(record.stage, DPC_SPILL_FINISHED);
    CU_ASSERT(dpc_token_equal(record.submit.token, rig.lease.token));
    CU_ASSERT_EQUAL(record.submit.kind, DPC_TASK_TRAIN);
    assert_same(&submit, &record.submit);
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"killed and taken up gives the bits of the whole",
     killed_and_taken_up_gives_the_bits_of_the_whole},
    {"twice killed goes on twice", twice_killed_goes_on_twice},
    {"another lease or experiment begins anew", another_lease_or_experiment_begins_anew},
    {"a cancelled lease leaves nothing behind", a_cancelled_lease_leaves_nothing_behind},
    {"what cannot be written does not stop training",
     what_cannot_be_written_does_not_stop_training},
    {"a result is kept", a_result_is_kept},
};
DPC_TEST_MAIN("worker/keep", tests)
