/* SPDX-License-Identifier: Apache-2.0
 * A batch is drawn for its place in the schedule, not for its place in the lease: that is what
 * makes leases of different length draw the same ones. */
#include "worker/train.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/tensor_blob.h"
#include "data/batch.h"

/* Sums over the lease, for the submission. */
struct tally {
    double loss_sum, last_sum;
    uint64_t targets, last_targets;
};

static int
load_state(struct dpc_engine *engine, const struct dpc_task *task, struct dpc_error *err)
{
    const struct dpc_blob_ref *ref = &task->lease->state;
    uint8_t *bytes;
    dpc_adamw_reset(engine->adamw);
    if (dpc_hash_is_none(&ref->hash))
        return DPC_OK;
    int code = dpc_cache_load(task->cache, ref, &bytes, err);
    if (code != DPC_OK)
        return code;
    code = dpc_adamw_read(engine->adamw, bytes, ref->bytes, err);
    dpc_free(bytes);
    return code == DPC_ECORRUPT ? DPC_EPROTO : code;
}

/* Step `step` of the lease. */
static int
train_step(struct dpc_engine *engine, const struct dpc_task *task,
           const struct dpc_batch_sampler *sampler, uint32_t step, struct tally *tally,
           struct dpc_error *err)
{
    const struct dpc_experiment *experiment = &engine->experiment;
    const struct dpc_msg_lease *lease = task->lease;
    uint64_t place = lease->step_first + step, targets;
    double loss_sum, norm;
    dpc_batch_fill(sampler, experiment->seed, lease->path, lease->round, (uint32_t)place,
                   engine->tokens, engine->targets);
    int code =
        dpc_path_backward(engine->path, engine->tokens, engine->targets, experiment->inner.batch,
                          experiment->model.context, &loss_sum, &targets);
    if (code == DPC_OK && !isfinite(loss_sum))
        code = DPC_ENOTFINITE;
    if (code == DPC_OK)
        code =
            dpc_adamw_step(engine->adamw, engine->path, dpc_schedule_lr(experiment, place), &norm);
    if (code == DPC_EDEVICE)
        return dpc_error_set(err, code, "step %u of the lease: %s", step, dpc_error_words(code));
    if (code != DPC_OK)
        return dpc_error_set(err, code, "step %u of the lease (%llu of the schedule): %s is %s",
                             step, (unsigned long long)place,
                             code == DPC_ENOTFINITE ? "loss or gradient" : "the batch",
                             dpc_error_words(code));
    tally->loss_sum += loss_sum;
    tally->targets += targets;
    if (step >= lease->steps_count - (lease->steps_count + 9) / 10) {
        tally->last_sum += loss_sum;
        tally->last_targets += targets;
    }
    return DPC_OK;
}

static int
train_steps(struct dpc_engine *engine, const struct dpc_task *task,
            const struct dpc_batch_sampler *sampler, struct tally *tally, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = &engine->experiment;
    uint64_t step_tokens = (uint64_t)experiment->inner.batch * experiment->model.context;
    int64_t start_ns = dpc_clock_ns();
    for (uint32_t step = 0; step < task->lease->steps_count; step++) {
        if (task->progress->cancelled)
            return dpc_error_set(err, DPC_ECANCELLED, "the lease was dropped");
        int code = train_step(engine, task, sampler, step, tally, err);
        if (code != DPC_OK)
            return code;
        dpc_progress_report(task->progress, step + 1, (step + 1) * step_tokens, start_ns);
    }
    return DPC_OK;
}

static int
open_and_train(struct dpc_engine *engine, const struct dpc_task *task, struct tally *tally,
               struct dpc_error *err)
{
    const struct dpc_experiment *experiment = &engine->experiment;
    struct dpc_batch_sampler *sampler = NULL;
    struct dpc_tokens *tokens;
    int code = dpc_engine_open_tokens(engine, task, &tokens, err);
    if (code != DPC_OK)
        return code;
    code = dpc_batch_sampler_create(tokens, experiment->inner.batch, experiment->model.context,
                                    experiment->routing.prefix, &sampler, err);
    if (code == DPC_OK)
        code = train_steps(engine, task, sampler, tally, err);
    dpc_batch_sampler_destroy(sampler);
    dpc_tokens_close(tokens);
    return code;
}

/* The delta of one level's module, computed where it stands in the vector of received values. */
static int
put_delta(struct dpc_engine *engine, const struct dpc_task *task, uint32_t level, float *received,
          struct dpc_part *ret_part, struct dpc_error *err)
{
    struct dpc_piece all = {.count = dpc_path_module_floats(engine->path, level)};
    int code = dpc_path_subtract_module(engine->path, level, received);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read the trained path back: %s",
                             dpc_error_words(code));
    double squares;
    dpc_ops_cpu(DPC_FP32)->squared_norms(&squares, received, &all, 1);
    ret_part->module = task->lease->modules[level];
    ret_part->norm = sqrt(squares);
    if (!isfinite(ret_part->norm))
        return dpc_error_set(err, DPC_ENOTFINITE, "the trained module %u is %s", ret_part->module,
                             dpc_error_words(DPC_ENOTFINITE));
    dpc_buf_reset(&engine->blob);
    dpc_tensor_blob_write(&engine->blob, received, all.count);
    return dpc_engine_put(engine, task, &ret_part->delta, err);
}

static int
put_results(struct dpc_engine *engine, const struct dpc_task *task, struct dpc_msg_submit *submit,
            struct dpc_error *err)
{
    int code = DPC_OK;
    float *received = engine->received;
    for (uint32_t level = 0; code == DPC_OK && level < task->lease->levels_count; level++) {
        code = put_delta(engine, task, level, received, &submit->parts[level], err);
        received += dpc_path_module_floats(engine->path, level);
    }
    if (code != DPC_OK)
        return code;
    submit->parts_count = task->lease->levels_count;
    dpc_buf_reset(&engine->blob);
    code = dpc_adamw_write(engine->adamw, &engine->blob);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read the path state back: %s",
                             dpc_error_words(code));
    return dpc_engine_put(engine, task, &submit->state, err);
}

int
dpc_train_run(struct dpc_engine *engine, const struct dpc_task *task,
              struct dpc_msg_submit *ret_submit, struct dpc_error *err)
{
    struct dpc_msg_submit submit = {.steps_count = task->lease->steps_count};
    struct tally tally = {0};
    int64_t start_ns = dpc_clock_ns();
    if (task->lease->steps_count == 0 || task->lease->steps_count > DPC_STEPS_MAX)
        return dpc_error_set(err, DPC_EPROTO, "the lease has %u steps", task->lease->steps_count);
    int code = dpc_engine_load(engine, task, err);
    if (code == DPC_OK)
        code = load_state(engine, task, err);
    if (code == DPC_OK)
        code = open_and_train(engine, task, &tally, err);
    if (code == DPC_OK)
        code = put_results(engine, task, &submit, err);
    if (code != DPC_OK)
        return code;
    submit.tokens = tally.targets;
    submit.loss = tally.targets ? tally.loss_sum / (double)tally.targets : 0;
    submit.loss_last = tally.last_targets ? tally.last_sum / (double)tally.last_targets : 0;
    submit.seconds = (double)(dpc_clock_ns() - start_ns) / 1e9;
    *ret_submit = submit;
    return DPC_OK;
}
