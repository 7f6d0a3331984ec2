/* SPDX-License-Identifier: Apache-2.0
 * What a worker's job has come to, on its disk: written in the middle of a job, at a stop that
 * keeps the lease, and with the result; taken up by the next process. What stands for parameters
 * and moments is the hash of all that they depend on, so that a lease which goes on from another
 * one's shows. */
#include <string.h>

#include "tests/sim/sim.h"

/* A machine that slept has not computed meanwhile: at most all of them. */
uint32_t
sim_job_steps_done(const struct sim *sim, const struct sim_worker *worker)
{
    int64_t rest = worker->job_steps - worker->job_before;
    int64_t done = (sim->now_ms - worker->job_begin_ms) * rest / worker->job_ms;
    return worker->job_before + (uint32_t)(done < rest ? done : rest);
}

static void
write_record(struct sim *sim, struct sim_worker *worker, const struct dpc_spill_record *record,
             const struct dpc_hash *values)
{
    struct dpc_error err = {0};
    int code = dpc_spill_begin(worker->spill, record, &err);
    if (code == DPC_OK && record->values_bytes)
        code = dpc_spill_add(worker->spill, values->bytes, DPC_HASH_BYTES, &err);
    if (code == DPC_OK)
        code = dpc_spill_commit(worker->spill, NULL, &err);
    sim_worker_excuse(sim, worker, code, err.text);
}

void
sim_spill_steps(struct sim *sim, struct sim_worker *worker)
{
    struct dpc_hash values = sim_job_inputs(&worker->lease);
    struct dpc_spill_record record = {
        .stage = DPC_SPILL_TRAINING,
        .lease = worker->lease,
        .steps_done = sim_job_steps_done(sim, worker),
        .values_bytes = DPC_HASH_BYTES,
    };
    if (worker->lease.kind == DPC_TASK_TRAIN)
        write_record(sim, worker, &record, &values);
}

void
sim_spill_result(struct sim *sim, struct sim_worker *worker)
{
    struct dpc_spill_record record = {
        .stage = DPC_SPILL_FINISHED, .lease = worker->lease, .submit = worker->result};
    record.submit.kind = worker->lease.kind;
    write_record(sim, worker, &record, NULL);
}

/* The stage of what is taken up; 0: nothing is. */
static enum dpc_spill_stage
restore(struct sim *sim, struct sim_worker *worker, bool passed)
{
    struct dpc_spill_record record;
    struct dpc_error err = {0};
    int code = passed ? dpc_spill_load_passed(worker->spill, &record, &err)
                      : dpc_spill_load(worker->spill, &record, &err);
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        sim_worker_excuse(sim, worker, code, err.text);
    if (code != DPC_OK)
        return 0;
    bool finished = record.stage == DPC_SPILL_FINISHED;
    sim_note(sim, "%s takes up lease %llu finished=%d steps=%u", worker->name,
             (unsigned long long)record.lease.token.serial, finished, record.steps_done);
    if (finished)
        sim_mark(sim, SIM_MARK_RESULT_TAKEN_UP);
    dpc_session_restore(worker->session, &record.lease, record.steps_done,
                        finished ? &record.submit : NULL);
    return record.stage;
}

void
sim_spill_restore(struct sim *sim, struct sim_worker *worker)
{
    enum dpc_spill_stage passed = restore(sim, worker, true), other = restore(sim, worker, false);
    if (passed && other)
        sim_mark(sim, SIM_MARK_BOTH_TAKEN_UP);
    else if (other == DPC_SPILL_FINISHED)
        dpc_spill_pass(worker->spill);
}

uint32_t
sim_spill_take_up(struct sim *sim, struct sim_worker *worker)
{
    struct dpc_spill_record record;
    struct dpc_hash values, should = sim_job_inputs(&worker->lease);
    struct dpc_error err = {0};
    int code = dpc_spill_load(worker->spill, &record, &err);
    bool is_ours = code == DPC_OK && record.stage == DPC_SPILL_TRAINING &&
                   dpc_token_equal(record.lease.token, worker->lease.token);
    if (is_ours)
        code = dpc_spill_read(worker->spill, values.bytes, DPC_HASH_BYTES, 0, &err);
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        sim_worker_excuse(sim, worker, code, err.text);
    if (!is_ours || code != DPC_OK)
        return 0;
    if (!dpc_hash_equal(&values, &should) || record.steps_done > worker->lease.steps_count)
        sim_fail(sim, "%s goes on with lease %llu from what is not its", worker->name,
                 (unsigned long long)worker->lease.token.serial);
    if (record.steps_done > 0)
        sim_mark(sim, SIM_MARK_STEPS_TAKEN_UP);
    return record.steps_done;
}
